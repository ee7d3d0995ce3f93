/* test_stats.c: importance from statistics, as llama.cpp takes it and as searches do. */
#include <check.h>
#include <math.h>

#include "core/stats.h"
#include "tests/unit/suite.h"

enum { COLS = 5 };

static float out[COLS];

static int64_t weights(const float *sum2, float count)
{
    pl_stat stat = { .cols = COLS, .sum2 = sum2, .count = count };
    int64_t lifted = pl_stat_weights(&stat, out);
    double sum = 0;
    for (int c = 0; c < COLS; c++) {
        ck_assert_msg(out[c] > 0 && isfinite(out[c]), "column %d: %g", c, (double)out[c]);
        sum += (double)out[c];
    }
    ck_assert_double_eq_tol(sum, COLS, 1e-5);
    return lifted;
}

static void all_ones(const float *sum2, float count)
{
    ck_assert_int_eq(weights(sum2, count), 0);
    for (int c = 0; c < COLS; c++) ck_assert_float_eq(out[c], 1.0f);
}

START_TEST(as_llama_cpp)
{
    const float sum2[COLS] = { 6, 0, 3, 1.5f, 9 };
    pl_stat stat = { .cols = COLS, .sum2 = sum2, .count = 3 };
    pl_stat_importance(&stat, out);
    for (int c = 0; c < COLS; c++) ck_assert_float_eq(out[c], sum2[c] / 3);
    stat.count = 0;
    pl_stat_importance(&stat, out);
    for (int c = 0; c < COLS; c++) ck_assert_float_eq(out[c], 1.0f);
}
END_TEST

START_TEST(nothing_known)
{
    const float zeros[COLS] = { 0 }, equal[COLS] = { 7, 7, 7, 7, 7 }, some[COLS] = { 1, 2, 3, 4, 5 };
    all_ones(zeros, 0);
    all_ones(zeros, 100);           /* an input that is always zero */
    all_ones(some, 0);              /* an expert that saw no row */
    all_ones(equal, 5);
}
END_TEST

/* With many rows the prior weighs nothing: v^(3/4) of the ratios to the mean, nothing below a hundredth. */
START_TEST(tempered)
{
    const float sum2[COLS] = { 0, 16e6f, 1e6f, 1e6f, 82e6f };      /* mean 20e6 */
    ck_assert_int_eq(weights(sum2, 1e9f), 1);
    ck_assert_double_eq_tol((double)out[1] / (double)out[2], 8, 1e-4);      /* 16^(3/4) */
    ck_assert_double_eq_tol((double)out[2] / (double)out[0], pow(5, 0.75), 1e-4);       /* 0.05 above 0.01 */
}
END_TEST

START_TEST(few_rows_say_little)
{
    const float sum2[COLS] = { 1, 1, 1, 1, 96 };
    double before = 0;
    for (float rows = 1; rows < 1e6f; rows *= 4) {
        ck_assert_int_eq(weights(sum2, rows), 0);
        double contrast = (double)out[4] / (double)out[0];
        ck_assert_double_gt(contrast, before);
        ck_assert_double_lt(contrast, pow(96, 0.75));
        before = contrast;
    }
    weights(sum2, PL_STAT_PRIOR);   /* the middle between its ratio to the mean and 1 */
    ck_assert_double_eq_tol((double)out[4] / (double)out[0], pow((4.8 + 1) / (0.05 + 1), 0.75), 1e-4);
}
END_TEST

START_TEST(found_by_identity)
{
    pl_stat list[20];
    pl_stats stats = { .stat = list, .count = PL_COUNT(list) };
    for (int i = 0; i < PL_COUNT(list); i++) list[i] = (pl_stat){ .id = pl_id_make(PL_FFN_UP, i / 4, i % 4) };
    for (int i = 0; i < PL_COUNT(list); i++) ck_assert_ptr_eq(pl_stats_find(&stats, list[i].id), &list[i]);
    ck_assert_ptr_null(pl_stats_find(&stats, pl_id_make(PL_FFN_UP, 5, 0)));
    ck_assert_ptr_null(pl_stats_find(&stats, pl_id_make(PL_FFN_DOWN, 1, 1)));
    ck_assert_ptr_null(pl_stats_find(NULL, list[0].id));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { as_llama_cpp, nothing_known, tempered, few_rows_say_little, found_by_identity };
    return run_cases("stats", NULL, NULL, tests, PL_COUNT(tests));
}
