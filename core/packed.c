/* packed.c: storage types, their schemes, cutting and decoding packed matrices. */
#include "core/packed.h"

#include <stdio.h>
#include <string.h>

#include "core/packed_groups.h"

/* ---- plain: one part, each row a whole number of blocks ---- */

static pl_status too_large(const pl_packed *p)
{
    return pl_fail(PL_E_WISH, "a matrix of %lld x %lld is too large", (long long)p->rows,
                   (long long)p->cols);
}

static pl_status plain_layout(pl_packed *p)
{
    int64_t row, total;
    PL_TRY(pl_dtype_row_bytes(p->type.element, p->cols, &row));
    if (!pl_mul_ok(row, p->rows, &total)) return too_large(p);
    p->granule = 1;
    p->nparts = 1;
    p->part[0] = (pl_part){ .role = PL_CODES, .id = -1, .dtype = p->type.element, .bytes = total,
                            .stride = row };
    return PL_OK;
}

static pl_status plain_decode(const pl_packed *p, int64_t first, int64_t count, float *rows,
                              pl_arena *scratch)
{
    (void)scratch;
    pl_decode(p->type.element, p->part[0].ptr + first * p->part[0].stride, rows, count * p->cols);
    return PL_OK;
}

const pl_scheme pl_scheme_plain = {
    .name = "plain", .factors = 1, .layout = plain_layout, .factor = NULL, .decode = plain_decode,
};

/* ---- scaled: codes, and scales for blocks of them ---- */

/* Columns that share a scale. */
static int64_t scaled_width(const pl_packed *p)
{
    return p->type.group ? p->type.group : pl_max64(p->cols, 1);
}

static pl_status scaled_layout(pl_packed *p)
{
    const pl_type *type = &p->type;
    int64_t row, granule_bytes, total, across, scales;
    if (type->group < 0 || type->group_rows < 0 || !type->scale)
        return pl_fail(PL_E_WISH, "no blocks of %d x %d codes with scales of %s", (int)type->group_rows,
                       (int)type->group, type->scale ? type->scale->name : "no type");
    if (type->group % type->element->block)
        return pl_fail(PL_E_WISH, "a scale for every %d codes of %s, which come in blocks of %d",
                       (int)type->group, type->element->name, type->element->block);
    PL_TRY(pl_dtype_row_bytes(type->element, p->cols, &row));
    p->granule = type->group_rows ? type->group_rows : 1;
    if (!pl_mul_ok(row, p->rows, &total) || !pl_mul_ok(row, p->granule, &granule_bytes))
        return too_large(p);
    PL_TRY(pl_dtype_row_bytes(type->scale, pl_ceil_div(p->cols, scaled_width(p)), &across));
    if (!pl_mul_ok(across, type->group_rows ? pl_ceil_div(p->rows, p->granule) : 1, &scales))
        return too_large(p);
    p->nparts = 2;
    p->part[0] = (pl_part){ .role = PL_CODES, .id = -1, .dtype = type->element, .bytes = total,
                            .stride = granule_bytes };
    p->part[1] = (pl_part){ .role = PL_SCALES, .id = -1, .dtype = type->scale, .bytes = scales,
                            .stride = type->group_rows ? across : 0 };
    if (type->global)
        p->part[p->nparts++] = (pl_part){ .role = PL_GLOBAL, .id = -1, .dtype = &pl_dtypes[PL_F32], .bytes = 4 };
    return PL_OK;
}

