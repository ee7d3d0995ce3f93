/* half.h: 16-bit floats to and from f32: single values here, rows in half.c and half_*.c. */
#ifndef CORE_HALF_H
#define CORE_HALF_H

#include <string.h>

#include "core/base.h"

static inline uint32_t pl_f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
static inline float pl_bits_f32(uint32_t u)
{
    float x;
    memcpy(&x, &u, 4);
    return x;
}

/* IEEE half to f32; exact, subnormals included. A NaN becomes quiet, as in hardware. */
static inline float pl_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, mant = h & 0x3ffu, exp = (h >> 10) & 31u;
    if (exp == 31) return pl_bits_f32(sign | (mant ? 0x7fc00000u : 0x7f800000u) | mant << 13);
    if (exp) return pl_bits_f32(sign | (exp + 112) << 23 | mant << 13);
    float tiny = (float)mant * 0x1p-24f;
    return pl_bits_f32(sign | pl_f32_bits(tiny));
}
/* f32 to half, round to nearest even; overflow gives infinity, a NaN the quiet one of its sign. */
static inline uint16_t pl_f32_to_f16(float x)
{
    uint32_t u = pl_f32_bits(x), sign = (u >> 16) & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);       /* 65520 and more */
    if (u < 0x38800000u) {                                          /* below 2^-14: subnormal */
        float scaled = pl_bits_f32(u) + 0.5f;                       /* rounds at 2^-24 */
        return (uint16_t)(sign | (pl_f32_bits(scaled) - 0x3f000000u));
    }
    uint32_t odd = (u >> 13) & 1;
    return (uint16_t)(sign | ((u - 0x38000000u + 0xfffu + odd) >> 13));
}
static inline float pl_bf16_to_f32(uint16_t h) { return pl_bits_f32((uint32_t)h << 16); }
/* f32 to bfloat16, round to nearest even; a NaN is made quiet. */
static inline uint16_t pl_f32_to_bf16(float x)
{
    uint32_t u = pl_f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 64);
    return (uint16_t)((u + (0x7fffu + ((u >> 16) & 1))) >> 16);
}

/* Rows, by the fastest variant; same bits as the functions above. Pointers need no alignment. */
void pl_f16_to_f32_row(const void *in, float *out, int64_t count);
void pl_bf16_to_f32_row(const void *in, float *out, int64_t count);
void pl_f32_to_f16_row(const float *in, void *out, int64_t count);
void pl_f32_to_bf16_row(const float *in, void *out, int64_t count);

/* Index of the first value that is NaN or infinite, or -1. */
int64_t pl_find_nonfinite(const float *x, int64_t count);

/* The functions above for given CPU flags, so that tests can compare the variants. */
typedef struct pl_half_rows {
    void (*f16_to_f32)(const void *in, float *out, int64_t count);
    void (*bf16_to_f32)(const void *in, float *out, int64_t count);
    void (*f32_to_f16)(const float *in, void *out, int64_t count);
    void (*f32_to_bf16)(const float *in, void *out, int64_t count);
    int64_t (*find_nonfinite)(const float *x, int64_t count);
} pl_half_rows;
void pl_half_rows_init(pl_half_rows *list, unsigned cpu_flags);
void pl_half_rows_avx2(pl_half_rows *list);     /* part of it: replaces what AVX2 does faster */
void pl_half_rows_neon(pl_half_rows *list);

/* Plain C, the definition for rows. */
void pl_f16_to_f32_plain(const void *in, float *out, int64_t count);
void pl_bf16_to_f32_plain(const void *in, float *out, int64_t count);

#endif
