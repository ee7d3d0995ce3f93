/* k_blocks.h: encoders of the K types over lanes (quantizers/lanes.h): k_quants.c has them in plain C, the
 * definition, k_quants_neon.c, k_quants_avx*.c with 4, 8 and 16 sub-blocks at a time. A sub-block's codes are
 * found anew with the stored scale; those of its search count only where that is zero. */
#ifndef QUANTIZERS_K_BLOCKS_H
#define QUANTIZERS_K_BLOCKS_H

#include "quantizers/k_search.h"

/* Values in a block; blocks taken at once where sub-blocks have 16 values and where they have 32. */
enum { K_VALUES = 256, K_ONE = 1, K_PAIR = PL_LANES > 8 ? 2 : 1, K_SUBS = 16 };

/* What the searches found for up to 16 sub-blocks. */
typedef struct k_found {
    float scale[K_SUBS], low[K_SUBS], inverse[K_SUBS], bottom[K_SUBS], weights[K_SUBS];
    float moved[K_VALUES];          /* the codes of pl_k_search_moves, [batch][value][lane] */
} k_found;

/* A block before its bytes are put together: f16 scales, codes of scales (Q3_K counted from -32) and minimums, codes
 * of values counted from the lowest. */
typedef struct k_stored {
    uint16_t d[2];
    uint8_t scales[K_SUBS], mins[K_SUBS], codes[K_VALUES];
} k_stored;

/* Sum of squares of each sub-block's block. */
PL_INLINE void k_squares(const float *w, int n, int blocks, float sums[K_SUBS])
{
    for (int b = 0; b < blocks; b++) {
        float sum = 0.0f;
        for (int i = 0; i < K_VALUES; i++) sum += w[b * K_VALUES + i] * w[b * K_VALUES + i];
        for (int s = 0; s < K_VALUES / n; s++) sums[b * (K_VALUES / n) + s] = sum;
    }
}

/* h * sqrt(variance + x^2), variance the mean square of a block times `factor`. */
PL_INLINE void k_weigh(const vf *x, const float *h, int n, const float *sums, float factor, vf *weight)
{
    vf variance = v_every(factor) * v_at(sums, 1) / v_every((float)K_VALUES);
    for (int i = 0; i < n; i++) weight[i] = v_at(h + i, n) * v_sqrt(variance + x[i] * x[i]);
}

PL_INLINE void k_fit_offset(const float *w, const float *h, const pl_k_rule rule, int blocks, k_found *found)
{
    int n = rule.n;
    float sums[K_SUBS];
    if (h) k_squares(w, n, blocks, sums);
    for (int s = 0; s < blocks * K_VALUES / n; s += PL_LANES) {
        vf x[32], weight[32], sum = v_every(0.0f);
        for (int i = 0; i < n; i++) {
            x[i] = v_at(w + s * n + i, n);
            sum = sum + x[i] * x[i];
            weight[i] = v_abs(x[i]);
        }
        vf rms = v_sqrt(sum / v_every((float)n));
        if (h) k_weigh(x, h + s * n, n, sums + s, n == 16 ? 1.0f : 2.0f, weight);
        for (int i = 0; !h && !rule.absolute && i < n; i++) weight[i] = rms + weight[i];
        pl_k_offset best = pl_k_search_offset(x, weight, rule);
        v_put(best.scale, found->scale + s);
        v_put(best.low, found->low + s);
        v_put(best.inverse, found->inverse + s);
        v_put(best.bottom, found->bottom + s);
        v_put(best.weights, found->weights + s);
    }
}

/* Codes low .. high of (x + m) / d, counted from low. */
PL_INLINE void k_codes(const float *x, int n, float d, float m, int low, int high, uint8_t *codes)
{
    for (int i = 0; i < n; i += PL_LANES) {
        vf code = v_code_far((v_at(x + i, 1) + v_every(m)) / v_every(d), low, high);
        v_put_codes(code - v_every((float)low), codes + i);
    }
}

/* The codes of an offset search, for a scale that was stored as zero. */
PL_INLINE void k_searched_codes(const float *x, int n, const k_found *found, int s, int top, uint8_t *codes)
{
    float inverse = found->inverse[s], bottom = found->bottom[s];
    for (int i = 0; i < n; i++) {
        int l = pl_nearest(inverse * (x[i] - bottom));
        codes[i] = (uint8_t)(l < 0 ? 0 : l > top ? top : l);
    }
}

