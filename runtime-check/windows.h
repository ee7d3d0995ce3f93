/* windows.h: how a text's tokens are cut into windows and which predictions count. */
#ifndef RUNTIME_CHECK_WINDOWS_H
#define RUNTIME_CHECK_WINDOWS_H

#include "runtime-check/check.h"

typedef struct pl_windows {
    int32_t ctx;                /* tokens of a window */
    int32_t step;               /* tokens of the text from one window to the next */
    int32_t bos;                /* what stands first in every window; -1: the text's own token */
    bool replaces;              /* BOS takes the place of a token of the text, else it comes in front */
    int32_t first, scored;      /* logits at first .. first+scored-1 predict the token behind them */
    int32_t count;              /* windows */
} pl_windows;

/* Windows of a text of `tokens` tokens; bos -1: not in use. chunks: at most so many, 0: all.
 * PL_E_WISH for a context below 4; PL_E_INPUT if the text is too short (LCPP asks for two contexts). */
pl_status pl_windows_plan(pl_protocol protocol, int32_t ctx, int32_t chunks, int32_t bos,
                          int64_t tokens, pl_windows *out);
/* Tokens of window `index`: out [ctx]. */
void pl_windows_fill(const pl_windows *w, const int32_t *ids, int32_t index, int32_t *out);

#endif
