/* best_low.h: the searches of TQ1_0, TQ2_0, Q1_0, Q2_0, MXFP4 and NVFP4 over lanes. */
#ifndef QUANTIZERS_BEST_LOW_H
#define QUANTIZERS_BEST_LOW_H

#include "core/blocks.h"
#include "quantizers/best_lanes.h"

/* Levels of group g by its scale, counted from `first`, as codes [b->n]. */
PL_INLINE void best_low_codes(const best_batch *b, int g, const best_grid grid, float first, uint8_t *codes)
{
    vf inverse = best_inverse(v_every(b->scale[g]));
    for (int i = 0; i < b->n; i += PL_LANES)
        v_put_codes(best_level(grid, v_at(b->w + g * b->n + i, 1) * inverse) - v_every(first), codes + i);
}

/* 1 / root of the weighted mean square, 0 for a group of zeros. */
PL_INLINE vf best_per_rms(const float *x, const float *h, int n)
{
    vf sum = v_every(0.0f), weights = sum;
    for (int i = 0; i < n; i++) {
        vf value = v_at(x + i * BEST_GROUPS, 1), weight = v_at(h + i * BEST_GROUPS, 1);
        weights = weights + weight;
        sum = sum + weight * value * value;
    }
    return v_pick(v_less(v_every(0x1p-120f), sum), v_sqrt(weights / sum), v_every(0.0f));
}

/* ---- -1, 0, 1 ---- */

enum { BEST_TERNARY = 256 };

/* The reference's scale is right for weights that were trained ternary; for others it lies near their root mean
 * square, further out for heavy tails. */
PL_INLINE void best_ternary(best_batch *b)
{
    const best_grid grid = { BEST_WHOLE, -1.0f, 1.0f, NULL };
    for (int s = 0; s < BEST_GROUPS; s += PL_LANES) {
        const float *x = b->x + s, *h = b->h + s;
        best_found found = { v_every(0.0f), v_every(0.0f) };
        vf per = v_abs(best_per_extreme(x, BEST_TERNARY)), per_rms = best_per_rms(x, h, BEST_TERNARY);
        best_try(x, h, BEST_TERNARY, grid, per, 1.0f, 0.5f, 3, &found);
        best_try(x, h, BEST_TERNARY, grid, per_rms, 0.2f, 0.1f, 14, &found);
        v_put(best_settle(x, h, BEST_TERNARY, grid, found.scale, 4), b->scale + s);
    }
}

static void search_tq2_0(best_batch *b)
{
    const best_grid grid = { BEST_WHOLE, -1.0f, 1.0f, NULL };
    best_ternary(b);
    for (int g = 0; g < b->groups; g++) {
        uint8_t codes[BEST_TERNARY];
        pl_block_tq2_0 block = { .d = pl_f32_to_f16(b->scale[g]) };
        best_low_codes(b, g, grid, -1.0f, codes);
        for (int j = 0; j < 64; j++) {
            const uint8_t *from = codes + j / 32 * 128 + j % 32;
            block.qs[j] = (uint8_t)(from[0] | from[32] << 2 | from[64] << 4 | from[96] << 6);
        }
        memcpy(b->out + g * (int)sizeof block, &block, sizeof block);
    }
}

/* Five digits at distance `stride` in base 3, scaled up to a byte; the last is 0 where there are four. */
PL_INLINE uint8_t best_five(const uint8_t *codes, int digits, int stride)
{
    int value = 0;
    for (int n = 0; n < 5; n++) value = 3 * value + (n < digits ? codes[n * stride] : 0);
    return (uint8_t)((value * 256 + 242) / 243);
}

static void search_tq1_0(best_batch *b)
{
    const best_grid grid = { BEST_WHOLE, -1.0f, 1.0f, NULL };
    best_ternary(b);
    for (int g = 0; g < b->groups; g++) {
        uint8_t codes[BEST_TERNARY];
        pl_block_tq1_0 block = { .d = pl_f32_to_f16(b->scale[g]) };
        best_low_codes(b, g, grid, -1.0f, codes);
        for (int j = 0; j < 32; j++) block.qs[j] = best_five(codes + j, 5, 32);
        for (int j = 0; j < 16; j++) block.qs[32 + j] = best_five(codes + 160 + j, 5, 16);
        for (int j = 0; j < 4; j++) block.qh[j] = best_five(codes + 240 + j, 4, 4);
        memcpy(b->out + g * (int)sizeof block, &block, sizeof block);
    }
}

