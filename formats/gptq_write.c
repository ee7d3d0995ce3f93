/* gptq_write.c: folders in GPTQ's layout, as two sinks: words of codes and scales stand in columns. "gptq", the first
 * version of it, has zero points stored less one. */
#include <string.h>

#include "formats/hf_ints.h"
#include "formats/registry.h"

static const pl_ints_format format = { "GPTQ", "[u]int{2,3,4,8}[-g{32,64,128}]", NULL, &pl_dtypes[PL_F16] };

static bool is_first(const pl_sink *s) { return s->ops == &pl_sink_gptq; }

enum {
    WHOLE = 32,                 /* rows and columns come in multiples: their codes fill words */
    CHUNK = 1024                /* zero points at a time: whole words */
};

static pl_type gptq_form(const pl_sink *s, pl_type wish, const pl_tensor *t)
{
    return pl_ints_form(&format, s, wish, t);
}

static pl_status gptq_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                              const char **name, pl_arena *arena)
{
    PL_TRY(pl_ints_resolve(&format, model, t, wish, out, name, arena));
    if (out->type.scheme != &pl_scheme_ints || (t->rows % WHOLE == 0 && t->cols % WHOLE == 0)) return PL_OK;
    return pl_fail(PL_E_WISH, "%s has rows and columns in multiples of %d, '%s' has %lld and %lld; --keep can leave it "
                   "as it is", format.title, WHOLE, t->name, (long long)t->rows, (long long)t->cols);
}

/* ---- tensors ---- */

/* qweight [words][rows], scales [groups][rows], and behind them qzeros and g_idx. */
static pl_status add_codes(pl_folder *f, const pl_step *step)
{
    const pl_packed *p = &step->out;
    const pl_part *codes = &p->part[0], *scales = &p->part[1];
    int64_t words = codes->stride / 4, groups = pl_packed_groups(p), rows = p->rows;
    int64_t turned[2] = { words, rows }, of_scales[2] = { groups, rows };
    int64_t of_zeros[2] = { groups, pl_bits_words(rows, p->type.bits) };
    int first = pl_ints_add(f, step, "qweight", "I32", 2, turned);
    int second = pl_ints_add(f, step, "scales", scales->dtype->safetensors, 2, of_scales);
    int third = pl_ints_add(f, step, "qzeros", "I32", 2, of_zeros);
    if (first < 0 || second < 0 || third < 0 || pl_ints_add(f, step, "g_idx", "I32", 1, &p->cols) < 0)
        return PL_E_MEMORY;
    if (p->nparts > 2) f->place[p->part[2].id] = (pl_folder_place){ .tensor = third, .bytes = p->part[2].bytes };
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

static pl_status quantization(pl_folder *f, const pl_type *type, bool first)
{
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_int(w, "bits", type->bits);
    pl_json_put_text(w, "checkpoint_format", first ? "gptq" : "gptq_v2");
    pl_json_put_bool(w, "desc_act", false);
    pl_json_begin_object(w, "dynamic");
    pl_ints_left_out(f, put_pattern, w);
    pl_json_end(w);
    pl_json_put_int(w, "group_size", type->group ? type->group : -1);
    pl_json_put_bool(w, "lm_head", false);
    pl_json_put_text(w, "quant_method", "gptq");
    pl_json_put_bool(w, "sym", type->symmetric);
    return pl_ints_config(f, w);
}

static pl_status fill(pl_folder *f, pl_sink *s)
{
    PL_TRY(pl_ints_tensors(f, s, &format, add_codes));
    return quantization(f, &((pl_ints_folder *)s->state)->type, is_first(s));
}

/* ---- operations ---- */

static pl_status gptq_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    return pl_folder_size(s, plan, model, fill, bytes);
}

/* Zero points if all are the middle, and the group of each column. */
static pl_status write_rest(pl_folder *f, const pl_packed *p, bool first)
{
    int qzeros = f->place[p->part[1].id].tensor + 1, bits = p->type.bits;
    int64_t pitch = pl_bits_words(p->rows, bits) * 4, groups = pl_packed_groups(p);
    int64_t width = p->type.group ? p->type.group : p->cols;
    uint8_t *codes = pl_alloc(p->rows, 1), *words = pl_alloc(pitch, 1);
    int32_t *group = pl_alloc(p->cols, sizeof *group);
    pl_status code = codes && words && group ? PL_OK : PL_E_MEMORY;
    if (code == PL_OK) {
        memset(codes, (1 << (bits - 1)) - first, (size_t)p->rows);
        pl_bits_pack(codes, p->rows, bits, words);
        for (int64_t i = 0; i < p->cols; i++) group[i] = (int32_t)(i / width);
        code = pl_folder_write(f, qzeros + 1, 0, group, (size_t)p->cols * sizeof *group);
    }
    for (int64_t g = 0; p->type.symmetric && g < groups && code == PL_OK; g++)
        code = pl_folder_write(f, qzeros, g * pitch, words, (size_t)pitch);
    pl_free(codes);
    pl_free(words);
    pl_free(group);
    return code;
}

static pl_status gptq_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    PL_TRY(pl_ints_begin(s, path, plan, model, fill, 1));
    for (int i = 0; i < plan->steps; i++)
        if (pl_ints_coded(&plan->step[i])) PL_TRY(write_rest(s->state, &plan->step[i].out, is_first(s)));
    return PL_OK;
}

/* None is 0; of each, one less. */
static void pack_less(const uint8_t *zeros, int64_t n, int bits, uint8_t *words)
{
    uint8_t less[CHUNK];
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t some = pl_min64(CHUNK, n - at);
        for (int64_t i = 0; i < some; i++) less[i] = (uint8_t)(zeros[at + i] - 1);
        pl_bits_pack(less, some, bits, words + at * bits / 8);
    }
}

static pl_status gptq_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    bool first = is_first(s);
    if (part->role != PL_ZEROS) return pl_folder_put(s, part, offset, bytes, len);
    if (first && memchr(bytes, 0, len))
        return pl_fail(PL_E_WISH, "%s's first version cannot hold a zero point of 0, as the codes have; gptq-v2 can",
                       format.title);
    return pl_ints_put_zeros(s->state, part, offset, bytes, len, false, first ? pack_less : pl_bits_pack);
}

#define OPERATIONS                                                                                 \
    .extension = "",                                                                               \
    .flags = PL_SINK_ANY_ORDER | PL_SINK_FOLDER | PL_SINK_AS_STORED | PL_SINK_RESUMES,             \
    .state_size = sizeof(pl_ints_folder),                                                          \
    .form = gptq_form,                                                                             \
    .resolve = gptq_resolve,                                                                       \
    .size = gptq_size,                                                                             \
    .file_name = pl_folder_file_name,                                                              \
    .begin = gptq_begin,                                                                           \
    .put = gptq_put,                                                                               \
    .finish = pl_folder_finish,                                                                    \
    .close = pl_folder_close

const pl_sink_ops pl_sink_gptq = { .name = "gptq", OPERATIONS };
const pl_sink_ops pl_sink_gptq_v2 = { .name = "gptq-v2", OPERATIONS };
