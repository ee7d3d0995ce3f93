/* mem.c: checked heap allocation and arenas. */
#include "core/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, CHUNK = 1 << 16 };

static atomic_llong allocations_left = LLONG_MAX;       /* LLONG_MAX: no end */

void pl_mem_fail_after(int64_t n) { atomic_store(&allocations_left, n < 0 ? LLONG_MAX : n); }

/* True if the test hook wants this allocation to fail. */
static bool told_to_fail(void)
{
    if (atomic_load_explicit(&allocations_left, memory_order_relaxed) == LLONG_MAX) return false;
    return atomic_fetch_sub(&allocations_left, 1) <= 0;
}

static void *no_memory(int64_t count, size_t size)
{
    pl_fail(PL_E_MEMORY, "out of memory: %lld x %zu bytes asked for", (long long)count, size);
    return NULL;
}

/* Total in bytes, at least 1; false if it is no size. */
static bool total_bytes(int64_t count, size_t size, size_t *out)
{
    int64_t total;
    if (!pl_mul_ok(count, (int64_t)size, &total) || total > INT64_MAX / 2) return false;
    *out = total ? (size_t)total : 1;
    return true;
}

void *pl_alloc(int64_t count, size_t size)
{
    size_t total;
    void *p = total_bytes(count, size, &total) && !told_to_fail() ? calloc(1, total) : NULL;
    return p ? p : no_memory(count, size);
}

void *pl_realloc(void *old, int64_t count, size_t size)
{
    size_t total;
    void *p = total_bytes(count, size, &total) && !told_to_fail() ? realloc(old, total) : NULL;
    return p ? p : no_memory(count, size);
}

void *pl_alloc_aligned(int64_t count, size_t size)
{
    size_t total;
    if (!total_bytes(count, size, &total) || told_to_fail()) return no_memory(count, size);
    total = (total + ALIGN - 1) / ALIGN * ALIGN;
    void *p = aligned_alloc(ALIGN, total);
    return p ? p : no_memory(count, size);
}

void pl_free(void *p) { free(p); }

char *pl_strdup(const char *s)
{
    size_t len = strlen(s) + 1;
    char *copy = pl_alloc((int64_t)len, 1);
    if (copy) memcpy(copy, s, len);
    return copy;
}

/* Chunks are linked from the newest to the oldest; those behind `now` are empty and kept for reuse. */
typedef struct chunk {
    struct chunk *older, *newer;
    size_t size, used;              /* of data */
    uint8_t *data;                  /* ALIGN-aligned */
} chunk;

struct pl_arena {
    chunk *first, *now;
    int64_t bytes;
};

pl_status pl_arena_create(pl_arena **out)
{
    *out = pl_alloc(1, sizeof **out);
    return *out ? PL_OK : PL_E_MEMORY;
}

void pl_arena_destroy(pl_arena *arena)
{
    if (!arena) return;
    for (chunk *c = arena->first, *next; c; c = next) {
        next = c->newer;
        pl_free(c->data);
        pl_free(c);
    }
    pl_free(arena);
}

/* A chunk of at least `need` bytes behind the current one. Note: with now == NULL (reset) all chunks are
 * behind it. */
static chunk *grow(pl_arena *arena, size_t need)
{
    chunk *behind = arena->now ? arena->now->newer : arena->first;
    for (; behind; behind = behind->newer) {
        if (behind->size >= need) break;
    }
    if (behind) {                   /* reuse; smaller ones in between stay empty */
        behind->used = 0;
        return arena->now = behind;
    }
    size_t size = arena->now ? arena->now->size * 2 : CHUNK;
    if (size > (size_t)8 << 20) size = (size_t)8 << 20;
    if (size < need) size = need;
    chunk *c = pl_alloc(1, sizeof *c);
    if (!c) return NULL;
    c->data = pl_alloc_aligned((int64_t)size, 1);
    if (!c->data) {
        pl_free(c);
        return NULL;
    }
    c->size = size;
    chunk *last = arena->now ? arena->now : arena->first;
    while (last && last->newer) last = last->newer;
    c->older = last;
    if (last) last->newer = c;
    else arena->first = c;
    arena->bytes += (int64_t)(size + sizeof *c);
    return arena->now = c;
}

void *pl_arena_alloc(pl_arena *arena, int64_t count, size_t size)
{
    size_t total;
    if (!total_bytes(count, size, &total)) return no_memory(count, size);
    total = (total + ALIGN - 1) / ALIGN * ALIGN;
    chunk *c = arena->now;
    if (!c || c->size - c->used < total) c = grow(arena, total);
    if (!c) return NULL;
    void *p = c->data + c->used;
    c->used += total;
    return p;
}

void *pl_arena_zalloc(pl_arena *arena, int64_t count, size_t size)
{
    void *p = pl_arena_alloc(arena, count, size);
    if (p) memset(p, 0, (size_t)count * size);
    return p;
}

char *pl_arena_text(pl_arena *arena, const char *s, size_t len)
{
    if (len >= INT64_MAX / 2) return no_memory((int64_t)1, len);
    char *copy = pl_arena_alloc(arena, (int64_t)len + 1, 1);
    if (!copy) return NULL;
    memcpy(copy, s, len);
    copy[len] = 0;
    return copy;
}

char *pl_arena_format(pl_arena *arena, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0) len = 0;
    if (len >= (int)sizeof text) len = (int)sizeof text - 1;
    return pl_arena_text(arena, text, (size_t)len);
}

pl_arena_mark pl_arena_save(const pl_arena *arena)
{
    return (pl_arena_mark){ arena->now, arena->now ? arena->now->used : 0 };
}

void pl_arena_restore(pl_arena *arena, pl_arena_mark mark)
{
    arena->now = mark.chunk;
    if (arena->now) arena->now->used = mark.used;
}

void pl_arena_reset(pl_arena *arena) { pl_arena_restore(arena, (pl_arena_mark){ NULL, 0 }); }

int64_t pl_arena_bytes(const pl_arena *arena) { return arena->bytes; }
