/* gguf_read.c: GGUF files as a source of models. */
#include <stdio.h>
#include <string.h>

#include "core/half.h"
#include "core/source.h"
#include "formats/gguf_keys.h"
#include "formats/registry.h"

typedef struct place { int shard; int64_t at; } place;

typedef struct gguf_state {
    pl_gguf_set set;
    place *place;               /* [tensors] of the model: file and byte in it */
    float *scale;               /* [tensors] factor of those whose type is scaled */
    const uint8_t **map;        /* [shards]; NULL: rows are read into windows */
} gguf_state;

static pl_status gguf_probe(const char *path, bool *mine)
{
    char magic[4] = "";
    pl_file *file;
    PL_TRY(pl_file_open(path, &file));
    pl_status code = pl_file_read(file, 0, magic, 4);
    *mine = code == PL_OK && !memcmp(magic, "GGUF", 4);
    pl_file_close(file);
    return code;
}

/* ---- factors of whole tensors ---- */

typedef char weight_name[PL_GGUF_MAX_NAME + 8];

/* NAME and `end` -> NAME.weight; false if it has another end. */
static bool weight_before(const char *name, const char *end, weight_name weight)
{
    size_t len = strlen(name), cut = strlen(end);
    if (len <= cut || strcmp(name + len - cut, end)) return false;
    snprintf(weight, sizeof(weight_name), "%.*s.weight", (int)(len - cut), name);
    return true;
}

/* NAME.scale is a factor of all that NAME.weight holds, one for each expert. NAME.input_scale is of use
 * only to who rounds activations to 4 bits. */
static bool is_scale(const char *name, weight_name weight)
{
    return weight_before(name, ".scale", weight) || weight_before(name, ".input_scale", weight);
}

/* First of the model's tensors that are this one of the file; -1: none. */
static int find_named(const pl_arch *arch, const pl_model *model, const char *name)
{
    pl_id id;
    if (!pl_arch_identify(arch, PL_NAMES_GGUF, name, &id) || id.role < 0) return -1;
    for (int pass = 0; pass < 2; pass++, id.expert = 0) {
        int tensor = pl_model_find(model, id);
        if (tensor >= 0 && !strcmp(model->tensor[tensor].name, name)) return tensor;
    }
    return -1;
}

/* A tensor that read_info left out: a scale is read and becomes part of the tensor it belongs to. Only
 * NVFP4 has such. */
static pl_status read_scale(gguf_state *state, const pl_gguf *g, const pl_gguf_info *info,
                            const pl_arch *arch, pl_model *model)
{
    weight_name weight;
    if (!is_scale(info->name, weight)) return PL_OK;
    const pl_dtype *nvfp4 = &pl_dtypes[PL_NVFP4], *f32 = &pl_dtypes[PL_F32];
    int first = find_named(arch, model, weight);
    if (first < 0 || model->tensor[first].type.element != nvfp4)
        return pl_fail(PL_E_INPUT, "%s: '%s' is no tensor of the architecture %s", g->path, info->name,
                       arch->name);
    if (!weight_before(info->name, ".scale", weight)) return PL_OK;
    int tensors = model->tensor[first].id.expert < 0 ? 1 : model->hp.experts;
    if (info->dtype != f32 || info->rows != tensors || info->cols != 1)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' should be %d of f32, is %lld x %lld of %s", g->path,
                       info->name, tensors, (long long)info->rows, (long long)info->cols,
                       info->dtype->name);
    float *scale = state->scale + first;
    PL_TRY(pl_file_read(g->file, info->at, scale, (size_t)tensors * sizeof *scale));
    if (pl_find_nonfinite(scale, tensors) >= 0)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has a value that is not finite", g->path, info->name);
    for (int i = first; i < first + tensors; i++)
        model->tensor[i].type = pl_type_scaled(nvfp4, f32, 0, 0);
    return PL_OK;
}

/* ---- tensors ---- */

/* Is this tensor one of all experts of its layer? Not if it has the name of what a dense model has. */
static pl_status is_stack(const pl_arch *arch, const pl_hparams *hp, pl_id id, const char *name,
                          pl_arena *arena, bool *yes)
{
    *yes = id.expert < 0 && hp->experts > 0 &&
           pl_arch_row_of(arch, pl_id_make(id.role, id.layer, 0)) != NULL;
    if (!*yes || !pl_arch_row_of(arch, id)) return PL_OK;
    pl_arena_mark mark = pl_arena_save(arena);
    const char *dense = pl_arch_name(arch, PL_NAMES_GGUF, id, arena);
    if (dense && !strcmp(dense, name)) *yes = false;
    pl_arena_restore(arena, mark);
    return dense ? PL_OK : PL_E_MEMORY;
}

