/* best_blocks_avx512.c: the searches of the types without K with AVX-512, 16 groups at a time. */
#define PL_LANES 16
#include "quantizers/best_blocks.h"

void pl_row_encoders_best_blocks_avx512(pl_row_encoders *list) { best_list(list); }
