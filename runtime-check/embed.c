/* embed.c: encoders: embeddings of a text's passages, candidate beside original. */
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

typedef struct run {
    const pl_check_options *options;
    pl_source *model, *against;
    pl_tokenizer *tokenizer[2];         /* of the candidate, of the original */
    pl_graph *graph[2];
    char *data;
    passage *passage;
    int64_t passages, width, tokens;
    int32_t ctx;
    double *cosine;                     /* [passages] */
    double *embedding[2];               /* [at most PAIRED + 1][width]: the first passages', the last one's */
    double seconds;                     /* in the candidate's forward */
    int64_t nonfinite;
} run;

/* Ids of one passage, the same for both models, at most ctx: a frame keeps its end. */
static pl_status encode(const run *r, const passage *p, int32_t **ids, int64_t *count)
{
    int32_t *other = NULL;
    int64_t others = 0;
    PL_TRY(pl_tokenizer_encode(r->tokenizer[0], p->text, p->len, false, PL_BOS_AUTO, ids, count));
    pl_status code = pl_tokenizer_encode(r->tokenizer[1], p->text, p->len, false, PL_BOS_AUTO, &other, &others);
    bool same = code == PL_OK && *count == others &&
                (others == 0 || !memcmp(*ids, other, (size_t)others * sizeof *other));
    pl_free(other);
    if (code == PL_OK && !same)
        code = pl_fail(PL_E_INPUT, "%s and %s split the passage '%.*s' into different tokens", r->model->path,
                       r->against->path, (int)pl_min64((int64_t)p->len, 60), p->text);
    if (code == PL_OK && *count > r->ctx) {
        if (r->model->model->vocab->add_eos) (*ids)[r->ctx - 1] = (*ids)[*count - 1];
        *count = r->ctx;
    }
    return code;
}

static pl_status embed(run *r, int which, const int32_t *ids, int64_t count, double *out)
{
    const pl_hparams *hp = &r->against->model->hp;
    const float *hidden;
    double begin = pl_seconds();
    pl_graph_clear(r->graph[which]);
    PL_TRY(pl_graph_forward(r->graph[which], ids, (int32_t)count, &hidden));
    if (which == 0) r->seconds += pl_seconds() - begin;
    for (int64_t i = 0; i < count * r->width; i++) r->nonfinite += !isfinite(hidden[i]);
    pl_embed_pool(hidden, count, r->width, hp->pooling, out);
    return PL_OK;
}

static pl_status embed_passage(run *r, int64_t index)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    pl_status code = encode(r, &r->passage[index], &ids, &count);
    double *out[2];
    for (int which = 0; which < 2 && code == PL_OK; which++) {
        out[which] = r->embedding[which] + pl_min64(index, PAIRED) * r->width;
        code = embed(r, which, ids, count, out[which]);
    }
    if (code == PL_OK) r->cosine[index] = dot(out[0], out[1], r->width);
    r->tokens += count;
    pl_free(ids);
    return code;
}

/* ---- the figures ---- */

static void summarize(run *r, pl_check_result *out)
{
    const double *q = r->embedding[0], *p = r->embedding[1];
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < r->passages; i++) sum += r->cosine[i];
    pl_sort_values(r->cosine, r->passages);
    out->cos_mean = sum / (double)r->passages;
    out->cos_p01 = pl_percentile(r->cosine, r->passages, 0.01);
    out->cos_min = r->cosine[0];
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
    if (code == PL_OK) code = embed(r, 1, ids, count, again);
    if (code == PL_OK) {
        double change = 0;
        for (int64_t c = 0; c < r->width; c++)
            change += (again[c] - r->embedding[1][c]) * (again[c] - r->embedding[1][c]);
        *floor = change / 2;            /* 1 - cosine of unit vectors */
    }
    pl_free(ids);
    pl_free(again);
    return code;
}

/* ---- the whole ---- */

