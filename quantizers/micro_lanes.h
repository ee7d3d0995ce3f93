/* micro_lanes.h: MLX's rules for mxfp4, mxfp8 and nvfp4, and the search for less error, over lanes; a file per
 * instruction set. docs/methods/affine.md has the formulas. */
#ifndef QUANTIZERS_MICRO_LANES_H
#define QUANTIZERS_MICRO_LANES_H

#include "quantizers/lanes.h"
#include "quantizers/micro_batch.h"

/* ---- codes ---- */

/* e2m1 of x: the nearest, of ties the smaller, and no negative zero. */
PL_INLINE vf micro_e2m1(vf x)
{
    static const float limit[7] = { 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f };
    vf size = v_abs(x), code = v_every(0.0f), zero = code;
    for (int i = 0; i < 7; i++) code = v_pick(v_less(v_every(limit[i]), size), v_every((float)(i + 1)), code);
    return v_pick(v_both(v_less(x, zero), v_less(zero, code)), code + v_every(8.0f), code);
}

/* The least power of two that is not below x > 0. */
PL_INLINE uint8_t micro_e8m0(float x)
{
    return x > 0x1p-127f ? (uint8_t)((pl_f32_bits(x) + 0x7fffffu) >> 23) : 0;
}

/* Codes of n values that have been divided by their scale. */
PL_INLINE void micro_codes(const micro_rule rule, const float *level, uint8_t *codes)
{
    if (rule.wide)
        for (int i = 0; i < rule.n; i++) codes[i] = micro_e4m3(level[i]);
    else
        for (int i = 0; i < rule.n; i += PL_LANES) v_put_codes(micro_e2m1(v_at(level + i, 1)), codes + i);
}

/* ---- MLX's rules ---- */

