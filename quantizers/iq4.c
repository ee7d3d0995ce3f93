/* iq4.c: the encoders of iq4_nl and iq4_xs in plain C. */
#include "quantizers/iq4_blocks.h"

void IQ4_ENCODER(pl_encode_, iq4_nl, 1, iq4_put_nl)
void IQ4_ENCODER(pl_encode_, iq4_xs, IQ4_XS_SUBS, iq4_put_xs)
