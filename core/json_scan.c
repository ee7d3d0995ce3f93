/* json_scan.c: what yajl would let pass, refused on the text before yajl sees it. */
#include <ctype.h>
#include <stdlib.h>

#include "core/json_yajl.h"
#include "core/text.h"

pl_status pl_json_refuse(const char *origin, size_t at)
{
    return pl_fail(PL_E_INPUT, "%s: not valid JSON at byte %zu", origin, at);
}

static pl_status no_end(const char *origin, const char *inside)
{
    return pl_fail(PL_E_INPUT, "%s: not valid JSON: ends inside %s", origin, inside);
}

/* Four hexadecimal digits at s, -1: there are none. */
static long hex4(const char *s, size_t len)
{
    char digits[5] = "";
    if (len < 4) return -1;
    for (int i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)s[i])) return -1;
        digits[i] = s[i];
    }
    return strtol(digits, NULL, 16);
}

/* Moves *at from a backslash to the last byte of its escape. yajl would make a question mark of half a
 * surrogate pair, and its texts may contain NUL. */
static pl_status skip_escape(const char *text, size_t len, const char *origin, size_t *at)
{
    size_t i = *at;
    if (len - i < 2 || !strchr("\"\\/bfnrtu", text[i + 1]) || !text[i + 1]) return pl_json_refuse(origin, i);
    *at = i + 1;
    if (text[i + 1] != 'u') return PL_OK;
    long unit = hex4(text + i + 2, len - i - 2);
    if (unit == 0)
        return pl_fail(PL_E_INPUT, "%s: a string at byte %zu contains a NUL character", origin, i);
    *at = i + 5;
    if (unit < 0 || (unit >= 0xDC00 && unit < 0xE000)) return pl_json_refuse(origin, i);
    if (unit < 0xD800 || unit >= 0xDC00) return PL_OK;
    if (len - i < 12 || text[i + 6] != '\\' || text[i + 7] != 'u') return pl_json_refuse(origin, i);
    unit = hex4(text + i + 8, len - i - 8);
    *at = i + 11;
    return unit >= 0xDC00 && unit < 0xE000 ? PL_OK : pl_json_refuse(origin, i);
}

/* Moves *at from the opening quote of a string behind its closing one; *longest: of those with escapes,
 * which yajl copies. */
static pl_status skip_string(const char *text, size_t len, const char *origin, size_t *at,
                             size_t *longest)
{
    bool escapes = false;
    for (size_t i = *at + 1; i < len; i++) {
        if ((unsigned char)text[i] < ' ') return pl_json_refuse(origin, i);
        if (text[i] == '"') {
            if (escapes && i - *at > *longest) *longest = i - *at;
            *at = i + 1;
            return PL_OK;
        }
        if (text[i] != '\\') continue;
        escapes = true;
        PL_TRY(skip_escape(text, len, origin, &i));
    }
    return no_end(origin, "a string");
}

pl_status pl_json_scan(const char *text, size_t len, const char *origin, size_t *longest)
{
    int depth = 0;
    *longest = 0;
    int64_t bad = pl_utf8_check(text, len);
    if (bad >= 0) return pl_fail(PL_E_INPUT, "%s: invalid UTF-8 at byte %lld", origin, (long long)bad);
    for (size_t i = 0; i < len;) {
        char c = text[i];
        if (c == '"') {
            PL_TRY(skip_string(text, len, origin, &i, longest));
            continue;
        }
        if ((unsigned char)c < ' ' && c != '\t' && c != '\n' && c != '\r') return pl_json_refuse(origin, i);
        if (c == '}' || c == ']') depth--;
        if ((c == '{' || c == '[') && ++depth > PL_MAX_JSON_DEPTH)
            return pl_fail(PL_E_INPUT, "%s: nested deeper than %d at byte %zu", origin,
                           PL_MAX_JSON_DEPTH, i);
        i++;
    }
    return depth > 0 ? no_end(origin, "an object or array") : PL_OK;
}
