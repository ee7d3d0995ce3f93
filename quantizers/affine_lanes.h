/* affine_lanes.h: MLX's rule for whole-number codes with a scale and a bias per group, and the search for less error,
 * over lanes; a file per instruction set. docs/methods/affine.md has the formulas. */
#ifndef QUANTIZERS_AFFINE_LANES_H
#define QUANTIZERS_AFFINE_LANES_H

#include "quantizers/affine_search.h"

/* ---- MLX's rule ---- */

/* Scale and bias as they come, for the codes, from the least and the largest value. One group per lane. */
PL_INLINE void affine_rule(vf least, vf most, float top, float *scale, float *bias)
{
    vf zero = v_every(0.0f), step = v_max((most - least) / v_every(top), v_every(1e-7f));
    vm low = v_less(v_abs(most), v_abs(least));
    vf edge = v_pick(low, least, most);
    step = v_pick(low, step, zero - step);
    vf steps = v_rint(edge / step);
    vm some = v_differ(steps, zero);
    v_put(v_pick(some, edge / steps, step), scale);
    v_put(v_pick(some, edge, zero), bias);
}

/* Codes for these. */
PL_INLINE void affine_reference_codes(const float *w, int n, float top, float scale, float bias, uint8_t *codes)
{
    for (int i = 0; i < n; i += PL_LANES)
        v_put_codes(affine_whole((v_at(w + i, 1) - v_every(bias)) / v_every(scale), top), codes + i);
}

PL_INLINE void affine_encode(const pl_group_rows *r)
{
    affine_batch b;
    float low[AFFINE_GROUPS * PL_LANES] = { 0.0f }, high[AFFINE_GROUPS * PL_LANES] = { 0.0f };
    vf each[2][PL_LANES];
    int n = r->type->group;
    int64_t total = r->rows * r->cols / n;
    float top = (float)((1 << r->type->bits) - 1);
    for (int64_t first = 0; first < total; first += AFFINE_GROUPS) {
        int groups = (int)pl_min64(AFFINE_GROUPS, total - first);
        const float *w = r->w + first * n;
        for (int g = 0; g < groups; g++) {
            vf least = v_every(INFINITY), most = v_every(-INFINITY);
            for (int i = g * n; i < (g + 1) * n; i += PL_LANES) {
                least = v_min(v_at(w + i, 1), least);
                most = v_max(v_at(w + i, 1), most);
            }
            v_put(least, low + g * PL_LANES);
            v_put(most, high + g * PL_LANES);
        }
        for (int s = 0; s < AFFINE_GROUPS; s += PL_LANES) {
            v_columns(low + s * PL_LANES, PL_LANES, each[0]);
            v_columns(high + s * PL_LANES, PL_LANES, each[1]);
            for (int i = 1; i < PL_LANES; i++) {
                each[0][0] = v_min(each[0][i], each[0][0]);
                each[1][0] = v_max(each[1][i], each[1][0]);
            }
            affine_rule(each[0][0], each[1][0], top, b.scale + s, b.bias + s);
        }
        for (int g = 0; g < groups; g++)
            affine_reference_codes(w + g * n, n, top, b.scale[g], b.bias[g], b.codes + g * n);
        pl_affine_round(r->type->scale, b.scale, groups);
        pl_affine_round(r->type->scale, b.bias, groups);
        pl_affine_put(r, &b, first, groups);
    }
}

/* ---- the search: scales and biases with one group per lane, codes along groups ---- */

/* Codes nearest to w, of `groups` groups, for scales and biases of b; their weighted squared errors, but for
 * rounding. */
PL_INLINE void affine_codes(const float *w, const float *h, int n, int groups, float top, affine_batch *b, float *error)
{
    float lost[AFFINE_GROUPS * PL_LANES] = { 0.0f };
    vf each[PL_LANES];
    for (int g = 0; g < groups; g++) {
        vf sum = v_every(0.0f), scale = v_every(b->scale[g]), bias = v_every(b->bias[g]);
        vf inverse = v_every(1.0f) / scale;
        for (int i = g * n; i < (g + 1) * n; i += PL_LANES) {
            vf q = affine_whole((v_at(w + i, 1) - bias) * inverse, top), d = v_at(w + i, 1) - (q * scale + bias);
            v_put_codes(q, b->codes + i);
            d = d * d;
            if (h) d = d * v_at(h + i, 1);
            sum = sum + d;
        }
        v_put(sum, lost + g * PL_LANES);
    }
    for (int s = 0; s < AFFINE_GROUPS; s += PL_LANES) {
        v_columns(lost + s * PL_LANES, PL_LANES, each);
        for (int i = 1; i < PL_LANES; i++) each[0] = each[0] + each[i];
        v_put(each[0], error + s);
    }
}

