/* iq3_blocks.h: encoders of iq3_xxs and iq3_s over lanes (quantizers/lanes.h), one sub-block per lane: iq3.c has
 * them in plain C, the definition, iq3_avx2.c and iq3_avx512.c with 8 and 16 sub-blocks at a time. */
#ifndef QUANTIZERS_IQ3_BLOCKS_H
#define QUANTIZERS_IQ3_BLOCKS_H

#include "core/blocks.h"
#include "quantizers/encoders.h"
#include "quantizers/iq_list.h"

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
} iq3_rule;

typedef struct iq3_batch {
    float x[IQ3_BATCH * IQ3_SUB];       /* magnitudes; one of eight may be negative where `even` asks for it */
    float weight[IQ3_BATCH * IQ3_SUB], root[IQ3_BATCH * IQ3_SUB];
    uint8_t signs[IQ3_BATCH][IQ3_SIGNS];
    /* what the search found; a sub-block that is not alive is all zeros */
    float scale[IQ3_BATCH], alive[IQ3_BATCH], key[IQ3_GROUPS][IQ3_BATCH];
} iq3_batch;

/* 2 level + 1 of value i of a group, of keys that travel as floats. */
#if PL_LANES == 1
PL_INLINE vf iq3_odd(vf key, int i) { return iq3_odds[(int)key >> 3 * i & 7]; }
#elif PL_LANES == 8
PL_INLINE vf iq3_odd(vf key, int i)
{
    return _mm256_permutevar8x32_ps(v_at(iq3_odds, 1), _mm256_srli_epi32(_mm256_cvttps_epi32(key), 3 * i));
}
#else
PL_INLINE vf iq3_odd(vf key, int i)
{
    vi keys = _mm512_srli_epi32(_mm512_cvttps_epi32(key), (unsigned)(3 * i));
    return _mm512_permutexvar_ps(keys, v_at(iq3_odds, 1));
}
#endif

