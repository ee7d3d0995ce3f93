/* iq3_blocks.h: encoders of iq3_xxs and iq3_s over lanes (quantizers/lanes.h), one sub-block per lane: iq3.c has
 * them in plain C, the definition, iq3_neon.c, iq3_avx*.c with 4, 8 and 16 sub-blocks at a time. */
#ifndef QUANTIZERS_IQ3_BLOCKS_H
#define QUANTIZERS_IQ3_BLOCKS_H

#include "quantizers/encoders.h"
#include "quantizers/iq_list.h"
#include "quantizers/iq_pack.h"
#include "quantizers/iq_parts.h"

/* Values of a block, of a sub-block and of a group that one code stands for; groups and groups of signs of a
 * sub-block; sub-blocks of a block, and those that are encoded at once: two blocks; a grid's largest odd number. */
enum {
    IQ3_BLOCK = 256, IQ3_SUB = 32, IQ3_GROUP = 4, IQ3_GROUPS = 8, IQ3_SIGNS = 4, IQ3_SUBS = 8, IQ3_BATCH = 16,
    IQ3_TOP = 15
};

static const float iq3_odds[16] = { 1, 3, 5, 7, 9, 11, 13, 15, 1, 3, 5, 7, 9, 11, 13, 15 };

/* What sets the two types apart. */
typedef struct iq3_rule {
    int dtype, steps;           /* tried are 2 steps + 1 scales */
    bool even;                  /* the number of negative values of eight has to be even */
    bool all;                   /* by the best scale all groups are looked up again, not only those off the grid */
    float tiny;                 /* sub-blocks whose largest value is smaller count as zeros */
    float adjust;               /* times d before it is stored */
} iq3_rule;

typedef struct iq3_batch {
    float x[IQ3_BATCH * IQ3_SUB];       /* magnitudes; one of eight may be negative where `even` asks for it */
    float weight[IQ3_BATCH * IQ3_SUB], root[IQ3_BATCH * IQ3_SUB];
    uint8_t signs[IQ3_BATCH][IQ3_SIGNS];
    /* what the search found; a sub-block that is not alive is all zeros */
    float scale[IQ3_BATCH], alive[IQ3_BATCH], key[IQ3_GROUPS][IQ3_BATCH];
} iq3_batch;

PL_INLINE float iq3_nearest(const uint16_t *list, const float *x, const float *w, float scale)
{
    pl_iq_table term[IQ3_GROUP];
    for (int i = 0; i < IQ3_GROUP; i++) term[i] = pl_iq_term(pl_iq_levels(iq3_odds), scale, x[i], w[i]);
    return (float)pl_iq_nearest(list + 1, list[0], term, NULL, IQ3_GROUP, 3).key;
}

/* Keys of points for the values of PL_LANES sub-blocks from s on, by this scale, for groups with wanted != 0.
 * moved: 1 where the nearest levels are no point of the grid. */
PL_INLINE void iq3_find(const iq3_batch *b, const pl_iq_near *near, int s, const vf *x, vf inverse, vf scale,
                        const vf *wanted, vf *key, vf *moved)
{
    float scales[PL_LANES], wants[PL_LANES], keys[PL_LANES], moves[PL_LANES];
    v_put(scale, scales);
    for (int g = 0; g < IQ3_GROUPS; g++) {
        vf packed = v_every(0.0f);
        for (int i = 0; i < IQ3_GROUP; i++) {
            vf half = v_every(0.5f) * (inverse * x[g * IQ3_GROUP + i] - v_every(1.0f));
            packed = packed + v_code_far(half, 0, 7) * v_every((float)(1 << 3 * i));
        }
        v_put(packed, keys);
        v_put(wanted[g], wants);
        for (int lane = 0; lane < PL_LANES; lane++) {
            int32_t place = near->place[(int)keys[lane]];
            int at = (s + lane) * IQ3_SUB + g * IQ3_GROUP;
            moves[lane] = place < 0;
            if (place < 0 && wants[lane] != 0.0f)
                keys[lane] = iq3_nearest(near->near_keys - 1 - place, b->x + at, b->root + at, scales[lane]);
        }
        key[g] = v_at(keys, 1);
        moved[g] = v_at(moves, 1);
    }
}

typedef struct iq3_sums { vf qx, q2; } iq3_sums;

