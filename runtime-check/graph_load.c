/* graph_load.c: weights and buffers of the forward pass. What a layer does follows from the tensors that
 * are there. The engine's memory safety rests on shapes, so each is checked here, whatever the source
 * promised. */
#include <math.h>
#include <string.h>

#include "runtime-check/graph_parts.h"

enum { BATCH = 512 };           /* tokens that go through a layer together */

/* ---- one tensor ---- */

static bool has(const pl_graph *g, int role, int layer)
{
    return pl_model_find(g->source->model, pl_id_make(role, layer, -1)) >= 0;
}

static pl_status missing(const pl_graph *g, pl_id id)
{
    const char *path = g->source->path, *role = pl_role_name(id.role);
    if (id.layer < 0) return pl_fail(PL_E_INPUT, "%s: the model has no tensor '%s'", path, role);
    if (id.expert < 0) return pl_fail(PL_E_INPUT, "%s: layer %d has no tensor '%s'", path, id.layer, role);
    return pl_fail(PL_E_INPUT, "%s: expert %d of layer %d has no tensor '%s'", path, id.expert, id.layer, role);
}

/* Index of a tensor, -1 if it is absent and not required. */
static pl_status find(const pl_graph *g, pl_id id, int64_t rows, int64_t cols, bool required, int *index)
{
    const pl_model *model = g->source->model;
    *index = pl_model_find(model, id);
    if (*index < 0) return required ? missing(g, id) : PL_OK;
    const pl_tensor *t = &model->tensor[*index];
    if (t->rows == rows && t->cols == cols) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' is %lld x %lld, expected %lld x %lld",
                   g->source->path, t->name, (long long)t->rows, (long long)t->cols,
                   (long long)rows, (long long)cols);
}

/* A vector as f32; NULL if it is absent and not required. */
static pl_status load_vector(pl_graph *g, pl_id id, int64_t n, bool required, const float **out)
{
    int index;
    *out = NULL;
    PL_TRY(find(g, id, n, 1, required, &index));
    if (index < 0) return PL_OK;
    float *values = PL_NEW(g->arena, float, n);
    if (!values) return PL_E_MEMORY;
    PL_TRY(pl_source_rows(g->source, index, 0, n, values, g->arena));
    g->bytes_per_token += n * (int64_t)sizeof(float);
    *out = values;
    return PL_OK;
}

static pl_id bias_of(pl_id id) { return pl_id_make(id.role + PL_BIAS, id.layer, id.expert); }

static pl_status load_norm(pl_graph *g, int role, int layer, bool required, pl_norm_weights *out)
{
    pl_id id = pl_id_make(role, layer, -1);
    PL_TRY(load_vector(g, id, g->hp.hidden, required, &out->weight));
    return load_vector(g, bias_of(id), g->hp.hidden, false, &out->bias);
}

/* A table of which a token reads one row; out->rows 0 if it is absent and not required. */
static pl_status load_table(pl_graph *g, int role, int64_t rows, bool required, pl_packed *out)
{
    int index;
    PL_TRY(find(g, pl_id_make(role, -1, -1), rows, g->hp.hidden, required, &index));
    if (index < 0) return PL_OK;
    PL_TRY(pl_source_packed(g->source, index, 0, rows, out, g->arena));
    g->bytes_per_token += pl_packed_bytes(out) / rows;
    return PL_OK;
}

/* A matrix as stored, with its bias. */
typedef struct stored { pl_packed w; const float *bias; } stored;

static pl_status load_stored(pl_graph *g, pl_id id, int64_t rows, int64_t cols, stored *out)
{
    int index;
    PL_TRY(find(g, id, rows, cols, true, &index));
    PL_TRY(pl_source_packed(g->source, index, 0, rows, &out->w, g->arena));
    g->bytes_per_token += pl_packed_bytes(&out->w);
    return load_vector(g, bias_of(id), rows, false, &out->bias);
}

/* Rows first .. first+count-1 of it: what is fused in a file multiplies as parts. */
static pl_status cut(pl_graph *g, const stored *from, int64_t first, int64_t count, pl_linear *out)
{
    pl_packed w;
    const float *bias = from->bias ? from->bias + first : NULL;
    pl_status status = pl_packed_rows(&from->w, first, count, &w);
    if (status != PL_OK) return pl_fail_prefix(status, "%s: ", g->source->path);
    PL_TRY(pl_linear_init(out, &w, bias, g->kernels, pl_pool_workers(g->pool), g->arena));
    g->tile = pl_max64(g->tile, pl_linear_scratch(out));
    return PL_OK;
}

