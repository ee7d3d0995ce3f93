/* mean.h: errors of a row that cancel each other in the mean of its input. docs/methods/best.md has the formulas. */
#ifndef QUANTIZERS_MEAN_H
#define QUANTIZERS_MEAN_H

#include "quantizers/encoders.h"

/* What an error of weight j costs: weight[j] * error^2, and for all of a row together (sum of mean[j] * error)^2. */
typedef struct pl_mean_costs {
    const float *weight;        /* [cols] >= 0 */
    const float *mean;          /* [cols] */
} pl_mean_costs;

enum { PL_MEAN_VALUES = 256 };  /* of a piece of a row */

/* The sum of mean * error over n values as stored. */
double pl_mean_sum(const float *w, const float *value, const float *mean, int64_t n);

/* A piece of a row that could be other than it is: n <= PL_MEAN_VALUES values as stored, and what each would be one
 * level up or down; the same as `value` where there is none. sum: that of mean * error over the row, or the part of it
 * that this piece is to make up for. Sets move[i] to -1, 0 or 1 such that the cost falls or stays, returns how many are
 * not 0; *change: what they add to the sum. costs: those of the piece's columns. */
typedef int (*pl_mean_chooser)(const float *w, const float *value, const float *up, const float *down, int n,
                               pl_mean_costs costs, double sum, int8_t *move, double *change);
/* The fastest variant for these flags; all do the same. */
pl_mean_chooser pl_mean_choose(unsigned cpu_flags);
int pl_mean_moves_avx2(const float *w, const float *value, const float *up, const float *down, int n,
                       pl_mean_costs costs, double sum, int8_t *move, double *change);
int pl_mean_moves_avx512(const float *w, const float *value, const float *up, const float *down, int n,
                         pl_mean_costs costs, double sum, int8_t *move, double *change);

/* How one stored row is read and changed in pieces of n <= PL_MEAN_VALUES columns from `col` on, a multiple of
 * PL_MEAN_VALUES. */
typedef struct pl_mean_row {
    /* Ranks of the levels (see codes.h) and the values they stand for; up, down: the values one level further on, or
     * the same at the end of the levels. rank, up and down are NULL where only values are asked for. */
    void (*look)(const struct pl_mean_row *row, int64_t col, int n, uint8_t *rank, float *value, float *up,
                 float *down);
    void (*store)(const struct pl_mean_row *row, int64_t col, int n, uint8_t *rank);
    const void *ctx;
    uint8_t *at[3];             /* the row's parts */
} pl_mean_row;

/* Changes codes of a row by one level where that lowers the cost of the row. Scales stay. w [cols] */
void pl_mean_settle_row(const pl_mean_row *row, const float *w, pl_mean_costs costs, int64_t cols);

/* The same for rows of blocks of a type that pl_codes_of knows, w [rows][cols]. */
void pl_mean_settle(const pl_dtype *dtype, const float *w, pl_mean_costs costs, int64_t rows, int64_t cols,
                    uint8_t *out);

/* Encodes rows of blocks of a type whose codes stand for several values at a time, cols a multiple of its block: each
 * block is asked for values that make up for what those before it left of the sum, as far as that costs less. h: the
 * encoder's. */
void pl_mean_encode(pl_row_encoder encoder, const pl_dtype *dtype, const float *w, const float *h, pl_mean_costs costs,
                    int64_t rows, int64_t cols, uint8_t *out);

#endif
