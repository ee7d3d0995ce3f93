/* embed.c: encoders: embeddings of a text's passages, candidates beside their original. */
#include "runtime-check/embed.h"

#include <math.h>
#include <string.h>

#include "core/fs.h"
#include "core/log.h"
#include "runtime-check/metrics.h"

enum { PAIRED = 1024 };         /* passages whose similarities to each other are compared */

void pl_embed_pool(const float *hidden, int64_t n, int64_t width, pl_pooling pooling, double *out)
{
    int64_t rows = pooling == PL_POOL_CLS ? 1 : n;
    for (int64_t c = 0; c < width; c++) out[c] = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < width; c++) out[c] += (double)hidden[i * width + c];
    double squares = 0;
    for (int64_t c = 0; c < width; c++) squares += out[c] * out[c];
    if (!(squares > 0) || isinf(squares)) return;
    for (int64_t c = 0; c < width; c++) out[c] /= sqrt(squares);
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t c = 0; c < n; c++) sum += a[c] * b[c];
    return sum;
}

/* ---- the passages ---- */

typedef struct passage { const char *text; size_t len; } passage;

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Lines of data that are not blank, without the white space at their ends; out NULL: counts only. */
static int64_t find_passages(const char *data, size_t len, int64_t most, passage *out)
{
    int64_t count = 0;
    for (size_t at = 0; at < len && count < most;) {
        const char *end = memchr(data + at, '\n', len - at);
        size_t stop = end ? (size_t)(end - data) : len, next = stop + 1;
        while (at < stop && blank(data[at])) at++;
        while (stop > at && blank(data[stop - 1])) stop--;
        if (stop > at && out) out[count] = (passage){ data + at, stop - at };
        count += stop > at;
        at = next;
    }
    return count;
}

typedef struct side {
    pl_source *source;
    pl_tokenizer *tokenizer;
    pl_graph *graph;
    double *embedding;          /* [at most PAIRED + 1][width]: the first passages', the last one's */
    double *cosine;             /* [passages] with the original */
    double seconds;             /* in forward */
    int64_t nonfinite;
} side;

typedef struct run {
    const pl_check_options *options;
    side *model;                /* [count] candidates */
    int count;
    side base;                  /* the original */
    char *data;
    passage *passage;
    int64_t passages, width, tokens;
    int32_t ctx;
} run;

static pl_status same_ids(const run *r, const side *m, const passage *p, const int32_t *ids, int64_t count)
{
    int32_t *own = NULL;
    int64_t owns = 0;
    PL_TRY(pl_tokenizer_encode(m->tokenizer, p->text, p->len, false, PL_BOS_AUTO, &own, &owns));
    bool same = owns == count && (count == 0 || !memcmp(own, ids, (size_t)count * sizeof *ids));
    pl_free(own);
    if (same) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s and %s split the passage '%.*s' into different tokens", m->source->path,
                   r->base.source->path, (int)pl_min64((int64_t)p->len, 60), p->text);
}

/* Ids of one passage, the same for all models, at most ctx: a frame keeps its end. */
static pl_status encode(const run *r, const passage *p, int32_t **ids, int64_t *count)
{
    PL_TRY(pl_tokenizer_encode(r->base.tokenizer, p->text, p->len, false, PL_BOS_AUTO, ids, count));
    for (int i = 0; i < r->count; i++) PL_TRY(same_ids(r, &r->model[i], p, *ids, *count));
    if (*count > r->ctx) {
        if (r->base.source->model->vocab->add_eos) (*ids)[r->ctx - 1] = (*ids)[*count - 1];
        *count = r->ctx;
    }
    return PL_OK;
}

static pl_status embed(const run *r, side *m, const int32_t *ids, int64_t count, double *out)
{
    const float *hidden;
    double begin = pl_seconds();
    pl_graph_clear(m->graph);
    PL_TRY(pl_graph_forward(m->graph, ids, (int32_t)count, &hidden));
    m->seconds += pl_seconds() - begin;
    for (int64_t i = 0; i < count * r->width; i++) m->nonfinite += !isfinite(hidden[i]);
    pl_embed_pool(hidden, count, r->width, r->base.source->model->hp.pooling, out);
    return PL_OK;
}

static pl_status embed_passage(run *r, int64_t index)
{
    int32_t *ids = NULL;
    int64_t count = 0, at = pl_min64(index, PAIRED) * r->width;
    pl_status code = encode(r, &r->passage[index], &ids, &count);
    if (code == PL_OK) code = embed(r, &r->base, ids, count, r->base.embedding + at);
    for (int i = 0; i < r->count && code == PL_OK; i++) {
        side *m = &r->model[i];
        code = embed(r, m, ids, count, m->embedding + at);
        if (code == PL_OK) m->cosine[index] = dot(m->embedding + at, r->base.embedding + at, r->width);
    }
    r->tokens += count;
    pl_free(ids);
    return code;
}

/* ---- the figures ---- */

static void summarize(const run *r, const side *m, pl_check_result *out)
{
    const double *q = m->embedding, *p = r->base.embedding;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < r->passages; i++) sum += m->cosine[i];
    pl_sort_values(m->cosine, r->passages);
    out->cos_mean = sum / (double)r->passages;
    out->cos_p01 = pl_percentile(m->cosine, r->passages, 0.01);
    out->cos_min = m->cosine[0];
    int64_t count = pl_min64(r->passages, PAIRED);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < i; k++) {
            double change = dot(q + i * r->width, q + k * r->width, r->width) -
                            dot(p + i * r->width, p + k * r->width, r->width);
            squares += change * change;
        }
    }
    out->sim_rms = count > 1 ? sqrt(squares / ((double)count * (double)(count - 1) / 2)) : NAN;
}