static pl_status load_linear(pl_graph *g, pl_id id, int64_t rows, int64_t cols, pl_linear *out)
{
    stored whole;
    PL_TRY(load_stored(g, id, rows, cols, &whole));
    return cut(g, &whole, 0, rows, out);
}

/* ---- rotary positions ---- */

/* The order of rotary pairs, one for the whole model; no other tensor has one. */
static pl_status find_order(const pl_graph *g, int32_t *order)
{
    const pl_model *model = g->source->model;
    bool first = true, norms = false;
    *order = 0;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        int role = t->id.role & ~PL_BIAS;
        bool rotates = role == PL_ATTN_Q || role == PL_ATTN_K;
        if (rotates && first) *order = t->order;
        if (rotates) first = false;
        norms = norms || role == PL_ATTN_Q_NORM || role == PL_ATTN_K_NORM;
        if (t->order == (rotates ? *order : 0) && (t->order == 0 || t->order == g->hp.head_dim)) continue;
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has its rows in order %d, which does not fit "
                       "the others", g->source->path, t->name, (int)t->order);
    }
    if (*order == 0 || (!norms && g->hp.rope_dim == g->hp.head_dim)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: rows in order %d do not go with norms of heads or heads that rotate in part",
                   g->source->path, (int)*order);
}

static pl_status load_rope(pl_graph *g)
{
    const pl_hparams *hp = &g->hp;
    int32_t order;
    const float *factors;
    PL_TRY(find_order(g, &order));
    if (hp->rope_dim == 0) return PL_OK;
    bool longrope = hp->rope_scaling == PL_ROPE_LONGROPE;
    int role = !longrope ? PL_ROPE_FREQS : g->ctx > hp->rope_context ? PL_ROPE_LONG : PL_ROPE_SHORT;
    bool required = longrope || hp->rope_scaling == PL_ROPE_LLAMA3;
    PL_TRY(load_vector(g, pl_id_make(role, -1, -1), hp->rope_dim / 2, required, &factors));
    PL_TRY(pl_rope_create(hp, factors, order, g->ctx, g->arena, &g->rope));
    if (hp->rope_base_window <= 0) return PL_OK;
    pl_hparams plain = *hp;
    plain.rope_base = hp->rope_base_window;
    plain.rope_scaling = PL_ROPE_NONE;
    return pl_rope_create(&plain, NULL, order, g->ctx, g->arena, &g->rope_window);
}

/* ---- layers ---- */

static pl_status load_attention(pl_graph *g, int i, pl_layer *l)
{
    const pl_hparams *hp = &g->hp;
    int64_t q = g->q_dim, kv = g->kv_dim;
    PL_TRY(load_norm(g, PL_ATTN_NORM, i, !has(g, PL_ATTN_POST_NORM, i) && !has(g, PL_ATTN_OUT_NORM, i),
                     &l->attn_norm));
    if (has(g, PL_ATTN_QKV, i)) {
        stored fused;
        PL_TRY(load_stored(g, pl_id_make(PL_ATTN_QKV, i, -1), q + 2 * kv, hp->hidden, &fused));
        PL_TRY(cut(g, &fused, 0, q, &l->q));
        PL_TRY(cut(g, &fused, q, kv, &l->k));
        PL_TRY(cut(g, &fused, q + kv, kv, &l->v));
    } else {
        PL_TRY(load_linear(g, pl_id_make(PL_ATTN_Q, i, -1), q, hp->hidden, &l->q));
        PL_TRY(load_linear(g, pl_id_make(PL_ATTN_K, i, -1), kv, hp->hidden, &l->k));
        PL_TRY(load_linear(g, pl_id_make(PL_ATTN_V, i, -1), kv, hp->hidden, &l->v));
    }
    PL_TRY(load_vector(g, pl_id_make(PL_ATTN_Q_NORM, i, -1), hp->head_dim, false, &l->q_norm));
    PL_TRY(load_vector(g, pl_id_make(PL_ATTN_K_NORM, i, -1), hp->head_dim, false, &l->k_norm));
    PL_TRY(load_linear(g, pl_id_make(PL_ATTN_O, i, -1), hp->hidden, q, &l->o));
    PL_TRY(load_norm(g, PL_ATTN_POST_NORM, i, false, &l->attn_post_norm));
    PL_TRY(load_norm(g, PL_ATTN_OUT_NORM, i, false, &l->attn_out_norm));

    bool windowed = hp->layer[i] & PL_LAYER_WINDOW;
    l->window = windowed ? hp->window : 0;
    if (hp->rope_dim > 0 && !(hp->layer[i] & PL_LAYER_NO_ROPE)) {
        l->rope = windowed && hp->rope_base_window > 0 ? &g->rope_window : &g->rope;
    }
    return PL_OK;
}