static pl_status prepare(run *r, pl_pool *pool)
{
    const pl_check_options *o = r->options;
    const pl_hparams *hp = &r->model->model->hp, *original = &r->against->model->hp;
    size_t len;
    if (!original->encoder || hp->hidden != original->hidden || hp->vocab != original->vocab)
        return pl_fail(PL_E_INPUT, "%s is no encoder of %d channels and %d tokens as %s is", r->against->path,
                       (int)hp->hidden, (int)hp->vocab, r->model->path);
    r->width = hp->hidden;
    r->ctx = (int32_t)pl_min64(o->ctx, pl_min64(hp->context, original->context));
    PL_TRY(pl_tokenizer_create(r->model->model->vocab, &r->tokenizer[0]));
    PL_TRY(pl_tokenizer_create(r->against->model->vocab, &r->tokenizer[1]));
    PL_TRY(pl_graph_create(r->model, pool, o->mode, r->ctx, &r->graph[0]));
    PL_TRY(pl_graph_create(r->against, pool, PL_MODE_EXACT, r->ctx, &r->graph[1]));
    PL_TRY(pl_file_load(o->text, PL_MAX_TEXT_BYTES, &r->data, &len));
    int64_t most = o->chunks > 0 ? o->chunks : INT64_MAX;
    r->passages = find_passages(r->data, len, most, NULL);
    if (!r->passages) return pl_fail(PL_E_INPUT, "%s: has no line that is not blank", o->text);
    r->passage = pl_alloc(r->passages, sizeof *r->passage);
    r->cosine = pl_alloc(r->passages, sizeof *r->cosine);
    if (!r->passage || !r->cosine) return PL_E_MEMORY;
    find_passages(r->data, len, most, r->passage);
    for (int which = 0; which < 2; which++) {
        r->embedding[which] = pl_alloc(pl_min64(r->passages, PAIRED + 1) * r->width, sizeof *r->embedding[which]);
        if (!r->embedding[which]) return PL_E_MEMORY;
    }
    return PL_OK;
}

static void release(run *r)
{
    for (int which = 0; which < 2; which++) {
        pl_free(r->embedding[which]);
        pl_graph_destroy(r->graph[which]);
        pl_tokenizer_destroy(r->tokenizer[which]);
    }
    pl_free(r->cosine);
    pl_free(r->passage);
    pl_free(r->data);
}

static pl_status run_all(run *r, pl_pool *pool, pl_check_result *out)
{
    PL_TRY(prepare(r, pool));
    pl_progress("check", NULL, "passages", 0, r->passages);
    for (int64_t i = 0; i < r->passages; i++) {
        PL_TRY(embed_passage(r, i));
        pl_progress("check", NULL, "passages", i + 1, r->passages);
    }
    out->chunks = (int32_t)pl_min64(r->passages, INT32_MAX);
    out->tokens_scored = r->tokens;
    out->pp_tps = (double)r->tokens / r->seconds;
    PL_TRY(measure_floor(r, &out->cos_floor));
    PL_TRY(pl_map_check());
    out->nonfinite = r->nonfinite;
    if (r->nonfinite) out->cos_floor = NAN;
    else summarize(r, out);
    return PL_OK;
}

pl_status pl_embed_compare(pl_source *model, pl_source *against, const pl_check_options *options,
                           pl_pool *pool, pl_check_result *out)
{
    if (!against)
        return pl_fail(PL_E_WISH, "%s is an encoder, which has no perplexity: its embeddings are compared with "
                       "those of the original, --against", model->path);
    out->ppl = out->ppl_err = out->ppl_base = out->ppl_ratio = NAN;
    out->kld_mean = out->kld_err = out->kld_median = out->kld_p99 = out->kld_p999 = out->kld_max = NAN;
    out->kld_floor = out->top1 = out->rms_dp = out->tg_tps = NAN;
    out->cos_mean = out->cos_p01 = out->cos_min = out->cos_floor = out->sim_rms = NAN;
    run r = { .options = options, .model = model, .against = against };
    pl_status code = run_all(&r, pool, out);
    release(&r);
    return code;
}
