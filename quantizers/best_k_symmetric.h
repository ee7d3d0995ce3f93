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

/* Two neighbouring vectors of sub-blocks, the second PL_LANES behind the first. */
typedef struct bk_two { vf of[2]; } bk_two;

PL_INLINE bk_two bk_two_at(const float *x) { return (bk_two){ { v_at(x, 1), v_at(x + PL_LANES, 1) } }; }

PL_INLINE void bk_put_two(const bk_two *x, float *to)
{
    v_put(x->of[0], to);
    v_put(x->of[1], to + PL_LANES);
}

/* n <= 2 scales without minimums for each of two vectors of sub-blocks: none's sums wait for those of another. */
PL_INLINE void bk_measure_two(const bk_values *v, const bk_form f, int s, const bk_two *scale, int n, const int *what,
                              bk_sums (*sums)[2])
{
    const float *x[2], *weight[2];
    vf zero = v_every(0.0f), inverse[2][2];
    for (int k = 0; k < 2; k++) {
        x[k] = v->x + (s + k * PL_LANES) * f.n;
        weight[k] = v->weight + (s + k * PL_LANES) * f.n;
        for (int t = 0; t < n; t++) {
            inverse[t][k] = v_every(1.0f) / scale[t].of[k];
            sums[t][k] = bk_no_sums();
        }
    }
    for (int i = 0; i < f.n; i++) {
        bk_add(x[0], weight[0], i, f, scale[0].of[0], inverse[0][0], zero, what[0], &sums[0][0]);
        bk_add(x[1], weight[1], i, f, scale[0].of[1], inverse[0][1], zero, what[0], &sums[0][1]);
        if (n == 1) continue;
        bk_add(x[0], weight[0], i, f, scale[1].of[0], inverse[1][0], zero, what[1], &sums[1][0]);
        bk_add(x[1], weight[1], i, f, scale[1].of[1], inverse[1][1], zero, what[1], &sums[1][1]);
    }
}

/* Sums and errors of what is stored in `to`, or what else is wanted of them. */
PL_INLINE void bk_evaluate_scales(const bk_values *v, const bk_form f, int what, bk_state *to)
{
    for (int s = 0; s < f.subs; s += 2 * PL_LANES) {
        bk_two code = bk_two_at(to->scale + s), scale = bk_two_at(to->d + s);
        bk_sums sums[1][2];
        for (int k = 0; k < 2; k++) scale.of[k] = scale.of[k] * code.of[k];
        bk_measure_two(v, f, s, &scale, 1, &what, sums);
        for (int k = 0; k < 2; k++) bk_put(f, to, s + k * PL_LANES, code.of[k], v_every(0.0f), &sums[0][k]);
    }
}

/* The best scale so far of two vectors of sub-blocks, what its codes explain of the squares, and their squares. */
typedef struct bk_fit { bk_two scale, best, ll; } bk_fit;

/* The least-squares scales of these codes, where they explain more. */
PL_INLINE void bk_take_scales(const bk_sums *sums, bk_fit *fit)
{
    for (int k = 0; k < 2; k++) {
        vf fitted = sums[k].xl / sums[k].ll, explained = fitted * sums[k].xl;
        vm better = v_less(fit->best.of[k], explained);
        fit->best.of[k] = v_pick(better, explained, fit->best.of[k]);
        fit->scale.of[k] = v_pick(better, fitted, fit->scale.of[k]);
        fit->ll.of[k] = v_pick(better, sums[k].ll, fit->ll.of[k]);
    }
}

/* What need not be looked at where no value is beyond that many codes on either side. */
PL_INLINE int bk_within(const bk_form f, float codes)
{
    codes = fabsf(codes);
    return codes > (float)-f.low + 0.4f ? 0 : codes > (float)f.high + 0.4f ? BK_NONE_BELOW
                                                                          : BK_NONE_BELOW | BK_NONE_ABOVE;
}

/* The best scales found for the sub-blocks each by itself, and what a square off them costs. */
PL_INLINE void bk_fit_scales(const bk_values *v, const bk_form f, const bk_scales_effort e, const bk_state *start,
                             float *scales, float *cost)
{
    const vf zero = v_every(0.0f);
    const int plain = BK_SUMS;
    for (int s = 0; s < f.subs; s += 2 * PL_LANES) {
        bk_two extreme = { { zero, zero } }, xl = bk_two_at(start->xl + s);
        bk_fit fit = { .ll = bk_two_at(start->ll + s) };
        bk_sums sums[2][2];
        for (int k = 0; k < 2; k++) {
            const float *x = v->x + (s + k * PL_LANES) * f.n;
            for (int i = 0; i < f.n; i++) {
                vf value = v_at(x + i * PL_LANES, 1);
                extreme.of[k] = v_pick(v_less(v_abs(extreme.of[k]), v_abs(value)), value, extreme.of[k]);
            }
            vf scale = xl.of[k] / fit.ll.of[k];
            vm none = v_differ(scale, scale);
            fit.best.of[k] = v_pick(none, zero, scale * xl.of[k]);
            fit.scale.of[k] = v_pick(none, zero, scale);
        }
        for (int first = 0; first < 2 * e.scales; first += 2) {
            bk_two tried[2];
            int what[2];
            for (int t = 0; t < 2; t++) {
                float end = e.first + e.step * (float)((first + t) % e.scales);
                float code = first + t < e.scales ? (float)f.low + end : (float)f.high - end;
                what[t] = BK_SUMS | bk_within(f, code);
                for (int k = 0; k < 2; k++) tried[t].of[k] = extreme.of[k] / v_every(code);
            }
            bk_measure_two(v, f, s, tried, 2, what, sums);
            bk_take_scales(sums[0], &fit);
            bk_take_scales(sums[1], &fit);
        }
        for (int k = 0; k < e.settle; k++) {
            bk_measure_two(v, f, s, &fit.scale, 1, &plain, sums);
            bk_take_scales(sums[0], &fit);
        }
        bk_put_two(&fit.scale, scales + s);
        bk_put_two(&fit.ll, cost + s);
    }
}

