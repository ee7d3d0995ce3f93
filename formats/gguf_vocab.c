/* gguf_vocab.c: the tokenizer keys of a GGUF file as a vocabulary. Defaults of absent keys are the
 * runtimes' own. */
#include <math.h>
#include <string.h>

#include "core/pre.h"
#include "formats/gguf.h"

/* Texts of control tokens that llama.cpp takes as an end of generation in any vocabulary. */
static const char *const ends[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>",
    "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>",
    "<｜end▁of▁sentence｜>", "<|return|>", "<|call|>",
};

static const pl_text nothing = { "", 0 };

bool pl_gguf_ends_by_text(const pl_text *token)
{
    for (int i = 0; i < PL_COUNT(ends); i++)
        if (token->len == strlen(ends[i]) && !memcmp(token->s, ends[i], token->len)) return true;
    return false;
}

/* ---- arrays ---- */

static pl_status wrong_count(const pl_gguf *g, const pl_gguf_kv *kv, int32_t tokens)
{
    return pl_fail(PL_E_INPUT, "%s: '%s' has %lld elements for %d tokens", g->path, kv->key,
                   (long long)kv->count, tokens);
}

/* An array of one four-byte element per token, NULL if the key is absent. */
static pl_status per_token(const pl_gguf *g, const char *key, int element, const pl_vocab *v,
                           pl_arena *arena, void **out)
{
    *out = NULL;
    pl_gguf_kv *kv = pl_gguf_find(g, key);
    if (!kv) return PL_OK;
    kv->used = true;
    if (kv->type != PL_META_ARRAY || kv->element != element)
        return pl_fail(PL_E_INPUT, "%s: '%s' is no array of %s", g->path, key,
                       element == PL_META_F32 ? "f32" : "i32");
    if (kv->count != v->count) return wrong_count(g, kv, v->count);
    return pl_gguf_bytes(g, kv, arena, out);
}

static pl_status read_tokens(const pl_gguf *g, pl_arena *arena, pl_vocab *v)
{
    pl_gguf_kv *kv = pl_gguf_find(g, PL_GGUF_TOK_TOKENS);
    if (!kv) return pl_fail(PL_E_INPUT, "%s: the key '%s' is missing", g->path, PL_GGUF_TOK_TOKENS);
    kv->used = true;
    if (kv->count < 1 || kv->count > PL_MAX_VOCAB)
        return pl_fail(PL_E_INPUT, "%s: %lld tokens, 1 to %d are allowed", g->path,
                       (long long)kv->count, PL_MAX_VOCAB);
    PL_TRY(pl_gguf_strings(g, kv, arena, &v->token));
    v->count = (int32_t)kv->count;
    for (int32_t i = 0; i < v->count; i++)
        if (v->token[i].len > PL_MAX_TOKEN_BYTES)
            return pl_fail(PL_E_INPUT, "%s: token %d has %u bytes, at most %d are allowed", g->path,
                           i, v->token[i].len, PL_MAX_TOKEN_BYTES);
    return PL_OK;
}

/* The text of an SPM byte token is exactly <0xHH>: it is what the byte is read from. */
static bool is_byte_text(const pl_text *t)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    return t->len == 6 && !memcmp(t->s, "<0x", 3) && t->s[5] == '>' && t->s[3] && t->s[4] &&
           strchr(digits, t->s[3]) && strchr(digits, t->s[4]);
}

static pl_status read_types(const pl_gguf *g, pl_arena *arena, pl_vocab *v)
{
    void *raw;
    v->type = PL_NEW(arena, uint8_t, v->count);
    if (!v->type) return PL_E_MEMORY;
    PL_TRY(per_token(g, PL_GGUF_TOK_TYPES, PL_META_I32, v, arena, &raw));
    for (int32_t i = 0; i < v->count; i++) {
        int32_t type = PL_TOKEN_NORMAL;
        if (raw) memcpy(&type, (const char *)raw + 4 * (size_t)i, 4);
        if (type < PL_TOKEN_NORMAL || type > PL_TOKEN_BYTE)
            return pl_fail(PL_E_INPUT, "%s: token %d has the unknown type %d", g->path, i, type);
        if (type == PL_TOKEN_BYTE && v->kind == PL_VOCAB_SPM && !is_byte_text(&v->token[i]))
            return pl_fail(PL_E_INPUT, "%s: the byte token %d is spelled '%.20s', expected <0x00> "
                           "to <0xFF>", g->path, i, v->token[i].s);
        v->type[i] = (uint8_t)type;
    }
    return PL_OK;
}

static pl_status read_scores(const pl_gguf *g, pl_arena *arena, pl_vocab *v)
{
    void *raw;
    PL_TRY(per_token(g, PL_GGUF_TOK_SCORES, PL_META_F32, v, arena, &raw));
    v->score = raw;
    if (!raw)
        return pl_fail(PL_E_INPUT, "%s: the key '%s' is missing", g->path, PL_GGUF_TOK_SCORES);
    for (int32_t i = 0; i < v->count; i++)
        if (isnan(v->score[i]))
            return pl_fail(PL_E_INPUT, "%s: the score of token %d is not a number", g->path, i);
    return PL_OK;
}

