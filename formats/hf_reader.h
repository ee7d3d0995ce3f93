/* hf_reader.h: what the files that read a Hugging Face vocabulary share. */
#ifndef FORMATS_HF_READER_H
#define FORMATS_HF_READER_H

#include "formats/hf_rules.h"

typedef struct pl_hf_reader {
    const char *folder;
    const char *origin;                 /* path of tokenizer.json, or of tokenizer.model if that is alone */
    const char *sp_path;                /* tokenizer.model, NULL: none */
    const pl_json *doc, *model;         /* tokenizer.json and its model, NULL: none */
    const pl_json *config, *settings, *extra, *generation;      /* each NULL if there is none: config.json,
                                         * tokenizer_config.json, added_tokens.json, generation_config.json */
    pl_vocab *v;
    pl_arena *arena, *scratch;          /* of the vocabulary; of what goes away */
    pl_token_map map;                   /* as the files spell tokens */
    char *to;                           /* where the next token's text goes, and how many bytes find room there */
    size_t room;
    pl_hf_rules rules;
} pl_hf_reader;

/* A copy of `left` with `right` behind it, in the vocabulary's arena, packed tightly; .s NULL: no memory. */
pl_text pl_hf_keep(pl_hf_reader *r, pl_text left, pl_text right);
/* -1: no token of this text. */
int32_t pl_hf_find(const pl_hf_reader *r, const char *text);

/* hf_tokens.c: token texts, types and scores, added tokens, merges; the map. */
pl_status pl_hf_tokens_read(pl_hf_reader *r);
/* Then spells them as GGUF does; the map is of no use any more. */
pl_status pl_hf_tokens_spell(pl_hf_reader *r);
/* hf_chat.c: chat templates. */
pl_status pl_hf_chat_read(pl_hf_reader *r);

#endif
