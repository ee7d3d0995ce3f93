/* lanes_shorts.h: two 16-bit whole numbers in every lane, for sums that need no floats: twice the values per vector,
 * fewer steps for each, and nothing that rounds differently elsewhere. */
#ifndef QUANTIZERS_LANES_SHORTS_H
#define QUANTIZERS_LANES_SHORTS_H

#include "quantizers/lanes.h"

/* Of each set: vs pairs of 16-bit numbers; vi as in lanes.h, 32-bit numbers.
 *   s_pair(a, b): a and b rounded to nearest, ties to even, within +-32767; what is not a number becomes 32767
 *   s_add(a, b): a + b, what does not fit becomes the least or the largest number
 *   s_scale(a, b): (a * b + 2^14) / 2^15, rounded down; not for -32768 times itself
 *   s_top(a, bits): a / 2^(16 - bits), rounded down: the upper `bits` bits, 1 to 15
 *   s_times(a, b): a * b, where that fits
 *   s_dot(a, b): a0 b0 + a1 b1;  i_add(a, b): a + b;  v_whole(a): as a float */
PL_INLINE vf s_within(vf x) { return v_max(v_min(x, v_every(32767.0f)), v_every(-32767.0f)); }

#if PL_LANES == 1
typedef struct vs { int16_t even, odd; } vs;
PL_INLINE int16_t s_fit(int32_t x) { return (int16_t)(x < -32768 ? -32768 : x > 32767 ? 32767 : x); }
PL_INLINE vs s_every(int16_t x) { return (vs){ x, x }; }
PL_INLINE vs s_pair(vf a, vf b) { return (vs){ (int16_t)pl_nearest(s_within(a)), (int16_t)pl_nearest(s_within(b)) }; }
PL_INLINE vs s_add(vs a, vs b) { return (vs){ s_fit(a.even + b.even), s_fit(a.odd + b.odd) }; }
PL_INLINE vs s_scale(vs a, vs b)
{
    return (vs){ (int16_t)((a.even * b.even + 16384) >> 15), (int16_t)((a.odd * b.odd + 16384) >> 15) };
}
PL_INLINE vs s_top(vs a, int bits) { return (vs){ (int16_t)(a.even >> (16 - bits)), (int16_t)(a.odd >> (16 - bits)) }; }
PL_INLINE vs s_times(vs a, vs b) { return (vs){ (int16_t)(a.even * b.even), (int16_t)(a.odd * b.odd) }; }
PL_INLINE vi s_dot(vs a, vs b) { return a.even * b.even + a.odd * b.odd; }
PL_INLINE vi i_zero(void) { return 0; }
PL_INLINE vi i_add(vi a, vi b) { return a + b; }
PL_INLINE vf v_whole(vi a) { return (float)a; }

#elif PL_LANES == 4
typedef int16x8_t vs;
PL_INLINE vs s_every(int16_t x) { return vdupq_n_s16(x); }
PL_INLINE vs s_pair(vf a, vf b)
{
    int16x4_t even = vmovn_s32(vcvtnq_s32_f32(s_within(a)));
    int16x4_t odd = vmovn_s32(vcvtnq_s32_f32(s_within(b)));
    return vcombine_s16(vzip1_s16(even, odd), vzip2_s16(even, odd));
}
PL_INLINE vs s_add(vs a, vs b) { return vqaddq_s16(a, b); }
PL_INLINE vs s_scale(vs a, vs b) { return vqrdmulhq_s16(a, b); }
PL_INLINE vs s_top(vs a, int bits) { return vshlq_s16(a, vdupq_n_s16((int16_t)(bits - 16))); }
PL_INLINE vs s_times(vs a, vs b) { return vmulq_s16(a, b); }
PL_INLINE vi s_dot(vs a, vs b)
{
    return vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
}
PL_INLINE vi i_zero(void) { return vdupq_n_s32(0); }
PL_INLINE vi i_add(vi a, vi b) { return vaddq_s32(a, b); }
PL_INLINE vf v_whole(vi a) { return vcvtq_f32_s32(a); }

#elif PL_LANES == 8
typedef __m256i vs;
PL_INLINE vs s_every(int16_t x) { return _mm256_set1_epi16(x); }
PL_INLINE vs s_pair(vf a, vf b)
{
    vi odd = _mm256_cvtps_epi32(s_within(b));
    return _mm256_blend_epi16(_mm256_cvtps_epi32(s_within(a)), _mm256_slli_epi32(odd, 16), 0xaa);
}
PL_INLINE vs s_add(vs a, vs b) { return _mm256_adds_epi16(a, b); }
PL_INLINE vs s_scale(vs a, vs b) { return _mm256_mulhrs_epi16(a, b); }
PL_INLINE vs s_top(vs a, int bits) { return _mm256_mulhi_epi16(a, s_every((int16_t)(1 << bits))); }
PL_INLINE vs s_times(vs a, vs b) { return _mm256_mullo_epi16(a, b); }
PL_INLINE vi s_dot(vs a, vs b) { return _mm256_madd_epi16(a, b); }
PL_INLINE vi i_zero(void) { return _mm256_setzero_si256(); }
PL_INLINE vi i_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
PL_INLINE vf v_whole(vi a) { return _mm256_cvtepi32_ps(a); }

#else
typedef __m512i vs;
PL_INLINE vs s_every(int16_t x) { return _mm512_set1_epi16(x); }
PL_INLINE vs s_pair(vf a, vf b)
{
    vi odd = _mm512_cvtps_epi32(s_within(b));
    return _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_cvtps_epi32(s_within(a)), _mm512_slli_epi32(odd, 16));
}
PL_INLINE vs s_add(vs a, vs b) { return _mm512_adds_epi16(a, b); }
PL_INLINE vs s_scale(vs a, vs b) { return _mm512_mulhrs_epi16(a, b); }
PL_INLINE vs s_top(vs a, int bits) { return _mm512_mulhi_epi16(a, s_every((int16_t)(1 << bits))); }
PL_INLINE vs s_times(vs a, vs b) { return _mm512_mullo_epi16(a, b); }
PL_INLINE vi s_dot(vs a, vs b) { return _mm512_madd_epi16(a, b); }
PL_INLINE vi i_zero(void) { return _mm512_setzero_si512(); }
PL_INLINE vi i_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
PL_INLINE vf v_whole(vi a) { return _mm512_cvtepi32_ps(a); }
#endif

#endif
