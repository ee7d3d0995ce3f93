/* kernels_avx512.c: float types times floats, and the quantizing of activations, with AVX-512.
 *
 * Each pair of a row and an activation row has one sum of sixteen lanes that runs along the columns, then
 * is folded in a fixed order; tiles only choose which pairs go side by side, so they never change a bit. */
#include <immintrin.h>
#include <string.h>

#include "runtime-check/kernels_isa.h"

#define INLINE static inline __attribute__((always_inline))

enum { ROWS = 4, COLUMNS = 6 };

/* Sixteen weights (those of the mask) at element i. */
INLINE __m512 load_f32(const uint8_t *p, int64_t i, __mmask16 mask)
{
    return _mm512_maskz_loadu_ps(mask, p + 4 * i);
}
INLINE __m512 load_f16(const uint8_t *p, int64_t i, __mmask16 mask)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p + 2 * i));
}
INLINE __m512 load_bf16(const uint8_t *p, int64_t i, __mmask16 mask)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p + 2 * i));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
typedef __m512 (*load_fn)(const uint8_t *p, int64_t i, __mmask16 mask);

/* The sums of four rows: lanes i and i+8, then i+4, i+2, i+1. */
INLINE __m128 fold(const __m512 s[ROWS])
{
    __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(s[0], s[1], 0x44),
                              _mm512_shuffle_f32x4(s[0], s[1], 0xee));
    __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(s[2], s[3], 0x44),
                              _mm512_shuffle_f32x4(s[2], s[3], 0xee));
    __m512 t = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88),
                             _mm512_shuffle_f32x4(ab, cd, 0xdd));
    t = _mm512_add_ps(t, _mm512_permute_ps(t, 0x4e));
    t = _mm512_add_ps(t, _mm512_permute_ps(t, 0xb1));
    return _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, t));
}

INLINE void step(load_fn load, int columns, const uint8_t *const row[ROWS], const uint8_t *x,
                 int64_t ldx, int64_t i, __mmask16 mask, __m512 sum[COLUMNS][ROWS])
{
    __m512 w[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) w[r] = load(row[r], i, mask);
#pragma GCC unroll 6
    for (int c = 0; c < columns; c++) {
        __m512 in = load_f32(x + c * ldx, i, mask);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) sum[c][r] = _mm512_fmadd_ps(w[r], in, sum[c][r]);
    }
}

/* Four rows (fewer: the last one again, its copies not stored) times `columns` activation rows. The
 * bytes at `next`, as many as the four rows have, are asked for meanwhile, in the order they lie. */
INLINE void multiply_tile(load_fn load, int size, int columns, const uint8_t *const row[ROWS],
                          const uint8_t *next, int64_t cols, const uint8_t *x, int64_t ldx, float *y,
                          int64_t ldy, __mmask8 store)
{
    __m512 sum[COLUMNS][ROWS];
    for (int c = 0; c < columns; c++)
        for (int r = 0; r < ROWS; r++) sum[c][r] = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + 16 <= cols; i += 16) {
        for (int k = 0; k < 16 * ROWS * size; k += 64)
            _mm_prefetch((const char *)next + i * ROWS * size + k, _MM_HINT_T1);
        step(load, columns, row, x, ldx, i, 0xffff, sum);
    }
    if (i < cols)
        step(load, columns, row, x, ldx, i, (__mmask16)((1u << (cols - i)) - 1), sum);
    for (int c = 0; c < columns; c++) _mm_mask_storeu_ps(y + c * ldy, store, fold(sum[c]));
}

#define MULTIPLY(columns)                                                                          \
    multiply_tile(load, size, columns, row, next, cols, in, ldx, out, ldy, store)

INLINE void multiply(load_fn load, int size, const pl_packed *w, int64_t first, int64_t count,
                     const uint8_t *x, int64_t ldx, int64_t n, float *y, int64_t ldy)
{
    int64_t stride = w->part[0].stride, cols = w->cols;
    for (int64_t c = 0; c < n; c += COLUMNS) {
        int columns = (int)pl_min64(COLUMNS, n - c);
        const uint8_t *in = x + c * ldx;
        for (int64_t r = 0; r < count; r += ROWS) {
            const uint8_t *row[ROWS];
            for (int k = 0; k < ROWS; k++)
                row[k] = w->part[0].ptr + (first + pl_min64(r + k, count - 1)) * stride;
            __mmask8 store = (__mmask8)((1 << pl_min64(ROWS, count - r)) - 1);
            float *out = y + c * ldy + r;
            const uint8_t *next = row[0] + (count - r > ROWS ? ROWS * stride : 0);
            switch (columns) {
            case 1: MULTIPLY(1); break;
            case 2: MULTIPLY(2); break;
            case 3: MULTIPLY(3); break;
            case 4: MULTIPLY(4); break;
            case 5: MULTIPLY(5); break;
            default: MULTIPLY(6);
            }
        }
    }
}

#define KERNEL(type, size)                                                                         \
    static void matmul_##type(const pl_packed *w, int64_t first, int64_t count, const void *x,     \
                              int64_t ldx, int64_t n, float *y, int64_t ldy)                       \
    {                                                                                              \
        multiply(load_##type, size, w, first, count, x, ldx, n, y, ldy);                           \
    }
KERNEL(f32, 4)
KERNEL(f16, 2)
KERNEL(bf16, 2)

static void quantize(const float *x, int64_t count, pl_act_block *out)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (int64_t b = 0; b < count / 32; b++) {
        __m512 low = _mm512_loadu_ps(x + 32 * b), high = _mm512_loadu_ps(x + 32 * b + 16);
        __m512i top = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                                       _mm512_and_si512(_mm512_castps_si512(high), magnitude));
        uint32_t bits = _mm512_reduce_max_epu32(top);   /* ordered as |x|, NaN highest */
        pl_act_block block = { 0 };
        float largest, d, inverse;
        memcpy(&largest, &bits, 4);
        d = largest / 127.0f;
        inverse = 1.0f / d;
        if (bits >= 0x7f800000u) {
            block.d = __builtin_nanf("");
        } else if (inverse <= __FLT_MAX__) {
            __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(low, _mm512_set1_ps(inverse)));
            __m512i q1 = _mm512_cvtps_epi32(_mm512_mul_ps(high, _mm512_set1_ps(inverse)));
            block.d = d;
            block.sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
            _mm_storeu_si128((__m128i *)block.q, _mm512_cvtepi32_epi8(q0));
            _mm_storeu_si128((__m128i *)(block.q + 16), _mm512_cvtepi32_epi8(q1));
        }
        memcpy(out + b, &block, sizeof block);
    }
}

#define ENTRY(type) { #type " avx512", PL_ACT_F32, pl_takes_##type, matmul_##type }
static const pl_kernel kernels[] = { ENTRY(f32), ENTRY(f16), ENTRY(bf16) };

void pl_kernels_avx512(pl_kernel_list *list)
{
    pl_kernels_add(list, kernels, PL_COUNT(kernels));
    list->quantize = quantize;
}
