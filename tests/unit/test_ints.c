/* test_ints.c: whole numbers with a scale for each group, with and without zero points, and 8-bit floats with one for each
 * row: known answers, the search never worse than these, rows of one group and of any length, values that cannot be
 * stored. */
#include <check.h>
#include <math.h>

#include "core/half.h"
#include "tests/unit/groups_fixture.h"

enum { SEED = 67, PATTERNS = 7 };

static uint8_t mine[BYTES], reference[BYTES];

/* Multiples of the scale stay: the code of the largest positive one is 7, for which 7.5 stand in the scale's rule. */
START_TEST(known_answers)
{
    float from[64], scale;
    uint8_t codes[64];
    for (int i = 0; i < 64; i++) from[i] = (float)(i % 16 - 8) * 0.25f;
    pl_packed p = encode(pl_type_ints(4, 32, true, &pl_dtypes[PL_F32]), from, NULL, 1, 64, false, reference);
    memcpy(&scale, p.part[1].ptr, 4);
    ck_assert(scale == 2.0f / 7.5f);
    pl_bits_unpack(p.part[0].ptr, 64, 4, codes);
    for (int i = 0; i < 64; i++) {
        float y = rintf(fminf(from[i] / scale, 7.0f));
        ck_assert_int_eq(codes[i], (int)y + 8);
    }
    /* the search finds that nothing need be lost */
    p = encode(p.type, from, NULL, 1, 64, true, mine);
    memcpy(&scale, p.part[1].ptr, 4);
    ck_assert_float_eq(fabsf(scale), 0.25f);
    assert_ok(pl_packed_decode(&p, 0, 1, value, NULL));
    ck_assert_mem_eq(value, from, sizeof from);
}
END_TEST

/* 0 .. 15 times the scale less an offset: the range of the values is that of the codes. */
START_TEST(known_zero_points)
{
    float from[64], scale[2];
    uint8_t codes[64];
    for (int i = 0; i < 64; i++) from[i] = (float)(i % 16 - (i < 32 ? 3 : 12)) * 0.25f;
    pl_packed p = encode(pl_type_ints(4, 32, false, &pl_dtypes[PL_F32]), from, NULL, 1, 64, false, reference);
    memcpy(scale, p.part[1].ptr, sizeof scale);
    ck_assert(scale[0] == 0.25f && scale[1] == 0.25f);
    ck_assert_int_eq(p.part[2].ptr[0], 3);
    ck_assert_int_eq(p.part[2].ptr[1], 12);
    pl_bits_unpack(p.part[0].ptr, 64, 4, codes);
    for (int i = 0; i < 64; i++) ck_assert_int_eq(codes[i], i % 16);
    for (int i = 0; i < 32; i++) from[i] = (float)(i % 16);             /* no value below zero */
    p = encode(p.type, from, NULL, 1, 32, false, reference);
    ck_assert_int_eq(p.part[2].ptr[0], 0);
    p = encode(p.type, from, NULL, 1, 32, true, mine);                  /* mirrored, as no zero point is to be 0 */
    memcpy(scale, p.part[1].ptr, sizeof *scale);
    ck_assert_float_eq(scale[0], -1.0f);
    ck_assert_int_eq(p.part[2].ptr[0], 15);
    assert_ok(pl_packed_decode(&p, 0, 1, value, NULL));
    for (int i = 0; i < 32; i++) ck_assert_float_eq(value[i], from[i]);
}
END_TEST

