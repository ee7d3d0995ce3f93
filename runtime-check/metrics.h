/* metrics.h: perplexity, divergence and agreement from logits. docs/report.md has the formulas. */
#ifndef RUNTIME_CHECK_METRICS_H
#define RUNTIME_CHECK_METRICS_H

#include "core/pool.h"

/* What one position says of candidate q and reference p. */
typedef struct pl_position {
    double nll_q, nll_p;        /* -ln of the true token's probability, nats */
    double kld;                 /* Σ P (ln P - ln Q) over the whole vocabulary, nats */
    double dp;                  /* Q(true) - P(true) */
    bool same_top;              /* first maxima agree */
    int64_t nonfinite;          /* logits of both that are NaN or infinite; the rest is NaN then */
} pl_position;

/* q, p [vocab]; p NULL: only nll_q and nonfinite are set. */
pl_position pl_position_measure(const float *q, const float *p, int64_t vocab, int32_t next);

/* Collects positions, in order. */
typedef struct pl_metrics pl_metrics;
pl_status pl_metrics_create(int64_t most, bool paired, pl_metrics **out);
void pl_metrics_destroy(pl_metrics *m);
/* n further positions: logits q, p [n][vocab] (p NULL unless paired) and the true token of each. The
 * same for any number of workers. */
pl_status pl_metrics_add(pl_metrics *m, int64_t n, int64_t vocab, const float *q, const float *p,
                         const int32_t *next, pl_pool *pool);

typedef struct pl_summary {
    int64_t positions, nonfinite;
    double ppl, ppl_err;        /* candidate */
    double ppl_base, ppl_ratio; /* the rest only if paired, else NaN */
    double kld_mean, kld_err, kld_median, kld_p99, kld_p999, kld_max;
    double top1, rms_dp;        /* percent */
} pl_summary;

/* Non-finite logits anywhere make every figure NaN; only their number is given. */
pl_status pl_metrics_summarize(const pl_metrics *m, pl_summary *out);

/* Mean KLD of `count` positions from `first`, which were added; NaN unless paired and finite. */
double pl_metrics_kld(const pl_metrics *m, int64_t first, int64_t count);

/* Mean and its error sqrt((mean of squares - square of mean) / (n - 1)); n >= 2, else NaN. */
void pl_mean_error(const double *x, int64_t n, double *mean, double *error);
void pl_sort_values(double *x, int64_t n);
/* Value at place f * (n - 1) of sorted values, f in [0, 1], linear between neighbours. */
double pl_percentile(const double *sorted, int64_t n, double f);

#endif
