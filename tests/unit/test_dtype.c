/* test_dtype.c: 16-bit floats and element types: known answers, look-ups, non-finite values. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/dtype.h"
#include "core/half.h"

START_TEST(half_known_answers)
{
    static const struct { float x; uint16_t f16, bf16; } known[] = {
        { 0.0f, 0x0000, 0x0000 }, { -0.0f, 0x8000, 0x8000 }, { 1.0f, 0x3c00, 0x3f80 },
        { -2.5f, 0xc100, 0xc020 }, { 65504.0f, 0x7bff, 0x4780 }, { 65519.996f, 0x7bff, 0x4780 },
        { 65520.0f, 0x7c00, 0x4780 }, { 0x1p-14f, 0x0400, 0x3880 }, { 0x1p-24f, 0x0001, 0x3380 },
        { 0x1p-25f, 0x0000, 0x3300 }, { 0x1.000002p-25f, 0x0001, 0x3300 },
        { 0x1.8p-24f, 0x0002, 0x33c0 },
        { 1.00048828125f, 0x3c00, 0x3f80 }, { 1.00146484375f, 0x3c02, 0x3f80 },
        { 1.00390625f, 0x3c04, 0x3f80 }, { 1.01171875f, 0x3c0c, 0x3f82 },
        { 3.4e38f, 0x7c00, 0x7f80 }, { INFINITY, 0x7c00, 0x7f80 }, { -INFINITY, 0xfc00, 0xff80 },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        float x = known[i].x;
        ck_assert_msg(pl_f32_to_f16(x) == known[i].f16, "f16 of %g", (double)x);
        ck_assert_msg(pl_f32_to_bf16(x) == known[i].bf16, "bf16 of %g", (double)x);
    }
    ck_assert_uint_eq(pl_f32_to_f16(pl_bits_f32(0x7f800001)), 0x7e00);
    ck_assert_uint_eq(pl_f32_to_f16(pl_bits_f32(0xffc12345)), 0xfe00);
    ck_assert_uint_eq(pl_f32_to_bf16(pl_bits_f32(0x7f800001)), 0x7fc0);
    ck_assert_uint_eq(pl_f32_bits(pl_f16_to_f32(0x7c01)), 0x7fc02000);
}
END_TEST

START_TEST(half_round_trip)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float x = pl_f16_to_f32((uint16_t)h), b = pl_bf16_to_f32((uint16_t)h);
        if (!isnan(x)) ck_assert_uint_eq(pl_f32_to_f16(x), h);
        if (!isnan(b)) ck_assert_uint_eq(pl_f32_to_bf16(b), h);
    }
}
END_TEST

/* Scales of a block that are in no f16 field of their own. */
static void set_known_scales(int type, uint8_t *block)
{
    static const uint8_t nvfp4[4] = { 0x38, 0x40, 0x01, 0x7e };
    if (type == PL_MXFP4) block[0] = 128;
    if (type == PL_NVFP4) memcpy(block, nvfp4, 4);
}

