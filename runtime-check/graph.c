/* graph.c: the forward pass: embeddings, the loop over layers, logits. A call's tokens go through the
 * layers in batches; what one layer does is in graph_layer.c and moe.c. */
#include "runtime-check/graph.h"

#include "core/cpu.h"
#include "core/linalg.h"
#include "runtime-check/graph_parts.h"
#include "runtime-check/kernels.h"

pl_status pl_graph_create(pl_source *source, pl_pool *pool, pl_mode mode, int32_t ctx,
                          pl_graph **out)
{
    *out = NULL;
    if (ctx < 1) return pl_fail(PL_E_WISH, "a context of %d positions is too small", (int)ctx);
    PL_TRY(pl_linalg_init());
    pl_graph *g = pl_alloc(1, sizeof *g);
    if (!g) return PL_E_MEMORY;
    g->source = source;
    g->pool = pool;
    g->hp = source->model->hp;
    g->ctx = ctx;
    if (mode == PL_MODE_FAST) {
        pl_kernels_init(&g->kernel_list, pl_cpu_flags());
        g->kernels = &g->kernel_list;
    }
    pl_status status = pl_arena_create(&g->arena);
    if (status == PL_OK) status = pl_graph_load(g);
    if (status == PL_OK) status = pl_graph_reserve(g);
    if (status != PL_OK) {
        pl_graph_destroy(g);
        return status;
    }
    *out = g;
    return PL_OK;
}

void pl_graph_destroy(pl_graph *g)
{
    if (!g) return;
    pl_arena_destroy(g->arena);
    pl_free(g);
}

void pl_graph_observe(pl_graph *g, const pl_observer *observer) { g->observer = observer; }

void pl_graph_clear(pl_graph *g) { g->seen = 0; }

int64_t pl_graph_bytes_per_token(const pl_graph *g) { return g->bytes_per_token; }

int64_t pl_graph_memory(const pl_graph *g) { return pl_arena_bytes(g->arena) + (int64_t)sizeof *g; }

/* ---- embeddings ---- */

static void add_to(float *x, const float *y, int64_t n)
{
    for (int64_t c = 0; c < n; c++) x[c] += y[c];
}

static pl_status embed(pl_graph *g, const int32_t *tokens, int64_t n)
{
    const pl_hparams *hp = &g->hp;
    for (int64_t i = 0; i < n; i++) {
        float *x = g->x + i * hp->hidden, *position = g->sum + i * hp->hidden;
        if (tokens[i] < 0 || tokens[i] >= hp->vocab) {
            return pl_fail(PL_E_INPUT, "%s: token %d, but the vocabulary has %d", g->source->path,
                           (int)tokens[i], (int)hp->vocab);
        }
        PL_TRY(pl_packed_decode(&g->table, tokens[i], 1, x, NULL));
        for (int64_t c = 0; hp->embd_scale > 0 && c < hp->hidden; c++) x[c] *= hp->embd_scale;
        if (g->positions.rows > 0) {
            PL_TRY(pl_packed_decode(&g->positions, g->seen + i, 1, position, NULL));
            add_to(x, position, hp->hidden);
        }
        if (g->type) add_to(x, g->type, hp->hidden);
    }
    return PL_OK;
}

/* ---- forward ---- */

/* Does the first product of a layer's block want its input quantized? */
static bool attention_wants_q8(const pl_layer *l)
{
    return pl_linear_wants_q8(&l->q) || pl_linear_wants_q8(&l->k) || pl_linear_wants_q8(&l->v);
}

static bool feed_wants_q8(const pl_layer *l)
{
    return (l->expert && pl_linear_wants_q8(&l->router)) || pl_linear_wants_q8(&l->ffn.up) ||
           pl_linear_wants_q8(&l->ffn.gate);
}

