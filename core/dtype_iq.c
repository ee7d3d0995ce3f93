/* dtype_iq.c: decoders of the IQ types in plain C (the definition). */
#include "core/dtype_blocks.h"
#include "core/dtype_iq.h"

#define INLINE static inline __attribute__((always_inline))

INLINE void put_signed(const pl_iq_group *g, float *out)
{
    float d = pl_f16_to_f32(g->d);
    for (int j = 0; j < 32; j++) {
        float y = d * g->factor[j / 16] * (float)(int8_t)(g->row[j / 8] >> j % 8 * 8);
        out[j] = pl_bits_f32(pl_f32_bits(y) ^ g->negative >> j << 31);
    }
}

INLINE void put_shifted(const pl_iq_group *g, float *out)
{
    float d = pl_f16_to_f32(g->d);
    for (int j = 0; j < 32; j++) {
        float shift = g->negative >> j & 1 ? -0.125f : 0.125f;
        out[j] = d * g->factor[j / 16] * ((float)(int8_t)(g->row[j / 8] >> j % 8 * 8) + shift);
    }
}

#define DECODE(type, put)                                                                          \
    void pl_decode_##type(const void *blocks, float *out, int64_t count)                           \
    {                                                                                              \
        const pl_iq_grids *grids = pl_iq_grids_get();                                              \
        const uint8_t *p = blocks;                                                                 \
        for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_##type))                     \
            for (int b = 0; b < 8; b++, out += 32) {                                               \
                pl_iq_group g = pl_##type##_group(p, b, grids);                                    \
                put(&g, out);                                                                      \
            }                                                                                      \
    }

DECODE(iq2_xxs, put_signed)
DECODE(iq2_xs, put_signed)
DECODE(iq2_s, put_signed)
DECODE(iq3_xxs, put_signed)
DECODE(iq3_s, put_signed)
DECODE(iq1_s, put_shifted)
DECODE(iq1_m, put_shifted)

/* 32 codes: low nibbles, then high ones. */
static void put_codes(const uint8_t qs[16], float scale, float *out)
{
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)pl_iq4_values[qs[j] & 15];
        out[j + 16] = scale * (float)pl_iq4_values[qs[j] >> 4];
    }
}

void pl_decode_iq4_nl(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_iq4_nl))
        put_codes(p + offsetof(pl_block_iq4_nl, qs), pl_f16_to_f32(pl_iq_u16(p)), out + i);
}

void pl_decode_iq4_xs(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_iq4_xs), out += 256) {
        float d = pl_f16_to_f32(pl_iq_u16(p));
        for (int b = 0; b < 8; b++)
            put_codes(p + offsetof(pl_block_iq4_xs, qs) + 16 * b, d * pl_iq4_xs_factor(p, b),
                      out + 32 * b);
    }
}

bool pl_bad_iq1_m(const uint8_t *block) { return (pl_iq1_m_d(block) & 0x7c00) == 0x7c00; }