/* Bytes (37 k + 11) mod 256 with every d 1.0 and every m 0.5. */
START_TEST(known_blocks)
{
    static const struct { int type; double first[3], middle, last, sum, squares; } known[] = {
        { PL_Q4_0, { -3, 2, 7 }, -3, 0, -21, 645 },
        { PL_Q4_1, { 15.5, 4.5, 9.5 }, 9.5, 12.5, 261, 2780 },
        { PL_Q5_0, { 9, -2, 3 }, 14, 1, 15, 2627 },
        { PL_Q5_1, { 19.5, 24.5, 29.5 }, 19.5, 5.5, 521, 11298 },
        { PL_Q8_0, { 85, 122, -97 }, -91, -48, -176, 190256 },
        { PL_Q2_K, { 33, 0, 11 }, 7.5, 4.5, 2059, 54476 },
        { PL_Q3_K, { 81, -108, 27 }, 2, 42, 958, 568706 },
        { PL_Q4_K, { 315.5, -25.5, 129.5 }, 423, 48.5, 54440, 24165220 },
        { PL_Q5_K, { 811.5, -25.5, 625.5 }, 1047, 108.5, 116216, 102828820 },
        { PL_Q6_K, { -1431, 1696, 583 }, -351, -60, 4612, 473900260 },
        { PL_TQ1_0, { -1, -1, -1 }, 0, -1, -2, 174 },
        { PL_TQ2_0, { 2, -1, 0 }, 2, -1, 129, 389 },
        { PL_MXFP4, { 0, 6, -2 }, 3, 6, 25, 1137 },
        { PL_NVFP4, { -6, 2, -0.5 }, -0.01171875, 224, 2467.966796875, 26744365.000522614 },
        { PL_Q1_0, { 1, -1, 1 }, 1, 1, 0, 128 },
        { PL_Q2_0, { 0, 0, 0 }, 0, 1, 30, 94 },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        const pl_dtype *dtype = &pl_dtypes[known[i].type];
        uint8_t block[256];
        float y[2][PL_MAX_BLOCK];
        for (int k = 0; k < dtype->bytes; k++) block[k] = (uint8_t)(37 * k + 11);
        for (int k = 0; k < 2; k++)
            if (dtype->scale_at[k] >= 0)
                memcpy(block + dtype->scale_at[k], &(uint16_t){ k ? 0x3800 : 0x3c00 }, 2);
        set_known_scales(known[i].type, block);
        dtype->decode(block, y[0], dtype->block);
        pl_decode(dtype, block, y[1], dtype->block);
        ck_assert_mem_eq(y[0], y[1], (size_t)dtype->block * sizeof y[0][0]);
        double sum = 0, squares = 0;
        for (int j = 0; j < dtype->block; j++) {
            sum += (double)y[0][j];
            squares += (double)y[0][j] * (double)y[0][j];
        }
        for (int j = 0; j < 3; j++) ck_assert_double_eq((double)y[0][j], known[i].first[j]);
        ck_assert_double_eq((double)y[0][dtype->block / 2], known[i].middle);
        ck_assert_double_eq((double)y[0][dtype->block - 1], known[i].last);
        ck_assert_double_eq(sum, known[i].sum);
        ck_assert_double_eq(squares, known[i].squares);
    }
}
END_TEST

/* Blocks of 0x00 are zeros, but for codes that begin below zero times a scale of zero. Blocks of 0xff
 * have NaN for scales where the type has a NaN. */
START_TEST(extreme_blocks)
{
    for (int type = PL_Q2_K; type <= PL_Q2_0; type++) {
        const pl_dtype *dtype = &pl_dtypes[type];
        uint8_t block[256];
        float y[2][PL_MAX_BLOCK];
        memset(block, 0, sizeof block);
        dtype->decode(block, y[0], dtype->block);
        pl_decode(dtype, block, y[1], dtype->block);
        for (int j = 0; j < dtype->block; j++)
            ck_assert_msg(y[0][j] == 0.0f && pl_f32_bits(y[0][j]) == pl_f32_bits(y[1][j]), "%s %d",
                          dtype->name, j);
        memset(block, 0xff, sizeof block);
        dtype->decode(block, y[0], dtype->block);
        pl_decode(dtype, block, y[1], dtype->block);
        for (int j = 0; j < dtype->block; j++) {
            if (type == PL_NVFP4) ck_assert(y[0][j] == -2880.0f && y[1][j] == -2880.0f);
            else ck_assert_msg(isnan(y[0][j]) && isnan(y[1][j]), "%s %d", dtype->name, j);
        }
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, block, dtype->block), 0);
    }
}
END_TEST

/* What the bits of an 8-bit float mean: sign, `exponent` bits with a bias, mantissa. */
static double minifloat(int code, int exponent, int bias)
{
    int mantissa = 7 - exponent, e = code >> mantissa & ((1 << exponent) - 1);
    double m = ldexp(code & ((1 << mantissa) - 1), -mantissa), sign = code & 128 ? -1.0 : 1.0;
    return sign * (e ? ldexp(1 + m, e - bias) : ldexp(m, 1 - bias));
}

