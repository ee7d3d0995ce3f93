/* graph_layer.c: the steps of a layer: norms and joins, attention, feed-forward. Each is a few parallel
 * loops; a decoded token's cost beside reading weights is the number of these loops. */
#include <string.h>

#include "runtime-check/attention.h"
#include "runtime-check/graph_parts.h"

enum {
    ROWS_PER_TASK = 16,         /* of work done row by row */
    INLINE_VALUES = 1 << 16     /* row-by-row work on fewer values is not worth waking workers */
};

typedef struct row_job {
    int64_t n;
    pl_row_work row;
    void *ctx;
} row_job;

static pl_status row_task(void *ctx, int64_t index, int worker)
{
    const row_job *job = ctx;
    int64_t end = pl_min64((index + 1) * ROWS_PER_TASK, job->n);
    for (int64_t i = index * ROWS_PER_TASK; i < end; i++) job->row(job->ctx, i);
    return PL_OK;
}

pl_status pl_graph_rows(const pl_graph *g, int64_t n, int64_t cols, pl_row_work row, void *ctx)
{
    row_job job = { n, row, ctx };
    return pl_pool_for(n * cols < INLINE_VALUES ? NULL : g->pool, pl_ceil_div(n, ROWS_PER_TASK), row_task,
                       &job);
}

/* ---- quantization of activations ---- */

typedef struct quantize_job {
    pl_graph *g;
    const float *x;
    int64_t cols;
} quantize_job;

static void quantize_row(void *ctx, int64_t i)
{
    const quantize_job *j = ctx;
    j->g->kernels->quantize(j->x + i * j->cols, j->cols, j->g->q8 + i * (j->cols / 32));
}

pl_status pl_graph_quantize(pl_graph *g, const pl_linear *linear, const float *x, int64_t n)
{
    if (!pl_linear_wants_q8(linear)) return PL_OK;
    quantize_job j = { g, x, linear->w.cols };
    return pl_graph_rows(g, n, j.cols, quantize_row, &j);
}

/* ---- joins ---- */

/* Applies a norm if it is there. */
static bool normalized(const pl_graph *g, const pl_norm_weights *w, const float *x, float *out)
{
    if (!w || !w->weight) return false;
    pl_norm_row(g->hp.norm, g->hp.norm_eps, w, x, out, g->hp.hidden);
    return true;
}

static void join_row(void *ctx, int64_t i)
{
    const pl_join *j = ctx;
    pl_graph *g = j->g;
    int64_t n = g->hp.hidden;
    float *x = g->x + i * n, *sum = g->sum + i * n, *out = j->out ? j->out + i * n : x;
    if (j->add) {
        normalized(g, j->post, sum, sum);
        for (int64_t c = 0; c < n; c++) x[c] += sum[c];
    }
    normalized(g, j->stream, x, x);
    if (!normalized(g, j->next, x, out) && out != x) memcpy(out, x, (size_t)n * sizeof *x);
    if (j->quantize) g->kernels->quantize(out, n, g->q8 + i * (n / 32));
}

pl_status pl_graph_join(pl_join *join, int64_t n)
{
    return pl_graph_rows(join->g, n, join->g->hp.hidden, join_row, join);
}

/* ---- attention ---- */

typedef struct head_job {
    pl_graph *g;
    const pl_layer *layer;
    float *keys;                /* of this batch: [n][kv_dim] */
} head_job;

/* Norm of each head, then its rotation. */
static void turn(const pl_graph *g, const pl_rope *rope, const float *norm, int64_t position,
                 int64_t heads, float *x)
{
    const pl_norm_weights w = { .weight = norm };
    int64_t dim = g->hp.head_dim;
    if (norm) {
        for (float *head = x; head < x + heads * dim; head += dim) {
            pl_norm_row(PL_NORM_RMS, g->hp.norm_eps, &w, head, head, dim);
        }
    }
    if (rope) pl_rope_rotate(rope, position, heads, x);
}

