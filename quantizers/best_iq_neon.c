/* best_iq_neon.c: the searches of iq1 to iq3 types with NEON, 4 points or groups at a time. */
#define PL_LANES 4
#include "quantizers/best_iq.h"

BQ_ENCODERS(pl_row_encoders_best_iq_neon)
