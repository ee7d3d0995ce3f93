/* ledger.h: the file beside an output in progress that says which ranges are finished and durable. */
#ifndef CORE_LEDGER_H
#define CORE_LEDGER_H

#include "core/hash.h"
#include "core/outfile.h"

/* What the work is. Only a ledger of the same may be gone on with. */
typedef struct pl_ledger_key {
    pl_digest plan;             /* of the output: types, methods, ranges, whatever decides its bytes */
    pl_digest input;            /* of the contents of the files that are read */
    pl_digest times;            /* at which those of them were changed that are too large to be read twice */
    int64_t ranges;             /* of the whole output */
    int32_t part, parts;        /* share `part` (from 1) of `parts`; 0: all ranges */
} pl_ledger_key;

/* One finished range. */
typedef struct pl_record {
    int64_t range;
    double error[2];            /* sums of squares, if measured: of the errors, of the weights */
    int64_t nonfinite;          /* weights that are not finite; the first of them: */
    int64_t row, col;
    float value;
} pl_record;

typedef struct pl_ledger pl_ledger;

/* Opens the ledger `path` of a set of files and keeps other runs out of it (PL_E_WISH). With set->resume one of the
 * same key is gone on with; of another it is PL_E_WISH (other options) or PL_E_INPUT (another input); where there is
 * none, or none with anything in it, set->resume becomes false. Without, it begins anew. A file that is no ledger is
 * never replaced (PL_E_WISH). With set->joined it must be there, as begun by the process that opened it. */
pl_status pl_ledger_open(const char *path, const pl_ledger_key *key, pl_outset *set, pl_ledger **out);
/* To look at only: *key and what it holds; PL_E_INPUT if it is none. */
pl_status pl_ledger_view(const char *path, pl_ledger_key *key, pl_ledger **out);
/* The finished ranges, in order. A record that was not wholly written does not count. */
pl_status pl_ledger_each(pl_ledger *l, pl_status (*each)(void *ctx, const pl_record *record), void *ctx);
/* Durable on return. Several processes may add to one ledger, each ranges of its own. */
pl_status pl_ledger_add(pl_ledger *l, const pl_record *record, int64_t count);
/* All is in: `text` says what the files are. Durable on return. */
pl_status pl_ledger_seal(pl_ledger *l, const char *text);
/* The text, freed with pl_free; NULL: not sealed. */
pl_status pl_ledger_sealed(pl_ledger *l, char **text);
/* Removes the file unless its set keeps it; accepts NULL. */
void pl_ledger_close(pl_ledger *l);

#endif
