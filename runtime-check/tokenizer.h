/* tokenizer.h: text to token ids and back, from a model's vocabulary. */
#ifndef RUNTIME_CHECK_TOKENIZER_H
#define RUNTIME_CHECK_TOKENIZER_H

#include "core/vocab.h"

typedef struct pl_tokenizer pl_tokenizer;

/* Builds its tables from the vocabulary, which must outlive it. PL_E_INPUT for a pre-tokenizer that
 * is not known, naming it, or for a vocabulary without a tokenizer. */
pl_status pl_tokenizer_create(const pl_vocab *vocab, pl_tokenizer **out);
void pl_tokenizer_destroy(pl_tokenizer *t);

typedef enum pl_bos { PL_BOS_AUTO, PL_BOS_ALWAYS, PL_BOS_NEVER } pl_bos;

/* Ids of a text of any bytes; *ids is freed with pl_free. `special`: strings of control tokens in the
 * text become their ids (user-defined tokens always do); otherwise they are plain text. AUTO puts BOS
 * in front, and EOS behind, if the vocabulary says so. Invalid UTF-8 bytes become U+FFFD, as the
 * reference reads them. */
pl_status pl_tokenizer_encode(const pl_tokenizer *t, const char *text, size_t len, bool special,
                              pl_bos bos, int32_t **ids, int64_t *count);
/* Bytes of one token as text (a space for U+2581, raw bytes for byte tokens, nothing for control
 * tokens unless `special`). Returns their number, also where only `size` of them fit; they need not be
 * whole UTF-8 characters. */
int pl_tokenizer_piece(const pl_tokenizer *t, int32_t id, bool special, char *out, size_t size);
/* Should a generation stop at this token? */
bool pl_tokenizer_ends(const pl_tokenizer *t, int32_t id);

#endif
