/* kernels.h: the matrix kernels there are (core/kernel.h says what one is). */
#ifndef RUNTIME_CHECK_KERNELS_H
#define RUNTIME_CHECK_KERNELS_H

#include "core/kernel.h"
#include "core/pool.h"

/* Fills the list for these CPU flags: plain C first, then each instruction set's. */
void pl_kernels_init(pl_kernel_list *list, unsigned cpu_flags);

/* Best read bandwidth in bytes/s that simple loops reach over a buffer of `bytes` (>= 256 MB for a true
 * figure) with one and with all threads of the pool: the yardstick for decoding. */
pl_status pl_read_bandwidth(pl_pool *pool, int64_t bytes, double *best);

#endif
