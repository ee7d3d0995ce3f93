/* test_resident.c: segments that come and go within a budget, by every way of reading. */
#include <stdint.h>

#include "core/mem.h"
#include "core/resident.h"
#include "tests/unit/run.h"

enum { SEGMENTS = 9, STEP = 3 * PL_READER_ALIGN };

/* Segment i has 4096 + 700 i bytes of the value i + 1; number 5 is stored as half as many, which are doubled. */
static int64_t content_of(int i) { return 4096 + 700 * i; }
static int64_t stored_of(int i) { return i == 5 ? content_of(i) / 2 : content_of(i); }

static int arrivals[SEGMENTS], broken = -1, written = SEGMENTS;     /* written: segments that the file has */

static pl_status arrived(void *ctx, int segment, const uint8_t *stored, uint8_t *content)
{
    arrivals[segment]++;
    if (segment == broken) return pl_fail(PL_E_INPUT, "segment %d is damaged", segment);
    for (int64_t i = 0; i < stored_of(segment); i++)
        if (stored[i] != segment + 1) return pl_fail(PL_E_INPUT, "segment %d has other bytes", segment);
    for (int64_t i = 0; stored != content && i < content_of(segment); i++) content[i] = stored[i / 2];
    return PL_OK;
}

static pl_status open_file(int64_t budget, const int *order, int orders, pl_resident **out)
{
    static uint8_t file[SEGMENTS * STEP];
    pl_segment segment[SEGMENTS];
    for (int i = 0; i < SEGMENTS; i++) {
        segment[i] = (pl_segment){ (int64_t)i * STEP, stored_of(i), content_of(i) };
        memset(file + (int64_t)i * STEP, i + 1, (size_t)stored_of(i));
    }
    temp_write("file", file, (size_t)written * STEP);
    const pl_resident_plan plan = { .path = temp_path("file"), .segment = segment, .segments = SEGMENTS, .order = order,
                                    .orders = orders, .budget = budget, .arrived = arrived };
    return pl_resident_open(&plan, out);
}

static void check_content(const pl_resident *r, int segment)
{
    const uint8_t *at = pl_resident_at(r, segment);
    int64_t wrong = 0;
    for (int64_t i = 0; i < content_of(segment); i++) wrong += at[i] != segment + 1;
    ck_assert_int_eq(wrong, 0);
}

/* Passes over an order; every segment has its bytes while it is needed, and no more is in memory than allowed. */
static void pass_with(const char *how, int64_t budget, bool all)
{
    static const int order[] = { 0, 1, 2, 3, 4, 5, 6, 7, 0 };     /* as of a tied model; 8 is on demand */
    pl_resident *r;
    if (how[0]) setenv("PLANISH_IO", how, 1);
    else unsetenv("PLANISH_IO");
    memset(arrivals, 0, sizeof arrivals);
    assert_ok(open_file(budget, order, PL_COUNT(order), &r));
    for (int pass = 0; pass < 6; pass++) {
        for (int i = 0; i < PL_COUNT(order); i++) {
            assert_ok(pl_resident_need(r, order[i]));
            check_content(r, order[i]);
            if (i == 3) {
                assert_ok(pl_resident_need(r, 8));
                check_content(r, 8);
                check_content(r, 3);
                pl_resident_done(r, 8);
            }
            pl_resident_done(r, order[i]);
        }
    }
    pl_resident_report told = pl_resident_told(r);
    ck_assert_int_le(told.peak, budget);
    ck_assert_int_gt(told.read.bytes, 0);
    pl_resident_close(r);                       /* first: what was read ahead still arrives until here */
    for (int i = 0; i < SEGMENTS; i++) ck_assert_int_ge(arrivals[i], 1);
    for (int i = 0; all && i < SEGMENTS; i++) ck_assert_int_eq(arrivals[i], 1);
    ck_assert(all || arrivals[6] > 1);
    ck_assert_int_le(arrivals[0], 7);           /* at the end of a pass it is there for the next */
}

START_TEST(passes)
{
    static const char *const how[] = { "", "threads", "buffered" };
    for (int i = 0; i < PL_COUNT(how); i++) {
        for (int pages = 10; pages <= 16; pages += 2) pass_with(how[i], (int64_t)pages * PL_READER_ALIGN, false);
        pass_with(how[i], 1 << 20, true);
    }
}
END_TEST

START_TEST(too_little)
{
    static const int order[] = { 0, 1, 2 };
    pl_resident *r;
    assert_fails(open_file(8 * PL_READER_ALIGN, order, PL_COUNT(order), &r), PL_E_WISH, "are enough");
    ck_assert_ptr_null(r);
}
END_TEST

/* A segment that is not what it should be fails where it is needed, also when it was read ahead; the others go on. */
START_TEST(damaged)
{
    static const int order[] = { 0, 1, 2, 3 };
    pl_resident *r;
    broken = 2;
    assert_ok(open_file(1 << 20, order, PL_COUNT(order), &r));
    assert_ok(pl_resident_need(r, 0));
    pl_resident_done(r, 0);
    assert_ok(pl_resident_need(r, 1));
    pl_resident_done(r, 1);
    assert_fails(pl_resident_need(r, 2), PL_E_INPUT, "segment 2 is damaged");
    pl_resident_done(r, 2);
    assert_ok(pl_resident_need(r, 3));
    check_content(r, 3);
    pl_resident_done(r, 3);
    pl_resident_close(r);
    broken = -1;
}
END_TEST

/* The file is shorter than its plan says. */
START_TEST(cut_off)
{
    static const char *const how[] = { "", "threads" };
    static const int order[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    written = 6;
    for (int i = 0; i < PL_COUNT(how); i++) {
        pl_resident *r;
        if (how[i][0]) setenv("PLANISH_IO", how[i], 1);
        assert_ok(open_file(1 << 20, order, PL_COUNT(order), &r));
        assert_ok(pl_resident_need(r, 5));
        pl_resident_done(r, 5);
        assert_fails(pl_resident_need(r, 7), PL_E_INPUT, "became shorter");
        pl_resident_close(r);
    }
    written = SEGMENTS;
}
END_TEST

int main(void)
{
    const TTest *tests[] = { passes, too_little, damaged, cut_off };
    return run_suite("resident", tests, PL_COUNT(tests));
}
