/* ct_write.c: folders in compressed-tensors' layouts, as a sink: pack-quantized, the streams of codes that planish
 * keeps itself; 8 bits with one scale for a row: int-quantized, signed bytes; float-quantized, 8-bit floats; nvfp4- and
 * mxfp4-pack-quantized, 4-bit floats. */
#include <string.h>

#include "formats/ct_read.h"
#include "formats/hf_ints.h"
#include "formats/registry.h"

enum { AT_ONCE = 1 << 16 };     /* bytes of codes that are turned into signed ones */

static bool is_fp8(const pl_type *type)
{
    const pl_type rows = pl_type_scaled(&pl_dtypes[PL_F8_E4M3], type->scale, 1, 0);
    return pl_type_equal(type, &rows);
}

static bool is_fp4(const pl_type *type)
{
    const pl_type nvfp4 = pl_ct_fp4(true), mxfp4 = pl_ct_fp4(false);
    return pl_type_equal(type, &nvfp4) || pl_type_equal(type, &mxfp4);
}

static bool is_float(const pl_type *type) { return is_fp8(type) || is_fp4(type); }

static const pl_ints_format format = { "compressed-tensors", "[u]int{2,3,4,8}[-g{32,64,128}], fp8, nvfp4, mxfp4",
                                       is_float, NULL };

/* Signed bytes, for kernels that quantize activations to 8 bits, too. */
static bool in_bytes(const pl_type *type)
{
    return type->scheme == &pl_scheme_ints && type->bits == 8 && type->group == 0 && type->symmetric;
}

/* GGUF's 4-bit floats become compressed-tensors'. */
static pl_type ct_form(const pl_sink *s, pl_type wish, const pl_tensor *t)
{
    const pl_type mxfp4 = pl_type_plain(PL_MXFP4), nvfp4 = pl_type_plain(PL_NVFP4);
    bool two = pl_type_equal(&wish, &nvfp4);
    if (two || pl_type_equal(&wish, &mxfp4)) wish = pl_ct_fp4(two);
    return pl_ints_form(&format, s, wish, t);
}

static pl_status ct_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                            const char **name, pl_arena *arena)
{
    return pl_ints_resolve(&format, model, t, wish, out, name, arena);
}

/* ---- tensors ---- */

/* One of a step's parts as a tensor [down][across] of its own. */
static int add_part(pl_folder *f, const pl_step *step, int index, const char *end, const char *dtype, int dims,
                    int64_t down, int64_t across)
{
    const pl_part *part = &step->out.part[index];
    int tensor = pl_ints_add(f, step, end, dtype, dims, (int64_t[]){ down, across });
    f->place[part->id] = (pl_folder_place){ .tensor = tensor, .bytes = part->bytes };
    return tensor;
}

static pl_status add_codes(pl_folder *f, const pl_step *step)
{
    const pl_packed *p = &step->out;
    const pl_type *type = &p->type;
    const pl_part *scales = &p->part[1];
    int64_t rows = p->rows, groups = pl_packed_groups(p), across = p->part[0].stride;
    bool ints = type->scheme == &pl_scheme_ints, bytes = in_bytes(type), packed = !bytes && !is_fp8(type);
    const char *dtype = bytes ? "I8" : ints ? "I32" : is_fp8(type) ? "F8_E4M3" : "U8";
    const char *of_scales = scales->dtype == &pl_dtypes[PL_F8_E8M0] ? "U8" : scales->dtype->safetensors;
    if (ints) across = bytes ? p->cols : across / 4;
    int last = add_part(f, step, 0, packed ? "weight_packed" : "weight", dtype, 2, rows, across);
    if (last >= 0) last = add_part(f, step, 1, "weight_scale", of_scales, 2, rows, groups);
    if (last >= 0 && type->global) last = add_part(f, step, 2, "weight_global_scale", "F32", 1, 1, 0);
    if (last >= 0 && ints && !type->symmetric)
        last = add_part(f, step, 2, "weight_zero_point", "I32", 2, pl_bits_words(rows, type->bits), groups);
    if (last >= 0 && ints && !bytes) last = pl_ints_add(f, step, "weight_shape", "I64", 1, &(int64_t){ 2 });
    return last >= 0 ? PL_OK : PL_E_MEMORY;
}

/* ---- config.json ---- */

/* Weights, or activations that are quantized while a model runs. scale: the type of scales that are bytes, or NULL. */
static void put_numbers(pl_json_writer *w, const char *key, const char *kind, int bits, int group, const char *strategy,
                        const char *scale, bool symmetric)
{
    pl_json_begin_object(w, key);
    pl_json_put_bool(w, "dynamic", !strcmp(strategy, "token"));
    if (group) pl_json_put_int(w, "group_size", group);
    pl_json_put_int(w, "num_bits", bits);
    if (scale) pl_json_put_text(w, "scale_dtype", scale);
    pl_json_put_text(w, "strategy", strategy);
    pl_json_put_bool(w, "symmetric", symmetric);
    pl_json_put_text(w, "type", kind);
    pl_json_end(w);
}

