/* fake_model.c: see fake_model.h. */
#include "tests/unit/fake_model.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/half.h"
#include "core/rng.h"

typedef struct fake_state {
    uint8_t **data;             /* [tensors] as stored */
    atomic_llong reads_left;    /* LLONG_MAX: no end */
} fake_state;

static int64_t row_bytes(const pl_tensor *t) { return t->cols * t->type.element->bytes; }

static void store(const pl_dtype *dtype, float value, uint8_t *out)
{
    uint16_t half;
    if (dtype == &pl_dtypes[PL_F16]) half = pl_f32_to_f16(value);
    else if (dtype == &pl_dtypes[PL_BF16]) half = pl_f32_to_bf16(value);
    else {
        memcpy(out, &value, 4);
        return;
    }
    memcpy(out, &half, 2);
}

/* Where Hugging Face's row stands in the source's order. */
static int64_t stored_row(const pl_tensor *t, int64_t row)
{
    if (!t->order) return row;
    int64_t head = row / t->order * t->order, r = row % t->order, half = t->order / 2;
    return head + r % half * 2 + r / half;
}

static uint8_t *place(const pl_source *s, int tensor, int64_t row, int64_t col)
{
    const fake_state *state = s->state;
    const pl_tensor *t = &s->model->tensor[tensor];
    return state->data[tensor] + stored_row(t, row) * row_bytes(t) + col * t->type.element->bytes;
}

float fake_model_value(const pl_source *s, int tensor, int64_t row, int64_t col)
{
    float value;
    s->model->tensor[tensor].type.element->decode(place(s, tensor, row, col), &value, 1);
    return value;
}

void fake_model_set(pl_source *s, int tensor, int64_t row, int64_t col, float value)
{
    store(s->model->tensor[tensor].type.element, value, place(s, tensor, row, col));
}

void fake_model_fail_after(pl_source *s, int64_t n)
{
    fake_state *state = s->state;
    atomic_store(&state->reads_left, n < 0 ? LLONG_MAX : n);
}

static pl_status refuse(fake_state *state, const pl_source *s, int tensor)
{
    if (atomic_load(&state->reads_left) == LLONG_MAX || atomic_fetch_sub(&state->reads_left, 1) > 0)
        return PL_OK;
    return pl_fail(PL_E_IO, "fake model: reading '%s' failed", s->model->tensor[tensor].name);
}

static pl_status fake_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                           pl_arena *scratch)
{
    fake_state *state = s->state;
    const pl_tensor *t = &s->model->tensor[tensor];
    PL_TRY(refuse(state, s, tensor));
    pl_decode(t->type.element, state->data[tensor] + first * row_bytes(t), out, count * t->cols);
    return PL_OK;
}

static pl_status fake_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                             pl_arena *scratch)
{
    fake_state *state = s->state;
    const pl_tensor *t = &s->model->tensor[tensor];
    PL_TRY(refuse(state, s, tensor));
    PL_TRY(pl_packed_init(out, t->type, count, t->cols));
    out->part[0].ptr = state->data[tensor] + first * row_bytes(t);
    out->order = t->order;
    return PL_OK;
}

static const pl_source_ops fake_source = { .name = "fake", .state_size = sizeof(fake_state),
                                           .rows = fake_rows, .packed = fake_packed };

static void fill(pl_source *s, int tensor, uint64_t seed)
{
    const pl_tensor *t = &s->model->tensor[tensor];
    bool matrix = t->flags & PL_TENSOR_MATRIX;
    for (int64_t r = 0; r < t->rows; r++) {
        for (int64_t c = 0; c < t->cols; c++) {
            uint64_t i = (uint64_t)(r * t->cols + c), key = (uint64_t)tensor;
            double w = 0.05 * pl_rng_normal(seed, key, i);
            if (pl_rng_bits(seed + 1, key, i) % 97 == 0) w *= 8.0;
            if (!matrix) w += 1.0;
            else if (r == 1) w = 0.0;
            fake_model_set(s, tensor, r, c, (float)w);
        }
    }
}

