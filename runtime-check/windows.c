/* windows.c: a text as tokens, and cutting them into windows. */
#include "runtime-check/windows.h"

#include <string.h>

static pl_status find_bos(const pl_source *s, pl_bos wish, int32_t *bos)
{
    const pl_vocab *v = s->model->vocab;
    if (!v) return pl_fail(PL_E_INPUT, "%s: there is no vocabulary to read the text with", s->path);
    *bos = v->bos;
    if (wish == PL_BOS_ALWAYS && v->bos < 0) {
        return pl_fail(PL_E_WISH, "%s: the vocabulary has no BOS token to begin with", s->path);
    }
    if (wish == PL_BOS_NEVER || (wish == PL_BOS_AUTO && !v->add_bos)) *bos = -1;
    return PL_OK;
}

pl_status pl_windows_encode(const pl_source *s, pl_protocol protocol, pl_bos bos, const char *data, size_t len,
                            pl_window_text *out)
{
    pl_tokenizer *t = NULL;
    bool lcpp = protocol == PL_PROTOCOL_LCPP;
    PL_TRY(find_bos(s, bos, &out->bos));
    if (lcpp && s->model->vocab->add_eos) {
        return pl_fail(PL_E_INPUT, "%s: its tokenizer ends texts with EOS, for which the protocol "
                       "'lcpp' is not defined", s->path);
    }
    PL_TRY(pl_tokenizer_create(s->model->vocab, &t));
    pl_status status = pl_tokenizer_encode(t, data, len, false,
                                           lcpp && out->bos >= 0 ? PL_BOS_ALWAYS : PL_BOS_NEVER,
                                           &out->ids, &out->count);
    pl_tokenizer_destroy(t);
    for (int64_t i = 0; status == PL_OK && i < out->count; i++) {
        if (out->ids[i] >= 0 && out->ids[i] < s->model->hp.vocab) continue;
        status = pl_fail(PL_E_INPUT, "%s: the text has token %d, the model's table %d", s->path,
                         (int)out->ids[i], (int)s->model->hp.vocab);
    }
    return status;
}

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
