/* hf_rules.c: recognising normalizers, pre-tokenizers and post-processors of tokenizer.json. */
#include "formats/hf_rules.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/pre.h"

#define SPACE_MARK "\xE2\x96\x81"       /* U+2581, a space in SentencePiece's spelling */

enum { MAX_STEPS = 12 };

/* A step of a pipeline, or the steps of a Sequence, in order. */
typedef struct steps { const pl_json *node[MAX_STEPS]; const char *type[MAX_STEPS]; int count; } steps;

static pl_status flatten(const pl_json *node, const char *list_key, const char *what, const char *origin,
                         steps *out)
{
    if (!node) return PL_OK;
    const char *type;
    if (!pl_json_is(node, PL_JSON_OBJECT)) return pl_fail(PL_E_INPUT, "%s: %s is not an object", origin, what);
    PL_TRY(pl_json_string(node, "type", true, origin, &type));
    if (!strcmp(type, "Sequence")) {
        const pl_json *list = pl_json_get(node, list_key);
        if (!pl_json_is(list, PL_JSON_ARRAY))
            return pl_fail(PL_E_INPUT, "%s: %s: Sequence without the array '%s'", origin, what, list_key);
        for (const pl_json *c = pl_json_first(list); c; c = pl_json_next(c))
            PL_TRY(flatten(c, list_key, what, origin, out));
        return PL_OK;
    }
    if (out->count == MAX_STEPS)
        return pl_fail(PL_E_INPUT, "%s: %s has more than %d steps", origin, what, MAX_STEPS);
    out->node[out->count] = node;
    out->type[out->count++] = type;
    return PL_OK;
}

static pl_status unknown(const steps *s, const char *what, const char *known, const char *origin)
{
    char found[240] = "";
    for (int i = 0; i < s->count; i++) {
        size_t len = strlen(found);
        snprintf(found + len, sizeof found - len, "%s%.40s", i ? ", " : "", s->type[i]);
    }
    return pl_fail(PL_E_INPUT, "%s: %s [%s] is not supported; known are %s", origin, what, found, known);
}

static bool is(const steps *s, int i, const char *type)
{
    return i < s->count && !strcmp(s->type[i], type);
}

/* A member that is a string with this value. */
static bool says(const pl_json *node, const char *key, const char *value)
{
    const char *text = pl_json_text(pl_json_get(node, key));
    return text && !strcmp(text, value);
}

/* ---- SentencePiece-style ---- */

static bool replaces_space(const pl_json *node)
{
    return says(pl_json_get(node, "pattern"), "String", " ") && says(node, "content", SPACE_MARK);
}

static pl_status read_metaspace(const pl_json *node, const char *origin, pl_hf_rules *out)
{
    const char *scheme = "always";
    bool prefix = true, cuts = true;
    PL_TRY(pl_json_string(node, "prepend_scheme", false, origin, &scheme));
    PL_TRY(pl_json_bool(node, "add_prefix_space", false, origin, &prefix));
    PL_TRY(pl_json_bool(node, "split", false, origin, &cuts));
    out->add_space_prefix = prefix && strcmp(scheme, "never") != 0;
    if (!says(node, "replacement", SPACE_MARK))
        return pl_fail(PL_E_INPUT, "%s: pre_tokenizer Metaspace replaces spaces by something else than U+2581",
                       origin);
    if (cuts)
        return pl_fail(PL_E_INPUT, "%s: pre_tokenizer Metaspace with \"split\": true is not supported", origin);
    out->prefix_unspaced = out->add_space_prefix;
    out->prefix_first = out->add_space_prefix && !strcmp(scheme, "first");
    if (out->add_space_prefix)
        pl_log(PL_LOG_WARN, "%s: pre_tokenizer Metaspace: readers of GGUF put a space in front of every "
               "text, also where it begins with one or follows a special token", origin);
    return PL_OK;
}

