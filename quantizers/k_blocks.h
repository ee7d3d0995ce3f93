/* k_blocks.h: encoders of the K types over lanes (quantizers/lanes.h): k_quants.c has them in plain C, the
 * definition, k_quants_neon.c, k_quants_avx*.c with 4, 8 and 16 sub-blocks at a time. A sub-block's codes are
 * found anew with the stored scale; those of its search count only where that is zero. */
#ifndef QUANTIZERS_K_BLOCKS_H
#define QUANTIZERS_K_BLOCKS_H

#include "quantizers/k_search.h"

/* Values in a block; blocks taken at once: one, a pair where one would not fill the lanes or keep them busy, and many
 * by moves. */
enum { K_VALUES = 256, K_ONE = 1, K_PAIR = PL_LANES > 8 ? 2 : 1, K_MANY = 128, K_SUBS = 16 };

/* What the searches found for up to 16 sub-blocks. */
typedef struct k_found {
    float scale[K_SUBS], low[K_SUBS], inverse[K_SUBS], bottom[K_SUBS], weights[K_SUBS];
} k_found;

/* A block before its bytes are put together: f16 scales, codes of scales (Q3_K counted from -32) and minimums, codes
 * of values counted from the lowest. */
typedef struct k_stored {
    uint16_t d[2];
    uint8_t scales[K_SUBS], mins[K_SUBS], codes[K_VALUES];
} k_stored;

/* Sum, or the largest, of n = 8 or 16 numbers: halves onto each other, the same order everywhere. */
PL_INLINE float k_fold(const float *x, int n, bool largest)
{
#if PL_LANES >= 8
    __m256 eight = _mm256_loadu_ps(x);
    if (n > 8) {
        __m256 other = _mm256_loadu_ps(x + 8);
        eight = largest ? _mm256_max_ps(eight, other) : _mm256_add_ps(eight, other);
    }
    __m128 a = _mm256_castps256_ps128(eight), b = _mm256_extractf128_ps(eight, 1);
    a = largest ? _mm_max_ps(a, b) : _mm_add_ps(a, b);
    b = _mm_movehl_ps(a, a);
    a = largest ? _mm_max_ps(a, b) : _mm_add_ps(a, b);
    b = _mm_movehdup_ps(a);
    return _mm_cvtss_f32(largest ? _mm_max_ss(a, b) : _mm_add_ss(a, b));
#else
    float t[K_SUBS];
    memcpy(t, x, (size_t)n * sizeof *t);
    for (int step = n / 2; step; step /= 2)
        for (int i = 0; i < step; i++)
            t[i] = !largest ? t[i] + t[i + step] : t[i] > t[i + step] ? t[i] : t[i + step];
    return t[0];
#endif
}

/* Of n = 8 or 16 numbers the one of largest magnitude; of equals the first; 0 if all are NaN.
 * x has room for PL_LANES numbers. */
PL_INLINE float k_largest(const float *x, int n)
{
    float magnitude[K_SUBS];
    unsigned less = 0;
    for (int i = 0; i < n; i += PL_LANES) v_put(v_max(v_abs(v_at(x + i, 1)), v_every(0.0f)), magnitude + i);
    float most = k_fold(magnitude, n, true);
    for (int i = 0; i < n; i += PL_LANES) less |= v_bits(v_less(v_at(magnitude + i, 1), v_every(most))) << i;
    return most > 0.0f ? x[__builtin_ctz(~less)] : 0.0f;
}

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

/* Eight codes. */
PL_INLINE uint64_t k_eight(const uint8_t *codes)
{
    uint64_t x;
    memcpy(&x, codes, 8);
    return x;
}

