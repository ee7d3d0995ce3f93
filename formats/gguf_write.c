/* gguf_write.c: GGUF files as a sink. One function emits the header; without a file it only counts,
 * so that the size told beforehand and the bytes written cannot differ. */
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/log.h"
#include "core/sink.h"
#include "formats/gguf_keys.h"
#include "formats/registry.h"

typedef struct part_place { int64_t at, bytes; } part_place;

typedef struct gguf_state {
    pl_outfile *file;
    part_place *part;           /* [parts] by the plan's ids, from the start of the file */
    int parts;
} gguf_state;

/* What will be where. */
typedef struct layout {
    const pl_plan *plan;
    const pl_model *model;
    const char *freqs;          /* name of the rotary factors that the sink adds, or NULL */
    int keys;
    int64_t data;               /* where tensor data begins */
    int64_t end;                /* size of the file */
} layout;

/* ---- emitting ---- */

enum { BUFFER = 1 << 16, MAX_OWN_KEYS = 64 };

typedef struct emitter {
    pl_outfile *file;           /* NULL: count only */
    pl_status status;           /* the first failure; later calls do nothing */
    int64_t at;                 /* bytes emitted */
    int keys, own;
    const char *own_key[MAX_OWN_KEYS];
    size_t held;
    uint8_t buffer[BUFFER];     /* the last `held` bytes before `at` */
} emitter;

static void flush(emitter *e)
{
    if (e->status == PL_OK && e->file && e->held)
        e->status = pl_outfile_write(e->file, e->at - (int64_t)e->held, e->buffer, e->held);
    e->held = 0;
}

static void put_bytes(emitter *e, const void *data, size_t len)
{
    if (!e->file) {
        e->at += (int64_t)len;
        return;
    }
    for (const uint8_t *from = data; len;) {
        size_t n = BUFFER - e->held < len ? BUFFER - e->held : len;
        memcpy(e->buffer + e->held, from, n);
        e->held += n;
        e->at += (int64_t)n;
        from += n;
        len -= n;
        if (e->held == BUFFER) flush(e);
    }
}

static void put_number(emitter *e, uint64_t value, int bytes)
{
    uint8_t raw[8];
    for (int i = 0; i < bytes; i++) raw[i] = (uint8_t)(value >> 8 * i);
    put_bytes(e, raw, (size_t)bytes);
}

static void put_text(emitter *e, const char *s, size_t len)
{
    put_number(e, len, 8);
    put_bytes(e, s, len);
}

static void put_zeros(emitter *e, int64_t count)
{
    static const uint8_t zeros[64];
    for (; count > 0; count -= 64) put_bytes(e, zeros, (size_t)pl_min64(count, 64));
}

/* Starts a key that the sink makes itself; one like it in the model's metadata gives way. */
static void own_key(emitter *e, const char *key, int type)
{
    if (e->own == MAX_OWN_KEYS) e->status = pl_fail(PL_E_WISH, "too many GGUF keys");
    else e->own_key[e->own++] = key;
    e->keys++;
    put_text(e, key, strlen(key));
    put_number(e, (uint64_t)type, 4);
}

static void key_text(emitter *e, const char *key, const char *value)
{
    if (!value) return;
    own_key(e, key, PL_META_STRING);
    put_text(e, value, strlen(value));
}

static void key_u32(emitter *e, const char *key, int64_t value)
{
    own_key(e, key, PL_META_U32);
    put_number(e, (uint64_t)value, 4);
}

static void key_f32(emitter *e, const char *key, float value)
{
    own_key(e, key, PL_META_F32);
    put_number(e, pl_f32_bits(value), 4);
}

static void key_bool(emitter *e, const char *key, bool value)
{
    own_key(e, key, PL_META_BOOL);
    put_number(e, value, 1);
}

static void key_array(emitter *e, const char *key, int element, int64_t count)
{
    own_key(e, key, PL_META_ARRAY);
    put_number(e, (uint64_t)element, 4);
    put_number(e, (uint64_t)count, 8);
}

/* ---- keys ---- */