/* The scale of the blocks by least squares, all codes as they are. what: of bk_evaluate_scales, then. */
PL_INLINE void bk_refit_scales(const bk_values *v, const bk_form f, int what, bk_state *state)
{
    bk_state next;
    float squares[BK_SUBS], products[BK_SUBS];
    for (int s = 0; s < f.subs; s += PL_LANES) {
        vf scale = v_at(state->scale + s, 1);
        v_put(scale, next.scale + s);
        v_put(scale * scale * v_at(state->ll + s, 1), squares + s);
        v_put(scale * v_at(state->xl + s, 1), products + s);
    }
    for (int b = 0; b < f.subs; b += f.per_block) {
        vf d = v_f16(v_every(bk_sum(products + b, f.per_block) / bk_sum(squares + b, f.per_block)));
        for (int s = b; s < b + f.per_block; s += PL_LANES) v_put(d, next.d + s);
    }
    bk_evaluate_scales(v, f, what, &next);
    bk_take_better(f, &next, state);
}

/* Codes of scales replace the best where their error is less. */
PL_INLINE void bk_take_code(vf code, vf error, vf *best, vf *least)
{
    vm better = v_less(error, *least);
    *least = v_pick(better, error, *least);
    *best = v_pick(better, code, *best);
}

/* Sub-blocks by themselves: the scale of their codes, then its neighbours. */
PL_INLINE void bk_move_scales(const bk_values *v, const bk_form f, int reach, bk_state *state)
{
    const int errors[2] = { BK_ERROR, BK_ERROR }, plain = BK_SUMS;
    for (int s = 0; s < f.subs; s += 2 * PL_LANES) {
        bk_two d = bk_two_at(state->d + s), best = bk_two_at(state->scale + s), least = bk_two_at(state->error + s);
        bk_two ll = bk_two_at(state->ll + s), xl = bk_two_at(state->xl + s), code[2], scale[2];
        bk_sums sums[2][2];
        for (int k = 0; k < 2; k++) {
            code[0].of[k] = bk_code(xl.of[k] / ll.of[k] / d.of[k], f.level_low, f.level_high);
            scale[0].of[k] = d.of[k] * code[0].of[k];
        }
        bk_measure_two(v, f, s, scale, 1, errors, sums);
        for (int k = 0; k < 2; k++) bk_take_code(code[0].of[k], sums[0][k].error, &best.of[k], &least.of[k]);
        bk_two from = best;
        for (int first = 0; first < 2 * reach; first += 2) {
            for (int t = 0; t < 2; t++) {
                int by = first + t < reach ? first + t - reach : first + t - reach + 1;
                for (int k = 0; k < 2; k++) {
                    code[t].of[k] = bk_code(from.of[k] + v_every((float)by), f.level_low, f.level_high);
                    scale[t].of[k] = d.of[k] * code[t].of[k];
                }
            }
            bk_measure_two(v, f, s, scale, 2, errors, sums);
            for (int t = 0; t < 2; t++)
                for (int k = 0; k < 2; k++)
                    bk_take_code(code[t].of[k], sums[t][k].error, &best.of[k], &least.of[k]);
        }
        for (int k = 0; k < 2; k++) scale[0].of[k] = d.of[k] * best.of[k];
        bk_measure_two(v, f, s, scale, 1, &plain, sums);
        for (int k = 0; k < 2; k++) {
            sums[0][k].error = least.of[k];
            bk_put(f, state, s + k * PL_LANES, best.of[k], v_every(0.0f), &sums[0][k]);
        }
    }
}

/* Improves `state`, which has the reference's blocks and their errors. */
PL_INLINE void bk_search_scales(const bk_values *v, const bk_form f, const bk_scales_effort e, bk_state *state)
{
    float scales[BK_SUBS], cost[BK_SUBS];
    bk_state own;
    bk_fit_scales(v, f, e, state, scales, cost);
    bk_levels(f, scales, cost, f.level_low, f.level_high, e.tries, own.d, own.scale);
    bk_evaluate_scales(v, f, BK_BOTH, &own);
    bk_take_better(f, &own, state);
    for (int round = 0; round < e.rounds; round++) {
        bk_refit_scales(v, f, BK_BOTH, state);
        bk_move_scales(v, f, e.reach, state);
    }
    bk_refit_scales(v, f, BK_ERROR, state);
}

#endif
