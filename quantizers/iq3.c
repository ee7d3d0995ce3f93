/* iq3.c: the encoders of iq3_xxs and iq3_s in plain C. */
#include "quantizers/iq3_blocks.h"

void IQ3_ENCODER(pl_encode_, xxs)
void IQ3_ENCODER(pl_encode_, s)

static void IQ3_ENCODER_BY(, s, s_in_place)

void pl_row_encoders_best_iq3(pl_row_encoders *list) { list->encode[PL_IQ3_S] = iq3_s_in_place; }
