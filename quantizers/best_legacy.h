/* best_legacy.h: the searches of Q8_0, Q4_0, Q5_0, Q4_1 and Q5_1 over lanes: blocks of 32 values. */
#ifndef QUANTIZERS_BEST_LEGACY_H
#define QUANTIZERS_BEST_LEGACY_H

#include "core/blocks.h"
#include "quantizers/best_lanes.h"

enum { BEST_SPAN = 32 };

/* ---- bytes ---- */

/* Codes 0 .. top of block g for (w - low) / d, counted from `middle`. */
PL_INLINE void best_legacy_codes(const best_batch *b, int g, float middle, float top, uint8_t *codes)
{
    vf inverse = best_inverse(v_every(b->scale[g])), low = v_every(b->offset[g]);
    for (int i = 0; i < BEST_SPAN; i += PL_LANES) {
        vf y = (v_at(b->w + g * BEST_SPAN + i, 1) - low) * inverse;
        v_put_codes(best_whole(y, -middle, top - middle) + v_every(middle), codes + i);
    }
}

/* Scale, minimum where `offset`, fifth bits where 5 bits, nibbles: the low ones hold the first half. */
PL_INLINE void best_legacy_put(best_batch *b, int bits, bool offset)
{
    uint8_t *out = b->out, codes[BEST_SPAN];
    for (int g = 0; g < b->groups; g++) {
        uint16_t fields[2] = { pl_f32_to_f16(b->scale[g]), pl_f32_to_f16(b->offset[g]) };
        float top = (float)((1 << bits) - 1);
        best_legacy_codes(b, g, offset ? 0.0f : 0.5f * (top + 1.0f), top, codes);
        memcpy(out, fields, offset ? 4 : 2);
        out += offset ? 4 : 2;
        if (bits == 5) {
            uint32_t fifth = 0;
            for (int i = 0; i < BEST_SPAN; i++) fifth |= (uint32_t)(codes[i] >> 4) << i;
            memcpy(out, &fifth, 4);
            out += 4;
        }
        for (int i = 0; i < 16; i++) out[i] = (uint8_t)((codes[i] & 15) | codes[i + 16] << 4);
        out += 16;
    }
}

/* ---- Q4_0, Q5_0 ---- */

/* value = d * (-range .. range - 1), d of either sign. Inverse scales from a half of the reference's up to beyond it,
 * for blocks whose largest value counts little. */
PL_INLINE void best_symmetric(best_batch *b, int bits)
{
    const float range = (float)(1 << (bits - 1));
    const best_grid grid = { BEST_WHOLE, -range, range - 1.0f, NULL };
    for (int s = 0; s < BEST_GROUPS; s += PL_LANES) {
        const float *x = b->x + s, *h = b->h + s;
        vf per = best_per_extreme(x, BEST_SPAN), zero = v_every(0.0f);
        best_found found = { zero, zero };
        for (int side = 0; side < 2; side++) {
            vf signed_per = per * v_every(side ? -1.0f : 1.0f);
            best_try(x, h, BEST_SPAN, grid, signed_per, 1.0f, 1.0f, (int)range / 2, &found);
            best_try(x, h, BEST_SPAN, grid, signed_per, 0.5f * range, range * 0.025f, 32, &found);
            best_try(x, h, BEST_SPAN, grid, signed_per, 1.35f * range, range * 0.15f, 6, &found);
        }
        v_put(best_settle(x, h, BEST_SPAN, grid, found.scale, 3), b->scale + s);
        v_put(zero, b->offset + s);
    }
    best_legacy_put(b, bits, false);
}

static void search_q4_0(best_batch *b) { best_symmetric(b, 4); }
static void search_q5_0(best_batch *b) { best_symmetric(b, 5); }

/* ---- Q8_0 ---- */

/* Least squares say little here, the luck of 32 roundings much: the error of many scales, as they are stored. The
 * value of largest magnitude gets a negative code, of which there is one more. */
