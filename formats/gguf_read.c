/* gguf_read.c: GGUF files as a source of models. */
#include <stdio.h>
#include <string.h>

#include "core/source.h"
#include "formats/arch.h"
#include "formats/gguf.h"
#include "formats/registry.h"

typedef struct gguf_state {
    pl_gguf g;
    const uint8_t *map;         /* NULL: rows are read into windows */
} gguf_state;

static bool gguf_probe(const char *path)
{
    char magic[4] = "";
    pl_file *file;
    if (pl_path_is_dir(path) || pl_file_open(path, &file) != PL_OK) return false;
    bool mine = pl_file_size(file) >= 4 && pl_file_read(file, 0, magic, 4) == PL_OK &&
                !memcmp(magic, "GGUF", 4);
    pl_file_close(file);
    return mine;
}

/* ---- hyper-parameters ---- */

/* "llama.block_count"; architecture names are short. */
typedef struct hp_reader {
    const pl_gguf *g;
    const char *arch;
    char key[128];
} hp_reader;

static const char *hp_key(hp_reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, name);
    return r->key;
}

/* `same`: how many equal elements an array may have in place of the number. */
static pl_status hp_int(hp_reader *r, const char *name, bool required, int64_t high, int64_t same,
                        int32_t *out)
{
    int64_t value = *out;
    PL_TRY(pl_gguf_int(r->g, hp_key(r, name), required, 1, high, same, &value));
    *out = (int32_t)value;
    return PL_OK;
}

static pl_status hp_number(hp_reader *r, const char *name, bool required, double low, double high,
                           float *out)
{
    double value = (double)*out;
    PL_TRY(pl_gguf_number(r->g, hp_key(r, name), required, &value));
    if (!(value >= low && value <= high))
        return pl_fail(PL_E_INPUT, "%s: the key '%s' is %g, expected %g to %g", r->g->path, r->key,
                       value, low, high);
    *out = (float)value;
    return PL_OK;
}

static pl_status read_sizes(hp_reader *r, pl_hparams *hp)
{
    enum { WIDE = 1 << 20 };
    int32_t value_dim;
    PL_TRY(hp_int(r, PL_GGUF_LAYERS, true, PL_MAX_LAYERS, 0, &hp->layers));
    PL_TRY(hp_int(r, PL_GGUF_HIDDEN, true, WIDE, 0, &hp->hidden));
    PL_TRY(hp_int(r, PL_GGUF_CONTEXT, true, INT32_MAX, 0, &hp->context));
    PL_TRY(hp_int(r, PL_GGUF_FFN, true, 4 * WIDE, hp->layers, &hp->ffn));
    PL_TRY(hp_int(r, PL_GGUF_HEADS, true, hp->hidden, hp->layers, &hp->heads));
    hp->kv_heads = hp->heads;
    PL_TRY(hp_int(r, PL_GGUF_KV_HEADS, false, hp->heads, hp->layers, &hp->kv_heads));
    hp->head_dim = hp->hidden / hp->heads;
    PL_TRY(hp_int(r, PL_GGUF_KEY_LENGTH, false, 1 << 16, 0, &hp->head_dim));
    value_dim = hp->hidden / hp->heads;
    PL_TRY(hp_int(r, PL_GGUF_VALUE_LENGTH, false, 1 << 16, 0, &value_dim));
    hp->rope_dim = hp->head_dim;
    PL_TRY(hp_int(r, PL_GGUF_ROPE_DIM, false, 1 << 16, 0, &hp->rope_dim));
    if (hp->heads % hp->kv_heads)
        return pl_fail(PL_E_INPUT, "%s: %d attention heads are no multiple of %d key-value heads",
                       r->g->path, hp->heads, hp->kv_heads);
    if (hp->head_dim % 2 || value_dim != hp->head_dim || hp->rope_dim != hp->head_dim)
        return pl_fail(PL_E_INPUT, "%s: heads have %d values for keys, %d for values, %d that "
                       "rotate; expected one even number", r->g->path, hp->head_dim, value_dim,
                       hp->rope_dim);
    if ((int64_t)hp->heads * hp->head_dim > 4 * WIDE)
        return pl_fail(PL_E_INPUT, "%s: %d heads of %d values, together more than %d", r->g->path,
                       hp->heads, hp->head_dim, 4 * WIDE);
    return PL_OK;
}

/* Factors of Llama 3 come as a tensor; only the division of all positions is told by keys. A factor
 * without a type means "linear", as it does to the runtimes. */
