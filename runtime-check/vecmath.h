/* vecmath.h: small float loops that compilers vectorize without being allowed to reorder sums. */
#ifndef RUNTIME_CHECK_VECMATH_H
#define RUNTIME_CHECK_VECMATH_H

#include <string.h>

#include "core/half.h"

/* e^x, below 2 ulp, for x in [-87.3, 88.3] or NaN. x = n ln 2 + r with n an integer and |r| <= ln 2 / 2;
 * Taylor to r^7; 2^n by its exponent bits. Adding 1.5 * 2^23 rounds to an integer and leaves it in the
 * low bits of the mantissa. */
static inline float pl_exp_f32(float x)
{
    float shifted = x * 1.44269504f + 0x1.8p23f, n = shifted - 0x1.8p23f;
    float r = (x - n * 0x1.62e4p-1f) - n * 1.42860682e-6f;     /* ln 2 in two pieces */
    float q = 1.0f / 5040;
    q = q * r + 1.0f / 720;
    q = q * r + 1.0f / 120;
    q = q * r + 1.0f / 24;
    q = q * r + 1.0f / 6;
    q = q * r + 0.5f;
    return (1.0f + (r + r * r * q)) * pl_bits_f32((pl_f32_bits(shifted) << 23) + 0x3f800000u);
}

/* The same in double for x in [-708, 709]; relative error below 1e-15. */
static inline double pl_exp_f64(double x)
{
    double shifted = x * 1.4426950408889634 + 0x1.8p52, n = shifted - 0x1.8p52;
    double r = (x - n * 0x1.62e42feep-1) - n * 1.9082149292705877e-10;
    double q = 1.0 / 6227020800;
    q = q * r + 1.0 / 479001600;
    q = q * r + 1.0 / 39916800;
    q = q * r + 1.0 / 3628800;
    q = q * r + 1.0 / 362880;
    q = q * r + 1.0 / 40320;
    q = q * r + 1.0 / 5040;
    q = q * r + 1.0 / 720;
    q = q * r + 1.0 / 120;
    q = q * r + 1.0 / 24;
    q = q * r + 1.0 / 6;
    q = q * r + 0.5;
    uint64_t bits;
    double scale;
    memcpy(&bits, &shifted, 8);
    bits = (bits << 52) + 0x3ff0000000000000u;
    memcpy(&scale, &bits, 8);
    return (1.0 + (r + r * r * q)) * scale;
}

/* out[i] = e^(x[i] - shift), x - shift held to [-87.3, 88.3]. The bounds have a loop of their own: inside
 * the other one compilers turn them into branches. */
static inline void pl_exp_row_f32(const float *x, float shift, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float d = x[i] - shift;
        d = d < -87.3f ? -87.3f : d;
        out[i] = d > 88.3f ? 88.3f : d;
    }
    for (int64_t i = 0; i < n; i++) out[i] = pl_exp_f32(out[i]);
}

enum { PL_LANES = 16 };         /* partial results of a reduction, always as many, so that its value is one */

/* Largest value; NaNs are passed over. n >= 1. */
static inline float pl_max_f32(const float *x, int64_t n)
{
    float lane[PL_LANES], max = x[0];
    for (int l = 0; l < PL_LANES; l++) lane[l] = x[0];
    int64_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES) {
        for (int l = 0; l < PL_LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    }
    for (; i < n; i++) max = x[i] > max ? x[i] : max;
    for (int l = 0; l < PL_LANES; l++) max = lane[l] > max ? lane[l] : max;
    return max;
}

static inline double pl_sum_f64(const double *x, int64_t n)
{
    double lane[PL_LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES) {
        for (int l = 0; l < PL_LANES; l++) lane[l] += x[i + l];
    }
    for (; i < n; i++) sum += x[i];
    for (int l = 0; l < PL_LANES; l++) sum += lane[l];
    return sum;
}

static inline float pl_sum_f32(const float *x, int64_t n)
{
    float lane[PL_LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES) {
        for (int l = 0; l < PL_LANES; l++) lane[l] += x[i + l];
    }
    for (; i < n; i++) sum += x[i];
    for (int l = 0; l < PL_LANES; l++) sum += lane[l];
    return sum;
}

/* Σ x, in double. */
static inline double pl_sum_wide(const float *x, int64_t n)
{
    double lane[PL_LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES) {
        for (int l = 0; l < PL_LANES; l++) lane[l] += x[i + l];
    }
    for (; i < n; i++) sum += x[i];
    for (int l = 0; l < PL_LANES; l++) sum += lane[l];
    return sum;
}

/* Σ (x - middle)², in double. */
static inline double pl_sum_deviations(const float *x, double middle, int64_t n)
{
    double lane[PL_LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES) {
        for (int l = 0; l < PL_LANES; l++) lane[l] += (x[i + l] - middle) * (x[i + l] - middle);
    }
    for (; i < n; i++) sum += (x[i] - middle) * (x[i] - middle);
    for (int l = 0; l < PL_LANES; l++) sum += lane[l];
    return sum;
}

/* Σ x², in double. */
static inline double pl_sum_squares(const float *x, int64_t n)
{
    double lane[PL_LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES) {
        for (int l = 0; l < PL_LANES; l++) lane[l] += (double)x[i + l] * x[i + l];
    }
    for (; i < n; i++) sum += (double)x[i] * x[i];
    for (int l = 0; l < PL_LANES; l++) sum += lane[l];
    return sum;
}

#endif
