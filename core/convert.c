/* convert.c: the loop that turns a planned model into an output. Every matrix is cut into ranges of
 * rows; any worker takes the next range, reads it, encodes it and puts it into the sink. */
#include "core/convert.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "core/fs.h"
#include "core/half.h"
#include "core/log.h"
#include "core/work.h"

enum { STRIP_ELEMENTS = 1 << 15 };      /* weights measured at a time: both copies fit the cache */

typedef struct worker {
    pl_arena *scratch;
    uint8_t *out;                       /* one range's bytes, part behind part */
    pl_nonfinite nonfinite;             /* in all its ranges; the first in range nonfinite_range */
    int64_t nonfinite_range;
} worker;

typedef struct job {
    const pl_plan *plan;
    pl_source *source;
    pl_sink *sink;
    pl_pool *pool;
    const char *path;
    const pl_convert_options *options;
    pl_work *work;
    int64_t *first_range;               /* [steps+1] ranges before each step */
    int64_t first, last;                /* ranges of this share: first .. last-1 */
    uint8_t *finished;                  /* [ranges] */
    worker *worker;
    int workers;
    bool begun;                         /* ranges were encoded */
    pl_nonfinite before;                /* in ranges of earlier runs and other processes */
    int64_t before_range;
    atomic_uint *reach;                 /* [steps] bits of the number that all rows share; 0: none or not known yet */
    double (*error)[2];                 /* [ranges] sums of (w - decoded)^2 and w^2; NULL: not wanted */
    int64_t to_reach;                   /* weights of the matrices with such a number, and rows to encode */
    atomic_llong reached, done;         /* of these; bytes put */
    int64_t to_do;                      /* bytes of this share */
} job;

static int step_of_range(const job *j, int64_t range) { return pl_span_of(j->first_range, j->plan->steps, range); }

static pl_input input_of(const job *j, const pl_step *step)
{
    return (pl_input){ .source = j->source, .tensor = step->tensor, .rows = step->out.rows,
                       .cols = step->out.cols, .order = step->out.order,
                       .name = j->source->model->tensor[step->tensor].name };
}

/* Sums of squares in a fixed order of eight lanes: quick, and the same on every machine. */
static void add_errors(const float *w, const float *decoded, int64_t n, double sums[2])
{
    double error[8] = { 0 }, power[8] = { 0 };
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int l = 0; l < 8; l++) {
            double a = w[i + l], d = a - decoded[i + l];
            error[l] += d * d;
            power[l] += a * a;
        }
    }
    for (int l = 0; i < n; i++, l++) {
        double a = w[i], d = a - decoded[i];
        error[l] += d * d;
        power[l] += a * a;
    }
    for (int l = 0; l < 8; l++) {
        sums[0] += error[l];
        sums[1] += power[l];
    }
}

/* Reads the range's original again and compares it with what the packed bytes decode to. */
static pl_status measure(const pl_input *in, const pl_packed *rows, int64_t first, double sums[2],
                         pl_arena *scratch)
{
    sums[0] = sums[1] = 0;
    int64_t strip = pl_max64(1, STRIP_ELEMENTS / pl_max64(1, rows->cols));
    strip = pl_min64(strip, rows->rows);
    float *original = PL_NEW(scratch, float, strip * rows->cols);
    float *decoded = PL_NEW(scratch, float, strip * rows->cols);
    if (!original || !decoded) return PL_E_MEMORY;
    for (int64_t r = 0; r < rows->rows; r += strip) {
        int64_t n = pl_min64(strip, rows->rows - r);
        pl_arena_mark mark = pl_arena_save(scratch);
        PL_TRY(pl_rows(in, first + r, n, original, scratch));
        PL_TRY(pl_packed_decode(rows, r, n, decoded, scratch));
        pl_arena_restore(scratch, mark);
        add_errors(original, decoded, n * rows->cols, sums);
    }
    return PL_OK;
}

/* The rows of a range. Asks for those that another worker takes soon, or this one next time. */
static const pl_step *rows_of_range(const job *j, int64_t range, int64_t *first, int64_t *count)
{
    const pl_step *step = &j->plan->step[step_of_range(j, range)];
    int64_t height = pl_plan_range_rows(j->plan, step);
    *first = (range - j->first_range[step - j->plan->step]) * height;
    *count = pl_min64(height, step->out.rows - *first);
    int64_t ahead = *first + height * (1 + pl_min64(j->plan->threads, 8));
    if (ahead < step->out.rows)
        pl_source_advise(j->source, step->tensor, ahead, pl_min64(height, step->out.rows - ahead));
    return step;
}

