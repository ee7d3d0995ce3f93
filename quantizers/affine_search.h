/* affine_search.h: scale and bias with less squared error, one group per lane. The tries are in 16-bit whole numbers:
 * docs/methods/affine.md has the formulas. */
#ifndef QUANTIZERS_AFFINE_SEARCH_H
#define QUANTIZERS_AFFINE_SEARCH_H

#include "quantizers/affine_batch.h"
#include "quantizers/lanes_shorts.h"

/* ---- what is stored ---- */

/* The nearest whole number within 0 .. top, ties to even. Clamping first changes nothing and keeps to numbers that
 * the rounder can round. */
PL_INLINE vf affine_whole(vf y, float top)
{
    return v_max(v_min(y, v_every(top)), v_every(0.0f)) + v_every(PL_ROUNDER) - v_every(PL_ROUNDER);
}

/* The floats that scales and biases have to be: x + |x| * step (at least `tiny`) rounds to the next one above. */
typedef struct affine_floats {
    int kind;                                   /* index of the type */
    float step, tiny;
} affine_floats;

PL_INLINE affine_floats affine_floats_of(const pl_dtype *stored)
{
    if (stored == &pl_dtypes[PL_F16]) return (affine_floats){ PL_F16, 1.25f * 0x1p-11f, 0x1p-24f };
    if (stored == &pl_dtypes[PL_BF16]) return (affine_floats){ PL_BF16, 1.25f * 0x1p-8f, 0x1p-133f };
    return (affine_floats){ PL_F32, 1.25f * 0x1p-24f, 0x1p-149f };
}

/* The nearest of them, for the search; of bf16's ties either one. */
PL_INLINE vf affine_float(const affine_floats f, vf x)
{
    if (f.kind == PL_F32) return x;
    if (f.kind == PL_F16) return v_f16(x);
    vf far = x * v_every(65537.0f);
    return far - (far - x);
}

/* A step up or down from x: `by`, but at least to the next float. */
PL_INLINE vf affine_next(const affine_floats f, vf x, vf by, float sign)
{
    vf one = v_max(v_max(v_abs(x) * v_every(f.step), v_every(f.tiny)), by);
    return affine_float(f, x + one * v_every(sign));
}

/* ---- a group and its lines ---- */

/* How much is tried. First ranges whose two ends are drawn in towards the mean, each by one of the first `ends` of
 * `drawn`; then `steps` times 6 around the best, of one end or both, by 1/2, 1/4 ... of a level. Last, with many
 * levels, where 16-bit floats are coarse against their distance: so many steps of the stored scale and bias to both
 * sides. */
typedef struct affine_effort {
    float drawn[3];
    int ends, steps, scales, biases;
} affine_effort;

/* With importance the best range may leave out more: values that matter little. */
PL_INLINE affine_effort affine_effort_of(int bits, bool weighted)
{
    if (bits == 2) return (affine_effort){ { 0.1f, 0.25f, 0.4f }, 3, 3, 0, 0 };
    if (bits == 3) return (affine_effort){ { 0.0f, 0.15f, 0.3f }, 3, 3, 0, 0 };
    if (bits == 4) return (affine_effort){ { 0.0f, 0.12f, 0.3f }, weighted ? 3 : 2, weighted ? 3 : 2, 0, 0 };
    if (bits == 5) return (affine_effort){ { 0.0f, 0.1f, 0.25f }, weighted ? 3 : 2, 2, 0, 0 };
    if (bits == 6) return (affine_effort){ { 0.0f, 0.06f, 0.18f }, weighted ? 3 : 2, 2, 2, 1 };
    return (affine_effort){ { 0.0f, 0.05f, 0.15f }, weighted ? 3 : 1, 2, 4, 1 };
}

/* Pairs of values whose squares of codes are summed in whole numbers. */
enum { AFFINE_RUN = 8 };

/* Lanes' groups, less their weighted means. Whole numbers, values 2i and 2i + 1 in [i]: the largest value is about
 * 32767 units; importance a part of the largest importance. */
