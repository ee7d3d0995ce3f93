/* test_mean.c: codes of blocks one by one; errors of a row that cancel each other in the mean of its input. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/cpu.h"
#include "core/rng.h"
#include "core/stats.h"
#include "quantizers/codes.h"
#include "quantizers/iq_near.h"
#include "quantizers/mean_groups.h"
#include "tests/unit/suite.h"

enum { ROWS = 6, COLS = 768, COUNT = ROWS * COLS, SEED = 77 };

static float w[COUNT], h[COLS], mean[COLS], weight[COLS], value[COUNT];
static uint8_t blocks[COUNT * 2], before[COUNT * 2];

static float normal(uint64_t stream, uint64_t i) { return (float)pl_rng_normal(SEED, stream, i); }

/* Weights, importance, and a mean of which some columns have much. */
static void fill(float size)
{
    for (uint64_t i = 0; i < COUNT; i++) w[i] = size * normal(1, i);
    for (uint64_t c = 0; c < COLS; c++) {
        float x = normal(2, c);
        h[c] = 0.2f + x * x;
        mean[c] = normal(3, c) * (c % 50 ? 0.5f : 3.0f);
        weight[c] = 0.7f * h[c];
    }
}

/* Cost of one row as stored. */
static double cost_of(const pl_dtype *dtype, const uint8_t *stored, int64_t row)
{
    double sum = 0, cost = 0;
    pl_decode(dtype, stored, value, COUNT);
    for (int64_t c = 0; c < COLS; c++) {
        double error = (double)value[row * COLS + c] - (double)w[row * COLS + c];
        cost += (double)weight[c] * error * error;
        sum += (double)mean[c] * error;
    }
    return cost + sum * sum;
}

/* Every code of every type comes out as it went in, touches nothing but codes, and a higher rank is a level further on
 * in one direction. */
START_TEST(codes_one_by_one)
{
    int known = 0;
    fill(0.1f);
    for (int t = 0; t < PL_DTYPES; t++) {
        const pl_dtype *dtype = &pl_dtypes[t];
        const pl_codes *codes = pl_codes_of(dtype);
        if (!codes) continue;
        known++;
        uint8_t block[512], copy[512], rank[256], back[256];
        float level[256][256];
        pl_reference_encoder(dtype)(w, NULL, 1, dtype->block, block);
        memcpy(copy, block, sizeof block);
        codes->exchange(block, rank, false);
        ck_assert_mem_eq(block, copy, (size_t)dtype->bytes);
        float decoded[256], again[256];
        pl_decode(dtype, block, decoded, dtype->block);
        codes->exchange(block, rank, true);
        pl_decode(dtype, block, again, dtype->block);
        ck_assert_mem_eq(decoded, again, (size_t)dtype->block * sizeof(float));
        for (int r = 0; r < codes->levels; r++) {
            memset(rank, r, sizeof rank);
            codes->exchange(block, rank, true);
            memset(back, 0xee, sizeof back);
            codes->exchange(block, back, false);
            ck_assert_mem_eq(rank, back, (size_t)dtype->block);
            pl_decode(dtype, block, level[r], dtype->block);
        }
        for (int i = 0; i < dtype->block; i++) {
            float way = level[codes->levels - 1][i] - level[0][i];
            for (int r = 1; r < codes->levels && way != 0.0f; r++)
                ck_assert_msg((level[r][i] - level[r - 1][i]) * way > 0.0f, "%s: value %d rank %d", dtype->name, i, r);
        }
        /* ranks that differ from place to place: each value has the level of its own rank */
        for (int i = 0; i < dtype->block; i++) rank[i] = (uint8_t)((i * 7 + i / 16) % codes->levels);
        codes->exchange(block, rank, true);
        pl_decode(dtype, block, decoded, dtype->block);
        for (int i = 0; i < dtype->block; i++) ck_assert_float_eq(decoded[i], level[rank[i]][i]);
        /* back to the first codes: not a bit of the rest has changed */
        codes->exchange(copy, back, false);
        codes->exchange(block, back, true);
        pl_decode(dtype, block, again, dtype->block);
        pl_decode(dtype, copy, decoded, dtype->block);
        ck_assert_mem_eq(decoded, again, (size_t)dtype->block * sizeof(float));
    }
    ck_assert_int_eq(known, 18);
}
END_TEST

