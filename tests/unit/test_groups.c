/* test_groups.c: affine types, mxfp4, mxfp8 and nvfp4: MLX's known answers, the search never worse than these, values
 * that cannot be stored. */
#include <check.h>
#include <float.h>
#include <math.h>

#include "core/half.h"
#include "tests/unit/groups_fixture.h"

enum { SEED = 61, PATTERNS = 12 };

static uint8_t best[BYTES], reference[BYTES];

static pl_type micro_type(int codes, int scales, int group)
{
    return pl_type_scaled(&pl_dtypes[codes], &pl_dtypes[scales], 1, group);
}

/* ---- what mlx.core.quantize gives ---- */

typedef struct known {
    pl_type type;
    uint32_t words[4], last;            /* of row 0; of row 1 */
    double error;                       /* sum of squares */
} known;

/* Words that are 0 are not looked at. */
static void check_known(const known *k)
{
    float from[128], decoded[128];
    uint32_t word;
    for (int i = 0; i < 128; i++) from[i] = (float)((37 * i + 11) % 97 - 48) / 32.0f;
    pl_packed p = encode(k->type, from, NULL, 2, 64, false, reference);
    for (int i = 0; i < 4 && k->words[i]; i++) {
        memcpy(&word, p.part[0].ptr + 4 * i, 4);
        ck_assert_msg(word == k->words[i], "%s: word %d is %08x", pl_type_name(&k->type), i, (unsigned)word);
    }
    memcpy(&word, p.part[0].ptr + p.part[0].bytes - 4, 4);
    if (k->last) ck_assert_msg(word == k->last, "%s: the last word is %08x", pl_type_name(&k->type), (unsigned)word);
    assert_ok(pl_packed_decode(&p, 0, 2, decoded, NULL));
    double error = 0.0;
    for (int i = 0; i < 128; i++) error += ((double)from[i] - (double)decoded[i]) * ((double)from[i] - (double)decoded[i]);
    ck_assert_msg(fabs(error / k->error - 1.0) < 1e-5, "%s: error %.9g", pl_type_name(&k->type), error);
}

START_TEST(known_answers)
{
    static const struct { int bits; uint32_t words[4], last; float scale[2]; double error; } affine[] = {
        { 2, { 0x6dcb6dcb, 0x2db72dcb, 0xdcb62db7 }, 0xb6dcb72d, { -.75f, -.734375f }, 10.858154 },
        { 3, { 0x2757bc67, 0xaa1e33ac, 0x13abde33 }, 0x7d5ef19d, { -.375f, -.3671875f }, 2.1957397 },
        { 4, { 0x3af6c28e, 0x29f5b17d, 0x28e4a06c }, 0x6c38e5a1, { -.1875f, -.20982143f }, .46584016 },
        { 5, { 0xfebc121c, 0xab09db3c, 0x01b92c7c }, 0x76cd3fae, { -.09375f, -.091796875f }, .10507584 },
        { 6, { 0xd7bc7839, 0x4775366f, 0x2a3ed3b0 }, 0x735325fd, { -.046875f, -.0458984375f }, .025544167 },
        { 8, { 0xbd1d80e3, 0x3598fb5b, 0xb01073d5 }, 0x70d43196, { -.01171875f, -.011474609f }, .0016317964 },
    };
    for (int i = 0; i < PL_COUNT(affine); i++) {
        known k = { .type = pl_type_affine(affine[i].bits, 64, &pl_dtypes[PL_F32]), .last = affine[i].last,
                    .error = affine[i].error };
        memcpy(k.words, affine[i].words, sizeof k.words);
        check_known(&k);
        float scale[4];                 /* and biases */
        memcpy(scale, reference + 16 * affine[i].bits, sizeof scale);
        for (int g = 0; g < 2; g++) ck_assert_float_eq_tol(scale[g], affine[i].scale[g], 1e-8f);
        ck_assert_float_eq(scale[2], 1.5f);
        ck_assert_float_eq(scale[3], 1.46875f);
    }
    static const uint8_t scales[][8] = { { 125, 125, 125, 125 }, { 39, 40, 40, 40, 39, 40, 39, 40 }, { 119, 119, 119, 119 } };
    const known micro[] = {
        { micro_type(PL_F4_E2M1, PL_F8_E8M0, 32), { 0x5af3d60e, 0x69f4c71e }, 0, 1.15625 },
        { micro_type(PL_F4_E2M1, PL_F8_E4M3, 16), { 0x6af4d60e, 0x69f5c71e }, 0, 1.0769653 },
        { micro_type(PL_F8_E4M3, PL_F8_E8M0, 32), { 0xf47900f9, 0x76e9fc6e }, 0, .084960938 },
    };
    for (int i = 0; i < PL_COUNT(micro); i++) {
        check_known(&micro[i]);
        ck_assert_mem_eq(reference + (i == 2 ? 128 : 64), scales[i], i == 1 ? 8 : 4);
    }
}
END_TEST

