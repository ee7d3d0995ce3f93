/* k_lanes.h: the searches for scales and minimums of the K types, one sub-block per lane. Operations and their
 * order are part of the file format: another order gives other bytes. Scales and minimums only; codes follow
 * from the inverse scale that won. */
#ifndef QUANTIZERS_K_LANES_H
#define QUANTIZERS_K_LANES_H

#include "quantizers/lanes.h"

/* Sub-blocks whose largest value is smaller count as zeros. */
#define PL_TINY 1e-15f

/* How to look for a scale and a minimum: n values, codes 0 .. top. Tried are the inverse scales
 * (first + k * step + top) / range, k = 0 .. steps, by squared or absolute error. */
typedef struct pl_k_rule {
    int n, top;
    float first, step;
    int steps;
    bool absolute;
} pl_k_rule;

/* value ~ scale * code + low; the codes are those of (x - bottom) * inverse. */
typedef struct pl_k_offset { vf scale, low, inverse, bottom, weights; } pl_k_offset;

PL_INLINE vf pl_k_error(vf difference, bool absolute)
{
    if (absolute) return v_abs(difference);
    return difference * difference;
}

PL_INLINE pl_k_offset pl_k_search_offset(const vf *x, const vf *w, const pl_k_rule rule)
{
    const vf zero = v_every(0.0f), top = v_every((float)rule.top);
    vf bottom = x[0], high = x[0], sum_w = w[0], sum_x = w[0] * x[0];
    for (int i = 1; i < rule.n; i++) {
        bottom = v_min(x[i], bottom);
        high = v_max(x[i], high);
        sum_w = sum_w + w[i];
        sum_x = sum_x + w[i] * x[i];
    }
    bottom = v_min(zero, bottom);
    vm ranged = v_less(bottom, high);           /* equal values have no range: one code, any scale */
    pl_k_offset best = { .low = bottom, .inverse = top / (high - bottom), .bottom = bottom, .weights = sum_w };
    best.scale = v_every(1.0f) / best.inverse;
    vf least = zero;
    for (int i = 0; i < rule.n; i++) {
        vf l = v_code_far(best.inverse * (x[i] - bottom), 0, rule.top);
        least = least + w[i] * pl_k_error(best.scale * l + bottom - x[i], rule.absolute);
    }
    for (int k = 0; k <= rule.steps; k++) {
        /* the minimum of the best fit so far is where the next codes count from */
        vf from = best.low, code[32], sum_l = zero, sum_l2 = zero, sum_xl = zero;
        vf inverse = v_every(rule.first + rule.step * (float)k + (float)rule.top) / (high - from);
        for (int i = 0; i < rule.n; i++) {
            vf l = v_code_far(inverse * (x[i] - from), 0, rule.top), wl = w[i] * l;
            code[i] = l;
            sum_l = sum_l + wl;
            sum_l2 = sum_l2 + wl * l;
            sum_xl = sum_xl + wl * x[i];
        }
        vf determinant = sum_w * sum_l2 - sum_l * sum_l;
        vf scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
        vf low = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        vm above = v_less(zero, low);
        scale = v_pick(above, sum_xl / sum_l2, scale);
        low = v_pick(above, zero, low);
        vf error = zero;
        for (int i = 0; i < rule.n; i++)
            error = error + w[i] * pl_k_error(scale * code[i] + low - x[i], rule.absolute);
        vm better = v_both(v_less(zero, determinant), v_less(error, least));
        least = v_pick(better, error, least);
        best.scale = v_pick(better, scale, best.scale);
        best.low = v_pick(better, low, best.low);
        best.inverse = v_pick(better, inverse, best.inverse);
        best.bottom = v_pick(better, from, best.bottom);
    }
    best.scale = v_pick(ranged, best.scale, zero);
    best.low = v_pick(ranged, best.low, bottom);
    best.inverse = v_pick(ranged, best.inverse, zero);
    return best;
}

/* value ~ scale * code, codes -range .. range-1 of x * inverse; inverse NaN: a sub-block of zeros. */
typedef struct pl_k_symmetric { vf scale, inverse; } pl_k_symmetric;

/* The value of largest magnitude with its sign; of equals the first. */
PL_INLINE vf pl_k_largest(const vf *x, int n)
{
    vf largest = v_every(0.0f);
    for (int i = 0; i < n; i++)
        largest = v_pick(v_less(v_abs(largest), v_abs(x[i])), x[i], largest);
    return largest;
}

