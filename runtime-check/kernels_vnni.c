/* kernels_vnni.c: block types times 8-bit activations with AVX-512 VNNI.
 *
 * Sixteen rows lie in the lanes: the same block of 16 rows is unpacked to unsigned bytes and
 * transposed, so that lane r of q[g] holds values 4g .. 4g+3 of row r. Eight dot-product
 * instructions with four activations broadcast then give 16 exact block dots without any sum
 * across lanes. The float sum of a row runs over its blocks in order, whatever n and however
 * rows are cut. */
#include <immintrin.h>
#include <string.h>

#include "runtime-check/kernels_isa.h"

#define INLINE static inline __attribute__((always_inline))

/* What each type looks like in memory: bytes per block, where values and fifth bits start (0:
 * none), what makes values unsigned when added; has_m: an f16 minimum behind the scale. */
typedef struct shape { int bytes, qs, qh, bias; bool has_m; } shape;
static const shape q8_0 = { sizeof(pl_block_q8_0), offsetof(pl_block_q8_0, qs), 0, 128, false };
static const shape q4_0 = { sizeof(pl_block_q4_0), offsetof(pl_block_q4_0, qs), 0, 8, false };
static const shape q4_1 = { sizeof(pl_block_q4_1), offsetof(pl_block_q4_1, qs), 0, 0, true };
static const shape q5_0 = { sizeof(pl_block_q5_0), offsetof(pl_block_q5_0, qs),
                            offsetof(pl_block_q5_0, qh), 16, false };
static const shape q5_1 = { sizeof(pl_block_q5_1), offsetof(pl_block_q5_1, qs),
                            offsetof(pl_block_q5_1, qh), 0, true };

/* Sixteen rows, `stride` bytes apart, from some block on. */
typedef struct rows16 {
    const uint8_t *row;
    int64_t stride;
    __m512i at;                 /* offset of each row */
    __mmask16 mask;             /* those that exist */
} rows16;

typedef struct lanes { __m512i q[8]; __m512 d, m; } lanes;

enum {
    CHUNK = 16,                 /* blocks per row that are unpacked or fetched at a time */
    AHEAD = 768,                /* bytes between what is fetched and what is used, by measurement */
    MAX_STRIDE = 1 << 26        /* offsets of 16 rows fit in 32 bits */
};

/* Fewer than 16 rows are copied here, in pieces, so that the others exist. */
typedef struct stage { uint8_t row[16][CHUNK * sizeof(pl_block_q8_0)]; } stage;

INLINE __mmask16 rows_mask(int64_t count)
{
    return count >= 16 ? 0xffff : (__mmask16)((1u << count) - 1);
}

INLINE rows16 rows_of(const uint8_t *row, int64_t stride, __mmask16 mask)
{
    const __m512i r = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return (rows16){ row, stride, _mm512_mullo_epi32(r, _mm512_set1_epi32((int32_t)stride)), mask };
}

/* Rows first .. first+count-1 from block b on; `blocks` <= CHUNK of them if count < 16. */
INLINE rows16 rows_at(const pl_packed *w, int64_t bytes, int64_t first, int64_t count, int64_t b,
                      int64_t blocks, stage *space)
{
    int64_t stride = w->part[0].stride;
    const uint8_t *row = w->part[0].ptr + first * stride + b * bytes;
    if (count >= 16) return rows_of(row, stride, rows_mask(count));
    memset(space, 0, sizeof *space);
    for (int64_t r = 0; r < count; r++)
        memcpy(space->row[r], row + r * stride, (size_t)(blocks * bytes));
    return rows_of(space->row[0], sizeof space->row[0], rows_mask(count));
}

/* 4 x 4 dwords within each 128 bits. */
INLINE void transpose4(__m512i a[4])
{
    __m512i ab01 = _mm512_unpacklo_epi32(a[0], a[1]), ab23 = _mm512_unpackhi_epi32(a[0], a[1]);
    __m512i cd01 = _mm512_unpacklo_epi32(a[2], a[3]), cd23 = _mm512_unpackhi_epi32(a[2], a[3]);
    a[0] = _mm512_unpacklo_epi64(ab01, cd01);
    a[1] = _mm512_unpackhi_epi64(ab01, cd01);
    a[2] = _mm512_unpacklo_epi64(ab23, cd23);
    a[3] = _mm512_unpackhi_epi64(ab23, cd23);
}

