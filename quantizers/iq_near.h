/* iq_near.h: the points of an IQ type's grid near any tuple of levels: built once from core/iq_grids.h. */
#ifndef QUANTIZERS_IQ_NEAR_H
#define QUANTIZERS_IQ_NEAR_H

#include "core/dtype.h"

/* Behind the last list there are so many more readable entries, for those who read lists by lanes. */
enum { PL_IQ_NEAR_SPARE = 16 };

/* A key packs the levels of `dims` values, `bits` each, the first in the lowest bits; the value of level l is
 * 2 l + 1 in the units of the search. Grids of 2 bits have three levels; there is nothing for keys with a fourth. */
typedef struct pl_iq_near {
    int dims, bits, levels, points;
    const int8_t *point;        /* [points][dims] values 2 level + 1 */
    const int32_t *place;       /* [1 << dims * bits] index of the point with this key, or -1 - where its
                                 * neighbours begin */
    const uint16_t *neighbours; /* lists: how many, then the indices of the nearest points, in ggml's order: by
                                 * distance, then index */
    const uint16_t *near_keys;  /* the same lists with the points' keys in place of their indices */
    const uint16_t *point_key;  /* [points] */
} pl_iq_near;

/* Of PL_IQ2_XXS, PL_IQ2_XS, PL_IQ2_S, PL_IQ3_XXS, PL_IQ3_S, PL_IQ1_S (also IQ1_M's). NULL before it is prepared. */
const pl_iq_near *pl_iq_near_of(int dtype);
/* Builds the tables that this type's encoders need, if it has not been done; PL_OK for types that need none.
 * Callable from any thread; the tables stay until the end. PL_E_MEMORY. */
pl_status pl_iq_prepare(int dtype);

#endif
