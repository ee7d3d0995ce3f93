/* checkkern_codecs.c: 16-bit floats, decoders, encoders: every variant gives plain C's bits. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/rng.h"
#include "quantizers/registry.h"
#include "tests/kernels/checkkern.h"

enum { VALUES = 1 << 15, SEED = 20 };

/* Equal bits, or NaN both times: the payload of a sum of two NaNs is the processor's business. */
static bool same(float a, float b)
{
    return pl_f32_bits(a) == pl_f32_bits(b) || (a != a && b != b);
}

/* ---- 16-bit floats ---- */

static void check_widening(const pl_half_rows *rows, const char *variant)
{
    static uint8_t in[2 * 65536 + 1];
    static float out[65536];
    for (int shift = 0; shift < 2; shift++) {
        for (uint32_t h = 0; h < 65536; h++)
            memcpy(in + shift + 2 * h, &(uint16_t){ (uint16_t)h }, 2);
        rows->f16_to_f32(in + shift, out, 65536);
        for (uint32_t h = 0; h < 65536; h++)
            if (pl_f32_bits(out[h]) != pl_f32_bits(pl_f16_to_f32((uint16_t)h)))
                pl_ck_fail("f16_to_f32 %s: %04x gives %08x", variant, h, pl_f32_bits(out[h]));
        rows->bf16_to_f32(in + shift, out, 65536);
        for (uint32_t h = 0; h < 65536; h++)
            if (pl_f32_bits(out[h]) != h << 16)
                pl_ck_fail("bf16_to_f32 %s: %04x gives %08x", variant, h, pl_f32_bits(out[h]));
    }
}

static void check_narrowing_of(const pl_half_rows *rows, const char *variant, const float *x, int n)
{
    static uint8_t out[2 * VALUES + 3];
    uint16_t h;
    rows->f32_to_f16(x, out + 1, n);
    for (int i = 0; i < n; i++) {
        memcpy(&h, out + 1 + 2 * i, 2);
        if (h != pl_f32_to_f16(x[i]))
            pl_ck_fail("f32_to_f16 %s: %08x gives %04x, not %04x", variant, pl_f32_bits(x[i]), h,
                       pl_f32_to_f16(x[i]));
    }
    rows->f32_to_bf16(x, out + 1, n);
    for (int i = 0; i < n; i++) {
        memcpy(&h, out + 1 + 2 * i, 2);
        if (h != pl_f32_to_bf16(x[i]))
            pl_ck_fail("f32_to_bf16 %s: %08x gives %04x, not %04x", variant, pl_f32_bits(x[i]), h,
                       pl_f32_to_bf16(x[i]));
    }
}

static void check_narrowing(const pl_half_rows *rows, const char *variant)
{
    static float x[VALUES];
    /* every f16 and bf16, the middle to the next, and one step beside each */
    for (uint32_t first = 0; first < 65536; first += VALUES / 8) {
        for (uint32_t i = 0; i < VALUES / 8; i++) {
            uint32_t h = first + i, f = pl_f32_bits(pl_f16_to_f32((uint16_t)h)), b = h << 16;
            uint32_t of[8] = { f - 1, f + 0xfff, f + 0x1000, f + 0x1001,
                               b - 1, b + 0x7fff, b + 0x8000, b + 0x8001 };
            memcpy(x + 8 * i, of, sizeof of);
        }
        check_narrowing_of(rows, variant, x, VALUES);
    }
    for (int round = 0; round < 32; round++) {
        for (uint32_t i = 0; i < VALUES; i++)
            x[i] = pl_bits_f32((uint32_t)pl_rng_bits(SEED, (uint64_t)round, i));
        check_narrowing_of(rows, variant, x, VALUES - round);
    }
}

static void check_finding(const pl_half_rows *rows, const char *variant)
{
    static const uint32_t bad[] = { 0x7f800000, 0xff800000, 0x7fc00000, 0xff800001 };
    float x[201];
    for (int i = 0; i < 201; i++) x[i] = i % 2 ? FLT_MAX : -1e-45f;
    for (int n = 0; n <= 200; n++)
        if (rows->find_nonfinite(x + 1, n) != -1)
            pl_ck_fail("find_nonfinite %s: none of %d", variant, n);
    for (int at = 0; at < 200; at++) {
        float before = x[1 + at];
        x[1 + at] = pl_bits_f32(bad[at % 4]);
        int64_t found = rows->find_nonfinite(x + 1, 200), not_yet = rows->find_nonfinite(x + 1, at);
        if (found != at || not_yet != -1)
            pl_ck_fail("find_nonfinite %s: %d found at %d", variant, at, (int)found);
        x[1 + at] = before;
    }
}

/* ---- decoders ---- */

