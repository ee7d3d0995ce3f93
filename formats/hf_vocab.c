/* hf_vocab.c: tokenizer.json and its companions -> vocabulary. */
#include "formats/hf_vocab.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/log.h"
#include "formats/hf_rules.h"

typedef struct reader {
    const char *origin;                 /* path of tokenizer.json */
    const pl_json *doc, *model, *added;
    pl_vocab *v;
    pl_arena *arena, *scratch;
    char *text;                         /* where the next token's text goes */
    pl_token_map map;
    pl_hf_rules rules;
} reader;

/* ---- tokens ---- */

static void put_token(reader *r, int64_t id, const char *s, uint8_t type)
{
    size_t len = strlen(s);
    r->v->token[id] = (pl_text){ r->text, (uint32_t)len };
    r->v->type[id] = type;
    memcpy(r->text, s, len + 1);
    r->text += len + 1;
}

static pl_status token_id(const reader *r, const pl_json *node, const char *text, int64_t *id)
{
    if (strlen(text) > PL_MAX_TOKEN_BYTES)
        return pl_fail(PL_E_INPUT, "%s: a token of %zu bytes, at most %d (PL_MAX_TOKEN_BYTES)", r->origin,
                       strlen(text), PL_MAX_TOKEN_BYTES);
    char what[160];
    snprintf(what, sizeof what, "id of token '%.100s'", text);
    return pl_json_as_int(node, 0, r->v->count - 1, r->origin, what, id);
}

static pl_status read_vocab(reader *r)
{
    for (const pl_json *c = pl_json_get(r->model, "vocab")->child; c; c = c->next) {
        int64_t id;
        PL_TRY(token_id(r, c, c->string, &id));
        if (r->v->token[id].s)
            return pl_fail(PL_E_INPUT, "%s: tokens '%.100s' and '%.100s' both have id %lld", r->origin,
                           r->v->token[id].s, c->string, (long long)id);
        put_token(r, id, c->string, PL_TOKEN_NORMAL);
    }
    return PL_OK;
}

/* Some control tokens are not marked as special, but look it. */
static bool looks_special(const char *s)
{
    size_t len = strlen(s);
    if (!strcmp(s, "<pad>")) return true;
    if (len > 4 && !strncmp(s, "<|", 2) && !strcmp(s + len - 2, "|>")) return true;
    return !strncmp(s, "<unused", 7) && s[len - 1] == '>';
}

static pl_status read_added_token(reader *r, const pl_json *node)
{
    const char *text;
    int64_t id;
    bool special = false, normalized = false, flags[3] = { false };
    static const char *const names[] = { "lstrip", "rstrip", "single_word" };
    if (!cJSON_IsObject(node)) return pl_fail(PL_E_INPUT, "%s: an added token is not an object", r->origin);
    PL_TRY(pl_json_string(node, "content", true, r->origin, &text));
    const pl_json *number = pl_json_get(node, "id");
    if (!number) return pl_fail(PL_E_INPUT, "%s: added token '%.100s' has no id", r->origin, text);
    PL_TRY(token_id(r, number, text, &id));
    PL_TRY(pl_json_bool(node, "special", false, r->origin, &special));
    PL_TRY(pl_json_bool(node, "normalized", false, r->origin, &normalized));
    for (int i = 0; i < PL_COUNT(names); i++)
        PL_TRY(pl_json_bool(node, names[i], false, r->origin, &flags[i]));
    if (flags[0] || flags[1] || flags[2] || (normalized && pl_json_get(r->doc, "normalizer")))
        pl_log(PL_LOG_WARN, "%s: added token '%.100s' has the option %s, which readers of GGUF do not know",
               r->origin, text, flags[0] ? names[0] : flags[1] ? names[1] : flags[2] ? names[2] : "normalized");
    uint8_t type = special || looks_special(text) ? PL_TOKEN_CONTROL : PL_TOKEN_USER;
    if (!r->v->token[id].s) {
        put_token(r, id, text, type);
        return PL_OK;
    }
    if (strcmp(r->v->token[id].s, text))
        return pl_fail(PL_E_INPUT, "%s: added token '%.100s' has id %lld, which is token '%.100s'", r->origin,
                       text, (long long)id, r->v->token[id].s);
    r->v->type[id] = type;
    return PL_OK;
}

