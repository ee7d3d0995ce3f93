/* codes.c: where the codes of each block type lie. docs/methods/gguf-types.md has the layouts. */
#include "quantizers/codes.h"

#include <stddef.h>
#include <string.h>

#include "core/blocks.h"

/* The first half of 2n values in low nibbles, the second in high ones. Of ranks that have more than four bits the low
 * ones. */
static inline void nibbles(uint8_t *restrict qs, int n, uint8_t *restrict rank, bool put)
{
    for (int j = 0; put && j < n; j++) qs[j] = (uint8_t)((rank[j] & 15) | rank[j + n] << 4);
    for (int j = 0; !put && j < n; j++) {
        rank[j] = qs[j] & 15;
        rank[j + n] = qs[j] >> 4;
    }
}

/* Bits 0 .. 7 / width of each byte belong to n values, those of the next bits to the next n ... : bits `place` and
 * up of their ranks. Getting them adds to what is there. */
static inline void spread(uint8_t *restrict bytes, int n, int width, uint8_t *restrict rank, int place, bool put)
{
    int mask = (1 << width) - 1, parts = 8 / width;
    for (int j = 0; put && j < n; j++) bytes[j] = 0;
    for (int k = 0; k < parts; k++, rank += n) {
        for (int j = 0; put && j < n; j++) bytes[j] |= (uint8_t)((rank[j] >> place & mask) << (k * width));
        for (int j = 0; !put && j < n; j++) rank[j] |= (uint8_t)((bytes[j] >> (k * width) & mask) << place);
    }
}

/* Consecutive values in consecutive bits of a byte. */
static inline void in_turn(uint8_t *restrict bytes, int n, int width, uint8_t *restrict rank, int place, bool put)
{
    int mask = (1 << width) - 1, parts = 8 / width;
    for (int j = 0; j < n; j++, rank += parts) {
        unsigned byte = 0;
        for (int k = 0; k < parts; k++) {
            if (put) byte |= (unsigned)(rank[k] >> place & mask) << (k * width);
            else rank[k] |= (uint8_t)((bytes[j] >> (k * width) & mask) << place);
        }
        if (put) bytes[j] = (uint8_t)byte;
    }
}

/* Two bits each of 256 values, four of them 32 apart in a byte. */
static inline void pairs(uint8_t *qs, uint8_t *rank, bool put)
{
    if (!put) memset(rank, 0, 256);
    for (int n = 0; n < 2; n++) spread(qs + 32 * n, 32, 2, rank + 128 * n, 0, put);
}

static void q4_0(uint8_t *b, uint8_t *rank, bool put) { nibbles(b + offsetof(pl_block_q4_0, qs), 16, rank, put); }
static void q4_1(uint8_t *b, uint8_t *rank, bool put) { nibbles(b + offsetof(pl_block_q4_1, qs), 16, rank, put); }
static void iq4_nl(uint8_t *b, uint8_t *rank, bool put) { nibbles(b + offsetof(pl_block_iq4_nl, qs), 16, rank, put); }
static void q5_0(uint8_t *b, uint8_t *rank, bool put)
{
    nibbles(b + offsetof(pl_block_q5_0, qs), 16, rank, put);
    in_turn(b + offsetof(pl_block_q5_0, qh), 4, 1, rank, 4, put);
}
static void q5_1(uint8_t *b, uint8_t *rank, bool put)
{
    nibbles(b + offsetof(pl_block_q5_1, qs), 16, rank, put);
    in_turn(b + offsetof(pl_block_q5_1, qh), 4, 1, rank, 4, put);
}

static void q8_0(uint8_t *b, uint8_t *rank, bool put)
{
    uint8_t *qs = b + offsetof(pl_block_q8_0, qs);
    for (int j = 0; j < 32; j++) {
        if (put) qs[j] = (uint8_t)(rank[j] - 128);
        else rank[j] = (uint8_t)(qs[j] + 128);
    }
}

static void q2_k(uint8_t *b, uint8_t *rank, bool put) { pairs(b + offsetof(pl_block_q2_k, qs), rank, put); }
static void tq2_0(uint8_t *b, uint8_t *rank, bool put) { pairs(b + offsetof(pl_block_tq2_0, qs), rank, put); }
static void q3_k(uint8_t *b, uint8_t *rank, bool put)
{
    pairs(b + offsetof(pl_block_q3_k, qs), rank, put);
    spread(b + offsetof(pl_block_q3_k, hmask), 32, 1, rank, 2, put);
}

