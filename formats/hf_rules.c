/* hf_rules.c: recognising normalizers, pre-tokenizers and post-processors of tokenizer.json. */
#include "formats/hf_rules.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"

#define SPACE_MARK "\xE2\x96\x81"       /* U+2581, a space in SentencePiece's spelling */

#define LLAMA3_SPLIT                                                                               \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"                      \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

enum { MAX_STEPS = 8 };

/* A step of a pipeline, or the steps of a Sequence, in order. */
typedef struct steps { const pl_json *node[MAX_STEPS]; const char *type[MAX_STEPS]; int count; } steps;

static pl_status flatten(const pl_json *node, const char *list_key, const char *what, const char *origin,
                         steps *out)
{
    if (!node) return PL_OK;
    const char *type;
    if (!cJSON_IsObject(node)) return pl_fail(PL_E_INPUT, "%s: %s is not an object", origin, what);
    PL_TRY(pl_json_string(node, "type", true, origin, &type));
    if (!strcmp(type, "Sequence")) {
        const pl_json *list = pl_json_get(node, list_key);
        if (!cJSON_IsArray(list))
            return pl_fail(PL_E_INPUT, "%s: %s: Sequence without the array '%s'", origin, what, list_key);
        for (const pl_json *c = list->child; c; c = c->next)
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
    const pl_json *member = pl_json_get(node, key);
    return cJSON_IsString(member) && !strcmp(member->valuestring, value);
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

static pl_status read_byte_level(const steps *norm, const steps *pre, const char *origin, pl_hf_rules *out)
{
    static const char *const known =
        "[ByteLevel] (gpt-2), [Digits, ByteLevel] (smollm), [Split, ByteLevel] with the expression of llama-bpe";
    if (norm->count > 0) return unknown(norm, "normalizer of a byte-level vocabulary", "none", origin);
    const int last = pre->count - 1;
    if (last < 0 || last > 1 || !is(pre, last, "ByteLevel")) return unknown(pre, "pre_tokenizer", known, origin);
    const pl_json *first = pre->node[0];
    bool prefix = false, regex = true, single = false, invert = false;
    PL_TRY(pl_json_bool(pre->node[last], "add_prefix_space", false, origin, &prefix));
    PL_TRY(pl_json_bool(pre->node[last], "use_regex", false, origin, &regex));
    PL_TRY(pl_json_bool(first, "individual_digits", false, origin, &single));
    PL_TRY(pl_json_bool(first, "invert", false, origin, &invert));
    if (prefix)
        return pl_fail(PL_E_INPUT, "%s: pre_tokenizer ByteLevel with \"add_prefix_space\": true is not "
                       "supported", origin);
    if (last == 0 && regex) {
        out->pre = "gpt-2";
    } else if (last == 1 && regex && is(pre, 0, "Digits") && single) {
        out->pre = "smollm";
    } else if (last == 1 && !regex && is(pre, 0, "Split") && says(first, "behavior", "Isolated") &&
               !invert && says(pl_json_get(first, "pattern"), "Regex", LLAMA3_SPLIT)) {
        out->pre = "llama-bpe";
    } else {
        return unknown(pre, "pre_tokenizer with these options", known, origin);
    }
    return PL_OK;
}

/* ---- what stands around a text ---- */

static pl_status read_template(const pl_json *node, const char *origin, pl_hf_rules *out)
{
    const pl_json *single = pl_json_get(node, "single");
    if (!cJSON_IsArray(single))
        return pl_fail(PL_E_INPUT, "%s: post_processor TemplateProcessing without the array 'single'", origin);
    out->framed = true;
    bool text_seen = false;
    for (const pl_json *c = single->child; c; c = c->next) {
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

static pl_status read_frame(const steps *post, const char *origin, pl_hf_rules *out)
{
    for (int i = 0; i < post->count; i++) {
        if (is(post, i, "ByteLevel")) continue;         /* moves offsets, not ids */
        if (!is(post, i, "TemplateProcessing") || out->framed)
            return unknown(post, "post_processor", "[TemplateProcessing], [ByteLevel, TemplateProcessing]",
                           origin);
        PL_TRY(read_template(post->node[i], origin, out));
    }
    return PL_OK;
}

pl_status pl_hf_rules_read(const pl_json *doc, const char *origin, pl_hf_rules *out)
{
    *out = (pl_hf_rules){ 0 };
    steps norm = { 0 }, pre = { 0 }, post = { 0 };
    PL_TRY(flatten(pl_json_get(doc, "normalizer"), "normalizers", "normalizer", origin, &norm));
    PL_TRY(flatten(pl_json_get(doc, "pre_tokenizer"), "pretokenizers", "pre_tokenizer", origin, &pre));
    PL_TRY(flatten(pl_json_get(doc, "post_processor"), "processors", "post_processor", origin, &post));
    PL_TRY(read_frame(&post, origin, out));
    const pl_json *model = pl_json_get(doc, "model");
    bool byte_fallback = false, whole_words = false;
    PL_TRY(pl_json_bool(model, "byte_fallback", false, origin, &byte_fallback));
    PL_TRY(pl_json_bool(model, "ignore_merges", false, origin, &whole_words));
    if (byte_fallback) {
        out->kind = PL_VOCAB_SPM;
        return read_spm(&norm, &pre, origin, out);
    }
    out->kind = PL_VOCAB_BPE;
    PL_TRY(read_byte_level(&norm, &pre, origin, out));
    if (whole_words != !strcmp(out->pre, "llama-bpe"))
        pl_log(PL_LOG_WARN, "%s: \"ignore_merges\" is %s, but readers of GGUF take it to be %s for the "
               "pre-tokenizer '%s'", origin, whole_words ? "true" : "false", whole_words ? "false" : "true",
               out->pre);
    return PL_OK;
}
