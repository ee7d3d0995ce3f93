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
    int32_t repeats;
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

/* Median of the repeats, and how far apart their middle half lies, relative to it. */
static void settle(bench *b, double *median, double *spread)
{
    int32_t n = b->repeats, cut = n / 4;
    pl_sort_values(b->tps, n);
    *median = pl_percentile(b->tps, n, 0.5);
    *spread = (b->tps[n - 1 - cut] - b->tps[cut]) / *median;
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
    if (o->tg > 0) {
        PL_TRY(steps(b, o->tg < WARM_STEPS ? o->tg : WARM_STEPS));
        for (int32_t i = 0; i < b->repeats; i++) {
            double begin = pl_seconds();
            PL_TRY(steps(b, o->tg));
            b->tps[i] = o->tg / (pl_seconds() - begin);
        }
        settle(b, &out->tg_tps, &out->tg_spread);
    }
    return PL_OK;
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
    b->tps = pl_alloc(b->repeats, sizeof *b->tps);
    if (!b->tokens || !b->logits || !b->tps) return PL_E_MEMORY;
    for (int32_t i = 0; i < most; i++) {
        b->tokens[i] = (int32_t)(pl_rng_bits(0, 0, (uint64_t)i) % (uint64_t)b->hp->vocab);
    }
    return PL_OK;
}

/* A buffer that no cache holds, within what a small machine can spare. */
static int64_t bandwidth_buffer(void)
{
    int64_t low = 256 << 20, high = 1 << 30, cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return pl_min64(pl_max64(4 * cache, low), high);
}

pl_status pl_bench_run(pl_source *model, const pl_bench_options *options, pl_pool *pool,
                       pl_bench_result *out)
{
    bench b = { .options = options, .hp = &model->model->hp };
    double read = 0;
    *out = (pl_bench_result){ .threads = pl_pool_workers(pool) };
    pl_status status = prepare(&b, model, pool);
    if (status == PL_OK) status = measure(&b, out);
    if (status == PL_OK) status = pl_map_check();
    if (status == PL_OK) status = pl_read_bandwidth(pool, bandwidth_buffer(), &read);
    if (status == PL_OK) {
        /* keys and values of all earlier positions, on average over the steps */
        int64_t row = (int64_t)b.hp->kv_heads * b.hp->head_dim * 2 * (int64_t)sizeof(float);
        int64_t cache = b.hp->layers * row * (options->tg + 1) / 2;
        out->tg_bytes_per_token = pl_graph_bytes_per_token(b.graph) + cache;
        out->tg_gbps = out->tg_tps * (double)out->tg_bytes_per_token / 1e9;
        out->read_gbps = read / 1e9;
        out->tg_bandwidth_share = read > 0 ? out->tg_gbps / out->read_gbps : 0;
    }
    pl_graph_destroy(b.graph);
    pl_free(b.tokens);
    pl_free(b.logits);
    pl_free(b.tps);
    return status;
}
