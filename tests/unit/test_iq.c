/* test_iq.c: the IQ types: the grids' digests, known blocks, bad scales. */
#include <math.h>

#include "core/dtype.h"
#include "core/iq_grids.h"
#include "tests/unit/run.h"

/* ---- SHA-256, for the digests of the grids ---- */

static uint32_t turn(uint32_t x, int by) { return x >> by | x << (32 - by); }

/* The first 32 bits of the fractional part of p^(1/root), p a small prime. */
static uint32_t fraction(int prime, int root)
{
    long double x = root == 2 ? sqrtl((long double)prime) : cbrtl((long double)prime);
    return (uint32_t)((x - floorl(x)) * 4294967296.0L);
}

static int next_prime(int p)
{
    for (int d = 2; d < p; d++)
        if (p % d == 0) return next_prime(p + 1);
    return p;
}

static void sha256_block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, h, sizeof s);
    for (int i = 0, prime = 2; i < 64; i++, prime = next_prime(prime + 1)) {
        uint32_t a = s[0], e = s[4];
        uint32_t first = s[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & s[5]) ^ (~e & s[6])) +
                         fraction(prime, 3) + w[i];
        uint32_t second = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += first;
        s[0] = first + second;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}

/* First 8 bytes of the digest of `len` bytes, a multiple of 64, as a number. */
static uint64_t sha256(const void *data, size_t len)
{
    uint32_t h[8];
    uint8_t end[64] = { 0x80 };
    for (int i = 0, prime = 2; i < 8; i++, prime = next_prime(prime + 1)) h[i] = fraction(prime, 2);
    for (size_t at = 0; at < len; at += 64) sha256_block(h, (const uint8_t *)data + at);
    for (int i = 0; i < 8; i++) end[63 - i] = (uint8_t)((uint64_t)len * 8 >> 8 * i);
    sha256_block(h, end);
    return (uint64_t)h[0] << 32 | h[1];
}

/* ---- grids ---- */

START_TEST(grids)
{
    const pl_iq_grids *g = pl_iq_grids_get();
    const struct { const int8_t *at; int rows, width, sum; int8_t last[8]; uint64_t digest; } known[] = {
        { g->iq2_xxs[0], 256, 8, 38611, { 8, 25, 8, 8, 25, 43, 43, 43 }, 0x05826b5d3e472a3a },
        { g->iq2_xs[0], 512, 8, 81582, { 43, 43, 43, 43, 43, 43, 43, 43 }, 0x06e47aaca60b4dc1 },
        { g->iq2_s[0], 1024, 8, 167589, { 43, 43, 43, 43, 43, 43, 43, 43 }, 0xe1aa1473412b0552 },
        { g->iq3_xxs[0], 256, 4, 25592, { 4, 28, 52, 62 }, 0x46e35f5a997efdee },
        { g->iq3_s[0], 512, 4, 12748, { 1, 1, 15, 15 }, 0xbd1af4945a1717c6 },
        { g->iq1_s[0], 2048, 8, -15, { 1, 1, 1, 1, 1, 1, 1, 1 }, 0x07540ffc1aeaf6ad },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        int sum = 0, count = known[i].rows * known[i].width;
        for (int j = 0; j < count; j++) sum += known[i].at[j];
        ck_assert_int_eq(sum, known[i].sum);
        ck_assert_mem_eq(known[i].at + count - known[i].width, known[i].last, (size_t)known[i].width);
        ck_assert_uint_eq(sha256(known[i].at, (size_t)count), known[i].digest);
    }
    ck_assert_ptr_eq(pl_iq_grids_get(), g);
}
END_TEST

START_TEST(signs)
{
    for (uint32_t a = 0; a < 128; a++) {
        uint32_t b = a * 29 % 128, c = 127 - a, d = a * 83 % 128;
        uint32_t bytes = pl_iq_signs(a | b << 7 | c << 14 | d << 21 | a << 28);
        const uint32_t codes[4] = { a, b, c, d };
        for (int l = 0; l < 4; l++) {
            uint32_t byte = bytes >> 8 * l & 255;
            ck_assert_uint_eq(byte & 127, codes[l]);
            ck_assert_int_eq(__builtin_popcount(byte) % 2, 0);
        }
    }
}
END_TEST

/* ---- blocks ---- */

/* d as f16 */
static void set_scale(int type, uint8_t *block, uint16_t f16)
{
    if (type == PL_IQ1_M)
        for (int w = 0; w < 4; w++)
            block[49 + 2 * w] = (uint8_t)((block[49 + 2 * w] & 15) | (f16 >> 4 * w & 15) << 4);
    else memcpy(block, &f16, 2);
}

static void decode_both(int type, const uint8_t *block, float y[256])
{
    float fast[256];
    const pl_dtype *dtype = &pl_dtypes[type];
    dtype->decode(block, y, dtype->block);
    pl_decode(dtype, block, fast, dtype->block);
    ck_assert_mem_eq(y, fast, (size_t)dtype->block * 4);
}