PL_INLINE iq3_sums iq3_sum(const vf *w, const vf *wx, const vf *key)
{
    const pl_iq_table odds = pl_iq_levels(iq3_odds);
    iq3_sums sums = { v_every(0.0f), v_every(0.0f) };
    for (int i = 0; i < IQ3_SUB; i++) {
        vf q = v_look(&odds, v_keys(key[i / IQ3_GROUP]), i % IQ3_GROUP * 3);
        sums.qx = sums.qx + wx[i] * q;
        sums.q2 = sums.q2 + w[i] * q * q;
    }
    return sums;
}

/* PL_LANES sub-blocks from s on: least-squares scales for points found with scales around that of the largest value;
 * the one that explains most of the values stays, and points are looked for once more by it. */
PL_INLINE void iq3_search(iq3_batch *b, const pl_iq_near *near, const iq3_rule rule, int s)
{
    const vf zero = v_every(0.0f), one = v_every(1.0f);
    vf x[IQ3_SUB], w[IQ3_SUB], wx[IQ3_SUB];
    for (int i = 0; i < IQ3_SUB; i++) {
        x[i] = v_at(b->x + s * IQ3_SUB + i, IQ3_SUB);
        w[i] = v_at(b->weight + s * IQ3_SUB + i, IQ3_SUB);
        wx[i] = w[i] * x[i];
    }
    vf max = x[0];
    for (int i = 1; i < IQ3_SUB; i++) max = v_max(max, x[i]);
    vf alive = v_pick(v_less(max, v_every(rule.tiny)), zero, one), scale = max / v_every((float)IQ3_TOP), best = zero;
    vf wanted[IQ3_GROUPS], key[IQ3_GROUPS], moved[IQ3_GROUPS], other_key[IQ3_GROUPS], other_moved[IQ3_GROUPS];
    for (int g = 0; g < IQ3_GROUPS; g++) {
        wanted[g] = alive;
        key[g] = zero;
        moved[g] = v_every(rule.all ? 1.0f : 0.0f);
    }
    v_put(alive, b->alive + s);
    for (int k = -rule.steps; k <= rule.steps; k++) {
        vf inverse = v_every((float)IQ3_TOP + (float)k * 0.2f) / max;
        iq3_find(b, near, s, x, inverse, one / inverse, wanted, other_key, other_moved);
        iq3_sums sums = iq3_sum(w, wx, other_key);
        vm better = v_both(v_less(zero, sums.q2), v_less(best * sums.q2, sums.qx * sums.qx));
        vf other = sums.qx / sums.q2;
        scale = v_pick(better, other, scale);
        best = v_pick(better, other * sums.qx, best);
        for (int g = 0; g < IQ3_GROUPS; g++) {
            key[g] = v_pick(better, other_key[g], key[g]);
            moved[g] = v_pick(better, other_moved[g], moved[g]);
        }
    }
    vf any = zero;
    for (int g = 0; g < IQ3_GROUPS; g++) any = v_max(any, moved[g]);
    any = v_pick(v_less(zero, scale), v_pick(v_less(zero, alive), any, zero), zero);
    for (int g = 0; g < IQ3_GROUPS; g++) wanted[g] = rule.all ? any : v_pick(v_less(zero, any), moved[g], zero);
    iq3_find(b, near, s, x, one / scale, scale, wanted, other_key, other_moved);
    for (int g = 0; g < IQ3_GROUPS; g++) key[g] = v_pick(v_less(zero, wanted[g]), other_key[g], key[g]);
    iq3_sums sums = iq3_sum(w, wx, key);
    scale = v_pick(v_both(v_less(zero, any), v_less(zero, sums.q2)), sums.qx / sums.q2, scale);
    v_put(v_pick(v_less(zero, alive), scale, zero), b->scale + s);
    for (int g = 0; g < IQ3_GROUPS; g++) v_put(key[g], b->key[g] + s);
}

/* A block of values, to sub-blocks s and those behind it. h: its importance, or NULL. */
PL_INLINE void iq3_load(iq3_batch *b, const iq3_rule rule, const float *w, const float *h, int s)
{
    float sum = 0.0f, *weight = b->weight + s * IQ3_SUB;
    for (int i = 0; i < IQ3_BLOCK; i++) sum += w[i] * w[i];
    vf variance = v_every(2.0f * sum / (float)IQ3_BLOCK);
    for (int i = 0; i < IQ3_BLOCK; i += PL_LANES) {
        vf result = v_at(w + i, 1) * v_at(w + i, 1);
        if (h) result = v_at(h + i, 1) * v_sqrt(variance + result);
        v_put(result, weight + i);
        v_put(v_sqrt(result), b->root + s * IQ3_SUB + i);
    }
    for (int i = 0; i < IQ3_BLOCK; i += 8)
        b->signs[s + i / IQ3_SUB][i % IQ3_SUB / 8] =
            pl_iq_split(w + i, weight + i, rule.even, b->x + s * IQ3_SUB + i);
}

