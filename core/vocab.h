/* vocab.h: a model's vocabulary as sources read it, tokenizers use it and sinks write it. */
#ifndef CORE_VOCAB_H
#define CORE_VOCAB_H

#include "core/mem.h"

typedef enum pl_vocab_kind {
    PL_VOCAB_NONE,              /* the checkpoint has no tokenizer */
    PL_VOCAB_BPE,               /* byte-level BPE (GGUF: "gpt2") */
    PL_VOCAB_SPM,               /* SentencePiece-style BPE with byte fallback (GGUF: "llama") */
    PL_VOCAB_WPM                /* WordPiece (GGUF: "bert") */
} pl_vocab_kind;

typedef enum pl_token_type {    /* GGUF's numbers */
    PL_TOKEN_NORMAL = 1, PL_TOKEN_UNKNOWN = 2, PL_TOKEN_CONTROL = 3, PL_TOKEN_USER = 4,
    PL_TOKEN_UNUSED = 5, PL_TOKEN_BYTE = 6
} pl_token_type;

/* How a control or user-defined token is found in text. */
enum {
    PL_TOKEN_LSTRIP = 1,        /* white space in front belongs to it */
    PL_TOKEN_RSTRIP = 2,        /* white space behind belongs to it */
    PL_TOKEN_WORD = 4           /* not inside a word */
};

typedef struct pl_text { const char *s; uint32_t len; } pl_text;    /* bytes, NUL behind them */

/* A merge: left and right pieces by token id; merging order is the index. Where the ids are unknown
 * the file is bad. */
typedef struct pl_merge { int32_t left, right; } pl_merge;

/* A chat template with a name; key: "tokenizer.chat_template.<name>". */
typedef struct pl_chat { const char *name, *key, *text; } pl_chat;

typedef struct pl_vocab {
    pl_vocab_kind kind;
    const char *pre;            /* pre-tokenizer, GGUF's names (core/pre.h); "default" for SPM and WPM */
    int32_t count;              /* tokens */
    /* [count] as GGUF spells them. Byte-level: mapped characters; SPM: U+2581 for a space; WPM: U+2581
     * in front of what begins a word, nothing in front of what goes on. */
    pl_text *token;
    float *score;               /* [count] SPM: higher merges first; NULL for the others */
    uint8_t *type;              /* [count] pl_token_type */
    uint8_t *strip;             /* [count] PL_TOKEN_LSTRIP, ...; NULL: nowhere */
    int32_t merges;
    pl_merge *merge;            /* [merges] BPE; an SPM vocabulary read from tokenizer.json has them too */
    int32_t bos, eos, unk, pad; /* ids, -1: none; WPM: [CLS] is bos, [SEP] is eos */
    int32_t sep, mask;          /* the same */
    int32_t eog[8];             /* ids that end generation; eos first */
    int32_t eogs;
    bool add_bos, add_eos, add_space_prefix;
    bool prefix_first, prefix_unspaced; /* SPM: no space in front but at the very beginning; none before another */
    bool whole_words;           /* BPE: a word that is a token becomes it, whatever the merges say */
    bool nfc;                   /* BPE: text is brought into normalization form C first */
    bool lowercase, strip_accents;      /* WPM */
    const char *chat_template;  /* NULL: none */
    pl_chat *chat;              /* [chats] others than the one above */
    int32_t chats;
} pl_vocab;

/* Text -> id. */
typedef struct pl_token_map {
    const pl_vocab *vocab;
    int32_t *slot;
    uint64_t mask;
    uint32_t longest;           /* bytes of a token */
} pl_token_map;

/* Of vocab's tokens, which must outlive the map; empty tokens are left out. Memory from arena.
 * PL_E_INPUT, `origin` in front, naming both ids if two tokens are spelled alike. */
pl_status pl_token_map_create(const pl_vocab *vocab, const char *origin, pl_arena *arena,
                              pl_token_map *out);
/* Id of the token spelled like `left` with `right` behind it, -1: none. */
int32_t pl_token_map_find(const pl_token_map *map, pl_text left, pl_text right);
/* Id of the longest normal or user-defined token spelled like `left` with a beginning of `rest` behind it, of
 * at least one byte; *len: of how many. -1: none. */
int32_t pl_token_map_longest(const pl_token_map *map, pl_text left, pl_text rest, uint32_t *len);
/* Calls `fn` for all pairs of tokens that together spell a normal or user-defined token `whole`: what
 * merging by score may join. Time is linear in the bytes of the vocabulary. */
typedef void (*pl_cut_fn)(void *ctx, int32_t left, int32_t right, int32_t whole);
pl_status pl_token_map_cuts(const pl_token_map *map, pl_cut_fn fn, void *ctx);

/* A hash of a text, below 2^61; `before` is the hash of what stands before it, 0: nothing. It differs from
 * process to process, so that nobody can make a vocabulary whose tokens collide. */
uint64_t pl_token_hash(uint64_t before, const char *s, size_t len);

#endif
