/* kernels_affine.c: MLX's affine types in plain C: the definition. */
#include <stdint.h>

#include "runtime-check/kernels_affine.h"

static void run(const uint8_t *codes, int64_t groups, int64_t per_group, const float *scale, const float *bias,
                const uint8_t *x, affine_sums *sums)
{
    for (int64_t g = 0; g < groups; g++) {
        float sum = 0;
        for (int64_t b = 0; b < per_group; b++, codes += 32, x += sizeof(pl_act_block)) {
            pl_act_block in;
            memcpy(&in, x, sizeof in);
            float d = scale[g] * in.d;
            for (int j = 0; j < 8; j++) {
                int dot = 0;
                for (int k = 4 * j; k < 4 * j + 4; k++) dot += codes[k] * in.q[k];
                sums->lane[j] += d * (float)dot;
            }
            sum += in.d * (float)in.sum;
        }
        sums->bias += bias[g] * sum;
    }
}

static void matmul(const pl_packed *w, int64_t first, int64_t count, const void *x, int64_t ldx, int64_t n, float *y,
                   int64_t ldy)
{
    affine_matmul(w, first, count, x, ldx, n, y, ldy, run);
}

void pl_kernels_affine(pl_kernel_list *list)
{
    static const pl_kernel kernels[] = { { "affine ref", PL_ACT_Q8, pl_takes_affine, matmul } };
    pl_kernels_add(list, kernels, PL_COUNT(kernels));
}