/* 64 values in 32 bytes, the first 32 in low nibbles. */
static void q4_k(uint8_t *b, uint8_t *rank, bool put)
{
    for (int k = 0; k < 4; k++) nibbles(b + offsetof(pl_block_q4_k, qs) + 32 * k, 32, rank + 64 * k, put);
}
static void q5_k(uint8_t *b, uint8_t *rank, bool put)
{
    for (int k = 0; k < 4; k++) nibbles(b + offsetof(pl_block_q5_k, qs) + 32 * k, 32, rank + 64 * k, put);
    spread(b + offsetof(pl_block_q5_k, qh), 32, 1, rank, 4, put);
}
static void q6_k(uint8_t *b, uint8_t *rank, bool put)
{
    for (int n = 0; n < 2; n++) {
        nibbles(b + offsetof(pl_block_q6_k, ql) + 64 * n, 64, rank + 128 * n, put);
        spread(b + offsetof(pl_block_q6_k, qh) + 32 * n, 32, 2, rank + 128 * n, 4, put);
    }
}

static void iq4_xs(uint8_t *b, uint8_t *rank, bool put)
{
    for (int k = 0; k < 8; k++) nibbles(b + offsetof(pl_block_iq4_xs, qs) + 16 * k, 16, rank + 32 * k, put);
}

static void q1_0(uint8_t *b, uint8_t *rank, bool put)
{
    if (!put) memset(rank, 0, 128);
    in_turn(b + offsetof(pl_block_q1_0, bits), 16, 1, rank, 0, put);
}
static void q2_0(uint8_t *b, uint8_t *rank, bool put)
{
    if (!put) memset(rank, 0, 64);
    in_turn(b + offsetof(pl_block_q2_0, qs), 16, 2, rank, 0, put);
}

/* Five digits of base 3 in a byte, the first the largest, as the fraction byte / 256. */
static void trits(uint8_t *byte, int digits, int apart, uint8_t *rank, bool put)
{
    int value = 0;
    for (int n = 0; n < 5; n++) {
        if (put) value = 3 * value + (n < digits ? rank[n * apart] : 0);
        else if (n < digits) {
            int power[] = { 1, 3, 9, 27, 81 };
            rank[n * apart] = (uint8_t)((*byte * power[n] & 255) * 3 >> 8);
        }
    }
    if (put) *byte = (uint8_t)((256 * value + 242) / 243);
}
static void tq1_0(uint8_t *b, uint8_t *rank, bool put)
{
    for (int j = 0; j < 32; j++) trits(b + j, 5, 32, rank + j, put);
    for (int j = 0; j < 16; j++) trits(b + 32 + j, 5, 16, rank + 160 + j, put);
    for (int j = 0; j < 4; j++) trits(b + offsetof(pl_block_tq1_0, qh) + j, 4, 4, rank + 240 + j, put);
}

/* E2M1: ranks 0 to 14 are -6 to 6; the code of -0 is read as 0. */
static void e2m1(uint8_t *rank, int n, bool to_codes)
{
    for (int j = 0; j < n; j++) {
        if (to_codes) rank[j] = (uint8_t)(rank[j] < 7 ? 15 - rank[j] : rank[j] - 7);
        else rank[j] = (uint8_t)(rank[j] > 8 ? 15 - rank[j] : rank[j] == 8 ? 7 : rank[j] + 7);
    }
}
static void mxfp4(uint8_t *b, uint8_t *rank, bool put)
{
    if (put) e2m1(rank, 32, true);
    nibbles(b + offsetof(pl_block_mxfp4, qs), 16, rank, put);
    e2m1(rank, 32, false);
}
static void nvfp4(uint8_t *b, uint8_t *rank, bool put)
{
    if (put) e2m1(rank, 64, true);
    for (int k = 0; k < 4; k++) nibbles(b + offsetof(pl_block_nvfp4, qs) + 8 * k, 8, rank + 16 * k, put);
    e2m1(rank, 64, false);
}

const pl_codes *pl_codes_of(const pl_dtype *dtype)
{
    static const pl_codes codes[PL_DTYPES] = {
        [PL_Q8_0] = { 256, q8_0 }, [PL_Q4_0] = { 16, q4_0 }, [PL_Q4_1] = { 16, q4_1 }, [PL_Q5_0] = { 32, q5_0 },
        [PL_Q5_1] = { 32, q5_1 }, [PL_Q2_K] = { 4, q2_k }, [PL_Q3_K] = { 8, q3_k }, [PL_Q4_K] = { 16, q4_k },
        [PL_Q5_K] = { 32, q5_k }, [PL_Q6_K] = { 64, q6_k }, [PL_IQ4_NL] = { 16, iq4_nl }, [PL_IQ4_XS] = { 16, iq4_xs },
        [PL_TQ1_0] = { 3, tq1_0 }, [PL_TQ2_0] = { 3, tq2_0 }, [PL_MXFP4] = { 15, mxfp4 }, [PL_NVFP4] = { 15, nvfp4 },
        [PL_Q1_0] = { 2, q1_0 }, [PL_Q2_0] = { 4, q2_0 },
    };
    ptrdiff_t type = dtype - pl_dtypes;
    return type < PL_DTYPES && codes[type].exchange ? &codes[type] : NULL;
}