/* No single move that is left lowers the cost, and the sum is what it says. */
START_TEST(moves_are_greedy)
{
    enum { N = 37 };
    float x[N], stored[N], up[N], down[N];
    int8_t move[N];
    fill(1);
    for (int trial = 0; trial < 50; trial++) {
        const pl_mean_costs costs = { weight, mean };
        double sum = trial % 3 ? (double)normal(5, (uint64_t)trial) : 0, first = sum, cost = 0, least, change;
        for (int i = 0; i < N; i++) {
            x[i] = normal(6, (uint64_t)(trial * N + i));
            stored[i] = rintf(4 * x[i]) / 4;
            up[i] = stored[i] + (i % 5 ? 0.25f : 0.0f);
            down[i] = stored[i] - 0.25f;
        }
        double start = sum;
        for (int i = 0; i < N; i++) start += (double)(mean[i] * (stored[i] - x[i]));
        int moved = pl_mean_choose(0)(x, stored, up, down, N, costs, start, move, &change), counted = 0;
        int8_t fast[N];
        double again;
        ck_assert_int_eq(pl_mean_choose(pl_cpu_flags())(x, stored, up, down, N, costs, start, fast, &again), moved);
        ck_assert_mem_eq(fast, move, sizeof fast);
        ck_assert_double_eq(again, change);
        ck_assert_double_eq_tol(pl_mean_sum(x, stored, mean, N), start - sum, 1e-4);
        double total = first, as_it_was = start * start;
        for (int i = 0; i < N; i++) {
            double old = stored[i] - x[i];
            as_it_was += (double)weight[i] * old * old;
            counted += move[i] != 0;
            if (move[i]) stored[i] = move[i] > 0 ? up[i] : down[i];
            double error = stored[i] - x[i];
            total += (double)mean[i] * error;
            cost += (double)weight[i] * error * error;
        }
        ck_assert_int_eq(moved, counted);
        ck_assert_double_eq_tol(total, start + change, 1e-4);
        least = cost + total * total;
        ck_assert_double_le(least, as_it_was + 1e-6);
        for (int i = 0; i < N; i++) {
            if (move[i]) continue;
            for (int k = 0; k < 2; k++) {
                double to = k ? up[i] : down[i], error = stored[i] - x[i], after = to - x[i];
                double shift = (double)mean[i] * (to - stored[i]);
                bool towards = start < 0 ? shift > 0 : shift < 0;
                double difference = (double)weight[i] * (after * after - error * error) + shift * (2 * total + shift);
                ck_assert_msg(!towards || difference > -1e-4, "trial %d: value %d could move for %g", trial, i, difference);
            }
        }
    }
}
END_TEST

/* Types with free codes: the cost of a row falls, by much where blocks are coarse; without a mean nothing changes. */
START_TEST(rows_settle)
{
    static const float none[COLS] = { 0 };
    for (int t = 0; t < PL_DTYPES; t++) {
        const pl_dtype *dtype = &pl_dtypes[t];
        if (!pl_codes_of(dtype)) continue;
        size_t bytes = (size_t)(COUNT / dtype->block * dtype->bytes);
        fill(0.05f);
        pl_best_encoder(dtype)(w, h, ROWS, COLS, before);
        memcpy(blocks, before, bytes);
        pl_mean_settle(dtype, w, (pl_mean_costs){ h, none }, ROWS, COLS, blocks);
        ck_assert_mem_eq(blocks, before, bytes);
        pl_mean_settle(dtype, w, (pl_mean_costs){ weight, mean }, ROWS, COLS, blocks);
        double was = 0, is = 0;
        for (int r = 0; r < ROWS; r++) {
            double old = cost_of(dtype, before, r), new = cost_of(dtype, blocks, r);
            ck_assert_msg(new <= old * 1.00001, "%s row %d: %g became %g", dtype->name, r, old, new);
            was += old;
            is += new;
        }
        ck_assert_msg(is < 0.95 * was, "%s: %g became %g", dtype->name, was, is);
        /* a row by itself gives the same bytes */
        size_t row = bytes / ROWS;
        pl_best_encoder(dtype)(w + 2 * COLS, h, 1, COLS, before);
        pl_mean_settle(dtype, w + 2 * COLS, (pl_mean_costs){ weight, mean }, 1, COLS, before);
        ck_assert_mem_eq(before, blocks + 2 * row, row);
    }
}
END_TEST

static double cost_of_groups(const pl_packed *p)
{
    double all = 0;
    ck_assert_int_eq(pl_packed_decode(p, 0, ROWS, value, NULL), PL_OK);
    for (int64_t r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int64_t c = 0; c < COLS; c++) {
            double error = (double)value[r * COLS + c] - (double)w[r * COLS + c];
            all += (double)weight[c] * error * error;
            sum += (double)mean[c] * error;
        }
        all += sum * sum;
    }
    return all;
}