static void turn_row(void *ctx, int64_t i)
{
    const head_job *j = ctx;
    pl_graph *g = j->g;
    const pl_layer *l = j->layer;
    turn(g, l->rope, l->q_norm, g->seen + i, g->hp.heads, g->q + i * g->q_dim);
    turn(g, l->rope, l->k_norm, g->seen + i, g->hp.kv_heads, j->keys + i * g->kv_dim);
}

pl_status pl_graph_attend(pl_graph *g, int layer, const float *x, int64_t n)
{
    const pl_layer *l = &g->layer[layer];
    const pl_hparams *hp = &g->hp;
    /* an encoder's layers share one cache: no later call looks back */
    int64_t cache = hp->encoder ? 0 : (int64_t)layer * g->ctx * g->kv_dim;
    float *keys = g->key + cache, *values = g->value + cache;
    float *new_keys = keys + g->seen * g->kv_dim, *new_values = values + g->seen * g->kv_dim;
    PL_TRY(pl_graph_show(g, pl_id_make(PL_ATTN_Q, layer, -1), x, n, hp->hidden));
    const pl_product qkv[] = { { &l->q, x, g->q8, n, g->q, g->q_dim },
                               { &l->k, x, g->q8, n, new_keys, g->kv_dim },
                               { &l->v, x, g->q8, n, new_values, g->kv_dim } };
    PL_TRY(pl_linear_multiply(qkv, 3, g->scratch, g->pool));
    if (l->rope || l->q_norm || l->k_norm) {
        head_job turning = { g, l, new_keys };
        PL_TRY(pl_graph_rows(g, n, g->q_dim + g->kv_dim, turn_row, &turning));
    }
    pl_attention a = { .heads = hp->heads, .kv_heads = hp->kv_heads, .head_dim = hp->head_dim,
                       .scale = g->attn_scale, .softcap = hp->attn_softcap, .q = g->q, .k = keys,
                       .v = values, .out = g->att, .first = g->seen, .n = n, .window = l->window,
                       .encoder = hp->encoder, .tile = g->attention_tile, .scores = g->scratch };
    bool small = n * (g->seen + n) * g->q_dim < INLINE_VALUES;
    PL_TRY(pl_attention_run(&a, small ? NULL : g->pool));
    PL_TRY(pl_graph_show(g, pl_id_make(PL_ATTN_O, layer, -1), g->att, n, g->q_dim));
    PL_TRY(pl_graph_quantize(g, &l->o, g->att, n));
    const pl_product o = { &l->o, g->att, g->q8, n, g->sum, hp->hidden };
    return pl_linear_multiply(&o, 1, g->scratch, g->pool);
}

/* ---- feed-forward ---- */

typedef struct act_job {
    pl_graph *g;
    const pl_ffn *ffn;
} act_job;

static void act_row(void *ctx, int64_t i)
{
    const act_job *j = ctx;
    pl_graph *g = j->g;
    int64_t n = j->ffn->rows;
    float *gate = g->gate + i * n;
    pl_activate_row(g->hp.act, gate, j->ffn->gated ? g->up + i * n : NULL, n);
    if (pl_linear_wants_q8(&j->ffn->down)) g->kernels->quantize(gate, n, g->q8 + i * (n / 32));
}

pl_status pl_graph_feed(pl_graph *g, const pl_ffn *ffn, const float *x, int64_t n)
{
    PL_TRY(pl_graph_show(g, ffn->up_id, x, n, g->hp.hidden));
    const pl_product wide[] = { { &ffn->gate, x, g->q8, n, g->gate, ffn->rows },
                                { &ffn->up, x, g->q8, n, ffn->gated ? g->up : g->gate, ffn->rows } };
    PL_TRY(pl_linear_multiply(ffn->gated ? wide : wide + 1, ffn->gated ? 2 : 1, g->scratch, g->pool));
    act_job act = { g, ffn };
    PL_TRY(pl_graph_rows(g, n, ffn->rows, act_row, &act));
    PL_TRY(pl_graph_show(g, ffn->down_id, g->gate, n, ffn->rows));
    const pl_product down = { &ffn->down, g->gate, g->q8, n, g->sum, g->hp.hidden };
    return pl_linear_multiply(&down, 1, g->scratch, g->pool);
}
