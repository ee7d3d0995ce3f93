/* hf_vocab.c: tokenizer.json, tokenizer.model and their companions -> vocabulary. */
#include "formats/hf_vocab.h"

#include <limits.h>
#include <string.h>

#include "core/fs.h"
#include "formats/hf_reader.h"

enum { TEXT_CHUNK = 1 << 16 };

pl_text pl_hf_keep(pl_hf_reader *r, pl_text left, pl_text right)
{
    const size_t len = (size_t)left.len + right.len;
    if (len + 1 > r->room) {
        r->room = (size_t)pl_max64(TEXT_CHUNK, (int64_t)len + 1);
        r->to = PL_NEW(r->arena, char, (int64_t)r->room);
        if (!r->to) return (pl_text){ NULL, 0 };
    }
    char *text = r->to;
    memcpy(text, left.s, left.len);
    memcpy(text + left.len, right.s, right.len);
    text[len] = 0;
    r->to += len + 1;
    r->room -= len + 1;
    return (pl_text){ text, (uint32_t)len };
}

int32_t pl_hf_find(const pl_hf_reader *r, const char *text)
{
    return pl_token_map_find(&r->map, (pl_text){ text, (uint32_t)strlen(text) }, (pl_text){ "", 0 });
}

/* ---- ids with a meaning ---- */

/* A token that tokenizer_config.json names, as a string or as {"content": string}; -1: none. */
static int32_t named_token(const pl_hf_reader *r, const char *key)
{
    const pl_json *node = pl_json_get(r->settings, key);
    if (pl_json_is(node, PL_JSON_OBJECT)) node = pl_json_get(node, "content");
    return pl_json_text(node) ? pl_hf_find(r, pl_json_text(node)) : -1;
}

/* The first id under `key`, an integer or a list of them; leaves *id as it is if there is none. */
static pl_status numbered_token(const pl_hf_reader *r, const char *key, int32_t *id)
{
    const pl_json *node = pl_json_get(r->config, key);
    if (pl_json_is(node, PL_JSON_ARRAY)) node = pl_json_first(node);
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
    const bool list = pl_json_is(node, PL_JSON_ARRAY);
    for (const pl_json *c = list ? pl_json_first(node) : node; c; c = list ? pl_json_next(c) : NULL) {
        int64_t id;
        PL_TRY(pl_json_as_int(c, -1, v->count - 1, origin, "eos_token_id", &id));
        add_end(v, (int32_t)id);
    }
    return PL_OK;
}

static pl_status read_roles(pl_hf_reader *r)
{
    pl_vocab *v = r->v;
    int32_t cls = -1;
    const struct { const char *name, *id; int32_t *slot; } roles[] = {
        { "bos_token", "bos_token_id", &v->bos },   { "eos_token", "eos_token_id", &v->eos },
        { "unk_token", "unk_token_id", &v->unk },   { "pad_token", "pad_token_id", &v->pad },
        { "sep_token", "sep_token_id", &v->sep },   { "mask_token", "mask_token_id", &v->mask },
        { "cls_token", "cls_token_id", &cls },
    };
    for (int i = 0; i < PL_COUNT(roles); i++) {
        int32_t id = named_token(r, roles[i].name);
        if (id < 0) PL_TRY(numbered_token(r, roles[i].id, &id));
        if (id >= 0) *roles[i].slot = id;
    }
    if (v->bos < 0) v->bos = cls;
    if (v->eos < 0) v->eos = v->sep;
    const char *unk = NULL;
    PL_TRY(pl_json_string(r->model, "unk_token", false, r->origin, &unk));
    if (!unk) return PL_OK;
    v->unk = pl_hf_find(r, unk);
    if (v->unk < 0) return pl_fail(PL_E_INPUT, "%s: unk_token '%.100s' is no token", r->origin, unk);
    if (v->kind != PL_VOCAB_WPM && !r->sp_path) v->type[v->unk] = PL_TOKEN_UNKNOWN;
    return PL_OK;
}

