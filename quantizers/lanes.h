/* lanes.h: one algorithm, 1, 4 (NEON), 8 or 16 (AVX) values at a time. A file that wants more than plain C defines
 * PL_LANES before it includes this. The operators + - * / work on vf as they do on float, lane by lane. */
#ifndef QUANTIZERS_LANES_H
#define QUANTIZERS_LANES_H

#include <math.h>
#include <string.h>

#include "core/half.h"

#ifndef PL_LANES
#define PL_LANES 1
#endif
#if PL_LANES == 4
#include <arm_neon.h>
#elif PL_LANES > 1
#include <immintrin.h>
#endif

#define PL_INLINE static inline __attribute__((always_inline))

/* Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the low bits. Beyond +-2^22 those bits mean
 * something else; files depend on it, so every variant has to agree there too. */
#define PL_ROUNDER 12582912.0f

PL_INLINE int pl_nearest(float x)
{
    return (int)(pl_f32_bits(x + PL_ROUNDER) & 0x7fffffu) - 0x400000;
}

/* Of each set: vf floats, vi integers, vm truth values.
 *   v_every(k), v_at(base, stride): lane i gets base[i * stride]
 *   v_min, v_max: a < b ? a : b, a > b ? a : b, also for zeros of both signs
 *   v_code(x, low, high): x within +-2^22 to the nearest integer, clamped, as floats
 *   v_code_far(x, low, high): pl_nearest of any x, clamped, as floats
 *   v_f16(x): x as the f16 nearest to it;  v_rint(x): to the nearest integer, ties to even
 *   v_put(m, base): lane i to base[i]; v_put_codes: integers below 256 as bytes
 *   v_bits(m): bit i is lane i
 *   v_fours(base, stride): the four lanes from 4k on get the values from base[4k * stride] on
 *   v_turn(x): vectors of fours as rows of squares become their columns */
#if PL_LANES == 1
typedef float vf;
typedef int32_t vi;
typedef bool vm;
PL_INLINE vf v_every(float x) { return x; }
PL_INLINE vf v_at(const float *base, int stride) { return base[0]; }
PL_INLINE void v_put(vf x, float *base) { base[0] = x; }
PL_INLINE void v_put_codes(vf x, uint8_t *base) { base[0] = (uint8_t)x; }
PL_INLINE vf v_min(vf a, vf b) { return a < b ? a : b; }
PL_INLINE vf v_max(vf a, vf b) { return a > b ? a : b; }
PL_INLINE vf v_abs(vf x) { return fabsf(x); }
PL_INLINE vf v_sqrt(vf x) { return sqrtf(x); }
PL_INLINE vf v_rint(vf x) { return rintf(x); }
PL_INLINE vf v_f16(vf x) { return pl_f16_to_f32(pl_f32_to_f16(x)); }
PL_INLINE vm v_less(vf a, vf b) { return a < b; }
PL_INLINE vm v_differ(vf a, vf b) { return !(a == b); }
PL_INLINE vm v_both(vm a, vm b) { return a && b; }
PL_INLINE bool v_any(vm m) { return m; }
PL_INLINE unsigned v_bits(vm m) { return m; }
PL_INLINE vf v_pick(vm m, vf yes, vf no) { return m ? yes : no; }
PL_INLINE vf v_code_far(vf x, int low, int high)
{
    int l = pl_nearest(x);
    return (float)(l < low ? low : l > high ? high : l);
}
PL_INLINE vf v_code(vf x, int low, int high) { return v_code_far(x, low, high); }

