/* iq1_blocks.h: encoders of iq1_s and iq1_m over lanes (quantizers/lanes.h), one sub-block per lane: iq1.c has them
 * in plain C, the definition, iq1_neon.c, iq1_avx*.c with 4, 8 and 16 sub-blocks at a time. */
#ifndef QUANTIZERS_IQ1_BLOCKS_H
#define QUANTIZERS_IQ1_BLOCKS_H

#include "quantizers/encoders.h"
#include "quantizers/iq_list.h"
#include "quantizers/iq_pack.h"
#include "quantizers/iq_parts.h"

/* Values of a block and of a group that one code stands for; sub-blocks that are encoded at once: a block of iq1_m,
 * two of iq1_s; values and groups of a sub-block, at most. */
enum { IQ1_BLOCK = 256, IQ1_GROUP = 8, IQ1_BATCH = 16, IQ1_SUB = 32, IQ1_GROUPS = 4 };

/* Levels 0 1 2 stand for -1 0 1 with an eighth added [0] or subtracted [1]. An iq1_s sub-block has one sign for its
 * eighths, an iq1_m sub-block one for each of its two groups: bit 1 of `minus` is that of the first group, bit 0 that
 * of the others. */
#define IQ1_FOUR_TIMES(...) { __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__ }
static const float iq1_levels[2][16] = { IQ1_FOUR_TIMES(-0.875f, 0.125f, 1.125f, 0.0f),
                                         IQ1_FOUR_TIMES(-1.125f, -0.125f, 0.875f, 0.0f) };

typedef struct iq1_rule {
    int dtype, n;               /* values of a sub-block */
    float tiny;                 /* sub-blocks whose largest value is smaller count as zeros */
    float adjust;               /* times d before it is stored */
    bool fitted;                /* d by least squares for the codes of scales */
} iq1_rule;

typedef struct iq1_batch {
    float x[IQ1_BATCH * IQ1_SUB], weight[IQ1_BATCH * IQ1_SUB];
    float rank[IQ1_SUB][IQ1_BATCH];             /* places in rising order; equal values stay in theirs */
    /* what the search found: a code of iq1_split, or -1: no scale; what follows from it: signs of eighths, points */
    float scale[IQ1_BATCH], split[IQ1_BATCH];
    int minus[IQ1_BATCH], index[IQ1_BATCH][IQ1_GROUPS];
} iq1_batch;

/* The first `low` values in rising order get level 0, those from `high` on level 2. */
PL_INLINE float iq1_split(int low, int high, int minus) { return (float)((low << 6 | high) << 2 | minus); }

/* ggml sorts by the C library's qsort, where glibc's is stable; ranks need no sorting. */
PL_INLINE void iq1_rank(const vf *x, int n, vf *rank)
{
    const vf zero = v_every(0.0f), one = v_every(1.0f);
    for (int i = 0; i < n; i++) rank[i] = zero;
    for (int i = 1; i < n; i++)
        for (int j = 0; j < i; j++) {
            vm after = v_less(x[i], x[j]);      /* the later value comes first only if it is smaller */
            rank[i] = rank[i] + v_pick(after, zero, one);
            rank[j] = rank[j] + v_pick(after, one, zero);
        }
}

/* Sums of the first 0 .. n values in rising order: of weight * value and of weight, of those in group `half` of an
 * iq1_m sub-block or, half < 0, of all. */
typedef struct iq1_sums { vf x[IQ1_SUB + 1], w[IQ1_SUB + 1]; } iq1_sums;

PL_INLINE void iq1_add_up(const iq1_batch *b, int s, int n, int half, iq1_sums *sums)
{
    float x[IQ1_SUB * PL_LANES], w[IQ1_SUB * PL_LANES];
    for (int i = 0; i < n; i++)
        for (int lane = 0; lane < PL_LANES; lane++) {
            int from = (s + lane) * n + i, to = (int)b->rank[i][s + lane] * PL_LANES + lane;
            bool counts = half < 0 || i / IQ1_GROUP == half;
            x[to] = counts ? b->weight[from] * b->x[from] : 0.0f;
            w[to] = counts ? b->weight[from] : 0.0f;
        }
    sums->x[0] = sums->w[0] = v_every(0.0f);
    for (int i = 0; i < n; i++) {
        sums->x[i + 1] = sums->x[i] + v_at(x + i * PL_LANES, 1);
        sums->w[i + 1] = sums->w[i] + v_at(w + i * PL_LANES, 1);
    }
}

