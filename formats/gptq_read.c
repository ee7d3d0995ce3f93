/* gptq_read.c: what GPTQ's and AWQ's folders say of their weights of whole-number codes, and which tensors make one. */
#include "formats/gptq_read.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_GROUP = 1 << 16, AWQ_BITS = 4, AWQ_ROWS = 8 };

static const char codes_end[] = "qweight", weight_end[] = "weight", zeros_end[] = "qzeros", order_end[] = "g_idx";

/* ---- config.json ---- */

static pl_status refuse(const char *origin, const char *key, const char *found, const char *expected)
{
    return pl_fail(PL_E_INPUT, "%s: 'quantization_config' has %s %.40s; %s can be read", origin, key, found, expected);
}

static pl_status read_awq(const pl_json *found, const char *origin, pl_gptq *out)
{
    const char *version = "gemm", *backend = "";
    bool zeros = true;
    PL_TRY(pl_json_string(found, "format", false, origin, &version));
    PL_TRY(pl_json_string(found, "version", false, origin, &version));
    PL_TRY(pl_json_string(found, "backend", false, origin, &backend));
    PL_TRY(pl_json_bool(found, "zero_point", false, origin, &zeros));
    if (strcasecmp(version, "gemm")) return refuse(origin, "AWQ's version", version, "'gemm'");
    if (!strcmp(backend, "llm-awq")) return refuse(origin, "AWQ's backend", backend, "layouts of others");
    if (out->bits != AWQ_BITS)
        return pl_fail(PL_E_INPUT, "%s: AWQ's codes have 4 bits, 'bits' is %d", origin, (int)out->bits);
    out->awq = true;
    out->symmetric = !zeros;
    return PL_OK;
}

static pl_status read_gptq(const pl_json *found, const char *origin, pl_gptq *out)
{
    const char *format = "gptq", *words = "int32";
    PL_TRY(pl_json_string(found, "format", false, origin, &format));
    PL_TRY(pl_json_string(found, "checkpoint_format", false, origin, &format));
    PL_TRY(pl_json_string(found, "pack_dtype", false, origin, &words));
    PL_TRY(pl_json_bool(found, "sym", false, origin, &out->symmetric));
    PL_TRY(pl_json_bool(found, "desc_act", false, origin, &out->unordered));
    if (strcmp(format, "gptq") && strcmp(format, "gptq_v2"))
        return refuse(origin, "checkpoint_format", format, "'gptq' and 'gptq_v2'");
    if (strcmp(words, "int32")) return refuse(origin, "pack_dtype", words, "'int32'");
    if (out->bits != 2 && out->bits != 3 && out->bits != 4 && out->bits != 8)
        return pl_fail(PL_E_INPUT, "%s: GPTQ's codes have 2, 3, 4 or 8 bits, 'bits' is %d", origin, (int)out->bits);
    out->less = !strcmp(format, "gptq");
    if (out->width == 0) out->unordered = false;
    return PL_OK;
}

pl_status pl_gptq_config(const pl_json *config, const char *origin, pl_gptq *out)
{
    const pl_json *found = pl_json_get(config, "quantization_config");
    const char *method = pl_json_text(pl_json_get(found, "quant_method"));
    int64_t bits, width;
    *out = (pl_gptq){ .config = config };
    bool awq = method && !strcmp(method, "awq");
    if (!method || (!awq && strcmp(method, "gptq"))) return PL_OK;
    PL_TRY(pl_json_int(found, "bits", true, 1, 8, origin, &bits));
    PL_TRY(pl_json_int(found, "group_size", true, -1, MAX_GROUP, origin, &width));
    if (width == 0) return refuse(origin, "group_size", "0", "-1 and more than 0");
    out->there = true;
    out->bits = (int32_t)bits;
    out->width = width < 0 ? 0 : (int32_t)width;
    return awq ? read_awq(found, origin, out) : read_gptq(found, origin, out);
}

/* ---- tensors ---- */

/* The codes beside a tensor with one of these ends, or NULL. */
static const pl_st_tensor *codes_beside(const pl_gptq *gptq, const pl_st_set *set, const char *name, const char *end)
{
    size_t stem = gptq->there ? pl_hf_stem(name, end) : 0;
    return stem ? pl_hf_beside(set, name, stem, codes_end) : NULL;
}

bool pl_gptq_consumes(const pl_gptq *gptq, const pl_st_set *set, const pl_st_tensor *t)
{
    return codes_beside(gptq, set, t->name, "scales") || codes_beside(gptq, set, t->name, zeros_end) ||
           codes_beside(gptq, set, t->name, order_end);
}

