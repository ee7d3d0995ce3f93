/* diff.h: two models tensor by tensor: equal bytes, equal values, or how far apart. */
#ifndef CORE_DIFF_H
#define CORE_DIFF_H

#include "core/pool.h"
#include "core/source.h"

typedef enum pl_diff_kind {
    PL_DIFF_BYTES,              /* stored alike, byte by byte */
    PL_DIFF_VALUES,             /* every weight has the same value */
    PL_DIFF_CLOSE,              /* some have not */
    PL_DIFF_SHAPE,              /* another shape: not compared further */
    PL_DIFF_ONLY_A, PL_DIFF_ONLY_B
} pl_diff_kind;

/* What was found of one tensor. */
typedef struct pl_diff_row {
    pl_id id;
    int a, b;                   /* index into each model's tensors; -1: it has none */
    pl_diff_kind kind;
    int64_t weights, different; /* how many values there are, how many differ */
    double error;               /* root of (squares of the differences / squares of a's values); 0 / 0: 0 */
    double largest;             /* difference of two values */
} pl_diff_row;

typedef struct pl_diff {
    pl_diff_row *row;           /* [rows] in the order of identities */
    int rows;
    int count[PL_DIFF_ONLY_B + 1];      /* rows of each kind */
} pl_diff;

/* Reads all of both, by ranges of rows: memory does not grow with the models. Vectors and matrices are matched by
 * identity, rows compared in Hugging Face's order. Values that are NaN in both are equal. The same result for every
 * number of threads. Memory of the result from arena. */
pl_status pl_diff_sources(pl_source *a, pl_source *b, pl_pool *pool, pl_arena *arena, pl_diff *out);

#endif
