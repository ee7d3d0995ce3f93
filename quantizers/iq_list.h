/* iq_list.h: the nearest of a list of neighbours (quantizers/iq_near.h), several points at a time. */
#ifndef QUANTIZERS_IQ_LIST_H
#define QUANTIZERS_IQ_LIST_H

#include <float.h>

#include "quantizers/iq_near.h"
#include "quantizers/lanes.h"

/* What a value adds to a sum depends on one of at most eight levels only, so that all terms are known before the
 * points.
 *   pl_iq_term(levels, scale, x, w): w (scale q - x)^2 for each level's q; levels [16] repeats the four or eight
 *   pl_iq_nearest(list, term, dims, bits): key of the first point with the least sum of its terms, added up in order.
 *   Sums that are not below FLT_MAX do not count; without any other (ggml stops there) it is the first point. */
#if PL_LANES == 1
typedef struct pl_iq_terms { float of[8]; } pl_iq_terms;

PL_INLINE pl_iq_terms pl_iq_term(const float levels[16], float scale, float x, float w)
{
    pl_iq_terms term;
    for (int l = 0; l < 8; l++) {
        float difference = scale * levels[l] - x;
        term.of[l] = w * difference * difference;
    }
    return term;
}

PL_INLINE unsigned pl_iq_nearest(const uint16_t *list, const pl_iq_terms *term, int dims, int bits)
{
    float least = FLT_MAX;
    int at = 1;
    for (int j = 1; j <= list[0]; j++) {
        unsigned key = list[j];
        float sum = term[0].of[key & 7];
        for (int i = 1; i < dims; i++) sum += term[i].of[key >> i * bits & 7];
        if (sum < least) {
            least = sum;
            at = j;
        }
    }
    return list[at];
}

#elif PL_LANES == 8
typedef vf pl_iq_terms;

PL_INLINE pl_iq_terms pl_iq_term(const float levels[16], float scale, float x, float w)
{
    vf difference = v_every(scale) * v_at(levels, 1) - v_every(x);
    return v_every(w) * difference * difference;
}

/* Of `at`, the smallest beside the least of `least`. */
PL_INLINE int v_at_least(vf least, vi at)
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

PL_INLINE unsigned pl_iq_nearest(const uint16_t *list, const pl_iq_terms *term, int dims, int bits)
{
    vf least = v_every(FLT_MAX);
    vi at = _mm256_set1_epi32(1), now = _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8), n = _mm256_set1_epi32(list[0]);
    for (int j = 1; j <= list[0]; j += 8, now = _mm256_add_epi32(now, _mm256_set1_epi32(8))) {
        vi keys = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(list + j)));
        vf sum = _mm256_permutevar8x32_ps(term[0], keys);
        for (int i = 1; i < dims; i++)
            sum = sum + _mm256_permutevar8x32_ps(term[i], _mm256_srli_epi32(keys, i * bits));
        vf beyond = _mm256_castsi256_ps(_mm256_cmpgt_epi32(now, n));
        vf better = _mm256_andnot_ps(beyond, v_less(sum, least));
        least = v_pick(better, sum, least);
        at = _mm256_blendv_epi8(at, now, _mm256_castps_si256(better));
    }
    return list[v_at_least(least, at)];
}

#else
typedef vf pl_iq_terms;

PL_INLINE pl_iq_terms pl_iq_term(const float levels[16], float scale, float x, float w)
{
    vf difference = v_every(scale) * v_at(levels, 1) - v_every(x);
    return v_every(w) * difference * difference;
}

PL_INLINE unsigned pl_iq_nearest(const uint16_t *list, const pl_iq_terms *term, int dims, int bits)
{
    vf least = v_every(FLT_MAX);
    vi at = _mm512_set1_epi32(1), n = _mm512_set1_epi32(list[0]);
    vi now = _mm512_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    for (int j = 1; j <= list[0]; j += 16, now = _mm512_add_epi32(now, _mm512_set1_epi32(16))) {
        vi keys = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(list + j)));
        vf sum = _mm512_permutexvar_ps(keys, term[0]);
        for (int i = 1; i < dims; i++)
            sum = sum + _mm512_permutexvar_ps(_mm512_srli_epi32(keys, (unsigned)(i * bits)), term[i]);
        vm better = _mm512_mask_cmp_ps_mask(_mm512_cmple_epi32_mask(now, n), sum, least, _CMP_LT_OQ);
        least = v_pick(better, sum, least);
        at = _mm512_mask_mov_epi32(at, better, now);
    }
    vm hit = _mm512_cmp_ps_mask(least, v_every(_mm512_reduce_min_ps(least)), _CMP_EQ_OQ);
    if (list[0] <= 16 && !(hit & (hit - 1))) return list[1 + __builtin_ctz(hit)];
    return list[_mm512_mask_reduce_min_epi32(hit, at)];
}
#endif

#endif
