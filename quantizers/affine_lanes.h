/* affine_lanes.h: MLX's rule for whole-number codes with a scale and a bias per group, and the search for less error,
 * over lanes; a file per instruction set. docs/methods/affine.md has the formulas. */
#ifndef QUANTIZERS_AFFINE_LANES_H
#define QUANTIZERS_AFFINE_LANES_H

#include "quantizers/affine_batch.h"
#include "quantizers/lanes.h"

/* ---- MLX's rule: lanes lie along a group ---- */

PL_INLINE float affine_least(vf x)
{
    float lane[PL_LANES];
    v_put(x, lane);
    for (int half = PL_LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] = lane[i + half] < lane[i] ? lane[i + half] : lane[i];
    return lane[0];
}

PL_INLINE float affine_most(vf x)
{
    float lane[PL_LANES];
    v_put(x, lane);
    for (int half = PL_LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] = lane[i + half] > lane[i] ? lane[i + half] : lane[i];
    return lane[0];
}

/* The nearest whole number within 0 .. top, ties to even. Clamping first changes nothing and keeps to numbers that
 * the rounder can round. */
PL_INLINE vf affine_whole(vf y, float top)
{
    return v_max(v_min(y, v_every(top)), v_every(0.0f)) + v_every(PL_ROUNDER) - v_every(PL_ROUNDER);
}

/* Scale and bias of one group as they come, and codes for these. */
PL_INLINE void affine_reference_group(const float *w, int n, float top, affine_batch *b, int g)
{
    vf low = v_every(INFINITY), high = v_every(-INFINITY);
    for (int i = 0; i < n; i += PL_LANES) {
        vf x = v_at(w + i, 1);
        low = v_min(x, low);
        high = v_max(x, high);
    }
    float least = affine_least(low), most = affine_most(high), edge = most, bias = 0.0f;
    float scale = (most - least) / top;
    if (!(scale > 1e-7f)) scale = 1e-7f;
    if (fabsf(least) > fabsf(most)) edge = least;
    else scale = -scale;
    float steps = rintf(edge / scale);
    if (steps != 0.0f) {
        scale = edge / steps;
        bias = edge;
    }
    for (int i = 0; i < n; i += PL_LANES)
        v_put_codes(affine_whole((v_at(w + i, 1) - v_every(bias)) / v_every(scale), top), b->codes + g * n + i);
    b->scale[g] = scale;
    b->bias[g] = bias;
}

PL_INLINE void affine_encode(const pl_group_rows *r)
{
    affine_batch b;
    int n = r->type->group;
    int64_t total = r->rows * r->cols / n;
    float top = (float)((1 << r->type->bits) - 1);
    for (int64_t first = 0; first < total; first += AFFINE_GROUPS) {
        int groups = (int)pl_min64(AFFINE_GROUPS, total - first);
        for (int g = 0; g < groups; g++) affine_reference_group(r->w + (first + g) * n, n, top, &b, g);
        pl_affine_round(r->type->scale, b.scale, groups);
        pl_affine_round(r->type->scale, b.bias, groups);
        pl_affine_put(r, &b, first, groups);
    }
}

/* ---- the search: one group per lane ---- */

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

/* How much is tried. Few levels: many ranges. Many levels: the range is nearly the whole one, but where the levels lie
 * among the values is luck, and 16-bit floats are coarse against their distance: `around` steps of scale and bias to
 * all sides are worth a look. */
typedef struct affine_effort {
    int starts, tilts;
    float step;
    int around;
} affine_effort;

PL_INLINE affine_effort affine_effort_of(int bits)
{
    if (bits > 5) return (affine_effort){ 11, 0, 0.02f, 2 };
    return (affine_effort){ 9, 2, 0.05f, bits > 3 };
}

/* Lanes' groups: value i of lane k at [i * AFFINE_GROUPS + k], less the group's weighted mean; importance. */
typedef struct affine_group {
    const float *x, *h;                         /* h NULL: all 1 */
    int n;
    float top;
    affine_floats floats;
    vf mean, weight, low, high;                 /* weight: sum of h; low, high: of x */
} affine_group;

/* Sums with codes q: h q, h q q, h q x. */
typedef struct affine_sums { vf q, q2, qx; } affine_sums;

/* A line with least squared error for given codes: scale, bias less the mean, how much of the squares it explains,
 * mean of the codes. */
typedef struct affine_line { vf scale, bias, gain; } affine_line;

PL_INLINE affine_line affine_fit(const affine_group *a, const affine_sums s)
{
    vf mean = s.q / a->weight, spread = s.q2 - mean * s.q, scale = s.qx / spread;
    return (affine_line){ scale, v_every(0.0f) - scale * mean, scale * s.qx };
}

