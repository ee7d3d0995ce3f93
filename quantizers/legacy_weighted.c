/* legacy_weighted.c: the encoders of Q4_0, Q4_1, Q5_0 and Q5_1 with importance: scales by search. */
#include "quantizers/k_search.h"
#include "quantizers/registry.h"

/* A block of 32 for each type: f16 scale, f16 minimum where `offset`, fifth bits where 5 bits, nibbles. */
static void put_block(const uint8_t *codes, float scale, float low, int bits, bool offset, uint8_t *out)
{
    uint16_t fields[2] = { pl_f32_to_f16(scale), pl_f32_to_f16(low) };
    memcpy(out, fields, offset ? 4 : 2);
    out += offset ? 4 : 2;
    if (bits == 5) {
        memset(out, 0, 4);
        for (int j = 0; j < 32; j++) out[j / 8] |= (uint8_t)(codes[j] >> 4 << (j % 8));
        out += 4;
    }
    for (int j = 0; j < 16; j++) out[j] = (uint8_t)((codes[j] & 15) | codes[j + 16] << 4);
}

static void encode(const float *w, const float *h, int64_t rows, int64_t cols, int bits, bool offset, uint8_t *out)
{
    const pl_k_rule rule = { 32, (1 << bits) - 1, -0.9f, 0.05f, 36, false };
    for (int64_t r = 0; r < rows; r++, w += cols) {
        float sum = 0.0f;
        for (int64_t i = 0; i < cols; i++) sum += w[i] * w[i];
        float variance = sum / (float)cols;
        for (int64_t i = 0; i < cols; i += 32, out += bits * 4 + (offset ? 4 : 2)) {
            const float *x = w + i;
            float weight[32], low = 0.0f, scale;
            uint8_t codes[32];
            for (int j = 0; j < 32; j++) weight[j] = h[i + j] * sqrtf(variance + x[j] * x[j]);
            if (offset) scale = pl_k_offset_codes(x, weight, &rule, codes, &low);
            else scale = pl_k_symmetric_codes(x, weight, 32, 1 << (bits - 1), codes);
            put_block(codes, scale, low, bits, offset, out);
        }
    }
}

#define ENCODER(name, dtype, bits, offset)                                                                        \
    void pl_encode_##name(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                \
    {                                                                                                              \
        pl_type type = pl_type_plain(dtype);                                                                       \
        if (h) encode(w, h, rows, cols, bits, offset, out);                                                        \
        else pl_grid_##name.encode(&type, w, rows * cols, out);                                                    \
    }

ENCODER(q4_0, PL_Q4_0, 4, false)
ENCODER(q4_1, PL_Q4_1, 4, true)
ENCODER(q5_0, PL_Q5_0, 5, false)
ENCODER(q5_1, PL_Q5_1, 5, true)

void pl_encode_q8_0(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)
{
    pl_type type = pl_type_plain(PL_Q8_0);
    pl_grid_q8_0.encode(&type, w, rows * cols, out);
}
