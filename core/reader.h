/* reader.h: large reads in the background, past the page cache where the system lets them: io_uring, else threads. */
#ifndef CORE_READER_H
#define CORE_READER_H

#include "core/status.h"

enum { PL_READER_ALIGN = 4096 };        /* of places in the file and in memory */

typedef struct pl_reader pl_reader;

/* One piece of a file. The caller keeps it until it has been waited for. */
typedef struct pl_read {
    int64_t at, bytes;          /* at: a multiple of the alignment; bytes: rounded up to it still inside the file */
    uint8_t *to;                /* aligned; so many bytes, rounded up, are written */
    pl_status (*arrived)(void *ctx);    /* called by a thread of the reader once all is there; NULL: nothing to do */
    void *ctx;
    /* the reader's own */
    struct pl_read *next;
    int64_t issued, done;
    bool ready;
    pl_status code;
    char error[PL_ERROR_BYTES];
} pl_read;

typedef struct pl_reader_stats {
    const char *how;            /* "io_uring, direct", "threads, buffered" ... */
    int64_t bytes;              /* read so far */
    double busy;                /* seconds in which there was something to read */
} pl_reader_stats;

/* PLANISH_IO=threads does without io_uring, buffered without O_DIRECT as well; else both are tried first. */
pl_status pl_reader_open(const char *path, pl_reader **out);
/* What the system is reading ends first; what still waits is dropped. Accepts NULL. */
void pl_reader_close(pl_reader *r);
/* Puts it behind those that wait already. */
void pl_reader_submit(pl_reader *r, pl_read *read);
/* Until it is there and `arrived` is done; the first failure of either. */
pl_status pl_reader_wait(pl_reader *r, pl_read *read);
pl_reader_stats pl_reader_told(pl_reader *r);

#endif