/* What stands around a text: the post-processor says it, or tokenizer_config.json. */
static pl_status read_frame(pl_hf_reader *r)
{
    pl_vocab *v = r->v;
    const struct { const char *text; int32_t *slot; bool *add; } ends[] = {
        { r->rules.first, &v->bos, &v->add_bos }, { r->rules.last, &v->eos, &v->add_eos },
    };
    if (r->rules.plain_ends && !r->rules.framed) return PL_OK;
    if (!r->rules.framed) {
        v->add_bos = !r->doc;           /* SentencePiece's own way */
        PL_TRY(pl_json_bool(r->settings, "add_bos_token", false, "tokenizer_config.json", &v->add_bos));
        PL_TRY(pl_json_bool(r->settings, "add_eos_token", false, "tokenizer_config.json", &v->add_eos));
        v->add_bos = v->add_bos && v->bos >= 0;
        v->add_eos = v->add_eos && v->eos >= 0;
        return PL_OK;
    }
    for (int i = 0; i < PL_COUNT(ends); i++) {
        if (!ends[i].text) continue;
        int32_t id = pl_hf_find(r, ends[i].text);
        if (id < 0)
            return pl_fail(PL_E_INPUT, "%s: post_processor puts '%.100s' at the %s of a text, which is no token",
                           r->origin, ends[i].text, i ? "end" : "start");
        /* Readers of GGUF know one token for each end of a text; what it was before still ends a generation. */
        *ends[i].slot = id;
        *ends[i].add = true;
    }
    return PL_OK;
}

static pl_status read_special_ids(pl_hf_reader *r)
{
    pl_vocab *v = r->v;
    PL_TRY(read_roles(r));
    const int32_t eos = v->eos;
    PL_TRY(read_frame(r));
    if (v->kind == PL_VOCAB_WPM) return PL_OK;          /* encoders end nothing */
    add_end(v, v->eos);
    add_end(v, eos);
    PL_TRY(add_ends(v, r->config, "config.json"));
    return add_ends(v, r->generation, "generation_config.json");
}

/* ---- the whole ---- */

