/* iq2_lanes.h: what the encoders on grids of three levels need beside quantizers/lanes.h: keys
 * (quantizers/iq_near.h) in lanes, and the search of a list of neighbours, several points at a time. */
#ifndef QUANTIZERS_IQ2_LANES_H
#define QUANTIZERS_IQ2_LANES_H

#include <float.h>

#include "quantizers/iq_near.h"
#include "quantizers/lanes.h"

/* Keys travel as floats, which hold them exactly.
 *   v_keys(x): the keys as integers
 *   v_odd(keys, i): 2 level + 1 of the i-th value
 *   v_byte(x): the low 8 bits of integers, which may be negative, as floats
 * pl_iq2_nearest(list, x, w, scale): key of the first point that has the least sum over its 8 values q of
 * w (scale q - x)^2, added up in order: a term depends on one of three levels only, so that all terms are known
 * before the points. Sums that are not below FLT_MAX do not count; without any other it is the first point. */
#if PL_LANES == 1
PL_INLINE vi v_keys(vf x) { return (int32_t)x; }
PL_INLINE vf v_odd(vi keys, int i) { return (float)((keys >> 2 * i & 3) * 2 + 1); }
PL_INLINE vf v_byte(vf x) { return (float)((int32_t)x & 255); }

PL_INLINE float pl_iq2_nearest(const uint16_t *list, const float *x, const float *w, float scale)
{
    float term[8][4], least = FLT_MAX;
    int at = 1;
    for (int i = 0; i < 8; i++)
        for (int level = 0; level < 3; level++) {
            float difference = scale * (float)(2 * level + 1) - x[i];
            term[i][level] = w[i] * difference * difference;
        }
    for (int j = 1; j <= list[0]; j++) {
        unsigned key = list[j];
        float sum = term[0][key & 3];
        for (int i = 1; i < 8; i++) sum += term[i][key >> 2 * i & 3];
        if (sum < least) {
            least = sum;
            at = j;
        }
    }
    return (float)list[at];
}

#elif PL_LANES == 8
/* Four entries, twice: the permutation looks at two bits of each index. */
PL_INLINE vf v_four(vf four, vi index) { return _mm256_permutevar_ps(four, index); }
PL_INLINE vf v_odds(void) { return _mm256_setr_ps(1, 3, 5, 7, 1, 3, 5, 7); }
PL_INLINE vi v_keys(vf x) { return _mm256_cvttps_epi32(x); }
PL_INLINE vf v_odd(vi keys, int i) { return v_four(v_odds(), _mm256_srli_epi32(keys, 2 * i)); }
PL_INLINE vf v_byte(vf x)
{
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_cvttps_epi32(x), _mm256_set1_epi32(255)));
}

PL_INLINE int v_first_least(vf least, vi at)
{
    __m128 a = _mm_min_ps(_mm256_castps256_ps128(least), _mm256_extractf128_ps(least, 1));
    a = _mm_min_ps(a, _mm_movehl_ps(a, a));
    a = _mm_min_ss(a, _mm_movehdup_ps(a));
    vf hit = _mm256_cmp_ps(least, _mm256_broadcastss_ps(a), _CMP_EQ_OQ);
    at = _mm256_blendv_epi8(_mm256_set1_epi32(INT32_MAX), at, _mm256_castps_si256(hit));
    __m128i b = _mm_min_epi32(_mm256_castsi256_si128(at), _mm256_extracti128_si256(at, 1));
    b = _mm_min_epi32(b, _mm_unpackhi_epi64(b, b));
    b = _mm_min_epi32(b, _mm_shuffle_epi32(b, 1));
    return _mm_cvtsi128_si32(b);
}

PL_INLINE float pl_iq2_nearest(const uint16_t *list, const float *x, const float *w, float scale)
{
    vf term[8], scaled = _mm256_set1_ps(scale) * v_odds(), least = _mm256_set1_ps(FLT_MAX);
    vi at = _mm256_set1_epi32(1), now = _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8), n = _mm256_set1_epi32(list[0]);
    for (int i = 0; i < 8; i++) {
        vf difference = scaled - _mm256_set1_ps(x[i]);
        term[i] = _mm256_set1_ps(w[i]) * difference * difference;
    }
    for (int j = 1; j <= list[0]; j += 8, now = _mm256_add_epi32(now, _mm256_set1_epi32(8))) {
        vi keys = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(list + j)));
        vf sum = v_four(term[0], keys);
        for (int i = 1; i < 8; i++) sum = sum + v_four(term[i], _mm256_srli_epi32(keys, 2 * i));
        vf beyond = _mm256_castsi256_ps(_mm256_cmpgt_epi32(now, n));
        vf better = _mm256_andnot_ps(beyond, _mm256_cmp_ps(sum, least, _CMP_LT_OQ));
        least = _mm256_blendv_ps(least, sum, better);
        at = _mm256_blendv_epi8(at, now, _mm256_castps_si256(better));
    }
    return (float)list[v_first_least(least, at)];
}

#else
PL_INLINE vf v_four(vf four, vi index) { return _mm512_permutevar_ps(four, index); }
PL_INLINE vf v_odds(void) { return _mm512_broadcast_f32x4(_mm_setr_ps(1, 3, 5, 7)); }
PL_INLINE vi v_keys(vf x) { return _mm512_cvttps_epi32(x); }
PL_INLINE vf v_odd(vi keys, int i) { return v_four(v_odds(), _mm512_srli_epi32(keys, (unsigned)(2 * i))); }
PL_INLINE vf v_byte(vf x)
{
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_cvttps_epi32(x), _mm512_set1_epi32(255)));
}

PL_INLINE float pl_iq2_nearest(const uint16_t *list, const float *x, const float *w, float scale)
{
    vf term[8], scaled = _mm512_set1_ps(scale) * v_odds(), least = _mm512_set1_ps(FLT_MAX);
    vi at = _mm512_set1_epi32(1), n = _mm512_set1_epi32(list[0]);
    vi now = _mm512_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    for (int i = 0; i < 8; i++) {
        vf difference = scaled - _mm512_set1_ps(x[i]);
        term[i] = _mm512_set1_ps(w[i]) * difference * difference;
    }
    for (int j = 1; j <= list[0]; j += 16, now = _mm512_add_epi32(now, _mm512_set1_epi32(16))) {
        vi keys = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(list + j)));
        vf sum = v_four(term[0], keys);
        for (int i = 1; i < 8; i++) sum = sum + v_four(term[i], _mm512_srli_epi32(keys, (unsigned)(2 * i)));
        vm better = _mm512_mask_cmp_ps_mask(_mm512_cmple_epi32_mask(now, n), sum, least, _CMP_LT_OQ);
        least = _mm512_mask_mov_ps(least, better, sum);
        at = _mm512_mask_mov_epi32(at, better, now);
    }
    vm hit = _mm512_cmp_ps_mask(least, _mm512_set1_ps(_mm512_reduce_min_ps(least)), _CMP_EQ_OQ);
    if (list[0] <= 16 && !(hit & (hit - 1))) return (float)list[1 + __builtin_ctz(hit)];
    return (float)list[_mm512_mask_reduce_min_epi32(hit, at)];
}
#endif

#endif
