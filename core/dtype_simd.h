/* dtype_simd.h: what vector decoders share: unpacked codes times scales, 16 values at a time. For files
 * that are compiled once for AVX2 and once for AVX-512. */
#ifndef CORE_DTYPE_SIMD_H
#define CORE_DTYPE_SIMD_H

#if defined(__AVX2__)           /* empty for others, who have no such types */

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define PL_FOR_ISA(name) name##_avx512
#else
#define PL_FOR_ISA(name) name##_avx2
#endif

static inline float pl_simd_f16(const void *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
}

/* Two or four bits of 32 bytes, from bit `at`. */
static inline __m256i pl_simd_bits(__m256i bytes, int at, int mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(bytes, at), _mm256_set1_epi8((char)mask));
}

#if defined(__AVX512F__)

/* 16 signed bytes times d */
static inline void pl_simd_put16(__m128i q, float d, float *out)
{
    _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_set1_ps(d), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q))));
}

/* The same, less m. */
static inline void pl_simd_put16_less(__m128i q, float d, float m, float *out)
{
    __m512 x = _mm512_mul_ps(_mm512_set1_ps(d), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)));
    _mm512_storeu_ps(out, _mm512_sub_ps(x, _mm512_set1_ps(m)));
}

#else

static inline __m256 pl_simd_scaled8(__m128i q, __m256 d)
{
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)));
}

static inline void pl_simd_put16(__m128i q, float d, float *out)
{
    __m256 scale = _mm256_set1_ps(d);
    _mm256_storeu_ps(out, pl_simd_scaled8(q, scale));
    _mm256_storeu_ps(out + 8, pl_simd_scaled8(_mm_srli_si128(q, 8), scale));
}

static inline void pl_simd_put16_less(__m128i q, float d, float m, float *out)
{
    __m256 scale = _mm256_set1_ps(d), less = _mm256_set1_ps(m);
    _mm256_storeu_ps(out, _mm256_sub_ps(pl_simd_scaled8(q, scale), less));
    _mm256_storeu_ps(out + 8, _mm256_sub_ps(pl_simd_scaled8(_mm_srli_si128(q, 8), scale), less));
}

#endif

/* 32 signed bytes, each half with its d */
static inline void pl_simd_put32(__m256i q, float low, float high, float *out)
{
    pl_simd_put16(_mm256_castsi256_si128(q), low, out);
    pl_simd_put16(_mm256_extracti128_si256(q, 1), high, out + 16);
}

#endif
#endif
