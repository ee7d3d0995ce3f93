/* iq_grids.c: the grids of the IQ types, unpacked from their text. */
#include "core/iq_grids.h"

#include <pthread.h>

const int8_t pl_iq4_values[16] = { PL_IQ4_VALUES };

static pl_iq_grids grids;

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

/* Two digits make a byte, the first is its high half. A byte holds places in `values`, `bits` bits each,
 * the first lowest. */
static void unpack(int which, int bits, const int8_t *values, int8_t *out, int count)
{
    const char *hex = pl_iq_grid_hex[which];
    for (int i = 0; i < count; hex += 2) {
        int byte = digit(hex[0]) << 4 | digit(hex[1]);
        for (int at = 0; at < 8; at += bits) out[i++] = values[byte >> at & ((1 << bits) - 1)];
    }
}

static void unpack_all(void)
{
    static const int8_t two[4] = { 8, 25, 43 }, one[4] = { -1, 0, 1 };
    static const int8_t three_xxs[16] = { 4, 12, 20, 28, 36, 44, 52, 62 };
    static const int8_t three_s[16] = { 1, 3, 5, 7, 9, 11, 13, 15 };
    unpack(PL_GRID_IQ2_XXS, 2, two, grids.iq2_xxs[0], sizeof grids.iq2_xxs);
    unpack(PL_GRID_IQ2_XS, 2, two, grids.iq2_xs[0], sizeof grids.iq2_xs);
    unpack(PL_GRID_IQ2_S, 2, two, grids.iq2_s[0], sizeof grids.iq2_s);
    unpack(PL_GRID_IQ3_XXS, 4, three_xxs, grids.iq3_xxs[0], sizeof grids.iq3_xxs);
    unpack(PL_GRID_IQ3_S, 4, three_s, grids.iq3_s[0], sizeof grids.iq3_s);
    unpack(PL_GRID_IQ1_S, 2, one, grids.iq1_s[0], sizeof grids.iq1_s);
}

const pl_iq_grids *pl_iq_grids_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, unpack_all);
    return &grids;
}
