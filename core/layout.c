/* layout.c: layouts as values: their facts, their function, and whether it is one to one. */
#include "core/layout.h"

#include <string.h>

#include "core/layout_parts.h"
#include "core/mem.h"

enum { SCAN_BITS = 28 };        /* 32 MiB of marks */

/* ---- profiles ---- */

static int tuple_depth(const pl_tuple *t)
{
    int depth = 0, most = 0;
    for (int i = 0; i < t->count; i++) {
        depth += t->open[i];
        if (depth > most) most = depth;
        depth -= t->close[i];
    }
    return most;
}

static bool tuple_whole(const pl_tuple *t)
{
    int depth = 0;
    if (t->count < 1 || t->count > PL_LAYOUT_MODES) return false;
    for (int i = 0; i < t->count; i++) {
        depth += t->open[i];
        if (depth > PL_LAYOUT_DEPTH) return false;
        depth -= t->close[i];
        if (depth < (i + 1 < t->count ? 1 : 0)) return false;
    }
    return depth == 0;
}

int pl_layout_depth(const pl_layout *l) { return tuple_depth(&l->shape); }

/* Members of the outermost tuple end where no inner parenthesis is open. */
int pl_layout_rank(const pl_layout *l)
{
    int depth = 0, rank = 0;
    for (int i = 0; i < l->shape.count; i++) {
        depth += l->shape.open[i] - l->shape.close[i];
        rank += depth <= 1;
    }
    return rank;
}

void pl_layout_mode(const pl_layout *l, int index, pl_layout *out)
{
    const pl_tuple t = l->shape;
    pl_layout mode = { .shape = { .count = 0 } };
    bool leaf = t.open[0] == 0;
    int depth = 0, member = 0;
    for (int i = 0; i < t.count; i++) {
        depth += t.open[i] - t.close[i];
        if (member == index) {
            int at = mode.shape.count++;
            mode.shape.value[at] = t.value[i];
            mode.stride[at] = l->stride[i];
            mode.shape.open[at] = (uint8_t)(t.open[i] - (i == 0 && !leaf));
            mode.shape.close[at] = (uint8_t)(t.close[i] - (i == t.count - 1 && !leaf));
        }
        member += depth <= 1;
    }
    *out = mode;
}

bool pl_layout_same(const pl_layout *a, const pl_layout *b)
{
    size_t n = (size_t)a->shape.count;
    return a->shape.count == b->shape.count && !memcmp(a->shape.value, b->shape.value, n * sizeof *a->stride) &&
           !memcmp(a->stride, b->stride, n * sizeof *a->stride) && !memcmp(a->shape.open, b->shape.open, n) &&
           !memcmp(a->shape.close, b->shape.close, n);
}

pl_status pl_layout_append(pl_layout *tuple, const pl_layout *mode)
{
    int at = tuple->shape.count, n = mode->shape.count;
    if (at + n > PL_LAYOUT_MODES)
        return pl_fail(PL_E_INPUT, "the layout would have more than %d modes", PL_LAYOUT_MODES);
    memcpy(tuple->shape.value + at, mode->shape.value, (size_t)n * sizeof *mode->stride);
    memcpy(tuple->stride + at, mode->stride, (size_t)n * sizeof *mode->stride);
    memcpy(tuple->shape.open + at, mode->shape.open, (size_t)n);
    memcpy(tuple->shape.close + at, mode->shape.close, (size_t)n);
    tuple->shape.count = at + n;
    return PL_OK;
}

pl_status pl_layout_wrap(pl_layout *l)
{
    if (tuple_depth(&l->shape) == PL_LAYOUT_DEPTH)
        return pl_fail(PL_E_INPUT, "the layout would be nested deeper than %d", PL_LAYOUT_DEPTH);
    l->shape.open[0]++;
    l->shape.close[l->shape.count - 1]++;
    return PL_OK;
}

/* ---- facts ---- */

