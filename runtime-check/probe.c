/* probe.c: windows of a text through the original once, then through models that differ in a few matrices. */
#include "runtime-check/probe.h"

#include <math.h>
#include <string.h>

#include "core/fs.h"
#include "runtime-check/graph.h"
#include "runtime-check/metrics.h"
#include "runtime-check/windows.h"

enum { LOGIT_VALUES = 1 << 24 };        /* of one model at a time: 64 MiB */

struct pl_probe {
    pl_source *original;
    pl_pool *pool;
    pl_windows windows;
    int32_t *tokens;            /* [used][ctx] */
    int32_t used;               /* windows */
    pl_graph *graph;            /* of the original */
    float *hidden;              /* [used][scored][width] of the original: logits are made from them anew each time,
                                 * as those of all positions may not fit memory */
    int64_t width, vocab;
    float *logits, *base_logits;/* [rows][vocab] */
    int64_t rows;               /* positions whose logits are held at a time */
};

static pl_status read_windows(pl_probe *p, const pl_probe_options *o)
{
    char *data = NULL;
    size_t len = 0;
    pl_window_text text = { NULL, 0, -1 };
    int32_t ctx = (int32_t)pl_min64(o->ctx, p->original->model->hp.context);
    PL_TRY(pl_file_load(o->text, PL_MAX_TEXT_BYTES, &data, &len));
    pl_status code = pl_windows_encode(p->original, PL_PROTOCOL_FULL, PL_BOS_AUTO, data, len, &text);
    pl_free(data);
    if (code == PL_OK) {
        code = pl_windows_plan(PL_PROTOCOL_FULL, ctx, 0, text.bos, text.count, &p->windows);
        if (code != PL_OK) pl_fail_prefix(code, "%s: ", o->text);
    }
    if (code == PL_OK) {
        p->used = (int32_t)pl_min64(o->windows, p->windows.count);
        p->tokens = pl_alloc((int64_t)p->used * ctx, sizeof *p->tokens);
        if (!p->tokens) code = PL_E_MEMORY;
    }
    for (int32_t i = 0; code == PL_OK && i < p->used; i++) {
        int32_t index = (int32_t)((int64_t)i * p->windows.count / p->used);
        pl_windows_fill(&p->windows, text.ids, index, p->tokens + (int64_t)i * ctx);
    }
    pl_free(text.ids);
    return code;
}

/* Hidden rows of the scored positions of window i. */
static pl_status forward(const pl_probe *p, pl_graph *g, int32_t i, const float **scored)
{
    const float *hidden;
    pl_graph_clear(g);
    PL_TRY(pl_graph_forward(g, p->tokens + (int64_t)i * p->windows.ctx, p->windows.ctx, &hidden));
    *scored = hidden + p->windows.first * p->width;
    return PL_OK;
}

static pl_status prepare(pl_probe *p, const pl_probe_options *o)
{
    const pl_hparams *hp = &p->original->model->hp;
    if (hp->encoder)
        return pl_fail(PL_E_WISH, "%s is an encoder: it has no predictions that could be probed", p->original->path);
    p->width = hp->hidden;
    p->vocab = hp->vocab;
    PL_TRY(read_windows(p, o));
    int64_t scored = p->windows.scored, most = pl_max64(1, LOGIT_VALUES / p->vocab);
    p->rows = pl_ceil_div(scored, pl_ceil_div(scored, most));
    p->logits = pl_alloc_aligned(p->rows * p->vocab, sizeof *p->logits);
    p->base_logits = pl_alloc_aligned(p->rows * p->vocab, sizeof *p->base_logits);
    p->hidden = pl_alloc_aligned(p->used * scored * p->width, sizeof *p->hidden);
    if (!p->logits || !p->base_logits || !p->hidden) return PL_E_MEMORY;
    PL_TRY(pl_graph_create(p->original, p->pool, PL_MODE_EXACT, p->windows.ctx, &p->graph));
    for (int32_t i = 0; i < p->used; i++) {
        const float *hidden;
        PL_TRY(forward(p, p->graph, i, &hidden));
        memcpy(p->hidden + i * scored * p->width, hidden, (size_t)(scored * p->width) * sizeof *hidden);
    }
    return pl_map_check();
}

