/* kernels.h: the matrix kernels there are (core/kernel.h says what one is). */
#ifndef RUNTIME_CHECK_KERNELS_H
#define RUNTIME_CHECK_KERNELS_H

#include "core/kernel.h"
#include "core/pool.h"

/* Fills the list for these CPU flags: plain C first, then each instruction set's. */
void pl_kernels_init(pl_kernel_list *list, unsigned cpu_flags);

/* The yardstick for decoding: how fast simple loops read memory. The buffer has about `bytes`, which
 * should be several times the last cache (256 MB at the least for a true figure). */
typedef struct pl_bandwidth pl_bandwidth;
pl_status pl_bandwidth_create(pl_pool *pool, int64_t bytes, pl_bandwidth **out);
/* Bytes/s of the best of several loops now, with one thread and with all of the pool. */
pl_status pl_bandwidth_measure(pl_bandwidth *bandwidth, double *best);
void pl_bandwidth_destroy(pl_bandwidth *bandwidth);

#endif