/* The original against a second run of itself over the first passage: what cannot be told from nothing. */
static pl_status measure_floor(run *r, double *floor)
{
    double *again = pl_alloc(r->width, sizeof *again);
    int32_t *ids = NULL;
    int64_t count = 0;
    if (!again) return PL_E_MEMORY;
    pl_status code = encode(r, &r->passage[0], &ids, &count);
    if (code == PL_OK) code = embed(r, &r->base, ids, count, again);
    if (code == PL_OK) {
        double change = 0;
        for (int64_t c = 0; c < r->width; c++)
            change += (again[c] - r->base.embedding[c]) * (again[c] - r->base.embedding[c]);
        *floor = change / 2;            /* 1 - cosine of unit vectors */
    }
    pl_free(ids);
    pl_free(again);
    return code;
}

/* ---- the whole ---- */

static pl_status prepare_side(run *r, side *m, pl_mode mode, pl_pool *pool)
{
    PL_TRY(pl_tokenizer_create(m->source->model->vocab, &m->tokenizer));
    PL_TRY(pl_graph_create(m->source, pool, mode, r->ctx, &m->graph));
    m->embedding = pl_alloc(pl_min64(r->passages, PAIRED + 1) * r->width, sizeof *m->embedding);
    m->cosine = pl_alloc(r->passages, sizeof *m->cosine);
    return m->embedding && m->cosine ? PL_OK : PL_E_MEMORY;
}

static pl_status prepare(run *r, pl_pool *pool)
{
    const pl_check_options *o = r->options;
    const pl_hparams *original = &r->base.source->model->hp;
    size_t len;
    r->width = original->hidden;
    r->ctx = (int32_t)pl_min64(o->ctx, original->context);
    for (int i = 0; i < r->count; i++) {
        const pl_source *source = r->model[i].source;
        const pl_hparams *hp = &source->model->hp;
        if (!original->encoder || hp->hidden != original->hidden || hp->vocab != original->vocab)
            return pl_fail(PL_E_INPUT, "%s is no encoder of %d channels and %d tokens as %s is",
                           r->base.source->path, (int)hp->hidden, (int)hp->vocab, source->path);
        r->ctx = (int32_t)pl_min64(r->ctx, hp->context);
    }
    PL_TRY(pl_file_load(o->text, PL_MAX_TEXT_BYTES, &r->data, &len));
    int64_t most = o->chunks > 0 ? o->chunks : INT64_MAX;
    r->passages = find_passages(r->data, len, most, NULL);
    if (!r->passages) return pl_fail(PL_E_INPUT, "%s: has no line that is not blank", o->text);
    r->passage = pl_alloc(r->passages, sizeof *r->passage);
    if (!r->passage) return PL_E_MEMORY;
    find_passages(r->data, len, most, r->passage);
    for (int i = 0; i < r->count; i++) PL_TRY(prepare_side(r, &r->model[i], o->mode, pool));
    return prepare_side(r, &r->base, PL_MODE_EXACT, pool);
}

static void release_side(side *m)
{
    pl_free(m->embedding);
    pl_free(m->cosine);
    pl_graph_destroy(m->graph);
    pl_tokenizer_destroy(m->tokenizer);
}

static void release(run *r)
{
    for (int i = 0; i < r->count; i++) release_side(&r->model[i]);
    release_side(&r->base);
    pl_free(r->model);
    pl_free(r->passage);
    pl_free(r->data);
}

static pl_status run_all(run *r, pl_pool *pool, pl_check_result *out)
{
    double floor;
    PL_TRY(prepare(r, pool));
    pl_progress("check", NULL, "passages", 0, r->passages);
    for (int64_t i = 0; i < r->passages; i++) {
        PL_TRY(embed_passage(r, i));
        pl_progress("check", NULL, "passages", i + 1, r->passages);
    }
    PL_TRY(measure_floor(r, &floor));
    PL_TRY(pl_map_check());
    for (int i = 0; i < r->count; i++) {
        const side *m = &r->model[i];
        out[i].chunks = (int32_t)pl_min64(r->passages, INT32_MAX);
        out[i].tokens_scored = r->tokens;
        out[i].pp_tps = (double)r->tokens / m->seconds;
        out[i].nonfinite = m->nonfinite + r->base.nonfinite;
        if (out[i].nonfinite) continue;
        out[i].cos_floor = floor;
        summarize(r, m, &out[i]);
    }
    return PL_OK;
}

pl_status pl_embed_compare(pl_source *const *models, int count, pl_source *against, const pl_check_options *options,
                           pl_pool *pool, pl_check_result *out)
{
    if (!against)
        return pl_fail(PL_E_WISH, "%s is an encoder, which has no perplexity: its embeddings are compared with "
                       "those of the original, --against", models[0]->path);
    run r = { .options = options, .model = pl_alloc(count, sizeof *r.model), .count = count, .base.source = against };
    if (!r.model) return PL_E_MEMORY;
    for (int i = 0; i < count; i++) {
        pl_check_result *o = &out[i];
        o->ppl = o->ppl_err = o->ppl_base = o->ppl_ratio = NAN;
        o->kld_mean = o->kld_err = o->kld_median = o->kld_p99 = o->kld_p999 = o->kld_max = NAN;
        o->kld_floor = o->top1 = o->rms_dp = o->tg_tps = NAN;
        o->cos_mean = o->cos_p01 = o->cos_min = o->cos_floor = o->sim_rms = NAN;
        r.model[i].source = models[i];
    }
    pl_status code = run_all(&r, pool, out);
    release(&r);
    return code;
}
