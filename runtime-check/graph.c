/* graph.c: forward pass of a llama-like decoder: norms, grouped attention with rotary positions, gated
 * MLP. A call's tokens go through the layers in batches; within a batch, one parallel loop per step. */
#include "runtime-check/graph.h"

#include <math.h>
#include <string.h>

#include "core/cpu.h"
#include "core/linalg.h"
#include "runtime-check/attention.h"
#include "runtime-check/kernels.h"
#include "runtime-check/linear.h"
#include "runtime-check/rope.h"
#include "runtime-check/vecmath.h"

enum {
    BATCH = 512,                /* tokens that go through a layer together */
    ROWS_PER_TASK = 16,         /* of work done row by row */
    INLINE_VALUES = 1 << 16     /* row-by-row work on fewer values is not worth waking workers */
};

typedef struct layer {
    const float *attn_norm, *ffn_norm;          /* [hidden] */
    pl_linear q, k, v, o, gate, up, down;
} layer;

struct pl_graph {
    pl_source *source;
    pl_pool *pool;
    pl_hparams hp;
    pl_kernel_list kernel_list;
    const pl_kernel_list *kernels;              /* NULL in exact mode */
    pl_arena *arena;
    int32_t ctx, seen;                          /* positions there are, positions used */
    int64_t q_dim, kv_dim;

    layer *layer;                               /* [layers] */
    const float *output_norm;
    pl_packed table;                            /* token embeddings */
    pl_linear output;
    pl_rope rope;
    int64_t bytes_per_token;

    float *key, *value;                         /* cache: [layers][ctx][kv_dim] */
    float *hidden;                              /* [ctx][hidden]: what forward returns */
    /* of one batch */
    int64_t batch, attention_tile;
    float *x, *sum;                             /* [batch][hidden]: residual stream; what joins it next */
    float *normed;                              /* [batch][hidden] */
    float *q, *att;                             /* [batch][q_dim] */
    float *gate, *up;                           /* [batch][ffn] */
    pl_act_block *q8;                           /* [batch][widest/32] */
    float **scratch;                            /* per worker */
};

/* ---- loading ---- */

/* Index of a tensor after checking its shape, -1 if there is none. The engine's memory safety rests on
 * shapes, so they are checked here whatever the source promised. */
static pl_status find(pl_graph *g, int role, int layer_index, int64_t rows, int64_t cols,
                      bool required, int *index)
{
    const pl_model *model = g->source->model;
    *index = pl_model_find(model, pl_id_make(role, layer_index, -1));
    if (*index < 0) {
        if (!required) return PL_OK;
        return pl_fail(PL_E_INPUT, "%s: layer %d has no tensor '%s'", g->source->path, layer_index,
                       pl_role_name(role));
    }
    const pl_tensor *t = &model->tensor[*index];
    if (t->rows == rows && t->cols == cols) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' is %lld x %lld, expected %lld x %lld",
                   g->source->path, t->name, (long long)t->rows, (long long)t->cols,
                   (long long)rows, (long long)cols);
}

/* A vector as f32; NULL if it is not required and absent. */
static pl_status load_vector(pl_graph *g, int role, int layer_index, int64_t n, bool required,
                             const float **out)
{
    int index;
    *out = NULL;
    PL_TRY(find(g, role, layer_index, n, 1, required, &index));
    if (index < 0) return PL_OK;
    float *values = PL_NEW(g->arena, float, n);
    if (!values) return PL_E_MEMORY;
    PL_TRY(pl_source_rows(g->source, index, 0, n, values, g->arena));
    g->bytes_per_token += n * (int64_t)sizeof(float);
    *out = values;
    return PL_OK;
}

static pl_status load_packed(pl_graph *g, int role, int layer_index, int64_t rows, int64_t cols,
                             bool required, pl_packed *out, int *index)
{
    PL_TRY(find(g, role, layer_index, rows, cols, required, index));
    if (*index < 0) return PL_OK;
    return pl_source_packed(g->source, *index, 0, rows, out, g->arena);
}

static pl_status load_linear(pl_graph *g, int role, int layer_index, int64_t rows, int64_t cols,
                             pl_linear *out)
{
    pl_packed w;
    int index;
    const float *bias;
    PL_TRY(load_packed(g, role, layer_index, rows, cols, true, &w, &index));
    PL_TRY(load_vector(g, role + PL_BIAS, layer_index, rows, false, &bias));
    PL_TRY(pl_linear_init(out, &w, bias, g->kernels, pl_pool_workers(g->pool), g->arena));
    g->bytes_per_token += pl_packed_bytes(&w);
    return PL_OK;
}

