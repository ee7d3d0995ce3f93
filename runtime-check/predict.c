/* predict.c: decoders: predictions of the next token, candidates beside their original, window by window. */
#include "runtime-check/predict.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/log.h"
#include "runtime-check/metrics.h"
#include "runtime-check/windows.h"

enum {
    LOGIT_VALUES = 1 << 24,     /* of one model at a time: 64 MiB */
    DECODE_WARM = 4, DECODE_STEPS = 16
};

/* ---- the text ---- */

static pl_status compare(const pl_source *a, const pl_window_text *x, const pl_source *b,
                         const pl_window_text *y)
{
    int64_t i = 0, both = pl_min64(x->count, y->count);
    if (a->model->hp.vocab != b->model->hp.vocab) {
        return pl_fail(PL_E_INPUT, "%s predicts %d tokens, %s %d: not the same vocabulary", a->path,
                       (int)a->model->hp.vocab, b->path, (int)b->model->hp.vocab);
    }
    if (x->bos != y->bos) {
        return pl_fail(PL_E_INPUT, "%s begins texts with token %d, %s with %d (-1: none)", a->path,
                       (int)x->bos, b->path, (int)y->bos);
    }
    while (i < both && x->ids[i] == y->ids[i]) i++;
    if (i < both) {
        return pl_fail(PL_E_INPUT, "token %lld of the text is %d for %s, %d for %s", (long long)i,
                       (int)x->ids[i], a->path, (int)y->ids[i], b->path);
    }
    if (x->count == y->count) return PL_OK;
    return pl_fail(PL_E_INPUT, "the text has %lld tokens for %s, %lld for %s", (long long)x->count,
                   a->path, (long long)y->count, b->path);
}

/* Ids of the text, the same for all models. */
static pl_status read_text(pl_source *const *models, int count, const pl_source *against,
                           const pl_check_options *o, pl_window_text *out)
{
    const pl_source *first = against ? against : models[0];
    char *data = NULL;
    size_t len = 0;
    PL_TRY(pl_file_load(o->text, PL_MAX_TEXT_BYTES, &data, &len));
    pl_status status = pl_windows_encode(first, o->protocol, o->bos, data, len, out);
    for (int i = 0; status == PL_OK && i < count; i++) {
        pl_window_text own = { NULL, 0, -1 };
        if (models[i] == first) continue;
        status = pl_windows_encode(models[i], o->protocol, o->bos, data, len, &own);
        if (status == PL_OK) status = compare(models[i], &own, first, out);
        pl_free(own.ids);
    }
    pl_free(data);
    return status;
}

/* ---- running ---- */

typedef struct side {
    pl_source *source;
    pl_graph *graph;            /* NULL: there is no such model */
    const float *hidden;        /* [scored][hidden] of the window at hand, in the graph's memory */
    pl_metrics *metrics;        /* of a candidate */
    double seconds;             /* in forward */
} side;

typedef struct run {
    side *model;                /* [count] candidates */
    int count;
    side base;                  /* the original; without one perplexity alone */
    pl_pool *pool;
    pl_windows windows;
    pl_window_text text;
    int32_t *tokens;            /* [ctx] of the window at hand */
    float *logits, *base_logits;/* [rows][vocab] */
    int64_t rows;               /* positions whose logits are held at a time */
} run;

static int64_t vocab_of(const run *r) { return r->model[0].source->model->hp.vocab; }

static pl_status prepare(run *r, const pl_check_options *o)
{
    int64_t scored = r->windows.scored;
    for (int i = 0; i < r->count; i++) {
        side *m = &r->model[i];
        PL_TRY(pl_graph_create(m->source, r->pool, o->mode, o->ctx, &m->graph));
        PL_TRY(pl_metrics_create(r->windows.count * scored, r->base.source != NULL, &m->metrics));
    }
    if (r->base.source) PL_TRY(pl_graph_create(r->base.source, r->pool, PL_MODE_EXACT, o->ctx, &r->base.graph));
    /* chunks of equal size, so that the last is not a small one */
    int64_t most = pl_max64(1, LOGIT_VALUES / vocab_of(r));
    r->rows = pl_ceil_div(scored, pl_ceil_div(scored, most));
    r->tokens = pl_alloc(o->ctx, sizeof *r->tokens);
    r->logits = pl_alloc_aligned(r->rows * vocab_of(r), sizeof *r->logits);
    if (r->base.graph) r->base_logits = pl_alloc_aligned(r->rows * vocab_of(r), sizeof *r->base_logits);
    return r->tokens && r->logits && (r->base_logits || !r->base.graph) ? PL_OK : PL_E_MEMORY;
}

