/* mutate_gguf.c: changing one thing in the structure of a GGUF file: a count, a type, a dimension, a
 * string; mostly what follows from it (offsets, the place of the data) is made to fit again. */
#include <stdlib.h>
#include <string.h>

#include "core/dtype.h"
#include "tests/fuzz/mutate.h"

enum { MOST = 512, ALIGN = 32, HEADER = 24 };

typedef struct piece { size_t at, len; } piece;
typedef struct info { piece name; uint32_t dims, type; uint64_t dim[4], offset; } info;

/* A file taken apart. Pieces lie in `from`. */
typedef struct parts {
    const uint8_t *from;
    size_t len, at;
    uint32_t version;
    uint64_t n_tensors, n_keys;
    piece key[MOST];            /* whole entries */
    info tensor[MOST];
    int keys, tensors;
    size_t data;                /* where it begins */
} parts;

static uint64_t number(const uint8_t *p, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)p[i] << 8 * i;
    return value;
}

static bool take(parts *p, int bytes, uint64_t *out)
{
    if (p->len - p->at < (size_t)bytes) return false;
    *out = number(p->from + p->at, bytes);
    p->at += (size_t)bytes;
    return true;
}

static bool skip(parts *p, uint64_t bytes)
{
    if (bytes > p->len - p->at) return false;
    p->at += bytes;
    return true;
}

static bool skip_string(parts *p)
{
    uint64_t len;
    return take(p, 8, &len) && skip(p, len);
}

static int scalar(uint64_t type)
{
    static const int bytes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return type < 13 ? bytes[type] : 0;
}

static bool skip_value(parts *p)
{
    uint64_t type, count;
    if (!take(p, 4, &type)) return false;
    if (type == 8) return skip_string(p);
    if (type != 9) return scalar(type) && skip(p, (uint64_t)scalar(type));
    if (!take(p, 4, &type) || !take(p, 8, &count) || count > p->len) return false;
    if (type != 8) return skip(p, count * (uint64_t)scalar(type));
    for (uint64_t i = 0; i < count; i++)
        if (!skip_string(p)) return false;
    return true;
}

static bool take_info(parts *p, info *t)
{
    uint64_t dims, type;
    t->name.at = p->at;
    if (!skip_string(p)) return false;
    t->name.len = p->at - t->name.at;
    if (!take(p, 4, &dims) || dims > 4) return false;
    for (uint64_t i = 0; i < dims; i++)
        if (!take(p, 8, &t->dim[i])) return false;
    if (!take(p, 4, &type) || !take(p, 8, &t->offset)) return false;
    t->dims = (uint32_t)dims;
    t->type = (uint32_t)type;
    return true;
}

static bool take_apart(const fuzz_buffer *b, parts *p)
{
    uint64_t version;
    *p = (parts){ .from = b->data, .len = b->len, .at = 4 };
    if (b->len < HEADER || memcmp(b->data, "GGUF", 4)) return false;
    take(p, 4, &version);
    take(p, 8, &p->n_tensors);
    take(p, 8, &p->n_keys);
    p->version = (uint32_t)version;
    if (p->n_keys > MOST - 8 || p->n_tensors > MOST - 8) return false;
    for (; p->keys < (int)p->n_keys; p->keys++) {
        size_t at = p->at;
        if (!skip_string(p) || !skip_value(p)) return false;
        p->key[p->keys] = (piece){ at, p->at - at };
    }
    for (; p->tensors < (int)p->n_tensors; p->tensors++)
        if (!take_info(p, &p->tensor[p->tensors])) return false;
    p->data = (p->at + ALIGN - 1) / ALIGN * ALIGN;
    if (p->data > p->len) p->data = p->len;
    return true;
}

/* ---- putting together ---- */

typedef struct output { uint8_t *data; size_t len, most; bool full; } output;

static void put(output *o, const void *bytes, size_t len)
{
    if (o->len + len > o->most) o->full = true;
    if (o->full) return;
    if (bytes) memcpy(o->data + o->len, bytes, len);
    else memset(o->data + o->len, 0, len);
    o->len += len;
}

static void put_number(output *o, uint64_t value, int bytes)
{
    uint8_t raw[8];
    for (int i = 0; i < 8; i++) raw[i] = (uint8_t)(value >> 8 * i);
    put(o, raw, (size_t)bytes);
}

static uint64_t bytes_of(const info *t)
{
    const pl_dtype *dtype = t->type < 64 ? pl_dtype_by_gguf((int)t->type) : NULL;
    uint64_t n = dtype ? t->dim[0] / (uint64_t)dtype->block * (uint64_t)dtype->bytes : t->dim[0];
    for (uint32_t i = 1; i < t->dims; i++) n *= t->dim[i];
    return n < FUZZ_BYTES ? n : 0;
}

