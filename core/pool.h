/* pool.h: the one way planish runs things in parallel. */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include "core/status.h"

typedef struct pl_pool pl_pool;

/* One piece of a parallel loop. `worker` < pl_pool_workers(): index of per-worker scratch. */
typedef pl_status (*pl_task)(void *ctx, int64_t index, int worker);

/* threads 0: one per processor this process may use. The caller's thread is worker 0. */
pl_status pl_pool_create(int threads, pl_pool **out);
void pl_pool_destroy(pl_pool *pool);
int pl_pool_workers(const pl_pool *pool);       /* 1 for NULL */

/* Calls fn(ctx, 0 .. count-1, worker), each index once, in rising order of start but on any worker;
 * returns when all are done. After a failure no further index starts; the failure with the lowest
 * index that ran is returned and its sentence becomes this thread's. NULL pool: a plain loop.
 * Work must be cut by the shape of the data, never by the number of workers, so that results do
 * not depend on it. Not to be nested. */
pl_status pl_pool_for(pl_pool *pool, int64_t count, pl_task fn, void *ctx);

#endif