/* Identity of a tensor of the file, and how many of the model it is: a stack is one for each expert. */
static pl_status identify(const pl_gguf *g, const pl_arch *arch, const pl_hparams *hp,
                          const pl_gguf_info *info, pl_arena *arena, pl_id *id, int *tensors)
{
    bool stack = false;
    if (!pl_arch_identify(arch, PL_NAMES_GGUF, info->name, id) || id->role < 0)
        return pl_fail(PL_E_INPUT, "%s: '%s' is no tensor of the architecture %s", g->path,
                       info->name, arch->name);
    PL_TRY(is_stack(arch, hp, *id, info->name, arena, &stack));
    *tensors = stack ? hp->experts : 1;
    if (stack) id->expert = 0;
    if (info->planes == *tensors) return PL_OK;
    if (stack)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %lld experts, the model %d", g->path,
                       info->name, (long long)info->planes, *tensors);
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' has three dimensions, at most 2 are expected", g->path,
                   info->name);
}

static pl_status describe(const pl_gguf *g, const pl_arch *arch, const pl_hparams *hp,
                          const pl_gguf_info *info, pl_id id, pl_tensor *t)
{
    const pl_arch_tensor *row = pl_arch_row_of(arch, id);
    if (!row)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has no place in this %s model", g->path,
                       info->name, arch->name);
    *t = (pl_tensor){ .id = id, .name = info->name, .rows = info->rows, .cols = info->cols,
                      .type = pl_type_plain((int)(info->dtype - pl_dtypes)),
                      .order = row->order ? row->order(hp) : 0,
                      .flags = info->cols > 1 && !row->keep ? PL_TENSOR_MATRIX : 0 };
    return PL_OK;
}

/* One tensor of the file -> those of the model, and where they are. There is room for them. Scales wait
 * until all are known. */
static pl_status read_info(gguf_state *state, int shard, const pl_gguf_info *info,
                           const pl_arch *arch, pl_arena *arena, pl_model *model)
{
    const pl_gguf *g = &state->set.shard[shard];
    pl_id id;
    int tensors = 0;
    weight_name weight;
    if (is_scale(info->name, weight)) return PL_OK;
    PL_TRY(identify(g, arch, &model->hp, info, arena, &id, &tensors));
    for (int i = 0; i < tensors; i++, id.expert++) {
        state->place[model->tensors] = (place){ shard, info->at + info->bytes / tensors * i };
        PL_TRY(describe(g, arch, &model->hp, info, id, &model->tensor[model->tensors++]));
    }
    return PL_OK;
}

/* How many tensors the model has at most: stacks of another height are refused when they are read. */
static pl_status count_tensors(const pl_gguf_set *set, const pl_hparams *hp, int *out)
{
    int64_t count = 0;
    for (int s = 0; s < set->shards; s++)
        for (int i = 0; i < set->shard[s].infos; i++)
            count += pl_min64(set->shard[s].info[i].planes, pl_max64(1, hp->experts));
    if (count > PL_MAX_TENSORS)
        return pl_fail(PL_E_INPUT, "%s: more than %d tensors, each expert counted", set->shard[0].path,
                       PL_MAX_TENSORS);
    *out = (int)count;
    return PL_OK;
}

/* The storage type that most weights have. */
static const char *main_type(const pl_model *model)
{
    int64_t weights[PL_DTYPES_READ] = { 0 };
    int most = 0;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        weights[t->type.element - pl_dtypes] += t->rows * t->cols;
    }
    for (int i = 1; i < PL_DTYPES_READ; i++)
        if (weights[i] > weights[most]) most = i;
    return pl_dtypes[most].name;
}

