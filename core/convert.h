/* convert.h: the loop that turns a planned model into an output, by ranges of rows. */
#ifndef CORE_CONVERT_H
#define CORE_CONVERT_H

#include "core/pool.h"
#include "core/sink.h"

/* Processes that do one conversion together, each a share of the ranges, into the same files. */
typedef struct pl_ranks {
    int rank, count;
    /* Waits for all. If any failed, all get the status and the sentence of one that did. */
    pl_status (*agree)(const struct pl_ranks *r, pl_status mine);
    /* Has another one failed meanwhile? From any thread. */
    bool (*failed)(const struct pl_ranks *r);
} pl_ranks;

enum { PL_MAX_SHARES = 4096 };

typedef struct pl_convert_options {
    bool force;                 /* replace an existing output */
    bool measure;               /* fill rel_error: reads each range back after encoding */
    pl_nonfinite *nonfinite;    /* values that are not finite are kept, and told here; NULL: PL_E_INPUT */
    bool resume;                /* go on with what an earlier run left unfinished, if there is anything */
    int part, parts;            /* only share `part` (from 1) of `parts`, for pl_merge_shares; 0: all */
    const char *also;           /* what else decides the bytes: a run with another text is not gone on with; or NULL */
    const pl_ranks *ranks;      /* NULL: this process alone */
    int64_t note_bytes;         /* finished ranges are noted after so many bytes, or a second; 0: 256 MiB */
} pl_convert_options;

/* Encodes every step and puts it into the sink; on failure nothing stands under `path`. What is finished is noted in a
 * journal beside the output (core/ledger.h) about once a second; after a kill, a signal or PL_E_IO it stays there, with
 * the unfinished files. Resumed, shared and merged outputs have the bytes of an undisturbed run. PL_E_WISH for a sink
 * that cannot resume, shares or ranks; while another run writes the same output; if an unfinished one was begun with
 * other options; PL_E_INPUT if it was begun with another input.
 * rel_error [steps] (with measure): ||W - decoded|| / ||W|| per tensor, 0 for an all-zero one, NaN where
 * values are not finite; the same for every number of threads. Other ranges (plan->range_elements) sum
 * in another order, which may change the last bits. < 0 where not all rows were this share's. */
pl_status pl_convert(const pl_plan *plan, pl_source *source, pl_sink *sink, const char *path,
                     pl_pool *pool, const pl_convert_options *options, double *rel_error);

#endif
