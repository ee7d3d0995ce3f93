/* best_k_symmetric.h: the search of the K types whose sub-blocks have a scale only: value = scale * code, scale a
 * whole number of either sign times d of the block. */
#ifndef QUANTIZERS_BEST_K_SYMMETRIC_H
#define QUANTIZERS_BEST_K_SYMMETRIC_H

#include "quantizers/best_k_lanes.h"

/* How far to look. Scales that give the value of largest magnitude the code low + k * step + first or high - k * step
 * - first, k < scales; rounds that settle the best of them; depth of the second level; rounds of scales for all of
 * the block and for each sub-block; codes of scales tried on either side then. */
typedef struct bk_scales_effort {
    int scales;
    float first, step;
    int settle, tries, rounds, reach;
} bk_scales_effort;

/* The best scales found for the sub-blocks each by itself, and what a square off them costs. */
PL_INLINE void bk_fit_scales(const bk_values *v, const bk_form f, const bk_scales_effort e, const bk_state *start,
                             float *scales, float *cost)
{
    const vf zero = v_every(0.0f);
    for (int s = 0; s < f.subs; s += PL_LANES) {
        const float *x = v->x + s * f.n, *weight = v->weight + s * f.n;
        vf extreme = zero, ll = v_at(start->ll + s, 1), xl = v_at(start->xl + s, 1), scale = xl / ll;
        for (int i = 0; i < f.n; i++) {
            vf value = v_at(x + i * PL_LANES, 1);
            extreme = v_pick(v_less(v_abs(extreme), v_abs(value)), value, extreme);
        }
        vm none = v_differ(scale, scale);
        vf best = v_pick(none, zero, scale * xl);       /* what the codes explain of the squares */
        scale = v_pick(none, zero, scale);
        for (int k = 0; k < 2 * e.scales + e.settle; k++) {
            float end = e.first + e.step * (float)(k % e.scales);
            vf tried = extreme / v_every(k < e.scales ? (float)f.low + end : (float)f.high - end);
            if (k >= 2 * e.scales) tried = scale;
            bk_sums sums = bk_measure(x, weight, f, tried, zero, false);
            vf fitted = sums.xl / sums.ll;
            vm better = v_less(best, fitted * sums.xl);
            best = v_pick(better, fitted * sums.xl, best);
            scale = v_pick(better, fitted, scale);
            ll = v_pick(better, sums.ll, ll);
        }
        v_put(scale, scales + s);
        v_put(ll, cost + s);
    }
}

/* The scale of the blocks by least squares, all codes as they are. */
PL_INLINE void bk_refit_scales(const bk_values *v, const bk_form f, bk_state *state)
{
    bk_state next = *state;
    for (int b = 0; b < f.subs; b += f.per_block) {
        float squares[K_SUBS], products[K_SUBS];
        for (int i = 0, s = b; i < f.per_block; i++, s++) {
            squares[i] = state->scale[s] * state->scale[s] * state->ll[s];
            products[i] = state->scale[s] * state->xl[s];
        }
        float d = bk_sum(products, f.per_block) / bk_sum(squares, f.per_block);
        bk_every(next.d + b, f.per_block, pl_f16_to_f32(pl_f32_to_f16(d)));
    }
    bk_evaluate(v, f, &next);
    bk_take_better(f, &next, state);
}

/* Sub-blocks by themselves: the scale of their codes, then its neighbours. */
PL_INLINE void bk_move_scales(const bk_values *v, const bk_form f, int reach, bk_state *state)
{
    const vf zero = v_every(0.0f);
    for (int s = 0; s < f.subs; s += PL_LANES) {
        vf fitted = v_at(state->xl + s, 1) / v_at(state->ll + s, 1) / v_at(state->d + s, 1);
        bk_try(v, f, s, bk_code(fitted, f.level_low, f.level_high), zero, state);
        vf from = v_at(state->scale + s, 1);
        for (int by = -reach; by <= reach; by++)
            if (by) bk_try(v, f, s, bk_code(from + v_every((float)by), f.level_low, f.level_high), zero, state);
    }
}

/* Improves `state`, which has the reference's blocks and their errors. */
PL_INLINE void bk_search_scales(const bk_values *v, const bk_form f, const bk_scales_effort e, bk_state *state)
{
    float scales[K_SUBS], cost[K_SUBS];
    bk_state own = *state;
    bk_fit_scales(v, f, e, state, scales, cost);
    bk_levels(f, scales, cost, f.level_low, f.level_high, e.tries, own.d, own.scale);
    bk_evaluate(v, f, &own);
    bk_take_better(f, &own, state);
    for (int round = 0; round < e.rounds; round++) {
        bk_refit_scales(v, f, state);
        bk_move_scales(v, f, e.reach, state);
    }
    bk_refit_scales(v, f, state);
}

#endif
