/* layout_lib.c: the functions of libplanish-layout: layouts as arrays of numbers around core/layout.h. */
#include "core/planish-layout.h"

#include <string.h>

#include "core/layout.h"
#include "core/layout_pack.h"
#include "core/layout_table.h"

/* All else in the library is hidden. */
#define API __attribute__((visibility("default")))

enum {
    MODES, BITS, BASE, SHIFT, OFFSET, SHAPES,
    STRIDES = SHAPES + PLANISH_LAYOUT_MODES,
    OPENS = STRIDES + PLANISH_LAYOUT_MODES,
    CLOSES = OPENS + PLANISH_LAYOUT_MODES
};
_Static_assert((int)PLANISH_LAYOUT_MODES == (int)PL_LAYOUT_MODES, "modes");
_Static_assert((int)PLANISH_LAYOUT_TEXT == (int)PL_LAYOUT_TEXT, "text");
_Static_assert((int)CLOSES + PLANISH_LAYOUT_MODES == PLANISH_LAYOUT_WORDS, "words");

/* ---- arrays ---- */

static bool in_range(int64_t x, int64_t low, int64_t high) { return x >= low && x <= high; }

static pl_status take(const int64_t *words, pl_composed *out)
{
    pl_composed c = { .offset = words[OFFSET] };
    bool good = in_range(words[MODES], 1, PL_LAYOUT_MODES);
    for (int i = BITS; i <= SHIFT; i++) good = good && in_range(words[i], -62, 62);
    c.layout.shape.count = good ? (int)words[MODES] : 0;
    for (int i = 0; i < c.layout.shape.count; i++) {
        c.layout.shape.value[i] = words[SHAPES + i];
        c.layout.stride[i] = words[STRIDES + i];
        for (int k = OPENS; k <= CLOSES; k += CLOSES - OPENS)
            good = good && in_range(words[k + i], 0, PL_LAYOUT_DEPTH);
        c.layout.shape.open[i] = (uint8_t)words[OPENS + i];
        c.layout.shape.close[i] = (uint8_t)words[CLOSES + i];
    }
    if (!good)
        return pl_fail(PL_E_INPUT, "the array holds no layout: its modes, swizzle or parentheses are out of range");
    c.swizzle = (pl_swizzle){ (int)words[BITS], (int)words[BASE], (int)words[SHIFT] };
    PL_TRY(pl_composed_check(&c));
    *out = c;
    return PL_OK;
}

/* For the algebra. */
static pl_status take_plain(const int64_t *words, pl_layout *out)
{
    pl_composed c;
    PL_TRY(take(words, &c));
    if (c.swizzle.bits || c.offset)
        return pl_fail(PL_E_INPUT, "this operation takes layouts without swizzle and offset");
    *out = c.layout;
    return PL_OK;
}

static void give(const pl_composed *c, int64_t *words)
{
    memset(words, 0, PLANISH_LAYOUT_WORDS * sizeof *words);
    words[MODES] = c->layout.shape.count;
    words[BITS] = c->swizzle.bits;
    words[BASE] = c->swizzle.base;
    words[SHIFT] = c->swizzle.shift;
    words[OFFSET] = c->offset;
    for (int i = 0; i < c->layout.shape.count; i++) {
        words[SHAPES + i] = c->layout.shape.value[i];
        words[STRIDES + i] = c->layout.stride[i];
        words[OPENS + i] = c->layout.shape.open[i];
        words[CLOSES + i] = c->layout.shape.close[i];
    }
}

static pl_status give_plain(const pl_layout *l, int64_t *words)
{
    give(&(pl_composed){ .layout = *l }, words);
    return PL_OK;
}

static pl_status take_tiler(const int64_t *words, int count, pl_tiler *out)
{
    if (count < 0 || count > PL_TILER_MODES)
        return pl_fail(PL_E_INPUT, "a tiler has at most %d layouts, not %d", PL_TILER_MODES, count);
    out->by_mode = count > 0;
    out->count = count > 0 ? count : 1;
    for (int i = 0; i < out->count; i++) PL_TRY(take_plain(words + i * PLANISH_LAYOUT_WORDS, &out->mode[i]));
    return PL_OK;
}