static pl_status read_rope(hp_reader *r, pl_arena *arena, pl_hparams *hp)
{
    const char *type = "linear";
    hp->rope_base = 10000;
    PL_TRY(hp_number(r, PL_GGUF_ROPE_BASE, false, 1, 1e15, &hp->rope_base));
    PL_TRY(pl_gguf_string(r->g, hp_key(r, PL_GGUF_ROPE_SCALING), false, arena, &type));
    float factor = 0;
    PL_TRY(hp_number(r, PL_GGUF_ROPE_FACTOR_OLD, false, 0, 1e6, &factor));
    PL_TRY(hp_number(r, PL_GGUF_ROPE_FACTOR, false, 0, 1e6, &factor));
    if (!strcmp(type, "none")) return PL_OK;
    if (strcmp(type, "linear"))
        return pl_fail(PL_E_INPUT, "%s: rotary scaling '%.40s' is not supported (linear is)",
                       r->g->path, type);
    if (factor == 0 || factor == 1) return PL_OK;
    hp->rope_scaling = PL_ROPE_LINEAR;
    hp->rope_factor = factor;
    return PL_OK;
}

/* Keys that make a runtime compute another function than the one planish knows, unless they are 0
 * or have the value beside them. */
static pl_status refuse_variants(hp_reader *r)
{
    static const struct { const char *name; double neutral; } keys[] = {
        { "expert_count", 0 },            { "nextn_predict_layers", 0 },
        { "attention.clamp_kqv", 0 },     { "attention.max_alibi_bias", 0 },
        { "attention.scale", 0 },         { "attn_logit_softcapping", 0 },
        { "final_logit_softcapping", 0 }, { "logit_scale", 1 },
        { "residual_scale", 1 },          { "embedding_scale", 1 },
        { "rope.scaling.alpha", 0 },      { "rope.scaling.attn_factor", 1 },
    };
    for (int i = 0; i < PL_COUNT(keys); i++) {
        const pl_gguf_kv *kv = pl_gguf_find(r->g, hp_key(r, keys[i].name));
        if (!kv || (pl_gguf_scalar_bytes(kv->type) && kv->value.u == 0)) continue;
        if (kv->type == PL_META_F32 && kv->value.f == keys[i].neutral) continue;
        return pl_fail(PL_E_INPUT, "%s: the key '%s' asks for something that is not supported",
                       r->g->path, r->key);
    }
    const pl_gguf_kv *causal = pl_gguf_find(r->g, hp_key(r, "attention.causal"));
    if (causal && (causal->type != PL_META_BOOL || !causal->value.u))
        return pl_fail(PL_E_INPUT, "%s: attention that is not causal is not supported", r->g->path);
    return PL_OK;
}

static pl_status read_hparams(const pl_gguf *g, pl_arena *arena, pl_model *model)
{
    hp_reader r = { .g = g, .arch = model->arch };
    pl_hparams *hp = &model->hp;
    PL_TRY(refuse_variants(&r));
    PL_TRY(read_sizes(&r, hp));
    PL_TRY(hp_number(&r, PL_GGUF_NORM_EPS, true, 0, 1, &hp->norm_eps));
    PL_TRY(read_rope(&r, arena, hp));
    if (model->vocab) hp->vocab = model->vocab->count;
    PL_TRY(hp_int(&r, PL_GGUF_VOCAB_SIZE, !model->vocab, PL_MAX_VOCAB, 0, &hp->vocab));
    if (model->vocab && hp->vocab != model->vocab->count)
        return pl_fail(PL_E_INPUT, "%s: %s says %d tokens, the vocabulary has %d", g->path, r.key,
                       hp->vocab, model->vocab->count);
    return PL_OK;
}

/* ---- other keys ---- */

