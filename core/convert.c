/* convert.c: the loop that turns a planned model into an output. Every matrix is cut into ranges of
 * rows; any worker takes the next range, reads it, encodes it and puts it into the sink. */
#include "core/convert.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "core/fs.h"
#include "core/log.h"

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
    int64_t *first_range;               /* [steps+1] ranges before each step */
    worker *worker;
    double (*error)[2];                 /* [ranges] sums of (w - decoded)^2 and w^2; NULL: not wanted */
    atomic_llong done;                  /* bytes put */
} job;

static int step_of_range(const job *j, int64_t range)
{
    int low = 0, high = j->plan->steps - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (j->first_range[middle] <= range) low = middle;
        else high = middle - 1;
    }
    return low;
}

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

static pl_status do_range(void *ctx, int64_t range, int index)
{
    job *j = ctx;
    worker *me = &j->worker[index];
    const pl_step *step = &j->plan->step[step_of_range(j, range)];
    int64_t height = pl_plan_range_rows(j->plan, step);
    int64_t first = (range - j->first_range[step - j->plan->step]) * height;
    int64_t count = pl_min64(height, step->out.rows - first);
    /* What another worker takes soon, or this one next time. */
    int64_t ahead = first + height * (1 + pl_min64(j->plan->threads, 8));
    if (ahead < step->out.rows)
        pl_source_advise(j->source, step->tensor, ahead, pl_min64(height, step->out.rows - ahead));

    pl_arena_reset(me->scratch);
    pl_packed rows;
    PL_TRY(pl_packed_rows(&step->out, first, count, &rows));
    int64_t used = 0;
    for (int i = 0; i < rows.nparts; i++) {
        rows.part[i].ptr = me->out + used;
        used += rows.part[i].bytes;
    }
    pl_input in = input_of(j, step);
    in.nonfinite = &me->nonfinite;
    if (!me->nonfinite.count) me->nonfinite_range = range;
    PL_TRY(step->method->encode(step, &in, first, count, &rows, me->scratch));
    if (j->error) {
        pl_arena_reset(me->scratch);
        PL_TRY(measure(&in, &rows, first, j->error[range], me->scratch));
    }
    for (int i = 0; i < rows.nparts; i++) {
        const pl_part *part = &step->out.part[i];
        int64_t offset = part->stride ? first / pl_max64(1, step->out.granule) * part->stride : 0;
        PL_TRY(j->sink->ops->put(j->sink, part, offset, rows.part[i].ptr, (size_t)rows.part[i].bytes));
    }
    int64_t done = atomic_fetch_add(&j->done, used) + used;
    pl_progress("convert", step->name, "B", done, j->plan->data_bytes);
    return PL_OK;
}

static pl_status create_workers(job *j, int workers)
{
    int64_t most = 1;
    for (int i = 0; i < j->plan->steps; i++) {
        pl_packed rows;
        const pl_step *step = &j->plan->step[i];
        PL_TRY(pl_packed_rows(&step->out, 0, pl_plan_range_rows(j->plan, step), &rows));
        most = pl_max64(most, pl_packed_bytes(&rows));
    }
    j->worker = pl_alloc(workers, sizeof *j->worker);
    if (!j->worker) return PL_E_MEMORY;
    for (int i = 0; i < workers; i++) {
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
        for (int64_t r = j->first_range[i]; r < j->first_range[i + 1]; r++) {
            error += j->error[r][0];
            power += j->error[r][1];
        }
        rel_error[i] = power == 0 ? 0 : sqrt(error / power);
    }
}

/* What the workers met; the position is that of the first in the order of the plan, as each worker takes
 * ranges in that order. */
static pl_nonfinite all_nonfinite(const job *j, int workers)
{
    pl_nonfinite all = { 0 };
    int64_t count = 0, range = INT64_MAX;
    for (int i = 0; i < workers; i++) {
        const worker *w = &j->worker[i];
        count += w->nonfinite.count;
        if (!w->nonfinite.count || w->nonfinite_range > range) continue;
        range = w->nonfinite_range;
        all = w->nonfinite;
    }
    all.count = count;
    return all;
}

/* They are refused only here, so that the sentence can say how many there are. */
static pl_status check_finite(const job *j, int workers, const pl_convert_options *options)
{
    pl_nonfinite all = all_nonfinite(j, workers);
    if (options->nonfinite) *options->nonfinite = all;
    if (options->nonfinite || !all.count) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' row %lld column %lld is %s; values that are not finite: "
                   "%lld (--allow-nonfinite keeps them)", j->source->path, all.tensor, (long long)all.row,
                   (long long)all.col, pl_nonfinite_name(all.value), (long long)all.count);
}

static pl_status check_output(const pl_source *source, const pl_sink *sink, const char *path)
{
    char name[PATH_MAX];
    for (int f = 0; f < sink->files; f++) {
        PL_TRY(pl_sink_file_name(sink, path, f, name));
        for (int i = 0; i < source->files; i++)
            if (pl_path_same(name, source->file[i]))
                return pl_fail(PL_E_WISH, "the output '%s' is the input '%s'", name, source->file[i]);
    }
    return PL_OK;
}

pl_status pl_convert(const pl_plan *plan, pl_source *source, pl_sink *sink, const char *path,
                     pl_pool *pool, const pl_convert_options *options, double *rel_error)
{
    PL_TRY(check_output(source, sink, path));
    job j = { .plan = plan, .source = source, .sink = sink };
    int workers = pl_pool_workers(pool);
    pl_status code = PL_E_MEMORY;
    j.first_range = pl_alloc(plan->steps + 1, sizeof *j.first_range);
    if (!j.first_range) goto out;
    for (int i = 0; i < plan->steps; i++) {
        int64_t rows = plan->step[i].out.rows;
        j.first_range[i + 1] = j.first_range[i] +
                               pl_ceil_div(rows, pl_plan_range_rows(plan, &plan->step[i]));
    }
    int64_t ranges = j.first_range[plan->steps];
    if (options->measure) {
        j.error = pl_alloc(ranges, sizeof *j.error);
        if (!j.error) goto out;
    }
    code = create_workers(&j, workers);
    if (code != PL_OK) goto out;
    code = sink->ops->begin(sink, path, plan, source->model, options->force);
    if (code != PL_OK) goto out;
    pl_source_drop_vocab(source);
    if (!(sink->ops->flags & PL_SINK_ANY_ORDER)) pool = NULL;
    code = pl_pool_for(pool, ranges, do_range, &j);
    if (code == PL_OK) code = pl_map_check();           /* of a source that maps its files */
    if (code == PL_OK) code = check_finite(&j, workers, options);
    if (code == PL_OK) code = sink->ops->finish(sink);
    if (code == PL_OK && options->measure) reduce_errors(&j, rel_error);
out:
    for (int i = 0; j.worker && i < workers; i++) {
        pl_arena_destroy(j.worker[i].scratch);
        pl_free(j.worker[i].out);
    }
    pl_free(j.worker);
    pl_free(j.error);
    pl_free(j.first_range);
    return code;
}
