/* hf_chat.c: chat templates of a Hugging Face folder. */
#include <limits.h>
#include <string.h>

#include "core/fs.h"
#include "core/log.h"
#include "formats/hf_reader.h"

enum { MAX_CHATS = 32 };

static pl_status keep(pl_hf_reader *r, const char *text, size_t len, const char **out)
{
    *out = pl_arena_text(r->arena, text, len);
    return *out ? PL_OK : PL_E_MEMORY;
}

/* A named template becomes a key of its own, so its name is made one. */
static pl_status add_named(pl_hf_reader *r, const char *name, const char *text)
{
    pl_vocab *v = r->v;
    char *plain = pl_arena_text(r->arena, name, strlen(name));
    if (!plain) return PL_E_MEMORY;
    for (char *c = plain; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", *c)) *c = '_';
    for (int32_t i = 0; i < v->chats; i++)
        if (!strcmp(v->chat[i].name, plain))
            return pl_fail(PL_E_INPUT, "%s: two chat templates are named '%.60s'", r->folder, plain);
    if (v->chats == MAX_CHATS || strlen(plain) > 100) {
        pl_log(PL_LOG_WARN, "%s: the chat template '%.60s' is left out: more than %d, or too long a name", r->folder,
               plain, MAX_CHATS);
        return PL_OK;
    }
    pl_chat *chat = &v->chat[v->chats++];
    chat->name = plain;
    chat->key = pl_arena_format(r->arena, "tokenizer.chat_template.%s", plain);
    return chat->key ? keep(r, text, strlen(text), &chat->text) : PL_E_MEMORY;
}

/* [{"name": "default", "template": "..."}, ...] */
static pl_status read_list(pl_hf_reader *r, const pl_json *list)
{
    r->v->chat = PL_ZNEW(r->arena, pl_chat, MAX_CHATS);
    if (!r->v->chat) return PL_E_MEMORY;
    for (const pl_json *c = pl_json_first(list); c; c = pl_json_next(c)) {
        const char *name = pl_json_text(pl_json_get(c, "name")), *text = pl_json_text(pl_json_get(c, "template"));
        if (!name || !text || !*name) continue;
        if (strcmp(name, "default")) PL_TRY(add_named(r, name, text));
        else PL_TRY(keep(r, text, strlen(text), &r->v->chat_template));
    }
    return PL_OK;
}

static pl_status read_file(pl_hf_reader *r, const char *path)
{
    char *data;
    size_t len;
    PL_TRY(pl_file_load(path, PL_MAX_JSON_BYTES, &data, &len));
    pl_status status = keep(r, data, len, &r->v->chat_template);
    pl_free(data);
    return status;
}

static pl_status read_value(pl_hf_reader *r, const pl_json *node)
{
    const char *text = pl_json_text(node);
    if (text) return keep(r, text, strlen(text), &r->v->chat_template);
    return pl_json_is(node, PL_JSON_ARRAY) ? read_list(r, node) : PL_OK;
}

pl_status pl_hf_chat_read(pl_hf_reader *r)
{
    char path[PATH_MAX];
    const pl_json *node = pl_json_get(r->settings, "chat_template");
    if (node) return read_value(r, node);
    PL_TRY(pl_path_join(path, sizeof path, r->folder, "chat_template.jinja"));
    if (pl_path_exists(path)) return read_file(r, path);
    PL_TRY(pl_path_join(path, sizeof path, r->folder, "chat_template.json"));
    if (!pl_path_exists(path)) return PL_OK;
    pl_json *doc;
    PL_TRY(pl_json_load(path, &doc));
    pl_status status = read_value(r, pl_json_get(doc, "chat_template"));
    pl_json_free(doc);
    return status;
}
