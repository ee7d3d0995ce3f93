/* hf_tokens.c: the tokens of a Hugging Face folder, from tokenizer.json and SentencePiece's tokenizer.model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "formats/hf_reader.h"
#include "formats/sp_model.h"

static const pl_text nothing = { "", 0 };
static const pl_text mark = { "\xE2\x96\x81", 3 };      /* U+2581 */

static pl_text text_of(const char *s) { return (pl_text){ s, (uint32_t)strlen(s) }; }

static bool begins(pl_text t, pl_text with) { return t.len >= with.len && !memcmp(t.s, with.s, with.len); }

static bool ends(pl_text t, pl_text with)
{
    return t.len >= with.len && !memcmp(t.s + t.len - with.len, with.s, with.len);
}

/* ---- one token ---- */

static pl_status token_id(const pl_hf_reader *r, const pl_json *node, const char *text, int64_t high, int64_t *id)
{
    if (strlen(text) > PL_MAX_TOKEN_BYTES)
        return pl_fail(PL_E_INPUT, "%s: a token of %zu bytes, at most %d (PL_MAX_TOKEN_BYTES)", r->origin,
                       strlen(text), PL_MAX_TOKEN_BYTES);
    char what[160];
    snprintf(what, sizeof what, "id of token '%.100s'", text);
    return pl_json_as_int(node, 0, high, r->origin, what, id);
}

static pl_status put_token(pl_hf_reader *r, int64_t id, pl_text text, uint8_t type)
{
    r->v->token[id] = pl_hf_keep(r, text, nothing);
    r->v->type[id] = type;
    return r->v->token[id].s ? PL_OK : PL_E_MEMORY;
}

static pl_status read_vocab(pl_hf_reader *r)
{
    for (const pl_json *c = pl_json_first(pl_json_get(r->model, "vocab")); c; c = pl_json_next(c)) {
        const char *text = pl_json_key(c);
        int64_t id;
        PL_TRY(token_id(r, c, text, r->v->count - 1, &id));
        if (r->v->token[id].s)
            return pl_fail(PL_E_INPUT, "%s: tokens '%.100s' and '%.100s' both have id %lld", r->origin,
                           r->v->token[id].s, text, (long long)id);
        PL_TRY(put_token(r, id, text_of(text), PL_TOKEN_NORMAL));
    }
    return PL_OK;
}

/* Pieces, scores and types of a SentencePiece model; user-defined pieces are like others until the added
 * tokens say what they are. */
static pl_status read_pieces(pl_hf_reader *r)
{
    pl_vocab *v = r->v;
    pl_sp_model sp;
    PL_TRY(pl_sp_model_read(r->sp_path, r->scratch, &sp));
    v->score = PL_NEW(r->arena, float, v->count);
    if (!v->score) return PL_E_MEMORY;
    if (sp.count > v->count)
        pl_log(PL_LOG_WARN, "%s: %d pieces, but the model has %d tokens: the others are left out", r->sp_path, sp.count,
               v->count);
    for (int32_t id = 0; id < v->count; id++) v->score[id] = -10000;
    for (int32_t id = 0; id < sp.count && id < v->count; id++) {
        uint8_t type = sp.type[id] == PL_TOKEN_USER ? PL_TOKEN_NORMAL : sp.type[id];
        PL_TRY(put_token(r, id, sp.piece[id], type));
        v->score[id] = sp.score[id];
    }
    if (r->doc) return PL_OK;
    if (sp.squeezes || sp.rewrites)
        return pl_fail(PL_E_INPUT, "%s: it %s before it cuts it, which is not supported", r->sp_path,
                       sp.rewrites ? "rewrites text by a table" : "drops white space of a text");
    r->rules = (pl_hf_rules){ .kind = PL_VOCAB_SPM, .pre = "default", .add_space_prefix = sp.add_space_prefix };
    v->bos = sp.bos;
    v->eos = sp.eos;
    v->unk = sp.unk;
    v->pad = sp.pad;
    return PL_OK;
}

/* ---- added tokens ---- */

/* Some control tokens are not marked as special, but look it. */
static bool looks_special(pl_text t)
{
    static const struct { const char *first, *last; } brackets[] = {
        { "<|", "|>" }, { "<\xEF\xBD\x9C", "\xEF\xBD\x9C>" }, { "<unused", ">" },   /* U+FF5C in the second */
    };
    static const char *const names[] = { "<pad>", "<mask>", "<2mass>", "[@BOS@]" };
    for (int i = 0; i < PL_COUNT(brackets); i++)
        if (begins(t, text_of(brackets[i].first)) && ends(t, text_of(brackets[i].last))) return true;
    for (int i = 0; i < PL_COUNT(names); i++)
        if (!strcmp(t.s, names[i])) return true;
    return false;
}

