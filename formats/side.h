/* side.h: files that go with the weights (core/model.h), read from where they lie. */
#ifndef FORMATS_SIDE_H
#define FORMATS_SIDE_H

#include "core/fs.h"
#include "core/model.h"

/* The whole of a small one, with a NUL behind it; freed with pl_free, after a failure too. */
pl_status pl_side_load(const pl_side *side, char **text);
/* All of its bytes, to place `at` of a file. */
pl_status pl_side_copy(const pl_side *side, pl_outfile *to, int64_t at);

#endif
