/* test_best.c: every search for less weighted error: never more of it in a block than the reference leaves, and how
 * much less it is for the K types. */
#include <check.h>
#include <math.h>

#include "core/rng.h"
#include "quantizers/encoders.h"
#include "quantizers/iq_near.h"
#include "tests/unit/suite.h"

enum { ROWS = 6, COLS = 256 * 3, COUNT = ROWS * COLS, SEED = 47, PATTERNS = 11 };

static float w[COUNT], h[COLS], value[COUNT], again[COUNT];
static uint8_t best[COUNT * 2], reference[COUNT * 2];

static float normal(uint64_t stream, uint64_t i) { return (float)pl_rng_normal(SEED, stream, i); }

static void fill(int pattern)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        float x = normal(1, i), per16 = normal(2, i / 16);
        switch (pattern) {
        case 0: w[i] = 0.02f * x; break;
        case 1: w[i] = 0.02f * x / sqrtf(0.1f + normal(3, i) * normal(3, i)); break;       /* heavy tails */
        case 2: w[i] = x * per16 * per16; break;            /* sub-blocks of very different size */
        case 3: w[i] = 2.0f + x * per16; break;             /* minimums that cannot be stored */
        case 4: w[i] = -3.0f - 0.01f * x; break;
        case 5: w[i] = i / 16 % 3 ? 0.0f : per16; break;    /* constant sub-blocks */
        case 6: w[i] = i % 41 ? 0.0f : x; break;
        case 7: w[i] = 1e-7f * x; break;                    /* scales below the smallest f16 */
        case 8: w[i] = 1e-20f * x; break;
        case 9: w[i] = i / 32 % 3 ? x : 0.0f; break;        /* sub-blocks of zeros, which iq3_s of ggml loses */
        default: w[i] = 3e4f * x; break;
        }
    }
}

/* Importances of mean 1: spread widely, or nearly all in few columns. */
static void fill_importance(int kind)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < COLS; i++) {
        h[i] = kind ? (i % 29 ? 0.01f : 1.0f) : normal(5, i) * normal(5, i) + 0.01f;
        sum += (double)h[i];
    }
    for (int i = 0; i < COLS; i++) h[i] *= (float)(COLS / sum);
}

static double error_of(const float *x, const float *decoded, const float *importance, int64_t from, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = from; i < from + n; i++) {
        double difference = (double)x[i] - (double)decoded[i];
        sum += (importance ? (double)importance[i % COLS] : 1.0) * difference * difference;
    }
    return sum;
}

/* value: decoded from the search, again: from the reference. */
static void encode(const pl_dtype *dtype, const float *importance)
{
    pl_best_encoder(dtype)(w, importance, ROWS, COLS, best);
    pl_reference_encoder(dtype)(w, importance, ROWS, COLS, reference);
    pl_decode(dtype, best, value, COUNT);
    pl_decode(dtype, reference, again, COUNT);
}

START_TEST(never_more_error)
{
    int searches = 0;
    for (int t = 0; t < PL_DTYPES_READ; t++) {
        const pl_dtype *dtype = &pl_dtypes[t];
        searches += pl_best_encoder(dtype) != NULL;
        ck_assert_int_eq(pl_iq_prepare(t), PL_OK);
        for (int k = 0; pl_best_encoder(dtype) && k < 3 * PATTERNS; k++) {
            const float *importance = k < PATTERNS ? NULL : h;
            fill(k % PATTERNS);
            if (importance) fill_importance(k / PATTERNS - 1);
            encode(dtype, importance);
            for (int64_t i = 0; i < COUNT; i += dtype->block) {
                double theirs = error_of(w, again, importance, i, dtype->block);
                double mine = error_of(w, value, importance, i, dtype->block);
                ck_assert_msg(mine <= theirs * (1.0 + 1e-12) || !isfinite(theirs),
                              "%s pattern %d block %d: %g, not %g", dtype->name, k, (int)(i / dtype->block), mine,
                              theirs);
            }
        }
    }
    ck_assert_int_ge(searches, 5);
}
END_TEST

/* Error against the sum of squares, in thousandths: reference and search, without and with importance. */
static const struct { int type; double plain[2], weighted[2]; } known[] = {
    { PL_Q2_K, { 120.3, 85.05 }, { 62.95, 52.17 } },
    { PL_Q3_K, { 31.63, 28.35 }, { 22.69, 21.24 } },
    { PL_Q4_K, { 7.448, 6.979 }, { 5.643, 5.119 } },
    { PL_Q5_K, { 1.912, 1.707 }, { 1.518, 1.276 } },
    { PL_Q6_K, { 0.4695, 0.417 }, { 0.3662, 0.3133 } },
};

START_TEST(less_error)
{
    static const float zeros[COUNT];
    fill(1);
    fill_importance(0);
    for (int k = 0; k < PL_COUNT(known); k++)
        for (int weighted = 0; weighted < 2; weighted++) {
            const pl_dtype *dtype = &pl_dtypes[known[k].type];
            const double *expected = weighted ? known[k].weighted : known[k].plain;
            const float *importance = weighted ? h : NULL, *decoded[] = { again, value };
            encode(dtype, importance);
            for (int i = 0; i < 2; i++) {
                double relative = 1e3 * error_of(w, decoded[i], importance, 0, COUNT) /
                                  error_of(w, zeros, importance, 0, COUNT);
                ck_assert_msg(fabs(relative / expected[i] - 1.0) < 0.01, "%s weighted %d, %d: %.4g, not %.4g",
                              dtype->name, weighted, i, relative, expected[i]);
            }
        }
}
END_TEST

/* Of values that were in a block of the type already hardly anything is lost: most blocks stay as they are. */
START_TEST(decoded_blocks_stay)
{
    for (int k = 0; k < PL_COUNT(known); k++) {
        const pl_dtype *dtype = &pl_dtypes[known[k].type];
        static const float zeros[COUNT];
        fill(0);
        encode(dtype, NULL);
        for (int i = 0; i < COUNT; i++) w[i] = value[i];
        encode(dtype, NULL);
        double lost = error_of(w, value, NULL, 0, COUNT) / error_of(w, zeros, NULL, 0, COUNT);
        ck_assert_msg(lost < 1e-4, "%s: %g", dtype->name, lost);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { never_more_error, less_error, decoded_blocks_stay };
    return run_cases("best", NULL, NULL, tests, PL_COUNT(tests));
}
