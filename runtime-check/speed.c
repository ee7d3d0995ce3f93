/* speed.c: tokens per second of prompts (pp) and of single steps (tg), against memory bandwidth. */
#include <unistd.h>

#include "core/fs.h"
#include "core/rng.h"
#include "runtime-check/check.h"
#include "runtime-check/kernels.h"
#include "runtime-check/metrics.h"

enum { DEFAULT_REPEATS = 5, MAX_REPEATS = 1000, WARM_STEPS = 4 };

typedef struct bench {
    const pl_bench_options *options;
    const pl_hparams *hp;
    pl_graph *graph;
    int32_t *tokens;            /* [max(pp, tg)] */
    float *logits;              /* [vocab] */
    double *tps;                /* [repeats] */
    double *share, *read;       /* [repeats] of the bandwidth measured around each; that bandwidth */
    int32_t repeats;
    int64_t bytes_per_token;
    pl_bandwidth *bandwidth;
} bench;

static pl_status prompt(bench *b)
{
    const float *hidden;
    int32_t n = b->options->pp;
    pl_graph_clear(b->graph);
    PL_TRY(pl_graph_forward(b->graph, b->tokens, n, &hidden));
    return pl_graph_logits(b->graph, hidden + (int64_t)(n - 1) * b->hp->hidden, 1, b->logits);
}

static pl_status steps(bench *b, int32_t n)
{
    const float *hidden;
    pl_graph_clear(b->graph);
    for (int32_t i = 0; i < n; i++) {
        PL_TRY(pl_graph_forward(b->graph, b->tokens + i, 1, &hidden));
        PL_TRY(pl_graph_logits(b->graph, hidden, 1, b->logits));
    }
    return PL_OK;
}

static double median(double *values, int32_t n)
{
    pl_sort_values(values, n);
    return pl_percentile(values, n, 0.5);
}

/* Median of the repeats, and how far apart their middle half lies, relative to it. */
static void settle(bench *b, double *middle, double *spread)
{
    int32_t n = b->repeats, cut = n / 4;
    *middle = median(b->tps, n);
    *spread = (b->tps[n - 1 - cut] - b->tps[cut]) / *middle;
}

/* Steps, each repeat between two measurements of the bandwidth: on a shared machine it changes from
 * second to second. */
static pl_status measure_steps(bench *b, pl_bench_result *out)
{
    const pl_bench_options *o = b->options;
    double before, after;
    PL_TRY(steps(b, o->tg < WARM_STEPS ? o->tg : WARM_STEPS));
    PL_TRY(pl_bandwidth_measure(b->bandwidth, &before));
    for (int32_t i = 0; i < b->repeats; i++) {
        double begin = pl_seconds();
        PL_TRY(steps(b, o->tg));
        b->tps[i] = o->tg / (pl_seconds() - begin);
        PL_TRY(pl_bandwidth_measure(b->bandwidth, &after));
        b->read[i] = (before + after) / 2;
        b->share[i] = b->tps[i] * (double)b->bytes_per_token / b->read[i];
        before = after;
    }
    settle(b, &out->tg_tps, &out->tg_spread);
    out->tg_bytes_per_token = b->bytes_per_token;
    out->tg_gbps = out->tg_tps * (double)b->bytes_per_token / 1e9;
    out->read_gbps = median(b->read, b->repeats) / 1e9;
    out->tg_bandwidth_share = median(b->share, b->repeats);
    return PL_OK;
}

static pl_status measure(bench *b, pl_bench_result *out)
{
    const pl_bench_options *o = b->options;
    if (o->pp > 0) {
        PL_TRY(prompt(b));
        for (int32_t i = 0; i < b->repeats; i++) {
            double begin = pl_seconds();
            PL_TRY(prompt(b));
            b->tps[i] = o->pp / (pl_seconds() - begin);
        }
        settle(b, &out->pp_tps, &out->pp_spread);
    }
    if (o->tg > 0) PL_TRY(measure_steps(b, out));
    return PL_OK;
}

/* A buffer that no cache holds, within what a small machine can spare. */
static int64_t bandwidth_buffer(void)
{
    int64_t low = 256 << 20, high = 1 << 30, cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return pl_min64(pl_max64(4 * cache, low), high);
}

static pl_status prepare(bench *b, pl_source *model, pl_pool *pool)
{
    const pl_bench_options *o = b->options;
    int32_t most = o->pp > o->tg ? o->pp : o->tg;
    if (o->pp < 0 || o->tg < 0 || most < 1) {
        return pl_fail(PL_E_WISH, "nothing to time: %d prompt tokens, %d steps", (int)o->pp, (int)o->tg);
    }
    b->repeats = o->repeats > 0 ? (int32_t)pl_min64(o->repeats, MAX_REPEATS) : DEFAULT_REPEATS;
    PL_TRY(pl_graph_create(model, pool, o->mode, most, &b->graph));
    b->tokens = pl_alloc(most, sizeof *b->tokens);
    b->logits = pl_alloc_aligned(b->hp->vocab, sizeof *b->logits);
    b->tps = pl_alloc(3 * (int64_t)b->repeats, sizeof *b->tps);
    if (!b->tokens || !b->logits || !b->tps) return PL_E_MEMORY;
    b->share = b->tps + b->repeats;
    b->read = b->share + b->repeats;
    /* with the keys and values of all earlier positions, on average over the steps */
    int64_t row = (int64_t)b->hp->kv_heads * b->hp->head_dim * 2 * (int64_t)sizeof(float);
    b->bytes_per_token = pl_graph_bytes_per_token(b->graph) + b->hp->layers * row * (o->tg + 1) / 2;
    if (o->tg > 0) PL_TRY(pl_bandwidth_create(pool, bandwidth_buffer(), &b->bandwidth));
    for (int32_t i = 0; i < most; i++) {
        b->tokens[i] = (int32_t)(pl_rng_bits(0, 0, (uint64_t)i) % (uint64_t)b->hp->vocab);
    }
    return PL_OK;
}

pl_status pl_bench_run(pl_source *model, const pl_bench_options *options, pl_pool *pool,
                       pl_bench_result *out)
{
    bench b = { .options = options, .hp = &model->model->hp };
    if (b.hp->encoder) return pl_fail(PL_E_WISH, "%s is an encoder, which writes no tokens to time", model->path);
    *out = (pl_bench_result){ .threads = pl_pool_workers(pool) };
    pl_status status = prepare(&b, model, pool);
    if (status == PL_OK) status = measure(&b, out);
    if (status == PL_OK) status = pl_map_check();
    pl_bandwidth_destroy(b.bandwidth);
    pl_graph_destroy(b.graph);
    pl_free(b.tokens);
    pl_free(b.logits);
    pl_free(b.tps);
    return status;
}
