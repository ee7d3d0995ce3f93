/* json.c: cJSON behind stricter rules: files from strangers pass through here. */
#include "core/json.h"

#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
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

static pl_status refuse(const char *origin, size_t at)
{
    return pl_fail(PL_E_INPUT, "%s: not valid JSON at byte %zu", origin, at);
}

/* How many digits stand at *at, which moves behind them. */
static size_t skip_digits(const char *text, size_t len, size_t *at)
{
    size_t first = *at;
    while (*at < len && text[*at] >= '0' && text[*at] <= '9') ++*at;
    return *at - first;
}

/* True if a number as JSON spells it stands at *at, which moves behind it. */
static bool skip_number(const char *text, size_t len, size_t *at)
{
    if (text[*at] == '-') ++*at;
    bool zero = *at < len && text[*at] == '0';
    size_t digits = skip_digits(text, len, at);
    if (digits == 0 || (zero && digits > 1)) return false;
    if (*at < len && text[*at] == '.') {
        ++*at;
        if (skip_digits(text, len, at) == 0) return false;
    }
    if (*at < len && (text[*at] == 'e' || text[*at] == 'E')) {
        ++*at;
        if (*at < len && (text[*at] == '+' || text[*at] == '-')) ++*at;
        if (skip_digits(text, len, at) == 0) return false;
    }
    return true;
}

/* Moves *at from the opening quote of a string behind its closing one. */
static pl_status skip_string(const char *text, size_t len, const char *origin, size_t *at)
{
    for (size_t i = *at + 1; i < len; i++) {
        if ((unsigned char)text[i] < ' ') return refuse(origin, i);
        if (text[i] == '"') {
            *at = i + 1;
            return PL_OK;
        }
        if (text[i] != '\\') continue;
        if (++i == len || text[i] != 'u') continue;
        for (size_t k = 1; k <= 4; k++)
            if (len - i <= k || !isxdigit((unsigned char)text[i + k])) return refuse(origin, i - 1);
        if (!memcmp(text + i + 1, "0000", 4))
            return pl_fail(PL_E_INPUT, "%s: a string at byte %zu contains a NUL character", origin,
                           i - 1);
    }
    return pl_fail(PL_E_INPUT, "%s: not valid JSON: ends inside a string", origin);
}

/* What cJSON itself does not refuse, on the raw text: control characters, numbers and escapes that
 * only strtod or it understands, depth. Nor does it notice in time that a text ends in an object:
 * it looks one byte behind its end. */
static pl_status scan(const char *text, size_t len, const char *origin)
{
    int depth = 0;
    for (size_t i = 0; i < len;) {
        char c = text[i];
        if (c == '"') {
            PL_TRY(skip_string(text, len, origin, &i));
            continue;
        }
        if (c == '-' || (c >= '0' && c <= '9')) {
            size_t from = i;
            if (!skip_number(text, len, &i)) return refuse(origin, from);
            continue;
        }
        if ((unsigned char)c < ' ' && c != '\t' && c != '\n' && c != '\r') return refuse(origin, i);
        if (c == '}' || c == ']') depth--;
        if ((c == '{' || c == '[') && ++depth > PL_MAX_JSON_DEPTH)
            return pl_fail(PL_E_INPUT, "%s: nested deeper than %d at byte %zu", origin,
                           PL_MAX_JSON_DEPTH, i);
        i++;
    }
    if (depth > 0)
        return pl_fail(PL_E_INPUT, "%s: not valid JSON: ends inside an object or array", origin);
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
    if (cJSON_IsNumber(node) && !isfinite(node->valuedouble))
        return pl_fail(PL_E_INPUT, "%s: a number is beyond the range of a double", origin);
    if (cJSON_IsObject(node)) PL_TRY(check_object(node, origin));
    for (const cJSON *c = node->child; c; c = c->next)
        PL_TRY(check_tree(c, origin));          /* depth is bounded by scan() */
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
        return refuse(origin, end ? (size_t)(end - text) : 0);
    }
    while (end < text + len && *end && strchr(" \t\r\n", *end)) end++;
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
    /* 2^53 itself is what 2^53 + 1 is read as */
    if (!(fabs(value) < 0x1p53) || value != floor(value))
        return pl_fail(PL_E_INPUT, "%s: %s should be a whole number below 2^53, is %.17g", origin, what,
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
    if (!cJSON_IsNumber(node))
        return pl_fail(PL_E_INPUT, "%s: '%s' should be a number, is %s", origin, key, kind(node));
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
