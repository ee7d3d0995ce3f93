/* legacy_weighted.c: the encoders of Q4_0, Q4_1, Q5_0 and Q5_1 with importance in plain C. */
#include "quantizers/legacy_weighted.h"

void WEIGHTED_ENCODER(pl_encode_, q4_0, PL_Q4_0, 4, false)
void WEIGHTED_ENCODER(pl_encode_, q4_1, PL_Q4_1, 4, true)
void WEIGHTED_ENCODER(pl_encode_, q5_0, PL_Q5_0, 5, false)
void WEIGHTED_ENCODER(pl_encode_, q5_1, PL_Q5_1, 5, true)

void pl_encode_q8_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)
{
    pl_type type = pl_type_plain(PL_Q8_0);
    pl_grid_q8_0.encode(&type, w, rows * cols, out);
}
