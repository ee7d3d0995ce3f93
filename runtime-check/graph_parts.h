/* graph_parts.h: what the files of the forward pass share: weights of a layer, buffers of a batch, steps. */
#ifndef RUNTIME_CHECK_GRAPH_PARTS_H
#define RUNTIME_CHECK_GRAPH_PARTS_H

#include "runtime-check/graph.h"
#include "runtime-check/linear.h"
#include "runtime-check/rope.h"
#include "runtime-check/rowmath.h"

/* A feed-forward: the dense one, an expert, the shared expert. rows 0: there is none. */
typedef struct pl_ffn {
    int64_t rows;               /* of gate and up */
    pl_id up_id, down_id;
    bool gated;                 /* down(act(gate x) * up x), else down(act(up x)) */
    pl_linear gate, up, down;
} pl_ffn;

typedef struct pl_layer {
    pl_norm_weights attn_norm, attn_post_norm, attn_out_norm;
    pl_linear q, k, v, o;
    const float *q_norm, *k_norm;               /* [head_dim]; NULL: none */
    const pl_rope *rope;                        /* NULL: no positions */
    int64_t window;                             /* 0: sees all */

    pl_norm_weights ffn_norm, ffn_post_norm, out_norm;
    pl_ffn ffn;                                 /* dense, or the shared expert */
    pl_ffn *expert;                             /* [experts]; NULL: none */
    pl_linear router;
    const float *shared_router;                 /* [hidden]; NULL: the shared expert counts whole */
} pl_layer;

/* Buffers of a batch on its way through experts. A slot is one token at one of its experts; slots stand
 * by expert, so that each multiplies all its rows at once. */
typedef struct pl_moe_work {
    float *logits;                              /* [batch][experts] */
    int32_t *chosen, *slot;                     /* [batch][used]: experts by falling weight; their slots */
    float *weight;                              /* [batch][used] */
    int32_t *begin;                             /* [experts + 1] first slot of each */
    int32_t *token, *expert;                    /* [slots] */
    float *x;                                   /* [slots][hidden]: what goes in, then what comes out */
    float *gate, *up;                           /* [slots][expert_ffn] */
    pl_act_block *q8;                           /* [slots][widest/32] */
    pl_product *product;                        /* [2 * experts that can run at once] */
} pl_moe_work;

struct pl_graph {
    pl_source *source;
    pl_pool *pool;
    const pl_observer *observer;                /* NULL: none */
    pl_hparams hp;
    pl_kernel_list kernel_list;
    const pl_kernel_list *kernels;              /* NULL in exact mode */
    pl_arena *arena;
    int32_t ctx, seen;                          /* positions there are, positions used */
    int64_t q_dim, kv_dim;
    float attn_scale;

    pl_layer *layer;                            /* [layers] */
    pl_packed table;                            /* token embeddings */
    pl_packed positions;                        /* learned ones; rows 0: none */
    const float *type;                          /* [hidden] of token type 0; NULL: none */
    pl_norm_weights embd_norm, output_norm;
    pl_linear output;
    pl_rope rope, rope_window;                  /* of most layers; of those with a window */
    int64_t bytes_per_token;

    float *key, *value;                         /* cache: [layers][ctx][kv_dim], of an encoder [ctx][kv_dim] */
    float *hidden;                              /* [ctx][hidden]: what forward returns */
    /* of one batch */
    int64_t batch, attention_tile;
    int64_t widest_ffn, tile;                   /* rows of a dense feed-forward; floats of a product's scratch */
    float *x, *sum;                             /* [batch][hidden]: residual stream; what joins it next */
    float *normed;                              /* [batch][hidden] */
    float *q, *att;                             /* [batch][q_dim] */
    float *gate, *up;                           /* [batch][widest_ffn] */
    pl_act_block *q8;                           /* [batch][widest/32]: input of the next products */
    pl_moe_work moe;
    float **scratch;                            /* per worker */
};

/* ---- graph_load.c ---- */

/* Weights from the source, every shape checked; then all buffers. PL_E_INPUT says what is missing or does
 * not fit together, PL_E_WISH that the model has no ctx positions. */
pl_status pl_graph_load(pl_graph *g);
pl_status pl_graph_reserve(pl_graph *g);

/* ---- graph_layer.c ---- */

/* Shows an input to the observer, if there is one. */
static inline pl_status pl_graph_show(const pl_graph *g, pl_id id, const float *x, int64_t n, int64_t cols)
{
    return g->observer ? g->observer->see(g->observer->ctx, id, x, n, cols) : PL_OK;
}

/* row(ctx, 0 .. n-1), in parallel if n rows of `cols` values are worth it. */
typedef void (*pl_row_work)(void *ctx, int64_t row);
pl_status pl_graph_rows(const pl_graph *g, int64_t n, int64_t cols, pl_row_work row, void *ctx);

/* x [n][cols] into g->q8 if `linear` wants its input so. */
pl_status pl_graph_quantize(pl_graph *g, const pl_linear *linear, const float *x, int64_t n);

/* Between two blocks: what the last one computed joins the residual stream, and the input of the next is
 * made from it: sum = post(sum), x = stream(x + sum), out = next(x). */
typedef struct pl_join {
    pl_graph *g;
    bool add;                                   /* else there is no sum */
    const pl_norm_weights *post, *stream, *next;        /* NULL or without weights: as it is */
    float *out;                                 /* NULL: x itself is the input */
    bool quantize;                              /* the input also goes into g->q8 */
} pl_join;
pl_status pl_graph_join(pl_join *join, int64_t n);

/* Attention over x [n][hidden] (and g->q8 where wanted), result in g->sum. */
pl_status pl_graph_attend(pl_graph *g, int layer, const float *x, int64_t n);
/* Feed-forward of x [n][hidden] (and g->q8 where wanted; overwritten), result in g->sum. */
pl_status pl_graph_feed(pl_graph *g, const pl_ffn *ffn, const float *x, int64_t n);

/* ---- moe.c ---- */

/* The layer's experts, with its shared one if there is one; as pl_graph_feed. */
pl_status pl_graph_experts(pl_graph *g, const pl_layer *l, const float *x, int64_t n);

#endif
