/* mem.h: heap and arenas. All memory of planish is taken here, so that tests can make it fail. */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include "core/status.h"

/* count × size bytes, zeroed. NULL with a sentence kept for pl_error() when it does not fit: the
 * caller returns PL_E_MEMORY. pl_free takes NULL. */
void *pl_alloc(int64_t count, size_t size);
void *pl_realloc(void *old, int64_t count, size_t size);    /* new bytes are not zeroed */
void pl_free(void *p);
/* 64-byte aligned, not zeroed; freed with pl_free. */
void *pl_alloc_aligned(int64_t count, size_t size);
char *pl_strdup(const char *s);

/* Test hook: the n-th allocation from now fails, and every one after it; < 0: never (default). */
void pl_mem_fail_after(int64_t n);

/* An arena hands out 64-byte aligned pieces that are all freed together. One thread at a time. */
typedef struct pl_arena pl_arena;
pl_status pl_arena_create(pl_arena **out);
void pl_arena_destroy(pl_arena *arena);
/* count × size bytes, not zeroed; NULL as pl_alloc. */
void *pl_arena_alloc(pl_arena *arena, int64_t count, size_t size);
void *pl_arena_zalloc(pl_arena *arena, int64_t count, size_t size);
/* A copy of `len` bytes with a NUL behind them. */
char *pl_arena_text(pl_arena *arena, const char *s, size_t len);
char *pl_arena_format(pl_arena *arena, const char *format, ...) PL_PRINTF(2, 3);
/* Everything taken since the mark becomes free again; memory is kept for reuse. */
typedef struct pl_arena_mark { void *chunk; size_t used; } pl_arena_mark;
pl_arena_mark pl_arena_save(const pl_arena *arena);
void pl_arena_restore(pl_arena *arena, pl_arena_mark mark);
void pl_arena_reset(pl_arena *arena);
/* Bytes held from the heap. */
int64_t pl_arena_bytes(const pl_arena *arena);

#define PL_NEW(arena, type, count) ((type *)pl_arena_alloc((arena), (count), sizeof(type)))
#define PL_ZNEW(arena, type, count) ((type *)pl_arena_zalloc((arena), (count), sizeof(type)))

#endif
