/* test_best_low.c: the searches for less error of the types without K: how much less, and never more. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/rng.h"
#include "quantizers/encoders.h"
#include "tests/unit/suite.h"

enum { ROWS = 8, COLS = 1024, COUNT = ROWS * COLS, SEED = 31 };

static const int types[] = { PL_Q8_0, PL_Q4_0, PL_Q4_1, PL_Q5_0, PL_Q5_1, PL_IQ4_NL, PL_IQ4_XS, PL_MXFP4, PL_NVFP4,
                             PL_TQ1_0, PL_TQ2_0, PL_Q1_0, PL_Q2_0 };

static float w[COUNT], h[COLS], value[COUNT], again[COUNT];
static uint8_t best[COUNT * 2], reference[COUNT * 2];

static float normal(uint64_t stream, uint64_t i) { return (float)pl_rng_normal(SEED, stream, i); }

/* Student's t with five degrees of freedom. */
static float heavy(uint64_t i)
{
    float sum = 0.0f;
    for (uint64_t k = 0; k < 5; k++) sum += normal(10 + k, i) * normal(10 + k, i);
    return normal(1, i) / sqrtf(sum / 5.0f);
}

enum { PATTERNS = 12, ORDINARY = 4 };       /* the first ones are what weights look like */
static void fill(int pattern)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        float x = normal(1, i), block = normal(2, i / 32);
        switch (pattern) {
        case 0: w[i] = x; break;
        case 1: w[i] = 0.02f * heavy(i); break;
        case 2: w[i] = 0.05f * x * block; break;
        case 3: w[i] = 1.0f + 0.1f * x; break;
        case 4: w[i] = i % 2 ? 0.0f : -0.0f; break;
        case 5: w[i] = block; break;
        case 6: w[i] = i % 37 ? 0.0f : x; break;
        case 7: w[i] = 1e-7f * x; break;
        case 8: w[i] = 1e-39f * x; break;
        case 9: w[i] = 1e5f * x; break;
        case 10: w[i] = 1e37f * x; break;
        default: w[i] = i % 2 ? -1.0f : 1.0f; break;
        }
    }
}

/* Importances of mean 1: spread widely; nearly all at the floor; for most blocks one column that counts. */
enum { IMPORTANCES = 3 };
static void fill_importance(int kind)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < COLS; i++) {
        float x = normal(3, i);
        h[i] = kind == 0 ? x * x + 0.01f : kind == 1 ? (i % 61 ? 0.01f : 1.0f) : i % 32 == 5 ? 1.0f : 0.0003f;
        sum += (double)h[i];
    }
    for (int i = 0; i < COLS; i++) h[i] *= (float)(COLS / sum);
}

/* Weighted squared error of values from..from+n-1, all of them decoded. */
static double error_of(const float *x, const float *decoded, const float *importance, int64_t from, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = from; i < from + n; i++) {
        double difference = (double)x[i] - (double)decoded[i];
        sum += (importance ? (double)importance[i % COLS] : 1.0) * (difference * difference);
    }
    return sum;
}

/* Both encoders; returns the error of the search against that of the reference. */
static double encode(const pl_dtype *dtype, const float *importance, double *theirs)
{
    pl_best_encoder(dtype)(w, importance, ROWS, COLS, best);
    pl_reference_encoder(dtype)(w, importance, ROWS, COLS, reference);
    pl_decode(dtype, best, value, COUNT);
    pl_decode(dtype, reference, again, COUNT);
    *theirs = error_of(w, again, importance, 0, COUNT);
    return error_of(w, value, importance, 0, COUNT);
}

/* Error against the sum of squares of the reference and the search, without and with the first importance. */
START_TEST(less_error)
{
    static const struct { int type; double gauss[2], heavy[2], weighted[2]; } known[] = {
        { PL_Q8_0, { 2.883e-05, 2.117e-05 }, { 4.304e-05, 3.326e-05 }, { 2.944e-05, 1.639e-05 } },
        { PL_Q4_0, { 0.007343, 0.006485 }, { 0.01089, 0.009894 }, { 0.005538, 0.004976 } },
        { PL_Q4_1, { 0.006054, 0.004627 }, { 0.007949, 0.006066 }, { 0.003575, 0.003135 } },
        { PL_Q5_0, { 0.00182, 0.001577 }, { 0.002695, 0.002458 }, { 0.001372, 0.001235 } },
        { PL_Q5_1, { 0.001429, 0.001049 }, { 0.001835, 0.001412 }, { 0.000845, 0.0007481 } },
        { PL_IQ4_NL, { 0.005764, 0.005361 }, { 0.007447, 0.006945 }, { 0.004539, 0.004025 } },
        { PL_IQ4_XS, { 0.005872, 0.005422 }, { 0.007575, 0.00703 }, { 0.004654, 0.004096 } },
        { PL_MXFP4, { 0.01278, 0.012 }, { 0.01505, 0.0141 }, { 0.01223, 0.01149 } },
        { PL_NVFP4, { 0.009232, 0.006474 }, { 0.009507, 0.007551 }, { 0.009197, 0.004655 } },
        { PL_TQ1_0, { 0.6535, 0.1857 }, { 0.7296, 0.258 }, { 0.6593, 0.1787 } },
        { PL_TQ2_0, { 0.6535, 0.1857 }, { 0.7296, 0.258 }, { 0.6593, 0.1787 } },
        { PL_Q1_0, { 0.3582, 0.3582 }, { 0.4423, 0.4423 }, { 0.3583, 0.3529 } },
        { PL_Q2_0, { 0.5058, 0.1218 }, { 0.5572, 0.1585 }, { 0.5068, 0.0994 } },
    };
    for (int k = 0; k < PL_COUNT(known); k++) {
        const pl_dtype *dtype = &pl_dtypes[known[k].type];
        const double *expected[] = { known[k].gauss, known[k].heavy, known[k].weighted };
        for (int run = 0; run < 3; run++) {
            static const float zeros[COUNT];
            const float *importance = run == 2 ? h : NULL;
            double got[2];
            fill(run == 1);
            fill_importance(0);
            got[1] = encode(dtype, importance, &got[0]);
            for (int i = 0; i < 2; i++) {
                double relative = got[i] / error_of(w, zeros, importance, 0, COUNT);
                ck_assert_msg(fabs(relative / expected[run][i] - 1.0) < 0.02, "%s run %d: %.4g instead of %.4g",
                              dtype->name, run, relative, expected[run][i]);
            }
        }
    }
}
END_TEST

