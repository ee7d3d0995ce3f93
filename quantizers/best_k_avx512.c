/* best_k_avx512.c: the searches of the K types with AVX-512, 16 sub-blocks at a time. */
#define PL_LANES 16
#include "quantizers/best_k_blocks.h"

BK_ENCODERS(pl_row_encoders_best_k_avx512)
