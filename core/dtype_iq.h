/* dtype_iq.h: what decoders of the IQ types share, for whichever instruction set: 32 values at a time as
 * rows of a grid, signs and scales. docs/methods/gguf-types.md has the formulas. */
#ifndef CORE_DTYPE_IQ_H
#define CORE_DTYPE_IQ_H

#include <stddef.h>
#include <string.h>

#include "core/blocks.h"
#include "core/iq_grids.h"

/* 32 values as a block stores them. Value j comes from byte j of the rows, d and factor[j / 16]. */
typedef struct pl_iq_group {
    uint64_t row[4];            /* of the grid, 8 signed bytes each, the first lowest */
    uint32_t negative;          /* bit j: value j, or in iq1 what is added to it, is negative */
    uint16_t d;                 /* f16 */
    float factor[2];            /* a small odd number times a power of two: d times it is exact */
} pl_iq_group;

static inline uint16_t pl_iq_u16(const uint8_t *p)
{
    uint16_t x;
    memcpy(&x, p, 2);
    return x;
}
static inline uint32_t pl_iq_u32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
    return x;
}
static inline uint64_t pl_iq_row8(const int8_t row[8])
{
    uint64_t x;
    memcpy(&x, row, 8);
    return x;
}
static inline uint64_t pl_iq_row4(const int8_t first[4], const int8_t second[4])
{
    return pl_iq_u32((const uint8_t *)first) | (uint64_t)pl_iq_u32((const uint8_t *)second) << 32;
}
/* (2 s + 1) * unit of both halves, s: the low and the high half of a byte */
static inline void pl_iq_factors(pl_iq_group *g, unsigned low, unsigned high, float unit)
{
    g->factor[0] = (float)(int)(2 * low + 1) * unit;
    g->factor[1] = (float)(int)(2 * high + 1) * unit;
}

/* Group b = 0 .. 7 of a block at any address, of each type. */
static inline pl_iq_group pl_iq2_xxs_group(const uint8_t *block, int b, const pl_iq_grids *grids)
{
    const uint8_t *index = block + offsetof(pl_block_iq2_xxs, qs) + 8 * b;
    uint32_t aux = pl_iq_u32(index + 4);
    pl_iq_group g = { .negative = pl_iq_signs(aux), .d = pl_iq_u16(block) };
    for (int l = 0; l < 4; l++) g.row[l] = pl_iq_row8(grids->iq2_xxs[index[l]]);
    pl_iq_factors(&g, aux >> 28, aux >> 28, 0.125f);
    return g;
}

static inline pl_iq_group pl_iq2_xs_group(const uint8_t *block, int b, const pl_iq_grids *grids)
{
    const uint8_t *qs = block + offsetof(pl_block_iq2_xs, qs) + 8 * b;
    unsigned scale = block[offsetof(pl_block_iq2_xs, scales) + (size_t)b];
    pl_iq_group g = { .d = pl_iq_u16(block) };
    uint32_t codes = 0;
    for (int l = 0; l < 4; l++) {
        uint32_t v = pl_iq_u16(qs + 2 * l);
        codes |= v >> 9 << 7 * l;
        g.row[l] = pl_iq_row8(grids->iq2_xs[v & 511]);
    }
    g.negative = pl_iq_signs(codes);
    pl_iq_factors(&g, scale & 15, scale >> 4, 0.125f);
    return g;
}

static inline pl_iq_group pl_iq2_s_group(const uint8_t *block, int b, const pl_iq_grids *grids)
{
    const uint8_t *qs = block + offsetof(pl_block_iq2_s, qs) + 4 * b;
    unsigned high = block[offsetof(pl_block_iq2_s, qh) + (size_t)b];
    unsigned scale = block[offsetof(pl_block_iq2_s, scales) + (size_t)b];
    pl_iq_group g = { .negative = pl_iq_u32(block + offsetof(pl_block_iq2_s, signs) + 4 * b),
                      .d = pl_iq_u16(block) };
    for (int l = 0; l < 4; l++)
        g.row[l] = pl_iq_row8(grids->iq2_s[qs[l] | (high >> 2 * l & 3) << 8]);
    pl_iq_factors(&g, scale & 15, scale >> 4, 0.125f);
    return g;
}

