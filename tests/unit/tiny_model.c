/* tiny_model.c: a small random model in memory. */
#include "tests/unit/tiny_model.h"

#include <math.h>
#include <string.h>

#include "core/blocks.h"
#include "core/half.h"
#include "core/rng.h"

enum { MOST_TENSORS = 256 };

typedef struct tiny { uint8_t *data[MOST_TENSORS]; } tiny;

pl_hparams pl_tiny_hparams(void)
{
    return (pl_hparams){ .layers = 3, .hidden = 64, .heads = 4, .kv_heads = 2, .head_dim = 16, .ffn = 96,
                         .vocab = 50, .context = 1024, .norm_eps = 1e-5f, .rope_base = 10000,
                         .rope_dim = 16 };
}

static pl_status tiny_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                             pl_arena *scratch)
{
    const tiny *state = s->state;
    const pl_tensor *t = &s->model->tensor[tensor];
    pl_packed whole;
    PL_TRY(pl_packed_init(&whole, t->type, t->rows, t->cols));
    whole.part[0].ptr = state->data[tensor];
    whole.order = t->order;
    return pl_packed_rows(&whole, first, count, out);
}

static pl_status tiny_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                           pl_arena *scratch)
{
    pl_packed p;
    PL_TRY(tiny_packed(s, tensor, first, count, &p, scratch));
    return pl_packed_decode(&p, 0, count, out, scratch);
}

static const pl_source_ops tiny_ops = { .name = "tiny", .packed = tiny_packed, .rows = tiny_rows };

/* Row of Hugging Face's order to place in the tensor. */
static int64_t place(const pl_tensor *t, int64_t row)
{
    int64_t at = 0;
    while (pl_order_source(at, t->order) != row) at++;
    return at;
}

static bool is_factor(int role)
{
    return role == PL_ROPE_FREQS || role == PL_ROPE_LONG || role == PL_ROPE_SHORT;
}

static float weight(pl_id id, int64_t cols, int64_t row, int64_t col, float noise)
{
    uint64_t key = (uint64_t)((id.expert + 1) * 1000000 + id.role * 1000 + id.layer + 1);
    uint64_t at = (uint64_t)(row * 4096 + col);
    float value = (float)pl_rng_normal(1, key, at);
    if (is_factor(id.role)) return 1.0f + 0.1f * fabsf(value);
    if (cols == 1) return (id.role & PL_BIAS ? 0.0f : 1.0f) + 0.2f * value;
    return (value + noise * (float)pl_rng_normal(2, key, at)) * 1.5f / sqrtf((float)cols);
}

static void store(uint8_t *row, int dtype, const float *w, int64_t cols)
{
    if (dtype == PL_F32) {
        memcpy(row, w, (size_t)cols * sizeof *w);
    } else if (dtype == PL_F16) {
        pl_f32_to_f16_row(w, row, cols);
    } else {
        for (int64_t first = 0; first < cols; first += 32) {
            pl_block_q8_0 block;
            float most = 0;
            for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(w[first + i]));
            block.d = pl_f32_to_f16(most / 127);
            for (int i = 0; i < 32; i++) block.qs[i] = (int8_t)lrintf(w[first + i] * 127 / most);
            memcpy(row + first / 32 * (int64_t)sizeof block, &block, sizeof block);
        }
    }
}

static pl_status add_id(pl_source *s, const pl_tiny_options *o, pl_id id, int64_t rows, int64_t cols)
{
    tiny *state = s->state;
    int index = s->model->tensors++, matrix = id.role & ~PL_BIAS;
    int dtype = cols == 1 || id.role == PL_FFN_ROUTER ? PL_F32 : o->dtype;
    if (index == MOST_TENSORS) return pl_fail(PL_E_MEMORY, "more than %d tensors", MOST_TENSORS);
    pl_tensor *t = &s->model->tensor[index];
    *t = (pl_tensor){ .id = id, .name = pl_role_name(id.role), .rows = rows, .cols = cols,
                      .type = pl_type_plain(dtype),
                      .order = matrix == PL_ATTN_Q || matrix == PL_ATTN_K ? o->order : 0,
                      .flags = cols == 1 ? 0 : PL_TENSOR_MATRIX };
    s->model->parameters += rows * cols;
    int64_t bytes;
    float w[256];
    PL_TRY(pl_dtype_row_bytes(t->type.element, cols, &bytes));
    state->data[index] = pl_arena_alloc(s->arena, rows * bytes, 1);
    if (!state->data[index]) return PL_E_MEMORY;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) w[c] = weight(t->id, cols, r, c, o->noise);
        store(state->data[index] + place(t, r) * bytes, dtype, w, cols);
    }
    return PL_OK;
}