/* Bytes (37 k + 11) mod 256, all 0 and all 255, each with d = 1. */
START_TEST(known_blocks)
{
    static const struct {
        int type;
        double first[3], middle, last, sum, squares;
        double zeros, ones[8];          /* each value of all zeros; the first eight of all ones */
    } known[] = {
        { PL_IQ2_XXS, { -59.125, 59.125, 34.375 }, -96.875, -80.625, 763.75, 770564.1875,
          1, { -31, -96.875, -31, -31, -96.875, -166.625, -166.625, -166.625 } },
        { PL_IQ2_XS, { -11, 34.375, -11 }, -19, -19, 1490.5, 822661.8125,
          1, { -166.625, -166.625, -166.625, -166.625, -166.625, -166.625, -166.625, -166.625 } },
        { PL_IQ2_S, { -145.125, 84.375, -27 }, -9.375, 78.125, -800.625, 678246.046875,
          1, { -166.625, -166.625, -166.625, -166.625, -166.625, -166.625, -166.625, -166.625 } },
        { PL_IQ3_XXS, { -13, 9, -7 }, -55, -15, -684, 3704470.5,
          1, { -31, -217, -403, -480.5, -31, -217, -403, -480.5 } },
        { PL_IQ3_S, { -81, 243, -351 }, -105, 225, 1456, 5396216,
          1, { -31, -31, -465, -465, -31, -31, -465, -465 } },
        { PL_IQ1_S, { -2.625, 0.375, 3.375 }, -7.875, -4.375, 20, 13116,
          -0.875, { 13.125, 13.125, 13.125, 13.125, 13.125, 13.125, 13.125, 13.125 } },
        { PL_IQ1_M, { -0.875, 6.125, -0.875 }, 1.875, -1.875, 41, 10723.75,
          -0.875, { 13.125, 13.125, 13.125, 13.125, 13.125, 13.125, 13.125, 13.125 } },
        { PL_IQ4_NL, { -35, 25, 113 }, -35, 1, -257, 134293,
          -127, { 113, 113, 113, 113, 113, 113, 113, 113 } },
        { PL_IQ4_XS, { 65, -1, -69 }, -585, -16, -11005, 242991357,
          4064, { 3503, 3503, 3503, 3503, 3503, 3503, 3503, 3503 } },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        const pl_dtype *dtype = &pl_dtypes[known[i].type];
        uint8_t block[256];
        float y[256];
        for (int k = 0; k < dtype->bytes; k++) block[k] = (uint8_t)(37 * k + 11);
        set_scale(known[i].type, block, 0x3c00);
        decode_both(known[i].type, block, y);
        double sum = 0, squares = 0;
        for (int j = 0; j < dtype->block; j++) {
            sum += (double)y[j];
            squares += (double)y[j] * (double)y[j];
        }
        for (int j = 0; j < 3; j++) ck_assert_double_eq((double)y[j], known[i].first[j]);
        ck_assert_double_eq((double)y[dtype->block / 2], known[i].middle);
        ck_assert_double_eq((double)y[dtype->block - 1], known[i].last);
        ck_assert_double_eq(sum, known[i].sum);
        ck_assert_double_eq(squares, known[i].squares);
        memset(block, 0, sizeof block);
        set_scale(known[i].type, block, 0x3c00);
        decode_both(known[i].type, block, y);
        for (int j = 0; j < dtype->block; j++) ck_assert_double_eq((double)y[j], known[i].zeros);
        memset(block, 255, sizeof block);
        set_scale(known[i].type, block, 0x3c00);
        decode_both(known[i].type, block, y);
        for (int j = 0; j < dtype->block; j++) ck_assert_double_eq((double)y[j], known[i].ones[j % 8]);
    }
}
END_TEST

/* The bytes as they are: a scale of zero gives zeros, one that is NaN nothing else. */
START_TEST(extreme_blocks)
{
    static const int types[] = { PL_IQ2_XXS, PL_IQ2_XS, PL_IQ2_S, PL_IQ3_XXS, PL_IQ3_S,
                                 PL_IQ1_S, PL_IQ1_M, PL_IQ4_NL, PL_IQ4_XS };
    for (int i = 0; i < PL_COUNT(types); i++) {
        int type = types[i];
        const pl_dtype *dtype = &pl_dtypes[type];
        uint8_t block[256];
        float y[256];
        memset(block, 0, sizeof block);
        decode_both(type, block, y);
        for (int j = 0; j < dtype->block; j++) ck_assert(y[j] == 0);
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, block, dtype->block), -1);
        memset(block, 255, sizeof block);
        dtype->decode(block, y, dtype->block);
        for (int j = 0; j < dtype->block; j++) ck_assert(isnan(y[j]));
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, block, dtype->block), 0);
        set_scale(type, block, 0x7bff);
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, block, dtype->block), -1);
        set_scale(type, block, 0xfc00);
        ck_assert_int_eq(pl_dtype_find_nonfinite(dtype, block, dtype->block), 0);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { grids, signs, known_blocks, extreme_blocks };
    return run_suite("iq", tests, PL_COUNT(tests));
}
