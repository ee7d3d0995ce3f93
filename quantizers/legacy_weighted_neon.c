/* legacy_weighted_neon.c: the encoders of Q4_0, Q4_1, Q5_0 and Q5_1 with importance, 4 blocks at a time
 * with NEON. */
#define PL_LANES 4
#include "quantizers/legacy_weighted.h"

static void WEIGHTED_ENCODER(, q4_0, PL_Q4_0, 4, false)
static void WEIGHTED_ENCODER(, q4_1, PL_Q4_1, 4, true)
static void WEIGHTED_ENCODER(, q5_0, PL_Q5_0, 5, false)
static void WEIGHTED_ENCODER(, q5_1, PL_Q5_1, 5, true)

void pl_row_encoders_weighted_neon(pl_row_encoders *list)
{
    list->encode[PL_Q4_0] = q4_0;
    list->encode[PL_Q4_1] = q4_1;
    list->encode[PL_Q5_0] = q5_0;
    list->encode[PL_Q5_1] = q5_1;
}
