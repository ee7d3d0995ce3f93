/* verify.h: reading all of a model to prove that it is whole: its files, values, scales and codes. */
#ifndef CORE_VERIFY_H
#define CORE_VERIFY_H

#include "core/hash.h"
#include "core/pool.h"
#include "core/source.h"

typedef struct pl_verify_file {
    const char *path;
    int64_t bytes;
    pl_digest digest;           /* of all bytes, as xxhsum -H2 gives it */
} pl_verify_file;

typedef struct pl_verify_fault {
    const char *file, *tensor;  /* that it is in; tensor NULL: in what the format says of itself */
    const char *sentence;
    int64_t range;              /* the first that has it */
} pl_verify_fault;

typedef struct pl_verify {
    pl_verify_file *file;       /* [files] all that the source reads, in its order */
    int files;
    int64_t bytes;              /* of all files */
    pl_digest digest;           /* of one file its own, of several that of their digests one behind another */
    pl_verify_fault *fault;     /* [faults] the first of each tensor, in the order of identities */
    int faults;
} pl_verify;

/* Reads every byte of the source's files and every tensor as it is stored, by ranges of rows: memory does not grow with
 * the model. A fault is whatever is PL_E_INPUT to the source or to its `verify`, a value or scale that is not finite,
 * a code and a scale that give such a value, a code that its type does not have. Opening the source has checked where
 * tensors lie, their types and shapes. PL_OK with faults or without; PL_E_IO, PL_E_MEMORY. Memory of the result from
 * arena. The same for every number of threads. */
pl_status pl_verify_source(pl_source *s, pl_pool *pool, pl_arena *arena, pl_verify *out);

#endif
