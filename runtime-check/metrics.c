/* metrics.c: perplexity, divergence and agreement from logits, in double. */
#include "runtime-check/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "core/mem.h"
#include "runtime-check/vecmath.h"

static int64_t count_nonfinite(const float *x, int64_t n)
{
    int64_t bad = 0, first = pl_find_nonfinite(x, n);
    if (first < 0) return 0;
    for (int64_t i = first; i < n; i++) bad += !isfinite(x[i]);
    return bad;
}

static int64_t first_of(const float *x, int64_t n, float value)
{
    int64_t i = 0;
    while (i < n - 1 && x[i] != value) i++;
    return i;
}

/* Pieces small enough to stay in the first cache. */
enum { PIECE = 512 };

/* d[i] = x[i] - max, held above the point where e^d ends; e[i] = e^d[i] */
static void exponentials(const float *x, float max, int64_t n, double *d, double *e)
{
    for (int64_t i = 0; i < n; i++) d[i] = (double)x[i] - (double)max;
    for (int64_t i = 0; i < n; i++) e[i] = d[i] < -708.0 ? -708.0 : d[i];
    for (int64_t i = 0; i < n; i++) e[i] = pl_exp_f64(e[i]);
}

/* With d = x - max and Z = Σ e^d: ln softmax = d - ln Z, so
 * KLD = (Σ e^dp (dp - dq)) / Zp - ln Zp + ln Zq. */
pl_position pl_position_measure(const float *q, const float *p, int64_t vocab, int32_t next)
{
    pl_position out = { NAN, NAN, NAN, NAN, false, count_nonfinite(q, vocab) };
    if (p) out.nonfinite += count_nonfinite(p, vocab);
    if (out.nonfinite) return out;

    float max_q = pl_max_f32(q, vocab), max_p = p ? pl_max_f32(p, vocab) : 0;
    double zq = 0, zp = 0, cross = 0, dq[PIECE], dp[PIECE], eq[PIECE], ep[PIECE];
    for (int64_t first = 0; first < vocab; first += PIECE) {
        int64_t n = pl_min64(PIECE, vocab - first);
        exponentials(q + first, max_q, n, dq, eq);
        zq += pl_sum_f64(eq, n);
        if (!p) continue;
        exponentials(p + first, max_p, n, dp, ep);
        zp += pl_sum_f64(ep, n);
        for (int64_t i = 0; i < n; i++) ep[i] *= dp[i] - dq[i];
        cross += pl_sum_f64(ep, n);
    }
    out.nll_q = log(zq) - ((double)q[next] - (double)max_q);
    if (!p) return out;
    out.nll_p = log(zp) - ((double)p[next] - (double)max_p);
    out.kld = cross / zp - log(zp) + log(zq);
    out.dp = exp(-out.nll_q) - exp(-out.nll_p);
    out.same_top = first_of(q, vocab, max_q) == first_of(p, vocab, max_p);
    return out;
}

struct pl_metrics {
    int64_t most, count;
    bool paired;
    pl_position *at;            /* [most] */
};

pl_status pl_metrics_create(int64_t most, bool paired, pl_metrics **out)
{
    pl_metrics *m = pl_alloc(1, sizeof *m);
    pl_position *at = pl_alloc(most, sizeof *at);
    if (!m || !at) {
        pl_free(m);
        pl_free(at);
        return PL_E_MEMORY;
    }
    *m = (pl_metrics){ .most = most, .paired = paired, .at = at };
    *out = m;
    return PL_OK;
}

void pl_metrics_destroy(pl_metrics *m)
{
    if (!m) return;
    pl_free(m->at);
    pl_free(m);
}

typedef struct add_job {
    pl_metrics *m;
    int64_t vocab;
    const float *q, *p;
    const int32_t *next;
} add_job;

static pl_status add_task(void *ctx, int64_t i, int worker)
{
    const add_job *j = ctx;
    j->m->at[j->m->count + i] = pl_position_measure(j->q + i * j->vocab,
                                                    j->p ? j->p + i * j->vocab : NULL, j->vocab,
                                                    j->next[i]);
    return PL_OK;
}

pl_status pl_metrics_add(pl_metrics *m, int64_t n, int64_t vocab, const float *q, const float *p,
                         const int32_t *next, pl_pool *pool)
{
    add_job job = { m, vocab, q, p, next };
    if (n > m->most - m->count) return pl_fail(PL_E_WISH, "more positions than were announced");
    PL_TRY(pl_pool_for(pool, n, add_task, &job));
    m->count += n;
    return PL_OK;
}

/* ---- statistics ---- */

void pl_mean_error(const double *x, int64_t n, double *mean, double *error)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    *mean = sum / (double)n;
    double variance = squares / (double)n - *mean * *mean;
    *error = n < 2 ? NAN : sqrt((variance < 0 ? 0 : variance) / (double)(n - 1));
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void pl_sort_values(double *x, int64_t n) { qsort(x, (size_t)n, sizeof *x, compare_doubles); }

double pl_percentile(const double *sorted, int64_t n, double f)
{
    double place = f * (double)(n - 1);
    int64_t below = (int64_t)place;
    if (below >= n - 1) return sorted[n - 1];
    double share = place - (double)below;
    return (1 - share) * sorted[below] + share * sorted[below + 1];
}

double pl_metrics_kld(const pl_metrics *m, int64_t first, int64_t count)
{
    double sum = 0;
    for (int64_t i = first; i < first + count; i++) sum += m->paired ? m->at[i].kld : NAN;
    return sum / (double)count;
}

pl_status pl_metrics_summarize(const pl_metrics *m, pl_summary *out)
{
    int64_t n = m->count;
    *out = (pl_summary){ n, 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
    for (int64_t i = 0; i < n; i++) out->nonfinite += m->at[i].nonfinite;
    if (n == 0 || out->nonfinite > 0) return PL_OK;
    double *x = pl_alloc(n, sizeof *x), mean_q, mean_p, error;
    if (!x) return PL_E_MEMORY;

    for (int64_t i = 0; i < n; i++) x[i] = m->at[i].nll_q;
    pl_mean_error(x, n, &mean_q, &error);
    out->ppl = exp(mean_q);
    out->ppl_err = out->ppl * error;
    if (m->paired) {
        for (int64_t i = 0; i < n; i++) x[i] = m->at[i].nll_p;
        pl_mean_error(x, n, &mean_p, &error);
        out->ppl_base = exp(mean_p);
        out->ppl_ratio = exp(mean_q - mean_p);
        for (int64_t i = 0; i < n; i++) x[i] = m->at[i].kld;
        pl_mean_error(x, n, &out->kld_mean, &out->kld_err);
        pl_sort_values(x, n);
        out->kld_median = pl_percentile(x, n, 0.5);
        out->kld_p99 = pl_percentile(x, n, 0.99);
        out->kld_p999 = pl_percentile(x, n, 0.999);
        out->kld_max = x[n - 1];
        double same = 0, squares = 0;
        for (int64_t i = 0; i < n; i++) {
            same += m->at[i].same_top;
            squares += m->at[i].dp * m->at[i].dp;
        }
        out->top1 = 100 * same / (double)n;
        out->rms_dp = 100 * sqrt(squares / (double)n);
    }
    pl_free(x);
    return PL_OK;
}
