/* iq2_blocks.h: encoders of iq2_xxs, iq2_xs and iq2_s over lanes (quantizers/lanes.h), one sub-block per lane:
 * iq2.c has them in plain C, the definition, iq2_neon.c, iq2_avx*.c with 4, 8 and 16 sub-blocks at a time. */
#ifndef QUANTIZERS_IQ2_BLOCKS_H
#define QUANTIZERS_IQ2_BLOCKS_H

#include "quantizers/encoders.h"
#include "quantizers/iq_list.h"
#include "quantizers/iq_pack.h"
#include "quantizers/iq_parts.h"

/* Values of a block, of a group that one code stands for; sub-blocks that are encoded at once: one block or, of
 * iq2_xxs, two; the most groups and values of a sub-block; the largest odd number of a grid. */
enum { IQ2_BLOCK = 256, IQ2_GROUP = 8, IQ2_BATCH = 16, IQ2_GROUPS = 4, IQ2_SUB = 32, IQ2_TOP = 5 };

static const float iq2_odds[16] = { 1, 3, 5, 7, 1, 3, 5, 7, 1, 3, 5, 7, 1, 3, 5, 7 };

/* What sets the three types apart. */
typedef struct iq2_rule {
    int dtype, n;               /* values of a sub-block */
    int steps;                  /* tried are 2 steps + 1 scales */
    bool even;                  /* the number of negative values in a group has to be even */
    bool levels;                /* the scales to try are around that of a search without a grid, and the codes
                                 * of all groups are looked up again by the best scale found */
    float tiny;                 /* sub-blocks whose largest value is smaller count as zeros */
    float variance;             /* times the mean square of the block */
    float adjust;               /* times d before it is stored */
} iq2_rule;

typedef struct iq2_batch {
    float x[IQ2_BATCH * IQ2_SUB];       /* magnitudes; one of a group may be negative where `even` asks for it */
    float weight[IQ2_BATCH * IQ2_SUB], root[IQ2_BATCH * IQ2_SUB];
    uint8_t signs[IQ2_BATCH][IQ2_GROUPS];
    /* what the search found; a sub-block that is not alive is all zeros */
    float scale[IQ2_BATCH], alive[IQ2_BATCH], key[IQ2_GROUPS][IQ2_BATCH];
} iq2_batch;

/* The low 8 bits of integers within +-2^22, which may be negative. */
PL_INLINE vf iq2_byte(vf x)
{
    vf below = x * v_every(1.0f / 256.0f) - v_every(255.0f / 512.0f) + v_every(PL_ROUNDER) - v_every(PL_ROUNDER);
    return x - v_every(256.0f) * below;
}

/* The scale for levels 0 .. 4 of values that may be negative: an error for each of 9 scales, then up to five
 * rounds that move single levels while that lowers the error. Levels are kept in bytes, where negative ones wrap
 * around; files depend on it. */