INLINE __m512i load_pair(const uint8_t *a, const uint8_t *b)
{
    __m512i low = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)a));
    return _mm512_inserti64x4(low, _mm256_loadu_si256((const __m256i *)b), 1);
}

/* 32 bytes per row: lane r of q[i] is dword i of row r. */
INLINE void load_rows(const uint8_t *p, int64_t stride, __m512i q[8])
{
    __m512i low[4], high[4];
    const uint8_t *p4 = p + 4 * stride, *p8 = p4 + 4 * stride, *p12 = p8 + 4 * stride;
    for (int i = 0; i < 4; i++) {
        low[i] = load_pair(p + i * stride, p4 + i * stride);
        high[i] = load_pair(p8 + i * stride, p12 + i * stride);
    }
    transpose4(low);        /* lanes 0, 1: dwords i, 4+i of rows 0-3; 2, 3: of rows 4-7 */
    transpose4(high);
    for (int i = 0; i < 4; i++) {
        q[i] = _mm512_shuffle_i32x4(low[i], high[i], 0x88);
        q[i + 4] = _mm512_shuffle_i32x4(low[i], high[i], 0xdd);
    }
}

/* 32 signed bytes per row. */
INLINE void unpack_bytes(const uint8_t *p, int64_t stride, __m512i q[8])
{
    load_rows(p, stride, q);
    for (int i = 0; i < 8; i++) q[i] = _mm512_xor_si512(q[i], _mm512_set1_epi8(-128));
}

INLINE __m512i load_four(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)a));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)b), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)c), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)d), 3);
}

/* 16 bytes of nibbles per row: low ones are values 0 .. 15, high ones 16 .. 31. */
INLINE void unpack_nibbles(const uint8_t *p, int64_t stride, __m512i q[8])
{
    __m512i a[4];
    const uint8_t *p4 = p + 4 * stride, *p8 = p4 + 4 * stride, *p12 = p8 + 4 * stride;
    for (int i = 0; i < 4; i++)
        a[i] = load_four(p + i * stride, p4 + i * stride, p8 + i * stride, p12 + i * stride);
    transpose4(a);
    const __m512i low = _mm512_set1_epi8(15);
    for (int i = 0; i < 4; i++) {
        q[i] = _mm512_and_si512(a[i], low);
        q[i + 4] = _mm512_and_si512(_mm512_srli_epi16(a[i], 4), low);
    }
}

/* Bit j of each row's dword becomes bit 4 of value j. */
INLINE void add_fifth_bits(__m512i bits, __m512i q[8])
{
    const __m512i sixteen = _mm512_set1_epi8(16);
    /* For each byte of a qword the bit it starts at, mod 64: value i's bit less 4, that of the
     * upper dword 32 further. Values 4g .. lie 4g further. */
    const __m512i start = _mm512_set1_epi64(0x1f1e1d1c3f3e3d3c);
    for (int g = 0; g < 8; g++) {
        __m512i from = _mm512_add_epi8(start, _mm512_set1_epi8((char)(4 * g)));
        __m512i here = _mm512_multishift_epi64_epi8(from, bits);
        q[g] = _mm512_ternarylogic_epi32(here, sixteen, q[g], 0xea);     /* (here & 16) | q */
    }
}

INLINE __m512i gather(const rows16 *t, int64_t at)
{
    /* by mask: the plain form would wait for whatever its result register held before */
    return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), t->mask, t->at, t->row + at, 1);
}

INLINE __m512 half_to_float(__m512i low_words)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(low_words));
}

/* Block b of 16 rows. */
INLINE void unpack(const shape s, const rows16 *t, int64_t b, lanes *out)
{
    int64_t at = b * s.bytes;
    __m512i scales = gather(t, at);
    out->d = half_to_float(scales);
    out->m = s.has_m ? half_to_float(_mm512_srli_epi32(scales, 16)) : _mm512_setzero_ps();
    if (s.bytes == sizeof(pl_block_q8_0)) unpack_bytes(t->row + at + s.qs, t->stride, out->q);
    else unpack_nibbles(t->row + at + s.qs, t->stride, out->q);
    if (s.qh) add_fifth_bits(gather(t, at + s.qh), out->q);
}

/* ---- activations: fields of a pl_act_block at any address ---- */

