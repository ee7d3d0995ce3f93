/* hf_ints.c: what folders of whole-number codes share: matrices with codes, and all others. */
#include "formats/hf_ints.h"

#include <stdio.h>
#include <string.h>

#include "formats/arch.h"

static const char weight_end[] = "weight";

static bool is_float(const pl_type *type)
{
    const pl_dtype *dtype = type->element;
    bool wide = dtype == &pl_dtypes[PL_F32] || dtype == &pl_dtypes[PL_F16] || dtype == &pl_dtypes[PL_BF16];
    return type->scheme == &pl_scheme_plain && wide;
}

/* ---- types ---- */

pl_type pl_ints_form(pl_type wish, const pl_tensor *t, const pl_dtype *scale)
{
    if (wish.scheme != &pl_scheme_ints) return wish;
    if (t->id.role == PL_TOKEN_EMBD || t->id.role == PL_OUTPUT)
        return is_float(&t->type) ? t->type : pl_type_plain(PL_BF16);
    bool again = t->type.scheme == &pl_scheme_ints || t->type.scheme == &pl_scheme_affine;
    if (!wish.scale) wish.scale = scale ? scale : again ? t->type.scale : NULL;
    return pl_type_scales_like(wish, t->type.element);
}

pl_status pl_ints_resolve(const char *title, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                          const char **name, pl_arena *arena)
{
    const pl_arch *arch = pl_arch_find(model->arch);
    const pl_arch_tensor *row = arch ? pl_arch_row_of(arch, t->id) : NULL;
    bool matrix = t->flags & PL_TENSOR_MATRIX;
    PL_TRY(pl_folder_check(model, title));
    if (!row || row->transposed || model->hp.encoder)
        return pl_fail(PL_E_WISH, "%s is not written of '%s' models", title, model->arch);
    if (matrix && !is_float(&wish) && !(wish.scheme == &pl_scheme_ints && wish.symmetric))
        return pl_fail(PL_E_WISH, "%s cannot hold '%s' as %s; it has int{2,3,4,8}[-g{32,64,128}] and floats", title,
                       t->name, pl_type_name(&wish));
    *out = (pl_packed){ .type = matrix ? wish : t->type, .rows = t->rows, .cols = t->cols };
    *name = pl_arch_name(arch, PL_NAMES_HF, t->id, arena);
    if (*name) return PL_OK;
    return pl_fail(PL_E_WISH, "tensor '%s' has no place in a Hugging Face '%s' model", t->name, model->arch);
}

/* The one type of all codes. */
static pl_status type_of_codes(const pl_folder *f, pl_type *out)
{
    const pl_plan *plan = f->plan;
    *out = (pl_type){ 0 };
    for (int i = 0; i < plan->steps; i++) {
        const pl_type *type = &plan->step[i].out.type;
        if (!pl_ints_coded(&plan->step[i])) continue;
        if (!out->scheme) *out = *type;
        if (type->bits != out->bits || type->group != out->group)
            return pl_fail(PL_E_WISH, "%s is written with codes of one type, not of %s and %s", f->title,
                           pl_type_name(out), pl_type_name(type));
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

pl_status pl_ints_tensors(pl_folder *f, const char *title, pl_status (*add_codes)(pl_folder *f, const pl_step *step),
                          pl_type *type)
{
    f->format = "pt";
    f->library = "transformers";
    f->title = title;
    PL_TRY(pl_folder_start(f));
    PL_TRY(type_of_codes(f, type));
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

/* ---- config.json ---- */

void pl_ints_left_out(const pl_folder *f, void (*put)(pl_json_writer *w, const char *path), pl_json_writer *w)
{
    char path[PL_MAX_NAME + 1];
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
