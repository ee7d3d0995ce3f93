/* kernels_ref.c: the kernels in plain C: the definition that all others are compared with. */
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "runtime-check/kernels_isa.h"

/* ---- floats: eight partial sums, added in a fixed order ---- */

static inline float load_f32(const uint8_t *p, int64_t i)
{
    float x;
    memcpy(&x, p + 4 * i, 4);
    return x;
}
static inline float load_f16(const uint8_t *p, int64_t i)
{
    uint16_t h;
    memcpy(&h, p + 2 * i, 2);
    return pl_f16_to_f32(h);
}
static inline float load_bf16(const uint8_t *p, int64_t i)
{
    uint16_t h;
    memcpy(&h, p + 2 * i, 2);
    return pl_bf16_to_f32(h);
}

static float sum8(const float s[8])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

#define FLOAT_KERNEL(type)                                                                         \
    static void matmul_##type(const pl_packed *w, int64_t first, int64_t count, const void *x,     \
                              int64_t ldx, int64_t n, float *y, int64_t ldy)                       \
    {                                                                                              \
        for (int64_t r = 0; r < count; r++) {                                                      \
            const uint8_t *row = w->part[0].ptr + (first + r) * w->part[0].stride;                 \
            for (int64_t i = 0; i < n; i++) {                                                      \
                const uint8_t *in = (const uint8_t *)x + i * ldx;                                  \
                float s[8] = { 0 };                                                                \
                for (int64_t c = 0; c < w->cols; c++)                                              \
                    s[c % 8] += load_##type(row, c) * load_f32(in, c);                             \
                y[i * ldy + r] = sum8(s);                                                          \
            }                                                                                      \
        }                                                                                          \
    }

FLOAT_KERNEL(f32)
FLOAT_KERNEL(f16)
FLOAT_KERNEL(bf16)

/* ---- block types: w = d q + m, x = dx qx. Each block: y += (d dx) Σ q qx, y += m (dx Σ qx) ---- */

typedef struct values { float d, m; int q[32]; } values;

static void nibbles(const uint8_t qs[16], int offset, values *out)
{
    for (int j = 0; j < 16; j++) {
        out->q[j] = (qs[j] & 15) - offset;
        out->q[j + 16] = (qs[j] >> 4) - offset;
    }
}
static void fifth_bits(const uint8_t qh[4], values *out)
{
    for (int j = 0; j < 32; j++) out->q[j] += (qh[j / 8] >> (j % 8) & 1) << 4;
}

static void read_q8_0(const pl_block_q8_0 *b, values *out)
{
    out->d = pl_f16_to_f32(b->d);
    for (int j = 0; j < 32; j++) out->q[j] = b->qs[j];
}
static void read_q4_0(const pl_block_q4_0 *b, values *out)
{
    out->d = pl_f16_to_f32(b->d);
    nibbles(b->qs, 8, out);
}
static void read_q4_1(const pl_block_q4_1 *b, values *out)
{
    out->d = pl_f16_to_f32(b->d);
    out->m = pl_f16_to_f32(b->m);
    nibbles(b->qs, 0, out);
}
static void read_q5_0(const pl_block_q5_0 *b, values *out)
{
    out->d = pl_f16_to_f32(b->d);
    nibbles(b->qs, 16, out);
    fifth_bits(b->qh, out);
}
static void read_q5_1(const pl_block_q5_1 *b, values *out)
{
    out->d = pl_f16_to_f32(b->d);
    out->m = pl_f16_to_f32(b->m);
    nibbles(b->qs, 0, out);
    fifth_bits(b->qh, out);
}

#define BLOCK_KERNEL(type, has_m)                                                                  \
    static void matmul_##type(const pl_packed *w, int64_t first, int64_t count, const void *x,     \
                              int64_t ldx, int64_t n, float *y, int64_t ldy)                       \
    {                                                                                              \
        for (int64_t r = 0; r < count; r++) {                                                      \
            const uint8_t *row = w->part[0].ptr + (first + r) * w->part[0].stride;                 \
            for (int64_t i = 0; i < n; i++) y[i * ldy + r] = 0;                                    \
            for (int64_t b = 0; b < w->cols / 32; b++) {                                           \
                pl_block_##type block;                                                             \
                memcpy(&block, row + b * (int64_t)sizeof block, sizeof block);                     \
                values v;                                                                          \
                read_##type(&block, &v);                                                           \
                for (int64_t i = 0; i < n; i++) {                                                  \
                    pl_act_block in;                                                               \
                    memcpy(&in, (const uint8_t *)x + i * ldx + b * (int64_t)sizeof in, sizeof in); \
                    int dot = 0;                                                                   \
                    for (int j = 0; j < 32; j++) dot += v.q[j] * in.q[j];                          \
                    float *out = &y[i * ldy + r];                                                  \
                    *out += (v.d * in.d) * (float)dot;                                             \
                    if (has_m) *out += v.m * (in.d * (float)in.sum);                               \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
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
        float v[32];
        memcpy(v, x + 32 * b, sizeof v);
        uint32_t top = 0;               /* bits of |x|: ordered as the values, NaN highest */
        for (int j = 0; j < 32; j++) {
            uint32_t bits = pl_f32_bits(v[j]) & 0x7fffffffu;
            if (bits > top) top = bits;
        }
        pl_act_block block = { 0 };
        float d = pl_bits_f32(top) / 127.0f, inverse = 1.0f / d;
        if (top >= 0x7f800000u) {
            block.d = pl_bits_f32(0x7fc00000u);
        } else if (pl_f32_bits(inverse) < 0x7f800000u) {
            block.d = d;
            for (int j = 0; j < 32; j++) {
                block.q[j] = (int8_t)rintf(v[j] * inverse);
                block.sum += block.q[j];
            }
        }
        memcpy(out + b, &block, sizeof block);
    }
}

#define ENTRY(type, in) { #type " ref", in, pl_takes_##type, matmul_##type }
static const pl_kernel kernels[] = {
    ENTRY(f32, PL_ACT_F32), ENTRY(f16, PL_ACT_F32), ENTRY(bf16, PL_ACT_F32),
    ENTRY(q8_0, PL_ACT_Q8), ENTRY(q4_0, PL_ACT_Q8), ENTRY(q4_1, PL_ACT_Q8),
    ENTRY(q5_0, PL_ACT_Q8), ENTRY(q5_1, PL_ACT_Q8),
};

void pl_kernels_ref(pl_kernel_list *list)
{
    pl_kernels_add(list, kernels, PL_COUNT(kernels));
    list->quantize = quantize;
}