PL_INLINE float iq3_nearest(const uint16_t *list, const float *x, const float *w, float scale)
{
    pl_iq_terms term[IQ3_GROUP];
    for (int i = 0; i < IQ3_GROUP; i++) term[i] = pl_iq_term(iq3_odds, scale, x[i], w[i]);
    return (float)pl_iq_nearest(list, term, IQ3_GROUP, 3);
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
    iq3_sums sums = { v_every(0.0f), v_every(0.0f) };
    for (int i = 0; i < IQ3_SUB; i++) {
        vf q = iq3_odd(key[i / IQ3_GROUP], i % IQ3_GROUP);
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
    v_put(scale, b->scale + s);
    for (int g = 0; g < IQ3_GROUPS; g++) v_put(key[g], b->key[g] + s);
}

/* Signs and magnitudes of eight values; returns the signs. Where their number has to be even, the value that weighs
 * least gets the wrong one. */
PL_INLINE uint8_t iq3_split(const float *w, const float *weight, bool even, float *x)
{
    unsigned signs = 0;
    for (int i = 0; i < 8; i++) {
        bool negative = !(w[i] >= 0.0f);
        x[i] = negative ? -w[i] : w[i];
        signs |= (unsigned)negative << i;
    }
    if (even && __builtin_parity(signs)) {
        int least = 0;
        for (int i = 1; i < 8; i++)
            if (weight[i] * w[i] * w[i] < weight[least] * w[least] * w[least]) least = i;
        x[least] = -x[least];
        signs ^= 1u << least;
    }
    return (uint8_t)signs;
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
            iq3_split(w + i, weight + i, rule.even, b->x + s * IQ3_SUB + i);
}

/* Scales of a block's sub-blocks from s on to four bits each; returns d, 0 if all are zeros. Scales are stored
 * without signs; one that is no number (sums of huge values: ggml stops there) counts as zero. */
PL_INLINE float iq3_scales(const iq3_batch *b, int s, uint8_t *codes, bool *zeros)
{
    float scale[IQ3_SUBS], max = 0.0f;
    for (int k = 0; k < IQ3_SUBS; k++) {
        float magnitude = b->alive[s + k] != 0.0f ? fabsf(b->scale[s + k]) : 0.0f;
        scale[k] = magnitude > 0.0f ? magnitude : 0.0f;
        max = max > scale[k] ? max : scale[k];
    }
    float d = max / 31.0f, inverse = 1.0f / d;
    *zeros = max == 0.0f;
    for (int k = 0; k < IQ3_SUBS; k++) {
        int l = max > 0.0f ? pl_nearest(0.5f * (inverse * scale[k] - 1.0f)) : 0;
        codes[k] = (uint8_t)(l < 0 ? 0 : l > 15 ? 15 : l);
    }
    return d;
}

/* Index of group g's point; signs of eight values, turned around where the scale was negative. */
PL_INLINE unsigned iq3_code(const iq3_batch *b, const pl_iq_near *near, int s, int g)
{
    return (unsigned)near->place[(int)b->key[g][s]];
}
PL_INLINE uint8_t iq3_signs(const iq3_batch *b, int s, int i)
{
    return (uint8_t)(b->signs[s][i] ^ (b->scale[s] < 0.0f ? 0xff : 0));
}

static const iq3_rule iq3_rule_xxs = { .dtype = PL_IQ3_XXS, .steps = 15, .even = true, .tiny = 1e-8f };
static const iq3_rule iq3_rule_s = { .dtype = PL_IQ3_S, .steps = 9, .all = true, .tiny = FLT_TRUE_MIN };

PL_INLINE void iq3_put_xxs(const iq3_batch *b, const pl_iq_near *near, int s, uint8_t *out)
{
    uint8_t scales[IQ3_SUBS];
    bool zeros;
    pl_block_iq3_xxs block = { .d = pl_f32_to_f16(iq3_scales(b, s, scales, &zeros) * 1.0125f) };
    for (int k = 0; !zeros && k < IQ3_SUBS; k++) {
        uint32_t aux = (uint32_t)scales[k] << 28;
        bool alive = b->alive[s + k] != 0.0f;
        for (int g = 0; alive && g < IQ3_GROUPS; g++) block.qs[8 * k + g] = (uint8_t)iq3_code(b, near, s + k, g);
        for (int i = 0; alive && i < IQ3_SIGNS; i++) aux |= (iq3_signs(b, s + k, i) & 127u) << 7 * i;
        memcpy(block.aux + 4 * k, &aux, sizeof aux);
    }
    memcpy(out, &block, sizeof block);
}

/* Sub-blocks of zeros have their place in `qh` and `scales`, but ggml leaves them out of `qs` and `signs`, where
 * those behind them move up (`packed`): such a block reads as something else than was meant. */
PL_INLINE void iq3_put(const iq3_batch *b, const pl_iq_near *near, int s, bool packed, uint8_t *out)
{
    uint8_t scales[IQ3_SUBS];
    bool zeros;
    pl_block_iq3_s block = { .d = pl_f32_to_f16(iq3_scales(b, s, scales, &zeros) * 1.033f) };
    for (int k = 0, at = 0; k < IQ3_SUBS; k++) {
        block.scales[k / 2] |= (uint8_t)(scales[k] << k % 2 * 4);
        if (b->alive[s + k] == 0.0f) {
            at += !packed;
            continue;
        }
        for (int g = 0; g < IQ3_GROUPS; g++) {
            unsigned code = iq3_code(b, near, s + k, g);
            block.qs[8 * at + g] = (uint8_t)code;
            block.qh[k] |= (uint8_t)(code >> 8 << g);
        }
        for (int i = 0; i < IQ3_SIGNS; i++) block.signs[4 * at + i] = iq3_signs(b, s + k, i);
        at++;
    }
    memcpy(out, &block, sizeof block);
}

PL_INLINE void iq3_put_s(const iq3_batch *b, const pl_iq_near *near, int s, uint8_t *out)
{
    iq3_put(b, near, s, true, out);
}

PL_INLINE void iq3_put_s_in_place(const iq3_batch *b, const pl_iq_near *near, int s, uint8_t *out)
{
    iq3_put(b, near, s, false, out);
}

PL_INLINE void iq3_encode(const float *w, const float *h, int64_t rows, int64_t cols, const iq3_rule rule,
                          size_t bytes, void (*put)(const iq3_batch *, const pl_iq_near *, int, uint8_t *),
                          uint8_t *out)
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
        for (int s = 0; s < n; s += IQ3_SUBS, out += bytes) put(&b, near, s, out);
    }
}

/* A definition of the encoder of iq3_ ## kind. */
#define IQ3_ENCODER(prefix, kind) IQ3_ENCODER_BY(prefix, kind, kind)
#define IQ3_ENCODER_BY(prefix, kind, way)                                                                       \
    prefix##iq3_##way(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                \
    {                                                                                                           \
        iq3_encode(w, h, rows, cols, iq3_rule_##kind, sizeof(pl_block_iq3_##kind), iq3_put_##way, out);         \
    }

#endif