static void search_q8_0(best_batch *b)
{
    const best_grid grid = { BEST_WHOLE, -128.0f, 127.0f, NULL };
    for (int s = 0; s < BEST_GROUPS; s += PL_LANES) {
        const float *x = b->x + s, *h = b->h + s;
        vf per = best_per_extreme(x, BEST_SPAN), best = v_every(0.0f), least = v_every(INFINITY);
        vf extreme = best_inverse(per);
        /* 128.2, 128, 127.8 ...: whole ones are what a block that was encoded before has */
        for (int k = 641; k >= 565; k--) {
            vf d = v_f16(extreme * v_every(-5.0f / (float)k));
            vf error = best_error(x, h, BEST_SPAN, grid, d);
            vm better = v_less(error, least);
            best = v_pick(better, d, best);
            least = v_pick(better, error, least);
        }
        v_put(best, b->scale + s);
        v_put(v_every(0.0f), b->offset + s);
    }
    for (int g = 0; g < b->groups; g++) {
        uint16_t d = pl_f32_to_f16(b->scale[g]);
        uint8_t *out = b->out + g * (int)sizeof(pl_block_q8_0);
        memcpy(out, &d, 2);
        best_legacy_codes(b, g, 128.0f, 255.0f, out + 2);
        for (int i = 0; i < BEST_SPAN; i++) out[2 + i] ^= 0x80;
    }
}

/* ---- Q4_1, Q5_1 ---- */

/* Sums over codes l of values that have their weighted mean subtracted. */
typedef struct best_line { vf l, l2, lx, error; } best_line;

/* w: values; x [BEST_SPAN] the same around their mean; codes of (x - low) * inverse. The error is that of d * l + m. */
PL_INLINE best_line best_line_codes(const float *w, const vf *x, const float *h, float top, vf low, vf inverse,
                                    vf d, vf m)
{
    best_line s = { v_every(0.0f), v_every(0.0f), v_every(0.0f), v_every(0.0f) };
    for (int i = 0; i < BEST_SPAN; i++) {
        vf l = best_whole((x[i] - low) * inverse, 0.0f, top), weight = v_at(h + i * BEST_GROUPS, 1), hl = weight * l;
        vf difference = v_at(w + i * BEST_GROUPS, 1) - (d * l + m);
        s.l = s.l + hl;
        s.l2 = s.l2 + hl * l;
        s.lx = s.lx + hl * x[i];
        s.error = s.error + weight * difference * difference;
    }
    return s;
}

/* The best fit so far, value ~ scale * code + offset, and how much of the squares it explains; how many codes it leaves
 * over below and above the values. */
typedef struct best_affine { vf scale, offset, explained, below, above; } best_affine;

/* A group around its weighted mean. */
typedef struct best_centred { vf x[BEST_SPAN], sum, mean, low, high; } best_centred;

/* w: values, h: weights of a group as in a batch. */
PL_INLINE void best_centre(const float *w, const float *h, best_centred *c)
{
    vf sum = v_every(0.0f), mean = sum, low = v_at(w, 1), high = low;
    for (int i = 0; i < BEST_SPAN; i++) {
        vf value = v_at(w + i * BEST_GROUPS, 1), weight = v_at(h + i * BEST_GROUPS, 1);
        sum = sum + weight;
        mean = mean + weight * value;
        low = v_min(low, value);
        high = v_max(high, value);
    }
    c->sum = sum;
    c->mean = v_pick(v_less(v_every(0.0f), sum), mean / sum, low);
    for (int i = 0; i < BEST_SPAN; i++) c->x[i] = v_at(w + i * BEST_GROUPS, 1) - c->mean;
    c->low = low - c->mean;
    c->high = high - c->mean;
}

PL_INLINE void best_spare(const float *w, const float *h, const best_centred *c, float top, vf below, vf above,
                          best_affine *best)
{
    const vf zero = v_every(0.0f);
    vf step = (c->high - c->low) / (v_every(top) - below - above);
    vf inverse = v_pick(v_less(v_every(0x1p-60f), step), v_every(1.0f) / step, zero);
    best_line t = best_line_codes(w, c->x, h, top, c->low - below * step, inverse, zero, zero);
    vf variance = t.l2 - t.l * t.l / c->sum, d = t.lx / variance, explained = d * t.lx;
    vm better = v_both(v_less(zero, variance), v_less(best->explained, explained));
    best->scale = v_pick(better, d, best->scale);
    best->offset = v_pick(better, c->mean - d * (t.l / c->sum), best->offset);
    best->explained = v_pick(better, explained, best->explained);
    best->below = v_pick(better, below, best->below);
    best->above = v_pick(better, above, best->above);
}

/* Codes, in halves, that a block leaves over below and above its values, below 0: lacks. Those pairs of all from -4 to
 * 4 (q4_1) or -3 to 5 (q5_1) that matter most; the others won in few blocks of normal, heavy-tailed and real weights,
 * and next to nothing there. */