static pl_status load_layer(pl_graph *g, int i, layer *l)
{
    const pl_hparams *hp = &g->hp;
    PL_TRY(load_vector(g, PL_ATTN_NORM, i, hp->hidden, true, &l->attn_norm));
    PL_TRY(load_linear(g, PL_ATTN_Q, i, g->q_dim, hp->hidden, &l->q));
    PL_TRY(load_linear(g, PL_ATTN_K, i, g->kv_dim, hp->hidden, &l->k));
    PL_TRY(load_linear(g, PL_ATTN_V, i, g->kv_dim, hp->hidden, &l->v));
    PL_TRY(load_linear(g, PL_ATTN_O, i, hp->hidden, g->q_dim, &l->o));
    PL_TRY(load_vector(g, PL_FFN_NORM, i, hp->hidden, true, &l->ffn_norm));
    PL_TRY(load_linear(g, PL_FFN_GATE, i, hp->ffn, hp->hidden, &l->gate));
    PL_TRY(load_linear(g, PL_FFN_UP, i, hp->ffn, hp->hidden, &l->up));
    return load_linear(g, PL_FFN_DOWN, i, hp->hidden, hp->ffn, &l->down);
}

/* The order of rotary pairs, one for the whole model. */
static pl_status load_rope(pl_graph *g)
{
    const pl_model *model = g->source->model;
    int32_t order = -1;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        int role = t->id.role & ~PL_BIAS;
        bool rotates = role == PL_ATTN_Q || role == PL_ATTN_K;
        if (rotates && order < 0) order = t->order;
        if (t->order == (rotates ? order : 0) && (t->order == 0 || t->order == g->hp.head_dim)) continue;
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has its rows in order %d, which does not fit "
                       "the others", g->source->path, t->name, (int)t->order);
    }
    const float *factors;
    PL_TRY(load_vector(g, PL_ROPE_FREQS, -1, g->hp.head_dim / 2, false, &factors));
    return pl_rope_create(&g->hp, factors, order, g->ctx, g->arena, &g->rope);
}

static pl_status load(pl_graph *g)
{
    const pl_hparams *hp = &g->hp;
    int index;
    if (hp->layers < 1 || hp->hidden < 1 || hp->ffn < 1 || hp->vocab < 1) {
        return pl_fail(PL_E_INPUT, "%s: a model without layers, channels or tokens", g->source->path);
    }
    if (hp->kv_heads < 1 || hp->heads < hp->kv_heads || hp->heads % hp->kv_heads != 0 ||
        hp->head_dim < 2 || hp->head_dim % 2 != 0 || hp->rope_dim != hp->head_dim) {
        return pl_fail(PL_E_INPUT, "%s: cannot run %d heads over %d of %d values, %d of them rotating",
                       g->source->path, (int)hp->heads, (int)hp->kv_heads, (int)hp->head_dim,
                       (int)hp->rope_dim);
    }
    g->q_dim = (int64_t)hp->heads * hp->head_dim;
    g->kv_dim = (int64_t)hp->kv_heads * hp->head_dim;
    g->layer = PL_ZNEW(g->arena, layer, hp->layers);
    if (!g->layer) return PL_E_MEMORY;
    PL_TRY(load_rope(g));
    for (int i = 0; i < hp->layers; i++) PL_TRY(load_layer(g, i, &g->layer[i]));
    PL_TRY(load_vector(g, PL_OUTPUT_NORM, -1, hp->hidden, true, &g->output_norm));
    PL_TRY(load_packed(g, PL_TOKEN_EMBD, -1, hp->vocab, hp->hidden, true, &g->table, &index));
    g->bytes_per_token += pl_packed_bytes(&g->table) / hp->vocab;

    pl_packed output = g->table;
    PL_TRY(load_packed(g, PL_OUTPUT, -1, hp->vocab, hp->hidden, !hp->tied, &output, &index));
    PL_TRY(pl_linear_init(&g->output, &output, NULL, g->kernels, pl_pool_workers(g->pool), g->arena));
    g->bytes_per_token += pl_packed_bytes(&output);
    return PL_OK;
}

