/* test_packed_groups.c: matrices of whole-number codes: streams of bits, layouts, values, names. */
#include <stdlib.h>

#include "core/half.h"
#include "core/packed.h"
#include "tests/unit/run.h"

/* The definition of a stream: bit k of code j is bit j * bits + k of the words. */
START_TEST(streams)
{
    uint8_t codes[300], back[300], words[300], wanted[300];
    for (int bits = 1; bits <= 8; bits++) {
        for (int n = 0; n <= 300; n += n < 70 ? 1 : 23) {
            int64_t bytes = pl_bits_words(n, bits) * 4;
            ck_assert_int_eq(bytes, (n * bits + 31) / 32 * 4);
            memset(wanted, 0, sizeof wanted);
            memset(words, 0xaa, sizeof words);
            for (int j = 0; j < n; j++) {
                codes[j] = (uint8_t)((j * 37 + 11 + j / 7) & ((1 << bits) - 1));
                for (int k = 0; k < bits; k++)
                    wanted[(j * bits + k) / 8] |= (uint8_t)((codes[j] >> k & 1) << ((j * bits + k) % 8));
            }
            pl_bits_pack(codes, n, bits, words);
            ck_assert_mem_eq(words, wanted, (size_t)bytes);
            if (bytes < 300) ck_assert_int_eq(words[bytes], 0xaa);
            pl_bits_unpack(words, n, bits, back);
            ck_assert_mem_eq(back, codes, (size_t)n);
        }
    }
}
END_TEST

START_TEST(names)
{
    static const struct { const char *name; const pl_scheme *scheme; int bits, group; } good[] = {
        { "affine2-g32", &pl_scheme_affine, 2, 32 }, { "affine4-g64", &pl_scheme_affine, 4, 64 },
        { "affine8-g128", &pl_scheme_affine, 8, 128 }, { "int4-g128", &pl_scheme_ints, 4, 128 },
        { "int8", &pl_scheme_ints, 8, 0 }, { "uint4-g128", &pl_scheme_ints, 4, 128 },
    };
    static const char *const bad[] = { "affine4", "affine7-g64", "affine4-g48", "affine4-g064", "affine4-g64 ", "int5",
                                       "int4-g0", "int", "affine", "int4-g", "uint5", "uint4-g48", "affine44-g64", "int-4" };
    pl_type type;
    for (int i = 0; i < PL_COUNT(good); i++) {
        assert_ok(pl_type_parse(good[i].name, &type));
        ck_assert_ptr_eq(type.scheme, good[i].scheme);
        ck_assert_int_eq(type.bits, good[i].bits);
        ck_assert_int_eq(type.group, good[i].group);
        ck_assert_ptr_null(type.scale);
        ck_assert_str_eq(pl_type_name(&type), good[i].name);
        ck_assert(pl_type_coded(&type));
    }
    for (int i = 0; i < PL_COUNT(bad); i++) assert_fails(pl_type_parse(bad[i], &type), PL_E_WISH, "affine{2,3,4,5,6,8}-g");
    type = pl_type_ints(4, 128, false, &pl_dtypes[PL_F16]);
    ck_assert_str_eq(pl_type_name(&type), "uint4-g128");
    assert_ok(pl_type_parse("mxfp8", &type));
    ck_assert_ptr_eq(type.element, &pl_dtypes[PL_F8_E4M3]);
    ck_assert_int_eq(pl_type_span(&type), 32);
    type = pl_type_affine(4, 64, NULL);
    ck_assert_int_eq(pl_type_span(&type), 64);
    type = pl_type_ints(4, 128, true, NULL);
    ck_assert_int_eq(pl_type_span(&type), 128);
    type = pl_type_ints(8, 0, true, NULL);
    ck_assert_int_eq(pl_type_span(&type), 1);
    type = pl_type_plain(PL_F16);
    ck_assert(!pl_type_coded(&type));
}
END_TEST

