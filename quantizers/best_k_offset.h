/* best_k_offset.h: the search of the K types whose sub-blocks have a scale and a minimum: value = scale * code + low,
 * scale and -low whole numbers times d and min of the block. */
#ifndef QUANTIZERS_BEST_K_OFFSET_H
#define QUANTIZERS_BEST_K_OFFSET_H

#include "quantizers/best_k_lanes.h"

/* How far to look. Ranges of values that the codes span: the lowest and the highest moved inwards by first + k * step
 * steps of the codes, k below lows and highs; rounds that settle the best of them; depth of the second level; rounds
 * of scales for all of the block and for each sub-block. */
typedef struct bk_lines_effort {
    int lows, highs;
    float low_first, low_step, high_first, high_step;
    int settle, tries, rounds;
} bk_lines_effort;

/* value = scale * code + low, low <= 0; error: less the sum of squares of the values. */
typedef struct bk_line { vf scale, low, error; } bk_line;

/* The least-squares line through these codes. */
PL_INLINE bk_line bk_fit_line(const bk_sums *sums, vf sum_w, vf sum_x)
{
    const vf zero = v_every(0.0f);
    vf determinant = sum_w * sums->ll - sums->l * sums->l;
    vf scale = (sum_w * sums->xl - sum_x * sums->l) / determinant;
    vf low = (sums->ll * sum_x - sums->l * sums->xl) / determinant;
    vm above = v_less(zero, low);
    scale = v_pick(above, sums->xl / sums->ll, scale);
    low = v_pick(above, zero, low);
    return (bk_line){ scale, low, zero - scale * sums->xl - low * sum_x };
}

PL_INLINE void bk_better_line(const bk_line *with, bk_line *best)
{
    vm better = v_less(with->error, best->error);
    best->scale = v_pick(better, with->scale, best->scale);
    best->low = v_pick(better, with->low, best->low);
    best->error = v_pick(better, with->error, best->error);
}

/* The best lines found for the sub-blocks each by itself. */
PL_INLINE void bk_fit_lines(const bk_values *v, const bk_form f, const bk_lines_effort e, const bk_state *start,
                            float *scales, float *lows)
{
    for (int s = 0; s < f.subs; s += PL_LANES) {
        const float *x = v->x + s * f.n, *weight = v->weight + s * f.n;
        vf sum_w = v_at(v->sum_w + s, 1), sum_x = v_at(v->sum_x + s, 1), bottom = v_every(0.0f), top = bottom;
        for (int i = 0; i < f.n; i++) {
            vf value = v_at(x + i * PL_LANES, 1);
            bottom = v_min(bottom, value);
            top = i ? v_max(top, value) : value;
        }
        bk_sums sums = { v_at(start->ll + s, 1), v_at(start->l + s, 1), v_at(start->xl + s, 1), bottom };
        bk_line best = bk_fit_line(&sums, sum_w, sum_x);
        best.error = v_pick(v_differ(best.error, best.error), v_every(INFINITY), best.error);
        vf step = (top - bottom) / v_every((float)f.high);
        for (int a = 0; a < e.lows; a++)
            for (int b = 0; b < e.highs; b++) {
                vf low = bottom + step * v_every(e.low_first + e.low_step * (float)a);
                vf high = top - step * v_every(e.high_first + e.high_step * (float)b);
                sums = bk_measure(x, weight, f, (high - low) / v_every((float)f.high), low, BK_SUMS);
                bk_line line = bk_fit_line(&sums, sum_w, sum_x);
                bk_better_line(&line, &best);
            }
        for (int k = 0; k < e.settle; k++) {
            sums = bk_measure(x, weight, f, best.scale, best.low, BK_SUMS);
            bk_line line = bk_fit_line(&sums, sum_w, sum_x);
            bk_better_line(&line, &best);
        }
        v_put(best.scale, scales + s);
        v_put(best.low, lows + s);
    }
}

/* Whole numbers for lines: scales first, then minimums for the scales as they are stored. */
PL_INLINE void bk_store_lines(const bk_values *v, const bk_form f, const bk_lines_effort e, const float *scales,
                              const float *lows, bk_state *out)
{
    float cost[BK_SUBS], target[BK_SUBS];
    for (int s = 0; s < f.subs; s += PL_LANES) {
        vf scale = v_at(scales + s, 1), low = v_at(lows + s, 1), sum_w = v_at(v->sum_w + s, 1);
        bk_sums sums = bk_measure(v->x + s * f.n, v->weight + s * f.n, f, scale, low, BK_SUMS);
        bk_put(f, out, s, scale, low, &sums);
        v_put(v_max(sums.ll - sums.l * sums.l / sum_w, v_every(0.0f)), cost + s);
    }
    bk_levels(f, scales, cost, 0, f.level_high, e.tries, out->d, out->scale);
    for (int s = 0; s < f.subs; s += PL_LANES) {
        vf stored = v_at(out->d + s, 1) * v_at(out->scale + s, 1);
        vf low = (v_at(v->sum_x + s, 1) - stored * v_at(out->l + s, 1)) / v_at(v->sum_w + s, 1);
        v_put(v_max(v_every(0.0f) - low, v_every(0.0f)), target + s);
    }
    bk_levels(f, target, v->sum_w, 0, f.level_high, e.tries, out->min, out->low);
    bk_evaluate(v, f, BK_BOTH, out);
}

