/* folder.c: writing a folder of safetensors with what belongs to it. */
#include "formats/folder.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/side.h"

static const char config_name[] = "config.json", card_name[] = "README.md";

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- what goes where ---- */

static const pl_side *source_config(const pl_model *model)
{
    for (int i = 0; i < model->sides; i++)
        if (!strcmp(model->side[i].name, config_name)) return &model->side[i];
    return NULL;
}

pl_status pl_folder_check(const pl_model *model, const char *title)
{
    if (source_config(model)) return PL_OK;
    return pl_fail(PL_E_WISH, "%s takes config.json and tokenizer files over from a Hugging Face folder; this input "
                   "has none", title);
}

pl_status pl_folder_start(pl_folder *f)
{
    const pl_plan *plan = f->plan;
    f->tensor = PL_NEW(f->arena, pl_st_out, plan->parts + 2 * plan->steps);
    f->place = PL_NEW(f->arena, pl_folder_place, plan->parts);
    if (!f->tensor || !f->place) return PL_E_MEMORY;
    for (int i = 0; i < plan->parts; i++) f->place[i] = (pl_folder_place){ .tensor = -1 };
    f->tensors = f->edits = 0;
    return PL_OK;
}

int pl_folder_add(pl_folder *f, const char *name, const char *dtype, int dims, const int64_t *shape)
{
    pl_st_out *t = &f->tensor[f->tensors];
    *t = (pl_st_out){ .name = name, .dtype = dtype, .dims = dims };
    memcpy(t->shape, shape, (size_t)dims * sizeof *shape);
    return f->tensors++;
}

pl_status pl_folder_stack(const pl_folder *f, int first, int *count)
{
    const pl_plan *plan = f->plan;
    const pl_step *a = &plan->step[first];
    int n = 1;
    for (; first + n < plan->steps && !strcmp(plan->step[first + n].name, a->name); n++) {
        const pl_step *b = &plan->step[first + n];
        if (!pl_type_equal(&b->out.type, &a->out.type))
            return pl_fail(PL_E_WISH, "%s keeps all experts of '%s' in one tensor of one type, some are to be %s, some "
                           "%s", f->title, a->name, pl_type_name(&a->out.type), pl_type_name(&b->out.type));
        if (b->out.rows != a->out.rows || b->out.cols != a->out.cols || b->id.expert != n)
            return pl_fail(PL_E_WISH, "%s cannot stack expert %d of '%s'", f->title, (int)b->id.expert, a->name);
    }
    if (n > 1 && n != f->model->hp.experts)
        return pl_fail(PL_E_WISH, "%s cannot hold %d of %d experts of '%s'", f->title, n, (int)f->model->hp.experts,
                       a->name);
    *count = n;
    return PL_OK;
}

/* Everything that is known before the data. Memory from the folder's arena. */
static pl_status prepare(pl_folder *f, pl_sink *s, const pl_plan *plan, const pl_model *model, pl_arena *arena,
                         pl_folder_fill *fill)
{
    const pl_side *config = source_config(model);
    char *text;
    f->plan = plan;
    f->model = model;
    f->arena = arena;
    PL_TRY(fill(f, s));
    PL_TRY(pl_folder_check(model, f->title));
    PL_TRY(pl_st_lay_out(f->tensor, f->tensors, s->max_shard, f->format, arena, &f->layout));
    pl_status code = pl_side_load(config, &text);
    if (code == PL_OK) code = pl_folder_edit_json(text, config->path, f->edit, f->edits, arena, &f->config);
    pl_free(text);
    return code == PL_OK ? pl_folder_card(f, &f->card) : code;
}

/* Is this file of the source taken over as it is? */
static bool taken_over(const pl_side *side) { return strcmp(side->name, config_name) != 0; }