pl_status pl_probe_create(pl_source *original, const pl_probe_options *options, pl_pool *pool, pl_probe **out)
{
    *out = NULL;
    pl_probe *p = pl_alloc(1, sizeof *p);
    if (!p) return PL_E_MEMORY;
    p->original = original;
    p->pool = pool;
    pl_status code = prepare(p, options);
    if (code != PL_OK) {
        pl_probe_destroy(p);
        return code;
    }
    *out = p;
    return PL_OK;
}

void pl_probe_destroy(pl_probe *p)
{
    if (!p) return;
    pl_graph_destroy(p->graph);
    pl_free(p->tokens);
    pl_free(p->hidden);
    pl_free(p->logits);
    pl_free(p->base_logits);
    pl_free(p);
}

static pl_status compare_window(pl_probe *p, pl_graph *g, int32_t i, pl_metrics *metrics)
{
    const float *hidden, *base = p->hidden + (int64_t)i * p->windows.scored * p->width;
    const int32_t *next = p->tokens + (int64_t)i * p->windows.ctx + p->windows.first + 1;
    PL_TRY(forward(p, g, i, &hidden));
    for (int64_t done = 0; done < p->windows.scored; done += p->rows) {
        int32_t n = (int32_t)pl_min64(p->rows, p->windows.scored - done);
        PL_TRY(pl_graph_logits(g, hidden + done * p->width, n, p->logits));
        PL_TRY(pl_graph_logits(p->graph, base + done * p->width, n, p->base_logits));
        PL_TRY(pl_metrics_add(metrics, n, p->vocab, p->logits, p->base_logits, next + done, p->pool));
    }
    return PL_OK;
}

pl_status pl_probe_model(pl_probe *p, pl_source *model, double *kld)
{
    pl_graph *g = NULL;
    pl_metrics *metrics = NULL;
    pl_summary summary;
    pl_status code = pl_graph_create(model, p->pool, PL_MODE_EXACT, p->windows.ctx, &g);
    if (code == PL_OK) code = pl_metrics_create((int64_t)p->used * p->windows.scored, true, &metrics);
    for (int32_t i = 0; code == PL_OK && i < p->used; i++) code = compare_window(p, g, i, metrics);
    if (code == PL_OK) code = pl_map_check();
    if (code == PL_OK) code = pl_metrics_summarize(metrics, &summary);
    if (code == PL_OK && !isfinite(summary.kld_mean))
        code = pl_fail(PL_E_INPUT, "%s: logits that are not finite: %lld", model->path, (long long)summary.nonfinite);
    if (code == PL_OK) *kld = summary.kld_mean;
    pl_metrics_destroy(metrics);
    pl_graph_destroy(g);
    return code;
}

double pl_probe_cost(const pl_model *model, const pl_probe_options *options)
{
    const pl_hparams *hp = &model->hp;
    double weights = (double)hp->vocab * hp->hidden * 2;        /* logits of both */
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        double share = t->id.expert >= 0 && hp->experts > 0 ? (double)hp->experts_used / hp->experts : 1;
        if (t->id.layer >= 0 && t->flags & PL_TENSOR_MATRIX) weights += share * (double)t->rows * (double)t->cols;
    }
    return 2 * weights * options->ctx * options->windows;
}

/* ---- sharing ---- */

static double sum_of(const double *x, int count, int stride)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += x[i * stride];
    return sum;
}

static void scale_to(double *x, int count, int stride, double wanted)
{
    double sum = sum_of(x, count, stride);
    for (int i = 0; sum > 0 && i < count; i++) x[i * stride] *= wanted / sum;
}

void pl_probe_share(const double *prior, const double *row_sum, const double *col_sum, int rows, int cols, double *out)
{
    enum { ROUNDS = 64 };
    double by_rows = sum_of(row_sum, rows, 1), by_cols = sum_of(col_sum, cols, 1);
    double ratio = by_cols > 0 ? by_rows / by_cols : 1;
    memcpy(out, prior, (size_t)rows * (size_t)cols * sizeof *out);
    for (int round = 0; round < ROUNDS; round++) {
        for (int c = 0; c < cols; c++) scale_to(out + c, rows, cols, col_sum[c] * ratio);
        for (int r = 0; r < rows; r++) scale_to(out + r * cols, cols, 1, row_sum[r]);
    }
}
