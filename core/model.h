/* model.h: what a source knows of a model: architecture, sizes, vocabulary, list of tensors. */
#ifndef CORE_MODEL_H
#define CORE_MODEL_H

#include "core/tensor.h"
#include "core/vocab.h"

typedef enum pl_rope_scaling { PL_ROPE_NONE, PL_ROPE_LINEAR, PL_ROPE_LLAMA3 } pl_rope_scaling;

/* Hyper-parameters of a decoder. Every number was checked for range by the source. */
typedef struct pl_hparams {
    int32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab, context;
    float norm_eps;
    float rope_base;
    int32_t rope_dim;           /* leading dimensions of a head that rotate; = head_dim for llama */
    pl_rope_scaling rope_scaling;
    float rope_factor, rope_low, rope_high;     /* llama3: factor, low and high frequency factors */
    int32_t rope_context;                       /* llama3: original context */
    bool tied;                  /* the output matrix is the token table */
} pl_hparams;

/* Metadata that is carried from source to sink as it is, typed as GGUF does. */
typedef enum pl_meta_type {     /* GGUF's numbers */
    PL_META_U8 = 0, PL_META_I8, PL_META_U16, PL_META_I16, PL_META_U32, PL_META_I32, PL_META_F32,
    PL_META_BOOL, PL_META_STRING, PL_META_ARRAY, PL_META_U64, PL_META_I64, PL_META_F64
} pl_meta_type;

typedef struct pl_meta {
    const char *key;
    uint8_t type;               /* pl_meta_type */
    uint8_t element;            /* of an array */
    int64_t count;              /* of an array */
    union { uint64_t u; int64_t i; double f; pl_text text; const void *array; } value;
    /* array: packed little-endian scalars, or pl_text[count] for strings */
} pl_meta;

typedef struct pl_model_entry { pl_id id; int tensor; } pl_model_entry;

typedef struct pl_model {
    const char *arch;           /* "llama": a row of the architecture table */
    const char *name;           /* for people: folder or general.name */
    const char *file_type;      /* storage type most weights have, for people */
    pl_hparams hp;
    pl_vocab *vocab;            /* NULL once dropped, or when there is none */
    pl_meta *meta;              /* general.* and other keys to carry over */
    int metas;
    pl_tensor *tensor;
    int tensors;
    pl_model_entry *entry;      /* [tensors] sorted by identity, made by pl_model_index */
    int64_t parameters;         /* weights of all tensors; tied ones counted once */
} pl_model;

/* Makes the index; PL_E_INPUT names two tensors with one identity. */
pl_status pl_model_index(pl_model *model, pl_arena *arena);
/* Index of the tensor with this identity, -1 if there is none. O(log n), after pl_model_index. */
int pl_model_find(const pl_model *model, pl_id id);

#endif
