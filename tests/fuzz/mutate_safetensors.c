/* mutate_safetensors.c: changing the header of a safetensors file and making its length, and mostly
 * its offsets, fit again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "tests/fuzz/mutate.h"

enum { LENGTH = 8, HEADER = 1 << 16 };

static uint64_t header_bytes(const fuzz_buffer *b)
{
    uint64_t len = 0;
    for (int i = LENGTH - 1; i >= 0; i--) len = len << 8 | b->data[i];
    return len;
}

static void put_length(fuzz_buffer *b, uint64_t len)
{
    for (int i = 0; i < LENGTH; i++) b->data[i] = (uint8_t)(len >> 8 * i);
}

static int bits_of(const char *dtype)
{
    static const struct { const char *name; int bits; } known[] = {
        { "F4", 4 }, { "F6", 6 }, { "F8", 8 }, { "BOOL", 8 }, { "U8", 8 }, { "I8", 8 }, { "I16", 16 },
        { "U16", 16 }, { "F16", 16 }, { "BF16", 16 }, { "I32", 32 }, { "U32", 32 }, { "F32", 32 },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strncmp(dtype, known[i].name, strlen(known[i].name))) return known[i].bits;
    return 64;
}

/* Shape of an entry as JSON; bytes its tensor takes. */
static uint64_t put_shape(const pl_json *shape, int bits, char *to, size_t room)
{
    double elements = 1;
    size_t used = (size_t)snprintf(to, room, "[");
    for (const pl_json *n = pl_json_first(shape); n && used + 40 < room; n = pl_json_next(n)) {
        double dim = 0;
        pl_json_as_number(n, "", "", &dim);
        elements *= dim;
        used += (size_t)snprintf(to + used, room - used, "%s%.0f", used > 1 ? "," : "", dim);
    }
    snprintf(to + used, room - used, "]");
    double bytes = elements * bits / 8;
    return bytes >= 0 && bytes < 1e9 ? (uint64_t)bytes : 0;
}

/* Writes the header anew with offsets that follow from dtypes and shapes; 0: it cannot be read. *data:
 * bytes of all tensors. */
static size_t retile(const char *text, size_t len, char *to, uint64_t *data)
{
    pl_json *doc;
    *data = 0;
    if (pl_json_parse(text, len, "", &doc) != PL_OK) return 0;
    size_t used = 0;
    for (const pl_json *e = pl_json_first(doc); e && used + 1024 < HEADER; e = pl_json_next(e)) {
        char shape[256];
        const char *dtype = pl_json_text(pl_json_get(e, "dtype")), *key = pl_json_key(e);
        const pl_json *dims = pl_json_get(e, "shape");
        if (!dtype || !dims || !key || strlen(key) > 300 || strlen(dtype) > 40) continue;
        uint64_t bytes = put_shape(dims, bits_of(dtype), shape, sizeof shape);
        used += (size_t)snprintf(to + used, HEADER - used,
                                 "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}",
                                 used ? "," : "{", key, dtype, shape, (unsigned long long)*data,
                                 (unsigned long long)(*data + bytes));
        *data += bytes;
    }
    pl_json_free(doc);
    if (used == 0 || used + 2 > HEADER) return 0;
    to[used++] = '}';
    return used;
}

/* The data grows or shrinks at its end. */
static void resize_data(fuzz_buffer *b, size_t header, uint64_t data)
{
    size_t begin = LENGTH + header;
    if (data > b->most || begin + data > b->most) return;
    if (begin + data > b->len) memset(b->data + b->len, 0x3c, begin + data - b->len);
    b->len = begin + data;
}

void fuzz_mutate_safetensors(fuzz_buffer *b)
{
    static char text[HEADER];
    if (b->len < LENGTH || header_bytes(b) > b->len - LENGTH || header_bytes(b) > HEADER / 2) {
        b->len = LLVMFuzzerMutate(b->data, b->len, b->most);
        return;
    }
    size_t header = header_bytes(b);
    if (fuzz_below(b, 8) == 0) {
        put_length(b, fuzz_odd_number(b, header));
        return;
    }
    fuzz_buffer json = { (uint8_t *)text, header, HEADER / 2, b->state };
    memcpy(text, b->data + LENGTH, header);
    fuzz_mutate_json(&json);
    b->state = json.state;
    fuzz_replace(b, LENGTH, header, text, json.len);
    header = header + LENGTH <= b->len ? json.len : header;
    put_length(b, header);
    if (fuzz_below(b, 2) || header + LENGTH > b->len) return;
    uint64_t data;
    static char tiled[HEADER];
    size_t len = retile((const char *)b->data + LENGTH, header, tiled, &data);
    if (len == 0 || b->len - header + len > b->most) return;
    fuzz_replace(b, LENGTH, header, tiled, len);
    put_length(b, len);
    resize_data(b, len, data);
}