START_TEST(never_more_error)
{
    for (int t = 0; t < PL_COUNT(types) * PATTERNS * (IMPORTANCES + 1); t++) {
        const pl_dtype *dtype = &pl_dtypes[types[t % PL_COUNT(types)]];
        int pattern = t / PL_COUNT(types) % PATTERNS, kind = t / PL_COUNT(types) / PATTERNS - 1;
        const float *importance = kind < 0 ? NULL : h;
        double theirs;
        fill(pattern);
        if (importance) fill_importance(kind);
        encode(dtype, importance, &theirs);
        int64_t bad = pl_dtype_find_nonfinite(dtype, reference, COUNT);
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, best, COUNT), bad);
        for (int64_t i = 0; i < COUNT; i += dtype->block) {
            double reference_error = error_of(w, again, importance, i, dtype->block);
            if (!(reference_error < (double)INFINITY)) continue;
            double error = error_of(w, value, importance, i, dtype->block);
            ck_assert_msg(error <= reference_error * (1.0 + 1e-12), "%s pattern %d importance %d block %d: %g > %g",
                          dtype->name, pattern, kind, (int)(i / dtype->block), error, reference_error);
        }
    }
}
END_TEST

START_TEST(zeros_stay_zeros)
{
    fill(4);
    fill_importance(0);
    for (int t = 0; t < PL_COUNT(types); t++)
        for (int weighted = 0; weighted < 2; weighted++) {
            double theirs;
            ck_assert_double_eq(encode(&pl_dtypes[types[t]], weighted ? h : NULL, &theirs), 0.0);
        }
}
END_TEST

/* What was encoded before comes out the same. Few blocks may not, and only a little: where a minimum is stored, other
 * codes give nearly the same values under another one; where scales have codes, not all of those are tried. */
START_TEST(decoded_blocks_stay)
{
    for (int t = 0; t < PL_COUNT(types) * ORDINARY * 2; t++) {
        const pl_dtype *dtype = &pl_dtypes[types[t % PL_COUNT(types)]];
        int pattern = t / PL_COUNT(types) % ORDINARY, changed = 0;
        bool exact = dtype != &pl_dtypes[PL_Q4_1] && dtype != &pl_dtypes[PL_Q5_1] &&
                     dtype != &pl_dtypes[PL_IQ4_XS];
        const float *importance = t / PL_COUNT(types) / ORDINARY ? h : NULL;
        double theirs, squares = 0.0;
        fill(pattern);
        fill_importance(0);
        encode(dtype, importance, &theirs);
        pl_best_encoder(dtype)(value, importance, ROWS, COLS, best);
        pl_decode(dtype, best, again, COUNT);
        for (int i = 0; i < COUNT; i++) {
            changed += again[i] != value[i];
            squares += (double)value[i] * (double)value[i];
        }
        ck_assert_msg(!exact || changed == 0, "%s pattern %d: %d values changed", dtype->name, pattern, changed);
        ck_assert_double_le(error_of(value, again, NULL, 0, COUNT), 1e-5 * squares);
    }
}
END_TEST

/* The reference has a rule of its own where there is importance, and it stays in some blocks. */
START_TEST(equal_importance_is_none)
{
    fill(1);
    for (int i = 0; i < COLS; i++) h[i] = 1.0f;
    for (int t = 0; t < PL_COUNT(types); t++) {
        double theirs, with = encode(&pl_dtypes[types[t]], h, &theirs);
        double without = encode(&pl_dtypes[types[t]], NULL, &theirs);
        ck_assert_double_eq_tol(with / without, 1.0, 3e-3);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        less_error, never_more_error, zeros_stay_zeros, decoded_blocks_stay, equal_importance_is_none,
    };
    return run_cases("best_low", NULL, NULL, tests, PL_COUNT(tests));
}
