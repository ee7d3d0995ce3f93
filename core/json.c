/* json.c: reading JSON: yajl behind stricter rules, into a compact tree; files from strangers pass
 * through here. */
#include "core/json.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "core/fs.h"
#include "core/hash.h"
#include "core/json_yajl.h"

/* Objects up to this size are searched from their first member to their last. */
enum { FEW = 32, KEY = PL_JSON_OBJECT + 1 };

/* Where the members of a large object are. */
typedef struct table {
    struct table *older;            /* of the same document */
    uint32_t mask;                  /* slots - 1; at least half of the slots are empty */
    uint32_t slot[];                /* nodes from the object to a member, 0: empty */
} table;

/* A document is an array of these, each value in front of what it contains, each member behind a node of
 * kind KEY. Strings lie in the text where they were read. */
struct pl_json {
    union { bool truth; double number; const char *text; const table *members; } as;
    uint32_t next;                  /* nodes to the next value in the same container, 0: none */
    uint32_t kind : 3, length : 29; /* bytes of a text, members or elements of a container */
};

typedef struct document {
    char *text;
    table *tables;
    int64_t bytes;                  /* held, see pl_json_bytes */
    pl_json before;                 /* the root may look at what is in front of it: no key */
    pl_json node[];
} document;

_Static_assert(sizeof(pl_json) == 16, "the header promises this");
_Static_assert(PL_MAX_JSON_BYTES <= 1 << 29, "lengths have 29 bits, distances 32");

static document *document_of(const pl_json *root)
{
    return (document *)(void *)((char *)(uintptr_t)root - offsetof(document, node));
}

/* ---- the tree ---- */

typedef struct parser {
    const char *origin;
    char *text;
    size_t done;                    /* bytes up to the end of the last value, bracket or key */
    yajl_handle yajl;
    document *doc;
    uint32_t nodes, room;
    int depth;                      /* pl_json_scan bounded it */
    uint32_t open[PL_MAX_JSON_DEPTH];
    uint32_t last[PL_MAX_JSON_DEPTH];       /* element of each open container, 0: none so far */
    pl_status code;
} parser;

static bool resize(parser *p, uint32_t room)
{
    document *doc = pl_realloc(p->doc, (int64_t)(sizeof *doc + room * sizeof *doc->node), 1);
    if (!doc) {
        p->code = PL_E_MEMORY;
        return false;
    }
    p->doc = doc;
    p->room = room;
    return true;
}

/* A new node behind all others, linked into its container. NULL: no memory. */
static pl_json *add(parser *p, unsigned kind)
{
    if (p->nodes == p->room && !resize(p, p->room + p->room / 2)) return NULL;
    uint32_t at = p->nodes++;
    pl_json *node = p->doc->node;
    node[at] = (pl_json){ .kind = kind & 7 };
    p->done = yajl_get_bytes_consumed(p->yajl);
    if (p->depth > 0 && kind != KEY) {
        uint32_t *last = &p->last[p->depth - 1];
        node[p->open[p->depth - 1]].length++;
        if (*last) node[*last].next = at - *last;
        *last = at;
    }
    return &node[at];
}

static int on_null(void *ctx) { return add(ctx, PL_JSON_NULL) != NULL; }

static int on_bool(void *ctx, int truth)
{
    pl_json *node = add(ctx, PL_JSON_BOOL);
    if (node) node->as.truth = truth;
    return node != NULL;
}

static int on_number(void *ctx, const char *s, size_t len)
{
    parser *p = ctx;
    pl_json *node = add(p, PL_JSON_NUMBER);
    if (!node) return 0;
    bool zero = s[len - 1] == '0' && (len == 1 || (len == 2 && s[0] == '-'));
    if (zero && isdigit((unsigned char)p->text[p->done])) {     /* yajl takes 01 for two numbers */
        p->code = pl_json_refuse(p->origin, p->done - len);
        return 0;
    }
    size_t digits = 0;
    int64_t whole = 0;
    for (; len <= 15 && digits < len && isdigit((unsigned char)s[digits]); digits++)
        whole = 10 * whole + (s[digits] - '0');
    /* s lies in the text, which ends with a newline; nobody here leaves the C locale. */
    node->as.number = digits == len ? (double)whole : strtod(s, NULL);
    if (isfinite(node->as.number)) return 1;
    p->code = pl_fail(PL_E_INPUT, "%s: a number is beyond the range of a double, at byte %zu", p->origin,
                      p->done - len);
    return 0;
}

/* The string ends where the text has been read up to. With escapes it got shorter and moves to the end
 * of its place, without it is there; NUL takes the place of the quote. */