/* Every scale byte of 4-bit floats: what it means, and whether the block counts as finite. */
START_TEST(four_bits)
{
    static const double e2m1[8] = { 0, 0.5, 1, 1.5, 2, 3, 4, 6 };
    for (int scale = 0; scale < 256; scale++) {
        uint8_t mx[17] = { (uint8_t)scale }, nv[36];
        float y[64];
        for (int j = 0; j < 16; j++) mx[1 + j] = (uint8_t)(j < 8 ? j | j << 4 : 0x77 & ~j);
        pl_decode(&pl_dtypes[PL_MXFP4], mx, y, 32);
        for (int j = 0; j < 8; j++) {
            double value = ldexp(e2m1[j], scale - 127);
            if (scale == 255) ck_assert(isnan(y[j]));
            else ck_assert(y[j] == (float)value && y[j + 16] == (float)value);
        }
        ck_assert_int_eq(pl_dtype_find_nonfinite(&pl_dtypes[PL_MXFP4], mx, 32), scale < 253 ? -1 : 0);
        memset(mx + 1, 0x2a, 16);
        ck_assert_int_eq(pl_dtype_find_nonfinite(&pl_dtypes[PL_MXFP4], mx, 32), scale < 255 ? -1 : 0);

        memset(nv, 0x7f, sizeof nv);            /* codes 15 and 7, -6 and 6 */
        memset(nv, 0x38, 4);
        nv[3] = (uint8_t)scale;
        double value = scale == 127 ? 0 : 6 * minifloat(scale & 127, 4, 7);
        pl_decode(&pl_dtypes[PL_NVFP4], nv, y, 64);
        ck_assert(y[0] == -6.0f && y[8] == 6.0f);
        ck_assert(y[48] == (float)-value && y[56] == (float)value);
        ck_assert_int_eq(pl_dtype_find_nonfinite(&pl_dtypes[PL_NVFP4], nv, 64),
                         (scale & 127) == 127 ? 0 : -1);
    }
}
END_TEST

static double value_of(int type, int code)
{
    if (type == PL_F8_E8M0) return code == 255 ? (double)NAN : ldexp(1, code - 127);
    if (type == PL_F8_E4M3) return (code & 127) == 127 ? (double)NAN : minifloat(code, 4, 7);
    if ((code & 124) == 124) return code & 3 ? (double)NAN : code & 128 ? -HUGE_VAL : HUGE_VAL;
    return minifloat(code, 5, 15);
}

/* All codes of every type, in one row and one at a time. */
START_TEST(eight_bits)
{
    for (int type = PL_F8_E4M3; type <= PL_F8_E8M0; type++) {
        const pl_dtype *dtype = &pl_dtypes[type];
        uint8_t codes[256 + 13];
        float row[256 + 13], plain[256 + 13], one;
        for (int i = 0; i < PL_COUNT(codes); i++) codes[i] = (uint8_t)i;
        pl_decode(dtype, codes, row, PL_COUNT(codes));
        dtype->decode(codes, plain, PL_COUNT(codes));
        for (int i = 0; i < PL_COUNT(codes); i++) {
            double expected = value_of(type, i & 255);
            pl_decode(dtype, codes + i, &one, 1);
            ck_assert(pl_f32_bits(one) == pl_f32_bits(plain[i]));
            if (isnan(expected)) {
                ck_assert(isnan(row[i]) && isnan(plain[i]));
                continue;
            }
            ck_assert_msg(pl_f32_bits(row[i]) == pl_f32_bits((float)expected) &&
                          pl_f32_bits(plain[i]) == pl_f32_bits((float)expected),
                          "%s code %d is %g, not %g", dtype->name, i & 255, (double)row[i], expected);
        }
    }
}
END_TEST

