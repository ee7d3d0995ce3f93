/* status.h: how a function says that it failed: a code for the caller, a sentence for the user. */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

#include "core/base.h"

typedef int pl_status;

enum {
    PL_OK = 0,
    PL_E_CHECK = 1,     /* a check threshold was missed, or logits are not finite */
    PL_E_WISH = 2,      /* usage, or a wish that cannot be met */
    PL_E_INPUT = 3,     /* bad or unsupported input */
    PL_E_IO = 4,        /* reading, writing, a device */
    PL_E_MEMORY = 5     /* no memory; leaves the process as 4 */
};

#define PL_ERROR_BYTES 1024

/* Sentences may quote files of strangers: puts a question mark in the place of every control character, which
 * a terminal might obey, and of every byte that is no UTF-8. Returns its argument. */
char *pl_printable(char *text);

/* Keeps the sentence in a slot of this thread and returns `code`. A sentence names the place, what
 * was expected and what was found: "a.gguf: tensor 'x' ends at byte 90, file has 80". */
pl_status pl_fail(pl_status code, const char *format, ...) PL_PRINTF(2, 3);

/* The sentence of this thread's last failure; "" if there was none. */
const char *pl_error(void);

/* Puts more context in front of the last sentence ("shard 3: ...") and returns `code`. */
pl_status pl_fail_prefix(pl_status code, const char *format, ...) PL_PRINTF(2, 3);

/* Exit code of the process for a status (README.md lists them). */
int pl_status_exit(pl_status code);

/* For places that own nothing yet; code that owns something jumps to its `out:` label. */
#define PL_TRY(call)                                                                               \
    do {                                                                                           \
        pl_status try_status_ = (call);                                                            \
        if (try_status_ != PL_OK) return try_status_;                                              \
    } while (0)

#endif
