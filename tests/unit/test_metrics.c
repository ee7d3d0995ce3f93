/* test_metrics.c: known answers of the measures, and vecmath's functions against libm. */
#include <math.h>

#include "core/mem.h"
#include "core/rng.h"
#include "runtime-check/metrics.h"
#include "runtime-check/vecmath.h"
#include "tests/unit/run.h"

enum { VOCAB = 1000, POSITIONS = 37 };

static pl_summary summary_of(const float *q, const float *p, const int32_t *next, int64_t n,
                             int64_t vocab, pl_pool *pool)
{
    pl_metrics *m;
    pl_summary s;
    ck_assert_int_eq(pl_metrics_create(n, p != NULL, &m), PL_OK);
    int64_t half = n / 2;               /* in two pieces: the same as in one */
    ck_assert_int_eq(pl_metrics_add(m, half, vocab, q, p, next, pool), PL_OK);
    ck_assert_int_eq(pl_metrics_add(m, n - half, vocab, q + half * vocab, p ? p + half * vocab : NULL,
                                    next + half, pool), PL_OK);
    ck_assert_int_eq(pl_metrics_add(m, 1, vocab, q, p, next, pool), PL_E_WISH);
    ck_assert_int_eq(pl_metrics_summarize(m, &s), PL_OK);
    pl_metrics_destroy(m);
    return s;
}

static void random_logits(float *x, int64_t n, uint64_t key)
{
    for (int64_t i = 0; i < n; i++) x[i] = 3 * (float)pl_rng_normal(7, key, (uint64_t)i);
}

START_TEST(test_uniform)
{
    static float q[4 * VOCAB];
    const int32_t next[4] = { 0, 5, 999, 17 };
    for (int i = 0; i < 4 * VOCAB; i++) q[i] = 2.5f;
    pl_summary s = summary_of(q, q, next, 4, VOCAB, NULL);
    ck_assert_double_eq_tol(s.ppl, VOCAB, 1e-9 * VOCAB);
    ck_assert_double_eq_tol(s.ppl_err, 0, 1e-6 * VOCAB);
    ck_assert(s.ppl_ratio == 1);
    ck_assert(s.kld_mean == 0 && s.kld_max == 0);
    ck_assert(s.top1 == 100 && s.rms_dp == 0);
    ck_assert(s.positions == 4 && s.nonfinite == 0);
}
END_TEST

START_TEST(test_two_tokens)
{
    const float p[2] = { 0, logf(3) }, q[2] = { 0, 0 };
    pl_position at = pl_position_measure(q, p, 2, 1);
    ck_assert_double_eq_tol(at.kld, 0.1308120, 1e-7);
    ck_assert_double_eq_tol(at.dp, -0.25, 1e-7);
    ck_assert_double_eq_tol(at.nll_q, log(2), 1e-15);
    ck_assert_double_eq_tol(at.nll_p, log(4.0 / 3), 1e-7);
    ck_assert(!at.same_top);            /* q ties: its first maximum is token 0 */
    at = pl_position_measure(p, q, 2, 0);
    ck_assert_double_eq_tol(at.kld, 0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75), 1e-7);
    ck_assert_double_eq_tol(at.dp, -0.25, 1e-7);
}
END_TEST

/* Also over lengths that leave odd pieces, far below and above the range of e^x. */
START_TEST(test_definition)
{
    static float q[VOCAB], p[VOCAB], shifted[VOCAB];
    const int64_t length[] = { 1, 2, 15, 17, 511, 513, VOCAB };
    for (int l = 0; l < PL_COUNT(length); l++) {
        int64_t n = length[l];
        random_logits(q, n, 1);
        random_logits(p, n, 2);
        p[n / 2] = -2000;
        q[n / 3] = 500;
        double zq = 0, zp = 0, kld = 0;
        for (int64_t i = 0; i < n; i++) zq += exp((double)q[i] - 500), zp += exp(p[i]);
        for (int64_t i = 0; i < n; i++) {
            double share = exp(p[i]) / zp;
            if (share > 0) kld += share * (p[i] - log(zp) - ((double)q[i] - 500 - log(zq)));
        }
        pl_position at = pl_position_measure(q, p, n, (int32_t)(n - 1));
        if (n == 1) kld = 0;            /* e^-2000 is no number to divide by */
        ck_assert_double_eq_tol(at.kld, kld, 1e-9 * (1 + fabs(kld)));
        ck_assert_double_eq_tol(at.nll_q, 500 + log(zq) - q[n - 1], 1e-9);

        /* a power of two that all logits take without rounding */
        for (int64_t i = 0; i < n; i++) q[i] = rintf(q[i] * 64) / 64, shifted[i] = q[i] + 1024;
        pl_position moved = pl_position_measure(shifted, q, n, 0);
        ck_assert(moved.kld == 0 && moved.dp == 0 && moved.same_top);
    }
}
END_TEST

