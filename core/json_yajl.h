/* json_yajl.h: what the files behind json.h share. */
#ifndef CORE_JSON_YAJL_H
#define CORE_JSON_YAJL_H

#include <string.h>
#include <yajl/yajl_common.h>

#include "core/status.h"

/* "origin: not valid JSON at byte N". */
pl_status pl_json_refuse(const char *origin, size_t at);
/* Refuses, of what pl_json_parse promises to, all but syntax, numbers and duplicate keys; *longest: bytes
 * of the longest string with escapes. */
pl_status pl_json_scan(const char *text, size_t len, const char *origin, size_t *longest);

/* Memory for yajl, which does not expect that there may be none: it gets a block of a size that is
 * always enough, from core/mem.h, and lives in that. */
typedef struct pl_json_pool { uint8_t *at, *end; } pl_json_pool;       /* both 16-byte aligned */

enum { PL_JSON_POOL_ALIGN = 16 };       /* also what stands in front of a piece: its size */

static inline void *pl_json_pool_take(void *pool, size_t size)
{
    pl_json_pool *p = pool;
    size_t room = (size_t)(p->end - p->at), align = PL_JSON_POOL_ALIGN;
    if (size > room || (size + align - 1) / align * align + align > room) return NULL;
    uint8_t *piece = p->at + align;
    memcpy(p->at, &size, sizeof size);
    p->at = piece + (size + align - 1) / align * align;
    return piece;
}

/* What was given out last grows in its place. */
static inline void *pl_json_pool_more(void *pool, void *old, size_t size)
{
    pl_json_pool *p = pool;
    size_t had = 0, align = PL_JSON_POOL_ALIGN;
    if (old) memcpy(&had, (uint8_t *)old - align, sizeof had);
    if (old && (uint8_t *)old + (had + align - 1) / align * align == p->at)
        p->at = (uint8_t *)old - align;
    void *piece = pl_json_pool_take(pool, size);
    if (piece && old && piece != old) memcpy(piece, old, had < size ? had : size);
    return piece;
}

static inline void pl_json_pool_free(void *pool, void *piece) {}

static inline yajl_alloc_funcs pl_json_pool_funcs(pl_json_pool *pool)
{
    return (yajl_alloc_funcs){ pl_json_pool_take, pl_json_pool_more, pl_json_pool_free, pool };
}

#endif
