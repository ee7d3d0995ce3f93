/* iq4_blocks.h: encoders of iq4_nl and iq4_xs over lanes (quantizers/lanes.h): iq4.c has them in plain C, the
 * definition, iq4_neon.c, iq4_avx*.c with 4, 8 and 16 sub-blocks at a time. */
#ifndef QUANTIZERS_IQ4_BLOCKS_H
#define QUANTIZERS_IQ4_BLOCKS_H

#include "core/blocks.h"
#include "quantizers/encoders.h"
#include "quantizers/iq4_table.h"

/* Values of a sub-block; sub-blocks of an iq4_xs block; sub-blocks that are encoded at once: two such blocks. */
enum { IQ4_SUB = 32, IQ4_XS_SUBS = 8, IQ4_BATCH = 16, IQ4_TRIES = 7 };

typedef struct iq4_batch {
    float x[IQ4_BATCH * IQ4_SUB], h[IQ4_BATCH * IQ4_SUB];
    float variance[IQ4_BATCH];      /* twice the mean square of each sub-block's block */
    float scale[IQ4_BATCH];         /* what the search found */
    uint8_t codes[IQ4_BATCH * IQ4_SUB];
    iq4_table table;
} iq4_batch;

typedef struct iq4_sums { vf qx, q2; } iq4_sums;

PL_INLINE iq4_sums iq4_try(const iq4_table *table, const vf *x, const vf *weight, vf inverse)
{
    iq4_sums sums = { v_every(0.0f), v_every(0.0f) };
    for (int i = 0; i < IQ4_SUB; i++) {
        vf q = iq4_entry(table, inverse * x[i]), wq = weight[i] * q;
        sums.qx = sums.qx + wq * x[i];
        sums.q2 = sums.q2 + wq * q;
    }
    return sums;
}

/* Least-squares scales for codes from 16 inverse scales; the one that explains most of the values stays. */
PL_INLINE vf iq4_search(const iq4_table *table, const vf *x, const vf *weight)
{
    const vf zero = v_every(0.0f);
    vf largest = zero, extreme = zero;
    for (int i = 0; i < IQ4_SUB; i++) {
        vm larger = v_less(largest, v_abs(x[i]));
        largest = v_pick(larger, v_abs(x[i]), largest);
        extreme = v_pick(larger, x[i], extreme);
    }
    iq4_sums sums = iq4_try(table, x, weight, v_every(1.0f) / (extreme / v_every(127.0f)));
    vf scale = v_pick(v_less(zero, sums.q2), sums.qx / sums.q2, zero), best = scale * sums.qx;
    for (int k = -IQ4_TRIES; k <= IQ4_TRIES; k++) {
        sums = iq4_try(table, x, weight, v_every((float)(k - 127)) / extreme);
        vm better = v_both(v_less(zero, sums.q2), v_less(best * sums.q2, sums.qx * sums.qx));
        vf other = sums.qx / sums.q2;
        scale = v_pick(better, other, scale);
        best = v_pick(better, other * sums.qx, best);
    }
    return v_pick(v_less(largest, v_every(1e-15f)), zero, scale);
}

PL_INLINE void iq4_fit(iq4_batch *b, bool weighted)
{
    for (int s = 0; s < IQ4_BATCH; s += PL_LANES) {
        vf x[IQ4_SUB], weight[IQ4_SUB], variance = v_at(b->variance + s, 1);
        for (int i = 0; i < IQ4_SUB; i++) {
            x[i] = v_at(b->x + s * IQ4_SUB + i, IQ4_SUB);
            weight[i] = x[i] * x[i];
            if (weighted) weight[i] = v_at(b->h + s * IQ4_SUB + i, IQ4_SUB) * v_sqrt(variance + weight[i]);
        }
        v_put(iq4_search(&b->table, x, weight), b->scale + s);
    }
}

