/* calibrate.c: sums of the inputs of all matrices, and of their squares, over a text's windows. */
#include "runtime-check/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/linalg.h"
#include "core/log.h"
#include "runtime-check/journal.h"
#include "runtime-check/windows.h"

enum {
    COLS_PER_TASK = 128,
    INLINE_VALUES = 1 << 15,    /* squares of fewer values are not worth waking workers */
    JOURNAL_WINDOWS = 16,       /* the journal is kept after so many windows, */
    JOURNAL_SECONDS = 30        /* or after a window when so much time has passed */
};

/* What one or several matrices are multiplied by. Its count is the journal's at the same index. */
typedef struct input {
    pl_id id;                   /* as the observer is told */
    int64_t cols;
    double *sum2, *sum;         /* [cols] of squares and of values, in the journal's sums: all squares come first */
} input;

typedef struct run {
    const pl_calibrate_options *options;
    pl_source *source;
    pl_pool *pool;
    pl_arena *arena;
    pl_graph *graph;
    pl_window_text text;
    pl_windows windows;
    int32_t *tokens;            /* [ctx] of the window at hand */
    input *input;               /* by identity */
    pl_journal journal;
} run;

/* ---- which matrices share an input ---- */

/* The identity under which the observer sees the input of a tensor of the model; false: nobody asks for it. */
static bool seen_as(const run *r, const pl_tensor *t, pl_id *id)
{
    *id = t->id;
    if (t->id.layer < 0) {
        int role = r->source->model->hp.tied ? PL_TOKEN_EMBD : PL_OUTPUT;
        return r->options->output && t->id.role == role;
    }
    switch (t->id.role) {
    case PL_ATTN_QKV: case PL_ATTN_K: case PL_ATTN_V: id->role = PL_ATTN_Q; break;
    case PL_FFN_GATE_UP: case PL_FFN_GATE: id->role = PL_FFN_UP; break;
    case PL_SHARED_GATE: id->role = PL_SHARED_UP; break;
    case PL_SHARED_ROUTER: id->role = PL_FFN_ROUTER; break;
    case PL_FFN_ROUTER: break;
    default: return t->flags & PL_TENSOR_MATRIX;
    }
    return true;
}

/* The length of its rows; the shared expert's router is one row, which is a vector to us. */
static int64_t cols_of(const pl_tensor *t) { return t->cols > 1 ? t->cols : t->rows; }

static int compare_inputs(const void *a, const void *b)
{
    return pl_id_compare(((const input *)a)->id, ((const input *)b)->id);
}

static int find_input(const run *r, pl_id id)
{
    const input key = { .id = id };
    const input *found = bsearch(&key, r->input, (size_t)r->journal.counts, sizeof key, compare_inputs);
    return found ? (int)(found - r->input) : -1;
}

static pl_status list_inputs(run *r)
{
    const pl_model *model = r->source->model;
    int64_t all = 0, kept = 0, at = 0;
    r->input = PL_NEW(r->arena, input, model->tensors);
    if (!r->input) return PL_E_MEMORY;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        pl_id id;
        if (seen_as(r, t, &id)) r->input[all++] = (input){ .id = id, .cols = cols_of(t) };
    }
    qsort(r->input, (size_t)all, sizeof *r->input, compare_inputs);
    for (int64_t i = 0; i < all; i++) {
        if (kept && pl_id_equal(r->input[kept - 1].id, r->input[i].id)) continue;
        r->journal.sums += 2 * r->input[i].cols;
        r->input[kept++] = r->input[i];
    }
    r->journal.counts = kept;
    r->journal.count = PL_ZNEW(r->arena, int64_t, kept);
    r->journal.sum = PL_ZNEW(r->arena, double, r->journal.sums);
    if (!r->journal.count || !r->journal.sum) return PL_E_MEMORY;
    for (int64_t i = 0; i < kept; at += r->input[i++].cols) {
        r->input[i].sum2 = r->journal.sum + at;
        r->input[i].sum = r->input[i].sum2 + r->journal.sums / 2;
    }
    return PL_OK;
}

