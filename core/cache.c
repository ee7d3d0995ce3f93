/* cache.c: a sorted list of digests and numbers, kept as JSON. */
#include "core/cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"

#define SCHEMA "planish.cache/1"

typedef struct entry { pl_digest key; double value; } entry;

struct pl_cache {
    char *path;                 /* NULL: not kept */
    entry *entry;               /* [count], sorted by key */
    int64_t count, room;
    bool changed;
};

static int compare(const void *a, const void *b)
{
    return memcmp(((const entry *)a)->key.byte, ((const entry *)b)->key.byte, sizeof(pl_digest));
}

/* Where the key is or would be. */
static int64_t place_of(const pl_cache *c, pl_digest key)
{
    int64_t low = 0, high = c->count;
    const entry wanted = { key, 0 };
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (compare(&c->entry[middle], &wanted) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool is_at(const pl_cache *c, int64_t at, pl_digest key)
{
    return at < c->count && !memcmp(c->entry[at].key.byte, key.byte, sizeof key);
}

bool pl_cache_find(const pl_cache *c, pl_digest key, double *value)
{
    int64_t at = place_of(c, key);
    if (!is_at(c, at, key)) return false;
    *value = c->entry[at].value;
    return true;
}

pl_status pl_cache_put(pl_cache *c, pl_digest key, double value)
{
    int64_t at = place_of(c, key);
    if (is_at(c, at, key) || !isfinite(value)) return PL_OK;
    if (c->count == c->room) {
        int64_t room = pl_max64(64, 2 * c->room);
        entry *grown = pl_realloc(c->entry, room, sizeof *grown);
        if (!grown) return PL_E_MEMORY;
        c->entry = grown;
        c->room = room;
    }
    memmove(c->entry + at + 1, c->entry + at, (size_t)(c->count - at) * sizeof *c->entry);
    c->entry[at] = (entry){ key, value };
    c->count++;
    c->changed = true;
    return PL_OK;
}

/* ---- the file ---- */

static pl_digest digest_of(const pl_cache *c)
{
    return pl_hash_bytes(c->entry, (size_t)c->count * sizeof *c->entry);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "xxh3:" and 32 digits, as pl_digest_text writes it. */
static bool parse_digest(const char *text, pl_digest *out)
{
    if (!text || strlen(text) != 37 || strncmp(text, "xxh3:", 5)) return false;
    for (int i = 0; i < 16; i++) {
        int high = digit(text[5 + 2 * i]), low = digit(text[6 + 2 * i]);
        if (high < 0 || low < 0) return false;
        out->byte[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static pl_status read_values(pl_cache *c, const pl_json *json)
{
    const char *schema = "", *sum = "";
    pl_digest digest;
    PL_TRY(pl_json_string(json, "schema", true, c->path, &schema));
    PL_TRY(pl_json_string(json, "digest", true, c->path, &sum));
    if (strcmp(schema, SCHEMA))
        return pl_fail(PL_E_INPUT, "%s: schema is '%s', expected '" SCHEMA "'", c->path, schema);
    const pl_json *values = pl_json_get(json, "values");
    c->entry = pl_alloc(pl_max64(pl_json_count(values), 1), sizeof *c->entry);
    if (!c->entry) return PL_E_MEMORY;
    c->room = pl_max64(pl_json_count(values), 1);
    for (const pl_json *m = pl_json_first(values); m; m = pl_json_next(m)) {
        entry *e = &c->entry[c->count++];
        if (!parse_digest(pl_json_key(m), &e->key))
            return pl_fail(PL_E_INPUT, "%s: '%s' is no digest", c->path, pl_json_key(m) ? pl_json_key(m) : "");
        PL_TRY(pl_json_as_number(m, c->path, pl_json_key(m), &e->value));
    }
    qsort(c->entry, (size_t)c->count, sizeof *c->entry, compare);
    pl_digest found = digest_of(c);
    if (parse_digest(sum, &digest) && !memcmp(found.byte, digest.byte, sizeof found)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: its values do not have the digest that it names", c->path);
}

pl_status pl_cache_open(const char *path, pl_cache **out)
{
    pl_cache *c = pl_alloc(1, sizeof *c);
    *out = c;
    if (!c) return PL_E_MEMORY;
    if (!path) return PL_OK;
    c->path = pl_strdup(path);
    pl_json *json = NULL;
    pl_status code = c->path ? PL_OK : PL_E_MEMORY;
    if (code == PL_OK && pl_path_exists(path)) {
        code = pl_json_load(path, &json);
        if (code == PL_OK) code = read_values(c, json);
        pl_json_free(json);
    }
    if (code == PL_E_INPUT) {
        pl_log(PL_LOG_WARN, "the cache is made anew: %s", pl_error());
        c->count = 0;
        c->changed = true;
        code = PL_OK;
    }
    if (code == PL_OK) return PL_OK;
    pl_cache_close(c);
    *out = NULL;
    return code;
}

void pl_cache_close(pl_cache *c)
{
    if (!c) return;
    pl_free(c->path);
    pl_free(c->entry);
    pl_free(c);
}

pl_status pl_cache_save(pl_cache *c)
{
    char key[40], *text = NULL;
    pl_json_writer *w;
    if (!c->path || !c->changed) return PL_OK;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "schema", SCHEMA);
    pl_json_put_text(w, "digest", pl_digest_text(digest_of(c), key));
    pl_json_begin_object(w, "values");
    for (int64_t i = 0; i < c->count; i++)
        pl_json_put_number(w, pl_digest_text(c->entry[i].key, key), c->entry[i].value);
    pl_status code = pl_json_finish(w, &text);
    if (code == PL_OK) code = pl_file_save(c->path, text, strlen(text));
    pl_free(text);
    pl_json_writer_destroy(w);
    if (code == PL_OK) c->changed = false;
    return code;
}