/* Is any range of the step this share's, and not done yet? */
static bool wanted(const job *j, int step)
{
    for (int64_t r = pl_max64(j->first, j->first_range[step]); r < pl_min64(j->last, j->first_range[step + 1]); r++)
        if (!j->finished[r]) return true;
    return false;
}

/* Steps whose matrices runtimes join into one, with one number for all, if these have numbers beside scales of
 * groups: Q, K and V, gate and up. `step` itself is among them; returns how many there are. */
static int joined(const job *j, int step, int out[3])
{
    static const int16_t sets[][3] = { { PL_ATTN_Q, PL_ATTN_K, PL_ATTN_V }, { PL_FFN_GATE, PL_FFN_UP, -1 },
                                       { PL_SHARED_GATE, PL_SHARED_UP, -1 } };
    const pl_plan *plan = j->plan;
    const pl_step *own = &plan->step[step];
    int count = 1;
    out[0] = step;
    for (int i = 0; i < PL_COUNT(sets) && own->out.type.global; i++) {
        if (own->id.role != sets[i][0] && own->id.role != sets[i][1] && own->id.role != sets[i][2]) continue;
        for (int k = 0; k < 3; k++) {
            int other = pl_plan_find(plan, pl_id_make(sets[i][k], own->id.layer, own->id.expert));
            if (other >= 0 && other != step && plan->step[other].out.type.global) out[count++] = other;
        }
    }
    return count;
}

/* Is its number to be known, for itself or another step? */
static bool to_be_reached(const job *j, int step)
{
    int list[3], count = joined(j, step, list);
    bool any = false;
    for (int i = 0; i < count; i++) any = any || wanted(j, list[i]);
    return any && pl_step_shared(&j->plan->step[step]) >= 0;
}

/* Matrices that are joined get the largest number of them. */
static void join_reaches(const job *j)
{
    for (int s = 0; s < j->plan->steps; s++) {
        int list[3], count = joined(j, s, list);
        unsigned most = 0;
        for (int i = 0; i < count; i++) {
            unsigned bits = atomic_load(&j->reach[list[i]]);
            most = bits > most ? bits : most;
        }
        for (int i = 0; i < count; i++) atomic_store(&j->reach[list[i]], most);
    }
}

/* Comes first for matrices with a number that all rows share: the largest that any range asks for. */
static pl_status reach_range(void *ctx, int64_t range, int index)
{
    job *j = ctx;
    pl_arena *scratch = j->worker[index].scratch;
    int index_of_step = step_of_range(j, range);
    if (!to_be_reached(j, index_of_step)) return PL_OK;
    int64_t first, count;
    const pl_step *step = rows_of_range(j, range, &first, &count);
    pl_input in = input_of(j, step);
    float number = 0.0f;
    pl_arena_reset(scratch);
    PL_TRY(step->method->reach(step, &in, first, count, &number, scratch));
    atomic_uint *reach = &j->reach[step - j->plan->step];
    unsigned bits = pl_f32_bits(number), now = atomic_load(reach);      /* in order as the numbers are: none below 0 */
    while (now < bits && !atomic_compare_exchange_weak(reach, &now, bits)) {}
    int64_t values = count * step->out.cols, done = atomic_fetch_add(&j->reached, values) + values;
    pl_progress("measure", step->name, "weights", done, j->to_reach);
    return PL_OK;
}

/* Adds what was found in a range; of all, the one of the first range is told. */
static void add_nonfinite(pl_nonfinite *all, int64_t *all_range, const pl_nonfinite *found, int64_t range)
{
    if (!found->count) return;
    int64_t count = all->count + found->count;
    if (!all->count || range < *all_range) {
        *all = *found;
        *all_range = range;
    }
    all->count = count;
}

