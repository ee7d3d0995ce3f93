/* tiny_llama.h: a small random decoder in memory behind the source interface, for tests of what runs it. */
#ifndef TESTS_UNIT_TINY_LLAMA_H
#define TESTS_UNIT_TINY_LLAMA_H

#include "core/source.h"

typedef struct pl_tiny_options {
    pl_hparams hp;              /* see pl_tiny_hparams */
    bool bias;                  /* every matrix of a block has one */
    bool factors;               /* a PL_ROPE_FREQS tensor */
    int32_t order;              /* of Q and K rows: 0 or head_dim; the function is the same */
    int dtype;                  /* of matrices: PL_F32, PL_F16 or PL_Q8_0 */
    float noise;                /* added to every weight of the matrices, relative to its size */
} pl_tiny_options;

/* 3 layers, hidden 64, 4 heads of 16 over 2, feed-forward 96, 50 tokens, output matrix of its own. */
pl_hparams pl_tiny_hparams(void);
/* The vocabulary: <s> </s>, a space, a to z (token 3 is 'a'), then tokens no text makes; BOS is added.
 * Weights depend on their identity only, so models with other options share them. */
pl_status pl_tiny_create(const pl_tiny_options *options, pl_source **out);
/* Value in Hugging Face's order as the source holds it (after rounding to its type); 0 for a tensor
 * that it does not have. */
double pl_tiny_value(const pl_source *s, int role, int layer, int64_t row, int64_t col);
/* Replaces one stored f32 value. */
void pl_tiny_poke(pl_source *s, int role, int layer, int64_t row, int64_t col, float value);

#endif
