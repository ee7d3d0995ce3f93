/* affine_batch.h: groups of whole-number codes on their way into the parts of an affine type. */
#ifndef QUANTIZERS_AFFINE_BATCH_H
#define QUANTIZERS_AFFINE_BATCH_H

#include "quantizers/groups.h"

/* Groups that are encoded together, however many lanes there are; the most values of one. */
enum { AFFINE_GROUPS = 16, AFFINE_MOST = 128 };

typedef struct affine_batch {
    float scale[AFFINE_GROUPS], bias[AFFINE_GROUPS];
    uint8_t codes[AFFINE_GROUPS * AFFINE_MOST];         /* [groups][values of a group] */
} affine_batch;

/* To the floats that the type stores. */
void pl_affine_round(const pl_dtype *stored, float *x, int n);
/* As these floats. */
void pl_affine_store(const pl_dtype *stored, const float *x, int n, uint8_t *out);
/* The scale, >= 0, or what compressed-tensors gives values that are all zeros, which makes no trouble where it
 * divides. */
float pl_affine_not_zero(const pl_dtype *stored, float scale);
/* Writes the first `groups` of b to the parts of r, as its groups first, first + 1, ...; scale and bias as stored. */
void pl_affine_put(const pl_group_rows *r, const affine_batch *b, int64_t first, int groups);
/* Has group g of `mine` less weighted error than that of `than`? In double precision, of what readers decode; not where
 * the other error is not finite, for the range check to find. Scales as stored. h: importance, or NULL, of the values
 * w, [groups][n] both. */
bool pl_affine_less(const float *w, const float *h, int n, const affine_batch *mine, const affine_batch *than, int g);
/* Group g of n values. */
void pl_affine_take(const affine_batch *from, int n, int g, affine_batch *to);

#endif