/* Roles of a feed-forward's matrices; fused -1: never fused. */
typedef struct ffn_roles { int fused, gate, up, down; } ffn_roles;

static const ffn_roles plain_roles = { PL_FFN_GATE_UP, PL_FFN_GATE, PL_FFN_UP, PL_FFN_DOWN };
static const ffn_roles shared_roles = { -1, PL_SHARED_GATE, PL_SHARED_UP, PL_SHARED_DOWN };

static pl_status load_ffn(pl_graph *g, const ffn_roles *roles, int layer, int expert, int64_t rows,
                          pl_ffn *out)
{
    const pl_model *model = g->source->model;
    int64_t hidden = g->hp.hidden;
    pl_id fused = pl_id_make(roles->fused, layer, expert), gate = pl_id_make(roles->gate, layer, expert);
    out->rows = rows;
    out->up_id = pl_id_make(roles->up, layer, expert);
    out->down_id = pl_id_make(roles->down, layer, expert);
    if (rows < 1) {
        return pl_fail(PL_E_INPUT, "%s: layer %d has a feed-forward of %lld rows", g->source->path, layer,
                       (long long)rows);
    }
    if (pl_model_find(model, fused) >= 0) {
        stored both;
        out->gated = true;
        PL_TRY(load_stored(g, fused, 2 * rows, hidden, &both));
        PL_TRY(cut(g, &both, 0, rows, &out->gate));
        PL_TRY(cut(g, &both, rows, rows, &out->up));
    } else {
        out->gated = pl_model_find(model, gate) >= 0;
        if (out->gated) PL_TRY(load_linear(g, gate, rows, hidden, &out->gate));
        PL_TRY(load_linear(g, out->up_id, rows, hidden, &out->up));
    }
    return load_linear(g, out->down_id, hidden, rows, &out->down);
}

/* Experts, of which a token reads only those that it uses. */
static pl_status load_experts(pl_graph *g, int i, pl_layer *l)
{
    const pl_hparams *hp = &g->hp;
    int64_t before = g->bytes_per_token;
    if (hp->experts < 1 || hp->experts > PL_MAX_EXPERTS || hp->experts_used < 1 ||
        hp->experts_used > hp->experts) {
        return pl_fail(PL_E_INPUT, "%s: cannot run %d of %d experts", g->source->path, (int)hp->experts_used,
                       (int)hp->experts);
    }
    l->expert = PL_ZNEW(g->arena, pl_ffn, hp->experts);
    if (!l->expert) return PL_E_MEMORY;
    for (int e = 0; e < hp->experts; e++) {
        PL_TRY(load_ffn(g, &plain_roles, i, e, hp->expert_ffn, &l->expert[e]));
    }
    g->bytes_per_token = before + (g->bytes_per_token - before) / hp->experts * hp->experts_used;
    return load_linear(g, pl_id_make(PL_FFN_ROUTER, i, -1), hp->experts, hp->hidden, &l->router);
}

static pl_status load_feed(pl_graph *g, int i, pl_layer *l)
{
    const pl_hparams *hp = &g->hp;
    PL_TRY(load_norm(g, PL_FFN_NORM, i, !has(g, PL_FFN_POST_NORM, i) && !has(g, PL_LAYER_OUT_NORM, i),
                     &l->ffn_norm));
    if (!has(g, PL_FFN_ROUTER, i)) {
        PL_TRY(load_ffn(g, &plain_roles, i, -1, hp->ffn, &l->ffn));
    } else {
        PL_TRY(load_experts(g, i, l));
        if (has(g, PL_SHARED_UP, i)) PL_TRY(load_ffn(g, &shared_roles, i, -1, hp->shared_ffn, &l->ffn));
        PL_TRY(load_vector(g, pl_id_make(PL_SHARED_ROUTER, i, -1), hp->hidden, false, &l->shared_router));
    }
    g->widest_ffn = pl_max64(g->widest_ffn, l->ffn.rows);
    PL_TRY(load_norm(g, PL_FFN_POST_NORM, i, false, &l->ffn_post_norm));
    return load_norm(g, PL_LAYER_OUT_NORM, i, false, &l->out_norm);
}