/* 2-bit codes: byte l of each half holds values l, l + 32, l + 64 and l + 96 of it. */
PL_INLINE void k_put_pairs(const uint8_t *codes, uint8_t *qs)
{
    const uint64_t low = 0x0303030303030303u;
    for (int half = 0; half < 2; half++, codes += 128, qs += 32)
        for (int l = 0; l < 32; l += 8) {
            uint64_t x = (k_eight(codes + l) & low) | (k_eight(codes + l + 32) & low) << 2 |
                         (k_eight(codes + l + 64) & low) << 4 | (k_eight(codes + l + 96) & low) << 6;
            memcpy(qs + l, &x, 8);
        }
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

/* Codes of a symmetric search, for a scale that was stored as zero. */
PL_INLINE void k_searched_symmetric(const float *x, float inverse, int range, uint8_t *codes)
{
    for (int i = 0; i < 16; i++) {
        int l = pl_nearest(inverse * x[i]);
        l = l < -range ? -range : l > range - 1 ? range - 1 : l;
        codes[i] = (uint8_t)(isnan(inverse) ? 0 : l + range);
    }
}

/* Scales of `n` sub-blocks of w, which `subs` lists, after that many rounds of moves; then it lists those where a
 * further round might move codes, whose number is returned. */
PL_INLINE int k_move_listed(const float *w, int rounds, int *subs, int n, float *scale)
{
    enum { CHAINS = 3, AT_ONCE = CHAINS * PL_LANES };
    int more = 0;
    for (int first = 0; first < n; first += AT_ONCE) {
        float values[AT_ONCE * 16], found[PL_LANES];
        for (int i = 0; i < AT_ONCE; i++)
            memcpy(values + i * 16, w + subs[first + i < n ? first + i : first] * 16, 16 * sizeof *w);
        vf x[CHAINS][16];
        pl_k_moves m[CHAINS];
        for (int k = 0; k < CHAINS; k++) {
            v_columns(values + k * PL_LANES * 16, 16, x[k]);
            pl_k_nearest_codes(x[k], &m[k]);
        }
        pl_k_move_rounds(x, CHAINS, rounds, m);
        for (int k = 0; k < CHAINS; k++) {
            unsigned may = v_bits(pl_k_may_move(x[k], &m[k]));
            v_put(pl_k_moved_scale(&m[k]), found);
            for (int i = 0, at = first + k * PL_LANES; i < PL_LANES && at < n; i++, at++) {
                scale[subs[at]] = found[i];
                subs[more] = subs[at];
                more += may >> i & 1;
            }
        }
    }
    return more;
}

/* Scales of the 16 sub-blocks each of at most K_MANY blocks by up to five rounds of moves from the nearest codes. In
 * most nothing moves, few take more than one round: these are put together, so that no lane waits for its
 * neighbours. */
PL_INLINE void k_fit_moves(const float *w, int blocks, float *scale)
{
    int moving[16 * K_MANY], n = 0;
    for (int s = 0; s < 16 * blocks; s += PL_LANES) {
        vf x[16];
        v_columns(w + s * 16, 16, x);
        pl_k_moves start;
        pl_k_nearest_codes(x, &start);
        v_put(pl_k_moved_scale(&start), scale + s);
        for (unsigned may = v_bits(pl_k_may_move(x, &start)); may; may &= may - 1)
            moving[n++] = s + __builtin_ctz(may);
    }
    n = k_move_listed(w, 1, moving, n, scale);
    n = k_move_listed(w, 2, moving, n, scale);
    k_move_listed(w, 5, moving, n, scale);
}

/* The codes of such moves for sub-blocks of a block whose scale was stored as zero. */
PL_INLINE void k_moved_codes(const float *w, const float *stored, uint8_t *codes)
{
    for (int s = 0; s < 16; s += PL_LANES) {
        bool wanted = false;
        for (int i = s; i < s + PL_LANES; i++) wanted |= stored[i] == 0.0f;
        if (!wanted) continue;
        vf x[1][16];
        v_columns(w + s * 16, 16, x[0]);
        pl_k_moves m;
        pl_k_nearest_codes(x[0], &m);
        pl_k_move_rounds(x, 1, 5, &m);
        vm zeros = v_less(v_abs(m.largest), v_every(PL_TINY));
        for (int i = 0; i < 16; i++) {
            float lane[PL_LANES];
            v_put(v_pick(zeros, v_every(-4.0f), m.code[i]), lane);
            for (int k = 0; k < PL_LANES; k++)
                if (stored[s + k] == 0.0f) codes[(s + k) * 16 + i] = (uint8_t)(lane[k] + 4.0f);
        }
    }
}

/* Codes of the scales of a block counted from -32, by their largest; returns d. */
PL_INLINE float k_signed_levels(const float *scale, uint8_t *codes)
{
    float largest = k_largest(scale, 16), inverse = -32.0f / largest;
    for (int s = 0; s < 16; s++) {
        int8_t l = (int8_t)pl_nearest(inverse * scale[s]);
        codes[s] = largest != 0.0f ? (uint8_t)((l < -32 ? -32 : l > 31 ? 31 : l) + 32) : 0;
    }
    return largest != 0.0f ? 1.0f / inverse : 0.0f;
}

/* d and the codes of scales. scale: of k_fit_moves, where h is NULL. */
PL_INLINE void k_levels_q3_k(const float *w, const float *h, const float *scale, k_found *found, k_stored *out)
{
    float d;
    if (h) {
        k_fit_symmetric(w, h, 4, true, found);
        d = pl_k_symmetric_codes(found->scale, found->weights, 16, 32, out->scales);
    } else {
        d = k_signed_levels(scale, out->scales);
    }
    out->d[0] = pl_f32_to_f16(d);
}

PL_INLINE void k_codes_q3_k(const float *w, const float *h, const k_found *found, k_stored *out)
{
    float scale[16], d = pl_f16_to_f32(out->d[0]);
    bool zeros = false;
    for (int s = 0; s < 16; s++) {
        scale[s] = d * (float)(out->scales[s] - 32);
        zeros |= scale[s] == 0.0f;
        if (scale[s] != 0.0f) k_codes(w + 16 * s, 16, scale[s], 0.0f, -4, 3, out->codes + 16 * s);
        else if (h) k_searched_symmetric(w + 16 * s, found->inverse[s], 4, out->codes + 16 * s);
    }
    if (zeros && !h) k_moved_codes(w, scale, out->codes);
}

PL_INLINE void k_find_q3_k(const float *w, const float *h, const float *scale, k_stored *out)
{
    k_found found;
    k_levels_q3_k(w, h, scale, &found, out);
    k_codes_q3_k(w, h, &found, out);
}

PL_INLINE void k_pack_q3_k(const k_stored *from, uint8_t *out)
{
    const uint8_t *scales = from->scales;
    const uint64_t lowest = 0x0101010101010101u;
    for (int l = 0; l < 32; l += 8) {
        uint64_t high = 0;
        for (int bit = 0; bit < 8; bit++) high |= (k_eight(from->codes + 32 * bit + l) >> 2 & lowest) << bit;
        memcpy(out + l, &high, 8);
    }
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
    float largest = k_largest(found.scale, 16);
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

/* Blocks taken at once: their values and importance; the first n of them there are. */
typedef struct k_group {
    const float *w, *h;
    int n;
    float weights[2 * K_VALUES], importance[2 * K_VALUES];
} k_group;

/* The `size` <= 2 blocks from block b of `count` on. Groups of two cross the ends of rows; a lone last block gets zeros
 * beside it. */
PL_INLINE void k_take_group(const float *w, const float *h, int64_t per_row, int64_t b, int64_t count, int size,
                            k_group *out)
{
    out->w = w + b * K_VALUES;
    out->h = h ? h + b % per_row * K_VALUES : NULL;
    out->n = (int)pl_min64(size, count - b);
    for (int k = 0; h && size > 1 && k < out->n; k++, out->h = out->importance)
        memcpy(out->importance + k * K_VALUES, h + (b + k) % per_row * K_VALUES, K_VALUES * sizeof *h);
    if (out->n < size) {
        memset(out->weights, 0, sizeof out->weights);
        memcpy(out->weights, out->w, K_VALUES * sizeof *w);
        memset(out->importance + K_VALUES, 0, K_VALUES * sizeof *h);
        out->w = out->weights;
    }
}

PL_INLINE void k_rows(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out, int bytes, int group,
                      void (*find)(const float *w, const float *h, k_stored *out),
                      void (*pack)(const k_stored *from, uint8_t *out))
{
    k_group at;
    k_stored blocks[2];
    int64_t per_row = cols / K_VALUES, count = rows * per_row;
    for (int64_t b = 0; b < count; b += group) {
        k_take_group(w, h, per_row, b, count, group, &at);
        find(at.w, at.h, blocks);
        for (int k = 0; k < at.n; k++) pack(&blocks[k], out + (b + k) * bytes);
    }
}

/* An encoder: `find` fills the `group` blocks that are taken at once. */
#define K_ENCODER_OF(find, prefix, name, bytes, group)                                                             \
    prefix##name(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                         \
    {                                                                                                              \
        k_rows(w, h, rows, cols, out, bytes, group, find##name, k_pack_##name);                                    \
    }
#define K_ENCODER(prefix, name, bytes, group) K_ENCODER_OF(k_find_, prefix, name, bytes, group)

/* The same for Q3_K, whose moves are searched in many blocks at once. */
PL_INLINE void k_rows_q3_k(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out, int group,
                           void (*find)(const float *w, const float *h, const float *scale, k_stored *out))
{
    float scale[16 * K_MANY];
    k_group at;
    k_stored blocks[2];
    int64_t per_row = cols / K_VALUES, count = rows * per_row;
    for (int64_t b = 0; b < count; b += group) {
        if (!h && b % K_MANY == 0) k_fit_moves(w + b * K_VALUES, (int)pl_min64(K_MANY, count - b), scale);
        k_take_group(w, h, per_row, b, count, group, &at);
        if (at.n < group) memset(scale + (b % K_MANY + at.n) * 16, 0, 16 * sizeof *scale);
        find(at.w, at.h, scale + b % K_MANY * 16, blocks);
        for (int k = 0; k < at.n; k++) k_pack_q3_k(&blocks[k], out + (b + k) * 110);
    }
}

#define K_ENCODER_Q3_OF(find, prefix, group)                                                                       \
    prefix##q3_k(const float *w, const float *h, int64_t rows, int64_t cols, uint8_t *out)                         \
    {                                                                                                              \
        k_rows_q3_k(w, h, rows, cols, out, group, find##q3_k);                                                     \
    }
#define K_ENCODER_Q3(prefix) K_ENCODER_Q3_OF(k_find_, prefix, 1)

#endif
