/* gguf_layout.h: what of a plan goes where: experts into stacks, tensors into the files of a set. */
#ifndef FORMATS_GGUF_LAYOUT_H
#define FORMATS_GGUF_LAYOUT_H

#include "core/plan.h"
#include "formats/gguf.h"

/* A tensor of the output: one part of one step of the plan, or those of all experts of a role and layer. */
typedef struct pl_gguf_tensor {
    const char *name;
    const pl_dtype *dtype;
    int64_t rows, cols;         /* of one expert */
    int experts;                /* stacked in it; 1: no stack */
    int first;                  /* step of the plan; the other experts' follow */
    int part;                   /* of these steps: 0 their codes, 1 the factors of whole matrices, a vector */
    int64_t step_bytes, bytes;  /* of one expert, of all */
    int64_t at;                 /* from where the data of its file begins */
} pl_gguf_tensor;

typedef struct pl_gguf_shard {
    int first, tensors;
    int keys;                   /* filled in by who writes the header, as are */
    int64_t header;             /* its bytes; padding follows, then the data */
    int64_t data;               /* bytes of all data, padding included */
} pl_gguf_shard;

typedef struct pl_gguf_layout {
    const pl_plan *plan;
    const pl_model *model;
    pl_gguf_tensor *tensor;     /* in the plan's order */
    int tensors;
    pl_gguf_shard *shard;       /* in the order of their tensors; at least one */
    int shards;
} pl_gguf_layout;

/* Puts the plan's steps together to tensors, all of them in one file. PL_E_WISH for what GGUF cannot
 * hold: experts of one stack with different types, stacks that are not whole. Memory from arena. */
pl_status pl_gguf_lay_out(const pl_plan *plan, const pl_model *model, pl_arena *arena,
                          pl_gguf_layout *out);
/* Cuts a layout into files of at most `limit` bytes each; a tensor too large for that gets a file of
 * its own. first, more: bytes of the header of the first file and of each other one without tensors.
 * Where nothing but the keys fits, the first file has no tensors. Memory from arena. */
pl_status pl_gguf_cut(pl_gguf_layout *l, int64_t limit, int64_t first, int64_t more, pl_arena *arena);

/* Can GGUF hold such a type? Blocks, and NVFP4 under a factor for the whole matrix. */
bool pl_gguf_holds(const pl_type *type);
/* Is a factor beside this tensor's weights something that llama.cpp multiplies by? Where it does not, a model would be
 * another one; so such tensors get none. */
bool pl_gguf_takes_factor(const pl_model *model, pl_id id);

/* Bytes and padding behind them; only of sizes that a layout has checked. */
static inline int64_t pl_gguf_padded(int64_t bytes)
{
    return (bytes + PL_GGUF_ALIGNMENT - 1) / PL_GGUF_ALIGNMENT * PL_GGUF_ALIGNMENT;
}
/* Where the data begins. */
static inline int64_t pl_gguf_data_at(const pl_gguf_shard *s) { return pl_gguf_padded(s->header); }
/* Dimensions that a tensor is written with. */
static inline int pl_gguf_dims(const pl_gguf_tensor *t)
{
    return t->part ? 1 : t->experts > 1 ? 3 : t->cols == 1 ? 1 : 2;
}

#endif