/* What added tokens have that readers of GGUF do not know, told once for all of them. */
typedef struct oddities { int64_t outside, options; const char *outside_text, *options_text, *option; } oddities;

static pl_status read_options(pl_hf_reader *r, const pl_json *node, int64_t id, const char *text, oddities *odd)
{
    static const struct { const char *name; uint8_t flag; } known[] = {
        { "lstrip", PL_TOKEN_LSTRIP }, { "rstrip", PL_TOKEN_RSTRIP }, { "single_word", PL_TOKEN_WORD },
        { "normalized", 0 },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        bool on = false;
        PL_TRY(pl_json_bool(node, known[i].name, false, r->origin, &on));
        /* Normalizing is nothing where there is no normalizer, and leaves names alone where it is NFC. */
        if (!on || (!known[i].flag && (r->rules.nfc || !pl_json_get(r->doc, "normalizer")))) continue;
        r->v->strip[id] |= known[i].flag;
        if (!odd->options++) odd->options_text = text, odd->option = known[i].name;
    }
    return PL_OK;
}

/* A token of tokenizer.json's list, or of tokenizer_config.json's. `replace`: whatever had the id before. */
static pl_status add_token(pl_hf_reader *r, const pl_json *node, int64_t id, const char *text, bool replace,
                           oddities *odd)
{
    pl_vocab *v = r->v;
    bool special = false;
    PL_TRY(pl_json_bool(node, "special", false, r->origin, &special));
    if (id >= v->count) {
        if (!odd->outside++) odd->outside_text = text;
        return PL_OK;
    }
    uint8_t type = special || looks_special(text_of(text)) ? PL_TOKEN_CONTROL : PL_TOKEN_USER;
    PL_TRY(read_options(r, node, id, text, odd));
    bool same = v->token[id].s && !strcmp(v->token[id].s, text);
    if (v->token[id].s && !same && !replace)
        return pl_fail(PL_E_INPUT, "%s: added token '%.100s' has id %lld, which is token '%.100s'", r->origin,
                       text, (long long)id, v->token[id].s);
    if (r->sp_path) v->score[id] = -1000;
    v->type[id] = type;
    return same ? PL_OK : put_token(r, id, text_of(text), type);
}

static pl_status read_added_list(pl_hf_reader *r, oddities *odd)
{
    for (const pl_json *c = pl_json_first(pl_json_get(r->doc, "added_tokens")); c; c = pl_json_next(c)) {
        const char *text;
        int64_t id;
        if (!pl_json_is(c, PL_JSON_OBJECT))
            return pl_fail(PL_E_INPUT, "%s: an added token is not an object", r->origin);
        PL_TRY(pl_json_string(c, "content", true, r->origin, &text));
        const pl_json *number = pl_json_get(c, "id");
        if (!number) return pl_fail(PL_E_INPUT, "%s: added token '%.100s' has no id", r->origin, text);
        PL_TRY(token_id(r, number, text, PL_MAX_VOCAB - 1, &id));
        PL_TRY(add_token(r, c, id, text, r->sp_path != NULL, odd));
    }
    return PL_OK;
}

/* The lists that stand beside a SentencePiece model: added_tokens.json, {"text": id}, and, saying more,
 * added_tokens_decoder of tokenizer_config.json, {"id": {"content": "text"}}. */
static pl_status read_companions(pl_hf_reader *r, oddities *odd)
{
    for (const pl_json *c = pl_json_first(r->extra); c; c = pl_json_next(c)) {
        int64_t id;
        PL_TRY(token_id(r, c, pl_json_key(c), PL_MAX_VOCAB - 1, &id));
        PL_TRY(add_token(r, NULL, id, pl_json_key(c), true, odd));
    }
    for (const pl_json *c = pl_json_first(pl_json_get(r->settings, "added_tokens_decoder")); c; c = pl_json_next(c)) {
        const char *text, *key = pl_json_key(c);
        char *end = NULL;
        long long id = key ? strtoll(key, &end, 10) : -1;
        PL_TRY(pl_json_string(c, "content", true, "tokenizer_config.json", &text));
        if (id < 0 || id >= PL_MAX_VOCAB || *end || strlen(text) > PL_MAX_TOKEN_BYTES)
            return pl_fail(PL_E_INPUT, "tokenizer_config.json: added token '%.100s' has the id '%.40s'", text, key);
        PL_TRY(add_token(r, c, id, text, true, odd));
    }
    return PL_OK;
}

