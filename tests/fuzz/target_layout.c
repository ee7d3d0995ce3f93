/* target_layout.c: texts of layouts, a first and a second one: what is read is printed and read again, and the laws of the
 * algebra hold wherever it does not refuse. */
#include <string.h>

#include "core/layout.h"
#include "core/layout_pack.h"
#include "core/layout_table.h"
#include "tests/fuzz/fuzz.h"

enum { MOST = 512 };            /* indices that are looked at one by one */

/* Some indices of 0 .. size-1, in turn; all if they are few. */
static int64_t step(int64_t size, int64_t i)
{
    int64_t by = size <= MOST ? 1 : size / MOST + 1;
    return by < size - i ? i + by : size;
}

static void same_function(const pl_layout *a, const pl_layout *b)
{
    int64_t size = pl_layout_size(a);
    fuzz_check(size == pl_layout_size(b) && pl_layout_check(b) == PL_OK);
    for (int64_t i = 0; i < size; i = step(size, i)) fuzz_check(pl_layout_at(a, i) == pl_layout_at(b, i));
}

static void use_one(const pl_layout *l)
{
    char text[PL_LAYOUT_TEXT];
    pl_layout out;
    int64_t size = pl_layout_size(l), place;
    fuzz_must(pl_layout_parse(pl_layout_print(l, text), &out));
    fuzz_check(pl_layout_same(l, &out));
    pl_layout_coalesce(l, &out);
    same_function(l, &out);
    if (!fuzz_refused(pl_layout_coalesce_modes(l, &out))) {
        same_function(l, &out);
        fuzz_check(pl_layout_rank(l) == pl_layout_rank(&out));
    }
    fuzz_must(pl_layout_right_inverse(l, &out));
    fuzz_check(pl_layout_check(&out) == PL_OK);
    int64_t n = pl_layout_size(&out);
    for (int64_t i = 0; i < n; i = step(n, i)) fuzz_check(pl_layout_at(l, pl_layout_at(&out, i)) == i);
    pl_composed c = { .layout = *l };
    bool bijective;
    fuzz_must(pl_composed_bijective(&c, &bijective));
    fuzz_check(bijective == (n == size));
    if (!fuzz_refused(pl_layout_left_inverse(l, &out))) {
        fuzz_check(pl_layout_check(&out) == PL_OK);
        for (int64_t i = 0; i < size; i = step(size, i)) fuzz_check(pl_layout_at(&out, pl_layout_at(l, i)) == i);
    }
    fuzz_check(pl_layout_eval(l, size - 1, &place) == PL_OK && place == pl_layout_cosize(l) - 1);
    fuzz_check(fuzz_refused(pl_layout_eval(l, size, &place)));
}

static void use_two(const pl_layout *a, const pl_layout *b)
{
    pl_layout out, gaps;
    int64_t n = pl_layout_size(b);
    if (!fuzz_refused(pl_layout_compose(a, b, &out))) {
        fuzz_check(pl_layout_check(&out) == PL_OK && pl_layout_size(&out) == n);
        for (int64_t i = 0; i < n; i = step(n, i)) fuzz_check(pl_layout_at(&out, i) == pl_layout_at(a, pl_layout_at(b, i)));
    }
    if (!fuzz_refused(pl_layout_complement(a, n, &out))) {
        int64_t gap = pl_layout_size(&out), last = -1;
        fuzz_check(pl_layout_check(&out) == PL_OK);
        for (int64_t i = 0; i < gap; i = step(gap, i)) {
            fuzz_check(pl_layout_at(&out, i) > last);
            last = pl_layout_at(&out, i);
        }
    }
    for (int kind = PL_PRODUCT_LOGICAL; kind <= PL_PRODUCT_RAKED; kind++)
        if (!fuzz_refused(pl_layout_product((pl_product)kind, a, b, &out))) {
            fuzz_check(pl_layout_check(&out) == PL_OK && pl_layout_size(&out) == pl_layout_size(a) * n);
            fuzz_check(pl_layout_at(&out, 0) == 0);
        }
    pl_tiler tiler = { .count = 1, .mode = { *b } };
    for (int kind = PL_DIVIDE_LOGICAL; kind <= PL_DIVIDE_FLAT; kind++) {
        if (fuzz_refused(pl_layout_divide((pl_divide)kind, a, &tiler, &out))) continue;
        fuzz_check(pl_layout_check(&out) == PL_OK && pl_layout_size(&out) == pl_layout_size(a));
        fuzz_must(pl_layout_complement(b, pl_layout_size(a), &gaps));
        int64_t tiles = pl_layout_size(&gaps);
        for (int64_t i = 0; i < n; i = step(n, i))
            for (int64_t k = 0; k < tiles; k += tiles / 8 + 1)
                fuzz_check(pl_layout_at(&out, i + n * k) == pl_layout_at(a, pl_layout_at(b, i) + pl_layout_at(&gaps, k)));
    }
}