pl_status pl_layout_check(const pl_layout *l)
{
    int64_t size = 1, last = 0, reach;
    if (!tuple_whole(&l->shape))
        return pl_fail(PL_E_INPUT, "the parentheses of a layout do not match, or it has not 1 to %d modes nested at "
                       "most %d deep", PL_LAYOUT_MODES, PL_LAYOUT_DEPTH);
    for (int i = 0; i < l->shape.count; i++) {
        int64_t s = l->shape.value[i], d = l->stride[i];
        if (s < 1) return pl_fail(PL_E_INPUT, "a shape must be at least 1, not %lld", (long long)s);
        if (d < 0) return pl_fail(PL_E_INPUT, "a stride must be at least 0, not %lld", (long long)d);
        if (!pl_mul_ok(size, s, &size)) return pl_fail(PL_E_INPUT, "the size of the layout passes 2^63");
        if (!pl_mul_ok(s - 1, d, &reach) || !pl_add_ok(last, reach, &last) || last == INT64_MAX)
            return pl_fail(PL_E_INPUT, "the places of the layout pass 2^63");
    }
    return PL_OK;
}

pl_status pl_composed_check(const pl_composed *c)
{
    pl_swizzle s = c->swizzle;
    int apart = s.shift < 0 ? -s.shift : s.shift;
    PL_TRY(pl_layout_check(&c->layout));
    if (s.bits < 0 || s.base < 0 || s.bits > 62 || s.base > 62 || s.shift < -62 || s.shift > 62 || s.bits > apart ||
        s.bits + s.base + apart > 62)
        return pl_fail(PL_E_INPUT, "swizzle <%d,%d,%d>: the shift must be at least as far as the bits are many, and "
                       "all within 62 bits", s.bits, s.base, s.shift);
    int64_t end;
    if (!pl_add_ok(c->offset, pl_layout_cosize(&c->layout), &end))
        return pl_fail(PL_E_INPUT, "offset %lld is negative, or the places pass 2^63", (long long)c->offset);
    return PL_OK;
}

pl_status pl_layout_make(int modes, const int64_t *shape, const int64_t *stride, pl_layout *out)
{
    pl_layout made = { .shape = { .count = modes } };
    if (modes < 1 || modes > PL_LAYOUT_MODES)
        return pl_fail(PL_E_INPUT, "a layout has 1 to %d modes, not %d", PL_LAYOUT_MODES, modes);
    memcpy(made.shape.value, shape, (size_t)modes * sizeof *shape);
    memcpy(made.stride, stride, (size_t)modes * sizeof *stride);
    if (modes > 1) PL_TRY(pl_layout_wrap(&made));
    PL_TRY(pl_layout_check(&made));
    *out = made;
    return PL_OK;
}

int64_t pl_layout_size(const pl_layout *l)
{
    int64_t size = 1;
    for (int i = 0; i < l->shape.count; i++) size *= l->shape.value[i];
    return size;
}

int64_t pl_layout_cosize(const pl_layout *l)
{
    int64_t last = 0;
    for (int i = 0; i < l->shape.count; i++) last += (l->shape.value[i] - 1) * l->stride[i];
    return last + 1;
}

/* ---- values ---- */

/* Of an index into the modes first .. last. */
static int64_t place_of(const pl_layout *l, int first, int last, int64_t i)
{
    int64_t place = 0;
    for (int k = first; k <= last; k++) {
        place += i % l->shape.value[k] * l->stride[k];
        i /= l->shape.value[k];
    }
    return place;
}

int64_t pl_layout_at(const pl_layout *l, int64_t i) { return place_of(l, 0, l->shape.count - 1, i); }

static pl_status outside(int64_t i, int64_t size)
{
    return pl_fail(PL_E_INPUT, "index %lld is not in 0..%lld", (long long)i, (long long)size - 1);
}

pl_status pl_layout_eval(const pl_layout *l, int64_t i, int64_t *place)
{
    int64_t size = pl_layout_size(l);
    if (i < 0 || i >= size) return outside(i, size);
    *place = pl_layout_at(l, i);
    return PL_OK;
}