static pl_status read_tensors(gguf_state *state, const pl_arch *arch, pl_arena *arena,
                              pl_model *model)
{
    const pl_gguf_set *set = &state->set;
    const char *path = set->shard[0].path;
    int room = 0;
    PL_TRY(count_tensors(set, &model->hp, &room));
    model->tensor = PL_NEW(arena, pl_tensor, room);
    state->place = PL_NEW(arena, place, room);
    state->scale = PL_NEW(arena, float, room);
    if (!model->tensor || !state->place || !state->scale) return PL_E_MEMORY;
    for (int s = 0; s < set->shards; s++)
        for (int i = 0; i < set->shard[s].infos; i++)
            PL_TRY(read_info(state, s, &set->shard[s].info[i], arch, arena, model));
    pl_status code = pl_model_index(model, arena);
    if (code != PL_OK) return pl_fail_prefix(code, "%s: ", path);
    for (int s = 0; s < set->shards; s++)
        for (int i = 0; i < set->shard[s].infos; i++)
            PL_TRY(read_scale(state, &set->shard[s], &set->shard[s].info[i], arch, model));
    PL_TRY(pl_gguf_keys_settle(model, path));
    model->file_type = main_type(model);
    return pl_arch_check(arch, model, path);
}

static pl_status read_model(pl_source *s, const char *pre)
{
    gguf_state *state = s->state;
    const pl_gguf *g = &state->set.shard[0];
    const pl_arch *arch;
    PL_TRY(pl_gguf_model_read(g, pre, s->arena, s->vocab_arena, s->model, &arch));
    PL_TRY(read_tensors(state, arch, s->arena, s->model));
    return pl_gguf_carry_over(g, s->arena, s->model);
}

/* ---- the source ---- */

static pl_status list_files(pl_source *s, const pl_gguf_set *set)
{
    s->file = PL_NEW(s->arena, const char *, set->shards);
    if (!s->file) return PL_E_MEMORY;
    for (; s->files < set->shards; s->files++) s->file[s->files] = set->shard[s->files].path;
    return PL_OK;
}

static pl_status map_files(pl_source *s, gguf_state *state)
{
    state->map = PL_NEW(s->arena, const uint8_t *, state->set.shards);
    if (!state->map) return PL_E_MEMORY;
    for (int i = 0; i < state->set.shards; i++)
        PL_TRY(pl_file_map(state->set.shard[i].file, &state->map[i]));
    return PL_OK;
}

static pl_status gguf_open(pl_source *s, const char *path, const pl_open_options *options)
{
    gguf_state *state = s->state;
    s->model = PL_ZNEW(s->arena, pl_model, 1);
    if (!s->model) return PL_E_MEMORY;
    PL_TRY(pl_gguf_set_open(path, s->arena, &state->set));
    PL_TRY(list_files(s, &state->set));
    PL_TRY(read_model(s, options->pre));
    return options->how == PL_OPEN_MAP ? map_files(s, state) : PL_OK;
}

static void gguf_close(pl_source *s)
{
    gguf_state *state = s->state;
    pl_gguf_set_close(&state->set);
}

/* Rows first .. first+count-1 as a matrix whose codes are not at hand yet; *at: where they are. The
 * caller has checked the range. */
static pl_status place_rows(const pl_source *s, int tensor, int64_t first, int64_t count,
                            pl_packed *out, place *at)
{
    const gguf_state *state = s->state;
    const pl_tensor *t = &s->model->tensor[tensor];
    PL_TRY(pl_packed_init(out, t->type, count, t->cols));
    out->order = t->order;
    if (out->nparts > 1) out->part[1].ptr = (const uint8_t *)&state->scale[tensor];
    *at = state->place[tensor];
    at->at += first * out->part[0].stride;
    return PL_OK;
}

static pl_status gguf_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                             pl_arena *scratch)
{
    const gguf_state *state = s->state;
    place at;
    PL_TRY(place_rows(s, tensor, first, count, out, &at));
    pl_part *part = &out->part[0];
    if (state->map) {
        part->ptr = state->map[at.shard] + at.at;
        return PL_OK;
    }
    uint8_t *bytes = pl_arena_alloc(scratch, part->bytes, 1);
    if (!bytes) return PL_E_MEMORY;
    part->ptr = bytes;
    return pl_file_read(state->set.shard[at.shard].file, at.at, bytes, (size_t)part->bytes);
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
    place at;
    if (place_rows(s, tensor, first, count, &rows, &at) == PL_OK)
        pl_file_advise(state->set.shard[at.shard].file, at.at, rows.part[0].bytes);
}

static const char *gguf_file_of(const pl_source *s, int tensor)
{
    const gguf_state *state = s->state;
    return state->set.shard[state->place[tensor].shard].path;
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
    .file_of = gguf_file_of,
};
