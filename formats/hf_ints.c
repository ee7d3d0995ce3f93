/* hf_ints.c: what folders of whole-number codes share: matrices with codes, and all others. */
#include "formats/hf_ints.h"

#include <stdio.h>
#include <string.h>

#include "formats/arch.h"

static const char weight_end[] = "weight";

/* ---- types ---- */

/* Are these codes of the format? */
static bool holds(const pl_ints_format *format, const pl_type *type)
{
    return type->scheme == &pl_scheme_ints || (format->also && format->also(type));
}

pl_type pl_ints_form(const pl_ints_format *format, const pl_sink *s, pl_type wish, const pl_tensor *t)
{
    if (!holds(format, &wish)) return wish;
    if (t->id.role == PL_TOKEN_EMBD || t->id.role == PL_OUTPUT)
        return pl_type_is_float(&t->type) ? t->type : pl_type_plain(PL_BF16);
    bool again = t->type.scheme != &pl_scheme_plain && pl_dtype_is_float(t->type.scale);
    if (wish.scheme == &pl_scheme_ints && s->symmetric) wish.symmetric = true;
    if (!wish.scale) wish.scale = format->scale ? format->scale : again ? t->type.scale : NULL;
    return pl_type_scales_like(wish, t->type.element);
}

pl_status pl_ints_resolve(const pl_ints_format *format, const pl_model *model, const pl_tensor *t, pl_type wish,
                          pl_packed *out, const char **name, pl_arena *arena)
{
    const pl_arch *arch = pl_arch_find(model->arch);
    const pl_arch_tensor *row = arch ? pl_arch_row_of(arch, t->id) : NULL;
    bool matrix = t->flags & PL_TENSOR_MATRIX;
    PL_TRY(pl_folder_check(model, format->title));
    if (!row || row->transposed || model->hp.encoder)
        return pl_fail(PL_E_WISH, "%s is not written of '%s' models", format->title, model->arch);
    if (matrix && !pl_type_is_float(&wish) && !holds(format, &wish))
        return pl_fail(PL_E_WISH, "%s cannot hold '%s' as %s; it has %s and floats", format->title, t->name,
                       pl_type_name(&wish), format->types);
    *out = (pl_packed){ .type = matrix ? wish : t->type, .rows = t->rows, .cols = t->cols };
    *name = pl_arch_name(arch, PL_NAMES_HF, t->id, arena);
    if (*name) return PL_OK;
    return pl_fail(PL_E_WISH, "tensor '%s' has no place in a Hugging Face '%s' model", t->name, model->arch);
}

/* The one type of all codes, whatever floats scales are. */
static pl_status type_of_codes(const pl_folder *f, pl_type *out)
{
    const pl_plan *plan = f->plan;
    *out = (pl_type){ 0 };
    for (int i = 0; i < plan->steps; i++) {
        pl_type type = plan->step[i].out.type;
        if (!pl_ints_coded(&plan->step[i])) continue;
        if (!out->scheme) *out = type;
        if (pl_dtype_is_float(type.scale)) type.scale = out->scale;
        if (!pl_type_equal(&type, out))
            return pl_fail(PL_E_WISH, "%s is written with codes of one type, not of %s and %s", f->title,
                           pl_type_name(out), pl_type_name(&type));
    }
    if (out->scheme) return PL_OK;
    return pl_fail(PL_E_WISH, "no matrix gets codes, so this would not be %s; --to dense writes floats", f->title);
}

/* ---- tensors ---- */

static void add_floats(pl_folder *f, const pl_step *step)
{
    const pl_packed *p = &step->out;
    bool row = step->id.role == PL_SHARED_ROUTER;           /* a vector to us, a matrix of one row there */
    int64_t shape[2] = { row ? 1 : p->rows, row ? p->rows : p->cols };
    int tensor = pl_folder_add(f, step->name, p->type.element->safetensors, p->cols > 1 || row ? 2 : 1, shape);
    f->place[p->part[0].id] = (pl_folder_place){ .tensor = tensor, .bytes = p->part[0].bytes };
}

pl_status pl_ints_tensors(pl_folder *f, pl_sink *s, const pl_ints_format *format,
                          pl_status (*add_codes)(pl_folder *f, const pl_step *step))
{
    f->format = "pt";
    f->library = "transformers";
    f->title = format->title;
    PL_TRY(pl_folder_start(f));
    PL_TRY(type_of_codes(f, &((pl_ints_folder *)s->state)->type));
    for (int i = 0; i < f->plan->steps; i++) {
        const pl_step *step = &f->plan->step[i];
        if (pl_ints_coded(step)) PL_TRY(add_codes(f, step));
        else add_floats(f, step);
    }
    return PL_OK;
}