PL_INLINE vf iq2_level_scale(const vf *x, const vf *w, const vf *wx, int n, vf max)
{
    const vf zero = v_every(0.0f), one = v_every(1.0f);
    vf level[IQ2_SUB], best = v_every(4.0f) / max, least = zero, sum_lx = zero, sum_l2 = zero;
    for (int i = 0; i < n; i++) {
        vf difference = x[i] - one / best * iq2_byte(v_code_far(best * x[i], -0x400000, 0x3fffff));
        least = least + w[i] * difference * difference;
    }
    for (int k = -4; k <= 4; k++) {
        if (k == 0) continue;
        vf inverse = v_every(0.1f * (float)k + 4.0f) / max, scale = one / inverse, error = zero;
        for (int i = 0; i < n; i++) {
            vf difference = x[i] - scale * v_code_far(inverse * x[i], -0x400000, 4);
            error = error + w[i] * difference * difference;
        }
        vm better = v_less(error, least);
        least = v_pick(better, error, least);
        best = v_pick(better, inverse, best);
    }
    for (int i = 0; i < n; i++) {
        vf l = v_code_far(best * x[i], -0x400000, 4);
        level[i] = iq2_byte(l);
        sum_lx = sum_lx + wx[i] * l;
        sum_l2 = sum_l2 + w[i] * l * l;
    }
    bool moved = true;
    for (int round = 0; round < 5 && moved; round++) {
        moved = false;
        for (int i = 0; i < n; i++) {
            vf other_lx = sum_lx - wx[i] * level[i], other_l2 = sum_l2 - w[i] * level[i] * level[i];
            vf l = v_code_far(x[i] * other_l2 / other_lx, -0x400000, 4);
            vf new_lx = other_lx + wx[i] * l, new_l2 = other_l2 + w[i] * l * l;
            vm allowed = v_both(v_both(v_less(zero, other_lx), v_less(zero, other_l2)), v_differ(l, level[i]));
            vm better = v_both(allowed, v_less(sum_lx * sum_lx * new_l2, new_lx * new_lx * sum_l2));
            level[i] = v_pick(better, iq2_byte(l), level[i]);
            sum_lx = v_pick(better, new_lx, sum_lx);
            sum_l2 = v_pick(better, new_l2, sum_l2);
            moved |= v_any(better);
        }
    }
    return v_pick(v_less(zero, sum_l2), sum_lx / sum_l2, zero);
}

PL_INLINE float iq2_nearest(const uint16_t *list, const float *x, const float *w, float scale)
{
    pl_iq_table term[IQ2_GROUP];
    for (int i = 0; i < IQ2_GROUP; i++) term[i] = pl_iq_term(pl_iq_levels(iq2_odds), scale, x[i], w[i]);
    return (float)pl_iq_nearest(list + 1, list[0], term, NULL, IQ2_GROUP, 2).key;
}

/* Keys of points for the values of PL_LANES sub-blocks from s on, by this scale, for groups with wanted != 0.
 * moved: 1 where the nearest levels are no point of the grid. */
PL_INLINE void iq2_find(const iq2_batch *b, const pl_iq_near *near, const iq2_rule rule, int s, const vf *x,
                        vf inverse, vf scale, const vf *wanted, vf *key, vf *moved)
{
    float scales[PL_LANES], wants[PL_LANES], keys[PL_LANES], moves[PL_LANES];
    v_put(scale, scales);
    for (int g = 0; g < rule.n / IQ2_GROUP; g++) {
        vf packed = v_every(0.0f);
        for (int i = 0; i < IQ2_GROUP; i++) {
            vf half = v_every(0.5f) * (inverse * x[g * IQ2_GROUP + i] - v_every(1.0f));
            packed = packed + v_code_far(half, 0, 2) * v_every((float)(1 << 2 * i));
        }
        v_put(packed, keys);
        v_put(wanted[g], wants);
        for (int lane = 0; lane < PL_LANES; lane++) {
            int32_t place = near->place[(int)keys[lane]];
            int at = (s + lane) * rule.n + g * IQ2_GROUP;
            moves[lane] = place < 0;
            if (place < 0 && wants[lane] != 0.0f)
                keys[lane] = iq2_nearest(near->near_keys - 1 - place, b->x + at, b->root + at, scales[lane]);
        }
        key[g] = v_at(keys, 1);
        moved[g] = v_at(moves, 1);
    }
}

typedef struct iq2_sums { vf qx, q2; } iq2_sums;

PL_INLINE iq2_sums iq2_sum(const vf *w, const vf *wx, const vf *key, int n)
{
    const pl_iq_table odds = pl_iq_levels(iq2_odds);
    iq2_sums sums = { v_every(0.0f), v_every(0.0f) };
    for (int g = 0; g < n / IQ2_GROUP; g++) {
        vi keys = v_keys(key[g]);
        for (int i = 0; i < IQ2_GROUP; i++) {
            vf q = v_look(&odds, keys, 2 * i);
            sums.qx = sums.qx + wx[g * IQ2_GROUP + i] * q;
            sums.q2 = sums.q2 + w[g * IQ2_GROUP + i] * q * q;
        }
    }
    return sums;
}