/* ---- the sums ---- */

typedef struct sum_job {
    const float *x;
    int64_t n, cols;
    double *sum2, *sum;
} sum_job;

/* Columns are cut among workers, rows stay in turn: the sums are the same for any number of them. */
static pl_status sum_task(void *ctx, int64_t index, int worker)
{
    const sum_job *j = ctx;
    int64_t first = index * COLS_PER_TASK, end = pl_min64(first + COLS_PER_TASK, j->cols);
    for (int64_t i = 0; i < j->n; i++) {
        const float *x = j->x + i * j->cols;
        for (int64_t c = first; c < end; c++) {
            j->sum2[c] += (double)x[c] * (double)x[c];
            j->sum[c] += (double)x[c];
        }
    }
    return PL_OK;
}

static pl_status see(void *ctx, pl_id id, const float *x, int64_t n, int64_t cols)
{
    run *r = ctx;
    int at = find_input(r, id);
    if (at < 0 || r->input[at].cols != cols)
        return pl_fail(PL_E_INPUT, "%s: no matrix takes the %lld values of '%s' in layer %d", r->source->path,
                       (long long)cols, pl_role_name(id.role), (int)id.layer);
    r->journal.count[at] += n;
    sum_job job = { x, n, cols, r->input[at].sum2, r->input[at].sum };
    return pl_pool_for(n * cols < INLINE_VALUES ? NULL : r->pool, pl_ceil_div(cols, COLS_PER_TASK), sum_task, &job);
}

static pl_status run_window(run *r, int32_t index)
{
    const float *hidden;
    int32_t n = r->windows.ctx;
    const pl_hparams *hp = &r->source->model->hp;
    pl_windows_fill(&r->windows, r->text.ids, index, r->tokens);
    pl_graph_clear(r->graph);
    PL_TRY(pl_graph_forward(r->graph, r->tokens, n, &hidden));
    if (!r->options->output) return PL_OK;
    return see(r, pl_id_make(hp->tied ? PL_TOKEN_EMBD : PL_OUTPUT, -1, -1), hidden, n, hp->hidden);
}

/* First column of a tensor's input whose sum does not fit into the file that it is for; -1: none. */
static int64_t find_bad(const run *r, const pl_tensor *t)
{
    pl_id id;
    int at = seen_as(r, t, &id) ? find_input(r, id) : -1;
    for (int64_t c = 0; at >= 0 && c < r->input[at].cols; c++)
        if (!isfinite((float)r->input[at].sum2[c]) || !isfinite((float)r->input[at].sum[c])) return c;
    return -1;
}

static pl_status check_finite(const run *r)
{
    const pl_model *model = r->source->model;
    const pl_tensor *bad = NULL;
    int64_t column = -1;
    /* the first on the way through the model: the output comes last */
    for (int i = 0; i < model->tensors && (!bad || bad->id.layer < 0); i++) {
        const pl_tensor *t = &model->tensor[model->entry[i].tensor];
        int64_t c = find_bad(r, t);
        if (c < 0) continue;
        bad = t;
        column = c;
    }
    if (!bad) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: the input of tensor '%s' is not finite or too large in column %lld",
                   r->source->path, bad->name, (long long)column);
}

/* ---- windows in turn ---- */

static pl_status make_key(run *r, const pl_calibrate_result *out)
{
    /* padding would be part of the bytes: every field is 8 of them */
    const int64_t options[] = { r->windows.ctx, r->windows.count, r->windows.step, r->windows.bos, r->options->output };
    pl_hash *hash;
    PL_TRY(pl_hash_create(&hash));
    pl_hash_update(hash, PL_VERSION, sizeof PL_VERSION);
    pl_hash_update(hash, out->digest_model, strlen(out->digest_model));
    pl_hash_update(hash, out->digest_text, strlen(out->digest_text));
    pl_hash_update(hash, options, sizeof options);
    r->journal.key = pl_hash_digest(hash);
    pl_hash_destroy(hash);
    return PL_OK;
}

