/* best_k_lanes.h: what the searches for least weighted error of the K types share: sub-blocks one per lane, as many
 * as K_SUBS at once, and the second level, whole numbers times the scale of a block. */
#ifndef QUANTIZERS_BEST_K_LANES_H
#define QUANTIZERS_BEST_K_LANES_H

#include "quantizers/k_blocks.h"

/* A type's numbers: values in a sub-block and their codes, codes of scales (and minimums), sub-blocks in a block and
 * in the blocks taken at once. */
typedef struct bk_form { int n, low, high, level_low, level_high, per_block, subs; } bk_form;

/* The sub-blocks of the blocks taken at once. Value i of sub-block s: [s / PL_LANES][i][s % PL_LANES]. */
typedef struct bk_values {
    float x[K_SUBS * 32], weight[K_SUBS * 32];
    float sum_w[K_SUBS], sum_x[K_SUBS];     /* weights, weighted values */
} bk_values;

/* h NULL: all 1. */
PL_INLINE void bk_load(const float *w, const float *h, const bk_form f, bk_values *out)
{
    const int n = f.n;
    for (int s = 0; s < f.subs; s += PL_LANES) {
        vf sum_w = v_every(0.0f), sum_x = sum_w;
        for (int i = 0; i < n; i++) {
            vf x = v_at(w + s * n + i, n), weight = v_every(1.0f);
            if (h) weight = v_at(h + s * n + i, n);
            sum_w = sum_w + weight;
            sum_x = sum_x + weight * x;
            v_put(x, out->x + s * n + i * PL_LANES);
            v_put(weight, out->weight + s * n + i * PL_LANES);
        }
        v_put(sum_w, out->sum_w + s);
        v_put(sum_x, out->sum_x + s);
    }
}

/* The whole number nearest to x from low to high, low for a NaN. */
PL_INLINE vf bk_code(vf x, int low, int high)
{
    x = v_min(v_max(x, v_every((float)low)), v_every((float)high));
    return x + v_every(PL_ROUNDER) - v_every(PL_ROUNDER);
}

/* Sum of n = 8 or 16 numbers, the same order everywhere. */
PL_INLINE float bk_sum(const float *x, int n)
{
    float t[K_SUBS];
    for (int i = 0; i < n / 2; i++) t[i] = x[i] + x[i + n / 2];
    for (int step = n / 4; step; step /= 2)
        for (int i = 0; i < step; i++) t[i] = t[i] + t[i + step];
    return t[0];
}

PL_INLINE void bk_every(float *x, int n, float value)
{
    for (int i = 0; i < n; i++) x[i] = value;
}

/* Weighted sums over the codes of a sub-block: codes squared, codes, codes times values; and the squared error. */
typedef struct bk_sums { vf ll, l, xl, error; } bk_sums;

/* Codes nearest to (x - low) / scale. exact: the error of scale * code + low too. */
PL_INLINE bk_sums bk_measure(const float *x, const float *weight, const bk_form f, vf scale, vf low, bool exact)
{
    bk_sums sums = { v_every(0.0f), v_every(0.0f), v_every(0.0f), v_every(0.0f) };
    vf inverse = v_every(1.0f) / scale;
    for (int i = 0; i < f.n; i++) {
        vf value = v_at(x + i * PL_LANES, 1), w = v_at(weight + i * PL_LANES, 1);
        vf above = value;
        if (f.low == 0) above = value - low;
        vf code = bk_code(above * inverse, f.low, f.high), wl = w * code;
        sums.ll = sums.ll + wl * code;
        if (f.low == 0) sums.l = sums.l + wl;       /* who has no minimum needs it not */
        sums.xl = sums.xl + wl * value;
        if (!exact) continue;
        vf difference = scale * code - above;
        sums.error = sums.error + w * difference * difference;
    }
    return sums;
}

/* What is stored: value = d * scale * code - min * low, all but d and min whole numbers; those are of the block and
 * stand here once per sub-block. And the sums of the nearest codes. Nothing but arrays [K_SUBS] of floats. */
typedef struct bk_state {
    float d[K_SUBS], min[K_SUBS], scale[K_SUBS], low[K_SUBS];
    float ll[K_SUBS], l[K_SUBS], xl[K_SUBS], error[K_SUBS];
} bk_state;

