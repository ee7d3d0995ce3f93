/* best_blocks_neon.c: the searches of the types without K with NEON, 4 groups at a time. */
#define PL_LANES 4
#include "quantizers/best_blocks.h"

void pl_row_encoders_best_blocks_neon(pl_row_encoders *list) { best_list(list); }