START_TEST(eight_bits_known_answers)
{
    static const struct { int type, code; double value; } known[] = {
        { PL_F8_E4M3, 0x00, 0 },        { PL_F8_E4M3, 0x01, 0x1p-9 },  { PL_F8_E4M3, 0x07, 0x1.cp-7 },
        { PL_F8_E4M3, 0x08, 0x1p-6 },   { PL_F8_E4M3, 0x38, 1 },       { PL_F8_E4M3, 0x7e, 448 },
        { PL_F8_E4M3, 0xb8, -1 },       { PL_F8_E4M3, 0xfe, -448 },    { PL_F8_E4M3, 0x78, 256 },
        { PL_F8_E5M2, 0x01, 0x1p-16 },  { PL_F8_E5M2, 0x04, 0x1p-14 }, { PL_F8_E5M2, 0x3c, 1 },
        { PL_F8_E5M2, 0x7b, 57344 },    { PL_F8_E5M2, 0xc5, -5 },      { PL_F8_E5M2, 0x7c, HUGE_VAL },
        { PL_F8_E8M0, 0x00, 0x1p-127 }, { PL_F8_E8M0, 0x7f, 1 },       { PL_F8_E8M0, 0xfe, 0x1p127 },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        float x;
        pl_decode(&pl_dtypes[known[i].type], &(uint8_t){ (uint8_t)known[i].code }, &x, 1);
        ck_assert_msg((double)x == known[i].value, "%s %02x is %g", pl_dtypes[known[i].type].name,
                      known[i].code, (double)x);
    }
}
END_TEST

/* All pairs of four bits: the first value is in the low ones. */
START_TEST(pairs_of_four_bits)
{
    static const float values[8] = { 0, 0.5f, 1, 1.5f, 2, 3, 4, 6 };
    const pl_dtype *dtype = pl_dtype_by_safetensors("F4");
    ck_assert_ptr_eq(dtype, &pl_dtypes[PL_F4_E2M1]);
    for (int i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        float pair[2];
        pl_decode(dtype, &byte, pair, 2);
        for (int k = 0; k < 2; k++) {
            int code = i >> (4 * k) & 15;
            ck_assert_float_eq(pair[k], code & 8 ? -values[code & 7] : values[code & 7]);
        }
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, &byte, 2), -1);
    }
    ck_assert_ptr_null(pl_dtypes[PL_U32].decode);
    ck_assert_ptr_null(pl_dtype_find("u32"));           /* no weights */
    ck_assert_ptr_null(pl_dtype_by_safetensors("U8"));
}
END_TEST

START_TEST(table)
{
    for (int i = 0; i < PL_DTYPES_READ; i++) {
        const pl_dtype *dtype = &pl_dtypes[i];
        ck_assert_ptr_eq(pl_dtype_find(dtype->name), dtype);
        if (dtype->gguf_id >= 0) {
            ck_assert_ptr_eq(pl_dtype_by_gguf(dtype->gguf_id), dtype);
            ck_assert_str_eq(pl_dtype_gguf_name(dtype->gguf_id), dtype->name);
        }
        if (dtype->safetensors)
            ck_assert_ptr_eq(pl_dtype_by_safetensors(dtype->safetensors), dtype);
        int64_t bytes;
        ck_assert_int_eq(pl_dtype_row_bytes(dtype, 512, &bytes), PL_OK);
        ck_assert_int_eq(bytes, 512 / dtype->block * dtype->bytes);
        ck_assert_int_le(dtype->block, PL_MAX_BLOCK);
        ck_assert_int_eq(pl_dtype_row_bytes(dtype, -512, &bytes), PL_E_WISH);
    }
    ck_assert_ptr_eq(pl_dtype_find("Q8_0"), &pl_dtypes[PL_Q8_0]);
    ck_assert_ptr_null(pl_dtype_find("q8"));
    ck_assert_ptr_null(pl_dtype_by_gguf(-1));
    ck_assert_ptr_null(pl_dtype_by_gguf(9));        /* q8_1: activations only */
    ck_assert_ptr_null(pl_dtype_by_safetensors("f32"));
    ck_assert_str_eq(pl_dtype_gguf_name(12), "q4_k");
    static const int unknown[] = { -1, 4, 5, 31, 32, 33, 36, 37, 38, 43, 44, 1000 };
    for (int i = 0; i < PL_COUNT(unknown); i++) ck_assert_ptr_null(pl_dtype_gguf_name(unknown[i]));
}
END_TEST