/* ---- the whole model ---- */

static pl_status check_sizes(const pl_graph *g)
{
    const pl_hparams *hp = &g->hp;
    const char *path = g->source->path;
    if (hp->layers < 1 || hp->hidden < 1 || hp->vocab < 1) {
        return pl_fail(PL_E_INPUT, "%s: a model without layers, channels or tokens", path);
    }
    if (hp->layers > PL_MAX_LAYERS) {
        return pl_fail(PL_E_INPUT, "%s: %d layers, at most %d", path, (int)hp->layers, PL_MAX_LAYERS);
    }
    if (hp->kv_heads < 1 || hp->heads < hp->kv_heads || hp->heads % hp->kv_heads != 0 ||
        hp->head_dim < 1 || hp->head_dim > INT32_MAX / hp->heads ||
        hp->rope_dim < 0 || hp->rope_dim % 2 != 0 || hp->rope_dim > hp->head_dim) {
        return pl_fail(PL_E_INPUT, "%s: cannot run %d heads over %d of %d values, %d of them rotating",
                       path, (int)hp->heads, (int)hp->kv_heads, (int)hp->head_dim, (int)hp->rope_dim);
    }
    for (int i = 0; i < hp->layers; i++) {
        if (!(hp->layer[i] & PL_LAYER_WINDOW) || (hp->window >= 1 && !hp->encoder)) continue;
        return pl_fail(PL_E_INPUT, "%s: cannot run layer %d with a window of %d positions%s", path, i,
                       (int)hp->window, hp->encoder ? " in an encoder" : "");
    }
    return PL_OK;
}

static pl_status load_embeddings(pl_graph *g)
{
    const pl_hparams *hp = &g->hp;
    int type;
    PL_TRY(load_table(g, PL_TOKEN_EMBD, hp->vocab, true, &g->table));
    PL_TRY(load_table(g, PL_POSITION_EMBD, hp->context, false, &g->positions));
    if (g->positions.rows > 0 && g->ctx > g->positions.rows) {
        return pl_fail(PL_E_WISH, "%s: a context of %d positions, but the model learned %lld",
                       g->source->path, (int)g->ctx, (long long)g->positions.rows);
    }
    PL_TRY(find(g, pl_id_make(PL_TYPE_EMBD, -1, -1), hp->token_types, hp->hidden, false, &type));
    if (type >= 0) {
        float *row = PL_NEW(g->arena, float, hp->hidden);
        if (!row) return PL_E_MEMORY;
        PL_TRY(pl_source_rows(g->source, type, 0, 1, row, g->arena));
        g->bytes_per_token += hp->hidden * (int64_t)sizeof(float);
        g->type = row;
    }
    return load_norm(g, PL_EMBD_NORM, -1, false, &g->embd_norm);
}

static pl_status load_output(pl_graph *g)
{
    const pl_hparams *hp = &g->hp;
    PL_TRY(load_norm(g, PL_OUTPUT_NORM, -1, !hp->encoder, &g->output_norm));
    if (hp->encoder) return PL_OK;
    if (!hp->tied || has(g, PL_OUTPUT, -1)) {
        return load_linear(g, pl_id_make(PL_OUTPUT, -1, -1), hp->vocab, hp->hidden, &g->output);
    }
    const stored table = { .w = g->table };
    g->bytes_per_token += pl_packed_bytes(&g->table);
    return cut(g, &table, 0, hp->vocab, &g->output);
}

pl_status pl_graph_load(pl_graph *g)
{
    const pl_hparams *hp = &g->hp;
    PL_TRY(check_sizes(g));
    g->q_dim = (int64_t)hp->heads * hp->head_dim;
    g->kv_dim = (int64_t)hp->kv_heads * hp->head_dim;
    g->attn_scale = hp->attn_scale > 0 ? hp->attn_scale : (float)(1 / sqrt((double)hp->head_dim));
    g->layer = PL_ZNEW(g->arena, pl_layer, hp->layers);
    if (!g->layer) return PL_E_MEMORY;
    PL_TRY(load_rope(g));
    PL_TRY(load_embeddings(g));
    for (int i = 0; i < hp->layers; i++) {
        PL_TRY(load_attention(g, i, &g->layer[i]));
        PL_TRY(load_feed(g, i, &g->layer[i]));
    }
    return load_output(g);
}

/* ---- buffers ---- */

