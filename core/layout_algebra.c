/* layout_algebra.c: coalescing, composition, complement, inverses, division and products of layouts. */
#include <string.h>

#include "core/layout.h"
#include "core/layout_parts.h"

/* ---- flat modes ---- */

static pl_status push(pl_flat *f, int64_t shape, int64_t stride)
{
    if (f->count == PL_LAYOUT_MODES)
        return pl_fail(PL_E_INPUT, "the layout would have more than %d modes", PL_LAYOUT_MODES);
    f->shape[f->count] = shape;
    f->stride[f->count++] = stride;
    return PL_OK;
}

/* Joins the mode to the last one where that goes on with it; there is room. */
static void push_joined(pl_flat *f, int64_t shape, int64_t stride)
{
    int64_t next;
    int last = f->count - 1;
    if (shape == 1) return;
    if (last >= 0 && pl_mul_ok(f->shape[last], f->stride[last], &next) && next == stride) f->shape[last] *= shape;
    else push(f, shape, stride);
}

/* 1:0 stands for nothing. */
static void never_empty(pl_flat *f)
{
    if (f->count == 0) push(f, 1, 0);
}

void pl_flat_coalesced(const pl_layout *l, pl_flat *out)
{
    pl_flat f = { .count = 0 };
    for (int i = 0; i < l->shape.count; i++) push_joined(&f, l->shape.value[i], l->stride[i]);
    never_empty(&f);
    *out = f;
}

void pl_layout_from_flat(const pl_flat *f, pl_layout *out)
{
    pl_layout l = { .shape = { .count = f->count } };
    memcpy(l.shape.value, f->shape, (size_t)f->count * sizeof *f->shape);
    memcpy(l.stride, f->stride, (size_t)f->count * sizeof *f->stride);
    l.shape.open[0] = l.shape.close[f->count - 1] = f->count > 1;
    *out = l;
}

void pl_flat_sort(const pl_flat *f, int order[PL_LAYOUT_MODES])
{
    for (int i = 0; i < f->count; i++) {
        int at = i;
        for (; at > 0; at--) {
            int before = order[at - 1];
            if (f->stride[before] < f->stride[i] ||
                (f->stride[before] == f->stride[i] && f->shape[before] <= f->shape[i])) break;
            order[at] = before;
        }
        order[at] = i;
    }
}

/* ---- coalescing ---- */

void pl_layout_coalesce(const pl_layout *l, pl_layout *out)
{
    pl_flat f;
    pl_flat_coalesced(l, &f);
    pl_layout_from_flat(&f, out);
}

/* A mode as a member of the tuple under construction. */
static pl_status append_flat(pl_layout *tuple, const pl_flat *f)
{
    pl_layout mode;
    pl_layout_from_flat(f, &mode);
    return pl_layout_append(tuple, &mode);
}

pl_status pl_layout_coalesce_modes(const pl_layout *l, pl_layout *out)
{
    pl_layout made = { .shape = { .count = 0 } }, mode;
    for (int i = 0; i < pl_layout_rank(l); i++) {
        pl_layout_mode(l, i, &mode);
        pl_layout_coalesce(&mode, &mode);
        PL_TRY(pl_layout_append(&made, &mode));
    }
    if (pl_layout_depth(l) > 0) PL_TRY(pl_layout_wrap(&made));
    *out = made;
    return PL_OK;
}

/* ---- composition ---- */

static pl_status indivisible(const char *what, int64_t a, int64_t b)
{
    return pl_fail(PL_E_INPUT, "composition: %s %lld and %lld: neither divides the other", what, (long long)a,
                   (long long)b);
}

/* One more mode of b falls on mode k of a: n steps of `step`. used: how far modes of b reach within each of a. */
static pl_status emit(const pl_flat *a, int k, int64_t n, int64_t step, int64_t *used, pl_flat *out)
{
    int64_t reach, stride;
    if (!pl_mul_ok(n - 1, step, &reach) || !pl_add_ok(used[k], reach, &used[k]) || used[k] >= a->shape[k])
        return pl_fail(PL_E_INPUT, "composition: modes of the second layout carry into each other within the mode "
                       "%lld:%lld of the first", (long long)a->shape[k], (long long)a->stride[k]);
    if (!pl_mul_ok(step, a->stride[k], &stride)) return pl_fail(PL_E_INPUT, "composition: a stride passes 2^63");
    return push(out, n, stride);
}

