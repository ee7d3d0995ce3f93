/* gguf_scan.c: the container: header, keys and tensor infos of a GGUF file. Every count and length
 * is held against the bytes that remain before anything is allocated for it. */
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "formats/gguf.h"

enum { WINDOW = 1 << 16, TYPES = 13 };

static const uint8_t scalar_bytes[TYPES] = {
    [PL_META_U8] = 1,  [PL_META_I8] = 1,  [PL_META_U16] = 2, [PL_META_I16] = 2,
    [PL_META_U32] = 4, [PL_META_I32] = 4, [PL_META_F32] = 4, [PL_META_BOOL] = 1,
    [PL_META_U64] = 8, [PL_META_I64] = 8, [PL_META_F64] = 8,
};

static const char *const type_names[TYPES] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64",
};

int pl_gguf_scalar_bytes(int type) { return type >= 0 && type < TYPES ? scalar_bytes[type] : 0; }

/* A place in the file, read through a window. */
typedef struct cursor {
    pl_file *file;
    int64_t at, size;
    int64_t from, have;         /* the window holds bytes from .. from+have-1 */
    uint8_t *window;
} cursor;

static int64_t left(const cursor *c) { return c->size - c->at; }

static pl_status need(const cursor *c, uint64_t len)
{
    if (len <= (uint64_t)left(c)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%llu bytes expected at byte %lld, the file ends after %lld",
                   (unsigned long long)len, (long long)c->at, (long long)left(c));
}

static pl_status take(cursor *c, void *out, int64_t len)
{
    PL_TRY(need(c, (uint64_t)len));
    uint8_t *to = out;
    while (len) {
        if (c->at < c->from || c->at >= c->from + c->have) {
            int64_t have = pl_min64(WINDOW, left(c));
            PL_TRY(pl_file_read(c->file, c->at, c->window, (size_t)have));
            c->from = c->at;
            c->have = have;
        }
        int64_t n = pl_min64(len, c->from + c->have - c->at);
        memcpy(to, c->window + (c->at - c->from), (size_t)n);
        to += n;
        c->at += n;
        len -= n;
    }
    return PL_OK;
}

static pl_status skip(cursor *c, uint64_t len)
{
    PL_TRY(need(c, len));
    c->at += (int64_t)len;
    return PL_OK;
}