static pl_status resume(run *r)
{
    const pl_calibrate_options *o = r->options;
    if (!o->journal || !pl_path_exists(o->journal)) return PL_OK;
    pl_status code = pl_journal_load(o->journal, &r->journal);
    if (code == PL_OK && r->journal.done > r->windows.count)
        code = pl_fail(PL_E_INPUT, "%s: %lld windows are done of %d", o->journal, (long long)r->journal.done,
                       (int)r->windows.count);
    if (code == PL_OK)
        pl_log(PL_LOG_INFO, "%s: going on behind window %lld of %d", o->journal, (long long)r->journal.done,
               (int)r->windows.count);
    if (code != PL_E_INPUT) return code;
    if (!o->force) return pl_fail(code, "%s; --force begins anew", pl_error());
    pl_log(PL_LOG_WARN, "%s; begins anew", pl_error());
    r->journal.done = 0;
    return PL_OK;
}

static pl_status run_all(run *r)
{
    double kept = pl_seconds();
    const pl_observer observer = { see, r };
    pl_journal *j = &r->journal;
    pl_graph_observe(r->graph, &observer);
    pl_progress("calibrate", NULL, "windows", j->done, r->windows.count);
    while (j->done < r->windows.count) {
        PL_TRY(run_window(r, (int32_t)j->done));
        j->done++;
        pl_progress("calibrate", NULL, "windows", j->done, r->windows.count);
        bool due = j->done % JOURNAL_WINDOWS == 0 || pl_seconds() - kept > JOURNAL_SECONDS;
        if (!due && j->done < r->windows.count) continue;
        PL_TRY(pl_map_check());
        PL_TRY(check_finite(r));
        if (r->options->journal) PL_TRY(pl_journal_save(r->options->journal, j));
        kept = pl_seconds();
    }
    return PL_OK;
}

/* ---- the result ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static pl_status fill_stats(run *r, pl_calibrate_result *out)
{
    const pl_model *model = r->source->model;
    float *sums = PL_NEW(r->arena, float, r->journal.sums);
    pl_stat *stat = PL_NEW(r->arena, pl_stat, model->tensors);
    const char **dataset = PL_NEW(r->arena, const char *, 1);
    if (!sums || !stat || !dataset) return PL_E_MEMORY;
    for (int64_t i = 0; i < r->journal.sums; i++) sums[i] = (float)r->journal.sum[i];
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[model->entry[i].tensor];
        pl_id id;
        int at = seen_as(r, t, &id) ? find_input(r, id) : -1;
        if (at < 0) continue;
        int64_t rows = r->journal.count[at];
        const float *sum2 = sums + (r->input[at].sum2 - r->journal.sum);
        stat[out->matrices++] = (pl_stat){ t->id, r->input[at].cols, sum2, sum2 + r->journal.sums / 2, (float)rows };
        out->unseen += rows == 0;
    }
    *dataset = base_name(r->options->text);
    out->stats = (pl_stats){ .stat = stat, .count = out->matrices, .dataset = dataset, .datasets = 1,
                             .chunks = r->windows.count, .chunk_size = r->windows.ctx };
    return PL_OK;
}

static pl_status read_text(run *r, pl_calibrate_result *out)
{
    const pl_calibrate_options *o = r->options;
    const pl_vocab *vocab = r->source->model->vocab;
    /* where a tokenizer ends texts with EOS, llama-imatrix refuses; windows then begin with BOS and are cut off */
    pl_protocol protocol = vocab && vocab->add_eos ? PL_PROTOCOL_FULL : PL_PROTOCOL_LCPP;
    char *data = NULL, *found = out->digest_text;
    size_t len;
    if (o->tokens > 0 && o->tokens < o->ctx)
        return pl_fail(PL_E_WISH, "%lld tokens are less than a window of %d", (long long)o->tokens, (int)o->ctx);
    PL_TRY(pl_file_load(o->text, PL_MAX_TEXT_BYTES, &data, &len));
    pl_digest_text(pl_hash_bytes(data, len), found);
    pl_status code = pl_windows_encode(r->source, protocol, o->bos, data, len, &r->text);
    pl_free(data);
    if (code != PL_OK) return code;
    int32_t most = (int32_t)pl_min64(o->tokens / o->ctx, INT32_MAX);
    code = pl_windows_plan(protocol, o->ctx, most, r->text.bos, r->text.count, &r->windows);
    return code == PL_OK ? code : pl_fail_prefix(code, "%s: ", o->text);
}

