/* mlx_write.c: folders that mlx-lm loads, as a sink. */
#include <stdio.h>
#include <string.h>

#include "formats/folder.h"
#include "formats/mlx_names.h"
#include "formats/mlx_types.h"
#include "formats/registry.h"

static const char title[] = "MLX";

/* ---- types ---- */

/* GGUF's 4-bit floats become MLX's, and affine codes get scales of the type that the weights have. */
static pl_type mlx_form(const pl_sink *s, pl_type wish, const pl_tensor *t)
{
    pl_type plain = pl_type_plain(PL_MXFP4), other = pl_type_plain(PL_NVFP4);
    if (pl_type_equal(&wish, &plain)) return pl_mlx_type_of(PL_MLX_MXFP4);
    if (pl_type_equal(&wish, &other)) return pl_mlx_type_of(PL_MLX_NVFP4);
    if (wish.scheme != &pl_scheme_affine || wish.scale) return wish;
    const pl_dtype *scale = &pl_dtypes[PL_BF16];
    if (pl_type_is_float(&t->type)) scale = t->type.element;
    else if (t->type.scheme == &pl_scheme_affine) scale = t->type.scale;
    return pl_type_affine(wish.bits, wish.group, scale);
}

static pl_status mlx_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                             const char **name, pl_arena *arena)
{
    const pl_arch *arch = pl_arch_find(model->arch);
    bool matrix = t->flags & PL_TENSOR_MATRIX;
    PL_TRY(pl_folder_check(model, title));
    if (!arch || !pl_mlx_has(model->arch, false))
        return pl_fail(PL_E_WISH, "mlx-lm has no '%s' models; it has %s", model->arch, pl_mlx_list());
    if (t->id.role == PL_OUTPUT && !pl_mlx_has(model->arch, true))
        return pl_fail(PL_E_WISH, "mlx-lm takes the output matrix of a '%s' model to be its token table; this one has "
                       "'%s'", model->arch, t->name);
    if (matrix && !pl_type_is_float(&wish) && !pl_mlx_mode(&wish))
        return pl_fail(PL_E_WISH, "MLX cannot hold '%s' as %s; it has affine{2,3,4,5,6,8}-g{32,64,128}, mxfp4, mxfp8, "
                       "nvfp4, bf16, f16 and f32", t->name, pl_type_name(&wish));
    /* Where all are floats, norms are of the same type, or they would decide in which one mlx-lm computes. */
    *out = (pl_packed){ .type = matrix || pl_type_is_float(&wish) ? wish : t->type, .rows = t->rows, .cols = t->cols };
    *name = pl_mlx_name(arch, t->id, arena);
    if (*name) return PL_OK;
    return pl_fail(PL_E_WISH, "tensor '%s' has no place in mlx-lm's '%s' models", t->name, model->arch);
}

/* ---- tensors ---- */

/* One part of a step, or of all experts from it on, as a tensor. */
static pl_status add_part(pl_folder *f, int first, int count, int index)
{
    const pl_step *step = &f->plan->step[first];
    const pl_packed *p = &step->out;
    const pl_part *part = &p->part[index];
    const char *name = step->name, *dtype = part->dtype->safetensors;
    bool coded = p->nparts > 1;
    int64_t shape[3] = { count, p->rows, part->stride / (coded && index == 0 ? 4 : part->dtype->bytes) };
    int skip = step->id.expert >= 0 ? 0 : 1, dims = 3 - skip;
    if (coded && index == 0) dtype = "U32";
    else if (coded && part->dtype->bytes == 1) dtype = "U8";
    if (index > 0)
        name = pl_arena_format(f->arena, "%.*s%s", (int)(strlen(name) - strlen("weight")), name,
                               index == 1 ? "scales" : "biases");
    if (!name) return PL_E_MEMORY;
    if (p->cols == 1 && !coded) {               /* a vector; that of the shared expert is a matrix of one row */
        bool row = step->id.role == PL_SHARED_ROUTER;
        shape[1] = row ? 1 : p->rows;
        shape[2] = p->rows;
        dims = row ? 2 : 1;
    }
    int tensor = pl_folder_add(f, name, dtype, dims, shape + skip);
    for (int x = 0; x < count; x++)
        f->place[f->plan->step[first + x].out.part[index].id] =
            (pl_folder_place){ .tensor = tensor, .at = x * part->bytes, .bytes = part->bytes };
    return PL_OK;
}