/* Levels of e4m3 times the scale: the largest is 448. */
START_TEST(known_floats)
{
    static const float level[8] = { 448.0f, -416.0f, 1.125f, 0.0f, -0x1p-9f, 0x1.cp-7f, 240.0f, 3.25f };
    static const uint8_t code[8] = { 0x7e, 0xfd, 0x39, 0x00, 0x81, 0x07, 0x77, 0x45 };
    const pl_type type = pl_type_scaled(&pl_dtypes[PL_F8_E4M3], &pl_dtypes[PL_F32], 1, 0);
    float from[40], scale;
    for (int i = 0; i < 40; i++) from[i] = level[i % 8] * 0.25f;
    for (int search = 0; search < 2; search++) {
        pl_packed p = encode(type, from, NULL, 1, 40, search, mine);
        memcpy(&scale, p.part[1].ptr, 4);
        ck_assert_float_eq(scale, 0.25f);
        for (int i = 0; i < 40; i++) ck_assert_int_eq(p.part[0].ptr[i], code[i % 8]);
        assert_ok(pl_packed_decode(&p, 0, 1, value, NULL));
        ck_assert_mem_eq(value, from, sizeof from);
    }
}
END_TEST

START_TEST(zeros)
{
    static const struct { int dtype; float scale; } cases[] = {
        { PL_F32, 0x1p-23f }, { PL_F16, 0x1p-10f }, { PL_BF16, 0x1p-7f },
    };
    memset(w, 0, sizeof w);
    for (int i = 0; i < PL_COUNT(cases); i++)
        for (int search = 0; search < 2; search++) {
            const pl_dtype *dtype = &pl_dtypes[cases[i].dtype];
            float scale;
            pl_packed p = encode(pl_type_ints(4, 32, true, dtype), w, NULL, 1, 32, search, mine);
            dtype->decode(p.part[1].ptr, &scale, 1);
            ck_assert_float_eq(scale, cases[i].scale);
            for (int j = 0; j < 16; j++) ck_assert_int_eq(p.part[0].ptr[j], 0x88);
            p = encode(pl_type_ints(4, 32, false, dtype), w, NULL, 1, 32, search, mine);
            ck_assert_int_eq(p.part[2].ptr[0], 8);
            for (int j = 0; j < 16; j++) ck_assert_int_eq(p.part[0].ptr[j], 0x88);
            p = encode(pl_type_scaled(&pl_dtypes[PL_F8_E4M3], dtype, 1, 0), w, NULL, 1, 32, search, mine);
            dtype->decode(p.part[1].ptr, &scale, 1);
            ck_assert_float_eq(scale, cases[i].scale);
            for (int j = 0; j < 32; j++) ck_assert_int_eq(p.part[0].ptr[j], 0);
        }
}
END_TEST

static float normal(uint64_t stream, uint64_t i) { return (float)pl_rng_normal(SEED, stream, i); }

static void fill(int pattern, const pl_dtype *floats)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        float x = normal(1, i);
        switch (pattern) {
        case 0: w[i] = 0.02f * x; break;
        case 1: w[i] = 0.02f * x / sqrtf(0.1f + normal(3, i) * normal(3, i)); break;    /* heavy tails */
        case 2: w[i] = fabsf(x); break;
        case 3: w[i] = i % 41 ? 0.0f : x; break;
        case 4: w[i] = i / 32 % 2 ? 1e-30f * x : 0.0f; break;                           /* squares vanish */
        case 5: w[i] = (float)((int)(i * 7 % 13) - 6) * 0.25f; break;
        default: w[i] = 300.0f * x; break;
        }
        if (floats == &pl_dtypes[PL_F16]) w[i] = pl_f16_to_f32(pl_f32_to_f16(w[i]));
        if (floats == &pl_dtypes[PL_BF16]) w[i] = pl_bf16_to_f32(pl_f32_to_bf16(w[i]));
    }
}

static void encode_both(pl_type type, const float *importance)
{
    pl_packed p = encode(type, w, importance, ROWS, COLS, true, mine);
    assert_ok(pl_packed_decode(&p, 0, ROWS, value, NULL));
    p = encode(type, w, importance, ROWS, COLS, false, reference);
    assert_ok(pl_packed_decode(&p, 0, ROWS, again, NULL));
}

