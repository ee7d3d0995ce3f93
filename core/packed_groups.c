/* packed_groups.c: matrices of whole-number codes with scales per group of columns: the schemes affine and ints. */
#include <stdio.h>
#include <string.h>

#include "core/packed_bits.h"
#include "core/packed_groups.h"

/* ---- layouts ---- */

static pl_status too_large(const pl_packed *p)
{
    return pl_fail(PL_E_WISH, "a matrix of %lld x %lld is too large", (long long)p->rows, (long long)p->cols);
}

/* A part with so many bytes in each row. */
static bool add_part(pl_packed *p, int role, const pl_dtype *dtype, int64_t row_bytes)
{
    int64_t total;
    if (!pl_mul_ok(row_bytes, p->rows, &total)) return false;
    p->part[p->nparts++] = (pl_part){ .role = (uint8_t)role, .id = -1, .dtype = dtype, .bytes = total,
                                      .stride = row_bytes };
    return true;
}

static pl_status groups_layout(pl_packed *p, bool whole, int second, const pl_dtype *second_dtype)
{
    const pl_type *type = &p->type;
    int64_t bits, groups = type->group ? pl_ceil_div(p->cols, type->group) : 1, scales;
    if (type->bits < 1 || type->bits > 8 || type->group < 0 || !type->scale)
        return pl_fail(PL_E_WISH, "no codes of %d bits in groups of %d with scales of %s", (int)type->bits,
                       (int)type->group, type->scale ? type->scale->name : "no type");
    if (whole && (type->group == 0 || p->cols % type->group))
        return pl_fail(PL_E_WISH, "%s holds rows of a multiple of %d values, not of %lld", pl_type_name(type),
                       (int)type->group, (long long)p->cols);
    if (p->cols < 0 || !pl_mul_ok(p->cols, 32, &bits) || !pl_mul_ok(groups, type->scale->bytes, &scales))
        return too_large(p);
    p->granule = 1;
    p->nparts = 0;
    bool fits = add_part(p, PL_CODES, type->element, pl_bits_words(p->cols, type->bits) * 4) &&
                add_part(p, PL_SCALES, type->scale, scales) &&
                (!second_dtype || add_part(p, second, second_dtype, groups * second_dtype->bytes));
    return fits ? PL_OK : too_large(p);
}

static pl_status affine_layout(pl_packed *p) { return groups_layout(p, true, PL_BIASES, p->type.scale); }

static pl_status ints_layout(pl_packed *p)
{
    return groups_layout(p, false, PL_ZEROS, p->type.symmetric ? NULL : &pl_dtypes[PL_U8]);
}

/* ---- values ---- */

enum {
    GROUPS = 64,                /* whose scales are widened at a time */
    CODES = 1024                /* unpacked at a time: whole words, and they stay in registers' reach */
};

/* One row: code * scale + bias, or (code - zero) * scale; adding -0 changes nothing. */
static void decode_row(const pl_packed *p, int64_t row, float *out)
{
    const pl_type *type = &p->type;
    const uint8_t *words = p->part[0].ptr + row * p->part[0].stride, *scales = p->part[1].ptr + row * p->part[1].stride;
    const uint8_t *second = p->nparts > 2 ? p->part[2].ptr + row * p->part[2].stride : NULL;
    int64_t width = type->group ? type->group : pl_max64(p->cols, 1), groups = pl_ceil_div(p->cols, width);
    bool affine = type->scheme == &pl_scheme_affine;
    const pl_bits_ops *ops = pl_bits_fastest();
    float scale[GROUPS], bias[GROUPS];
    uint8_t codes[CODES];
    for (int64_t g = 0, unpacked = 0; g < groups; g++) {
        int64_t k = g % GROUPS, ahead = pl_min64(groups - g, GROUPS), end = pl_min64((g + 1) * width, p->cols);
        if (k == 0) pl_decode(type->scale, scales + g * type->scale->bytes, scale, ahead);
        if (k == 0 && affine) pl_decode(type->scale, second + g * type->scale->bytes, bias, ahead);
        int zero = affine ? 0 : second ? second[g] : 1 << (type->bits - 1);
        for (int64_t i = g * width; i < end;) {
            if (i == unpacked) {
                int64_t n = pl_min64(p->cols - i, CODES);
                ops->unpack(words + i * type->bits / 8, n, type->bits, codes);
                unpacked += n;
            }
            int64_t stop = pl_min64(end, unpacked);
            ops->values(codes + i % CODES, stop - i, zero, scale[k], affine ? bias[k] : -0.0f, out + i);
            i = stop;
        }
    }
}

