/* dtype_neon.c: decoders of 8-bit floats and of the 32-value block types with NEON; the same bits as plain C. */
#include "core/blocks.h"
#include "core/dtype_blocks.h"
#include "core/dtype_neon.h"

/* 32 codes in two halves: of nibbles the low ones, then the high ones. */
#define DECODE_HALVES(type, codes_of, put_codes)                                                   \
    static void decode_##type(const void *blocks, float *out, int64_t count)                       \
    {                                                                                              \
        const uint8_t *p = blocks;                                                                 \
        for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_##type))                      \
            for (int half = 0; half < 2; half++) {                                                 \
                int8x16_t codes = codes_of;                                                        \
                put_codes;                                                                         \
            }                                                                                      \
    }

DECODE_HALVES(q8_0, pl_neon_bytes(p + 2 + 16 * half), pl_neon_put16(codes, pl_neon_f16(p), out + i + 16 * half))
DECODE_HALVES(q4_0, pl_neon_nibbles(p + 2, half),
              pl_neon_put16(pl_neon_less(codes, 8), pl_neon_f16(p), out + i + 16 * half))
DECODE_HALVES(q4_1, pl_neon_nibbles(p + 4, half),
              pl_neon_put16_plus(codes, pl_neon_f16(p), pl_neon_f16(p + 2), out + i + 16 * half))
DECODE_HALVES(q5_0, pl_neon_fives(p + 6, p + 2, half),
              pl_neon_put16(pl_neon_less(codes, 16), pl_neon_f16(p), out + i + 16 * half))
DECODE_HALVES(q5_1, pl_neon_fives(p + 8, p + 4, half),
              pl_neon_put16_plus(codes, pl_neon_f16(p), pl_neon_f16(p + 2), out + i + 16 * half))

/* 8 codes as f16: of f8_e4m3 the values divided by 256. The sign extended by a bit fills the exponent's
 * missing one, which only a NaN keeps. */
static uint16x8_t widen_e4m3(uint8x8_t codes)
{
    uint16x8_t wide = vreinterpretq_u16_s16(vshlq_n_s16(vmovl_s8(vreinterpret_s8_u8(codes)), 7));
    uint16x8_t ones = vdupq_n_u16(0x3f80), exponent = vdupq_n_u16(0x4000);
    uint16x8_t nan = vceqq_u16(vandq_u16(wide, ones), ones);
    return vorrq_u16(vbicq_u16(wide, exponent), vandq_u16(nan, exponent));
}

static uint16x8_t widen_e5m2(uint8x8_t codes) { return vshll_n_u8(codes, 8); }

static void put_halves(uint16x8_t h, float factor, float *out)
{
    vst1q_f32(out, vmulq_n_f32(vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(h))), factor));
    vst1q_f32(out + 4, vmulq_n_f32(vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(h))), factor));
}

#define DECODE_F8(name, type, widen, factor)                                                       \
    static void name(const void *blocks, float *out, int64_t count)                                \
    {                                                                                              \
        const uint8_t *p = blocks;                                                                 \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= count; i += 8) put_halves(widen(vld1_u8(p + i)), factor, out + i);         \
        pl_dtypes[type].decode(p + i, out + i, count - i);                                         \
    }

DECODE_F8(decode_f8_e4m3, PL_F8_E4M3, widen_e4m3, 256.0f)
DECODE_F8(decode_f8_e5m2, PL_F8_E5M2, widen_e5m2, 1.0f)

void pl_decoders_neon(pl_decoders *list)
{
    list->decode[PL_F8_E4M3] = decode_f8_e4m3;
    list->decode[PL_F8_E5M2] = decode_f8_e5m2;
    list->decode[PL_Q8_0] = decode_q8_0;
    list->decode[PL_Q4_0] = decode_q4_0;
    list->decode[PL_Q4_1] = decode_q4_1;
    list->decode[PL_Q5_0] = decode_q5_0;
    list->decode[PL_Q5_1] = decode_q5_1;
}
