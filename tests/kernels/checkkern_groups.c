/* checkkern_groups.c: encoders of matrices with scales per group of columns, and streams of codes: every variant gives
 * plain C's bytes. */
#include <float.h>
#include <string.h>

#include "core/half.h"
#include "core/packed_bits.h"
#include "core/rng.h"
#include "quantizers/groups.h"
#include "tests/kernels/checkkern.h"

/* Numbers of groups that lanes do not divide. */
enum { ROWS = 3, COLS = 384, COUNT = ROWS * COLS, PATTERNS = 10, SEED = 23, KINDS = 11 };

static float w[COUNT], h[COLS], values[2][COUNT];
static uint8_t got[COUNT * 5], expected[COUNT * 5], codes[COUNT];

static pl_type type_of(int kind)
{
    static const int bits[] = { 2, 3, 4, 5, 6, 8, 4, 8 }, group[] = { 64, 32, 64, 128, 32, 64, 32, 128 };
    static const int scales[] = { PL_BF16, PL_F16, PL_F16, PL_BF16, PL_F32, PL_BF16, PL_F32, PL_F16 };
    if (kind < 8) return pl_type_affine(bits[kind], group[kind], &pl_dtypes[scales[kind]]);
    return pl_type_scaled(&pl_dtypes[kind == 8 ? PL_F8_E4M3 : PL_F4_E2M1],
                          &pl_dtypes[kind == 10 ? PL_F8_E4M3 : PL_F8_E8M0], 1, kind == 10 ? 16 : 32);
}

static void fill(int p)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t bits = pl_rng_bits(SEED, (uint64_t)p, i);
        uint32_t u = (uint32_t)bits;
        float normal = (float)pl_rng_normal(SEED, (uint64_t)p, i), sign = bits & 1 ? -1.0f : 1.0f;
        float per16 = (float)pl_rng_normal(SEED, (uint64_t)p + 100, i / 16);
        switch (p) {
        case 0: w[i] = sign * 0.0f; break;
        case 1: w[i] = normal * 0.02f; break;
        case 2: w[i] = normal * normal * normal; break;
        case 3: w[i] = per16; break;                                    /* few different values */
        case 4: w[i] = pl_bits_f32(u & 0x807fffffu); break;             /* subnormals */
        case 5: w[i] = pl_bits_f32((u >> 23 & 255) == 255 ? u ^ 0x40000000u : u); break;
        case 6: w[i] = normal * 1e-7f * per16; break;                   /* around the least step */
        case 7: w[i] = (float)((int)(bits >> 8 & 63) - 32) / 4.0f; break;
        case 8: w[i] = -100.0f - normal; break;
        default: w[i] = sign * FLT_MAX; break;
        }
    }
    for (uint64_t i = 0; i < COLS; i++) {
        float normal = (float)pl_rng_normal(SEED, 99, i);
        h[i] = p % 3 == 0 ? 0.0f : p % 3 == 1 || i % 7 == 0 ? normal * normal : 0.0f;
    }
}

static int64_t encode(int kind, pl_group_encoder encoder, const float *importance, const pl_dtype *source, uint8_t *out)
{
    pl_packed p;
    if (pl_packed_init(&p, type_of(kind), ROWS, COLS) != PL_OK) pl_ck_fail("groups: %s", pl_error());
    pl_group_rows r = { .type = &p.type, .source = source, .w = w, .h = importance, .rows = ROWS, .cols = COLS };
    int64_t at = 0;
    for (int i = 0; i < p.nparts; at += p.part[i++].bytes) r.part[i] = out + at;
    out[at] = 0x5a;
    encoder(&r);
    if (out[at] != 0x5a) pl_ck_fail("groups %s: too long", pl_type_name(&p.type));
    return at;
}

static pl_group_encoder encoder_of(const pl_group_encoders *list, int kind, bool best)
{
    pl_type type = type_of(kind);
    return (best ? list->best : list->reference)[pl_groups_kind(&type)];
}

static void compare(const pl_ck_variant *v, int kind, int p, bool best, const float *importance)
{
    static const int floats[] = { PL_F32, PL_F16, PL_BF16 };
    const pl_dtype *source = &pl_dtypes[floats[(kind + p) % 3]];
    pl_group_encoders plain, list;
    pl_group_encoders_init(&plain, 0);
    pl_group_encoders_init(&list, v->flags);
    pl_type type = type_of(kind);
    int64_t n = encode(kind, encoder_of(&plain, kind, best), importance, source, expected);
    encode(kind, encoder_of(&list, kind, best), importance, source, got);
    for (int64_t i = 0; i < n; i++) {
        if (got[i] == expected[i]) continue;
        pl_ck_fail("%s %s %s %s%s: pattern %d byte %d is %02x, not %02x", best ? "search" : "groups", pl_type_name(&type),
                   type.scale->name, v->name, importance ? " weighted" : "", p, (int)i, got[i], expected[i]);
        break;
    }
}

