/* json.h: reading and writing JSON; the only door to yajl. */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include "core/mem.h"

/* ---- reading ---- */

/* A value inside a document. */
typedef struct pl_json pl_json;
typedef enum pl_json_kind {
    PL_JSON_NULL, PL_JSON_BOOL, PL_JSON_NUMBER, PL_JSON_STRING, PL_JSON_ARRAY, PL_JSON_OBJECT
} pl_json_kind;

/* Parses a whole document; *out is its root. Refused with PL_E_INPUT, `origin` (file name) and mostly
 * the byte offset: more than PL_MAX_JSON_BYTES, syntax errors, text behind the document, invalid UTF-8,
 * duplicate keys in one object, nesting beyond PL_MAX_JSON_DEPTH, NaN, Infinity or a number that becomes
 * it (1e999), control characters in the text, \u0000 and halves of surrogate pairs. Freed with
 * pl_json_free. */
pl_status pl_json_parse(const char *text, size_t len, const char *origin, pl_json **out);
/* The same without a copy of the text, which lies in len + 1 bytes of pl_alloc or pl_realloc: it belongs
 * to the document from now on, and is freed if that is refused. */
pl_status pl_json_take(char *text, size_t len, const char *origin, pl_json **out);
/* The same from a file. */
pl_status pl_json_load(const char *path, pl_json **out);
/* Takes the root, or NULL. */
void pl_json_free(pl_json *root);
/* Bytes of the heap the document holds: its text, 16 for each value and each key, and for objects of
 * many members at most 16 per member. */
int64_t pl_json_bytes(const pl_json *root);

/* False for NULL. */
bool pl_json_is(const pl_json *node, pl_json_kind kind);
/* A string, with a NUL behind it and none inside, and its bytes; NULL and 0 for everything else. */
const char *pl_json_text(const pl_json *node);
size_t pl_json_length(const pl_json *node);
/* Members or elements in the order of the file; NULL ends. First of a scalar or NULL is NULL. */
const pl_json *pl_json_first(const pl_json *container);
const pl_json *pl_json_next(const pl_json *node);
/* Name of an object's member; NULL for elements and the root. */
const char *pl_json_key(const pl_json *member);
/* How many members or elements; 0 for a scalar or NULL. */
int64_t pl_json_count(const pl_json *container);
/* Equal in everything but the order of members. */
bool pl_json_same(const pl_json *a, const pl_json *b);

/* Member by exact name, NULL if absent or null. Does not slow down in large objects. */
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
/* Value of a JSON number node, as an integer in [low, high] or as it is; `what` names it in sentences. */
pl_status pl_json_as_int(const pl_json *node, int64_t low, int64_t high, const char *origin,
                         const char *what, int64_t *out);
pl_status pl_json_as_number(const pl_json *node, const char *origin, const char *what, double *out);

/* ---- writing ---- */

/* A document written from its beginning to its end, indented. A failure is kept until pl_json_finish.
 * key: of a member; NULL for an element of an array and the outermost value. */
typedef struct pl_json_writer pl_json_writer;
pl_status pl_json_writer_create(pl_json_writer **out);
void pl_json_begin_object(pl_json_writer *w, const char *key);
void pl_json_begin_array(pl_json_writer *w, const char *key);
void pl_json_end(pl_json_writer *w);                        /* of the innermost object or array */
/* NULL: null. Bytes that are no UTF-8 become U+FFFD. */
void pl_json_put_text(pl_json_writer *w, const char *key, const char *text);
/* As few digits as give the same double again; null if it is not finite. */
void pl_json_put_number(pl_json_writer *w, const char *key, double value);
void pl_json_put_int(pl_json_writer *w, const char *key, int64_t value);
void pl_json_put_bool(pl_json_writer *w, const char *key, bool value);
void pl_json_put_null(pl_json_writer *w, const char *key);
/* The text with a newline at its end, freed with pl_free. What is still open is closed. */
pl_status pl_json_finish(pl_json_writer *w, char **text);
void pl_json_writer_destroy(pl_json_writer *w);             /* takes NULL */

#endif
