/* kernels_micro.c: small floats with scales for groups in plain C: the definition. */
#include <stdint.h>

#include "runtime-check/kernels_micro.h"

/* ---- 4 bits: lane j has the products of the four codes that begin at 4 j; of odd blocks it is lane j + 8 ---- */

static void unpack_e2m1(const uint8_t *packed, int64_t n, uint8_t *codes)
{
    static const int8_t twice[16] = { PL_E2M1_TWICE };
    for (int64_t i = 0; i < n; i++) codes[i] = (uint8_t)twice[packed[i / 2] >> (i % 2 * 4) & 15];
}

static inline void run_e2m1(int halves, const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)
{
    for (int64_t b = 0; b < blocks; b++, x += sizeof(pl_act_block)) {
        pl_act_block in;
        memcpy(&in, x, sizeof in);
        for (int l = 0; l < MICRO_ROWS; l++) {
            const uint8_t *codes = t->codes[l] + 32 * b;
            float *lane = sums[l].lane + b % 2 * 8;
            for (int j = 0; j < 8; j++) {
                int dot = 0;
                for (int k = 4 * j; k < 4 * j + 4; k++) dot += (int8_t)codes[k] * in.q[k];
                lane[j] += t->factor[l][b * halves + j * halves / 8] * in.d * (float)dot;
            }
        }
    }
}

/* ---- 8 bits: lane j has the columns j and j + 16 ---- */

static void run_e4m3(const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)
{
    for (int64_t b = 0; b < blocks; b++, x += 32 * sizeof(float)) {
        float v[32], in[32];
        memcpy(in, x, sizeof in);
        for (int l = 0; l < MICRO_ROWS; l++) {
            pl_dtypes[PL_F8_E4M3].decode(t->codes[l] + 32 * b, v, 32);
            for (int k = 0; k < 32; k++) v[k] = v[k] * 0x1p-8f * in[k];
            for (int j = 0; j < 16; j++) sums[l].lane[j] += (v[j] + v[j + 16]) * t->factor[l][b];
        }
    }
}

MICRO_KERNELS("ref")

void pl_kernels_micro(pl_kernel_list *list) { pl_kernels_add(list, kernels, PL_COUNT(kernels)); }
