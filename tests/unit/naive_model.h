/* naive_model.h: a forward pass in double, written as plainly as it can be, to compare the engine with. */
#ifndef TESTS_UNIT_NAIVE_MODEL_H
#define TESTS_UNIT_NAIVE_MODEL_H

#include "core/source.h"

/* Logits [n][vocab] of n tokens at positions 0 .. n-1 of a tiny model (tests/unit/tiny_model.h), of an
 * encoder hidden states [n][hidden]. ctx: positions that the engine would be created for. */
void pl_naive_run(const pl_source *s, const int32_t *tokens, int n, int ctx, double *out);

#endif
