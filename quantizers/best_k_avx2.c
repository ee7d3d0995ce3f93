/* best_k_avx2.c: the searches of the K types with AVX2, 8 sub-blocks at a time. */
#define PL_LANES 8
#include "quantizers/best_k_blocks.h"

BK_ENCODERS(pl_row_encoders_best_k_avx2)
