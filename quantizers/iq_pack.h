/* iq_pack.h: blocks of the IQ types from the numbers that are stored in them. */
#ifndef QUANTIZERS_IQ_PACK_H
#define QUANTIZERS_IQ_PACK_H

#include <string.h>

#include "core/blocks.h"

/* Scales of sub-blocks of 32 or 16 values, points of eight or four, signs of eight: bit j is set where value j is
 * negative or, of iq1, every bit where an eighth is subtracted (iq1_s: by the first of four). */
typedef struct pl_iq_codes {
    uint16_t d;                 /* f16 */
    uint8_t scale[16], signs[32];
    uint16_t index[64];
} pl_iq_codes;

/* `out` has room for a block and may be at any address. */
typedef void (*pl_iq_packer)(const pl_iq_codes *c, uint8_t *out);

/* Four sign codes of seven bits, the eighth follows from them, and a scale. */
static inline uint32_t pl_iq_aux(const pl_iq_codes *c, int k)
{
    uint32_t aux = (uint32_t)c->scale[k] << 28;
    for (int g = 0; g < 4; g++) aux |= (c->signs[4 * k + g] & 127u) << 7 * g;
    return aux;
}

/* Scales of four bits, two to a byte. */
static inline void pl_iq_pairs(const uint8_t *scale, int n, uint8_t *out)
{
    for (int i = 0; i < n; i++) out[i] = (uint8_t)(scale[2 * i] | scale[2 * i + 1] << 4);
}

static inline void pl_iq_pack_iq2_xxs(const pl_iq_codes *c, uint8_t *out)
{
    pl_block_iq2_xxs block = { .d = c->d };
    for (int k = 0; k < 8; k++) {
        uint32_t aux = pl_iq_aux(c, k);
        for (int g = 0; g < 4; g++) block.qs[8 * k + g] = (uint8_t)c->index[4 * k + g];
        memcpy(block.qs + 8 * k + 4, &aux, sizeof aux);
    }
    memcpy(out, &block, sizeof block);
}

static inline void pl_iq_pack_iq2_xs(const pl_iq_codes *c, uint8_t *out)
{
    pl_block_iq2_xs block = { .d = c->d };
    for (int g = 0; g < 32; g++) block.qs[g] = (uint16_t)(c->index[g] | (c->signs[g] & 127) << 9);
    pl_iq_pairs(c->scale, 8, block.scales);
    memcpy(out, &block, sizeof block);
}

static inline void pl_iq_pack_iq2_s(const pl_iq_codes *c, uint8_t *out)
{
    pl_block_iq2_s block = { .d = c->d };
    for (int g = 0; g < 32; g++) {
        block.qs[g] = (uint8_t)c->index[g];
        block.qh[g / 4] |= (uint8_t)(c->index[g] >> 8 << g % 4 * 2);
    }
    memcpy(block.signs, c->signs, sizeof block.signs);
    pl_iq_pairs(c->scale, 8, block.scales);
    memcpy(out, &block, sizeof block);
}

static inline void pl_iq_pack_iq3_xxs(const pl_iq_codes *c, uint8_t *out)
{
    pl_block_iq3_xxs block = { .d = c->d };
    for (int g = 0; g < 64; g++) block.qs[g] = (uint8_t)c->index[g];
    for (int k = 0; k < 8; k++) {
        uint32_t aux = pl_iq_aux(c, k);
        memcpy(block.aux + 4 * k, &aux, sizeof aux);
    }
    memcpy(out, &block, sizeof block);
}

static inline void pl_iq_pack_iq3_s(const pl_iq_codes *c, uint8_t *out)
{
    pl_block_iq3_s block = { .d = c->d };
    for (int g = 0; g < 64; g++) {
        block.qs[g] = (uint8_t)c->index[g];
        block.qh[g / 8] |= (uint8_t)(c->index[g] >> 8 << g % 8);
    }
    memcpy(block.signs, c->signs, sizeof block.signs);
    pl_iq_pairs(c->scale, 4, block.scales);
    memcpy(out, &block, sizeof block);
}

static inline void pl_iq_pack_iq1_s(const pl_iq_codes *c, uint8_t *out)
{
    pl_block_iq1_s block = { .d = c->d };
    for (int k = 0; k < 8; k++) {
        unsigned high = (unsigned)c->scale[k] << 12 | (c->signs[4 * k] & 128u) << 8;
        for (int g = 0; g < 4; g++) {
            block.qs[4 * k + g] = (uint8_t)c->index[4 * k + g];
            high |= (unsigned)c->index[4 * k + g] >> 8 << 3 * g;
        }
        block.qh[k] = (uint16_t)high;
    }
    memcpy(out, &block, sizeof block);
}

static inline void pl_iq_pack_iq1_m(const pl_iq_codes *c, uint8_t *out)
{
    pl_block_iq1_m block = { .qs = { 0 } };
    for (int g = 0; g < 32; g++) {
        unsigned high = (unsigned)c->index[g] >> 8 | (c->signs[g] & 8u);
        block.qs[g] = (uint8_t)c->index[g];
        block.qh[g / 2] |= (uint8_t)(high << g % 2 * 4);
    }
    for (int k = 0; k < 16; k++) block.sc[k / 4] = (uint16_t)(block.sc[k / 4] | c->scale[k] << k % 4 * 3);
    for (int k = 0; k < 4; k++) block.sc[k] = (uint16_t)(block.sc[k] | (c->d >> 4 * k & 15) << 12);
    memcpy(out, &block, sizeof block);
}

#endif
