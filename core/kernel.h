/* kernel.h: y = W x over packed weights: what the engine calls, one table row per variant. */
#ifndef CORE_KERNEL_H
#define CORE_KERNEL_H

#include "core/packed.h"

/* How a kernel wants its input x [n][cols]. */
typedef enum pl_act {
    PL_ACT_F32,                 /* floats as they are */
    PL_ACT_Q8                   /* blocks of 32: pl_act_block */
} pl_act;

/* 32 activations: x = d * q, q in -127 .. 127. sum = Σ q, for types with an offset. Rows hold cols/32. */
typedef struct pl_act_block { float d; int32_t sum; int8_t q[32]; } pl_act_block;

typedef struct pl_kernel {
    const char *name;           /* "q4_0 avx512vnni" */
    pl_act act;
    bool (*takes)(const pl_packed *w);
    /* y[i*ldy + r - first] = Σ_c w[r][c] x[i][c], r = first .. first+count-1, i = 0 .. n-1. ldx: bytes from
     * one x row to the next; ldy: floats. A result must not depend on n, first or count. */
    void (*matmul)(const pl_packed *w, int64_t first, int64_t count, const void *x, int64_t ldx,
                   int64_t n, float *y, int64_t ldy);
} pl_kernel;

#define PL_MAX_KERNELS 64

/* Filled by inits per instruction set; plain C takes everything, the last that takes a matrix wins. */
typedef struct pl_kernel_list {
    const pl_kernel *kernel[PL_MAX_KERNELS];
    int count;
    /* f32 [count] -> blocks [count/32]; every variant gives the same bits: d = max|x|/127,
     * q = round-half-even(x * (1/d)); an all-zero block, or one so small that 1/d overflows, has d = 0;
     * one that is not finite has d = NaN, q = 0 */
    void (*quantize)(const float *x, int64_t count, pl_act_block *out);
} pl_kernel_list;

const pl_kernel *pl_kernel_find(const pl_kernel_list *list, const pl_packed *w);

#endif
