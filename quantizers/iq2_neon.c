/* iq2_neon.c: the encoders of iq2_xxs, iq2_xs and iq2_s with NEON, 4 sub-blocks at a time. */
#define PL_LANES 4
#include "quantizers/iq2_blocks.h"

static void IQ2_ENCODER(, xxs)
static void IQ2_ENCODER(, xs)
static void IQ2_ENCODER(, s)

void pl_row_encoders_iq2_neon(pl_row_encoders *list)
{
    list->encode[PL_IQ2_XXS] = iq2_xxs;
    list->encode[PL_IQ2_XS] = iq2_xs;
    list->encode[PL_IQ2_S] = iq2_s;
}
