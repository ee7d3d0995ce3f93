/* hf_model.c: the source that reads a Hugging Face checkpoint: config.json beside safetensors. */
#include <string.h>

#include "core/fs.h"
#include "core/log.h"
#include "core/source.h"
#include "formats/arch.h"
#include "formats/hf_meta.h"
#include "formats/hf_vocab.h"
#include "formats/registry.h"
#include "formats/safetensors.h"

static const char config_name[] = "config.json";
static const char weights_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

typedef struct hf_state {
    pl_st_set set;
    const pl_st_tensor **from;  /* [tensors] of the model */
    const uint8_t **map;        /* [files]; NULL: windows are read */
} hf_state;

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
    static const char *const side[] = { config_name, index_name, "tokenizer.json",
                                        "tokenizer_config.json", "generation_config.json",
                                        "README.md" };
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
    if (!cJSON_IsObject(config)) return pl_fail(PL_E_INPUT, "%s: should be an object", origin);
    static const char *const packed[] = { "quantization_config", "quantization" };
    for (int i = 0; i < PL_COUNT(packed); i++) {
        const pl_json *found = pl_json_get(config, packed[i]);
        if (!found) continue;
        const pl_json *how = pl_json_get(found, "quant_method");
        return pl_fail(PL_E_INPUT, "%s: '%s'%s%s: this checkpoint is quantized already; only F32, "
                       "F16 and BF16 weights can be read", origin, packed[i],
                       cJSON_IsString(how) ? " of " : "", cJSON_IsString(how) ? how->valuestring : "");
    }
    const pl_json *names = pl_json_get(config, "architectures");
    if (!cJSON_IsArray(names) || !cJSON_IsString(names->child))
        return pl_fail(PL_E_INPUT, "%s: 'architectures' should be a list with a name", origin);
    *arch = pl_arch_find_hf(names->child->valuestring);
    if (!*arch)
        return pl_fail(PL_E_INPUT, "%s: architecture '%.80s' is not known; known are %s", origin,
                       names->child->valuestring, pl_arch_list());
    return (*arch)->config(config, origin, hp);
}

/* What config.json says of optional tensors holds: else the model would compute something else than
 * where it comes from. */
static pl_status check_flags(const pl_arch *arch, const pl_json *config, const char *origin,
                             const pl_model *model)
{
    for (int i = 0; i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        if (!row->flag) continue;
        bool said = false, there = pl_model_find(model, pl_id_make(row->role, 0, -1)) >= 0;
        PL_TRY(pl_json_bool(config, row->flag, false, origin, &said));
        if (said != there)
            return pl_fail(PL_E_INPUT, "%s: %s is %s, but the checkpoint has %s'%s'", origin,
                           row->flag, said ? "true" : "false", said ? "no " : "", row->hf);
    }
    return PL_OK;
}

/* ---- tensors ---- */

static pl_status describe(const pl_st_tensor *from, pl_id id, const char *origin, pl_tensor *t)
{
    const pl_dtype *dtype = pl_dtype_by_safetensors(from->dtype);
    if (!dtype)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is stored as %s; expected F32, F16 or BF16",
                       origin, from->name, from->dtype);
    if (from->dims != 1 && from->dims != 2)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %d dimensions, expected 1 or 2", origin,
                       from->name, (int)from->dims);
    bool matrix = from->dims == 2;
    *t = (pl_tensor){ .id = id, .name = from->name, .rows = from->shape[0],
                      .cols = matrix ? from->shape[1] : 1,
                      .type = pl_type_plain((int)(dtype - pl_dtypes)),
                      .flags = matrix ? PL_TENSOR_MATRIX : 0 };
    return PL_OK;
}

/* Tensors of the files -> tensors of the model, by the architecture's table. */
static pl_status add_tensors(pl_source *s, hf_state *state, const pl_arch *arch)
{
    pl_model *model = s->model;
    const pl_st_set *set = &state->set;
    model->tensor = PL_NEW(s->arena, pl_tensor, set->tensors);
    state->from = PL_NEW(s->arena, const pl_st_tensor *, set->tensors);
    if (!model->tensor || !state->from) return PL_E_MEMORY;
    for (int i = 0; i < set->tensors; i++) {
        const pl_st_tensor *from = &set->tensor[i];
        const char *origin = pl_file_path(set->file[from->file]);
        pl_id id;
        if (!pl_arch_identify(arch, PL_NAMES_HF, from->name, &id))
            return pl_fail(PL_E_INPUT, "%s: tensor '%s' is none of a %s model", origin, from->name,
                           arch->name);
        if (id.role < 0) continue;
        if (id.role == PL_OUTPUT && model->hp.tied) {
            pl_log(PL_LOG_WARN, "%s: '%s' is passed over: tie_word_embeddings is true", origin,
                   from->name);
            continue;
        }
        PL_TRY(describe(from, id, origin, &model->tensor[model->tensors]));
        state->from[model->tensors++] = from;
    }
    return PL_OK;
}