pl_status pl_folder_size(pl_sink *s, const pl_plan *plan, const pl_model *model, pl_folder_fill *fill, int64_t *bytes)
{
    pl_folder f = *(pl_folder *)s->state;
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    pl_status code = prepare(&f, s, plan, model, arena, fill);
    *bytes = 0;
    if (code == PL_OK) {
        s->files = f.layout.files;
        *bytes = (int64_t)(strlen(f.config) + strlen(f.card) + (f.layout.index ? strlen(f.layout.index) : 0));
        for (int i = 0; i < f.layout.files; i++) *bytes += f.layout.file[i].bytes;
    }
    for (int i = 0; i < model->sides; i++)
        if (taken_over(&model->side[i])) *bytes += model->side[i].bytes;
    pl_arena_destroy(arena);
    return code;
}

pl_status pl_folder_file_name(const pl_sink *s, const char *path, int i, char out[PATH_MAX])
{
    const pl_st_layout names = { .files = s->files };
    char name[64];
    pl_st_out_name(&names, i, name);
    return pl_path_join(out, PATH_MAX, path, name);
}

/* ---- opening ---- */

/* Keeps the name that is first in order, but for unfinished work (core/outfile.h). */
static pl_status first_entry(void *ctx, const char *name)
{
    char *found = ctx;
    bool ours = !fnmatch("*.partial", name, 0) || !fnmatch("*.part-*-of-*", name, 0);
    if (!ours && (!found[0] || strcmp(name, found) < 0)) snprintf(found, PL_MAX_NAME + 1, "%s", name);
    return PL_OK;
}

/* The folder is there afterwards, and may be written into. */
static pl_status open_folder(pl_folder *f, const char *path)
{
    char source[PATH_MAX], other[PL_MAX_NAME + 1] = "";
    const char *config = source_config(f->model)->path;
    snprintf(source, sizeof source, "%.*s", (int)(base_name(config) - config), config);
    PL_TRY(pl_path_apart("output", path, source[0] ? source : "."));
    f->path = pl_strdup(path);
    if (!f->path) return PL_E_MEMORY;
    if (mkdir(path, 0777) == 0) {
        f->made = true;
        return PL_OK;
    }
    if (errno != EEXIST) return pl_fail(PL_E_IO, "cannot make the folder '%s': %s", path, strerror(errno));
    if (!pl_path_is_dir(path)) return pl_fail(PL_E_WISH, "'%s' is no folder, as the output would be", path);
    const pl_outset *set = f->set;
    f->replaces = set->force && !set->joined && !set->parts;
    if (!set->force && !set->resume && !set->joined) PL_TRY(pl_path_each(path, first_entry, other));
    if (!other[0]) return PL_OK;
    return pl_fail(PL_E_WISH, "the folder '%s' is not empty ('%s' is in it); --force replaces what the output "
                   "consists of", path, other);
}

/* One more file under way, of so many bytes. */
static pl_status open_file(pl_folder *f, const char *name, int64_t bytes)
{
    char path[PATH_MAX];
    PL_TRY(pl_path_join(path, sizeof path, f->path, name));
    PL_TRY(pl_outset_open(f->set, path, bytes, &f->file[f->files]));
    f->files++;
    return PL_OK;
}

/* One more file, whole. */
static pl_status write_text(pl_folder *f, const char *name, const char *text)
{
    PL_TRY(open_file(f, name, (int64_t)strlen(text)));
    return pl_outfile_write(f->file[f->files - 1], 0, text, strlen(text));
}

static pl_status copy_file(pl_folder *f, const pl_side *side)
{
    PL_TRY(open_file(f, side->name, side->bytes));
    return pl_side_copy(side, f->file[f->files - 1], 0);
}

/* All files but the tensors' are whole then. Names are given from the last to the first: without config.json, which
 * comes last, nobody takes the folder for a model. */
static pl_status open_files(pl_folder *f)
{
    const pl_st_layout *l = &f->layout;
    char name[64];
    f->file = pl_alloc(l->files + f->model->sides + 3, sizeof *f->file);
    if (!f->file) return PL_E_MEMORY;
    PL_TRY(write_text(f, config_name, f->config));
    if (l->index) PL_TRY(write_text(f, pl_st_index_name, l->index));
    f->first_shard = f->files;
    for (int i = 0; i < l->files; i++) {
        pl_st_out_name(l, i, name);
        PL_TRY(open_file(f, name, l->file[i].bytes));
        PL_TRY(pl_st_write_header(l, i, f->file[f->files - 1]));
    }
    for (int i = 0; i < f->model->sides; i++)
        if (taken_over(&f->model->side[i])) PL_TRY(copy_file(f, &f->model->side[i]));
    return write_text(f, card_name, f->card);
}