/* "left right": the first space behind the first character parts them. */
static pl_status read_merge(const pl_gguf *g, const pl_token_map *map, const pl_text *text,
                            int32_t index, pl_merge *out)
{
    const char *space = text->len > 1 ? memchr(text->s + 1, ' ', text->len - 1) : NULL;
    if (space) {
        pl_text left = { text->s, (uint32_t)(space - text->s) };
        pl_text right = { space + 1, text->len - left.len - 1 };
        out->left = pl_token_map_find(map, left, nothing);
        out->right = pl_token_map_find(map, right, nothing);
        if (out->left >= 0 && out->right >= 0) return PL_OK;
    }
    return pl_fail(PL_E_INPUT, "%s: merge %d, '%.100s', does not join two tokens", g->path, index,
                   text->s);
}

static pl_status read_merges(const pl_gguf *g, const pl_token_map *map, pl_arena *arena,
                             pl_arena *scratch, pl_vocab *v)
{
    pl_gguf_kv *kv = pl_gguf_find(g, PL_GGUF_TOK_MERGES);
    if (!kv) return pl_fail(PL_E_INPUT, "%s: the key '%s' is missing", g->path, PL_GGUF_TOK_MERGES);
    kv->used = true;
    if (kv->count > PL_MAX_MERGES)
        return pl_fail(PL_E_INPUT, "%s: %lld merges, at most %d are allowed", g->path,
                       (long long)kv->count, PL_MAX_MERGES);
    pl_text *text;
    PL_TRY(pl_gguf_strings(g, kv, scratch, &text));
    v->merge = PL_NEW(arena, pl_merge, kv->count);
    if (!v->merge) return PL_E_MEMORY;
    v->merges = (int32_t)kv->count;
    for (int32_t i = 0; i < v->merges; i++) PL_TRY(read_merge(g, map, &text[i], i, &v->merge[i]));
    return PL_OK;
}

/* ---- special tokens ---- */

static pl_status read_id(const pl_gguf *g, const char *key, const pl_vocab *v, int32_t fallback,
                         int32_t *out)
{
    int64_t id = fallback < v->count ? fallback : -1;
    PL_TRY(pl_gguf_int(g, key, false, 0, v->count - 1, 0, &id));
    *out = (int32_t)id;
    return PL_OK;
}

static void add_eog(pl_vocab *v, int32_t id)
{
    if (id < 0 || v->eogs == PL_COUNT(v->eog)) return;
    for (int i = 0; i < v->eogs; i++)
        if (v->eog[i] == id) return;
    v->eog[v->eogs++] = id;
}

static int32_t find(const pl_token_map *map, const char *text)
{
    return pl_token_map_find(map, (pl_text){ text, (uint32_t)strlen(text) }, nothing);
}

static pl_status read_special(const pl_gguf *g, const pl_token_map *map, pl_vocab *v)
{
    bool spm = v->kind == PL_VOCAB_SPM, wpm = v->kind == PL_VOCAB_WPM;
    static const char *const more[] = { PL_GGUF_TOK_EOT, PL_GGUF_TOK_EOM };
    PL_TRY(read_id(g, PL_GGUF_TOK_BOS, v, spm ? 1 : wpm ? 101 : -1, &v->bos));
    PL_TRY(read_id(g, PL_GGUF_TOK_SEP, v, wpm ? 102 : -1, &v->sep));
    PL_TRY(read_id(g, PL_GGUF_TOK_EOS, v, spm ? 2 : wpm ? v->sep : -1, &v->eos));
    PL_TRY(read_id(g, PL_GGUF_TOK_UNK, v, spm ? 0 : wpm ? 100 : -1, &v->unk));
    PL_TRY(read_id(g, PL_GGUF_TOK_PAD, v, wpm ? 0 : -1, &v->pad));
    PL_TRY(read_id(g, PL_GGUF_TOK_MASK, v, wpm ? 103 : -1, &v->mask));
    if (wpm) return PL_OK;              /* encoders end nothing */
    add_eog(v, v->eos);
    for (int i = 0; i < PL_COUNT(more); i++) {
        int32_t id;
        pl_gguf_kv *kv = pl_gguf_find(g, more[i]);
        PL_TRY(read_id(g, more[i], v, -1, &id));
        if (kv) kv->used = false;       /* the vocabulary has no place for which is which */
        add_eog(v, id);
    }
    /* Where a call and a return end a turn, <|end|> only ends a message. */
    bool messages = find(map, "<|return|>") >= 0 && find(map, "<|call|>") >= 0;
    for (int i = 0; i < PL_COUNT(ends); i++)
        if (!messages || strcmp(ends[i], "<|end|>")) add_eog(v, find(map, ends[i]));
    return PL_OK;
}

