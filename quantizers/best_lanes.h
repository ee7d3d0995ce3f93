/* best_lanes.h: what the searches for least weighted error share (quantizers/lanes.h): batches of groups that lie
 * one per lane, the grids of levels, scales by trial and least squares. */
#ifndef QUANTIZERS_BEST_LANES_H
#define QUANTIZERS_BEST_LANES_H

#include "core/dtype_blocks.h"
#include "quantizers/best_keep.h"
#include "quantizers/iq4_table.h"

/* Groups (values under one scale) that are searched together, however many lanes there are. */
enum { BEST_GROUPS = 16 };

/* Value i of group g lies at [i * BEST_GROUPS + g]; the batch's last groups may be missing and are zeros. */
typedef struct best_batch {
    int n, groups;                              /* values per group, groups that there are */
    const float *w;                             /* the same values, group by group: [groups][n] */
    float x[PL_MAX_BLOCK * BEST_GROUPS], h[PL_MAX_BLOCK * BEST_GROUPS];
    float scale[BEST_GROUPS], offset[BEST_GROUPS];  /* what the search found, as stored */
    uint8_t out[PL_BEST_BYTES];                 /* blocks of those scales */
} best_batch;

/* ---- grids: value = scale * level ---- */

/* Which levels there are. Whole numbers low .. high; 4-bit floats times two; the table of IQ4. */
enum { BEST_WHOLE, BEST_E2M1, BEST_IQ4 };
typedef struct best_grid {
    int kind;
    float low, high;
    const iq4_table *table;
} best_grid;

/* x in low .. high, high for a NaN. */
PL_INLINE vf best_clamp(vf x, float low, float high)
{
    return v_max(v_min(x, v_every(high)), v_every(low));
}

PL_INLINE vf best_whole(vf y, float low, float high)
{
    return best_clamp(y, low, high) + v_every(PL_ROUNDER) - v_every(PL_ROUNDER);
}

/* The level nearest to y, either one of equals. */
PL_INLINE vf best_level(const best_grid g, vf y)
{
    if (g.kind == BEST_WHOLE) return best_whole(y, g.low, g.high);
    if (g.kind == BEST_E2M1) {
        /* steps of 1 up to 4, of 2 up to 8, then of 4 */
        vf size = v_abs(y);
        vf rounder = v_pick(v_less(size, v_every(8.0f)), v_every(2 * PL_ROUNDER), v_every(4 * PL_ROUNDER));
        rounder = v_pick(v_less(size, v_every(4.0f)), v_every(PL_ROUNDER), rounder);
        return best_clamp(y, -12.0f, 12.0f) + rounder - rounder;
    }
    return iq4_entry(g.table, y);
}

/* ---- scales ---- */

PL_INLINE vf best_inverse(vf d) { return v_pick(v_differ(d, v_every(0.0f)), v_every(1.0f) / d, v_every(0.0f)); }

/* 1 / the value of largest magnitude; 0 where that is so small that squares would vanish. */
PL_INLINE vf best_per_extreme(const float *x, int n)
{
    vf extreme = v_every(0.0f);
    for (int i = 0; i < n; i++) {
        vf value = v_at(x + i * BEST_GROUPS, 1);
        extreme = v_pick(v_less(v_abs(extreme), v_abs(value)), value, extreme);
    }
    return v_pick(v_less(v_every(0x1p-60f), v_abs(extreme)), v_every(1.0f) / extreme, v_every(0.0f));
}

/* Weighted sums over a group: levels times values, squared levels; weighted squared error for a given scale. */
typedef struct best_sums { vf qx, q2, error; } best_sums;

PL_INLINE best_sums best_codes(const float *x, const float *h, int n, const best_grid g, vf inverse)
{
    best_sums s = { v_every(0.0f), v_every(0.0f), v_every(0.0f) };
    for (int i = 0; i < n; i++) {
        vf value = v_at(x + i * BEST_GROUPS, 1), q = best_level(g, value * inverse);
        vf hq = v_at(h + i * BEST_GROUPS, 1) * q;
        s.qx = s.qx + hq * value;
        s.q2 = s.q2 + hq * q;
    }
    return s;
}