/* Second level without importance: codes 0 .. top of x / (max / top); returns the f16 of max / top. */
PL_INLINE uint16_t k_levels(const float *x, int n, int top, uint8_t *codes)
{
    float max = 0.0f;
    for (int i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
    float inverse = max > 0.0f ? (float)top / max : 0.0f;
    for (int i = 0; i < n; i++) {
        uint8_t code = (uint8_t)pl_nearest(inverse * x[i]);
        codes[i] = code > top ? (uint8_t)top : code;
    }
    return pl_f32_to_f16(max / (float)top);
}

/* Both second levels of block b of those in found: scales and minimums. */
PL_INLINE void k_second_level(const k_found *found, int b, int subs, int top, bool weighted, uint16_t d[2],
                              uint8_t *scales, uint8_t *mins)
{
    const float *scale = found->scale + b * subs, *weights = found->weights + b * subs;
    float min[K_SUBS];
    for (int s = 0; s < subs; s++) min[s] = -found->low[b * subs + s];
    d[0] = weighted ? pl_f32_to_f16(pl_k_level_codes(scale, weights, subs, top, scales))
                    : k_levels(scale, subs, top, scales);
    d[1] = weighted ? pl_f32_to_f16(pl_k_level_codes(min, weights, subs, top, mins))
                    : k_levels(min, subs, top, mins);
}

/* 2-bit codes: byte l of each half holds values l, l + 32, l + 64 and l + 96 of it. */
PL_INLINE void k_put_pairs(const uint8_t *codes, uint8_t *qs)
{
    for (int half = 0; half < 2; half++, codes += 128, qs += 32)
        for (int l = 0; l < 32; l++)
            qs[l] = (uint8_t)((codes[l] & 3) | (codes[l + 32] & 3) << 2 | (codes[l + 64] & 3) << 4 |
                              (codes[l + 96] & 3) << 6);
}

/* w -> stored by ggml's rule; K_PAIR or K_ONE blocks as in every k_find. */
PL_INLINE void k_find_q2_k(const float *w, const float *h, k_stored *out)
{
    const pl_k_rule plain = { 16, 3, -0.5f, 0.1f, 15, true }, weighted = { 16, 3, -0.9f, 0.05f, 36, false };
    k_found found;
    if (h) k_fit_offset(w, h, weighted, 1, &found);
    else k_fit_offset(w, NULL, plain, 1, &found);
    k_second_level(&found, 0, 16, 15, h, out->d, out->scales, out->mins);
    for (int s = 0; s < 16; s++) {
        float scale = pl_f16_to_f32(out->d[0]) * (float)out->scales[s];
        float min = pl_f16_to_f32(out->d[1]) * (float)out->mins[s];
        if (scale != 0.0f) k_codes(w + 16 * s, 16, scale, min, 0, 3, out->codes + 16 * s);
        else k_searched_codes(w + 16 * s, 16, &found, s, 3, out->codes + 16 * s);
    }
}

PL_INLINE void k_pack_q2_k(const k_stored *from, uint8_t *out)
{
    for (int s = 0; s < 16; s++) out[s] = (uint8_t)(from->scales[s] | from->mins[s] << 4);
    k_put_pairs(from->codes, out + 16);
    memcpy(out + 80, from->d, 4);
}

/* Eight 6-bit scales and minimums in twelve bytes. */
PL_INLINE void k_put_sixes(const uint8_t *scales, const uint8_t *mins, uint8_t *out)
{
    for (int s = 0; s < 4; s++) {
        out[s] = (uint8_t)(scales[s] | (scales[s + 4] >> 4) << 6);
        out[s + 4] = (uint8_t)(mins[s] | (mins[s + 4] >> 4) << 6);
        out[s + 8] = (uint8_t)((scales[s + 4] & 15) | mins[s + 4] << 4);
    }
}

/* Q4_K and Q5_K, K_PAIR blocks. */
PL_INLINE void k_find_sixes(const float *w, const float *h, int bits, k_stored *out)
{
    const int top = (1 << bits) - 1;
    const pl_k_rule four = { 32, 15, -1.0f, 0.1f, 20, false }, five = { 32, 31, -0.5f, 0.1f, 15, false };
    const pl_k_rule weighted = { 32, top, -0.9f, 0.05f, 36, false };
    k_found found;
    if (h) k_fit_offset(w, h, weighted, K_PAIR, &found);
    else k_fit_offset(w, NULL, bits == 5 ? five : four, K_PAIR, &found);
    for (int b = 0; b < K_PAIR; b++, w += K_VALUES, out++) {
        k_second_level(&found, b, 8, 63, h, out->d, out->scales, out->mins);
        for (int s = 0; s < 8; s++) {
            float scale = pl_f16_to_f32(out->d[0]) * (float)out->scales[s];
            float min = pl_f16_to_f32(out->d[1]) * (float)out->mins[s];
            if (scale != 0.0f) k_codes(w + 32 * s, 32, scale, min, 0, top, out->codes + 32 * s);
            else k_searched_codes(w + 32 * s, 32, &found, 8 * b + s, top, out->codes + 32 * s);
        }
    }
}

PL_INLINE void k_pack_sixes(const k_stored *from, int bits, uint8_t *out)
{
    const int qs = bits == 5 ? 48 : 16;
    memcpy(out, from->d, 4);
    k_put_sixes(from->scales, from->mins, out + 4);
    if (bits == 5) memset(out + 16, 0, 32);
    for (int s = 0; s < 8; s += 2)
        for (int l = 0; l < 32; l++) {
            uint8_t a = from->codes[32 * s + l], c = from->codes[32 * s + 32 + l];
            out[qs + 16 * s + l] = (uint8_t)((a & 15) | c << 4);
            if (bits == 5) out[16 + l] |= (uint8_t)((a >> 4) << s | (c >> 4) << (s + 1));
        }
}

PL_INLINE void k_find_q4_k(const float *w, const float *h, k_stored *out) { k_find_sixes(w, h, 4, out); }
PL_INLINE void k_find_q5_k(const float *w, const float *h, k_stored *out) { k_find_sixes(w, h, 5, out); }
PL_INLINE void k_pack_q4_k(const k_stored *from, uint8_t *out) { k_pack_sixes(from, 4, out); }
PL_INLINE void k_pack_q5_k(const k_stored *from, uint8_t *out) { k_pack_sixes(from, 5, out); }

/* Symmetric scales of the 16 sub-blocks of a block. spread: weights are h * sqrt(variance + x^2), not h. */
PL_INLINE void k_fit_symmetric(const float *w, const float *h, int range, bool spread, k_found *found)
{
    float sums[K_SUBS];
    if (h && spread) k_squares(w, 16, 1, sums);
    for (int s = 0; s < 16; s += PL_LANES) {
        vf x[16], weight[16], sum = v_every(0.0f);
        for (int i = 0; i < 16; i++) x[i] = v_at(w + s * 16 + i, 16);
        if (h && spread) k_weigh(x, h + s * 16, 16, sums + s, 2.0f, weight);
        else if (h) for (int i = 0; i < 16; i++) weight[i] = v_at(h + s * 16 + i, 16);
        pl_k_symmetric best = pl_k_search_symmetric(x, h ? weight : NULL, 16, range);
        if (h) for (int i = 0; i < 16; i++) sum = sum + weight[i];
        v_put(best.scale, found->scale + s);
        v_put(best.inverse, found->inverse + s);
        v_put(sum, found->weights + s);
    }
}

/* The scale of largest magnitude; of equals the first. */
PL_INLINE float k_largest(const float *scale)
{
    float largest = 0.0f;
    for (int s = 0; s < 16; s++)
        if (fabsf(scale[s]) > fabsf(largest)) largest = scale[s];
    return largest;
}

/* Codes of a symmetric search, for a scale that was stored as zero. */
PL_INLINE void k_searched_symmetric(const float *x, float inverse, int range, uint8_t *codes)
{
    for (int i = 0; i < 16; i++) {
        int l = pl_nearest(inverse * x[i]);
        l = l < -range ? -range : l > range - 1 ? range - 1 : l;
        codes[i] = (uint8_t)(isnan(inverse) ? 0 : l + range);
    }
}

PL_INLINE void k_find_q3_k(const float *w, const float *h, k_stored *out)
{
    k_found found;
    float d = 0.0f;
    if (h) {
        k_fit_symmetric(w, h, 4, true, &found);
        d = pl_k_symmetric_codes(found.scale, found.weights, 16, 32, out->scales);
    } else {
        for (int s = 0; s < 16; s += PL_LANES) {
            vf x[16], code[16];
            for (int i = 0; i < 16; i++) x[i] = v_at(w + s * 16 + i, 16);
            v_put(pl_k_search_moves(x, 16, code), found.scale + s);
            for (int i = 0; i < 16; i++) v_put(code[i], found.moved + s * 16 + i * PL_LANES);
        }
        float largest = k_largest(found.scale), inverse = -32.0f / largest;
        for (int s = 0; s < 16; s++) {
            int8_t l = (int8_t)pl_nearest(inverse * found.scale[s]);
            out->scales[s] = largest != 0.0f ? (uint8_t)((l < -32 ? -32 : l > 31 ? 31 : l) + 32) : 0;
        }
        if (largest != 0.0f) d = 1.0f / inverse;
    }
    out->d[0] = pl_f32_to_f16(d);
    for (int s = 0; s < 16; s++) {
        float scale = pl_f16_to_f32(out->d[0]) * (float)(out->scales[s] - 32);
        uint8_t *codes = out->codes + 16 * s;
        if (scale != 0.0f) k_codes(w + 16 * s, 16, scale, 0.0f, -4, 3, codes);
        else if (h) k_searched_symmetric(w + 16 * s, found.inverse[s], 4, codes);
        else for (int i = 0; i < 16; i++)
            codes[i] = (uint8_t)(found.moved[(s / PL_LANES * 16 + i) * PL_LANES + s % PL_LANES] + 4.0f);
    }
}

PL_INLINE void k_pack_q3_k(const k_stored *from, uint8_t *out)
{
    const uint8_t *scales = from->scales;
    memset(out, 0, 32);
    for (int s = 0; s < 16; s++)
        for (int i = 0; i < 16; i++)
            out[16 * (s % 2) + i] |= (uint8_t)((from->codes[16 * s + i] >> 2) << (s / 2));
    k_put_pairs(from->codes, out + 32);
    for (int s = 0; s < 8; s++) out[96 + s] = (uint8_t)((scales[s] & 15) | (scales[s + 8] & 15) << 4);
    for (int s = 0; s < 4; s++)
        out[104 + s] = (uint8_t)(scales[s] >> 4 | (scales[s + 4] >> 4) << 2 | (scales[s + 8] >> 4) << 4 |
                                 (scales[s + 12] >> 4) << 6);
    memcpy(out + 108, from->d, 2);
}

/* Scales as the bytes of int8. */
PL_INLINE void k_find_q6_k(const float *w, const float *h, k_stored *out)
{
    k_found found;
    k_fit_symmetric(w, h, 32, false, &found);
    float largest = k_largest(found.scale);
    *out = (k_stored){ { 0, 0 }, { 0 }, { 0 }, { 0 } };
    if (fabsf(largest) < PL_TINY) return;
    float inverse = -128.0f / largest;
    out->d[0] = pl_f32_to_f16(1.0f / inverse);
    for (int s = 0; s < 16; s++) {
        int l = pl_nearest(inverse * found.scale[s]);
        int8_t code = (int8_t)(l > 127 ? 127 : l);
        float scale = pl_f16_to_f32(out->d[0]) * (float)code;
        if (scale != 0.0f) k_codes(w + 16 * s, 16, scale, 0.0f, -32, 31, out->codes + 16 * s);
        else k_searched_symmetric(w + 16 * s, found.inverse[s], 32, out->codes + 16 * s);
        out->scales[s] = (uint8_t)code;
    }
}

PL_INLINE void k_pack_q6_k(const k_stored *from, uint8_t *out)
{
    const uint8_t *c = from->codes;
    for (int half = 0; half < 2; half++, c += 128)
        for (int l = 0; l < 32; l++) {
            out[64 * half + l] = (uint8_t)((c[l] & 15) | c[l + 64] << 4);
            out[64 * half + 32 + l] = (uint8_t)((c[l + 32] & 15) | c[l + 96] << 4);
            out[128 + 32 * half + l] = (uint8_t)(c[l] >> 4 | (c[l + 32] >> 4) << 2 | (c[l + 64] >> 4) << 4 |
                                                 (c[l + 96] >> 4) << 6);
        }
    memcpy(out + 192, from->scales, 16);
    memcpy(out + 208, from->d, 2);
}

/* Rows in groups of `group` blocks of `bytes`. Groups of two cross the ends of rows; a lone last block gets
 * zeros beside it. */
PL_INLINE void k_rows(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out, int bytes, int group,
                      void (*find)(const float *w, const float *h, k_stored *out),
                      void (*pack)(const k_stored *from, uint8_t *out))
{
    float weights[2 * K_VALUES], importance[2 * K_VALUES];
    k_stored blocks[2];
    int64_t per_row = cols / K_VALUES, count = rows * per_row;
    for (int64_t b = 0; b < count; b += group) {
        const float *from = w + b * K_VALUES, *weigh = h ? h + b % per_row * K_VALUES : NULL;
        int n = (int)pl_min64(group, count - b);
        for (int k = 0; h && group > 1 && k < n; k++, weigh = importance)
            memcpy(importance + k * K_VALUES, h + (b + k) % per_row * K_VALUES, K_VALUES * sizeof *h);
        if (n < group) {
            memset(weights, 0, sizeof weights);
            memcpy(weights, from, K_VALUES * sizeof *w);
            memset(importance + K_VALUES, 0, K_VALUES * sizeof *h);
            from = weights;
        }
        find(from, weigh, blocks);
        for (int k = 0; k < n; k++) pack(&blocks[k], out + (b + k) * bytes);
    }
}

/* An encoder: `find` fills the `group` blocks that are taken at once. */
#define K_ENCODER_OF(find, prefix, name, bytes, group)                                                             \
    prefix##name(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                         \
    {                                                                                                              \
        k_rows(w, h, rows, cols, out, bytes, group, find##name, k_pack_##name);                                    \
    }
#define K_ENCODER(prefix, name, bytes, group) K_ENCODER_OF(k_find_, prefix, name, bytes, group)

#endif
