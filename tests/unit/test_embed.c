/* test_embed.c: pooling of hidden states into embeddings. */
#include <math.h>

#include "runtime-check/embed.h"
#include "tests/unit/run.h"

START_TEST(mean_has_length_one)
{
    const float hidden[] = { 1, 2, 5, 2 };              /* [2][2]: mean 3, 2 */
    double out[2];
    pl_embed_pool(hidden, 2, 2, PL_POOL_MEAN, out);
    ck_assert_double_eq_tol(out[0], 3 / sqrt(13), 1e-15);
    ck_assert_double_eq_tol(out[1], 2 / sqrt(13), 1e-15);
    pl_embed_pool(hidden, 2, 2, PL_POOL_NONE, out);     /* a model that does not say: the mean */
    ck_assert_double_eq_tol(out[0], 3 / sqrt(13), 1e-15);
}
END_TEST

START_TEST(first_token)
{
    const float hidden[] = { 3, 4, 100, -7 };
    double out[2];
    pl_embed_pool(hidden, 2, 2, PL_POOL_CLS, out);
    ck_assert_double_eq_tol(out[0], 0.6, 1e-15);
    ck_assert_double_eq_tol(out[1], 0.8, 1e-15);
}
END_TEST

START_TEST(what_has_no_direction)
{
    const float zero[] = { 1, -2, -1, 2 }, infinite[] = { INFINITY, 1 }, none[] = { NAN, 1 };
    double out[2];
    pl_embed_pool(zero, 2, 2, PL_POOL_MEAN, out);
    ck_assert(out[0] == 0 && out[1] == 0);
    pl_embed_pool(infinite, 1, 2, PL_POOL_MEAN, out);
    ck_assert(isinf(out[0]) && out[1] == 1);
    pl_embed_pool(none, 1, 2, PL_POOL_MEAN, out);
    ck_assert(isnan(out[0]));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { mean_has_length_one, first_token, what_has_no_direction };
    return run_suite("embed", tests, PL_COUNT(tests));
}
