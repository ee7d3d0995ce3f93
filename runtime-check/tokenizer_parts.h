/* tokenizer_parts.h: what the tokenizer's files share. */
#ifndef RUNTIME_CHECK_TOKENIZER_PARTS_H
#define RUNTIME_CHECK_TOKENIZER_PARTS_H

#include "core/vocab.h"

/* ---- ids that grow ---- */

typedef struct pl_ids { int32_t *id; int64_t count, room; } pl_ids;

pl_status pl_ids_add(pl_ids *ids, const int32_t *id, int64_t count);

/* ---- merging (tokenizer_bpe.c): which neighbours become one, in which order ---- */

/* Pair of neighbours -> what they become. Lower ranks go first. */
typedef struct pl_pair { int32_t left, right, result; uint32_t rank; } pl_pair;
typedef struct pl_pairs { pl_pair *slot; uint64_t mask, factor; int shift; } pl_pairs;

/* Room for `count` pairs, from arena. */
pl_status pl_pairs_create(int64_t count, pl_arena *arena, pl_pairs *out);
/* A pair that is already there is replaced. */
void pl_pairs_put(pl_pairs *pairs, pl_pair pair);
/* NULL: they stay apart. */
const pl_pair *pl_pairs_find(const pl_pairs *pairs, int32_t left, int32_t right);

/* A chain of pieces while it shrinks; kept from word to word. */
typedef struct pl_symbol { int32_t id, prev, next; } pl_symbol;     /* id -1: merged away; next -1: last */
typedef struct pl_candidate { uint32_t rank; int32_t at, left, right; } pl_candidate;
typedef struct pl_merger {
    pl_symbol *symbol;
    pl_candidate *heap;
    int64_t count, room, waiting;
} pl_merger;

/* Puts a piece at the end of the chain. */
pl_status pl_merger_add(pl_merger *m, int32_t id);
/* Merges as the pairs say, lowest rank first, leftmost of equals; appends the ids that remain to
 * `out` and empties the chain. O(n log n). */
pl_status pl_merger_run(pl_merger *m, const pl_pairs *pairs, pl_ids *out);
void pl_merger_free(pl_merger *m);

/* ---- byte-level BPE (tokenizer_bpe.c) ---- */

typedef struct pl_byte_alphabet {       /* byte-level vocabularies spell every byte as a character */
    uint32_t character[256];
    int16_t byte[324];                  /* the reverse, -1: no byte's character */
} pl_byte_alphabet;

void pl_byte_alphabet_fill(pl_byte_alphabet *a);
/* Pairs from the vocabulary's list of merges; PL_E_INPUT if a merge makes no token. */
pl_status pl_bpe_pairs(const pl_token_map *map, pl_arena *arena, pl_pairs *out);

/* ---- SentencePiece-style BPE (tokenizer_spm.c) ---- */

typedef struct pl_spm {
    int32_t byte[256];                  /* ids of "<0x00>" .. "<0xFF>" */
} pl_spm;

/* The map's vocabulary with its user-defined tokens' spaces as U+2581, which they are once text is cut, where
 * no other token is spelled so: a copy in arena, or itself if none has spaces. */
pl_status pl_spm_spell(const pl_token_map *map, pl_arena *arena, const pl_vocab **out);
/* Pairs from the scores, and the byte tokens; PL_E_INPUT for scores that are no order, or if a byte has
 * no token. */
pl_status pl_spm_create(const pl_token_map *map, pl_arena *arena, pl_pairs *pairs, pl_spm *out);
/* A stretch of text between added tokens, valid UTF-8, onto the merger's chain; `prefix`: with a space in
 * front. */
pl_status pl_spm_symbols(const pl_spm *spm, const pl_token_map *map, const char *text, size_t len,
                         bool prefix, pl_merger *m);

/* ---- WordPiece (tokenizer_wpm.c) ---- */

/* Appends the ids of a stretch of text between added tokens, valid UTF-8. */
pl_status pl_wpm_encode(const pl_token_map *map, const char *text, size_t len, pl_ids *ids);

/* ---- pre-tokenizers (pretokenize.c): text -> words that never merge across ---- */

typedef struct pl_pretokenizer pl_pretokenizer;

/* PL_E_INPUT if there is none of this name; the sentence lists those there are. */
pl_status pl_pretokenizer_create(const char *name, pl_pretokenizer **out);
void pl_pretokenizer_destroy(pl_pretokenizer *p);
/* Calls `word` for each word, in order; together they are the text, which must be valid UTF-8. */
typedef pl_status (*pl_word_fn)(void *ctx, const char *word, size_t len);
pl_status pl_pretokenizer_split(const pl_pretokenizer *p, const char *text, size_t len, pl_word_fn word,
                                void *ctx);

/* ---- added tokens (tokenizer_added.c): strings that are cut out before anything else ---- */

typedef struct pl_added {
    pl_pairs step;                      /* a trie: node, byte -> node */
    int32_t *token;                     /* [nodes] id that ends there, -1: none */
    const pl_vocab *vocab;
} pl_added;

/* PL_E_INPUT for an added token so long that looking for it could take forever. */
pl_status pl_added_create(const pl_vocab *vocab, pl_arena *arena, pl_added *out);
/* The first added token in text (valid UTF-8) at or behind `from`, the longest of those that begin there; -1:
 * none. `special` false: user-defined ones only. What it takes from the text, with the white space around
 * that belongs to it, is start .. end-1. */
int32_t pl_added_find(const pl_added *added, const char *text, size_t len, size_t from, bool special,
                      size_t *start, size_t *end);

#endif
