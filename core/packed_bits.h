/* packed_bits.h: streams of whole-number codes: packing, unpacking, values; a list per instruction set. */
#ifndef CORE_PACKED_BITS_H
#define CORE_PACKED_BITS_H

#include "core/base.h"

typedef struct pl_bits_ops {
    /* as pl_bits_pack and pl_bits_unpack */
    void (*pack)(const uint8_t *codes, int64_t n, int bits, uint8_t *words);
    void (*unpack)(const uint8_t *words, int64_t n, int bits, uint8_t *codes);
    /* out[i] = (codes[i] - zero) * scale + bias */
    void (*values)(const uint8_t *codes, int64_t n, int zero, float scale, float bias, float *out);
} pl_bits_ops;

void pl_bits_ops_init(pl_bits_ops *list, unsigned cpu_flags);
void pl_bits_ops_plain(pl_bits_ops *list);
void pl_bits_ops_avx2(pl_bits_ops *list);
/* The fastest on this machine. */
const pl_bits_ops *pl_bits_fastest(void);

#endif