START_TEST(test_divergence_is_not_negative)
{
    static float q[VOCAB], p[VOCAB];
    for (int round = 0; round < 200; round++) {
        random_logits(p, VOCAB, (uint64_t)round);
        for (int i = 0; i < VOCAB; i++) q[i] = p[i] * (1 + 1e-6f * (float)(i % 3));
        ck_assert_double_ge(pl_position_measure(q, p, VOCAB, 0).kld, -1e-12);
    }
}
END_TEST

START_TEST(test_summary)
{
    static float q[POSITIONS * VOCAB], p[POSITIONS * VOCAB];
    int32_t next[POSITIONS];
    double nll = 0, base = 0, squares = 0, kld = 0, largest = 0, same = 0;
    random_logits(p, POSITIONS * VOCAB, 3);
    random_logits(q, POSITIONS * VOCAB, 4);
    for (int i = 0; i < POSITIONS * VOCAB; i++) q[i] = p[i] + 0.1f * q[i];
    for (int i = 0; i < POSITIONS; i++) {
        next[i] = (i * 31) % VOCAB;
        pl_position at = pl_position_measure(q + i * VOCAB, p + i * VOCAB, VOCAB, next[i]);
        nll += at.nll_q / POSITIONS;
        base += at.nll_p / POSITIONS;
        kld += at.kld / POSITIONS;
        squares += at.dp * at.dp / POSITIONS;
        same += at.same_top;
        largest = fmax(largest, at.kld);
    }
    ck_assert(same > 0 && same < POSITIONS);
    pl_summary s = summary_of(q, p, next, POSITIONS, VOCAB, NULL);
    ck_assert_double_eq_tol(s.ppl, exp(nll), 1e-9 * s.ppl);
    ck_assert_double_eq_tol(s.ppl_base, exp(base), 1e-9 * s.ppl);
    ck_assert_double_eq_tol(s.ppl_ratio, exp(nll - base), 1e-9);
    ck_assert_double_eq_tol(s.kld_mean, kld, 1e-12);
    ck_assert(s.kld_max == largest);
    ck_assert_double_eq_tol(s.rms_dp, 100 * sqrt(squares), 1e-9);
    ck_assert_double_eq_tol(s.top1, 100 * same / POSITIONS, 1e-9);
    ck_assert(s.kld_median <= s.kld_p99 && s.kld_p99 <= s.kld_p999 && s.kld_p999 <= s.kld_max);

    pl_pool *pool;
    ck_assert_int_eq(pl_pool_create(3, &pool), PL_OK);
    pl_summary t = summary_of(q, p, next, POSITIONS, VOCAB, pool);
    pl_pool_destroy(pool);
    ck_assert(t.ppl == s.ppl && t.kld_mean == s.kld_mean && t.kld_p99 == s.kld_p99 &&
              t.rms_dp == s.rms_dp && t.ppl_err == s.ppl_err && t.kld_err == s.kld_err);

    pl_summary alone = summary_of(q, NULL, next, POSITIONS, VOCAB, NULL);
    ck_assert(alone.ppl == s.ppl && isnan(alone.kld_mean) && isnan(alone.ppl_ratio));
}
END_TEST

