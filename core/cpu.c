/* cpu.c: processor features, once per process. */
#include "core/cpu.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned detect(void)
{
    unsigned flags = 0;
#if defined(PL_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        flags |= PL_CPU_AVX2;       /* every processor with AVX2 and FMA has F16C */
    if ((flags & PL_CPU_AVX2) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        flags |= PL_CPU_AVX512;
    if ((flags & PL_CPU_AVX512) && __builtin_cpu_supports("avx512vnni")) flags |= PL_CPU_VNNI;
    if ((flags & PL_CPU_AVX512) && __builtin_cpu_supports("avx512vbmi")) flags |= PL_CPU_VBMI;
#elif defined(PL_NEON)
    flags |= PL_CPU_NEON;
#endif
    return flags;
}

unsigned pl_cpu_flags(void)
{
    static _Atomic unsigned known;          /* flags + 1; two threads would find the same */
    if (known) return known - 1;
    unsigned flags = detect();
    const char *mask = getenv("PLANISH_CPU");
    if (mask && !strcmp(mask, "scalar")) flags = 0;
    else if (mask && !strcmp(mask, "avx2")) flags &= PL_CPU_AVX2;
    else if (mask && !strcmp(mask, "avx512")) flags &= PL_CPU_AVX2 | PL_CPU_AVX512;
    else if (mask && !strcmp(mask, "neon")) flags &= PL_CPU_NEON;
    known = flags + 1;
    return flags;
}

const char *pl_cpu_names(unsigned flags, char *buffer, size_t size)
{
    static const struct { unsigned flag; const char *name; } names[] = {
        { PL_CPU_AVX2, "avx2" }, { PL_CPU_AVX512, "avx512" }, { PL_CPU_VNNI, "vnni" },
        { PL_CPU_VBMI, "vbmi" }, { PL_CPU_NEON, "neon" },
    };
    size_t used = 0;
    buffer[0] = 0;
    for (int i = 0; i < PL_COUNT(names); i++) {
        if (!(flags & names[i].flag) || used >= size) continue;
        int n = snprintf(buffer + used, size - used, "%s%s", used ? " " : "", names[i].name);
        if (n > 0) used += (size_t)n;
    }
    if (!used) snprintf(buffer, size, "scalar");
    return buffer;
}

const char *pl_cpu_model(char *buffer, size_t size)
{
    snprintf(buffer, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return buffer;
    char line[512];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        colon[strcspn(colon, "\n")] = 0;
        snprintf(buffer, size, "%s", colon + 1 + (colon[1] == ' '));
        break;
    }
    fclose(file);
    return buffer;
}

/* The first line of a small file of the system's, "" if there is none. */
static const char *line_of(const char *path, char *buffer, int size)
{
    FILE *file = fopen(path, "r");
    if (!file || !fgets(buffer, size, file)) buffer[0] = 0;
    if (file) fclose(file);
    return buffer;
}

int64_t pl_cpu_huge_page(void)
{
    char line[64];
    bool none = !strchr(line_of("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof line), '[');
    if (none || strstr(line, "[never]")) return 0;
    return strtoll(line_of("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", line, sizeof line), NULL, 10);
}

int pl_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > PL_MAX_THREADS ? PL_MAX_THREADS : count;
}
