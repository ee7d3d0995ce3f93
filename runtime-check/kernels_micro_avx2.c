/* kernels_micro_avx2.c: small floats with scales for groups with AVX2; the same bits as plain C. */
#include <immintrin.h>
#include <stdint.h>

#include "runtime-check/kernels_micro.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* ---- 4 bits ---- */

static void unpack_e2m1(const uint8_t *packed, int64_t n, uint8_t *codes)
{
    const __m256i twice = _mm256_broadcastsi128_si256(_mm_setr_epi8(PL_E2M1_TWICE)), low = _mm256_set1_epi8(15);
    for (int64_t i = 0; i < n; i += 32) {
        __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(packed + i / 2)));
        __m256i index = _mm256_and_si256(_mm256_or_si256(wide, _mm256_slli_epi16(wide, 4)), low);
        _mm256_storeu_si256((__m256i *)(void *)(codes + i), _mm256_shuffle_epi8(twice, index));
    }
}

/* A block's products of signed bytes, four added up. */
INLINE __m256 fours(__m256i codes, __m256i q)
{
    __m256i size = _mm256_abs_epi8(codes), turned = _mm256_sign_epi8(q, codes);
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(_mm256_maddubs_epi16(size, turned), _mm256_set1_epi16(1)));
}

INLINE __m256 add_block(int halves, const uint8_t *codes, const float *factor, const uint8_t *x, __m256 lanes)
{
    const pl_act_block *in = (const pl_act_block *)(const void *)x;
    __m256 scale = _mm256_set1_ps(factor[0]);
    if (halves == 2) scale = _mm256_blend_ps(scale, _mm256_set1_ps(factor[1]), 0xf0);
    scale = _mm256_mul_ps(scale, _mm256_set1_ps(in->d));
    return _mm256_add_ps(lanes, _mm256_mul_ps(scale, fours(load(codes), load(in->q))));
}

INLINE void run_e2m1(int halves, const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)
{
    for (int l = 0; l < MICRO_ROWS; l++) {
        const uint8_t *codes = t->codes[l], *in = x;
        const float *factor = t->factor[l];
        __m256 even = _mm256_loadu_ps(sums[l].lane), odd = _mm256_loadu_ps(sums[l].lane + 8);
        int64_t b = 0;
        for (; b + 2 <= blocks; b += 2, codes += 64, factor += 2 * halves, in += 2 * sizeof(pl_act_block)) {
            even = add_block(halves, codes, factor, in, even);
            odd = add_block(halves, codes + 32, factor + halves, in + sizeof(pl_act_block), odd);
        }
        if (b < blocks) even = add_block(halves, codes, factor, in, even);
        _mm256_storeu_ps(sums[l].lane, even);
        _mm256_storeu_ps(sums[l].lane + 8, odd);
    }
}

/* ---- 8 bits ---- */

/* 16 codes as 16-bit floats, the values divided by 256: the sign, extended by a bit, leaves a place for the exponent's
 * missing one. */
INLINE __m256i widen(__m128i codes)
{
    __m256i wide = _mm256_slli_epi16(_mm256_cvtepi8_epi16(codes), 7);
    return _mm256_andnot_si256(_mm256_set1_epi16(0x4000), wide);
}

/* Eight of them times x. */
INLINE __m256 times(__m128i halves, const uint8_t *x)
{
    return _mm256_mul_ps(_mm256_cvtph_ps(halves), _mm256_loadu_ps((const float *)(const void *)x));
}

static void run_e4m3(const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)
{
    const __m256i nan = _mm256_set1_epi8(0x7f);
    for (int l = 0; l < MICRO_ROWS; l++) {
        const uint8_t *codes = t->codes[l], *in = x;
        __m256 left = _mm256_loadu_ps(sums[l].lane), right = _mm256_loadu_ps(sums[l].lane + 8);
        __m256i largest = _mm256_setzero_si256();
        for (int64_t b = 0; b < blocks; b++, codes += 32, in += 32 * sizeof(float)) {
            __m256i all = load(codes);
            largest = _mm256_max_epu8(largest, _mm256_and_si256(all, nan));
            __m256i low = widen(_mm256_castsi256_si128(all)), high = widen(_mm256_extracti128_si256(all, 1));
            __m256 factor = _mm256_set1_ps(t->factor[l][b]);
            __m256 a = _mm256_add_ps(times(_mm256_castsi256_si128(low), in),
                                     times(_mm256_castsi256_si128(high), in + 64));
            __m256 c = _mm256_add_ps(times(_mm256_extracti128_si256(low, 1), in + 32),
                                     times(_mm256_extracti128_si256(high, 1), in + 96));
            left = _mm256_add_ps(left, _mm256_mul_ps(a, factor));
            right = _mm256_add_ps(right, _mm256_mul_ps(c, factor));
        }
        /* Not-a-number codes, as finite values until here, make the whole row one. */
        if (_mm256_movemask_epi8(_mm256_cmpeq_epi8(largest, nan))) left = _mm256_set1_ps(__builtin_nanf(""));
        _mm256_storeu_ps(sums[l].lane, left);
        _mm256_storeu_ps(sums[l].lane + 8, right);
    }
}

MICRO_KERNELS("avx2")

void pl_kernels_micro_avx2(pl_kernel_list *list) { pl_kernels_add(list, kernels, PL_COUNT(kernels)); }
