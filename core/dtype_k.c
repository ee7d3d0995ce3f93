/* dtype_k.c: the K types in plain C (the definition): 256 values, the scales of their sub-blocks in units
 * of one or two f16. docs/methods/gguf-types.md has the formulas. */
#include <string.h>

#include "core/blocks.h"
#include "core/dtype_blocks.h"

/* Each decoder of a block writes its 256 values. */
#define DECODER(type)                                                                              \
    void pl_decode_##type(const void *blocks, float *out, int64_t count)                           \
    {                                                                                              \
        const uint8_t *p = blocks;                                                                 \
        for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_##type)) {                   \
            pl_block_##type b;                                                                     \
            memcpy(&b, p, sizeof b);                                                               \
            type(&b, out + i);                                                                     \
        }                                                                                          \
    }

/* Two bits of value i where each byte holds values that are 32 apart. */
static int two_bits(const uint8_t *qs, int i)
{
    return qs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

static void q2_k(const pl_block_q2_k *b, float *out)
{
    float d = pl_f16_to_f32(b->d), dmin = pl_f16_to_f32(b->dmin);
    for (int i = 0; i < 256; i++) {
        int s = b->scales[i / 16];
        out[i] = d * (float)(s & 15) * (float)two_bits(b->qs, i) - dmin * (float)(s >> 4);
    }
}

/* The 6-bit scale of sub-block k of 16. */
static int q3_k_scale(const uint8_t s[12], int k)
{
    int low = k < 8 ? s[k] & 15 : s[k - 8] >> 4, high = s[8 + k % 4] >> k / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

static void q3_k(const pl_block_q3_k *b, float *out)
{
    float d = pl_f16_to_f32(b->d);
    for (int i = 0; i < 256; i++) {
        int q = two_bits(b->qs, i) - (b->hmask[i % 32] >> i / 32 & 1 ? 0 : 4);
        out[i] = d * (float)q3_k_scale(b->scales, i / 16) * (float)q;
    }
}

/* The 6-bit scale and minimum of sub-block k of 8. */
static int q45_k_scale(const uint8_t s[12], int k)
{
    return k < 4 ? s[k] & 63 : (s[k + 4] & 15) | s[k - 4] >> 6 << 4;
}

static int q45_k_min(const uint8_t s[12], int k)
{
    return k < 4 ? s[k + 4] & 63 : s[k + 4] >> 4 | s[k] >> 6 << 4;
}

/* Four bits of value i: 32 low nibbles, then the 32 high ones of the same bytes. */
static int four_bits(const uint8_t *qs, int i)
{
    return qs[i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15;
}

static void q4_k(const pl_block_q4_k *b, float *out)
{
    float d = pl_f16_to_f32(b->d), dmin = pl_f16_to_f32(b->dmin);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)q45_k_scale(b->scales, i / 32);
        out[i] = scale * (float)four_bits(b->qs, i) - dmin * (float)q45_k_min(b->scales, i / 32);
    }
}

static void q5_k(const pl_block_q5_k *b, float *out)
{
    float d = pl_f16_to_f32(b->d), dmin = pl_f16_to_f32(b->dmin);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)q45_k_scale(b->scales, i / 32);
        int q = four_bits(b->qs, i) | (b->qh[i % 32] >> i / 32 & 1) << 4;
        out[i] = scale * (float)q - dmin * (float)q45_k_min(b->scales, i / 32);
    }
}

static void q6_k(const pl_block_q6_k *b, float *out)
{
    float d = pl_f16_to_f32(b->d);
    for (int i = 0; i < 256; i++) {
        int low = b->ql[i / 128 * 64 + i % 64] >> i % 128 / 64 * 4 & 15;
        int q = (low | two_bits(b->qh, i) << 4) - 32;
        out[i] = d * (float)b->scales[i / 16] * (float)q;
    }
}

DECODER(q2_k)
DECODER(q3_k)
DECODER(q4_k)
DECODER(q5_k)
DECODER(q6_k)
