/* moe.c: feed-forward by experts: each token goes to the few that its router prefers. */
#include <math.h>
#include <string.h>

#include "runtime-check/graph_parts.h"
#include "runtime-check/vecmath.h"

typedef struct moe_job {
    pl_graph *g;
    const pl_layer *layer;
    const float *x;             /* [n][hidden] */
    int64_t first_slot;         /* of the experts under way */
} moe_job;

/* The experts with the largest logits, of equal ones the lower, and their weights: softmax over all. */
static void choose_row(void *ctx, int64_t i)
{
    const pl_graph *g = ((const moe_job *)ctx)->g;
    const pl_moe_work *m = &g->moe;
    int32_t experts = g->hp.experts, used = g->hp.experts_used;
    float *logits = m->logits + i * experts, *weight = m->weight + i * used;
    double max = pl_max_f32(logits, experts), all = 0, kept = 0;
    for (int32_t e = 0; e < experts; e++) all += exp(logits[e] - max);
    for (int32_t r = 0; r < used; r++) {
        int32_t best = 0;
        for (int32_t e = 1; e < experts; e++) best = logits[e] > logits[best] ? e : best;
        double share = exp(logits[best] - max);
        kept += share;
        m->chosen[i * used + r] = best;
        weight[r] = (float)share;
        logits[best] = -INFINITY;       /* is not chosen again */
    }
    /* kept / all is not a number if any logit is not, chosen or not: bad weights are to be seen */
    double total = g->hp.expert_renorm ? all * (kept / all) : all;
    for (int32_t r = 0; r < used; r++) weight[r] = (float)(weight[r] / total);
}

/* Slots by expert, within one by token. */
static void fill_slots(const pl_graph *g, int64_t n)
{
    const pl_moe_work *m = &g->moe;
    int32_t experts = g->hp.experts, used = g->hp.experts_used;
    int64_t slots = n * used;
    memset(m->begin, 0, ((size_t)experts + 1) * sizeof *m->begin);
    for (int64_t s = 0; s < slots; s++) m->begin[m->chosen[s] + 1]++;
    for (int32_t e = 0; e < experts; e++) m->begin[e + 1] += m->begin[e];
    for (int64_t s = 0; s < slots; s++) {
        int32_t at = m->begin[m->chosen[s]]++;
        m->slot[s] = at;
        m->token[at] = (int32_t)(s / used);
        m->expert[at] = m->chosen[s];
    }
    /* each now holds where the next begins */
    memmove(m->begin + 1, m->begin, (size_t)experts * sizeof *m->begin);
    m->begin[0] = 0;
}

static void gather_slot(void *ctx, int64_t s)
{
    const moe_job *j = ctx;
    const pl_moe_work *m = &j->g->moe;
    const pl_ffn *f = &j->layer->expert[m->expert[s]];
    int64_t hidden = j->g->hp.hidden;
    float *x = m->x + s * hidden;
    memcpy(x, j->x + m->token[s] * hidden, (size_t)hidden * sizeof *x);
    if (pl_linear_wants_q8(&f->up) || (f->gated && pl_linear_wants_q8(&f->gate))) {
        j->g->kernels->quantize(x, hidden, m->q8 + s * (hidden / 32));
    }
}

static void act_slot(void *ctx, int64_t index)
{
    const moe_job *j = ctx;
    int64_t s = j->first_slot + index;
    const pl_moe_work *m = &j->g->moe;
    const pl_ffn *f = &j->layer->expert[m->expert[s]];
    float *gate = m->gate + s * f->rows;
    pl_activate_row(j->g->hp.act, gate, f->gated ? m->up + s * f->rows : NULL, f->rows);
    if (pl_linear_wants_q8(&f->down)) {
        j->g->kernels->quantize(gate, f->rows, m->q8 + s * (f->rows / 32));
    }
}

