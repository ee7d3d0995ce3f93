/* best_iq.c: the searches of iq1 to iq3 types in plain C. */
#include "quantizers/best_iq.h"

BQ_ENCODERS(pl_row_encoders_best_iq)