typedef struct affine_group {
    vs x[AFFINE_MOST / 2], h[AFFINE_MOST / 2], hx[AFFINE_MOST / 2];     /* h, hx: with importance */
    int pairs, bits;
    float half, top;                            /* 2^(bits - 1), 2^bits - 1 */
    float part;                                 /* of 1 that h's unit is */
    affine_floats floats;
    vf least, most, mean, low, high;            /* of the values; low, high: of these less the mean */
    vf unit, units;                             /* of x; 1 / unit */
    vf weight, weights, sum;                    /* sum of h; 1 / that; sum of h x, in units */
} affine_group;

/* Sums with codes q, counted from -half: h q, h q q, h q x. */
typedef struct affine_sums { vf q, q2, qx; } affine_sums;

/* A line with least squared error for given codes: x = scale * q + middle in units, and how much of the squares it
 * explains. */
typedef struct affine_line { vf scale, middle, gain; } affine_line;

/* With codes nearest to x * inverse + offset, counted from 0. 15 - bits bits of that lie behind the point; twice as
 * much, but not more than fits 16 bits, has the code in its upper bits. */
PL_INLINE affine_sums affine_sums_of(const affine_group *a, bool weighted, vf inverse, vf offset)
{
    vf factor = inverse * (a->unit * v_every((float)(1 << (30 - a->bits))));
    vf add = (offset - v_every(a->half - 0.5f)) * v_every((float)(1 << (15 - a->bits)));
    vs scale = s_pair(factor, factor), shift = s_pair(add, add), count = s_every(0);
    vi q1 = i_zero(), qx = q1;
    vf squares = v_every(0.0f);
    for (int from = 0; from < a->pairs; from += AFFINE_RUN) {
        vi q2 = i_zero();
        for (int i = from; i < from + AFFINE_RUN; i++) {
            vs t = s_add(s_scale(a->x[i], scale), shift), q = s_top(s_add(t, t), a->bits);
            if (weighted) {
                q1 = i_add(q1, s_dot(q, a->h[i]));
                q2 = i_add(q2, s_dot(s_times(q, q), a->h[i]));
                qx = i_add(qx, s_dot(q, a->hx[i]));
            } else {
                count = s_add(count, q);
                q2 = i_add(q2, s_dot(q, q));
                qx = i_add(qx, s_dot(q, a->x[i]));
            }
        }
        squares = squares + v_whole(q2);
    }
    if (!weighted) return (affine_sums){ v_whole(s_dot(count, s_every(1))), squares, v_whole(qx) };
    return (affine_sums){ v_whole(q1) * v_every(a->part), squares * v_every(a->part), v_whole(qx) };
}

PL_INLINE affine_line affine_fit(const affine_group *a, const affine_sums s)
{
    vf mean = s.q * a->weights, together = s.qx - mean * a->sum, scale = together / (s.q2 - mean * s.q);
    return (affine_line){ scale, (a->sum - scale * s.q) * a->weights, scale * together };
}

PL_INLINE vm affine_better(const affine_group *a, bool weighted, vf inverse, vf offset, affine_line *best)
{
    affine_line line = affine_fit(a, affine_sums_of(a, weighted, inverse, offset));
    vm better = v_less(best->gain, line.gain);
    best->scale = v_pick(better, line.scale, best->scale);
    best->middle = v_pick(better, line.middle, best->middle);
    best->gain = v_pick(better, line.gain, best->gain);
    return better;
}

/* ---- tries ---- */

/* Ranges whose ends are drawn in by these parts of their distance from the mean. */
typedef struct affine_range { vf low, high; } affine_range;

PL_INLINE void affine_try(const affine_group *a, bool weighted, vf low, vf high, affine_line *best, affine_range *range)
{
    vf bottom = a->low * (v_every(1.0f) - low), inverse = v_every(a->top) / (a->high * (v_every(1.0f) - high) - bottom);
    vm better = affine_better(a, weighted, inverse, v_every(0.0f) - bottom * inverse, best);
    range->low = v_pick(better, low, range->low);
    range->high = v_pick(better, high, range->high);
}

