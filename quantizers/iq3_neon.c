/* iq3_neon.c: the encoders of iq3_xxs and iq3_s with NEON, 4 sub-blocks at a time. */
#define PL_LANES 4
#include "quantizers/iq3_blocks.h"

static void IQ3_ENCODER(, xxs)
static void IQ3_ENCODER(, s)

void pl_row_encoders_iq3_neon(pl_row_encoders *list)
{
    list->encode[PL_IQ3_XXS] = iq3_xxs;
    list->encode[PL_IQ3_S] = iq3_s;
}
