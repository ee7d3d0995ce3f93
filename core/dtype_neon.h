/* dtype_neon.h: what NEON decoders share: codes as bytes, and codes times scales. */
#ifndef CORE_DTYPE_NEON_H
#define CORE_DTYPE_NEON_H

#if defined(PL_NEON)

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

static inline float pl_neon_f16(const void *p)
{
    __fp16 h;
    memcpy(&h, p, 2);
    return h;
}

static inline int8x16_t pl_neon_bytes(const void *p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }

/* Of 16 bytes at p those bits of `mask` that begin at bit `at` */
static inline int8x16_t pl_neon_bits(const uint8_t *p, int at, int mask)
{
    uint8x16_t bytes = vshlq_u8(vld1q_u8(p), vdupq_n_s8((int8_t)-at));
    return vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8((uint8_t)mask)));
}

/* A byte for each of 16 bits: 0, or -1 where it is set */
static inline int8x16_t pl_neon_spread(unsigned bits)
{
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    uint8x16_t bytes = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
    return vreinterpretq_s8_u8(vtstq_u8(bytes, bit));
}

/* 16 codes of 4 bits from qs: the low nibbles, or the high ones. The same with a fifth bit each, from qh on */
static inline int8x16_t pl_neon_nibbles(const uint8_t *qs, int high) { return pl_neon_bits(qs, 4 * high, 15); }
static inline int8x16_t pl_neon_fives(const uint8_t *qs, const uint8_t *qh, int high)
{
    int8x16_t fifth = pl_neon_spread(qh[2 * high] | (unsigned)qh[2 * high + 1] << 8);
    return vorrq_s8(pl_neon_nibbles(qs, high), vandq_s8(fifth, vdupq_n_s8(16)));
}

/* The same codes less `middle` */
static inline int8x16_t pl_neon_less(int8x16_t q, int middle) { return vsubq_s8(q, vdupq_n_s8((int8_t)middle)); }

/* 8 signed bytes times d */
static inline void pl_neon_put8(int8x8_t q, float d, float *out)
{
    int16x8_t wide = vmovl_s8(q);
    vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), d));
    vst1q_f32(out + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide))), d));
}

/* 16 signed bytes times d */
static inline void pl_neon_put16(int8x16_t q, float d, float *out)
{
    pl_neon_put8(vget_low_s8(q), d, out);
    pl_neon_put8(vget_high_s8(q), d, out + 8);
}

/* The same, and m; two roundings, as in plain C. */
static inline void pl_neon_put16_plus(int8x16_t q, float d, float m, float *out)
{
    pl_neon_put16(q, d, out);
    for (int i = 0; i < 16; i += 4) vst1q_f32(out + i, vaddq_f32(vld1q_f32(out + i), vdupq_n_f32(m)));
}

#endif
#endif