/* a * b * c floats. */
static pl_status floats(pl_graph *g, int64_t a, int64_t b, int64_t c, float **out)
{
    int64_t count;
    if (!pl_mul_ok(a, b, &count) || !pl_mul_ok(count, c, &count)) {
        return pl_fail(PL_E_MEMORY, "%s: %lld x %lld x %lld values do not fit into memory",
                       g->source->path, (long long)a, (long long)b, (long long)c);
    }
    *out = PL_NEW(g->arena, float, count);
    return *out ? PL_OK : PL_E_MEMORY;
}

static pl_status reserve(pl_graph *g)
{
    const pl_hparams *hp = &g->hp;
    int64_t widest = pl_max64(pl_max64(hp->hidden, g->q_dim), hp->ffn);
    g->batch = pl_min64(g->ctx, BATCH);
    g->attention_tile = g->ctx <= 8192 ? 64 : 16;
    PL_TRY(floats(g, hp->layers, g->ctx, g->kv_dim, &g->key));
    PL_TRY(floats(g, hp->layers, g->ctx, g->kv_dim, &g->value));
    PL_TRY(floats(g, 1, g->ctx, hp->hidden, &g->hidden));
    PL_TRY(floats(g, 1, g->batch, hp->hidden, &g->x));
    PL_TRY(floats(g, 1, g->batch, hp->hidden, &g->sum));
    PL_TRY(floats(g, 1, g->batch, hp->hidden, &g->normed));
    PL_TRY(floats(g, 1, g->batch, g->q_dim, &g->q));
    PL_TRY(floats(g, 1, g->batch, g->q_dim, &g->att));
    PL_TRY(floats(g, 1, g->batch, hp->ffn, &g->gate));
    PL_TRY(floats(g, 1, g->batch, hp->ffn, &g->up));
    g->q8 = PL_NEW(g->arena, pl_act_block, g->batch * pl_ceil_div(widest, 32));
    g->scratch = PL_NEW(g->arena, float *, pl_pool_workers(g->pool));
    if (!g->q8 || !g->scratch) return PL_E_MEMORY;

    int64_t tile = g->attention_tile * g->ctx;
    for (int i = 0; i < hp->layers; i++) {
        const layer *l = &g->layer[i];
        const pl_linear *all[] = { &l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down };
        for (int k = 0; k < PL_COUNT(all); k++) tile = pl_max64(tile, pl_linear_scratch(all[k]));
    }
    tile = pl_max64(tile, pl_linear_scratch(&g->output));
    for (int w = 0; w < pl_pool_workers(g->pool); w++) PL_TRY(floats(g, 1, 1, tile, &g->scratch[w]));
    return PL_OK;
}

pl_status pl_graph_create(pl_source *source, pl_pool *pool, pl_mode mode, int32_t ctx,
                          pl_graph **out)
{
    *out = NULL;
    if (ctx < 1) return pl_fail(PL_E_WISH, "a context of %d positions is too small", (int)ctx);
    pl_linalg_init();
    pl_graph *g = pl_alloc(1, sizeof *g);
    if (!g) return PL_E_MEMORY;
    g->source = source;
    g->pool = pool;
    g->hp = source->model->hp;
    g->ctx = ctx;
    if (mode == PL_MODE_FAST) {
        pl_kernels_init(&g->kernel_list, pl_cpu_flags());
        g->kernels = &g->kernel_list;
    }
    pl_status status = pl_arena_create(&g->arena);
    if (status == PL_OK) status = load(g);
    if (status == PL_OK) status = reserve(g);
    if (status != PL_OK) {
        pl_graph_destroy(g);
        return status;
    }
    *out = g;
    return PL_OK;
}

void pl_graph_destroy(pl_graph *g)
{
    if (!g) return;
    pl_arena_destroy(g->arena);
    pl_free(g);
}

void pl_graph_clear(pl_graph *g) { g->seen = 0; }

int64_t pl_graph_bytes_per_token(const pl_graph *g) { return g->bytes_per_token; }

int64_t pl_graph_memory(const pl_graph *g) { return pl_arena_bytes(g->arena) + (int64_t)sizeof *g; }

/* ---- work done row by row ---- */

