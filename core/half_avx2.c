/* half_avx2.c: rows of 16-bit floats with AVX2 and F16C; the same bits as half.h's functions. */
#include "core/half.h"

#include <immintrin.h>

static __m256 widen_f16(__m128i h) { return _mm256_cvtph_ps(h); }

static __m256 widen_bf16(__m128i h)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

static __m128i narrow_f16(__m256 x)
{
    __m128i h = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    if (__builtin_expect(_mm256_movemask_ps(nan) == 0, 1)) return h;
    /* the processor keeps 9 bits of a NaN's payload; the definition keeps none */
    __m256i wide = _mm256_castps_si256(nan);
    __m128i mask = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    __m128i quiet = _mm_or_si128(_mm_and_si128(h, _mm_set1_epi16((short)0x8000)),
                                 _mm_set1_epi16(0x7e00));
    return _mm_blendv_epi8(h, quiet, mask);
}

static __m128i narrow_bf16(__m256 x)
{
    __m256i u = _mm256_castps_si256(x);
    __m256i high = _mm256_srli_epi32(u, 16);
    __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(64));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    __m256i v = _mm256_blendv_epi8(rounded, quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

#define WIDEN_ROW(name, widen8, widen1)                                                            \
    static void name(const void *in, float *out, int64_t count)                                    \
    {                                                                                              \
        const uint8_t *p = in;                                                                     \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= count; i += 8)                                                             \
            _mm256_storeu_ps(out + i, widen8(_mm_loadu_si128((const __m128i *)(p + 2 * i))));      \
        for (uint16_t h; i < count; i++) {                                                         \
            memcpy(&h, p + 2 * i, 2);                                                              \
            out[i] = widen1(h);                                                                    \
        }                                                                                          \
    }

#define NARROW_ROW(name, narrow8, narrow1)                                                         \
    static void name(const float *in, void *out, int64_t count)                                    \
    {                                                                                              \
        uint8_t *p = out;                                                                          \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= count; i += 8)                                                             \
            _mm_storeu_si128((__m128i *)(p + 2 * i), narrow8(_mm256_loadu_ps(in + i)));            \
        for (; i < count; i++) {                                                                   \
            uint16_t h = narrow1(in[i]);                                                           \
            memcpy(p + 2 * i, &h, 2);                                                              \
        }                                                                                          \
    }

WIDEN_ROW(f16_to_f32, widen_f16, pl_f16_to_f32)
WIDEN_ROW(bf16_to_f32, widen_bf16, pl_bf16_to_f32)
NARROW_ROW(f32_to_f16, narrow_f16, pl_f32_to_f16)
NARROW_ROW(f32_to_bf16, narrow_bf16, pl_f32_to_bf16)

/* All ones in the lanes that are NaN or infinite. */
static __m256i nonfinite8(const float *x)
{
    __m256i exponent = _mm256_set1_epi32(0x7f800000);
    __m256i u = _mm256_loadu_si256((const __m256i *)x);
    return _mm256_cmpeq_epi32(_mm256_and_si256(u, exponent), exponent);
}

static int64_t find_nonfinite(const float *x, int64_t count)
{
    int64_t i = 0;
    for (; i + 64 <= count; i += 64) {
        __m256i any = nonfinite8(x + i);
        for (int k = 8; k < 64; k += 8) any = _mm256_or_si256(any, nonfinite8(x + i + k));
        if (!_mm256_testz_si256(any, any)) break;
    }
    for (; i < count; i++)
        if ((pl_f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u) return i;
    return -1;
}

void pl_half_rows_avx2(pl_half_rows *list)
{
    *list = (pl_half_rows){ f16_to_f32, bf16_to_f32, f32_to_f16, f32_to_bf16, find_nonfinite };
}