/* Keys that the sink derives again: they are only checked. */
static pl_status read_derived(const pl_gguf *g, pl_arena *arena)
{
    int64_t number = 0, splits = 1;
    const char *type = "model";
    PL_TRY(pl_gguf_int(g, PL_GGUF_KEY_FTYPE, false, 0, UINT32_MAX, 0, &number));
    PL_TRY(pl_gguf_int(g, PL_GGUF_KEY_QUANT, false, 0, UINT32_MAX, 0, &number));
    PL_TRY(pl_gguf_int(g, PL_GGUF_KEY_SPLIT_NO, false, 0, UINT16_MAX, 0, &number));
    PL_TRY(pl_gguf_int(g, PL_GGUF_KEY_SPLIT_COUNT, false, 0, UINT16_MAX, 0, &splits));
    PL_TRY(pl_gguf_int(g, PL_GGUF_KEY_SPLIT_TENSORS, false, 0, INT32_MAX, 0, &number));
    PL_TRY(pl_gguf_string(g, PL_GGUF_KEY_TYPE, false, arena, &type));
    if (splits > 1)
        return pl_fail(PL_E_INPUT, "%s: one of %lld parts of a split model, which planish cannot "
                       "read; llama-gguf-split --merge joins them", g->path, (long long)splits);
    if (strcmp(type, "model"))
        return pl_fail(PL_E_INPUT, "%s: holds a GGUF '%.40s', not a model", g->path, type);
    return PL_OK;
}

static pl_status carry(const pl_gguf *g, const pl_gguf_kv *kv, pl_arena *arena, pl_meta *out)
{
    *out = (pl_meta){ .key = kv->key, .type = kv->type, .element = kv->element,
                      .count = kv->count };
    if (kv->bytes > PL_GGUF_MAX_CARRIED)
        return pl_fail(PL_E_INPUT, "%s: the key '%s' holds %lld bytes, at most %d are carried over",
                       g->path, kv->key, (long long)kv->bytes, PL_GGUF_MAX_CARRIED);
    if (kv->type == PL_META_ARRAY && kv->element == PL_META_STRING) {
        pl_text *text;
        PL_TRY(pl_gguf_strings(g, kv, arena, &text));
        out->value.array = text;
    } else if (kv->type == PL_META_ARRAY || kv->type == PL_META_STRING) {
        void *bytes;
        PL_TRY(pl_gguf_bytes(g, kv, arena, &bytes));
        if (kv->type == PL_META_ARRAY) out->value.array = bytes;
        else out->value.text = (pl_text){ bytes, (uint32_t)kv->count };
    } else if (kv->type == PL_META_F32 || kv->type == PL_META_F64) {
        out->value.f = kv->value.f;
    } else {
        out->value.u = kv->value.u;
    }
    return PL_OK;
}

/* What no reader above understood goes to the sink as it is, in the file's order. */
static pl_status carry_over(const pl_gguf *g, pl_arena *arena, pl_model *model)
{
    model->meta = PL_NEW(arena, pl_meta, g->kvs);
    if (!model->meta) return PL_E_MEMORY;
    for (int i = 0; i < g->kvs; i++)
        if (!g->kv[i].used) PL_TRY(carry(g, &g->kv[i], arena, &model->meta[model->metas++]));
    return PL_OK;
}

/* ---- tensors ---- */

static pl_status read_tensor(const pl_gguf *g, const pl_arch *arch, const pl_hparams *hp,
                             const pl_gguf_info *info, pl_tensor *t)
{
    *t = (pl_tensor){ .name = info->name, .rows = info->rows, .cols = info->cols };
    if (!pl_arch_identify(arch, PL_NAMES_GGUF, info->name, &t->id) || t->id.role < 0)
        return pl_fail(PL_E_INPUT, "%s: '%s' is no tensor of the architecture %s", g->path,
                       info->name, arch->name);
    if (info->cols > 1) t->flags = PL_TENSOR_MATRIX;
    t->type = pl_type_plain((int)(info->dtype - pl_dtypes));
    const pl_arch_tensor *row = pl_arch_row(arch, t->id.role);
    if (row->order) t->order = row->order(hp);
    return PL_OK;
}

/* The storage type that most weights have. */
static const char *main_type(const pl_gguf *g)
{
    int64_t weights[PL_DTYPES] = { 0 };
    int most = 0;
    for (int i = 0; i < g->infos; i++)
        weights[g->info[i].dtype - pl_dtypes] += g->info[i].rows * g->info[i].cols;
    for (int i = 1; i < PL_DTYPES; i++)
        if (weights[i] > weights[most]) most = i;
    return pl_dtypes[most].name;
}

static pl_status read_tensors(const pl_gguf *g, const pl_arch *arch, pl_arena *arena,
                              pl_model *model)
{
    model->tensor = PL_NEW(arena, pl_tensor, g->infos);
    if (!model->tensor) return PL_E_MEMORY;
    for (; model->tensors < g->infos; model->tensors++)
        PL_TRY(read_tensor(g, arch, &model->hp, &g->info[model->tensors],
                           &model->tensor[model->tensors]));
    pl_status code = pl_model_index(model, arena);
    if (code != PL_OK) return pl_fail_prefix(code, "%s: ", g->path);
    model->hp.tied = pl_model_find(model, pl_id_make(PL_OUTPUT, -1, -1)) < 0;
    model->file_type = main_type(g);
    return pl_arch_check(arch, model, g->path);
}

