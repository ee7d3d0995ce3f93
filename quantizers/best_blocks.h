/* best_blocks.h: a list of all searches of best_legacy.h, best_iq4.h and best_low.h; a file per instruction set. */
#ifndef QUANTIZERS_BEST_BLOCKS_H
#define QUANTIZERS_BEST_BLOCKS_H

#include "quantizers/best_iq4.h"
#include "quantizers/best_legacy.h"
#include "quantizers/best_low.h"

PL_INLINE void best_list(pl_row_encoders *list)
{
    list->encode[PL_Q8_0] = encode_q8_0;
    list->encode[PL_Q4_0] = encode_q4_0;
    list->encode[PL_Q4_1] = encode_q4_1;
    list->encode[PL_Q5_0] = encode_q5_0;
    list->encode[PL_Q5_1] = encode_q5_1;
    list->encode[PL_IQ4_NL] = encode_iq4_nl;
    list->encode[PL_IQ4_XS] = encode_iq4_xs;
    list->encode[PL_TQ1_0] = encode_tq1_0;
    list->encode[PL_TQ2_0] = encode_tq2_0;
    list->encode[PL_Q1_0] = encode_q1_0;
    list->encode[PL_Q2_0] = encode_q2_0;
    list->encode[PL_MXFP4] = encode_mxfp4;
    list->encode[PL_NVFP4] = encode_nvfp4;
}

#endif