static inline pl_iq_group pl_iq3_xxs_group(const uint8_t *block, int b, const pl_iq_grids *grids)
{
    const uint8_t *qs = block + offsetof(pl_block_iq3_xxs, qs) + 8 * b;
    uint32_t aux = pl_iq_u32(block + offsetof(pl_block_iq3_xxs, aux) + 4 * b);
    pl_iq_group g = { .negative = pl_iq_signs(aux), .d = pl_iq_u16(block) };
    for (int l = 0; l < 4; l++)
        g.row[l] = pl_iq_row4(grids->iq3_xxs[qs[2 * l]], grids->iq3_xxs[qs[2 * l + 1]]);
    pl_iq_factors(&g, aux >> 28, aux >> 28, 0.25f);
    return g;
}

static inline pl_iq_group pl_iq3_s_group(const uint8_t *block, int b, const pl_iq_grids *grids)
{
    const uint8_t *qs = block + offsetof(pl_block_iq3_s, qs) + 8 * b;
    unsigned high = block[offsetof(pl_block_iq3_s, qh) + (size_t)b];
    unsigned scale = block[offsetof(pl_block_iq3_s, scales) + (size_t)b / 2] >> b % 2 * 4 & 15;
    pl_iq_group g = { .negative = pl_iq_u32(block + offsetof(pl_block_iq3_s, signs) + 4 * b),
                      .d = pl_iq_u16(block) };
    for (int l = 0; l < 4; l++)
        g.row[l] = pl_iq_row4(grids->iq3_s[qs[2 * l] | (high >> 2 * l & 1) << 8],
                              grids->iq3_s[qs[2 * l + 1] | (high >> (2 * l + 1) & 1) << 8]);
    pl_iq_factors(&g, scale, scale, 1.0f);
    return g;
}

static inline pl_iq_group pl_iq1_s_group(const uint8_t *block, int b, const pl_iq_grids *grids)
{
    const uint8_t *qs = block + offsetof(pl_block_iq1_s, qs) + 4 * b;
    unsigned high = pl_iq_u16(block + offsetof(pl_block_iq1_s, qh) + 2 * b);
    pl_iq_group g = { .negative = high & 0x8000 ? UINT32_MAX : 0, .d = pl_iq_u16(block) };
    for (int l = 0; l < 4; l++)
        g.row[l] = pl_iq_row8(grids->iq1_s[qs[l] | (high >> 3 * l & 7) << 8]);
    pl_iq_factors(&g, high >> 12 & 7, high >> 12 & 7, 1.0f);
    return g;
}

/* The f16 that an iq1_m block spreads over its scales, lowest nibble first */
static inline uint16_t pl_iq1_m_d(const uint8_t *block)
{
    const uint8_t *sc = block + offsetof(pl_block_iq1_m, sc);
    return (uint16_t)(sc[1] >> 4 | (sc[3] & 0xf0) | sc[5] >> 4 << 8 | sc[7] >> 4 << 12);
}

static inline pl_iq_group pl_iq1_m_group(const uint8_t *block, int b, const pl_iq_grids *grids)
{
    const uint8_t *qs = block + offsetof(pl_block_iq1_m, qs) + 4 * b;
    unsigned high = pl_iq_u16(block + offsetof(pl_block_iq1_m, qh) + 2 * b);
    unsigned scales = pl_iq_u16(block + offsetof(pl_block_iq1_m, sc) + b / 2 * 2);
    uint32_t first = (high >> 3 & 1) | (high << 1 & 0x100) | (high << 5 & 0x10000) |
                     (high << 9 & 0x1000000);
    pl_iq_group g = { .negative = first * 255, .d = pl_iq1_m_d(block) };
    for (int l = 0; l < 4; l++)
        g.row[l] = pl_iq_row8(grids->iq1_s[qs[l] | (high >> 4 * l & 7) << 8]);
    scales >>= b % 2 * 6;
    pl_iq_factors(&g, scales & 7, scales >> 3 & 7, 1.0f);
    return g;
}

/* f32 factor of group b of an iq4_xs block, without d */
static inline float pl_iq4_xs_factor(const uint8_t *block, int b)
{
    unsigned low = block[offsetof(pl_block_iq4_xs, scales_l) + (size_t)b / 2] >> b % 2 * 4 & 15;
    unsigned high = pl_iq_u16(block + offsetof(pl_block_iq4_xs, scales_h)) >> 2 * b & 3;
    return (float)((int)(low | high << 4) - 32);
}

#endif
