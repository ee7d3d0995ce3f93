/* best_k_blocks.h: encoders of the K types with less weighted error than ggml's rule, over lanes: best_k.c has them in
 * plain C, best_k_neon.c, best_k_avx*.c with 4, 8 and 16 sub-blocks at a time. */
#ifndef QUANTIZERS_BEST_K_BLOCKS_H
#define QUANTIZERS_BEST_K_BLOCKS_H

#include "quantizers/best_k_offset.h"
#include "quantizers/best_k_symmetric.h"

/* Less error than the reference's by rounding alone is none. */
#define BK_LESS 0.99999f

/* Errors below this lose digits; a block of such values stays what it is. */
#define BK_TINY 1e-30f

/* The blocks in `stored` as a state; bias: what codes of scales are counted from. */
PL_INLINE void bk_unpack(const bk_form f, const k_stored *stored, int bias, bk_state *out)
{
    for (int b = 0; b < f.subs; b += f.per_block, stored++) {
        bk_every(out->d + b, f.per_block, pl_f16_to_f32(stored->d[0]));
        for (int i = 0; i < f.per_block; i++)
            out->scale[b + i] = (float)(f.level_low < -32 ? (int8_t)stored->scales[i] : stored->scales[i] - bias);
        if (f.low != 0) continue;
        bk_every(out->min + b, f.per_block, pl_f16_to_f32(stored->d[1]));
        for (int i = 0; i < f.per_block; i++) out->low[b + i] = (float)stored->mins[i];
    }
}

/* Blocks of `state` with less error than `before` go to `stored`, with the codes nearest to the values; returns them
 * as bits. */
PL_INLINE unsigned bk_repack(const bk_form f, const float *w, const bk_state *state, const float *before, int bias,
                             k_stored *stored)
{
    unsigned replaced = 0;
    for (int b = 0; b < f.subs; b += f.per_block, w += K_VALUES, stored++) {
        float least = bk_sum(before + b, f.per_block);
        if (!(least > BK_TINY && bk_sum(state->error + b, f.per_block) < BK_LESS * least)) continue;
        replaced |= 1u << b / f.per_block;
        stored->d[0] = pl_f32_to_f16(state->d[b]);
        if (f.low == 0) stored->d[1] = pl_f32_to_f16(state->min[b]);
        for (int i = 0; i < f.per_block; i++) {
            float scale = state->d[b] * state->scale[b + i];
            float low = f.low == 0 ? state->min[b] * state->low[b + i] : 0.0f;
            stored->scales[i] = (uint8_t)((int)state->scale[b + i] + bias);
            if (f.low == 0) stored->mins[i] = (uint8_t)state->low[b + i];
            if (scale != 0.0f) k_codes(w + i * f.n, f.n, scale, low, f.low, f.high, stored->codes + i * f.n);
            else memset(stored->codes + i * f.n, -f.low, (size_t)f.n);
        }
    }
    return replaced;
}

PL_INLINE unsigned bk_improve_form(const float *w, const float *h, const bk_form f, const bk_lines_effort *lines,
                                   const bk_scales_effort *scales, int bias, k_stored *stored)
{
    bk_values v;
    bk_state before, after;
    bk_load(w, h, f, &v);
    bk_unpack(f, stored, bias, &before);
    if (lines) bk_evaluate(&v, f, BK_BOTH, &before);
    else bk_evaluate_scales(&v, f, BK_BOTH, &before);
    after = before;
    if (lines) bk_search_lines(&v, f, *lines, &after);
    else bk_search_scales(&v, f, *scales, &after);
    return bk_repack(f, w, &after, before.error, bias, stored);
}

/* Looks for less error than that of the blocks in `stored`; h NULL: all 1. One of lines and scales, by the type.
 * Returns as bits which blocks it replaced. */
PL_INLINE unsigned bk_improve(const float *w, const float *h, bk_form f, const bk_lines_effort *lines,
                              const bk_scales_effort *scales, int bias, k_stored *stored)
{
    if (!h) return bk_improve_form(w, NULL, f, lines, scales, bias, stored);
    f.weighted = true;
    return bk_improve_form(w, h, f, lines, scales, bias, stored);
}

