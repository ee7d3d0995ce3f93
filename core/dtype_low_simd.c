/* dtype_low_simd.c: decoders of 4-bit floats, ternary digits and one or two bits with AVX2, and again
 * with AVX-512; the same bits as plain C. */
#include "core/blocks.h"
#include "core/dtype_blocks.h"
#include "core/dtype_simd.h"

/* Twice the values of 16 codes of E2M1 */
static __m128i e2m1(__m128i codes)
{
    return _mm_shuffle_epi8(_mm_setr_epi8(PL_E2M1_TWICE), codes);
}

static __m128i low_nibbles(__m128i q) { return _mm_and_si128(q, _mm_set1_epi8(15)); }
static __m128i high_nibbles(__m128i q) { return low_nibbles(_mm_srli_epi16(q, 4)); }

static void decode_mxfp4(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_mxfp4)) {
        __m128i q = _mm_loadu_si128((const __m128i *)(p + 1));
        float d = pl_e8m0_half(p[0]);
        pl_simd_put16(e2m1(low_nibbles(q)), d, out + i);
        pl_simd_put16(e2m1(high_nibbles(q)), d, out + i + 16);
    }
}

/* Each 8 bytes of codes hold 16 values with a scale: 8 low nibbles, then the high ones. */
static void decode_nvfp4(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 64, p += sizeof(pl_block_nvfp4)) {
        for (int s = 0; s < 4; s += 2, out += 32) {
            __m128i q = _mm_loadu_si128((const __m128i *)(p + 4 + 8 * s));
            __m128i low = e2m1(low_nibbles(q)), high = e2m1(high_nibbles(q));
            pl_simd_put16(_mm_unpacklo_epi64(low, high), pl_ue4m3_half(p[s]), out);
            pl_simd_put16(_mm_unpackhi_epi64(low, high), pl_ue4m3_half(p[s + 1]), out + 16);
        }
    }
}

static void decode_tq2_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_tq2_0)) {
        float d = pl_simd_f16(p + 64);
        for (int k = 0; k < 8; k++, out += 32) {
            __m256i q = _mm256_loadu_si256((const __m256i *)(p + k / 4 * 32));
            pl_simd_put32(_mm256_sub_epi8(pl_simd_bits(q, k % 4 * 2, 3), _mm256_set1_epi8(1)), d, d, out);
        }
    }
}

/* One ternary digit, less 1, of 16 bytes; `power` moves it to the front. */
static __m128i ternary(__m128i bytes, __m256i power)
{
    __m256i t = _mm256_mullo_epi16(_mm256_cvtepu8_epi16(bytes), power);
    t = _mm256_and_si256(t, _mm256_set1_epi16(255));
    t = _mm256_srli_epi16(_mm256_mullo_epi16(t, _mm256_set1_epi16(3)), 8);
    t = _mm256_sub_epi16(t, _mm256_set1_epi16(1));
    return _mm_packs_epi16(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
}

static void decode_tq1_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    const __m256i four = _mm256_setr_epi16(1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27);
    for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_tq1_0), out += 256) {
        float d = pl_simd_f16(p + 52);
        __m128i part[3];
        for (int k = 0; k < 3; k++) part[k] = _mm_loadu_si128((const __m128i *)(p + 16 * k));
        for (int n = 0, power = 1; n < 5; n++, power *= 3) {
            __m256i by = _mm256_set1_epi16((short)power);
            pl_simd_put16(ternary(part[0], by), d, out + 32 * n);
            pl_simd_put16(ternary(part[1], by), d, out + 32 * n + 16);
            pl_simd_put16(ternary(part[2], by), d, out + 160 + 16 * n);
        }
        int last;
        memcpy(&last, p + 48, 4);
        pl_simd_put16(ternary(_mm_set1_epi32(last), four), d, out + 240);
    }
}

/* 16 codes of 2 bits, less 1: value j of a byte is its bits 2j and 2j + 1. */
static __m128i crumbs(const uint8_t *p)
{
    int bits;
    memcpy(&bits, p, 4);
    __m128i q = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(bits));
    q = _mm_or_si128(q, _mm_slli_epi32(q, 12));         /* nibbles in words of 16 bits */
    q = _mm_or_si128(q, _mm_slli_epi32(q, 6));          /* pairs of bits in bytes, with others above */
    return _mm_sub_epi8(_mm_and_si128(q, _mm_set1_epi8(3)), _mm_set1_epi8(1));
}

static void decode_q2_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 64, p += sizeof(pl_block_q2_0))
        for (int k = 0; k < 4; k++, out += 16) pl_simd_put16(crumbs(p + 2 + 4 * k), pl_simd_f16(p), out);
}

/* +1 or -1 for each of 16 bits */
static __m128i signs(const uint8_t *p)
{
    uint16_t bits;
    memcpy(&bits, p, 2);
    const __m128i bit = _mm_set1_epi64x((long long)0x8040201008040201);
    __m128i spread = _mm_shuffle_epi8(_mm_cvtsi32_si128(bits),
                                      _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
    __m128i clear = _mm_cmpeq_epi8(_mm_and_si128(spread, bit), _mm_setzero_si128());
    return _mm_or_si128(clear, _mm_set1_epi8(1));
}

static void decode_q1_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 128, p += sizeof(pl_block_q1_0))
        for (int k = 0; k < 8; k++, out += 16) pl_simd_put16(signs(p + 2 + 2 * k), pl_simd_f16(p), out);
}

void PL_FOR_ISA(pl_decoders_low)(pl_decoders *list)
{
    list->decode[PL_MXFP4] = decode_mxfp4;
    list->decode[PL_NVFP4] = decode_nvfp4;
    list->decode[PL_TQ1_0] = decode_tq1_0;
    list->decode[PL_TQ2_0] = decode_tq2_0;
    list->decode[PL_Q1_0] = decode_q1_0;
    list->decode[PL_Q2_0] = decode_q2_0;
}
