/* ct_write.c: folders in compressed-tensors' layout, as a sink: pack-quantized, the streams of codes that planish keeps
 * itself; 8 bits with one scale for a row: int-quantized, signed bytes. */
#include <string.h>

#include "formats/hf_ints.h"
#include "formats/registry.h"

static const char title[] = "compressed-tensors";

enum { AT_ONCE = 1 << 16 };     /* bytes of codes that are turned into signed ones */

static bool in_bytes(const pl_type *type) { return type->bits == 8 && type->group == 0; }

static pl_type ct_form(const pl_sink *s, pl_type wish, const pl_tensor *t) { return pl_ints_form(wish, t, NULL); }

static pl_status ct_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                            const char **name, pl_arena *arena)
{
    return pl_ints_resolve(title, model, t, wish, out, name, arena);
}

/* ---- tensors ---- */

static pl_status add_codes(pl_folder *f, const pl_step *step)
{
    const pl_packed *p = &step->out;
    const pl_part *codes = &p->part[0], *scales = &p->part[1];
    bool bytes = in_bytes(&p->type);
    int64_t shape[2] = { p->rows, bytes ? p->cols : codes->stride / 4 };
    int64_t of_scales[2] = { p->rows, scales->stride / scales->dtype->bytes }, two = 2;
    int first = pl_ints_add(f, step, bytes ? "weight" : "weight_packed", bytes ? "I8" : "I32", 2, shape);
    int second = pl_ints_add(f, step, "weight_scale", scales->dtype->safetensors, 2, of_scales);
    if (first < 0 || second < 0) return PL_E_MEMORY;
    f->place[codes->id] = (pl_folder_place){ .tensor = first, .bytes = codes->bytes };
    f->place[scales->id] = (pl_folder_place){ .tensor = second, .bytes = scales->bytes };
    return bytes || pl_ints_add(f, step, "weight_shape", "I64", 1, &two) == second + 1 ? PL_OK : PL_E_MEMORY;
}

/* ---- config.json ---- */

static void put_path(pl_json_writer *w, const char *path) { pl_json_put_text(w, NULL, path); }

/* Weights, or activations that are quantized while a model runs. */
static void put_numbers(pl_json_writer *w, const char *key, int bits, int group, const char *strategy, bool dynamic)
{
    pl_json_begin_object(w, key);
    pl_json_put_bool(w, "dynamic", dynamic);
    if (group) pl_json_put_int(w, "group_size", group);
    pl_json_put_int(w, "num_bits", bits);
    pl_json_put_text(w, "strategy", strategy);
    pl_json_put_bool(w, "symmetric", true);
    pl_json_put_text(w, "type", "int");
    pl_json_end(w);
}

static pl_status quantization(pl_folder *f, const pl_type *type)
{
    const char *format = in_bytes(type) ? "int-quantized" : "pack-quantized";
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_begin_object(w, "config_groups");
    pl_json_begin_object(w, "group_0");
    pl_json_put_text(w, "format", format);
    if (in_bytes(type)) put_numbers(w, "input_activations", 8, 0, "token", true);
    pl_json_begin_array(w, "targets");
    pl_json_put_text(w, NULL, "Linear");
    pl_json_end(w);
    put_numbers(w, "weights", type->bits, type->group, type->group ? "group" : "channel", false);
    pl_json_end(w);
    pl_json_end(w);
    pl_json_put_text(w, "format", format);
    pl_json_begin_array(w, "ignore");
    pl_ints_left_out(f, put_path, w);
    pl_json_end(w);
    pl_json_put_text(w, "quant_method", title);
    pl_json_put_text(w, "quantization_status", "compressed");
    return pl_ints_config(f, w);
}

static pl_status fill(pl_folder *f, pl_sink *s)
{
    pl_type type;
    PL_TRY(pl_ints_tensors(f, title, add_codes, &type));
    return quantization(f, &type);
}

/* ---- operations ---- */

static pl_status ct_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    return pl_folder_size(s, plan, model, fill, bytes);
}

static pl_status ct_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    pl_folder *f = s->state;
    PL_TRY(pl_folder_begin(s, path, plan, model, fill));
    for (int i = 0; i < plan->steps; i++) {
        const pl_packed *p = &plan->step[i].out;
        int64_t shape[2] = { p->rows, p->cols };
        if (!pl_ints_coded(&plan->step[i]) || in_bytes(&p->type)) continue;
        PL_TRY(pl_folder_write(f, f->place[p->part[1].id].tensor + 1, 0, shape, sizeof shape));
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
    bool known = part->id >= 0 && part->id < f->parts && part->dtype == &pl_dtypes[PL_U32];
    if (known && !strcmp(f->tensor[f->place[part->id].tensor].dtype, "I8"))
        return put_bytes(f, part, offset, bytes, len);
    return pl_folder_put(s, part, offset, bytes, len);
}

const pl_sink_ops pl_sink_ct = {
    .name = "compressed-tensors",
    .extension = "",
    .flags = PL_SINK_ANY_ORDER | PL_SINK_FOLDER | PL_SINK_AS_STORED | PL_SINK_RESUMES,
    .state_size = sizeof(pl_folder),
    .form = ct_form,
    .resolve = ct_resolve,
    .size = ct_size,
    .file_name = pl_folder_file_name,
    .begin = ct_begin,
    .put = ct_put,
    .finish = pl_folder_finish,
    .close = pl_folder_close,
};
