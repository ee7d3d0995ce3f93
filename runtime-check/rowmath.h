/* rowmath.h: what happens to one row of activations between products: norms, activations, soft caps. */
#ifndef RUNTIME_CHECK_ROWMATH_H
#define RUNTIME_CHECK_ROWMATH_H

#include "core/model.h"

/* weight NULL: there is no such norm; bias NULL: the norm has none. */
typedef struct pl_norm_weights { const float *weight, *bias; } pl_norm_weights;

/* out = (x - mean) / sqrt(variance + eps) * weight + bias, mean and variance in double; of RMS norms the
 * mean counts as 0. x and out [n] may be the same. */
void pl_norm_row(pl_norm kind, float eps, const pl_norm_weights *w, const float *x, float *out, int64_t n);

/* gate = act(gate) * up; up NULL: gate = act(gate). [n] */
void pl_activate_row(pl_activation act, float *gate, const float *up, int64_t n);

/* x = cap * tanh(x / cap). [n] */
void pl_softcap_row(float *x, float cap, int64_t n);

#endif
