/* child.h: other people's programs, run as children without a shell, for so long and no longer. */
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

#include "core/status.h"

typedef struct pl_child {
    int code;                   /* exit code; -1: ended by a signal; -2: by us, as its time was over */
    int signal;
    char last[256];             /* the last line that it wrote with anything in it, "" if there was none; printable */
} pl_child;

/* Finds a program: NAME with a slash as it is, else in `folder` (if not NULL), else on PATH. False: there is none. */
bool pl_child_find(const char *name, const char *folder, char path[PATH_MAX]);
/* Runs argv[0] (a path) up to its end, its standard input empty; of what it writes only the end is kept. It is ended,
 * with what it has started in its group, after so many seconds. PL_E_IO if it cannot be started. */
pl_status pl_child_run(const char *const *argv, double seconds, pl_child *out);

#endif
