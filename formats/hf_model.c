/* hf_model.c: the source that reads a Hugging Face checkpoint: config.json beside safetensors. */
#include <string.h>

#include "core/fs.h"
#include "core/log.h"
#include "core/source.h"
#include "formats/arch_config.h"
#include "formats/hf_data.h"
#include "formats/hf_fp8.h"
#include "formats/hf_meta.h"
#include "formats/hf_pooling.h"
#include "formats/hf_vocab.h"
#include "formats/mlx_names.h"
#include "formats/mlx_types.h"
#include "formats/registry.h"

enum { ROPE_TENSORS = 2 };          /* at most so many that are in no file, see add_rope_factors */

static const char config_name[] = "config.json";
static const char weights_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

/* ---- finding the files ---- */

/* Is `name` in the folder? Its path in `path`. */
static bool in_folder(const char *folder, const char *name, char path[PATH_MAX])
{
    return pl_path_join(path, PATH_MAX, folder, name) == PL_OK && pl_path_exists(path);
}

static pl_status probe(const char *path, bool *mine)
{
    char member[PATH_MAX];
    if (pl_path_is_dir(path)) {
        *mine = in_folder(path, config_name, member) || in_folder(path, weights_name, member) ||
                in_folder(path, index_name, member);
        return PL_OK;
    }
    pl_file *file;
    uint8_t head[9];        /* a length that the format allows, and the brace of its header */
    PL_TRY(pl_file_open(path, &file));
    pl_status code = pl_file_read(file, 0, head, sizeof head);
    *mine = code == PL_OK && head[8] == '{' && !(head[4] | head[5] | head[6] | head[7]);
    pl_file_close(file);
    return code;
}

/* The folder that the model lies in; memory from arena, NULL without. */
static char *folder_of(const char *path, pl_arena *arena)
{
    const char *slash = strrchr(path, '/');
    if (pl_path_is_dir(path)) return pl_arena_text(arena, path, strlen(path));
    if (!slash) return pl_arena_text(arena, ".", 1);
    return pl_arena_text(arena, path, slash == path ? 1 : (size_t)(slash - path));
}

static pl_status open_weights(const char *path, const char *folder, pl_arena *arena, pl_st_set *set)
{
    char member[PATH_MAX];
    if (!pl_path_is_dir(path)) return pl_st_open_file(path, arena, set);
    if (in_folder(folder, weights_name, member)) {
        PL_TRY(pl_st_check_link(folder, member));
        return pl_st_open_file(member, arena, set);
    }
    if (in_folder(folder, index_name, member)) return pl_st_open_index(folder, member, arena, set);
    return pl_fail(PL_E_INPUT, "%s: neither %s nor %s is there", folder, weights_name, index_name);
}

/* Everything the model consists of: none of it may be an output. What says what the weights are goes with them into
 * other folders, so it must lie in this one. */
static pl_status list_files(pl_source *s, const char *folder, const pl_st_set *set)
{
    static const char *const side[] = {
        config_name, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
        "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja",
        "chat_template.json",
    };
    static const char *const other[] = { index_name, "modules.json", "README.md" };
    char path[PATH_MAX];
    const char **list = s->file = PL_NEW(s->arena, const char *, set->files + PL_COUNT(side) + PL_COUNT(other));
    pl_side *sides = PL_NEW(s->arena, pl_side, PL_COUNT(side));
    if (!list || !sides) return PL_E_MEMORY;
    for (int i = 0; i < PL_COUNT(side) + PL_COUNT(other); i++) {
        bool goes_along = i < PL_COUNT(side);
        if (!in_folder(folder, goes_along ? side[i] : other[i - PL_COUNT(side)], path)) continue;
        if (goes_along) PL_TRY(pl_st_check_link(folder, path));
        list[s->files] = pl_arena_text(s->arena, path, strlen(path));
        if (!list[s->files++]) return PL_E_MEMORY;
        if (!goes_along) continue;
        pl_side *to = &sides[s->model->sides++];
        *to = (pl_side){ .name = side[i], .path = list[s->files - 1] };
        PL_TRY(pl_file_bytes(to->path, &to->bytes));
    }
    s->model->side = sides;
    for (int i = 0; i < set->files; i++) s->file[s->files++] = pl_file_path(set->file[i]);
    return PL_OK;
}

