/* kernels_avx2_blocks.c: block types times 8-bit activations with AVX2.
 *
 * Eight rows lie in the lanes, as sixteen do in kernels_vnni.c: CHUNK blocks of 8 rows are
 * unpacked to bytes and transposed, then meet four activation rows at a time. The float sum of a
 * row runs over its blocks in order, whatever n and however rows are cut. */
#include <immintrin.h>
#include <string.h>

#include "runtime-check/kernels_isa.h"

#define INLINE static inline __attribute__((always_inline))

/* What each type looks like in memory: bytes per block, where values and fifth bits start, what
 * was added to make values unsigned (0 for q8_0: they stay signed); has_m: an f16 minimum behind
 * the scale. */
typedef struct shape { int bytes, qs, qh, bias; bool has_m; } shape;
static const shape q8_0 = { sizeof(pl_block_q8_0), offsetof(pl_block_q8_0, qs), 0, 0, false };
static const shape q4_0 = { sizeof(pl_block_q4_0), offsetof(pl_block_q4_0, qs), 0, 8, false };
static const shape q4_1 = { sizeof(pl_block_q4_1), offsetof(pl_block_q4_1, qs), 0, 0, true };
static const shape q5_0 = { sizeof(pl_block_q5_0), offsetof(pl_block_q5_0, qs),
                            offsetof(pl_block_q5_0, qh), 16, false };
static const shape q5_1 = { sizeof(pl_block_q5_1), offsetof(pl_block_q5_1, qs),
                            offsetof(pl_block_q5_1, qh), 0, true };

enum { CHUNK = 16, COLUMNS = 4 };

/* One block of 8 rows: lane r of q[g] holds values 4g .. 4g+3 of row r. */
typedef struct lanes { __m256i q[8]; __m256 d, m; } lanes;

typedef struct panel {
    lanes block[CHUNK];
    int32_t blocks, bias;
    bool has_m, is_signed;
} panel;

/* ---- unpacking ---- */

/* 32 values of one block as bytes. */
INLINE __m256i values_of(const shape s, const uint8_t *block)
{
    if (s.bytes == sizeof(pl_block_q8_0))
        return _mm256_loadu_si256((const __m256i *)(block + s.qs));
    __m128i packed = _mm_loadu_si128((const __m128i *)(block + s.qs));
    __m256i v = _mm256_set_m128i(_mm_srli_epi16(packed, 4), packed);
    v = _mm256_and_si256(v, _mm256_set1_epi8(15));
    if (s.qh) {
        int32_t bits;
        memcpy(&bits, block + s.qh, 4);
        /* byte j of the four copied to where values 8j .. 8j+7 lie, one bit kept for each */
        const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
                                                0x0303030303030303);
        const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
        __m256i h = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte), bit);
        h = _mm256_and_si256(_mm256_cmpeq_epi8(h, bit), _mm256_set1_epi8(16));
        v = _mm256_or_si256(v, h);
    }
    return v;
}

/* 8 x 8 dwords. */
INLINE void transpose8(const __m256i a[8], __m256i out[8])
{
    __m256i t[8];
    for (int h = 0; h < 8; h += 4) {
        __m256i ab01 = _mm256_unpacklo_epi32(a[h], a[h + 1]);
        __m256i ab23 = _mm256_unpackhi_epi32(a[h], a[h + 1]);
        __m256i cd01 = _mm256_unpacklo_epi32(a[h + 2], a[h + 3]);
        __m256i cd23 = _mm256_unpackhi_epi32(a[h + 2], a[h + 3]);
        t[h] = _mm256_unpacklo_epi64(ab01, cd01);
        t[h + 1] = _mm256_unpackhi_epi64(ab01, cd01);
        t[h + 2] = _mm256_unpacklo_epi64(ab23, cd23);
        t[h + 3] = _mm256_unpackhi_epi64(ab23, cd23);
    }
    for (int i = 0; i < 4; i++) {
        out[i] = _mm256_permute2x128_si256(t[i], t[i + 4], 0x20);
        out[i + 4] = _mm256_permute2x128_si256(t[i], t[i + 4], 0x31);
    }
}

/* The same block of `count` rows; further lanes repeat the last row and are not stored. */
INLINE void unpack(const shape s, const uint8_t *block, int64_t stride, int64_t count, lanes *out)
{
    __m256i rows[8];
    uint16_t d[8], m[8] = { 0 };
    for (int r = 0; r < 8; r++) {
        const uint8_t *p = block + pl_min64(r, count - 1) * stride;
        rows[r] = values_of(s, p);
        memcpy(&d[r], p, 2);
        if (s.has_m) memcpy(&m[r], p + 2, 2);
    }
    transpose8(rows, out->q);
    out->d = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)d));
    out->m = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)m));
}

/* ---- dots ---- */