typedef struct iq1_best { vf score, scale, split; } iq1_best;

/* A least-squares scale qx / q2 stays if it explains more of the values than the best before. */
PL_INLINE void iq1_take(iq1_best *best, vf qx, vf q2, float split)
{
    vm better = v_both(v_less(v_every(0.0f), q2), v_less(best->score * q2, qx * qx));
    if (!v_any(better)) return;
    vf scale = qx / q2;
    best->scale = v_pick(better, scale, best->scale);
    best->score = v_pick(better, scale * qx, best->score);
    best->split = v_pick(better, v_every(split), best->split);
}

PL_INLINE vf iq1_times2(vf x, float factor) { return x * v_every(factor) * v_every(factor); }

/* All ways to give levels to the values in rising order, with eighths of both signs. */
PL_INLINE void iq1_search_s(const iq1_batch *b, int s, iq1_best *best)
{
    enum { N = 32 };
    iq1_sums sums;
    vf top_x[2][N + 1], top_w[2][N + 1];        /* what level 2 contributes if it begins there */
    iq1_add_up(b, s, N, -1, &sums);
    for (int minus = 0; minus < 2; minus++)
        for (int i = 0; i <= N; i++) {
            top_x[minus][i] = (sums.x[N] - sums.x[i]) * v_every(iq1_levels[minus][2]);
            top_w[minus][i] = iq1_times2(sums.w[N] - sums.w[i], iq1_levels[minus][2]);
        }
    for (int low = 0; low <= N; low++) {
        vf low_x[2], low_w[2];
        for (int minus = 0; minus < 2; minus++) {
            low_x[minus] = sums.x[low] * v_every(iq1_levels[minus][0]);
            low_w[minus] = iq1_times2(sums.w[low], iq1_levels[minus][0]);
        }
        for (int high = low; high <= N; high++) {
            vf middle_x = (sums.x[high] - sums.x[low]) * v_every(0.125f);
            vf middle_w = iq1_times2(sums.w[high] - sums.w[low], 0.125f);
            iq1_take(best, low_x[0] + middle_x + top_x[0][high], low_w[0] + middle_w + top_w[0][high],
                     iq1_split(low, high, 0));
            iq1_take(best, low_x[1] - middle_x + top_x[1][high], low_w[1] + middle_w + top_w[1][high],
                     iq1_split(low, high, 3));
        }
    }
}

/* The same with a sign for each of the two groups: what each contributes, with both signs. */
PL_INLINE void iq1_search_m(const iq1_batch *b, int s, iq1_best *best)
{
    enum { N = 16 };
    iq1_sums sums[2];
    vf all_x[2][2], low_w[2][2][N + 1], high_w[2][2][N + 1];            /* [group][minus] */
    for (int g = 0; g < 2; g++) {
        iq1_add_up(b, s, N, g, &sums[g]);
        for (int minus = 0; minus < 2; minus++) {
            const float *level = iq1_levels[minus];
            vf all_w = iq1_times2(sums[g].w[N], level[2]);
            all_x[g][minus] = sums[g].x[N] * v_every(level[2]);
            for (int i = 0; i <= N; i++) {
                low_w[g][minus][i] = all_w + sums[g].w[i] * v_every(level[0] * level[0] - level[1] * level[1]);
                high_w[g][minus][i] = sums[g].w[i] * v_every(level[1] * level[1] - level[2] * level[2]);
            }
        }
    }
    for (int low = 0; low <= N; low++)
        for (int high = low; high <= N; high++) {
            vf qx[2][2], q2[2][2];
            for (int g = 0; g < 2; g++)
                for (int minus = 0; minus < 2; minus++) {
                    qx[g][minus] = all_x[g][minus] - (sums[g].x[low] + sums[g].x[high]);
                    q2[g][minus] = low_w[g][minus][low] + high_w[g][minus][high];
                }
            for (int k = 0; k < 4; k++)
                iq1_take(best, qx[0][k >> 1] + qx[1][k & 1], q2[0][k >> 1] + q2[1][k & 1], iq1_split(low, high, k));
        }
}

