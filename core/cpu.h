/* cpu.h: what this machine can do, masked by PLANISH_CPU=scalar|avx2|avx512|neon for tests. */
#ifndef CORE_CPU_H
#define CORE_CPU_H

#include "core/base.h"

enum {
    PL_CPU_AVX2 = 1,            /* AVX2, FMA, F16C, BMI2 together */
    PL_CPU_AVX512 = 2,          /* AVX-512 F BW VL DQ */
    PL_CPU_VNNI = 4,            /* AVX-512 VNNI */
    PL_CPU_VBMI = 8,            /* AVX-512 VBMI */
    PL_CPU_NEON = 16,
    PL_CPU_ALL = 31
};

/* Flags in use, found once. */
unsigned pl_cpu_flags(void);
/* "avx2 avx512 vnni" of the given flags; "scalar" for none. */
const char *pl_cpu_names(unsigned flags, char *buffer, size_t size);
/* The processor's name from the system, or "unknown". */
const char *pl_cpu_model(char *buffer, size_t size);
int pl_cpu_count(void);         /* processors this process may use */
/* Bytes of a huge page, which the system gives to who asks for it (madvise); 0: it gives none. */
int64_t pl_cpu_huge_page(void);

#endif