START_TEST(test_nonfinite)
{
    static float q[3 * VOCAB], p[3 * VOCAB];
    const int32_t next[3] = { 1, 2, 3 };
    random_logits(q, 3 * VOCAB, 5);
    random_logits(p, 3 * VOCAB, 6);
    q[VOCAB + 7] = NAN;
    q[VOCAB + 900] = INFINITY;
    p[2 * VOCAB + 1] = -INFINITY;
    pl_summary s = summary_of(q, p, next, 3, VOCAB, NULL);
    ck_assert_int_eq(s.nonfinite, 3);
    ck_assert(isnan(s.ppl) && isnan(s.kld_mean) && isnan(s.top1));
}
END_TEST

START_TEST(test_percentiles)
{
    double x[101];
    for (int i = 0; i <= 100; i++) x[i] = (i * 37) % 101;
    pl_sort_values(x, 101);
    ck_assert_double_eq_tol(pl_percentile(x, 101, 0.999), 99.9, 1e-12);
    ck_assert(pl_percentile(x, 101, 0.5) == 50);
    ck_assert(pl_percentile(x, 101, 0) == 0);
    ck_assert(pl_percentile(x, 101, 1) == 100);
    ck_assert(pl_percentile(x, 1, 0.99) == 0);
    const double pair[2] = { 1, 2 };
    ck_assert_double_eq_tol(pl_percentile(pair, 2, 0.25), 1.25, 1e-15);
}
END_TEST

/* Error of the mean against what resampling the same values says. */
START_TEST(test_error_bar)
{
    enum { N = 400, ROUNDS = 4000 };
    static double x[N];
    double mean, error, sum = 0, squares = 0;
    for (int i = 0; i < N; i++) x[i] = -log(1 - pl_rng_uniform(11, 0, (uint64_t)i));
    pl_mean_error(x, N, &mean, &error);
    for (int r = 0; r < ROUNDS; r++) {
        double m = 0;
        for (int i = 0; i < N; i++) m += x[pl_rng_bits(12, (uint64_t)r, (uint64_t)i) % N] / N;
        sum += m / ROUNDS;
        squares += (m - mean) * (m - mean) / ROUNDS;
    }
    ck_assert_double_eq_tol(sum, mean, 4 * error / sqrt(ROUNDS));
    ck_assert_double_eq_tol(sqrt(squares), error, 0.05 * error);
    pl_mean_error(x, 1, &mean, &error);
    ck_assert(mean == x[0] && isnan(error));
}
END_TEST

START_TEST(test_exponentials)
{
    for (int i = -87300; i <= 88300; i++) {
        float x = (float)i * 1e-3f, ulp = ldexpf(1, ilogbf(expf(x)) - 23);
        ck_assert_double_le(fabs(pl_exp_f32(x) - exp((double)x)), 2 * (double)ulp);
    }
    for (int i = -70000; i <= 70000; i++) {
        double x = i * 0.01011, e = exp(x);
        ck_assert_double_le(fabs(pl_exp_f64(x) - e), 1e-15 * e);
    }
    float row[4] = { -1e30f, 1e30f, NAN, 3 };
    pl_exp_row_f32(row, 3, row, 4);
    ck_assert(row[0] >= 0 && row[0] < 1.3e-38f && row[1] > 1e38f && isfinite(row[1]));
    ck_assert(isnan(row[2]) && row[3] == 1);
}
END_TEST

START_TEST(test_reductions)
{
    float x[100];
    double y[100];
    for (int n = 1; n <= 100; n++) {
        for (int i = 0; i < n; i++) y[i] = x[i] = (float)((i * 29) % 101 - 50);
        double sum = 0, squares = 0, max = x[0];
        for (int i = 0; i < n; i++) sum += y[i], squares += y[i] * y[i], max = fmax(max, y[i]);
        ck_assert(pl_sum_f32(x, n) == sum && pl_sum_f64(y, n) == sum);
        ck_assert(pl_sum_squares(x, n) == squares && pl_max_f32(x, n) == max);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_uniform, test_two_tokens, test_definition, test_divergence_is_not_negative,
        test_summary, test_nonfinite, test_percentiles, test_error_bar, test_exponentials,
        test_reductions,
    };
    return run_suite("metrics", tests, PL_COUNT(tests));
}
