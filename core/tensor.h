/* tensor.h: identities of tensors: role + layer + expert, not a string. */
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H

#include "core/packed.h"

/* What a tensor does in the model. The name of each is in tensor.c ("attn_q"): what recipes and
 * tables show. A role + PL_BIAS is the bias vector that belongs to the matrix or norm. Tensors of a
 * layer are written in this order. */
typedef enum pl_role {
    PL_TOKEN_EMBD,
    PL_POSITION_EMBD,           /* learned positions [context][hidden] */
    PL_TYPE_EMBD,               /* token types (segments) of encoders */
    PL_EMBD_NORM,               /* of the embeddings, before the first layer */
    PL_OUTPUT_NORM, PL_OUTPUT,
    PL_ROPE_FREQS,              /* divisors of rotary frequencies [rope_dim/2] */
    PL_ROPE_LONG, PL_ROPE_SHORT,        /* the same of longrope, above and up to the original context */
    PL_ATTN_NORM,
    PL_ATTN_QKV,                /* rows of Q, then K, then V */
    PL_ATTN_Q, PL_ATTN_K, PL_ATTN_V,
    PL_ATTN_Q_NORM, PL_ATTN_K_NORM,     /* of every head, before the rotation */
    PL_ATTN_O,
    PL_ATTN_POST_NORM,          /* of attention's result, before it joins the residual stream */
    PL_ATTN_OUT_NORM,           /* of the residual stream after attention joined (post-norm models) */
    PL_FFN_NORM,
    PL_FFN_ROUTER,              /* logits of the experts [experts][hidden] */
    PL_FFN_GATE_UP,             /* rows of gate, then up */
    PL_FFN_GATE, PL_FFN_UP, PL_FFN_DOWN,        /* with an expert: of that one */
    PL_SHARED_ROUTER,           /* weight of the shared expert [hidden] */
    PL_SHARED_GATE, PL_SHARED_UP, PL_SHARED_DOWN,
    PL_FFN_POST_NORM,           /* of the feed-forward's result, before it joins */
    PL_LAYER_OUT_NORM,          /* of the residual stream after it joined (post-norm models) */
    PL_ROLES,
    PL_BIAS = 64                /* added to a role */
} pl_role;

typedef struct pl_id { int16_t role, layer, expert; } pl_id;    /* -1: has none */

static inline pl_id pl_id_make(int role, int layer, int expert)
{
    return (pl_id){ (int16_t)role, (int16_t)layer, (int16_t)expert };
}
static inline bool pl_id_equal(pl_id a, pl_id b)
{
    return a.role == b.role && a.layer == b.layer && a.expert == b.expert;
}
/* Order of identities: layers in turn, tensors of no layer first. < 0, 0, > 0. */
int pl_id_compare(pl_id a, pl_id b);
/* "attn_q", "attn_q.bias"; "?" if unknown. */
const char *pl_role_name(int role);
/* Role of a name, -1 if there is none. */
int pl_role_find(const char *name);

enum {
    PL_TENSOR_MATRIX = 1,       /* two dimensions: a method may quantize it; else it is a vector */
};

/* No bytes, only what is known of them. */
typedef struct pl_tensor {
    pl_id id;
    const char *name;           /* as the source calls it */
    int64_t rows, cols;         /* a vector is [n][1] */
    pl_type type;               /* as the source stores it */
    int32_t order;              /* row order in which the source stores and gives it, see pl_packed.order */
    unsigned flags;
    const char *layout;         /* for people: how the file has it in another order than its type; NULL: as the type */
} pl_tensor;

/* Stored bytes of all its parts. */
pl_status pl_tensor_bytes(const pl_tensor *t, int64_t *bytes);

#endif