static pl_status do_range(void *ctx, int64_t index_of_range, int index)
{
    job *j = ctx;
    worker *me = &j->worker[index];
    const pl_ranks *ranks = j->options->ranks;
    int64_t range = j->first + index_of_range, first, count;
    if (j->finished[range]) return PL_OK;
    if (ranks && ranks->failed(ranks)) return pl_fail(PL_E_IO, "another process failed");
    const pl_step *step = rows_of_range(j, range, &first, &count);
    int shared = pl_step_shared(step);
    unsigned reach = atomic_load(&j->reach[step - j->plan->step]);

    pl_arena_reset(me->scratch);
    pl_packed rows;
    PL_TRY(pl_packed_rows(&step->out, first, count, &rows));
    int64_t used = 0, put = 0;
    for (int i = 0; i < rows.nparts; i++) {
        rows.part[i].ptr = me->out + used;
        if (i == shared) memcpy(me->out + used, &reach, sizeof reach);
        used += rows.part[i].bytes;
    }
    pl_input in = input_of(j, step);
    pl_nonfinite found = { 0 };
    in.nonfinite = &found;
    PL_TRY(step->method->encode(step, &in, first, count, &rows, me->scratch));
    if (j->error) {
        pl_arena_reset(me->scratch);
        PL_TRY(measure(&in, &rows, first, j->error[range], me->scratch));
    }
    for (int i = 0; i < rows.nparts; i++) {
        const pl_part *part = &step->out.part[i];
        if (!part->stride && first) continue;           /* one for the whole matrix: with its first rows */
        int64_t offset = first / pl_max64(1, step->out.granule) * part->stride;
        PL_TRY(j->sink->ops->put(j->sink, part, offset, rows.part[i].ptr, (size_t)rows.part[i].bytes));
        put += rows.part[i].bytes;
    }
    add_nonfinite(&me->nonfinite, &me->nonfinite_range, &found, range);
    pl_record record = { .range = range, .nonfinite = found.count, .row = found.row, .col = found.col,
                         .value = found.value };
    if (j->error) memcpy(record.error, j->error[range], sizeof record.error);
    PL_TRY(pl_work_add(j->work, &record, put));
    j->finished[range] = true;
    int64_t done = atomic_fetch_add(&j->done, put) + put;
    pl_progress("convert", step->name, "B", done, j->to_do);
    return PL_OK;
}

static pl_status create_workers(job *j)
{
    int64_t most = 1;
    for (int i = 0; i < j->plan->steps; i++) {
        pl_packed rows;
        const pl_step *step = &j->plan->step[i];
        PL_TRY(pl_packed_rows(&step->out, 0, pl_plan_range_rows(j->plan, step), &rows));
        most = pl_max64(most, pl_packed_bytes(&rows));
    }
    j->worker = pl_alloc(j->workers, sizeof *j->worker);
    if (!j->worker) return PL_E_MEMORY;
    for (int i = 0; i < j->workers; i++) {
        PL_TRY(pl_arena_create(&j->worker[i].scratch));
        j->worker[i].out = pl_alloc_aligned(most, 1);
        if (!j->worker[i].out) return PL_E_MEMORY;
    }
    return PL_OK;
}

/* Errors of the ranges, added up in their order. */
static void reduce_errors(const job *j, double *rel_error)
{
    for (int i = 0; i < j->plan->steps; i++) {
        double error = 0, power = 0;
        bool all = true;
        for (int64_t r = j->first_range[i]; r < j->first_range[i + 1]; r++) {
            all = all && j->finished[r];
            error += j->error[r][0];
            power += j->error[r][1];
        }
        rel_error[i] = !all ? -1 : power == 0 ? 0 : sqrt(error / power);
    }
}

/* They are refused only here, so that the sentence can say how many there are. */
static pl_status check_finite(const job *j)
{
    pl_nonfinite all = j->before;
    int64_t range = j->before_range;
    for (int i = 0; i < j->workers; i++)
        add_nonfinite(&all, &range, &j->worker[i].nonfinite, j->worker[i].nonfinite_range);
    if (j->options->nonfinite) *j->options->nonfinite = all;
    if (j->options->nonfinite || !all.count) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' row %lld column %lld is %s; values that are not finite: "
                   "%lld (--allow-nonfinite keeps them)", j->source->path, all.tensor, (long long)all.row,
                   (long long)all.col, pl_nonfinite_name(all.value), (long long)all.count);
}

static pl_status check_output(const pl_source *source, const pl_sink *sink, const char *path)
{
    char name[PATH_MAX];
    if (!path[0]) return PL_OK;             /* a sink without files */
    for (int f = 0; f < sink->files; f++) {
        PL_TRY(pl_sink_file_name(sink, path, f, name));
        for (int i = 0; i < source->files; i++) PL_TRY(pl_path_apart("output", name, source->file[i]));
    }
    return PL_OK;
}

