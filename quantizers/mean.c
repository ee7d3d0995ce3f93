/* mean.c: errors of a row that cancel each other in the mean of its input. */
#include "quantizers/mean.h"

#include <string.h>

#include "core/cpu.h"
#include "quantizers/codes.h"
#include "quantizers/mean_moves.h"

enum { SUM_LANES = 16 };

/* In lanes that are always the same. */
double pl_mean_sum(const float *w, const float *value, const float *mean, int64_t n)
{
    double lane[SUM_LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES)
        for (int l = 0; l < SUM_LANES; l++) lane[l] += (double)(mean[i + l] * (value[i + l] - w[i + l]));
    for (; i < n; i++) lane[i % SUM_LANES] += (double)(mean[i] * (value[i] - w[i]));
    for (int l = 0; l < SUM_LANES; l++) sum += lane[l];
    return sum;
}

static int moves_plain(const float *w, const float *value, const float *up, const float *down, int n,
                       pl_mean_costs costs, double sum, int8_t *move, double *change)
{
    return mean_moves(w, value, up, down, n, costs, sum, move, change);
}

pl_mean_chooser pl_mean_choose(unsigned cpu_flags)
{
#if defined(PL_X86)
    if (cpu_flags & PL_CPU_AVX512) return pl_mean_moves_avx512;
    if (cpu_flags & PL_CPU_AVX2) return pl_mean_moves_avx2;
#endif
    return moves_plain;
}

/* Blocks with all ranks moved by `by`, as far as there are levels. */
static void decode_moved(const pl_dtype *dtype, const pl_codes *codes, const uint8_t *blocks, const uint8_t *rank,
                         int n, int by, float *out)
{
    uint8_t copy[PL_MEAN_VALUES / 32 * 36 + 64], moved[PL_MEAN_VALUES];
    int count = n / dtype->block;
    memcpy(copy, blocks, (size_t)(count * dtype->bytes));
    for (int i = 0; i < n; i++) {
        int to = rank[i] + by;
        moved[i] = (uint8_t)(to < 0 ? 0 : to >= codes->levels ? codes->levels - 1 : to);
    }
    for (int b = 0; b < count; b++) codes->exchange(copy + b * dtype->bytes, moved + b * dtype->block, true);
    pl_decode(dtype, copy, out, n);
}

/* Every piece makes up for its share of what is left: moves near the middle between two levels cost little, and all
 * pieces have some. A move that pays for a share pays for the whole. */
void pl_mean_settle_row(const pl_mean_row *row, const float *w, pl_mean_costs costs, int64_t cols)
{
    pl_mean_chooser choose = pl_mean_choose(pl_cpu_flags());
    uint8_t rank[PL_MEAN_VALUES];
    float value[PL_MEAN_VALUES], up[PL_MEAN_VALUES], down[PL_MEAN_VALUES];
    int8_t move[PL_MEAN_VALUES];
    double sum = 0, change;
    for (int64_t c = 0; c < cols; c += PL_MEAN_VALUES) {
        int n = (int)pl_min64(cols - c, PL_MEAN_VALUES);
        row->look(row, c, n, NULL, value, NULL, NULL);
        sum += pl_mean_sum(w + c, value, costs.mean + c, n);
    }
    for (int64_t c = 0; c < cols; c += PL_MEAN_VALUES) {
        int n = (int)pl_min64(cols - c, PL_MEAN_VALUES);
        double share = sum / (double)pl_ceil_div(cols - c, PL_MEAN_VALUES);
        const pl_mean_costs here = { costs.weight + c, costs.mean + c };
        row->look(row, c, n, rank, value, up, down);
        if (!choose(w + c, value, up, down, n, here, share, move, &change)) continue;
        for (int i = 0; i < n; i++) rank[i] = (uint8_t)(rank[i] + move[i]);
        row->store(row, c, n, rank);
        sum += change;
    }
}

static uint8_t *blocks_at(const pl_mean_row *row, int64_t col)
{
    const pl_dtype *dtype = row->ctx;
    return row->at[0] + col / dtype->block * dtype->bytes;
}

static void look_blocks(const pl_mean_row *row, int64_t col, int n, uint8_t *rank, float *value, float *up, float *down)
{
    const pl_dtype *dtype = row->ctx;
    uint8_t *blocks = blocks_at(row, col);
    pl_decode(dtype, blocks, value, n);
    if (!rank) return;
    const pl_codes *codes = pl_codes_of(dtype);
    for (int b = 0; b < n / dtype->block; b++)
        codes->exchange(blocks + b * dtype->bytes, rank + b * dtype->block, false);
    decode_moved(dtype, codes, blocks, rank, n, 1, up);
    decode_moved(dtype, codes, blocks, rank, n, -1, down);
}

static void store_blocks(const pl_mean_row *row, int64_t col, int n, uint8_t *rank)
{
    const pl_dtype *dtype = row->ctx;
    for (int b = 0; b < n / dtype->block; b++)
        pl_codes_of(dtype)->exchange(blocks_at(row, col) + b * dtype->bytes, rank + b * dtype->block, true);
}

void pl_mean_settle(const pl_dtype *dtype, const float *w, pl_mean_costs costs, int64_t rows, int64_t cols,
                    uint8_t *out)
{
    int64_t row_bytes = cols / dtype->block * dtype->bytes;
    for (int64_t r = 0; r < rows; r++) {
        const pl_mean_row row = { look_blocks, store_blocks, dtype, { out + r * row_bytes } };
        pl_mean_settle_row(&row, w + r * cols, costs, cols);
    }
}

void pl_mean_encode(pl_row_encoder encoder, const pl_dtype *dtype, const float *w, const float *h, pl_mean_costs costs,
                    int64_t rows, int64_t cols, uint8_t *out)
{
    float asked[PL_MEAN_VALUES], value[PL_MEAN_VALUES];
    int n = dtype->block;
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < cols; c += n, w += n, out += dtype->bytes) {
            const float *mean = costs.mean + c, *weight = costs.weight + c;
            /* sum(weight d^2) + (sum + mean d)^2 is least at d = -sum mean / weight / room */
            double room = 1;
            for (int i = 0; i < n; i++) room += weight[i] > 0.0f ? (double)mean[i] * mean[i] / weight[i] : 0;
            for (int i = 0; i < n; i++)
                asked[i] = weight[i] > 0.0f ? w[i] - (float)(sum / room * (mean[i] / weight[i])) : w[i];
            encoder(asked, h ? h + c : NULL, 1, n, out);
            pl_decode(dtype, out, value, n);
            sum += pl_mean_sum(w, value, mean, n);
        }
    }
}