static pl_status scaled_decode(const pl_packed *p, int64_t first, int64_t count, float *rows,
                               pl_arena *scratch)
{
    enum { AT_ONCE = 64 };
    const pl_dtype *element = p->type.element, *scale = p->type.scale;
    int64_t width = scaled_width(p), row_bytes = p->part[0].stride / p->granule;
    float factor[AT_ONCE], global = 1.0f;
    if (p->type.global) memcpy(&global, p->part[2].ptr, sizeof global);
    for (int64_t r = first; r < first + count; r++, rows += p->cols) {
        const uint8_t *codes = p->part[0].ptr + r * row_bytes;
        const uint8_t *scales = p->part[1].ptr + r / p->granule * p->part[1].stride;
        for (int64_t at = 0, k = 0; at < p->cols; at += width, k++) {
            if (k % AT_ONCE == 0) {
                int64_t left = pl_ceil_div(p->cols - at, width);
                pl_decode(scale, scales + k * scale->bytes, factor, pl_min64(left, AT_ONCE));
                for (int64_t i = 0; p->type.global && i < pl_min64(left, AT_ONCE); i++) factor[i] /= global;
            }
            int64_t n = pl_min64(width, p->cols - at);
            pl_decode(element, codes + at / element->block * element->bytes, rows + at, n);
            for (int64_t i = at; i < at + n; i++) rows[i] *= factor[k % AT_ONCE];
        }
    }
    return PL_OK;
}

const pl_scheme pl_scheme_scaled = {
    .name = "scaled", .factors = 1, .layout = scaled_layout, .factor = NULL, .decode = scaled_decode,
};

/* ---- names of parts ---- */

static const char *const part_names[] = {
    [PL_CODES] = "codes", [PL_SCALES] = "scales", [PL_BIASES] = "biases", [PL_ZEROS] = "zeros",
    [PL_GLOBAL] = "global", [PL_INDEX] = "index", [PL_MASK] = "mask",
};

const char *pl_part_name(int role) { return role >= 0 && role < PL_COUNT(part_names) ? part_names[role] : "?"; }

int pl_part_find(const char *name)
{
    for (int i = 0; i < PL_COUNT(part_names); i++)
        if (!strcmp(part_names[i], name)) return i;
    return -1;
}

/* ---- storage types ---- */

pl_type pl_type_plain(int dtype_index)
{
    return (pl_type){ .scheme = &pl_scheme_plain, .element = &pl_dtypes[dtype_index] };
}

pl_type pl_type_scaled(const pl_dtype *codes, const pl_dtype *scales, int32_t rows, int32_t cols)
{
    return (pl_type){ .scheme = &pl_scheme_scaled, .element = codes, .scale = scales, .group = cols,
                      .group_rows = rows };
}

int32_t pl_type_span(const pl_type *type)
{
    bool whole = type->scheme == &pl_scheme_affine || type->scheme == &pl_scheme_ints ||
                 (type->scheme == &pl_scheme_scaled && type->group_rows == 1);
    if (whole && type->group) return type->group;
    return type->element ? type->element->block : 1;
}

bool pl_type_is_float(const pl_type *type)
{
    return type->scheme == &pl_scheme_plain && pl_dtype_is_float(type->element);
}

bool pl_type_coded(const pl_type *type)
{
    return type->element && (type->scheme != &pl_scheme_plain || type->element->block > 1);
}

pl_status pl_type_parse(const char *name, pl_type *out)
{
    if (pl_type_parse_groups(name, out)) return PL_OK;
    bool rows = !strcmp(name, "fp8");            /* with a scale for each of them, of a type left open */
    if (rows || !strcmp(name, "mxfp8")) {
        *out = pl_type_scaled(&pl_dtypes[PL_F8_E4M3], rows ? NULL : &pl_dtypes[PL_F8_E8M0], 1, rows ? 0 : 32);
        return PL_OK;
    }
    const pl_dtype *dtype = pl_dtype_find(name);
    if (!dtype)
        return pl_fail(PL_E_WISH, "unknown storage type '%s'; known are %s", name, pl_type_list());
    if (dtype - pl_dtypes >= PL_DTYPES)
        return pl_fail(PL_E_WISH, "storage type '%s' can be read, not written; known are %s", name,
                       pl_type_list());
    *out = (pl_type){ .scheme = &pl_scheme_plain, .element = dtype };
    return PL_OK;
}

