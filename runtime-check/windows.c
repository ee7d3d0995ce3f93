/* windows.c: cutting a text's tokens into windows. */
#include "runtime-check/windows.h"

#include <string.h>

pl_status pl_windows_plan(pl_protocol protocol, int32_t ctx, int32_t chunks, int32_t bos,
                          int64_t tokens, pl_windows *out)
{
    bool lcpp = protocol == PL_PROTOCOL_LCPP;
    if (ctx < 4) return pl_fail(PL_E_WISH, "a context of %d tokens is too small, use 4 or more", (int)ctx);
    *out = (pl_windows){ .ctx = ctx, .step = ctx, .bos = bos, .replaces = lcpp };
    if (bos >= 0 && !lcpp) out->step = ctx - 1;
    out->first = lcpp ? ctx / 2 : 0;
    out->scored = ctx - 1 - out->first;
    int64_t least = lcpp ? 2 * (int64_t)ctx : out->step;
    if (tokens < least) {
        return pl_fail(PL_E_INPUT, "the text has %lld tokens, expected at least %lld for a context of %d",
                       (long long)tokens, (long long)least, (int)ctx);
    }
    int64_t count = pl_min64(tokens / out->step, INT32_MAX);
    out->count = (int32_t)(chunks > 0 ? pl_min64(count, chunks) : count);
    return PL_OK;
}

void pl_windows_fill(const pl_windows *w, const int32_t *ids, int32_t index, int32_t *out)
{
    const int32_t *from = ids + (int64_t)index * w->step;
    int32_t shift = w->bos >= 0 && !w->replaces;
    memcpy(out + shift, from, (size_t)(w->ctx - shift) * sizeof *out);
    if (w->bos >= 0) out[0] = w->bos;
}
