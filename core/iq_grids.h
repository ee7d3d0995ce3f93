/* iq_grids.h: the vectors that the codes of the IQ types name, for decoders and encoders. */
#ifndef CORE_IQ_GRIDS_H
#define CORE_IQ_GRIDS_H

#include "core/base.h"

/* A row is what one code stands for: magnitudes of 8 or 4 values in order; iq1_s has signs in it, the
 * others have them beside the code. iq1_m uses the grid of iq1_s. */
typedef struct pl_iq_grids {
    int8_t iq2_xxs[256][8];     /* 8 25 43 */
    int8_t iq2_xs[512][8];
    int8_t iq2_s[1024][8];
    int8_t iq3_xxs[256][4];     /* 4 12 20 28 36 44 52 62 */
    int8_t iq3_s[512][4];       /* 1 3 5 .. 15 */
    int8_t iq1_s[2048][8];      /* -1 0 1 */
} pl_iq_grids;

/* Filled at the first call, never freed. */
const pl_iq_grids *pl_iq_grids_get(void);

/* What the 16 codes of iq4_nl and iq4_xs stand for, rising. */
#define PL_IQ4_VALUES -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
extern const int8_t pl_iq4_values[16];

/* Four sign codes of 7 bits, the first lowest -> four bytes of signs, bit j for value j: a group of eight
 * has an even number of negative values, so that the eighth bit is the parity of the others. */
static inline uint32_t pl_iq_signs(uint32_t codes)
{
    uint32_t seven = (codes & 0x7f) | (codes << 1 & 0x7f00) | (codes << 2 & 0x7f0000) |
                     (codes << 3 & 0x7f000000);
    uint32_t odd = seven ^ seven >> 4;      /* folds into bit 0 of each byte */
    odd ^= odd >> 2;
    odd ^= odd >> 1;
    return seven | (odd & 0x01010101) << 7;
}

/* The grids as text, in iq_grid_data.c; only pl_iq_grids_get reads it. */
enum {
    PL_GRID_IQ2_XXS, PL_GRID_IQ2_XS, PL_GRID_IQ2_S, PL_GRID_IQ3_XXS, PL_GRID_IQ3_S, PL_GRID_IQ1_S,
    PL_IQ_GRIDS
};
extern const char *const pl_iq_grid_hex[PL_IQ_GRIDS];

#endif