PL_INLINE affine_line affine_start(const affine_group *a, bool weighted, const affine_effort e)
{
    static const signed char side[6][2] = { { 1, 0 }, { -1, 0 }, { 0, 1 }, { 0, -1 }, { 1, 1 }, { -1, -1 } };
    affine_line best = { v_every(0.0f), v_every(0.0f), v_every(0.0f) };
    affine_range range = { v_every(0.0f), v_every(0.0f) };
    for (int i = 0; i < e.ends * e.ends; i++)
        affine_try(a, weighted, v_every(e.drawn[i / e.ends]), v_every(e.drawn[i % e.ends]), &best, &range);
    float step = 2.0f / a->top;                 /* two levels' distance, if the mean is in the middle */
    for (int k = 0; k < e.steps; k++) {
        const affine_range middle = range;
        step *= 0.5f;
        for (int i = 0; i < 6; i++)
            affine_try(a, weighted, middle.low + v_every(step * (float)side[i][0]),
                       middle.high + v_every(step * (float)side[i][1]), &best, &range);
    }
    vf inverse = a->units / best.scale;         /* once more with the codes of the best line */
    affine_better(a, weighted, inverse, v_every(a->half) - best.middle / best.scale, &best);
    return best;
}

/* What is stored; what it costs in squares of units, but for what all of a group's tries have in common. */
typedef struct affine_stored { vf scale, bias, loss; } affine_stored;

/* With the codes that are nearest then. For these the loss is that of the best line, and a square of what lies
 * between. */
PL_INLINE void affine_measure(const affine_group *a, bool weighted, vf scale, vf bias, affine_stored *best)
{
    vf inverse = v_every(1.0f) / scale;
    affine_sums s = affine_sums_of(a, weighted, inverse, (a->mean - bias) * inverse);
    affine_line line = affine_fit(a, s);
    vf tilt = scale * a->units - line.scale;
    vf apart = (bias - a->mean + scale * v_every(a->half)) * a->units - line.middle;
    vf loss = tilt * (tilt * s.q2 + v_every(2.0f) * apart * s.q) + apart * apart * a->weight - line.gain;
    vm better = v_less(loss, best->loss);
    best->scale = v_pick(better, scale, best->scale);
    best->bias = v_pick(better, bias, best->bias);
    best->loss = v_pick(better, loss, best->loss);
}

/* From this line on, whose bias is at its low end, or, turned around, at its high end. */
PL_INLINE void affine_settle(const affine_group *a, bool weighted, affine_line line, bool turned,
                             const affine_effort e, affine_stored *best)
{
    vf half = v_every(0.5f * a->top), scale = line.scale * a->unit;
    vf middle = a->mean + line.middle * a->unit - scale * v_every(0.5f);    /* of the levels */
    if (turned) scale = v_every(0.0f) - scale;
    /* a quarter of a step of the codes: of the bias, and of the range's ends */
    vf level = v_abs(scale) * v_every(0.25f), slope = level * v_every(2.0f / a->top);
    vf from = affine_float(a->floats, scale);
    for (int k = 0; k < e.scales; k++) from = affine_next(a->floats, from, slope, -1.0f);
    for (int k = -e.scales; k <= e.scales; k++) {
        vf to = affine_float(a->floats, middle - from * half);
        for (int m = 0; m < e.biases; m++) to = affine_next(a->floats, to, level, -1.0f);
        for (int m = -e.biases; m <= e.biases; m++) {
            affine_measure(a, weighted, from, to, best);
            to = affine_next(a->floats, to, level, 1.0f);
        }
        from = affine_next(a->floats, from, slope, 1.0f);
    }
}

/* ---- groups ---- */