/* As the floats that MLX computes in. n: a multiple of the lanes. */
PL_INLINE void micro_round(const pl_dtype *floats, float *x, int n)
{
    if (floats == &pl_dtypes[PL_F16])
        for (int i = 0; i < n; i += PL_LANES) v_put(v_f16(v_at(x + i, 1)), x + i);
    if (floats == &pl_dtypes[PL_BF16])
        for (int i = 0; i < n; i++) {
            uint32_t bits = pl_f32_bits(x[i]);
            x[i] = pl_bits_f32((bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u);
        }
}

PL_INLINE void micro_reference(const micro_work *work, const float *w, micro_batch *b, int g)
{
    const micro_rule rule = work->rule;
    float lane[PL_LANES], largest = 0.0f, level[MICRO_MOST], ideal[PL_LANES];
    vf most = v_every(0.0f);
    for (int i = 0; i < rule.n; i += PL_LANES) most = v_max(v_abs(v_at(w + i, 1)), most);
    v_put(most, lane);
    for (int i = 0; i < PL_LANES; i++) largest = lane[i] > largest ? lane[i] : largest;
    v_put(v_every(largest / rule.most), ideal);
    micro_round(work->floats, ideal, PL_LANES);
    if (rule.power) b->scale[g] = ideal[0] > 0.0f ? micro_e8m0(ideal[0]) : 127;
    else b->scale[g] = micro_e4m3(ideal[0]);
    float scale = work->scale_of[b->scale[g]];
    for (int i = 0; i < rule.n; i++) level[i] = scale > 0.0f ? w[i] / scale : 0.0f;
    /* By a power of two quotients are exact, or so small that it makes no difference. */
    if (!rule.power) micro_round(work->floats, level, rule.n);
    micro_codes(rule, level, b->codes + g * rule.n);
}

PL_INLINE void micro_encode(const pl_group_rows *r)
{
    micro_work work;
    pl_micro_begin(r, &work);
    micro_batch b;
    int n = work.rule.n;
    int64_t total = r->rows * r->cols / n;
    for (int64_t first = 0; first < total; first += MICRO_GROUPS) {
        int groups = (int)pl_min64(MICRO_GROUPS, total - first);
        for (int g = 0; g < groups; g++) micro_reference(&work, r->w + (first + g) * n, &b, g);
        pl_micro_put(r, &work, &b, first, groups);
    }
}

/* ---- the search: one group per lane ---- */

/* The level nearest to y, either one of equals. */
PL_INLINE vf micro_level(const micro_rule rule, vf y)
{
    vf size = v_min(v_abs(y), v_every(rule.most)), level;
    if (rule.wide) {
        vf far = size * v_every(0x1p20f + 1.0f), small = size + v_every(0x1p14f) - v_every(0x1p14f);
        level = v_pick(v_less(size, v_every(0x1p-6f)), small, far - (far - size));
    } else {
        /* steps of 1/2 up to 2, of 1 up to 4, then of 2 */
        vf rounder = v_pick(v_less(size, v_every(4.0f)), v_every(PL_ROUNDER), v_every(2 * PL_ROUNDER));
        rounder = v_pick(v_less(size, v_every(2.0f)), v_every(0.5f * PL_ROUNDER), rounder);
        level = size + rounder - rounder;
    }
    return v_pick(v_less(y, v_every(0.0f)), v_every(0.0f) - level, level);
}

/* Value i of group g at [i * MICRO_GROUPS + g]; h NULL: all 1. */
PL_INLINE vf micro_error(const micro_rule rule, const float *x, const float *h, vf scale)
{
    vf inverse = v_every(1.0f) / scale, error = v_every(0.0f);
    for (int i = 0; i < rule.n; i++) {
        vf value = v_at(x + i * MICRO_GROUPS, 1), lost = value - micro_level(rule, value * inverse) * scale;
        lost = lost * lost;
        if (h) lost = lost * v_at(h + i * MICRO_GROUPS, 1);
        error = error + lost;
    }
    return error;
}

/* The scales around the reference's with the least error. Code 0 of e4m3 means 0 and is left to the reference. */
PL_INLINE void micro_search(const micro_work *work, const float *x, const float *h, const micro_batch *reference,
                            micro_batch *mine)
{
    const micro_rule rule = work->rule;
    float least[MICRO_GROUPS], error[MICRO_GROUPS], scale[MICRO_GROUPS];
    uint8_t code[MICRO_GROUPS];
    int lowest = rule.power ? 0 : 1, last = rule.power ? 254 : 0x7e;
    for (int g = 0; g < MICRO_GROUPS; g++) least[g] = INFINITY;
    for (int k = -rule.below; k <= rule.above; k++) {
        for (int g = 0; g < MICRO_GROUPS; g++) {
            int c = reference->scale[g] + k;
            code[g] = (uint8_t)(c < lowest ? lowest : c > last ? last : c);
            scale[g] = work->scale_of[code[g]];
        }
        for (int s = 0; s < MICRO_GROUPS; s += PL_LANES)
            v_put(micro_error(rule, x + s, h ? h + s : NULL, v_at(scale + s, 1)), error + s);
        for (int g = 0; g < MICRO_GROUPS; g++) {
            if (!(error[g] < least[g])) continue;
            least[g] = error[g];
            mine->scale[g] = code[g];
        }
    }
}

/* weighted: is there importance? */
PL_INLINE void micro_best(const pl_group_rows *r, bool weighted)
{
    micro_work work;
    pl_micro_begin(r, &work);
    float x[MICRO_GROUPS * MICRO_MOST], h[MICRO_GROUPS * MICRO_MOST], importance[MICRO_GROUPS * MICRO_MOST];
    int n = work.rule.n;
    int64_t total = r->rows * r->cols / n;
    memset(x, 0, sizeof x);
    for (int64_t first = 0; first < total; first += MICRO_GROUPS) {
        micro_batch b = { .scale = { 0 } }, mine = b;
        int groups = (int)pl_min64(MICRO_GROUPS, total - first);
        const float *w = r->w + first * n;
        for (int g = 0; g < groups; g++) {
            micro_reference(&work, w + g * n, &b, g);
            for (int i = 0; i < n; i++) x[i * MICRO_GROUPS + g] = w[g * n + i];
        }
        for (int g = 0; weighted && g < MICRO_GROUPS; g++) {
            memcpy(importance + g * n, r->h + (first + g % groups) * n % r->cols, (size_t)n * sizeof *h);
            for (int i = 0; i < n; i++) h[i * MICRO_GROUPS + g] = importance[g * n + i];
        }
        micro_search(&work, x, weighted ? h : NULL, &b, &mine);
        for (int g = 0; g < groups; g++) {
            float level[MICRO_MOST], scale = work.scale_of[mine.scale[g]];
            for (int i = 0; i < n; i++) level[i] = w[g * n + i] / scale;
            micro_codes(work.rule, level, mine.codes + g * n);
        }
        pl_micro_keep(&work, w, weighted ? importance : NULL, groups, &mine, &b);
        pl_micro_put(r, &work, &b, first, groups);
    }
}

/* A list's entries. */
static void encode_micro(const pl_group_rows *r) { micro_encode(r); }

static void search_micro(const pl_group_rows *r)
{
    if (r->h) micro_best(r, true);
    else micro_best(r, false);
}

PL_INLINE void micro_list(pl_group_encoders *list)
{
    list->reference[PL_GROUPS_MICRO] = encode_micro;
    list->best[PL_GROUPS_MICRO] = search_micro;
}

#endif