/* ---- streams of codes ---- */

static void compare_bits(const pl_ck_variant *v, int bits, int64_t n)
{
    pl_bits_ops plain, list;
    pl_bits_ops_init(&plain, 0);
    pl_bits_ops_init(&list, v->flags);
    int64_t bytes = pl_bits_words(n, bits) * 4;
    for (int64_t i = 0; i < n; i++) codes[i] = (uint8_t)(pl_rng_bits(SEED, 7, (uint64_t)i) & ((1u << bits) - 1));
    plain.pack(codes, n, bits, expected);
    got[bytes] = 0x5a;
    list.pack(codes, n, bits, got);
    if (memcmp(got, expected, (size_t)bytes) || got[bytes] != 0x5a)
        pl_ck_fail("bits %s: %d codes of %d bits are packed otherwise", v->name, (int)n, bits);
    got[n] = 0x5a;
    list.unpack(expected, n, bits, got);
    if (memcmp(got, codes, (size_t)n) || got[n] != 0x5a)
        pl_ck_fail("bits %s: %d codes of %d bits are unpacked otherwise", v->name, (int)n, bits);
    plain.values(codes, n, bits, 0.37f, bits & 1 ? -0.0f : -1.3f, values[0]);
    list.values(codes, n, bits, 0.37f, bits & 1 ? -0.0f : -1.3f, values[1]);
    if (memcmp(values[0], values[1], (size_t)n * sizeof(float)))
        pl_ck_fail("bits %s: %d codes of %d bits have other values", v->name, (int)n, bits);
}

static void run(void)
{
    const pl_ck_variant *v;
    for (int i = 1; (v = pl_ck_variant_at(i)); i++) {
        if (v->flags & PL_CPU_VNNI) continue;               /* nothing here uses it */
        for (int p = 0; p < PATTERNS; p++) {
            fill(p);
            for (int kind = 0; kind < KINDS; kind++) {
                compare(v, kind, p, false, NULL);
                compare(v, kind, p, true, NULL);
                compare(v, kind, p, true, h);
            }
        }
        for (int bits = 1; bits <= 8; bits++)
            for (int64_t n = 0; n <= 300; n += n < 130 ? 1 : 17) compare_bits(v, bits, n);
    }
}

/* ---- timing ---- */

typedef struct job { int kind; pl_group_encoder encoder; const float *h; } job;

static void encode_rows(void *ctx)
{
    job *j = ctx;
    encode(j->kind, j->encoder, j->h, &pl_dtypes[PL_BF16], got);
}

static void pack_codes(void *ctx)
{
    const pl_bits_ops *ops = ctx;
    ops->pack(codes, COUNT, 4, got);
}

static void unpack_codes(void *ctx)
{
    const pl_bits_ops *ops = ctx;
    ops->unpack(got, COUNT, 3, codes);
    ops->values(codes, COUNT, 0, 0.01f, -0.1f, values[0]);
}

static void bench(void)
{
    const pl_ck_variant *v;
    fill(1);
    for (int i = 0; (v = pl_ck_variant_at(i)); i++) {
        if (v->flags & PL_CPU_VNNI) continue;
        pl_group_encoders list;
        pl_bits_ops ops;
        pl_group_encoders_init(&list, v->flags);
        pl_bits_ops_init(&ops, v->flags);
        pl_ck_report("pack_bits", "4", v->name, pl_ck_seconds(pack_codes, &ops), COUNT, COUNT);
        pl_ck_report("decode_bits", "3", v->name, pl_ck_seconds(unpack_codes, &ops), COUNT, COUNT * 4.0);
        for (int kind = 0; kind < KINDS; kind++)
            for (int best = 0; best < 3; best++) {
                static const char *const names[] = { "encode_groups", "search_groups", "search_groups_weighted" };
                pl_type type = type_of(kind);
                job j = { kind, encoder_of(&list, kind, best), best == 2 ? h : NULL };
                pl_ck_report(names[best], pl_type_name(&type), v->name, pl_ck_seconds(encode_rows, &j), COUNT, COUNT * 2.0);
            }
    }
}

const pl_ck_group pl_ck_groups = { "groups", run, bench };