INLINE int32_t dword(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}
INLINE __m512 scale_of(const uint8_t *x)
{
    return _mm512_castsi512_ps(_mm512_set1_epi32(dword(x)));
}
INLINE int32_t sum_of(const uint8_t *x) { return dword(x + offsetof(pl_act_block, sum)); }
/* Values i .. i+3. */
INLINE __m512i four_of(const uint8_t *x, int i)
{
    return _mm512_set1_epi32(dword(x + offsetof(pl_act_block, q) + i));
}
/* -bias Σ x, where a sum over biased weights starts: the low word of a sum is the whole sum. */
INLINE __m512i unbias(int bias, const uint8_t *x)
{
    return _mm512_dpwssd_epi32(_mm512_setzero_si512(), _mm512_set1_epi32(-bias & 0xffff),
                               _mm512_set1_epi32(sum_of(x)));
}

/* sum + the block's share, the one formula of all paths. */
INLINE __m512 add_block(__m512 sum, __m512i dot, __m512 d, __m512 m, bool has_m, const uint8_t *x)
{
    sum = _mm512_fmadd_ps(_mm512_mul_ps(d, scale_of(x)), _mm512_cvtepi32_ps(dot), sum);
    if (!has_m) return sum;
    __m512 offset = _mm512_mul_ps(scale_of(x), _mm512_cvtepi32_ps(_mm512_set1_epi32(sum_of(x))));
    return _mm512_fmadd_ps(m, offset, sum);
}

/* ---- one activation row: blocks go from memory to the dot in registers ---- */

/* Two blocks of q4_0, 36 bytes, in fewer steps than one and one: 32 bytes from byte 4 on are one
 * transposition, the dword at the start brings the first scale and values 0, 1, 16, 17. */
INLINE __m512 add_q4_0_pair(__m512 sum, const rows16 *t, int64_t b, const uint8_t *x)
{
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8(-16);
    int64_t at = b * (int64_t)sizeof(pl_block_q4_0);
    __m512i head = gather(t, at), q[8];
    load_rows(t->row + at + 4, t->stride, q);
    __m512 d[2] = { half_to_float(head), half_to_float(_mm512_srli_epi32(q[3], 16)) };
    q[3] = _mm512_mask_blend_epi16(0xaaaaaaaa, q[3], head);     /* value bytes 14, 15, 0, 1 */
    for (int k = 0; k < 2; k++, x += sizeof(pl_act_block)) {
        __m512i dot = unbias(8, x), dot16 = _mm512_setzero_si512();
        for (int i = 0; i < 4; i++) {
            int from = 4 * i + (k ? 0 : 2);         /* first value of the dword */
            __m512i low_x = four_of(x, from), high_x = four_of(x, from + 16);
            if (from == 14) {
                const uint8_t *v = x + offsetof(pl_act_block, q);
                uint32_t wrap0 = (uint32_t)dword(v) << 16 | (uint32_t)dword(v + 12) >> 16;
                uint32_t wrap1 = (uint32_t)dword(v + 16) << 16 | (uint32_t)dword(v + 28) >> 16;
                low_x = _mm512_set1_epi32((int32_t)wrap0);
                high_x = _mm512_set1_epi32((int32_t)wrap1);
            }
            dot = _mm512_dpbusd_epi32(dot, _mm512_and_si512(q[4 * k + i], low), low_x);
            dot16 = _mm512_dpbusd_epi32(dot16, _mm512_and_si512(q[4 * k + i], high), high_x);
        }
        dot = _mm512_add_epi32(dot, _mm512_srai_epi32(dot16, 4));
        sum = add_block(sum, dot, d[k], d[k], false, x);
    }
    return sum;
}

/* Asks for what comes next: the rows of a lane follow each other in memory, so it is one stream to
 * its end `left` bytes from the row's start. One lane's next CHUNK blocks per block. */
INLINE void fetch_ahead(const shape s, const rows16 *t, int64_t b, int64_t left)
{
    int64_t at = b / CHUNK * CHUNK * s.bytes + AHEAD;
    if (at >= left) return;
    const char *next = (const char *)t->row + b % CHUNK * t->stride + at;
    for (int i = 0; i < CHUNK * s.bytes; i += 64) _mm_prefetch(next + i, _MM_HINT_T0);
}

