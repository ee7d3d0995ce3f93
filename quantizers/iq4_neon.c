/* iq4_neon.c: the encoders of iq4_nl and iq4_xs with NEON, 4 sub-blocks at a time. */
#define PL_LANES 4
#include "quantizers/iq4_blocks.h"

static void IQ4_ENCODER(, iq4_nl, 1, iq4_put_nl)
static void IQ4_ENCODER(, iq4_xs, IQ4_XS_SUBS, iq4_put_xs)

void pl_row_encoders_iq4_neon(pl_row_encoders *list)
{
    list->encode[PL_IQ4_NL] = iq4_nl;
    list->encode[PL_IQ4_XS] = iq4_xs;
}