static void put_together(fuzz_buffer *b, parts *p, bool fit)
{
    output o = { malloc(b->most), 0, b->most, false };
    uint64_t end = 0;
    if (!o.data) return;
    put(&o, "GGUF", 4);
    put_number(&o, p->version, 4);
    put_number(&o, fit ? (uint64_t)p->tensors : p->n_tensors, 8);
    put_number(&o, fit ? (uint64_t)p->keys : p->n_keys, 8);
    for (int i = 0; i < p->keys; i++) put(&o, p->from + p->key[i].at, p->key[i].len);
    for (int i = 0; i < p->tensors; i++) {
        info *t = &p->tensor[i];
        put(&o, p->from + t->name.at, t->name.len);
        put_number(&o, t->dims, 4);
        for (uint32_t d = 0; d < t->dims && d < 4; d++) put_number(&o, t->dim[d], 8);
        put_number(&o, t->type, 4);
        put_number(&o, fit ? end : t->offset, 8);
        end = (end + bytes_of(t) + ALIGN - 1) / ALIGN * ALIGN;
    }
    put(&o, NULL, (ALIGN - o.len % ALIGN) % ALIGN);
    size_t have = p->len - p->data, want = fit ? end : have;
    put(&o, p->from + p->data, have < want ? have : want);
    if (want > have) put(&o, NULL, want - have);
    if (!o.full) {
        memcpy(b->data, o.data, o.len);
        b->len = o.len;
    }
    free(o.data);
}

/* ---- changes ---- */

static void change_tensor(fuzz_buffer *b, info *t)
{
    static const uint32_t types[] = { 0, 1, 2, 3, 6, 7, 8, 12, 24, 28, 30, 39, 1000 };
    uint64_t d = fuzz_below(b, 4);
    switch (fuzz_below(b, 4)) {
    case 0: t->type = types[fuzz_below(b, sizeof types / sizeof *types)]; break;
    case 1: t->dims = (uint32_t)fuzz_below(b, 5); break;
    case 2: t->offset = fuzz_odd_number(b, t->offset); break;
    default:
        if (d < t->dims) t->dim[d] = fuzz_odd_number(b, t->dim[d]);
        else if (t->dims < 4) t->dim[t->dims++] = fuzz_below(b, 4);
        break;
    }
}

static void change_lists(fuzz_buffer *b, parts *p)
{
    int k = (int)fuzz_below(b, (uint64_t)p->keys + 1), t = (int)fuzz_below(b, (uint64_t)p->tensors + 1);
    switch (fuzz_below(b, 5)) {
    case 0:
        if (k < p->keys) p->key[k] = p->key[--p->keys];
        break;
    case 1:
        if (k < p->keys) p->key[p->keys++] = p->key[k];
        break;
    case 2:
        if (t < p->tensors) memmove(&p->tensor[t], &p->tensor[t + 1], sizeof(info) * (size_t)(--p->tensors - t));
        break;
    case 3:
        if (t < p->tensors) p->tensor[p->tensors++] = p->tensor[t];
        break;
    default:
        p->n_tensors = fuzz_odd_number(b, p->n_tensors);
        p->n_keys = fuzz_odd_number(b, p->n_keys);
        break;
    }
}

/* Some bytes of a key's entry: its name, its type, its value; a string keeps a length that fits. */
static void change_key(fuzz_buffer *b, const piece *key)
{
    size_t name = (size_t)number(b->data + key->at, 8), value = key->at + 8 + name + 4;
    uint64_t type = number(b->data + value - 4, 4), len = 0;
    int width = scalar(type);
    if (fuzz_below(b, 8) == 0) {
        b->data[value - 4] = (uint8_t)fuzz_below(b, 14);
    } else if (fuzz_below(b, 6) == 0) {
        fuzz_mutate_bytes(b, key->at + 8, name);
    } else if (width) {
        uint64_t now = fuzz_odd_number(b, number(b->data + value, width));
        for (int i = 0; i < width; i++) b->data[value + (size_t)i] = (uint8_t)(now >> 8 * i);
    } else if (type == 8) {
        size_t before = b->len;
        len = number(b->data + value, 8);
        fuzz_mutate_bytes(b, value + 8, (size_t)len);
        len += b->len - before;
        for (int i = 0; i < 8; i++) b->data[value + (size_t)i] = (uint8_t)(len >> 8 * i);
    } else {
        size_t at = value + fuzz_below(b, key->at + key->len - value);
        b->data[at] = (uint8_t)fuzz_odd_number(b, b->data[at]);
    }
}

void fuzz_mutate_gguf(fuzz_buffer *b)
{
    static parts p;
    if (!take_apart(b, &p) || fuzz_below(b, 16) == 0) {
        b->len = LLVMFuzzerMutate(b->data, b->len, b->most);
        return;
    }
    bool fit = fuzz_below(b, 4) != 0;
    uint64_t what = fuzz_below(b, 8);
    if (what < 4 && p.keys) {
        change_key(b, &p.key[fuzz_below(b, (uint64_t)p.keys)]);
        if (!take_apart(b, &p)) return;
    } else if (what < 6 && p.tensors) {
        change_tensor(b, &p.tensor[fuzz_below(b, (uint64_t)p.tensors)]);
    } else {
        change_lists(b, &p);
    }
    put_together(b, &p, fit);
}