/* "<0xNN>", two upper-case hexadecimal digits. */
static bool spells_byte(pl_text t)
{
    static const char digits[] = "0123456789ABCDEF";
    return t.len == 6 && !memcmp(t.s, "<0x", 3) && memchr(digits, t.s[3], 16) &&
           memchr(digits, t.s[4], 16) && t.s[5] == '>';
}

/* Bytes of all token texts with a NUL behind each, and a name for every id that may be a hole. */
static int64_t text_bytes(const reader *r)
{
    int64_t bytes = 0, known = 0;
    for (const pl_json *c = pl_json_get(r->model, "vocab")->child; c; c = c->next, known++)
        bytes += (int64_t)strlen(c->string) + 1;
    for (const pl_json *c = r->added ? r->added->child : NULL; c; c = c->next) {
        const pl_json *text = pl_json_get(c, "content");
        if (cJSON_IsString(text)) bytes += (int64_t)strlen(text->valuestring) + 1;
    }
    return bytes + pl_max64(0, r->v->count - known) * 16;
}

static pl_status read_tokens(reader *r)
{
    pl_vocab *v = r->v;
    v->token = PL_ZNEW(r->arena, pl_text, v->count);
    v->type = PL_ZNEW(r->arena, uint8_t, v->count);
    r->text = PL_NEW(r->arena, char, text_bytes(r));
    if (!v->token || !v->type || !r->text) return PL_E_MEMORY;
    PL_TRY(read_vocab(r));
    for (const pl_json *c = r->added ? r->added->child : NULL; c; c = c->next)
        PL_TRY(read_added_token(r, c));
    for (int32_t id = 0; id < v->count; id++) {
        char name[24];
        snprintf(name, sizeof name, "[PAD%d]", id);
        if (!v->token[id].s) put_token(r, id, name, PL_TOKEN_UNUSED);
        else if (v->kind == PL_VOCAB_SPM && spells_byte(v->token[id])) v->type[id] = PL_TOKEN_BYTE;
    }
    return pl_token_map_create(v, r->origin, r->scratch, &r->map);
}

static int32_t find(const reader *r, const char *s, size_t len)
{
    return pl_token_map_find(&r->map, (pl_text){ s, (uint32_t)len }, (pl_text){ "", 0 });
}

/* ---- merges ---- */

/* "a b" or ["a", "b"]. */
static pl_status read_merge(const reader *r, const pl_json *node, int64_t rank, pl_merge *out)
{
    const char *left = NULL, *right = NULL;
    size_t left_len = 0;
    if (cJSON_IsString(node)) {
        left = node->valuestring;
        const char *gap = strchr(left, ' ');
        if (gap && !strchr(gap + 1, ' ')) {
            left_len = (size_t)(gap - left);
            right = gap + 1;
        }
    } else if (cJSON_IsArray(node) && cJSON_GetArraySize(node) == 2 && cJSON_IsString(node->child) &&
               cJSON_IsString(node->child->next)) {
        left = node->child->valuestring;
        left_len = strlen(left);
        right = node->child->next->valuestring;
    }
    if (!right)
        return pl_fail(PL_E_INPUT, "%s: merge %lld is neither \"a b\" nor [\"a\", \"b\"]", r->origin,
                       (long long)rank);
    out->left = find(r, left, left_len);
    out->right = find(r, right, strlen(right));
    if (out->left < 0 || out->right < 0)
        return pl_fail(PL_E_INPUT, "%s: merge %lld: '%.*s' is no token", r->origin, (long long)rank,
                       out->left < 0 ? (int)pl_min64((int64_t)left_len, 100) : 100,
                       out->left < 0 ? left : right);
    if (pl_token_map_find(&r->map, r->v->token[out->left], r->v->token[out->right]) < 0)
        return pl_fail(PL_E_INPUT, "%s: merge %lld: '%.100s' and '%.100s' together are no token", r->origin,
                       (long long)rank, r->v->token[out->left].s, r->v->token[out->right].s);
    return PL_OK;
}

