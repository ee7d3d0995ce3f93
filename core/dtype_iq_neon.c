/* dtype_iq_neon.c: decoders of the IQ types with NEON; the same bits as plain C, because all products are exact. */
#include "core/dtype_blocks.h"
#include "core/dtype_iq.h"
#include "core/dtype_neon.h"

#define INLINE static inline __attribute__((always_inline))

/* Half h of a group: 16 bytes of rows, and the signs as 0 or -1 */
INLINE int8x16_t rows(const pl_iq_group *g, int h)
{
    return vcombine_s8(vcreate_s8(g->row[2 * h]), vcreate_s8(g->row[2 * h + 1]));
}

INLINE int8x16_t minus(const pl_iq_group *g, int h) { return pl_neon_spread(g->negative >> 16 * h); }

INLINE int8x16_t signed_codes(const pl_iq_group *g, int h)
{
    return vsubq_s8(veorq_s8(rows(g, h), minus(g, h)), minus(g, h));
}

/* Eight times the values: 8 g + 1 or 8 g - 1 */
INLINE int8x16_t shifted_codes(const pl_iq_group *g, int h)
{
    return vaddq_s8(vshlq_n_s8(rows(g, h), 3), vorrq_s8(minus(g, h), vdupq_n_s8(1)));
}

#define DECODE(type, codes, unit)                                                                  \
    static void decode_##type(const void *blocks, float *out, int64_t count)                       \
    {                                                                                              \
        const pl_iq_grids *grids = pl_iq_grids_get();                                              \
        const uint8_t *p = blocks;                                                                 \
        for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_##type))                     \
            for (int b = 0; b < 8; b++, out += 32) {                                               \
                pl_iq_group g = pl_##type##_group(p, b, grids);                                    \
                float d = pl_neon_f16(&g.d) * unit;                                                \
                for (int h = 0; h < 2; h++)                                                        \
                    pl_neon_put16(codes(&g, h), d * g.factor[h], out + 16 * h);                    \
            }                                                                                      \
    }

DECODE(iq2_xxs, signed_codes, 1.0f)
DECODE(iq2_xs, signed_codes, 1.0f)
DECODE(iq2_s, signed_codes, 1.0f)
DECODE(iq3_xxs, signed_codes, 1.0f)
DECODE(iq3_s, signed_codes, 1.0f)
DECODE(iq1_s, shifted_codes, 0.125f)
DECODE(iq1_m, shifted_codes, 0.125f)

/* 32 codes: low nibbles, then high ones. */
INLINE void put_codes(const uint8_t *qs, float d, float *out)
{
    int8x16_t table = pl_neon_bytes(pl_iq4_values);
    for (int h = 0; h < 2; h++) {
        uint8x16_t code = vreinterpretq_u8_s8(pl_neon_nibbles(qs, h));
        pl_neon_put16(vqtbl1q_s8(table, code), d, out + 16 * h);
    }
}

static void decode_iq4_nl(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_iq4_nl))
        put_codes(p + offsetof(pl_block_iq4_nl, qs), pl_neon_f16(p), out + i);
}

static void decode_iq4_xs(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_iq4_xs)) {
        float d = pl_neon_f16(p);
        for (int b = 0; b < 8; b++, out += 32)
            put_codes(p + offsetof(pl_block_iq4_xs, qs) + 16 * b, d * pl_iq4_xs_factor(p, b), out);
    }
}

void pl_decoders_iq_neon(pl_decoders *list)
{
    list->decode[PL_IQ2_XXS] = decode_iq2_xxs;
    list->decode[PL_IQ2_XS] = decode_iq2_xs;
    list->decode[PL_IQ2_S] = decode_iq2_s;
    list->decode[PL_IQ3_XXS] = decode_iq3_xxs;
    list->decode[PL_IQ3_S] = decode_iq3_s;
    list->decode[PL_IQ1_S] = decode_iq1_s;
    list->decode[PL_IQ1_M] = decode_iq1_m;
    list->decode[PL_IQ4_NL] = decode_iq4_nl;
    list->decode[PL_IQ4_XS] = decode_iq4_xs;
}