/* a * b * c elements; out: address of a pointer to them. */
static pl_status buffer(pl_graph *g, int64_t a, int64_t b, int64_t c, size_t size, void *out)
{
    int64_t count;
    if (!pl_mul_ok(a, b, &count) || !pl_mul_ok(count, c, &count)) {
        return pl_fail(PL_E_MEMORY, "%s: %lld x %lld x %lld values do not fit into memory",
                       g->source->path, (long long)a, (long long)b, (long long)c);
    }
    void *p = pl_arena_alloc(g->arena, count, size);
    memcpy(out, &p, sizeof p);
    return p ? PL_OK : PL_E_MEMORY;
}

static pl_status floats(pl_graph *g, int64_t a, int64_t b, int64_t c, float **out)
{
    return buffer(g, a, b, c, sizeof **out, out);
}

static pl_status reserve_experts(pl_graph *g)
{
    const pl_hparams *hp = &g->hp;
    pl_moe_work *m = &g->moe;
    int64_t used = hp->experts_used, slots = g->batch * used;
    int64_t widest = pl_ceil_div(pl_max64(hp->hidden, hp->expert_ffn), 32);
    bool any = false;
    for (int i = 0; i < hp->layers; i++) any = any || g->layer[i].expert;
    if (!any) return PL_OK;
    if (slots > INT32_MAX) {
        return pl_fail(PL_E_WISH, "%s: %lld tokens at once are too many for %lld experts each",
                       g->source->path, (long long)g->batch, (long long)used);
    }
    PL_TRY(floats(g, 1, g->batch, hp->experts, &m->logits));
    PL_TRY(floats(g, 1, g->batch, used, &m->weight));
    PL_TRY(buffer(g, 1, g->batch, used, sizeof *m->chosen, &m->chosen));
    PL_TRY(buffer(g, 1, g->batch, used, sizeof *m->slot, &m->slot));
    PL_TRY(buffer(g, 1, 1, hp->experts + 1, sizeof *m->begin, &m->begin));
    PL_TRY(buffer(g, 1, 1, slots, sizeof *m->token, &m->token));
    PL_TRY(buffer(g, 1, 1, slots, sizeof *m->expert, &m->expert));
    PL_TRY(floats(g, 1, slots, hp->hidden, &m->x));
    PL_TRY(floats(g, 1, slots, hp->expert_ffn, &m->gate));
    PL_TRY(floats(g, 1, slots, hp->expert_ffn, &m->up));
    PL_TRY(buffer(g, 1, slots, widest, sizeof *m->q8, &m->q8));
    return buffer(g, 1, 2, pl_min64(hp->experts, slots), sizeof *m->product, &m->product);
}

pl_status pl_graph_reserve(pl_graph *g)
{
    const pl_hparams *hp = &g->hp;
    int64_t widest = pl_max64(pl_max64(hp->hidden, g->q_dim), g->widest_ffn);
    int64_t caches = hp->encoder ? 1 : hp->layers;
    g->batch = hp->encoder ? g->ctx : pl_min64(g->ctx, BATCH);
    g->attention_tile = g->ctx <= 8192 ? 64 : 16;
    PL_TRY(floats(g, caches, g->ctx, g->kv_dim, &g->key));
    PL_TRY(floats(g, caches, g->ctx, g->kv_dim, &g->value));
    PL_TRY(floats(g, 1, g->ctx, hp->hidden, &g->hidden));
    PL_TRY(floats(g, 1, g->batch, hp->hidden, &g->x));
    PL_TRY(floats(g, 1, g->batch, hp->hidden, &g->sum));
    PL_TRY(floats(g, 1, g->batch, hp->hidden, &g->normed));
    PL_TRY(floats(g, 1, g->batch, g->q_dim, &g->q));
    PL_TRY(floats(g, 1, g->batch, g->q_dim, &g->att));
    PL_TRY(floats(g, 1, g->batch, g->widest_ffn, &g->gate));
    PL_TRY(floats(g, 1, g->batch, g->widest_ffn, &g->up));
    PL_TRY(buffer(g, 1, g->batch, pl_ceil_div(widest, 32), sizeof *g->q8, &g->q8));
    PL_TRY(reserve_experts(g));

    int workers = pl_pool_workers(g->pool);
    g->scratch = PL_NEW(g->arena, float *, workers);
    if (!g->scratch) return PL_E_MEMORY;
    g->tile = pl_max64(g->tile, g->attention_tile * g->ctx);
    for (int w = 0; w < workers; w++) PL_TRY(floats(g, 1, 1, g->tile, &g->scratch[w]));
    return PL_OK;
}