/* ---- config.json ---- */

static pl_status read_config(const pl_json *config, const char *origin, const pl_arch **arch,
                             pl_hparams *hp)
{
    const pl_json *names = pl_json_get(config, "architectures");
    const char *name = pl_json_is(names, PL_JSON_ARRAY) ? pl_json_text(pl_json_first(names)) : NULL;
    if (!name)
        return pl_fail(PL_E_INPUT, "%s: 'architectures' should be a list with a name", origin);
    *arch = pl_arch_find_hf(name);
    if (!*arch)
        return pl_fail(PL_E_INPUT, "%s: architecture '%.80s' is not known; known are %s", origin,
                       name, pl_arch_list());
    return (*arch)->config(config, origin, hp);
}

/* What config.json says of optional tensors holds: else the model would compute something else than
 * where it comes from. */
static pl_status check_flags(const pl_arch *arch, const pl_json *config, const char *origin,
                             const pl_model *model)
{
    for (int i = 0; i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        if (!row->flag || (row->when && !row->when(&model->hp))) continue;
        bool said = false, there = pl_model_find(model, pl_id_make(row->role, 0, -1)) >= 0;
        PL_TRY(pl_json_bool(config, row->flag, false, origin, &said));
        if (said != there)
            return pl_fail(PL_E_INPUT, "%s: %s is %s, but the checkpoint has %s'%s'", origin,
                           row->flag, said ? "true" : "false", said ? "no " : "", row->hf);
    }
    return PL_OK;
}

/* ---- tensors ---- */

/* One row that MLX quantized and that is a vector to us: too little to be kept in codes. */
static pl_status decode_vector(pl_source *s, const pl_tensor *row, pl_hf_weight *w, pl_tensor *t)
{
    float *values = PL_NEW(s->arena, float, row->cols);
    pl_arena *scratch;
    if (!values) return PL_E_MEMORY;
    PL_TRY(pl_arena_create(&scratch));
    pl_status code = pl_hf_weight_rows(s->state, w, row, 0, 1, values, scratch);
    pl_arena_destroy(scratch);
    *w = (pl_hf_weight){ .values = values };
    t->rows = row->cols;
    t->cols = 1;
    t->type = pl_type_plain(PL_F32);
    t->flags = 0;
    return code;
}

/* The same for a weight with scales of groups, as MLX, compressed-tensors, GPTQ and AWQ have them; *mine false: it has
 * none. */
static pl_status describe_groups(pl_source *s, const pl_arch_tensor *row, const pl_st_tensor *from, int64_t before,
                              pl_tensor *t, pl_hf_weight *w, bool *mine)
{
    pl_hf_state *state = s->state;
    const pl_hparams *hp = &s->model->hp;
    bool vector = row->cols(hp) == 1;
    pl_hf_parts parts;
    int64_t cols = vector ? row->rows(hp) : row->cols(hp), rows = from->dims > 1 ? from->shape[from->dims - 2] : 1;
    PL_TRY(pl_mlx_type_read(&state->mlx, &state->set, from, cols, &t->type, &parts));
    if (!parts.scales) PL_TRY(pl_ct_type_read(&state->ct, &state->set, from, cols, &t->type, &parts));
    if (!parts.scales) PL_TRY(pl_gptq_type_read(&state->gptq, &state->set, from, cols, &t->type, &rows, &parts));
    *mine = parts.scales != NULL;
    if (!*mine) return PL_OK;
    *w = (pl_hf_weight){ .from = from, .scales = parts.scales, .biases = parts.third, .order = parts.order,
                         .before = before, .dtype = t->type.element, .coded = t->type, .words = parts.words,
                         .less = parts.less, .unordered = parts.unordered };
    if (w->unordered) t->type = pl_type_plain(PL_F32);
    t->name = from->name;
    t->rows = rows;
    t->cols = cols;
    t->flags = row->keep ? 0 : PL_TENSOR_MATRIX;
    if (!vector) return PL_OK;
    if (t->rows == 1) return decode_vector(s, &(pl_tensor){ .type = t->type, .rows = 1, .cols = cols }, w, t);
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %lld rows, expected 1", pl_file_path(state->set.file[from->file]),
                   from->name, (long long)t->rows);
}

/* How a tensor of the files becomes one of the model. `row`: what the architecture says of it; alias: how it was found;
 * expert: of a stack. */