/* Scale and minimum of the blocks by least squares, all codes as they are. */
PL_INLINE void bk_refit_lines(const bk_values *v, const bk_form f, bk_state *state)
{
    bk_state next = *state;
    for (int b = 0; b < f.subs; b += f.per_block) {
        float terms[5][BK_SUBS], sum[5];
        for (int i = 0, s = b; i < f.per_block; i++, s++) {
            float scale = state->scale[s], low = state->low[s];
            terms[0][i] = scale * scale * state->ll[s];
            terms[1][i] = scale * low * state->l[s];
            terms[2][i] = low * low * v->sum_w[s];
            terms[3][i] = scale * state->xl[s];
            terms[4][i] = low * v->sum_x[s];
        }
        for (int t = 0; t < 5; t++) sum[t] = bk_sum(terms[t], f.per_block);
        float determinant = sum[0] * sum[2] - sum[1] * sum[1];
        float d = sum[3] / sum[0], min = state->min[b];
        if (determinant > 0.0f) {
            d = (sum[3] * sum[2] - sum[1] * sum[4]) / determinant;
            min = (sum[1] * sum[3] - sum[0] * sum[4]) / determinant;
        }
        bk_every(next.d + b, f.per_block, pl_f16_to_f32(pl_f32_to_f16(d)));
        bk_every(next.min + b, f.per_block, pl_f16_to_f32(pl_f32_to_f16(min)));
    }
    bk_evaluate(v, f, BK_BOTH, &next);
    bk_take_better(f, &next, state);
}

/* The stored minimum that fits a stored scale best, and the other way round, codes as they are. */
PL_INLINE vf bk_low_for(const bk_values *v, const bk_form f, const bk_state *state, int s, vf scale)
{
    vf low = (v_at(state->d + s, 1) * scale * v_at(state->l + s, 1) - v_at(v->sum_x + s, 1)) / v_at(v->sum_w + s, 1);
    return bk_code(low / v_at(state->min + s, 1), 0, f.level_high);
}

PL_INLINE vf bk_scale_for(const bk_values *v, const bk_form f, const bk_state *state, int s, vf low)
{
    vf scale = v_at(state->xl + s, 1) + v_at(state->min + s, 1) * low * v_at(state->l + s, 1);
    return bk_code(scale / v_at(state->ll + s, 1) / v_at(state->d + s, 1), 0, f.level_high);
}

PL_INLINE vf bk_moved(vf code, int by, const bk_form f)
{
    return v_min(v_max(code + v_every((float)by), v_every(0.0f)), v_every((float)f.level_high));
}

/* Sub-blocks by themselves: the line through their codes, then scales and minimums one off. */
PL_INLINE void bk_move_lines(const bk_values *v, const bk_form f, bk_state *state)
{
    for (int s = 0; s < f.subs; s += PL_LANES) {
        bk_sums sums = { v_at(state->ll + s, 1), v_at(state->l + s, 1), v_at(state->xl + s, 1), v_every(0.0f) };
        bk_line line = bk_fit_line(&sums, v_at(v->sum_w + s, 1), v_at(v->sum_x + s, 1));
        vf scale = bk_code(line.scale / v_at(state->d + s, 1), 0, f.level_high);
        bk_try(v, f, s, scale, bk_low_for(v, f, state, s, scale), state);
        for (int by = -1; by <= 1; by += 2) {
            scale = bk_moved(v_at(state->scale + s, 1), by, f);
            bk_try(v, f, s, scale, bk_low_for(v, f, state, s, scale), state);
        }
        for (int by = -1; by <= 1; by += 2) {
            vf low = bk_moved(v_at(state->low + s, 1), by, f);
            bk_try(v, f, s, bk_scale_for(v, f, state, s, low), low, state);
        }
    }
}

/* Improves `state`, which has the reference's blocks and their errors. */
PL_INLINE void bk_search_lines(const bk_values *v, const bk_form f, const bk_lines_effort e, bk_state *state)
{
    float scales[BK_SUBS], lows[BK_SUBS];
    bk_state own;
    bk_fit_lines(v, f, e, state, scales, lows);
    bk_store_lines(v, f, e, scales, lows, &own);
    bk_take_better(f, &own, state);
    for (int round = 0; round < e.rounds; round++) {
        bk_refit_lines(v, f, state);
        bk_move_lines(v, f, state);
    }
    bk_refit_lines(v, f, state);
}

#endif