static uint64_t little(const uint8_t *bytes, int n)
{
    uint64_t value = 0;
    for (int i = 0; i < n; i++) value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

static pl_status take_number(cursor *c, int bytes, uint64_t *out)
{
    uint8_t raw[8];
    PL_TRY(take(c, raw, bytes));
    *out = little(raw, bytes);
    return PL_OK;
}

/* A key or a tensor name: C strings from here on, and shown to people, so no control characters. */
static pl_status take_name(cursor *c, const char *what, uint64_t limit, pl_arena *arena,
                           const char **out)
{
    uint64_t len;
    PL_TRY(take_number(c, 8, &len));
    if (len == 0 || len > limit)
        return pl_fail(PL_E_INPUT, "%s of %llu bytes, 1 to %llu are allowed", what,
                       (unsigned long long)len, (unsigned long long)limit);
    PL_TRY(need(c, len));
    char *name = pl_arena_alloc(arena, (int64_t)len + 1, 1);
    if (!name) return PL_E_MEMORY;
    PL_TRY(take(c, name, (int64_t)len));
    name[len] = 0;
    for (uint64_t i = 0; i < len; i++)
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
            return pl_fail(PL_E_INPUT, "%s with the control character %d in it", what, name[i]);
    *out = name;
    return PL_OK;
}

/* ---- keys ---- */

static void set_scalar(pl_gguf_kv *kv, uint64_t bits)
{
    switch (kv->type) {
    case PL_META_I8: kv->value.i = (int8_t)bits; break;
    case PL_META_I16: kv->value.i = (int16_t)bits; break;
    case PL_META_I32: kv->value.i = (int32_t)bits; break;
    case PL_META_I64: kv->value.i = (int64_t)bits; break;
    case PL_META_F32: kv->value.f = (double)pl_bits_f32((uint32_t)bits); break;
    case PL_META_F64: memcpy(&kv->value.f, &bits, 8); break;
    default: kv->value.u = bits; break;
    }
}

static pl_status scan_string(cursor *c, pl_gguf_kv *kv)
{
    uint64_t len;
    PL_TRY(take_number(c, 8, &len));
    if (len > PL_GGUF_MAX_ARRAY)
        return pl_fail(PL_E_INPUT, "a string of %llu bytes, at most %d are allowed",
                       (unsigned long long)len, PL_GGUF_MAX_ARRAY);
    kv->at = c->at;
    kv->bytes = kv->count = (int64_t)len;
    return skip(c, len);
}

static pl_status scan_array(cursor *c, pl_gguf_kv *kv)
{
    uint64_t element, count;
    PL_TRY(take_number(c, 4, &element));
    PL_TRY(take_number(c, 8, &count));
    if (element == PL_META_ARRAY) return pl_fail(PL_E_INPUT, "an array of arrays");
    if (element >= TYPES)
        return pl_fail(PL_E_INPUT, "an array of the unknown type %llu",
                       (unsigned long long)element);
    if (count > PL_GGUF_MAX_ARRAY)
        return pl_fail(PL_E_INPUT, "an array of %llu elements, at most %d are allowed",
                       (unsigned long long)count, PL_GGUF_MAX_ARRAY);
    kv->element = (uint8_t)element;
    kv->count = (int64_t)count;
    kv->at = c->at;
    if (element == PL_META_STRING) {
        PL_TRY(need(c, count * 8));
        for (uint64_t i = 0; i < count; i++) {
            uint64_t len;
            PL_TRY(take_number(c, 8, &len));
            PL_TRY(skip(c, len));
        }
    } else {
        PL_TRY(skip(c, count * scalar_bytes[element]));
    }
    kv->bytes = c->at - kv->at;
    return PL_OK;
}

static pl_status scan_value(cursor *c, pl_gguf_kv *kv)
{
    uint64_t type, bits;
    PL_TRY(take_number(c, 4, &type));
    if (type >= TYPES)
        return pl_fail(PL_E_INPUT, "a value of the unknown type %llu", (unsigned long long)type);
    kv->type = (uint8_t)type;
    if (type == PL_META_STRING) return scan_string(c, kv);
    if (type == PL_META_ARRAY) return scan_array(c, kv);
    PL_TRY(take_number(c, scalar_bytes[type], &bits));
    if (type == PL_META_BOOL && bits > 1)
        return pl_fail(PL_E_INPUT, "a truth value that is %llu", (unsigned long long)bits);
    set_scalar(kv, bits);
    return PL_OK;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(pl_gguf_kv *const *)a)->key, (*(pl_gguf_kv *const *)b)->key);
}

static pl_status scan_keys(cursor *c, pl_arena *arena, pl_gguf *g)
{
    g->kv = PL_ZNEW(arena, pl_gguf_kv, g->kvs);
    g->by_key = PL_NEW(arena, pl_gguf_kv *, g->kvs);
    if (!g->kv || !g->by_key) return PL_E_MEMORY;
    for (int i = 0; i < g->kvs; i++) {
        pl_gguf_kv *kv = g->by_key[i] = &g->kv[i];
        pl_status code = take_name(c, "a key", PL_GGUF_MAX_KEY, arena, &kv->key);
        if (code != PL_OK) return pl_fail_prefix(code, "key %d: ", i);
        code = scan_value(c, kv);
        if (code != PL_OK) return pl_fail_prefix(code, "key '%s': ", kv->key);
    }
    /* Sorting finds duplicates in n log n whatever the names are; a hash table might not. */
    qsort(g->by_key, (size_t)g->kvs, sizeof *g->by_key, compare_keys);
    for (int i = 1; i < g->kvs; i++)
        if (!strcmp(g->by_key[i - 1]->key, g->by_key[i]->key))
            return pl_fail(PL_E_INPUT, "the key '%s' is there twice", g->by_key[i]->key);
    return PL_OK;
}