static pl_status read_merges(reader *r)
{
    const pl_json *list = pl_json_get(r->model, "merges");
    if (!cJSON_IsArray(list)) return pl_fail(PL_E_INPUT, "%s: model.merges is not an array", r->origin);
    int64_t count = 0;
    for (const pl_json *c = list->child; c; c = c->next) count++;
    if (count > PL_MAX_MERGES)
        return pl_fail(PL_E_INPUT, "%s: %lld merges, at most %d (PL_MAX_MERGES)", r->origin, (long long)count,
                       PL_MAX_MERGES);
    r->v->merge = PL_NEW(r->arena, pl_merge, count);
    if (!r->v->merge) return PL_E_MEMORY;
    for (const pl_json *c = list->child; c; c = c->next, r->v->merges++)
        PL_TRY(read_merge(r, c, r->v->merges, &r->v->merge[r->v->merges]));
    return PL_OK;
}

/* ---- scores ---- */

static void count_cut(void *ctx, int32_t left, int32_t right, int32_t whole) { ++*(int64_t *)ctx; }

/* tokenizer.json ranks pairs, GGUF scores what they make: a token scores by the rank of its first merge.
 * The order is the same if the merges of a token stand together and every pair that spells a token is
 * a merge, as in files made from SentencePiece models; other files are told from them here. */
static pl_status derive_scores(reader *r)
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

/* ---- ids with a meaning ---- */

/* A token that tokenizer_config.json names, as a string or as {"content": string}; -1: none. */
static int32_t named_token(const reader *r, const pl_json *settings, const char *key)
{
    const pl_json *node = pl_json_get(settings, key);
    if (cJSON_IsObject(node)) node = pl_json_get(node, "content");
    return cJSON_IsString(node) ? find(r, node->valuestring, strlen(node->valuestring)) : -1;
}

/* The first id under `key`, an integer or a list of them; leaves *id as it is if there is none. */
static pl_status numbered_token(const reader *r, const pl_json *config, const char *key, int32_t *id)
{
    const pl_json *node = pl_json_get(config, key);
    if (cJSON_IsArray(node)) node = node->child;
    if (!node) return PL_OK;
    int64_t value;
    PL_TRY(pl_json_as_int(node, -1, r->v->count - 1, "config.json", key, &value));
    *id = (int32_t)value;
    return PL_OK;
}

static void add_end(pl_vocab *v, int32_t id)
{
    for (int32_t i = 0; i < v->eogs; i++)
        if (v->eog[i] == id) return;
    if (id >= 0 && v->eogs < PL_COUNT(v->eog)) v->eog[v->eogs++] = id;
}

static pl_status add_ends(pl_vocab *v, const pl_json *config, const char *origin)
{
    const pl_json *node = pl_json_get(config, "eos_token_id");
    for (const pl_json *c = cJSON_IsArray(node) ? node->child : node; c;
         c = cJSON_IsArray(node) ? c->next : NULL) {
        int64_t id;
        PL_TRY(pl_json_as_int(c, -1, v->count - 1, origin, "eos_token_id", &id));
        add_end(v, (int32_t)id);
    }
    return PL_OK;
}

