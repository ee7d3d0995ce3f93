/* iq1.c: the encoders of iq1_s and iq1_m in plain C. */
#include "quantizers/iq1_blocks.h"

void IQ1_ENCODER(pl_encode_, s)
void IQ1_ENCODER(pl_encode_, m)