START_TEST(layouts)
{
    pl_packed p, view;
    assert_ok(pl_packed_init(&p, pl_type_affine(3, 64, &pl_dtypes[PL_BF16]), 10, 192));
    ck_assert_int_eq(p.nparts, 3);
    ck_assert_int_eq(p.part[0].stride, 192 * 3 / 8);
    ck_assert_int_eq(p.part[1].stride, 6);
    ck_assert_int_eq(p.part[2].bytes, 60);
    ck_assert_int_eq(p.part[2].role, PL_BIASES);
    assert_ok(pl_packed_rows(&p, 3, 4, &view));
    ck_assert_int_eq(view.part[1].bytes, 24);
    assert_ok(pl_packed_init(&p, pl_type_ints(4, 128, false, &pl_dtypes[PL_F16]), 3, 200));
    ck_assert_int_eq(p.nparts, 3);
    ck_assert_int_eq(p.part[0].stride, 100);
    ck_assert_int_eq(p.part[1].stride, 4);
    ck_assert_int_eq(p.part[2].stride, 2);
    assert_ok(pl_packed_init(&p, pl_type_ints(8, 0, true, &pl_dtypes[PL_F32]), 3, 5));
    ck_assert_int_eq(p.nparts, 2);
    ck_assert_int_eq(p.part[0].stride, 8);
    ck_assert_int_eq(p.part[1].stride, 4);
    assert_fails(pl_packed_init(&p, pl_type_affine(4, 64, &pl_dtypes[PL_F16]), 3, 96), PL_E_WISH,
                 "a multiple of 64 values, not of 96");
    assert_fails(pl_packed_init(&p, pl_type_affine(4, 64, NULL), 3, 64), PL_E_WISH, "scales of no type");
    assert_fails(pl_packed_init(&p, pl_type_affine(9, 64, &pl_dtypes[PL_F16]), 3, 64), PL_E_WISH, "9 bits");
    assert_fails(pl_packed_init(&p, pl_type_ints(4, -1, true, &pl_dtypes[PL_F16]), 3, 64), PL_E_WISH, "groups of -1");
    assert_fails(pl_packed_init(&p, pl_type_affine(4, 64, &pl_dtypes[PL_F16]), INT64_MAX / 2, 64), PL_E_WISH, "too large");
    assert_fails(pl_packed_init(&p, pl_type_affine(4, 64, &pl_dtypes[PL_F16]), 1, INT64_MAX / 64 * 64), PL_E_WISH, "too large");
}
END_TEST

/* Values by the formula, from codes, scales and biases or zero points made up here. */
static void check_values(pl_type type, int64_t rows, int64_t cols)
{
    enum { MOST = 1 << 14 };
    static uint8_t bytes[3][MOST * 4], codes[MOST];
    static float values[MOST], scale[MOST], bias[MOST];
    pl_packed p;
    assert_ok(pl_packed_init(&p, type, rows, cols));
    int64_t width = type.group ? type.group : cols, groups = pl_ceil_div(cols, width);
    bool affine = type.scheme == &pl_scheme_affine;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) codes[c] = (uint8_t)((r * 31 + c * 7 + c / 9) & ((1 << type.bits) - 1));
        pl_bits_pack(codes, cols, type.bits, bytes[0] + r * p.part[0].stride);
    }
    for (int64_t i = 0; i < rows * groups; i++) {
        scale[i] = (float)(i % 13 - 6) * 0.25f;
        bias[i] = affine ? (float)(i % 5) * -0.5f : (float)(i % 11);
        bytes[2][i] = (uint8_t)(i % 11);
    }
    bool half = type.scale == &pl_dtypes[PL_F16];
    if (half) pl_f32_to_f16_row(scale, bytes[1], rows * groups);
    else memcpy(bytes[1], scale, (size_t)(rows * groups) * 4);
    if (affine && half) pl_f32_to_f16_row(bias, bytes[2], rows * groups);
    else if (affine) memcpy(bytes[2], bias, (size_t)(rows * groups) * 4);
    for (int i = 0; i < p.nparts; i++) p.part[i].ptr = bytes[i];
    for (int64_t r = 0; r < rows; r++) {
        assert_ok(pl_packed_decode(&p, r, 1, values, NULL));
        for (int64_t c = 0; c < cols; c++) {
            int64_t g = r * groups + c / width;
            float code = (float)((r * 31 + c * 7 + c / 9) & ((1 << type.bits) - 1));
            float zero = type.symmetric ? (float)(1 << (type.bits - 1)) : bias[g];
            ck_assert_float_eq(values[c], affine ? code * scale[g] + bias[g] : (code - zero) * scale[g]);
        }
    }
}

