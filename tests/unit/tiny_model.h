/* tiny_model.h: a small random model in memory behind the source interface, for tests of what runs it. */
#ifndef TESTS_UNIT_TINY_MODEL_H
#define TESTS_UNIT_TINY_MODEL_H

#include "core/source.h"

/* Hyper-parameters say which of experts, shared expert, token types, longrope's factors and output there are;
 * these say the rest. */
typedef struct pl_tiny_options {
    pl_hparams hp;              /* see pl_tiny_hparams */
    bool bias, norm_bias;       /* every matrix of a block has one; every norm but those of heads */
    bool factors;               /* a PL_ROPE_FREQS tensor */
    bool fused;                 /* Q, K, V in one matrix, gate and up in another */
    bool ungated;
    bool head_norms;            /* PL_ATTN_Q_NORM and PL_ATTN_K_NORM */
    bool post_norms;            /* PL_ATTN_POST_NORM and PL_FFN_POST_NORM, beside the norms before */
    bool out_norms;             /* PL_ATTN_OUT_NORM and PL_LAYER_OUT_NORM, instead of the norms before */
    bool positions, embd_norm, shared_router;
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
double pl_tiny_value(const pl_source *s, pl_id id, int64_t row, int64_t col);
/* Replaces one stored f32 value. */
void pl_tiny_poke(pl_source *s, int role, int layer, int64_t row, int64_t col, float value);

#endif
