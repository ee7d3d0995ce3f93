/* keep.h: pieces of memory that several threads want, made by the first that asks, kept while there is room. */
#ifndef CORE_KEEP_H
#define CORE_KEEP_H

#include "core/status.h"

typedef struct pl_keep pl_keep;

/* Room for so many pieces, each as large as what was ever in its place. */
pl_status pl_keep_create(int places, pl_keep **out);
void pl_keep_destroy(pl_keep *k);       /* accepts NULL */
/* The piece with this key (>= 0): if it is not there make() fills [bytes] in the place that has not been used for
 * longest; whoever wants it meanwhile waits. *content stays until pl_keep_done. A thread may hold one piece at a time.
 * What make() says when it fails. */
pl_status pl_keep_use(pl_keep *k, int64_t key, int64_t bytes, pl_status (*make)(void *ctx, uint8_t *content), void *ctx,
                      const uint8_t **content);
void pl_keep_done(pl_keep *k, int64_t key);

#endif
