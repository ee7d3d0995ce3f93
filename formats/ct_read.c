/* ct_read.c: weights with codes in compressed-tensors' folders. What config.json says of groups of modules is not
 * matched with their names: shapes and types say which of the groups a weight belongs to. */
#include "formats/ct_read.h"

#include <stdio.h>
#include <string.h>

enum { MAX_GROUP = 1 << 16 };

static const char packed_end[] = "weight_packed", weight_end[] = "weight", scales_end[] = "weight_scale";
static const char zeros_end[] = "weight_zero_point", global_end[] = "weight_global_scale";

pl_type pl_ct_fp4(bool nvfp4)
{
    const pl_dtype *scales = &pl_dtypes[nvfp4 ? PL_F8_E4M3 : PL_F8_E8M0];
    pl_type type = pl_type_scaled(&pl_dtypes[PL_F4_E2M1], scales, 1, nvfp4 ? 16 : 32);
    type.global = nvfp4;
    return type;
}

static bool is_ints(const pl_type *type) { return type->scheme == &pl_scheme_ints; }

/* ---- config.json ---- */

pl_status pl_ct_read_weights(const pl_json *group, const char *origin, pl_ct_weights *out)
{
    *out = (pl_ct_weights){ .member = pl_json_get(group, "weights"), .symmetric = true };
    if (!pl_json_is(out->member, PL_JSON_OBJECT))
        return pl_fail(PL_E_INPUT, "%s: a group of 'config_groups' has no 'weights'", origin);
    PL_TRY(pl_json_string(out->member, "type", true, origin, &out->type));
    PL_TRY(pl_json_string(out->member, "strategy", true, origin, &out->strategy));
    PL_TRY(pl_json_int(out->member, "num_bits", true, 1, 64, origin, &out->bits));
    return pl_json_bool(out->member, "symmetric", false, origin, &out->symmetric);
}

static pl_status read_group(const pl_json *group, const char *origin, pl_ct *out)
{
    pl_ct_weights w;
    int64_t width = 0;
    PL_TRY(pl_ct_read_weights(group, origin, &w));
    bool grouped = !strcmp(w.strategy, "group"), twice = !strcmp(w.strategy, "tensor_group");
    if (grouped || twice) PL_TRY(pl_json_int(w.member, "group_size", true, 1, MAX_GROUP, origin, &width));
    bool whole = !strcmp(w.type, "int") && w.bits <= 8 && (grouped || !strcmp(w.strategy, "channel"));
    bool fp4 = !strcmp(w.type, "float") && w.bits == 4 && w.symmetric && width == (twice ? 16 : 32);
    if (!whole && !fp4)
        return pl_fail(PL_E_INPUT, "%s: 'config_groups' has %ssymmetric weights of %lld bits, type '%.40s', strategy "
                       "'%.40s'; expected int of 1 to 8 bits by group or channel, or symmetric float of 4 bits by "
                       "group of 32 or tensor_group of 16", origin, w.symmetric ? "" : "a", (long long)w.bits, w.type,
                       w.strategy);
    if (out->groups == PL_CT_GROUPS)
        return pl_fail(PL_E_INPUT, "%s: 'config_groups' has more than %d groups", origin, PL_CT_GROUPS);
    out->group[out->groups++] = fp4 ? pl_ct_fp4(twice) : pl_type_ints((int)w.bits, (int)width, w.symmetric, NULL);
    return PL_OK;
}

pl_status pl_ct_config(const pl_json *config, const char *origin, pl_ct *out)
{
    static const char *const known[] = { "pack-quantized", "int-quantized", "nvfp4-pack-quantized",
                                         "mxfp4-pack-quantized" };
    const pl_json *found = pl_json_get(config, "quantization_config");
    const char *method = pl_json_text(pl_json_get(found, "quant_method"));
    const char *format = pl_json_text(pl_json_get(found, "format"));
    bool mine = false;
    *out = (pl_ct){ 0 };
    if (!method || strcmp(method, "compressed-tensors") || !format) return PL_OK;
    for (int i = 0; i < PL_COUNT(known); i++) mine = mine || !strcmp(format, known[i]);
    if (!mine) return PL_OK;
    const pl_json *groups = pl_json_get(found, "config_groups");
    if (!pl_json_is(groups, PL_JSON_OBJECT) || !pl_json_count(groups))
        return pl_fail(PL_E_INPUT, "%s: 'config_groups' should be an object with a group", origin);
    for (const pl_json *group = pl_json_first(groups); group; group = pl_json_next(group))
        PL_TRY(read_group(group, origin, out));
    return PL_OK;
}

/* ---- tensors ---- */

/* Beginning of the name, if this holds codes; 0: it does not. */
static size_t coded(const pl_ct *ct, const pl_st_tensor *t)
{
    if (!ct->groups) return 0;
    bool words = !strcmp(t->dtype, "I32") || !strcmp(t->dtype, "U8");
    size_t packed = words ? pl_hf_stem(t->name, packed_end) : 0;
    return packed || strcmp(t->dtype, "I8") ? packed : pl_hf_stem(t->name, weight_end);
}

bool pl_ct_consumes(const pl_ct *ct, const pl_st_set *set, const pl_st_tensor *t)
{
    static const char *const ends[] = { scales_end, zeros_end, global_end, "weight_shape", "weight_g_idx",
                                        "input_global_scale" };
    for (int i = 0; ct->groups && i < PL_COUNT(ends); i++) {
        size_t stem = pl_hf_stem(t->name, ends[i]);
        if (!stem) continue;
        const pl_st_tensor *packed = pl_hf_beside(set, t->name, stem, packed_end);
        const pl_st_tensor *weight = packed ? packed : pl_hf_beside(set, t->name, stem, weight_end);
        if (weight && coded(ct, weight)) return true;
    }
    return false;
}