static pl_status read_special_ids(reader *r, const pl_json *config, const pl_json *settings,
                                  const pl_json *generation)
{
    pl_vocab *v = r->v;
    const struct { const char *name, *id; int32_t *slot; } roles[] = {
        { "bos_token", "bos_token_id", &v->bos },
        { "eos_token", "eos_token_id", &v->eos },
        { "unk_token", "unk_token_id", &v->unk },
        { "pad_token", "pad_token_id", &v->pad },
    };
    for (int i = 0; i < PL_COUNT(roles); i++) {
        *roles[i].slot = named_token(r, settings, roles[i].name);
        if (*roles[i].slot < 0) PL_TRY(numbered_token(r, config, roles[i].id, roles[i].slot));
    }
    const char *unk = NULL;
    PL_TRY(pl_json_string(r->model, "unk_token", false, r->origin, &unk));
    if (unk) {
        v->unk = find(r, unk, strlen(unk));
        if (v->unk < 0) return pl_fail(PL_E_INPUT, "%s: unk_token '%.100s' is no token", r->origin, unk);
        v->type[v->unk] = PL_TOKEN_UNKNOWN;
    }
    add_end(v, v->eos);
    PL_TRY(add_ends(v, config, "config.json"));
    PL_TRY(add_ends(v, generation, "generation_config.json"));

    if (!r->rules.framed) {
        PL_TRY(pl_json_bool(settings, "add_bos_token", false, "tokenizer_config.json", &v->add_bos));
        PL_TRY(pl_json_bool(settings, "add_eos_token", false, "tokenizer_config.json", &v->add_eos));
        v->add_bos = v->add_bos && v->bos >= 0;
        v->add_eos = v->add_eos && v->eos >= 0;
        return PL_OK;
    }
    const struct { const char *text; int32_t *slot; bool *add; } ends[] = {
        { r->rules.first, &v->bos, &v->add_bos }, { r->rules.last, &v->eos, &v->add_eos },
    };
    for (int i = 0; i < PL_COUNT(ends); i++) {
        if (!ends[i].text) continue;
        int32_t id = find(r, ends[i].text, strlen(ends[i].text));
        if (*ends[i].slot < 0) *ends[i].slot = id;
        if (id < 0 || id != *ends[i].slot)
            return pl_fail(PL_E_INPUT, "%s: post_processor puts '%.100s' at the %s of a text, which is not the "
                           "%s token", r->origin, ends[i].text, i ? "end" : "start", i ? "eos" : "bos");
        *ends[i].add = true;
    }
    return PL_OK;
}

/* ---- chat template ---- */

static pl_status read_chat_template(reader *r, const char *folder, const pl_json *settings)
{
    const pl_json *node = pl_json_get(settings, "chat_template");
    const char *text = cJSON_IsString(node) ? node->valuestring : NULL;
    for (const pl_json *c = cJSON_IsArray(node) ? node->child : NULL; c && !text; c = c->next) {
        const pl_json *name = pl_json_get(c, "name"), *body = pl_json_get(c, "template");
        if (cJSON_IsString(name) && cJSON_IsString(body) && !strcmp(name->valuestring, "default"))
            text = body->valuestring;
    }
    if (text) {
        r->v->chat_template = pl_arena_text(r->arena, text, strlen(text));
        return r->v->chat_template ? PL_OK : PL_E_MEMORY;
    }
    char path[PATH_MAX];
    PL_TRY(pl_path_join(path, sizeof path, folder, "chat_template.jinja"));
    if (!pl_path_exists(path)) return PL_OK;
    char *data;
    size_t len;
    PL_TRY(pl_file_load(path, PL_MAX_JSON_BYTES, &data, &len));
    r->v->chat_template = pl_arena_text(r->arena, data, len);
    pl_free(data);
    return r->v->chat_template ? PL_OK : PL_E_MEMORY;
}

/* ---- the whole ---- */

/* A side file that may be absent: *out NULL. */
static pl_status load_side_file(const char *folder, const char *name, pl_json **out)
{
    char path[PATH_MAX];
    PL_TRY(pl_path_join(path, sizeof path, folder, name));
    if (!pl_path_exists(path)) return PL_OK;
    PL_TRY(pl_json_load(path, out));
    if (!cJSON_IsObject(*out)) return pl_fail(PL_E_INPUT, "%s: not a JSON object", path);
    return PL_OK;
}

