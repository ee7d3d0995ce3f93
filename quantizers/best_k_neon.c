/* best_k_neon.c: the searches of the K types with NEON, 4 sub-blocks at a time. */
#define PL_LANES 4
#include "quantizers/best_k_blocks.h"

BK_ENCODERS(pl_row_encoders_best_k_neon)
