/* check.c: two models over the same tokens, window by window, side by side. */
#include "runtime-check/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/hash.h"
#include "core/log.h"
#include "runtime-check/embed.h"
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

/* Ids of the text, the same for both models. */
static pl_status read_text(const pl_source *model, const pl_source *against,
                           const pl_check_options *o, pl_window_text *out)
{
    char *data = NULL;
    size_t len = 0;
    pl_window_text other = { NULL, 0, -1 };
    PL_TRY(pl_file_load(o->text, PL_MAX_TEXT_BYTES, &data, &len));
    pl_status status = pl_windows_encode(model, o->protocol, o->bos, data, len, out);
    if (status == PL_OK && against) status = pl_windows_encode(against, o->protocol, o->bos, data, len, &other);
    if (status == PL_OK && against) status = compare(model, out, against, &other);
    pl_free(other.ids);
    pl_free(data);
    return status;
}

/* ---- running ---- */

typedef struct run {
    pl_source *model, *against;
    pl_pool *pool;
    pl_windows windows;
    pl_window_text text;
    pl_graph *graph, *base;     /* base NULL: perplexity alone */
    pl_metrics *metrics;
    int32_t *tokens;            /* [ctx] of the window at hand */
    float *logits, *base_logits;/* [rows][vocab] */
    float *kept;                /* [scored][hidden]: the first of two passes that give the floor */
    int64_t rows;               /* positions whose logits are held at a time */
    double seconds;             /* in the candidate's forward */
} run;

static int64_t vocab_of(const run *r) { return r->model->model->hp.vocab; }

static pl_status prepare(run *r, const pl_check_options *o)
{
    int32_t hidden = r->against ? r->against->model->hp.hidden : 0;
    PL_TRY(pl_graph_create(r->model, r->pool, o->mode, o->ctx, &r->graph));
    if (r->against) PL_TRY(pl_graph_create(r->against, r->pool, PL_MODE_EXACT, o->ctx, &r->base));
    PL_TRY(pl_metrics_create((int64_t)r->windows.count * r->windows.scored, r->base != NULL,
                             &r->metrics));
    /* chunks of equal size, so that the last is not a small one */
    int64_t scored = r->windows.scored, most = pl_max64(1, LOGIT_VALUES / vocab_of(r));
    r->rows = pl_ceil_div(scored, pl_ceil_div(scored, most));
    r->tokens = pl_alloc(o->ctx, sizeof *r->tokens);
    r->logits = pl_alloc_aligned(r->rows * vocab_of(r), sizeof *r->logits);
    if (!r->tokens || !r->logits) return PL_E_MEMORY;
    if (!r->base) return PL_OK;
    r->base_logits = pl_alloc_aligned(r->rows * vocab_of(r), sizeof *r->base_logits);
    r->kept = pl_alloc_aligned(scored * hidden, sizeof *r->kept);
    return r->base_logits && r->kept ? PL_OK : PL_E_MEMORY;
}

static void release(run *r)
{
    pl_free(r->text.ids);
    pl_free(r->tokens);
    pl_free(r->logits);
    pl_free(r->base_logits);
    pl_free(r->kept);
    pl_metrics_destroy(r->metrics);
    pl_graph_destroy(r->graph);
    pl_graph_destroy(r->base);
}

/* Hidden rows of the scored positions of the window at hand. */
static pl_status forward(const run *r, pl_graph *g, int32_t width, const float **scored)
{
    const float *hidden;
    pl_graph_clear(g);
    PL_TRY(pl_graph_forward(g, r->tokens, r->windows.ctx, &hidden));
    *scored = hidden + (int64_t)r->windows.first * width;
    return PL_OK;
}

/* Measures the scored positions: hidden rows of q under graph gq against those of p under gp, which is
 * NULL for q alone. */
static pl_status measure(run *r, pl_metrics *metrics, pl_graph *gq, const float *q, int32_t q_width,
                         pl_graph *gp, const float *p, int32_t p_width)
{
    const int32_t *next = r->tokens + r->windows.first + 1;
    for (int64_t done = 0; done < r->windows.scored; done += r->rows) {
        int32_t n = (int32_t)pl_min64(r->rows, r->windows.scored - done);
        PL_TRY(pl_graph_logits(gq, q + done * q_width, n, r->logits));
        if (gp) PL_TRY(pl_graph_logits(gp, p + done * p_width, n, r->base_logits));
        PL_TRY(pl_metrics_add(metrics, n, vocab_of(r), r->logits, gp ? r->base_logits : NULL,
                              next + done, r->pool));
    }
    return PL_OK;
}

static pl_status run_window(run *r, int32_t index)
{
    const float *q, *p = NULL;
    int32_t q_width = r->model->model->hp.hidden, p_width = r->base ? r->against->model->hp.hidden : 0;
    pl_windows_fill(&r->windows, r->text.ids, index, r->tokens);
    double begin = pl_seconds();
    PL_TRY(forward(r, r->graph, q_width, &q));
    r->seconds += pl_seconds() - begin;
    if (r->base) PL_TRY(forward(r, r->base, p_width, &p));
    return measure(r, r->metrics, r->graph, q, q_width, r->base, p, p_width);
}