static int add_text(parser *p, unsigned kind, const unsigned char *s, size_t len)
{
    pl_json *node = add(p, kind);
    if (!node) return 0;
    char *at = p->text + p->done - 1 - len;
    if ((const char *)s != at) memcpy(at, s, len);
    at[len] = 0;
    node->as.text = at;
    node->length = len & ((1u << 29) - 1);
    return 1;
}

static int on_string(void *ctx, const unsigned char *s, size_t len)
{
    return add_text(ctx, PL_JSON_STRING, s, len);
}

static int on_key(void *ctx, const unsigned char *s, size_t len) { return add_text(ctx, KEY, s, len); }

static int begin(parser *p, unsigned kind)
{
    pl_json *node = add(p, kind);
    if (!node) return 0;
    p->open[p->depth] = (uint32_t)(node - p->doc->node);
    p->last[p->depth++] = 0;
    return 1;
}

static int on_start_map(void *ctx) { return begin(ctx, PL_JSON_OBJECT); }
static int on_start_array(void *ctx) { return begin(ctx, PL_JSON_ARRAY); }

static int on_end_array(void *ctx)
{
    parser *p = ctx;
    p->depth--;
    p->done = yajl_get_bytes_consumed(p->yajl);
    return 1;
}

/* ---- members by name ---- */

static bool named(const pl_json *member, const char *key, size_t len)
{
    return member[-1].length == len && !memcmp(member[-1].as.text, key, len);
}

/* The slot with the member of this name, or the empty one where it would be. */
static size_t slot_of(const pl_json *object, const table *t, const char *key, size_t len)
{
    size_t at = pl_hash_key(key, len) & t->mask;
    while (t->slot[at] && !named(object + t->slot[at], key, len)) at = (at + 1) & t->mask;
    return at;
}

/* The member of this name among those in front of `end`; NULL: none. */
static const pl_json *search(const pl_json *object, const pl_json *end, const char *key, size_t len)
{
    const pl_json *m = pl_json_first(object);
    while (m != end && !named(m, key, len)) m = pl_json_next(m);
    return m == end ? NULL : m;
}

static const pl_json *find(const pl_json *object, const char *key, size_t len)
{
    if (!pl_json_is(object, PL_JSON_OBJECT)) return NULL;
    const table *t = object->as.members;
    if (!t) return search(object, NULL, key, len);
    uint32_t member = t->slot[slot_of(object, t, key, len)];
    return member ? object + member : NULL;
}

static table *add_table(document *doc, uint32_t members)
{
    uint32_t slots = 64;
    while (slots < 2 * members) slots *= 2;
    int64_t bytes = (int64_t)(sizeof(table) + slots * sizeof(uint32_t));
    table *t = pl_alloc(bytes, 1);
    if (!t) return NULL;
    t->mask = slots - 1;
    t->older = doc->tables;
    doc->tables = t;
    doc->bytes += bytes;
    return t;
}

/* No key twice in an object: readers disagree on which value counts. */
static pl_status index_object(parser *p, pl_json *object)
{
    table *t = NULL;
    if (object->length > FEW) {
        t = add_table(p->doc, object->length);
        if (!t) return PL_E_MEMORY;
    }
    for (const pl_json *m = pl_json_first(object); m; m = pl_json_next(m)) {
        const char *key = m[-1].as.text;
        size_t slot = t ? slot_of(object, t, key, m[-1].length) : 0;
        if (t ? t->slot[slot] != 0 : search(object, m, key, m[-1].length) != NULL)
            return pl_fail(PL_E_INPUT, "%s: key '%.100s' stands twice", p->origin, key);
        if (t) t->slot[slot] = (uint32_t)(m - object);
    }
    object->as.members = t;
    return PL_OK;
}

static int on_end_map(void *ctx)
{
    parser *p = ctx;
    on_end_array(p);
    p->code = index_object(p, &p->doc->node[p->open[p->depth]]);
    return p->code == PL_OK;
}

/* ---- documents ---- */

static size_t skip_space(const char *text, size_t len, size_t at)
{
    while (at < len && strchr(" \t\r\n", text[at])) at++;
    return at;
}

/* Where what yajl did not like begins (its own offset is sometimes the end): behind what was read last,
 * and behind the one comma or colon that may stand there. */