static pl_status check_wishes(const job *j)
{
    const pl_convert_options *o = j->options;
    if (!(j->sink->ops->flags & PL_SINK_RESUMES) && (o->resume || o->parts || o->ranks))
        return pl_fail(PL_E_WISH, "an output of the format '%s' can neither be resumed nor shared", j->sink->ops->name);
    if (o->parts && o->ranks) return pl_fail(PL_E_WISH, "a share cannot be shared again by several processes");
    return PL_OK;
}

/* ---- shares ---- */

/* Cuts the ranges into shares of about equal numbers of weights; *first .. *last-1 is share i (from 0) of n. */
static void cut_share(const job *j, int i, int n, int64_t *first, int64_t *last)
{
    int64_t total = 0, before = 0;
    for (int s = 0; s < j->plan->steps; s++) total += j->plan->step[s].out.rows * j->plan->step[s].out.cols;
    *first = *last = 0;
    for (int64_t r = 0; r < j->first_range[j->plan->steps]; r++) {
        const pl_step *step = &j->plan->step[step_of_range(j, r)];
        int64_t height = pl_plan_range_rows(j->plan, step), from = (r - j->first_range[step - j->plan->step]) * height;
        int64_t weights = pl_min64(height, step->out.rows - from) * step->out.cols;
        int share = (int)(((__int128)2 * before + weights) * n / ((__int128)2 * pl_max64(total, 1)));
        before += weights;
        if (share < i) *first = r + 1;
        if (share <= i) *last = r + 1;
    }
}

/* Bytes that are put for a range. */
static int64_t range_bytes(const job *j, int64_t range)
{
    const pl_step *step = &j->plan->step[step_of_range(j, range)];
    int64_t height = pl_plan_range_rows(j->plan, step), first = (range - j->first_range[step - j->plan->step]) * height;
    int64_t bytes = 0;
    pl_packed rows;
    if (pl_packed_rows(&step->out, first, pl_min64(height, step->out.rows - first), &rows) != PL_OK) return 0;
    for (int i = 0; i < rows.nparts; i++)
        if (step->out.part[i].stride || !first) bytes += rows.part[i].bytes;
    return bytes;
}

/* A range that an earlier run or another process has finished. */
static pl_status take_over(void *ctx, const pl_record *r)
{
    job *j = ctx;
    if (j->finished[r->range]) return PL_OK;
    j->finished[r->range] = true;
    if (j->error) memcpy(j->error[r->range], r->error, sizeof r->error);
    const pl_step *step = &j->plan->step[step_of_range(j, r->range)];
    pl_nonfinite found = { r->nonfinite, j->source->model->tensor[step->tensor].name, r->row, r->col, r->value };
    add_nonfinite(&j->before, &j->before_range, &found, r->range);
    if (r->range >= j->first && r->range < j->last) atomic_fetch_add(&j->done, range_bytes(j, r->range));
    return PL_OK;
}

/* ---- the phases; with several processes all end one before any begins the next ---- */

static pl_status prepare(job *j)
{
    PL_TRY(check_output(j->source, j->sink, j->path));
    PL_TRY(check_wishes(j));
    const pl_plan *plan = j->plan;
    j->first_range = pl_alloc(plan->steps + 1, sizeof *j->first_range);
    j->reach = pl_alloc(plan->steps, sizeof *j->reach);
    if (!j->first_range || !j->reach) return PL_E_MEMORY;
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        j->first_range[i + 1] = j->first_range[i] + pl_ceil_div(step->out.rows, pl_plan_range_rows(plan, step));
    }
    int64_t ranges = j->first_range[plan->steps];
    j->finished = pl_alloc(ranges, sizeof *j->finished);
    if (!j->finished) return PL_E_MEMORY;
    if (j->options->measure) {
        j->error = pl_alloc(ranges, sizeof *j->error);
        if (!j->error) return PL_E_MEMORY;
    }
    const pl_convert_options *o = j->options;
    if (o->ranks) cut_share(j, o->ranks->rank, o->ranks->count, &j->first, &j->last);
    else if (o->parts) cut_share(j, o->part - 1, o->parts, &j->first, &j->last);
    else j->last = ranges;
    for (int64_t r = j->first; r < j->last; r++) j->to_do += range_bytes(j, r);
    return create_workers(j);
}

