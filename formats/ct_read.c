/* ct_read.c: weights of whole-number codes in compressed-tensors' folders. What config.json says of groups of modules
 * is not matched with their names: shapes say which of the groups a weight belongs to. */
#include "formats/ct_read.h"

#include <stdio.h>
#include <string.h>

enum { MAX_GROUP = 1 << 16 };

static const char packed_end[] = "weight_packed", weight_end[] = "weight";

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
    bool grouped = !strcmp(w.strategy, "group");
    if (grouped) PL_TRY(pl_json_int(w.member, "group_size", true, 1, MAX_GROUP, origin, &width));
    if (strcmp(w.type, "int") || w.bits > 8 || !w.symmetric || !(grouped || !strcmp(w.strategy, "channel")))
        return pl_fail(PL_E_INPUT, "%s: 'config_groups' has %ssymmetric weights of %lld bits, type '%.40s', strategy "
                       "'%.40s'; expected symmetric int of 1 to 8 bits by group or channel", origin,
                       w.symmetric ? "" : "a", (long long)w.bits, w.type, w.strategy);
    if (out->groups == PL_CT_GROUPS)
        return pl_fail(PL_E_INPUT, "%s: 'config_groups' has more than %d groups", origin, PL_CT_GROUPS);
    out->group[out->groups].bits = (int32_t)w.bits;
    out->group[out->groups++].width = (int32_t)width;
    return PL_OK;
}

pl_status pl_ct_config(const pl_json *config, const char *origin, pl_ct *out)
{
    const pl_json *found = pl_json_get(config, "quantization_config");
    const char *method = pl_json_text(pl_json_get(found, "quant_method"));
    const char *format = pl_json_text(pl_json_get(found, "format"));
    *out = (pl_ct){ 0 };
    if (!method || strcmp(method, "compressed-tensors") || !format) return PL_OK;
    if (strcmp(format, "pack-quantized") && strcmp(format, "int-quantized")) return PL_OK;
    const pl_json *groups = pl_json_get(found, "config_groups");
    if (!pl_json_is(groups, PL_JSON_OBJECT) || !pl_json_count(groups))
        return pl_fail(PL_E_INPUT, "%s: 'config_groups' should be an object with a group", origin);
    for (const pl_json *group = pl_json_first(groups); group; group = pl_json_next(group))
        PL_TRY(read_group(group, origin, out));
    return PL_OK;
}

/* ---- tensors ---- */

/* "X.": how many bytes of a name that ends so; 0: it does not. */
static size_t stem_of(const char *name, const char *end)
{
    size_t len = strlen(name), tail = strlen(end);
    bool ends = len > tail + 1 && !strcmp(name + len - tail, end) && name[len - tail - 1] == '.';
    return ends ? len - tail : 0;
}

static const pl_st_tensor *beside(const pl_st_set *set, const char *name, size_t stem, const char *end)
{
    char other[PL_MAX_NAME + 32];
    int len = snprintf(other, sizeof other, "%.*s%s", (int)stem, name, end);
    return pl_st_find(set, other, (size_t)len);
}

/* Beginning of the name, if this holds codes; 0: it does not. */
static size_t coded(const pl_ct *ct, const pl_st_tensor *t)
{
    if (!ct->groups) return 0;
    size_t packed = strcmp(t->dtype, "I32") ? 0 : stem_of(t->name, packed_end);
    return packed || strcmp(t->dtype, "I8") ? packed : stem_of(t->name, weight_end);
}

bool pl_ct_consumes(const pl_ct *ct, const pl_st_set *set, const pl_st_tensor *t)
{
    static const char *const ends[] = { "weight_scale", "weight_shape" };
    for (int i = 0; ct->groups && i < PL_COUNT(ends); i++) {
        size_t stem = stem_of(t->name, ends[i]);
        if (!stem) continue;
        const pl_st_tensor *packed = beside(set, t->name, stem, packed_end);
        const pl_st_tensor *weight = packed ? packed : beside(set, t->name, stem, weight_end);
        if (weight && coded(ct, weight)) return true;
    }
    return false;
}

void pl_ct_rename(const pl_ct *ct, char *name)
{
    size_t stem = ct->groups ? stem_of(name, packed_end) : 0;
    if (stem) name[stem + strlen(weight_end)] = 0;
}

static const char *place_of(const pl_st_set *set, const pl_st_tensor *t) { return pl_file_path(set->file[t->file]); }

/* The group that such words and scales of a row belong to; -1: none. */
static int find_group(const pl_ct *ct, bool bytes, int64_t words, int64_t scales, int64_t cols)
{
    for (int i = 0; i < ct->groups; i++) {
        int32_t bits = ct->group[i].bits, width = ct->group[i].width;
        int64_t expected = bytes ? cols : pl_bits_words(cols, bits);
        if (bytes && bits != 8) continue;
        if (words == expected && (width ? cols % width == 0 && scales == cols / width : scales == 1)) return i;
    }
    return -1;
}

pl_status pl_ct_type_read(const pl_ct *ct, const pl_st_set *set, const pl_st_tensor *w, int64_t cols, pl_type *type,
                          const pl_st_tensor **scales)
{
    static const char *const others[] = { "weight_zero_point", "weight_g_idx" };
    size_t stem = coded(ct, w);
    *scales = NULL;
    if (!stem) return PL_OK;
    const char *place = place_of(set, w);
    for (int i = 0; i < PL_COUNT(others); i++)
        if (beside(set, w->name, stem, others[i]))
            return pl_fail(PL_E_INPUT, "%s: '%.*s%s' is not supported: codes are read that are symmetric and in order",
                           place, (int)stem, w->name, others[i]);
    const pl_st_tensor *s = beside(set, w->name, stem, "weight_scale");
    if (!s)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is stored as %s, but there is no '%.*sweight_scale'", place,
                       w->name, w->dtype, (int)stem, w->name);
    const pl_dtype *dtype = pl_dtype_by_safetensors(s->dtype);
    bool wide = dtype == &pl_dtypes[PL_F32] || dtype == &pl_dtypes[PL_F16] || dtype == &pl_dtypes[PL_BF16];
    if (!wide || s->dims != 2 || w->dims != 2 || s->shape[0] != w->shape[0])
        return pl_fail(PL_E_INPUT, "%s: the scales '%s' should be F32, F16 or BF16 and have the rows of a matrix '%s'",
                       place, s->name, w->name);
    bool bytes = !strcmp(w->dtype, "I8");
    int group = cols > 0 && cols < INT32_MAX ? find_group(ct, bytes, w->shape[1], s->shape[1], cols) : -1;
    if (group < 0)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %lld %s and %lld scales for rows of %lld values, which is what "
                       "no group of 'config_groups' would have", place, w->name, (long long)w->shape[1],
                       bytes ? "bytes" : "words", (long long)s->shape[1], (long long)cols);
    *type = pl_type_ints(ct->group[group].bits, ct->group[group].width, true, dtype);
    *scales = s;
    return PL_OK;
}
