/* hf_fp8.c: 8-bit floats in Hugging Face checkpoints. A scale is one number for a tensor, one for each row
 * or one for each block of 128 x 128; which of them, its shape says without doubt. It is to be multiplied,
 * also where its name says "inv". */
#include "formats/hf_fp8.h"

#include <stdio.h>
#include <string.h>

#include "formats/ct_read.h"

enum { MAX_BLOCK = 1 << 16 };       /* rows or columns that share a scale; real ones have 128 */

/* ---- config.json ---- */

static pl_status refuse(const char *key, const char *method, const char *format, const char *origin)
{
    return pl_fail(PL_E_INPUT, "%s: '%s'%s%.40s%s%.40s: this checkpoint is quantized in a way that cannot be read; "
                   "known are quant_method fp8, gptq, awq and compressed-tensors with float-quantized, pack-quantized, "
                   "int-quantized, nvfp4-pack-quantized or mxfp4-pack-quantized",
                   origin, key, method ? " of " : "", method ? method : "", format ? ", " : "", format ? format : "");
}

/* Two numbers, rows and columns of a block; absent: no blocks. A second pair must be like the first. */
static pl_status read_block(const pl_json *object, const char *key, const char *origin, pl_hf_fp8 *out)
{
    const pl_json *pair = pl_json_get(object, key);
    if (!pair) return PL_OK;
    if (!pl_json_is(pair, PL_JSON_ARRAY) || pl_json_count(pair) != 2)
        return pl_fail(PL_E_INPUT, "%s: '%s' should be two numbers", origin, key);
    int64_t rows, cols;
    const pl_json *first = pl_json_first(pair);
    PL_TRY(pl_json_as_int(first, 1, MAX_BLOCK, origin, key, &rows));
    PL_TRY(pl_json_as_int(pl_json_next(first), 1, MAX_BLOCK, origin, key, &cols));
    if (out->rows && (out->rows != rows || out->cols != cols))
        return pl_fail(PL_E_INPUT, "%s: '%s' is %lldx%lld and elsewhere %dx%d", origin, key,
                       (long long)rows, (long long)cols, (int)out->rows, (int)out->cols);
    out->rows = (int32_t)rows;
    out->cols = (int32_t)cols;
    return PL_OK;
}

/* How compressed-tensors stores the weights of one group of layers. */
static pl_status read_group(const pl_json *group, const char *origin, pl_hf_fp8 *out)
{
    pl_ct_weights w;
    PL_TRY(pl_ct_read_weights(group, origin, &w));
    bool known = !strcmp(w.strategy, "tensor") || !strcmp(w.strategy, "channel") || !strcmp(w.strategy, "block");
    if (strcmp(w.type, "float") || w.bits != 8 || !w.symmetric || !known)
        return pl_fail(PL_E_INPUT, "%s: 'config_groups' has %ssymmetric weights of %lld bits, type '%.40s', "
                       "strategy '%.40s'; expected symmetric float of 8 bits by tensor, channel or block",
                       origin, w.symmetric ? "" : "a", (long long)w.bits, w.type, w.strategy);
    return read_block(w.member, "block_structure", origin, out);
}

pl_status pl_hf_fp8_config(const pl_json *config, const char *origin, pl_hf_fp8 *out)
{
    static const char key[] = "quantization_config";
    *out = (pl_hf_fp8){ 0 };
    const pl_json *found = pl_json_get(config, key);
    if (!found) return PL_OK;
    const char *method = pl_json_text(pl_json_get(found, "quant_method"));
    const char *format = pl_json_text(pl_json_get(found, "format"));
    out->scaled = true;
    if (method && !strcmp(method, "fp8")) return read_block(found, "weight_block_size", origin, out);
    if (!method || strcmp(method, "compressed-tensors") || !format || strcmp(format, "float-quantized"))
        return refuse(key, method, format, origin);
    const pl_json *groups = pl_json_get(found, "config_groups");
    if (!pl_json_is(groups, PL_JSON_OBJECT))
        return pl_fail(PL_E_INPUT, "%s: 'config_groups' should be an object", origin);
    for (const pl_json *group = pl_json_first(groups); group; group = pl_json_next(group))
        PL_TRY(read_group(group, origin, out));
    return PL_OK;
}

/* ---- scales ---- */

static const char *const suffixes[] = { "_scale_inv", "_scale" };
static const char *const activations[] = { ".input_scale", ".activation_scale", ".k_scale", ".v_scale" };

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), tail = strlen(end);
    return len > tail && !strcmp(name + len - tail, end);
}

