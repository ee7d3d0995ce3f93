/* best_blocks_avx2.c: the searches of the types without K with AVX2, 8 groups at a time. */
#define PL_LANES 8
#include "quantizers/best_blocks.h"

void pl_row_encoders_best_blocks_avx2(pl_row_encoders *list) { best_list(list); }