/* mxfp exponents are the next power of two, not the nearest. */
START_TEST(exponents)
{
    pl_type type = micro_type(PL_F4_E2M1, PL_F8_E8M0, 32);
    static const struct { float largest; uint8_t code; } cases[] = {
        { 6.0f, 127 }, { 6.000001f, 128 }, { 5.9f, 127 }, { 3.0f, 126 }, { 3.1f, 127 }, { 0.0f, 127 },
        { 6.0f * 0x1p-127f, 0 }, { 0x1p-140f, 0 }, { FLT_MAX, 253 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        for (int j = 0; j < 32; j++) w[j] = j == 7 ? -cases[i].largest : 0.0f;
        pl_packed p;
        assert_ok(pl_packed_init(&p, type, 1, 32));
        pl_group_rows r = { &p.type, &pl_dtypes[PL_F32], w, NULL, 1, 32, { reference, reference + 16, NULL } };
        pl_groups_encoder(&type, false)(&r);
        ck_assert_msg(reference[16] == cases[i].code, "%g: %d", (double)cases[i].largest, reference[16]);
    }
}
END_TEST

/* ---- the search ---- */

static float normal(uint64_t stream, uint64_t i) { return (float)pl_rng_normal(SEED, stream, i); }

static void fill(int pattern)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        float x = normal(1, i), per16 = normal(2, i / 16);
        switch (pattern) {
        case 0: w[i] = 0.02f * x; break;
        case 1: w[i] = 0.02f * x / sqrtf(0.1f + normal(3, i) * normal(3, i)); break;    /* heavy tails */
        case 2: w[i] = x * per16 * per16; break;
        case 3: w[i] = 20.0f + x; break;                        /* a bias far from zero */
        case 4: w[i] = -3.0f - x * x; break;
        case 5: w[i] = normal(2, i / 128); break;               /* constant groups */
        case 6: w[i] = i % 41 ? 0.0f : x; break;
        case 7: w[i] = 1e-7f * x; break;
        case 8: w[i] = i / 32 % 2 ? 1e-30f * x : 0.0f; break;   /* squares vanish; groups of zeros */
        case 9: w[i] = (float)((int)(i * 7 % 13) - 6) * 0.25f; break;
        case 10: w[i] = i % 2 ? 0.5f : -0.0f; break;
        default: w[i] = 300.0f * x; break;
        }
        w[i] = pl_bf16_to_f32(pl_f32_to_bf16(w[i]));
    }
}

static void check_not_worse(pl_type type, int pattern)
{
    fill(pattern);
    for (int kind = 0; kind < 3; kind++) {
        const float *importance = fill_importance(SEED, kind);
        pl_packed p = encode(type, w, importance, ROWS, COLS, true, best);
        assert_ok(pl_packed_decode(&p, 0, ROWS, value, NULL));
        p = encode(type, w, importance, ROWS, COLS, false, reference);
        assert_ok(pl_packed_decode(&p, 0, ROWS, again, NULL));
        for (int64_t i = 0; i < COUNT; i += type.group) {
            double theirs = error_of(again, importance, i, type.group), mine = error_of(value, importance, i, type.group);
            ck_assert_msg(mine <= theirs * (1.0 + 1e-12), "%s %s pattern %d importance %d group %d: %g, not %g",
                          pl_type_name(&type), type.scale->name, pattern, kind, (int)(i / type.group), mine, theirs);
        }
    }
}

