/* linear.c: packed matrices times rows of activations, in tiles of matrix rows. */
#include "runtime-check/linear.h"

#include "core/linalg.h"

/* From so many rows of x on, decoding a tile once and BLAS beat the kernels that take floats. */
enum { DECODE_FROM = 8 };

/* Some 16 tiles per matrix so that workers finish together, of 32 to 128 rows so that neither the start
 * of a task nor the copying of x inside BLAS weighs much. Kernels like multiples of 32. */
static int64_t tile_rows(int64_t rows)
{
    int64_t tile = pl_ceil_div(rows, 16 * 32) * 32;
    return pl_min64(pl_max64(tile, 32), 128);
}

void pl_linear_init(pl_linear *linear, const pl_packed *w, const float *bias,
                    const pl_kernel_list *kernels)
{
    *linear = (pl_linear){ .w = *w, .bias = bias, .tile = tile_rows(w->rows) };
    if (kernels) linear->kernel = pl_kernel_find(kernels, w);
    if (pl_linear_wants_q8(linear) && w->cols % 32 != 0) linear->kernel = NULL;
}

int64_t pl_linear_scratch(const pl_linear *linear) { return linear->tile * linear->w.cols; }

bool pl_linear_wants_q8(const pl_linear *linear)
{
    return linear->kernel && linear->kernel->act == PL_ACT_Q8;
}

typedef struct job {
    const pl_product *products;
    const float *x;
    const pl_act_block *q8;
    int64_t n;
    float *const *scratch;
} job;

static pl_status tile_task(void *ctx, int64_t index, int worker)
{
    const job *j = ctx;
    const pl_product *p = j->products;
    for (;; p++) {
        int64_t tiles = pl_ceil_div(p->linear->w.rows, p->linear->tile);
        if (index < tiles) break;
        index -= tiles;
    }
    const pl_linear *l = p->linear;
    int64_t first = index * l->tile, count = pl_min64(l->tile, l->w.rows - first), cols = l->w.cols;
    float *y = p->y + first;
    if (pl_linear_wants_q8(l)) {
        l->kernel->matmul(&l->w, first, count, j->q8, cols / 32 * (int64_t)sizeof(pl_act_block),
                          j->n, y, p->ldy);
    } else if (l->kernel && j->n < DECODE_FROM) {
        l->kernel->matmul(&l->w, first, count, j->x, cols * (int64_t)sizeof(float), j->n, y, p->ldy);
    } else {
        float *rows = j->scratch[worker];
        PL_TRY(pl_packed_decode(&l->w, first, count, rows, NULL));
        pl_gemm_nt(j->n, count, cols, 1, j->x, cols, rows, cols, 0, y, p->ldy);
    }
    if (l->bias) {
        for (int64_t i = 0; i < j->n; i++) {
            for (int64_t r = 0; r < count; r++) y[i * p->ldy + r] += l->bias[first + r];
        }
    }
    return PL_OK;
}

pl_status pl_linear_multiply(const pl_product *products, int count, const float *x,
                             const pl_act_block *q8, int64_t n, float *const *scratch,
                             pl_pool *pool)
{
    job j = { products, x, q8, n, scratch };
    int64_t tiles = 0;
    for (int i = 0; i < count; i++) {
        tiles += pl_ceil_div(products[i].linear->w.rows, products[i].linear->tile);
    }
    return pl_pool_for(pool, tiles, tile_task, &j);
}
