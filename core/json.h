/* json.h: reading and writing JSON; the only door to cJSON. */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <cjson/cJSON.h>

#include "core/mem.h"

typedef cJSON pl_json;

/* Parses a whole document. Refused with PL_E_INPUT, `origin` (file name) and the byte offset: syntax
 * errors, text behind the document, invalid UTF-8, duplicate keys in one object, nesting beyond
 * PL_MAX_JSON_DEPTH, NaN, Infinity or a number that becomes it (1e999), control characters in the
 * text, \u0000. Freed with pl_json_free. */
pl_status pl_json_parse(const char *text, size_t len, const char *origin, pl_json **out);
/* The same from a file of at most PL_MAX_JSON_BYTES. */
pl_status pl_json_load(const char *path, pl_json **out);
void pl_json_free(pl_json *json);

/* Member by exact name, NULL if absent or null. Walks the list: for objects with thousands of
 * members iterate with ->child and ->next instead. */
const pl_json *pl_json_get(const pl_json *object, const char *key);

/* Typed members. `required` false: absent (or null) leaves *out as it is. A wrong type, a number
 * that is not integral, not below 2^53 or outside [low, high] is PL_E_INPUT naming `origin` and key. */
pl_status pl_json_int(const pl_json *object, const char *key, bool required, int64_t low,
                      int64_t high, const char *origin, int64_t *out);
pl_status pl_json_number(const pl_json *object, const char *key, bool required, const char *origin,
                         double *out);
pl_status pl_json_bool(const pl_json *object, const char *key, bool required, const char *origin,
                       bool *out);
/* Points into the document. */
pl_status pl_json_string(const pl_json *object, const char *key, bool required, const char *origin,
                         const char **out);
/* Value of a JSON number node as an integer in [low, high]. */
pl_status pl_json_as_int(const pl_json *node, int64_t low, int64_t high, const char *origin,
                         const char *what, int64_t *out);

/* Writing: a document built with cJSON's cJSON_Add...ToObject, printed indented; pl_free the text.
 * Numbers that are not finite are written as null. */
pl_status pl_json_print(const pl_json *json, char **text);

#endif