/* general.file_type of a plain type: the number of llama.cpp's "mostly this type". */
static int file_type(const pl_type *type)
{
    static const struct { int dtype, number; } known[] = {
        { PL_F32, 0 },  { PL_F16, 1 },  { PL_Q4_0, 2 }, { PL_Q4_1, 3 },
        { PL_Q8_0, 7 }, { PL_Q5_0, 8 }, { PL_Q5_1, 9 }, { PL_BF16, 32 },
    };
    for (int i = 0; i < PL_COUNT(known); i++)
        if (type->scheme == &pl_scheme_plain && type->element == &pl_dtypes[known[i].dtype])
            return known[i].number;
    return PL_GGUF_FTYPE_OTHER;
}

static void emit_general(emitter *e, const layout *l)
{
    key_text(e, PL_GGUF_KEY_ARCH, l->model->arch);
    key_text(e, PL_GGUF_KEY_TYPE, "model");
    key_text(e, PL_GGUF_KEY_NAME, l->model->name);
    key_u32(e, PL_GGUF_KEY_FTYPE, file_type(&l->plan->type));
    key_u32(e, PL_GGUF_KEY_QUANT, PL_GGUF_QUANT_VERSION);
}

/* The architecture's keys. own_key keeps pointers, so their names lie in the arena. */
static void emit_hparams(emitter *e, const layout *l, pl_arena *arena)
{
    pl_gguf_key keys[PL_GGUF_MAX_KEYS];
    int count = pl_gguf_keys_list(pl_arch_find(l->model->arch), &l->model->hp, keys);
    for (int i = 0; i < count; i++) {
        const pl_gguf_key *key = &keys[i];
        const char *name = pl_arena_format(arena, "%s.%s", l->model->arch, key->name);
        if (!name) {
            e->status = PL_E_MEMORY;
            return;
        }
        if (key->type == PL_META_STRING) key_text(e, name, key->text);
        else if (key->type == PL_META_F32) key_f32(e, name, (float)key->number);
        else if (key->type == PL_META_BOOL) key_bool(e, name, key->number != 0);
        else key_u32(e, name, (int64_t)key->number);
    }
}

/* "left right". A space inside a piece could not be told from the one between them; byte-level
 * pieces have none. */
static void emit_merges(emitter *e, const pl_vocab *v)
{
    key_array(e, PL_GGUF_TOK_MERGES, PL_META_STRING, v->merges);
    for (int32_t i = 0; i < v->merges && e->status == PL_OK; i++) {
        const pl_text *left = &v->token[v->merge[i].left], *right = &v->token[v->merge[i].right];
        if (memchr(left->s, ' ', left->len) || memchr(right->s, ' ', right->len))
            e->status = pl_fail(PL_E_WISH, "merge %d has a piece with a space in it, which GGUF "
                                "cannot hold", i);
        put_number(e, (uint64_t)left->len + 1 + right->len, 8);
        put_bytes(e, left->s, left->len);
        put_bytes(e, " ", 1);
        put_bytes(e, right->s, right->len);
    }
}

static bool has_meta(const pl_model *model, const char *key)
{
    for (int i = 0; i < model->metas; i++)
        if (!strcmp(model->meta[i].key, key)) return true;
    return false;
}

/* Ids that end a text. Runtimes know eos, and many tokens by their text; for others there are two
 * keys. */
static void emit_ends(emitter *e, const layout *l)
{
    static const char *const keys[] = { PL_GGUF_TOK_EOT, PL_GGUF_TOK_EOM };
    const pl_vocab *v = l->model->vocab;
    if (has_meta(l->model, keys[0]) || has_meta(l->model, keys[1])) return;
    int used = 0;
    for (int i = 0; i < v->eogs; i++) {
        if (v->eog[i] == v->eos || pl_gguf_ends_by_text(&v->token[v->eog[i]])) continue;
        if (used < PL_COUNT(keys)) key_u32(e, keys[used++], v->eog[i]);
        else if (e->file)
            pl_log(PL_LOG_WARN, "token %d ends a text too, but GGUF has no key left to say so",
                   v->eog[i]);
    }
}

