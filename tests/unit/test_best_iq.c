/* test_best_iq.c: the search of the types on grids, iq1 to iq3: how much less error, never more, whatever the values and
 * importances, and the same bytes from every instruction set. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/cpu.h"
#include "core/rng.h"
#include "quantizers/encoders.h"
#include "quantizers/iq_near.h"
#include "tests/unit/suite.h"

enum { ROWS = 5, COLS = 256 * 3, COUNT = ROWS * COLS, SEED = 83 };

static const int types[] = { PL_IQ2_XXS, PL_IQ2_XS, PL_IQ2_S, PL_IQ3_XXS, PL_IQ3_S, PL_IQ1_S, PL_IQ1_M };

static float w[COUNT], h[COLS], value[COUNT], again[COUNT];
static uint8_t best[COUNT], reference[COUNT];

static float normal(uint64_t stream, uint64_t i) { return (float)pl_rng_normal(SEED, stream, i); }

enum { PATTERNS = 14, ZEROS = 2 };
static void fill(int pattern)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        float x = normal(1, i), block = normal(2, i / 16);
        switch (pattern) {
        case 0: w[i] = 0.02f * x; break;
        case 1: w[i] = 0.02f * x / sqrtf(0.3f + normal(3, i) * normal(3, i)); break;
        case ZEROS: w[i] = i % 2 ? 0.0f : -0.0f; break;
        case 3: w[i] = i / 32 % 3 ? x : 0.0f; break;        /* sub-blocks of zeros: iq3_s of ggml loses what follows */
        case 4: w[i] = block; break;                        /* constant sub-blocks */
        case 5: w[i] = i % 37 ? 0.0f : x; break;
        case 6: w[i] = fabsf(x) + 0.5f; break;
        case 7: w[i] = i % 8 ? fabsf(x) + 0.5f : -0.5f; break;      /* one negative value in eight */
        case 8: w[i] = x * block * block * block; break;    /* codes of scales at both ends */
        case 9: w[i] = 1e-7f * x; break;                    /* scales around the smallest f16 */
        case 10: w[i] = 1e-40f * x; break;
        case 11: w[i] = 1e6f * x; break;                    /* scales around the largest f16 */
        case 12: w[i] = 1e37f * x; break;
        default: w[i] = i % 2 ? -1.0f : 1.0f; break;
        }
    }
}

/* None; spread widely; few columns; half of them none, also whole sub-blocks; none at all; other ones in each block of
 * a row. */
enum { IMPORTANCES = 6 };
static const float *fill_importance(int kind)
{
    for (uint64_t i = 0; i < COLS; i++) {
        float x = normal(5, i) * normal(5, i);
        h[i] = kind == 1 ? x + 0.01f : kind == 2 ? (i % 29 ? 0.01f : 20.0f) :
               kind == 3 ? (i / 32 % 2 && i % 3 ? x : 0.0f) : kind == 4 ? 0.0f : ldexpf(x, 8 * (int)(i / 256));
    }
    return kind ? h : NULL;
}

static double error_of(const float *decoded, const float *importance, int64_t from, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = from; i < from + n; i++) {
        double difference = (double)w[i] - (double)decoded[i];
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

static void prepare(void)
{
    for (int t = 0; t < PL_COUNT(types); t++) ck_assert_int_eq(pl_iq_prepare(types[t]), PL_OK);
}

START_TEST(never_more_error)
{
    for (int k = 0; k < PL_COUNT(types) * PATTERNS * IMPORTANCES; k++) {
        const pl_dtype *dtype = &pl_dtypes[types[k % PL_COUNT(types)]];
        int pattern = k / PL_COUNT(types) % PATTERNS, kind = k / PL_COUNT(types) / PATTERNS;
        const float *importance = fill_importance(kind);
        fill(pattern);
        encode(dtype, importance);
        int64_t bad = pl_dtype_find_nonfinite(dtype, reference, COUNT);
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, best, COUNT), bad);
        for (int64_t i = 0; i < COUNT; i += dtype->block) {
            double theirs = error_of(again, importance, i, dtype->block);
            double mine = error_of(value, importance, i, dtype->block);
            ck_assert_msg(mine <= theirs * (1.0 + 1e-12) || !isfinite(theirs),
                          "%s pattern %d importance %d block %d: %g, not %g", dtype->name, pattern, kind,
                          (int)(i / dtype->block), mine, theirs);
            ck_assert(pattern != ZEROS || mine == 0.0);
        }
    }
}
END_TEST