INLINE int32_t dword(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* Eight exact dots with the activation block at x, bias included. Pairs of products stay within
 * 16 bits: 2 · 127 · 128 for signed weights (by their magnitude, the sign moved to x), and sums
 * of four such pairs of at most 2 · 127 · 31 for unsigned ones. */
INLINE __m256i dot_of(const lanes *w, bool is_signed, const uint8_t *x)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i dot = _mm256_setzero_si256();
    for (int h = 0; h < 8; h += 4) {
        __m256i pairs = _mm256_setzero_si256();
        for (int g = h; g < h + 4; g++) {
            __m256i in = _mm256_set1_epi32(dword(x + offsetof(pl_act_block, q) + 4 * g));
            if (is_signed) {
                __m256i two = _mm256_maddubs_epi16(_mm256_abs_epi8(w->q[g]),
                                                   _mm256_sign_epi8(in, w->q[g]));
                dot = _mm256_add_epi32(dot, _mm256_madd_epi16(two, ones));
            } else {
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w->q[g], in));
            }
        }
        if (!is_signed) dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, ones));
    }
    return dot;
}

INLINE void multiply_panel(int columns, bool is_signed, const panel *p, bool fresh,
                           const uint8_t *x, int64_t ldx, float *y, int64_t ldy, __m256i mask)
{
    __m256 sum[COLUMNS];
    for (int c = 0; c < columns; c++)
        sum[c] = fresh ? _mm256_setzero_ps() : _mm256_maskload_ps(y + c * ldy, mask);
    for (int b = 0; b < p->blocks; b++, x += sizeof(pl_act_block)) {
        const lanes *w = &p->block[b];
        for (int c = 0; c < columns; c++) {
            const uint8_t *in = x + c * ldx;
            int32_t total = dword(in + offsetof(pl_act_block, sum));
            __m256 dx = _mm256_castsi256_ps(_mm256_set1_epi32(dword(in)));
            __m256i dot = _mm256_sub_epi32(dot_of(w, is_signed, in),
                                           _mm256_set1_epi32(p->bias * total));
            sum[c] = _mm256_fmadd_ps(_mm256_mul_ps(w->d, dx), _mm256_cvtepi32_ps(dot), sum[c]);
            if (p->has_m) {
                __m256 offset = _mm256_mul_ps(dx, _mm256_set1_ps((float)total));
                sum[c] = _mm256_fmadd_ps(w->m, offset, sum[c]);
            }
        }
    }
    for (int c = 0; c < columns; c++) _mm256_maskstore_ps(y + c * ldy, mask, sum[c]);
}

/* The panel times n activation rows. */
static void multiply_columns(const panel *p, bool fresh, const uint8_t *x, int64_t ldx, int64_t n,
                             float *y, int64_t ldy, __m256i mask)
{
    for (int64_t c = 0; c < n;) {
        const uint8_t *in = x + c * ldx;
        float *out = y + c * ldy;
        bool wide = n - c >= COLUMNS;
        if (wide && p->is_signed)
            multiply_panel(COLUMNS, true, p, fresh, in, ldx, out, ldy, mask);
        else if (wide)
            multiply_panel(COLUMNS, false, p, fresh, in, ldx, out, ldy, mask);
        else if (p->is_signed)
            multiply_panel(1, true, p, fresh, in, ldx, out, ldy, mask);
        else
            multiply_panel(1, false, p, fresh, in, ldx, out, ldy, mask);
        c += wide ? COLUMNS : 1;
    }
}

INLINE void multiply(const shape s, const pl_packed *w, int64_t first, int64_t count,
                     const uint8_t *x, int64_t ldx, int64_t n, float *y, int64_t ldy)
{
    int64_t blocks = w->cols / 32, stride = w->part[0].stride;
    panel p = { .bias = s.bias, .has_m = s.has_m, .is_signed = s.bytes == sizeof(pl_block_q8_0) };
    for (int64_t r = 0; r < count; r += 8) {
        const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        int32_t rows = (int32_t)pl_min64(8, count - r);
        __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(rows), index);
        for (int64_t b = 0; b < blocks; b += CHUNK) {
            const uint8_t *block = w->part[0].ptr + (first + r) * stride + b * s.bytes;
            p.blocks = (int32_t)pl_min64(CHUNK, blocks - b);
            for (int i = 0; i < p.blocks; i++)
                unpack(s, block + i * s.bytes, stride, rows, &p.block[i]);
            multiply_columns(&p, b == 0, x + b * (int64_t)sizeof(pl_act_block), ldx, n, y + r, ldy,
                             mask);
        }
    }
}

#define KERNEL(type)                                                                               \
    static void matmul_##type(const pl_packed *w, int64_t first, int64_t count, const void *x,     \
                              int64_t ldx, int64_t n, float *y, int64_t ldy)                       \
    {                                                                                              \
        multiply(type, w, first, count, x, ldx, n, y, ldy);                                        \
    }
KERNEL(q8_0)
KERNEL(q4_0)
KERNEL(q4_1)
KERNEL(q5_0)
KERNEL(q5_1)

#define ENTRY(type) { #type " avx2", PL_ACT_Q8, pl_takes_##type, matmul_##type }
static const pl_kernel kernels[] = {
    ENTRY(q8_0), ENTRY(q4_0), ENTRY(q4_1), ENTRY(q5_0), ENTRY(q5_1),
};

void pl_kernels_avx2_blocks(pl_kernel_list *list)
{
    pl_kernels_add(list, kernels, PL_COUNT(kernels));
}