/* The reference against itself on the first window, the way that the candidate goes. */
static pl_status measure_floor(run *r, double *floor)
{
    const float *hidden;
    int32_t width = r->against->model->hp.hidden;
    pl_metrics *metrics = NULL;
    pl_summary summary = { .kld_mean = NAN };
    PL_TRY(pl_metrics_create(r->windows.scored, true, &metrics));
    pl_windows_fill(&r->windows, r->text.ids, 0, r->tokens);
    pl_status status = forward(r, r->base, width, &hidden);
    if (status == PL_OK) {
        memcpy(r->kept, hidden, (size_t)r->windows.scored * (size_t)width * sizeof *hidden);
        status = forward(r, r->base, width, &hidden);
    }
    if (status == PL_OK) {
        status = measure(r, metrics, r->base, r->kept, width, r->base, hidden, width);
    }
    if (status == PL_OK) status = pl_metrics_summarize(metrics, &summary);
    *floor = summary.kld_mean;
    pl_metrics_destroy(metrics);
    return status;
}

/* Tokens per second of single steps over the beginning of the first window. */
static pl_status measure_decode(run *r, double *tps)
{
    const float *hidden;
    int32_t total = (int32_t)pl_min64(DECODE_WARM + DECODE_STEPS, r->windows.ctx);
    int32_t warm = total - 1 < DECODE_WARM ? total - 1 : DECODE_WARM;
    double begin = 0;
    pl_windows_fill(&r->windows, r->text.ids, 0, r->tokens);
    pl_graph_clear(r->graph);
    for (int32_t i = 0; i < total; i++) {
        if (i == warm) begin = pl_seconds();
        PL_TRY(pl_graph_forward(r->graph, r->tokens + i, 1, &hidden));
        PL_TRY(pl_graph_logits(r->graph, hidden, 1, r->logits));
    }
    *tps = (total - warm) / (pl_seconds() - begin);
    return PL_OK;
}

static pl_status run_all(run *r, const pl_check_options *o, pl_check_result *out)
{
    pl_summary s;
    PL_TRY(read_text(r->model, r->against, o, &r->text));
    pl_status code = pl_windows_plan(o->protocol, o->ctx, o->chunks, r->text.bos, r->text.count, &r->windows);
    if (code != PL_OK) return pl_fail_prefix(code, "%s: ", o->text);
    PL_TRY(prepare(r, o));
    pl_progress("check", NULL, "windows", 0, r->windows.count);
    for (int32_t i = 0; i < r->windows.count; i++) {
        PL_TRY(run_window(r, i));
        pl_progress("check", NULL, "windows", i + 1, r->windows.count);
    }
    if (r->base) {
        out->kld_windows = pl_alloc(r->windows.count, sizeof *out->kld_windows);
        if (!out->kld_windows) return PL_E_MEMORY;
        for (int32_t i = 0; i < r->windows.count; i++)
            out->kld_windows[i] = pl_metrics_kld(r->metrics, (int64_t)i * r->windows.scored, r->windows.scored);
    }
    out->kld_floor = NAN;
    if (r->base) PL_TRY(measure_floor(r, &out->kld_floor));
    PL_TRY(measure_decode(r, &out->tg_tps));
    PL_TRY(pl_map_check());
    PL_TRY(pl_metrics_summarize(r->metrics, &s));
    out->chunks = r->windows.count;
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
    out->pp_tps = (double)r->windows.count * r->windows.ctx / r->seconds;
    snprintf(out->bos_used, sizeof out->bos_used, "%s", r->text.bos >= 0 ? "yes" : "no");
    return PL_OK;
}

static pl_status predict(pl_source *model, pl_source *against, const pl_check_options *options,
                         pl_pool *pool, pl_check_result *out)
{
    run r = { .model = model, .against = against, .pool = pool };
    out->cos_mean = out->cos_p01 = out->cos_min = out->cos_floor = out->sim_rms = NAN;
    pl_status status = run_all(&r, options, out);
    release(&r);
    return status;
}

/* ---- what needs no forward pass ---- */

static pl_status measure_size(const pl_source *model, const pl_source *against, pl_check_result *out)
{
    double bits = 0, weights = 0;
    for (int i = 0; i < model->model->tensors; i++) {
        const pl_tensor *t = &model->model->tensor[i];
        int64_t bytes;
        if (t->id.layer < 0 || !(t->flags & PL_TENSOR_MATRIX)) continue;
        PL_TRY(pl_tensor_bytes(t, &bytes));
        bits += 8.0 * (double)bytes;
        weights += (double)t->rows * (double)t->cols;
    }
    for (int i = 0; i < model->files; i++) {
        pl_file *file;
        PL_TRY(pl_file_open(model->file[i], &file));
        out->size_bytes += pl_file_size(file);
        pl_file_close(file);
    }
    const pl_source *original = against ? against : model;
    out->bpw_body = bits / weights;
    out->bpw_file = 8.0 * (double)out->size_bytes / (double)original->model->parameters;
    return PL_OK;
}

