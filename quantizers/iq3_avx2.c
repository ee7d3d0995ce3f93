/* iq3_avx2.c: the encoders of iq3_xxs and iq3_s with AVX2, 8 sub-blocks at a time. */
#define PL_LANES 8
#include "quantizers/iq3_blocks.h"

static void IQ3_ENCODER(, xxs)
static void IQ3_ENCODER(, s)

void pl_row_encoders_iq3_avx2(pl_row_encoders *list)
{
    list->encode[PL_IQ3_XXS] = iq3_xxs;
    list->encode[PL_IQ3_S] = iq3_s;
}