#elif PL_LANES == 4
typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vm;
PL_INLINE vf v_every(float x) { return vdupq_n_f32(x); }
PL_INLINE vf v_at(const float *base, int stride)
{
    if (stride == 1) return vld1q_f32(base);
    return (vf){ base[0], base[stride], base[2 * stride], base[3 * stride] };
}
PL_INLINE vf v_fours(const float *base, int stride) { return vld1q_f32(base); }
PL_INLINE void v_turn(vf x[4])
{
    float64x2_t a = vreinterpretq_f64_f32(vzip1q_f32(x[0], x[1])), b = vreinterpretq_f64_f32(vzip2q_f32(x[0], x[1]));
    float64x2_t c = vreinterpretq_f64_f32(vzip1q_f32(x[2], x[3])), d = vreinterpretq_f64_f32(vzip2q_f32(x[2], x[3]));
    x[0] = vreinterpretq_f32_f64(vzip1q_f64(a, c));
    x[1] = vreinterpretq_f32_f64(vzip2q_f64(a, c));
    x[2] = vreinterpretq_f32_f64(vzip1q_f64(b, d));
    x[3] = vreinterpretq_f32_f64(vzip2q_f64(b, d));
}
PL_INLINE void v_put(vf x, float *base) { vst1q_f32(base, x); }
PL_INLINE void v_put_codes(vf x, uint8_t *base)
{
    uint16x4_t q = vmovn_u32(vcvtq_u32_f32(x));
    uint32_t four = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(q, q))), 0);
    memcpy(base, &four, 4);
}
/* vminq and vmaxq order zeros and pass NaNs on, x86 and the definition do neither. */
PL_INLINE vf v_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
PL_INLINE vf v_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
PL_INLINE vf v_abs(vf x) { return vabsq_f32(x); }
PL_INLINE vf v_sqrt(vf x) { return vsqrtq_f32(x); }
PL_INLINE vf v_rint(vf x) { return vrndnq_f32(x); }
PL_INLINE vf v_f16(vf x) { return vcvt_f32_f16(vcvt_f16_f32(x)); }
PL_INLINE vm v_less(vf a, vf b) { return vcltq_f32(a, b); }
PL_INLINE vm v_differ(vf a, vf b) { return vmvnq_u32(vceqq_f32(a, b)); }
PL_INLINE vm v_both(vm a, vm b) { return vandq_u32(a, b); }
PL_INLINE bool v_any(vm m) { return vmaxvq_u32(m) != 0; }
PL_INLINE unsigned v_bits(vm m) { return vaddvq_u32(vandq_u32(m, (vm){ 1, 2, 4, 8 })); }
PL_INLINE vf v_pick(vm m, vf yes, vf no) { return vbslq_f32(m, yes, no); }
PL_INLINE vf v_code_far(vf x, int low, int high)
{
    vi q = vandq_s32(vreinterpretq_s32_f32(x + v_every(PL_ROUNDER)), vdupq_n_s32(0x7fffff));
    q = vsubq_s32(q, vdupq_n_s32(0x400000));
    return vcvtq_f32_s32(vmaxq_s32(vminq_s32(q, vdupq_n_s32(high)), vdupq_n_s32(low)));
}
PL_INLINE vf v_code(vf x, int low, int high) { return v_code_far(x, low, high); }

#elif PL_LANES == 8
typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;
PL_INLINE vf v_every(float x) { return _mm256_set1_ps(x); }
PL_INLINE vf v_at(const float *base, int stride)
{
    vi lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    if (stride == 1) return _mm256_loadu_ps(base);
    return _mm256_i32gather_ps(base, _mm256_mullo_epi32(lane, _mm256_set1_epi32(stride)), 4);
}
PL_INLINE vf v_fours(const float *base, int stride)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(base)), _mm_loadu_ps(base + 4 * stride), 1);
}
PL_INLINE void v_turn(vf x[4])
{
    vf a = _mm256_unpacklo_ps(x[0], x[1]), b = _mm256_unpackhi_ps(x[0], x[1]);
    vf c = _mm256_unpacklo_ps(x[2], x[3]), d = _mm256_unpackhi_ps(x[2], x[3]);
    x[0] = _mm256_shuffle_ps(a, c, 0x44);
    x[1] = _mm256_shuffle_ps(a, c, 0xee);
    x[2] = _mm256_shuffle_ps(b, d, 0x44);
    x[3] = _mm256_shuffle_ps(b, d, 0xee);
}
PL_INLINE void v_put(vf x, float *base) { _mm256_storeu_ps(base, x); }
PL_INLINE void v_put_codes(vf x, uint8_t *base)
{
    vi q = _mm256_cvtps_epi32(x);
    __m128i pair = _mm_packus_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storel_epi64((__m128i *)(void *)base, _mm_packus_epi16(pair, pair));
}
PL_INLINE vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
PL_INLINE vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
PL_INLINE vf v_abs(vf x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
PL_INLINE vf v_sqrt(vf x) { return _mm256_sqrt_ps(x); }
PL_INLINE vf v_rint(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
PL_INLINE vf v_f16(vf x) { return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }
PL_INLINE vm v_less(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
PL_INLINE vm v_differ(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ); }
PL_INLINE vm v_both(vm a, vm b) { return _mm256_and_ps(a, b); }
PL_INLINE bool v_any(vm m) { return _mm256_movemask_ps(m) != 0; }
PL_INLINE unsigned v_bits(vm m) { return (unsigned)_mm256_movemask_ps(m); }
PL_INLINE vf v_pick(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }
PL_INLINE vf v_clamp(vi q, int low, int high)
{
    q = _mm256_max_epi32(_mm256_min_epi32(q, _mm256_set1_epi32(high)), _mm256_set1_epi32(low));
    return _mm256_cvtepi32_ps(q);
}
PL_INLINE vf v_code(vf x, int low, int high) { return v_clamp(_mm256_cvtps_epi32(x), low, high); }
PL_INLINE vf v_code_far(vf x, int low, int high)
{
    vi bits = _mm256_castps_si256(_mm256_add_ps(x, _mm256_set1_ps(PL_ROUNDER)));
    bits = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffff));
    return v_clamp(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x400000)), low, high);
}