static void compare_decoded(const pl_dtype *dtype, const char *variant, const float *got,
                            const float *expected, int n)
{
    for (int i = 0; i < n; i++)
        if (!same(got[i], expected[i]))
            pl_ck_fail("decode %s %s: value %d is %g, not %g", dtype->name, variant, i,
                       (double)got[i], (double)expected[i]);
}

static void check_decoder(int type, void (*decode)(const void *, float *, int64_t),
                          const char *variant)
{
    static uint8_t bytes[VALUES * 4 + 8];
    static float got[VALUES + 2], expected[VALUES];
    static const uint16_t scales[] = { 0x0001, 0x83ff, 0x0000, 0x8000, 0x7bff, 0xfc00, 0x7e00 };
    const pl_dtype *dtype = &pl_dtypes[type];
    int blocks = VALUES / dtype->block;
    for (int round = 0; round < 12; round++) {
        int shift = round % 4, n = (blocks - round * 7) * dtype->block;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(round == 0 ? 0 : round == 1 ? 0xff
                                 : pl_rng_bits(SEED, (uint64_t)round, i));
        for (int b = 0; b < blocks && round >= 2 && round < 9; b++) {
            uint8_t *block = bytes + shift + b * dtype->bytes;
            for (int k = 0; k < 2; k++)
                if (dtype->scale_at[k] >= 0)
                    memcpy(block + dtype->scale_at[k], &scales[round - 2], 2);
        }
        dtype->decode(bytes + shift, expected, n);
        got[n + 1] = 7.0f;
        decode(bytes + shift, got + 1, n);
        compare_decoded(dtype, variant, got + 1, expected, n);
        if (got[n + 1] != 7.0f) pl_ck_fail("decode %s %s: too long", dtype->name, variant);
    }
}

/* ---- encoders ---- */

/* n + 1/2 for an n <= mask, or the float just below it, with either sign */
static float tie(uint64_t bits, uint64_t mask)
{
    float x = (float)(bits >> 8 & mask) + 0.5f;
    x = pl_bits_f32(pl_f32_bits(x) - (uint32_t)(bits >> 40 & 1));
    return bits & 1 ? -x : x;
}

/* Block b of pattern p, p = 0 .. PATTERNS-1. */
enum { PATTERNS = 18 };
static void fill_block(int p, uint64_t b, float w[32])
{
    for (uint64_t j = 0; j < 32; j++) {
        uint64_t i = b * 32 + j, bits = pl_rng_bits(SEED, (uint64_t)p, i);
        uint32_t u = (uint32_t)bits, exponent = u >> 23 & 255;
        float normal = p >= 12 ? (float)pl_rng_normal(SEED, (uint64_t)p, i) : 0.0f;
        float sign = bits & 1 ? -1.0f : 1.0f;
        switch (p) {
        case 0: w[j] = 0.0f; break;
        case 1: w[j] = sign * 0.0f; break;
        case 2: w[j] = j == b % 32 ? (b & 32 ? -3.0f : 3.0f) : sign * 0.0f; break;
        case 3: w[j] = pl_bits_f32(u & 0x807fffffu); break;                 /* subnormals */
        case 4: w[j] = sign * FLT_MAX; break;
        case 5: w[j] = j == b % 32 ? -FLT_MAX : sign * FLT_MAX / 2; break;
        case 6: w[j] = j == 0 ? 127.0f : tie(bits, 63); break;
        case 7: w[j] = j == 0 ? (b & 1 ? 8.0f : -16.0f) : tie(bits, 7); break;
        case 8: w[j] = (j & 1 ? -1.0f : 1.0f) * (float)(b + 1) / 7.0f; break;
        case 9: w[j] = (b & 1 ? -0.37f : 0.37f) * (float)(b + 1); break;    /* constant */
        case 10: w[j] = ((float)j - (float)(b % 40)) * 0x1p-140f; break;    /* 1/d overflows */
        case 11: w[j] = pl_bits_f32(exponent == 255 ? u ^ 0x40000000u : u); break;  /* any finite */
        case 12: w[j] = normal * 0x1p-126f; break;
        case 13: w[j] = normal * 1e37f; break;
        case 14: w[j] = normal * normal * normal; break;                    /* heavy tails */
        case 15: w[j] = normal * 0.02f + 5.0f; break;
        case 16: w[j] = pl_f16_to_f32(pl_f32_to_f16(normal * 0.02f)); break;
        default: w[j] = normal * 0.02f; break;
        }
    }
}

