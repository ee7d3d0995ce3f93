/* probe.h: what predictions lose when some matrices of a model are quantized: the sensitivity of the rest is known
 * from their errors. */
#ifndef RUNTIME_CHECK_PROBE_H
#define RUNTIME_CHECK_PROBE_H

#include "runtime-check/overlay.h"

typedef struct pl_probe pl_probe;       /* a text's windows and what the original makes of them */

typedef struct pl_probe_options {
    const char *text;           /* path of the text */
    int32_t ctx, windows;       /* tokens of a window; windows at most, spread over the text */
} pl_probe_options;

/* Runs the original. The source is open with PL_OPEN_MAP and outlives the probe, as do the bytes that it gives now.
 * PL_E_WISH for an encoder, which predicts nothing. Own memory: two graphs, last hidden states, a chunk of logits. */
pl_status pl_probe_create(pl_source *original, const pl_probe_options *options, pl_pool *pool, pl_probe **out);
void pl_probe_destroy(pl_probe *p);
/* Mean KL divergence of a model from the original over all positions of the windows, in nats; exact arithmetic. The
 * same vocabulary is the caller's promise. PL_E_INPUT if logits are not finite. */
pl_status pl_probe_model(pl_probe *p, pl_source *model, double *kld);

/* Floating-point operations of one pl_probe_model, about. */
double pl_probe_cost(const pl_model *model, const pl_probe_options *options);

/* Splits sums that were measured of whole rows and whole columns of a table: out [rows][cols] = a_r b_c prior_rc such
 * that rows and columns have these sums, both scaled to one total. prior >= 0, 0: not there. By a fixed number of
 * rounds of proportional fitting. */
void pl_probe_share(const double *prior, const double *row_sum, const double *col_sum, int rows, int cols,
                    double *out);

#endif