/* x: value i of each lane's group at [i]; h: their importance, or NULL. */
PL_INLINE void affine_group_of(affine_group *a, const vf *x, const vf *h, int n, int bits, const affine_floats floats)
{
    vf sum = v_every(0.0f), weight = sum, low = v_every(INFINITY), high = v_every(-INFINITY), most = sum;
    for (int i = 0; i < n; i++) {
        vf each = v_every(1.0f);
        if (h) each = h[i];
        weight = weight + each;
        sum = sum + each * x[i];
        most = v_max(each, most);
        low = v_min(x[i], low);
        high = v_max(x[i], high);
    }
    a->bits = bits;
    a->floats = floats;
    a->least = low;
    a->most = high;
    a->mean = v_pick(v_less(v_every(0.0f), weight), sum / weight, v_every(0.0f));
    a->low = low - a->mean;
    a->high = high - a->mean;
    a->unit = v_max(v_every(0.0f) - a->low, a->high) / v_every(32767.0f);
    a->units = v_every(1.0f) / a->unit;
    a->pairs = n / 2;
    a->half = (float)(1 << (a->bits - 1));
    a->top = 2.0f * a->half - 1.0f;
    /* sums of h q q of a run, up to parts * half^2 for each value, have to stay below 2^31 */
    float parts = h ? (float)pl_min64(32767, (1 << 30) / (2 * AFFINE_RUN << (2 * a->bits - 3)) - 1) : 1.0f;
    a->part = 1.0f / parts;
    vi count = i_zero(), x1 = count;
    vf share = v_every(1.0f) / most;
    for (int i = 0; i < a->pairs; i++) {
        vf even = (x[2 * i] - a->mean) * a->units, odd = (x[2 * i + 1] - a->mean) * a->units;
        a->x[i] = s_pair(even, odd);
        vs h1 = s_every(1), hx = a->x[i];
        if (h) {
            vf even_h = h[2 * i] * share, odd_h = h[2 * i + 1] * share;
            a->hx[i] = hx = s_pair(even * even_h, odd * odd_h);
            a->h[i] = h1 = s_pair(even_h * v_every(parts), odd_h * v_every(parts));
        }
        count = i_add(count, s_dot(h1, s_every(1)));
        x1 = i_add(x1, s_dot(hx, s_every(1)));
    }
    a->weight = v_whole(count) * v_every(a->part);
    a->weights = v_every(1.0f) / a->weight;
    a->sum = v_whole(x1);
}

/* Floats of 32 bits hold more than whole numbers of 16 tell: the best line in floats, for the nearest codes. It leaves
 * next to nothing of values that were decoded from such a type. */
PL_INLINE void affine_polish(const affine_group *a, const vf *x, const vf *h, affine_stored *best)
{
    vf q1 = v_every(0.0f), q2 = q1, qx = q1, x1 = q1, weight = q1;
    vf inverse = v_every(1.0f) / best->scale, offset = (a->mean - best->bias) * inverse;
    for (int i = 0; i < 2 * a->pairs; i++) {
        vf value = x[i] - a->mean, q = affine_whole(value * inverse + offset, a->top), each = v_every(1.0f);
        if (h) each = h[i];
        weight = weight + each;
        x1 = x1 + each * value;
        q1 = q1 + each * q;
        q2 = q2 + each * q * q;
        qx = qx + each * q * value;
    }
    vf mean = q1 / weight, scale = (qx - mean * x1) / (q2 - mean * q1), bias = a->mean + (x1 - scale * q1) / weight;
    vm number = v_both(v_less(v_abs(scale), v_every(INFINITY)), v_less(v_abs(bias), v_every(INFINITY)));
    best->scale = v_pick(number, scale, best->scale);
    best->bias = v_pick(number, bias, best->bias);
}

/* Scales and biases for PL_LANES groups; those of `best` stay where nothing is better. */
PL_INLINE void affine_search(const affine_group *a, const vf *x, const vf *h, affine_stored *best)
{
    const affine_effort effort = affine_effort_of(a->bits, h != NULL);
    affine_line line = affine_start(a, h != NULL, effort);
    affine_settle(a, h != NULL, line, false, effort, best);
    affine_settle(a, h != NULL, line, true, effort, best);
    if (a->floats.kind == PL_F32) affine_polish(a, x, h, best);
}

#endif
