/* model.h: what a source knows of a model: architecture, sizes, vocabulary, list of tensors. */
#ifndef CORE_MODEL_H
#define CORE_MODEL_H

#include "core/tensor.h"
#include "core/vocab.h"

typedef enum pl_norm { PL_NORM_RMS, PL_NORM_LAYER } pl_norm;
typedef enum pl_activation { PL_ACT_SILU, PL_ACT_GELU, PL_ACT_GELU_TANH } pl_activation;
typedef enum pl_rope_scaling {
    PL_ROPE_NONE,
    PL_ROPE_LINEAR,             /* all frequencies divided by the factor */
    PL_ROPE_LLAMA3,             /* divided by the tensor PL_ROPE_FREQS */
    PL_ROPE_YARN,
    PL_ROPE_LONGROPE            /* divided by PL_ROPE_LONG or PL_ROPE_SHORT, by the length of the context */
} pl_rope_scaling;
typedef enum pl_pooling { PL_POOL_NONE, PL_POOL_MEAN, PL_POOL_CLS } pl_pooling;

enum {                          /* pl_hparams.layer */
    PL_LAYER_WINDOW = 1,        /* attention sees the last `window` positions only */
    PL_LAYER_NO_ROPE = 2        /* no positions */
};

/* Hyper-parameters. Every number was checked for range by the source; all 0 where a model has no such
 * thing. Which tensors there are says the rest: gated or not, norms before or behind a block, biases,
 * norms of Q and K, fused matrices. */
typedef struct pl_hparams {
    int32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab, context;
    pl_norm norm;
    pl_activation act;
    float norm_eps;
    float embd_scale;           /* factor of token embeddings; 0: 1 */
    float attn_scale;           /* factor of q k; 0: 1/sqrt(head_dim) */
    float attn_softcap, logit_softcap;          /* c: x becomes c tanh(x/c); 0: none */

    int32_t rope_dim;           /* leading dimensions of a head that rotate; 0: no rotary positions */
    float rope_base;
    float rope_base_window;     /* of layers with a window, which are not scaled then; 0: as all */
    pl_rope_scaling rope_scaling;
    float rope_factor, rope_low, rope_high;     /* factor; llama3: low and high frequency factors */
    int32_t rope_context;       /* original context of llama3, yarn, longrope */
    float rope_attn_factor;     /* of sines and cosines of yarn and longrope; 0: the method's own rule */
    float yarn_fast, yarn_slow; /* turns in the original context between which the ramp lies; 0: 32, 1 */

    int32_t window;             /* positions, its own included, that a windowed layer sees */
    uint8_t layer[PL_MAX_LAYERS];       /* [layers] PL_LAYER_... */

    int32_t experts, experts_used;      /* in every layer; 0: one dense feed-forward */
    int32_t expert_ffn, shared_ffn;     /* rows of an expert's gate and up; of the shared expert's */
    bool expert_renorm;         /* weights of the chosen experts sum to 1 */

    bool encoder;               /* every position sees every other; hidden states are the result */
    pl_pooling pooling;         /* of an encoder: how hidden states become one embedding */
    int32_t token_types;
    bool tied;                  /* the output matrix is the token table */
} pl_hparams;

/* What yarn multiplies sines and cosines by if nothing else is said. */
double pl_yarn_magnitude(const pl_hparams *hp);

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

/* A file that goes with the weights and says what they are: config.json, tokenizer.json ... */
typedef struct pl_side {
    const char *name;           /* without folders */
    const char *path;           /* of the file that it is in, */
    int64_t at, bytes;          /* and where */
} pl_side;

typedef struct pl_model_entry { pl_id id; int tensor; } pl_model_entry;

typedef struct pl_model {
    const char *arch;           /* "llama": a row of the architecture table */
    const char *name;           /* for people: folder or general.name */
    const char *file_type;      /* storage type most weights have, for people */
    pl_hparams hp;
    pl_vocab *vocab;            /* NULL once dropped, or when there is none */
    pl_meta *meta;              /* general.* and other keys to carry over */
    int metas;
    const pl_side *side;        /* [sides]; none of a GGUF file */
    int sides;
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