START_TEST(row_bytes_limits)
{
    int64_t bytes;
    ck_assert_int_eq(pl_dtype_row_bytes(&pl_dtypes[PL_Q4_0], 100, &bytes), PL_E_WISH);
    ck_assert_ptr_nonnull(strstr(pl_error(), "q4_0"));
    ck_assert_ptr_nonnull(strstr(pl_error(), "100"));
    ck_assert_int_eq(pl_dtype_row_bytes(&pl_dtypes[PL_F32], INT64_MAX, &bytes), PL_E_INPUT);
    ck_assert_int_eq(pl_dtype_row_bytes(&pl_dtypes[PL_Q8_0], INT64_MAX - 31, &bytes), PL_E_INPUT);
    ck_assert_int_eq(pl_dtype_row_bytes(&pl_dtypes[PL_Q8_0], 0, &bytes), PL_OK);
    ck_assert_int_eq(bytes, 0);
}
END_TEST

/* A bad value or scale at every block of a row, at odd addresses too. */
START_TEST(nonfinite)
{
    static const uint16_t bad[] = { 0x7c00, 0xfc00, 0x7e00, 0x7c01 };
    enum { BLOCKS = 40 };
    for (int t = 0; t < PL_DTYPES_READ; t++) {
        const pl_dtype *dtype = &pl_dtypes[t];
        if (t == PL_F4_E2M1) continue;          /* all its values are finite */
        int blocks = dtype->block == 1 ? 3000 : BLOCKS;
        uint8_t *memory = calloc((size_t)blocks + 1, (size_t)dtype->bytes);
        ck_assert_ptr_nonnull(memory);
        uint8_t *bytes = memory + 1;
        int64_t count = (int64_t)blocks * dtype->block;
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, bytes, count), -1);
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, bytes, 0), -1);
        for (int b = 0; b < blocks; b += dtype->block == 1 ? 97 : 1) {
            uint8_t *block = bytes + (int64_t)b * dtype->bytes;
            if (t == PL_F32) memcpy(block, &(uint32_t){ b % 2 ? 0xff800000 : 0x7f800001 }, 4);
            else if (t == PL_BF16) memcpy(block, &(uint16_t){ 0x7f80 }, 2);
            else if (t == PL_F16) memcpy(block, &bad[b % 4], 2);
            else if (t == PL_F8_E4M3) *block = b % 2 ? 0x7f : 0xff;
            else if (t == PL_F8_E5M2) *block = (uint8_t)(b % 2 ? 0xfc : 0x7d);
            else if (t == PL_F8_E8M0) *block = 0xff;
            else if (t == PL_MXFP4) block[0] = 255;
            else if (t == PL_NVFP4) block[b % 4] = (uint8_t)(b % 8 < 4 ? 0x7f : 0xff);
            else if (t == PL_IQ1_M) memset(block + 48, 0xf0, 8);
            else memcpy(block + dtype->scale_at[dtype->scale_at[1] >= 0 ? b % 2 : 0], &bad[b % 4], 2);
            int64_t first = (int64_t)b * dtype->block;
            ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, bytes, count), first);
            ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, bytes, first), -1);
            memset(block, 0, (size_t)dtype->bytes);
        }
        free(memory);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dtype");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, half_known_answers);
    tcase_add_test(tcase, half_round_trip);
    tcase_add_test(tcase, known_blocks);
    tcase_add_test(tcase, pairs_of_four_bits);
    tcase_add_test(tcase, extreme_blocks);
    tcase_add_test(tcase, four_bits);
    tcase_add_test(tcase, eight_bits);
    tcase_add_test(tcase, eight_bits_known_answers);
    tcase_add_test(tcase, table);
    tcase_add_test(tcase, row_bytes_limits);
    tcase_add_test(tcase, nonfinite);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