static void release(run *r)
{
    for (int i = 0; i < r->count; i++) {
        pl_metrics_destroy(r->model[i].metrics);
        pl_graph_destroy(r->model[i].graph);
    }
    pl_graph_destroy(r->base.graph);
    pl_free(r->model);
    pl_free(r->text.ids);
    pl_free(r->tokens);
    pl_free(r->logits);
    pl_free(r->base_logits);
}

/* Hidden rows of the scored positions of the window at hand. */
static pl_status forward(const run *r, side *m)
{
    const float *hidden;
    double begin = pl_seconds();
    pl_graph_clear(m->graph);
    PL_TRY(pl_graph_forward(m->graph, r->tokens, r->windows.ctx, &hidden));
    m->seconds += pl_seconds() - begin;
    m->hidden = hidden + (int64_t)r->windows.first * m->source->model->hp.hidden;
    return PL_OK;
}

static pl_status logits(const side *m, int64_t first, int32_t n, float *out)
{
    return pl_graph_logits(m->graph, m->hidden + first * m->source->model->hp.hidden, n, out);
}

/* Measures the scored positions of `count` candidates against the original's, whose logits are made once. */
static pl_status measure(run *r, const side *q, int count)
{
    const int32_t *next = r->tokens + r->windows.first + 1;
    for (int64_t done = 0; done < r->windows.scored; done += r->rows) {
        int32_t n = (int32_t)pl_min64(r->rows, r->windows.scored - done);
        if (r->base.graph) PL_TRY(logits(&r->base, done, n, r->base_logits));
        for (int i = 0; i < count; i++) {
            PL_TRY(logits(&q[i], done, n, r->logits));
            PL_TRY(pl_metrics_add(q[i].metrics, n, vocab_of(r), r->logits, r->base_logits, next + done, r->pool));
        }
    }
    return PL_OK;
}

static pl_status run_window(run *r, int32_t index)
{
    pl_windows_fill(&r->windows, r->text.ids, index, r->tokens);
    for (int i = 0; i < r->count; i++) PL_TRY(forward(r, &r->model[i]));
    if (r->base.graph) PL_TRY(forward(r, &r->base));
    return measure(r, r->model, r->count);
}

/* The reference against itself on the first window, the way that a candidate goes. */
static pl_status measure_floor(run *r, double *floor)
{
    pl_summary summary = { .kld_mean = NAN };
    int64_t values = (int64_t)r->windows.scored * r->base.source->model->hp.hidden;
    float *kept = pl_alloc_aligned(values, sizeof *kept);       /* the first of two passes */
    side again = r->base;
    pl_status status = kept ? pl_metrics_create(r->windows.scored, true, &again.metrics) : PL_E_MEMORY;
    pl_windows_fill(&r->windows, r->text.ids, 0, r->tokens);
    if (status == PL_OK) status = forward(r, &r->base);
    if (status == PL_OK) {
        memcpy(kept, r->base.hidden, (size_t)values * sizeof *kept);
        again.hidden = kept;
        status = forward(r, &r->base);
    }
    if (status == PL_OK) status = measure(r, &again, 1);
    if (status == PL_OK) status = pl_metrics_summarize(again.metrics, &summary);
    *floor = summary.kld_mean;
    pl_metrics_destroy(again.metrics);
    pl_free(kept);
    return status;
}