static pl_status read_flags(const pl_gguf *g, pl_vocab *v)
{
    const pl_pre *pre = v->kind == PL_VOCAB_BPE ? pl_pre_find(v->pre) : NULL;
    bool separates = false;             /* known to every reader: a separator ends a text that has no other end */
    v->add_space_prefix = v->kind == PL_VOCAB_SPM;
    v->add_bos = v->kind != PL_VOCAB_BPE || (pre && (pre->flags & PL_PRE_ADD_BOS));
    v->add_eos = v->kind == PL_VOCAB_WPM;
    v->whole_words = pre && (pre->flags & PL_PRE_WHOLE_WORDS);
    v->nfc = pre && (pre->flags & PL_PRE_NFC);
    v->lowercase = true;
    PL_TRY(pl_gguf_bool(g, PL_GGUF_TOK_ADD_BOS, &v->add_bos));
    PL_TRY(pl_gguf_bool(g, PL_GGUF_TOK_ADD_EOS, &v->add_eos));
    if (v->kind != PL_VOCAB_WPM) return pl_gguf_bool(g, PL_GGUF_TOK_PREFIX, &v->add_space_prefix);
    PL_TRY(pl_gguf_bool(g, PL_GGUF_TOK_ADD_SEP, &separates));
    PL_TRY(pl_gguf_bool(g, PL_GGUF_TOK_LOWERCASE, &v->lowercase));
    v->strip_accents = v->lowercase;
    return pl_gguf_bool(g, PL_GGUF_TOK_ACCENTS, &v->strip_accents);
}

/* Phi-3's control tokens take the white space behind them; readers know it by the model's name. */
static pl_status read_strip(const pl_gguf *g, const pl_token_map *map, pl_arena *arena, pl_arena *scratch, pl_vocab *v)
{
    static const char *const plain[] = { "<unk>", "<s>", "<|endoftext|>" };
    const char *name = "";
    pl_gguf_kv *kv = pl_gguf_find(g, PL_GGUF_KEY_NAME);
    if (!kv || kv->type != PL_META_STRING) return PL_OK;
    PL_TRY(pl_gguf_string(g, PL_GGUF_KEY_NAME, false, scratch, &name));
    if (v->kind != PL_VOCAB_SPM || (!strcasestr(name, "phi-3") && !strcasestr(name, "phi3"))) return PL_OK;
    v->strip = PL_ZNEW(arena, uint8_t, v->count);
    if (!v->strip) return PL_E_MEMORY;
    for (int32_t id = 0; id < v->count; id++)
        if (v->type[id] == PL_TOKEN_CONTROL || v->type[id] == PL_TOKEN_USER) v->strip[id] = PL_TOKEN_RSTRIP;
    for (int i = 0; i < PL_COUNT(plain); i++) {
        int32_t id = find(map, plain[i]);
        if (id >= 0) v->strip[id] = 0;
    }
    return PL_OK;
}

static pl_status read_all(const pl_gguf *g, const char *pre, pl_arena *arena, pl_arena *scratch, pl_vocab *v)
{
    pl_token_map map;
    PL_TRY(read_tokens(g, arena, v));
    PL_TRY(pl_token_map_create(v, g->path, scratch, &map));
    PL_TRY(read_types(g, arena, v));
    if (v->kind == PL_VOCAB_SPM) PL_TRY(read_scores(g, arena, v));
    if (v->kind == PL_VOCAB_BPE) PL_TRY(read_merges(g, &map, arena, scratch, v));
    v->pre = "default";
    PL_TRY(pl_gguf_string(g, PL_GGUF_TOK_PRE, false, arena, &v->pre));
    if (pre && v->kind == PL_VOCAB_BPE) v->pre = pl_arena_text(arena, pre, strlen(pre));
    if (!v->pre) return PL_E_MEMORY;
    PL_TRY(read_special(g, &map, v));
    PL_TRY(read_flags(g, v));
    PL_TRY(read_strip(g, &map, arena, scratch, v));
    return pl_gguf_string(g, PL_GGUF_TOK_CHAT, false, arena, &v->chat_template);
}

pl_status pl_gguf_vocab(const pl_gguf *g, const char *pre, pl_arena *arena, pl_vocab **out)
{
    const char *model = NULL;
    *out = NULL;
    PL_TRY(pl_gguf_string(g, PL_GGUF_TOK_MODEL, false, arena, &model));
    if (!model || !strcmp(model, "none") || !strcmp(model, "no_vocab")) return PL_OK;
    pl_vocab *v = PL_ZNEW(arena, pl_vocab, 1);
    if (!v) return PL_E_MEMORY;
    if (!strcmp(model, "gpt2")) v->kind = PL_VOCAB_BPE;
    else if (!strcmp(model, "llama")) v->kind = PL_VOCAB_SPM;
    else if (!strcmp(model, "bert")) v->kind = PL_VOCAB_WPM;
    else
        return pl_fail(PL_E_INPUT, "%s: the tokenizer model '%.40s' is not supported (gpt2, llama, bert)",
                       g->path, model);
    pl_arena *scratch;
    PL_TRY(pl_arena_create(&scratch));
    pl_status code = read_all(g, pre, arena, scratch, v);
    pl_arena_destroy(scratch);
    if (code == PL_OK) *out = v;
    return code;
}