static size_t offender(const parser *p, size_t len)
{
    char may = 0;
    if (p->depth > 0 && p->doc->node[p->nodes - 1].kind == KEY) may = ':';
    else if (p->depth > 0 && p->open[p->depth - 1] != p->nodes - 1) may = ',';
    size_t at = skip_space(p->text, len, p->done);
    if (may && p->text[at] == may) at = skip_space(p->text, len, at + 1);
    return at;
}

/* Runs yajl over `len` bytes and a newline, so that it sees the end of every number. */
static pl_status run(parser *p, size_t len, pl_json_pool *pool)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null, .yajl_boolean = on_bool, .yajl_number = on_number,
        .yajl_string = on_string, .yajl_start_map = on_start_map, .yajl_map_key = on_key,
        .yajl_end_map = on_end_map, .yajl_start_array = on_start_array,
        .yajl_end_array = on_end_array,
    };
    yajl_alloc_funcs memory = pl_json_pool_funcs(pool);
    p->yajl = yajl_alloc(&callbacks, &memory, p);
    yajl_config(p->yajl, yajl_dont_validate_strings, 1);        /* pl_json_scan is stricter */
    p->text[len] = '\n';
    yajl_status status = yajl_parse(p->yajl, (const unsigned char *)p->text, len + 1);
    if (p->code != PL_OK) return p->code;
    if (status != yajl_status_ok && p->nodes > 0 && p->depth == 0)
        return pl_fail(PL_E_INPUT, "%s: text behind the JSON document at byte %zu", p->origin,
                       offender(p, len));
    if (status != yajl_status_ok) return pl_json_refuse(p->origin, offender(p, len));
    if (yajl_complete_parse(p->yajl) != yajl_status_ok) return pl_json_refuse(p->origin, len);
    return resize(p, p->nodes) ? PL_OK : PL_E_MEMORY;
}

static void free_document(document *doc)
{
    for (table *t = doc->tables, *older; t; t = older) {
        older = t->older;
        pl_free(t);
    }
    pl_free(doc->text);
    pl_free(doc);
}

pl_status pl_json_take(char *text, size_t len, const char *origin, pl_json **out)
{
    *out = NULL;
    parser p = { .origin = origin, .text = text };
    size_t longest;
    pl_status code = PL_OK;
    if (len > PL_MAX_JSON_BYTES)
        code = pl_fail(PL_E_INPUT, "%s: %zu bytes of JSON, at most %d (PL_MAX_JSON_BYTES)", origin, len,
                       PL_MAX_JSON_BYTES);
    if (code == PL_OK) code = pl_json_scan(text, len, origin, &longest);
    if (code == PL_OK && !resize(&p, 32)) code = p.code;
    if (code != PL_OK) {
        pl_free(text);
        return code;
    }
    *p.doc = (document){ .text = text };
    /* What yajl takes at once, and its copy of a string, which grows by doubling. */
    size_t bytes = (1 << 15) + longest / PL_JSON_POOL_ALIGN * PL_JSON_POOL_ALIGN * 4;
    uint8_t *block = pl_realloc(NULL, (int64_t)bytes, 1);
    code = block ? run(&p, len, &(pl_json_pool){ block, block + bytes }) : PL_E_MEMORY;
    pl_free(block);
    if (code != PL_OK) {
        free_document(p.doc);
        return code;
    }
    p.doc->bytes += (int64_t)(sizeof *p.doc + p.nodes * sizeof *p.doc->node + len + 1);
    *out = p.doc->node;
    return PL_OK;
}

pl_status pl_json_parse(const char *text, size_t len, const char *origin, pl_json **out)
{
    *out = NULL;
    char *copy = pl_realloc(NULL, (int64_t)len + 1, 1);
    if (!copy) return PL_E_MEMORY;
    memcpy(copy, text, len);
    return pl_json_take(copy, len, origin, out);
}

pl_status pl_json_load(const char *path, pl_json **out)
{
    *out = NULL;
    char *text;
    size_t len;
    PL_TRY(pl_file_load(path, PL_MAX_JSON_BYTES, &text, &len));
    return pl_json_take(text, len, path, out);
}

void pl_json_free(pl_json *root)
{
    if (root) free_document(document_of(root));
}

int64_t pl_json_bytes(const pl_json *root) { return document_of(root)->bytes; }

/* ---- values ---- */

bool pl_json_is(const pl_json *node, pl_json_kind kind) { return node && node->kind == kind; }

const char *pl_json_text(const pl_json *node)
{
    return pl_json_is(node, PL_JSON_STRING) ? node->as.text : NULL;
}

size_t pl_json_length(const pl_json *node)
{
    return pl_json_is(node, PL_JSON_STRING) ? node->length : 0;
}

