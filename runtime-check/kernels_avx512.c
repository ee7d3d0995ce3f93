/* kernels_avx512.c: float types times floats, and the quantizing of activations, with AVX-512.
 *
 * A row and an activation row have one sum of sixteen lanes that runs along the columns, then is
 * folded in a fixed order. Tiles only choose which sums go side by side, so they never change a
 * bit. */
#include <immintrin.h>
#include <string.h>

#include "runtime-check/kernels_isa.h"

#define INLINE static inline __attribute__((always_inline))

/* ROWS x COLUMNS sums fit the registers. With many activation rows, TILES x ROWS rows are walked in
 * pieces of DEPTH columns, so that the activations of a piece stay in the level-1 cache. */
enum { ROWS = 4, COLUMNS = 6, TILES = 8, DEPTH = 512 };

typedef __m512 tile_sums[COLUMNS][ROWS];

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

/* Four rows of a tile; beyond the last row of the range that one again, its copies not stored. */
typedef struct tile_rows { const uint8_t *row[ROWS]; __mmask8 store; } tile_rows;

INLINE tile_rows rows_at(const pl_packed *w, int64_t first, int64_t count)
{
    tile_rows t;
    for (int k = 0; k < ROWS; k++) {
        int64_t r = first + pl_min64(k, count - 1);
        t.row[k] = w->part[0].ptr + r * w->part[0].stride;
    }
    t.store = (__mmask8)((1 << pl_min64(ROWS, count)) - 1);
    return t;
}

/* Adds columns from .. to-1 of a tile times `columns` activation rows. The bytes at `next`, as
 * many as the tile has, are asked for meanwhile, in the order they lie. */
INLINE void add_tile(load_fn load, int size, int columns, const tile_rows *t, const uint8_t *next,
                     int64_t from, int64_t to, const uint8_t *x, int64_t ldx, tile_sums sums)
{
    tile_sums sum;
    memcpy(sum, sums, (size_t)columns * sizeof sum[0]);
    int64_t i = from;
    for (; i + 16 <= to; i += 16) {
        for (int k = 0; next && k < 16 * ROWS * size; k += 64)
            _mm_prefetch((const char *)next + i * ROWS * size + k, _MM_HINT_T1);
        step(load, columns, t->row, x, ldx, i, 0xffff, sum);
    }
    if (i < to) step(load, columns, t->row, x, ldx, i, (__mmask16)((1u << (to - i)) - 1), sum);
    memcpy(sums, sum, (size_t)columns * sizeof sum[0]);
}

INLINE void multiply(load_fn load, int size, const pl_packed *w, int64_t first, int64_t count,
                     const uint8_t *x, int64_t ldx, int64_t n, float *y, int64_t ldy)
{
    tile_sums sums[TILES];
    int64_t cols = w->cols, depth = n > COLUMNS ? DEPTH : pl_max64(cols, 1);
    for (int64_t c = 0; c < n; c += COLUMNS) {
        int columns = (int)pl_min64(COLUMNS, n - c);
        const uint8_t *in = x + c * ldx;
        for (int64_t r = 0; r < count; r += TILES * ROWS) {
            int64_t end = pl_min64(count, r + TILES * ROWS);
            memset(sums, 0, sizeof sums);
            for (int64_t from = 0; from < cols; from += depth) {
                int64_t to = pl_min64(cols, from + depth);
                for (int64_t k = r; k < end; k += ROWS) {
                    tile_rows t = rows_at(w, first + k, count - k);
                    /* the next tile, if this one is walked at one go */
                    const uint8_t *next = NULL;
                    if (to - from == cols && count - k > ROWS)
                        next = t.row[0] + ROWS * w->part[0].stride;
                    __m512(*sum)[ROWS] = sums[(k - r) / ROWS];
                    switch (columns) {
                    case 1: add_tile(load, size, 1, &t, next, from, to, in, ldx, sum); break;
                    case 2: add_tile(load, size, 2, &t, next, from, to, in, ldx, sum); break;
                    case 3: add_tile(load, size, 3, &t, next, from, to, in, ldx, sum); break;
                    case 4: add_tile(load, size, 4, &t, next, from, to, in, ldx, sum); break;
                    case 5: add_tile(load, size, 5, &t, next, from, to, in, ldx, sum); break;
                    default: add_tile(load, size, 6, &t, NULL, from, to, in, ldx, sum);
                    }
                }
            }
            for (int64_t k = r; k < end; k += ROWS) {
                __mmask8 store = rows_at(w, first + k, count - k).store;
                for (int i = 0; i < columns; i++)
                    _mm_mask_storeu_ps(y + (c + i) * ldy + k, store, fold(sums[(k - r) / ROWS][i]));
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
