/* rope.c: rotary positions. */
#include "runtime-check/rope.h"

#include <math.h>

/* The llama3 rule: waves longer than the original context over `low` are stretched by the factor,
 * those shorter than it over `high` stay, and between the two it goes linearly in context/wave. */
static double llama3(const pl_hparams *hp, double frequency)
{
    double turns = (double)hp->rope_context * frequency / (2 * M_PI);   /* in the original context */
    if (turns > hp->rope_high) return frequency;
    if (turns < hp->rope_low) return frequency / hp->rope_factor;
    double share = (turns - hp->rope_low) / ((double)hp->rope_high - hp->rope_low);
    return (1 - share) * frequency / hp->rope_factor + share * frequency;
}

void pl_rope_frequencies(const pl_hparams *hp, const float *factors, double *frequency)
{
    for (int32_t j = 0; j < hp->head_dim / 2; j++) {
        double f = pow(hp->rope_base, -2.0 * j / hp->head_dim);
        if (hp->rope_scaling == PL_ROPE_LINEAR) f /= hp->rope_factor;
        if (factors) f /= factors[j];
        else if (hp->rope_scaling == PL_ROPE_LLAMA3) f = llama3(hp, f);
        frequency[j] = f;
    }
}

pl_status pl_rope_create(const pl_hparams *hp, const float *factors, int32_t order,
                         int32_t positions, pl_arena *arena, pl_rope *out)
{
    int64_t half = hp->head_dim / 2;
    double *frequency = PL_NEW(arena, double, half);
    *out = (pl_rope){ .half = (int32_t)half, .interleaved = order != 0 };
    out->cosine = PL_NEW(arena, float, positions * half);
    out->sine = PL_NEW(arena, float, positions * half);
    if (!frequency || !out->cosine || !out->sine) return PL_E_MEMORY;
    pl_rope_frequencies(hp, factors, frequency);
    for (int64_t p = 0; p < positions; p++) {
        for (int64_t j = 0; j < half; j++) {
            double angle = (double)p * frequency[j];
            out->cosine[p * half + j] = (float)cos(angle);
            out->sine[p * half + j] = (float)sin(angle);
        }
    }
    return PL_OK;
}

void pl_rope_rotate(const pl_rope *rope, int64_t position, int64_t heads, float *x)
{
    int64_t half = rope->half;
    const float *cosine = rope->cosine + position * half, *sine = rope->sine + position * half;
    for (int64_t h = 0; h < heads; h++, x += 2 * half) {
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