/* PL_LANES sub-blocks from s on: least-squares scales for points found with scales around a first guess; the one
 * that explains most of the values stays, and its points are looked for once more by it. */
PL_INLINE void iq2_search(iq2_batch *b, const pl_iq_near *near, const iq2_rule rule, int s)
{
    const vf zero = v_every(0.0f), one = v_every(1.0f);
    const int n = rule.n, groups = n / IQ2_GROUP;
    vf x[IQ2_SUB], w[IQ2_SUB], wx[IQ2_SUB];
    for (int i = 0; i < n; i++) {
        x[i] = v_at(b->x + s * n + i, n);
        w[i] = v_at(b->weight + s * n + i, n);
        wx[i] = w[i] * x[i];
    }
    vf max = x[0];
    for (int i = 1; i < n; i++) max = v_max(max, x[i]);
    vf largest = v_pick(v_less(max, v_every(rule.tiny)), zero, max), scale = max / v_every((float)IQ2_TOP);
    if (rule.levels) {
        scale = iq2_level_scale(x, w, wx, n, max);
        largest = v_pick(v_less(zero, largest), scale * v_every(3.0f), zero);
    }
    vm alive = v_less(zero, largest);
    vf best = zero, wanted[IQ2_GROUPS], key[IQ2_GROUPS], moved[IQ2_GROUPS];
    vf other_key[IQ2_GROUPS], other_moved[IQ2_GROUPS];
    for (int g = 0; g < groups; g++) {
        wanted[g] = v_pick(alive, one, zero);
        key[g] = moved[g] = zero;
    }
    v_put(wanted[0], b->alive + s);
    for (int k = -rule.steps; k <= rule.steps; k++) {
        vf inverse = v_every((float)IQ2_TOP + (float)k * 0.1f) / largest;
        iq2_find(b, near, rule, s, x, inverse, one / inverse, wanted, other_key, other_moved);
        iq2_sums sums = iq2_sum(w, wx, other_key, n);
        vm better = v_both(v_less(zero, sums.q2), v_less(best * sums.q2, sums.qx * sums.qx));
        vf other = sums.qx / sums.q2;
        scale = v_pick(better, other, scale);
        best = v_pick(better, other * sums.qx, best);
        for (int g = 0; g < groups; g++) {
            key[g] = v_pick(better, other_key[g], key[g]);
            moved[g] = v_pick(better, other_moved[g], moved[g]);
        }
    }
    vf any = zero;
    for (int g = 0; g < groups; g++) {
        vf again = rule.levels ? one : moved[g];
        wanted[g] = v_pick(v_both(alive, v_less(zero, scale)), again, zero);
        any = v_max(any, wanted[g]);
    }
    iq2_find(b, near, rule, s, x, one / scale, scale, wanted, other_key, other_moved);
    for (int g = 0; g < groups; g++) key[g] = v_pick(v_less(zero, wanted[g]), other_key[g], key[g]);
    iq2_sums sums = iq2_sum(w, wx, key, n);
    scale = v_pick(v_both(v_less(zero, any), v_less(zero, sums.q2)), sums.qx / sums.q2, scale);
    v_put(v_pick(alive, scale, zero), b->scale + s);
    for (int g = 0; g < groups; g++) v_put(key[g], b->key[g] + s);
}