static pl_status describe(pl_source *s, const pl_arch_tensor *row, const pl_st_tensor *from, const pl_mlx_alias *alias,
                          int expert, pl_tensor *t, pl_hf_weight *w)
{
    const pl_hf_state *state = s->state;
    const pl_hparams *hp = &s->model->hp;
    const char *origin = pl_file_path(state->set.file[from->file]);
    int64_t before = alias->stacked ? expert * from->shape[1] : 0;
    bool done;
    PL_TRY(describe_groups(s, row, from, before, t, w, &done));
    if (done && row->transposed && !alias->turned)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has codes, expected floats, as its values are to be transposed",
                       origin, from->name);
    if (done) return PL_OK;
    const pl_dtype *dtype = pl_dtype_by_safetensors(from->dtype);
    if (!dtype || dtype == &pl_dtypes[PL_F8_E8M0])
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is stored as %s; expected F32, F16, BF16, F8_E4M3 or "
                       "F8_E5M2", origin, from->name, from->dtype);
    const int64_t *shape = from->shape + alias->stacked;
    int dims = from->dims - alias->stacked;
    if (dims != 1 && dims != 2)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %d dimensions, expected 1 or 2", origin,
                       from->name, (int)from->dims);
    int64_t rows = shape[0], cols = dims == 2 ? shape[1] : 1;
    bool matrix = dims == 2 && !(row->cols(hp) == 1 && (rows == 1 || cols == 1));
    if (!matrix && rows == 1) rows = cols, cols = 1;
    *w = (pl_hf_weight){ .from = from, .dtype = dtype, .transposed = matrix && row->transposed && !alias->turned,
                         .offset = state->as_stored ? 0.0f : row->offset, .before = before };
    t->name = from->name;
    t->rows = w->transposed ? cols : rows;
    t->cols = w->transposed ? rows : cols;
    t->flags = matrix && !row->keep ? PL_TENSOR_MATRIX : 0;
    t->type = pl_type_plain(w->offset != 0.0f ? PL_F32 : (int)(dtype - pl_dtypes));
    if (dtype->bytes > 1) return PL_OK;
    PL_TRY(pl_hf_fp8_type(&state->fp8, &state->set, from, &t->type, &w->scales));
    if (w->scales && (w->transposed || w->offset != 0.0f))
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is stored as %s with scales; expected F32, F16 or BF16, "
                       "as its values are to be %s", origin, from->name, from->dtype,
                       w->transposed ? "transposed" : "shifted");
    return PL_OK;
}

/* So many of the model's tensors lie in one of the files: a stack holds as many as the model has experts. */
static pl_status count_experts(const pl_model *model, const pl_st_tensor *from, const char *origin, int *count)
{
    *count = model->hp.experts;
    if (from->dims == 3 && *count > 0 && from->shape[0] == *count && from->bytes >= *count) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' should have 3 dimensions, the first of %d experts, has %d dimensions, "
                   "the first of %lld", origin, from->name, (int)model->hp.experts, (int)from->dims,
                   from->dims ? (long long)from->shape[0] : 0LL);
}

/* Does config.json say, or leave open, that the model has no such tensor, which others have? */
static bool is_left_out(const pl_arch *arch, pl_id id, const pl_json *config, const char *origin)
{
    const char *flag = id.role < 0 ? NULL : pl_arch_row_of(arch, id)->flag;
    bool said = false;
    return flag && config && pl_json_bool(config, flag, false, origin, &said) == PL_OK && !said;
}