/* ---- -1, 0, 1, 2 under a scale of either sign ---- */

enum { BEST_Q2_0 = 64 };

static void search_q2_0(best_batch *b)
{
    const best_grid grid = { BEST_WHOLE, -1.0f, 2.0f, NULL };
    for (int s = 0; s < BEST_GROUPS; s += PL_LANES) {
        const float *x = b->x + s, *h = b->h + s;
        best_found found = { v_every(0.0f), v_every(0.0f) };
        vf per = best_per_extreme(x, BEST_Q2_0), per_rms = best_per_rms(x, h, BEST_Q2_0);
        for (int side = 0; side < 2; side++) {
            best_try(x, h, BEST_Q2_0, grid, per, 1.0f, 1.0f, 2, &found);
            best_try(x, h, BEST_Q2_0, grid, per_rms, 0.3f, 0.06f, 25, &found);
            per = v_every(0.0f) - per;
            per_rms = v_every(0.0f) - per_rms;
        }
        v_put(best_settle(x, h, BEST_Q2_0, grid, found.scale, 4), b->scale + s);
    }
    for (int g = 0; g < b->groups; g++) {
        uint8_t codes[BEST_Q2_0];
        pl_block_q2_0 block = { .d = pl_f32_to_f16(b->scale[g]) };
        best_low_codes(b, g, grid, -1.0f, codes);
        for (int j = 0; j < 16; j++) {
            const uint8_t *from = codes + 4 * j;
            block.qs[j] = (uint8_t)(from[0] | from[1] << 2 | from[2] << 4 | from[3] << 6);
        }
        memcpy(b->out + g * (int)sizeof block, &block, sizeof block);
    }
}

/* ---- one bit: the signs, and the weighted mean of magnitudes, which is the best there is ---- */

enum { BEST_Q1_0 = 128 };

static void search_q1_0(best_batch *b)
{
    for (int s = 0; s < BEST_GROUPS; s += PL_LANES) {
        vf sum = v_every(0.0f), weights = sum;
        for (int i = 0; i < BEST_Q1_0; i++) {
            vf weight = v_at(b->h + s + i * BEST_GROUPS, 1);
            weights = weights + weight;
            sum = sum + weight * v_abs(v_at(b->x + s + i * BEST_GROUPS, 1));
        }
        v_put(v_f16(v_pick(v_less(v_every(0.0f), weights), sum / weights, v_every(0.0f))), b->scale + s);
    }
    for (int g = 0; g < b->groups; g++) {
        pl_block_q1_0 block = { .d = pl_f32_to_f16(b->scale[g]) };
        for (int i = 0; i < BEST_Q1_0; i++)
            block.bits[i / 8] |= (uint8_t)((b->w[g * BEST_Q1_0 + i] >= 0.0f) << i % 8);
        memcpy(b->out + g * (int)sizeof block, &block, sizeof block);
    }
}

/* ---- 4-bit floats: few scales can be stored, and all near the reference's are tried ---- */

static const best_grid best_e2m1 = { BEST_E2M1, 0.0f, 0.0f, NULL };

/* code_of: the largest code that a type may store for a scale up to this one; half_of: half the scale that a code
 * means, since levels are times two. Tried are the codes from `below` to `above` the one that makes level[0] of the
 * largest magnitude, and those that make level[1] .. of it, as in blocks that were encoded before. codes: the best. */
typedef struct best_fp4_rule {
    int (*code_of)(float scale);
    float (*half_of)(uint8_t code);
    int below, above, last, levels;
    float level[3];
} best_fp4_rule;