/* ---- config.json ---- */

static void put_mode(pl_json_writer *w, const char *key, const pl_type *type)
{
    pl_json_begin_object(w, key);
    pl_json_put_int(w, "group_size", type->group);
    pl_json_put_int(w, "bits", pl_mlx_bits(type));
    pl_json_put_text(w, "mode", pl_mlx_mode(type));
    pl_json_end(w);
}

/* The type that most quantized weights have: what holds where nothing else is said. Scheme NULL: there are none. */
static pl_type main_type(const pl_plan *plan)
{
    enum { KINDS = 32 };
    pl_type kind[KINDS];
    int64_t weights[KINDS];
    int kinds = 0, most = 0;
    for (int i = 0; i < plan->steps; i++) {
        const pl_packed *p = &plan->step[i].out;
        int k = 0;
        if (!pl_mlx_mode(&p->type)) continue;
        while (k < kinds && !pl_mlx_alike(&kind[k], &p->type)) k++;
        if (k == KINDS) continue;
        if (k == kinds) kind[kinds] = p->type, weights[kinds++] = 0;
        weights[k] += p->rows * p->cols;
        if (weights[k] > weights[most]) most = k;
    }
    return kinds ? kind[most] : (pl_type){ 0 };
}

/* "quantization" as mlx-lm writes it: what holds for all modules, then those that differ, by their paths. */
static pl_status quantization(const pl_folder *f, const pl_type *main, const char **out)
{
    pl_json_writer *w;
    char path[PL_MAX_NAME + 1], *text;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_int(w, "group_size", main->group);
    pl_json_put_int(w, "bits", pl_mlx_bits(main));
    pl_json_put_text(w, "mode", pl_mlx_mode(main));
    for (int i = 0; i < f->plan->steps; i++) {
        const pl_step *step = &f->plan->step[i];
        bool vector = step->out.cols == 1 && step->id.role != PL_SHARED_ROUTER;
        if (vector || step->id.expert > 0 || pl_mlx_alike(&step->out.type, main)) continue;
        snprintf(path, sizeof path, "%.*s", (int)(strlen(step->name) - strlen(".weight")), step->name);
        if (pl_mlx_mode(&step->out.type)) put_mode(w, path, &step->out.type);
        else pl_json_put_bool(w, path, false);
    }
    pl_status code = pl_json_finish(w, &text);
    if (code == PL_OK) {
        *out = pl_arena_text(f->arena, text, strlen(text) - 1);     /* no newline */
        if (!*out) code = PL_E_MEMORY;
    }
    pl_free(text);
    pl_json_writer_destroy(w);
    return code;
}

static pl_status fill(pl_folder *f, pl_sink *s)
{
    f->format = f->library = "mlx";
    f->title = title;
    PL_TRY(pl_folder_start(f));
    for (int i = 0, count; i < f->plan->steps; i += count) {
        PL_TRY(pl_folder_stack(f, i, &count));
        for (int part = 0; part < f->plan->step[i].out.nparts; part++) PL_TRY(add_part(f, i, count, part));
    }
    const char *text = NULL;
    pl_type main = main_type(f->plan);
    if (main.scheme) PL_TRY(quantization(f, &main, &text));
    f->edit[f->edits++] = (pl_folder_edit){ .key = "quantization", .value = text };
    f->edit[f->edits++] = (pl_folder_edit){ .key = "quantization_config", .value = text };
    return PL_OK;
}

/* ---- operations ---- */

static pl_status mlx_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    return pl_folder_size(s, plan, model, fill, bytes);
}

static pl_status mlx_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    return pl_folder_begin(s, path, plan, model, fill);
}

const pl_sink_ops pl_sink_mlx = {
    .name = "mlx",
    .extension = "",
    .target_types = "affine2-g64,affine3-g64,affine4-g64,affine5-g64,affine6-g64,affine8-g64",
    .flags = PL_SINK_ANY_ORDER | PL_SINK_FOLDER | PL_SINK_AS_STORED | PL_SINK_RESUMES,
    .state_size = sizeof(pl_folder),
    .form = mlx_form,
    .resolve = mlx_resolve,
    .size = mlx_size,
    .file_name = pl_folder_file_name,
    .begin = mlx_begin,
    .put = pl_folder_put,
    .finish = pl_folder_finish,
    .close = pl_folder_close,
};