static pl_status find_alignment(pl_gguf *g)
{
    g->alignment = PL_GGUF_ALIGNMENT;
    pl_gguf_kv *kv = pl_gguf_find(g, PL_GGUF_KEY_ALIGNMENT);
    if (!kv) return PL_OK;
    kv->used = true;
    if (kv->type != PL_META_U32)
        return pl_fail(PL_E_INPUT, "%s must be a 32-bit unsigned number", kv->key);
    uint64_t value = kv->value.u;
    if (value < PL_GGUF_MIN_ALIGNMENT || value > PL_GGUF_MAX_ALIGNMENT || (value & (value - 1)))
        return pl_fail(PL_E_INPUT, "%s is %llu, a power of two from %d to %d is expected", kv->key,
                       (unsigned long long)value, PL_GGUF_MIN_ALIGNMENT, PL_GGUF_MAX_ALIGNMENT);
    g->alignment = (int64_t)value;
    return PL_OK;
}

/* ---- tensors ---- */

static pl_status scan_shape(cursor *c, pl_gguf_info *info)
{
    uint64_t dims, size[4] = { 1, 1, 1, 1 };
    PL_TRY(take_number(c, 4, &dims));
    if (dims < 1 || dims > 4)
        return pl_fail(PL_E_INPUT, "%llu dimensions, 1 to 4 are allowed", (unsigned long long)dims);
    int64_t elements = 1;
    int used = 1;
    for (uint64_t i = 0; i < dims; i++) {
        PL_TRY(take_number(c, 8, &size[i]));
        if (size[i] == 0 || size[i] > INT64_MAX ||
            !pl_mul_ok(elements, (int64_t)size[i], &elements))
            return pl_fail(PL_E_INPUT, "dimension %d is %lld", (int)i, (long long)size[i]);
        if (size[i] > 1) used = (int)i + 1;
    }
    if (used > 3) return pl_fail(PL_E_INPUT, "%d dimensions, at most 3 are expected", used);
    info->rows = (int64_t)(used == 1 ? size[0] : size[1]);
    info->cols = (int64_t)(used == 1 ? 1 : size[0]);
    info->planes = (int64_t)size[2];
    return PL_OK;
}

static pl_status scan_type(cursor *c, pl_gguf_info *info)
{
    uint64_t type;
    PL_TRY(take_number(c, 4, &type));
    int id = type <= INT_MAX ? (int)type : -1;
    info->dtype = id >= 0 ? pl_dtype_by_gguf(id) : NULL;
    if (!info->dtype) {
        const char *name = id >= 0 ? pl_dtype_gguf_name(id) : NULL;
        if (name) return pl_fail(PL_E_INPUT, "it is stored as %s, which planish cannot read", name);
        return pl_fail(PL_E_INPUT, "the unknown storage type %llu", (unsigned long long)type);
    }
    if (info->cols % info->dtype->block)
        return pl_fail(PL_E_INPUT, "rows of %lld values, no multiple of the %d in a block of %s",
                       (long long)info->cols, info->dtype->block, info->dtype->name);
    return PL_OK;
}