static pl_status check_model(reader *r)
{
    const char *type = "BPE";
    r->model = pl_json_get(r->doc, "model");
    if (!cJSON_IsObject(r->model)) return pl_fail(PL_E_INPUT, "%s: no object 'model'", r->origin);
    PL_TRY(pl_json_string(r->model, "type", false, r->origin, &type));
    if (strcmp(type, "BPE"))
        return pl_fail(PL_E_INPUT, "%s: model.type is '%.100s', only BPE is supported", r->origin, type);
    static const char *const affixes[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    for (int i = 0; i < PL_COUNT(affixes); i++) {
        const char *affix = "";
        PL_TRY(pl_json_string(r->model, affixes[i], false, r->origin, &affix));
        if (*affix)
            return pl_fail(PL_E_INPUT, "%s: model.%s '%.40s' is not supported", r->origin, affixes[i], affix);
    }
    double dropout = 0;
    PL_TRY(pl_json_number(r->model, "dropout", false, r->origin, &dropout));
    if (dropout != 0) return pl_fail(PL_E_INPUT, "%s: model.dropout is not 0", r->origin);
    const pl_json *vocab = pl_json_get(r->model, "vocab");
    if (!cJSON_IsObject(vocab)) return pl_fail(PL_E_INPUT, "%s: no object 'model.vocab'", r->origin);
    r->added = pl_json_get(r->doc, "added_tokens");
    if (r->added && !cJSON_IsArray(r->added))
        return pl_fail(PL_E_INPUT, "%s: added_tokens is not an array", r->origin);
    return PL_OK;
}

static pl_status read_all(reader *r, const char *folder, const pl_json *config, const pl_json *settings,
                          const pl_json *generation)
{
    PL_TRY(check_model(r));
    PL_TRY(pl_hf_rules_read(r->doc, r->origin, &r->rules));
    r->v->kind = r->rules.kind;
    r->v->add_space_prefix = r->rules.add_space_prefix;
    r->v->pre = r->rules.pre;
    PL_TRY(read_tokens(r));
    PL_TRY(read_merges(r));
    PL_TRY(read_special_ids(r, config, settings, generation));
    if (r->v->kind == PL_VOCAB_SPM) PL_TRY(derive_scores(r));
    return read_chat_template(r, folder, settings);
}

pl_status pl_hf_vocab_read(const char *folder, const pl_json *config, int32_t vocab_size,
                           pl_arena *arena, pl_vocab **out)
{
    *out = NULL;
    char path[PATH_MAX];
    PL_TRY(pl_path_join(path, sizeof path, folder, "tokenizer.json"));
    if (!pl_path_exists(path)) return PL_OK;
    if (vocab_size < 1 || vocab_size > PL_MAX_VOCAB)
        return pl_fail(PL_E_INPUT, "%s: a vocabulary of %d, at most %d (PL_MAX_VOCAB)", folder, vocab_size,
                       PL_MAX_VOCAB);
    pl_json *doc = NULL, *settings = NULL, *generation = NULL;
    reader r = { .origin = path, .arena = arena };
    pl_status status = PL_E_MEMORY;
    r.v = PL_ZNEW(arena, pl_vocab, 1);
    if (!r.v) goto out;
    r.v->count = vocab_size;
    status = pl_arena_create(&r.scratch);
    if (status == PL_OK) status = load_side_file(folder, "tokenizer_config.json", &settings);
    if (status == PL_OK) status = load_side_file(folder, "generation_config.json", &generation);
    if (status == PL_OK) status = pl_json_load(path, &doc);
    r.doc = doc;
    if (status == PL_OK) status = read_all(&r, folder, config, settings, generation);
    if (status == PL_OK) *out = r.v;
out:
    pl_json_free(doc);
    pl_json_free(settings);
    pl_json_free(generation);
    pl_arena_destroy(r.scratch);
    return status;
}
