/* half.c: rows of 16-bit floats in plain C, and the choice between this and half_avx2.c or half_neon.c. */
#include "core/half.h"

#include <pthread.h>

#include "core/cpu.h"

void pl_f16_to_f32_plain(const void *in, float *out, int64_t count)
{
    const uint8_t *p = in;
    for (int64_t i = 0; i < count; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        out[i] = pl_f16_to_f32(h);
    }
}

void pl_bf16_to_f32_plain(const void *in, float *out, int64_t count)
{
    const uint8_t *p = in;
    for (int64_t i = 0; i < count; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        out[i] = pl_bf16_to_f32(h);
    }
}

static void f32_to_f16(const float *in, void *out, int64_t count)
{
    uint8_t *p = out;
    for (int64_t i = 0; i < count; i++) {
        uint16_t h = pl_f32_to_f16(in[i]);
        memcpy(p + 2 * i, &h, 2);
    }
}

static void f32_to_bf16(const float *in, void *out, int64_t count)
{
    uint8_t *p = out;
    for (int64_t i = 0; i < count; i++) {
        uint16_t h = pl_f32_to_bf16(in[i]);
        memcpy(p + 2 * i, &h, 2);
    }
}

static int64_t find_nonfinite(const float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if ((pl_f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u) return i;
    return -1;
}

void pl_half_rows_init(pl_half_rows *list, unsigned cpu_flags)
{
    *list = (pl_half_rows){ pl_f16_to_f32_plain, pl_bf16_to_f32_plain, f32_to_f16, f32_to_bf16,
                            find_nonfinite };
#if defined(PL_X86)
    if (cpu_flags & PL_CPU_AVX2) pl_half_rows_avx2(list);
#elif defined(PL_NEON)
    if (cpu_flags & PL_CPU_NEON) pl_half_rows_neon(list);
#endif
}

static pl_half_rows fastest;
static void choose(void) { pl_half_rows_init(&fastest, pl_cpu_flags()); }
static const pl_half_rows *rows(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return &fastest;
}

void pl_f16_to_f32_row(const void *in, float *out, int64_t count)
{
    rows()->f16_to_f32(in, out, count);
}
void pl_bf16_to_f32_row(const void *in, float *out, int64_t count)
{
    rows()->bf16_to_f32(in, out, count);
}
void pl_f32_to_f16_row(const float *in, void *out, int64_t count)
{
    rows()->f32_to_f16(in, out, count);
}
void pl_f32_to_bf16_row(const float *in, void *out, int64_t count)
{
    rows()->f32_to_bf16(in, out, count);
}
int64_t pl_find_nonfinite(const float *x, int64_t count)
{
    return rows()->find_nonfinite(x, count);
}