typedef struct row_job {
    pl_graph *g;
    int64_t n;
    void (*row)(const struct row_job *job, int64_t i);
    const layer *layer;
    const float *norm;
    float *out;                 /* of a norm: [n][hidden] */
    float *keys;                /* of this batch: [n][kv_dim] */
    bool add;                   /* g->sum joins the residual stream before the norm */
    const float *in;            /* of quantization: [n][cols] */
    int64_t cols;
    bool quantize;
} row_job;

static void quantize_row(const row_job *job, const float *x, int64_t cols, int64_t i)
{
    if (job->quantize) job->g->kernels->quantize(x, cols, job->g->q8 + i * (cols / 32));
}

static void norm_row(const row_job *job, int64_t i)
{
    pl_graph *g = job->g;
    int64_t n = g->hp.hidden;
    float *x = g->x + i * n, *out = job->out + i * n;
    const float *sum = g->sum + i * n, *weight = job->norm;
    if (job->add) {
        for (int64_t c = 0; c < n; c++) x[c] += sum[c];
    }
    float scale = (float)(1 / sqrt(pl_sum_squares(x, n) / (double)n + (double)g->hp.norm_eps));
    for (int64_t c = 0; c < n; c++) out[c] = x[c] * scale * weight[c];
    quantize_row(job, out, n, i);
}

static void rotate_row(const row_job *job, int64_t i)
{
    pl_graph *g = job->g;
    pl_rope_rotate(&g->rope, g->seen + i, g->hp.heads, g->q + i * g->q_dim);
    pl_rope_rotate(&g->rope, g->seen + i, g->hp.kv_heads, job->keys + i * g->kv_dim);
}

/* gate = gate * sigmoid(gate) * up, by pieces that stay in the first cache. */
static void gate_row(const row_job *job, int64_t i)
{
    pl_graph *g = job->g;
    int64_t n = g->hp.ffn;
    float *gate = g->gate + i * n, e[256];
    const float *up = g->up + i * n;
    for (int64_t first = 0; first < n; first += PL_COUNT(e)) {
        int64_t count = pl_min64(PL_COUNT(e), n - first);
        float *y = gate + first;
        for (int64_t c = 0; c < count; c++) e[c] = -y[c];
        pl_exp_row_f32(e, 0, e, count);
        for (int64_t c = 0; c < count; c++) y[c] = y[c] / (1 + e[c]) * up[first + c];
    }
    quantize_row(job, gate, n, i);
}

static void quantize_only_row(const row_job *job, int64_t i)
{
    quantize_row(job, job->in + i * job->cols, job->cols, i);
}

static pl_status row_task(void *ctx, int64_t index, int worker)
{
    const row_job *job = ctx;
    int64_t end = pl_min64((index + 1) * ROWS_PER_TASK, job->n);
    for (int64_t i = index * ROWS_PER_TASK; i < end; i++) job->row(job, i);
    return PL_OK;
}

static pl_status by_rows(const row_job *job, int64_t cols)
{
    pl_pool *pool = job->n * cols < INLINE_VALUES ? NULL : job->g->pool;
    return pl_pool_for(pool, pl_ceil_div(job->n, ROWS_PER_TASK), row_task, (void *)job);
}

static pl_status normalize(pl_graph *g, const float *weight, bool add, bool quantize, float *out,
                           int64_t n)
{
    row_job job = { .g = g, .n = n, .row = norm_row, .norm = weight, .out = out, .add = add,
                    .quantize = quantize };
    return by_rows(&job, g->hp.hidden);
}

/* x [n][cols] into g->q8 if `linear` wants it so. */
static pl_status quantize(pl_graph *g, const pl_linear *linear, const float *x, int64_t n)
{
    if (!pl_linear_wants_q8(linear)) return PL_OK;
    row_job job = { .g = g, .n = n, .row = quantize_only_row, .in = x, .cols = linear->w.cols,
                    .quantize = true };
    return by_rows(&job, job.cols);
}

/* ---- forward ---- */

static pl_status multiply(pl_graph *g, const pl_product *products, int count, const float *x,
                          int64_t n)
{
    return pl_linear_multiply(products, count, x, g->q8, n, g->scratch, g->pool);
}

