/* test_rowmath.c: norms, activations and soft caps of a row against libm in double. */
#include <math.h>

#include "core/rng.h"
#include "runtime-check/rowmath.h"
#include "tests/unit/run.h"

enum { MANY = 100001 };

static float line[MANY], got[MANY];

/* From -limit to limit, with both and 0. */
static void fill(double limit)
{
    for (int i = 0; i < MANY; i++) line[i] = got[i] = (float)((i - MANY / 2) * limit / (MANY / 2));
}

static double exact(pl_activation act, double x)
{
    if (act == PL_ACT_SILU) return x / (1 + exp(-x));
    if (act == PL_ACT_GELU) return 0.5 * x * erfc(-x / sqrt(2));
    return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * pow(x, 3))));
}

START_TEST(test_activations)
{
    for (int act = PL_ACT_SILU; act <= PL_ACT_GELU_TANH; act++) {
        fill(12);
        pl_activate_row((pl_activation)act, got, NULL, MANY);
        for (int i = 0; i < MANY; i++) {
            ck_assert_double_eq_tol(got[i], exact((pl_activation)act, line[i]), 1.5e-7 * fmax(fabs(line[i]), 1e-30));
        }
        fill(12);
        pl_activate_row((pl_activation)act, got, line, MANY);
        for (int i = 0; i < MANY; i += 37) {
            ck_assert_double_eq_tol(got[i], exact((pl_activation)act, line[i]) * line[i],
                                    2e-7 * fmax(line[i] * (double)line[i], 1e-30));
        }
        /* far out, and what is no number stays none */
        float far[] = { 1e30f, -1e30f, NAN, 0 };
        pl_activate_row((pl_activation)act, far, NULL, 4);
        ck_assert(far[0] == 1e30f && fabsf(far[1]) < 1e-5f && isnan(far[2]) && far[3] == 0);
    }
}
END_TEST

START_TEST(test_softcap)
{
    const float caps[] = { 50, 1, 0.01f };
    for (int k = 0; k < PL_COUNT(caps); k++) {
        double cap = caps[k];
        fill(20 * cap);
        pl_softcap_row(got, caps[k], MANY);
        for (int i = 0; i < MANY; i++) {
            double expected = cap * tanh(line[i] / cap);
            ck_assert_double_eq_tol(got[i], expected, 4e-7 * fabs(expected) + 1e-30);
        }
    }
    float far[] = { INFINITY, -INFINITY, NAN, -3e38f };
    pl_softcap_row(far, 30, 4);
    ck_assert(far[0] == 30 && far[1] == -30 && isnan(far[2]) && far[3] == -30);
}
END_TEST

START_TEST(test_norms)
{
    float x[301], weight[301], bias[301], out[301];
    for (int n = 1; n <= 301; n += 100) {
        for (int kind = PL_NORM_RMS; kind <= PL_NORM_LAYER; kind++) {
            double mean = 0, square = 0, eps = 1e-3f;
            for (int i = 0; i < n; i++) {
                x[i] = 1000 + (float)pl_rng_normal(1, 0, (uint64_t)i);
                weight[i] = 1 + (float)i / 100;
                bias[i] = (float)i;
            }
            for (int i = 0; i < n && kind == PL_NORM_LAYER; i++) mean += (double)x[i] / n;
            for (int i = 0; i < n; i++) square += pow(x[i] - mean, 2) / n;
            pl_norm_row((pl_norm)kind, 1e-3f, &(pl_norm_weights){ weight, NULL }, x, out, n);
            pl_norm_row((pl_norm)kind, 1e-3f, &(pl_norm_weights){ weight, bias }, x, x, n);
            for (int i = 0; i < n; i++) {
                /* of x, whose mean is so much larger than its spread, and in place */
                double back = 1000 + (float)pl_rng_normal(1, 0, (uint64_t)i);
                double expected = ((float)back - mean) / sqrt(square + eps) * weight[i];
                ck_assert_double_eq_tol(out[i], expected, 3e-7 * fabs(expected) + 1e-9);
                ck_assert_float_eq(x[i], out[i] + bias[i]);
            }
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { test_activations, test_softcap, test_norms };
    return run_suite("rowmath", tests, PL_COUNT(tests));
}
