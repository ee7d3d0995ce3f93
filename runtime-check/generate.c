/* generate.c: continues a prompt, token by token. */
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/rng.h"
#include "runtime-check/check.h"
#include "runtime-check/vecmath.h"

enum { DEFAULT_CTX = 4096 };

typedef struct generation {
    const pl_generate_options *options;
    pl_tokenizer *tokenizer;
    pl_graph *graph;
    int32_t *prompt;            /* [prompt_count] */
    int64_t prompt_count;
    int32_t vocab, ctx;
    float *logits;              /* [vocab] */
    double *weight;             /* [vocab]: e^((logit - max) / temperature) */
} generation;

/* The likeliest token at temperature 0; else one drawn with probability softmax(logits / temperature)
 * by number `step` of the seed's stream. */
static int32_t choose(generation *g, int32_t step)
{
    float max = pl_max_f32(g->logits, g->vocab);
    int32_t top = 0;
    while (top < g->vocab - 1 && g->logits[top] != max) top++;
    if (g->options->temperature <= 0) return top;

    for (int32_t i = 0; i < g->vocab; i++) {
        double d = ((double)g->logits[i] - (double)max) / g->options->temperature;
        g->weight[i] = d < -700 ? 0 : pl_exp_f64(d);
    }
    double rest = pl_rng_uniform(g->options->seed, 0, (uint64_t)step) * pl_sum_f64(g->weight, g->vocab);
    for (int32_t i = 0; i < g->vocab; i++) {
        rest -= g->weight[i];
        if (rest < 0) return i;
    }
    return top;     /* rounding left a rest behind the last token */
}

static pl_status prepare(generation *g, pl_source *model, pl_pool *pool)
{
    const pl_generate_options *o = g->options;
    const pl_hparams *hp = &model->model->hp;
    if (!model->model->vocab) {
        return pl_fail(PL_E_INPUT, "%s: there is no vocabulary to read the prompt with", model->path);
    }
    PL_TRY(pl_tokenizer_create(model->model->vocab, &g->tokenizer));
    PL_TRY(pl_tokenizer_encode(g->tokenizer, o->prompt, strlen(o->prompt), true, PL_BOS_AUTO,
                               &g->prompt, &g->prompt_count));
    g->vocab = hp->vocab;
    g->ctx = o->ctx > 0 ? o->ctx : (int32_t)pl_min64(hp->context, DEFAULT_CTX);
    if (g->prompt_count < 1) return pl_fail(PL_E_WISH, "an empty prompt has nothing to continue");
    if (g->prompt_count > g->ctx) {
        return pl_fail(PL_E_WISH, "the prompt has %lld tokens, the context %d",
                       (long long)g->prompt_count, (int)g->ctx);
    }
    PL_TRY(pl_graph_create(model, pool, o->mode, g->ctx, &g->graph));
    g->logits = pl_alloc_aligned(g->vocab, sizeof *g->logits);
    g->weight = pl_alloc_aligned(g->vocab, sizeof *g->weight);
    return g->logits && g->weight ? PL_OK : PL_E_MEMORY;
}

/* Tokens behind those already seen, and the logits after the last. */
static pl_status step(generation *g, const int32_t *tokens, int32_t n, int32_t width)
{
    const float *hidden;
    PL_TRY(pl_graph_forward(g->graph, tokens, n, &hidden));
    PL_TRY(pl_graph_logits(g->graph, hidden + (int64_t)(n - 1) * width, 1, g->logits));
    if (pl_find_nonfinite(g->logits, g->vocab) < 0) return PL_OK;
    return pl_fail(PL_E_CHECK, "the model's logits are not finite");
}

static pl_status put(const generation *g, int32_t token, pl_generate_out out, void *ctx)
{
    char small[256], *piece = small;
    int len = pl_tokenizer_piece(g->tokenizer, token, false, small, sizeof small);
    if (len > (int)sizeof small) {
        piece = pl_alloc(len, 1);
        if (!piece) return PL_E_MEMORY;
        pl_tokenizer_piece(g->tokenizer, token, false, piece, (size_t)len);
    }
    out(ctx, piece, len);
    if (piece != small) pl_free(piece);
    return PL_OK;
}

static pl_status continue_prompt(generation *g, int32_t width, pl_generate_out out, void *ctx,
                                 pl_generate_stats *stats)
{
    double begin = pl_seconds();
    int32_t seen = (int32_t)g->prompt_count;
    PL_TRY(step(g, g->prompt, seen, width));
    double ready = pl_seconds();
    stats->pp_tps = seen / (ready - begin);
    stats->prompt_tokens = seen;
    for (int32_t i = 0; i < g->options->tokens; i++) {
        int32_t token = choose(g, i);
        if (pl_tokenizer_ends(g->tokenizer, token)) break;
        PL_TRY(put(g, token, out, ctx));
        stats->new_tokens++;
        if (i + 1 == g->options->tokens || seen == g->ctx) break;
        PL_TRY(step(g, &token, 1, width));
        seen++;
    }
    int32_t steps = seen - stats->prompt_tokens;
    if (steps > 0) stats->tg_tps = steps / (pl_seconds() - ready);
    return PL_OK;
}

pl_status pl_generate(pl_source *model, const pl_generate_options *options, pl_pool *pool,
                      pl_generate_out out, void *ctx, pl_generate_stats *stats)
{
    generation g = { .options = options };
    *stats = (pl_generate_stats){ 0 };
    pl_status status = prepare(&g, model, pool);
    if (status == PL_OK) status = continue_prompt(&g, model->model->hp.hidden, out, ctx, stats);
    if (status == PL_OK) status = pl_map_check();
    pl_tokenizer_destroy(g.tokenizer);
    pl_graph_destroy(g.graph);
    pl_free(g.prompt);
    pl_free(g.logits);
    pl_free(g.weight);
    return status;
}
