/* checkkern.c: compares every SIMD variant with plain C; with --bench [name] times them. */
#include "tests/kernels/checkkern.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/fs.h"

static const pl_ck_group *const groups[] = {
    &pl_ck_codecs,
    &pl_ck_rows,
    &pl_ck_groups,
    &pl_ck_layout,
    &pl_ck_matmul,
};

static const pl_ck_variant variants[] = {
    { "scalar", 0 },
    { "avx2", PL_CPU_AVX2 },
    { "avx512", PL_CPU_AVX2 | PL_CPU_AVX512 },
    { "vnni", PL_CPU_AVX2 | PL_CPU_AVX512 | PL_CPU_VNNI | PL_CPU_VBMI },
    { "neon", PL_CPU_NEON },
};

static int failures;

const pl_ck_variant *pl_ck_variant_at(int i)
{
    unsigned has = pl_cpu_flags();
    for (int v = 0; v < PL_COUNT(variants); v++)
        if ((variants[v].flags & has) == variants[v].flags && i-- == 0) return &variants[v];
    return NULL;
}

void pl_ck_fail(const char *format, ...)
{
    if (failures++ >= 20) return;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

double pl_ck_seconds(void (*fn)(void *ctx), void *ctx)
{
    double best = 1e9, end = pl_seconds() + 0.06;
    do {
        double start = pl_seconds();
        fn(ctx);
        double took = pl_seconds() - start;
        if (took < best) best = took;
    } while (pl_seconds() < end);
    return best;
}

void pl_ck_report(const char *bench, const char *type, const char *variant, double seconds,
                  double elements, double bytes)
{
    printf("{\"bench\":\"%s\",\"type\":\"%s\",\"variant\":\"%s\",\"gelem_s\":%.3f,\"gb_s\":%.3f}\n",
           bench, type, variant, elements / seconds * 1e-9, bytes / seconds * 1e-9);
}

int main(int argc, char **argv)
{
    bool bench = argc > 1 && strcmp(argv[1], "--bench") == 0;
    const char *only = argc > 2 ? argv[2] : NULL;
    int ran = 0;
    if (argc > 3 || (argc > 1 && !bench)) {
        fprintf(stderr, "usage: checkkern [--bench [group]]\n");
        return 2;
    }
    for (int i = 0; i < PL_COUNT(groups); i++) {
        if (only && strcmp(only, groups[i]->name) != 0) continue;
        if (bench) groups[i]->bench();
        else groups[i]->run();
        ran++;
    }
    if (ran == 0) {
        fprintf(stderr, "checkkern: no group '%s'\n", only);
        return 2;
    }
    if (failures) fprintf(stderr, "checkkern: %d failures\n", failures);
    return failures != 0;
}
