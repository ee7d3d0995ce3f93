/* dtype_k_neon.c: decoders of the K types with NEON, 16 values at a time; the same bits as plain C. */
#include "core/blocks.h"
#include "core/dtype_blocks.h"
#include "core/dtype_neon.h"

#define DECODER(type)                                                                              \
    static void decode_##type(const void *blocks, float *out, int64_t count)                       \
    {                                                                                              \
        const uint8_t *p = blocks;                                                                 \
        for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_##type)) type(p, out + i);   \
    }

/* Values 16 s .. 16 s + 15, of 2 bits, in bytes that hold those that are 32 apart */
static int8x16_t two_bits(const uint8_t *qs, int s)
{
    return pl_neon_bits(qs + s / 8 * 32 + s % 2 * 16, s / 2 % 4 * 2, 3);
}

/* The same of 4 bits, in bytes that hold those that are `apart` apart */
static int8x16_t four_bits(const uint8_t *qs, int s, int apart)
{
    int half = apart / 16;
    return pl_neon_bits(qs + s / (2 * half) * apart + s % half * 16, s / half % 2 * 4, 15);
}

/* The same of 1 bit, 32 apart */
static int8x16_t one_bit(const uint8_t *qh, int s) { return pl_neon_bits(qh + s % 2 * 16, s / 2, 1); }

static void q2_k(const uint8_t *p, float *out)
{
    float scale[16], min[16];
    pl_neon_put16(pl_neon_bits(p, 0, 15), pl_neon_f16(p + 80), scale);
    pl_neon_put16(pl_neon_bits(p, 4, 15), pl_neon_f16(p + 82), min);
    for (int s = 0; s < 16; s++) pl_neon_put16_plus(two_bits(p + 16, s), scale[s], -min[s], out + 16 * s);
}

/* 16 scales of 6 bits: low halves in 8 bytes, quarters above them in 4 */
static int8x16_t q3_k_scales(const uint8_t *p)
{
    uint32_t high;
    memcpy(&high, p + 8, 4);
    const int32x4_t right = { 0, -2, -4, -6 };
    uint8x8_t both = vld1_u8(p);
    uint8x16_t low = vcombine_u8(vand_u8(both, vdup_n_u8(15)), vshr_n_u8(both, 4));
    uint8x16_t top = vandq_u8(vreinterpretq_u8_u32(vshlq_u32(vdupq_n_u32(high), right)), vdupq_n_u8(3));
    return pl_neon_less(vreinterpretq_s8_u8(vorrq_u8(low, vshlq_n_u8(top, 4))), 32);
}

static void q3_k(const uint8_t *p, float *out)
{
    float scale[16];
    pl_neon_put16(q3_k_scales(p + 96), pl_neon_f16(p + 108), scale);
    for (int s = 0; s < 16; s++) {
        int8x16_t q = vorrq_s8(two_bits(p + 32, s), vshlq_n_s8(one_bit(p, s), 2));
        pl_neon_put16(pl_neon_less(q, 4), scale[s], out + 16 * s);
    }
}

/* 8 scales and 8 minima of 6 bits in 12 bytes, times d and dmin */
static void q45_k_scales(const uint8_t *p, float scale[8], float min[8])
{
    uint32_t s[3];
    memcpy(s, p + 4, 12);
    uint32_t scale_high = (s[2] & 0x0f0f0f0f) | (s[0] >> 2 & 0x30303030);
    uint32_t min_high = (s[2] >> 4 & 0x0f0f0f0f) | (s[1] >> 2 & 0x30303030);
    pl_neon_put8(vcreate_s8((s[0] & 0x3f3f3f3f) | (uint64_t)scale_high << 32), pl_neon_f16(p), scale);
    pl_neon_put8(vcreate_s8((s[1] & 0x3f3f3f3f) | (uint64_t)min_high << 32), pl_neon_f16(p + 2), min);
}

static void q4_k(const uint8_t *p, float *out)
{
    float scale[8], min[8];
    q45_k_scales(p, scale, min);
    for (int s = 0; s < 16; s++)
        pl_neon_put16_plus(four_bits(p + 16, s, 32), scale[s / 2], -min[s / 2], out + 16 * s);
}

static void q5_k(const uint8_t *p, float *out)
{
    float scale[8], min[8];
    q45_k_scales(p, scale, min);
    for (int s = 0; s < 16; s++) {
        int8x16_t q = vorrq_s8(four_bits(p + 48, s, 32), vshlq_n_s8(one_bit(p + 16, s), 4));
        pl_neon_put16_plus(q, scale[s / 2], -min[s / 2], out + 16 * s);
    }
}

static void q6_k(const uint8_t *p, float *out)
{
    float scale[16];
    pl_neon_put16(pl_neon_bytes(p + 192), pl_neon_f16(p + 208), scale);
    for (int s = 0; s < 16; s++) {
        int8x16_t q = vorrq_s8(four_bits(p, s, 64), vshlq_n_s8(two_bits(p + 128, s), 4));
        pl_neon_put16(pl_neon_less(q, 32), scale[s], out + 16 * s);
    }
}

DECODER(q2_k)
DECODER(q3_k)
DECODER(q4_k)
DECODER(q5_k)
DECODER(q6_k)

void pl_decoders_k_neon(pl_decoders *list)
{
    list->decode[PL_Q2_K] = decode_q2_k;
    list->decode[PL_Q3_K] = decode_q3_k;
    list->decode[PL_Q4_K] = decode_q4_k;
    list->decode[PL_Q5_K] = decode_q5_k;
    list->decode[PL_Q6_K] = decode_q6_k;
}
