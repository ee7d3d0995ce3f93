/* iq_list.h: levels looked up by keys (quantizers/iq_near.h); the nearest of a list of points, several at a time. */
#ifndef QUANTIZERS_IQ_LIST_H
#define QUANTIZERS_IQ_LIST_H

#include <float.h>

#include "quantizers/iq_near.h"
#include "quantizers/lanes.h"

/* What there is for each of at most eight levels. */
enum { PL_IQ_PARTS = PL_LANES < 8 ? 8 / PL_LANES : 1 };
typedef struct pl_iq_table { vf part[PL_IQ_PARTS]; } pl_iq_table;

/* Keys may travel as floats, which hold them exactly.
 *   v_keys(x): those keys as integers; v_list(list): PL_LANES entries
 *   v_look(table, keys, shift): lane i gets what there is for the level of keys[i] that begins at bit `shift`
 *   v_lowest(x): the least of the lanes; v_first(x, k): the first lane that is k, of some */
#if PL_LANES == 1
PL_INLINE vi v_keys(vf x) { return (int32_t)x; }
PL_INLINE vi v_list(const uint16_t *list) { return list[0]; }
PL_INLINE vf v_look(const pl_iq_table *t, vi keys, int shift) { return t->part[keys >> shift & 7]; }
PL_INLINE float v_lowest(vf x) { return x; }
PL_INLINE int v_first(vf x, float k) { return 0; }

#elif PL_LANES == 4
PL_INLINE vi v_keys(vf x) { return vcvtq_s32_f32(x); }
PL_INLINE vi v_list(const uint16_t *list) { return vreinterpretq_s32_u32(vmovl_u16(vld1_u16(list))); }
/* The bytes 4 k, 4 k + 1, 4 k + 2, 4 k + 3 of the floats. */
PL_INLINE vf v_look(const pl_iq_table *t, vi keys, int shift)
{
    const uint8x16x2_t bytes = { { vreinterpretq_u8_f32(t->part[0]), vreinterpretq_u8_f32(t->part[1]) } };
    keys = vandq_s32(vshlq_s32(keys, vdupq_n_s32(-shift)), vdupq_n_s32(7));
    keys = vmlaq_s32(vdupq_n_s32(0x03020100), keys, vdupq_n_s32(0x04040404));
    return vreinterpretq_f32_u8(vqtbl2q_u8(bytes, vreinterpretq_u8_s32(keys)));
}
PL_INLINE float v_lowest(vf x) { return vminvq_f32(x); }
PL_INLINE int v_first(vf x, float k)
{
    const uint32x4_t lanes = { 0, 1, 2, 3 };
    return (int)vminvq_u32(vornq_u32(lanes, vceqq_f32(x, v_every(k))));
}

#elif PL_LANES == 8
PL_INLINE vi v_keys(vf x) { return _mm256_cvttps_epi32(x); }
PL_INLINE vi v_list(const uint16_t *list)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)list));
}
PL_INLINE vf v_look(const pl_iq_table *t, vi keys, int shift)
{
    return _mm256_permutevar8x32_ps(t->part[0], _mm256_srli_epi32(keys, shift));
}
PL_INLINE float v_lowest(vf x)
{
    __m128 a = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    a = _mm_min_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_min_ss(a, _mm_movehdup_ps(a)));
}
PL_INLINE int v_first(vf x, float k)
{
    return __builtin_ctz((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x, v_every(k), _CMP_EQ_OQ)));
}

#else
PL_INLINE vi v_keys(vf x) { return _mm512_cvttps_epi32(x); }
PL_INLINE vi v_list(const uint16_t *list)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)list));
}
PL_INLINE vf v_look(const pl_iq_table *t, vi keys, int shift)
{
    return _mm512_permutexvar_ps(_mm512_srli_epi32(keys, (unsigned)shift), t->part[0]);
}
PL_INLINE float v_lowest(vf x) { return _mm512_reduce_min_ps(x); }
PL_INLINE int v_first(vf x, float k) { return __builtin_ctz(_mm512_cmp_ps_mask(x, v_every(k), _CMP_EQ_OQ)); }
#endif

/* levels [16] repeats the four or eight: a key's next bits do not matter. */
PL_INLINE pl_iq_table pl_iq_levels(const float levels[16])
{
    pl_iq_table t;
    for (int p = 0; p < PL_IQ_PARTS; p++) t.part[p] = v_at(levels + p * PL_LANES, 1);
    return t;
}

/* w (scale q - x)^2 for each level's q. */
PL_INLINE pl_iq_table pl_iq_term(const pl_iq_table q, float scale, float x, float w)
{
    pl_iq_table t;
    for (int p = 0; p < PL_IQ_PARTS; p++) {
        vf difference = v_every(scale) * q.part[p] - v_every(x);
        t.part[p] = v_every(w) * difference * difference;
    }
    return t;
}

PL_INLINE pl_iq_table pl_iq_times(const pl_iq_table q, float factor)
{
    pl_iq_table t;
    for (int p = 0; p < PL_IQ_PARTS; p++) t.part[p] = v_every(factor) * q.part[p];
    return t;
}

typedef struct pl_iq_found { unsigned key; float sum; } pl_iq_found;

/* The first of n > 0 points with the least sum of its values' terms, added up in order; turn not NULL: the least of the
 * values' `turn` on top. Terms depend on one of few levels each, so that they are known before the points. Sums that
 * are not below FLT_MAX do not count; without any other (ggml stops there) it is the first point. Behind the keys
 * there are PL_IQ_NEAR_SPARE more to read. */
PL_INLINE pl_iq_found pl_iq_nearest(const uint16_t *key, int n, const pl_iq_table *term, const pl_iq_table *turn,
                                    int dims, int bits)
{
    static const float places[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    vf least = v_every(FLT_MAX), at = v_every(0.0f), now = v_at(places, 1), end = v_every((float)n);
    for (int j = 0; j < n; j += PL_LANES, now = now + v_every((float)PL_LANES)) {
        vi keys = v_list(key + j);
        vf sum = v_look(term, keys, 0);
        for (int i = 1; i < dims; i++) sum = sum + v_look(&term[i], keys, i * bits);
        if (turn) {
            vf lowest = v_look(turn, keys, 0);
            for (int i = 1; i < dims; i++) lowest = v_min(lowest, v_look(&turn[i], keys, i * bits));
            sum = sum + lowest;
        }
        vm better = v_less(sum, least);
        if (PL_LANES > 1) better = v_both(better, v_less(now, end));
        else if (!v_any(better)) continue;
        least = v_pick(better, sum, least);
        at = v_pick(better, now, at);
    }
    float sum = v_lowest(least);
    if (n <= PL_LANES) return (pl_iq_found){ key[v_first(least, sum)], sum };
    at = v_pick(v_differ(least, v_every(sum)), v_every(FLT_MAX), at);
    return (pl_iq_found){ key[(int)v_lowest(at)], sum };
}

#endif
