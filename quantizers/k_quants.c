/* k_quants.c: the encoders of Q2_K, Q3_K, Q4_K, Q5_K and Q6_K in plain C, and the choice of faster ones. */
#include "quantizers/k_blocks.h"

void K_ENCODER(pl_encode_, q2_k, 84, K_ONE)
void K_ENCODER_Q3(pl_encode_)
void K_ENCODER(pl_encode_, q4_k, 144, K_PAIR)
void K_ENCODER(pl_encode_, q5_k, 176, K_PAIR)
void K_ENCODER(pl_encode_, q6_k, 210, K_ONE)
