/* best_k.c: the searches of the K types in plain C. */
#include "quantizers/best_k_blocks.h"

BK_ENCODERS(pl_row_encoders_best_k)
