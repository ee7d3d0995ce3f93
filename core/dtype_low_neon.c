/* dtype_low_neon.c: decoders of 4-bit floats, ternary digits and one or two bits with NEON; the same bits as
 * plain C. */
#include "core/blocks.h"
#include "core/dtype_blocks.h"
#include "core/dtype_neon.h"

/* Twice the values of 16 codes of E2M1 */
static int8x16_t e2m1(int8x16_t codes)
{
    const int8x16_t twice = { PL_E2M1_TWICE };
    return vqtbl1q_s8(twice, vreinterpretq_u8_s8(codes));
}

static void decode_mxfp4(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_mxfp4))
        for (int half = 0; half < 2; half++)
            pl_neon_put16(e2m1(pl_neon_nibbles(p + 1, half)), pl_e8m0_half(p[0]), out + i + 16 * half);
}

/* Each 8 bytes of codes hold 16 values with a scale: 8 low nibbles, then the high ones. */
static void decode_nvfp4(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 64, p += sizeof(pl_block_nvfp4))
        for (int s = 0; s < 4; s++, out += 16) {
            uint8x8_t q = vld1_u8(p + 4 + 8 * s);
            uint8x16_t codes = vcombine_u8(vand_u8(q, vdup_n_u8(15)), vshr_n_u8(q, 4));
            pl_neon_put16(e2m1(vreinterpretq_s8_u8(codes)), pl_ue4m3_half(p[s]), out);
        }
}

static void decode_tq2_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_tq2_0))
        for (int s = 0; s < 16; s++, out += 16) {
            int8x16_t q = pl_neon_bits(p + s / 8 * 32 + s % 2 * 16, s / 2 % 4 * 2, 3);
            pl_neon_put16(pl_neon_less(q, 1), pl_neon_f16(p + 64), out);
        }
}

/* One ternary digit, less 1, of 16 bytes; `power` moves it to the front. */
static int8x16_t ternary(uint8x16_t bytes, uint8x16_t power)
{
    uint8x16_t t = vmulq_u8(bytes, power);
    uint16x8_t low = vmull_u8(vget_low_u8(t), vdup_n_u8(3)), high = vmull_u8(vget_high_u8(t), vdup_n_u8(3));
    return pl_neon_less(vreinterpretq_s8_u8(vcombine_u8(vshrn_n_u16(low, 8), vshrn_n_u16(high, 8))), 1);
}

static void decode_tq1_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    const uint8x16_t four = { 1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27 };
    for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_tq1_0), out += 256) {
        float d = pl_neon_f16(p + 52);
        uint8_t power = 1;
        for (int n = 0; n < 5; n++, power *= 3) {
            uint8x16_t by = vdupq_n_u8(power);
            pl_neon_put16(ternary(vld1q_u8(p), by), d, out + 32 * n);
            pl_neon_put16(ternary(vld1q_u8(p + 16), by), d, out + 32 * n + 16);
            pl_neon_put16(ternary(vld1q_u8(p + 32), by), d, out + 160 + 16 * n);
        }
        uint32_t last;
        memcpy(&last, p + 48, 4);
        pl_neon_put16(ternary(vreinterpretq_u8_u32(vdupq_n_u32(last)), four), d, out + 240);
    }
}

/* 16 codes of 2 bits, less 1: value j of a byte is its bits 2j and 2j + 1. */
static int8x16_t crumbs(const uint8_t *p)
{
    uint32_t bits;
    memcpy(&bits, p, 4);
    const uint8x16_t byte = { 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3 };
    const int8x16_t right = { 0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6 };
    uint8x16_t q = vshlq_u8(vqtbl1q_u8(vreinterpretq_u8_u32(vdupq_n_u32(bits)), byte), right);
    return pl_neon_less(vreinterpretq_s8_u8(vandq_u8(q, vdupq_n_u8(3))), 1);
}

static void decode_q2_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 64, p += sizeof(pl_block_q2_0))
        for (int k = 0; k < 4; k++, out += 16) pl_neon_put16(crumbs(p + 2 + 4 * k), pl_neon_f16(p), out);
}

/* +1 or -1 for each of 16 bits */
static int8x16_t signs(const uint8_t *p)
{
    int8x16_t set = pl_neon_spread(p[0] | (unsigned)p[1] << 8);
    return vorrq_s8(vmvnq_s8(set), vdupq_n_s8(1));
}

static void decode_q1_0(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 128, p += sizeof(pl_block_q1_0))
        for (int k = 0; k < 8; k++, out += 16) pl_neon_put16(signs(p + 2 + 2 * k), pl_neon_f16(p), out);
}

void pl_decoders_low_neon(pl_decoders *list)
{
    list->decode[PL_MXFP4] = decode_mxfp4;
    list->decode[PL_NVFP4] = decode_nvfp4;
    list->decode[PL_TQ1_0] = decode_tq1_0;
    list->decode[PL_TQ2_0] = decode_tq2_0;
    list->decode[PL_Q1_0] = decode_q1_0;
    list->decode[PL_Q2_0] = decode_q2_0;
}