START_TEST(never_more_error)
{
    static const int bits[] = { 2, 3, 4, 5, 6, 8 }, floats[] = { PL_F32, PL_F16, PL_BF16 };
    for (int pattern = 0; pattern < PATTERNS; pattern++) {
        for (int b = 0; b < PL_COUNT(bits); b++)
            for (int f = 0; f < PL_COUNT(floats); f++)
                check_not_worse(pl_type_affine(bits[b], 32 << ((b + f + pattern) % 3), &pl_dtypes[floats[f]]), pattern);
        check_not_worse(micro_type(PL_F4_E2M1, PL_F8_E8M0, 32), pattern);
        check_not_worse(micro_type(PL_F4_E2M1, PL_F8_E4M3, 16), pattern);
        check_not_worse(micro_type(PL_F8_E4M3, PL_F8_E8M0, 32), pattern);
    }
}
END_TEST

/* Squared error of the search against the reference's on weights of heavy tails in bf16, in hundredths. */
START_TEST(less_error)
{
    static const struct { int bits; double plain, weighted; } cases[] = {
        { 2, 72.3, 59.6 }, { 3, 73.3, 57.1 }, { 4, 79.9, 65.6 }, { 5, 78.8, 67.0 }, { 6, 80.0, 73.2 }, { 8, 50.6, 41.6 },
    };
    fill(1);
    for (int i = 0; i < PL_COUNT(cases); i++)
        for (int kind = 0; kind < 2; kind++) {
            pl_type type = pl_type_affine(cases[i].bits, 64, &pl_dtypes[PL_BF16]);
            const float *importance = fill_importance(SEED, kind);
            pl_packed p = encode(type, w, importance, ROWS, COLS, true, best);
            assert_ok(pl_packed_decode(&p, 0, ROWS, value, NULL));
            p = encode(type, w, importance, ROWS, COLS, false, reference);
            assert_ok(pl_packed_decode(&p, 0, ROWS, again, NULL));
            double part = 100.0 * error_of(value, importance, 0, COUNT) / error_of(again, importance, 0, COUNT);
            double expected = kind ? cases[i].weighted : cases[i].plain;
            ck_assert_msg(fabs(part - expected) < 1.0, "%d bits, importance %d: %.2f", cases[i].bits, kind, part);
        }
}
END_TEST

/* Values that were decoded from a type are found again, or nearly so. */
START_TEST(decoded_rows_stay)
{
    for (int bits = 2; bits <= 8; bits += bits == 6 ? 2 : 1) {
        pl_type type = pl_type_affine(bits, 64, &pl_dtypes[PL_F32]);
        double lost[2];
        fill(0);
        for (int round = 0; round < 2; round++) {
            pl_packed p = encode(type, w, NULL, ROWS, COLS, true, best);
            assert_ok(pl_packed_decode(&p, 0, ROWS, value, NULL));
            lost[round] = error_of(value, NULL, 0, COUNT);
            memcpy(w, value, sizeof w);
        }
        ck_assert_msg(lost[1] < (bits < 5 ? 1e-9 : 0.25) * lost[0], "%d bits: %g of %g", bits, lost[1], lost[0]);
    }
}
END_TEST

/* ---- rows: what cannot be stored ---- */

static pl_status encode_rows(pl_type type, pl_nonfinite *nonfinite, bool search, pl_packed *p)
{
    return encode_rows_to(type, (pl_mean_costs){ NULL, NULL }, nonfinite, search, best, p);
}

START_TEST(values_out_of_range)
{
    static const char affine[] = "tensor 'w' row 1 columns 64 to 127: values up to -4e+06 are too large for the scales of "
                                 "affine4-g64, bf16 would hold them";
    static const char nvfp4[] = "tensor 'w' row 1 columns 64 to 79: values up to -4e+06 are too large for the scales of "
                                "f4_e2m1 1x16, bf16 would hold them";
    pl_packed p;
    for (int search = 0; search < 2; search++) {
        fill(0);
        w[COLS + 70] = -4e6f;
        assert_fails(encode_rows(pl_type_affine(4, 64, &pl_dtypes[PL_F16]), NULL, search, &p), PL_E_INPUT, affine);
        assert_fails(encode_rows(micro_type(PL_F4_E2M1, PL_F8_E4M3, 16), NULL, search, &p), PL_E_INPUT, nvfp4);
        assert_ok(encode_rows(pl_type_affine(4, 64, &pl_dtypes[PL_BF16]), NULL, search, &p));
        assert_ok(encode_rows(micro_type(PL_F8_E4M3, PL_F8_E8M0, 32), NULL, search, &p));
        w[COLS + 70] = FLT_MAX;
        w[COLS + 71] = -FLT_MAX;
        assert_fails(encode_rows(pl_type_affine(4, 64, &pl_dtypes[PL_F32]), NULL, search, &p), PL_E_INPUT,
                     "are too large for the scales of affine4-g64");
        assert_ok(encode_rows(micro_type(PL_F4_E2M1, PL_F8_E8M0, 32), NULL, search, &p));
    }
}
END_TEST

