/* kernels_avx2.c: float types times floats, and the quantizing of activations, with AVX2.
 *
 * A row and an activation row have one sum of eight lanes that runs along the columns, then is
 * folded in a fixed order. Tiles only choose which sums go side by side, so they never change a
 * bit. */
#include <immintrin.h>
#include <string.h>

#include "runtime-check/kernels_isa.h"

#define INLINE static inline __attribute__((always_inline))

enum { ROWS = 4, COLUMNS = 3 };

/* Eight weights at p. */
INLINE __m256 load_f32(const uint8_t *p) { return _mm256_loadu_ps((const float *)p); }
INLINE __m256 load_f16(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
INLINE __m256 load_bf16(const uint8_t *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
typedef __m256 (*load_fn)(const uint8_t *p);

/* The first `count` < 8 values of `size` bytes at p, zeros behind them. */
typedef struct tail { uint8_t bytes[32]; } tail;
INLINE const uint8_t *tail_of(const uint8_t *p, int64_t count, int size, tail *space)
{
    memset(space, 0, sizeof *space);
    memcpy(space, p, (size_t)(count * size));
    return space->bytes;
}

/* Lanes i and i+4, then i+2, i+1. */
INLINE float fold(__m256 s)
{
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}

/* `rows` rows times `columns` activation rows. */
INLINE void multiply_tile(load_fn load, int size, int rows, int columns, const uint8_t *w,
                          int64_t stride, int64_t cols, const uint8_t *x, int64_t ldx, float *y,
                          int64_t ldy)
{
    __m256 sum[COLUMNS][ROWS], in[COLUMNS];
    for (int c = 0; c < columns; c++)
        for (int r = 0; r < rows; r++) sum[c][r] = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 8 <= cols; i += 8) {
        for (int c = 0; c < columns; c++) in[c] = load_f32(x + c * ldx + 4 * i);
        for (int r = 0; r < rows; r++) {
            __m256 v = load(w + r * stride + size * i);
            for (int c = 0; c < columns; c++) sum[c][r] = _mm256_fmadd_ps(v, in[c], sum[c][r]);
        }
    }
    if (i < cols) {
        tail space;
        for (int c = 0; c < columns; c++)
            in[c] = load_f32(tail_of(x + c * ldx + 4 * i, cols - i, 4, &space));
        for (int r = 0; r < rows; r++) {
            __m256 v = load(tail_of(w + r * stride + size * i, cols - i, size, &space));
            for (int c = 0; c < columns; c++) sum[c][r] = _mm256_fmadd_ps(v, in[c], sum[c][r]);
        }
    }
    for (int c = 0; c < columns; c++)
        for (int r = 0; r < rows; r++) y[c * ldy + r] = fold(sum[c][r]);
}

INLINE void multiply(load_fn load, int size, const pl_packed *w, int64_t first, int64_t count,
                     const uint8_t *x, int64_t ldx, int64_t n, float *y, int64_t ldy)
{
    int64_t stride = w->part[0].stride, cols = w->cols;
    for (int64_t c = 0; c < n;) {
        bool wide = n - c >= COLUMNS;
        const uint8_t *in = x + c * ldx;
        for (int64_t r = 0; r < count;) {
            bool tall = count - r >= ROWS;
            const uint8_t *row = w->part[0].ptr + (first + r) * stride;
            float *out = y + c * ldy + r;
            if (wide && tall)
                multiply_tile(load, size, ROWS, COLUMNS, row, stride, cols, in, ldx, out, ldy);
            else if (wide)
                multiply_tile(load, size, 1, COLUMNS, row, stride, cols, in, ldx, out, ldy);
            else if (tall)
                multiply_tile(load, size, ROWS, 1, row, stride, cols, in, ldx, out, ldy);
            else
                multiply_tile(load, size, 1, 1, row, stride, cols, in, ldx, out, ldy);
            r += tall ? ROWS : 1;
        }
        c += wide ? COLUMNS : 1;
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
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    for (int64_t b = 0; b < count / 32; b++) {
        __m256 v[4];
        __m256i top = _mm256_setzero_si256();
        for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + 32 * b + 8 * i);
            top = _mm256_max_epu32(top, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
        }
        uint32_t lane[8], bits = 0;             /* ordered as |x|, NaN highest */
        _mm256_storeu_si256((__m256i *)lane, top);
        for (int i = 0; i < 8; i++) bits = lane[i] > bits ? lane[i] : bits;
        pl_act_block block = { 0 };
        float largest, d, inverse;
        memcpy(&largest, &bits, 4);
        d = largest / 127.0f;
        inverse = 1.0f / d;
        if (bits >= 0x7f800000u) {
            block.d = __builtin_nanf("");
        } else if (inverse <= __FLT_MAX__) {
            __m256i q[4];
            for (int i = 0; i < 4; i++)
                q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inverse)));
            block.d = d;
            /* packing works within halves: dwords 0-3 of all four vectors, then 4-7 */
            __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]),
                                               _mm256_packs_epi32(q[2], q[3]));
            bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
            _mm256_storeu_si256((__m256i *)block.q, bytes);
            for (int i = 0; i < 32; i++) block.sum += block.q[i];
        }
        memcpy(out + b, &block, sizeof block);
    }
}

#define ENTRY(type) { #type " avx2", PL_ACT_F32, pl_takes_##type, matmul_##type }
static const pl_kernel kernels[] = { ENTRY(f32), ENTRY(f16), ENTRY(bf16) };

void pl_kernels_avx2(pl_kernel_list *list)
{
    pl_kernels_add(list, kernels, PL_COUNT(kernels));
    list->quantize = quantize;
}