/* ---- text ---- */

API const char *planish_layout_version(void) { return PL_VERSION; }
API const char *planish_layout_message(void) { return pl_error(); }

API int planish_layout_parse(const char *text, int64_t *layout)
{
    pl_composed c = { .offset = 0 };
    const pl_layout_row *row;
    if (text[0] >= 'a' && text[0] <= 'z') PL_TRY(pl_layout_find(text, &c.layout, &row));
    else PL_TRY(pl_composed_parse(text, &c));
    give(&c, layout);
    return PL_OK;
}

API int planish_layout_print(const int64_t *layout, char *text, size_t room)
{
    char whole[PL_LAYOUT_TEXT];
    pl_composed c;
    PL_TRY(take(layout, &c));
    size_t len = strlen(pl_composed_print(&c, whole));
    if (len >= room)
        return pl_fail(PL_E_INPUT, "the text needs %d bytes, there is room for %lld", (int)len + 1, (long long)room);
    memcpy(text, whole, len + 1);
    return PL_OK;
}

API int planish_layout_make(int modes, const int64_t *shape, const int64_t *stride, int64_t *layout)
{
    pl_layout l;
    PL_TRY(pl_layout_make(modes, shape, stride, &l));
    return give_plain(&l, layout);
}

/* ---- facts and values ---- */

API int planish_layout_size(const int64_t *layout, int64_t *size)
{
    pl_composed c;
    PL_TRY(take(layout, &c));
    *size = pl_layout_size(&c.layout);
    return PL_OK;
}

API int planish_layout_cosize(const int64_t *layout, int64_t *cosize)
{
    pl_layout l;
    PL_TRY(take_plain(layout, &l));
    *cosize = pl_layout_cosize(&l);
    return PL_OK;
}

API int planish_layout_rank(const int64_t *layout, int64_t *rank)
{
    pl_composed c;
    PL_TRY(take(layout, &c));
    *rank = pl_layout_rank(&c.layout);
    return PL_OK;
}

API int planish_layout_depth(const int64_t *layout, int64_t *depth)
{
    pl_composed c;
    PL_TRY(take(layout, &c));
    *depth = pl_layout_depth(&c.layout);
    return PL_OK;
}

API int planish_layout_eval(const int64_t *layout, int64_t first, int64_t count, int64_t *places)
{
    pl_composed c;
    PL_TRY(take(layout, &c));
    int64_t size = pl_layout_size(&c.layout);
    if (first < 0 || count < 0 || first > size || count > size - first)
        return pl_fail(PL_E_INPUT, "indices %lld and the %lld behind it are not all in 0..%lld", (long long)first,
                       (long long)count, (long long)size - 1);
    for (int64_t i = 0; i < count; i++) places[i] = pl_composed_at(&c, first + i);
    return PL_OK;
}

API int planish_layout_at(const int64_t *layout, const char *coordinate, int64_t *place)
{
    pl_composed c;
    pl_tuple at;
    int64_t inner;
    PL_TRY(take(layout, &c));
    PL_TRY(pl_tuple_parse(coordinate, &at));
    PL_TRY(pl_layout_eval_tuple(&c.layout, &at, &inner));
    *place = pl_swizzle_at(c.swizzle, c.offset + inner);
    return PL_OK;
}

API int planish_layout_injective(const int64_t *layout, int *yes)
{
    pl_composed c;
    bool answer;
    PL_TRY(take(layout, &c));
    PL_TRY(pl_composed_injective(&c, &answer));
    *yes = answer;
    return PL_OK;
}

API int planish_layout_bijective(const int64_t *layout, int *yes)
{
    pl_composed c;
    bool answer;
    PL_TRY(take(layout, &c));
    PL_TRY(pl_composed_bijective(&c, &answer));
    *yes = answer;
    return PL_OK;
}

