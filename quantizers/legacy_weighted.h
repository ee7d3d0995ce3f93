/* legacy_weighted.h: the encoders of Q4_0, Q4_1, Q5_0 and Q5_1 with importance over lanes (quantizers/lanes.h):
 * legacy_weighted.c has them in plain C, the definition, two more files with 8 and 16 blocks at a time. */
#ifndef QUANTIZERS_LEGACY_WEIGHTED_H
#define QUANTIZERS_LEGACY_WEIGHTED_H

#include "quantizers/encoders.h"
#include "quantizers/k_lanes.h"
#include "quantizers/registry.h"

enum { WEIGHTED_SPAN = 32, WEIGHTED_BATCH = 16 };

typedef struct weighted_batch {
    float x[WEIGHTED_BATCH * WEIGHTED_SPAN], h[WEIGHTED_BATCH * WEIGHTED_SPAN];
    float variance[WEIGHTED_BATCH];     /* the mean square of each block's row */
    /* value ~ scale * code + low; the codes are those of (x - bottom) * inverse */
    float scale[WEIGHTED_BATCH], low[WEIGHTED_BATCH], inverse[WEIGHTED_BATCH], bottom[WEIGHTED_BATCH];
} weighted_batch;

/* Blocks first .. first+n-1 of the matrix; the others are zeros. row, variance: the last row so far. */
PL_INLINE void weighted_load(weighted_batch *b, const float *w, const float *h, int64_t cols, int64_t first, int n,
                             int64_t *row, float *variance)
{
    if (n < WEIGHTED_BATCH) memset(b, 0, sizeof *b);
    memcpy(b->x, w + first * WEIGHTED_SPAN, (size_t)n * WEIGHTED_SPAN * sizeof *w);
    for (int k = 0; k < n; k++) {
        int64_t at = (first + k) * WEIGHTED_SPAN;
        memcpy(b->h + k * WEIGHTED_SPAN, h + at % cols, WEIGHTED_SPAN * sizeof *h);
        if (at / cols != *row) {
            float sum = 0.0f;
            *row = at / cols;
            for (int64_t i = 0; i < cols; i++) sum += w[*row * cols + i] * w[*row * cols + i];
            *variance = sum / (float)cols;
        }
        b->variance[k] = *variance;
    }
}

PL_INLINE void weighted_search(weighted_batch *b, int bits, bool offset)
{
    const pl_k_rule rule = { WEIGHTED_SPAN, (1 << bits) - 1, -0.9f, 0.05f, 36, false };
    for (int s = 0; s < WEIGHTED_BATCH; s += PL_LANES) {
        vf x[WEIGHTED_SPAN], weight[WEIGHTED_SPAN], variance = v_at(b->variance + s, 1);
        for (int i = 0; i < WEIGHTED_SPAN; i++) {
            x[i] = v_at(b->x + s * WEIGHTED_SPAN + i, WEIGHTED_SPAN);
            weight[i] = v_at(b->h + s * WEIGHTED_SPAN + i, WEIGHTED_SPAN) * v_sqrt(variance + x[i] * x[i]);
        }
        if (offset) {
            pl_k_offset best = pl_k_search_offset(x, weight, rule);
            v_put(best.scale, b->scale + s);
            v_put(best.low, b->low + s);
            v_put(best.inverse, b->inverse + s);
            v_put(best.bottom, b->bottom + s);
        } else {
            pl_k_symmetric best = pl_k_search_symmetric(x, weight, WEIGHTED_SPAN, 1 << (bits - 1));
            v_put(best.scale, b->scale + s);
            v_put(best.inverse, b->inverse + s);
        }
    }
}

/* Codes of block k, counted from 0; all 0 for a block of zeros without a minimum. */
PL_INLINE void weighted_codes(const weighted_batch *b, int k, int bits, bool offset, uint8_t *codes)
{
    int range = offset ? 0 : 1 << (bits - 1), top = (1 << bits) - 1;
    vf inverse = v_every(b->inverse[k]), bottom = v_every(offset ? b->bottom[k] : 0.0f);
    for (int i = 0; i < WEIGHTED_SPAN; i += PL_LANES) {
        vf x = v_at(b->x + k * WEIGHTED_SPAN + i, 1);
        if (offset) x = x - bottom;
        vf code = v_code_far(inverse * x, -range, top - range) + v_every((float)range);
        if (!offset) code = v_pick(v_differ(inverse, inverse), v_every(0.0f), code);
        v_put_codes(code, codes + i);
    }
}

/* f16 scale, f16 minimum where `offset`, fifth bits where 5 bits, nibbles. */
PL_INLINE uint8_t *weighted_put(const weighted_batch *b, int k, int bits, bool offset, uint8_t *out)
{
    uint8_t codes[WEIGHTED_SPAN];
    uint16_t fields[2] = { pl_f32_to_f16(b->scale[k]), pl_f32_to_f16(offset ? b->low[k] : 0.0f) };
    weighted_codes(b, k, bits, offset, codes);
    memcpy(out, fields, offset ? 4 : 2);
    out += offset ? 4 : 2;
    if (bits == 5) {
        uint32_t fifth = 0;
        for (int j = 0; j < WEIGHTED_SPAN; j++) fifth |= (uint32_t)(codes[j] >> 4) << j;
        memcpy(out, &fifth, 4);
        out += 4;
    }
    for (int j = 0; j < 16; j++) out[j] = (uint8_t)((codes[j] & 15) | codes[j + 16] << 4);
    return out + 16;
}

PL_INLINE void weighted_encode(const float *w, const float *h, int64_t rows, int64_t cols, int bits, bool offset,
                               uint8_t *out)
{
    weighted_batch b;
    int64_t total = rows * cols / WEIGHTED_SPAN, row = -1;
    float variance = 0.0f;
    for (int64_t first = 0; first < total; first += WEIGHTED_BATCH) {
        int n = (int)pl_min64(WEIGHTED_BATCH, total - first);
        weighted_load(&b, w, h, cols, first, n, &row, &variance);
        weighted_search(&b, bits, offset);
        for (int k = 0; k < n; k++) out = weighted_put(&b, k, bits, offset, out);
    }
}

/* A definition of a type under the name prefix ## name; without importance the grid's encode. */
#define WEIGHTED_ENCODER(prefix, name, dtype, bits, offset)                                                 \
    prefix##name(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                  \
    {                                                                                                       \
        pl_type type = pl_type_plain(dtype);                                                                \
        if (h) weighted_encode(w, h, rows, cols, bits, offset, out);                                        \
        else pl_grid_##name.encode(&type, w, rows * cols, out);                                             \
    }

#endif