/* Codes of `mine`; where its error would not be below the reference's, that instead. rule: the reference's scales and
 * biases before they are rounded, in b as stored. With the nearest codes these lose no more than with the reference's:
 * where `mine` is clearly better than that, these need not be known. Elsewhere double precision decides, so that the
 * order of sums, which is another for other lanes, does not matter. */
PL_INLINE void affine_keep(const float *w, const float *h, int n, int groups, float top, const affine_batch *rule,
                           affine_batch *b, affine_batch *mine)
{
    float least[AFFINE_GROUPS], error[AFFINE_GROUPS];
    affine_codes(w, h, n, groups, top, b, least);
    affine_codes(w, h, n, groups, top, mine, error);
    for (int g = 0; g < groups; g++) {
        if (least[g] > 1e-30f && least[g] < 1e30f && error[g] < 0.999f * least[g]) continue;
        affine_reference_codes(w + g * n, n, top, rule->scale[g], rule->bias[g], b->codes + g * n);
        if (!pl_affine_less(w, h, n, mine, b, g)) pl_affine_take(b, n, g, mine);
    }
}

/* weighted: is there importance? Known where this is called, so that loops without it have none to look at. */
PL_INLINE void affine_best(const pl_group_rows *r, bool weighted)
{
    affine_batch rule, b, mine;
    float last[AFFINE_GROUPS * AFFINE_MOST], importance[AFFINE_GROUPS * AFFINE_MOST];
    vf x[AFFINE_MOST], h[AFFINE_MOST];
    affine_group a;
    int n = r->type->group;
    int64_t total = r->rows * r->cols / n;
    const affine_floats floats = affine_floats_of(r->type->scale);
    for (int64_t first = 0; first < total; first += AFFINE_GROUPS) {
        int groups = (int)pl_min64(AFFINE_GROUPS, total - first);
        const float *w = r->w + first * n;
        if (groups < AFFINE_GROUPS) {
            memset(last, 0, sizeof last);
            w = memcpy(last, w, (size_t)(groups * n) * sizeof *w);
        }
        for (int g = 0; weighted && g < AFFINE_GROUPS; g++)
            memcpy(importance + g * n, r->h + (first + g % groups) * n % r->cols, (size_t)n * sizeof *importance);
        for (int s = 0; s < AFFINE_GROUPS; s += PL_LANES) {
            v_columns(w + s * n, n, x);
            if (weighted) v_columns(importance + s * n, n, h);
            affine_group_of(&a, x, weighted ? h : NULL, n, r->type->bits, floats);
            affine_rule(a.least, a.most, a.top, rule.scale + s, rule.bias + s);
            affine_stored best = { v_at(rule.scale + s, 1), v_at(rule.bias + s, 1), v_every(INFINITY) };
            affine_search(&a, x, weighted ? h : NULL, &best);
            v_put(best.scale, mine.scale + s);
            v_put(best.bias, mine.bias + s);
        }
        memcpy(b.scale, rule.scale, sizeof b.scale);
        memcpy(b.bias, rule.bias, sizeof b.bias);
        pl_affine_round(r->type->scale, b.scale, AFFINE_GROUPS);
        pl_affine_round(r->type->scale, b.bias, AFFINE_GROUPS);
        pl_affine_round(r->type->scale, mine.scale, AFFINE_GROUPS);
        pl_affine_round(r->type->scale, mine.bias, AFFINE_GROUPS);
        affine_keep(w, weighted ? importance : NULL, n, groups, a.top, &rule, &b, &mine);
        pl_affine_put(r, &mine, first, groups);
    }
}

/* A list's entries. */
static void encode_affine(const pl_group_rows *r) { affine_encode(r); }

static void search_affine(const pl_group_rows *r)
{
    if (r->h) affine_best(r, true);
    else affine_best(r, false);
}

PL_INLINE void affine_list(pl_group_encoders *list)
{
    list->reference[PL_GROUPS_AFFINE] = encode_affine;
    list->best[PL_GROUPS_AFFINE] = search_affine;
}

#endif
