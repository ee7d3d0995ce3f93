/* k_quants_neon.c: the encoders of the K types with NEON, 4 sub-blocks at a time. */
#define PL_LANES 4
#include "quantizers/k_blocks.h"

static void K_ENCODER(, q2_k, 84, K_ONE)
static void K_ENCODER_Q3()
static void K_ENCODER(, q4_k, 144, K_PAIR)
static void K_ENCODER(, q5_k, 176, K_PAIR)
static void K_ENCODER(, q6_k, 210, K_ONE)

void pl_row_encoders_neon(pl_row_encoders *list)
{
    list->encode[PL_Q2_K] = q2_k;
    list->encode[PL_Q3_K] = q3_k;
    list->encode[PL_Q4_K] = q4_k;
    list->encode[PL_Q5_K] = q5_k;
    list->encode[PL_Q6_K] = q6_k;
}
