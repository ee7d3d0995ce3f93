/* source.h: where a model comes from. A transform is a source around a source. */
#ifndef CORE_SOURCE_H
#define CORE_SOURCE_H

#include "core/mem.h"
#include "core/model.h"
#include "core/resident.h"

typedef struct pl_source pl_source;

typedef enum pl_open_how {
    PL_OPEN_WINDOWS,            /* convert, inspect: reads windows with pread; packed() needs scratch */
    PL_OPEN_MAP,                /* engine: maps the files; packed() points into the map */
    PL_OPEN_STORED,             /* windows, and values as the checkpoint has them, not as the architecture uses
                                 * them (norms stored as w - 1), without tensors that are computed from its
                                 * configuration: for sinks that write such a checkpoint again, no model to be run */
    PL_OPEN_STREAM              /* engine: packed() points to where weights are between need() and done() */
} pl_open_how;

typedef struct pl_open_options {
    pl_open_how how;
    const char *pre;            /* the vocabulary's pre-tokenizer (core/pre.h), whatever the files say; or NULL */
    int64_t resident;           /* PL_OPEN_STREAM: bytes of weights in memory at a time */
} pl_open_options;

typedef struct pl_source_ops {
    const char *name;           /* "hf", "safetensors", "gguf" */
    size_t state_size;          /* bytes of s->state, zeroed before open */
    /* Is this path mine? Looks at bytes and folder contents, not at the extension. PL_E_INPUT is as good as no; any
     * other failure: it could not be found out. */
    pl_status (*probe)(const char *path, bool *mine);
    /* Fills s->model, s->file. The model's memory comes from s->arena. On failure close is called. */
    pl_status (*open)(pl_source *s, const char *path, const pl_open_options *options);
    void (*close)(pl_source *s);
    /* The calls below are re-entrant. Rows are in the order that the tensor's `order` says. */
    /* rows first .. first+count-1 of a tensor as f32 [count][cols] */
    pl_status (*rows)(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                      pl_arena *scratch);
    /* the same rows as stored: pointers into the map or into scratch */
    pl_status (*packed)(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                        pl_arena *scratch);
    /* is wanted next: read ahead; NULL: nothing to do */
    void (*advise)(pl_source *s, int tensor, int64_t first, int64_t count);
    /* PL_OPEN_STREAM, by one thread: the weights of a layer (-1: embeddings, model's layers: output), or of one of its
     * experts (else -1), are there on return, until done. NULL: they always are. */
    pl_status (*need)(pl_source *s, int layer, int expert);
    void (*done)(pl_source *s, int layer, int expert);
    /* What streaming cost so far; NULL: this source does not stream. */
    pl_resident_report (*streamed)(pl_source *s);
    /* The file that the codes of a tensor lie in; NULL, also the operation: it lies in none, or in all. */
    const char *(*file_of)(const pl_source *s, int tensor);
    /* What the format tells of itself and open has not held against the data: an index, shapes, digests. PL_E_INPUT
     * names the place. Beside the calls above; NULL: nothing. */
    pl_status (*verify)(pl_source *s, pl_arena *scratch);
} pl_source_ops;

struct pl_source {
    const pl_source_ops *ops;
    void *state;
    pl_source *inner;           /* of a transform; owned */
    pl_arena *arena;            /* lives as long as the source */
    pl_arena *vocab_arena;      /* holds the vocabulary only, so that it can be dropped early */
    pl_model *model;
    const char **file;          /* every file read, for digests and to refuse them as output */
    int files;
    const char *path;           /* as the user gave it */
    const char *sha256;         /* of all of it, in hex, where the format has it; else NULL */
    bool streams;               /* need() and done() say which weights are there */
};

/* Tries each format's probe, in order; NULL ends the list. PL_E_INPUT names what was looked for. Options NULL:
 * windows, and what the files say. PL_E_WISH for a pre-tokenizer that there is not. */
pl_status pl_source_open(const pl_source_ops *const *formats, const char *path, const pl_open_options *options,
                         pl_source **out);
void pl_source_close(pl_source *s);
/* Frees the vocabulary: after the header is written nobody needs it. */
void pl_source_drop_vocab(pl_source *s);
/* Range-checked calls of the operations; what callers outside a source use. */
pl_status pl_source_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                         pl_arena *scratch);
pl_status pl_source_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                           pl_arena *scratch);
void pl_source_advise(pl_source *s, int tensor, int64_t first, int64_t count);

/* Weights for the engine, see need and done above. */
static inline pl_status pl_source_need(pl_source *s, int layer, int expert)
{
    return s->streams ? s->ops->need(s, layer, expert) : PL_OK;
}
static inline void pl_source_done(pl_source *s, int layer, int expert)
{
    if (s->streams) s->ops->done(s, layer, expert);
}

/* Values that are not finite. */
typedef struct pl_nonfinite {
    int64_t count;
    const char *tensor;         /* where the first of them is: as the source numbers rows */
    int64_t row, col;
    float value;
} pl_nonfinite;

/* How sentences call such a value. */
static inline const char *pl_nonfinite_name(float value)
{
    return value != value ? "nan" : value > 0 ? "inf" : "-inf";
}

/* A matrix on its way into a method: from a source, or from memory (tests, inner steps). */
typedef struct pl_input {
    pl_source *source;
    int tensor;
    const float *memory;        /* [rows][cols] if source is NULL, in Hugging Face's order */
    int64_t rows, cols;
    int32_t order;              /* the row order wanted */
    const char *name;           /* for messages */
    pl_nonfinite *nonfinite;    /* counts such values, which are kept; NULL: they are PL_E_INPUT */
} pl_input;

/* Rows first .. first+count-1 in the order wanted, as f32 [count][cols]. */
pl_status pl_rows(const pl_input *in, int64_t first, int64_t count, float *out, pl_arena *scratch);
/* The same rows as stored bytes, in the order wanted; PL_E_WISH if they would leave rows that they share bytes with. */
pl_status pl_rows_packed(const pl_input *in, int64_t first, int64_t count, pl_packed *out,
                         pl_arena *scratch);

#endif