/* Mode s:d of b, seen through a: d steps into a's modes, of which it takes the steps that are left. */
static pl_status compose_mode(const pl_flat *a, int64_t s, int64_t d, int64_t *used, pl_flat *out)
{
    out->count = 0;
    if (s == 1 || d == 0) return push(out, s, 0);
    int last = a->count - 1;
    for (int k = 0; k < last && s > 1; k++) {
        int64_t shape = a->shape[k];
        if (shape % d != 0 && d % shape != 0) return indivisible("stride and shape", d, shape);
        int64_t n = pl_min64(pl_max64(1, shape / d), s);
        if (s % n != 0) return indivisible("shapes", s, n);
        if (n > 1) PL_TRY(emit(a, k, n, d, used, out));
        s /= n;
        d = pl_ceil_div(d, shape);
    }
    return s > 1 ? emit(a, last, s, d, used, out) : PL_OK;
}

pl_status pl_layout_compose(const pl_layout *a, const pl_layout *b, pl_layout *out)
{
    pl_flat modes, part;
    int64_t used[PL_LAYOUT_MODES] = { 0 };
    pl_layout made = { .shape = { .count = 0 } };
    int64_t size = pl_layout_size(a), cosize = pl_layout_cosize(b);
    if (cosize > size)
        return pl_fail(PL_E_INPUT, "composition: the second layout reaches index %lld, the first has 0..%lld",
                       (long long)cosize - 1, (long long)size - 1);
    pl_flat_coalesced(a, &modes);
    for (int i = 0; i < b->shape.count; i++) {
        int first = made.shape.count;
        PL_TRY(compose_mode(&modes, b->shape.value[i], b->stride[i], used, &part));
        PL_TRY(append_flat(&made, &part));
        made.shape.open[first] = (uint8_t)(made.shape.open[first] + b->shape.open[i]);
        made.shape.close[made.shape.count - 1] = (uint8_t)(made.shape.close[made.shape.count - 1] + b->shape.close[i]);
    }
    if (pl_layout_depth(&made) > PL_LAYOUT_DEPTH)
        return pl_fail(PL_E_INPUT, "the layout would be nested deeper than %d", PL_LAYOUT_DEPTH);
    *out = made;
    return PL_OK;
}

static pl_status enough_modes(const pl_layout *a, const pl_tiler *b)
{
    int rank = pl_layout_rank(a);
    if (b->count <= rank) return PL_OK;
    return pl_fail(PL_E_INPUT, "the tiler has %d layouts, the layout only %d modes", b->count, rank);
}

pl_status pl_layout_compose_tiler(const pl_layout *a, const pl_tiler *b, pl_layout *out)
{
    pl_layout made = { .shape = { .count = 0 } }, mode;
    if (!b->by_mode) return pl_layout_compose(a, &b->mode[0], out);
    PL_TRY(enough_modes(a, b));
    for (int i = 0; i < pl_layout_rank(a); i++) {
        pl_layout_mode(a, i, &mode);
        if (i < b->count) PL_TRY(pl_layout_compose(&mode, &b->mode[i], &mode));
        PL_TRY(pl_layout_append(&made, &mode));
    }
    PL_TRY(pl_layout_wrap(&made));
    *out = made;
    return PL_OK;
}

/* ---- complement and inverses ---- */