PL_INLINE void best_fp4(best_batch *b, const best_fp4_rule rule, uint8_t *codes)
{
    float least[BEST_GROUPS], error[BEST_GROUPS], half[BEST_GROUPS], largest[BEST_GROUPS] = { 0.0f };
    uint8_t code[BEST_GROUPS];
    int middle[BEST_GROUPS];
    for (int g = 0; g < BEST_GROUPS; g++) {
        for (int i = 0; g < b->groups && i < b->n; i++)
            if (fabsf(b->w[g * b->n + i]) > largest[g]) largest[g] = fabsf(b->w[g * b->n + i]);
        middle[g] = rule.code_of(largest[g] / rule.level[0]);
        least[g] = INFINITY;
        codes[g] = 0;
    }
    for (int k = -rule.below; k < rule.above + rule.levels; k++) {
        for (int g = 0; g < BEST_GROUPS; g++) {
            int c = middle[g] + k;
            if (k > rule.above) c = rule.code_of(largest[g] / rule.level[k - rule.above]);
            code[g] = (uint8_t)(c < 0 ? 0 : c > rule.last ? rule.last : c);
            half[g] = rule.half_of(code[g]);
        }
        for (int s = 0; s < BEST_GROUPS; s += PL_LANES)
            v_put(best_error(b->x + s, b->h + s, b->n, best_e2m1, v_at(half + s, 1)), error + s);
        for (int g = 0; g < BEST_GROUPS; g++) {
            if (!(error[g] < least[g])) continue;
            least[g] = error[g];
            codes[g] = code[g];
        }
    }
    for (int g = 0; g < BEST_GROUPS; g++) b->scale[g] = rule.half_of(codes[g]);
}

/* Nibbles of group g, the low ones hold the first half. */
PL_INLINE void best_fp4_put(const best_batch *b, int g, uint8_t *out)
{
    static const uint8_t code_of[25] = {
        15, 0, 0, 0, 14, 0, 13, 0, 12, 11, 10, 9, 0, 1, 2, 3, 4, 0, 5, 0, 6, 0, 0, 0, 7
    };
    uint8_t places[32];
    best_low_codes(b, g, best_e2m1, -12.0f, places);
    for (int i = 0; i < b->n / 2; i++)
        out[i] = (uint8_t)(code_of[places[i]] | code_of[places[i + b->n / 2]] << 4);
}

PL_INLINE int best_e8m0_code(float scale) { return (int)(pl_f32_bits(scale) >> 23); }

/* Largest magnitudes of 4 .. 8: ggml's choice. */
static void search_mxfp4(best_batch *b)
{
    static const best_fp4_rule rule = { best_e8m0_code, pl_e8m0_half, 1, 1, 254, 1, { 4.0f } };
    uint8_t codes[BEST_GROUPS];
    best_fp4(b, rule, codes);
    for (int g = 0; g < b->groups; g++) {
        pl_block_mxfp4 block = { .e = codes[g] };
        best_fp4_put(b, g, block.qs);
        memcpy(b->out + g * (int)sizeof block, &block, sizeof block);
    }
}

enum { BEST_NVFP4 = 16, BEST_NVFP4_GROUPS = 4 };

PL_INLINE int best_ue4m3_code(float scale)
{
    if (scale < 0x1p-6f) return (int)(scale * 512.0f);
    return (int)(pl_f32_bits(scale) >> 20) - (120 << 3);
}

/* Up to twice the scale that makes 6 of the largest magnitude, eight codes on: under a factor for the whole matrix this
 * has all that the reference makes without one, where small scales are rounded by up to that much. */
static void search_nvfp4(best_batch *b)
{
    static const best_fp4_rule rule = { best_ue4m3_code, pl_ue4m3_half, 5, 8, 0x7e, 3, { 6.0f, 2.0f, 1.5f } };
    uint8_t codes[BEST_GROUPS];
    best_fp4(b, rule, codes);
    for (int g = 0; g < b->groups; g += BEST_NVFP4_GROUPS) {
        pl_block_nvfp4 block;
        for (int s = 0; s < BEST_NVFP4_GROUPS; s++) {
            block.d[s] = codes[g + s];
            best_fp4_put(b, g + s, block.qs + 8 * s);
        }
        memcpy(b->out + g / BEST_NVFP4_GROUPS * (int)sizeof block, &block, sizeof block);
    }
}

BEST_ENCODER(tq1_0, PL_TQ1_0, BEST_TERNARY)
BEST_ENCODER(tq2_0, PL_TQ2_0, BEST_TERNARY)
BEST_ENCODER(q1_0, PL_Q1_0, BEST_Q1_0)
BEST_ENCODER(q2_0, PL_Q2_0, BEST_Q2_0)
BEST_ENCODER(mxfp4, PL_MXFP4, 32)
BEST_ENCODER(nvfp4, PL_NVFP4, BEST_NVFP4)

#endif
