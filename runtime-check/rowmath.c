/* rowmath.c: norms, activations and soft caps of one row. */
#include "runtime-check/rowmath.h"

#include <math.h>

#include "runtime-check/vecmath.h"

enum { PIECE = 256 };           /* values at a time, so that steps in between stay in the first cache */

void pl_norm_row(pl_norm kind, float eps, const pl_norm_weights *w, const float *x, float *out, int64_t n)
{
    const float *weight = w->weight, *bias = w->bias;
    if (kind == PL_NORM_RMS) {
        float scale = (float)(1 / sqrt(pl_sum_squares(x, n) / (double)n + (double)eps));
        for (int64_t c = 0; c < n; c++) out[c] = x[c] * scale * weight[c];
    } else {
        double mean = pl_sum_wide(x, n) / (double)n;
        double scale = 1 / sqrt(pl_sum_deviations(x, mean, n) / (double)n + (double)eps);
        for (int64_t c = 0; c < n; c++) out[c] = (float)((x[c] - mean) * scale) * weight[c];
    }
    if (bias) {
        for (int64_t c = 0; c < n; c++) out[c] += bias[c];
    }
}

/* x σ(x) */
static void silu(float *x, int64_t n)
{
    float e[PIECE];
    for (int64_t c = 0; c < n; c++) e[c] = -x[c];
    pl_exp_row_f32(e, 0, e, n);
    for (int64_t c = 0; c < n; c++) x[c] = x[c] / (1 + e[c]);
}

/* x Φ(x), Φ of the normal distribution */
static void gelu(float *x, int64_t n)
{
    for (int64_t c = 0; c < n; c++) x[c] = 0.5f * x[c] * (1 + erff(x[c] * (float)M_SQRT1_2));
}

/* x (1 + tanh u) / 2 = x σ(2u), u = sqrt(2/π) (x + 0.044715 x³) */
static void gelu_tanh(float *x, int64_t n)
{
    float e[PIECE];
    const float twice = -1.5957691f;    /* -2 sqrt(2/π) */
    for (int64_t c = 0; c < n; c++) e[c] = twice * x[c] * (1 + 0.044715f * x[c] * x[c]);
    pl_exp_row_f32(e, 0, e, n);
    for (int64_t c = 0; c < n; c++) x[c] = x[c] / (1 + e[c]);
}

void pl_activate_row(pl_activation act, float *gate, const float *up, int64_t n)
{
    void (*const apply)(float *, int64_t) = act == PL_ACT_SILU ? silu : act == PL_ACT_GELU ? gelu : gelu_tanh;
    for (int64_t first = 0; first < n; first += PIECE) {
        int64_t count = pl_min64(PIECE, n - first);
        float *y = gate + first;
        apply(y, count);
        if (!up) continue;
        for (int64_t c = 0; c < count; c++) y[c] *= up[first + c];
    }
}

/* tanh x = x + x z Q(z) for small x, z = x²: Q interpolates at Chebyshev's points of [0, 0.4]. Elsewhere it is
 * 1 - 2 / (e^2x + 1). Either way below 2 ulp. */
void pl_softcap_row(float *x, float cap, int64_t n)
{
    float t[PIECE], e[PIECE];
    for (int64_t first = 0; first < n; first += PIECE) {
        int64_t count = pl_min64(PIECE, n - first);
        float *y = x + first;
        for (int64_t c = 0; c < count; c++) {
            t[c] = y[c] / cap;
            e[c] = 2 * t[c];
        }
        pl_exp_row_f32(e, 0, e, count);
        for (int64_t c = 0; c < count; c++) {
            float z = t[c] * t[c], q = -0.006045165f;
            q = q * z + 0.02096133f;
            q = q * z - 0.053843264f;
            q = q * z + 0.13332719f;
            q = q * z - 0.33333328f;
            float near = t[c] + t[c] * z * q, far = 1 - 2 / (e[c] + 1);
            y[c] = cap * (z < 0.39f ? near : far);
        }
    }
}
