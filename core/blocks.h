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

_Static_assert(sizeof(pl_block_q4_0) == 18, "q4_0");
_Static_assert(sizeof(pl_block_q4_1) == 20, "q4_1");
_Static_assert(sizeof(pl_block_q5_0) == 22, "q5_0");
_Static_assert(sizeof(pl_block_q5_1) == 24, "q5_1");
_Static_assert(sizeof(pl_block_q8_0) == 34, "q8_0");

#endif
