/* layout_transpose.c: packing where rows of the input become columns of the output: blocks that are turned in words. */
#include <string.h>

#include "core/layout_walk.h"

/* Bytes of a line of the cache; a tile: so many rows of so many bytes each. */
enum { LINE = 64, HIGH = 64, WIDE = 256 };

/* Swaps the part of a that `mask` << by selects with that of b at mask. */
static inline void swap(uint64_t *a, uint64_t *b, int by, uint64_t mask)
{
    uint64_t t = (*a >> by ^ *b) & mask;
    *b ^= t;
    *a ^= t << by;
}

static inline void turn_8(uint64_t w[8])
{
    for (int i = 0; i < 4; i++) swap(&w[i], &w[i + 4], 32, 0xffffffff);
    for (int i = 0; i < 8; i++)
        if (!(i & 2)) swap(&w[i], &w[i + 2], 16, 0x0000ffff0000ffff);
    for (int i = 0; i < 8; i += 2) swap(&w[i], &w[i + 1], 8, 0x00ff00ff00ff00ff);
}

static inline void turn_4(uint64_t w[4])
{
    for (int i = 0; i < 2; i++) swap(&w[i], &w[i + 2], 32, 0xffffffff);
    for (int i = 0; i < 4; i += 2) swap(&w[i], &w[i + 1], 16, 0x0000ffff0000ffff);
}

static inline void turn_2(uint64_t w[2]) { swap(&w[0], &w[1], 32, 0xffffffff); }

static inline void turn_1(uint64_t w[1]) { }

/* out[j * out_step + i] = in[i * in_step + j], i < rows, j < cols; steps in bytes. Whole blocks, n elements of `size`
 * bytes in a word. */
#define TURN(n, size)                                                                              \
    for (int64_t i = 0; i + (n) <= rows; i += (n))                                                 \
        for (int64_t j = 0; j + (n) <= cols; j += (n)) {                                           \
            uint64_t w[n];                                                                         \
            for (int k = 0; k < (n); k++) memcpy(&w[k], in + (i + k) * in_step + j * (size), 8);   \
            turn_##n(w);                                                                           \
            for (int k = 0; k < (n); k++) memcpy(out + (j + k) * out_step + i * (size), &w[k], 8); \
        }                                                                                          \
    break;

static void turn(const uint8_t *in, int64_t in_step, uint8_t *out, int64_t out_step, int64_t rows, int64_t cols,
                 int size)
{
    int n = 8 / size;
    switch (size) {
    case 1: TURN(8, 1)
    case 2: TURN(4, 2)
    case 4: TURN(2, 4)
    default: TURN(1, 8)
    }
    /* what whole blocks leave at the edges */
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = j < cols / n * n ? rows / n * n : 0; i < rows; i++)
            memcpy(out + j * out_step + i * size, in + i * in_step + j * size, (size_t)size);
}

/* Large matrices by tiles that are complete before they are written: lines of the output that are a power of two apart
 * would drive each other out of the cache if they were written piece by piece. */
static void matrix(const uint8_t *in, int64_t in_step, uint8_t *out, int64_t out_step, int64_t rows, int64_t cols,
                   int size)
{
    uint8_t tile[WIDE * HIGH];
    int64_t high = size == 8 ? HIGH / 2 : HIGH, wide = WIDE / size;
    if (rows * size < LINE) {
        turn(in, in_step, out, out_step, rows, cols, size);
        return;
    }
    for (int64_t i = 0; i < rows; i += high)
        for (int64_t j = 0; j < cols; j += wide) {
            int64_t m = pl_min64(high, rows - i), n = pl_min64(wide, cols - j);
            turn(in + i * in_step + j * size, in_step, tile, m * size, m, n, size);
            for (int64_t k = 0; k < n; k++)
                memcpy(out + (j + k) * out_step + i * size, tile + k * m * size, (size_t)(m * size));
        }
}

void pl_fast_transpose(const pl_fast *fast, const uint8_t *in, uint8_t *out)
{
    const pl_flat *f = &fast->modes;
    pl_flat from = { .count = 0 }, to = { .count = 0 };
    int64_t place = 1, out_step = 0, rows = f->shape[0], cols = f->shape[fast->along];
    int size = fast->bits / 8;
    for (int k = 0; k < f->count; k++) {
        if (k == fast->along) out_step = place * size;
        else if (k > 0) {
            from.shape[from.count] = to.shape[from.count] = f->shape[k];
            from.stride[from.count] = f->stride[k] * size;
            to.stride[from.count++] = place * size;
        }
        place *= f->shape[k];
    }
    to.count = from.count;
    pl_walk source, target;
    pl_walk_start(&source, &from, fast->offset * size, PL_WALK_SPAN);
    pl_walk_start(&target, &to, 0, PL_WALK_SPAN);
    do {
        for (int i = 0; i < source.count; i++)
            matrix(in + source.base + source.table[i], f->stride[0] * size, out + target.base + target.table[i],
                   out_step, rows, cols, size);
    } while (pl_walk_next(&target) && pl_walk_next(&source));
}
