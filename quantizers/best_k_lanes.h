/* best_k_lanes.h: what the searches for least weighted error of the K types share: sub-blocks one per lane, as many
 * BK_SUBS at once, and the second level, whole numbers times the scale of a block. */
#ifndef QUANTIZERS_BEST_K_LANES_H
#define QUANTIZERS_BEST_K_LANES_H

#include "quantizers/k_blocks.h"

/* Sub-blocks taken at once, at most. */
enum { BK_SUBS = K_SUBS * K_PAIR };

/* A type's numbers: values in a sub-block and their codes, codes of scales (and minimums), sub-blocks in a block and
 * in the blocks taken at once. weighted: weights are not all 1. */
typedef struct bk_form { int n, low, high, level_low, level_high, per_block, subs; bool weighted; } bk_form;

/* The sub-blocks of the blocks taken at once. Value i of sub-block s: [s / PL_LANES][i][s % PL_LANES]. */
typedef struct bk_values {
    float x[K_SUBS * 32], weight[K_SUBS * 32];  /* weight: where the form is weighted */
    float sum_w[BK_SUBS], sum_x[BK_SUBS];   /* weights, weighted values */
} bk_values;

PL_INLINE void bk_load(const float *w, const float *h, const bk_form f, bk_values *out)
{
    const int n = f.n;
    for (int s = 0; s < f.subs; s += PL_LANES) {
        vf sum_w = v_every(f.weighted ? 0.0f : (float)n), sum_x = v_every(0.0f), x[32], weight[32];
        v_columns(w + s * n, n, x);
        if (f.weighted) v_columns(h + s * n, n, weight);
        for (int i = 0; i < n; i++) {
            v_put(x[i], out->x + s * n + i * PL_LANES);
            if (f.weighted) {
                v_put(weight[i], out->weight + s * n + i * PL_LANES);
                sum_w = sum_w + weight[i];
                x[i] = weight[i] * x[i];
            }
            sum_x = sum_x + x[i];
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

PL_INLINE float bk_sum(const float *x, int n) { return k_fold(x, n, false); }

PL_INLINE void bk_every(float *x, int n, float value)
{
    for (int i = 0; i < n; i++) x[i] = value;
}

/* sum + code * code of whole numbers: exact, so that it is the same where it is one operation. */
PL_INLINE vf bk_add_square(vf code, vf sum)
{
#if PL_LANES == 16
    return _mm512_fmadd_ps(code, code, sum);
#elif PL_LANES == 8
    return _mm256_fmadd_ps(code, code, sum);
#elif PL_LANES == 4
    return vfmaq_f32(sum, code, code);
#else
    return sum + code * code;
#endif
}

/* Weighted sums over the codes of a sub-block: codes squared, codes, codes times values; and the squared error. */
typedef struct bk_sums { vf ll, l, xl, error; } bk_sums;

/* What to find of the codes; that no (x - low) / scale rounds to a code below the lowest or above the highest. */
enum { BK_SUMS = 1, BK_ERROR = 2, BK_BOTH = BK_SUMS | BK_ERROR, BK_NONE_BELOW = 4, BK_NONE_ABOVE = 8 };

/* Value i of a vector of sub-blocks: the code nearest to (x - low) / scale and the error of scale * code + low go to
 * the sums. */
PL_INLINE void bk_add(const float *x, const float *weight, int i, const bk_form f, vf scale, vf inverse, vf low,
                      int what, bk_sums *sums)
{
    vf value = v_at(x + i * PL_LANES, 1), above = value;
    if (f.low == 0) above = value - low;
    vf code = above * inverse;
    if (!(what & BK_NONE_BELOW)) code = v_max(code, v_every((float)f.low));
    if (!(what & BK_NONE_ABOVE)) code = v_min(code, v_every((float)f.high));
    code = code + v_every(PL_ROUNDER) - v_every(PL_ROUNDER);
    vf wl = code, difference = scale * code - above, off = difference;
    if (f.weighted) {
        wl = v_at(weight + i * PL_LANES, 1) * code;
        off = v_at(weight + i * PL_LANES, 1) * difference;
    }
    if (what & BK_SUMS) {
        if (f.weighted) sums->ll = sums->ll + wl * code;
        else sums->ll = bk_add_square(code, sums->ll);
        if (f.low == 0) sums->l = sums->l + wl;     /* who has no minimum needs it not */
        sums->xl = sums->xl + wl * value;
    }
    if (what & BK_ERROR) sums->error = sums->error + off * difference;
}

PL_INLINE bk_sums bk_no_sums(void)
{
    return (bk_sums){ v_every(0.0f), v_every(0.0f), v_every(0.0f), v_every(0.0f) };
}

PL_INLINE bk_sums bk_measure(const float *x, const float *weight, const bk_form f, vf scale, vf low, int what)
{
    bk_sums sums = bk_no_sums();
    vf inverse = v_every(1.0f) / scale;
    for (int i = 0; i < f.n; i++) bk_add(x, weight, i, f, scale, inverse, low, what, &sums);
    return sums;
}

/* What is stored: value = d * scale * code - min * low, all but d and min whole numbers; those are of the block and
 * stand here once per sub-block. And the sums of the nearest codes. */
typedef struct bk_state {
    float d[BK_SUBS], scale[BK_SUBS], ll[BK_SUBS], xl[BK_SUBS], error[BK_SUBS];
    float min[BK_SUBS], low[BK_SUBS], l[BK_SUBS];   /* of types with minimums */
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

/* Sums and errors of what is stored in `to`, or what else is wanted of them. */
PL_INLINE void bk_evaluate(const bk_values *v, const bk_form f, int what, bk_state *to)
{
    for (int s = 0; s < f.subs; s += PL_LANES) {
        vf scale = v_at(to->scale + s, 1), low = v_at(to->low + s, 1);
        bk_sums sums = bk_measure(v->x + s * f.n, v->weight + s * f.n, f, v_at(to->d + s, 1) * scale,
                                  v_every(0.0f) - v_at(to->min + s, 1) * low, what);
        bk_put(f, to, s, scale, low, &sums);
    }
}

/* Blocks of `from` with less error replace those of `to`. */
PL_INLINE void bk_take_better(const bk_form f, const bk_state *from, bk_state *to)
{
    float mine[BK_SUBS], theirs[BK_SUBS];
    for (int b = 0; b < f.subs; b += f.per_block) {
        bk_every(theirs + b, f.per_block, bk_sum(from->error + b, f.per_block));
        bk_every(mine + b, f.per_block, bk_sum(to->error + b, f.per_block));
    }
    /* the last three only in types with minimums */
    const float *new_parts[] = { from->d, from->scale, from->ll, from->xl, from->error, from->min, from->low, from->l };
    float *parts[] = { to->d, to->scale, to->ll, to->xl, to->error, to->min, to->low, to->l };
    for (int s = 0; s < f.subs; s += PL_LANES) {
        vm better = v_less(v_at(theirs + s, 1), v_at(mine + s, 1));
        for (int k = 0; k < (f.low == 0 ? 8 : 5); k++)
            v_put(v_pick(better, v_at(new_parts[k] + s, 1), v_at(parts[k] + s, 1)), parts[k] + s);
    }
}

/* Sub-blocks of (scale, low) replace those in `to` where their error is less. */
PL_INLINE void bk_try(const bk_values *v, const bk_form f, int s, vf scale, vf low, bk_state *to)
{
    bk_sums sums = bk_measure(v->x + s * f.n, v->weight + s * f.n, f, v_at(to->d + s, 1) * scale,
                              v_every(0.0f) - v_at(to->min + s, 1) * low, BK_BOTH);
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
    enum { TRIES = 8 };     /* room for those of a block */
    const int count = (low < 0 ? 2 : 1) * tries;
    float extreme[2 * TRIES] = { 0 }, end[2 * TRIES] = { 0 }, scale[2 * TRIES], least[2], best[2];
    for (int b = 0, block = 0; b < f.subs; b += f.per_block, block++) {
        float largest = k_largest(target + b, f.per_block);
        for (int k = 0; k < TRIES; k++) {
            extreme[block * TRIES + k] = largest;
            end[block * TRIES + k] = (float)(k < tries ? high - k : low + k - tries);
        }
        least[block] = INFINITY;
        best[block] = 0.0f;
    }
    for (int k = 0; k < f.subs / f.per_block * TRIES; k += PL_LANES)
        v_put(v_f16(v_at(extreme + k, 1) / v_at(end + k, 1)), scale + k);
    for (int k = 0; k < count; k++) {
        float tried[BK_SUBS], errors[BK_SUBS];
        for (int b = 0, block = 0; b < f.subs; b += f.per_block, block++)
            bk_every(tried + b, f.per_block, scale[block * TRIES + k]);
        for (int s = 0; s < f.subs; s += PL_LANES) {
            vf by = v_at(tried + s, 1), x = v_at(target + s, 1);
            vf off = x - by * bk_code(x / by, low, high);
            v_put(v_at(cost + s, 1) * off * off, errors + s);
        }
        for (int b = 0, block = 0; b < f.subs; b += f.per_block, block++) {
            float error = bk_sum(errors + b, f.per_block);
            best[block] = error < least[block] ? scale[block * TRIES + k] : best[block];
            least[block] = error < least[block] ? error : least[block];
        }
    }
    for (int b = 0; b < f.subs; b += f.per_block) bk_every(d + b, f.per_block, best[b / f.per_block]);
    for (int s = 0; s < f.subs; s += PL_LANES)
        v_put(bk_code(v_at(target + s, 1) / v_at(d + s, 1), low, high), codes + s);
}

#endif