static pl_status add(pl_source *s, const pl_tiny_options *o, int role, int layer, int64_t rows, int64_t cols)
{
    return add_id(s, o, pl_id_make(role, layer, -1), rows, cols);
}

static pl_status add_norm(pl_source *s, const pl_tiny_options *o, int role, int layer, bool there)
{
    if (!there) return PL_OK;
    PL_TRY(add(s, o, role, layer, o->hp.hidden, 1));
    return o->norm_bias ? add(s, o, role + PL_BIAS, layer, o->hp.hidden, 1) : PL_OK;
}

static pl_status add_matrix(pl_source *s, const pl_tiny_options *o, int role, int layer, int expert, int64_t rows,
                            int64_t cols)
{
    PL_TRY(add_id(s, o, pl_id_make(role, layer, expert), rows, cols));
    return o->bias ? add_id(s, o, pl_id_make(role + PL_BIAS, layer, expert), rows, 1) : PL_OK;
}

static pl_status add_ffn(pl_source *s, const pl_tiny_options *o, int gate, int layer, int expert, int64_t rows)
{
    int64_t hidden = o->hp.hidden;
    if (o->fused && gate == PL_FFN_GATE) {
        PL_TRY(add_matrix(s, o, PL_FFN_GATE_UP, layer, expert, 2 * rows, hidden));
    } else {
        if (!o->ungated) PL_TRY(add_matrix(s, o, gate, layer, expert, rows, hidden));
        PL_TRY(add_matrix(s, o, gate + 1, layer, expert, rows, hidden));
    }
    return add_matrix(s, o, gate + 2, layer, expert, hidden, rows);
}

static pl_status add_attention(pl_source *s, const pl_tiny_options *o, int l)
{
    const pl_hparams *hp = &o->hp;
    int64_t q = hp->heads * hp->head_dim, kv = hp->kv_heads * hp->head_dim;
    PL_TRY(add_norm(s, o, PL_ATTN_NORM, l, !o->out_norms));
    if (o->fused) {
        PL_TRY(add_matrix(s, o, PL_ATTN_QKV, l, -1, q + 2 * kv, hp->hidden));
    } else {
        PL_TRY(add_matrix(s, o, PL_ATTN_Q, l, -1, q, hp->hidden));
        PL_TRY(add_matrix(s, o, PL_ATTN_K, l, -1, kv, hp->hidden));
        PL_TRY(add_matrix(s, o, PL_ATTN_V, l, -1, kv, hp->hidden));
    }
    if (o->head_norms) {
        PL_TRY(add(s, o, PL_ATTN_Q_NORM, l, hp->head_dim, 1));
        PL_TRY(add(s, o, PL_ATTN_K_NORM, l, hp->head_dim, 1));
    }
    PL_TRY(add_matrix(s, o, PL_ATTN_O, l, -1, hp->hidden, q));
    PL_TRY(add_norm(s, o, PL_ATTN_POST_NORM, l, o->post_norms));
    return add_norm(s, o, PL_ATTN_OUT_NORM, l, o->out_norms);
}

static pl_status add_feed(pl_source *s, const pl_tiny_options *o, int l)
{
    const pl_hparams *hp = &o->hp;
    PL_TRY(add_norm(s, o, PL_FFN_NORM, l, !o->out_norms));
    if (hp->experts == 0) PL_TRY(add_ffn(s, o, PL_FFN_GATE, l, -1, hp->ffn));
    else PL_TRY(add(s, o, PL_FFN_ROUTER, l, hp->experts, hp->hidden));
    for (int e = 0; e < hp->experts; e++) PL_TRY(add_ffn(s, o, PL_FFN_GATE, l, e, hp->expert_ffn));
    if (hp->shared_ffn > 0) PL_TRY(add_ffn(s, o, PL_SHARED_GATE, l, -1, hp->shared_ffn));
    if (o->shared_router) PL_TRY(add(s, o, PL_SHARED_ROUTER, l, hp->hidden, 1));
    PL_TRY(add_norm(s, o, PL_FFN_POST_NORM, l, o->post_norms));
    return add_norm(s, o, PL_LAYER_OUT_NORM, l, o->out_norms);
}

