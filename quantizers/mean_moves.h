/* mean_moves.h: which codes to move, in loops that compilers turn into vectors: compiled for each instruction set, the
 * same operations on every value. */
#ifndef QUANTIZERS_MEAN_MOVES_H
#define QUANTIZERS_MEAN_MOVES_H

#include <float.h>
#include <string.h>

#include "quantizers/lanes.h"
#include "quantizers/mean.h"

enum { MEAN_LANES = 16, MEAN_MOST = 64 };

/* The least of price[i] + change[i] * (twice + change[i]), the first of equals; -1: none is below 0. */
PL_INLINE int mean_least(const float *price, const float *change, int n, float twice)
{
    float least[MEAN_LANES];
    int at[MEAN_LANES], found = -1;
    for (int l = 0; l < MEAN_LANES; l++) least[l] = 0.0f, at[l] = -1;
    for (int i = 0; i < n; i += MEAN_LANES) {
        for (int l = 0; l < MEAN_LANES; l++) {
            float cost = price[i + l] + change[i + l] * (twice + change[i + l]);
            at[l] = cost < least[l] ? i + l : at[l];
            least[l] = cost < least[l] ? cost : least[l];
        }
    }
    float best = 0.0f;
    for (int l = 0; l < MEAN_LANES; l++) {
        if (least[l] > best || at[l] < 0 || (least[l] == best && found >= 0 && at[l] > found)) continue;
        best = least[l];
        found = at[l];
    }
    return found;
}

PL_INLINE int mean_moves(const float *w, const float *value, const float *up, const float *down, int n,
                         pl_mean_costs costs, double sum, int8_t *move, double *change_of_all)
{
    float price[PL_MEAN_VALUES + MEAN_LANES], change[PL_MEAN_VALUES + MEAN_LANES], towards = sum < 0 ? 1.0f : -1.0f;
    double total = sum;
    int moved = 0, padded = (n + MEAN_LANES - 1) / MEAN_LANES * MEAN_LANES;
    /* Of its two neighbours the one that takes the sum towards zero. */
    for (int i = 0; i < n; i++) {
        float rise = costs.mean[i] * (up[i] - value[i]) * towards;
        float fall = costs.mean[i] * (down[i] - value[i]) * towards;
        float to = rise > 0.0f ? up[i] : down[i], by = rise > 0.0f ? rise : fall;
        float before = value[i] - w[i], after = to - w[i], cost = costs.weight[i] * (after * after - before * before);
        price[i] = by > 0.0f && cost < FLT_MAX ? cost : FLT_MAX;
        change[i] = by > 0.0f && cost < FLT_MAX ? by * towards : 0.0f;
    }
    for (int i = n; i < padded; i++) change[i] = 0.0f, price[i] = FLT_MAX;
    memset(move, 0, (size_t)n);
    while (moved < MEAN_MOST) {
        int i = mean_least(price, change, padded, (float)(2 * total));
        if (i < 0) break;
        total += (double)change[i];
        price[i] = FLT_MAX;
        change[i] = 0.0f;
        move[i] = costs.mean[i] * (up[i] - value[i]) * towards > 0.0f ? 1 : -1;
        moved++;
    }
    *change_of_all = total - sum;
    return moved;
}

#endif
