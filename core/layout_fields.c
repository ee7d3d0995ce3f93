/* layout_fields.c: bytes in another order than their type's, checked, made and undone. */
#include "core/layout_fields.h"

#include <string.h>

#include "core/layout_pack.h"
#include "core/layout_parts.h"

/* ---- is it a bijection? ---- */

static pl_status wrong(const pl_arrangement *a, const char *what)
{
    return pl_fail(PL_E_INPUT, "the layout '%.60s' %s", a->name, what);
}

int64_t pl_arrangement_field(const pl_arrangement *a, int i)
{
    return pl_layout_size(&a->field[i].order) * a->field[i].bits / 8;
}

/* The fields fill their units: whole bytes, no more and no less. */
static pl_status check_units(const pl_arrangement *a)
{
    int64_t left = a->bytes, bits;
    if (a->fields < 1 || a->fields > PL_FIELDS || a->bytes < 1 || a->unit < 1 || a->bytes % a->unit)
        return wrong(a, "has no whole units");
    int64_t units = a->bytes / a->unit;
    for (int i = 0; i < a->fields; i++) {
        const pl_field *f = &a->field[i];
        PL_TRY(pl_layout_check(&f->order));
        if (f->bits < 1 || f->bits > 64 || f->flip < 0 || f->flip > 255 || f->from < 0 || f->from >= a->bytes)
            return wrong(a, "has a field that cannot be");
        if (!pl_mul_ok(pl_layout_size(&f->order), f->bits, &bits) || bits % 8 || bits / 8 % units || bits / 8 > left)
            return wrong(a, "has fields that do not fit its units");
        left -= bits / 8;
    }
    return left == 0 ? PL_OK : wrong(a, "has fields that do not fill its units");
}

/* A field's places in grains of so many bits that all fields begin and end with whole ones; modes by rising stride, as
 * few as can be. */
typedef struct places { pl_flat modes; int64_t first; } places;

static pl_status places_of(const pl_arrangement *a, const pl_field *f, int64_t grain, places *out)
{
    pl_flat modes = { .count = 1, .shape = { f->bits / grain }, .stride = { 1 } };
    int order[PL_LAYOUT_MODES];
    pl_layout l;
    pl_flat all;
    pl_flat_coalesced(&f->order, &all);
    if (all.count == PL_LAYOUT_MODES) return wrong(a, "has too many modes");
    pl_flat_sort(&all, order);
    for (int i = 0; i < all.count; i++) {
        int64_t stride;
        if (!pl_mul_ok(all.stride[order[i]], f->bits / grain, &stride)) return wrong(a, "reaches too far");
        modes.shape[modes.count] = all.shape[order[i]];
        modes.stride[modes.count++] = stride;
    }
    pl_layout_from_flat(&modes, &l);
    PL_TRY(pl_layout_check(&l));
    pl_flat_coalesced(&l, &out->modes);
    out->first = f->from * 8 / grain;
    return PL_OK;
}

static int64_t reach(const places *p)
{
    int64_t last = p->first;
    for (int k = 0; k < p->modes.count; k++) last += (p->modes.shape[k] - 1) * p->modes.stride[k];
    return last;
}

/* All fields have the same slowest mode, and it repeats what is within `span`, without gap or overlap: only one
 * repetition is left to be looked at. */
static bool peel(places *p, int fields, int64_t *span)
{
    int64_t shape = 0, stride = 0;
    for (int i = 0; i < fields; i++) {
        const pl_flat *m = &p[i].modes;
        int last = m->count - 1;
        if (m->shape[last] == 1 || (i && (m->shape[last] != shape || m->stride[last] != stride))) return false;
        shape = m->shape[last];
        stride = m->stride[last];
    }
    if (stride != *span / shape || *span % shape) return false;
    for (int i = 0; i < fields; i++)
        if (reach(&p[i]) - (shape - 1) * stride >= stride) return false;
    for (int i = 0; i < fields; i++) {
        pl_flat *m = &p[i].modes;
        m->shape[m->count - 1] = 1;
        if (m->count > 1) m->count--;
    }
    *span = stride;
    return true;
}

/* Marks each place; false if one is marked already, or outside. */
static bool mark(const places *p, int64_t span, uint8_t *seen)
{
    pl_layout l;
    pl_layout_from_flat(&p->modes, &l);
    int64_t size = pl_layout_size(&l);
    for (int64_t i = 0; i < size; i++) {
        int64_t at = p->first + pl_layout_at(&l, i);
        if (at >= span || seen[at]) return false;
        seen[at] = 1;
    }
    return true;
}

