/* streamed.h: weights that come from a disk while the model runs. */
#ifndef CLI_STREAMED_H
#define CLI_STREAMED_H

#include "cli/cli.h"

#define PL_RESIDENT_OPTION(to) { "resident", 0, PL_OPT_SIZE, (to), "SIZE", \
    "keep at most so much of a pack's weights in memory, as 4GiB, and read the rest when it is needed", 0, 0, NULL }

/* How to open a model for the engine: mapped, or with at most `resident` bytes of its weights in memory. */
pl_open_options pl_cli_engine(const char *pre, int64_t resident);
/* A line about what streaming cost, on stderr; nothing for a source that is mapped. */
void pl_cli_streamed(pl_source *s);

#endif
