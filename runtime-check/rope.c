/* rope.c: rotary positions. */
#include "runtime-check/rope.h"

#include <math.h>

/* The index of the pair, not rounded, that turns so often in the original context. */
static double pair_of_turns(const pl_hparams *hp, double turns)
{
    return hp->rope_dim * log(hp->rope_context / (turns * 2 * M_PI)) / (2 * log(hp->rope_base));
}

/* Yarn: pairs up to one index keep their frequency, those from another one on are slower by the factor,
 * and between the two it goes linearly. */
static void yarn(const pl_hparams *hp, double *frequency)
{
    double low = floor(pair_of_turns(hp, hp->yarn_fast > 0 ? (double)hp->yarn_fast : 32));
    double high = ceil(pair_of_turns(hp, hp->yarn_slow > 0 ? (double)hp->yarn_slow : 1));
    low = fmax(low, 0);
    high = fmin(high, hp->rope_dim - 1);
    if (low == high) high += 0.001;
    for (int32_t j = 0; j < hp->rope_dim / 2; j++) {
        double slowed = fmin(fmax((j - low) / (high - low), 0), 1);
        frequency[j] *= slowed / hp->rope_factor + (1 - slowed);
    }
}

void pl_rope_frequencies(const pl_hparams *hp, const float *factors, double *frequency)
{
    for (int32_t j = 0; j < hp->rope_dim / 2; j++) {
        frequency[j] = pow(hp->rope_base, -2.0 * j / hp->rope_dim);
        if (hp->rope_scaling == PL_ROPE_LINEAR) frequency[j] /= hp->rope_factor;
        if (factors) frequency[j] /= factors[j];
    }
    if (hp->rope_scaling == PL_ROPE_YARN) yarn(hp, frequency);
}

double pl_rope_magnitude(const pl_hparams *hp)
{
    bool is_yarn = hp->rope_scaling == PL_ROPE_YARN;
    if (!is_yarn && hp->rope_scaling != PL_ROPE_LONGROPE) return 1;
    if (hp->rope_attn_factor > 0) return hp->rope_attn_factor;
    if (is_yarn) return pl_yarn_magnitude(hp);
    double original = hp->rope_context, stretch = hp->context / original;
    return original > 1 && stretch > 1 ? sqrt(1 + log(stretch) / log(original)) : 1;
}

pl_status pl_rope_create(const pl_hparams *hp, const float *factors, int32_t order,
                         int32_t positions, pl_arena *arena, pl_rope *out)
{
    int64_t half = hp->rope_dim / 2;
    double *frequency = PL_NEW(arena, double, half), magnitude = pl_rope_magnitude(hp);
    *out = (pl_rope){ .half = (int32_t)half, .head_dim = hp->head_dim, .interleaved = order != 0 };
    out->cosine = PL_NEW(arena, float, positions * half);
    out->sine = PL_NEW(arena, float, positions * half);
    if (!frequency || !out->cosine || !out->sine) return PL_E_MEMORY;
    pl_rope_frequencies(hp, factors, frequency);
    for (int64_t p = 0; p < positions; p++) {
        for (int64_t j = 0; j < half; j++) {
            double angle = (double)p * frequency[j];
            out->cosine[p * half + j] = (float)(magnitude * cos(angle));
            out->sine[p * half + j] = (float)(magnitude * sin(angle));
        }
    }
    return PL_OK;
}

void pl_rope_rotate(const pl_rope *rope, int64_t position, int64_t heads, float *x)
{
    int64_t half = rope->half;
    const float *cosine = rope->cosine + position * half, *sine = rope->sine + position * half;
    for (int64_t h = 0; h < heads; h++, x += rope->head_dim) {
        if (rope->interleaved) {
            for (int64_t j = 0; j < half; j++) {
                float a = x[2 * j], b = x[2 * j + 1];
                x[2 * j] = a * cosine[j] - b * sine[j];
                x[2 * j + 1] = b * cosine[j] + a * sine[j];
            }
        } else {
            for (int64_t j = 0; j < half; j++) {
                float a = x[j], b = x[j + half];
                x[j] = a * cosine[j] - b * sine[j];
                x[j + half] = b * cosine[j] + a * sine[j];
            }
        }
    }
}
