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

static bool probe(const char *path)
{
    char member[PATH_MAX];
    if (pl_path_is_dir(path))
        return in_folder(path, config_name, member) || in_folder(path, weights_name, member) ||
               in_folder(path, index_name, member);
    pl_file *file;
    uint8_t head[9];        /* a length that the format allows, and the brace of its header */
    if (pl_file_open(path, &file) != PL_OK) return false;
    bool mine = pl_file_read(file, 0, head, sizeof head) == PL_OK && head[8] == '{' &&
                !(head[4] | head[5] | head[6] | head[7]);
    pl_file_close(file);
    return mine;
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

/* Everything the model consists of: none of it may be an output. */
static pl_status list_files(pl_source *s, const char *folder, const pl_st_set *set)
{
    static const char *const side[] = {
        config_name, index_name, "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
        "added_tokens.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json",
        "modules.json", "README.md",
    };
    s->file = PL_NEW(s->arena, const char *, set->files + PL_COUNT(side));
    if (!s->file) return PL_E_MEMORY;
    for (int i = 0; i < PL_COUNT(side); i++) {
        char path[PATH_MAX];
        if (!in_folder(folder, side[i], path)) continue;
        s->file[s->files] = pl_arena_text(s->arena, path, strlen(path));
        if (!s->file[s->files++]) return PL_E_MEMORY;
    }
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

/* How a tensor of the files becomes one of the model. `row`: what the architecture says of it. */
static pl_status describe(const pl_hf_state *state, const pl_arch_tensor *row, const pl_hparams *hp,
                          const pl_st_tensor *from, pl_tensor *t, pl_hf_weight *w)
{
    const char *origin = pl_file_path(state->set.file[from->file]);
    const pl_dtype *dtype = pl_dtype_by_safetensors(from->dtype);
    if (!dtype || dtype == &pl_dtypes[PL_F8_E8M0])
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is stored as %s; expected F32, F16, BF16, F8_E4M3 or "
                       "F8_E5M2", origin, from->name, from->dtype);
    if (from->dims != 1 && from->dims != 2)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %d dimensions, expected 1 or 2", origin,
                       from->name, (int)from->dims);
    int64_t rows = from->shape[0], cols = from->dims == 2 ? from->shape[1] : 1;
    bool matrix = from->dims == 2 && !(row->cols(hp) == 1 && (rows == 1 || cols == 1));
    if (!matrix && rows == 1) rows = cols, cols = 1;
    *w = (pl_hf_weight){ .from = from, .dtype = dtype, .transposed = matrix && row->transposed,
                         .offset = row->offset };
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

/* Tensors of the files -> tensors of the model, by the architecture's table. */
static pl_status add_tensors(pl_source *s, pl_hf_state *state, const pl_arch *arch)
{
    pl_model *model = s->model;
    const pl_st_set *set = &state->set;
    model->tensor = PL_ZNEW(s->arena, pl_tensor, set->tensors + ROPE_TENSORS);
    state->weight = PL_NEW(s->arena, pl_hf_weight, set->tensors + ROPE_TENSORS);
    if (!model->tensor || !state->weight) return PL_E_MEMORY;
    for (int i = 0; i < set->tensors; i++) {
        const pl_st_tensor *from = &set->tensor[i];
        const char *origin = pl_file_path(set->file[from->file]);
        pl_tensor *t = &model->tensor[model->tensors];
        bool consumed;
        PL_TRY(pl_hf_fp8_consumes(&state->fp8, set, from, &consumed));
        if (consumed) continue;
        if (!pl_arch_identify(arch, PL_NAMES_HF, from->name, &t->id))
            return pl_fail(PL_E_INPUT, "%s: tensor '%s' is none of a %s model", origin, from->name,
                           arch->name);
        if (t->id.role < 0) continue;
        if (t->id.role == PL_OUTPUT && model->hp.tied) {
            pl_log(PL_LOG_WARN, "%s: '%s' is passed over: tie_word_embeddings is true", origin,
                   from->name);
            continue;
        }
        PL_TRY(describe(state, pl_arch_row_of(arch, t->id), &model->hp, from, t,
                        &state->weight[model->tensors]));
        model->tensors++;
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

/* Name of the type that most weights of matrices have. */
static const char *main_type(const pl_model *model)
{
    int64_t weights[PL_DTYPES_READ] = { 0 };
    const pl_dtype *most = &pl_dtypes[PL_F32];
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        const pl_dtype *dtype = t->type.element;
        if (!(t->flags & PL_TENSOR_MATRIX)) continue;
        weights[dtype - pl_dtypes] += t->rows * t->cols;
        if (weights[dtype - pl_dtypes] > weights[most - pl_dtypes]) most = dtype;
    }
    return most->name;
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
    PL_TRY(pl_hf_fp8_config(config, origin, &state->fp8));
    PL_TRY(read_config(config, origin, &arch, &model->hp));
    if (model->hp.encoder) PL_TRY(pl_hf_pooling_read(folder, &model->hp.pooling));
    model->arch = arch->name;
    PL_TRY(open_weights(path, folder, s->arena, &state->set));
    PL_TRY(add_tensors(s, state, arch));
    PL_TRY(add_rope_factors(s, state, config));
    PL_TRY(pl_model_index(model, s->arena));
    PL_TRY(pl_arch_check(arch, model, path));
    PL_TRY(check_flags(arch, config, origin, model));
    model->file_type = main_type(model);
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
    pl_json *config;
    PL_TRY(pl_json_load(config_path, &config));
    pl_status code = read_model(s, path, folder, config, config_path, options->pre);
    pl_json_free(config);
    if (code == PL_OK && options->how == PL_OPEN_MAP) code = map_files(s, s->state);
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
};
