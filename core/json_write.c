/* json_write.c: writing JSON with yajl. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_gen.h>

#include "core/json.h"
#include "core/json_yajl.h"
#include "core/text.h"

enum { WRITER_POOL = 8192 };        /* of yajl's state alone: the text goes to put() */

struct pl_json_writer {
    yajl_gen gen;
    pl_json_pool pool;
    int depth;
    bool array[PL_MAX_JSON_DEPTH];      /* of what is open: an array, not an object */
    pl_status code;
    char *text;
    size_t len, room;
    _Alignas(PL_JSON_POOL_ALIGN) uint8_t memory[WRITER_POOL];
};

/* Appends; one byte stays free for a NUL. */
static void put(void *ctx, const char *s, size_t len)
{
    pl_json_writer *w = ctx;
    if (w->code != PL_OK) return;
    if (w->room - w->len <= len) {
        size_t room = 2 * w->room + len + 4096;
        char *more = pl_realloc(w->text, (int64_t)room, 1);
        if (!more) {
            w->code = PL_E_MEMORY;
            return;
        }
        w->text = more;
        w->room = room;
    }
    memcpy(w->text + w->len, s, len);
    w->len += len;
    w->text[w->len] = 0;
}

pl_status pl_json_writer_create(pl_json_writer **out)
{
    pl_json_writer *w = *out = pl_alloc(1, sizeof *w);
    if (!w) return PL_E_MEMORY;
    w->pool = (pl_json_pool){ w->memory, w->memory + WRITER_POOL };
    yajl_alloc_funcs memory = pl_json_pool_funcs(&w->pool);
    w->gen = yajl_gen_alloc(&memory);
    yajl_gen_config(w->gen, yajl_gen_beautify, 1);
    yajl_gen_config(w->gen, yajl_gen_indent_string, "  ");
    yajl_gen_config(w->gen, yajl_gen_print_callback, put, w);
    return PL_OK;
}

void pl_json_writer_destroy(pl_json_writer *w)
{
    if (w) pl_free(w->text);
    pl_free(w);
}

static void keep(pl_json_writer *w, yajl_gen_status status)
{
    if (status != yajl_gen_status_ok && w->code == PL_OK)
        w->code = pl_fail(PL_E_INPUT, "JSON cannot be written: a value out of place");
}

/* A copy with U+FFFD in the place of every byte that is no UTF-8; *len grows. NULL: no memory. */
static char *repaired(const char *text, size_t *len)
{
    char *copy = pl_realloc(NULL, 3 * (int64_t)*len, 1), *to = copy;
    for (size_t i = 0; copy && i < *len;) {
        uint32_t c;
        int n = pl_utf8_next(text + i, *len - i, &c), bytes = n ? n : 3;
        memcpy(to, n ? text + i : "\xef\xbf\xbd", (size_t)bytes);
        to += bytes;
        i += n ? (size_t)n : 1;
    }
    if (copy) *len = (size_t)(to - copy);
    return copy;
}

static void put_string(pl_json_writer *w, const char *text)
{
    size_t len = strlen(text);
    char *copy = NULL;
    if (pl_utf8_check(text, len) >= 0) {            /* a path, a name in a GGUF file */
        text = copy = repaired(text, &len);
        if (!copy) w->code = PL_E_MEMORY;
    }
    if (text) keep(w, yajl_gen_string(w->gen, (const unsigned char *)text, len));
    pl_free(copy);
}

static void put_key(pl_json_writer *w, const char *key)
{
    if (key) put_string(w, key);
}

static void begin(pl_json_writer *w, const char *key, bool array)
{
    put_key(w, key);
    if (w->depth == PL_MAX_JSON_DEPTH) {
        keep(w, yajl_max_depth_exceeded);
        return;
    }
    w->array[w->depth++] = array;
    keep(w, array ? yajl_gen_array_open(w->gen) : yajl_gen_map_open(w->gen));
}

void pl_json_begin_object(pl_json_writer *w, const char *key) { begin(w, key, false); }
void pl_json_begin_array(pl_json_writer *w, const char *key) { begin(w, key, true); }

void pl_json_end(pl_json_writer *w)
{
    if (w->depth == 0) {
        keep(w, yajl_gen_in_error_state);
        return;
    }
    keep(w, w->array[--w->depth] ? yajl_gen_array_close(w->gen) : yajl_gen_map_close(w->gen));
}

void pl_json_put_null(pl_json_writer *w, const char *key)
{
    put_key(w, key);
    keep(w, yajl_gen_null(w->gen));
}

void pl_json_put_text(pl_json_writer *w, const char *key, const char *text)
{
    put_key(w, key);
    if (text) put_string(w, text);
    else keep(w, yajl_gen_null(w->gen));
}

void pl_json_put_number(pl_json_writer *w, const char *key, double value)
{
    char digits[32];
    if (!isfinite(value)) {
        pl_json_put_null(w, key);
        return;
    }
    snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) != value) snprintf(digits, sizeof digits, "%.17g", value);
    put_key(w, key);
    keep(w, yajl_gen_number(w->gen, digits, strlen(digits)));
}

void pl_json_put_int(pl_json_writer *w, const char *key, int64_t value)
{
    put_key(w, key);
    keep(w, yajl_gen_integer(w->gen, value));
}

void pl_json_put_bool(pl_json_writer *w, const char *key, bool value)
{
    put_key(w, key);
    keep(w, yajl_gen_bool(w->gen, value));
}

pl_status pl_json_finish(pl_json_writer *w, char **text)
{
    *text = NULL;
    while (w->depth > 0) pl_json_end(w);
    if (w->len == 0) keep(w, yajl_gen_in_error_state);
    if (w->code != PL_OK) return w->code;
    *text = w->text;
    w->text = NULL;
    return PL_OK;
}