/* PL_LANES sub-blocks from s on. */
PL_INLINE void iq1_search(iq1_batch *b, const iq1_rule rule, int s)
{
    vf x[IQ1_SUB], rank[IQ1_SUB];
    for (int i = 0; i < rule.n; i++) x[i] = v_at(b->x + s * rule.n + i, rule.n);
    iq1_rank(x, rule.n, rank);
    for (int i = 0; i < rule.n; i++) v_put(rank[i], b->rank[i] + s);
    vf max = v_abs(x[0]);
    for (int i = 1; i < rule.n; i++) max = v_max(max, v_abs(x[i]));
    iq1_best best = { v_every(-FLT_MAX), max, v_every(-1.0f) };
    if (rule.n == 32) iq1_search_s(b, s, &best);
    else iq1_search_m(b, s, &best);
    v_put(best.scale, b->scale + s);
    v_put(v_pick(v_less(max, v_every(rule.tiny)), v_every(-1.0f), best.split), b->split + s);
}

PL_INLINE const float *iq1_levels_of(const iq1_batch *b, int s, int g)
{
    return iq1_levels[b->minus[s] >> (g == 0) & 1];
}

/* Point of the grid for 8 values with these levels; true if the levels are one. */
PL_INLINE bool iq1_find(const pl_iq_near *near, const float *x, const float *w, const float *levels, float scale,
                        unsigned key, int *index)
{
    *index = near->place[key];
    if (*index >= 0) return true;
    pl_iq_table term[IQ1_GROUP];
    for (int i = 0; i < IQ1_GROUP; i++) term[i] = pl_iq_term(pl_iq_levels(levels), scale, x[i], w[i]);
    const uint16_t *list = near->near_keys - 1 - *index;
    *index = near->place[pl_iq_nearest(list + 1, list[0], term, NULL, IQ1_GROUP, 2).key];
    return false;
}

/* Adds up what the points of sub-block s, times `factor`, explain. */
PL_INLINE void iq1_explain(const iq1_batch *b, const pl_iq_near *near, int s, int n, float factor, float *qx, float *q2)
{
    for (int i = 0; i < n; i++) {
        int g = i / IQ1_GROUP, level = near->point[b->index[s][g] * IQ1_GROUP + i % IQ1_GROUP] >> 1;
        float q = iq1_levels_of(b, s, g)[level] * factor, wq = b->weight[s * n + i] * q;
        *qx += wq * b->x[s * n + i];
        *q2 += wq * q;
    }
}

/* Levels, points and scale of sub-block s from its split. */
PL_INLINE void iq1_fit(iq1_batch *b, const pl_iq_near *near, const iq1_rule rule, int s)
{
    int split = (int)b->split[s], low = split >> 8, high = split >> 2 & 63;
    float scale = fabsf(b->scale[s]), qx = 0.0f, q2 = 0.0f;
    bool turned = b->scale[s] < 0.0f, on_grid = true;
    memset(b->index[s], 0, sizeof b->index[s]);
    b->minus[s] = 0;
    b->scale[s] = 0.0f;
    if (split < 0) return;
    b->minus[s] = turned ? 3 - (split & 3) : split & 3;
    for (int g = 0; g < rule.n / IQ1_GROUP; g++) {
        int at = s * rule.n + g * IQ1_GROUP;
        unsigned key = 0;
        for (int i = 0; i < IQ1_GROUP; i++) {
            float rank = b->rank[g * IQ1_GROUP + i][s];
            unsigned level = (unsigned)(rank >= (float)low) + (unsigned)(rank >= (float)high);
            key |= (turned ? 2 - level : level) << 2 * i;
        }
        on_grid &= iq1_find(near, b->x + at, b->weight + at, iq1_levels_of(b, s, g), scale, key, &b->index[s][g]);
    }
    if (!on_grid) iq1_explain(b, near, s, rule.n, 1.0f, &qx, &q2);
    if (qx > 0.0f && q2 > 0.0f) scale = qx / q2;
    b->scale[s] = scale > 0.0f ? scale : 0.0f;          /* no number (sums of huge values): ggml stops there */
}

