/* iq2.c: the encoders of iq2_xxs, iq2_xs and iq2_s in plain C. */
#include "quantizers/iq2_blocks.h"

void IQ2_ENCODER(pl_encode_, xxs)
void IQ2_ENCODER(pl_encode_, xs)
void IQ2_ENCODER(pl_encode_, s)
