/* codes.h: codes of stored blocks one by one, as ranks of the levels that a value can have. */
#ifndef QUANTIZERS_CODES_H
#define QUANTIZERS_CODES_H

#include "core/dtype.h"

/* Of a type whose values each have a code of their own under the block's scales. Rank r + 1 is the next level above
 * rank r where the scale is positive, the next below where it is negative. */
typedef struct pl_codes {
    int levels;
    /* rank [block] from a block, or (put) into it; its scales stay. */
    void (*exchange)(uint8_t *block, uint8_t *rank, bool put);
} pl_codes;

/* NULL: the type's codes stand for several values at a time. */
const pl_codes *pl_codes_of(const pl_dtype *dtype);

#endif
