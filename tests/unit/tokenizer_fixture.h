/* tokenizer_fixture.h: small vocabularies made by hand, and what a text becomes by them. */
#ifndef TESTS_UNIT_TOKENIZER_FIXTURE_H
#define TESTS_UNIT_TOKENIZER_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "runtime-check/tokenizer.h"
#include "runtime-check/tokenizer_parts.h"

enum { MAX_TOKENS = 1200 };

#define SPACE_A "\xE2\x96\x81" "a"     /* as SentencePiece spells " a" */

/* ---- vocabularies made by hand ---- */

static pl_arena *arena;
static pl_vocab vocab;

static inline int32_t add(const char *text, uint8_t type, float score)
{
    int32_t id = vocab.count++;
    ck_assert_int_lt(id, MAX_TOKENS);
    vocab.token[id] = (pl_text){ pl_arena_text(arena, text, strlen(text)), (uint32_t)strlen(text) };
    vocab.type[id] = type;
    vocab.score[id] = score;
    return id;
}

static inline int32_t find(const char *text)
{
    for (int32_t id = 0; id < vocab.count; id++)
        if (!strcmp(vocab.token[id].s, text)) return id;
    ck_abort_msg("no token '%s'", text);
}

static inline void begin(pl_vocab_kind kind, const char *pre)
{
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    vocab = (pl_vocab){ .kind = kind, .pre = pre, .bos = -1, .eos = -1, .unk = -1, .pad = -1 };
    vocab.token = PL_ZNEW(arena, pl_text, MAX_TOKENS);
    vocab.type = PL_ZNEW(arena, uint8_t, MAX_TOKENS);
    vocab.score = PL_ZNEW(arena, float, MAX_TOKENS);
    vocab.merge = PL_ZNEW(arena, pl_merge, MAX_TOKENS);
}

/* A byte-level merge; makes its token. */
static inline void merge(const char *left, const char *right)
{
    char whole[64];
    vocab.merge[vocab.merges++] = (pl_merge){ find(left), find(right) };
    snprintf(whole, sizeof whole, "%s%s", left, right);
    add(whole, PL_TOKEN_NORMAL, 0);
}

/* All bytes but 0x04; control tokens <s> 1, </s> 2, a user-defined one; a few merges. */
static inline void byte_level(const char *pre)
{
    begin(PL_VOCAB_BPE, pre);
    add("<unk>", PL_TOKEN_CONTROL, 0);
    vocab.bos = add("<s>", PL_TOKEN_CONTROL, 0);
    vocab.eos = add("</s>", PL_TOKEN_CONTROL, 0);
    add("<user>", PL_TOKEN_USER, 0);
    add("<us", PL_TOKEN_USER, 0);
    pl_byte_alphabet alphabet;
    pl_byte_alphabet_fill(&alphabet);
    for (int b = 0; b < 256; b++) {
        char s[5] = "";
        pl_utf8_put(alphabet.character[b], s);
        if (b != 4) add(s, PL_TOKEN_NORMAL, 0);
    }
    merge("a", "b");
    merge("b", "c");
    merge("c", "d");
    merge("ab", "cd");
    merge("\xC4\xA0", "a");             /* Ġa */
    merge("a", "a");
    merge("!", "!");
    add("xyz", PL_TOKEN_NORMAL, 0);     /* a token that no merge makes */
    vocab.eog[vocab.eogs++] = 2;
}

/* SentencePiece-style: <unk>, <s>, </s>, 256 bytes, ▁ and letters, then words by falling score. */
static inline void sentence_piece(void)
{
    begin(PL_VOCAB_SPM, "default");
    vocab.unk = add("<unk>", PL_TOKEN_UNKNOWN, 0);
    vocab.bos = add("<s>", PL_TOKEN_CONTROL, 0);
    vocab.eos = add("</s>", PL_TOKEN_CONTROL, 0);
    for (unsigned b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", b);
        add(name, PL_TOKEN_BYTE, 0);
    }
    static const char *const singles[] = { "\xE2\x96\x81", "a", "b", "c", "s", "<", ">", "s>" };
    for (int i = 0; i < PL_COUNT(singles); i++) add(singles[i], PL_TOKEN_NORMAL, -100);
    add("<user>", PL_TOKEN_USER, -100);
    static const char *const words[] = { "bc", "ab", SPACE_A, "abc", "\xE2\x96\x81\xE2\x96\x81" };
    for (int i = 0; i < PL_COUNT(words); i++) add(words[i], PL_TOKEN_NORMAL, -1 - (float)i);
    vocab.add_space_prefix = true;
    vocab.add_bos = true;
}

static inline void finish(void) { pl_arena_destroy(arena); }

/* The ids of text are those of the tokens spelled in `want`, parted by single spaces. */
static inline void expect_bytes(const char *text, size_t len, bool special, pl_bos bos, const char *want)
{
    pl_tokenizer *t;
    int32_t *ids;
    int64_t count;
    char got[4096] = "";
    ck_assert_msg(pl_tokenizer_create(&vocab, &t) == PL_OK, "%s", pl_error());
    ck_assert_msg(pl_tokenizer_encode(t, text, len, special, bos, &ids, &count) == PL_OK, "%s", pl_error());
    for (int64_t i = 0; i < count; i++) {
        if (i) strcat(got, " ");
        strcat(got, vocab.token[ids[i]].s);
    }
    ck_assert_msg(!strcmp(got, want), "'%s': got [%s], want [%s]", text, got, want);
    pl_free(ids);
    pl_tokenizer_destroy(t);
}

static inline void expect(const char *text, const char *want)
{
    expect_bytes(text, strlen(text), false, PL_BOS_NEVER, want);
}

#endif
