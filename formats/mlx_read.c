/* mlx_read.c: quantized weights in MLX's folders. Which type one has is clear from its own shapes, as mlx-lm itself
 * takes it; what config.json says of the module must agree. */
#include "formats/mlx_read.h"

#include <stdio.h>
#include <string.h>

#include "formats/mlx_types.h"

enum { MAX_GROUP = 1 << 16 };

static const char weight_end[] = "weight", scales_end[] = "scales", biases_end[] = "biases";
static const char global_end[] = "global_scale";

/* ---- config.json ---- */

/* {"group_size": 64, "bits": 4, "mode": "affine"}; mode absent: affine. */
static pl_status read_mode(const pl_json *object, const char *origin, pl_type *out)
{
    char place[PATH_MAX + 32];
    const char *mode = "affine";
    int64_t bits, group;
    snprintf(place, sizeof place, "%s: 'quantization'", origin);
    PL_TRY(pl_json_int(object, "group_size", true, 1, MAX_GROUP, place, &group));
    PL_TRY(pl_json_int(object, "bits", true, 1, 32, place, &bits));
    PL_TRY(pl_json_string(object, "mode", false, place, &mode));
    bool affine = !strcmp(mode, "affine") && pl_mlx_has_affine(bits, group);
    if (affine) *out = pl_type_affine((int)bits, (int)group, NULL);
    else if (!pl_mlx_find_floats(bits, group, out) || strcmp(pl_mlx_mode(out), mode))
        return pl_fail(PL_E_INPUT, "%s of mode '%.40s' with %lld bits in groups of %lld is not known; known are affine "
                       "with 2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128, mxfp4 (4, 32), mxfp8 (8, 32) and "
                       "nvfp4 (4, 16)", place, mode, (long long)bits, (long long)group);
    return PL_OK;
}

pl_status pl_mlx_config(const pl_json *config, const char *origin, pl_mlx *out)
{
    pl_type type;
    *out = (pl_mlx){ .quantization = pl_json_get(config, "quantization"), .origin = origin };
    if (!out->quantization) return PL_OK;
    if (!pl_json_is(out->quantization, PL_JSON_OBJECT))
        return pl_fail(PL_E_INPUT, "%s: 'quantization' should be an object", origin);
    return read_mode(out->quantization, origin, &type);
}

/* What config.json says of one module, if it has an entry of its own; *said false: it has none, or only `true`. */
static pl_status read_entry(const pl_mlx *mlx, const char *path, bool *said, pl_type *type)
{
    const pl_json *entry = pl_json_get(mlx->quantization, path);
    *said = pl_json_is(entry, PL_JSON_OBJECT);
    return *said ? read_mode(entry, mlx->origin, type) : PL_OK;
}

/* ---- tensors ---- */

bool pl_mlx_consumes(const pl_mlx *mlx, const pl_st_set *set, const pl_st_tensor *t)
{
    size_t stem = pl_hf_stem(t->name, scales_end);
    if (!stem) stem = pl_hf_stem(t->name, biases_end);
    if (!stem) stem = pl_hf_stem(t->name, global_end);
    const pl_st_tensor *weight = mlx->quantization && stem ? pl_hf_beside(set, t->name, stem, weight_end) : NULL;
    return weight && !strcmp(weight->dtype, "U32");
}

/* All dimensions but the last are the weight's. */
static bool same_rows(const pl_st_tensor *a, const pl_st_tensor *b)
{
    if (a->dims != b->dims || a->dims < 1) return false;
    return !memcmp(a->shape, b->shape, (size_t)(a->dims - 1) * sizeof *a->shape);
}

static pl_status check_shapes(const pl_st_set *set, const pl_st_tensor *w, const pl_hf_parts *parts)
{
    const pl_st_tensor *s = parts->scales, *b = parts->third;
    if (w->dims < 2)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %d dimensions and scales, expected 2", pl_hf_place(set, w),
                       w->name, (int)w->dims);
    if (!same_rows(w, s))
        return pl_fail(PL_E_INPUT, "%s: the scales '%s' have not as many rows as '%s'", pl_hf_place(set, s), s->name,
                       w->name);
    bool bytes = !strcmp(s->dtype, "U8");
    if (bytes != !b)
        return pl_fail(PL_E_INPUT, "%s: the scales '%s' are stored as %s, so there should be %sbiases beside them",
                       pl_hf_place(set, s), s->name, s->dtype, bytes ? "no " : "");
    if (b && (!same_rows(s, b) || s->shape[s->dims - 1] != b->shape[b->dims - 1] || strcmp(s->dtype, b->dtype)))
        return pl_fail(PL_E_INPUT, "%s: the biases '%s' should have the shape and type of '%s'", pl_hf_place(set, b),
                       b->name, s->name);
    return PL_OK;
}

/* The type that a row of so many words and scales, which are in t, for `cols` values has. */
static bool find_type(int64_t words, int64_t scales, int64_t cols, const pl_st_tensor *t, pl_type *out)
{
    int64_t all_bits;
    if (cols <= 0 || scales <= 0 || !pl_mul_ok(words, 32, &all_bits) || all_bits % cols || cols % scales) return false;
    int64_t bits = all_bits / cols, group = cols / scales;
    if (!strcmp(t->dtype, "U8")) return pl_mlx_find_floats(bits, group, out);
    const pl_dtype *scale = pl_hf_floats(t);
    if (!scale || !pl_mlx_has_affine(bits, group)) return false;
    *out = pl_type_affine((int)bits, (int)group, scale);
    return true;
}

pl_status pl_mlx_type_read(const pl_mlx *mlx, const pl_st_set *set, const pl_st_tensor *weight, int64_t cols,
                           pl_type *type, pl_hf_parts *parts)
{
    size_t stem = pl_hf_stem(weight->name, weight_end);
    *parts = (pl_hf_parts){ 0 };
    if (!mlx->quantization || strcmp(weight->dtype, "U32") || !stem) return PL_OK;
    parts->scales = pl_hf_beside(set, weight->name, stem, scales_end);
    parts->third = pl_hf_beside(set, weight->name, stem, biases_end);
    const char *place = pl_hf_place(set, weight);
    if (!parts->scales)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is stored as U32, but there is no '%.*s%s'", place, weight->name,
                       (int)stem, weight->name, scales_end);
    if (pl_hf_beside(set, weight->name, stem, global_end))
        return pl_fail(PL_E_INPUT, "%s: '%.*s%s': scales of whole matrices are not supported", place, (int)stem,
                       weight->name, global_end);
    PL_TRY(check_shapes(set, weight, parts));
    int64_t words = weight->shape[weight->dims - 1], scales = parts->scales->shape[weight->dims - 1];
    if (!find_type(words, scales, cols, parts->scales, type))
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %lld words and %lld scales of %s for rows of %lld values: no "
                       "way to quantize that MLX has", place, weight->name, (long long)words, (long long)scales,
                       parts->scales->dtype, (long long)cols);
    char path[PL_MAX_NAME + 1];
    pl_type own;
    bool said;
    snprintf(path, sizeof path, "%.*s", (int)stem - 1, weight->name);
    PL_TRY(read_entry(mlx, path, &said, &own));
    if (!said || pl_mlx_alike(&own, type)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: 'quantization' says %s of '%s', its shapes say %s", mlx->origin, pl_type_name(&own),
                   path, pl_type_name(type));
}