static void emit_vocab(emitter *e, const layout *l)
{
    const pl_vocab *v = l->model->vocab;
    bool bpe = v->kind == PL_VOCAB_BPE;
    const struct { const char *key; int32_t id; } ids[] = {
        { PL_GGUF_TOK_BOS, v->bos }, { PL_GGUF_TOK_EOS, v->eos },
        { PL_GGUF_TOK_UNK, v->unk }, { PL_GGUF_TOK_PAD, v->pad },
    };
    key_text(e, PL_GGUF_TOK_MODEL, bpe ? "gpt2" : "llama");
    key_text(e, PL_GGUF_TOK_PRE, v->pre);
    key_array(e, PL_GGUF_TOK_TOKENS, PL_META_STRING, v->count);
    for (int32_t i = 0; i < v->count; i++) put_text(e, v->token[i].s, v->token[i].len);
    if (v->score) {
        key_array(e, PL_GGUF_TOK_SCORES, PL_META_F32, v->count);
        for (int32_t i = 0; i < v->count; i++) put_number(e, pl_f32_bits(v->score[i]), 4);
    }
    key_array(e, PL_GGUF_TOK_TYPES, PL_META_I32, v->count);
    for (int32_t i = 0; i < v->count; i++) put_number(e, v->type[i], 4);
    if (bpe) emit_merges(e, v);
    for (int i = 0; i < PL_COUNT(ids); i++)
        if (ids[i].id >= 0) key_u32(e, ids[i].key, ids[i].id);
    emit_ends(e, l);
    key_bool(e, PL_GGUF_TOK_ADD_BOS, v->add_bos);
    key_bool(e, PL_GGUF_TOK_ADD_EOS, v->add_eos);
    key_bool(e, PL_GGUF_TOK_PREFIX, v->add_space_prefix);
    key_text(e, PL_GGUF_TOK_CHAT, v->chat_template);
}

static void emit_meta(emitter *e, const pl_meta *m)
{
    for (int i = 0; i < e->own; i++)
        if (!strcmp(e->own_key[i], m->key)) return;
    e->keys++;
    put_text(e, m->key, strlen(m->key));
    put_number(e, m->type, 4);
    if (m->type == PL_META_STRING) {
        put_text(e, m->value.text.s, m->value.text.len);
    } else if (m->type != PL_META_ARRAY) {
        uint64_t bits = m->value.u;
        if (m->type == PL_META_F32) bits = pl_f32_bits((float)m->value.f);
        put_number(e, bits, pl_gguf_scalar_bytes(m->type));
    } else {
        put_number(e, m->element, 4);
        put_number(e, (uint64_t)m->count, 8);
        if (m->element != PL_META_STRING) {
            size_t bytes = (size_t)pl_gguf_scalar_bytes(m->element);
            put_bytes(e, m->value.array, (size_t)m->count * bytes);
            return;
        }
        const pl_text *text = m->value.array;
        for (int64_t i = 0; i < m->count; i++) put_text(e, text[i].s, text[i].len);
    }
}

/* ---- tensors ---- */

/* Of sizes whose sum is known to be one. */
static int64_t padded(int64_t bytes)
{
    return (bytes + PL_GGUF_ALIGNMENT - 1) / PL_GGUF_ALIGNMENT * PL_GGUF_ALIGNMENT;
}

static void emit_info(emitter *e, const char *name, int64_t rows, int64_t cols,
                      const pl_dtype *dtype, int64_t offset)
{
    put_text(e, name, strlen(name));
    put_number(e, cols == 1 ? 1 : 2, 4);
    if (cols != 1) put_number(e, (uint64_t)cols, 8);
    put_number(e, (uint64_t)rows, 8);
    put_number(e, (uint64_t)dtype->gguf_id, 4);
    put_number(e, (uint64_t)offset, 8);
}

static void too_large(emitter *e)
{
    e->status = pl_fail(PL_E_WISH, "the output would be larger than any file");
}

/* Emits the infos; *end: bytes of all data, padding included. */
static void emit_infos(emitter *e, const layout *l, int64_t *end)
{
    *end = 0;
    for (int i = 0; i < l->plan->steps; i++) {
        const pl_step *step = &l->plan->step[i];
        emit_info(e, step->name, step->out.rows, step->out.cols, step->out.type.element, *end);
        if (!pl_add_ok(*end, step->out.part[0].bytes, end) ||
            !pl_align_ok(*end, PL_GGUF_ALIGNMENT, end)) {
            too_large(e);
            return;
        }
    }
    if (!l->freqs) return;
    int64_t count = l->model->hp.head_dim / 2;
    emit_info(e, l->freqs, count, 1, &pl_dtypes[PL_F32], *end);
    if (!pl_add_ok(*end, padded(4 * count), end)) too_large(e);
}

