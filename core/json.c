/* json.c: cJSON behind stricter rules: files from strangers pass through here. */
#include "core/json.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/hash.h"
#include "core/text.h"

static void *hook_alloc(size_t size) { return pl_realloc(NULL, (int64_t)size, 1); }
static void hook_free(void *p) { pl_free(p); }

static void set_hooks(void)
{
    cJSON_Hooks hooks = { hook_alloc, hook_free };
    cJSON_InitHooks(&hooks);
}

/* What cJSON itself does not refuse, on the raw text: depth and escaped NUL characters. */
static pl_status scan(const char *text, size_t len, const char *origin)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '"') in_string = false;
            else if (c == '\\') {
                if (len - i > 5 && !memcmp(text + i, "\\u0000", 6))
                    return pl_fail(PL_E_INPUT, "%s: a string at byte %zu contains a NUL character",
                                   origin, i);
                i++;
            } else if (c == 0) {
                return pl_fail(PL_E_INPUT, "%s: NUL byte at %zu", origin, i);
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > PL_MAX_JSON_DEPTH)
                return pl_fail(PL_E_INPUT, "%s: nested deeper than %d at byte %zu", origin,
                               PL_MAX_JSON_DEPTH, i);
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return PL_OK;
}

/* No key twice in an object: readers disagree on which value counts. */
static pl_status check_object(const cJSON *object, const char *origin)
{
    int64_t count = 0;
    for (const cJSON *c = object->child; c; c = c->next) count++;
    if (count < 2) return PL_OK;
    if (count <= 8) {
        for (const cJSON *c = object->child; c; c = c->next)
            for (const cJSON *d = c->next; d; d = d->next)
                if (!strcmp(c->string, d->string))
                    return pl_fail(PL_E_INPUT, "%s: key '%.100s' stands twice", origin, c->string);
        return PL_OK;
    }
    int64_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    const char **table = pl_alloc(slots, sizeof *table);
    if (!table) return PL_E_MEMORY;
    pl_status code = PL_OK;
    for (const cJSON *c = object->child; c && code == PL_OK; c = c->next) {
        pl_digest digest = pl_hash_bytes(c->string, strlen(c->string));
        uint64_t at;
        memcpy(&at, digest.byte, sizeof at);
        for (at &= (uint64_t)slots - 1; table[at]; at = (at + 1) & ((uint64_t)slots - 1)) {
            if (strcmp(table[at], c->string)) continue;
            code = pl_fail(PL_E_INPUT, "%s: key '%.100s' stands twice", origin, c->string);
            break;
        }
        table[at] = c->string;
    }
    pl_free(table);
    return code;
}

static pl_status check_tree(const cJSON *node, const char *origin)
{
    if (cJSON_IsObject(node)) PL_TRY(check_object(node, origin));
    for (const cJSON *c = node->child; c; c = c->next)
        if (c->child) PL_TRY(check_tree(c, origin));        /* depth is bounded by scan() */
    return PL_OK;
}

pl_status pl_json_parse(const char *text, size_t len, const char *origin, pl_json **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_hooks);
    *out = NULL;
    int64_t bad = pl_utf8_check(text, len);
    if (bad >= 0) return pl_fail(PL_E_INPUT, "%s: invalid UTF-8 at byte %lld", origin, (long long)bad);
    PL_TRY(scan(text, len, origin));
    const char *end = NULL;
    pl_fail(PL_OK, "%s", "");       /* so that an allocation failure inside can be told apart */
    cJSON *json = cJSON_ParseWithLengthOpts(text, len, &end, false);
    if (!json) {
        if (pl_error()[0]) return PL_E_MEMORY;
        return pl_fail(PL_E_INPUT, "%s: not valid JSON at byte %td", origin, end ? end - text : 0);
    }
    while (end < text + len && strchr(" \t\r\n", *end)) end++;
    pl_status code = PL_OK;
    if (end != text + len)
        code = pl_fail(PL_E_INPUT, "%s: text behind the JSON document at byte %td", origin, end - text);
    if (code == PL_OK) code = check_tree(json, origin);
    if (code != PL_OK) {
        cJSON_Delete(json);
        return code;
    }
    *out = json;
    return PL_OK;
}