static pl_status open_output(job *j)
{
    const pl_convert_options *o = j->options;
    bool resumes = j->sink->ops->flags & PL_SINK_RESUMES;
    j->sink->set.force = o->force;
    j->sink->set.resume = o->resume;
    j->sink->set.part = o->part;
    j->sink->set.parts = o->parts;
    j->sink->set.joined = o->ranks && o->ranks->rank > 0;
    pl_work_options options = { .path = resumes ? j->path : NULL, .also = o->also, .measured = o->measure,
                                .note_bytes = o->note_bytes, .keep = o->ranks != NULL };
    PL_TRY(pl_work_open(j->plan, j->source, j->sink, j->first_range[j->plan->steps], &options, &j->work));
    PL_TRY(pl_work_gather(j->work, take_over, j));
    j->sink->pool = j->pool;
    PL_TRY(j->sink->ops->begin(j->sink, j->path, j->plan, j->source->model));
    pl_source_drop_vocab(j->source);
    return PL_OK;
}

static pl_status encode_all(job *j)
{
    j->begun = true;
    for (int i = 0; i < j->plan->steps; i++) {
        const pl_step *step = &j->plan->step[i];
        if (to_be_reached(j, i)) j->to_reach += step->out.rows * step->out.cols;
    }
    pl_status code = PL_OK;
    if (j->to_reach) code = pl_pool_for(j->pool, j->first_range[j->plan->steps], reach_range, j);
    if (code == PL_OK) join_reaches(j);
    pl_pool *pool = j->sink->ops->flags & PL_SINK_ANY_ORDER ? j->pool : NULL;
    if (code == PL_OK) code = pl_pool_for(pool, j->last - j->first, do_range, j);
    if (code == PL_OK) code = pl_map_check();           /* of a source that maps its files */
    if (code == PL_OK || code == PL_E_IO) code = pl_work_flush(j->work, code);
    return code;
}

/* The first process knows of all ranges then. */
static pl_status check_all(job *j)
{
    bool together = j->options->ranks;
    if (together) PL_TRY(pl_work_gather(j->work, take_over, j));
    int64_t first = together ? 0 : j->first, last = together ? j->first_range[j->plan->steps] : j->last;
    for (int64_t r = first; r < last; r++)
        if (!j->finished[r])
            return pl_fail(PL_E_IO, "the journal lacks range %lld: the file system lost it", (long long)r);
    return check_finite(j);
}

static pl_status leave(job *j) { return j->sink->ops->finish(j->sink); }

static pl_status complete(job *j)
{
    PL_TRY(check_all(j));
    PL_TRY(pl_work_seal(j->work));
    return j->sink->ops->finish(j->sink);
}

enum { ALL, FIRST, OTHERS };

/* One phase, by those processes that have part in it. */
static pl_status phase(job *j, pl_status code, int who, pl_status (*run)(job *j))
{
    const pl_ranks *ranks = j->options->ranks;
    if (code != PL_OK) return code;
    bool first = !ranks || ranks->rank == 0;
    if (who == ALL || first == (who == FIRST)) code = run(j);
    return ranks ? ranks->agree(ranks, code) : code;
}

pl_status pl_convert(const pl_plan *plan, pl_source *source, pl_sink *sink, const char *path,
                     pl_pool *pool, const pl_convert_options *options, double *rel_error)
{
    job j = { .plan = plan, .source = source, .sink = sink, .pool = pool, .path = path, .options = options,
              .workers = pl_pool_workers(pool) };
    pl_status code = phase(&j, PL_OK, ALL, prepare);
    code = phase(&j, code, FIRST, open_output);
    code = phase(&j, code, OTHERS, open_output);
    code = phase(&j, code, ALL, encode_all);
    code = phase(&j, code, OTHERS, leave);
    code = phase(&j, code, FIRST, complete);
    if (code == PL_OK && options->measure) reduce_errors(&j, rel_error);
    /* A share stays for the merge. What failed over a bad input would fail again. */
    bool kept = atomic_load(&sink->set.keep) && !(j.begun && (code == PL_E_INPUT || code == PL_E_MEMORY));
    if (code != PL_OK && kept && j.begun)
        pl_fail(code, "%s; what is finished is kept: --resume goes on with it", pl_error());
    pl_work_close(j.work, code == PL_OK ? options->parts > 0 : kept);
    for (int i = 0; j.worker && i < j.workers; i++) {
        pl_arena_destroy(j.worker[i].scratch);
        pl_free(j.worker[i].out);
    }
    pl_free(j.worker);
    pl_free(j.finished);
    pl_free(j.error);
    pl_free(j.reach);
    pl_free(j.first_range);
    return code;
}
