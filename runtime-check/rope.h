/* rope.h: rotary positions: frequencies, their scaling, tables, rotation of heads. */
#ifndef RUNTIME_CHECK_ROPE_H
#define RUNTIME_CHECK_ROPE_H

#include "core/model.h"

/* Angle per position of pair j = 0 .. rope_dim/2-1: base^(-2j/rope_dim), scaled as linear and yarn
 * say, and divided by factors [rope_dim/2] (of llama3 and longrope); NULL: by none. */
void pl_rope_frequencies(const pl_hparams *hp, const float *factors, double *frequency);
/* Factor of sines and cosines. */
double pl_rope_magnitude(const pl_hparams *hp);

typedef struct pl_rope {
    int32_t half;               /* pairs per head */
    int32_t head_dim;           /* of which the first 2*half values rotate */
    bool interleaved;           /* pair j is (2j, 2j+1), else (j, j + half) */
    float *cosine, *sine;       /* [positions][half] */
} pl_rope;

/* Tables for positions 0 .. positions-1, computed in double. order: row order of Q and K, see
 * pl_packed.order. Memory from arena. */
pl_status pl_rope_create(const pl_hparams *hp, const float *factors, int32_t order,
                         int32_t positions, pl_arena *arena, pl_rope *out);
/* Turns heads of head_dim values in place. */
void pl_rope_rotate(const pl_rope *rope, int64_t position, int64_t heads, float *x);

#endif
