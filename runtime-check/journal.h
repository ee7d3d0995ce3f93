/* journal.h: sums of a long measurement kept on disk, so that an interrupted one can go on. */
#ifndef RUNTIME_CHECK_JOURNAL_H
#define RUNTIME_CHECK_JOURNAL_H

#include "core/hash.h"

typedef struct pl_journal {
    pl_digest key;              /* of all that the sums depend on: model, text, options */
    int64_t done;               /* windows in the sums */
    int64_t counts, sums;
    int64_t *count;             /* [counts] */
    double *sum;                /* [sums] */
} pl_journal;

/* Atomically, in place of an older one. */
pl_status pl_journal_save(const char *path, const pl_journal *j);
/* Fills done, count and sum of a journal whose key and lengths are set. PL_E_INPUT if the file is damaged or was kept
 * for another key; then nothing is changed. */
pl_status pl_journal_load(const char *path, pl_journal *j);

#endif
