/* dtype_avx512.c: decoders with AVX-512 (F BW VL DQ); the same bits as plain C. */
#include "core/dtype.h"

#include <immintrin.h>
#include <string.h>

#include "core/blocks.h"

static __m512 scale(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return _mm512_set1_ps(_cvtsh_ss(h));
}

/* 16 4-bit codes: the low or the high nibbles */
static __m128i low_nibbles(__m128i q) { return _mm_and_si128(q, _mm_set1_epi8(15)); }
static __m128i high_nibbles(__m128i q)
{
    return _mm_and_si128(_mm_srli_epi16(q, 4), _mm_set1_epi8(15));
}

/* 16 signed bytes as floats times d */
static __m512 scaled(__m128i q, __m512 d)
{
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)));
}

static void decode_q8_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q8_0)) {
        __m512 d = scale(p);
        _mm512_storeu_ps(out + i, scaled(_mm_loadu_si128((const __m128i *)(p + 2)), d));
        _mm512_storeu_ps(out + i + 16, scaled(_mm_loadu_si128((const __m128i *)(p + 18)), d));
    }
}

static void decode_q4_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    __m128i middle = _mm_set1_epi8(8);
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q4_0)) {
        __m512 d = scale(p);
        __m128i q = _mm_loadu_si128((const __m128i *)(p + 2));
        _mm512_storeu_ps(out + i, scaled(_mm_sub_epi8(low_nibbles(q), middle), d));
        _mm512_storeu_ps(out + i + 16, scaled(_mm_sub_epi8(high_nibbles(q), middle), d));
    }
}

static void decode_q4_1(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q4_1)) {
        __m512 d = scale(p), m = scale(p + 2);
        __m128i q = _mm_loadu_si128((const __m128i *)(p + 4));
        _mm512_storeu_ps(out + i, _mm512_add_ps(scaled(low_nibbles(q), d), m));
        _mm512_storeu_ps(out + i + 16, _mm512_add_ps(scaled(high_nibbles(q), d), m));
    }
}

/* Codes 0..31 of a 5-bit block: bit j of qh belongs to value j. */
static void five_bits(const uint8_t *qh, const uint8_t *qs, __m128i code[2])
{
    uint32_t bits;
    memcpy(&bits, qh, 4);
    __m128i q = _mm_loadu_si128((const __m128i *)qs);
    code[0] = _mm_or_si128(low_nibbles(q), _mm_maskz_set1_epi8((__mmask16)bits, 16));
    code[1] = _mm_or_si128(high_nibbles(q), _mm_maskz_set1_epi8((__mmask16)(bits >> 16), 16));
}

static void decode_q5_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    __m128i middle = _mm_set1_epi8(16), code[2];
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q5_0)) {
        __m512 d = scale(p);
        five_bits(p + 2, p + 6, code);
        _mm512_storeu_ps(out + i, scaled(_mm_sub_epi8(code[0], middle), d));
        _mm512_storeu_ps(out + i + 16, scaled(_mm_sub_epi8(code[1], middle), d));
    }
}

static void decode_q5_1(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    __m128i code[2];
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_q5_1)) {
        __m512 d = scale(p), m = scale(p + 2);
        five_bits(p + 4, p + 8, code);
        _mm512_storeu_ps(out + i, _mm512_add_ps(scaled(code[0], d), m));
        _mm512_storeu_ps(out + i + 16, _mm512_add_ps(scaled(code[1], d), m));
    }
}

void pl_decoders_avx512(pl_decoders *list)
{
    list->decode[PL_Q8_0] = decode_q8_0;
    list->decode[PL_Q4_0] = decode_q4_0;
    list->decode[PL_Q4_1] = decode_q4_1;
    list->decode[PL_Q5_0] = decode_q5_0;
    list->decode[PL_Q5_1] = decode_q5_1;
}
