/* mean_avx2.c: the choice of moves along the mean, compiled for AVX2. */
#include "quantizers/mean_moves.h"

int pl_mean_moves_avx2(const float *w, const float *value, const float *up, const float *down, int n,
                       pl_mean_costs costs, double sum, int8_t *move, double *change)
{
    return mean_moves(w, value, up, down, n, costs, sum, move, change);
}
