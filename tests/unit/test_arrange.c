/* test_arrange.c: layouts of matrices: bijections are told from others, bytes go there and back, bands fit the whole. */
#include "core/arrange.h"

#include <string.h>

#include "core/mem.h"
#include "tests/unit/run.h"

static pl_field field(int bits, int64_t from, int flip, const char *order)
{
    pl_field f = { .bits = bits, .from = from, .flip = flip, .pieces = 1 };
    assert_ok(pl_layout_parse(order, &f.order));
    return f;
}

/* ---- the check ---- */

typedef struct question {
    int64_t bytes, unit;
    struct { int bits; int64_t from; const char *order; } field[3];
    const char *wrong;          /* NULL: it is a bijection */
} question;

START_TEST(bijections_and_others)
{
    static const question all[] = {
        { 64, 64, { { 8, 0, "(8,8):(8,1)" } }, NULL },
        { 64, 64, { { 4, 0, "(8,16):(16,1)" } }, NULL },
        { 64, 64, { { 1, 0, "512:1" } }, NULL },
        { 64, 16, { { 8, 0, "(8,8):(8,1)" } }, NULL },
        { 36, 36, { { 4, 4, "(8,2,4):(2,1,16)" }, { 8, 0, "4:1" } }, NULL },
        { 72, 18, { { 8, 0, "(2,4):(1,18)" }, { 8, 2, "(16,4):(1,18)" } }, NULL },
        { 72, 72, { { 8, 0, "(2,4):(1,18)" }, { 16, 2, "(8,4):(1,9)" } }, NULL },
        /* what cannot be */
        { 64, 64, { { 8, 0, "(8,8):(8,2)" } }, "is no bijection" },
        { 64, 64, { { 8, 0, "(8,8):(8,0)" } }, "is no bijection" },
        { 64, 64, { { 8, 0, "32:1" } }, "do not fill" },
        { 64, 64, { { 8, 0, "65:1" } }, "do not fit" },
        { 64, 48, { { 8, 0, "64:1" } }, "no whole units" },
        { 64, 0, { { 8, 0, "64:1" } }, "no whole units" },
        { 0, 1, { { 8, 0, "1:1" } }, "no whole units" },
        { 64, 64, { { 0 } }, "no whole units" },
        { 64, 64, { { 0, 0, "64:1" } }, "cannot be" },
        { 64, 64, { { 65, 0, "64:1" } }, "cannot be" },
        { 64, 64, { { 8, 64, "64:1" } }, "cannot be" },
        { 64, 64, { { 8, -1, "64:1" } }, "cannot be" },
        { 64, 64, { { 3, 0, "21:1" } }, "do not fit" },
        { 64, 64, { { 8, 1, "64:1" } }, "is no bijection" },
        { 36, 36, { { 4, 4, "(8,2,4):(2,1,16)" }, { 8, 1, "4:1" } }, "is no bijection" },
        { 36, 36, { { 4, 4, "(8,2,4):(2,1,16)" }, { 8, 33, "4:1" } }, "is no bijection" },
        { 72, 18, { { 8, 0, "(2,4):(1,18)" }, { 8, 2, "(16,4):(1,17)" } }, "is no bijection" },
        { 72, 18, { { 8, 0, "(2,4):(1,9)" }, { 8, 2, "(16,4):(1,18)" } }, "is no bijection" },
        { 72, 18, { { 8, 0, "(2,4):(1,36)" }, { 8, 2, "(16,4):(1,18)" } }, "is no bijection" },
        { 1 << 24, 1 << 24, { { 8, 0, "8388608:1" }, { 8, 8388608, "8388608:1" } }, "cannot be told" },
        { INT64_MAX, INT64_MAX, { { 8, 0, "9223372036854775807:1" } }, "do not fit" },
        { INT64_MAX - 7, INT64_MAX - 7, { { 64, 0, "1152921504606846975:1" } }, "do not fit" },
    };
    for (int i = 0; i < PL_COUNT(all); i++) {
        const question *q = &all[i];
        pl_arrangement a = { .name = "test", .bytes = q->bytes, .unit = q->unit };
        for (; a.fields < 3 && q->field[a.fields].order; a.fields++)
            a.field[a.fields] = field(q->field[a.fields].bits, q->field[a.fields].from, 0, q->field[a.fields].order);
        pl_status code = pl_arrangement_check(&a);
        if (!q->wrong) ck_assert_msg(code == PL_OK, "%d: %s", i, pl_error());
        else ck_assert_msg(code == PL_E_INPUT && strstr(pl_error(), q->wrong), "%d: %s", i, code ? pl_error() : "accepted");
    }
}
END_TEST

