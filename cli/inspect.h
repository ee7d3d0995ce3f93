/* inspect.h: the parts of planish inspect. */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include "core/source.h"

/* inspect_verify.c: prints digests and, as JSON, what is wrong. PL_E_INPUT if the model cannot be opened or has a fault
 * (core/verify.h). threads 0: as many as there are processors. */
pl_status pl_inspect_verify(const char *path, const pl_open_options *options, int threads, bool as_json);

#endif