/* ---- algebra ---- */

API int planish_layout_coalesce(const int64_t *layout, int by_mode, int64_t *out)
{
    pl_layout l;
    PL_TRY(take_plain(layout, &l));
    if (by_mode) PL_TRY(pl_layout_coalesce_modes(&l, &l));
    else pl_layout_coalesce(&l, &l);
    return give_plain(&l, out);
}

API int planish_layout_compose(const int64_t *a, const int64_t *b, int64_t *out)
{
    pl_layout first, second;
    PL_TRY(take_plain(a, &first));
    PL_TRY(take_plain(b, &second));
    PL_TRY(pl_layout_compose(&first, &second, &first));
    return give_plain(&first, out);
}

API int planish_layout_compose_modes(const int64_t *a, const int64_t *tiler, int count, int64_t *out)
{
    pl_layout l;
    pl_tiler t;
    if (count < 1) return pl_fail(PL_E_INPUT, "a tiler has at least one layout, not %d", count);
    PL_TRY(take_plain(a, &l));
    PL_TRY(take_tiler(tiler, count, &t));
    PL_TRY(pl_layout_compose_tiler(&l, &t, &l));
    return give_plain(&l, out);
}

API int planish_layout_complement(const int64_t *layout, int64_t m, int64_t *out)
{
    pl_layout l;
    PL_TRY(take_plain(layout, &l));
    PL_TRY(pl_layout_complement(&l, m, &l));
    return give_plain(&l, out);
}

API int planish_layout_right_inverse(const int64_t *layout, int64_t *out)
{
    pl_layout l;
    PL_TRY(take_plain(layout, &l));
    PL_TRY(pl_layout_right_inverse(&l, &l));
    return give_plain(&l, out);
}

API int planish_layout_left_inverse(const int64_t *layout, int64_t *out)
{
    pl_layout l;
    PL_TRY(take_plain(layout, &l));
    PL_TRY(pl_layout_left_inverse(&l, &l));
    return give_plain(&l, out);
}

API int planish_layout_divide(int kind, const int64_t *a, const int64_t *tiler, int count, int64_t *out)
{
    pl_layout l;
    pl_tiler t;
    if (kind < PL_DIVIDE_LOGICAL || kind > PL_DIVIDE_FLAT)
        return pl_fail(PL_E_INPUT, "division has the kinds 0 to 3, not %d", kind);
    PL_TRY(take_plain(a, &l));
    PL_TRY(take_tiler(tiler, count, &t));
    PL_TRY(pl_layout_divide((pl_divide)kind, &l, &t, &l));
    return give_plain(&l, out);
}

API int planish_layout_product(int kind, const int64_t *a, const int64_t *b, int64_t *out)
{
    pl_layout first, second;
    if (kind < PL_PRODUCT_LOGICAL || kind > PL_PRODUCT_RAKED)
        return pl_fail(PL_E_INPUT, "products have the kinds 0 to 2, not %d", kind);
    PL_TRY(take_plain(a, &first));
    PL_TRY(take_plain(b, &second));
    PL_TRY(pl_layout_product((pl_product)kind, &first, &second, &first));
    return give_plain(&first, out);
}

/* ---- packing ---- */

API int planish_layout_pack(const int64_t *layout, int bits, const void *in, int64_t in_bytes, void *out,
                            int64_t out_bytes)
{
    pl_composed c;
    PL_TRY(take(layout, &c));
    return pl_layout_pack(&c, bits, in, in_bytes, out, out_bytes);
}

API int planish_layout_unpack(const int64_t *layout, int bits, const void *in, int64_t in_bytes, void *out,
                              int64_t out_bytes)
{
    pl_composed c;
    PL_TRY(take(layout, &c));
    return pl_layout_unpack(&c, bits, in, in_bytes, out, out_bytes);
}