static pl_status attend(pl_graph *g, int index, int64_t n)
{
    const layer *l = &g->layer[index];
    float *keys = g->key + (int64_t)index * g->ctx * g->kv_dim;
    float *values = g->value + (int64_t)index * g->ctx * g->kv_dim;
    float *new_keys = keys + g->seen * g->kv_dim, *new_values = values + g->seen * g->kv_dim;
    pl_product qkv[] = { { &l->q, g->q, g->q_dim }, { &l->k, new_keys, g->kv_dim },
                         { &l->v, new_values, g->kv_dim } };
    PL_TRY(multiply(g, qkv, 3, g->normed, n));
    row_job turn = { .g = g, .n = n, .row = rotate_row, .keys = new_keys };
    PL_TRY(by_rows(&turn, g->q_dim + g->kv_dim));

    pl_attention a = { .heads = g->hp.heads, .kv_heads = g->hp.kv_heads, .head_dim = g->hp.head_dim,
                       .q = g->q, .k = keys, .v = values, .out = g->att, .first = g->seen, .n = n,
                       .tile = g->attention_tile, .scores = g->scratch };
    bool small = n * (g->seen + n) * g->q_dim < INLINE_VALUES;
    PL_TRY(pl_attention_run(&a, small ? NULL : g->pool));
    PL_TRY(quantize(g, &l->o, g->att, n));
    pl_product o = { &l->o, g->sum, g->hp.hidden };
    return multiply(g, &o, 1, g->att, n);
}

static pl_status feed_forward(pl_graph *g, const layer *l, int64_t n)
{
    pl_product wide[] = { { &l->gate, g->gate, g->hp.ffn }, { &l->up, g->up, g->hp.ffn } };
    PL_TRY(multiply(g, wide, 2, g->normed, n));
    row_job job = { .g = g, .n = n, .row = gate_row, .quantize = pl_linear_wants_q8(&l->down) };
    PL_TRY(by_rows(&job, g->hp.ffn));
    pl_product down = { &l->down, g->sum, g->hp.hidden };
    return multiply(g, &down, 1, g->gate, n);
}

static pl_status embed(pl_graph *g, const int32_t *tokens, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || tokens[i] >= g->hp.vocab) {
            return pl_fail(PL_E_INPUT, "%s: token %d, but the vocabulary has %d", g->source->path,
                           (int)tokens[i], (int)g->hp.vocab);
        }
        PL_TRY(pl_packed_decode(&g->table, tokens[i], 1, g->x + i * g->hp.hidden, NULL));
    }
    return PL_OK;
}

/* n <= g->batch tokens; out [n][hidden]. */
static pl_status forward_batch(pl_graph *g, const int32_t *tokens, int64_t n, float *out)
{
    PL_TRY(embed(g, tokens, n));
    for (int i = 0; i < g->hp.layers; i++) {
        const layer *l = &g->layer[i];
        bool q8 = pl_linear_wants_q8(&l->q) || pl_linear_wants_q8(&l->k) || pl_linear_wants_q8(&l->v);
        PL_TRY(normalize(g, l->attn_norm, i > 0, q8, g->normed, n));
        PL_TRY(attend(g, i, n));
        q8 = pl_linear_wants_q8(&l->gate) || pl_linear_wants_q8(&l->up);
        PL_TRY(normalize(g, l->ffn_norm, true, q8, g->normed, n));
        PL_TRY(feed_forward(g, l, n));
    }
    PL_TRY(normalize(g, g->output_norm, true, false, out, n));
    g->seen += (int32_t)n;
    return PL_OK;
}

pl_status pl_graph_forward(pl_graph *g, const int32_t *tokens, int32_t n, const float **hidden)
{
    if (n < 1 || n > g->ctx - g->seen) {
        return pl_fail(PL_E_WISH, "%d tokens behind %d do not fit into a context of %d", (int)n,
                       (int)g->seen, (int)g->ctx);
    }
    for (int64_t done = 0; done < n; done += g->batch) {
        int64_t count = pl_min64(g->batch, n - done);
        PL_TRY(forward_batch(g, tokens + done, count, g->hidden + done * g->hp.hidden));
    }
    *hidden = g->hidden;
    return PL_OK;
}

pl_status pl_graph_logits(pl_graph *g, const float *hidden, int32_t n, float *logits)
{
    for (int64_t done = 0; done < n; done += g->batch) {
        int64_t count = pl_min64(g->batch, n - done);
        const float *x = hidden + done * g->hp.hidden;
        PL_TRY(quantize(g, &g->output, x, count));
        pl_product output = { &g->output, logits + done * g->hp.vocab, g->hp.vocab };
        PL_TRY(multiply(g, &output, 1, x, count));
    }
    return PL_OK;
}
