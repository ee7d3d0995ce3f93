/* kernels_neon.c: matrix kernels, and the quantizing of activations, with NEON. Tiles only choose which sums go
 * side by side, so they never change a bit. */
#include "core/dtype_neon.h"
#include "runtime-check/kernels_isa.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- floats: a sum of eight lanes runs along the columns, then is folded in a fixed order ---- */

enum { ROWS = 4, COLUMNS = 2 };

typedef float32x4x2_t eight;

/* Eight weights at p. */
INLINE eight load_f32(const uint8_t *p)
{
    return (eight){ { vreinterpretq_f32_u8(vld1q_u8(p)), vreinterpretq_f32_u8(vld1q_u8(p + 16)) } };
}
INLINE eight load_f16(const uint8_t *p)
{
    float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(p));
    return (eight){ { vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) } };
}
INLINE eight load_bf16(const uint8_t *p)
{
    uint16x8_t h = vreinterpretq_u16_u8(vld1q_u8(p));
    return (eight){ { vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)),
                      vreinterpretq_f32_u32(vshll_high_n_u16(h, 16)) } };
}
typedef eight (*load_fn)(const uint8_t *p);

INLINE eight fma8(eight sum, eight a, eight b)
{
    return (eight){ { vfmaq_f32(sum.val[0], a.val[0], b.val[0]), vfmaq_f32(sum.val[1], a.val[1], b.val[1]) } };
}

/* The first `count` < 8 values of `size` bytes at p, zeros behind them. */
typedef struct tail { uint8_t bytes[32]; } tail;
INLINE const uint8_t *tail_of(const uint8_t *p, int64_t count, int size, tail *space)
{
    memset(space, 0, sizeof *space);
    memcpy(space, p, (size_t)(count * size));
    return space->bytes;
}

/* `rows` rows times `columns` activation rows. */
INLINE void multiply_tile(load_fn load, int size, int rows, int columns, const uint8_t *w, int64_t stride,
                          int64_t cols, const uint8_t *x, int64_t ldx, float *y, int64_t ldy)
{
    eight sum[COLUMNS][ROWS] = { 0 }, in[COLUMNS];
    int64_t i = 0;
    for (; i + 8 <= cols; i += 8) {
        for (int c = 0; c < columns; c++) in[c] = load_f32(x + c * ldx + 4 * i);
        for (int r = 0; r < rows; r++) {
            eight v = load(w + r * stride + size * i);
            for (int c = 0; c < columns; c++) sum[c][r] = fma8(sum[c][r], v, in[c]);
        }
    }
    if (i < cols) {
        tail space;
        for (int c = 0; c < columns; c++) in[c] = load_f32(tail_of(x + c * ldx + 4 * i, cols - i, 4, &space));
        for (int r = 0; r < rows; r++) {
            eight v = load(tail_of(w + r * stride + size * i, cols - i, size, &space));
            for (int c = 0; c < columns; c++) sum[c][r] = fma8(sum[c][r], v, in[c]);
        }
    }
    for (int c = 0; c < columns; c++)
        for (int r = 0; r < rows; r++)
            y[c * ldy + r] = vaddvq_f32(vaddq_f32(sum[c][r].val[0], sum[c][r].val[1]));
}

INLINE void multiply_floats(load_fn load, int size, const pl_packed *w, int64_t first, int64_t count,
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
            if (wide && tall) multiply_tile(load, size, ROWS, COLUMNS, row, stride, cols, in, ldx, out, ldy);
            else if (wide) multiply_tile(load, size, 1, COLUMNS, row, stride, cols, in, ldx, out, ldy);
            else if (tall) multiply_tile(load, size, ROWS, 1, row, stride, cols, in, ldx, out, ldy);
            else multiply_tile(load, size, 1, 1, row, stride, cols, in, ldx, out, ldy);
            r += tall ? ROWS : 1;
        }
        c += wide ? COLUMNS : 1;
    }
}