PL_INLINE vf best_error(const float *x, const float *h, int n, const best_grid g, vf d)
{
    vf inverse = best_inverse(d), error = v_every(0.0f);
    for (int i = 0; i < n; i++) {
        vf value = v_at(x + i * BEST_GROUPS, 1), q = best_level(g, value * inverse);
        vf difference = value - d * q;
        error = error + v_at(h + i * BEST_GROUPS, 1) * difference * difference;
    }
    return error;
}

/* Both: for rounds that go on from the least-squares scale of these codes. */
PL_INLINE best_sums best_measure(const float *x, const float *h, int n, const best_grid g, vf d)
{
    best_sums s = { v_every(0.0f), v_every(0.0f), v_every(0.0f) };
    vf inverse = best_inverse(d);
    for (int i = 0; i < n; i++) {
        vf value = v_at(x + i * BEST_GROUPS, 1), q = best_level(g, value * inverse);
        vf weight = v_at(h + i * BEST_GROUPS, 1), hq = weight * q, difference = value - d * q;
        s.qx = s.qx + hq * value;
        s.q2 = s.q2 + hq * q;
        s.error = s.error + weight * difference * difference;
    }
    return s;
}

/* The best least-squares scale so far, and how much of the squares it explains. */
typedef struct best_found { vf scale, explained; } best_found;

/* Tries the codes of the inverse scales (first + k * step) * per, k < count. */
PL_INLINE void best_try(const float *x, const float *h, int n, const best_grid g, vf per, float first, float step,
                        int count, best_found *found)
{
    for (int k = 0; k < count; k++) {
        best_sums s = best_codes(x, h, n, g, v_every(first + step * (float)k) * per);
        vf scale = s.qx / s.q2, explained = scale * s.qx;
        vm better = v_less(found->explained, explained);
        found->scale = v_pick(better, scale, found->scale);
        found->explained = v_pick(better, explained, found->explained);
    }
}

/* From this scale on: store it as f16, take the codes for what is stored, their least-squares scale, and again.
 * Returns the stored scale of least error. */
PL_INLINE vf best_settle(const float *x, const float *h, int n, const best_grid g, vf scale, int rounds)
{
    vf best = v_every(0.0f), least = v_every(INFINITY);
    for (int r = 0; r < rounds; r++) {
        vf d = v_f16(scale);
        best_sums s = best_measure(x, h, n, g, d);
        vm better = v_less(s.error, least);
        best = v_pick(better, d, best);
        least = v_pick(better, s.error, least);
        scale = s.qx / s.q2;
    }
    return best;
}

/* ---- batches ---- */

PL_INLINE void best_load(best_batch *b, const float *w, const float *h, int64_t cols, int64_t first, int groups,
                         int n)
{
    b->n = n;
    b->groups = groups;
    b->w = w + first * n;
    if (groups < BEST_GROUPS) {
        memset(b->x, 0, sizeof b->x);
        memset(b->h, 0, sizeof b->h);
    }
    for (int g = 0; g < groups; g++) {
        const float *from = h ? h + (first + g) * n % cols : NULL;
        for (int i = 0; i < n; i++) b->x[i * BEST_GROUPS + g] = b->w[g * n + i];
        for (int i = 0; i < n; i++) b->h[i * BEST_GROUPS + g] = from ? from[i] : 1.0f;
    }
}

/* Fills b->out from b->x and b->h. */
typedef void (*best_search)(best_batch *b);

PL_INLINE void best_encode(const pl_dtype *dtype, int n, best_search search, const float *w, const float *h,
                           int64_t rows, int64_t cols, uint8_t *out)
{
    best_batch b;
    int64_t total = rows * cols / n;
    pl_reference_encoder(dtype)(w, h, rows, cols, out);
    for (int64_t first = 0; first < total; first += BEST_GROUPS) {
        int groups = (int)pl_min64(BEST_GROUPS, total - first);
        best_load(&b, w, h, cols, first, groups, n);
        search(&b);
        out = pl_best_keep(dtype, b.w, h, cols, first * n, groups * n, b.out, out);
    }
}

/* A definition of the type under this name; n: values per scale. */
#define BEST_ENCODER(name, dtype, n)                                                                        \
    static void encode_##name(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)     \
    {                                                                                                       \
        best_encode(&pl_dtypes[dtype], n, search_##name, w, h, rows, cols, out);                            \
    }

#endif
