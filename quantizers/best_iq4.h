/* best_iq4.h: the searches of IQ4_NL and IQ4_XS over lanes: groups of 32 values on a table of 16. */
#ifndef QUANTIZERS_BEST_IQ4_H
#define QUANTIZERS_BEST_IQ4_H

#include "core/blocks.h"
#include "quantizers/best_lanes.h"

enum { BEST_IQ4_SPAN = 32, BEST_XS_SUBS = 8, BEST_XS_BLOCKS = BEST_GROUPS / BEST_XS_SUBS };

/* Least-squares scales, not rounded, for inverse scales of both signs. */
PL_INLINE best_found best_iq4_scale(const float *x, const float *h, const best_grid grid)
{
    vf per = best_per_extreme(x, BEST_IQ4_SPAN);
    best_found found = { v_every(0.0f), v_every(0.0f) };
    for (int side = 0; side < 2; side++) {
        vf signed_per = per * v_every(side ? -1.0f : 1.0f);
        best_try(x, h, BEST_IQ4_SPAN, grid, signed_per, 66.0f, 5.0f, 20, &found);
        best_try(x, h, BEST_IQ4_SPAN, grid, signed_per, 180.0f, 30.0f, 2, &found);
    }
    return found;
}

/* Nibbles of group g by its scale: the low ones hold the first half. */
PL_INLINE void best_iq4_put(const best_batch *b, const iq4_table *t, int g, uint8_t *out)
{
    uint8_t codes[BEST_IQ4_SPAN];
    vf inverse = best_inverse(v_every(b->scale[g]));
    for (int i = 0; i < BEST_IQ4_SPAN; i += PL_LANES)
        v_put_codes(iq4_code(t, v_at(b->w + g * BEST_IQ4_SPAN + i, 1) * inverse), codes + i);
    for (int i = 0; i < 16; i++) out[i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
}

static void search_iq4_nl(best_batch *b)
{
    iq4_table table;
    iq4_table_init(&table);
    const best_grid grid = { BEST_IQ4, 0.0f, 0.0f, &table };
    for (int s = 0; s < BEST_GROUPS; s += PL_LANES) {
        const float *x = b->x + s, *h = b->h + s;
        best_found found = best_iq4_scale(x, h, grid);
        v_put(best_settle(x, h, BEST_IQ4_SPAN, grid, found.scale, 3), b->scale + s);
    }
    for (int g = 0; g < b->groups; g++) {
        pl_block_iq4_nl block = { .d = pl_f32_to_f16(b->scale[g]) };
        best_iq4_put(b, &table, g, block.qs);
        memcpy(b->out + g * (int)sizeof block, &block, sizeof block);
    }
}

/* ---- IQ4_XS: eight groups with scales d * (-32 .. 31) ---- */

/* Scales of a batch and what they leave: error of each group; sums for the least-squares d. */
typedef struct best_xs {
    float d[BEST_XS_BLOCKS], level[BEST_GROUPS], qx[BEST_GROUPS], q2[BEST_GROUPS], error[BEST_GROUPS];
} best_xs;

PL_INLINE float best_xs_level(float scale, float inverse)
{
    float y = scale * inverse;
    y = y < -32.0f ? -32.0f : y > 31.0f ? 31.0f : y == y ? y : 0.0f;
    return y + PL_ROUNDER - PL_ROUNDER;
}

PL_INLINE void best_xs_measure(const best_batch *b, const best_grid grid, best_xs *t)
{
    float scale[BEST_GROUPS];
    for (int g = 0; g < BEST_GROUPS; g++) scale[g] = t->d[g / BEST_XS_SUBS] * t->level[g];
    for (int s = 0; s < BEST_GROUPS; s += PL_LANES) {
        best_sums sums = best_measure(b->x + s, b->h + s, BEST_IQ4_SPAN, grid, v_at(scale + s, 1));
        v_put(sums.qx, t->qx + s);
        v_put(sums.q2, t->q2 + s);
        v_put(sums.error, t->error + s);
    }
}

/* Blocks of `best` that have more error than those of `t` are replaced. */
PL_INLINE void best_xs_take(best_xs *best, const best_xs *t)
{
    for (int k = 0; k < BEST_XS_BLOCKS; k++) {
        float old = 0.0f, new = 0.0f;
        int from = k * BEST_XS_SUBS;
        for (int g = from; g < from + BEST_XS_SUBS; g++) {
            old += best->error[g];
            new += t->error[g];
        }
        if (!(new < old)) continue;
        best->d[k] = t->d[k];
        memcpy(best->level + from, t->level + from, BEST_XS_SUBS * sizeof(float));
        memcpy(best->qx + from, t->qx + from, BEST_XS_SUBS * sizeof(float));
        memcpy(best->q2 + from, t->q2 + from, BEST_XS_SUBS * sizeof(float));
        memcpy(best->error + from, t->error + from, BEST_XS_SUBS * sizeof(float));
    }
}

/* d by least squares for the codes that `best` stands for. */
PL_INLINE void best_xs_refit(const best_batch *b, const best_grid grid, best_xs *best)
{
    best_xs t = *best;
    for (int k = 0; k < BEST_XS_BLOCKS; k++) {
        float qx = 0.0f, q2 = 0.0f;
        for (int g = k * BEST_XS_SUBS; g < (k + 1) * BEST_XS_SUBS; g++) {
            qx += best->level[g] * best->qx[g];
            q2 += best->level[g] * best->level[g] * best->q2[g];
        }
        t.d[k] = q2 > 0.0f ? pl_f16_to_f32(pl_f32_to_f16(qx / q2)) : 0.0f;
    }
    best_xs_measure(b, grid, &t);
    best_xs_take(best, &t);
}

/* Levels of single groups one up and one down. */
PL_INLINE void best_xs_move(const best_batch *b, const best_grid grid, best_xs *best)
{
    for (int step = -1; step <= 1; step += 2) {
        best_xs t = *best, mixed = *best;
        for (int g = 0; g < BEST_GROUPS; g++) t.level[g] = best_xs_level(best->level[g] + (float)step, 1.0f);
        best_xs_measure(b, grid, &t);
        for (int g = 0; g < BEST_GROUPS; g++) {
            if (!(t.error[g] < best->error[g])) continue;
            mixed.level[g] = t.level[g];
            mixed.qx[g] = t.qx[g];
            mixed.q2[g] = t.q2[g];
            mixed.error[g] = t.error[g];
        }
        *best = mixed;
    }
}

PL_INLINE void best_xs_put(best_batch *b, const iq4_table *table, const best_xs *best)
{
    for (int k = 0; k < b->groups / BEST_XS_SUBS; k++) {
        pl_block_iq4_xs block = { .d = pl_f32_to_f16(best->d[k]) };
        for (int i = 0; i < BEST_XS_SUBS; i++) {
            int g = k * BEST_XS_SUBS + i, l = (int)best->level[g] + 32;
            b->scale[g] = best->d[k] * best->level[g];
            best_iq4_put(b, table, g, block.qs + 16 * i);
            block.scales_l[i / 2] |= (uint8_t)((l & 15) << i % 2 * 4);
            block.scales_h = (uint16_t)(block.scales_h | l >> 4 << 2 * i);
        }
        memcpy(b->out + k * (int)sizeof block, &block, sizeof block);
    }
}

static void search_iq4_xs(best_batch *b)
{
    iq4_table table;
    iq4_table_init(&table);
    const best_grid grid = { BEST_IQ4, 0.0f, 0.0f, &table };
    float extreme[BEST_XS_BLOCKS] = { 0.0f };
    for (int s = 0; s < BEST_GROUPS; s += PL_LANES)
        v_put(best_iq4_scale(b->x + s, b->h + s, grid).scale, b->scale + s);
    for (int g = 0; g < BEST_GROUPS; g++)
        if (fabsf(b->scale[g]) > fabsf(extreme[g / BEST_XS_SUBS])) extreme[g / BEST_XS_SUBS] = b->scale[g];
    best_xs best = { .d = { 0.0f } };
    best_xs_measure(b, grid, &best);
    /* the largest scale as -32 .. -24 and 25 .. 31 of d */
    for (int k = 0; k < 16; k++) {
        best_xs t;
        float steps = (float)(k < 9 ? k - 32 : k + 16);
        for (int g = 0; g < BEST_GROUPS; g++) {
            float d = pl_f16_to_f32(pl_f32_to_f16(extreme[g / BEST_XS_SUBS] / steps));
            t.d[g / BEST_XS_SUBS] = d;
            t.level[g] = d != 0.0f ? best_xs_level(b->scale[g], 1.0f / d) : 0.0f;
        }
        best_xs_measure(b, grid, &t);
        best_xs_take(&best, &t);
    }
    for (int round = 0; round < 2; round++) {
        best_xs_refit(b, grid, &best);
        best_xs_move(b, grid, &best);
    }
    best_xs_refit(b, grid, &best);
    best_xs_put(b, &table, &best);
}

BEST_ENCODER(iq4_nl, PL_IQ4_NL, BEST_IQ4_SPAN)
BEST_ENCODER(iq4_xs, PL_IQ4_XS, BEST_IQ4_SPAN)

#endif
