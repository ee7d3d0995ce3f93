/* attention.c: scores by BLAS over cached keys, softmax in f32, times values by BLAS. */
#include "runtime-check/attention.h"

#include "core/linalg.h"
#include "runtime-check/rowmath.h"
#include "runtime-check/vecmath.h"

/* Scores from..to-1 of `count` become probabilities, the others 0. */
static void softmax(float *x, int64_t from, int64_t to, int64_t count)
{
    float *seen = x + from;
    int64_t n = to - from;
    pl_exp_row_f32(seen, pl_max_f32(seen, n), seen, n);
    float inverse = 1.0f / pl_sum_f32(seen, n);
    for (int64_t i = 0; i < n; i++) seen[i] *= inverse;
    for (int64_t i = 0; i < from; i++) x[i] = 0;
    for (int64_t i = to; i < count; i++) x[i] = 0;
}

/* The first position that a query at `position` sees. */
static int64_t begin_of(const pl_attention *a, int64_t position)
{
    return a->window > 0 ? pl_max64(0, position - a->window + 1) : 0;
}

/* One head, one tile of queries. The last tiles see most and come first, so that no worker is left
 * with a long one at the end. */
static pl_status head_tile(void *ctx, int64_t index, int worker)
{
    const pl_attention *a = ctx;
    int64_t dim = a->head_dim, q_stride = a->heads * dim, kv_stride = a->kv_heads * dim;
    int64_t head = index % a->heads, kv = head / (a->heads / a->kv_heads);
    int64_t begin = (pl_ceil_div(a->n, a->tile) - 1 - index / a->heads) * a->tile;
    int64_t count = pl_min64(a->tile, a->n - begin);
    /* positions that any of these queries sees */
    int64_t from = begin_of(a, a->first + begin);
    int64_t width = a->first + (a->encoder ? a->n : begin + count) - from;
    const float *k = a->k + from * kv_stride + kv * dim, *v = a->v + from * kv_stride + kv * dim;
    float *scores = a->scores[worker];

    pl_gemm_nt(count, width, dim, a->scale, a->q + begin * q_stride + head * dim, q_stride, k, kv_stride, 0,
               scores, width);
    for (int64_t i = 0; i < count; i++) {
        float *row = scores + i * width;
        int64_t position = a->first + begin + i;
        if (a->softcap > 0) pl_softcap_row(row, a->softcap, width);
        softmax(row, begin_of(a, position) - from, a->encoder ? width : position + 1 - from, width);
    }
    pl_gemm_nn(count, dim, width, 1, scores, width, v, kv_stride, 0, a->out + begin * q_stride + head * dim,
               q_stride);
    return PL_OK;
}

pl_status pl_attention_run(const pl_attention *a, pl_pool *pool)
{
    return pl_pool_for(pool, a->heads * pl_ceil_div(a->n, a->tile), head_tile, (void *)a);
}