pl_status pl_check_digest(const pl_source *s, char out[40])
{
    pl_hash *all = NULL;
    pl_digest digest = { { 0 } };
    PL_TRY(pl_hash_create(&all));
    pl_status status = PL_OK;
    for (int i = 0; status == PL_OK && i < s->files; i++) {
        status = pl_hash_file(s->file[i], &digest);
        pl_hash_update(all, digest.byte, sizeof digest.byte);
    }
    if (s->files != 1) digest = pl_hash_digest(all);
    pl_digest_text(digest, out);
    pl_hash_destroy(all);
    return status;
}

static pl_status digest_all(const pl_source *model, const pl_source *against, pl_check_result *out)
{
    pl_digest text_digest;
    PL_TRY(pl_check_digest(model, out->digest_model));
    if (against) PL_TRY(pl_check_digest(against, out->digest_against));
    PL_TRY(pl_hash_file(out->options.text, &text_digest));
    pl_digest_text(text_digest, out->digest_text);
    return PL_OK;
}

static void miss(pl_check_result *r, const char *what, double value, const char *side, double bound)
{
    snprintf(r->missed[r->missed_count++], sizeof r->missed[0], "%s %.6g is %s %.9g", what, value, side,
             bound);
}

/* Written so that a NaN misses every threshold. */
static void judge(pl_check_result *r)
{
    const pl_check_options *o = &r->options;
    if (r->nonfinite > 0) {
        snprintf(r->missed[r->missed_count++], sizeof r->missed[0], "non-finite %s: %lld",
                 r->encoder ? "hidden values" : "logits", (long long)r->nonfinite);
    }
    if (!isnan(o->max_ppl_ratio) && !(r->ppl_ratio <= o->max_ppl_ratio)) {
        miss(r, "ppl_ratio", r->ppl_ratio, "above", o->max_ppl_ratio);
    }
    if (!isnan(o->max_kld) && !(r->kld_mean <= o->max_kld)) {
        miss(r, "kld_mean", r->kld_mean, "above", o->max_kld);
    }
    if (!isnan(o->min_top1) && !(r->top1 >= o->min_top1)) {
        miss(r, "top1", r->top1, "below", o->min_top1);
    }
    if (!isnan(o->min_cosine) && !(r->cos_mean >= o->min_cosine)) {
        miss(r, "cos_mean", r->cos_mean, "below", o->min_cosine);
    }
    r->passed = r->missed_count == 0;
}

/* A threshold that cannot be measured would pass in silence. */
static pl_status check_thresholds(const pl_source *model, const pl_source *against,
                                  const pl_check_options *o)
{
    bool encoder = model->model->hp.encoder;
    bool predictions = !isnan(o->max_ppl_ratio) || !isnan(o->max_kld) || !isnan(o->min_top1);
    bool embeddings = !isnan(o->min_cosine);
    if ((predictions || embeddings) && !against) {
        return pl_fail(PL_E_WISH, "a threshold needs the original to compare with");
    }
    if (encoder && predictions) {
        return pl_fail(PL_E_WISH, "%s is an encoder: of the thresholds only --min-cosine applies", model->path);
    }
    if (!encoder && embeddings) {
        return pl_fail(PL_E_WISH, "%s predicts tokens: --min-cosine is for encoders", model->path);
    }
    return PL_OK;
}

void pl_check_release(pl_check_result *result)
{
    pl_free(result->kld_windows);
    result->kld_windows = NULL;
}

pl_status pl_check_run(pl_source *model, pl_source *against, const pl_check_options *options,
                       pl_pool *pool, pl_check_result *out)
{
    double begin = pl_seconds();
    bool encoder = model->model->hp.encoder;
    PL_TRY(check_thresholds(model, against, options));
    if (!encoder && options->ctx > model->model->hp.context) {
        pl_log(PL_LOG_WARN, "windows of %d tokens are longer than the %d that the model was made for",
               (int)options->ctx, (int)model->model->hp.context);
    }
    *out = (pl_check_result){ .encoder = encoder, .model = model->path, .against = against ? against->path : NULL,
                              .options = *options, .threads = pl_pool_workers(pool) };
    PL_TRY(measure_size(model, against, out));
    pl_status status = encoder ? pl_embed_compare(model, against, options, pool, out)
                               : predict(model, against, options, pool, out);
    if (status == PL_OK) status = digest_all(model, against, out);
    if (status != PL_OK) {
        pl_check_release(out);
        return status;
    }
    judge(out);
    out->seconds = pl_seconds() - begin;
    return PL_OK;
}
