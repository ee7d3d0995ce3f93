/* test_rope.c: rotary frequencies, their scaling, magnitudes, rotation. */
#include <math.h>

#include "runtime-check/rope.h"
#include "tests/unit/run.h"

START_TEST(test_frequencies)
{
    pl_hparams hp = { .head_dim = 128, .rope_dim = 128, .rope_base = 500000 };
    double plain[64], f[64];
    float factors[64];
    pl_rope_frequencies(&hp, NULL, plain);
    ck_assert_double_eq_tol(plain[0], 1, 1e-15);
    ck_assert_double_eq_tol(plain[32], 1 / sqrt(500000), 1e-12);
    for (int j = 0; j < 64; j++) factors[j] = (float)(j + 1);
    hp.rope_scaling = PL_ROPE_LINEAR;
    hp.rope_factor = 8;
    pl_rope_frequencies(&hp, factors, f);
    for (int j = 0; j < 64; j++) ck_assert_double_eq_tol(f[j], plain[j] / 8 / (j + 1), 1e-15);
    ck_assert_double_eq(pl_rope_magnitude(&hp), 1);
    /* llama3's rule is in the factors alone */
    hp.rope_scaling = PL_ROPE_LLAMA3;
    pl_rope_frequencies(&hp, factors, f);
    for (int j = 0; j < 64; j++) ck_assert_double_eq_tol(f[j], plain[j] / (j + 1), 1e-15);
    /* a part of the head that rotates is a head of its own */
    hp = (pl_hparams){ .head_dim = 128, .rope_dim = 32, .rope_base = 10000 };
    pl_rope_frequencies(&hp, NULL, f);
    ck_assert_double_eq_tol(f[8], 0.01, 1e-15);
}
END_TEST

/* What transformers 5 computes for a Qwen2 with a base of 10^6 and heads of 128, relative to no scaling. */
START_TEST(test_yarn)
{
    pl_hparams hp = { .head_dim = 128, .rope_dim = 128, .rope_base = 1e6f, .rope_context = 32768, .rope_factor = 4 };
    double plain[64], f[64];
    const struct { int j; double ratio; } expected[] = {
        { 0, 1 }, { 20, 1 }, { 23, 1 }, { 24, 0.95588235 }, { 30, 0.69117645 }, { 36, 0.42647058 }, { 39, 0.29411765 },
        { 40, 0.25 }, { 41, 0.25 }, { 63, 0.25 },
    };
    pl_rope_frequencies(&hp, NULL, plain);
    hp.rope_scaling = PL_ROPE_YARN;
    pl_rope_frequencies(&hp, NULL, f);
    for (int i = 0; i < PL_COUNT(expected); i++) {
        ck_assert_double_eq_tol(f[expected[i].j] / plain[expected[i].j], expected[i].ratio, 1e-7);
    }
    ck_assert_double_eq_tol(pl_rope_magnitude(&hp), 1.138629436111989, 1e-12);
    hp.rope_attn_factor = 1.25f;
    ck_assert_double_eq(pl_rope_magnitude(&hp), 1.25);
    /* another ramp */
    hp = (pl_hparams){ .head_dim = 16, .rope_dim = 16, .rope_base = 10000, .rope_context = 64, .rope_factor = 8,
                       .rope_scaling = PL_ROPE_YARN, .yarn_fast = 8, .yarn_slow = 2 };
    pl_rope_frequencies(&hp, NULL, f);
    ck_assert_double_eq_tol(f[0], 1, 1e-12);
    ck_assert_double_eq_tol(f[1], pow(10000, -1.0 / 8) * 0.5625, 1e-7);
    for (int j = 2; j < 8; j++) ck_assert_double_eq_tol(f[j], pow(10000, -j / 8.0) / 8, 1e-12);
    /* a ramp of no length is a step */
    hp.yarn_fast = 1000;
    hp.yarn_slow = 20;
    pl_rope_frequencies(&hp, NULL, f);
    ck_assert_double_eq_tol(f[0], 1, 1e-12);
    ck_assert_double_eq_tol(f[1], pow(10000, -1.0 / 8) / 8, 1e-12);
    ck_assert_double_eq_tol(pl_rope_magnitude(&hp), 1.2079441541679836, 1e-12);
}
END_TEST

/* Phi 3: 4096 positions stretched to 131072. */
START_TEST(test_longrope)
{
    pl_hparams hp = { .rope_scaling = PL_ROPE_LONGROPE, .rope_context = 4096, .context = 131072 };
    ck_assert_double_eq_tol(pl_rope_magnitude(&hp), 1.1902380714238083, 1e-12);
    hp.context = 4096;
    ck_assert_double_eq(pl_rope_magnitude(&hp), 1);
    hp.rope_attn_factor = 0.5f;
    ck_assert_double_eq(pl_rope_magnitude(&hp), 0.5);
    hp.rope_scaling = PL_ROPE_NONE;
    ck_assert_double_eq(pl_rope_magnitude(&hp), 1);
}
END_TEST

START_TEST(test_rotation)
{
    pl_hparams hp = { .head_dim = 8, .rope_dim = 4, .rope_base = 100 };
    pl_rope rope;
    pl_arena *arena;
    float x[16];
    assert_ok(pl_arena_create(&arena));
    assert_ok(pl_rope_create(&hp, NULL, 0, 3, arena, &rope));
    for (int i = 0; i < 16; i++) x[i] = (float)(i % 8 + 1);
    pl_rope_rotate(&rope, 2, 2, x);
    for (int h = 0; h < 16; h += 8) {
        ck_assert_float_eq_tol(x[h], 1 * cos(2) - 3 * sin(2), 1e-6);
        ck_assert_float_eq_tol(x[h + 2], 3 * cos(2) + 1 * sin(2), 1e-6);
        ck_assert_float_eq_tol(x[h + 1], 2 * cos(0.2) - 4 * sin(0.2), 1e-6);
        ck_assert_float_eq_tol(x[h + 3], 4 * cos(0.2) + 2 * sin(0.2), 1e-6);
        for (int d = 4; d < 8; d++) ck_assert(x[h + d] == (float)(d + 1));
    }
    hp.rope_dim = 8;
    assert_ok(pl_rope_create(&hp, NULL, 8, 3, arena, &rope));
    for (int i = 0; i < 8; i++) x[i] = (float)(i + 1);
    pl_rope_rotate(&rope, 1, 1, x);
    ck_assert_float_eq_tol(x[0], 1 * cos(1) - 2 * sin(1), 1e-6);
    ck_assert_float_eq_tol(x[5], 6 * cos(0.1) + 5 * sin(0.1), 1e-6);
    pl_arena_destroy(arena);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { test_frequencies, test_yarn, test_longrope, test_rotation };
    return run_suite("rope", tests, PL_COUNT(tests));
}