static void put_scheme(pl_json_writer *w, const pl_type *type, const char *name)
{
    bool ints = type->scheme == &pl_scheme_ints, fp4 = is_fp4(type);
    const char *kind = ints ? "int" : "float";
    pl_json_put_text(w, "format", name);
    if (in_bytes(type) || is_fp8(type)) put_numbers(w, "input_activations", kind, 8, 0, "token", NULL, true);
    pl_json_begin_array(w, "targets");
    pl_json_put_text(w, NULL, "Linear");
    pl_json_end(w);
    put_numbers(w, "weights", kind, ints ? type->bits : fp4 ? 4 : 8, type->group,
                type->global ? "tensor_group" : type->group ? "group" : "channel",
                type->global ? "torch.float8_e4m3fn" : fp4 ? "torch.uint8" : NULL, !ints || type->symmetric);
}

static pl_status quantization(pl_folder *f, const pl_type *type)
{
    const char *name = in_bytes(type) ? "int-quantized" : is_fp8(type) ? "float-quantized" : "pack-quantized";
    if (is_fp4(type)) name = type->global ? "nvfp4-pack-quantized" : "mxfp4-pack-quantized";
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_begin_object(w, "config_groups");
    pl_json_begin_object(w, "group_0");
    put_scheme(w, type, name);
    pl_json_end(w);
    pl_json_end(w);
    pl_json_put_text(w, "format", name);
    pl_json_begin_array(w, "ignore");
    pl_ints_left_out(f, NULL, w);
    pl_json_end(w);
    pl_json_put_text(w, "quant_method", "compressed-tensors");
    pl_json_put_text(w, "quantization_status", "compressed");
    return pl_ints_config(f, w);
}

static pl_status fill(pl_folder *f, pl_sink *s)
{
    PL_TRY(pl_ints_tensors(f, s, &format, add_codes));
    return quantization(f, &((pl_ints_folder *)s->state)->type);
}

/* ---- operations ---- */

static pl_status ct_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    return pl_folder_size(s, plan, model, fill, bytes);
}

static pl_status ct_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    pl_folder *f = s->state;
    PL_TRY(pl_ints_begin(s, path, plan, model, fill, 1));
    for (int i = 0; i < plan->steps; i++) {
        const pl_packed *p = &plan->step[i].out;
        int64_t shape[2] = { p->rows, p->cols };
        if (p->type.scheme != &pl_scheme_ints || in_bytes(&p->type)) continue;
        PL_TRY(pl_folder_write(f, f->place[p->part[p->nparts - 1].id].tensor + 1, 0, shape, sizeof shape));
    }
    return PL_OK;
}

/* Whole rows of codes, each of whole words, as signed bytes. */
static pl_status put_bytes(pl_folder *f, const pl_part *part, int64_t offset, const uint8_t *codes, size_t len)
{
    int tensor = f->place[part->id].tensor;
    int64_t cols = f->tensor[tensor].shape[1], first = offset / part->stride, rows = (int64_t)len / part->stride;
    int64_t several = pl_max64(1, AT_ONCE / cols);
    uint8_t *bytes = pl_alloc(several, (size_t)cols);
    pl_status code = bytes ? PL_OK : PL_E_MEMORY;
    for (int64_t done = 0; done < rows && code == PL_OK; done += several) {
        int64_t n = pl_min64(several, rows - done);
        for (int64_t r = 0; r < n; r++)
            for (int64_t c = 0; c < cols; c++) bytes[r * cols + c] = codes[(done + r) * part->stride + c] ^ 0x80;
        code = pl_folder_write(f, tensor, (first + done) * cols, bytes, (size_t)(n * cols));
    }
    pl_free(bytes);
    return code;
}

static pl_status ct_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    pl_folder *f = s->state;
    bool known = part->id >= 0 && part->id < f->parts;
    if (known && part->role == PL_ZEROS)
        return pl_ints_put_zeros(s->state, part, offset, bytes, len, true, pl_bits_pack);
    if (known && part->role == PL_CODES && !strcmp(f->tensor[f->place[part->id].tensor].dtype, "I8"))
        return put_bytes(f, part, offset, bytes, len);
    return pl_folder_put(s, part, offset, bytes, len);
}

const pl_sink_ops pl_sink_ct = {
    .name = "compressed-tensors",
    .extension = "",
    .flags = PL_SINK_ANY_ORDER | PL_SINK_FOLDER | PL_SINK_AS_STORED | PL_SINK_RESUMES,
    .state_size = sizeof(pl_ints_folder),
    .form = ct_form,
    .resolve = ct_resolve,
    .size = ct_size,
    .file_name = pl_folder_file_name,
    .begin = ct_begin,
    .put = ct_put,
    .finish = pl_folder_finish,
    .close = pl_folder_close,
};
