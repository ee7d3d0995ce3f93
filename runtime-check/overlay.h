/* overlay.h: a model in which some matrices are replaced by other bytes for it, held in memory. */
#ifndef RUNTIME_CHECK_OVERLAY_H
#define RUNTIME_CHECK_OVERLAY_H

#include "core/method.h"
#include "core/pool.h"

/* A source around `inner` (open with PL_OPEN_MAP), which belongs to it from now on, also after a failure. */
pl_status pl_overlay_create(pl_source *inner, pl_source **out);
/* From now on the matrix `tensor` is what `method` makes of it in this type. Graphs made before keep what they had.
 * stat: of its input, or NULL. The pool encodes ranges of rows; the same bytes for every number of threads. */
pl_status pl_overlay_replace(pl_source *overlay, int tensor, const pl_type *type, const pl_method *method,
                             const pl_grid *grid, const pl_stat *stat, pl_pool *pool);
/* Everything is as in `inner` again. No graph made since then may run on. */
void pl_overlay_clear(pl_source *overlay);

#endif