/* sum + `blocks` blocks of the rows. */
INLINE __m512 multiply_rows(const shape s, const rows16 *t, int64_t blocks, int64_t left,
                            const uint8_t *x, __m512 sum)
{
    int64_t b = 0;
    if (s.bytes == sizeof(pl_block_q4_0)) {
        for (; b + 1 < blocks; b += 2, x += 2 * sizeof(pl_act_block)) {
            fetch_ahead(s, t, b, left);
            fetch_ahead(s, t, b + 1, left);
            sum = add_q4_0_pair(sum, t, b, x);
        }
    }
    for (; b < blocks; b++, x += sizeof(pl_act_block)) {
        fetch_ahead(s, t, b, left);
        lanes v;
        unpack(s, t, b, &v);
        __m512i dot = unbias(s.bias, x);
        for (int g = 0; g < 8; g++) dot = _mm512_dpbusd_epi32(dot, v.q[g], four_of(x, 4 * g));
        sum = add_block(sum, dot, v.d, v.m, s.has_m, x);
    }
    return sum;
}

/* 16 x `per` rows: lane l takes rows l * per .. l * per + per-1 in turn, so that memory is read in 16
 * long streams, which it delivers faster than many short ones. */
INLINE void multiply_streams(const shape s, const pl_packed *w, int64_t first, int64_t per,
                             const uint8_t *x, float *y)
{
    int64_t stride = w->part[0].stride;
    rows16 t = rows_of(w->part[0].ptr + first * stride, per * stride, 0xffff);
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i to = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int32_t)per));
    for (int l = 0; l < 16; l++) {                      /* all streams begin at once */
        const char *begin = (const char *)t.row + l * t.stride;
        for (int64_t i = 0; i < pl_min64(AHEAD, per * stride); i += 64) _mm_prefetch(begin + i, _MM_HINT_T0);
    }
    for (int64_t i = 0; i < per; i++, t.row += stride) {
        __m512 sum = multiply_rows(s, &t, w->cols / 32, (per - i) * stride, x, _mm512_setzero_ps());
        _mm512_i32scatter_ps(y + i, to, sum, 4);
    }
}

INLINE void multiply_one(const shape s, const pl_packed *w, int64_t first, int64_t count,
                         const uint8_t *x, float *y)
{
    int64_t blocks = w->cols / 32, most = MAX_STRIDE / pl_max64(1, w->part[0].stride), r = 0;
    while (count - r >= 16) {
        int64_t per = pl_min64((count - r) / 16, pl_max64(1, most));
        multiply_streams(s, w, first + r, per, x, y + r);
        r += 16 * per;
    }
    if (r == count) return;
    stage space;
    __m512 sum = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b += CHUNK) {       /* pieces that fit the stage */
        int64_t some = pl_min64(CHUNK, blocks - b);
        rows16 t = rows_at(w, s.bytes, first + r, count - r, b, some, &space);
        sum = multiply_rows(s, &t, some, 0, x + b * (int64_t)sizeof(pl_act_block), sum);
    }
    _mm512_mask_storeu_ps(y + r, rows_mask(count - r), sum);
}

/* ---- many: 32 rows x CHUNK blocks are unpacked once, and meet six rows of x at a time ---- */

enum { COLUMNS = 6 };

typedef struct panel {
    lanes block[CHUNK][2];
    __mmask16 mask[2];
    int32_t blocks, bias;
} panel;

/* Adds a panel to y of `vectors` x 16 rows and `columns` activation rows; `fresh`: y starts from 0.
 * The sums rest in y between panels, which keeps their bits. */
INLINE void multiply_panel(int vectors, int columns, bool has_m, const panel *p, bool fresh,
                           const uint8_t *x, int64_t ldx, float *y, int64_t ldy)
{
    __m512 sum[2][COLUMNS];
    for (int c = 0; c < columns; c++) {
        for (int v = 0; v < vectors; v++) {
            sum[v][c] = fresh ? _mm512_setzero_ps()
                              : _mm512_maskz_loadu_ps(p->mask[v], y + c * ldy + 16 * v);
        }
    }
    for (int b = 0; b < p->blocks; b++, x += sizeof(pl_act_block)) {
        const lanes *block = p->block[b];
        __m512i dot[2][COLUMNS];
        for (int c = 0; c < columns; c++) {
            dot[0][c] = dot[1][c] = unbias(p->bias, x + c * ldx);
        }
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) {
#pragma GCC unroll 6
            for (int c = 0; c < columns; c++) {
                __m512i four = four_of(x + c * ldx, 4 * g);
                for (int v = 0; v < vectors; v++)
                    dot[v][c] = _mm512_dpbusd_epi32(dot[v][c], block[v].q[g], four);
            }
        }
        for (int c = 0; c < columns; c++) {
            for (int v = 0; v < vectors; v++) {
                sum[v][c] = add_block(sum[v][c], dot[v][c], block[v].d, block[v].m, has_m,
                                      x + c * ldx);
            }
        }
    }
    for (int c = 0; c < columns; c++) {
        for (int v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(y + c * ldy + 16 * v, p->mask[v], sum[v][c]);
    }
}

