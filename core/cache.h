/* cache.h: numbers that took long to compute, kept in a file under digests of what they were computed from. */
#ifndef CORE_CACHE_H
#define CORE_CACHE_H

#include "core/hash.h"

typedef struct pl_cache pl_cache;

/* Reads the file; none yet: empty. One that is damaged or of another kind is ignored with a warning, and replaced
 * when saving. path NULL: nothing is kept behind the process. */
pl_status pl_cache_open(const char *path, pl_cache **out);
void pl_cache_close(pl_cache *c);
/* Safe from any thread while nobody puts. */
bool pl_cache_find(const pl_cache *c, pl_digest key, double *value);
/* A finite number; one that is there already stays. One thread at a time. */
pl_status pl_cache_put(pl_cache *c, pl_digest key, double value);
/* Writes the file, whole or not at all, if there is anything new. */
pl_status pl_cache_save(pl_cache *c);

#endif