static pl_status read_added(pl_hf_reader *r)
{
    oddities odd = { 0 };
    r->v->strip = PL_ZNEW(r->arena, uint8_t, r->v->count);
    if (!r->v->strip) return PL_E_MEMORY;
    if (r->sp_path) PL_TRY(read_companions(r, &odd));
    PL_TRY(read_added_list(r, &odd));
    if (odd.outside)
        pl_log(PL_LOG_WARN, "%s: added token '%.100s' is left out: the model has only %d tokens%s", r->origin,
               odd.outside_text, r->v->count, odd.outside > 1 ? "; so are others" : "");
    if (odd.options)
        pl_log(PL_LOG_WARN, "%s: added token '%.100s' has the option %s, which readers of GGUF do not know%s",
               r->origin, odd.options_text, odd.option, odd.options > 1 ? "; so have others" : "");
    return PL_OK;
}

/* ---- all tokens ---- */

/* "<0xNN>", two upper-case hexadecimal digits. */
static bool spells_byte(pl_text t)
{
    static const char digits[] = "0123456789ABCDEF";
    return t.len == 6 && !memcmp(t.s, "<0x", 3) && memchr(digits, t.s[3], 16) &&
           memchr(digits, t.s[4], 16) && t.s[5] == '>';
}

static pl_status fill_holes(pl_hf_reader *r)
{
    pl_vocab *v = r->v;
    for (int32_t id = 0; id < v->count; id++) {
        char name[24];
        snprintf(name, sizeof name, "[PAD%d]", id);
        if (!v->token[id].s) PL_TRY(put_token(r, id, text_of(name), PL_TOKEN_UNUSED));
        else if (v->kind == PL_VOCAB_SPM && spells_byte(v->token[id])) v->type[id] = PL_TOKEN_BYTE;
        else if (v->type[id] == PL_TOKEN_BYTE)
            return pl_fail(PL_E_INPUT, "%s: the byte token %d is spelled '%.40s', expected <0x00> to <0xFF>",
                           r->sp_path, id, v->token[id].s);
    }
    return PL_OK;
}

/* ---- merges ---- */

/* "a b" or ["a", "b"]. */
static pl_status read_merge(const pl_hf_reader *r, const pl_json *node, int64_t rank, pl_merge *out)
{
    pl_text left = { pl_json_text(node), 0 }, right = { NULL, 0 };
    if (left.s) {
        const char *gap = strchr(left.s, ' ');
        if (gap && !strchr(gap + 1, ' ')) {
            left.len = (uint32_t)(gap - left.s);
            right = text_of(gap + 1);
        }
    } else if (pl_json_is(node, PL_JSON_ARRAY) && pl_json_count(node) == 2) {
        const pl_json *first = pl_json_first(node), *second = pl_json_next(first);
        left = (pl_text){ pl_json_text(first), (uint32_t)pl_json_length(first) };
        right = (pl_text){ pl_json_text(second), (uint32_t)pl_json_length(second) };
    }
    if (!left.s || !right.s)
        return pl_fail(PL_E_INPUT, "%s: merge %lld is neither \"a b\" nor [\"a\", \"b\"]", r->origin,
                       (long long)rank);
    out->left = pl_token_map_find(&r->map, left, nothing);
    out->right = pl_token_map_find(&r->map, right, nothing);
    const pl_text missing = out->left < 0 ? left : right;
    if (out->left < 0 || out->right < 0)
        return pl_fail(PL_E_INPUT, "%s: merge %lld: '%.*s' is no token", r->origin, (long long)rank,
                       (int)pl_min64(missing.len, 100), missing.s);
    if (pl_token_map_find(&r->map, left, right) < 0)
        return pl_fail(PL_E_INPUT, "%s: merge %lld: '%.100s' and '%.100s' together are no token", r->origin,
                       (long long)rank, r->v->token[out->left].s, r->v->token[out->right].s);
    return PL_OK;
}

static pl_status read_merges(pl_hf_reader *r, pl_arena *arena)
{
    const pl_json *list = pl_json_get(r->model, "merges");
    if (!pl_json_is(list, PL_JSON_ARRAY)) return pl_fail(PL_E_INPUT, "%s: model.merges is not an array", r->origin);
    int64_t count = pl_json_count(list);
    if (count > PL_MAX_MERGES)
        return pl_fail(PL_E_INPUT, "%s: %lld merges, at most %d (PL_MAX_MERGES)", r->origin, (long long)count,
                       PL_MAX_MERGES);
    r->v->merge = PL_NEW(arena, pl_merge, count);
    if (!r->v->merge) return PL_E_MEMORY;
    for (const pl_json *c = pl_json_first(list); c; c = pl_json_next(c), r->v->merges++)
        PL_TRY(read_merge(r, c, r->v->merges, &r->v->merge[r->v->merges]));
    return PL_OK;
}