static const iq1_rule iq1_rule_s = { .dtype = PL_IQ1_S, .n = 32, .tiny = 1e-12f, .adjust = 1.125f };
static const iq1_rule iq1_rule_m = { .dtype = PL_IQ1_M, .n = 16, .tiny = 1e-7f, .adjust = 1.1125f,
                                     .fitted = true };

/* The block of the sub-blocks from s on. d of iq1_m is fitted to the points and codes of scales. */
PL_INLINE void iq1_put(const iq1_batch *b, const pl_iq_near *near, const iq1_rule rule, int s, pl_iq_codes *c)
{
    const int subs = IQ1_BLOCK / rule.n, groups = rule.n / IQ1_GROUP;
    float max = pl_iq_scales(b->scale + s, subs, 7, c->scale), d = max / 15.0f, qx = 0.0f, q2 = 0.0f;
    for (int i = 0; i < IQ1_BLOCK / IQ1_GROUP; i++) c->index[i] = (uint16_t)b->index[s + i / groups][i % groups];
    if (max == 0.0f) return;
    for (int i = 0; i < IQ1_BLOCK / IQ1_GROUP; i++)
        c->signs[i] = iq1_levels_of(b, s + i / groups, i % groups) == iq1_levels[1] ? 0xff : 0;
    for (int k = 0; rule.fitted && k < subs; k++)
        iq1_explain(b, near, s + k, rule.n, (float)(2 * c->scale[k] + 1), &qx, &q2);
    if (q2 > 0.0f) d = qx / q2;
    c->d = pl_f32_to_f16(d * rule.adjust);
}

/* A block of values, to sub-blocks of n values from s on. h: its importance, or NULL: all ones. */
PL_INLINE void iq1_load(iq1_batch *b, const float *w, const float *h, int n, int s)
{
    float sum = 0.0f;
    for (int i = 0; i < IQ1_BLOCK; i++) sum += w[i] * w[i];
    vf variance = v_every(2.0f * sum / (float)IQ1_BLOCK);
    for (int i = 0; i < IQ1_BLOCK; i += PL_LANES) {
        vf weight = v_sqrt(variance + v_at(w + i, 1) * v_at(w + i, 1));
        if (h) weight = v_at(h + i, 1) * weight;
        v_put(weight, b->weight + s * n + i);
    }
    memcpy(b->x + s * n, w, IQ1_BLOCK * sizeof *w);
}

PL_INLINE void iq1_encode(const float *w, const float *h, int64_t rows, int64_t cols, const iq1_rule rule,
                          size_t bytes, pl_iq_packer pack, uint8_t *out)
{
    const pl_iq_near *near = pl_iq_near_of(rule.dtype);
    const int subs = IQ1_BLOCK / rule.n;
    int64_t total = rows * cols / IQ1_BLOCK;
    iq1_batch b = { .x = { 0 } };               /* the second half of a last batch may have nothing */
    for (int64_t block = 0; block < total; block += IQ1_BATCH / subs) {
        int n = (int)pl_min64(IQ1_BATCH, (total - block) * subs);
        for (int s = 0; s < n; s += subs) {
            int64_t at = (block + s / subs) * IQ1_BLOCK;
            iq1_load(&b, w + at, h ? h + at % cols : NULL, rule.n, s);
        }
        for (int s = 0; s < n; s += PL_LANES) iq1_search(&b, rule, s);
        for (int s = 0; s < n; s++) iq1_fit(&b, near, rule, s);
        for (int s = 0; s < n; s += subs, out += bytes) {
            pl_iq_codes codes = { .d = 0 };
            iq1_put(&b, near, rule, s, &codes);
            pack(&codes, out);
        }
    }
}

/* A definition of the encoder of iq1_ ## kind. */
#define IQ1_ENCODER(prefix, kind)                                                                               \
    prefix##iq1_##kind(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                \
    {                                                                                                           \
        iq1_encode(w, h, rows, cols, iq1_rule_##kind, sizeof(pl_block_iq1_##kind), pl_iq_pack_iq1_##kind, out);       \
    }

#endif