typedef struct best_pair { int8_t below, above; } best_pair;
static const best_pair best_pairs4[] = {
    { 0, 0 }, { -1, 0 }, { 0, -1 }, { 2, 0 }, { -1, -1 }, { 0, -2 }, { 1, 0 }, { 0, 1 }, { 0, 4 },
    { -2, 0 }, { -1, 1 }, { -1, -2 }, { 0, 3 }, { -2, -1 }, { 1, 2 }, { 2, 4 }, { -1, 2 }, { 1, -1 },
    { 0, -3 }, { -2, -2 }, { -3, 0 }, { 4, -1 }, { 2, 3 }, { -1, -3 }, { 1, 4 }, { -1, 4 }, { 1, 1 },
    { -3, -1 }, { -4, 0 }, { 3, -1 }, { -4, -1 }, { 1, 3 }
};
static const best_pair best_pairs5[] = {
    { 0, 0 }, { -1, 1 }, { 2, 0 }, { -1, 0 }, { 0, -1 }, { 2, 2 }, { 4, 2 }, { 1, 0 }, { 0, 1 }, { -1, -1 },
    { 4, 4 }, { 0, 3 }, { 1, 2 }, { -2, 0 }, { 2, 3 }, { 5, 0 }, { 0, -2 }, { -1, 2 }, { 3, -1 },
    { -1, -2 }, { 4, 3 }, { 5, 2 }, { -2, -1 }, { -1, 4 }, { 4, -1 }, { 5, 4 }, { 1, -1 }, { 3, 5 },
    { 3, 2 }, { 1, 3 }, { 4, 5 }, { -3, 0 }, { 3, 4 }, { -1, 5 }, { 1, 1 }, { 0, -3 }
};

/* value = d * (0 .. top) + m. Tried are the pairs, then quarters and eighths around the best. The best by least squares
 * goes on with what is stored. */
PL_INLINE void best_offset(best_batch *b, int bits, const best_pair *pair, int pairs)
{
    const vf zero = v_every(0.0f);
    const float top = (float)((1 << bits) - 1);
    for (int s = 0; s < BEST_GROUPS; s += PL_LANES) {
        const float *w = b->x + s, *h = b->h + s;
        best_centred c;
        best_centre(w, h, &c);
        best_affine found = { zero, c.mean, zero, zero, zero };
        for (int k = 0; k < pairs; k++)
            best_spare(w, h, &c, top, v_every(0.5f * pair[k].below), v_every(0.5f * pair[k].above), &found);
        for (float step = 0.25f; step > 0.1f; step *= 0.5f) {
            vf below = found.below, above = found.above;
            for (int k = 0; k < 9; k++)
                if (k != 4)
                    best_spare(w, h, &c, top, below + v_every(step * (float)(k % 3 - 1)),
                               above + v_every(step * (float)(k / 3 - 1)), &found);
        }
        vf best_d = zero, best_m = zero, best_low = zero, least = v_every(INFINITY);
        vf d = v_f16(found.scale), m = v_f16(found.offset);
        for (int r = 0; r < 8; r++) {
            best_line t = best_line_codes(w, c.x, h, top, m - c.mean, best_inverse(d), d, m);
            vm better = v_less(t.error, least);
            vf ideal = t.lx / (t.l2 - t.l * t.l / c.sum), from = c.mean - ideal * (t.l / c.sum);
            best_d = v_pick(better, d, best_d);
            best_m = v_pick(better, m, best_m);
            best_low = v_pick(better, from, best_low);
            least = v_pick(better, t.error, least);
            if (r < 3) {
                /* the scale for these codes and the minimum as it will be stored */
                m = v_f16(from);
                d = v_f16((t.lx + (c.mean - m) * t.l) / t.l2);
            } else {
                /* the same values by other codes: another minimum, which may be closer to what f16 holds */
                d = best_d;
                m = v_f16(best_low + v_every((float)(r < 5 ? r - 5 : r - 4)) * d);
            }
        }
        v_put(best_d, b->scale + s);
        v_put(best_m, b->offset + s);
    }
    best_legacy_put(b, bits, true);
}

static void search_q4_1(best_batch *b) { best_offset(b, 4, best_pairs4, PL_COUNT(best_pairs4)); }
static void search_q5_1(best_batch *b) { best_offset(b, 5, best_pairs5, PL_COUNT(best_pairs5)); }

BEST_ENCODER(q8_0, PL_Q8_0, BEST_SPAN)
BEST_ENCODER(q4_0, PL_Q4_0, BEST_SPAN)
BEST_ENCODER(q4_1, PL_Q4_1, BEST_SPAN)
BEST_ENCODER(q5_0, PL_Q5_0, BEST_SPAN)
BEST_ENCODER(q5_1, PL_Q5_1, BEST_SPAN)

#endif