/* A block of values, to sub-blocks s and those behind it. h: its importance, or NULL. */
PL_INLINE void iq2_load(iq2_batch *b, const iq2_rule rule, const float *w, const float *h, int s)
{
    float sum = 0.0f, *weight = b->weight + s * rule.n;
    for (int i = 0; i < IQ2_BLOCK; i++) sum += w[i] * w[i];
    vf variance = v_every(rule.variance * sum / (float)IQ2_BLOCK);
    for (int i = 0; i < IQ2_BLOCK; i += PL_LANES) {
        vf square = v_at(w + i, 1) * v_at(w + i, 1), result = v_sqrt(variance + square);
        if (h) result = v_at(h + i, 1) * result;
        else if (!rule.even) result = v_every(0.25f) * variance + square;       /* iq2_s alone has a rule without */
        v_put(result, weight + i);
        v_put(v_sqrt(result), b->root + s * rule.n + i);
    }
    for (int i = 0; i < IQ2_BLOCK; i += IQ2_GROUP)
        b->signs[s + i / rule.n][i % rule.n / IQ2_GROUP] =
            pl_iq_split(w + i, weight + i, rule.even, b->x + s * rule.n + i);
}

static const iq2_rule iq2_rule_xxs = { .dtype = PL_IQ2_XXS, .n = 32, .steps = 6, .even = true, .levels = true,
                                       .tiny = 1e-15f, .variance = 1.0f, .adjust = 1.0f };
static const iq2_rule iq2_rule_xs = { .dtype = PL_IQ2_XS, .n = 16, .steps = 9, .even = true, .tiny = 1e-15f,
                                      .variance = 1.0f, .adjust = 1.0f };
static const iq2_rule iq2_rule_s = { .dtype = PL_IQ2_S, .n = 16, .steps = 9, .tiny = 1e-8f, .variance = 2.0f,
                                     .adjust = 0.9875f };

/* The block of the sub-blocks from s on. Scales are stored without signs, so that those of values turn around. */
PL_INLINE void iq2_put(const iq2_batch *b, const pl_iq_near *near, const iq2_rule rule, int s, pl_iq_codes *c)
{
    const int groups = rule.n / IQ2_GROUP;
    float d = pl_iq_scales(b->scale + s, IQ2_BLOCK / rule.n, 15, c->scale) / 31.0f;
    c->d = pl_f32_to_f16(d * rule.adjust);
    if (rule.even && !(d > 0.0f)) {             /* the largest may be above 0, and too small for that */
        memset(c->scale, 0, sizeof c->scale);
        return;
    }
    for (int i = 0; i < IQ2_BLOCK / IQ2_GROUP; i++) {
        int k = s + i / groups, g = i % groups;
        if (b->alive[k] == 0.0f) continue;
        c->index[i] = (uint16_t)near->place[(int)b->key[g][k]];
        c->signs[i] = (uint8_t)(b->signs[k][g] ^ (b->scale[k] < 0.0f ? 0xff : 0));
    }
}

PL_INLINE void iq2_encode(const float *w, const float *h, int64_t rows, int64_t cols, const iq2_rule rule,
                          size_t bytes, pl_iq_packer pack, uint8_t *out)
{
    const pl_iq_near *near = pl_iq_near_of(rule.dtype);
    const int subs = IQ2_BLOCK / rule.n;
    int64_t total = rows * cols / IQ2_BLOCK;
    iq2_batch b = { .scale = { 0 } };           /* the second half of a last batch may have nothing */
    for (int64_t block = 0; block < total; block += IQ2_BATCH / subs) {
        int n = (int)pl_min64(IQ2_BATCH, (total - block) * subs);
        for (int s = 0; s < n; s += subs) {
            int64_t at = (block + s / subs) * IQ2_BLOCK;
            iq2_load(&b, rule, w + at, h ? h + at % cols : NULL, s);
        }
        for (int s = 0; s < n; s += PL_LANES) iq2_search(&b, near, rule, s);
        for (int s = 0; s < n; s += subs, out += bytes) {
            pl_iq_codes codes = { .d = 0 };
            iq2_put(&b, near, rule, s, &codes);
            pack(&codes, out);
        }
    }
}

/* A definition of the encoder of iq2_ ## kind. */
#define IQ2_ENCODER(prefix, kind)                                                                               \
    prefix##iq2_##kind(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                \
    {                                                                                                           \
        iq2_encode(w, h, rows, cols, iq2_rule_##kind, sizeof(pl_block_iq2_##kind), pl_iq_pack_iq2_##kind, out); \
    }

#endif