/* One tensor of the files -> one of the model, or one for each expert. */
static pl_status add_tensor(pl_source *s, const pl_arch *arch, const pl_st_tensor *from)
{
    pl_model *model = s->model;
    pl_hf_state *state = s->state;
    const char *origin = pl_file_path(state->set.file[from->file]);
    pl_mlx_alias alias;
    pl_id id;
    int count = 1;
    pl_mlx_resolve(arch, from->name, &alias);
    pl_ct_rename(&state->ct, alias.name);
    pl_gptq_rename(&state->gptq, alias.name);
    bool known = pl_arch_identify(arch, PL_NAMES_HF, alias.name, &id), none = false;
    if (!known || is_left_out(arch, id, state->gptq.config, origin))
        PL_TRY(pl_gptq_is_no_bias(&state->gptq, &state->set, from, &none));
    if (none) return PL_OK;
    if (!known)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is none of a %s model", origin, from->name,
                       arch->name);
    if (id.role < 0) return PL_OK;
    if (id.role == PL_OUTPUT && model->hp.tied) {
        pl_log(PL_LOG_WARN, "%s: '%s' is passed over: tie_word_embeddings is true", origin,
               from->name);
        return PL_OK;
    }
    if (alias.stacked) PL_TRY(count_experts(model, from, origin, &count));
    for (int x = 0; x < count; x++) {
        pl_tensor *t = &model->tensor[model->tensors];
        t->id = id;
        if (alias.stacked) t->id.expert = (int16_t)x;
        PL_TRY(describe(s, pl_arch_row_of(arch, id), from, &alias, x, t, &state->weight[model->tensors]));
        model->tensors++;
    }
    return PL_OK;
}

/* Tensors of the files -> tensors of the model, by the architecture's table. */
static pl_status add_tensors(pl_source *s, pl_hf_state *state, const pl_arch *arch)
{
    pl_model *model = s->model;
    const pl_st_set *set = &state->set;
    int64_t most = set->tensors + ROPE_TENSORS;
    for (int i = 0; i < set->tensors; i++)
        if (set->tensor[i].dims == 3) most += pl_min64(model->hp.experts, set->tensor[i].bytes);
    if (most > PL_MAX_TENSORS)
        return pl_fail(PL_E_INPUT, "%s: more than %d tensors, those of all experts counted (PL_MAX_TENSORS)", s->path,
                       PL_MAX_TENSORS);
    model->tensor = PL_ZNEW(s->arena, pl_tensor, most);
    state->weight = PL_NEW(s->arena, pl_hf_weight, most);
    if (!model->tensor || !state->weight) return PL_E_MEMORY;
    for (int i = 0; i < set->tensors; i++) {
        const pl_st_tensor *from = &set->tensor[i];
        bool consumed;
        PL_TRY(pl_hf_fp8_consumes(&state->fp8, set, from, &consumed));
        consumed = consumed || pl_mlx_consumes(&state->mlx, set, from) || pl_ct_consumes(&state->ct, set, from);
        if (consumed || pl_gptq_consumes(&state->gptq, set, from)) continue;
        PL_TRY(add_tensor(s, arch, from));
    }
    return PL_OK;
}

/* Divisors of rotary frequencies, which a checkpoint has in its configuration: tensors like any other. */
static pl_status add_rope_factors(pl_source *s, pl_hf_state *state, const pl_json *config)
{
    static const struct { pl_rope_scaling scaling; int role; } roles[] = {
        { PL_ROPE_LLAMA3, PL_ROPE_FREQS },
        { PL_ROPE_LONGROPE, PL_ROPE_LONG },
        { PL_ROPE_LONGROPE, PL_ROPE_SHORT },
    };
    pl_model *model = s->model;
    for (int i = 0; i < PL_COUNT(roles); i++) {
        int role = roles[i].role, count = model->hp.rope_dim / 2;
        if (model->hp.rope_scaling != roles[i].scaling) continue;
        float *values = PL_NEW(s->arena, float, count);
        if (!values) return PL_E_MEMORY;
        PL_TRY(pl_arch_rope_factors(config, &model->hp, role, values));
        state->weight[model->tensors] = (pl_hf_weight){ .values = values };
        model->tensor[model->tensors++] = (pl_tensor){ .id = pl_id_make(role, -1, -1),
                                                       .name = pl_role_name(role), .rows = count, .cols = 1,
                                                       .type = pl_type_plain(PL_F32) };
    }
    return PL_OK;
}

/* Name of the type that most weights of matrices have: of floats, or of the first that has such codes. */
static const char *main_type(const pl_model *model, pl_arena *arena)
{
    int64_t weights[PL_DTYPES_ALL] = { 0 };
    const pl_type *first[PL_DTYPES_ALL] = { NULL }, *most = NULL;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        ptrdiff_t codes = t->type.element - pl_dtypes;
        if (!(t->flags & PL_TENSOR_MATRIX)) continue;
        weights[codes] += t->rows * t->cols;
        if (!first[codes]) first[codes] = &t->type;
        if (!most || weights[codes] > weights[most->element - pl_dtypes]) most = first[codes];
    }
    if (!most) return pl_dtypes[PL_F32].name;
    bool grouped = pl_mlx_mode(most) || most->scheme == &pl_scheme_ints;
    const char *name = grouped ? pl_type_name(most) : most->element->name;
    return pl_arena_text(arena, name, strlen(name));
}

