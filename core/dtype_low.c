/* dtype_low.c: one or two bits and ternary digits per value, with one f16 scale, in plain C (the
 * definition). docs/methods/gguf-types.md has the formulas. */
#include <string.h>

#include "core/blocks.h"
#include "core/dtype_blocks.h"

/* Digit n, from 0, of five ternary digits that a byte holds as a fraction of 256, rounded up. */
static int ternary_digit(uint8_t byte, int n)
{
    static const uint8_t power[5] = { 1, 3, 9, 27, 81 };
    return ((byte * power[n]) & 255) * 3 >> 8;
}

static int tq1_0_digit(const pl_block_tq1_0 *b, int i)
{
    if (i < 160) return ternary_digit(b->qs[i % 32], i / 32);
    if (i < 240) return ternary_digit(b->qs[32 + (i - 160) % 16], (i - 160) / 16);
    return ternary_digit(b->qh[(i - 240) % 4], (i - 240) / 4);
}

void pl_decode_tq1_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_tq1_0), out += 256) {
        pl_block_tq1_0 b;
        memcpy(&b, p, sizeof b);
        float d = pl_f16_to_f32(b.d);
        for (int j = 0; j < 256; j++) out[j] = (float)(tq1_0_digit(&b, j) - 1) * d;
    }
}

void pl_decode_tq2_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_tq2_0), out += 256) {
        pl_block_tq2_0 b;
        memcpy(&b, p, sizeof b);
        float d = pl_f16_to_f32(b.d);
        for (int j = 0; j < 256; j++) {
            int q = b.qs[j / 128 * 32 + j % 32] >> j % 128 / 32 * 2 & 3;
            out[j] = (float)(q - 1) * d;
        }
    }
}

void pl_decode_q1_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 128, p += sizeof(pl_block_q1_0), out += 128) {
        pl_block_q1_0 b;
        memcpy(&b, p, sizeof b);
        float d = pl_f16_to_f32(b.d);
        for (int j = 0; j < 128; j++) out[j] = b.bits[j / 8] >> j % 8 & 1 ? d : -d;
    }
}

void pl_decode_q2_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 64, p += sizeof(pl_block_q2_0), out += 64) {
        pl_block_q2_0 b;
        memcpy(&b, p, sizeof b);
        float d = pl_f16_to_f32(b.d);
        for (int j = 0; j < 64; j++) out[j] = (float)((b.qs[j / 4] >> j % 4 * 2 & 3) - 1) * d;
    }
}
