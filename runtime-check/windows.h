/* windows.h: a text as tokens, how they are cut into windows and which predictions count. */
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

/* A text as a model reads it; ids are freed with pl_free. */
typedef struct pl_window_text {
    int32_t *ids;
    int64_t count;
    int32_t bos;                /* what windows begin with; -1: nothing */
} pl_window_text;

/* PL_E_INPUT without a vocabulary, for tokens beyond the model's table, for a vocabulary that ends texts with EOS
 * under LCPP; PL_E_WISH for a BOS that there is not. */
pl_status pl_windows_encode(const pl_source *s, pl_protocol protocol, pl_bos bos, const char *data, size_t len,
                            pl_window_text *out);

/* Windows of a text of `tokens` tokens; bos -1: not in use. chunks: at most so many, 0: all.
 * PL_E_WISH for a context below 4; PL_E_INPUT if the text is too short (LCPP asks for two contexts). */
pl_status pl_windows_plan(pl_protocol protocol, int32_t ctx, int32_t chunks, int32_t bos,
                          int64_t tokens, pl_windows *out);
/* Tokens of window `index`: out [ctx]. */
void pl_windows_fill(const pl_windows *w, const int32_t *ids, int32_t index, int32_t *out);

#endif