/* Tokens per second of single steps over the beginning of the first window. */
static pl_status measure_decode(run *r, const side *m, double *tps)
{
    const float *hidden;
    int32_t total = (int32_t)pl_min64(DECODE_WARM + DECODE_STEPS, r->windows.ctx);
    int32_t warm = total - 1 < DECODE_WARM ? total - 1 : DECODE_WARM;
    double begin = 0;
    pl_windows_fill(&r->windows, r->text.ids, 0, r->tokens);
    pl_graph_clear(m->graph);
    for (int32_t i = 0; i < total; i++) {
        if (i == warm) begin = pl_seconds();
        PL_TRY(pl_graph_forward(m->graph, r->tokens + i, 1, &hidden));
        PL_TRY(pl_graph_logits(m->graph, hidden, 1, r->logits));
    }
    *tps = (total - warm) / (pl_seconds() - begin);
    return PL_OK;
}

/* ---- the figures ---- */

static pl_status summarize(run *r, const side *m, pl_check_result *out)
{
    pl_summary s;
    const pl_windows *w = &r->windows;
    if (r->base.graph) {
        out->kld_windows = pl_alloc(w->count, sizeof *out->kld_windows);
        if (!out->kld_windows) return PL_E_MEMORY;
        for (int32_t i = 0; i < w->count; i++)
            out->kld_windows[i] = pl_metrics_kld(m->metrics, (int64_t)i * w->scored, w->scored);
    }
    PL_TRY(pl_metrics_summarize(m->metrics, &s));
    out->chunks = w->count;
    out->tokens_scored = s.positions;
    out->nonfinite = s.nonfinite;
    out->ppl = s.ppl;
    out->ppl_err = s.ppl_err;
    out->ppl_base = s.ppl_base;
    out->ppl_ratio = s.ppl_ratio;
    out->kld_mean = s.kld_mean;
    out->kld_err = s.kld_err;
    out->kld_median = s.kld_median;
    out->kld_p99 = s.kld_p99;
    out->kld_p999 = s.kld_p999;
    out->kld_max = s.kld_max;
    out->top1 = s.top1;
    out->rms_dp = s.rms_dp;
    out->pp_tps = (double)w->count * w->ctx / m->seconds;
    out->cos_mean = out->cos_p01 = out->cos_min = out->cos_floor = out->sim_rms = NAN;
    snprintf(out->bos_used, sizeof out->bos_used, "%s", r->text.bos >= 0 ? "yes" : "no");
    return PL_OK;
}

/* ---- the whole ---- */

static pl_status run_all(run *r, const pl_check_options *o, pl_check_result *out)
{
    double floor = NAN;
    pl_status code = pl_windows_plan(o->protocol, o->ctx, o->chunks, r->text.bos, r->text.count, &r->windows);
    if (code != PL_OK) return pl_fail_prefix(code, "%s: ", o->text);
    PL_TRY(prepare(r, o));
    pl_progress("check", NULL, "windows", 0, r->windows.count);
    for (int32_t i = 0; i < r->windows.count; i++) {
        PL_TRY(run_window(r, i));
        pl_progress("check", NULL, "windows", i + 1, r->windows.count);
    }
    if (r->base.graph) PL_TRY(measure_floor(r, &floor));
    for (int i = 0; i < r->count; i++) {
        out[i].kld_floor = floor;
        PL_TRY(measure_decode(r, &r->model[i], &out[i].tg_tps));
    }
    PL_TRY(pl_map_check());
    for (int i = 0; i < r->count; i++) PL_TRY(summarize(r, &r->model[i], &out[i]));
    return PL_OK;
}

pl_status pl_predict_compare(pl_source *const *models, int count, pl_source *against,
                             const pl_check_options *options, pl_pool *pool, pl_check_result *out)
{
    run r = { .model = pl_alloc(count, sizeof *r.model), .count = count, .base.source = against, .pool = pool };
    if (!r.model) return PL_E_MEMORY;
    for (int i = 0; i < count; i++) r.model[i].source = models[i];
    pl_status status = read_text(models, count, against, options, &r.text);
    if (status == PL_OK) status = run_all(&r, options, out);
    release(&r);
    return status;
}
