/* kernels_micro_neon.c: small floats with scales for groups with NEON; the same bits as plain C. */
#include <arm_neon.h>
#include <stdint.h>

#include "runtime-check/kernels_micro.h"

#define INLINE static inline __attribute__((always_inline))

typedef float32x4x4_t lanes;

INLINE lanes lanes_of(const micro_sums *sums)
{
    lanes l;
    for (int k = 0; k < 4; k++) l.val[k] = vld1q_f32(sums->lane + 4 * k);
    return l;
}
INLINE void keep_lanes(micro_sums *sums, lanes l)
{
    for (int k = 0; k < 4; k++) vst1q_f32(sums->lane + 4 * k, l.val[k]);
}

/* ---- 4 bits ---- */

static void unpack_e2m1(const uint8_t *packed, int64_t n, uint8_t *codes)
{
    static const int8_t twice[16] = { PL_E2M1_TWICE };
    const uint8x16_t table = vreinterpretq_u8_s8(vld1q_s8(twice));
    for (int64_t i = 0; i < n; i += 32) {
        uint8x16_t two = vld1q_u8(packed + i / 2);
        uint8x16_t even = vqtbl1q_u8(table, vandq_u8(two, vdupq_n_u8(15)));
        uint8x16_t odd = vqtbl1q_u8(table, vshrq_n_u8(two, 4));
        vst1q_u8(codes + i, vzip1q_u8(even, odd));
        vst1q_u8(codes + i + 16, vzip2q_u8(even, odd));
    }
}

/* Products of 16 signed bytes, four added up. */
INLINE float32x4_t fours(const uint8_t *codes, const int8_t *q)
{
    int8x16_t a = vreinterpretq_s8_u8(vld1q_u8(codes)), b = vld1q_s8(q);
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    return vcvtq_f32_s32(vpaddq_s32(low, vpaddlq_s16(vmull_high_s8(a, b))));
}

INLINE void run_e2m1(int halves, const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)
{
    for (int l = 0; l < MICRO_ROWS; l++) {
        const uint8_t *codes = t->codes[l];
        const float *factor = t->factor[l];
        lanes sum = lanes_of(&sums[l]);
        for (int64_t b = 0; b < blocks; b++, codes += 32, factor += halves) {
            const pl_act_block *in = (const pl_act_block *)(const void *)x + b;
            for (int h = 0; h < 2; h++) {
                float32x4_t dots = fours(codes + 16 * h, in->q + 16 * h), *to = &sum.val[b % 2 * 2 + h];
                *to = vaddq_f32(*to, vmulq_n_f32(dots, factor[h * (halves - 1)] * in->d));
            }
        }
        keep_lanes(&sums[l], sum);
    }
}

/* ---- 8 bits ---- */

/* Eight codes, the values divided by 256 as 16-bit floats: the sign, extended by a bit, leaves a place for the
 * exponent's missing one. */
INLINE float16x8_t widen(const uint8_t *codes)
{
    uint16x8_t wide = vreinterpretq_u16_s16(vshlq_n_s16(vmovl_s8(vreinterpret_s8_u8(vld1_u8(codes))), 7));
    return vreinterpretq_f16_u16(vbicq_u16(wide, vdupq_n_u16(0x4000)));
}

static void run_e4m3(const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)
{
    const uint8x16_t nan = vdupq_n_u8(0x7f);
    for (int l = 0; l < MICRO_ROWS; l++) {
        const uint8_t *codes = t->codes[l];
        const float *in = (const float *)(const void *)x;
        lanes sum = lanes_of(&sums[l]);
        uint8x16_t largest = vdupq_n_u8(0);
        for (int64_t b = 0; b < blocks; b++, codes += 32, in += 32) {
            float32x4_t v[8];
            for (int k = 0; k < 2; k++) largest = vmaxq_u8(largest, vandq_u8(vld1q_u8(codes + 16 * k), nan));
            for (int k = 0; k < 8; k += 2) {
                float16x8_t halves = widen(codes + 4 * k);
                v[k] = vmulq_f32(vcvt_f32_f16(vget_low_f16(halves)), vld1q_f32(in + 4 * k));
                v[k + 1] = vmulq_f32(vcvt_high_f32_f16(halves), vld1q_f32(in + 4 * k + 4));
            }
            for (int k = 0; k < 4; k++)
                sum.val[k] = vaddq_f32(sum.val[k], vmulq_n_f32(vaddq_f32(v[k], v[k + 4]), t->factor[l][b]));
        }
        /* Not-a-number codes, as finite values until here, make the whole row one. */
        if (vmaxvq_u8(largest) == 0x7f) sum.val[0] = vdupq_n_f32(__builtin_nanf(""));
        keep_lanes(&sums[l], sum);
    }
}

MICRO_KERNELS("neon")

void pl_kernels_micro_neon(pl_kernel_list *list) { pl_kernels_add(list, kernels, PL_COUNT(kernels)); }