PL_INLINE void bk_find_q2_k(const float *w, const float *h, k_stored *out)
{
    const bk_form form = { 16, 0, 3, 0, 15, 16, 16, false };
    const bk_lines_effort effort = { 3, 4, 0.0f, 0.3f, -0.3f, 0.35f, 1, 3, 2 };
    k_find_q2_k(w, h, out);
    bk_improve(w, h, form, &effort, NULL, 0, out);
}

PL_INLINE void bk_find_q3_k(const float *w, const float *h, const float *scale, k_stored *out)
{
    const bk_form form = { 16, -4, 3, -32, 31, 16, BK_SUBS, false };
    const bk_scales_effort effort = { 4, -0.8f, 0.5f, 0, 3, 1, 2 };
    k_found found[K_PAIR];
    for (int b = 0; b < K_PAIR; b++)
        k_levels_q3_k(w + b * K_VALUES, h ? h + b * K_VALUES : NULL, scale + b * K_SUBS, &found[b], out + b);
    unsigned replaced = bk_improve(w, h, form, NULL, &effort, 32, out);
    for (int b = 0; b < K_PAIR; b++)
        if (!(replaced >> b & 1))
            k_codes_q3_k(w + b * K_VALUES, h ? h + b * K_VALUES : NULL, &found[b], out + b);
}

PL_INLINE void bk_find_q4_k(const float *w, const float *h, k_stored *out)
{
    const bk_form form = { 32, 0, 15, 0, 63, 8, 8 * K_PAIR, false };
    const bk_lines_effort effort = { 4, 5, -0.3f, 0.3f, -0.3f, 0.3f, 1, 6, 2 };
    k_find_q4_k(w, h, out);
    bk_improve(w, h, form, &effort, NULL, 0, out);
}

PL_INLINE void bk_find_q5_k(const float *w, const float *h, k_stored *out)
{
    const bk_form form = { 32, 0, 31, 0, 63, 8, 8 * K_PAIR, false };
    const bk_lines_effort effort = { 4, 6, -0.6f, 0.6f, -0.6f, 0.6f, 1, 6, 2 };
    k_find_q5_k(w, h, out);
    bk_improve(w, h, form, &effort, NULL, 0, out);
}

PL_INLINE void bk_find_q6_k(const float *w, const float *h, k_stored *out)
{
    const bk_form form = { 16, -32, 31, -128, 127, 16, BK_SUBS, false };
    const bk_scales_effort effort = { 5, -0.5f, 1.0f, 1, 3, 1, 5 };
    for (int b = 0; b < K_PAIR; b++) k_find_q6_k(w + b * K_VALUES, h ? h + b * K_VALUES : NULL, out + b);
    bk_improve(w, h, form, NULL, &effort, 0, out);
}

/* The encoders, and the function of this name that enters them. */
#define BK_ENCODERS(list_name)                                                                                     \
    static void K_ENCODER_OF(bk_find_, , q2_k, 84, K_ONE)                                                          \
    static void K_ENCODER_Q3_OF(bk_find_, , K_PAIR)                                                                \
    static void K_ENCODER_OF(bk_find_, , q4_k, 144, K_PAIR)                                                        \
    static void K_ENCODER_OF(bk_find_, , q5_k, 176, K_PAIR)                                                        \
    static void K_ENCODER_OF(bk_find_, , q6_k, 210, K_PAIR)                                                        \
    void list_name(pl_row_encoders *list)                                                                          \
    {                                                                                                              \
        list->encode[PL_Q2_K] = q2_k;                                                                              \
        list->encode[PL_Q3_K] = q3_k;                                                                              \
        list->encode[PL_Q4_K] = q4_k;                                                                              \
        list->encode[PL_Q5_K] = q5_k;                                                                              \
        list->encode[PL_Q6_K] = q6_k;                                                                              \
    }

#endif
