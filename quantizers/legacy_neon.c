/* legacy_neon.c: encoders of the 32-value block types with NEON; the same bytes as legacy.c for all
 * finite values. */
#include "quantizers/registry.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "core/half.h"

#define INLINE static inline __attribute__((always_inline))

/* 32 values */
typedef struct block { float32x4_t v[8]; } block;

/* 32 codes or all-ones masks, as bytes */
typedef struct bytes { uint8x16_t low, high; } bytes;

INLINE block load(const float *w)
{
    block b;
    for (int k = 0; k < 8; k++) b.v[k] = vld1q_f32(w + 4 * k);
    return b;
}

INLINE block absolute(block b)
{
    for (int k = 0; k < 8; k++) b.v[k] = vabsq_f32(b.v[k]);
    return b;
}

INLINE float highest(block b)
{
    float32x4_t m = b.v[0];
    for (int k = 1; k < 8; k++) m = vmaxq_f32(m, b.v[k]);
    return vmaxvq_f32(m);
}

INLINE float lowest(block b)
{
    float32x4_t m = b.v[0];
    for (int k = 1; k < 8; k++) m = vminq_f32(m, b.v[k]);
    return vminvq_f32(m);
}

/* The low bytes of 16 words */
INLINE uint8x16_t narrow(const uint32x4_t *q)
{
    uint16x8_t a = vcombine_u16(vmovn_u32(q[0]), vmovn_u32(q[1]));
    uint16x8_t b = vcombine_u16(vmovn_u32(q[2]), vmovn_u32(q[3]));
    return vcombine_u8(vmovn_u16(a), vmovn_u16(b));
}

/* Bit j of the result is set where byte j is all ones. */
INLINE uint32_t bits_of(bytes masks)
{
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    uint8x16_t low = vandq_u8(masks.low, bit), high = vandq_u8(masks.high, bit);
    return (uint32_t)vaddv_u8(vget_low_u8(low)) | (uint32_t)vaddv_u8(vget_high_u8(low)) << 8 |
           (uint32_t)vaddv_u8(vget_low_u8(high)) << 16 | (uint32_t)vaddv_u8(vget_high_u8(high)) << 24;
}

/* Place of the first value equal to x: the one whose sign counts. Below 32 without a match too. */
INLINE unsigned first_equal(block b, float x)
{
    uint32x4_t equal[8];
    for (int k = 0; k < 8; k++) equal[k] = vceqq_f32(b.v[k], vdupq_n_f32(x));
    return (unsigned)__builtin_ctz(bits_of((bytes){ narrow(equal), narrow(equal + 4) }) | 1u << 31);
}

INLINE float inverse_of(float d) { return d != 0.0f ? 1.0f / d : 0.0f; }

INLINE void put_f16(uint8_t *out, float x)
{
    uint16_t h = pl_f32_to_f16(x);
    memcpy(out, &h, 2);
}

static void encode_q8_0(const float *w, int64_t count, uint8_t *out)
{
    const uint32x4_t sign = vdupq_n_u32(0x80000000);
    const float32x4_t half = vdupq_n_f32(0x1.fffffep-2f);
    for (int64_t i = 0; i < count; i += 32, out += 34) {
        block b = load(w + i);
        float d = highest(absolute(b)) / 127.0f, id = inverse_of(d);
        if (isinf(id)) id = 0.0f;           /* narrowing with saturation would keep a sign */
        int8x8_t q[4];
        for (int k = 0; k < 4; k++) {
            int16x4_t pair[2];
            for (int j = 0; j < 2; j++) {
                float32x4_t y = vmulq_n_f32(b.v[2 * k + j], id);
                y = vaddq_f32(y, vbslq_f32(sign, y, half));
                pair[j] = vqmovn_s32(vcvtq_s32_f32(y));
            }
            q[k] = vqmovn_s16(vcombine_s16(pair[0], pair[1]));
        }
        put_f16(out, d);
        for (int k = 0; k < 4; k++) vst1_s8((int8_t *)out + 2 + 8 * k, q[k]);
    }
}

/* Codes of (v - shift) * id + round, truncated, to qs and for 5 bits to qh. What is not finite gives 0. */
INLINE void put_codes(block b, float shift, float id, float round, int bits, uint8_t *out)
{
    uint32x4_t q[8];
    for (int k = 0; k < 8; k++) {
        float32x4_t y = vmulq_n_f32(vsubq_f32(b.v[k], vdupq_n_f32(shift)), id);
        y = vaddq_f32(y, vdupq_n_f32(round));
        uint32x4_t code = vminq_u32(vcvtq_u32_f32(y), vdupq_n_u32((1u << bits) - 1));
        q[k] = vandq_u32(code, vcltq_f32(y, vdupq_n_f32(INFINITY)));
    }
    bytes codes = { narrow(q), narrow(q + 4) };
    if (bits == 5) {
        const uint8x16_t fifth = vdupq_n_u8(16);
        uint32_t high = bits_of((bytes){ vtstq_u8(codes.low, fifth), vtstq_u8(codes.high, fifth) });
        memcpy(out, &high, 4);
        out += 4;
    }
    vst1q_u8(out, vsliq_n_u8(vandq_u8(codes.low, vdupq_n_u8(15)), codes.high, 4));
}

INLINE void encode_middle(const float *w, int64_t count, uint8_t *out, int bits)
{
    float middle = (float)(1 << (bits - 1));
    for (int64_t i = 0; i < count; i += 32, out += bits == 5 ? 22 : 18) {
        block b = load(w + i), a = absolute(b);
        float largest = w[i + first_equal(a, highest(a))] + 0.0f;   /* -0 counts as 0 */
        float d = largest / -middle;
        put_f16(out, d);
        put_codes(b, 0.0f, inverse_of(d), middle + 0.5f, bits, out + 2);
    }
}

INLINE void encode_offset(const float *w, int64_t count, uint8_t *out, int bits)
{
    float steps = (float)((1 << bits) - 1);
    for (int64_t i = 0; i < count; i += 32, out += bits == 5 ? 24 : 20) {
        block b = load(w + i);
        float low = w[i + first_equal(b, lowest(b))];
        float d = (highest(b) - low + 0.0f) / steps;        /* 0 whatever the signs of zeros */
        put_f16(out, d);
        put_f16(out + 2, low);
        put_codes(b, low, inverse_of(d), 0.5f, bits, out + 4);
    }
}

static void encode_q4_0(const float *w, int64_t n, uint8_t *out) { encode_middle(w, n, out, 4); }
static void encode_q4_1(const float *w, int64_t n, uint8_t *out) { encode_offset(w, n, out, 4); }
static void encode_q5_0(const float *w, int64_t n, uint8_t *out) { encode_middle(w, n, out, 5); }
static void encode_q5_1(const float *w, int64_t n, uint8_t *out) { encode_offset(w, n, out, 5); }

void pl_encoders_neon(pl_encoders *list)
{
    list->encode[PL_Q8_0] = encode_q8_0;
    list->encode[PL_Q4_0] = encode_q4_0;
    list->encode[PL_Q4_1] = encode_q4_1;
    list->encode[PL_Q5_0] = encode_q5_0;
    list->encode[PL_Q5_1] = encode_q5_1;
}
