/* checkkern.h: what the kernel checks share. Each tests/kernels/checkkern_*.c adds one group: a
 * line here, a line in the table of checkkern.c and its file in meson.build. */
#ifndef TESTS_KERNELS_CHECKKERN_H
#define TESTS_KERNELS_CHECKKERN_H

#include "core/cpu.h"

typedef struct pl_ck_group {
    const char *name;           /* what --bench takes */
    void (*run)(void);          /* calls pl_ck_fail for each deviation */
    void (*bench)(void);        /* prints by pl_ck_report */
} pl_ck_group;

extern const pl_ck_group pl_ck_codecs;
extern const pl_ck_group pl_ck_rows;
extern const pl_ck_group pl_ck_groups;
extern const pl_ck_group pl_ck_layout;
extern const pl_ck_group pl_ck_matmul;
void pl_ck_matmul_bench(void);

/* A set of CPU flags under which every list is built and compared with plain C. */
typedef struct pl_ck_variant { const char *name; unsigned flags; } pl_ck_variant;

/* Variant i = 0, 1, ... of those this processor runs, plain C ("scalar") first; NULL: no more. */
const pl_ck_variant *pl_ck_variant_at(int i);

/* Counts a failure and says it on stderr (the first twenty). */
void pl_ck_fail(const char *format, ...) PL_PRINTF(1, 2);

/* Seconds of one fn(ctx): the best of many calls, within about 60 ms. */
double pl_ck_seconds(void (*fn)(void *ctx), void *ctx);
/* One JSON line {"bench","type","variant","gelem_s","gb_s"}; rates in 1e9 per second. */
void pl_ck_report(const char *bench, const char *type, const char *variant, double seconds,
                  double elements, double bytes);

#endif