/* Error against the sum of squares: reference and search, without and with importance. */
START_TEST(less_error)
{
    static const struct { int type; double plain[2], weighted[2]; } known[] = {
        { PL_IQ2_XXS, { 0.1339, 0.1185 }, { 0.08914, 0.07435 } },
        { PL_IQ2_XS, { 0.09841, 0.08686 }, { 0.07095, 0.0572 } },
        { PL_IQ2_S, { 0.09323, 0.07354 }, { 0.06067, 0.05276 } },
        { PL_IQ3_XXS, { 0.0531, 0.0348 }, { 0.0213, 0.01918 } },
        { PL_IQ3_S, { 0.03412, 0.02106 }, { 0.01565, 0.01327 } },
        { PL_IQ1_S, { 0.2906, 0.249 }, { 0.2074, 0.176 } },
        { PL_IQ1_M, { 0.2367, 0.2089 }, { 0.1467, 0.1283 } },
    };
    static const float zeros[COUNT];
    fill(1);
    for (int k = 0; k < PL_COUNT(known) * 2; k++) {
        const pl_dtype *dtype = &pl_dtypes[known[k / 2].type];
        const double *expected = k % 2 ? known[k / 2].weighted : known[k / 2].plain;
        const float *importance = fill_importance(k % 2), *decoded[] = { again, value };
        encode(dtype, importance);
        for (int i = 0; i < 2; i++) {
            double relative = error_of(decoded[i], importance, 0, COUNT) / error_of(zeros, importance, 0, COUNT);
            ck_assert_msg(fabs(relative / expected[i] - 1.0) < 0.01, "%s weighted %d, %d: %.4g, not %.4g", dtype->name,
                          k % 2, i, relative, expected[i]);
        }
    }
}
END_TEST

/* ggml moves what follows a sub-block of zeros up; the search writes it where readers look for it. */
START_TEST(zeros_keep_their_place)
{
    const pl_dtype *dtype = &pl_dtypes[PL_IQ3_S];
    fill(3);
    encode(dtype, NULL);
    ck_assert_double_lt(error_of(value, NULL, 0, COUNT), 0.1 * error_of(again, NULL, 0, COUNT));
}
END_TEST

START_TEST(same_bytes_everywhere)
{
    static const unsigned sets[] = { PL_CPU_AVX2, PL_CPU_AVX2 | PL_CPU_AVX512, PL_CPU_NEON };
    pl_row_encoders plain, other;
    pl_row_encoders_best(&plain, 0);
    for (int k = 0; k < PL_COUNT(sets) * PL_COUNT(types) * PATTERNS; k++) {
        unsigned set = sets[k % PL_COUNT(sets)];
        int type = types[k / PL_COUNT(sets) % PL_COUNT(types)];
        if ((pl_cpu_flags() & set) != set) continue;
        pl_row_encoders_best(&other, set);
        fill(k / PL_COUNT(sets) / PL_COUNT(types));
        for (int kind = 0; kind < IMPORTANCES; kind += 3) {
            const float *importance = fill_importance(kind);
            plain.encode[type](w, importance, 1, COLS, reference);
            other.encode[type](w, importance, 1, COLS, best);
            ck_assert_int_eq(memcmp(best, reference, (size_t)(COLS / 256 * pl_dtypes[type].bytes)), 0);
        }
    }
}
END_TEST

/* Importance goes by columns: each row of a matrix gives the bytes that it gives alone. */
START_TEST(rows_are_alone)
{
    const float *importance = fill_importance(5);
    fill(1);
    for (int t = 0; t < PL_COUNT(types); t++) {
        const pl_dtype *dtype = &pl_dtypes[types[t]];
        int bytes = COLS / 256 * dtype->bytes;
        encode(dtype, importance);
        for (int r = 0; r < ROWS; r++) {
            pl_best_encoder(dtype)(w + r * COLS, importance, 1, COLS, reference);
            ck_assert_int_eq(memcmp(reference, best + r * bytes, (size_t)bytes), 0);
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        never_more_error, less_error, zeros_keep_their_place, same_bytes_everywhere, rows_are_alone,
    };
    return run_cases("best_iq", prepare, NULL, tests, PL_COUNT(tests));
}
