/* resident.h: pieces of a file that are in memory while they are needed, at addresses that never change, within a
 * budget: what fits stays, the rest comes and goes, read ahead in the order in which it is used. */
#ifndef CORE_RESIDENT_H
#define CORE_RESIDENT_H

#include "core/reader.h"

typedef struct pl_segment {
    int64_t at, stored;         /* in the file: at is a multiple of PL_READER_ALIGN */
    int64_t content;            /* bytes in memory; as many as stored unless they are to be expanded */
} pl_segment;

typedef struct pl_resident_plan {
    const char *path;
    const pl_segment *segment;
    int segments;
    const int *order;           /* [orders] segments in the order of one pass, which is repeated; those that are not in
                                 * it are read when they are needed */
    int orders;
    int64_t budget;             /* bytes in memory at a time */
    /* Checks what has come: content [content], from stored [stored], which is `content` itself where nothing is to be
     * expanded. Called by threads of the reader. */
    pl_status (*arrived)(void *ctx, int segment, const uint8_t *stored, uint8_t *content);
    void *ctx;
} pl_resident_plan;

typedef struct pl_resident_report {
    int64_t budget, pinned;     /* bytes that may be in memory; of these, that always are */
    int64_t peak;               /* bytes that were in memory at a time */
    pl_reader_stats read;
    double waited;              /* seconds in which nothing was computed because something was not there yet */
} pl_resident_report;

typedef struct pl_resident pl_resident;

/* The lists are copied. PL_E_WISH if the budget is too small: it says what is enough. */
pl_status pl_resident_open(const pl_resident_plan *plan, pl_resident **out);
void pl_resident_close(pl_resident *r);         /* accepts NULL */
/* Where the content of a segment is while it is needed; the address never changes. */
uint8_t *pl_resident_at(const pl_resident *r, int segment);
/* One thread at a time. From need to done it is there; a segment may be needed twice. */
pl_status pl_resident_need(pl_resident *r, int segment);
void pl_resident_done(pl_resident *r, int segment);
pl_resident_report pl_resident_told(pl_resident *r);

#endif
