/* k_search.c: the searches for scales on one group of values, plain C. */
#include "quantizers/k_search.h"

static int clamp(int l, int low, int high) { return l < low ? low : l > high ? high : l; }

float pl_k_symmetric_codes(const float *x, const float *w, int n, int range, uint8_t *codes)
{
    pl_k_symmetric best = pl_k_search_symmetric(x, w, n, range);
    for (int i = 0; i < n; i++) {
        int l = clamp(pl_nearest(best.inverse * x[i]), -range, range - 1);
        codes[i] = (uint8_t)(isnan(best.inverse) ? 0 : l + range);
    }
    return best.scale;
}

/* Up to five rounds that move single codes while that lowers the error. */
static float move_levels(const float *x, const float *w, int n, int top, uint8_t *codes)
{
    float sum_lx = 0.0f, sum_l2 = 0.0f;
    for (int i = 0; i < n; i++) {
        float l = (float)codes[i];
        sum_lx += w[i] * x[i] * l;
        sum_l2 += w[i] * l * l;
    }
    bool moved = true;
    for (int round = 0; round < 5 && moved; round++) {
        moved = false;
        for (int i = 0; i < n; i++) {
            float old = (float)codes[i];
            float other_lx = sum_lx - w[i] * x[i] * old, other_l2 = sum_l2 - w[i] * old * old;
            if (!(other_lx > 0.0f && other_l2 > 0.0f)) continue;
            int l = pl_nearest(x[i] * other_l2 / other_lx);
            if (l > top) l = top;
            if (l == codes[i]) continue;
            float new_lx = other_lx + w[i] * x[i] * (float)l, new_l2 = other_l2 + w[i] * (float)l * (float)l;
            if (!(new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2)) continue;
            codes[i] = (uint8_t)l;
            sum_lx = new_lx;
            sum_l2 = new_l2;
            moved = true;
        }
    }
    return sum_l2 > 0.0f ? sum_lx / sum_l2 : 0.0f;
}

float pl_k_level_codes(const float *x, const float *w, int n, int top, uint8_t *codes)
{
    float max = 0.0f;
    for (int i = 0; i < n; i++) max = v_max(max, x[i]);
    for (int i = 0; i < n; i++) codes[i] = 0;
    if (max < PL_TINY) return 0.0f;
    float best = (float)top / max, least = 0.0f;
    /* 0 first, then -4 .. 4 without it */
    for (int round = 0; round < 9; round++) {
        int k = round == 0 ? 0 : round < 5 ? round - 5 : round - 4;
        float inverse = (0.1f * (float)k + (float)top) / max, scale = 1.0f / inverse, error = 0.0f;
        for (int i = 0; i < n; i++) {
            int l = pl_nearest(inverse * x[i]);
            float difference = x[i] - scale * (float)(l > top ? top : l);
            error += w[i] * difference * difference;
        }
        if (round > 0 && !(error < least)) continue;
        least = error;
        best = inverse;
    }
    for (int i = 0; i < n; i++) {
        int l = pl_nearest(best * x[i]);
        codes[i] = (uint8_t)(l > top ? top : l);
    }
    return move_levels(x, w, n, top, codes);
}