/* Experts first .. last-1, whose weights are there. */
static pl_status run_experts(moe_job *j, int32_t first_expert, int32_t last)
{
    pl_graph *g = j->g;
    const pl_moe_work *m = &g->moe;
    int64_t hidden = g->hp.hidden, rows = g->hp.expert_ffn;
    int count = 0;
    for (int32_t e = first_expert; e < last; e++) {
        const pl_ffn *f = &j->layer->expert[e];
        int64_t first = m->begin[e], n = m->begin[e + 1] - first;
        const float *x = m->x + first * hidden;
        const pl_act_block *q8 = m->q8 + first * (hidden / 32);
        float *gate = m->gate + first * rows, *up = m->up + first * rows;
        if (n == 0) continue;
        PL_TRY(pl_graph_show(g, f->up_id, x, n, hidden));
        if (f->gated) m->product[count++] = (pl_product){ &f->gate, x, q8, n, gate, rows };
        m->product[count++] = (pl_product){ &f->up, x, q8, n, f->gated ? up : gate, rows };
    }
    PL_TRY(pl_linear_multiply(m->product, count, g->scratch, g->pool));
    j->first_slot = m->begin[first_expert];
    PL_TRY(pl_graph_rows(g, m->begin[last] - j->first_slot, rows, act_slot, j));
    count = 0;
    for (int32_t e = first_expert; e < last; e++) {
        int64_t first = m->begin[e], n = m->begin[e + 1] - first;
        const pl_ffn *f = &j->layer->expert[e];
        if (n == 0) continue;
        PL_TRY(pl_graph_show(g, f->down_id, m->gate + first * rows, n, rows));
        m->product[count++] = (pl_product){ &f->down, m->gate + first * rows,
                                            m->q8 + first * (rows / 32), n, m->x + first * hidden, hidden };
    }
    return pl_linear_multiply(m->product, count, g->scratch, g->pool);
}

/* All that have slots: together, or one by one where their weights come from a disk. */
static pl_status run_slots(moe_job *j)
{
    pl_graph *g = j->g;
    int layer = (int)(j->layer - g->layer);
    if (!g->source->streams) return run_experts(j, 0, g->hp.experts);
    for (int32_t e = 0; e < g->hp.experts; e++) {
        if (g->moe.begin[e] == g->moe.begin[e + 1]) continue;
        PL_TRY(pl_source_need(g->source, layer, e));
        pl_status code = run_experts(j, e, e + 1);
        pl_source_done(g->source, layer, e);
        PL_TRY(code);
    }
    return PL_OK;
}

/* Sum over a token's experts, in the order of their weights, behind the shared one. */
static void combine_row(void *ctx, int64_t i)
{
    const moe_job *j = ctx;
    pl_graph *g = j->g;
    const pl_moe_work *m = &g->moe;
    int64_t hidden = g->hp.hidden, used = g->hp.experts_used;
    float *sum = g->sum + i * hidden;
    if (j->layer->ffn.rows == 0) {
        memset(sum, 0, (size_t)hidden * sizeof *sum);
    } else if (j->layer->shared_router) {
        const float *x = j->x + i * hidden;
        double dot = 0;
        for (int64_t c = 0; c < hidden; c++) dot += (double)j->layer->shared_router[c] * x[c];
        float share = (float)(1 / (1 + exp(-dot)));
        for (int64_t c = 0; c < hidden; c++) sum[c] *= share;
    }
    for (int64_t r = 0; r < used; r++) {
        const float *y = m->x + m->slot[i * used + r] * hidden;
        float weight = m->weight[i * used + r];
        for (int64_t c = 0; c < hidden; c++) sum[c] += weight * y[c];
    }
}

pl_status pl_graph_experts(pl_graph *g, const pl_layer *l, const float *x, int64_t n)
{
    moe_job j = { g, l, x, 0 };
    int64_t slots = n * g->hp.experts_used;
    const pl_product router = { &l->router, x, g->q8, n, g->moe.logits, g->hp.experts };
    PL_TRY(pl_graph_show(g, pl_id_make(PL_FFN_ROUTER, (int)(l - g->layer), -1), x, n, g->hp.hidden));
    PL_TRY(pl_linear_multiply(&router, 1, g->scratch, g->pool));
    PL_TRY(pl_graph_rows(g, n, (int64_t)g->hp.experts * g->hp.experts_used, choose_row, &j));
    fill_slots(g, n);
    if (l->ffn.rows > 0) PL_TRY(pl_graph_feed(g, &l->ffn, x, n));
    PL_TRY(pl_graph_rows(g, slots, g->hp.hidden, gather_slot, &j));
    PL_TRY(run_slots(&j));
    return pl_graph_rows(g, n, g->hp.hidden * (int64_t)g->hp.experts_used, combine_row, &j);
}
