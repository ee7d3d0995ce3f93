/* kernels_micro_vnni.c: small floats with scales for groups with AVX-512 VNNI; the same bits as plain C. */
#include <immintrin.h>
#include <stdint.h>

#include "runtime-check/kernels_micro.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- 4 bits: 12 is added, so that codes have no sign, and taken away from the sums ---- */

static void unpack_e2m1(const uint8_t *packed, int64_t n, uint8_t *codes)
{
    const __m512i table = _mm512_broadcast_i32x4(_mm_add_epi8(_mm_setr_epi8(PL_E2M1_TWICE), _mm_set1_epi8(12)));
    for (int64_t i = 0; i < n; i += 64) {
        __mmask32 there = n - i >= 64 ? 0xffffffff : 0xffff;
        __m512i wide = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(there, packed + i / 2));
        __m512i index = _mm512_and_si512(_mm512_or_si512(wide, _mm512_slli_epi16(wide, 4)), _mm512_set1_epi8(15));
        _mm512_storeu_si512(codes + i, _mm512_shuffle_epi8(table, index));
    }
}

/* Two blocks of x. */
typedef struct pair { __m512i q, start; __m512 d; } pair;

/* `both`: the second is there. */
INLINE pair pair_at(const uint8_t *x, bool both)
{
    const pl_act_block *in = (const pl_act_block *)(const void *)x;
    pair p = { .q = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)in[0].q)) };
    __m256i q = both ? _mm256_loadu_si256((const __m256i *)(const void *)in[1].q) : _mm256_setzero_si256();
    p.q = _mm512_inserti64x4(p.q, q, 1);
    p.d = _mm512_insertf32x8(_mm512_set1_ps(in[0].d), _mm256_set1_ps(both ? in[1].d : 0), 1);
    __m512i more = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(12), p.q);
    p.start = _mm512_sub_epi32(_mm512_setzero_si512(), more);
    return p;
}

INLINE __m512 add_pair(__m512i to, const uint8_t *codes, const float *factor, pair p, __m512 lanes)
{
    __m512 scale = _mm512_permutexvar_ps(to, _mm512_castps128_ps512(_mm_loadu_ps(factor)));
    __m512i dots = _mm512_dpbusd_epi32(p.start, _mm512_loadu_si512(codes), p.q);
    return _mm512_add_ps(lanes, _mm512_mul_ps(_mm512_mul_ps(scale, p.d), _mm512_cvtepi32_ps(dots)));
}

INLINE void run_e2m1(int halves, const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i to = _mm512_srli_epi32(lane, halves == 2 ? 2 : 3);        /* the factor of each */
    __m512 sum[MICRO_ROWS];
    for (int l = 0; l < MICRO_ROWS; l++) sum[l] = _mm512_loadu_ps(sums[l].lane);
    for (int64_t b = 0; b < blocks; b += 2, x += 2 * sizeof(pl_act_block)) {
        pair p = pair_at(x, b + 1 < blocks);
        for (int l = 0; l < MICRO_ROWS; l++)
            sum[l] = add_pair(to, t->codes[l] + 32 * b, t->factor[l] + b * halves, p, sum[l]);
    }
    for (int l = 0; l < MICRO_ROWS; l++) _mm512_storeu_ps(sums[l].lane, sum[l]);
}

/* ---- 8 bits ---- */

/* 32 codes as 16-bit floats, the values divided by 256: the sign, extended by a bit, leaves a place for the exponent's
 * missing one. */
INLINE __m512i widen(__m256i codes)
{
    return _mm512_andnot_si512(_mm512_set1_epi16(0x4000), _mm512_slli_epi16(_mm512_cvtepi8_epi16(codes), 7));
}

static void run_e4m3(const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)
{
    const __m256i nan = _mm256_set1_epi8(0x7f);
    __m256i largest[MICRO_ROWS] = { 0 };
    __m512 sum[MICRO_ROWS];
    for (int l = 0; l < MICRO_ROWS; l++) sum[l] = _mm512_loadu_ps(sums[l].lane);
    for (int64_t b = 0; b < blocks; b++, x += 32 * sizeof(float)) {
        __m512 in[2] = { _mm512_loadu_ps(x), _mm512_loadu_ps(x + 64) };
        for (int l = 0; l < MICRO_ROWS; l++) {
            __m256i codes = _mm256_loadu_si256((const __m256i *)(const void *)(t->codes[l] + 32 * b));
            largest[l] = _mm256_max_epu8(largest[l], _mm256_and_si256(codes, nan));
            __m512i halves = widen(codes);
            __m512 low = _mm512_mul_ps(_mm512_cvtph_ps(_mm512_castsi512_si256(halves)), in[0]);
            __m512 high = _mm512_mul_ps(_mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1)), in[1]);
            __m512 both = _mm512_mul_ps(_mm512_add_ps(low, high), _mm512_set1_ps(t->factor[l][b]));
            sum[l] = _mm512_add_ps(sum[l], both);
        }
    }
    for (int l = 0; l < MICRO_ROWS; l++) {
        /* Not-a-number codes, as finite values until here, make the whole row one. */
        if (_mm256_cmpeq_epi8_mask(largest[l], nan)) sum[l] = _mm512_set1_ps(__builtin_nanf(""));
        _mm512_storeu_ps(sums[l].lane, sum[l]);
    }
}

MICRO_KERNELS("vnni")

void pl_kernels_micro_vnni(pl_kernel_list *list) { pl_kernels_add(list, kernels, PL_COUNT(kernels)); }
