/* blocks.h: the blocks of the GGML storage types as structs (C and CUDA). docs/methods/gguf-types.md
 * has the formulas. All fields are little-endian and unaligned on disk. */
#ifndef CORE_BLOCKS_H
#define CORE_BLOCKS_H

#include <stdint.h>

typedef struct pl_block_q4_0 { uint16_t d; uint8_t qs[16]; } pl_block_q4_0;
typedef struct pl_block_q4_1 { uint16_t d, m; uint8_t qs[16]; } pl_block_q4_1;
typedef struct pl_block_q5_0 { uint16_t d; uint8_t qh[4]; uint8_t qs[16]; } pl_block_q5_0;
typedef struct pl_block_q5_1 { uint16_t d, m; uint8_t qh[4]; uint8_t qs[16]; } pl_block_q5_1;
typedef struct pl_block_q8_0 { uint16_t d; int8_t qs[32]; } pl_block_q8_0;

/* Blocks of 256 values in sub-blocks of 16 or 32 that have small scales of their own. */
typedef struct pl_block_q2_k { uint8_t scales[16]; uint8_t qs[64]; uint16_t d, dmin; } pl_block_q2_k;
typedef struct pl_block_q3_k {
    uint8_t hmask[32]; uint8_t qs[64]; uint8_t scales[12]; uint16_t d;
} pl_block_q3_k;
typedef struct pl_block_q4_k { uint16_t d, dmin; uint8_t scales[12]; uint8_t qs[128]; } pl_block_q4_k;
typedef struct pl_block_q5_k {
    uint16_t d, dmin; uint8_t scales[12]; uint8_t qh[32]; uint8_t qs[128];
} pl_block_q5_k;
typedef struct pl_block_q6_k {
    uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; uint16_t d;
} pl_block_q6_k;

typedef struct pl_block_tq1_0 { uint8_t qs[48]; uint8_t qh[4]; uint16_t d; } pl_block_tq1_0;
typedef struct pl_block_tq2_0 { uint8_t qs[64]; uint16_t d; } pl_block_tq2_0;
typedef struct pl_block_mxfp4 { uint8_t e; uint8_t qs[16]; } pl_block_mxfp4;
typedef struct pl_block_nvfp4 { uint8_t d[4]; uint8_t qs[32]; } pl_block_nvfp4;
typedef struct pl_block_q1_0 { uint16_t d; uint8_t bits[16]; } pl_block_q1_0;
typedef struct pl_block_q2_0 { uint16_t d; uint8_t qs[16]; } pl_block_q2_0;

_Static_assert(sizeof(pl_block_q4_0) == 18, "q4_0");
_Static_assert(sizeof(pl_block_q4_1) == 20, "q4_1");
_Static_assert(sizeof(pl_block_q5_0) == 22, "q5_0");
_Static_assert(sizeof(pl_block_q5_1) == 24, "q5_1");
_Static_assert(sizeof(pl_block_q8_0) == 34, "q8_0");
_Static_assert(sizeof(pl_block_q2_k) == 84, "q2_k");
_Static_assert(sizeof(pl_block_q3_k) == 110, "q3_k");
_Static_assert(sizeof(pl_block_q4_k) == 144, "q4_k");
_Static_assert(sizeof(pl_block_q5_k) == 176, "q5_k");
_Static_assert(sizeof(pl_block_q6_k) == 210, "q6_k");
_Static_assert(sizeof(pl_block_tq1_0) == 54, "tq1_0");
_Static_assert(sizeof(pl_block_tq2_0) == 66, "tq2_0");
_Static_assert(sizeof(pl_block_mxfp4) == 17, "mxfp4");
_Static_assert(sizeof(pl_block_nvfp4) == 36, "nvfp4");
_Static_assert(sizeof(pl_block_q1_0) == 18, "q1_0");
_Static_assert(sizeof(pl_block_q2_0) == 18, "q2_0");

/* Grids and signs. aux: four sign codes of 7 bits and a scale of 4; iq1_m spreads its d over sc. */
typedef struct pl_block_iq2_xxs { uint16_t d; uint8_t qs[64]; } pl_block_iq2_xxs;   /* idx[4], aux */
typedef struct pl_block_iq2_xs { uint16_t d, qs[32]; uint8_t scales[8]; } pl_block_iq2_xs;
typedef struct pl_block_iq2_s { uint16_t d; uint8_t qs[32], signs[32], qh[8], scales[8]; } pl_block_iq2_s;
typedef struct pl_block_iq3_xxs { uint16_t d; uint8_t qs[64], aux[32]; } pl_block_iq3_xxs;
typedef struct pl_block_iq3_s { uint16_t d; uint8_t qs[64], qh[8], signs[32], scales[4]; } pl_block_iq3_s;
typedef struct pl_block_iq1_s { uint16_t d; uint8_t qs[32]; uint16_t qh[8]; } pl_block_iq1_s;
typedef struct pl_block_iq1_m { uint8_t qs[32], qh[16]; uint16_t sc[4]; } pl_block_iq1_m;
typedef struct pl_block_iq4_nl { uint16_t d; uint8_t qs[16]; } pl_block_iq4_nl;
typedef struct pl_block_iq4_xs { uint16_t d, scales_h; uint8_t scales_l[4], qs[128]; } pl_block_iq4_xs;

_Static_assert(sizeof(pl_block_iq2_xxs) == 66, "iq2_xxs");
_Static_assert(sizeof(pl_block_iq2_xs) == 74, "iq2_xs");
_Static_assert(sizeof(pl_block_iq2_s) == 82, "iq2_s");
_Static_assert(sizeof(pl_block_iq3_xxs) == 98, "iq3_xxs");
_Static_assert(sizeof(pl_block_iq3_s) == 110, "iq3_s");
_Static_assert(sizeof(pl_block_iq1_s) == 50, "iq1_s");
_Static_assert(sizeof(pl_block_iq1_m) == 56, "iq1_m");
_Static_assert(sizeof(pl_block_iq4_nl) == 18, "iq4_nl");
_Static_assert(sizeof(pl_block_iq4_xs) == 136, "iq4_xs");

#endif
