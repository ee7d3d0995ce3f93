/* gguf_read.c: GGUF files as a source of models. */
#include <stdio.h>
#include <string.h>

#include "core/source.h"
#include "formats/gguf_keys.h"
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
    PL_TRY(pl_gguf_keys_read(g, arch, s->arena, model));
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