#else
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;
PL_INLINE vf v_every(float x) { return _mm512_set1_ps(x); }
PL_INLINE vf v_at(const float *base, int stride)
{
    vi lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    if (stride == 1) return _mm512_loadu_ps(base);
    return _mm512_i32gather_ps(_mm512_mullo_epi32(lane, _mm512_set1_epi32(stride)), base, 4);
}
PL_INLINE vf v_fours(const float *base, int stride)
{
    vf x = _mm512_castps128_ps512(_mm_loadu_ps(base));
    x = _mm512_insertf32x4(x, _mm_loadu_ps(base + 4 * stride), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps(base + 8 * stride), 2);
    return _mm512_insertf32x4(x, _mm_loadu_ps(base + 12 * stride), 3);
}
PL_INLINE void v_turn(vf x[4])
{
    vf a = _mm512_unpacklo_ps(x[0], x[1]), b = _mm512_unpackhi_ps(x[0], x[1]);
    vf c = _mm512_unpacklo_ps(x[2], x[3]), d = _mm512_unpackhi_ps(x[2], x[3]);
    x[0] = _mm512_shuffle_ps(a, c, 0x44);
    x[1] = _mm512_shuffle_ps(a, c, 0xee);
    x[2] = _mm512_shuffle_ps(b, d, 0x44);
    x[3] = _mm512_shuffle_ps(b, d, 0xee);
}
PL_INLINE void v_put(vf x, float *base) { _mm512_storeu_ps(base, x); }
PL_INLINE void v_put_codes(vf x, uint8_t *base)
{
    _mm_storeu_si128((__m128i *)(void *)base, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}
PL_INLINE vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
PL_INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
PL_INLINE vf v_abs(vf x) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x); }
PL_INLINE vf v_sqrt(vf x) { return _mm512_sqrt_ps(x); }
PL_INLINE vf v_rint(vf x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
PL_INLINE vf v_f16(vf x) { return _mm512_cvtph_ps(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }
PL_INLINE vm v_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
PL_INLINE vm v_differ(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }
PL_INLINE vm v_both(vm a, vm b) { return a & b; }
PL_INLINE bool v_any(vm m) { return m != 0; }
PL_INLINE unsigned v_bits(vm m) { return m; }
PL_INLINE vf v_pick(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
PL_INLINE vf v_clamp(vi q, int low, int high)
{
    q = _mm512_max_epi32(_mm512_min_epi32(q, _mm512_set1_epi32(high)), _mm512_set1_epi32(low));
    return _mm512_cvtepi32_ps(q);
}
PL_INLINE vf v_code(vf x, int low, int high) { return v_clamp(_mm512_cvtps_epi32(x), low, high); }
PL_INLINE vf v_code_far(vf x, int low, int high)
{
    vi bits = _mm512_castps_si512(_mm512_add_ps(x, _mm512_set1_ps(PL_ROUNDER)));
    bits = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffff));
    return v_clamp(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x400000)), low, high);
}
#endif

/* v_at(base + i, n) to x[i] for each i below n, a multiple of 4: groups of n values one after another, one per lane. */
PL_INLINE void v_columns(const float *base, int n, vf *x)
{
#if PL_LANES == 1
    memcpy(x, base, (size_t)n * sizeof *x);
#else
    for (int i = 0; i < n; i += 4) {
        for (int k = 0; k < 4; k++) x[i + k] = v_fours(base + k * n + i, n);
        v_turn(x + i);
    }
#endif
}

#endif