static pl_status add_all(pl_source *s, const pl_tiny_options *o)
{
    const pl_hparams *hp = &o->hp;
    bool longrope = hp->rope_scaling == PL_ROPE_LONGROPE;
    PL_TRY(add(s, o, PL_TOKEN_EMBD, -1, hp->vocab, hp->hidden));
    if (o->positions) PL_TRY(add(s, o, PL_POSITION_EMBD, -1, hp->context, hp->hidden));
    if (hp->token_types > 0) PL_TRY(add(s, o, PL_TYPE_EMBD, -1, hp->token_types, hp->hidden));
    PL_TRY(add_norm(s, o, PL_EMBD_NORM, -1, o->embd_norm));
    PL_TRY(add_norm(s, o, PL_OUTPUT_NORM, -1, !hp->encoder));
    if (!hp->tied && !hp->encoder) PL_TRY(add(s, o, PL_OUTPUT, -1, hp->vocab, hp->hidden));
    if (o->factors) PL_TRY(add(s, o, PL_ROPE_FREQS, -1, hp->rope_dim / 2, 1));
    if (longrope) PL_TRY(add(s, o, PL_ROPE_LONG, -1, hp->rope_dim / 2, 1));
    if (longrope) PL_TRY(add(s, o, PL_ROPE_SHORT, -1, hp->rope_dim / 2, 1));
    for (int l = 0; l < hp->layers; l++) {
        PL_TRY(add_attention(s, o, l));
        PL_TRY(add_feed(s, o, l));
    }
    return pl_model_index(s->model, s->arena);
}

static pl_status add_vocab(pl_source *s)
{
    int32_t count = s->model->hp.vocab;
    pl_vocab *v = s->model->vocab = PL_ZNEW(s->vocab_arena, pl_vocab, 1);
    if (!v) return PL_E_MEMORY;
    *v = (pl_vocab){ .kind = PL_VOCAB_BPE, .pre = "gpt-2", .count = count, .bos = 0, .eos = 1, .unk = -1,
                     .pad = -1, .eog = { 1 }, .eogs = 1, .add_bos = true };
    v->token = PL_ZNEW(s->vocab_arena, pl_text, count);
    v->type = PL_ZNEW(s->vocab_arena, uint8_t, count);
    if (!v->token || !v->type) return PL_E_MEMORY;
    for (int32_t i = 0; i < count; i++) {
        const char *text = i == 0 ? "<s>" : i == 1 ? "</s>" : "\xC4\xA0";    /* space as U+0120 */
        if (i > 2) text = pl_arena_format(s->vocab_arena, i < 29 ? "%c" : "%cq", 'a' + (i - 3) % 26);
        if (!text) return PL_E_MEMORY;
        v->token[i] = (pl_text){ text, (uint32_t)strlen(text) };
        v->type[i] = i < 2 ? PL_TOKEN_CONTROL : PL_TOKEN_NORMAL;
    }
    return PL_OK;
}

pl_status pl_tiny_create(const pl_tiny_options *options, pl_source **out)
{
    pl_source *s = pl_alloc(1, sizeof *s);
    if (!s) return PL_E_MEMORY;
    s->ops = &tiny_ops;
    s->path = "tiny";
    s->state = pl_alloc(1, sizeof(tiny));
    pl_status status = pl_arena_create(&s->arena);
    if (status == PL_OK) status = pl_arena_create(&s->vocab_arena);
    if (status == PL_OK) {
        s->model = PL_ZNEW(s->arena, pl_model, 1);
        if (s->model) s->model->tensor = PL_ZNEW(s->arena, pl_tensor, MOST_TENSORS);
        if (!s->state || !s->model || !s->model->tensor) status = PL_E_MEMORY;
    }
    if (status == PL_OK) {
        s->model->hp = options->hp;
        status = add_all(s, options);
        if (status == PL_OK) status = add_vocab(s);
    }
    if (status != PL_OK) {
        pl_source_close(s);
        return status;
    }
    *out = s;
    return PL_OK;
}

double pl_tiny_value(const pl_source *s, pl_id id, int64_t row, int64_t col)
{
    const tiny *state = s->state;
    int index = pl_model_find(s->model, id);
    if (index < 0) return 0;
    const pl_tensor *t = &s->model->tensor[index];
    const uint8_t *at = state->data[index];
    int64_t place_of_value = place(t, row) * t->cols + col;
    if (t->type.element == &pl_dtypes[PL_F32]) {
        float value;
        memcpy(&value, at + place_of_value * 4, 4);
        return value;
    }
    if (t->type.element == &pl_dtypes[PL_F16]) {
        uint16_t half;
        memcpy(&half, at + place_of_value * 2, 2);
        return pl_f16_to_f32(half);
    }
    pl_block_q8_0 block;
    memcpy(&block, at + place_of_value / 32 * (int64_t)sizeof block, sizeof block);
    return (double)pl_f16_to_f32(block.d) * block.qs[place_of_value % 32];
}

void pl_tiny_poke(pl_source *s, int role, int layer, int64_t row, int64_t col, float value)
{
    tiny *state = s->state;
    int index = pl_model_find(s->model, pl_id_make(role, layer, -1));
    const pl_tensor *t = &s->model->tensor[index];
    memcpy(state->data[index] + (place(t, row) * t->cols + col) * 4, &value, 4);
}
