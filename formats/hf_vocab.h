/* hf_vocab.h: the vocabulary of a Hugging Face folder. */
#ifndef FORMATS_HF_VOCAB_H
#define FORMATS_HF_VOCAB_H

#include "core/json.h"
#include "core/vocab.h"

/* Reads tokenizer.json, SentencePiece's tokenizer.model, or what both say together, and their companions
 * (tokenizer_config.json, added_tokens.json, generation_config.json, chat templates) into *out, whose memory
 * is all in `arena`. Neither there: *out = NULL, PL_OK. vocab_size: rows of the token table (config.json);
 * tokens beyond are PL_E_INPUT, added ones are left out with a warning. config: the parsed config.json
 * (bos_token_id, eos_token_id: an integer or a list of integers). pre: the pre-tokenizer to take it for,
 * NULL: the one that the file's expressions are known as, else PL_E_INPUT with what was found. */
pl_status pl_hf_vocab_read(const char *folder, const pl_json *config, int32_t vocab_size, const char *pre,
                           pl_arena *arena, pl_vocab **out);

#endif