static bool is_fp8(const pl_st_tensor *t)
{
    return !strcmp(t->dtype, "F8_E4M3") || !strcmp(t->dtype, "F8_E5M2");
}

pl_status pl_hf_fp8_consumes(const pl_hf_fp8 *fp8, const pl_st_set *set, const pl_st_tensor *t,
                             bool *consumed)
{
    *consumed = false;
    if (!fp8->scaled) return PL_OK;
    for (int i = 0; i < PL_COUNT(activations) && !*consumed; i++)
        *consumed = ends_with(t->name, activations[i]);
    for (int i = 0; i < PL_COUNT(suffixes) && !*consumed; i++) {
        if (!ends_with(t->name, suffixes[i])) continue;
        size_t len = strlen(t->name) - strlen(suffixes[i]);
        const pl_st_tensor *weight = pl_st_find(set, t->name, len);
        if (!weight || !is_fp8(weight))
            return pl_fail(PL_E_INPUT, "%s: tensor '%s' should belong to an F8_E4M3 or F8_E5M2 tensor "
                           "'%.*s', which is %s", pl_hf_place(set, t), t->name, (int)len, t->name,
                           weight ? weight->dtype : "missing");
        *consumed = true;
    }
    return PL_OK;
}

/* Which codes share a scale, by the shape of both. */
static pl_status match_shapes(const pl_hf_fp8 *fp8, const pl_st_tensor *w, const pl_st_tensor *s,
                              const char *place, int32_t *rows, int32_t *cols)
{
    int64_t high = w->shape[0], wide = w->shape[1];
    int64_t down = s->dims > 0 ? s->shape[0] : 1, across = s->dims > 1 ? s->shape[1] : 1;
    int64_t blocks_down = fp8->rows ? pl_ceil_div(high, fp8->rows) : 0;
    int64_t blocks_across = fp8->rows ? pl_ceil_div(wide, fp8->cols) : 0;
    *rows = fp8->rows;
    *cols = fp8->cols;
    if (s->dims == 2 && fp8->rows && down == blocks_down && across == blocks_across) return PL_OK;
    *cols = 0;
    *rows = down > 1;
    if (s->dims <= 2 && across == 1 && (down == 1 || down == high)) return PL_OK;
    char found[160], blocks[80] = "";
    if (fp8->rows)
        snprintf(blocks, sizeof blocks, ", %lld x %lld for blocks of %d x %d", (long long)blocks_down,
                 (long long)blocks_across, (int)fp8->rows, (int)fp8->cols);
    return pl_fail(PL_E_INPUT, "%s: the scales '%s' should be 1, %lld for the rows%s of a matrix of "
                   "%lld x %lld, are %s", place, s->name, (long long)high, blocks, (long long)high,
                   (long long)wide, pl_hf_shape(s->shape, s->dims, found, sizeof found));
}

pl_status pl_hf_fp8_type(const pl_hf_fp8 *fp8, const pl_st_set *set, const pl_st_tensor *weight,
                         pl_type *type, const pl_st_tensor **scales)
{
    const pl_dtype *codes = pl_dtype_by_safetensors(weight->dtype);
    const char *place = pl_hf_place(set, weight);
    *scales = NULL;
    if (!fp8->scaled) return PL_OK;
    for (int i = 0; i < PL_COUNT(suffixes); i++) {
        char name[PL_MAX_NAME + 16];
        int len = snprintf(name, sizeof name, "%s%s", weight->name, suffixes[i]);
        const pl_st_tensor *found = pl_st_find(set, name, (size_t)len);
        if (found && *scales)
            return pl_fail(PL_E_INPUT, "%s: tensor '%s' has two scales, '%s' and '%s'", place,
                           weight->name, (*scales)->name, found->name);
        if (found) *scales = found;
    }
    if (!*scales)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is stored as %s, but there is no '%s%s' nor '%s%s'", place,
                       weight->name, weight->dtype, weight->name, suffixes[0], weight->name, suffixes[1]);
    if (weight->dims != 2)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %d dimensions and scales, expected 2", place,
                       weight->name, (int)weight->dims);
    const pl_dtype *dtype = pl_dtype_by_safetensors((*scales)->dtype);
    if (!pl_hf_floats(*scales) && dtype != &pl_dtypes[PL_F8_E8M0])
        return pl_fail(PL_E_INPUT, "%s: the scales '%s' are stored as %s; expected F32, F16, BF16 or F8_E8M0",
                       place, (*scales)->name, (*scales)->dtype);
    int32_t rows, cols;
    PL_TRY(match_shapes(fp8, weight, *scales, place, &rows, &cols));
    *type = pl_type_scaled(codes, dtype, rows, cols);
    return PL_OK;
}