/* The same for codes whose scales lie apart, of every width; scales stay. */
START_TEST(groups_settle)
{
    static const char *const names[] = { "affine2-g32", "affine3-g64", "affine4-g128", "affine5-g32", "affine6-g64",
                                         "affine8-g64" };
    const pl_dtype *f4 = &pl_dtypes[PL_F4_E2M1], *f8 = &pl_dtypes[PL_F8_E4M3], *e8 = &pl_dtypes[PL_F8_E8M0];
    pl_type types[9] = { pl_type_scaled(f4, e8, 1, 32), pl_type_scaled(f4, f8, 1, 16), pl_type_scaled(f8, e8, 1, 32) };
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(pl_type_parse(names[i], &types[3 + i]), PL_OK);
        types[3 + i].scale = &pl_dtypes[i % 2 ? PL_F16 : PL_BF16];
    }
    for (int t = 0; t < 9; t++) {
        pl_packed p;
        uint8_t kept[COUNT];
        fill(0.05f);
        ck_assert_int_eq(pl_packed_init(&p, types[t], ROWS, COLS), PL_OK);
        pl_group_rows r = { .type = &types[t], .source = &pl_dtypes[PL_F32], .w = w, .h = h, .rows = ROWS, .cols = COLS };
        uint8_t *at = blocks;
        for (int i = 0; i < p.nparts; at += p.part[i++].bytes) p.part[i].ptr = r.part[i] = at;
        pl_groups_encoder(&types[t], true)(&r);
        memcpy(kept, r.part[1], (size_t)p.part[1].bytes);
        memcpy(before, blocks, sizeof before);
        double was = cost_of_groups(&p);
        pl_mean_settle_groups(&r, (pl_mean_costs){ weight, (const float[COLS]){ 0 } });
        ck_assert_double_eq_tol(cost_of_groups(&p), was, was * 1e-3);        /* nothing to settle; -0 may become 0 */
        memcpy(blocks, before, sizeof before);
        pl_mean_settle_groups(&r, (pl_mean_costs){ weight, mean });
        double is = cost_of_groups(&p);
        ck_assert_msg(is < 0.95 * was, "%s: %g became %g", pl_type_name(&types[t]), was, is);
        ck_assert_mem_eq(kept, r.part[1], (size_t)p.part[1].bytes);
    }
}
END_TEST

/* The others: what earlier blocks left is made up for by later ones. */
START_TEST(blocks_in_turn)
{
    for (int t = 0; t < PL_DTYPES; t++) {
        const pl_dtype *dtype = &pl_dtypes[t];
        pl_row_encoder encoder = pl_reference_encoder(dtype);
        if (dtype->block == 1 || pl_codes_of(dtype)) continue;
        ck_assert_int_eq(pl_iq_prepare(t), PL_OK);
        fill(0.05f);
        encoder(w, h, ROWS, COLS, before);
        pl_mean_encode(encoder, dtype, w, h, (pl_mean_costs){ weight, mean }, ROWS, COLS, blocks);
        double was = 0, is = 0;
        for (int r = 0; r < ROWS; r++) {
            was += cost_of(dtype, before, r);
            is += cost_of(dtype, blocks, r);
        }
        ck_assert_msg(is < was, "%s: %g became %g", dtype->name, was, is);
        /* the first block of a row has nothing to make up for */
        for (int r = 0; r < ROWS; r++) {
            int64_t at = r * (COLS / dtype->block) * dtype->bytes;
            ck_assert_mem_eq(blocks + at, before + at, (size_t)dtype->bytes);
        }
    }
}
END_TEST

/* Means in units of the root of the mean square, drawn to zero where few rows were seen; the rest of importance. */
START_TEST(costs_from_statistics)
{
    enum { N = 4 };
    const float sum2[N] = { 4e6f, 1e6f, 2e6f, 1e6f }, sum[N] = { 2e6f, 0, -1e6f, 1e6f };
    const pl_stat known = { .cols = N, .sum2 = sum2, .sum = sum, .count = 1e6f };
    float got[N], all[N], to[N];
    ck_assert(pl_stat_means(&known, got, to));
    pl_stat_weights(&known, all);
    for (int c = 0; c < N; c++) {
        ck_assert_float_eq_tol(to[c], sum[c] / 1e6f / sqrtf(2), 1e-4f);
        float share = sum[c] / 1e6f * (sum[c] / 1e6f) / (sum2[c] / 1e6f), rest = 1 - share < 0.1f ? 0.1f : 1 - share;
        ck_assert_float_eq_tol(got[c], all[c] * rest, 1e-4f);
    }
    pl_stat few = known, none = known, unseen = known;
    const float tiny2[N] = { 4, 1, 2, 1 }, tiny[N] = { 2, 0, -1, 1 };
    few.sum2 = tiny2;
    few.sum = tiny;
    few.count = 1;
    ck_assert(pl_stat_means(&few, got, to));
    ck_assert_float_eq_tol(to[0], 2.0f / 17 / sqrtf(2), 1e-4f);
    none.sum = NULL;
    unseen.count = 0;
    ck_assert(!pl_stat_means(&none, got, to));
    ck_assert(!pl_stat_means(&unseen, got, to));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { codes_one_by_one, moves_are_greedy, rows_settle, groups_settle, blocks_in_turn,
                                   costs_from_statistics };
    return run_cases("mean", NULL, NULL, tests, (int)(sizeof tests / sizeof *tests));
}