/* Name of the type that most weights of matrices have. */
static const char *main_type(const pl_model *model)
{
    int64_t weights[PL_DTYPES] = { 0 };
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

static pl_status map_files(pl_source *s, hf_state *state)
{
    state->map = PL_NEW(s->arena, const uint8_t *, state->set.files);
    if (!state->map) return PL_E_MEMORY;
    for (int i = 0; i < state->set.files; i++)
        PL_TRY(pl_file_map(state->set.file[i], &state->map[i]));
    return PL_OK;
}

static pl_status read_model(pl_source *s, const char *path, const char *folder,
                            const pl_json *config, const char *origin)
{
    hf_state *state = s->state;
    pl_model *model = s->model;
    const pl_arch *arch = NULL;
    PL_TRY(read_config(config, origin, &arch, &model->hp));
    model->arch = arch->name;
    PL_TRY(open_weights(path, folder, s->arena, &state->set));
    PL_TRY(add_tensors(s, state, arch));
    PL_TRY(pl_model_index(model, s->arena));
    PL_TRY(pl_arch_check(arch, model, path));
    PL_TRY(check_flags(arch, config, origin, model));
    model->file_type = main_type(model);
    PL_TRY(pl_hf_meta_read(folder, config, s->arena, model));
    PL_TRY(pl_hf_vocab_read(folder, config, model->hp.vocab, s->vocab_arena, &model->vocab));
    return list_files(s, folder, &state->set);
}

static pl_status open_model(pl_source *s, const char *path, pl_open_how how)
{
    char config_path[PATH_MAX];
    s->model = PL_ZNEW(s->arena, pl_model, 1);
    char *folder = folder_of(path, s->arena);
    if (!s->model || !folder) return PL_E_MEMORY;
    PL_TRY(pl_path_join(config_path, sizeof config_path, folder, config_name));
    pl_json *config;
    PL_TRY(pl_json_load(config_path, &config));
    pl_status code = read_model(s, path, folder, config, config_path);
    pl_json_free(config);
    if (code == PL_OK && how == PL_OPEN_MAP) code = map_files(s, s->state);
    return code;
}

static void close_model(pl_source *s)
{
    hf_state *state = s->state;
    pl_st_close(&state->set);
}

/* ---- data ---- */

static int64_t row_bytes_of(const pl_tensor *t) { return t->cols * t->type.element->bytes; }

/* Bytes of rows first .. first+count-1, as stored: in the map, or read into scratch. */
static pl_status stored(pl_source *s, int tensor, int64_t first, int64_t count, pl_arena *scratch,
                        const uint8_t **out)
{
    hf_state *state = s->state;
    const pl_st_tensor *from = state->from[tensor];
    int64_t row_bytes = row_bytes_of(&s->model->tensor[tensor]);
    int64_t offset = from->offset + first * row_bytes;
    if (state->map) {
        *out = state->map[from->file] + offset;
        return PL_OK;
    }
    uint8_t *bytes = PL_NEW(scratch, uint8_t, count * row_bytes);
    if (!bytes) return PL_E_MEMORY;
    *out = bytes;
    return pl_file_read(state->set.file[from->file], offset, bytes, (size_t)(count * row_bytes));
}

static pl_status rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                      pl_arena *scratch)
{
    const pl_tensor *t = &s->model->tensor[tensor];
    pl_arena_mark mark = pl_arena_save(scratch);
    const uint8_t *bytes;
    PL_TRY(stored(s, tensor, first, count, scratch, &bytes));
    pl_decode(t->type.element, bytes, out, count * t->cols);
    pl_arena_restore(scratch, mark);
    return PL_OK;
}

static pl_status packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                        pl_arena *scratch)
{
    const pl_tensor *t = &s->model->tensor[tensor];
    PL_TRY(pl_packed_init(out, t->type, count, t->cols));
    return stored(s, tensor, first, count, scratch, &out->part[0].ptr);
}

static void advise(pl_source *s, int tensor, int64_t first, int64_t count)
{
    hf_state *state = s->state;
    const pl_st_tensor *from = state->from[tensor];
    int64_t row_bytes = row_bytes_of(&s->model->tensor[tensor]);
    pl_file_advise(state->set.file[from->file], from->offset + first * row_bytes, count * row_bytes);
}

const pl_source_ops pl_source_hf = {
    .name = "hf",
    .state_size = sizeof(hf_state),
    .probe = probe,
    .open = open_model,
    .close = close_model,
    .rows = rows,
    .packed = packed,
    .advise = advise,
};
