/* iq_parts.h: what the encoders of IQ types do alike: signs of eight values, scales of sub-blocks. */
#ifndef QUANTIZERS_IQ_PARTS_H
#define QUANTIZERS_IQ_PARTS_H

#include "quantizers/lanes.h"

/* Signs and magnitudes of eight values; returns the signs. Where their number has to be even, the value that weighs
 * least gets the wrong one. */
PL_INLINE uint8_t pl_iq_split(const float *w, const float *weight, bool even, float *x)
{
    unsigned signs = 0;
    for (int i = 0; i < 8; i++) {
        bool negative = !(w[i] >= 0.0f);
        x[i] = negative ? -w[i] : w[i];
        signs |= (unsigned)negative << i;
    }
    if (even && __builtin_parity(signs)) {
        int least = 0;
        for (int i = 1; i < 8; i++)
            if (weight[i] * w[i] * w[i] < weight[least] * w[least] * w[least]) least = i;
        x[least] = -x[least];
        signs ^= 1u << least;
    }
    return (uint8_t)signs;
}

/* Scales of n <= 16 sub-blocks to codes l <= top, which stand for 2 l + 1 steps; returns the largest: 2 top + 1 steps.
 * Scales are stored without signs; one that is no number (sums of huge values: ggml stops there) counts as zero. */
PL_INLINE float pl_iq_scales(const float *found, int n, int top, uint8_t *codes)
{
    float scale[16], max = 0.0f;
    for (int k = 0; k < n; k++) {
        float magnitude = fabsf(found[k]);
        scale[k] = magnitude > 0.0f ? magnitude : 0.0f;
        max = max > scale[k] ? max : scale[k];
    }
    float d = max / (float)(2 * top + 1), inverse = 1.0f / d;
    for (int k = 0; k < n; k++) {
        int l = max > 0.0f ? pl_nearest(0.5f * (inverse * scale[k] - 1.0f)) : 0;
        codes[k] = (uint8_t)(l < 0 ? 0 : l > top ? top : l);
    }
    return max;
}

#endif
