/* dtype_k_simd.c: decoders of the K types with AVX2, and again with AVX-512; the same bits as plain C. */
#include "core/blocks.h"
#include "core/dtype_blocks.h"
#include "core/dtype_simd.h"

#define DECODER(type)                                                                              \
    static void decode_##type(const void *blocks, float *out, int64_t count)                       \
    {                                                                                              \
        const uint8_t *p = blocks;                                                                 \
        for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_##type)) type(p, out + i);   \
    }

static __m256i load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* d times each of 8 or 16 small integers */
static void scales8(__m128i bytes, float d, float out[8])
{
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_set1_ps(d),
                                        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))));
}

static void scales16(__m128i bytes, float d, float out[16])
{
    scales8(bytes, d, out);
    scales8(_mm_srli_si128(bytes, 8), d, out + 8);
}

static void q2_k(const uint8_t *p, float *out)
{
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i s = _mm_loadu_si128((const __m128i *)p);
    float scale[16], min[16];
    scales16(_mm_and_si128(s, nibble), pl_simd_f16(p + 80), scale);
    scales16(_mm_and_si128(_mm_srli_epi16(s, 4), nibble), pl_simd_f16(p + 82), min);
    for (int k = 0; k < 8; k++, out += 32) {
        __m256i q = pl_simd_bits(load(p + 16 + k / 4 * 32), k % 4 * 2, 3);
        pl_simd_put16_less(_mm256_castsi256_si128(q), scale[2 * k], min[2 * k], out);
        pl_simd_put16_less(_mm256_extracti128_si256(q, 1), scale[2 * k + 1], min[2 * k + 1], out + 16);
    }
}

/* 16 scales of 6 bits: low halves in 8 bytes, quarters above them in 4 */
static __m128i q3_k_scales(const uint8_t *s)
{
    uint32_t high;
    memcpy(&high, s + 8, 4);
    __m128i low = _mm_loadl_epi64((const __m128i *)s);
    low = _mm_and_si128(_mm_unpacklo_epi64(low, _mm_srli_epi16(low, 4)), _mm_set1_epi8(15));
    __m128i top = _mm_srlv_epi32(_mm_set1_epi32((int)high), _mm_setr_epi32(0, 2, 4, 6));
    top = _mm_slli_epi16(_mm_and_si128(top, _mm_set1_epi8(3)), 4);
    return _mm_sub_epi8(_mm_or_si128(low, top), _mm_set1_epi8(32));
}

static void q3_k(const uint8_t *p, float *out)
{
    __m256i mask = load(p);
    float scale[16];
    scales16(q3_k_scales(p + 96), pl_simd_f16(p + 108), scale);
    for (int k = 0; k < 8; k++, out += 32) {
        __m256i low = pl_simd_bits(load(p + 32 + k / 4 * 32), k % 4 * 2, 3);
        __m256i high = _mm256_slli_epi16(pl_simd_bits(mask, k, 1), 2);
        __m256i q = _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(4));
        pl_simd_put32(q, scale[2 * k], scale[2 * k + 1], out);
    }
}

/* 8 scales and 8 minima of 6 bits in 12 bytes, times d and dmin */
static void q45_k_scales(const uint8_t *p, float scale[8], float min[8])
{
    uint32_t s[3];
    memcpy(s, p + 4, 12);
    uint32_t scale_high = (s[2] & 0x0f0f0f0f) | (s[0] >> 2 & 0x30303030);
    uint32_t min_high = (s[2] >> 4 & 0x0f0f0f0f) | (s[1] >> 2 & 0x30303030);
    __m128i both = _mm_setr_epi32((int)(s[0] & 0x3f3f3f3f), (int)scale_high,
                                  (int)(s[1] & 0x3f3f3f3f), (int)min_high);
    scales8(both, pl_simd_f16(p), scale);
    scales8(_mm_srli_si128(both, 8), pl_simd_f16(p + 2), min);
}

static void put32_less(__m256i q, float d, float m, float *out)
{
    pl_simd_put16_less(_mm256_castsi256_si128(q), d, m, out);
    pl_simd_put16_less(_mm256_extracti128_si256(q, 1), d, m, out + 16);
}

static void q4_k(const uint8_t *p, float *out)
{
    float scale[8], min[8];
    q45_k_scales(p, scale, min);
    for (int k = 0; k < 8; k++, out += 32)
        put32_less(pl_simd_bits(load(p + 16 + k / 2 * 32), k % 2 * 4, 15), scale[k], min[k], out);
}

static void q5_k(const uint8_t *p, float *out)
{
    float scale[8], min[8];
    q45_k_scales(p, scale, min);
    __m256i fifth = load(p + 16);
    for (int k = 0; k < 8; k++, out += 32) {
        __m256i low = pl_simd_bits(load(p + 48 + k / 2 * 32), k % 2 * 4, 15);
        __m256i high = _mm256_slli_epi16(pl_simd_bits(fifth, k, 1), 4);
        put32_less(_mm256_or_si256(low, high), scale[k], min[k], out);
    }
}

static void q6_k(const uint8_t *p, float *out)
{
    float scale[16];
    scales16(_mm_loadu_si128((const __m128i *)(p + 192)), pl_simd_f16(p + 208), scale);
    for (int k = 0; k < 8; k++, out += 32) {
        __m256i low = pl_simd_bits(load(p + k / 4 * 64 + k % 2 * 32), k / 2 % 2 * 4, 15);
        __m256i high = pl_simd_bits(load(p + 128 + k / 4 * 32), k % 4 * 2, 3);
        __m256i q = _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
        pl_simd_put32(_mm256_sub_epi8(q, _mm256_set1_epi8(32)), scale[2 * k], scale[2 * k + 1], out);
    }
}

DECODER(q2_k)
DECODER(q3_k)
DECODER(q4_k)
DECODER(q5_k)
DECODER(q6_k)

void PL_FOR_ISA(pl_decoders_k)(pl_decoders *list)
{
    list->decode[PL_Q2_K] = decode_q2_k;
    list->decode[PL_Q3_K] = decode_q3_k;
    list->decode[PL_Q4_K] = decode_q4_k;
    list->decode[PL_Q5_K] = decode_q5_k;
    list->decode[PL_Q6_K] = decode_q6_k;
}
