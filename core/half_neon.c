/* half_neon.c: rows of 16-bit floats with NEON; the same bits as half.h's functions. */
#include "core/half.h"

#include <arm_neon.h>

static uint16x8_t load_halves(const uint8_t *p) { return vreinterpretq_u16_u8(vld1q_u8(p)); }

static float32x4_t widen_f16(uint16x4_t h) { return vcvt_f32_f16(vreinterpret_f16_u16(h)); }

static float32x4_t widen_bf16(uint16x4_t h) { return vreinterpretq_f32_u32(vshll_n_u16(h, 16)); }

static uint32x4_t is_nan(float32x4_t x) { return vmvnq_u32(vceqq_f32(x, x)); }

static uint16x4_t narrow_f16(float32x4_t x)
{
    uint16x4_t h = vreinterpret_u16_f16(vcvt_f16_f32(x));
    /* the processor keeps 9 bits of a NaN's payload; the definition keeps none */
    uint16x4_t quiet = vorr_u16(vand_u16(h, vdup_n_u16(0x8000)), vdup_n_u16(0x7e00));
    return vbsl_u16(vmovn_u32(is_nan(x)), quiet, h);
}

static uint16x4_t narrow_bf16(float32x4_t x)
{
    uint32x4_t u = vreinterpretq_u32_f32(x), high = vshrq_n_u32(u, 16);
    uint32x4_t half = vaddq_u32(vandq_u32(high, vdupq_n_u32(1)), vdupq_n_u32(0x7fff));
    uint32x4_t rounded = vshrq_n_u32(vaddq_u32(u, half), 16);
    return vmovn_u32(vbslq_u32(is_nan(x), vorrq_u32(high, vdupq_n_u32(64)), rounded));
}

#define WIDEN_ROW(name, widen4, widen1)                                                            \
    static void name(const void *in, float *out, int64_t count)                                    \
    {                                                                                              \
        const uint8_t *p = in;                                                                     \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= count; i += 8) {                                                           \
            uint16x8_t h = load_halves(p + 2 * i);                                                 \
            vst1q_f32(out + i, widen4(vget_low_u16(h)));                                           \
            vst1q_f32(out + i + 4, widen4(vget_high_u16(h)));                                      \
        }                                                                                          \
        for (uint16_t h; i < count; i++) {                                                         \
            memcpy(&h, p + 2 * i, 2);                                                              \
            out[i] = widen1(h);                                                                    \
        }                                                                                          \
    }

#define NARROW_ROW(name, narrow4, narrow1)                                                         \
    static void name(const float *in, void *out, int64_t count)                                    \
    {                                                                                              \
        uint8_t *p = out;                                                                          \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= count; i += 8) {                                                           \
            uint16x4_t low = narrow4(vld1q_f32(in + i)), high = narrow4(vld1q_f32(in + i + 4));    \
            vst1q_u8(p + 2 * i, vreinterpretq_u8_u16(vcombine_u16(low, high)));                    \
        }                                                                                          \
        for (; i < count; i++) {                                                                   \
            uint16_t h = narrow1(in[i]);                                                           \
            memcpy(p + 2 * i, &h, 2);                                                              \
        }                                                                                          \
    }

WIDEN_ROW(f16_to_f32, widen_f16, pl_f16_to_f32)
WIDEN_ROW(bf16_to_f32, widen_bf16, pl_bf16_to_f32)
NARROW_ROW(f32_to_f16, narrow_f16, pl_f32_to_f16)
NARROW_ROW(f32_to_bf16, narrow_bf16, pl_f32_to_bf16)

/* All ones in the lanes that are NaN or infinite. */
static uint32x4_t nonfinite4(const float *x)
{
    uint32x4_t exponent = vdupq_n_u32(0x7f800000);
    return vceqq_u32(vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x)), exponent), exponent);
}

static int64_t find_nonfinite(const float *x, int64_t count)
{
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        uint32x4_t any = nonfinite4(x + i);
        for (int k = 4; k < 32; k += 4) any = vorrq_u32(any, nonfinite4(x + i + k));
        if (vmaxvq_u32(any)) break;
    }
    for (; i < count; i++)
        if ((pl_f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u) return i;
    return -1;
}

void pl_half_rows_neon(pl_half_rows *list)
{
    *list = (pl_half_rows){ f16_to_f32, bf16_to_f32, f32_to_f16, f32_to_bf16, find_nonfinite };
}
