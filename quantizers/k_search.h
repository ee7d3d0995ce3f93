/* k_search.h: the searches for scales on one group of values, plain C; and the encoders per processor. */
#ifndef QUANTIZERS_K_SEARCH_H
#define QUANTIZERS_K_SEARCH_H

#include "quantizers/encoders.h"
#include "quantizers/k_lanes.h"

/* x, w [n], n <= 32. Scale for codes 0 .. 2*range-1, value ~ scale * (code - range); values below PL_TINY: all
 * codes and the scale are 0. */
float pl_k_symmetric_codes(const float *x, const float *w, int n, int range, uint8_t *codes);
/* Scales or minimums x >= 0 to codes 0 .. top: value ~ result * code. */
float pl_k_level_codes(const float *x, const float *w, int n, int top, uint8_t *codes);

#endif