static pl_status check_model(pl_hf_reader *r)
{
    const char *type = "BPE";
    r->model = pl_json_get(r->doc, "model");
    if (!pl_json_is(r->model, PL_JSON_OBJECT)) return pl_fail(PL_E_INPUT, "%s: no object 'model'", r->origin);
    PL_TRY(pl_json_string(r->model, "type", false, r->origin, &type));
    if (strcmp(type, "BPE") && strcmp(type, "WordPiece"))
        return pl_fail(PL_E_INPUT, "%s: model.type is '%.100s', only BPE and WordPiece are supported", r->origin, type);
    static const char *const affixes[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    for (int i = 0; i < PL_COUNT(affixes) && !strcmp(type, "BPE"); i++) {
        const char *affix = "";
        PL_TRY(pl_json_string(r->model, affixes[i], false, r->origin, &affix));
        if (*affix)
            return pl_fail(PL_E_INPUT, "%s: model.%s '%.40s' is not supported", r->origin, affixes[i], affix);
    }
    double dropout = 0;
    PL_TRY(pl_json_number(r->model, "dropout", false, r->origin, &dropout));
    if (dropout != 0) return pl_fail(PL_E_INPUT, "%s: model.dropout is not 0", r->origin);
    const pl_json *vocab = pl_json_get(r->model, "vocab"), *added = pl_json_get(r->doc, "added_tokens");
    if (!pl_json_is(vocab, PL_JSON_OBJECT)) return pl_fail(PL_E_INPUT, "%s: no object 'model.vocab'", r->origin);
    if (added && !pl_json_is(added, PL_JSON_ARRAY))
        return pl_fail(PL_E_INPUT, "%s: added_tokens is not an array", r->origin);
    return PL_OK;
}

static pl_status read_all(pl_hf_reader *r, const char *pre)
{
    pl_vocab *v = r->v;
    if (r->doc) {
        PL_TRY(check_model(r));
        PL_TRY(pl_hf_rules_read(r->doc, pre, r->origin, &r->rules));
        if (r->rules.kind != PL_VOCAB_SPM) r->sp_path = NULL;
    }
    PL_TRY(pl_hf_tokens_read(r));
    v->add_space_prefix = r->rules.add_space_prefix;
    v->prefix_first = r->rules.prefix_first;
    v->prefix_unspaced = r->rules.prefix_unspaced;
    v->whole_words = r->rules.whole_words;
    v->nfc = r->rules.nfc;
    v->lowercase = r->rules.lowercase;
    v->strip_accents = r->rules.strip_accents;
    v->pre = pl_arena_text(r->arena, r->rules.pre, strlen(r->rules.pre));
    if (!v->pre) return PL_E_MEMORY;
    PL_TRY(read_special_ids(r));
    PL_TRY(pl_hf_tokens_spell(r));
    return pl_hf_chat_read(r);
}

/* A side file that may be absent: *out NULL. */
static pl_status load_side_file(const char *folder, const char *name, pl_json **out)
{
    char path[PATH_MAX];
    PL_TRY(pl_path_join(path, sizeof path, folder, name));
    if (!pl_path_exists(path)) return PL_OK;
    PL_TRY(pl_json_load(path, out));
    if (!pl_json_is(*out, PL_JSON_OBJECT)) return pl_fail(PL_E_INPUT, "%s: not a JSON object", path);
    return PL_OK;
}

static pl_status read_folder(pl_hf_reader *r, const char *pre)
{
    static const char *const names[] = { "tokenizer_config.json", "generation_config.json", "added_tokens.json" };
    const pl_json **const slots[] = { &r->settings, &r->generation, &r->extra };
    pl_json *loaded[PL_COUNT(names)] = { NULL }, *doc = NULL;
    pl_status status = pl_arena_create(&r->scratch);
    for (int i = 0; i < PL_COUNT(names) && status == PL_OK; i++) {
        status = load_side_file(r->folder, names[i], &loaded[i]);
        *slots[i] = loaded[i];
    }
    if (status == PL_OK && r->origin != r->sp_path) status = pl_json_load(r->origin, &doc);
    r->doc = doc;
    if (status == PL_OK) status = read_all(r, pre);
    pl_json_free(doc);
    for (int i = 0; i < PL_COUNT(names); i++) pl_json_free(loaded[i]);
    pl_arena_destroy(r->scratch);
    return status;
}

pl_status pl_hf_vocab_read(const char *folder, const pl_json *config, int32_t vocab_size, const char *pre,
                           pl_arena *arena, pl_vocab **out)
{
    char path[PATH_MAX], sp_path[PATH_MAX];
    *out = NULL;
    PL_TRY(pl_path_join(path, sizeof path, folder, "tokenizer.json"));
    PL_TRY(pl_path_join(sp_path, sizeof sp_path, folder, "tokenizer.model"));
    pl_hf_reader r = { .folder = folder, .config = config, .arena = arena };
    if (pl_path_exists(sp_path)) r.origin = r.sp_path = sp_path;
    if (pl_path_exists(path)) r.origin = path;
    if (!r.origin) return PL_OK;
    if (vocab_size < 1 || vocab_size > PL_MAX_VOCAB)
        return pl_fail(PL_E_INPUT, "%s: a vocabulary of %d, at most %d (PL_MAX_VOCAB)", folder, vocab_size,
                       PL_MAX_VOCAB);
    r.v = PL_ZNEW(arena, pl_vocab, 1);
    if (!r.v) return PL_E_MEMORY;
    *r.v = (pl_vocab){ .count = vocab_size, .bos = -1, .eos = -1, .unk = -1, .pad = -1, .sep = -1, .mask = -1 };
    PL_TRY(read_folder(&r, pre));
    *out = r.v;
    return PL_OK;
}
