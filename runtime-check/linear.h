/* linear.h: rows of activations times packed matrices, several matrices in one parallel loop. */
#ifndef RUNTIME_CHECK_LINEAR_H
#define RUNTIME_CHECK_LINEAR_H

#include "core/kernel.h"
#include "core/pool.h"

typedef struct pl_linear {
    pl_packed w;
    const float *bias;          /* [rows]; NULL: none */
    const pl_kernel *kernel;    /* NULL: tiles of rows are decoded to f32 and multiplied by BLAS */
    int64_t tile;               /* rows decoded at a time, from the shape */
    int64_t *cut;               /* [pieces + 1] where the pieces of a kernel's work begin, and the end */
    int32_t pieces;
} pl_linear;

/* kernels NULL: exact arithmetic on decoded weights. workers: of the pool that will be used. */
pl_status pl_linear_init(pl_linear *linear, const pl_packed *w, const float *bias,
                         const pl_kernel_list *kernels, int workers, pl_arena *arena);
/* Floats of per-worker scratch that a product needs. */
int64_t pl_linear_scratch(const pl_linear *linear);
/* Does it want its input quantized? */
bool pl_linear_wants_q8(const pl_linear *linear);

/* y[i*ldy + r] = Σ_c w[r][c] x[i][c] + bias[r], for i = 0 .. n-1 */
typedef struct pl_product {
    const pl_linear *linear;
    const float *x;             /* [n][cols] */
    const pl_act_block *q8;     /* the same rows in blocks [n][cols/32]; read if the matrix wants them */
    int64_t n;
    float *y;
    int64_t ldy;
} pl_product;

/* All products in one parallel loop. scratch: per worker. Results do not depend on the number of workers. */
pl_status pl_linear_multiply(const pl_product *products, int count, float *const *scratch, pl_pool *pool);

#endif
