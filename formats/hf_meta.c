/* hf_meta.c: name, size, licence and origin of a model, as GGUF's general.* keys. The rules by which
 * a name is taken apart are those of llama.cpp's converter, so that both label a model alike. */
#include "formats/hf_meta.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/text.h"

/* ---- model ids: "org/Name-7B-Instruct-v0.1" ---- */

typedef struct model_id {       /* NULL: not in the id */
    const char *name, *org, *base, *finetune, *version, *size;
} model_id;

enum { BASE = 1, SIZE = 2, FINETUNE = 4, VERSION = 8, STORAGE = 16, MAX_WORDS = 32 };

static const char version_words[] = "(?:v|iter)?\\d+(?:[.]\\d+)*";
static const char storage_words[] = "i?q\\d(?:_\\w)*|b?fp?(?:16|32)";
static const char size_words[] =
    "(?:A|\\d+[x])?\\d+(?:[._]\\d+)?[KMBT]\\d?|small|mini|medium|large|x?xl";
static const char finetune_words[] = "chat|instruct|vision|lora";

/* Is the whole word one of these, upper or lower case? */
static pl_status is_word(const char *word, const char *expression, bool *yes)
{
    char pattern[128];
    snprintf(pattern, sizeof pattern, "^(?i:%s)$", expression);
    pl_regex *regex;
    size_t start, end;
    PL_TRY(pl_regex_create(pattern, &regex));
    pl_status code = pl_regex_find(regex, word, strlen(word), 0, yes, &start, &end);
    pl_regex_destroy(regex);
    return code;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* "7b" to "7B", "1_3b" to "1.3B", "7b1" to "7.1B", in place (the last grows by one character); says
 * whether the number has nothing to do with the model's real size, as a context length has not. */
static bool spell_size(char *word, int64_t parameters)
{
    for (char *c = word; *c; c++)
        if (*c == '_') *c = '.';
    size_t len = strlen(word);
    if (is_digit(word[len - 1])) {
        char letter = word[len - 2], digit = word[len - 1];
        snprintf(word + len - 2, 4, ".%c%c", digit, letter);
        len++;
    }
    static const char units[] = "KMBT";
    char *last = word + len - 1;
    if (len > 1 && is_digit(last[-1])) *last = (char)toupper((unsigned char)*last);
    const char *unit = strchr(units, *last);
    char *end;
    double label = strtod(word, &end);
    if (!unit || end != last || parameters == 0) return false;
    for (const char *u = units; u <= unit; u++) label *= 1000;
    if (fabs(label - (double)parameters) <= (double)(7 * parameters / 8)) return false;
    *last = (char)tolower((unsigned char)*last);
    return true;
}

/* What kind of word stands at place i of a name; may respell it. */
static pl_status classify(char *word, int i, int64_t parameters, unsigned *kind)
{
    bool yes;
    PL_TRY(is_word(word, version_words, &yes));
    if (yes) {
        *kind = VERSION;
        return PL_OK;
    }
    PL_TRY(is_word(word, storage_words, &yes));
    if (yes) {
        for (char *c = word; *c; c++) *c = (char)toupper((unsigned char)*c);
        *kind = STORAGE;
        return PL_OK;
    }
    if (i == 0) return PL_OK;
    PL_TRY(is_word(word, size_words, &yes));
    if (yes) {
        *kind = spell_size(word, parameters) ? FINETUNE : SIZE;
        return PL_OK;
    }
    PL_TRY(is_word(word, finetune_words, &yes));
    if (yes) *kind = FINETUNE;
    return PL_OK;
}

/* Which words are the base name: those in front; a version at its end is none. */
static void find_base(char *const *word, unsigned *kind, int words)
{
    bool number = false, start = true;
    for (int i = 0; i < words; i++)
        if (kind[i] == SIZE && strpbrk(word[i], "0123456789")) number = true;
    for (int i = 0; i < words; i++)     /* "small" is no size beside "7B" */
        if (number && kind[i] == SIZE && !strpbrk(word[i], "0123456789.")) kind[i] = 0;
    for (int i = 0; i < words; i++) {
        bool letter = isalpha((unsigned char)word[i][0]) || (word[i][0] & 0x80);
        if (start && ((kind[i] == 0 && letter) || kind[i] == VERSION)) {
            kind[i] |= BASE;
        } else {
            start = false;
            if (kind[i] == 0) kind[i] = FINETUNE;
        }
    }
    for (int i = words - 1; i >= 0 && kind[i] == (BASE | VERSION); i--) kind[i] = VERSION;
}

/* Words of one kind with '-' between them, each once if it is a size; NULL if there is none. */
static pl_status join_words(char *const *word, const unsigned *kind, int words, unsigned want,
                            unsigned except, pl_arena *arena, const char **out)
{
    for (int i = 0; i < words; i++) {
        if (!(kind[i] & want) || (kind[i] & except)) continue;
        bool again = false;
        for (int k = 0; k < i && want == SIZE; k++)
            again = again || ((kind[k] & SIZE) && !strcmp(word[k], word[i]));
        if (again) continue;
        *out = *out ? pl_arena_format(arena, "%s-%s", *out, word[i]) : word[i];
        if (!*out) return PL_E_MEMORY;
    }
    return PL_OK;
}

static pl_status split_id(const char *text, int64_t parameters, pl_arena *arena, model_id *out)
{
    *out = (model_id){ .name = text };
    if (strchr(text, ' ')) return PL_OK;        /* a title, not an id */
    const char *slash = strchr(text, '/');
    if (slash) {
        out->name = slash + 1;
        if (text[0] != '.') out->org = pl_arena_text(arena, text, (size_t)(slash - text));
        if (text[0] != '.' && !out->org) return PL_E_MEMORY;
    }
    char *word[MAX_WORDS];
    unsigned kind[MAX_WORDS] = { 0 };
    int words = 0;
    for (const char *at = out->name; *at;) {
        size_t len = strcspn(at, "-");
        if (len && words == MAX_WORDS) return PL_OK;
        if (len) {
            word[words] = pl_arena_alloc(arena, (int64_t)len + 2, 1);   /* room to grow by one */
            if (!word[words]) return PL_E_MEMORY;
            memcpy(word[words], at, len);
            word[words++][len] = 0;
        }
        at += len + (at[len] == '-');
    }
    for (int i = 0; i < words; i++) PL_TRY(classify(word[i], i, parameters, &kind[i]));
    find_base(word, kind, words);
    PL_TRY(join_words(word, kind, words, SIZE, 0, arena, &out->size));
    PL_TRY(join_words(word, kind, words, FINETUNE, 0, arena, &out->finetune));
    PL_TRY(join_words(word, kind, words, VERSION, BASE, arena, &out->version));
    if (out->size || out->finetune || out->version)
        PL_TRY(join_words(word, kind, words, BASE, 0, arena, &out->base));
    return PL_OK;
}

/* "smollm-135m" to "Smollm 135m": words in lower case get capitals, numbers stay. */
static char *title(const char *id, pl_arena *arena)
{
    char *out = pl_arena_alloc(arena, (int64_t)strlen(id) + 1, 1), *to = out;
    if (!out) return NULL;
    for (const char *at = id; *at;) {
        size_t len = strcspn(at, "- \t");
        bool upper = false, lower = false;
        for (size_t i = 0; i < len; i++) {
            upper = upper || isupper((unsigned char)at[i]);
            lower = lower || islower((unsigned char)at[i]);
        }
        bool number = is_digit(at[0]) ||
                      (at[0] == 'v' && is_digit(at[1]) && strspn(at + 1, "0123456789.") == len - 1);
        if (len && to != out) *to++ = ' ';
        for (size_t i = 0; i < len; i++) {
            bool first = i == 0 || (isascii((unsigned char)at[i - 1]) && !isalpha((unsigned char)at[i - 1]));
            *to++ = first && lower && !upper && !number ? (char)toupper((unsigned char)at[i]) : at[i];
        }
        at += len + (at[len] != 0);
    }
    *to = 0;
    return out;
}

/* ---- the front matter of README.md ---- */

enum { CARD_BYTES = 1 << 16 };          /* of README.md that are looked at */

/* The lines between "---" and "---", "" if there are none: a README is no part of the model, so what
 * is wrong with it stops nobody. */
static pl_status load_card(const char *folder, char **out)
{
    char path[PATH_MAX];
    pl_file *file;
    PL_TRY(pl_path_join(path, sizeof path, folder, "README.md"));
    *out = pl_alloc(CARD_BYTES + 1, 1);
    if (!*out) return PL_E_MEMORY;
    pl_status code = pl_file_open(path, &file);
    if (code != PL_OK) return code == PL_E_INPUT ? PL_OK : code;
    size_t len = (size_t)pl_min64(pl_file_size(file), CARD_BYTES);
    code = pl_file_read(file, 0, *out, len);
    pl_file_close(file);
    PL_TRY(code);
    (*out)[len] = 0;
    len = strlen(*out);
    char *to = *out;
    for (char *c = *out; *c; c++)       /* no '\r', blanks for tabs */
        if (*c != '\r') *to++ = *c == '\t' ? ' ' : *c;
    *to = 0;
    char *begin = *out + 4, *end = strncmp(*out, "---\n", 4) ? NULL : strstr(*out + 3, "\n---");
    if (!end || end < begin || pl_utf8_check(begin, (size_t)(end - begin)) >= 0) end = begin;
    memmove(*out, begin, (size_t)(end - begin));
    (*out)[end - begin] = 0;
    return PL_OK;
}

/* A plain value, [at, at+len) trimmed and without quotes; NULL in *out: none, or more than plain. */
static pl_status scalar(const char *at, size_t len, pl_arena *arena, const char **out)
{
    *out = NULL;
    while (len && *at == ' ') at++, len--;
    char quote = len && (*at == '"' || *at == '\'') ? *at : 0;
    if (quote) {
        const char *end = memchr(at + 1, quote, len - 1);
        if (!end || memchr(at, '\\', len)) return PL_OK;
        len = (size_t)(end - at) - 1;
        at++;
    } else {
        for (size_t i = 1; i < len; i++)
            if (at[i] == '#' && at[i - 1] == ' ') len = i - 1;
        while (len && at[len - 1] == ' ') len--;
        if (len == 0 || strchr("[]{}|>&*!%@`#,", *at) || (len == 1 && *at == '~')) return PL_OK;
        for (size_t i = 1; i <= len; i++)       /* "key: value" */
            if (at[i - 1] == ':' && (i == len || at[i] == ' ')) return PL_OK;
        if (len == 4 && !memcmp(at, "null", 4)) return PL_OK;
    }
    *out = pl_arena_text(arena, at, len);
    return *out ? PL_OK : PL_E_MEMORY;
}

typedef struct strings { const char **item; int count; } strings;

/* Adds a value, if it is one, to a list that has room. */
static pl_status add_scalar(const char *at, size_t len, pl_arena *arena, strings *list)
{
    PL_TRY(scalar(at, len, arena, &list->item[list->count]));
    if (list->item[list->count]) list->count++;
    return PL_OK;
}

/* Values of a key: one, "[a, b]", or the lines "- a" below it. *list grows. */
static pl_status card_values(const char *card, const char *key, pl_arena *arena, strings *list)
{
    size_t key_len = strlen(key);
    const char *line = card;
    while (line && (strncmp(line, key, key_len) || line[key_len] != ':')) {
        line = strchr(line, '\n');
        if (line) line++;
    }
    if (!line) return PL_OK;
    int most = list->count + 1;
    for (const char *c = line; *c; c++) most += *c == '\n' || *c == ',';
    const char **item = PL_NEW(arena, const char *, most);
    if (!item) return PL_E_MEMORY;
    if (list->count) memcpy(item, list->item, (size_t)list->count * sizeof *item);
    list->item = item;

    const char *at = line + key_len + 1;
    size_t len = strcspn(at, "\n");
    while (len && *at == ' ') at++, len--;
    if (len && *at == '[') {
        const char *end = memchr(at, ']', len);
        for (at++; end && at <= end; at += strcspn(at, ",]") + 1)
            PL_TRY(add_scalar(at, strcspn(at, ",]"), arena, list));
        return PL_OK;
    }
    if (len && *at != '#') return add_scalar(at, len, arena, list);
    for (line = strchr(at, '\n'); line; line = strchr(line, '\n')) {
        line += 1 + strspn(line + 1, " ");
        if (*line != '-' || line[1] != ' ') break;
        PL_TRY(add_scalar(line + 2, strcspn(line + 2, "\n"), arena, list));
    }
    return PL_OK;
}

/* The first value of a key, NULL if there is none. */
static pl_status card_value(const char *card, const char *key, pl_arena *arena, const char **out)
{
    strings list = { 0 };
    PL_TRY(card_values(card, key, arena, &list));
    *out = list.count ? list.item[0] : NULL;
    return PL_OK;
}

/* ---- keys ---- */

typedef struct metas { pl_meta *entry; int count, room; pl_arena *arena; } metas;

static pl_status add_meta(metas *m, pl_meta entry)
{
    if (!entry.key) return PL_E_MEMORY;
    if (m->count == m->room) {
        m->room = m->room ? 2 * m->room : 16;
        pl_meta *more = PL_NEW(m->arena, pl_meta, m->room);
        if (!more) return PL_E_MEMORY;
        if (m->count) memcpy(more, m->entry, (size_t)m->count * sizeof *more);
        m->entry = more;
    }
    m->entry[m->count++] = entry;
    return PL_OK;
}

static pl_text text_of(const char *s) { return (pl_text){ s, (uint32_t)strlen(s) }; }

/* A string; nothing for NULL. */
static pl_status add_text(metas *m, const char *key, const char *value)
{
    if (!value) return PL_OK;
    return add_meta(m, (pl_meta){ .key = key, .type = PL_META_STRING, .value.text = text_of(value) });
}

static pl_status add_list(metas *m, const char *key, const strings *list)
{
    if (!list->count) return PL_OK;
    pl_text *text = PL_NEW(m->arena, pl_text, list->count);
    if (!text) return PL_E_MEMORY;
    for (int i = 0; i < list->count; i++) text[i] = text_of(list->item[i]);
    return add_meta(m, (pl_meta){ .key = key, .type = PL_META_ARRAY, .element = PL_META_STRING,
                                  .count = list->count, .value.array = text });
}

/* Where the model or its data come from: ids or addresses, as `prefix`.count, .0.name, ... */
static pl_status add_origins(metas *m, const char *prefix, const strings *ids, int64_t parameters)
{
    if (!ids->count) return PL_OK;
    pl_meta count = { .key = pl_arena_format(m->arena, "%s.count", prefix), .type = PL_META_U32,
                      .value.u = (uint64_t)ids->count };
    PL_TRY(add_meta(m, count));
    for (int i = 0; i < ids->count; i++) {
        const char *id = ids->item[i], *url = NULL;
        if (!strncmp(id, "http://", 7) || !strncmp(id, "https://", 8) || !strncmp(id, "ssh://", 6)) {
            static const char hub[] = "://huggingface.co/";
            url = id;
            const char *path = strstr(id, hub);
            id = path && strncmp(id, "ssh", 3) ? path + strlen(hub) : "";
            const char *slash = strchr(id, '/');
            if (!slash || slash == id || !slash[1] || strchr(slash + 1, '/')) id = "";
        }
        model_id parts = { 0 };
        if (id[0]) PL_TRY(split_id(id, parameters, m->arena, &parts));
        bool is_id = !url && parts.org;
        if (is_id)
            url = pl_arena_format(m->arena, "https://huggingface.co/%s/%s", parts.org, parts.name);
        const char *name = parts.name ? title(parts.name, m->arena) : NULL;
        const char *org = parts.org ? title(parts.org, m->arena) : NULL;
        if ((parts.name && !name) || (parts.org && !org) || (is_id && !url)) return PL_E_MEMORY;
        const struct { const char *key, *value; } field[] = {
            { "name", name }, { "version", parts.version }, { "organization", org },
            { "repo_url", url },
        };
        for (int k = 0; k < PL_COUNT(field); k++)
            if (field[k].value)
                PL_TRY(add_text(m, pl_arena_format(m->arena, "%s.%d.%s", prefix, i, field[k].key),
                                field[k].value));
    }
    return PL_OK;
}

/* "135M": at least two digits; "8x7B" with experts: what is there once, and one expert of each layer. */
static char *size_label(const pl_model *model, pl_arena *arena)
{
    int64_t parameters = model->parameters;
    char experts[16] = "";
    for (int i = 0; i < model->tensors; i++)
        if (model->tensor[i].id.expert > 0) parameters -= model->tensor[i].rows * model->tensor[i].cols;
    if (model->hp.experts) snprintf(experts, sizeof experts, "%dx", (int)model->hp.experts);
    double n = (double)parameters, unit = n > 1e12 ? 1e12 : n > 1e9 ? 1e9 : n > 1e6 ? 1e6 : 1e3;
    char letter = unit == 1e12 ? 'T' : unit == 1e9 ? 'B' : unit == 1e6 ? 'M' : 'K';
    double rounded = rint(n / unit);
    int digits = rounded < 1 ? 2 : rounded < 10 ? 1 : 0;
    return pl_arena_format(arena, "%s%.*f%c", experts, digits, n / unit, letter);
}

/* Takes over what `more` has and `id` lacks. */
static void complete(model_id *id, const model_id *more)
{
    if (!id->name) id->name = more->name;
    if (!id->org) id->org = more->org;
    if (!id->base) id->base = more->base;
    if (!id->finetune) id->finetune = more->finetune;
    if (!id->version) id->version = more->version;
    if (!id->size) id->size = more->size;
}

/* From `_name_or_path`, if that is an id and no path on somebody's disk, then from the folder. */
static pl_status own_id(const char *folder, const pl_json *config, int64_t parameters,
                        pl_arena *arena, model_id *id)
{
    model_id more;
    const pl_json *node = pl_json_get(config, "_name_or_path");
    const char *hub = pl_json_text(node) ? pl_json_text(node) : "";
    const char *slash = strchr(hub, '/');
    if (hub[0] && !(slash && strchr(slash + 1, '/'))) {
        const char *copy = pl_arena_text(arena, hub, strlen(hub));
        if (!copy) return PL_E_MEMORY;
        PL_TRY(split_id(copy, parameters, arena, &more));
        complete(id, &more);
    }
    char real[PATH_MAX];
    if (!realpath(folder, real)) return pl_fail(PL_E_IO, "cannot look at '%s': %s", folder, strerror(errno));
    const char *name = strrchr(real, '/') + 1;
    if (pl_utf8_check(name, strlen(name)) >= 0 || !name[0]) name = "model";
    name = pl_arena_text(arena, name, strlen(name));
    if (!name) return PL_E_MEMORY;
    PL_TRY(split_id(name, parameters, arena, &more));
    complete(id, &more);
    return PL_OK;
}

static pl_status add_all(metas *m, const char *folder, const pl_json *config, const char *card,
                         pl_model *model)
{
    model_id id = { 0 };
    PL_TRY(own_id(folder, config, model->parameters, m->arena, &id));
    if (!id.size) id.size = size_label(model, m->arena);
    model->name = title(id.name, m->arena);
    if (!model->name || !id.size) return PL_E_MEMORY;
    const char *org = id.org ? title(id.org, m->arena) : NULL;
    const char *license_name, *license_link, *license = NULL;
    strings licenses = { 0 }, bases = { 0 }, data = { 0 }, tags = { 0 }, languages = { 0 };
    PL_TRY(card_values(card, "license", m->arena, &licenses));
    for (int i = 0; i < licenses.count; i++) {
        license = license ? pl_arena_format(m->arena, "%s,%s", license, licenses.item[i])
                          : licenses.item[i];
        if (!license) return PL_E_MEMORY;
    }
    PL_TRY(card_value(card, "license_name", m->arena, &license_name));
    PL_TRY(card_value(card, "license_link", m->arena, &license_link));
    PL_TRY(card_values(card, "base_model", m->arena, &bases));
    PL_TRY(card_values(card, "datasets", m->arena, &data));
    PL_TRY(card_values(card, "tags", m->arena, &tags));
    PL_TRY(card_values(card, "pipeline_tag", m->arena, &tags));
    PL_TRY(card_values(card, "languages", m->arena, &languages));
    PL_TRY(card_values(card, "language", m->arena, &languages));

    PL_TRY(add_text(m, "general.name", model->name));
    PL_TRY(add_text(m, "general.version", id.version));
    PL_TRY(add_text(m, "general.organization", org));
    PL_TRY(add_text(m, "general.finetune", id.finetune));
    PL_TRY(add_text(m, "general.basename", id.base));
    PL_TRY(add_text(m, "general.size_label", id.size));
    PL_TRY(add_text(m, "general.license", license));
    PL_TRY(add_text(m, "general.license.name", license_name));
    PL_TRY(add_text(m, "general.license.link", license_link));
    PL_TRY(add_origins(m, "general.base_model", &bases, model->parameters));
    PL_TRY(add_origins(m, "general.dataset", &data, model->parameters));
    PL_TRY(add_list(m, "general.tags", &tags));
    return add_list(m, "general.languages", &languages);
}

/* ---- generation_config.json ---- */

/* How the model's makers sample from it. A setting of another type than expected is passed over: it
 * says nothing of the model itself. */
static pl_status add_sampling(metas *m, const pl_json *config)
{
    static const struct { const char *from, *key; uint8_t type; } settings[] = {
        { "sequence", "general.sampling.sequence", PL_META_STRING },
        { "top_k", "general.sampling.top_k", PL_META_I32 },
        { "top_p", "general.sampling.top_p", PL_META_F32 },
        { "min_p", "general.sampling.min_p", PL_META_F32 },
        { "xtc_probability", "general.sampling.xtc_probability", PL_META_F32 },
        { "xtc_threshold", "general.sampling.xtc_threshold", PL_META_F32 },
        { "temperature", "general.sampling.temp", PL_META_F32 },
        { "penalty_last_n", "general.sampling.penalty_last_n", PL_META_I32 },
        { "penalty_repeat", "general.sampling.penalty_repeat", PL_META_F32 },
        { "mirostat", "general.sampling.mirostat", PL_META_I32 },
        { "mirostat_tau", "general.sampling.mirostat_tau", PL_META_F32 },
        { "mirostat_eta", "general.sampling.mirostat_eta", PL_META_F32 },
    };
    for (int i = 0; i < PL_COUNT(settings); i++) {
        const pl_json *node = pl_json_get(config, settings[i].from);
        if (!node && !strcmp(settings[i].from, "penalty_repeat"))
            node = pl_json_get(config, "repetition_penalty");
        pl_meta entry = { .key = settings[i].key, .type = settings[i].type };
        double number = 0;
        if (entry.type == PL_META_STRING) {
            if (!pl_json_text(node)) continue;
            const char *copy = pl_arena_text(m->arena, pl_json_text(node), pl_json_length(node));
            if (!copy) return PL_E_MEMORY;
            PL_TRY(add_text(m, entry.key, copy));
            continue;
        }
        if (!pl_json_is(node, PL_JSON_NUMBER)) continue;
        PL_TRY(pl_json_as_number(node, "generation_config.json", settings[i].from, &number));
        if (!(fabs(number) < (entry.type == PL_META_I32 ? 0x1p31 : 0x1p127))) continue;
        if (entry.type == PL_META_F32) entry.value.f = number;
        else if (number == rint(number)) entry.value.i = (int64_t)number;
        else continue;
        PL_TRY(add_meta(m, entry));
    }
    return PL_OK;
}

static pl_status read_sampling(metas *m, const char *folder)
{
    char path[PATH_MAX];
    pl_json *config;
    PL_TRY(pl_path_join(path, sizeof path, folder, "generation_config.json"));
    if (!pl_path_exists(path)) return PL_OK;
    PL_TRY(pl_json_load(path, &config));
    pl_status code = add_sampling(m, config);
    pl_json_free(config);
    return code;
}

pl_status pl_hf_meta_read(const char *folder, const pl_json *config, pl_arena *arena,
                          pl_model *model)
{
    char *card = NULL;
    metas m = { .arena = arena };
    pl_status code = load_card(folder, &card);
    if (code == PL_OK) code = add_all(&m, folder, config, card, model);
    if (code == PL_OK) code = read_sampling(&m, folder);
    pl_free(card);
    model->meta = m.entry;
    model->metas = m.count;
    return code;
}
