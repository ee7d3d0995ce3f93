/* iq3.c: the encoders of iq3_xxs and iq3_s in plain C. */
#include "quantizers/iq3_blocks.h"

void IQ3_ENCODER(pl_encode_, xxs)
void IQ3_ENCODER(pl_encode_, s)