static pl_status read_model(pl_source *s, const pl_gguf *g)
{
    pl_model *model = s->model;
    const char *slash = strrchr(g->path, '/');
    PL_TRY(pl_gguf_string(g, PL_GGUF_KEY_ARCH, true, s->arena, &model->arch));
    const pl_arch *arch = pl_arch_find(model->arch);
    if (!arch)
        return pl_fail(PL_E_INPUT, "%s: the architecture '%.60s' is not supported (%s)", g->path,
                       model->arch, pl_arch_list());
    PL_TRY(read_derived(g, s->arena));
    model->name = slash ? slash + 1 : g->path;
    PL_TRY(pl_gguf_string(g, PL_GGUF_KEY_NAME, false, s->arena, &model->name));
    PL_TRY(pl_gguf_vocab(g, s->vocab_arena, &model->vocab));
    PL_TRY(read_hparams(g, s->arena, model));
    PL_TRY(read_tensors(g, arch, s->arena, model));
    return carry_over(g, s->arena, model);
}

/* ---- the source ---- */

static pl_status gguf_open(pl_source *s, const char *path, pl_open_how how)
{
    gguf_state *state = s->state;
    pl_file *file;
    PL_TRY(pl_file_open(path, &file));
    state->g.file = file;               /* close frees it from here on */
    s->model = PL_ZNEW(s->arena, pl_model, 1);
    s->file = PL_NEW(s->arena, const char *, 1);
    if (!s->model || !s->file) return PL_E_MEMORY;
    s->file[0] = s->path;
    s->files = 1;
    PL_TRY(pl_gguf_scan(file, s->arena, &state->g));
    PL_TRY(read_model(s, &state->g));
    return how == PL_OPEN_MAP ? pl_file_map(file, &state->map) : PL_OK;
}

static void gguf_close(pl_source *s)
{
    gguf_state *state = s->state;
    pl_file_close(state->g.file);
}

/* Rows first .. first+count-1 as a matrix whose one part has no bytes yet; *at: their place in the
 * file. The caller has checked the range. */
static pl_status place_rows(const pl_source *s, int tensor, int64_t first, int64_t count,
                            pl_packed *out, int64_t *at)
{
    const gguf_state *state = s->state;
    const pl_tensor *t = &s->model->tensor[tensor];
    PL_TRY(pl_packed_init(out, t->type, count, t->cols));
    out->order = t->order;
    *at = state->g.info[tensor].at + first * out->part[0].stride;
    return PL_OK;
}

static pl_status gguf_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                             pl_arena *scratch)
{
    const gguf_state *state = s->state;
    int64_t at;
    PL_TRY(place_rows(s, tensor, first, count, out, &at));
    pl_part *part = &out->part[0];
    if (state->map) {
        part->ptr = state->map + at;
        return PL_OK;
    }
    uint8_t *bytes = pl_arena_alloc(scratch, part->bytes, 1);
    if (!bytes) return PL_E_MEMORY;
    part->ptr = bytes;
    return pl_file_read(state->g.file, at, bytes, (size_t)part->bytes);
}

static pl_status gguf_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                           pl_arena *scratch)
{
    pl_packed rows;
    pl_arena_mark mark = pl_arena_save(scratch);
    pl_status code = gguf_packed(s, tensor, first, count, &rows, scratch);
    if (code == PL_OK) code = pl_packed_decode(&rows, 0, count, out, scratch);
    pl_arena_restore(scratch, mark);
    return code;
}

static void gguf_advise(pl_source *s, int tensor, int64_t first, int64_t count)
{
    const gguf_state *state = s->state;
    pl_packed rows;
    int64_t at;
    if (place_rows(s, tensor, first, count, &rows, &at) == PL_OK)
        pl_file_advise(state->g.file, at, rows.part[0].bytes);
}

const pl_source_ops pl_source_gguf = {
    .name = "gguf",
    .state_size = sizeof(gguf_state),
    .probe = gguf_probe,
    .open = gguf_open,
    .close = gguf_close,
    .rows = gguf_rows,
    .packed = gguf_packed,
    .advise = gguf_advise,
};