START_TEST(values_not_finite)
{
    const pl_type types[] = { pl_type_affine(3, 32, &pl_dtypes[PL_F32]), pl_type_affine(4, 32, &pl_dtypes[PL_F16]),
                              pl_type_affine(5, 32, &pl_dtypes[PL_BF16]), micro_type(PL_F4_E2M1, PL_F8_E8M0, 32),
                              micro_type(PL_F4_E2M1, PL_F8_E4M3, 16), micro_type(PL_F8_E4M3, PL_F8_E8M0, 32) };
    pl_packed p;
    for (int i = 0; i < PL_COUNT(types); i++) {
        int64_t group = types[i].group;
        fill(0);
        for (int search = 0; search < 2; search++) {
            assert_ok(encode_rows(types[i], NULL, search, &p));
            assert_ok(pl_packed_decode(&p, 0, ROWS, again, NULL));
            pl_nonfinite found = { 0 };
            float kept[2] = { w[2 * COLS + 33], w[2 * COLS + 35] };
            w[2 * COLS + 33] = NAN;
            w[2 * COLS + 35] = -INFINITY;
            assert_fails(encode_rows(types[i], NULL, search, &p), PL_E_INPUT, "tensor 'w' row 2 column 33 is nan");
            assert_ok(encode_rows(types[i], &found, search, &p));
            ck_assert_int_eq(found.count, 2);
            assert_ok(pl_packed_decode(&p, 0, ROWS, value, NULL));
            int64_t first = (2 * COLS + 33) / group * group;
            for (int64_t j = 0; j < COUNT; j++) {
                if (j >= first && j < first + group) ck_assert(isnan(value[j]));
                else ck_assert(value[j] == again[j]);
            }
            w[2 * COLS + 33] = kept[0];
            w[2 * COLS + 35] = kept[1];
        }
    }
}
END_TEST

START_TEST(which_types)
{
    const pl_type none[] = { pl_type_affine(4, 64, NULL), pl_type_affine(7, 64, &pl_dtypes[PL_F16]),
                             pl_type_affine(4, 48, &pl_dtypes[PL_F16]), pl_type_plain(PL_Q4_0),
                             micro_type(PL_F4_E2M1, PL_F8_E8M0, 16) };
    for (int i = 0; i < PL_COUNT(none); i++) {
        ck_assert_int_eq(pl_groups_kind(&none[i]), -1);
        ck_assert_ptr_null(pl_groups_encoder(&none[i], true));
    }
    pl_type open = pl_type_affine(4, 64, NULL);
    static const struct { int weights, scales; } like[] = {
        { PL_F32, PL_F32 }, { PL_F16, PL_F16 }, { PL_BF16, PL_BF16 }, { PL_Q8_0, PL_BF16 },
    };
    for (int i = 0; i < PL_COUNT(like); i++)
        ck_assert_ptr_eq(pl_type_scales_like(open, &pl_dtypes[like[i].weights]).scale, &pl_dtypes[like[i].scales]);
    pl_type settled = pl_type_affine(4, 64, &pl_dtypes[PL_F32]), plain = pl_type_plain(PL_Q4_0);
    ck_assert_ptr_eq(pl_type_scales_like(settled, &pl_dtypes[PL_F16]).scale, &pl_dtypes[PL_F32]);
    ck_assert_ptr_null(pl_type_scales_like(plain, &pl_dtypes[PL_F16]).scale);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { known_answers, exponents, never_more_error, less_error, decoded_rows_stay,
                                   values_out_of_range, values_not_finite, which_types };
    return run_suite("groups", tests, PL_COUNT(tests));
}