pl_status pl_layout_eval_tuple(const pl_layout *l, const pl_tuple *coordinate, int64_t *place)
{
    const pl_tuple *t = &l->shape;
    int64_t sum = 0;
    int first = 0;
    for (int j = 0; j < coordinate->count; j++) {
        /* what is open in the shape and not in the coordinate belongs to this number, up to where it is closed */
        int open = first < t->count ? t->open[first] - coordinate->open[j] : -1, last = first;
        bool fits = open >= 0;
        for (; fits; last++) {
            open -= t->close[last];
            if (open <= 0) break;
            open += t->open[last + 1];
        }
        if (!fits || -open != coordinate->close[j])
            return pl_fail(PL_E_INPUT, "the coordinate is nested otherwise than the shape at its number %d", j + 1);
        int64_t size = 1;
        for (int k = first; k <= last; k++) size *= t->value[k];
        int64_t i = coordinate->value[j];
        if (i < 0 || i >= size) return outside(i, size);
        sum += place_of(l, first, last, i);
        first = last + 1;
    }
    if (first < t->count) return pl_fail(PL_E_INPUT, "the coordinate has fewer numbers than the shape needs");
    *place = sum;
    return PL_OK;
}

int64_t pl_swizzle_at(pl_swizzle s, int64_t x)
{
    int64_t mask = (((int64_t)1 << s.bits) - 1) << (s.base + (s.shift > 0 ? s.shift : 0));
    return s.shift >= 0 ? x ^ (x & mask) >> s.shift : x ^ (x & mask) << -s.shift;
}

int64_t pl_composed_at(const pl_composed *c, int64_t i)
{
    return pl_swizzle_at(c->swizzle, c->offset + pl_layout_at(&c->layout, i));
}

/* ---- one to one ---- */

/* Places below `limit`, each at most once? Marks them one by one. */
static pl_status scan(const pl_composed *c, int64_t limit, bool *once)
{
    int64_t size = pl_layout_size(&c->layout);
    *once = size <= limit;
    if (!*once) return PL_OK;
    if (limit > (int64_t)1 << SCAN_BITS)
        return pl_fail(PL_E_INPUT, "%lld places are too many to look at one by one", (long long)limit);
    uint8_t *mark = pl_alloc(limit / 8 + 1, 1);
    if (!mark) return PL_E_MEMORY;
    for (int64_t i = 0; i < size && *once; i++) {
        int64_t place = pl_composed_at(c, i);
        *once = place < limit && !(mark[place / 8] >> place % 8 & 1);
        if (*once) mark[place / 8] |= (uint8_t)(1 << place % 8);
    }
    pl_free(mark);
    return PL_OK;
}

pl_status pl_composed_injective(const pl_composed *c, bool *out)
{
    pl_flat f;
    int order[PL_LAYOUT_MODES];
    int64_t covered = 1;        /* places below this are what smaller strides reach */
    bool apart = true;
    pl_flat_coalesced(&c->layout, &f);
    pl_flat_sort(&f, order);
    for (int i = 0; i < f.count; i++) {
        int64_t s = f.shape[order[i]], d = f.stride[order[i]];
        if (s == 1) continue;
        if (d == 0) {
            *out = false;
            return PL_OK;
        }
        apart = apart && d >= covered;
        covered += (s - 1) * d;
    }
    *out = true;
    /* a swizzle changes nothing */
    const pl_composed plain = { .layout = c->layout };
    return apart ? PL_OK : scan(&plain, pl_layout_cosize(&c->layout), out);
}

/* Modes that tile 0 .. size-1 do so one stride after the other: some mode has stride 1 and covers 0 .. s-1, all others
 * are multiples of s, and so on. */
static bool plain_bijective(const pl_layout *l)
{
    pl_flat f, inverse;
    int64_t size = 1;
    pl_flat_coalesced(l, &f);
    pl_flat_right_inverse(&f, &inverse);
    for (int i = 0; i < inverse.count; i++) size *= inverse.shape[i];
    return size == pl_layout_size(l);
}

pl_status pl_composed_bijective(const pl_composed *c, bool *out)
{
    pl_swizzle s = c->swizzle;
    bool plain = plain_bijective(&c->layout);
    int64_t size = pl_layout_size(&c->layout);
    int64_t whole = (int64_t)1 << (s.bits + s.base + (s.shift < 0 ? -s.shift : s.shift));
    if (c->offset == 0 && (s.bits == 0 || (plain && size % whole == 0))) {
        *out = plain;
        return PL_OK;
    }
    if (s.bits == 0) {          /* nothing has place 0 */
        *out = false;
        return PL_OK;
    }
    return scan(c, size, out);
}
