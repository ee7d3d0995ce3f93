/* tensor.h: identities of tensors: role + layer + expert, not a string. */
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H

#include "core/packed.h"

/* What a tensor does in the model. The name of each is in tensor.c ("attn_q"): what recipes and
 * tables show. A role + PL_BIAS is the bias vector that belongs to the matrix. */
typedef enum pl_role {
    PL_TOKEN_EMBD, PL_OUTPUT_NORM, PL_OUTPUT, PL_ROPE_FREQS,
    PL_ATTN_NORM, PL_ATTN_Q, PL_ATTN_K, PL_ATTN_V, PL_ATTN_O,
    PL_FFN_NORM, PL_FFN_GATE, PL_FFN_UP, PL_FFN_DOWN,
    PL_ROLES,
    PL_BIAS = 64                /* added to a matrix's role */
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
} pl_tensor;

/* Stored bytes of all its parts. */
pl_status pl_tensor_bytes(const pl_tensor *t, int64_t *bytes);

#endif
