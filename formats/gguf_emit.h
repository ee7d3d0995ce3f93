/* gguf_emit.h: the bytes of a GGUF header, one after the other; shared by the files that write GGUF. */
#ifndef FORMATS_GGUF_EMIT_H
#define FORMATS_GGUF_EMIT_H

#include "core/plan.h"
#include "formats/gguf.h"

enum { PL_EMIT_BUFFER = 1 << 16, PL_EMIT_MAX_KEYS = 160 };

typedef struct pl_emitter {
    pl_outfile *file;           /* NULL: count only */
    int64_t base;               /* where in the file the first byte goes */
    pl_status status;           /* the first failure; later calls do nothing */
    int64_t at;                 /* bytes emitted */
    int keys, own;
    const char *own_key[PL_EMIT_MAX_KEYS];
    size_t held;
    uint8_t buffer[PL_EMIT_BUFFER];     /* the last `held` bytes before `at` */
} pl_emitter;

/* Values, little-endian; a text gets its length in front. */
void pl_emit_bytes(pl_emitter *e, const void *data, size_t len);
void pl_emit_number(pl_emitter *e, uint64_t value, int bytes);
void pl_emit_text(pl_emitter *e, const char *s, size_t len);
/* Starts a key that the sink makes itself; one like it in the model's metadata gives way. `key` is kept
 * as a pointer. */
void pl_emit_key(pl_emitter *e, const char *key, int type);
/* Whole keys; a NULL text is none. */
void pl_emit_key_text(pl_emitter *e, const char *key, const char *value);
void pl_emit_key_u32(pl_emitter *e, const char *key, int64_t value);
void pl_emit_key_f32(pl_emitter *e, const char *key, float value);
void pl_emit_key_bool(pl_emitter *e, const char *key, bool value);
/* The elements follow. */
void pl_emit_key_array(pl_emitter *e, const char *key, int element, int64_t count);
/* Writes what is held. */
void pl_emit_flush(pl_emitter *e);

/* ---- gguf_write.c ---- */

/* A whole GGUF file without tensors: what is told of the model and of how it was made. Into `file` from byte `at` on;
 * file NULL: only *bytes. */
pl_status pl_gguf_write_keys(const pl_plan *plan, const pl_model *model, pl_outfile *file, int64_t at, int64_t *bytes);

/* ---- gguf_vocab_write.c ---- */

/* The tokenizer's keys; model->vocab is not NULL. */
void pl_emit_vocab(pl_emitter *e, const pl_model *model);

#endif