static int stem_of(const char *name) { return (int)(strlen(name) - strlen(weight_end)); }

int pl_ints_add(pl_folder *f, const pl_step *step, const char *end, const char *dtype, int dims, const int64_t *shape)
{
    const char *name = pl_arena_format(f->arena, "%.*s%s", stem_of(step->name), step->name, end);
    return name ? pl_folder_add(f, name, dtype, dims, shape) : -1;
}

/* ---- data ---- */

int pl_ints_zero_rows(const pl_type *type)
{
    if (type->scheme != &pl_scheme_ints || type->symmetric) return 1;
    int rows = 1;
    while (rows * type->bits % 32) rows *= 2;
    return rows;
}

pl_status pl_ints_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model,
                        pl_folder_fill *fill, int rows)
{
    const pl_ints_folder *state = s->state;     /* the plan's size, and so the type, is known */
    int several = pl_ints_zero_rows(&state->type) > rows ? pl_ints_zero_rows(&state->type) : rows;
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        int64_t height = pl_plan_range_rows(plan, step);
        if (pl_ints_coded(step) && height < step->out.rows && height % several)
            return pl_fail(PL_E_WISH, "%s takes %d rows of '%s' at once, for which --memory leaves too little",
                           s->ops->name, several, step->name);
    }
    return pl_folder_begin(s, path, plan, model, fill);
}

pl_status pl_ints_put_zeros(pl_ints_folder *state, const pl_part *part, int64_t offset, const uint8_t *zeros,
                            size_t len, bool down, pl_ints_pack *pack)
{
    pl_folder *f = &state->folder;
    int tensor = f->place[part->id].tensor, bits = state->type.bits;
    const int64_t *shape = f->tensor[tensor].shape;
    int64_t groups = part->stride, first = offset / groups, count = (int64_t)len / groups;
    int64_t words = pl_bits_words(count, bits), before = first * bits / 32;
    uint8_t *column = pl_alloc(count, 1), *packed = pl_alloc(words, 4), *turned = pl_alloc(words * groups, 4);
    pl_status code = column && packed && turned ? PL_OK : PL_E_MEMORY;
    for (int64_t g = 0; g < groups && code == PL_OK; g++) {
        for (int64_t r = 0; r < count; r++) column[r] = zeros[r * groups + g];
        pack(column, count, bits, packed);
        if (!down)
            code = pl_folder_write(f, tensor, (g * shape[1] + before) * 4, packed, (size_t)words * 4);
        for (int64_t i = 0; down && i < words; i++) memcpy(turned + (i * groups + g) * 4, packed + i * 4, 4);
    }
    if (down && code == PL_OK)
        code = pl_folder_write(f, tensor, before * groups * 4, turned, (size_t)(words * groups) * 4);
    pl_free(column);
    pl_free(packed);
    pl_free(turned);
    return code;
}

/* ---- config.json ---- */

static void put_text(pl_json_writer *w, const char *path) { pl_json_put_text(w, NULL, path); }

void pl_ints_left_out(const pl_folder *f, void (*put)(pl_json_writer *w, const char *path), pl_json_writer *w)
{
    char path[PL_MAX_NAME + 1];
    if (!put) put = put_text;
    for (int i = 0; i < f->plan->steps; i++) {
        const pl_step *step = &f->plan->step[i];
        bool matrix = step->out.cols > 1 || step->id.role == PL_SHARED_ROUTER;
        bool table = step->id.role == PL_TOKEN_EMBD || step->id.role == PL_POSITION_EMBD;
        if (!matrix || table || pl_ints_coded(step)) continue;
        snprintf(path, sizeof path, "%.*s", stem_of(step->name) - 1, step->name);
        put(w, path);
    }
    if (f->model->hp.tied) put(w, "lm_head");
}

pl_status pl_ints_config(pl_folder *f, pl_json_writer *w)
{
    static const char *const gone[] = { "quantization", "compression_config" };
    char *text;
    const char *kept = NULL;
    pl_status code = pl_json_finish(w, &text);
    if (code == PL_OK) {
        kept = pl_arena_text(f->arena, text, strlen(text) - 1);     /* no newline */
        if (!kept) code = PL_E_MEMORY;
    }
    pl_free(text);
    pl_json_writer_destroy(w);
    for (int i = 0; i < PL_COUNT(gone); i++) f->edit[f->edits++] = (pl_folder_edit){ .key = gone[i] };
    f->edit[f->edits++] = (pl_folder_edit){ .key = "quantization_config", .value = kept };
    return code;
}
