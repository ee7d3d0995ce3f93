/* dense_write.c: a checkpoint as Hugging Face has it, every matrix in full floats, as a sink: for any other runtime. */
#include <string.h>

#include "formats/arch.h"
#include "formats/folder.h"
#include "formats/registry.h"

static const char title[] = "a dense folder";

static const struct { int dtype; const char *torch; } floats[] = {
    { PL_F32, "\"float32\"" }, { PL_F16, "\"float16\"" }, { PL_BF16, "\"bfloat16\"" },
};

/* Index into floats, or -1. */
static int float_of(const pl_type *type)
{
    for (int i = 0; i < PL_COUNT(floats); i++)
        if (type->scheme == &pl_scheme_plain && type->element == &pl_dtypes[floats[i].dtype]) return i;
    return -1;
}

static pl_status dense_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                               const char **name, pl_arena *arena)
{
    const pl_arch *arch = pl_arch_find(model->arch);
    PL_TRY(pl_folder_check(model, title));
    if (!(t->flags & PL_TENSOR_MATRIX) && float_of(&wish) < 0) wish = t->type;
    if (float_of(&wish) < 0)
        return pl_fail(PL_E_WISH, "%s holds bf16, f16 or f32, not %s ('%s')", title, pl_type_name(&wish), t->name);
    *out = (pl_packed){ .type = wish, .rows = t->rows, .cols = t->cols };
    *name = arch ? pl_arch_name(arch, PL_NAMES_HF, t->id, arena) : NULL;
    if (*name) return PL_OK;
    return pl_fail(PL_E_WISH, "tensor '%s' has no place in a Hugging Face '%s' model", t->name, model->arch);
}

static pl_status fill(pl_folder *f, pl_sink *s)
{
    const pl_arch *arch = pl_arch_find(f->model->arch);
    int torch = float_of(&f->plan->type);
    if (torch < 0) torch = PL_COUNT(floats) - 1;        /* of what every matrix has a rule of its own for */
    f->format = "pt";
    f->library = "transformers";
    f->title = title;
    PL_TRY(pl_folder_start(f));
    for (int i = 0; i < f->plan->steps; i++) {
        const pl_step *step = &f->plan->step[i];
        const pl_packed *p = &step->out;
        bool matrix = p->cols > 1, row = step->id.role == PL_SHARED_ROUTER;
        bool turned = matrix && pl_arch_row_of(arch, step->id)->transposed;
        int64_t shape[2] = { p->rows, p->cols }, other[2] = { p->cols, p->rows };
        int tensor = pl_folder_add(f, step->name, p->type.element->safetensors, matrix || row ? 2 : 1,
                                   turned || row ? other : shape);
        f->place[p->part[0].id] = (pl_folder_place){ .tensor = tensor, .bytes = p->part[0].bytes,
                                                     .rows = turned ? p->rows : 0, .cols = turned ? p->cols : 0 };
    }
    static const char *const gone[] = { "quantization", "quantization_config", "compression_config" };
    static const char *const dtype[] = { "torch_dtype", "dtype" };
    for (int i = 0; i < PL_COUNT(gone); i++) f->edit[f->edits++] = (pl_folder_edit){ .key = gone[i] };
    for (int i = 0; i < PL_COUNT(dtype); i++)
        f->edit[f->edits++] = (pl_folder_edit){ .key = dtype[i], .value = floats[torch].torch, .only = true };
    return PL_OK;
}

static pl_status dense_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    return pl_folder_size(s, plan, model, fill, bytes);
}

static pl_status dense_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    return pl_folder_begin(s, path, plan, model, fill);
}

const pl_sink_ops pl_sink_dense = {
    .name = "dense",
    .extension = "",
    .flags = PL_SINK_ANY_ORDER | PL_SINK_FOLDER | PL_SINK_AS_STORED | PL_SINK_RESUMES,
    .state_size = sizeof(pl_folder),
    .resolve = dense_resolve,
    .size = dense_size,
    .file_name = pl_folder_file_name,
    .begin = dense_begin,
    .put = pl_folder_put,
    .finish = pl_folder_finish,
    .close = pl_folder_close,
};
