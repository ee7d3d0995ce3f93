/* kernels_affine.h: y = W x over MLX's affine types: codes are unpacked once for all rows of x, then multiplied as
 * whole numbers. What one row of x adds is a function of each instruction set; sums of whole numbers are exact and
 * floats are added in one order, so all variants give the same bits. */
#ifndef RUNTIME_CHECK_KERNELS_AFFINE_H
#define RUNTIME_CHECK_KERNELS_AFFINE_H

#include <string.h>

#include "core/packed_bits.h"
#include "runtime-check/kernels_isa.h"

enum {
    AFFINE_CODES = 1024,                /* unpacked at a time: whole words of every width */
    AFFINE_BLOCKS = AFFINE_CODES / 32,
    AFFINE_ROWS = 64                    /* of x for which they are */
};

/* Partial sums of a row: eight lanes, of which lane j has the products of every four codes that begin at 4 j in a block
 * of 32, and what the biases add. */
typedef struct affine_sums { float lane[8], bias; } affine_sums;

/* Some groups with one row of x (blocks, one behind the other): sums->lane[j] += (scale dx) times the products of lane
 * j, block by block; sums->bias += bias times the group's sum of dx sum(q). */
typedef void affine_run(const uint8_t *codes, int64_t groups, int64_t per_group, const float *scale, const float *bias,
                        const uint8_t *x, affine_sums *sums);

static inline float affine_total(const affine_sums *s)
{
    const float *l = s->lane;
    return (((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))) + s->bias;
}

static inline void affine_matmul(const pl_packed *w, int64_t first, int64_t count, const void *x, int64_t ldx,
                                 int64_t n, float *y, int64_t ldy, affine_run *run)
{
    const pl_type *type = &w->type;
    const pl_bits_ops *ops = pl_bits_fastest();
    int64_t groups = AFFINE_CODES / type->group;
    float scale[AFFINE_BLOCKS], bias[AFFINE_BLOCKS];
    uint8_t codes[AFFINE_CODES];
    affine_sums sums[AFFINE_ROWS];
    for (int64_t r = 0, some; r < count; r++) {
        const uint8_t *row[3];
        for (int p = 0; p < 3; p++) row[p] = w->part[p].ptr + (first + r) * w->part[p].stride;
        for (int64_t i = 0; i < n; i += some) {
            some = pl_min64(n - i, AFFINE_ROWS);
            memset(sums, 0, (size_t)some * sizeof *sums);
            for (int64_t at = 0; at < w->cols; at += AFFINE_CODES) {
                int64_t left = pl_min64(AFFINE_CODES, w->cols - at), g = at / type->group;
                int64_t of = pl_min64(groups, left / type->group);
                pl_decode(type->scale, row[1] + g * type->scale->bytes, scale, of);
                pl_decode(type->scale, row[2] + g * type->scale->bytes, bias, of);
                ops->unpack(row[0] + at * type->bits / 8, left, type->bits, codes);
                const uint8_t *in = (const uint8_t *)x + i * ldx + at / 32 * (int64_t)sizeof(pl_act_block);
                for (int64_t k = 0; k < some; k++, in += ldx)
                    run(codes, of, type->group / 32, scale, bias, in, &sums[k]);
            }
            for (int64_t k = 0; k < some; k++) y[(i + k) * ldy + r] = affine_total(&sums[k]);
        }
    }
}

#endif