/* ---- scores ---- */

static void count_cut(void *ctx, int32_t left, int32_t right, int32_t whole) { ++*(int64_t *)ctx; }

/* tokenizer.json ranks pairs, GGUF scores what they make: a token scores by the rank of its first merge.
 * The order is the same if the merges of a token stand together and every pair that spells a token is
 * a merge, as in files made from SentencePiece models; other files are told from them here. */
static pl_status derive_scores(pl_hf_reader *r)
{
    pl_vocab *v = r->v;
    v->score = PL_NEW(r->arena, float, v->count);
    if (!v->score) return PL_E_MEMORY;
    const float none = -(float)v->merges - 1;
    for (int32_t id = 0; id < v->count; id++) v->score[id] = none;
    int64_t scattered = 0, spelled = 0;
    int32_t before = -1;
    for (int32_t rank = 0; rank < v->merges; rank++) {
        pl_merge m = v->merge[rank];
        int32_t whole = pl_token_map_find(&r->map, v->token[m.left], v->token[m.right]);
        if (v->score[whole] == none) v->score[whole] = -(float)rank;
        else if (whole != before) scattered++;
        before = whole;
    }
    PL_TRY(pl_token_map_cuts(&r->map, count_cut, &spelled));
    if (scattered > 0 || spelled > v->merges)
        pl_log(PL_LOG_WARN, "%s: merging by score, as readers of GGUF do, may differ from this file's merges: "
               "%lld pairs spell a token but are no merge, %lld merges stand apart from their token's first",
               r->origin, (long long)pl_max64(0, spelled - v->merges), (long long)scattered);
    return PL_OK;
}

/* ---- the whole ---- */

pl_status pl_hf_tokens_read(pl_hf_reader *r)
{
    pl_vocab *v = r->v;
    v->token = PL_ZNEW(r->arena, pl_text, v->count);
    v->type = PL_ZNEW(r->arena, uint8_t, v->count);
    if (!v->token || !v->type) return PL_E_MEMORY;
    PL_TRY(r->sp_path ? read_pieces(r) : read_vocab(r));
    v->kind = r->rules.kind;
    PL_TRY(read_added(r));
    PL_TRY(fill_holes(r));
    PL_TRY(pl_token_map_create(v, r->origin, r->scratch, &r->map));
    if (v->kind == PL_VOCAB_BPE) return read_merges(r, r->arena);
    if (v->kind == PL_VOCAB_WPM || r->sp_path) return PL_OK;
    PL_TRY(read_merges(r, r->scratch));
    PL_TRY(derive_scores(r));
    v->merges = 0;                      /* the scores say the same, and merges go with the document */
    v->merge = NULL;
    return PL_OK;
}

/* "##x" goes on with a word and loses its mark, others but control tokens begin one and get GGUF's. */
static pl_text spell_word_piece(pl_hf_reader *r, pl_text t)
{
    if (begins(t, text_of("##"))) return (pl_text){ t.s + 2, t.len - 2 };
    return pl_hf_keep(r, mark, t);
}

/* A user-defined token is looked for in text, which has spaces. */
static pl_text spell_spaces(pl_hf_reader *r, pl_text t)
{
    char *to = (char *)pl_hf_keep(r, t, nothing).s;
    pl_text out = { to, 0 };
    if (!to) return out;
    for (uint32_t i = 0; i < t.len; out.len++) {
        bool space = begins((pl_text){ t.s + i, t.len - i }, mark);
        to[out.len] = space ? ' ' : t.s[i];
        i += space ? mark.len : 1;
    }
    to[out.len] = 0;
    return out;
}

pl_status pl_hf_tokens_spell(pl_hf_reader *r)
{
    pl_vocab *v = r->v;
    for (int32_t id = 0; id < v->count; id++) {
        pl_text *t = &v->token[id];
        if (v->kind == PL_VOCAB_WPM && (v->type[id] == PL_TOKEN_NORMAL || v->type[id] == PL_TOKEN_UNUSED))
            *t = spell_word_piece(r, *t);
        else if (v->kind == PL_VOCAB_SPM && v->type[id] == PL_TOKEN_USER && strstr(t->s, mark.s))
            *t = spell_spaces(r, *t);
        if (!t->s) return PL_E_MEMORY;
    }
    return PL_OK;
}