static pl_status read_spm(const steps *norm, const steps *pre, const char *origin, pl_hf_rules *out)
{
    bool replaced = false;
    for (int i = 0; i < norm->count; i++) {
        if (is(norm, i, "Prepend") && says(norm->node[i], "prepend", SPACE_MARK) && !out->add_space_prefix)
            out->add_space_prefix = true;
        else if (is(norm, i, "Replace") && replaces_space(norm->node[i]))
            replaced = true;
        else
            return unknown(norm, "normalizer", "[Prepend U+2581, Replace ' ' by U+2581]", origin);
    }
    out->pre = "default";
    if (pre->count == 1 && is(pre, 0, "Metaspace") && norm->count == 0)
        return read_metaspace(pre->node[0], origin, out);
    if (!replaced) return unknown(norm, "normalizer", "[Replace ' ' by U+2581]", origin);
    /* A split at spaces finds none once they have been replaced. */
    bool idle = pre->count == 1 && is(pre, 0, "Split") &&
                says(pl_json_get(pre->node[0], "pattern"), "String", " ");
    if (pre->count > 0 && !idle) return unknown(pre, "pre_tokenizer", "none, [Metaspace]", origin);
    return PL_OK;
}

/* ---- byte-level ---- */

/* The expression that a step cuts by, one more in stage[*count]; *known is false for one that we cannot run.
 * *bytes: steps from here on see a character for each byte. */
static pl_status read_cut(const steps *pre, int i, const char *origin, const char **stage, int *count, bool *known,
                          bool *bytes)
{
    const pl_json *node = pre->node[i];
    bool prefix = false, regex = true, single = false, invert = false;
    const char *cut = NULL;
    PL_TRY(pl_json_bool(node, "add_prefix_space", false, origin, &prefix));
    PL_TRY(pl_json_bool(node, "use_regex", false, origin, &regex));
    PL_TRY(pl_json_bool(node, "individual_digits", false, origin, &single));
    PL_TRY(pl_json_bool(node, "invert", false, origin, &invert));
    if (prefix)
        return pl_fail(PL_E_INPUT, "%s: pre_tokenizer %s with \"add_prefix_space\": true is not supported", origin,
                       pre->type[i]);
    if (is(pre, i, "ByteLevel")) {
        *bytes = true;
        if (!regex) return PL_OK;
        cut = PL_PRE_BYTE_LEVEL;
    } else if (is(pre, i, "Digits")) {
        cut = *bytes ? (single ? NULL : PL_PRE_BYTE_DIGITS) : single ? PL_PRE_DIGIT : PL_PRE_DIGITS;
    } else if (is(pre, i, "Punctuation") && says(node, "behavior", "Contiguous")) {
        cut = PL_PRE_PUNCTUATION;
    } else if (is(pre, i, "Split") && (says(node, "behavior", "Isolated") ? !invert :
                                       says(node, "behavior", "Removed") && invert)) {
        /* Removing what does not match is the same for the expressions we know: they match everything. */
        cut = pl_json_text(pl_json_get(pl_json_get(node, "pattern"), "Regex"));
    }
    if (!cut || *count == PL_PRE_STAGES) *known = false;
    else stage[(*count)++] = cut;
    return PL_OK;
}

/* Names the steps, and the expressions of those that have one. */
static pl_status unknown_cuts(const steps *pre, const char *origin)
{
    char found[480] = "", list[PL_PRE_LIST];
    for (int i = 0; i < pre->count; i++) {
        size_t len = strlen(found);
        const char *regex = pl_json_text(pl_json_get(pl_json_get(pre->node[i], "pattern"), "Regex"));
        snprintf(found + len, sizeof found - len, regex ? "%s%.20s /%.120s%s/" : "%s%.20s", i ? ", " : "", pre->type[i],
                 regex, regex && strlen(regex) > 120 ? "..." : "");
    }
    pl_pre_list(list);
    return pl_fail(PL_E_INPUT, "%s: pre_tokenizer [%s] is not known; --pre NAME says which one it is like: %s", origin,
                   found, list);
}

