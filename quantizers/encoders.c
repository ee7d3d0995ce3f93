/* encoders.c: which encoder fills which type. A new one is a line here. */
#include "quantizers/encoders.h"

#include <pthread.h>

#include "core/cpu.h"

void pl_row_encoders_init(pl_row_encoders *list, unsigned cpu_flags)
{
    *list = (pl_row_encoders){ .encode = {
        [PL_Q8_0] = pl_encode_q8_0, [PL_Q4_0] = pl_encode_q4_0, [PL_Q4_1] = pl_encode_q4_1,
        [PL_Q5_0] = pl_encode_q5_0, [PL_Q5_1] = pl_encode_q5_1,
        [PL_Q2_K] = pl_encode_q2_k, [PL_Q3_K] = pl_encode_q3_k, [PL_Q4_K] = pl_encode_q4_k,
        [PL_Q5_K] = pl_encode_q5_k, [PL_Q6_K] = pl_encode_q6_k,
        [PL_IQ2_XXS] = pl_encode_iq2_xxs, [PL_IQ2_XS] = pl_encode_iq2_xs, [PL_IQ2_S] = pl_encode_iq2_s,
        [PL_IQ3_XXS] = pl_encode_iq3_xxs, [PL_IQ3_S] = pl_encode_iq3_s,
        [PL_IQ1_S] = pl_encode_iq1_s, [PL_IQ1_M] = pl_encode_iq1_m,
        [PL_IQ4_NL] = pl_encode_iq4_nl, [PL_IQ4_XS] = pl_encode_iq4_xs,
        [PL_TQ1_0] = pl_encode_tq1_0, [PL_TQ2_0] = pl_encode_tq2_0,
        [PL_Q1_0] = pl_encode_q1_0, [PL_Q2_0] = pl_encode_q2_0,
        [PL_MXFP4] = pl_encode_mxfp4, [PL_NVFP4] = pl_encode_nvfp4,
    } };
#if defined(PL_X86)
    if (cpu_flags & PL_CPU_AVX2) {
        pl_row_encoders_avx2(list);
        pl_row_encoders_iq4_avx2(list);
        pl_row_encoders_weighted_avx2(list);
        pl_row_encoders_iq2_avx2(list);
        pl_row_encoders_iq3_avx2(list);
        pl_row_encoders_iq1_avx2(list);
    }
    if (cpu_flags & PL_CPU_AVX512) {
        pl_row_encoders_avx512(list);
        pl_row_encoders_iq4_avx512(list);
        pl_row_encoders_weighted_avx512(list);
        pl_row_encoders_iq2_avx512(list);
        pl_row_encoders_iq3_avx512(list);
        pl_row_encoders_iq1_avx512(list);
    }
#elif defined(PL_NEON)
    if (cpu_flags & PL_CPU_NEON) {
        pl_row_encoders_neon(list);
        pl_row_encoders_iq4_neon(list);
        pl_row_encoders_weighted_neon(list);
        pl_row_encoders_iq2_neon(list);
        pl_row_encoders_iq3_neon(list);
        pl_row_encoders_iq1_neon(list);
    }
#endif
}

static pl_row_encoders fastest;
static void choose(void) { pl_row_encoders_init(&fastest, pl_cpu_flags()); }

pl_row_encoder pl_reference_encoder(const pl_dtype *dtype)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return fastest.encode[dtype - pl_dtypes];
}
