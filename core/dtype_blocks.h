/* dtype_blocks.h: decoders that live in files of their own, for the table and the list in dtype.c. */
#ifndef CORE_DTYPE_BLOCKS_H
#define CORE_DTYPE_BLOCKS_H

#include "core/dtype.h"
#include "core/half.h"

/* dtype_k.c */
void pl_decode_q2_k(const void *blocks, float *out, int64_t count);
void pl_decode_q3_k(const void *blocks, float *out, int64_t count);
void pl_decode_q4_k(const void *blocks, float *out, int64_t count);
void pl_decode_q5_k(const void *blocks, float *out, int64_t count);
void pl_decode_q6_k(const void *blocks, float *out, int64_t count);

/* dtype_low.c */
void pl_decode_tq1_0(const void *blocks, float *out, int64_t count);
void pl_decode_tq2_0(const void *blocks, float *out, int64_t count);
void pl_decode_q1_0(const void *blocks, float *out, int64_t count);
void pl_decode_q2_0(const void *blocks, float *out, int64_t count);

/* dtype_iq.c */
void pl_decode_iq2_xxs(const void *blocks, float *out, int64_t count);
void pl_decode_iq2_xs(const void *blocks, float *out, int64_t count);
void pl_decode_iq2_s(const void *blocks, float *out, int64_t count);
void pl_decode_iq3_xxs(const void *blocks, float *out, int64_t count);
void pl_decode_iq3_s(const void *blocks, float *out, int64_t count);
void pl_decode_iq1_s(const void *blocks, float *out, int64_t count);
void pl_decode_iq1_m(const void *blocks, float *out, int64_t count);
void pl_decode_iq4_nl(const void *blocks, float *out, int64_t count);
void pl_decode_iq4_xs(const void *blocks, float *out, int64_t count);
bool pl_bad_iq1_m(const uint8_t *block);

/* dtype_fp4.c */
void pl_decode_mxfp4(const void *blocks, float *out, int64_t count);
void pl_decode_nvfp4(const void *blocks, float *out, int64_t count);
void pl_decode_f4_e2m1(const void *blocks, float *out, int64_t count);
bool pl_bad_mxfp4(const uint8_t *block);
bool pl_bad_nvfp4(const uint8_t *block);

/* dtype_iq_simd.c, dtype_k_simd.c and dtype_low_simd.c, compiled for each instruction set */
void pl_decoders_iq_avx2(pl_decoders *list);
void pl_decoders_iq_avx512(pl_decoders *list);
void pl_decoders_k_avx2(pl_decoders *list);
void pl_decoders_k_avx512(pl_decoders *list);
void pl_decoders_low_avx2(pl_decoders *list);
void pl_decoders_low_avx512(pl_decoders *list);
/* dtype_neon.c and dtype_*_neon.c */
void pl_decoders_neon(pl_decoders *list);
void pl_decoders_iq_neon(pl_decoders *list);
void pl_decoders_k_neon(pl_decoders *list);
void pl_decoders_low_neon(pl_decoders *list);

/* 4-bit floats E2M1 times two, by code; the scales below are halved instead. Code 8 is +0, as in ggml. */
#define PL_E2M1_TWICE 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

/* 2^(e - 128): half of what an E8M0 scale means; 255 is NaN. */
static inline float pl_e8m0_half(uint8_t e)
{
    if (e == 255) return pl_bits_f32(0x7fc00000u);
    return pl_bits_f32(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* Half of an E4M3 scale, whose sign does not count; 0x7f is 0, as in ggml. */
static inline float pl_ue4m3_half(uint8_t x)
{
    uint32_t value = x & 0x7fu;
    if (x == 0x7f) return 0.0f;
    return value < 8 ? (float)(int32_t)value * 0x1p-10f : pl_bits_f32((value << 20) + (119u << 23));
}

#endif