static pl_status read_byte_level(const steps *norm, const steps *pre, const char *name, const char *origin,
                                 pl_hf_rules *out)
{
    const char *stage[PL_PRE_STAGES] = { NULL };
    int count = 0;
    bool known = true, bytes = false;
    for (int i = 0; i < pre->count; i++) {
        PL_TRY(read_cut(pre, i, origin, stage, &count, &known, &bytes));
    }
    if (!bytes) return unknown(pre, "pre_tokenizer without byte_fallback", "those with ByteLevel in them", origin);
    out->nfc = norm->count == 1 && is(norm, 0, "NFC");
    if (norm->count > 0 && !out->nfc)
        return unknown(norm, "normalizer of a byte-level vocabulary", "none, [NFC]", origin);
    const unsigned flags = (out->whole_words ? PL_PRE_WHOLE_WORDS : 0) | (out->nfc ? PL_PRE_NFC : 0);
    const pl_pre *row = name ? pl_pre_find(name) : known && count > 0 ? pl_pre_by_stages(stage, flags) : NULL;
    if (!row) return unknown_cuts(pre, origin);
    out->pre = name ? name : row->name[0];
    const unsigned other = (row->flags ^ flags) & (PL_PRE_WHOLE_WORDS | PL_PRE_NFC);
    if (other & PL_PRE_WHOLE_WORDS)
        pl_log(PL_LOG_WARN, "%s: \"ignore_merges\" is %s, but readers of GGUF take it to be %s for the "
               "pre-tokenizer '%s'", origin, out->whole_words ? "true" : "false", out->whole_words ? "false" : "true",
               out->pre);
    if (other & PL_PRE_NFC)
        pl_log(PL_LOG_INFO, "%s: the normalizer is %s; planish takes it to be %s when it reads GGUF with the "
               "pre-tokenizer '%s'", origin, out->nfc ? "NFC" : "none", out->nfc ? "none" : "NFC", out->pre);
    return PL_OK;
}

/* ---- WordPiece ---- */

static pl_status read_word_piece(const pl_json *model, const steps *norm, const steps *pre, const char *origin,
                                 pl_hf_rules *out)
{
    bool clean = true, ideographs = true;
    const char *prefix = "##";
    int64_t longest = 100;
    if (norm->count != 1 || !is(norm, 0, "BertNormalizer"))
        return unknown(norm, "normalizer of a WordPiece vocabulary", "[BertNormalizer]", origin);
    if (pre->count != 1 || !is(pre, 0, "BertPreTokenizer"))
        return unknown(pre, "pre_tokenizer of a WordPiece vocabulary", "[BertPreTokenizer]", origin);
    out->lowercase = true;
    PL_TRY(pl_json_bool(norm->node[0], "clean_text", false, origin, &clean));
    PL_TRY(pl_json_bool(norm->node[0], "handle_chinese_chars", false, origin, &ideographs));
    PL_TRY(pl_json_bool(norm->node[0], "lowercase", false, origin, &out->lowercase));
    out->strip_accents = out->lowercase;
    PL_TRY(pl_json_bool(norm->node[0], "strip_accents", false, origin, &out->strip_accents));
    PL_TRY(pl_json_string(model, "continuing_subword_prefix", false, origin, &prefix));
    PL_TRY(pl_json_int(model, "max_input_chars_per_word", false, 0, INT32_MAX, origin, &longest));
    if (!clean || !ideographs || strcmp(prefix, "##") || longest != 100)
        return pl_fail(PL_E_INPUT, "%s: WordPiece with clean_text %s, handle_chinese_chars %s, prefix '%.20s' and "
                       "words of %lld characters is not supported, only true, true, '##' and 100", origin,
                       clean ? "true" : "false", ideographs ? "true" : "false", prefix, (long long)longest);
    if (!out->lowercase || !out->strip_accents)
        pl_log(PL_LOG_WARN, "%s: case or accents matter to this vocabulary; readers of GGUF from before 2026 bring "
               "every text to lower case without accents", origin);
    out->pre = "default";
    return PL_OK;
}