static pl_status layer(pl_graph *g, int i, pl_join *join, int64_t n)
{
    const pl_layer *l = &g->layer[i];
    join->next = &l->attn_norm;
    join->out = l->attn_norm.weight ? g->normed : NULL;
    join->quantize = attention_wants_q8(l);
    PL_TRY(pl_graph_join(join, n));
    PL_TRY(pl_graph_attend(g, i, join->out ? join->out : g->x, n));

    *join = (pl_join){ .g = g, .add = true, .post = &l->attn_post_norm, .stream = &l->attn_out_norm,
                       .next = &l->ffn_norm, .out = l->ffn_norm.weight ? g->normed : NULL,
                       .quantize = feed_wants_q8(l) };
    PL_TRY(pl_graph_join(join, n));
    const float *x = join->out ? join->out : g->x;
    PL_TRY(l->expert ? pl_graph_experts(g, l, x, n) : pl_graph_feed(g, &l->ffn, x, n));
    *join = (pl_join){ .g = g, .add = true, .post = &l->ffn_post_norm, .stream = &l->out_norm };
    return PL_OK;
}

/* n <= g->batch tokens; out [n][hidden]. */
static pl_status forward_batch(pl_graph *g, const int32_t *tokens, int64_t n, float *out)
{
    pl_join join = { .g = g, .stream = &g->embd_norm };
    PL_TRY(pl_source_need(g->source, -1, -1));
    pl_status code = embed(g, tokens, n);
    pl_source_done(g->source, -1, -1);
    for (int i = 0; i < g->hp.layers && code == PL_OK; i++) {
        code = pl_source_need(g->source, i, -1);
        if (code != PL_OK) break;
        code = layer(g, i, &join, n);
        pl_source_done(g->source, i, -1);
    }
    PL_TRY(code);
    join.next = &g->output_norm;
    join.out = out;
    PL_TRY(pl_graph_join(&join, n));
    if (!g->hp.encoder) g->seen += (int32_t)n;
    return PL_OK;
}

pl_status pl_graph_forward(pl_graph *g, const int32_t *tokens, int32_t n, const float **hidden)
{
    if (n < 1 || n > g->ctx - g->seen) {
        return pl_fail(PL_E_WISH, "%d tokens behind %d do not fit into a context of %d", (int)n,
                       (int)g->seen, (int)g->ctx);
    }
    for (int64_t done = 0; done < n; done += g->batch) {
        int64_t count = pl_min64(g->batch, n - done);
        PL_TRY(forward_batch(g, tokens + done, count, g->hidden + done * g->hp.hidden));
    }
    *hidden = g->hidden;
    return PL_OK;
}

/* ---- logits ---- */

enum { CAP_VALUES = 1 << 14 };  /* logits per task of the soft cap */

typedef struct cap_job {
    float *logits, cap;
    int64_t count;
} cap_job;

static pl_status cap_task(void *ctx, int64_t index, int worker)
{
    const cap_job *j = ctx;
    int64_t first = index * CAP_VALUES;
    pl_softcap_row(j->logits + first, j->cap, pl_min64(CAP_VALUES, j->count - first));
    return PL_OK;
}

static pl_status output_rows(pl_graph *g, const float *hidden, int32_t n, float *logits)
{
    for (int64_t done = 0; done < n; done += g->batch) {
        int64_t count = pl_min64(g->batch, n - done);
        const float *x = hidden + done * g->hp.hidden;
        PL_TRY(pl_graph_quantize(g, &g->output, x, count));
        const pl_product output = { &g->output, x, g->q8, count, logits + done * g->hp.vocab, g->hp.vocab };
        PL_TRY(pl_linear_multiply(&output, 1, g->scratch, g->pool));
    }
    return PL_OK;
}

pl_status pl_graph_logits(pl_graph *g, const float *hidden, int32_t n, float *logits)
{
    if (g->hp.encoder) {
        return pl_fail(PL_E_WISH, "%s: an encoder has no logits, only hidden states", g->source->path);
    }
    PL_TRY(pl_source_need(g->source, g->hp.layers, -1));
    pl_status code = output_rows(g, hidden, n, logits);
    pl_source_done(g->source, g->hp.layers, -1);
    PL_TRY(code);
    if (g->hp.logit_softcap <= 0) return PL_OK;
    cap_job cap = { logits, g->hp.logit_softcap, (int64_t)n * g->hp.vocab };
    return pl_pool_for(g->pool, pl_ceil_div(cap.count, CAP_VALUES), cap_task, &cap);
}
