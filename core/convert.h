/* convert.h: the loop that turns a planned model into an output, by ranges of rows. */
#ifndef CORE_CONVERT_H
#define CORE_CONVERT_H

#include "core/pool.h"
#include "core/sink.h"

typedef struct pl_convert_options {
    bool force;                 /* replace an existing output */
    bool measure;               /* fill rel_error: reads each range back after encoding */
    pl_nonfinite *nonfinite;    /* values that are not finite are kept, and told here; NULL: PL_E_INPUT */
} pl_convert_options;

/* Encodes every step and puts it into the sink; on failure nothing stands under `path`.
 * rel_error [steps] (with measure): ||W - decoded|| / ||W|| per tensor, 0 for an all-zero one, NaN where
 * values are not finite; the same for every number of threads. Other ranges (plan->range_elements) sum
 * in another order, which may change the last bits. */
pl_status pl_convert(const pl_plan *plan, pl_source *source, pl_sink *sink, const char *path,
                     pl_pool *pool, const pl_convert_options *options, double *rel_error);

#endif