/* Bytes of sub-block s with codes by this scale: low nibbles hold the first half. */
PL_INLINE void iq4_pack(iq4_batch *b, int s, float scale, uint8_t out[16])
{
    float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    uint8_t *codes = b->codes + s * IQ4_SUB;
    for (int i = 0; i < IQ4_SUB; i += PL_LANES)
        v_put_codes(iq4_code(&b->table, v_every(inverse) * v_at(b->x + s * IQ4_SUB + i, 1)), codes + i);
    for (int i = 0; i < 16; i++) out[i] = (uint8_t)(codes[i] | codes[i + 16] << 4);
}

PL_INLINE void iq4_put_nl(iq4_batch *b, int s, uint8_t *out)
{
    pl_block_iq4_nl block = { .d = pl_f32_to_f16(b->scale[s]) };
    iq4_pack(b, s, b->scale[s], block.qs);
    memcpy(out, &block, sizeof block);
}

/* The 8 sub-blocks from s: their scales become six bits times a common d. */
PL_INLINE void iq4_put_xs(iq4_batch *b, int s, uint8_t *out)
{
    float extreme = 0.0f;
    for (int k = 0; k < IQ4_XS_SUBS; k++)
        if (fabsf(b->scale[s + k]) > fabsf(extreme)) extreme = b->scale[s + k];
    float d = -extreme / 32.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    pl_block_iq4_xs block = { .d = pl_f32_to_f16(d) };
    for (int k = 0; k < IQ4_XS_SUBS; k++) {
        int l = pl_nearest(inverse * b->scale[s + k]);
        l = l < -32 ? -32 : l > 31 ? 31 : l;
        iq4_pack(b, s + k, d * (float)l, block.qs + 16 * k);
        block.scales_l[k / 2] |= (uint8_t)(((l + 32) & 15) << k % 2 * 4);
        block.scales_h = (uint16_t)(block.scales_h | (l + 32) >> 4 << 2 * k);
    }
    memcpy(out, &block, sizeof block);
}

/* Values and importance of `n` sub-blocks from the first-th on; the others are zeros. */
PL_INLINE void iq4_load(iq4_batch *b, const float *w, const float *h, int64_t cols, int64_t first, int n,
                        int subs)
{
    memset(b->x, 0, sizeof b->x);
    memset(b->h, 0, sizeof b->h);
    memcpy(b->x, w + first * IQ4_SUB, (size_t)n * IQ4_SUB * sizeof *w);
    for (int s = 0; h && s < n; s++)
        memcpy(b->h + s * IQ4_SUB, h + (first + s) * IQ4_SUB % cols, IQ4_SUB * sizeof *h);
    for (int s = 0; s < IQ4_BATCH; s += subs) {
        float sum = 0.0f;
        for (int i = 0; i < subs * IQ4_SUB; i++) sum += b->x[s * IQ4_SUB + i] * b->x[s * IQ4_SUB + i];
        for (int k = 0; k < subs; k++) b->variance[s + k] = sum * (2.0f / (float)(subs * IQ4_SUB));
    }
}

PL_INLINE void iq4_encode(const float *w, const float *h, int64_t rows, int64_t cols, int subs, size_t bytes,
                          void (*put)(iq4_batch *b, int s, uint8_t *out), uint8_t *out)
{
    iq4_batch b;
    iq4_table_init(&b.table);
    int64_t total = rows * cols / IQ4_SUB;
    for (int64_t first = 0; first < total; first += IQ4_BATCH) {
        int n = (int)pl_min64(IQ4_BATCH, total - first);
        iq4_load(&b, w, h, cols, first, n, subs);
        iq4_fit(&b, h != NULL);
        for (int s = 0; s < n; s += subs, out += bytes) put(&b, s, out);
    }
}

/* A definition of iq4_nl or iq4_xs under the name prefix ## name. */
#define IQ4_ENCODER(prefix, name, subs, put)                                                                \
    prefix##name(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                  \
    {                                                                                                       \
        iq4_encode(w, h, rows, cols, subs, sizeof(pl_block_##name), put, out);                              \
    }

#endif
