/* best_blocks.c: the searches of the types without K in plain C. */
#include "quantizers/best_blocks.h"

void pl_row_encoders_best_blocks(pl_row_encoders *list) { best_list(list); }