pl_status pl_layout_complement(const pl_layout *l, int64_t m, pl_layout *out)
{
    pl_flat f, gaps = { .count = 0 };
    int order[PL_LAYOUT_MODES];
    int64_t covered = 1;
    if (m < 1) return pl_fail(PL_E_INPUT, "complement: the size must be at least 1, not %lld", (long long)m);
    pl_flat_coalesced(l, &f);
    pl_flat_sort(&f, order);
    for (int i = 0; i < f.count; i++) {
        int64_t s = f.shape[order[i]], d = f.stride[order[i]];
        if (s == 1 || d == 0) continue;
        if (d % covered != 0)
            return pl_fail(PL_E_INPUT,
                           "complement: stride %lld is no multiple of %lld, which the smaller strides cover",
                           (long long)d, (long long)covered);
        push_joined(&gaps, d / covered, covered);
        if (!pl_mul_ok(d, s, &covered)) return pl_fail(PL_E_INPUT, "complement: what is covered passes 2^63");
    }
    /* the last gap is one more mode than l has */
    if (gaps.count == PL_LAYOUT_MODES && m > covered)
        return pl_fail(PL_E_INPUT, "the layout would have more than %d modes", PL_LAYOUT_MODES);
    push_joined(&gaps, pl_ceil_div(m, covered), covered);
    never_empty(&gaps);
    pl_layout made;
    pl_layout_from_flat(&gaps, &made);
    PL_TRY(pl_layout_check(&made));
    *out = made;
    return PL_OK;
}

void pl_flat_right_inverse(const pl_flat *f, pl_flat *out)
{
    pl_flat inverse = { .count = 0 };
    int order[PL_LAYOUT_MODES];
    int64_t step[PL_LAYOUT_MODES], size = 1, next = 1;
    for (int i = 0; i < f->count; i++) {
        step[i] = size;
        size *= f->shape[i];
    }
    pl_flat_sort(f, order);
    for (int i = 0; i < f->count; i++) {
        int k = order[i];
        if (f->shape[k] == 1 || f->stride[k] == 0) continue;
        if (f->stride[k] != next) break;
        push_joined(&inverse, f->shape[k], step[k]);
        next *= f->shape[k];        /* the places up to here are all there: at most the size */
    }
    never_empty(&inverse);
    *out = inverse;
}

pl_status pl_layout_right_inverse(const pl_layout *l, pl_layout *out)
{
    pl_flat f;
    pl_flat_coalesced(l, &f);
    pl_flat_right_inverse(&f, &f);
    pl_layout_from_flat(&f, out);
    return PL_OK;
}

pl_status pl_layout_left_inverse(const pl_layout *l, pl_layout *out)
{
    pl_layout gaps;
    pl_flat f;
    for (int i = 0; i < l->shape.count; i++)
        if (l->shape.value[i] > 1 && l->stride[i] == 0)
            return pl_fail(PL_E_INPUT, "left inverse: the mode %lld:0 has one place for all its indices",
                           (long long)l->shape.value[i]);
    PL_TRY(pl_layout_complement(l, pl_layout_cosize(l), &gaps));
    pl_flat_coalesced(l, &f);
    for (int i = 0; i < gaps.shape.count; i++) PL_TRY(push(&f, gaps.shape.value[i], gaps.stride[i]));
    pl_flat_right_inverse(&f, &f);
    pl_layout made;
    pl_layout_from_flat(&f, &made);
    PL_TRY(pl_layout_check(&made));
    *out = made;
    return PL_OK;
}

/* ---- division and products ---- */

static pl_status pair(const pl_layout *a, const pl_layout *b, pl_layout *out)
{
    pl_layout made = *a;
    PL_TRY(pl_layout_append(&made, b));
    PL_TRY(pl_layout_wrap(&made));
    *out = made;
    return PL_OK;
}

/* (tile, tiles) of one mode. */
static pl_status divide(const pl_layout *a, const pl_layout *b, pl_layout *out)
{
    pl_layout rest, both;
    int64_t size = pl_layout_size(a), tile = pl_layout_size(b), covered;
    PL_TRY(pl_layout_complement(b, size, &rest));
    if (!pl_mul_ok(tile, pl_layout_size(&rest), &covered) || covered != size)
        return pl_fail(PL_E_INPUT,
                       "division: tiles of size %lld, with what lies between their places, do not divide %lld",
                       (long long)tile, (long long)size);
    PL_TRY(pair(b, &rest, &both));
    return pl_layout_compose(a, &both, out);
}

/* The modes of a tuple, or a leaf, as members. */
static pl_status append_modes(pl_layout *tuple, const pl_layout *l)
{
    pl_layout mode;
    for (int i = 0; i < pl_layout_rank(l); i++) {
        pl_layout_mode(l, i, &mode);
        PL_TRY(pl_layout_append(tuple, &mode));
    }
    return PL_OK;
}