static void check_encoder(int type, const pl_encoders *list, const char *variant)
{
    static float w[VALUES + 1];
    static uint8_t got[VALUES * 2 + 8], expected[VALUES * 2];
    const pl_dtype *dtype = &pl_dtypes[type];
    pl_type plain = pl_type_plain(type);
    const pl_grid *grid = pl_grid_find(pl_grids, &plain, 32);
    int blocks = VALUES / 32;
    for (int p = 0; p < PATTERNS; p++) {
        int rounds = p >= 14 ? 8 : 2;
        for (int round = 0; round < rounds; round++) {
            int shift = round % 2, n = blocks - round * 31, bytes = n * dtype->bytes;
            int first = round * blocks;
            for (int b = 0; b < n; b++) fill_block(p, (uint64_t)(first + b), w + shift + b * 32);
            pl_grid_encode(grid, &plain, w + shift, n * 32, expected);
            got[bytes + shift] = 0x5a;
            list->encode[type](w + shift, n * 32, got + shift);
            for (int i = 0; i < bytes; i++) {
                if (got[shift + i] == expected[i]) continue;
                pl_ck_fail("encode %s %s: pattern %d block %d byte %d is %02x, not %02x",
                           dtype->name, variant, p, first + i / dtype->bytes, i % dtype->bytes,
                           got[shift + i], expected[i]);
                break;
            }
            if (got[bytes + shift] != 0x5a)
                pl_ck_fail("encode %s %s: too long", dtype->name, variant);
        }
    }
}

static void run(void)
{
    const pl_ck_variant *v;
    for (int i = 0; (v = pl_ck_variant_at(i)); i++) {
        pl_half_rows rows;
        pl_decoders decoders;
        pl_encoders encoders;
        pl_half_rows_init(&rows, v->flags);
        pl_decoders_init(&decoders, v->flags);
        pl_encoders_init(&encoders, v->flags);
        check_widening(&rows, v->name);
        check_narrowing(&rows, v->name);
        check_finding(&rows, v->name);
        for (int t = 0; t < PL_DTYPES_READ; t++)
            if (decoders.decode[t]) check_decoder(t, decoders.decode[t], v->name);
        for (int t = 0; t < PL_DTYPES; t++)
            if (encoders.encode[t]) check_encoder(t, &encoders, v->name);
    }
}

/* ---- timing ---- */

static float floats[VALUES];
static uint8_t packed[VALUES * 4];

typedef struct job {
    pl_half_rows rows;
    void (*decode)(const void *, float *, int64_t);
    void (*encode)(const float *, int64_t, uint8_t *);
} job;

static void do_widen(void *ctx) { ((job *)ctx)->rows.f16_to_f32(packed, floats, VALUES); }
static void do_narrow(void *ctx) { ((job *)ctx)->rows.f32_to_f16(floats, packed, VALUES); }
static void do_find(void *ctx)
{
    if (((job *)ctx)->rows.find_nonfinite(floats, VALUES) >= 0) abort();
}
static void do_decode(void *ctx) { ((job *)ctx)->decode(packed, floats, VALUES); }
static void do_encode(void *ctx) { ((job *)ctx)->encode(floats, VALUES, packed); }

static void fill_floats(void)
{
    for (int b = 0; b < VALUES / 32; b++) fill_block(PATTERNS - 1, (uint64_t)b, floats + 32 * b);
}

static void bench_variant(const pl_ck_variant *v)
{
    job j;
    pl_decoders decoders;
    pl_encoders encoders;
    pl_half_rows_init(&j.rows, v->flags);
    pl_decoders_init(&decoders, v->flags);
    pl_encoders_init(&encoders, v->flags);
    fill_floats();
    pl_ck_report("find_nonfinite", "f32", v->name, pl_ck_seconds(do_find, &j), VALUES,
                 VALUES * 4.0);
    pl_ck_report("narrow", "f16", v->name, pl_ck_seconds(do_narrow, &j), VALUES, VALUES * 6.0);
    pl_ck_report("widen", "f16", v->name, pl_ck_seconds(do_widen, &j), VALUES, VALUES * 6.0);
    for (int t = 0; t < PL_DTYPES_READ; t++) {
        const pl_dtype *dtype = &pl_dtypes[t];
        double bytes = (double)VALUES / dtype->block * dtype->bytes + VALUES * 4.0;
        fill_floats();
        j.encode = t < PL_DTYPES ? encoders.encode[t] : NULL;
        if (!j.encode && t < PL_DTYPES) continue;
        if (j.encode)
            pl_ck_report("encode", dtype->name, v->name, pl_ck_seconds(do_encode, &j), VALUES, bytes);
        j.decode = decoders.decode[t] ? decoders.decode[t] : dtype->decode;
        pl_ck_report("decode", dtype->name, v->name, pl_ck_seconds(do_decode, &j), VALUES, bytes);
    }
}

static void bench(void)
{
    const pl_ck_variant *v;
    for (int i = 0; (v = pl_ck_variant_at(i)); i++)
        if (!(v->flags & PL_CPU_VNNI)) bench_variant(v);       /* nothing here uses it */
}

const pl_ck_group pl_ck_codecs = { "codecs", run, bench };