static pl_status run_with(run *r, pl_calibrate_result *out)
{
    const pl_hparams *hp = &r->source->model->hp;
    int32_t ctx = r->options->ctx;
    if (hp->encoder && r->options->output)
        return pl_fail(PL_E_WISH, "%s: an encoder has no output matrix", r->source->path);
    if (!hp->encoder && ctx > hp->context)
        pl_log(PL_LOG_WARN, "windows of %d tokens are longer than the %d that the model was made for", (int)ctx,
               (int)hp->context);
    PL_TRY(read_text(r, out));
    PL_TRY(pl_check_digest(r->source, out->digest_model));
    PL_TRY(make_key(r, out));
    PL_TRY(list_inputs(r));
    PL_TRY(resume(r));
    out->resumed = (int32_t)r->journal.done;
    out->windows = r->windows.count;
    out->bos = r->windows.bos >= 0;
    r->tokens = PL_NEW(r->arena, int32_t, ctx);
    if (!r->tokens) return PL_E_MEMORY;
    PL_TRY(pl_graph_create(r->source, r->pool, PL_MODE_EXACT, ctx, &r->graph));
    PL_TRY(run_all(r));
    return fill_stats(r, out);
}

pl_status pl_calibrate_run(pl_source *model, const pl_calibrate_options *options, pl_pool *pool, pl_arena *arena,
                           pl_calibrate_result *out)
{
    double begin = pl_seconds();
    run r = { .options = options, .source = model, .pool = pool, .arena = arena };
    *out = (pl_calibrate_result){ .options = *options, .threads = pl_pool_workers(pool) };
    pl_status code = run_with(&r, out);
    pl_graph_destroy(r.graph);
    pl_free(r.text.ids);
    out->seconds = pl_seconds() - begin;
    return code;
}

pl_status pl_calibrate_json(const pl_calibrate_result *r, char **text)
{
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "schema", "planish.calibration/1");
    pl_json_put_text(w, "text", r->options.text);
    pl_json_put_bool(w, "bos", r->bos);
    pl_json_put_int(w, "ctx", r->options.ctx);
    pl_json_put_int(w, "windows", r->windows);
    pl_json_put_int(w, "resumed", r->resumed);
    pl_json_put_int(w, "tokens", (int64_t)r->windows * r->options.ctx);
    pl_json_put_int(w, "matrices", r->matrices);
    pl_json_put_int(w, "unseen", r->unseen);
    pl_json_put_int(w, "threads", r->threads);
    pl_json_put_number(w, "seconds", r->seconds);
    pl_json_put_int(w, "peak_rss_bytes", pl_rss_peak_bytes());
    pl_json_begin_object(w, "versions");
    pl_json_put_text(w, "planish", PL_VERSION);
    pl_json_put_text(w, "blas", pl_linalg_version());
    pl_json_end(w);
    pl_json_begin_object(w, "digests");
    pl_json_put_text(w, "model", r->digest_model);
    pl_json_put_text(w, "text", r->digest_text);
    pl_json_end(w);
    pl_json_end(w);
    pl_status code = pl_json_finish(w, text);
    pl_json_writer_destroy(w);
    return code;
}