/* w NULL: x^2. */
PL_INLINE pl_k_symmetric pl_k_search_symmetric(const vf *x, const vf *w, int n, int range)
{
    const vf zero = v_every(0.0f);
    vf weight[32], wx[32], largest = pl_k_largest(x, n), best = zero;
    for (int i = 0; i < n; i++) {
        weight[i] = x[i] * x[i];
        if (w) weight[i] = w[i];
        wx[i] = weight[i] * x[i];
    }
    pl_k_symmetric out = { zero, zero };
    for (int round = 0; round < 19; round++) {
        /* 0 first, then -9 .. 9 without it */
        int k = round == 0 ? 0 : round < 10 ? round - 10 : round - 9;
        vf inverse = v_every(-((float)range + 0.1f * (float)k)) / largest;
        vf sum_lx = zero, sum_l2 = zero;
        for (int i = 0; i < n; i++) {
            vf l = v_code(inverse * x[i], -range, range - 1);
            sum_lx = sum_lx + wx[i] * l;
            sum_l2 = sum_l2 + weight[i] * l * l;
        }
        vm better = v_both(v_less(zero, sum_l2), v_less(best * sum_l2, sum_lx * sum_lx));
        vf scale = sum_lx / sum_l2;
        if (round == 0) {
            scale = v_pick(v_differ(sum_l2, zero), scale, zero);
            out = (pl_k_symmetric){ scale, inverse };
            best = scale * sum_lx;
        } else {
            out.scale = v_pick(better, scale, out.scale);
            out.inverse = v_pick(better, inverse, out.inverse);
            best = v_pick(better, scale * sum_lx, best);
        }
    }
    vm zeros = v_less(v_abs(largest), v_every(PL_TINY));
    out.scale = v_pick(zeros, zero, out.scale);
    out.inverse = v_pick(zeros, v_every(NAN), out.inverse);
    return out;
}

/* Range 4, weights x^2: codes -4 .. 3 of a sub-block, and the weighted sums over them. */
typedef struct pl_k_moves { vf largest, sum_lx, sum_l2, code[16]; } pl_k_moves;

/* The codes to begin with: the nearest ones. */
PL_INLINE void pl_k_nearest_codes(const vf x[16], pl_k_moves *m)
{
    vf inverse = v_every(-4.0f) / (m->largest = pl_k_largest(x, 16)), sum_lx = v_every(0.0f), sum_l2 = sum_lx;
    for (int i = 0; i < 16; i++) {
        vf w = x[i] * x[i], code = v_code(inverse * x[i], -4, 3);
        sum_lx = sum_lx + w * x[i] * code;
        sum_l2 = sum_l2 + w * code * code;
        m->code[i] = code;
    }
    m->sum_lx = sum_lx;
    m->sum_l2 = sum_l2;
}

/* Where a round might move a code; elsewhere it surely moves none. A code is left alone if the others' sums are not
 * above zero, or if their scale puts the value so near to it that it is what rounding gives (products round
 * monotonically, so a quotient keeps to bounds its parts keep to); far beyond the ends rounding is another. */
PL_INLINE vm pl_k_may_move(const vf x[16], const pl_k_moves *m)
{
    const vf zero = v_every(0.0f), near = v_every(0.499f), far = v_every(1e6f);
    vf most = zero;
    for (int i = 0; i < 16; i++) {
        vf w = x[i] * x[i], code = m->code[i];
        vf other_lx = m->sum_lx - w * x[i] * code, other_l2 = m->sum_l2 - w * code * code;
        vf high = v_pick(v_less(code, v_every(2.5f)), code + near, far);
        vf low = v_pick(v_less(v_every(-3.5f), code), code - near, zero - far);
        vf target = x[i] * other_l2;
        vm stays = v_both(v_less(target, high * other_lx), v_less(low * other_lx, target));
        most = v_pick(stays, most, v_max(other_lx, most));
    }
    return v_less(zero, most);
}

/* One move of code i where that lowers the error; returns where it does. */
PL_INLINE vm pl_k_move(const vf x[16], int i, pl_k_moves *m)
{
    vf zero = v_every(0.0f), w = x[i] * x[i], wx = w * x[i], code = m->code[i];
    vf other_lx = m->sum_lx - wx * code, other_l2 = m->sum_l2 - w * code * code;
    vf l = v_code_far(x[i] * other_l2 / other_lx, -4, 3);
    vf new_lx = other_lx + wx * l, new_l2 = other_l2 + w * l * l;
    vm better = v_less(m->sum_lx * m->sum_lx * new_l2, new_lx * new_lx * m->sum_l2);
    better = v_both(better, v_both(v_less(zero, new_l2), v_less(zero, other_lx)));
    better = v_both(better, v_differ(l, code));
    m->code[i] = v_pick(better, l, code);
    m->sum_lx = v_pick(better, new_lx, m->sum_lx);
    m->sum_l2 = v_pick(better, new_l2, m->sum_l2);
    return better;
}

/* At most `rounds` rounds of moves, in `n` <= 3 vectors of sub-blocks: none waits for the moves in another. Written out
 * so that no compiler takes one vector after the other. */
PL_INLINE void pl_k_move_rounds(const vf (*x)[16], int n, int rounds, pl_k_moves *m)
{
    bool moved = true;
    for (int round = 0; round < rounds && moved; round++) {
        moved = false;
        for (int i = 0; i < 16; i++) {
            moved |= v_any(pl_k_move(x[0], i, &m[0]));
            if (n > 1) moved |= v_any(pl_k_move(x[1], i, &m[1]));
            if (n > 2) moved |= v_any(pl_k_move(x[2], i, &m[2]));
        }
    }
}

PL_INLINE vf pl_k_moved_scale(const pl_k_moves *m)
{
    vm zeros = v_less(v_abs(m->largest), v_every(PL_TINY));
    vf scale = v_pick(v_less(v_every(0.0f), m->sum_l2), m->sum_lx / m->sum_l2, v_every(0.0f));
    return v_pick(zeros, v_every(0.0f), scale);
}

#endif