static uint64_t element(const uint8_t *bytes, int bits, int64_t i)
{
    uint64_t x = 0;
    for (int64_t b = 0, at = i * bits; b < bits; b++, at++) x |= (uint64_t)(bytes[at / 8] >> at % 8 & 1) << b;
    return x;
}

/* Arrays of their true sizes. */
static void move(const pl_composed *c, int bits)
{
    int64_t size = pl_layout_size(&c->layout), reach = c->offset + pl_layout_cosize(&c->layout);
    if (size > MOST || reach > 1 << 16) return;
    for (int64_t i = 0; i < size; i++) reach = pl_max64(reach, pl_composed_at(c, i) + 1);
    int64_t far = (reach * bits + 7) / 8, near = (size * bits + 7) / 8;
    uint8_t *from = pl_alloc(far, 1), *packed = pl_alloc(near, 1), *back = pl_alloc(far, 1);
    if (from && packed && back) {
        bool once;
        for (int64_t i = 0; i < far; i++) from[i] = (uint8_t)(i * 167 >> 3);
        fuzz_must(pl_layout_pack(c, bits, from, far, packed, near));
        for (int64_t i = 0; i < size; i++)
            fuzz_check(element(packed, bits, i) == element(from, bits, pl_composed_at(c, i)));
        if (fuzz_must(pl_composed_injective(c, &once)) && !fuzz_refused(pl_layout_unpack(c, bits, packed, near, back, far))) {
            fuzz_check(once);
            for (int64_t i = 0; i < size; i++)
                fuzz_check(element(back, bits, pl_composed_at(c, i)) == element(packed, bits, i));
        }
    }
    pl_free(from);
    pl_free(packed);
    pl_free(back);
}

/* The parts: a layout, composed or not, or a name; a second one; a coordinate; a tiler. */
static void run_layout(const fuzz_part *part, int parts)
{
    char text[4][4096] = { "", "", "", "" };
    pl_composed c;
    pl_layout l[2];
    pl_tuple at;
    pl_tiler tiler;
    const pl_layout_row *row;
    bool have[2];
    for (int i = 0; i < parts && i < 4; i++) {
        size_t len = part[i].len < sizeof text[i] ? part[i].len : sizeof text[i] - 1;
        memcpy(text[i], part[i].data, len);
        text[i][strnlen(text[i], len)] = 0;
    }
    for (int i = 0; i < 2; i++) {
        have[i] = !fuzz_refused(pl_layout_parse(text[i], &l[i])) || !fuzz_refused(pl_layout_find(text[i], &l[i], &row));
        if (have[i]) use_one(&l[i]);
    }
    if (have[0] && have[1]) use_two(&l[0], &l[1]);
    if (!fuzz_refused(pl_composed_parse(text[0], &c)))
        for (int k = 0; k < 3; k++) move(&c, (int[]){ 1 + (int)(part[0].len % 64), 4, 8 }[k]);
    int64_t place;
    if (!fuzz_refused(pl_tuple_parse(text[2], &at)) && have[0] && !fuzz_refused(pl_layout_eval_tuple(&l[0], &at, &place)))
        fuzz_check(place >= 0 && place < pl_layout_cosize(&l[0]));
    if (!fuzz_refused(pl_tiler_parse(text[3], &tiler)) && have[0]) {
        pl_layout out;
        if (!fuzz_refused(pl_layout_compose_tiler(&l[0], &tiler, &out))) fuzz_check(pl_layout_check(&out) == PL_OK);
        for (int kind = PL_DIVIDE_LOGICAL; kind <= PL_DIVIDE_FLAT; kind++)
            if (!fuzz_refused(pl_layout_divide((pl_divide)kind, &l[0], &tiler, &out)))
                fuzz_check(pl_layout_check(&out) == PL_OK && pl_layout_size(&out) == pl_layout_size(&l[0]));
    }
}

const fuzz_target fuzz_layout = { "layout", "t", run_layout };