pl_status pl_layout_divide(pl_divide kind, const pl_layout *a, const pl_tiler *b, pl_layout *out)
{
    static const pl_layout none = { .shape = { .count = 0 } };
    pl_layout made = none, tile = none, tiles = none, mode, part;
    if (b->by_mode) {
        PL_TRY(enough_modes(a, b));
        for (int i = 0; i < pl_layout_rank(a); i++) {
            pl_layout_mode(a, i, &mode);
            if (i < b->count) PL_TRY(divide(&mode, &b->mode[i], &mode));
            PL_TRY(pl_layout_append(&made, &mode));
            if (i < b->count) {
                pl_layout_mode(&mode, 0, &part);
                PL_TRY(pl_layout_append(&tile, &part));
                pl_layout_mode(&mode, 1, &part);
            } else part = mode;
            PL_TRY(pl_layout_append(&tiles, &part));
        }
        PL_TRY(pl_layout_wrap(&made));
        PL_TRY(pl_layout_wrap(&tile));
        PL_TRY(pl_layout_wrap(&tiles));
    } else {
        PL_TRY(divide(a, &b->mode[0], &made));
        pl_layout_mode(&made, 0, &tile);
        pl_layout_mode(&made, 1, &tiles);
    }
    if (kind != PL_DIVIDE_LOGICAL) {
        made = none;
        PL_TRY(kind == PL_DIVIDE_FLAT ? append_modes(&made, &tile) : pl_layout_append(&made, &tile));
        PL_TRY(kind == PL_DIVIDE_ZIPPED ? pl_layout_append(&made, &tiles) : append_modes(&made, &tiles));
        PL_TRY(pl_layout_wrap(&made));
    }
    *out = made;
    return PL_OK;
}

static pl_status product(const pl_layout *a, const pl_layout *b, pl_layout *out)
{
    pl_layout rest;
    int64_t reach;
    if (!pl_mul_ok(pl_layout_size(a), pl_layout_cosize(b), &reach))
        return pl_fail(PL_E_INPUT, "product: the places pass 2^63");
    PL_TRY(pl_layout_complement(a, reach, &rest));
    PL_TRY(pl_layout_compose(&rest, b, &rest));
    PL_TRY(pair(a, &rest, &rest));
    PL_TRY(pl_layout_check(&rest));
    *out = rest;
    return PL_OK;
}

/* A tuple of `rank` modes, the last ones 1:0. */
static pl_status padded(const pl_layout *l, int rank, pl_layout *out)
{
    pl_layout made = { .shape = { .count = 0 } }, one;
    const int64_t shape = 1, stride = 0;
    PL_TRY(append_modes(&made, l));
    PL_TRY(pl_layout_make(1, &shape, &stride, &one));
    for (int i = pl_layout_rank(l); i < rank; i++) PL_TRY(pl_layout_append(&made, &one));
    PL_TRY(pl_layout_wrap(&made));
    *out = made;
    return PL_OK;
}

pl_status pl_layout_product(pl_product kind, const pl_layout *a, const pl_layout *b, pl_layout *out)
{
    pl_layout made = { .shape = { .count = 0 } }, both, part[2], mode[2];
    int rank = pl_layout_rank(a) > pl_layout_rank(b) ? pl_layout_rank(a) : pl_layout_rank(b);
    if (kind == PL_PRODUCT_LOGICAL) return product(a, b, out);
    PL_TRY(padded(a, rank, &part[0]));
    PL_TRY(padded(b, rank, &part[1]));
    PL_TRY(product(&part[0], &part[1], &both));
    pl_layout_mode(&both, 0, &part[0]);
    pl_layout_mode(&both, 1, &part[1]);
    for (int i = 0; i < rank; i++) {
        pl_layout_mode(&part[0], i, &mode[0]);
        pl_layout_mode(&part[1], i, &mode[1]);
        bool raked = kind == PL_PRODUCT_RAKED;
        PL_TRY(pair(&mode[raked], &mode[!raked], &mode[0]));
        PL_TRY(pl_layout_append(&made, &mode[0]));
    }
    PL_TRY(pl_layout_wrap(&made));
    *out = made;
    return PL_OK;
}
