/* fake_model.h: a tiny llama-like model in memory as a source, and a sink that keeps the bytes. */
#ifndef TESTS_UNIT_FAKE_MODEL_H
#define TESTS_UNIT_FAKE_MODEL_H

#include "core/sink.h"
#include "core/source.h"

typedef struct fake_options {
    int32_t layers, hidden, heads, kv_heads, ffn, vocab;    /* 0: small defaults */
    int dtype;                  /* PL_F32, PL_F16 or PL_BF16: how matrices are stored; vectors: F32 */
    bool tied;                  /* no output matrix */
    bool interleaved;           /* q and k rows stored as GGUF has them, not as Hugging Face */
    uint64_t seed;
} fake_options;

/* Weights are seeded, about normal, with an outlier now and then; row 1 of every matrix is zero.
 * NULL when memory is out. */
pl_source *fake_model_create(const fake_options *options);
/* Value of tensor t (index in the model) at a row in Hugging Face's order, as stored. */
float fake_model_value(const pl_source *s, int tensor, int64_t row, int64_t col);
/* Puts a value there; the row in Hugging Face's order. */
void fake_model_set(pl_source *s, int tensor, int64_t row, int64_t col, float value);
/* Reading fails with PL_E_IO from the n-th call on; < 0: never. */
void fake_model_fail_after(pl_source *s, int64_t n);

/* Keeps every part in memory. Vectors become F32, q and k rows interleaved. Checks that ranges lie
 * inside their part; `finish` that every byte came, once. */
typedef struct fake_store {
    int parts;
    uint8_t **part;             /* [parts] */
    int64_t *bytes, *received;
    bool begun, finished;
    int fail_at;                /* 1 + index of the put that fails with PL_E_IO; 0: none */
    int puts;
} fake_store;
extern const pl_sink_ops fake_sink;
static inline fake_store *fake_sink_store(const pl_sink *s) { return s->state; }

#endif