pl_status pl_arrangement_check(const pl_arrangement *a)
{
    enum { MOST = 1 << 20 };
    places p[PL_FIELDS];
    int64_t grain = 8, span;
    PL_TRY(check_units(a));
    if (a->fields == 1 && a->field[0].from == 0) {      /* any number of places */
        bool bijective;
        PL_TRY(pl_composed_bijective(&(pl_composed){ .layout = a->field[0].order }, &bijective));
        return bijective ? PL_OK : wrong(a, "is no bijection");
    }
    for (int i = 0; i < a->fields; i++) grain = pl_gcd64(grain, a->field[i].bits);
    if (!pl_mul_ok(a->bytes, 8 / grain, &span)) return wrong(a, "reaches too far");
    for (int i = 0; i < a->fields; i++) {
        int64_t end;
        PL_TRY(places_of(a, &a->field[i], grain, &p[i]));
        pl_layout l;
        pl_layout_from_flat(&p[i].modes, &l);
        if (!pl_add_ok(p[i].first, pl_layout_cosize(&l), &end) || end > span) return wrong(a, "is no bijection");
    }
    while (peel(p, a->fields, &span)) continue;
    if (span > MOST) return wrong(a, "has fields without a common pattern: whether it is a bijection cannot be told");
    uint8_t *seen = pl_alloc(span, 1);
    if (!seen) return PL_E_MEMORY;
    bool once = true;               /* as many places as there are, so all of them */
    for (int i = 0; i < a->fields && once; i++) once = mark(&p[i], span, seen);
    pl_free(seen);
    return once ? PL_OK : wrong(a, "is no bijection");
}

/* ---- one for many ---- */

static bool same(const pl_arrangement *a, const pl_arrangement *b)
{
    if (a->bytes != b->bytes || a->unit != b->unit || a->fields != b->fields || strcmp(a->name, b->name)) return false;
    for (int i = 0; i < a->fields; i++) {
        const pl_field *x = &a->field[i], *y = &b->field[i];
        if (x->bits != y->bits || x->flip != y->flip || x->from != y->from || x->pieces != y->pieces ||
            !pl_layout_same(&x->order, &y->order))
            return false;
    }
    return true;
}

pl_status pl_arrangement_keep(pl_arrangements *all, const pl_arrangement *a, pl_arena *arena,
                              const pl_arrangement **out)
{
    for (int i = 0; i < PL_COUNT(all->known); i++) {
        *out = all->known[i];
        if (*out && same(*out, a)) return PL_OK;
    }
    *out = NULL;
    PL_TRY(pl_arrangement_check(a));
    pl_arrangement *kept = PL_NEW(arena, pl_arrangement, 1);
    if (!kept) return PL_E_MEMORY;
    *kept = *a;
    kept->name = pl_arena_text(arena, a->name, strlen(a->name));
    if (!kept->name) return PL_E_MEMORY;
    *out = all->known[all->next++ % PL_COUNT(all->known)] = kept;
    return PL_OK;
}

/* ---- moving bytes ---- */

static void flip(uint8_t *bytes, int64_t n, int by)
{
    for (int64_t i = 0; by && i < n; i++) bytes[i] ^= (uint8_t)by;
}

pl_status pl_arrangement_store(const pl_arrangement *a, const uint8_t *original, uint8_t *stored)
{
    int64_t units = a->bytes / a->unit;
    uint8_t *room = units > 1 ? pl_alloc_aligned(a->bytes, 1) : NULL;
    pl_status code = units == 1 || room ? PL_OK : PL_E_MEMORY;
    for (int i = 0; i < a->fields && code == PL_OK; i++) {
        const pl_field *f = &a->field[i];
        int64_t len = pl_arrangement_field(a, i), each = len / units;
        uint8_t *to = room ? room : stored;
        code = pl_layout_pack(&(pl_composed){ .layout = f->order }, f->bits, original + f->from, a->bytes - f->from, to,
                              len);
        flip(to, len, f->flip);
        for (int64_t u = 0; room && u < units; u++)
            memcpy(stored + u * a->unit, room + u * each, (size_t)each);
        stored += each;             /* where the next field begins in each unit */
    }
    pl_free(room);
    return code;
}

pl_status pl_arrangement_restore(const pl_arrangement *a, const uint8_t *stored, uint8_t *original)
{
    int64_t units = a->bytes / a->unit;
    uint8_t *room = pl_alloc_aligned(a->bytes, 1);
    pl_status code = room ? PL_OK : PL_E_MEMORY;
    for (int i = 0; i < a->fields && code == PL_OK; i++) {
        const pl_field *f = &a->field[i];
        int64_t len = pl_arrangement_field(a, i), each = len / units;
        for (int64_t u = 0; u < units; u++) memcpy(room + u * each, stored + u * a->unit, (size_t)each);
        flip(room, len, f->flip);
        code = pl_layout_unpack(&(pl_composed){ .layout = f->order }, f->bits, room, len, original + f->from,
                                a->bytes - f->from);
        stored += each;
    }
    pl_free(room);
    return code;
}
