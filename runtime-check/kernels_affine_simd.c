/* kernels_affine_simd.c: MLX's affine types with AVX2, and again with AVX-512 VNNI; the same bits as plain C. */
#include <immintrin.h>
#include <stdint.h>

#include "runtime-check/kernels_affine.h"

/* Products of bytes, four added up. */
#ifdef __AVX512VNNI__
static inline __m256i fours(__m256i codes, __m256i q) { return _mm256_dpbusd_epi32(_mm256_setzero_si256(), codes, q); }
#else
/* Those of two codes of 8 bits do not fit 16 bits, so the highest bit goes apart. */
static inline __m256i fours(__m256i codes, __m256i q)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i low = _mm256_and_si256(codes, _mm256_set1_epi8(0x7f));
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(codes, 7), _mm256_set1_epi8(1));
    __m256i sum = _mm256_madd_epi16(_mm256_maddubs_epi16(low, q), ones);
    return _mm256_add_epi32(sum, _mm256_slli_epi32(_mm256_madd_epi16(_mm256_maddubs_epi16(high, q), ones), 7));
}
#endif

static void run(const uint8_t *codes, int64_t groups, int64_t per_group, const float *scale, const float *bias,
                const uint8_t *x, affine_sums *sums)
{
    __m256 lanes = _mm256_loadu_ps(sums->lane);
    for (int64_t g = 0; g < groups; g++) {
        float sum = 0;
        for (int64_t b = 0; b < per_group; b++, codes += 32, x += sizeof(pl_act_block)) {
            const pl_act_block *in = (const pl_act_block *)(const void *)x;
            __m256i q = _mm256_loadu_si256((const __m256i *)(const void *)in->q);
            __m256i dots = fours(_mm256_loadu_si256((const __m256i *)(const void *)codes), q);
            lanes = _mm256_add_ps(lanes, _mm256_mul_ps(_mm256_set1_ps(scale[g] * in->d), _mm256_cvtepi32_ps(dots)));
            sum += in->d * (float)in->sum;
        }
        sums->bias += bias[g] * sum;
    }
    _mm256_storeu_ps(sums->lane, lanes);
}

static void matmul(const pl_packed *w, int64_t first, int64_t count, const void *x, int64_t ldx, int64_t n, float *y,
                   int64_t ldy)
{
    affine_matmul(w, first, count, x, ldx, n, y, ldy, run);
}

#ifdef __AVX512VNNI__
void pl_kernels_affine_vnni(pl_kernel_list *list)
{
    static const pl_kernel kernels[] = { { "affine avx512vnni", PL_ACT_Q8, pl_takes_affine, matmul } };
#else
void pl_kernels_affine_avx2(pl_kernel_list *list)
{
    static const pl_kernel kernels[] = { { "affine avx2", PL_ACT_Q8, pl_takes_affine, matmul } };
#endif
    pl_kernels_add(list, kernels, PL_COUNT(kernels));
}