/* For the codes nearest to x * inverse + offset. */
PL_INLINE affine_line affine_try(const affine_group *a, vf inverse, vf offset)
{
    affine_sums s = { v_every(0.0f), v_every(0.0f), v_every(0.0f) };
    for (int i = 0; i < a->n; i++) {
        vf x = v_at(a->x + i * AFFINE_GROUPS, 1);
        vf q = affine_whole(x * inverse + offset, a->top);
        vf hq = q;
        if (a->h) hq = hq * v_at(a->h + i * AFFINE_GROUPS, 1);
        s.q = s.q + hq;
        s.q2 = s.q2 + hq * q;
        s.qx = s.qx + hq * x;
    }
    return affine_fit(a, s);
}

PL_INLINE void affine_better(affine_line *best, const affine_line line)
{
    vm better = v_less(best->gain, line.gain);
    best->scale = v_pick(better, line.scale, best->scale);
    best->bias = v_pick(better, line.bias, best->bias);
    best->gain = v_pick(better, line.gain, best->gain);
}

/* Ranges whose ends are drawn in towards the mean, alike or one more than the other. */
PL_INLINE affine_line affine_start(const affine_group *a, const affine_effort e)
{
    affine_line best = { v_every(0.0f), v_every(0.0f), v_every(0.0f) };
    for (int k = 0; k < e.starts; k++)
        for (int tilt = -e.tilts; tilt <= e.tilts; tilt++) {
            if (k + tilt < 0 || k - tilt < 0) continue;
            vf low = a->low * v_every(1.0f - e.step * (float)(k + tilt));
            vf high = a->high * v_every(1.0f - e.step * (float)(k - tilt));
            vf inverse = v_every(a->top) / (high - low);
            affine_better(&best, affine_try(a, inverse, v_every(0.0f) - low * inverse));
        }
    return best;
}

PL_INLINE affine_line affine_refine(const affine_group *a, affine_line best, int rounds)
{
    for (int k = 0; k < rounds; k++) {
        vf inverse = v_every(1.0f) / best.scale;
        affine_better(&best, affine_try(a, inverse, v_every(0.0f) - best.bias * inverse));
    }
    return best;
}

/* What is stored and what it costs; the line that would fit its codes best. */
typedef struct affine_stored { vf scale, bias, error; } affine_stored;

PL_INLINE affine_line affine_measure(const affine_group *a, vf scale, vf bias, affine_stored *best)
{
    affine_sums s = { v_every(0.0f), v_every(0.0f), v_every(0.0f) };
    vf offset = bias - a->mean, inverse = v_every(1.0f) / scale, error = v_every(0.0f);
    for (int i = 0; i < a->n; i++) {
        vf x = v_at(a->x + i * AFFINE_GROUPS, 1);
        vf q = affine_whole((x - offset) * inverse, a->top), d = x - (q * scale + offset);
        vf hq = q, lost = d * d;
        if (a->h) {
            vf h = v_at(a->h + i * AFFINE_GROUPS, 1);
            hq = hq * h;
            lost = lost * h;
        }
        s.q = s.q + hq;
        s.q2 = s.q2 + hq * q;
        s.qx = s.qx + hq * x;
        error = error + lost;
    }
    vm better = v_less(error, best->error);
    best->scale = v_pick(better, scale, best->scale);
    best->bias = v_pick(better, bias, best->bias);
    best->error = v_pick(better, error, best->error);
    return affine_fit(a, s);
}

/* From this line on, whose bias is at its low end, or, turned around, at its high end. */
PL_INLINE void affine_settle(const affine_group *a, affine_line line, bool turned, int around, affine_stored *best)
{
    vf half = v_every(0.5f * a->top), scale = line.scale, bias = line.bias + a->mean;
    if (turned) {
        bias = bias + scale * v_every(a->top);
        scale = v_every(0.0f) - scale;
    }
    vf from = affine_float(a->floats, scale), middle = bias + scale * half;
    for (int round = 0; round < 2; round++) {
        vf stored = affine_float(a->floats, scale);
        line = affine_measure(a, stored, affine_float(a->floats, bias + (scale - stored) * half), best);
        scale = line.scale;
        bias = line.bias + a->mean;
    }
    /* a quarter of a step of the codes: of the bias, and of the range's ends */
    vf level = v_abs(scale) * v_every(0.25f), slope = level * v_every(2.0f / a->top);
    for (int k = 0; k < around; k++) from = affine_next(a->floats, from, slope, -1.0f);
    for (int k = -around; around && k <= around; k++) {
        vf to = affine_float(a->floats, middle - from * half);
        for (int m = 0; m < around; m++) to = affine_next(a->floats, to, level, -1.0f);
        for (int m = -around; m <= around; m++) {
            affine_measure(a, from, to, best);
            to = affine_next(a->floats, to, level, 1.0f);
        }
        from = affine_next(a->floats, from, slope, 1.0f);
    }
}