static pl_status groups_decode(const pl_packed *p, int64_t first, int64_t count, float *rows, pl_arena *scratch)
{
    (void)scratch;
    for (int64_t r = 0; r < count; r++) decode_row(p, first + r, rows + r * p->cols);
    return PL_OK;
}

const pl_scheme pl_scheme_affine = {
    .name = "affine", .factors = 1, .layout = affine_layout, .factor = NULL, .decode = groups_decode,
};

const pl_scheme pl_scheme_ints = {
    .name = "ints", .factors = 1, .layout = ints_layout, .factor = NULL, .decode = groups_decode,
};

/* ---- names ---- */

pl_type pl_type_affine(int bits, int group, const pl_dtype *scale)
{
    return (pl_type){ .scheme = &pl_scheme_affine, .element = &pl_dtypes[PL_U32], .scale = scale, .bits = bits,
                      .group = group };
}

pl_type pl_type_ints(int bits, int group, bool symmetric, const pl_dtype *scale)
{
    return (pl_type){ .scheme = &pl_scheme_ints, .element = &pl_dtypes[PL_U32], .scale = scale, .bits = bits,
                      .group = group, .symmetric = symmetric };
}

pl_type pl_type_scales_like(pl_type wish, const pl_dtype *weights)
{
    bool open = wish.scheme && wish.scheme != &pl_scheme_plain && !wish.scale;
    if (open) wish.scale = pl_dtype_is_float(weights) ? weights : &pl_dtypes[PL_BF16];
    return wish;
}

/* "affine4-g64", "int4-g128", "int8": bits 1 to 8, a group up to six digits. Is `name` such a name? */
static bool read_name(const char *name, const char *word, int32_t *bits, int32_t *group)
{
    char again[32];
    size_t len = strlen(word);
    *group = 0;
    if (strncmp(name, word, len) || sscanf(name + len, "%1d-g%6d", bits, group) < 1) return false;
    if (*group) snprintf(again, sizeof again, "%s%d-g%d", word, (int)*bits, (int)*group);
    else snprintf(again, sizeof again, "%s%d", word, (int)*bits);
    return !strcmp(name, again) && *bits >= 1 && *bits <= 8;
}

static bool one_of(int32_t x, const int32_t *list, int n)
{
    for (int i = 0; i < n; i++)
        if (list[i] == x) return true;
    return false;
}

bool pl_type_parse_groups(const char *name, pl_type *out)
{
    static const int32_t affine_bits[] = { 2, 3, 4, 5, 6, 8 }, int_bits[] = { 2, 3, 4, 8 };
    static const int32_t groups[] = { 32, 64, 128 };
    int32_t bits, group;
    bool grouped, affine = read_name(name, "affine", &bits, &group);
    bool symmetric = !affine && read_name(name, "int", &bits, &group);
    if (!affine && !symmetric && !read_name(name, "uint", &bits, &group)) return false;
    grouped = one_of(group, groups, PL_COUNT(groups));
    if (affine) {
        *out = pl_type_affine(bits, group, NULL);
        return grouped && one_of(bits, affine_bits, PL_COUNT(affine_bits));
    }
    *out = pl_type_ints(bits, group, symmetric, NULL);
    return (grouped || group == 0) && one_of(bits, int_bits, PL_COUNT(int_bits));
}

const char pl_type_groups_list[] = "affine{2,3,4,5,6,8}-g{32,64,128}, [u]int{2,3,4,8}[-g{32,64,128}]";

void pl_type_name_groups(const pl_type *type, char *out, size_t size)
{
    const char *word = type->scheme == &pl_scheme_affine ? "affine" : type->symmetric ? "int" : "uint";
    if (type->group) snprintf(out, size, "%s%d-g%d", word, (int)type->bits, (int)type->group);
    else snprintf(out, size, "%s%d", word, (int)type->bits);
}