typedef void (*panel_fn)(const panel *p, bool fresh, const uint8_t *x, int64_t ldx, float *y,
                         int64_t ldy);

#define PANEL_FN(vectors, columns, has_m)                                                          \
    static void panel_##vectors##_##columns##_##has_m(const panel *p, bool fresh,                  \
                                                      const uint8_t *x, int64_t ldx, float *y,     \
                                                      int64_t ldy)                                 \
    {                                                                                              \
        multiply_panel(vectors, columns, has_m, p, fresh, x, ldx, y, ldy);                         \
    }
#define PANEL_FNS(vectors, has_m)                                                                  \
    PANEL_FN(vectors, 1, has_m)                                                                    \
    PANEL_FN(vectors, 2, has_m)                                                                    \
    PANEL_FN(vectors, 3, has_m)                                                                    \
    PANEL_FN(vectors, 4, has_m)                                                                    \
    PANEL_FN(vectors, 5, has_m)                                                                    \
    PANEL_FN(vectors, 6, has_m)
PANEL_FNS(1, 0)
PANEL_FNS(1, 1)
PANEL_FNS(2, 0)
PANEL_FNS(2, 1)

#define PANEL_ROW(vectors, has_m)                                                                  \
    { panel_##vectors##_1_##has_m, panel_##vectors##_2_##has_m, panel_##vectors##_3_##has_m,       \
      panel_##vectors##_4_##has_m, panel_##vectors##_5_##has_m, panel_##vectors##_6_##has_m }
static const panel_fn panel_fns[2][2][COLUMNS] = {      /* [vectors - 1][has_m][columns - 1] */
    { PANEL_ROW(1, 0), PANEL_ROW(1, 1) },
    { PANEL_ROW(2, 0), PANEL_ROW(2, 1) },
};

INLINE void multiply_many(const shape s, const pl_packed *w, int64_t first, int64_t count,
                          const uint8_t *x, int64_t ldx, int64_t n, float *y, int64_t ldy)
{
    int64_t blocks = w->cols / 32;
    panel p;
    stage space;
    p.bias = s.bias;
    for (int64_t r = 0; r < count; r += 32) {
        int vectors = count - r > 16 ? 2 : 1;
        for (int64_t b = 0; b < blocks; b += CHUNK) {
            p.blocks = (int32_t)pl_min64(CHUNK, blocks - b);
            for (int v = 0; v < vectors; v++) {
                int64_t left = count - r - 16 * v;
                p.mask[v] = rows_mask(left);
                rows16 t = rows_at(w, s.bytes, first + r + 16 * v, left, b, p.blocks, &space);
                for (int i = 0; i < p.blocks; i++) unpack(s, &t, i, &p.block[i][v]);
            }
            for (int64_t c = 0; c < n; c += COLUMNS) {
                int64_t columns = pl_min64(COLUMNS, n - c);
                panel_fns[vectors - 1][s.has_m][columns - 1](
                    &p, b == 0, x + c * ldx + b * (int64_t)sizeof(pl_act_block), ldx,
                    y + c * ldy + r, ldy);
            }
        }
    }
}

#define KERNEL(type)                                                                               \
    static bool takes_##type(const pl_packed *w)                                                   \
    {                                                                                              \
        return pl_takes_##type(w) && w->part[0].stride <= MAX_STRIDE;                              \
    }                                                                                              \
    static void matmul_##type(const pl_packed *w, int64_t first, int64_t count, const void *x,     \
                              int64_t ldx, int64_t n, float *y, int64_t ldy)                       \
    {                                                                                              \
        if (n == 1) multiply_one(type, w, first, count, x, y);                                     \
        else multiply_many(type, w, first, count, x, ldx, n, y, ldy);                              \
    }
KERNEL(q8_0)
KERNEL(q4_0)
KERNEL(q4_1)
KERNEL(q5_0)
KERNEL(q5_1)

#define ENTRY(type) { #type " vnni", PL_ACT_Q8, takes_##type, matmul_##type }
static const pl_kernel kernels[] = {
    ENTRY(q8_0), ENTRY(q4_0), ENTRY(q4_1), ENTRY(q5_0), ENTRY(q5_1),
};

void pl_kernels_vnni(pl_kernel_list *list) { pl_kernels_add(list, kernels, PL_COUNT(kernels)); }