pl_status pl_json_load(const char *path, pl_json **out)
{
    *out = NULL;
    char *text;
    size_t len;
    PL_TRY(pl_file_load(path, PL_MAX_JSON_BYTES, &text, &len));
    pl_status code = pl_json_parse(text, len, path, out);
    pl_free(text);
    return code;
}

void pl_json_free(pl_json *json) { cJSON_Delete(json); }

const pl_json *pl_json_get(const pl_json *object, const char *key)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(member) ? NULL : member;
}

static const char *kind(const cJSON *node)
{
    if (cJSON_IsObject(node)) return "an object";
    if (cJSON_IsArray(node)) return "an array";
    if (cJSON_IsString(node)) return "a string";
    if (cJSON_IsNumber(node)) return "a number";
    if (cJSON_IsBool(node)) return "true or false";
    return "null";
}

/* The member, NULL if it is absent and may be. */
static pl_status member(const pl_json *object, const char *key, bool required, const char *origin,
                        const pl_json **out)
{
    *out = pl_json_get(object, key);
    if (!*out && required) return pl_fail(PL_E_INPUT, "%s: '%s' is missing", origin, key);
    return PL_OK;
}

pl_status pl_json_as_int(const pl_json *node, int64_t low, int64_t high, const char *origin,
                         const char *what, int64_t *out)
{
    if (!cJSON_IsNumber(node))
        return pl_fail(PL_E_INPUT, "%s: %s should be a number, is %s", origin, what, kind(node));
    double value = node->valuedouble;
    if (!(fabs(value) <= 0x1p53) || value != floor(value))
        return pl_fail(PL_E_INPUT, "%s: %s should be a whole number up to 2^53, is %g", origin, what,
                       value);
    if (value < (double)low || value > (double)high)
        return pl_fail(PL_E_INPUT, "%s: %s should be between %lld and %lld, is %.0f", origin, what,
                       (long long)low, (long long)high, value);
    *out = (int64_t)value;
    return PL_OK;
}

pl_status pl_json_int(const pl_json *object, const char *key, bool required, int64_t low,
                      int64_t high, const char *origin, int64_t *out)
{
    const pl_json *node;
    PL_TRY(member(object, key, required, origin, &node));
    if (!node) return PL_OK;
    char what[128];
    snprintf(what, sizeof what, "'%s'", key);
    return pl_json_as_int(node, low, high, origin, what, out);
}

pl_status pl_json_number(const pl_json *object, const char *key, bool required, const char *origin,
                         double *out)
{
    const pl_json *node;
    PL_TRY(member(object, key, required, origin, &node));
    if (!node) return PL_OK;
    if (!cJSON_IsNumber(node) || !isfinite(node->valuedouble))
        return pl_fail(PL_E_INPUT, "%s: '%s' should be a finite number, is %s", origin, key, kind(node));
    *out = node->valuedouble;
    return PL_OK;
}

pl_status pl_json_bool(const pl_json *object, const char *key, bool required, const char *origin,
                       bool *out)
{
    const pl_json *node;
    PL_TRY(member(object, key, required, origin, &node));
    if (!node) return PL_OK;
    if (!cJSON_IsBool(node))
        return pl_fail(PL_E_INPUT, "%s: '%s' should be true or false, is %s", origin, key, kind(node));
    *out = cJSON_IsTrue(node);
    return PL_OK;
}

pl_status pl_json_string(const pl_json *object, const char *key, bool required, const char *origin,
                         const char **out)
{
    const pl_json *node;
    PL_TRY(member(object, key, required, origin, &node));
    if (!node) return PL_OK;
    if (!cJSON_IsString(node))
        return pl_fail(PL_E_INPUT, "%s: '%s' should be a string, is %s", origin, key, kind(node));
    *out = node->valuestring;
    return PL_OK;
}

pl_status pl_json_print(const pl_json *json, char **text)
{
    *text = cJSON_Print(json);
    return *text ? PL_OK : pl_fail(PL_E_MEMORY, "out of memory while writing JSON");
}
