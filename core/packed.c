/* packed.c: storage types, the plain scheme, cutting and decoding packed matrices. */
#include "core/packed.h"

#include <string.h>

/* ---- plain: one part, each row a whole number of blocks ---- */

static pl_status plain_layout(pl_packed *p)
{
    int64_t row, total;
    PL_TRY(pl_dtype_row_bytes(p->type.element, p->cols, &row));
    if (!pl_mul_ok(row, p->rows, &total))
        return pl_fail(PL_E_WISH, "a matrix of %lld x %lld is too large", (long long)p->rows,
                       (long long)p->cols);
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

/* ---- storage types ---- */

pl_type pl_type_plain(int dtype_index)
{
    return (pl_type){ .scheme = &pl_scheme_plain, .element = &pl_dtypes[dtype_index] };
}

pl_status pl_type_parse(const char *name, pl_type *out)
{
    const pl_dtype *dtype = pl_dtype_find(name);
    if (!dtype || !dtype->decode)
        return pl_fail(PL_E_WISH, "unknown storage type '%s'; known are %s", name, pl_type_list());
    *out = (pl_type){ .scheme = &pl_scheme_plain, .element = dtype };
    return PL_OK;
}

const char *pl_type_name(const pl_type *type)
{
    return type->scheme && type->element ? type->element->name : "?";
}

bool pl_type_equal(const pl_type *a, const pl_type *b)
{
    return a->scheme == b->scheme && a->element == b->element && a->scale == b->scale &&
           a->bits == b->bits && a->group == b->group && a->symmetric == b->symmetric;
}

const char *pl_type_list(void)
{
    static _Thread_local char list[256];
    list[0] = 0;
    for (int i = 0; i < PL_DTYPES; i++) {
        if (!pl_dtypes[i].decode) continue;
        if (list[0]) strncat(list, ", ", sizeof list - strlen(list) - 1);
        strncat(list, pl_dtypes[i].name, sizeof list - strlen(list) - 1);
    }
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
        if (part->ptr) part->ptr += first / p->granule * part->stride;
        part->bytes = pl_ceil_div(count, p->granule) * part->stride;
    }
    return PL_OK;
}

pl_status pl_packed_decode(const pl_packed *p, int64_t first, int64_t count, float *rows,
                           pl_arena *scratch)
{
    PL_TRY(check_range(p, first, count));
    return p->type.scheme->decode(p, first, count, rows, scratch);
}