/* Header, keys, infos, padding. Fills keys, data and end of the layout; keys must be right already
 * when it is not only counted. */
static pl_status emit_header(layout *l, pl_outfile *file)
{
    int64_t data = 0;
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    emitter *e = pl_alloc(1, sizeof *e);
    if (!e) {
        pl_arena_destroy(arena);
        return PL_E_MEMORY;
    }
    e->file = file;
    put_bytes(e, "GGUF", 4);
    put_number(e, PL_GGUF_VERSION, 4);
    put_number(e, (uint64_t)l->plan->steps + (l->freqs ? 1 : 0), 8);
    put_number(e, (uint64_t)l->keys, 8);
    emit_general(e, l);
    emit_hparams(e, l, arena);
    if (l->model->vocab) emit_vocab(e, l);
    for (int i = 0; i < l->model->metas; i++) emit_meta(e, &l->model->meta[i]);
    if (e->status == PL_OK) emit_infos(e, l, &l->end);
    if (e->status == PL_OK && (!pl_align_ok(e->at, PL_GGUF_ALIGNMENT, &data) ||
                               !pl_add_ok(l->end, data, &l->end)))
        too_large(e);
    if (e->status == PL_OK) {
        put_zeros(e, data - e->at);
        l->keys = e->keys;
        l->data = data;
    }
    flush(e);
    pl_status code = e->status;
    pl_free(e);
    pl_arena_destroy(arena);
    return code;
}

/* The factors of Llama 3 by which rotary frequencies are divided: 1 for short waves, all of it for
 * long ones, a ramp between. */
static float rope_divisor(const pl_hparams *hp, int k)
{
    double context = hp->rope_context, low = (double)hp->rope_low, high = (double)hp->rope_high;
    double factor = (double)hp->rope_factor;
    double wave = 2 * M_PI * pow((double)hp->rope_base, 2.0 * k / hp->head_dim);
    if (wave < context / high) return 1;
    if (wave > context / low) return (float)factor;
    double ramp = (context / wave - low) / (high - low);
    return (float)(1 / ((1 - ramp) / factor + ramp));
}

static pl_status write_freqs(const layout *l, pl_outfile *file)
{
    const pl_hparams *hp = &l->model->hp;
    int count = hp->head_dim / 2;
    int64_t bytes = padded((int64_t)count * 4);
    uint8_t *raw = pl_alloc(bytes, 1);
    if (!raw) return PL_E_MEMORY;
    for (int k = 0; k < count; k++) {
        uint32_t bits = pl_f32_bits(rope_divisor(hp, k));
        for (int i = 0; i < 4; i++) raw[4 * k + i] = (uint8_t)(bits >> 8 * i);
    }
    pl_status code = pl_outfile_write(file, l->end - bytes, raw, (size_t)bytes);
    pl_free(raw);
    return code;
}

/* The layout of a plan, from a pass that only counts. Memory of the name from arena. */
static pl_status lay_out(const pl_plan *plan, const pl_model *model, pl_arena *arena, layout *l)
{
    *l = (layout){ .plan = plan, .model = model };
    pl_id freqs = pl_id_make(PL_ROPE_FREQS, -1, -1);
    bool there = false;
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        const pl_dtype *dtype = step->out.type.element;
        there |= pl_id_equal(step->id, freqs);
        if (step->out.type.scheme != &pl_scheme_plain || step->out.nparts != 1 ||
            dtype->gguf_id < 0 || step->out.part[0].id < 0 || step->out.part[0].id >= plan->parts)
            return pl_fail(PL_E_WISH, "GGUF cannot hold '%s' as it was planned", step->name);
    }
    if (model->hp.rope_scaling == PL_ROPE_LLAMA3 && !there) {
        const pl_arch *arch = pl_arch_find(model->arch);
        if (arch) l->freqs = pl_arch_name(arch, PL_NAMES_GGUF, freqs, arena);
        if (!l->freqs)
            return pl_fail(PL_E_WISH, "GGUF has no place for the rotary factors of a %s model",
                           model->arch);
    }
    return emit_header(l, NULL);
}

/* ---- the sink ---- */

