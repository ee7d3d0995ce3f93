/* best_keep.h: the last word of every search: its blocks or the reference's. */
#ifndef QUANTIZERS_BEST_KEEP_H
#define QUANTIZERS_BEST_KEEP_H

#include "quantizers/encoders.h"

/* Values that are compared at once, and the most bytes that hold so many in the types this is for (16 blocks). */
enum { PL_BEST_VALUES = 16 * PL_MAX_BLOCK, PL_BEST_BYTES = 16 * 66 };

/* Blocks of `out` that have more weighted error than those of `mine`, in double precision, are replaced; where the
 * reference has no finite error, because a scale does not fit its bits, it stays for the range check to find.
 * w [count]: values from place `at` of a row of cols on, in whole blocks; h [cols] or NULL. Returns the end of these
 * blocks in `out`. */
uint8_t *pl_best_keep(const pl_dtype *dtype, const float *w, const float *h, int64_t cols, int64_t at, int count,
                      const uint8_t *mine, uint8_t *out);

#endif