void pl_ct_rename(const pl_ct *ct, char *name)
{
    size_t stem = ct->groups ? pl_hf_stem(name, packed_end) : 0;
    if (stem) name[stem + strlen(weight_end)] = 0;
}

/* Scales of this type belong to codes of that? */
static bool right_scales(const pl_type *type, const pl_st_tensor *s)
{
    if (is_ints(type)) return pl_hf_floats(s);
    if (!strcmp(s->dtype, type->scale->safetensors)) return true;
    return type->scale == &pl_dtypes[PL_F8_E8M0] && !strcmp(s->dtype, "U8");
}

/* The group that codes and scales of a row belong to; NULL: none. `across`: elements that hold codes. */
static const pl_type *find_group(const pl_ct *ct, const char *dtype, int64_t across, const pl_st_tensor *s,
                                 int64_t cols)
{
    for (int i = 0; i < ct->groups; i++) {
        const pl_type *type = &ct->group[i];
        int64_t width = type->group ? type->group : cols, expected = cols / 2;
        bool fits = is_ints(type) != !strcmp(dtype, "U8") && right_scales(type, s);
        if (is_ints(type)) expected = pl_bits_words(cols, type->bits);
        if (!strcmp(dtype, "I8")) {
            expected = cols;
            fits = fits && type->bits == 8;
        }
        if (fits && across == expected && cols % width == 0 && s->shape[1] == cols / width) return type;
    }
    return NULL;
}

/* Zero points of a matrix of so many rows and scales in a row; X.weight_zero_point is signed where codes are, and else
 * a stream down each column. */
static pl_status check_zeros(const pl_st_set *set, const pl_st_tensor *w, const pl_type *type, int64_t scales,
                             const pl_st_tensor *zeros)
{
    int64_t words = pl_bits_words(w->shape[0], type->bits);
    if (!zeros)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has codes that are not symmetric, but there is no '%.*s%s'",
                       pl_hf_place(set, w), w->name, (int)pl_hf_stem(w->name, packed_end), w->name, zeros_end);
    if (strcmp(zeros->dtype, "I32") || zeros->dims != 2 || zeros->shape[0] != words || zeros->shape[1] != scales)
        return pl_fail(PL_E_INPUT, "%s: the zero points '%s' should be I32 of %lld x %lld", pl_hf_place(set, zeros),
                       zeros->name, (long long)words, (long long)scales);
    return PL_OK;
}

static pl_status check_global(const pl_st_set *set, const pl_st_tensor *w, const pl_st_tensor *global)
{
    bool one = global && global->bytes == 4 && !strcmp(global->dtype, "F32");
    if (one) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: beside '%s' there should be one number of F32, '%.*s%s'", pl_hf_place(set, w),
                   w->name, (int)pl_hf_stem(w->name, packed_end), w->name, global_end);
}

pl_status pl_ct_type_read(const pl_ct *ct, const pl_st_set *set, const pl_st_tensor *w, int64_t cols, pl_type *type,
                          pl_hf_parts *parts)
{
    size_t stem = coded(ct, w);
    *parts = (pl_hf_parts){ 0 };
    if (!stem) return PL_OK;
    const char *place = pl_hf_place(set, w);
    if (pl_hf_beside(set, w->name, stem, "weight_g_idx"))
        return pl_fail(PL_E_INPUT, "%s: '%.*sweight_g_idx' is not supported: codes are read that are in order", place,
                       (int)stem, w->name);
    const pl_st_tensor *s = pl_hf_beside(set, w->name, stem, scales_end);
    if (!s)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is stored as %s, but there is no '%.*s%s'", place, w->name,
                       w->dtype, (int)stem, w->name, scales_end);
    if (s->dims != 2 || w->dims != 2 || s->shape[0] != w->shape[0])
        return pl_fail(PL_E_INPUT, "%s: the scales '%s' should have the rows of a matrix '%s'", place, s->name,
                       w->name);
    bool small = cols > 0 && cols < INT32_MAX;
    const pl_type *group = small ? find_group(ct, w->dtype, w->shape[1], s, cols) : NULL;
    if (!group)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %lld %s and %lld scales of %s for rows of %lld values, which "
                       "is what no group of 'config_groups' would have", place, w->name, (long long)w->shape[1],
                       strcmp(w->dtype, "I32") ? "bytes" : "words", (long long)s->shape[1], s->dtype, (long long)cols);
    const pl_st_tensor *zeros = pl_hf_beside(set, w->name, stem, zeros_end);
    const pl_st_tensor *global = pl_hf_beside(set, w->name, stem, global_end);
    *type = *group;
    bool with_zeros = is_ints(type) && !type->symmetric, bytes = !strcmp(w->dtype, "I8");
    if (is_ints(type)) type->scale = pl_hf_floats(s);
    if ((zeros && !with_zeros) || (with_zeros && bytes))
        return pl_fail(PL_E_INPUT, "%s: '%s' %s zero points, which is not supported", place, w->name,
                       bytes ? "has signed bytes and" : "should be symmetric and has");
    if (with_zeros) PL_TRY(check_zeros(set, w, type, s->shape[1], zeros));
    if (type->global) PL_TRY(check_global(set, w, global));
    *parts = (pl_hf_parts){ .scales = s, .third = with_zeros ? zeros : type->global ? global : NULL };
    return PL_OK;
}