/* *end: where the data of the former tensors ends, padding included; moved behind this one. */
static pl_status scan_info(cursor *c, pl_arena *arena, const pl_gguf *g, pl_gguf_info *info,
                           int64_t *end)
{
    PL_TRY(take_name(c, "a tensor name", PL_GGUF_MAX_NAME, arena, &info->name));
    uint64_t offset;
    int64_t row, rows;
    pl_status code = scan_shape(c, info);
    if (code == PL_OK) code = scan_type(c, info);
    if (code == PL_OK) code = take_number(c, 8, &offset);
    if (code != PL_OK) return pl_fail_prefix(code, "tensor '%s': ", info->name);
    if (offset != (uint64_t)*end)
        return pl_fail(PL_E_INPUT, "tensor '%s': its data is said to begin at %llu, the tensors "
                       "before it end at %lld", info->name, (unsigned long long)offset,
                       (long long)*end);
    info->at = *end;
    if (!pl_mul_ok(info->cols / info->dtype->block, info->dtype->bytes, &row) ||
        !pl_mul_ok(info->planes, info->rows, &rows) || !pl_mul_ok(rows, row, &info->bytes) ||
        !pl_add_ok(*end, info->bytes, end) || !pl_align_ok(*end, g->alignment, end))
        return pl_fail(PL_E_INPUT, "tensor '%s': %lld of [%lld, %lld] %s are too many bytes",
                       info->name, (long long)info->planes, (long long)info->rows,
                       (long long)info->cols, info->dtype->name);
    return PL_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static pl_status refuse_twins(const pl_gguf *g, pl_arena *arena)
{
    pl_arena_mark mark = pl_arena_save(arena);
    const char **name = PL_NEW(arena, const char *, g->infos);
    if (!name) return PL_E_MEMORY;
    for (int i = 0; i < g->infos; i++) name[i] = g->info[i].name;
    qsort(name, (size_t)g->infos, sizeof *name, compare_names);
    pl_status code = PL_OK;
    for (int i = 1; i < g->infos && code == PL_OK; i++)
        if (!strcmp(name[i - 1], name[i]))
            code = pl_fail(PL_E_INPUT, "the tensor '%s' is there twice", name[i]);
    pl_arena_restore(arena, mark);
    return code;
}

static pl_status scan_infos(cursor *c, pl_arena *arena, pl_gguf *g)
{
    g->info = PL_ZNEW(arena, pl_gguf_info, g->infos);
    if (!g->info) return PL_E_MEMORY;
    int64_t end = 0;
    for (int i = 0; i < g->infos; i++) {
        pl_status code = scan_info(c, arena, g, &g->info[i], &end);
        if (code != PL_OK) return pl_fail_prefix(code, "tensor %d: ", i);
    }
    PL_TRY(refuse_twins(g, arena));
    if (!pl_align_ok(c->at, g->alignment, &g->data))
        return pl_fail(PL_E_INPUT, "no place for data");
    for (int i = 0; i < g->infos; i++) {
        pl_gguf_info *info = &g->info[i];
        int64_t last;
        if (!pl_add_ok(info->at, g->data, &info->at) || !pl_add_ok(info->at, info->bytes, &last) ||
            last > c->size)
            return pl_fail(PL_E_INPUT, "tensor '%s' has %lld bytes from byte %lld on, the file "
                           "ends at %lld", info->name, (long long)info->bytes, (long long)info->at,
                           (long long)c->size);
    }
    return PL_OK;
}

/* ---- header ---- */

/* A count from the header: within the limit, and `least` bytes of each still in the file. */
static pl_status check_count(const cursor *c, const char *what, uint64_t count, int limit,
                             int least, int *out)
{
    if (count > (uint64_t)limit)
        return pl_fail(PL_E_INPUT, "%llu %s, at most %d are allowed",
                       (unsigned long long)count, what, limit);
    if (count * (uint64_t)least > (uint64_t)left(c))
        return pl_fail(PL_E_INPUT, "%llu %s do not fit into the %lld bytes that follow",
                       (unsigned long long)count, what, (long long)left(c));
    *out = (int)count;
    return PL_OK;
}

static pl_status scan_header(cursor *c, pl_gguf *g)
{
    /* Shortest forms: length, one character, type, one byte; length, one character, count of
     * dimensions, one of them, type, offset. */
    enum { LEAST_KEY = 8 + 1 + 4 + 1, LEAST_INFO = 8 + 1 + 4 + 8 + 4 + 8 };
    uint8_t magic[4];
    uint64_t version, tensors, keys;
    PL_TRY(take(c, magic, 4));
    if (memcmp(magic, "GGUF", 4)) return pl_fail(PL_E_INPUT, "no GGUF file: other first bytes");
    PL_TRY(take_number(c, 4, &version));
    if ((version & 0xffff) == 0 && version)
        return pl_fail(PL_E_INPUT, "a big-endian GGUF file; planish reads little-endian ones");
    if (version != 2 && version != PL_GGUF_VERSION)
        return pl_fail(PL_E_INPUT, "GGUF version %llu; planish reads 2 and 3",
                       (unsigned long long)version);
    PL_TRY(take_number(c, 8, &tensors));
    PL_TRY(take_number(c, 8, &keys));
    PL_TRY(check_count(c, "keys", keys, PL_MAX_KV, LEAST_KEY, &g->kvs));
    return check_count(c, "tensors", tensors, PL_MAX_TENSORS, LEAST_INFO, &g->infos);
}

pl_status pl_gguf_scan(pl_file *file, pl_arena *arena, pl_gguf *out)
{
    return pl_gguf_scan_inside(file, 0, pl_file_size(file), arena, out);
}

pl_status pl_gguf_scan_inside(pl_file *file, int64_t at, int64_t bytes, pl_arena *arena, pl_gguf *out)
{
    *out = (pl_gguf){ .file = file, .path = pl_file_path(file) };
    cursor c = { .file = file, .at = at, .size = at + bytes, .window = pl_alloc_aligned(WINDOW, 1) };
    if (!c.window) return PL_E_MEMORY;
    pl_status code = scan_header(&c, out);
    if (code == PL_OK) code = scan_keys(&c, arena, out);
    if (code == PL_OK) code = find_alignment(out);
    if (code == PL_OK) code = scan_infos(&c, arena, out);
    pl_free(c.window);
    return code == PL_OK ? PL_OK : pl_fail_prefix(code, "%s: ", out->path);
}

/* ---- values ---- */

static int compare_wanted(const void *key, const void *entry)
{
    return strcmp(key, (*(pl_gguf_kv *const *)entry)->key);
}

pl_gguf_kv *pl_gguf_find(const pl_gguf *g, const char *key)
{
    if (!g->kvs) return NULL;
    pl_gguf_kv **at = bsearch(key, g->by_key, (size_t)g->kvs, sizeof *g->by_key, compare_wanted);
    return at ? *at : NULL;
}

/* The key marked used; NULL if absent, with PL_E_INPUT in *code if it was required. */
static pl_gguf_kv *want(const pl_gguf *g, const char *key, bool required, pl_status *code)
{
    pl_gguf_kv *kv = pl_gguf_find(g, key);
    *code = PL_OK;
    if (kv) kv->used = true;
    else if (required) *code = pl_fail(PL_E_INPUT, "%s: the key '%s' is missing", g->path, key);
    return kv;
}

static pl_status wrong_type(const pl_gguf *g, const pl_gguf_kv *kv, const char *expected)
{
    return pl_fail(PL_E_INPUT, "%s: the key '%s' is of type %s%s, expected %s", g->path, kv->key,
                   kv->type == PL_META_ARRAY ? "array of " : "",
                   type_names[kv->type == PL_META_ARRAY ? kv->element : kv->type], expected);
}

static bool is_unsigned(int type)
{
    return type == PL_META_U8 || type == PL_META_U16 || type == PL_META_U32 || type == PL_META_U64;
}
static bool is_signed(int type)
{
    return type == PL_META_I8 || type == PL_META_I16 || type == PL_META_I32 || type == PL_META_I64;
}

/* An array of equal integers as one; its elements are read from the file. */
static pl_status same_elements(const pl_gguf *g, const pl_gguf_kv *kv, int64_t same,
                               pl_gguf_kv *one)
{
    uint8_t raw[8];
    int bytes = scalar_bytes[kv->element];
    if (!same || kv->count != same || (!is_unsigned(kv->element) && !is_signed(kv->element)))
        return wrong_type(g, kv, "an integer");
    *one = *kv;
    one->type = kv->element;
    for (int64_t i = 0; i < kv->count; i++) {
        pl_gguf_kv now = *one;
        PL_TRY(pl_file_read(g->file, kv->at + i * bytes, raw, (size_t)bytes));
        set_scalar(&now, little(raw, bytes));
        if (i && now.value.u != one->value.u)
            return pl_fail(PL_E_INPUT, "%s: the key '%s' differs from layer to layer, which is not "
                           "supported", g->path, kv->key);
        *one = now;
    }
    return PL_OK;
}

pl_status pl_gguf_int(const pl_gguf *g, const char *key, bool required, int64_t low, int64_t high,
                      int64_t same, int64_t *out)
{
    pl_status code;
    const pl_gguf_kv *kv = want(g, key, required, &code);
    if (!kv) return code;
    pl_gguf_kv one;
    if (kv->type == PL_META_ARRAY) {
        PL_TRY(same_elements(g, kv, same, &one));
        kv = &one;
    }
    if (!is_unsigned(kv->type) && !is_signed(kv->type)) return wrong_type(g, kv, "an integer");
    bool over = is_unsigned(kv->type) && kv->value.u > INT64_MAX;
    if (over || kv->value.i < low || kv->value.i > high)
        return pl_fail(PL_E_INPUT, "%s: the key '%s' is %lld, expected %lld to %lld", g->path, key,
                       over ? (long long)INT64_MAX : (long long)kv->value.i, (long long)low,
                       (long long)high);
    *out = kv->value.i;
    return PL_OK;
}

pl_status pl_gguf_number(const pl_gguf *g, const char *key, bool required, double *out)
{
    pl_status code;
    const pl_gguf_kv *kv = want(g, key, required, &code);
    if (!kv) return code;
    if (kv->type != PL_META_F32 && kv->type != PL_META_F64) return wrong_type(g, kv, "a number");
    *out = kv->value.f;
    return PL_OK;
}

pl_status pl_gguf_bool(const pl_gguf *g, const char *key, bool *out)
{
    pl_status code;
    const pl_gguf_kv *kv = want(g, key, false, &code);
    if (!kv) return code;
    if (kv->type != PL_META_BOOL) return wrong_type(g, kv, "a truth value");
    *out = kv->value.u;
    return PL_OK;
}

pl_status pl_gguf_bytes(const pl_gguf *g, const pl_gguf_kv *kv, pl_arena *arena, void **out)
{
    uint8_t *bytes = pl_arena_alloc(arena, kv->bytes + 1, 1);
    if (!bytes) return PL_E_MEMORY;
    PL_TRY(pl_file_read(g->file, kv->at, bytes, (size_t)kv->bytes));
    bytes[kv->bytes] = 0;
    *out = bytes;
    return PL_OK;
}

pl_status pl_gguf_string(const pl_gguf *g, const char *key, bool required, pl_arena *arena,
                         const char **out)
{
    pl_status code;
    const pl_gguf_kv *kv = want(g, key, required, &code);
    if (!kv) return code;
    void *text;
    if (kv->type != PL_META_STRING) return wrong_type(g, kv, "a string");
    PL_TRY(pl_gguf_bytes(g, kv, arena, &text));
    if (memchr(text, 0, (size_t)kv->bytes))
        return pl_fail(PL_E_INPUT, "%s: the key '%s' has a NUL character in its text", g->path,
                       key);
    *out = text;
    return PL_OK;
}

pl_status pl_gguf_strings(const pl_gguf *g, const pl_gguf_kv *kv, pl_arena *arena, pl_text **out)
{
    if (kv->type != PL_META_ARRAY || kv->element != PL_META_STRING)
        return wrong_type(g, kv, "an array of strings");
    void *raw;
    pl_text *text = PL_NEW(arena, pl_text, kv->count);
    if (!text) return PL_E_MEMORY;
    PL_TRY(pl_gguf_bytes(g, kv, arena, &raw));
    /* The strings stay where they were read; a NUL goes over the length of the next, once that is
     * known. The file may have changed since the scan, so lengths are checked again. */
    uint8_t *at = raw, *end = at + kv->bytes;
    for (int64_t i = 0; i < kv->count; i++) {
        uint64_t len = end - at >= 8 ? little(at, 8) : UINT64_MAX;
        *at = 0;
        if (len > (uint64_t)(end - at) - 8 || len > PL_GGUF_MAX_ARRAY)
            return pl_fail(PL_E_INPUT, "%s: changed while it was being read", g->path);
        text[i] = (pl_text){ (const char *)at + 8, (uint32_t)len };
        at += 8 + len;
    }
    *at = 0;
    *out = text;
    return PL_OK;
}