static pl_status gguf_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish,
                              pl_packed *out, const char **name, pl_arena *arena)
{
    const pl_arch *arch = pl_arch_find(model->arch);
    const pl_arch_tensor *row = arch ? pl_arch_row(arch, t->id.role) : NULL;
    *name = row ? pl_arch_name(arch, PL_NAMES_GGUF, t->id, arena) : NULL;
    if (!*name)
        return pl_fail(PL_E_WISH, "GGUF has no name for the tensor '%s' of a %s model", t->name,
                       model->arch);
    if (strlen(*name) > PL_GGUF_MAX_NAME)
        return pl_fail(PL_E_WISH, "the tensor name '%s' is longer than GGUF's %d bytes",
                       *name, PL_GGUF_MAX_NAME);
    out->type = t->flags & PL_TENSOR_MATRIX ? wish : pl_type_plain(PL_F32);
    if (out->type.scheme != &pl_scheme_plain || out->type.element->gguf_id < 0)
        return pl_fail(PL_E_WISH, "GGUF cannot hold '%s' as %s", t->name, pl_type_name(&out->type));
    out->rows = t->rows;
    out->cols = t->cols;
    out->order = row->order ? row->order(&model->hp) : 0;
    int64_t row_bytes;
    return pl_dtype_row_bytes(out->type.element, out->cols, &row_bytes);
}

static pl_status gguf_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    layout l;
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    pl_status code = lay_out(plan, model, arena, &l);
    if (code == PL_OK) *bytes = l.end;
    pl_arena_destroy(arena);
    return code;
}

/* Places of the parts; the zeros behind each are written here, so that no gap is left to chance. */
static pl_status place_parts(gguf_state *state, const layout *l)
{
    static const uint8_t zeros[PL_GGUF_ALIGNMENT];
    const pl_plan *plan = l->plan;
    state->parts = plan->parts;
    state->part = pl_alloc(plan->parts, sizeof *state->part);
    if (!state->part) return PL_E_MEMORY;
    int64_t at = l->data;
    for (int i = 0; i < plan->steps; i++) {
        const pl_part *part = &plan->step[i].out.part[0];
        int64_t end = at + part->bytes, next = padded(end);
        state->part[part->id] = (part_place){ at, part->bytes };
        if (next > end) PL_TRY(pl_outfile_write(state->file, end, zeros, (size_t)(next - end)));
        at = next;
    }
    return PL_OK;
}

static pl_status gguf_begin(pl_sink *s, const char *path, const pl_plan *plan,
                            const pl_model *model, bool force)
{
    gguf_state *state = s->state;
    layout l;
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    pl_status code = lay_out(plan, model, arena, &l);
    if (code == PL_OK) code = pl_outfile_create(path, l.end, force, &state->file);
    if (code == PL_OK) code = emit_header(&l, state->file);
    if (code == PL_OK) code = place_parts(state, &l);
    if (code == PL_OK && l.freqs) code = write_freqs(&l, state->file);
    pl_arena_destroy(arena);
    return code;
}

static pl_status gguf_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes,
                          size_t len)
{
    const gguf_state *state = s->state;
    int64_t end;
    if (part->id < 0 || part->id >= state->parts || len > INT64_MAX ||
        !pl_add_ok(offset, (int64_t)len, &end) || end > state->part[part->id].bytes)
        return pl_fail(PL_E_WISH, "bytes outside part %d: %zu at %lld", part->id, len,
                       (long long)offset);
    return pl_outfile_write(state->file, state->part[part->id].at + offset, bytes, len);
}

static pl_status gguf_finish(pl_sink *s)
{
    gguf_state *state = s->state;
    pl_outfile *file = state->file;
    state->file = NULL;
    return pl_outfile_commit(file);
}

static void gguf_close(pl_sink *s)
{
    gguf_state *state = s->state;
    pl_outfile_abandon(state->file);
    pl_free(state->part);
}

const pl_sink_ops pl_sink_gguf = {
    .name = "gguf",
    .extension = ".gguf",
    .flags = PL_SINK_ANY_ORDER,
    .state_size = sizeof(gguf_state),
    .resolve = gguf_resolve,
    .size = gguf_size,
    .begin = gguf_begin,
    .put = gguf_put,
    .finish = gguf_finish,
    .close = gguf_close,
};