static pl_status add(pl_source *s, const fake_options *o, int role, int layer, const char *name,
                     int64_t rows, int64_t cols)
{
    pl_model *m = s->model;
    fake_state *state = s->state;
    pl_tensor *t = &m->tensor[m->tensors];
    bool rotary = o->interleaved && (role == PL_ATTN_Q || role == PL_ATTN_K);
    *t = (pl_tensor){ .id = pl_id_make(role, layer, -1), .rows = rows, .cols = cols,
                      .type = pl_type_plain(cols > 1 ? o->dtype : PL_F32),
                      .order = rotary ? m->hp.head_dim : 0, .flags = cols > 1 ? PL_TENSOR_MATRIX : 0 };
    t->name = layer < 0 ? pl_arena_format(s->arena, "model.%s.weight", name)
                        : pl_arena_format(s->arena, "model.layers.%d.%s.weight", layer, name);
    state->data[m->tensors] = PL_NEW(s->arena, uint8_t, rows * row_bytes(t));
    if (!t->name || !state->data[m->tensors]) return PL_E_MEMORY;
    fill(s, m->tensors++, o->seed);
    m->parameters += rows * cols;
    return PL_OK;
}

static pl_status add_layer(pl_source *s, const fake_options *o, int l)
{
    const pl_hparams *hp = &s->model->hp;
    int64_t h = hp->hidden, kv = (int64_t)hp->kv_heads * hp->head_dim;
    PL_TRY(add(s, o, PL_ATTN_NORM, l, "input_layernorm", h, 1));
    PL_TRY(add(s, o, PL_ATTN_Q, l, "self_attn.q_proj", h, h));
    PL_TRY(add(s, o, PL_ATTN_K, l, "self_attn.k_proj", kv, h));
    PL_TRY(add(s, o, PL_ATTN_V, l, "self_attn.v_proj", kv, h));
    PL_TRY(add(s, o, PL_ATTN_O, l, "self_attn.o_proj", h, h));
    PL_TRY(add(s, o, PL_FFN_NORM, l, "post_attention_layernorm", h, 1));
    PL_TRY(add(s, o, PL_FFN_GATE, l, "mlp.gate_proj", hp->ffn, h));
    PL_TRY(add(s, o, PL_FFN_UP, l, "mlp.up_proj", hp->ffn, h));
    return add(s, o, PL_FFN_DOWN, l, "mlp.down_proj", h, hp->ffn);
}

static pl_status build(pl_source *s, const fake_options *o)
{
    PL_TRY(pl_arena_create(&s->arena));
    PL_TRY(pl_arena_create(&s->vocab_arena));
    pl_model *m = s->model = PL_ZNEW(s->arena, pl_model, 1);
    fake_state *state = s->state = pl_alloc(1, sizeof(fake_state));
    if (!m || !state) return PL_E_MEMORY;
    atomic_store(&state->reads_left, LLONG_MAX);
    m->arch = "llama";
    m->name = "fake";
    m->file_type = pl_dtypes[o->dtype].name;
    m->hp = (pl_hparams){ .layers = o->layers, .hidden = o->hidden, .heads = o->heads,
                          .kv_heads = o->kv_heads, .head_dim = o->hidden / o->heads,
                          .rope_dim = o->hidden / o->heads, .ffn = o->ffn, .vocab = o->vocab,
                          .context = 128, .norm_eps = 1e-5f, .rope_base = 10000.0f, .tied = o->tied };
    int most = 3 + 9 * o->layers;
    m->tensor = PL_ZNEW(s->arena, pl_tensor, most);
    state->data = PL_ZNEW(s->arena, uint8_t *, most);
    if (!m->tensor || !state->data) return PL_E_MEMORY;
    PL_TRY(add(s, o, PL_TOKEN_EMBD, -1, "embed_tokens", o->vocab, o->hidden));
    for (int l = 0; l < o->layers; l++) PL_TRY(add_layer(s, o, l));
    PL_TRY(add(s, o, PL_OUTPUT_NORM, -1, "norm", o->hidden, 1));
    if (!o->tied) PL_TRY(add(s, o, PL_OUTPUT, -1, "lm_head", o->vocab, o->hidden));
    return pl_model_index(m, s->arena);
}