/* With how many codes share a scale. */
static void scaled_name(const pl_type *type, char *out, size_t size)
{
    const char *codes = type->element->name;
    if (type->group_rows > 1 || type->group)
        snprintf(out, size, "%s %dx%d%s", codes, (int)type->group_rows, (int)type->group, type->global ? " x1" : "");
    else snprintf(out, size, "%s per %s", codes, type->group_rows ? "row" : "tensor");
}

const char *pl_type_name(const pl_type *type)
{
    static _Thread_local char name[4][48];
    static _Thread_local int next;
    if (!type->scheme || !type->element) return "?";
    if (type->scheme == &pl_scheme_plain) return type->element->name;
    char *out = name[next = (next + 1) % 4];
    (type->scheme == &pl_scheme_scaled ? scaled_name : pl_type_name_groups)(type, out, sizeof name[0]);
    return out;
}

bool pl_type_equal(const pl_type *a, const pl_type *b)
{
    return a->scheme == b->scheme && a->element == b->element && a->scale == b->scale &&
           a->bits == b->bits && a->group == b->group && a->group_rows == b->group_rows &&
           a->symmetric == b->symmetric && a->global == b->global;
}

const char *pl_type_list(void)
{
    static _Thread_local char list[384];
    list[0] = 0;
    for (int i = 0; i < PL_DTYPES; i++) {
        strncat(list, pl_dtypes[i].name, sizeof list - strlen(list) - 1);
        strncat(list, ", ", sizeof list - strlen(list) - 1);
    }
    strncat(list, pl_type_groups_list, sizeof list - strlen(list) - 1);
    strncat(list, ", mxfp8, fp8", sizeof list - strlen(list) - 1);
    return list;
}

/* ---- packed matrices ---- */

pl_status pl_packed_init(pl_packed *p, pl_type type, int64_t rows, int64_t cols)
{
    *p = (pl_packed){ .type = type, .rows = rows, .cols = cols };
    if (!type.scheme) return pl_fail(PL_E_WISH, "no storage type");
    return type.scheme->layout(p);
}

int64_t pl_packed_bytes(const pl_packed *p)
{
    int64_t bytes = 0;
    for (int i = 0; i < p->nparts; i++) bytes += p->part[i].bytes;
    return bytes;
}

static pl_status check_range(const pl_packed *p, int64_t first, int64_t count)
{
    int64_t end;
    if (!pl_add_ok(first, count, &end) || end > p->rows)
        return pl_fail(PL_E_INPUT, "%lld rows from row %lld of a matrix with %lld rows",
                       (long long)count, (long long)first, (long long)p->rows);
    return PL_OK;
}

pl_status pl_packed_rows(const pl_packed *p, int64_t first, int64_t count, pl_packed *view)
{
    PL_TRY(check_range(p, first, count));
    bool whole = first == 0 && count == p->rows;
    if (!whole && (p->granule == 0 || first % p->granule ||
                   (count % p->granule && first + count != p->rows)))
        return pl_fail(PL_E_INPUT, "rows %lld to %lld cut a group of %d rows that share bytes",
                       (long long)first, (long long)(first + count), (int)p->granule);
    *view = *p;
    view->rows = count;
    if (whole) return PL_OK;
    for (int i = 0; i < view->nparts; i++) {
        pl_part *part = &view->part[i];
        if (part->stride == 0) continue;        /* belongs to the whole matrix */
        int64_t before = first / p->granule * part->stride;
        if (part->ptr) part->ptr += before;
        /* the last granule may have fewer rows than the others */
        part->bytes = first + count == p->rows ? part->bytes - before
                                               : count / p->granule * part->stride;
    }
    return PL_OK;
}

pl_status pl_packed_decode(const pl_packed *p, int64_t first, int64_t count, float *rows,
                           pl_arena *scratch)
{
    PL_TRY(check_range(p, first, count));
    return p->type.scheme->decode(p, first, count, rows, scratch);
}