/* One stands for all that are the same; whatever is new is checked. */
START_TEST(kept_once)
{
    pl_arena *arena;
    pl_arrangements all = { { NULL }, 0 };
    const pl_arrangement *first, *again, *other;
    assert_ok(pl_arena_create(&arena));
    pl_arrangement a = { .name = "a", .bytes = 64, .unit = 64, .fields = 1, .field = { field(8, 0, 0, "(8,8):(8,1)") } };
    assert_ok(pl_arrangement_keep(&all, &a, arena, &first));
    assert_ok(pl_arrangement_keep(&all, &a, arena, &again));
    ck_assert_ptr_eq(first, again);
    for (int i = 0; i < 40; i++) {
        pl_arrangement b = a;
        b.field[0].flip = 1 + i % 20;
        assert_ok(pl_arrangement_keep(&all, &b, arena, &other));
        ck_assert_ptr_ne(other, first);
        ck_assert_int_eq(other->field[0].flip, 1 + i % 20);
    }
    a.field[0] = field(8, 0, 0, "(8,8):(8,2)");
    assert_fails(pl_arrangement_keep(&all, &a, arena, &other), PL_E_INPUT, "is no bijection");
    pl_arena_destroy(arena);
}
END_TEST

/* ---- the table ---- */

static unsigned bit(const uint8_t *bytes, int64_t i) { return bytes[i / 8] >> i % 8 & 1; }

/* Bit by bit, as docs/pack-format.md says it. */
static void expect_definition(const pl_arrangement *a, const uint8_t *original, const uint8_t *stored)
{
    int64_t units = a->bytes / a->unit;
    for (int64_t i = 0, at = 0; i < a->fields; i++) {
        const pl_field *f = &a->field[i];
        int64_t size = pl_layout_size(&f->order), each = size / units;
        for (int64_t p = 0; p < size; p++)
            for (int b = 0; b < f->bits; b++) {
                int64_t there = (p / each * a->unit + at) * 8 + p % each * f->bits + b;
                int64_t here = f->from * 8 + pl_layout_at(&f->order, p) * f->bits + b;
                ck_assert_uint_eq(bit(stored, there), bit(original, here) ^ (unsigned)(f->flip >> there % 8 & 1));
            }
        at += each * f->bits / 8;
    }
}

static void expect_there_and_back(const char *name, const pl_packed *p, int part, bool definition)
{
    pl_arrangement a;
    int64_t n = p->part[part].bytes;
    assert_ok(pl_arrange_part(name, p, part, &a));
    if (!a.fields) return;
    assert_ok(pl_arrangement_check(&a));
    uint8_t *original = pl_alloc(3 * n, 1), *stored = original + n, *back = stored + n;
    ck_assert_ptr_nonnull(original);
    for (int64_t i = 0; i < n; i++) original[i] = (uint8_t)(i * 2654435761u >> 13);
    assert_ok(pl_arrangement_store(&a, original, stored));
    if (definition) expect_definition(&a, original, stored);
    assert_ok(pl_arrangement_restore(&a, stored, back));
    ck_assert_mem_eq(back, original, (size_t)n);
    pl_free(original);
}

