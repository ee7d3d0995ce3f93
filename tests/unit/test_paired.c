/* test_paired.c: Student's t distribution and paired comparison against known values. */
#include <math.h>

#include "core/rng.h"
#include "runtime-check/paired.h"
#include "tests/unit/run.h"

/* Where p has a closed form: 1, 2, 3, 4 degrees of freedom. */
static double closed(double t, int df)
{
    double root = t / sqrt(2 + t * t), c = 1 / (1 + t * t / 4);
    switch (df) {
    case 1: return 2 / M_PI * atan(1 / t);
    case 2: return 2 / ((2 + t * t) * (1 + root));          /* 1 - root without cancellation */
    case 3: return 1 - 2 / M_PI * (atan(t / sqrt(3)) + t / sqrt(3) / (1 + t * t / 3));
    default: return 1 - t / sqrt(4 + t * t) * (1 + c / 2);
    }
}

START_TEST(closed_forms)
{
    for (int df = 1; df <= 4; df++) {
        for (double t = 0.01; t < 20; t *= 1.1) {
            double p = pl_student_p(t, df);
            ck_assert_double_eq_tol(p, closed(t, df), df <= 2 ? 1e-13 * p : 1e-14);
            ck_assert(pl_student_p(-t, df) == p);
        }
    }
    for (double t = 1e2; t < 1e9; t *= 10)
        for (int df = 1; df <= 2; df++)
            ck_assert_double_eq_tol(pl_student_p(t, df), closed(t, df), 1e-13 * closed(t, df));
}
END_TEST

/* p falls by the integral of the density, here by Simpson's rule: any degrees of freedom, far into the tail. */
static double density(double t, int df)
{
    return exp(lgamma((df + 1) / 2.0) - lgamma(df / 2.0)) / sqrt(df * M_PI) * pow(1 + t * t / df, -(df + 1) / 2.0);
}

START_TEST(falls_by_the_density)
{
    const int frees[] = { 1, 2, 3, 7, 10, 30, 79, 80, 501 };
    enum { STEPS = 200 };
    for (int f = 0; f < PL_COUNT(frees); f++) {
        for (double t = 0; t < 12; t += 0.5) {
            double sum = 0, h = 0.5 / STEPS;
            for (int i = 0; i <= STEPS; i++)
                sum += (i == 0 || i == STEPS ? 1 : i % 2 ? 4 : 2) * density(t + h * i, frees[f]);
            double fallen = pl_student_p(t, frees[f]) - pl_student_p(t + 0.5, frees[f]);
            ck_assert_double_eq_tol(fallen, 2 * sum * h / 3, 1e-8 * fallen);
        }
    }
}
END_TEST

START_TEST(tables_and_ends)
{
    ck_assert_double_eq_tol(pl_student_p(2, 10), 0.0733880, 1e-7);
    ck_assert_double_eq_tol(pl_student_p(2.2281388, 10), 0.05, 1e-8);
    ck_assert_double_eq_tol(pl_student_p(2.7500, 30), 0.01, 1e-6);
    ck_assert_double_eq_tol(pl_student_p(1.9599640, 1 << 24), 0.05, 1e-7);   /* the normal distribution */
    ck_assert(pl_student_p(0, 1) == 1 && pl_student_p(0, 80) == 1);
    ck_assert(pl_student_p(INFINITY, 1) == 0 && pl_student_p(-INFINITY, 80) == 0);
    ck_assert(pl_student_p(1e300, 2) == 0);
    ck_assert(isnan(pl_student_p(NAN, 7)) && isnan(pl_student_p(1, 0)));
}
END_TEST

START_TEST(by_hand)
{
    /* differences 1 2 3: mean 2, its error 1/sqrt(3), t = 2 sqrt(3) with 2 degrees of freedom */
    const double first[] = { 4, 5, 9 }, x[] = { 5, 7, 12 };
    pl_paired r = pl_paired_compare(x, first, 3);
    ck_assert_double_eq_tol(r.change, 6.0 / 18, 1e-15);
    ck_assert_double_eq_tol(r.p, 1 - sqrt(12.0 / 14), 1e-14);
    /* x - 4/3 first: -1/3 1/3 0 */
    ck_assert_double_eq_tol(r.error, sqrt(2.0 / 9 / 6) / 6, 1e-15);
    pl_paired back = pl_paired_compare(first, x, 3);
    ck_assert_double_eq_tol(back.change, -0.25, 1e-15);
    ck_assert_double_eq_tol(back.p, r.p, 1e-15);
}
END_TEST

START_TEST(what_is_not_defined)
{
    const double x[] = { 1, 2, 4 }, zero[3] = { 0 }, bad[] = { 1, NAN, 2 }, twice[] = { 2, 4, 8 }, more[] = { 2, 3, 5 };
    pl_paired r = pl_paired_compare(twice, x, 0);
    ck_assert(isnan(r.change) && isnan(r.error) && isnan(r.p));
    r = pl_paired_compare(twice, x, 1);
    ck_assert(r.change == 1 && isnan(r.error) && isnan(r.p));
    r = pl_paired_compare(x, x, 3);                 /* the same model twice */
    ck_assert(r.change == 0 && r.error == 0 && isnan(r.p));
    r = pl_paired_compare(twice, x, 3);             /* the same ratio everywhere */
    ck_assert(r.change == 1 && r.error == 0 && r.p > 0 && r.p < 1);
    r = pl_paired_compare(more, x, 3);              /* the same difference everywhere */
    ck_assert(r.change > 0 && r.p == 0);
    r = pl_paired_compare(x, zero, 3);              /* the first lost nothing */
    ck_assert(isnan(r.change) && isnan(r.error) && r.p > 0 && r.p < 1);
    r = pl_paired_compare(bad, x, 3);
    ck_assert(isnan(r.change) && isnan(r.error) && isnan(r.p));
    r = pl_paired_compare(x, bad, 3);
    ck_assert(isnan(r.change) && isnan(r.error) && isnan(r.p));
}
END_TEST

/* Over many draws the error is the spread of the change, and p is below 0.05 in 5 of 100 where nothing differs. */
START_TEST(over_many_draws)
{
    enum { N = 20, ROUNDS = 4000 };
    double x[N], first[N], sum = 0, squares = 0, error = 0;
    int below = 0;
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < N; i++) {
            uint64_t at = (uint64_t)(r * N + i);
            double shared = 1 + 0.3 * pl_rng_normal(1, 0, at);      /* hard and easy windows */
            first[i] = shared + 0.1 * pl_rng_normal(1, 1, at);
            x[i] = shared + 0.1 * pl_rng_normal(1, 2, at);
        }
        pl_paired p = pl_paired_compare(x, first, N);
        sum += p.change / ROUNDS;
        squares += p.change * p.change / ROUNDS;
        error += p.error / ROUNDS;
        below += p.p < 0.05;
    }
    double spread = sqrt(squares - sum * sum);
    ck_assert_double_eq_tol(error, spread, 0.05 * spread);
    ck_assert_double_eq_tol((double)below / ROUNDS, 0.05, 0.012);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        closed_forms, falls_by_the_density, tables_and_ends, by_hand, what_is_not_defined, over_many_draws,
    };
    return run_suite("paired", tests, PL_COUNT(tests));
}
