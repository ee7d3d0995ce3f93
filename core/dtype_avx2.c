/* dtype_avx2.c: decoders of 8-bit floats and of the 32-value block types with AVX2; the same bits as
 * plain C. */
#include "core/dtype.h"

#include <immintrin.h>
#include <string.h>

#include "core/blocks.h"

static __m256 scale(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return _mm256_set1_ps(_cvtsh_ss(h));
}

/* 32 4-bit codes as bytes in order: low nibbles, then high ones. */
static __m256i nibbles(const uint8_t *qs)
{
    __m128i q = _mm_loadu_si128((const __m128i *)qs);
    __m256i both = _mm256_set_m128i(_mm_srli_epi16(q, 4), q);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* 16 in each byte whose bit of qh is set. */
static __m256i fifth_bits(const uint8_t *qh)
{
    int bits;
    memcpy(&bits, qh, 4);
    __m256i spread = _mm256_shuffle_epi8(
        _mm256_set1_epi32(bits),
        _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101, 0x0202020202020202,
                           0x0303030303030303));
    __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

/* 8 signed bytes, the low ones of q, as floats times d */
static __m256 scaled8(__m128i q, __m256 d)
{
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)));
}

static void put_scaled(__m256i codes, __m256 d, float *out)
{
    __m128i low = _mm256_castsi256_si128(codes), high = _mm256_extracti128_si256(codes, 1);
    _mm256_storeu_ps(out, scaled8(low, d));
    _mm256_storeu_ps(out + 8, scaled8(_mm_srli_si128(low, 8), d));
    _mm256_storeu_ps(out + 16, scaled8(high, d));
    _mm256_storeu_ps(out + 24, scaled8(_mm_srli_si128(high, 8), d));
}

static void put_shifted(__m256i codes, __m256 d, __m256 m, float *out)
{
    __m128i low = _mm256_castsi256_si128(codes), high = _mm256_extracti128_si256(codes, 1);
    _mm256_storeu_ps(out, _mm256_add_ps(scaled8(low, d), m));
    _mm256_storeu_ps(out + 8, _mm256_add_ps(scaled8(_mm_srli_si128(low, 8), d), m));
    _mm256_storeu_ps(out + 16, _mm256_add_ps(scaled8(high, d), m));
    _mm256_storeu_ps(out + 24, _mm256_add_ps(scaled8(_mm_srli_si128(high, 8), d), m));
}

static void decode_q8_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q8_0))
        put_scaled(_mm256_loadu_si256((const __m256i *)(p + 2)), scale(p), out + i);
}

static void decode_q4_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q4_0))
        put_scaled(_mm256_sub_epi8(nibbles(p + 2), _mm256_set1_epi8(8)), scale(p), out + i);
}

static void decode_q4_1(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q4_1))
        put_shifted(nibbles(p + 4), scale(p), scale(p + 2), out + i);
}

static void decode_q5_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q5_0)) {
        __m256i codes = _mm256_or_si256(nibbles(p + 6), fifth_bits(p + 2));
        put_scaled(_mm256_sub_epi8(codes, _mm256_set1_epi8(16)), scale(p), out + i);
    }
}

static void decode_q5_1(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q5_1)) {
        __m256i codes = _mm256_or_si256(nibbles(p + 8), fifth_bits(p + 4));
        put_shifted(codes, scale(p), scale(p + 2), out + i);
    }
}

/* 16 codes as f16: of f8_e4m3 the values divided by 256. The sign extended by a bit fills the exponent's
 * missing one, which only a NaN keeps. */
static __m256i widen_e4m3(__m128i codes)
{
    __m256i wide = _mm256_slli_epi16(_mm256_cvtepi8_epi16(codes), 7);
    __m256i ones = _mm256_set1_epi16(0x3f80), exponent = _mm256_set1_epi16(0x4000);
    __m256i nan = _mm256_cmpeq_epi16(_mm256_and_si256(wide, ones), ones);
    return _mm256_or_si256(_mm256_andnot_si256(exponent, wide), _mm256_and_si256(nan, exponent));
}

static __m256i widen_e5m2(__m128i codes) { return _mm256_slli_epi16(_mm256_cvtepu8_epi16(codes), 8); }

static void put_halves(__m256i h, __m256 factor, float *out)
{
    _mm256_storeu_ps(out, _mm256_mul_ps(factor, _mm256_cvtph_ps(_mm256_castsi256_si128(h))));
    _mm256_storeu_ps(out + 8, _mm256_mul_ps(factor, _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1))));
}

#define DECODE_F8(name, type, widen, factor)                                                       \
    static void name(const void *blocks, float *out, int64_t count)                                \
    {                                                                                              \
        const uint8_t *p = blocks;                                                                 \
        int64_t i = 0;                                                                             \
        for (; i + 16 <= count; i += 16)                                                           \
            put_halves(widen(_mm_loadu_si128((const __m128i *)(p + i))), _mm256_set1_ps(factor),   \
                       out + i);                                                                   \
        pl_dtypes[type].decode(p + i, out + i, count - i);                                         \
    }

DECODE_F8(decode_f8_e4m3, PL_F8_E4M3, widen_e4m3, 256.0f)
DECODE_F8(decode_f8_e5m2, PL_F8_E5M2, widen_e5m2, 1.0f)

void pl_decoders_avx2(pl_decoders *list)
{
    list->decode[PL_F8_E4M3] = decode_f8_e4m3;
    list->decode[PL_F8_E5M2] = decode_f8_e5m2;
    list->decode[PL_Q8_0] = decode_q8_0;
    list->decode[PL_Q4_0] = decode_q4_0;
    list->decode[PL_Q4_1] = decode_q4_1;
    list->decode[PL_Q5_0] = decode_q5_0;
    list->decode[PL_Q5_1] = decode_q5_1;
}
