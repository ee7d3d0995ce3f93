/* gptq_write.c: folders in GPTQ's layout, as a sink: words of codes and scales stand in columns. What is written is
 * "gptq", the first version of it, whose zero points are stored less one; all are the middle of the codes. */
#include <string.h>

#include "formats/hf_ints.h"
#include "formats/registry.h"

static const char title[] = "GPTQ";

enum { WHOLE = 32 };            /* rows and columns come in multiples: their codes fill words */

static pl_type gptq_form(const pl_sink *s, pl_type wish, const pl_tensor *t)
{
    return pl_ints_form(wish, t, &pl_dtypes[PL_F16]);
}

static pl_status gptq_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                              const char **name, pl_arena *arena)
{
    PL_TRY(pl_ints_resolve(title, model, t, wish, out, name, arena));
    if (out->type.scheme != &pl_scheme_ints || (t->rows % WHOLE == 0 && t->cols % WHOLE == 0)) return PL_OK;
    return pl_fail(PL_E_WISH, "%s has rows and columns in multiples of %d, '%s' has %lld and %lld; --keep can leave it "
                   "as it is", title, WHOLE, t->name, (long long)t->rows, (long long)t->cols);
}

/* ---- tensors ---- */

static int64_t groups_of(const pl_packed *p) { return p->part[1].stride / p->part[1].dtype->bytes; }

/* qweight [words][rows], scales [groups][rows], and behind them qzeros and g_idx. */
static pl_status add_codes(pl_folder *f, const pl_step *step)
{
    const pl_packed *p = &step->out;
    const pl_part *codes = &p->part[0], *scales = &p->part[1];
    int64_t words = codes->stride / 4, groups = groups_of(p), rows = p->rows;
    int64_t turned[2] = { words, rows }, of_scales[2] = { groups, rows };
    int64_t of_zeros[2] = { groups, pl_bits_words(rows, p->type.bits) };
    int first = pl_ints_add(f, step, "qweight", "I32", 2, turned);
    int second = pl_ints_add(f, step, "scales", scales->dtype->safetensors, 2, of_scales);
    bool all = pl_ints_add(f, step, "qzeros", "I32", 2, of_zeros) >= 0 &&
               pl_ints_add(f, step, "g_idx", "I32", 1, &p->cols) >= 0;
    if (first < 0 || second < 0 || !all) return PL_E_MEMORY;
    f->place[codes->id] = (pl_folder_place){ .tensor = first, .bytes = codes->bytes, .rows = rows, .cols = words };
    f->place[scales->id] = (pl_folder_place){ .tensor = second, .bytes = scales->bytes, .rows = rows, .cols = groups };
    return PL_OK;
}

/* ---- config.json ---- */

/* A regular expression of modules that are no quantized ones. */
static void put_pattern(pl_json_writer *w, const char *path)
{
    char key[PL_MAX_NAME * 2 + 8];
    size_t len = 3;
    memcpy(key, "-:^", len);
    for (; *path; path++) {
        if (*path == '.') key[len++] = '\\';
        key[len++] = *path;
    }
    memcpy(key + len, "$", 2);
    pl_json_begin_object(w, key);
    pl_json_end(w);
}

static pl_status quantization(pl_folder *f, const pl_type *type)
{
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_int(w, "bits", type->bits);
    pl_json_put_text(w, "checkpoint_format", "gptq");
    pl_json_put_bool(w, "desc_act", false);
    pl_json_begin_object(w, "dynamic");
    pl_ints_left_out(f, put_pattern, w);
    pl_json_end(w);
    pl_json_put_int(w, "group_size", type->group ? type->group : -1);
    pl_json_put_bool(w, "lm_head", false);
    pl_json_put_text(w, "quant_method", "gptq");
    pl_json_put_bool(w, "sym", true);
    return pl_ints_config(f, w);
}

static pl_status fill(pl_folder *f, pl_sink *s)
{
    pl_type type;
    PL_TRY(pl_ints_tensors(f, title, add_codes, &type));
    return quantization(f, &type);
}

/* ---- operations ---- */

static pl_status gptq_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    return pl_folder_size(s, plan, model, fill, bytes);
}

/* Zero points, and the group of each column. */
static pl_status write_rest(pl_folder *f, const pl_packed *p)
{
    int qzeros = f->place[p->part[1].id].tensor + 1, bits = p->type.bits;
    int64_t pitch = pl_bits_words(p->rows, bits) * 4, groups = groups_of(p);
    int64_t width = p->type.group ? p->type.group : p->cols;
    uint8_t *codes = pl_alloc(p->rows, 1), *words = pl_alloc(pitch, 1);
    int32_t *group = pl_alloc(p->cols, sizeof *group);
    pl_status code = codes && words && group ? PL_OK : PL_E_MEMORY;
    if (code == PL_OK) {
        memset(codes, (1 << (bits - 1)) - 1, (size_t)p->rows);
        pl_bits_pack(codes, p->rows, bits, words);
        for (int64_t i = 0; i < p->cols; i++) group[i] = (int32_t)(i / width);
        code = pl_folder_write(f, qzeros + 1, 0, group, (size_t)p->cols * sizeof *group);
    }
    for (int64_t g = 0; g < groups && code == PL_OK; g++)
        code = pl_folder_write(f, qzeros, g * pitch, words, (size_t)pitch);
    pl_free(codes);
    pl_free(words);
    pl_free(group);
    return code;
}

static pl_status gptq_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    PL_TRY(pl_folder_begin(s, path, plan, model, fill));
    for (int i = 0; i < plan->steps; i++)
        if (pl_ints_coded(&plan->step[i])) PL_TRY(write_rest(s->state, &plan->step[i].out));
    return PL_OK;
}

const pl_sink_ops pl_sink_gptq = {
    .name = "gptq",
    .extension = "",
    .flags = PL_SINK_ANY_ORDER | PL_SINK_FOLDER | PL_SINK_AS_STORED | PL_SINK_RESUMES,
    .state_size = sizeof(pl_folder),
    .form = gptq_form,
    .resolve = gptq_resolve,
    .size = gptq_size,
    .file_name = pl_folder_file_name,
    .begin = gptq_begin,
    .put = pl_folder_put,
    .finish = pl_folder_finish,
    .close = pl_folder_close,
};