/* In no group; and no zero point is 0. */
static void check_groups(pl_type type, const float *importance, int pattern)
{
    int64_t width = type.group ? type.group : COLS;
    encode_both(type, importance);
    for (int64_t i = 0; i < COUNT; i += width) {
        double theirs = error_of(again, importance, i, width), ours = error_of(value, importance, i, width);
        ck_assert_msg(ours <= theirs * (1.0 + 1e-12), "%s %s pattern %d group %d: %g, not %g", pl_type_name(&type),
                      type.scale->name, pattern, (int)(i / width), ours, theirs);
    }
    pl_packed p;
    assert_ok(pl_packed_init(&p, type, ROWS, COLS));
    for (int64_t i = 0; p.nparts > 2 && i < p.part[2].bytes; i++)
        ck_assert_int_ne(mine[p.part[0].bytes + p.part[1].bytes + i], 0);
}

START_TEST(never_more_error)
{
    static const int bits[] = { 2, 3, 4, 8 }, floats[] = { PL_F32, PL_F16, PL_BF16 }, groups[] = { 0, 32, 64, 128 };
    for (int pattern = 0; pattern < PATTERNS; pattern++)
        for (int f = 0; f < PL_COUNT(floats); f++) {
            const pl_dtype *scale = &pl_dtypes[floats[f]];
            const float *importance = fill_importance(SEED, pattern % 3);
            fill(pattern, scale);
            check_groups(pl_type_scaled(&pl_dtypes[PL_F8_E4M3], scale, 1, 0), importance, pattern);
            for (int b = 0; b < PL_COUNT(bits); b++)
                for (int zero = 0; zero < 2; zero++)
                    check_groups(pl_type_ints(bits[b], groups[(b + f + pattern) % 4], !zero, scale), importance, pattern);
        }
}
END_TEST

/* Squared error of the search against the reference's on weights of heavy tails in bf16, in hundredths. */
START_TEST(less_error)
{
    static const struct { int bits, group; bool zeros; double plain, weighted; } cases[] = {
        { 2, 32, false, 51.8, 42.6 }, { 3, 64, false, 61.4, 51.5 }, { 4, 128, false, 74.8, 66.3 },
        { 8, 0, false, 87.3, 81.8 },  { 2, 32, true, 73.6, 60.4 },  { 3, 64, true, 81.3, 68.3 },
        { 4, 128, true, 86.5, 72.8 }, { 8, 0, true, 83.4, 81.8 },
    };
    fill(1, &pl_dtypes[PL_BF16]);
    for (int i = 0; i < PL_COUNT(cases); i++)
        for (int kind = 0; kind < 2; kind++) {
            const float *importance = fill_importance(SEED, kind);
            encode_both(pl_type_ints(cases[i].bits, cases[i].group, !cases[i].zeros, &pl_dtypes[PL_BF16]), importance);
            double part = 100.0 * error_of(value, importance, 0, COUNT) / error_of(again, importance, 0, COUNT);
            double expected = kind ? cases[i].weighted : cases[i].plain;
            ck_assert_msg(fabs(part - expected) < 1.0, "%d bits, zeros %d, importance %d: %.2f", cases[i].bits,
                          cases[i].zeros, kind, part);
        }
}
END_TEST

/* Rows of any length with one scale each: streams begin at whole words. */
START_TEST(odd_rows)
{
    enum { ODD = 37 };
    fill(0, &pl_dtypes[PL_F32]);
    for (int bits = 2; bits <= 8; bits++) {
        pl_type type = pl_type_ints(bits, 0, bits % 2, &pl_dtypes[PL_F32]);
        pl_packed all, one;
        if (bits == 7) continue;
        all = encode(type, w, NULL, 3, ODD, true, mine);
        assert_ok(pl_packed_decode(&all, 0, 3, value, NULL));
        for (int r = 0; r < 3; r++) {
            one = encode(type, w + r * ODD, NULL, 1, ODD, true, reference);
            assert_ok(pl_packed_decode(&one, 0, 1, again, NULL));
            ck_assert_mem_eq(again, value + r * ODD, ODD * sizeof *value);
            ck_assert_mem_eq(one.part[0].ptr, all.part[0].ptr + r * all.part[0].stride, (size_t)all.part[0].stride);
        }
        ck_assert_double_lt(error_of(value, NULL, 0, 3 * ODD), 0.3 * error_of((float[3 * ODD]){ 0 }, NULL, 0, 3 * ODD));
    }
}
END_TEST

