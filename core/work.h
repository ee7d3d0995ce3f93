/* work.h: what is finished of a conversion, in memory and on disk, and which part of it is this process's to do. */
#ifndef CORE_WORK_H
#define CORE_WORK_H

#include "core/ledger.h"
#include "core/sink.h"

typedef struct pl_work pl_work;

typedef struct pl_work_options {
    const char *path;           /* of the output; NULL: one that cannot be gone on with, nothing is kept on disk */
    const char *also;           /* whatever else decides the output's bytes; or NULL */
    bool measured;              /* records have errors */
    int64_t note_bytes;         /* after which finished ranges are noted; 0: the usual */
    bool keep;                  /* keep unfinished work from the beginning on, not from the first record on */
} pl_work_options;

/* Opens the journal of an output of `ranges` ranges, see ledger.h, and prepares sink->set, which has the wishes, for
 * the files of that output. */
pl_status pl_work_open(const pl_plan *plan, const pl_source *source, pl_sink *sink, int64_t ranges,
                       const pl_work_options *options, pl_work **out);
/* Is told of a range that is finished. */
typedef pl_status (*pl_work_finished)(void *ctx, const pl_record *record);
/* Calls finished(ctx) for all ranges that are on disk. */
pl_status pl_work_gather(pl_work *w, pl_work_finished finished, void *ctx);
/* A range of which `bytes` were put. About once a second, and whenever much was put, one of the callers makes all that
 * is in durable and notes it; the others go on meanwhile. From any thread. */
pl_status pl_work_add(pl_work *w, const pl_record *record, int64_t bytes);
/* Notes what is in. After a failure too, which stays the one that is told. */
pl_status pl_work_flush(pl_work *w, pl_status before);
/* All is in: a run that ends from now on loses nothing, even between two files that get their names. */
pl_status pl_work_seal(pl_work *w);
/* Keeps the journal, or does away with it; sink->set does the same with files that are open still. Accepts NULL. */
void pl_work_close(pl_work *w, bool keep);

#endif
