/* hf_vocab.h: the vocabulary of a Hugging Face folder. */
#ifndef FORMATS_HF_VOCAB_H
#define FORMATS_HF_VOCAB_H

#include "core/json.h"
#include "core/vocab.h"

/* Reads tokenizer.json (and tokenizer_config.json, generation_config.json if there) of a Hugging
 * Face folder into *out, whose memory is all in `arena`. No tokenizer.json: *out = NULL, PL_OK.
 * vocab_size: rows of the token table (config.json); ids beyond are PL_E_INPUT. config: the parsed
 * config.json (bos_token_id, eos_token_id: an integer or a list of integers). */
pl_status pl_hf_vocab_read(const char *folder, const pl_json *config, int32_t vocab_size,
                           pl_arena *arena, pl_vocab **out);

#endif