#define FLOAT_KERNEL(type, size)                                                                   \
    static void matmul_##type(const pl_packed *w, int64_t first, int64_t count, const void *x,     \
                              int64_t ldx, int64_t n, float *y, int64_t ldy)                       \
    {                                                                                              \
        multiply_floats(load_##type, size, w, first, count, x, ldx, n, y, ldy);                    \
    }
FLOAT_KERNEL(f32, 4)
FLOAT_KERNEL(f16, 2)
FLOAT_KERNEL(bf16, 2)

/* ---- block types: four sums lie in the lanes: of four rows, or of one row and four activation rows ---- */

typedef struct codes { int8x16_t low, high; } codes;

#define CODES_OF(type, half)                                                                       \
    INLINE codes codes_##type(const uint8_t *p)                                                    \
    {                                                                                              \
        return (codes){ half(p, 0), half(p, 1) };                                                  \
    }
#define Q8_0_HALF(p, h) pl_neon_bytes(p + offsetof(pl_block_q8_0, qs) + 16 * h)
#define Q4_0_HALF(p, h) pl_neon_less(pl_neon_nibbles(p + offsetof(pl_block_q4_0, qs), h), 8)
#define Q4_1_HALF(p, h) pl_neon_nibbles(p + offsetof(pl_block_q4_1, qs), h)
#define Q5_0_HALF(p, h) \
    pl_neon_less(pl_neon_fives(p + offsetof(pl_block_q5_0, qs), p + offsetof(pl_block_q5_0, qh), h), 16)
#define Q5_1_HALF(p, h) pl_neon_fives(p + offsetof(pl_block_q5_1, qs), p + offsetof(pl_block_q5_1, qh), h)
CODES_OF(q8_0, Q8_0_HALF)
CODES_OF(q4_0, Q4_0_HALF)
CODES_OF(q4_1, Q4_1_HALF)
CODES_OF(q5_0, Q5_0_HALF)
CODES_OF(q5_1, Q5_1_HALF)

/* What the kernels need of a type; has_m: an f16 minimum lies behind the scale. */
typedef struct shape { int bytes; bool has_m; codes (*codes_of)(const uint8_t *block); } shape;

/* Exact sums of eight products each; two of at most 128 * 127 fit 16 bits. */
INLINE int32x4_t dot_parts(codes w, codes x)
{
    int16x8_t a = vmull_s8(vget_low_s8(w.low), vget_low_s8(x.low)), b = vmull_high_s8(w.low, x.low);
    a = vmlal_s8(a, vget_low_s8(w.high), vget_low_s8(x.high));
    b = vmlal_high_s8(b, w.high, x.high);
    return vpadalq_s16(vpaddlq_s16(a), b);
}

INLINE float32x4_t multiply_blocks(const shape s, const uint8_t *const w[4], const uint8_t *const x[4], int rows,
                                   int columns, int64_t blocks)
{
    float32x4_t sum = vdupq_n_f32(0);
    for (int64_t b = 0; b < blocks; b++) {
        codes weights[4], inputs[4];
        pl_act_block in[4];
        int32x4_t part[4];
        float d[4], m[4], dx[4], total[4];
        for (int r = 0; r < rows; r++) weights[r] = s.codes_of(w[r] + b * s.bytes);
        for (int c = 0; c < columns; c++) {
            memcpy(&in[c], x[c] + b * (int64_t)sizeof in[c], sizeof in[c]);
            inputs[c] = (codes){ vld1q_s8(in[c].q), vld1q_s8(in[c].q + 16) };
        }
        for (int l = 0; l < 4; l++) {
            const uint8_t *block = w[l % rows] + b * s.bytes;
            part[l] = dot_parts(weights[l % rows], inputs[l % columns]);
            d[l] = pl_neon_f16(block);
            m[l] = s.has_m ? pl_neon_f16(block + 2) : 0;
            dx[l] = in[l % columns].d;
            total[l] = (float)in[l % columns].sum;
        }
        int32x4_t dot = vpaddq_s32(vpaddq_s32(part[0], part[1]), vpaddq_s32(part[2], part[3]));
        float32x4_t scale = vmulq_f32(vld1q_f32(d), vld1q_f32(dx));
        sum = vfmaq_f32(sum, scale, vcvtq_f32_s32(dot));
        if (s.has_m) sum = vfmaq_f32(sum, vld1q_f32(m), vmulq_f32(vld1q_f32(dx), vld1q_f32(total)));
    }
    return sum;
}

INLINE void multiply(const shape s, const pl_packed *w, int64_t first, int64_t count, const uint8_t *x, int64_t ldx,
                     int64_t n, float *y, int64_t ldy)
{
    int64_t blocks = w->cols / 32;
    for (int64_t r = 0; r < count; r += 4) {
        int rows = (int)pl_min64(4, count - r);     /* further lanes repeat the last row and are not stored */
        const uint8_t *row[4], *in[4];
        for (int l = 0; l < 4; l++)
            row[l] = w->part[0].ptr + (first + r + (l < rows ? l : rows - 1)) * w->part[0].stride;
        int64_t c = 0;
        for (; c + 4 <= n; c += 4) {
            for (int l = 0; l < 4; l++) in[l] = x + (c + l) * ldx;
            for (int k = 0; k < rows; k++) {
                float32x4_t sum = multiply_blocks(s, row + k, in, 1, 4, blocks);
                for (int l = 0; l < 4; l++) y[(c + l) * ldy + r + k] = sum[l];
            }
        }
        for (; c < n; c++) {
            in[0] = x + c * ldx;
            float32x4_t sum = multiply_blocks(s, row, in, 4, 1, blocks);
            for (int l = 0; l < rows; l++) y[c * ldy + r + l] = sum[l];
        }
    }
}

#define BLOCK_KERNEL(type, has_m)                                                                  \
    static void matmul_##type(const pl_packed *w, int64_t first, int64_t count, const void *x,     \
                              int64_t ldx, int64_t n, float *y, int64_t ldy)                       \
    {                                                                                              \
        const shape s = { sizeof(pl_block_##type), has_m, codes_##type };                          \
        multiply(s, w, first, count, x, ldx, n, y, ldy);                                           \
    }
BLOCK_KERNEL(q8_0, false)
BLOCK_KERNEL(q4_0, false)
BLOCK_KERNEL(q4_1, true)
BLOCK_KERNEL(q5_0, false)
BLOCK_KERNEL(q5_1, true)

/* ---- quantize ---- */

static void quantize(const float *x, int64_t count, pl_act_block *out)
{
    for (int64_t b = 0; b < count / 32; b++) {
        float32x4_t v[8];
        uint32x4_t top = vdupq_n_u32(0);            /* bits of |x|: ordered as the values, NaN highest */
        for (int i = 0; i < 8; i++) {
            v[i] = vld1q_f32(x + 32 * b + 4 * i);
            top = vmaxq_u32(top, vreinterpretq_u32_f32(vabsq_f32(v[i])));
        }
        uint32_t bits = vmaxvq_u32(top);
        pl_act_block block = { 0 };
        float largest, d, inverse;
        memcpy(&largest, &bits, 4);
        d = largest / 127.0f;
        inverse = 1.0f / d;
        if (bits >= 0x7f800000u) {
            block.d = __builtin_nanf("");
        } else if (inverse <= __FLT_MAX__) {
            block.d = d;
            for (int i = 0; i < 8; i += 2) {
                int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(v[i], inverse));
                int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(v[i + 1], inverse));
                int8x8_t q = vmovn_s16(vcombine_s16(vmovn_s32(low), vmovn_s32(high)));
                vst1_s8(block.q + 4 * i, q);
                block.sum += vaddlv_s8(q);
            }
        }
        memcpy(out + b, &block, sizeof block);
    }
}

#define ENTRY(type, in) { #type " neon", in, pl_takes_##type, matmul_##type }
static const pl_kernel kernels[] = {
    ENTRY(f32, PL_ACT_F32), ENTRY(f16, PL_ACT_F32), ENTRY(bf16, PL_ACT_F32),
    ENTRY(q8_0, PL_ACT_Q8), ENTRY(q4_0, PL_ACT_Q8), ENTRY(q4_1, PL_ACT_Q8),
    ENTRY(q5_0, PL_ACT_Q8), ENTRY(q5_1, PL_ACT_Q8),
};

void pl_kernels_neon(pl_kernel_list *list)
{
    pl_kernels_add(list, kernels, PL_COUNT(kernels));
    list->quantize = quantize;
}