START_TEST(formulas)
{
    static const int bits[] = { 2, 3, 4, 5, 6, 8 };
    for (int b = 0; b < PL_COUNT(bits); b++) {
        for (int group = 32; group <= 128; group *= 2) {
            check_values(pl_type_affine(bits[b], group, &pl_dtypes[PL_F32]), 3, 3 * group);
            check_values(pl_type_affine(bits[b], group, &pl_dtypes[PL_F16]), 1, 80 * group);    /* scales in two goes */
            check_values(pl_type_ints(bits[b], group, false, &pl_dtypes[PL_F16]), 2, 2 * group + 5);
        }
        check_values(pl_type_ints(bits[b], 0, true, &pl_dtypes[PL_F32]), 3, 2500);     /* groups longer than a piece */
        check_values(pl_type_ints(bits[b], 0, false, &pl_dtypes[PL_F32]), 2, 1);
    }
}
END_TEST

/* Words of MLX 0.32.4 for 4 bits, of values of which the lowest lies outside the levels by most of a step. */
START_TEST(known_answer)
{
    static const uint32_t words[8] = { 0x3af6c28e, 0x29f5b17d, 0x28e4a06c };
    const float scale = -0.1875f, bias = 1.5f;
    float values[64];
    pl_packed p;
    assert_ok(pl_packed_init(&p, pl_type_affine(4, 64, &pl_dtypes[PL_F32]), 1, 64));
    p.part[0].ptr = (const uint8_t *)words;
    p.part[1].ptr = (const uint8_t *)&scale;
    p.part[2].ptr = (const uint8_t *)&bias;
    assert_ok(pl_packed_decode(&p, 0, 1, values, NULL));
    for (int i = 0; i < 24; i++) {
        float w = (float)((37 * i + 11) % 97 - 48) / 32;
        ck_assert_float_eq_tol(values[i], w, 0.1875f);
    }
}
END_TEST

/* One number for all of a matrix beside scales of groups: value = code * (scale / number). */
START_TEST(global)
{
    const uint8_t codes[16] = { 0x21, 0x43 }, scales[2] = { 0x38, 0x40 };       /* 0.5 1 1.5 2 ...; 1 and 2 as E4M3 */
    const float factor = 8.0f;
    float values[32];
    pl_type type = pl_type_scaled(&pl_dtypes[PL_F4_E2M1], &pl_dtypes[PL_F8_E4M3], 1, 16);
    type.global = true;
    pl_packed p;
    assert_ok(pl_packed_init(&p, type, 1, 32));
    ck_assert_int_eq(p.nparts, 3);
    ck_assert_int_eq(p.part[2].bytes, 4);
    ck_assert_int_eq(p.part[2].stride, 0);
    p.part[0].ptr = codes;
    p.part[1].ptr = scales;
    p.part[2].ptr = (const uint8_t *)&factor;
    assert_ok(pl_packed_decode(&p, 0, 1, values, NULL));
    const float wanted[4] = { 0.0625f, 0.125f, 0.1875f, 0.25f };
    for (int i = 0; i < 32; i++) ck_assert_float_eq(values[i], i < 4 ? wanted[i] : 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { streams, names, layouts, formulas, known_answer, global };
    return run_suite("packed_groups", tests, PL_COUNT(tests));
}
