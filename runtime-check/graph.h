/* graph.h: forward pass of a decoder or an encoder over a source's packed weights. */
#ifndef RUNTIME_CHECK_GRAPH_H
#define RUNTIME_CHECK_GRAPH_H

#include "core/pool.h"
#include "core/source.h"

typedef enum pl_mode {
    PL_MODE_EXACT,              /* weights decoded to f32, f32 activations: what the weights alone cost */
    PL_MODE_FAST                /* 8-bit activations and integer kernels where the type has them */
} pl_mode;

typedef struct pl_graph pl_graph;

/* The source must be open with PL_OPEN_MAP and outlive the graph. ctx: most positions per sequence; PL_E_WISH
 * if the model learned fewer. What the model does follows from its hyper-parameters and from which tensors
 * there are. */
pl_status pl_graph_create(pl_source *source, pl_pool *pool, pl_mode mode, int32_t ctx,
                          pl_graph **out);
void pl_graph_destroy(pl_graph *g);
/* Sees the rows that matrices are about to be multiplied by: x [n][cols]. Of matrices with the same input one is
 * named: Q, of a feed-forward up, else itself (with an expert: the rows routed to it). A failure ends the forward. */
typedef struct pl_observer {
    pl_status (*see)(void *ctx, pl_id id, const float *x, int64_t n, int64_t cols);
    void *ctx;
} pl_observer;
/* Of all matrices in the layers, from now on; NULL: nobody. `observer` must outlive its use. */
void pl_graph_observe(pl_graph *g, const pl_observer *observer);
/* Forgets the sequence. */
void pl_graph_clear(pl_graph *g);
/* Runs n tokens behind those already seen. hidden [n][hidden_size] after the last norm, valid until
 * the next call; any cut of a sequence into calls gives the same numbers in EXACT mode up to the
 * rounding of BLAS. To an encoder each call is a sequence of its own. PL_E_WISH beyond ctx. */
pl_status pl_graph_forward(pl_graph *g, const int32_t *tokens, int32_t n, const float **hidden);
/* logits [n][vocab] of n hidden rows. PL_E_WISH for an encoder, which has none. */
pl_status pl_graph_logits(pl_graph *g, const float *hidden, int32_t n, float *logits);
/* Bytes of weights that one decoded token reads (the token table's one row included; of experts, as many
 * as a token uses). */
int64_t pl_graph_bytes_per_token(const pl_graph *g);
/* Own memory in bytes. */
int64_t pl_graph_memory(const pl_graph *g);

#endif
