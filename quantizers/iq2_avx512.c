/* iq2_avx512.c: the encoders of iq2_xxs, iq2_xs and iq2_s with AVX-512, 16 sub-blocks at a time. */
#define PL_LANES 16
#include "quantizers/iq2_blocks.h"

static void IQ2_ENCODER(, xxs)
static void IQ2_ENCODER(, xs)
static void IQ2_ENCODER(, s)

void pl_row_encoders_iq2_avx512(pl_row_encoders *list)
{
    list->encode[PL_IQ2_XXS] = iq2_xxs;
    list->encode[PL_IQ2_XS] = iq2_xs;
    list->encode[PL_IQ2_S] = iq2_s;
}
