/* stats.h: activation statistics: what calibration saw of the input of each matrix. */
#ifndef CORE_STATS_H
#define CORE_STATS_H

#include "core/tensor.h"

/* The input of one matrix; of an expert's matrix, the rows that were routed to it. */
typedef struct pl_stat {
    pl_id id;                   /* of the matrix */
    int64_t cols;
    const float *sum2;          /* [cols] sum of x^2 over the rows seen, finite and >= 0 */
    const float *sum;           /* [cols] sum of x, finite, sum^2 <= count * sum2 but for rounding; NULL: not known */
    float count;                /* rows seen; 0: none, the sums mean nothing */
} pl_stat;

typedef struct pl_stats {
    const pl_stat *stat;        /* [count] in the order of identities, no two alike */
    int count;
    const char *path;           /* of the file they came from */
    const char *const *dataset; /* [datasets] names of the texts, as the file has them */
    int datasets;
    int entries;                /* tensors in the file: stacked experts are one */
    int64_t chunks, chunk_size; /* windows of text, tokens in each; 0: the file does not say */
} pl_stats;

/* NULL if nothing is known of this matrix. O(log n). */
const pl_stat *pl_stats_find(const pl_stats *stats, pl_id id);

/* Importance of the columns as llama.cpp takes it: sum2 / count, all 1 if no row was seen. out [cols]. */
void pl_stat_importance(const pl_stat *stat, float *out);

/* The same made safe and tempered for a search; docs/methods/best.md has why. Few rows say little: with n rows seen the
 * mean square of a column counts n, the mean of all columns counts PL_STAT_PRIOR. No column counts less than a
 * hundredth of the mean. Of that the power 3/4. out [cols] is positive with mean 1, all 1 if no row was seen or all
 * were zeros. Returns how many columns were lifted to that hundredth. */
enum { PL_STAT_PRIOR = 16 };
int64_t pl_stat_weights(const pl_stat *stat, float *out);

/* For errors that may cancel each other along the mean of the input: an error e of a row of weights costs the sum of
 * weight[j] e[j]^2, and the square of the sum of mean[j] e[j] besides. Means are in units of the root of the mean
 * square, few rows draw them towards zero; weight is what pl_stat_weights gives, less the share of the mean in it.
 * Both [cols]. False if the means are not known; then nothing is written. */
bool pl_stat_means(const pl_stat *stat, float *weight, float *mean);

#endif