static pl_status map_files(pl_source *s, pl_hf_state *state)
{
    state->map = PL_NEW(s->arena, const uint8_t *, state->set.files);
    if (!state->map) return PL_E_MEMORY;
    for (int i = 0; i < state->set.files; i++)
        PL_TRY(pl_file_map(state->set.file[i], &state->map[i]));
    return PL_OK;
}

static pl_status read_model(pl_source *s, const char *path, const char *folder,
                            const pl_json *config, const char *origin, const char *pre)
{
    pl_hf_state *state = s->state;
    pl_model *model = s->model;
    const pl_arch *arch = NULL;
    if (!pl_json_is(config, PL_JSON_OBJECT)) return pl_fail(PL_E_INPUT, "%s: should be an object", origin);
    PL_TRY(pl_mlx_config(config, origin, &state->mlx));
    if (!state->mlx.quantization) PL_TRY(pl_ct_config(config, origin, &state->ct));
    if (!state->mlx.quantization && !state->ct.groups) PL_TRY(pl_gptq_config(config, origin, &state->gptq));
    bool others = state->mlx.quantization || state->ct.groups || state->gptq.there;
    if (!others) PL_TRY(pl_hf_fp8_config(config, origin, &state->fp8));
    PL_TRY(read_config(config, origin, &arch, &model->hp));
    if (model->hp.encoder) PL_TRY(pl_hf_pooling_read(folder, &model->hp.pooling));
    model->arch = arch->name;
    PL_TRY(open_weights(path, folder, s->arena, &state->set));
    PL_TRY(add_tensors(s, state, arch));
    state->mlx = (pl_mlx){ 0 };             /* config.json goes */
    state->gptq.config = NULL;
    int stored = model->tensors;
    PL_TRY(add_rope_factors(s, state, config));
    PL_TRY(pl_model_index(model, s->arena));
    PL_TRY(pl_arch_check(arch, model, path));
    PL_TRY(check_flags(arch, config, origin, model));
    if (state->as_stored && stored < model->tensors) {      /* what is computed was there for the check only */
        model->tensors = stored;
        PL_TRY(pl_model_index(model, s->arena));
    }
    model->file_type = main_type(model, s->arena);
    if (!model->file_type) return PL_E_MEMORY;
    PL_TRY(pl_hf_meta_read(folder, config, s->arena, model));
    PL_TRY(pl_hf_vocab_read(folder, config, model->hp.vocab, pre, s->vocab_arena, &model->vocab));
    return list_files(s, folder, &state->set);
}

static pl_status open_model(pl_source *s, const char *path, const pl_open_options *options)
{
    char config_path[PATH_MAX];
    s->model = PL_ZNEW(s->arena, pl_model, 1);
    char *folder = folder_of(path, s->arena);
    if (!s->model || !folder) return PL_E_MEMORY;
    PL_TRY(pl_path_join(config_path, sizeof config_path, folder, config_name));
    ((pl_hf_state *)s->state)->as_stored = options->how == PL_OPEN_STORED;
    pl_json *config;
    PL_TRY(pl_json_load(config_path, &config));
    pl_status code = read_model(s, path, folder, config, config_path, options->pre);
    pl_json_free(config);
    /* Where words stand in columns a few rows lie everywhere: too many windows. */
    bool map = options->how == PL_OPEN_MAP || ((pl_hf_state *)s->state)->gptq.there;
    if (code == PL_OK && map) code = map_files(s, s->state);
    return code;
}

static void close_model(pl_source *s)
{
    pl_hf_state *state = s->state;
    pl_st_close(&state->set);
}

const pl_source_ops pl_source_hf = {
    .name = "hf",
    .state_size = sizeof(pl_hf_state),
    .probe = probe,
    .open = open_model,
    .close = close_model,
    .rows = pl_hf_rows,
    .packed = pl_hf_packed,
    .advise = pl_hf_advise,
    .file_of = pl_hf_file_of,
    .verify = pl_hf_verify,
};
