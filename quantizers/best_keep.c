/* best_keep.c: blocks of a search replace the reference's where they have less error. */
#include "quantizers/best_keep.h"

#include <math.h>
#include <string.h>

/* In eight sums: the order is fixed, and compilers may use vectors. n: a multiple of 8. */
static double error_of(const float *w, const float *h, const float *decoded, int n)
{
    double sum[8] = { 0.0 };
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < 8; j++) {
            double difference = (double)w[i + j] - (double)decoded[i + j];
            sum[j] += (h ? (double)h[i + j] : 1.0) * (difference * difference);
        }
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

uint8_t *pl_best_keep(const pl_dtype *dtype, const float *w, const float *h, int64_t cols, int64_t at, int count,
                      const uint8_t *mine, uint8_t *out)
{
    float ours[PL_BEST_VALUES], theirs[PL_BEST_VALUES];
    int n = dtype->block;
    pl_decode(dtype, mine, ours, count);
    pl_decode(dtype, out, theirs, count);
    for (int i = 0; i < count; i += n, mine += dtype->bytes, out += dtype->bytes) {
        const float *weight = h ? h + (at + i) % cols : NULL;
        double reference = error_of(w + i, weight, theirs + i, n);
        if (reference < (double)INFINITY && error_of(w + i, weight, ours + i, n) < reference)
            memcpy(out, mine, (size_t)dtype->bytes);
    }
    return out;
}