static const iq3_rule iq3_rule_xxs = { .dtype = PL_IQ3_XXS, .steps = 15, .even = true, .tiny = 1e-8f,
                                       .adjust = 1.0125f };
static const iq3_rule iq3_rule_s = { .dtype = PL_IQ3_S, .steps = 9, .all = true, .tiny = FLT_TRUE_MIN,
                                     .adjust = 1.033f };

/* The block of the sub-blocks from s on. Scales are stored without signs, so that those of values turn around. */
PL_INLINE void iq3_put(const iq3_batch *b, const pl_iq_near *near, const iq3_rule rule, int s, pl_iq_codes *c)
{
    float max = pl_iq_scales(b->scale + s, IQ3_SUBS, 15, c->scale);
    c->d = pl_f32_to_f16(max / 31.0f * rule.adjust);
    for (int k = 0; k < IQ3_SUBS; k++) {
        if (b->alive[s + k] == 0.0f || (rule.even && max == 0.0f)) continue;
        for (int g = 0; g < IQ3_GROUPS; g++)
            c->index[IQ3_GROUPS * k + g] = (uint16_t)near->place[(int)b->key[g][s + k]];
        for (int i = 0; i < IQ3_SIGNS; i++)
            c->signs[IQ3_SIGNS * k + i] = (uint8_t)(b->signs[s + k][i] ^ (b->scale[s + k] < 0.0f ? 0xff : 0));
    }
}

/* Sub-blocks of zeros have their place in `qh` and `scales`, but ggml leaves them out of `qs` and `signs`, where
 * those behind them move up: such a block reads as something else than was meant. */
PL_INLINE void iq3_move_up(const iq3_batch *b, int s, uint8_t *out)
{
    pl_block_iq3_s from, to;
    memcpy(&from, out, sizeof from);
    to = from;
    memset(to.qs, 0, sizeof to.qs);
    memset(to.signs, 0, sizeof to.signs);
    for (int k = 0, at = 0; k < IQ3_SUBS; k++) {
        if (b->alive[s + k] == 0.0f) continue;
        memcpy(to.qs + 8 * at, from.qs + 8 * k, 8);
        memcpy(to.signs + 4 * at++, from.signs + 4 * k, 4);
    }
    memcpy(out, &to, sizeof to);
}

PL_INLINE void iq3_encode(const float *w, const float *h, int64_t rows, int64_t cols, const iq3_rule rule,
                          size_t bytes, pl_iq_packer pack, uint8_t *out)
{
    const pl_iq_near *near = pl_iq_near_of(rule.dtype);
    int64_t total = rows * cols / IQ3_BLOCK;
    iq3_batch b = { .scale = { 0 } };           /* the second half of a last batch may have nothing */
    for (int64_t block = 0; block < total; block += IQ3_BATCH / IQ3_SUBS) {
        int n = (int)pl_min64(IQ3_BATCH, (total - block) * IQ3_SUBS);
        for (int s = 0; s < n; s += IQ3_SUBS) {
            int64_t at = (block + s / IQ3_SUBS) * IQ3_BLOCK;
            iq3_load(&b, rule, w + at, h ? h + at % cols : NULL, s);
        }
        for (int s = 0; s < n; s += PL_LANES) iq3_search(&b, near, rule, s);
        for (int s = 0; s < n; s += IQ3_SUBS, out += bytes) {
            pl_iq_codes codes = { .d = 0 };
            iq3_put(&b, near, rule, s, &codes);
            pack(&codes, out);
            if (rule.dtype == PL_IQ3_S) iq3_move_up(&b, s, out);
        }
    }
}

/* A definition of the encoder of iq3_ ## kind. */
#define IQ3_ENCODER(prefix, kind)                                                                               \
    prefix##iq3_##kind(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                \
    {                                                                                                           \
        iq3_encode(w, h, rows, cols, iq3_rule_##kind, sizeof(pl_block_iq3_##kind), pl_iq_pack_iq3_##kind, out); \
    }

#endif
