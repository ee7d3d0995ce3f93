/* iq1_neon.c: the encoders of iq1_s and iq1_m with NEON, 4 sub-blocks at a time. */
#define PL_LANES 4
#include "quantizers/iq1_blocks.h"

static void IQ1_ENCODER(, s)
static void IQ1_ENCODER(, m)

void pl_row_encoders_iq1_neon(pl_row_encoders *list)
{
    list->encode[PL_IQ1_S] = iq1_s;
    list->encode[PL_IQ1_M] = iq1_m;
}