static const struct { const char *layout, *type; int band, cols; } fits[] = {
    { "marlin", "int4-g32", 64, 32 },   { "marlin", "int4", 64, 16 },        { "marlin", "int8-g128", 64, 128 },
    { "marlin", "int8", 64, 16 },       { "rows4", "q4_0", 4, 32 },          { "rows4", "q8_0", 4, 32 },
    { "rows4", "iq4_nl", 4, 32 },       { "rows4", "mxfp4", 4, 32 },         { "rows8", "q4_0", 8, 32 },
    { "rows8", "q8_0", 8, 32 },         { "rows8", "iq4_nl", 8, 32 },        { "rows8", "mxfp4", 8, 32 },
    { "nvfp4-atom", "nvfp4", 128, 64 }, { "nvfp4-atom", "mxfp4", 128, 128 }, { "nvfp4-atom", "mxfp8", 128, 128 },
};

static pl_packed matrix(const char *type, int64_t rows, int64_t cols)
{
    pl_packed p;
    pl_type t;
    assert_ok(pl_type_parse(type, &t));
    assert_ok(pl_packed_init(&p, pl_type_scales_like(t, &pl_dtypes[PL_F16]), rows, cols));
    return p;
}

START_TEST(there_and_back)
{
    for (int i = 0; i < PL_COUNT(fits); i++)
        for (int64_t rows = 1; rows <= 3; rows++)
            for (int64_t cols = 1; cols <= 7; cols += 2) {
                pl_packed p = matrix(fits[i].type, rows * fits[i].band, cols * fits[i].cols);
                ck_assert_int_eq(pl_arrange_band(fits[i].layout, &p), fits[i].band);
                for (int part = 0; part < p.nparts; part++)
                    expect_there_and_back(fits[i].layout, &p, part, rows == 1 || cols == 1);
            }
}
END_TEST

/* A matrix that is as large as they come is only checked. */
START_TEST(large_ones_are_bijections)
{
    for (int i = 0; i < PL_COUNT(fits); i++) {
        pl_packed p = matrix(fits[i].type, 262144, 28672);
        for (int part = 0; part < p.nparts; part++) {
            pl_arrangement a;
            assert_ok(pl_arrange_part(fits[i].layout, &p, part, &a));
            if (a.fields) assert_ok(pl_arrangement_check(&a));
        }
    }
}
END_TEST

START_TEST(what_does_not_fit)
{
    static const struct { const char *layout, *type; int rows, cols; } not[] = {
        { "marlin", "int4-g32", 65, 64 },    { "marlin", "int4", 64, 24 },       { "marlin", "uint4-g32", 64, 64 },
        { "marlin", "int4-g64", 64, 96 },    { "marlin", "int3-g32", 64, 64 },   { "marlin", "affine4-g32", 64, 64 },
        { "rows4", "q4_0", 6, 32 },          { "rows8", "q4_0", 12, 32 },        { "rows8", "q4_k", 8, 256 },
        { "rows4", "f16", 8, 32 },           { "nvfp4-atom", "nvfp4", 64, 64 },  { "nvfp4-atom", "mxfp4", 128, 64 },
        { "nvfp4-atom", "mxfp8", 128, 32 },  { "nvfp4-atom", "q8_0", 128, 64 },  { "nvfp4-atom", "fp8", 128, 64 },
        { "plain", "q4_0", 128, 64 },
    };
    for (int i = 0; i < PL_COUNT(not); i++) {
        pl_packed p = matrix(not[i].type, not[i].rows, not[i].cols);
        ck_assert_msg(pl_arrange_band(not[i].layout, &p) == 0, "%s %s", not[i].layout, not[i].type);
    }
    ck_assert(pl_arrange_known("marlin") && !pl_arrange_known("plain") && !pl_arrange_known("marl"));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        bijections_and_others, kept_once, there_and_back, large_ones_are_bijections, what_does_not_fit,
    };
    return run_suite("arrange", tests, PL_COUNT(tests));
}
