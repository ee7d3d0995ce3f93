/* best.c: which search fills which type. A new one is a line here. */
#include <pthread.h>

#include "core/cpu.h"
#include "quantizers/encoders.h"

void pl_row_encoders_best(pl_row_encoders *list, unsigned cpu_flags)
{
    *list = (pl_row_encoders){ .encode = { NULL } };
    pl_row_encoders_best_blocks(list);
    pl_row_encoders_best_k(list);
    pl_row_encoders_best_iq(list);
#if defined(PL_X86)
    if (cpu_flags & PL_CPU_AVX2) {
        pl_row_encoders_best_blocks_avx2(list);
        pl_row_encoders_best_k_avx2(list);
        pl_row_encoders_best_iq_avx2(list);
    }
    if (cpu_flags & PL_CPU_AVX512) {
        pl_row_encoders_best_blocks_avx512(list);
        pl_row_encoders_best_k_avx512(list);
        pl_row_encoders_best_iq_avx512(list);
    }
#elif defined(PL_NEON)
    if (cpu_flags & PL_CPU_NEON) {
        pl_row_encoders_best_blocks_neon(list);
        pl_row_encoders_best_k_neon(list);
        pl_row_encoders_best_iq_neon(list);
    }
#endif
}

static pl_row_encoders fastest;
static void choose(void) { pl_row_encoders_best(&fastest, pl_cpu_flags()); }

pl_row_encoder pl_best_encoder(const pl_dtype *dtype)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return fastest.encode[dtype - pl_dtypes];
}
