/* dtype_fp4.c: blocks of 4-bit floats with 8-bit float scales, in plain C (the definition).
 * docs/methods/gguf-types.md has the formulas. */
#include <math.h>
#include <string.h>

#include "core/blocks.h"
#include "core/dtype_blocks.h"

static const int8_t e2m1_twice[16] = { PL_E2M1_TWICE };

void pl_decode_mxfp4(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_mxfp4), out += 32) {
        pl_block_mxfp4 b;
        memcpy(&b, p, sizeof b);
        float d = pl_e8m0_half(b.e);
        for (int j = 0; j < 16; j++) {
            out[j] = (float)e2m1_twice[b.qs[j] & 15] * d;
            out[j + 16] = (float)e2m1_twice[b.qs[j] >> 4] * d;
        }
    }
}

/* The largest scales are finite, their products with large codes are not. */
bool pl_bad_mxfp4(const uint8_t *block)
{
    float value[32];
    if (block[0] < 253) return false;
    pl_decode_mxfp4(block, value, 32);
    for (int j = 0; j < 32; j++)
        if (!isfinite(value[j])) return true;
    return false;
}

void pl_decode_nvfp4(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 64, p += sizeof(pl_block_nvfp4)) {
        pl_block_nvfp4 b;
        memcpy(&b, p, sizeof b);
        for (int s = 0; s < 4; s++, out += 16) {
            float d = pl_ue4m3_half(b.d[s]);
            for (int j = 0; j < 8; j++) {
                out[j] = (float)e2m1_twice[b.qs[8 * s + j] & 15] * d;
                out[j + 8] = (float)e2m1_twice[b.qs[8 * s + j] >> 4] * d;
            }
        }
    }
}

/* A scale that is NaN as E4M3, though it decodes to a number. */
bool pl_bad_nvfp4(const uint8_t *block)
{
    for (int s = 0; s < 4; s++)
        if ((block[s] & 0x7f) == 0x7f) return true;
    return false;
}

void pl_decode_f4_e2m1(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 2, p++) {
        out[i] = 0.5f * (float)e2m1_twice[*p & 15];
        out[i + 1] = 0.5f * (float)e2m1_twice[*p >> 4];
    }
}
