/* iq4_table.h: the entry of the IQ4 table nearest to a value, over lanes (quantizers/lanes.h). */
#ifndef QUANTIZERS_IQ4_TABLE_H
#define QUANTIZERS_IQ4_TABLE_H

#include "core/iq_grids.h"
#include "quantizers/lanes.h"

/* Buckets of width 8 around the multiples of 8: each has at most one middle between two entries. Bucket k, -15 .. 15,
 * is at k mod 32. */
typedef struct iq4_table {
    float middle[32];           /* INFINITY: the bucket has none */
    float below[32], above[32]; /* entries nearest to values below it, and from it on */
    float code[32];             /* of `below`; `above` is the next one */
} iq4_table;

static inline void iq4_table_init(iq4_table *t)
{
    static const float entry[16] = { PL_IQ4_VALUES };
    int code = 0;
    memset(t, 0, sizeof *t);
    for (int k = -15; k <= 15; k++) {
        float middle = code < 15 ? 0.5f * (entry[code] + entry[code + 1]) : INFINITY;
        bool mine = middle < 8.0f * (float)k + 4.0f;
        t->code[k & 31] = (float)code;
        t->below[k & 31] = entry[code];
        t->middle[k & 31] = mine ? middle : INFINITY;
        code += mine;
        t->above[k & 31] = entry[code];
    }
}

/* iq4_bucket: of x in +-120, in the low five bits. iq4_pick: lane i gets from[index[i] & 31]. */
#define IQ4_TO_EIGHTS (8.0f * PL_ROUNDER)
#if PL_LANES == 1
PL_INLINE vi iq4_bucket(vf x) { return (int)(pl_f32_bits(x + IQ4_TO_EIGHTS) & 31u); }
PL_INLINE vf iq4_pick(const float *from, vi index) { return from[index]; }
#elif PL_LANES == 4
PL_INLINE vi iq4_bucket(vf x)
{
    return vandq_s32(vreinterpretq_s32_f32(x + v_every(IQ4_TO_EIGHTS)), vdupq_n_s32(31));
}
PL_INLINE vf iq4_pick(const float *from, vi index)
{
    return (vf){ from[index[0]], from[index[1]], from[index[2]], from[index[3]] };
}
#elif PL_LANES == 8
PL_INLINE vi iq4_bucket(vf x)
{
    return _mm256_and_si256(_mm256_castps_si256(x + v_every(IQ4_TO_EIGHTS)), _mm256_set1_epi32(31));
}
PL_INLINE vf iq4_pick(const float *from, vi index) { return _mm256_i32gather_ps(from, index, 4); }
#else
PL_INLINE vi iq4_bucket(vf x) { return _mm512_castps_si512(x + v_every(IQ4_TO_EIGHTS)); }
PL_INLINE vf iq4_pick(const float *from, vi index)
{
    return _mm512_permutex2var_ps(_mm512_loadu_ps(from), index, _mm512_loadu_ps(from + 16));
}
#endif

/* Beyond the outer middles nothing changes; a NaN counts as large. */
PL_INLINE vf iq4_near(vf x) { return v_max(v_min(x, v_every(120.0f)), v_every(-120.0f)); }

/* The entry nearest to x, of two the larger one. */
PL_INLINE vf iq4_entry(const iq4_table *t, vf x)
{
    vi bucket = iq4_bucket(iq4_near(x));
    vm below = v_less(iq4_near(x), iq4_pick(t->middle, bucket));
    return v_pick(below, iq4_pick(t->below, bucket), iq4_pick(t->above, bucket));
}

/* Its code. */
PL_INLINE vf iq4_code(const iq4_table *t, vf x)
{
    vi bucket = iq4_bucket(iq4_near(x));
    vm below = v_less(iq4_near(x), iq4_pick(t->middle, bucket));
    return iq4_pick(t->code, bucket) + v_pick(below, v_every(0.0f), v_every(1.0f));
}

#endif