/* ---- what stands around a text ---- */

static pl_status read_template(const pl_json *node, const char *origin, pl_hf_rules *out)
{
    const pl_json *single = pl_json_get(node, "single");
    if (!pl_json_is(single, PL_JSON_ARRAY))
        return pl_fail(PL_E_INPUT, "%s: post_processor TemplateProcessing without the array 'single'", origin);
    out->framed = true;
    bool text_seen = false;
    for (const pl_json *c = pl_json_first(single); c; c = pl_json_next(c)) {
        const pl_json *special = pl_json_get(c, "SpecialToken");
        if (!special) {
            if (text_seen || !pl_json_get(c, "Sequence"))
                return pl_fail(PL_E_INPUT, "%s: post_processor TemplateProcessing: 'single' is not one text "
                               "between special tokens", origin);
            text_seen = true;
            continue;
        }
        const char **slot = text_seen ? &out->last : &out->first;
        if (*slot)
            return pl_fail(PL_E_INPUT, "%s: post_processor TemplateProcessing puts more than one special "
                           "token at one end of a text", origin);
        PL_TRY(pl_json_string(special, "id", true, origin, slot));
    }
    return PL_OK;
}

/* {"sep": ["[SEP]", 102], "cls": ["[CLS]", 101]} */
static pl_status read_pair(const pl_json *node, const char *origin, pl_hf_rules *out)
{
    out->first = pl_json_text(pl_json_first(pl_json_get(node, "cls")));
    out->last = pl_json_text(pl_json_first(pl_json_get(node, "sep")));
    if (!out->first || !out->last)
        return pl_fail(PL_E_INPUT, "%s: post_processor without the tokens 'cls' and 'sep'", origin);
    out->framed = true;
    return PL_OK;
}

static pl_status read_frame(const steps *post, const char *origin, pl_hf_rules *out)
{
    for (int i = 0; i < post->count; i++) {
        if (is(post, i, "ByteLevel")) {                 /* moves offsets, not ids */
            out->plain_ends = true;
            continue;
        }
        bool pair = is(post, i, "BertProcessing") || is(post, i, "RobertaProcessing");
        if ((!pair && !is(post, i, "TemplateProcessing")) || out->framed)
            return unknown(post, "post_processor", "[TemplateProcessing], [ByteLevel, TemplateProcessing], "
                           "[BertProcessing], [RobertaProcessing]", origin);
        PL_TRY(pair ? read_pair(post->node[i], origin, out) : read_template(post->node[i], origin, out));
    }
    return PL_OK;
}

pl_status pl_hf_rules_read(const pl_json *doc, const char *name, const char *origin, pl_hf_rules *out)
{
    *out = (pl_hf_rules){ 0 };
    steps norm = { 0 }, pre = { 0 }, post = { 0 };
    PL_TRY(flatten(pl_json_get(doc, "normalizer"), "normalizers", "normalizer", origin, &norm));
    PL_TRY(flatten(pl_json_get(doc, "pre_tokenizer"), "pretokenizers", "pre_tokenizer", origin, &pre));
    PL_TRY(flatten(pl_json_get(doc, "post_processor"), "processors", "post_processor", origin, &post));
    PL_TRY(read_frame(&post, origin, out));
    const pl_json *model = pl_json_get(doc, "model");
    if (says(model, "type", "WordPiece")) {
        out->kind = PL_VOCAB_WPM;
        return read_word_piece(model, &norm, &pre, origin, out);
    }
    bool byte_fallback = false;
    PL_TRY(pl_json_bool(model, "byte_fallback", false, origin, &byte_fallback));
    PL_TRY(pl_json_bool(model, "ignore_merges", false, origin, &out->whole_words));
    out->kind = byte_fallback ? PL_VOCAB_SPM : PL_VOCAB_BPE;
    return byte_fallback ? read_spm(&norm, &pre, origin, out) : read_byte_level(&norm, &pre, name, origin, out);
}