/* ---- rows: what cannot be stored ---- */

static pl_status encode_rows(pl_type type, pl_nonfinite *nonfinite, bool search, pl_packed *p)
{
    return encode_rows_to(type, (pl_mean_costs){ h, h }, nonfinite, search, mine, p);
}

START_TEST(values_out_of_range)
{
    static const struct { int group; const char *place; } cases[] = { { 64, "64 to 127" }, { 0, "0 to 383" } };
    pl_packed p;
    fill(0, &pl_dtypes[PL_F32]);
    w[COLS + 70] = -4e6f;
    for (int i = 0; i < PL_COUNT(cases); i++)
        for (int search = 0; search < 2; search++) {
            char text[120];
            snprintf(text, sizeof text, "tensor 'w' row 1 columns %s: values up to -4e+06 are too large for the scales of int4",
                     cases[i].place);
            assert_fails(encode_rows(pl_type_ints(4, cases[i].group, true, &pl_dtypes[PL_F16]), NULL, search, &p), PL_E_INPUT,
                         text);
            assert_ok(encode_rows(pl_type_ints(4, cases[i].group, true, &pl_dtypes[PL_BF16]), NULL, search, &p));
        }
}
END_TEST

START_TEST(values_not_finite)
{
    for (int i = 0; i < 6; i++) {
        const pl_dtype *scale = &pl_dtypes[i % 2 ? PL_F16 : PL_F32];
        pl_type type = pl_type_ints(i % 2 ? 3 : 8, i < 2 ? 0 : 64, i < 3, scale);
        if (i > 3) type = pl_type_scaled(&pl_dtypes[PL_F8_E4M3], scale, 1, 0);
        int64_t width = type.group ? type.group : COLS, first = (2 * COLS + 133) / width * width;
        pl_nonfinite found = { 0 };
        pl_packed p;
        fill(0, &pl_dtypes[PL_F16]);
        assert_ok(encode_rows(type, NULL, true, &p));
        assert_ok(pl_packed_decode(&p, 0, ROWS, again, NULL));
        w[2 * COLS + 133] = NAN;
        assert_fails(encode_rows(type, NULL, true, &p), PL_E_INPUT, "tensor 'w' row 2 column 133 is nan");
        assert_ok(encode_rows(type, &found, true, &p));
        ck_assert_int_eq(found.count, 1);
        assert_ok(pl_packed_decode(&p, 0, ROWS, value, NULL));
        for (int64_t j = 0; j < COUNT; j++) {
            if (j >= first && j < first + width) ck_assert(isnan(value[j]));
            else ck_assert(value[j] == again[j]);
        }
    }
}
END_TEST

START_TEST(which_types)
{
    const pl_type none[] = {
        pl_type_ints(4, 64, true, NULL), pl_type_ints(4, 48, true, &pl_dtypes[PL_F16]),
        pl_type_ints(1, 64, false, &pl_dtypes[PL_F16]), pl_type_scaled(&pl_dtypes[PL_F8_E4M3], NULL, 1, 0),
        pl_type_scaled(&pl_dtypes[PL_F8_E4M3], &pl_dtypes[PL_F16], 0, 0),
        pl_type_scaled(&pl_dtypes[PL_F8_E5M2], &pl_dtypes[PL_F16], 1, 0),
    };
    for (int i = 0; i < PL_COUNT(none); i++) ck_assert_int_eq(pl_groups_kind(&none[i]), -1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { known_answers, known_zero_points, known_floats, zeros, never_more_error, less_error,
                                   odd_rows, values_out_of_range, values_not_finite, which_types };
    return run_suite("ints", tests, PL_COUNT(tests));
}
