/* gguf_emit.c: the bytes of a GGUF header, one after the other. */
#include "formats/gguf_emit.h"

#include <string.h>

#include "core/half.h"

void pl_emit_flush(pl_emitter *e)
{
    if (e->status == PL_OK && e->file && e->held)
        e->status = pl_outfile_write(e->file, e->base + e->at - (int64_t)e->held, e->buffer, e->held);
    e->held = 0;
}

void pl_emit_bytes(pl_emitter *e, const void *data, size_t len)
{
    if (!e->file) {
        e->at += (int64_t)len;
        return;
    }
    for (const uint8_t *from = data; len;) {
        size_t n = PL_EMIT_BUFFER - e->held < len ? PL_EMIT_BUFFER - e->held : len;
        memcpy(e->buffer + e->held, from, n);
        e->held += n;
        e->at += (int64_t)n;
        from += n;
        len -= n;
        if (e->held == PL_EMIT_BUFFER) pl_emit_flush(e);
    }
}

void pl_emit_number(pl_emitter *e, uint64_t value, int bytes)
{
    uint8_t raw[8];
    for (int i = 0; i < bytes; i++) raw[i] = (uint8_t)(value >> 8 * i);
    pl_emit_bytes(e, raw, (size_t)bytes);
}

void pl_emit_text(pl_emitter *e, const char *s, size_t len)
{
    pl_emit_number(e, len, 8);
    pl_emit_bytes(e, s, len);
}

void pl_emit_key(pl_emitter *e, const char *key, int type)
{
    if (e->own == PL_EMIT_MAX_KEYS) e->status = pl_fail(PL_E_WISH, "too many GGUF keys");
    else e->own_key[e->own++] = key;
    e->keys++;
    pl_emit_text(e, key, strlen(key));
    pl_emit_number(e, (uint64_t)type, 4);
}

void pl_emit_key_text(pl_emitter *e, const char *key, const char *value)
{
    if (!value) return;
    pl_emit_key(e, key, PL_META_STRING);
    pl_emit_text(e, value, strlen(value));
}

void pl_emit_key_u32(pl_emitter *e, const char *key, int64_t value)
{
    pl_emit_key(e, key, PL_META_U32);
    pl_emit_number(e, (uint64_t)value, 4);
}

void pl_emit_key_f32(pl_emitter *e, const char *key, float value)
{
    pl_emit_key(e, key, PL_META_F32);
    pl_emit_number(e, pl_f32_bits(value), 4);
}

void pl_emit_key_bool(pl_emitter *e, const char *key, bool value)
{
    pl_emit_key(e, key, PL_META_BOOL);
    pl_emit_number(e, value, 1);
}

void pl_emit_key_array(pl_emitter *e, const char *key, int element, int64_t count)
{
    pl_emit_key(e, key, PL_META_ARRAY);
    pl_emit_number(e, (uint64_t)element, 4);
    pl_emit_number(e, (uint64_t)count, 8);
}
