/* attention.c: scores by BLAS over cached keys, softmax in f32, times values by BLAS. */
#include "runtime-check/attention.h"

#include <math.h>

#include "core/linalg.h"
#include "runtime-check/vecmath.h"

/* The first `seen` of `count` scores become probabilities, the others 0. */
static void softmax(float *x, int64_t seen, int64_t count)
{
    pl_exp_row_f32(x, pl_max_f32(x, seen), x, seen);
    float inverse = 1.0f / pl_sum_f32(x, seen);
    for (int64_t i = 0; i < seen; i++) x[i] *= inverse;
    for (int64_t i = seen; i < count; i++) x[i] = 0;
}

/* One head, one tile of queries. The last tiles see most and come first, so that no worker is left
 * with a long one at the end. */
static pl_status head_tile(void *ctx, int64_t index, int worker)
{
    const pl_attention *a = ctx;
    int64_t dim = a->head_dim, q_stride = a->heads * dim, kv_stride = a->kv_heads * dim;
    int64_t head = index % a->heads, kv = head / (a->heads / a->kv_heads);
    int64_t begin = (pl_ceil_div(a->n, a->tile) - 1 - index / a->heads) * a->tile;
    int64_t count = pl_min64(a->tile, a->n - begin), seen = a->first + begin + count;
    float *scores = a->scores[worker];

    pl_gemm_nt(count, seen, dim, (float)(1 / sqrt((double)dim)), a->q + begin * q_stride + head * dim,
               q_stride, a->k + kv * dim, kv_stride, 0, scores, seen);
    for (int64_t i = 0; i < count; i++) {
        softmax(scores + i * seen, a->first + begin + i + 1, seen);
    }
    pl_gemm_nn(count, dim, seen, 1, scores, seen, a->v + kv * dim, kv_stride, 0,
               a->out + begin * q_stride + head * dim, q_stride);
    return PL_OK;
}

pl_status pl_attention_run(const pl_attention *a, pl_pool *pool)
{
    return pl_pool_for(pool, a->heads * pl_ceil_div(a->n, a->tile), head_tile, (void *)a);
}