/* Scales and biases for PL_LANES groups; `best` has the reference's already. x as in affine_group, but with its mean
 * in it: that is taken out. */
PL_INLINE void affine_search(float *x, const float *h, int n, int bits, const affine_floats floats,
                             affine_stored *best)
{
    const affine_effort effort = affine_effort_of(bits);
    vf sum = v_every(0.0f), weight = sum, low = v_every(INFINITY), high = v_every(-INFINITY);
    for (int i = 0; i < n; i++) {
        vf value = v_at(x + i * AFFINE_GROUPS, 1), each = v_every(1.0f);
        if (h) each = v_at(h + i * AFFINE_GROUPS, 1);
        weight = weight + each;
        sum = sum + each * value;
        low = v_min(value, low);
        high = v_max(value, high);
    }
    vf mean = v_pick(v_less(v_every(0.0f), weight), sum / weight, v_every(0.0f));
    for (int i = 0; i < n; i++) v_put(v_at(x + i * AFFINE_GROUPS, 1) - mean, x + i * AFFINE_GROUPS);
    const affine_group a = { .x = x, .h = h, .n = n, .top = (float)((1 << bits) - 1), .floats = floats, .mean = mean,
                             .weight = weight, .low = low - mean, .high = high - mean };
    affine_line line = affine_refine(&a, affine_start(&a, effort), 3);
    affine_measure(&a, best->scale, best->bias, best);
    affine_settle(&a, line, false, effort.around, best);
    affine_settle(&a, line, true, effort.around, best);
}

/* Codes of group g of w for its scale and bias. */
PL_INLINE void affine_codes(const float *w, int n, float top, affine_batch *b, int g)
{
    vf inverse = v_every(1.0f) / v_every(b->scale[g]), bias = v_every(b->bias[g]);
    for (int i = 0; i < n; i += PL_LANES)
        v_put_codes(affine_whole((v_at(w + g * n + i, 1) - bias) * inverse, top), b->codes + g * n + i);
}

/* weighted: is there importance? Known where this is called, so that loops without it have none to look at. */
PL_INLINE void affine_best(const pl_group_rows *r, bool weighted)
{
    affine_batch b, mine;
    float x[AFFINE_GROUPS * AFFINE_MOST], h[AFFINE_GROUPS * AFFINE_MOST], importance[AFFINE_GROUPS * AFFINE_MOST];
    int n = r->type->group, bits = r->type->bits;
    int64_t total = r->rows * r->cols / n;
    float top = (float)((1 << bits) - 1);
    const affine_floats floats = affine_floats_of(r->type->scale);
    memset(x, 0, sizeof x);
    for (int64_t first = 0; first < total; first += AFFINE_GROUPS) {
        int groups = (int)pl_min64(AFFINE_GROUPS, total - first);
        const float *w = r->w + first * n;
        if (groups < AFFINE_GROUPS) memset(&b, 0, sizeof b);
        for (int g = 0; g < groups; g++) {
            affine_reference_group(w + g * n, n, top, &b, g);
            for (int i = 0; i < n; i++) x[i * AFFINE_GROUPS + g] = w[g * n + i];
        }
        for (int g = 0; weighted && g < AFFINE_GROUPS; g++) {
            memcpy(importance + g * n, r->h + (first + g % groups) * n % r->cols, (size_t)n * sizeof *h);
            for (int i = 0; i < n; i++) h[i * AFFINE_GROUPS + g] = importance[g * n + i];
        }
        pl_affine_round(r->type->scale, b.scale, AFFINE_GROUPS);
        pl_affine_round(r->type->scale, b.bias, AFFINE_GROUPS);
        for (int s = 0; s < AFFINE_GROUPS; s += PL_LANES) {
            affine_stored best = { v_at(b.scale + s, 1), v_at(b.bias + s, 1), v_every(INFINITY) };
            affine_search(x + s, weighted ? h + s : NULL, n, bits, floats, &best);
            v_put(best.scale, mine.scale + s);
            v_put(best.bias, mine.bias + s);
        }
        pl_affine_round(r->type->scale, mine.scale, groups);
        pl_affine_round(r->type->scale, mine.bias, groups);
        for (int g = 0; g < groups; g++) affine_codes(w, n, top, &mine, g);
        pl_affine_keep(w, weighted ? importance : NULL, n, groups, &mine, &b);
        pl_affine_put(r, &b, first, groups);
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