PL_INLINE void bk_put(const bk_form f, bk_state *to, int s, vf scale, vf low, const bk_sums *sums)
{
    v_put(scale, to->scale + s);
    if (f.low == 0) v_put(low, to->low + s);
    v_put(sums->ll, to->ll + s);
    if (f.low == 0) v_put(sums->l, to->l + s);
    v_put(sums->xl, to->xl + s);
    v_put(sums->error, to->error + s);
}

/* Sums and errors of what is stored in `to`. */
PL_INLINE void bk_evaluate(const bk_values *v, const bk_form f, bk_state *to)
{
    for (int s = 0; s < f.subs; s += PL_LANES) {
        vf scale = v_at(to->scale + s, 1), low = v_at(to->low + s, 1);
        bk_sums sums = bk_measure(v->x + s * f.n, v->weight + s * f.n, f, v_at(to->d + s, 1) * scale,
                                  v_every(0.0f) - v_at(to->min + s, 1) * low, true);
        bk_put(f, to, s, scale, low, &sums);
    }
}

/* Blocks of `from` with less error replace those of `to`. */
PL_INLINE void bk_take_better(const bk_form f, const bk_state *from, bk_state *to)
{
    for (int b = 0; b < f.subs; b += f.per_block) {
        if (!(bk_sum(from->error + b, f.per_block) < bk_sum(to->error + b, f.per_block))) continue;
        for (size_t part = 0; part < sizeof *to / sizeof to->d; part++)
            memcpy((float *)to + part * K_SUBS + b, (const float *)from + part * K_SUBS + b,
                   (size_t)f.per_block * sizeof(float));
    }
}

/* Sub-blocks of (scale, low) replace those in `to` where their error is less. */
PL_INLINE void bk_try(const bk_values *v, const bk_form f, int s, vf scale, vf low, bk_state *to)
{
    bk_sums sums = bk_measure(v->x + s * f.n, v->weight + s * f.n, f, v_at(to->d + s, 1) * scale,
                              v_every(0.0f) - v_at(to->min + s, 1) * low, true);
    vm better = v_less(sums.error, v_at(to->error + s, 1));
    sums.ll = v_pick(better, sums.ll, v_at(to->ll + s, 1));
    if (f.low == 0) sums.l = v_pick(better, sums.l, v_at(to->l + s, 1));
    sums.xl = v_pick(better, sums.xl, v_at(to->xl + s, 1));
    sums.error = v_pick(better, sums.error, v_at(to->error + s, 1));
    scale = v_pick(better, scale, v_at(to->scale + s, 1));
    if (f.low == 0) low = v_pick(better, low, v_at(to->low + s, 1));
    bk_put(f, to, s, scale, low, &sums);
}

/* Scales of blocks, d, and codes low .. high so that d * code is near `target`; a square off there counts `cost`. The
 * target of largest magnitude in a block gets one of the `tries` codes at each end other than 0. */
PL_INLINE void bk_levels(const bk_form f, const float *target, const float *cost, int low, int high, int tries,
                         float *d, float *codes)
{
    float extreme[K_SUBS], least[K_SUBS];
    for (int b = 0; b < f.subs; b += f.per_block) {
        float largest = 0.0f;
        for (int s = b; s < b + f.per_block; s++)
            if (fabsf(target[s]) > fabsf(largest)) largest = target[s];
        bk_every(extreme + b, f.per_block, largest);
        bk_every(least + b, f.per_block, INFINITY);
        bk_every(d + b, f.per_block, 0.0f);
    }
    for (int k = 0; k < (low < 0 ? 2 : 1) * tries; k++) {
        float end = (float)(k < tries ? high - k : low + k - tries), tried[K_SUBS], errors[K_SUBS];
        for (int s = 0; s < f.subs; s += PL_LANES) {
            vf scale = v_f16(v_at(extreme + s, 1) / v_every(end)), x = v_at(target + s, 1);
            vf off = x - scale * bk_code(x / scale, low, high);
            v_put(scale, tried + s);
            v_put(v_at(cost + s, 1) * off * off, errors + s);
        }
        for (int b = 0; b < f.subs; b += f.per_block) {
            float error = bk_sum(errors + b, f.per_block);
            if (!(error < least[b])) continue;
            bk_every(least + b, f.per_block, error);
            bk_every(d + b, f.per_block, tried[b]);
        }
    }
    for (int s = 0; s < f.subs; s += PL_LANES)
        v_put(bk_code(v_at(target + s, 1) / v_at(d + s, 1), low, high), codes + s);
}

#endif
