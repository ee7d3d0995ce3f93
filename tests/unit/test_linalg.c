/* test_linalg.c: the products of core/linalg against plain loops. */
#include <math.h>

#include "core/linalg.h"
#include "core/rng.h"
#include "tests/unit/run.h"

enum { MOST = 40 * 90 };

static void fill(float *x, int n, uint64_t key)
{
    for (int i = 0; i < n; i++) x[i] = (float)pl_rng_normal(1, key, (uint64_t)i);
}

/* m = 1 takes another road than m > 1, so both are walked. Rows are longer than used, and what lies
 * between them must stay as it is. */
static void compare(int m, int n, int k, bool transposed, float alpha, float beta)
{
    static float a[MOST], b[MOST], c[MOST], expected[MOST];
    int lda = k + 3, ldb = (transposed ? k : n) + 2, ldc = n + 1;
    fill(a, m * lda, 1);
    fill(b, (transposed ? n : k) * ldb, 2);
    fill(c, m * ldc, 3);
    memcpy(expected, c, sizeof c);
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++) {
                sum += (double)a[i * lda + l] * (transposed ? b[j * ldb + l] : b[l * ldb + j]);
            }
            float *e = &expected[i * ldc + j];
            *e = (float)(alpha * sum + (beta == 0 ? 0 : beta * *e));
        }
    }
    if (beta == 0) {
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) c[i * ldc + j] = NAN;
        }
    }
    if (transposed) pl_gemm_nt(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    else pl_gemm_nn(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    for (int i = 0; i < m * ldc; i++) {
        ck_assert_msg(fabsf(c[i] - expected[i]) <= 1e-5f * (float)k, "%d x %d x %d place %d: %g, not %g",
                      m, n, k, i, c[i], expected[i]);
    }
}

START_TEST(test_products)
{
    ck_assert_int_eq(pl_linalg_init(), PL_OK);
    const int size[][3] = { { 1, 1, 1 }, { 1, 17, 64 }, { 2, 3, 5 }, { 7, 33, 16 }, { 32, 40, 80 } };
    for (int s = 0; s < PL_COUNT(size); s++) {
        for (int transposed = 0; transposed < 2; transposed++) {
            compare(size[s][0], size[s][1], size[s][2], transposed, 1, 0);
            compare(size[s][0], size[s][1], size[s][2], transposed, 0.5f, 2);
        }
    }
    float untouched = 5;
    pl_gemm_nt(0, 1, 1, 1, &untouched, 1, &untouched, 1, 0, &untouched, 1);
    pl_gemm_nn(1, 0, 1, 1, &untouched, 1, &untouched, 1, 0, &untouched, 1);
    ck_assert(untouched == 5);
}
END_TEST

START_TEST(test_version)
{
    ck_assert_ptr_nonnull(strstr(pl_linalg_version(), "OpenBLAS"));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_products, test_version,
    };
    return run_suite("linalg", tests, PL_COUNT(tests));
}