int64_t pl_json_count(const pl_json *container)
{
    bool is = pl_json_is(container, PL_JSON_ARRAY) || pl_json_is(container, PL_JSON_OBJECT);
    return is ? container->length : 0;
}

const pl_json *pl_json_first(const pl_json *container)
{
    if (pl_json_count(container) == 0) return NULL;
    return container + (container->kind == PL_JSON_OBJECT ? 2 : 1);
}

const pl_json *pl_json_next(const pl_json *node) { return node->next ? node + node->next : NULL; }

const char *pl_json_key(const pl_json *member)
{
    return member[-1].kind == KEY ? member[-1].as.text : NULL;
}

const pl_json *pl_json_get(const pl_json *object, const char *key)
{
    const pl_json *member = find(object, key, strlen(key));
    return pl_json_is(member, PL_JSON_NULL) ? NULL : member;
}

bool pl_json_same(const pl_json *a, const pl_json *b)
{
    if (a->kind != b->kind || a->length != b->length) return false;
    switch (a->kind) {
    case PL_JSON_BOOL: return a->as.truth == b->as.truth;
    case PL_JSON_NUMBER: return a->as.number == b->as.number;
    case PL_JSON_STRING: return !memcmp(a->as.text, b->as.text, a->length);
    case PL_JSON_ARRAY:
    case PL_JSON_OBJECT: break;
    default: return true;
    }
    const pl_json *y = pl_json_first(b);
    for (const pl_json *x = pl_json_first(a); x; x = pl_json_next(x)) {
        if (a->kind == PL_JSON_OBJECT) y = find(b, x[-1].as.text, x[-1].length);
        if (!y || !pl_json_same(x, y)) return false;        /* depth is bounded */
        y = pl_json_next(y);
    }
    return true;
}

/* ---- typed values ---- */

static pl_status wrong(const pl_json *node, const char *origin, const char *what, const char *wanted)
{
    static const char *const kinds[] = {
        [PL_JSON_NULL] = "null", [PL_JSON_BOOL] = "true or false", [PL_JSON_NUMBER] = "a number",
        [PL_JSON_STRING] = "a string", [PL_JSON_ARRAY] = "an array", [PL_JSON_OBJECT] = "an object",
    };
    return pl_fail(PL_E_INPUT, "%s: %s should be %s, is %s", origin, what, wanted,
                   node ? kinds[node->kind] : "missing");
}

/* The member, NULL if it is absent and may be; its name in quotes. */
static pl_status take(const pl_json *object, const char *key, bool required, const char *origin,
                      char what[128], const pl_json **out)
{
    *out = pl_json_get(object, key);
    snprintf(what, 128, "'%s'", key);
    if (!*out && required) return pl_fail(PL_E_INPUT, "%s: %s is missing", origin, what);
    return PL_OK;
}

pl_status pl_json_as_number(const pl_json *node, const char *origin, const char *what, double *out)
{
    if (!pl_json_is(node, PL_JSON_NUMBER)) return wrong(node, origin, what, "a number");
    *out = node->as.number;
    return PL_OK;
}

pl_status pl_json_as_int(const pl_json *node, int64_t low, int64_t high, const char *origin,
                         const char *what, int64_t *out)
{
    double value = 0;
    PL_TRY(pl_json_as_number(node, origin, what, &value));
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
    char what[128];
    PL_TRY(take(object, key, required, origin, what, &node));
    return node ? pl_json_as_int(node, low, high, origin, what, out) : PL_OK;
}

pl_status pl_json_number(const pl_json *object, const char *key, bool required, const char *origin,
                         double *out)
{
    const pl_json *node;
    char what[128];
    PL_TRY(take(object, key, required, origin, what, &node));
    return node ? pl_json_as_number(node, origin, what, out) : PL_OK;
}

pl_status pl_json_bool(const pl_json *object, const char *key, bool required, const char *origin,
                       bool *out)
{
    const pl_json *node;
    char what[128];
    PL_TRY(take(object, key, required, origin, what, &node));
    if (!node) return PL_OK;
    if (node->kind != PL_JSON_BOOL) return wrong(node, origin, what, "true or false");
    *out = node->as.truth;
    return PL_OK;
}

pl_status pl_json_string(const pl_json *object, const char *key, bool required, const char *origin,
                         const char **out)
{
    const pl_json *node;
    char what[128];
    PL_TRY(take(object, key, required, origin, what, &node));
    if (!node) return PL_OK;
    if (node->kind != PL_JSON_STRING) return wrong(node, origin, what, "a string");
    *out = node->as.text;
    return PL_OK;
}