void pl_gptq_rename(const pl_gptq *gptq, char *name)
{
    size_t stem = gptq->there ? pl_hf_stem(name, codes_end) : 0;
    if (stem) memcpy(name + stem, weight_end, sizeof weight_end);
}

pl_status pl_gptq_is_no_bias(const pl_gptq *gptq, const pl_st_set *set, const pl_st_tensor *t, bool *out)
{
    uint8_t window[4096];
    *out = false;
    const pl_dtype *dtype = pl_hf_floats(t);
    if (!dtype || !codes_beside(gptq, set, t->name, "bias")) return PL_OK;
    for (int64_t at = 0; at < t->bytes; at += (int64_t)sizeof window) {
        size_t n = (size_t)pl_min64(t->bytes - at, sizeof window);
        PL_TRY(pl_file_read(set->file[t->file], t->offset + at, window, n));
        for (size_t i = 0; i < n; i++)
            if (window[i]) return PL_OK;
    }
    *out = true;
    return PL_OK;
}

/* Is it there, of this type and shape? second 0: one dimension. */
static pl_status check(const pl_st_set *set, const pl_st_tensor *weight, const pl_st_tensor *t, const char *end,
                       const char *dtypes, int64_t first, int64_t second)
{
    char found[80], expected[80];
    int64_t shape[2] = { first, second };
    int stem = (int)(strlen(weight->name) - strlen(codes_end)), dims = second ? 2 : 1;
    if (!t)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has codes, but there is no '%.*s%s'", pl_hf_place(set, weight),
                       weight->name, stem, weight->name, end);
    bool good = strcmp(dtypes, "I32") ? pl_hf_floats(t) != NULL : !strcmp(t->dtype, dtypes);
    if (good && t->dims == dims && !memcmp(t->shape, shape, (size_t)dims * sizeof *shape)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' should be %s of %s, is %s of %s", pl_hf_place(set, t), t->name, dtypes,
                   pl_hf_shape(shape, dims, expected, sizeof expected), t->dtype,
                   pl_hf_shape(t->shape, t->dims, found, sizeof found));
}

pl_status pl_gptq_type_read(const pl_gptq *gptq, const pl_st_set *set, const pl_st_tensor *w, int64_t cols,
                            pl_type *type, int64_t *rows, pl_hf_parts *parts)
{
    size_t stem = gptq->there ? pl_hf_stem(w->name, codes_end) : 0;
    *parts = (pl_hf_parts){ 0 };
    if (!stem) return PL_OK;
    const char *place = pl_hf_place(set, w);
    int64_t down = gptq->awq ? cols : pl_bits_words(cols, gptq->bits), across = gptq->awq ? AWQ_ROWS : 1;
    char shape[80];
    if (w->dims != 2 || strcmp(w->dtype, "I32") || w->shape[0] != down || w->shape[1] < 1)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' should be I32 of %lld x ..., for rows of %lld values in %d bits, "
                       "is %s of %s", place, w->name, (long long)down, (long long)cols, (int)gptq->bits, w->dtype,
                       pl_hf_shape(w->shape, w->dims, shape, sizeof shape));
    if (gptq->width && cols % gptq->width)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has rows of %lld values, no multiple of 'group_size' %d", place,
                       w->name, (long long)cols, (int)gptq->width);
    *rows = w->shape[1] * across;               /* words of 4 bytes are in the file, so this does not overflow */
    int64_t groups = gptq->width ? cols / gptq->width : 1;
    *parts = (pl_hf_parts){ .scales = pl_hf_beside(set, w->name, stem, "scales"),
                            .third = pl_hf_beside(set, w->name, stem, zeros_end),
                            .order = pl_hf_beside(set, w->name, stem, order_end),
                            .words = gptq->awq ? PL_WORDS_AWQ : PL_WORDS_GPTQ, .less = gptq->less };
    PL_TRY(check(set, w, parts->scales, "scales", "F32, F16 or BF16", groups, *rows));
    PL_TRY(check(set, w, parts->third, zeros_end, "I32", groups, pl_bits_words(*rows, gptq->bits)));
    if (parts->order || gptq->unordered) PL_TRY(check(set, w, parts->order, order_end, "I32", cols, 0));
    parts->unordered = gptq->unordered;
    *type = pl_type_ints(gptq->bits, gptq->width, gptq->symmetric, pl_hf_floats(parts->scales));
    return PL_OK;
}