pl_status pl_folder_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model,
                          pl_folder_fill *fill)
{
    pl_folder *f = s->state;
    pl_arena *arena;
    PL_TRY(pl_arena_create(&arena));
    f->arena = arena;                       /* close frees it */
    PL_TRY(prepare(f, s, plan, model, arena, fill));
    f->parts = plan->parts;
    f->set = &s->set;
    PL_TRY(open_folder(f, path));
    return open_files(f);
}

/* ---- data ---- */

pl_status pl_folder_write(pl_folder *f, int tensor, int64_t offset, const void *bytes, size_t len)
{
    const pl_st_out *t = tensor >= 0 && tensor < f->tensors ? &f->tensor[tensor] : NULL;
    PL_TRY(pl_sink_within("tensor", tensor, t ? t->bytes : -1, offset, len));
    return pl_outfile_write(f->file[f->first_shard + t->file], t->at + offset, bytes, len);
}

/* Whole rows of a matrix that is stored column by column. */
static pl_status put_turned(pl_folder *f, const pl_folder_place *to, int64_t offset, const uint8_t *bytes, size_t len)
{
    int64_t unit = to->bytes / (to->rows * to->cols), pitch = to->cols * unit;
    int64_t first = offset / pitch, count = (int64_t)len / pitch;
    uint8_t *column = pl_alloc(count, (size_t)unit);
    pl_status code = column ? PL_OK : PL_E_MEMORY;
    for (int64_t c = 0; c < to->cols && code == PL_OK; c++) {
        for (int64_t r = 0; r < count; r++)
            memcpy(column + r * unit, bytes + r * pitch + c * unit, (size_t)unit);
        code = pl_folder_write(f, to->tensor, to->at + (c * to->rows + first) * unit, column, (size_t)(count * unit));
    }
    pl_free(column);
    return code;
}

pl_status pl_folder_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    pl_folder *f = s->state;
    const pl_folder_place *to = part->id >= 0 && part->id < f->parts ? &f->place[part->id] : NULL;
    PL_TRY(pl_sink_within("part", part->id, to ? to->bytes : -1, offset, len));
    if (to->rows) return put_turned(f, to, offset, bytes, len);
    return pl_folder_write(f, to->tensor, to->at + offset, bytes, len);
}

/* ---- the end ---- */

static pl_status remove_old(void *ctx, const char *name)
{
    const pl_folder *f = ctx;
    char path[PATH_MAX];
    if (strcmp(name, pl_st_index_name) && fnmatch("model*.safetensors", name, 0)) return PL_OK;
    PL_TRY(pl_path_join(path, sizeof path, f->path, name));
    return pl_file_remove(path);
}

/* Takes away what made a model of the folder before: while names are given it is none, and no old file may be read
 * together with new ones. */
static pl_status clear_old(pl_folder *f)
{
    char path[PATH_MAX];
    PL_TRY(pl_path_join(path, sizeof path, f->path, config_name));
    PL_TRY(pl_file_remove(path));           /* first: what is left then is no model */
    return pl_path_each(f->path, remove_old, f);
}

pl_status pl_folder_finish(pl_sink *s)
{
    pl_folder *f = s->state;
    if (f->replaces) PL_TRY(clear_old(f));
    int files = f->files;
    f->files = 0;
    PL_TRY(pl_outfile_commit_all(f->file, files));
    f->made = false;                        /* stays */
    return PL_OK;
}

void pl_folder_close(pl_sink *s)
{
    pl_folder *f = s->state;
    for (int i = 0; i < f->files; i++) pl_outfile_abandon(f->file[i]);
    if (f->made) rmdir(f->path);
    pl_free(f->file);
    pl_free(f->path);
    pl_arena_destroy(f->arena);
}