pl_source *fake_model_create(const fake_options *options)
{
    fake_options o = *options;
    if (!o.layers) o.layers = 2;
    if (!o.hidden) o.hidden = 64;
    if (!o.heads) o.heads = 4;
    if (!o.kv_heads) o.kv_heads = 2;
    if (!o.ffn) o.ffn = 96;
    if (!o.vocab) o.vocab = 100;
    pl_source *s = pl_alloc(1, sizeof *s);
    if (!s) return NULL;
    s->ops = &fake_source;
    s->path = "fake";
    if (build(s, &o) == PL_OK) return s;
    pl_source_close(s);
    return NULL;
}

/* ---- the sink ---- */

static pl_status sink_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish,
                              pl_packed *out, const char **name, pl_arena *arena)
{
    bool rotary = t->id.role == PL_ATTN_Q || t->id.role == PL_ATTN_K;
    out->type = t->flags & PL_TENSOR_MATRIX ? wish : pl_type_plain(PL_F32);
    out->order = rotary ? model->hp.head_dim : 0;
    *name = pl_arena_format(arena, "%d.%s", t->id.layer, pl_role_name(t->id.role));
    return *name ? PL_OK : PL_E_MEMORY;
}

static pl_status sink_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    *bytes = plan->data_bytes;
    return PL_OK;
}

static pl_status sink_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    fake_store *store = s->state;
    store->begun = true;
    store->part = pl_alloc(plan->parts, sizeof *store->part);
    store->bytes = pl_alloc(plan->parts, sizeof *store->bytes);
    store->received = pl_alloc(plan->parts, sizeof *store->received);
    if (!store->part || !store->bytes || !store->received) return PL_E_MEMORY;
    store->parts = plan->parts;
    for (int i = 0; i < plan->steps; i++) {
        for (int p = 0; p < plan->step[i].out.nparts; p++) {
            const pl_part *part = &plan->step[i].out.part[p];
            store->bytes[part->id] = part->bytes;
            store->part[part->id] = pl_alloc(part->bytes, 1);
            if (!store->part[part->id]) return PL_E_MEMORY;
        }
    }
    return PL_OK;
}

static pl_status sink_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    fake_store *store = s->state;
    int at = __atomic_add_fetch(&store->puts, 1, __ATOMIC_SEQ_CST);
    if (store->fail_at && at >= store->fail_at) return pl_fail(PL_E_IO, "fake sink: full");
    if (part->id < 0 || part->id >= store->parts || offset < 0 ||
        offset + (int64_t)len > store->bytes[part->id])
        return pl_fail(PL_E_INPUT, "fake sink: part %d bytes %lld + %zu", part->id, (long long)offset, len);
    memcpy(store->part[part->id] + offset, bytes, len);
    __atomic_add_fetch(&store->received[part->id], (int64_t)len, __ATOMIC_SEQ_CST);
    return PL_OK;
}

static pl_status sink_finish(pl_sink *s)
{
    fake_store *store = s->state;
    for (int i = 0; i < store->parts; i++)
        if (store->received[i] != store->bytes[i])
            return pl_fail(PL_E_INPUT, "fake sink: part %d got %lld of %lld bytes", i,
                           (long long)store->received[i], (long long)store->bytes[i]);
    store->finished = true;
    return PL_OK;
}

static void sink_close(pl_sink *s)
{
    fake_store *store = s->state;
    for (int i = 0; i < store->parts; i++) pl_free(store->part[i]);
    pl_free(store->part);
    pl_free(store->bytes);
    pl_free(store->received);
}

const pl_sink_ops fake_sink = {
    .name = "fake", .extension = "", .flags = PL_SINK_ANY_ORDER, .state_size = sizeof(fake_store),
    .resolve = sink_resolve, .size = sink_size, .begin = sink_begin, .put = sink_put,
    .finish = sink_finish, .close = sink_close,
};
