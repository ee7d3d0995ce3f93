/* best_iq_avx2.c: the searches of iq1 to iq3 types with AVX2, 8 points or groups at a time. */
#define PL_LANES 8
#include "quantizers/best_iq.h"

BQ_ENCODERS(pl_row_encoders_best_iq_avx2)
