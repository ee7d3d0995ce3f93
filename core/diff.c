/* diff.c: two models tensor by tensor. */
#include "core/diff.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

enum { RANGE_ELEMENTS = 1 << 18 };      /* weights of each model decoded at a time */

/* Of one range. */
typedef struct part_sum {
    int64_t different;
    double error, power, largest;
    bool bytes;                 /* stored alike */
} part_sum;

typedef struct job {
    pl_source *a, *b;
    pl_diff *out;
    int64_t *first_range;       /* [rows + 1] */
    part_sum *sum;              /* [ranges] */
    pl_arena **scratch;         /* [workers] */
    atomic_llong done;
} job;

static int by_id(const void *x, const void *y)
{
    return pl_id_compare(((const pl_diff_row *)x)->id, ((const pl_diff_row *)y)->id);
}

static const pl_tensor *tensor_a(const job *j, const pl_diff_row *r) { return &j->a->model->tensor[r->a]; }
static const pl_tensor *tensor_b(const job *j, const pl_diff_row *r) { return &j->b->model->tensor[r->b]; }

static pl_status match(job *j, pl_arena *arena)
{
    const pl_model *a = j->a->model, *b = j->b->model;
    pl_diff *out = j->out;
    out->row = PL_ZNEW(arena, pl_diff_row, a->tensors + b->tensors);
    if (!out->row) return PL_E_MEMORY;
    for (int i = 0; i < a->tensors; i++) {
        pl_diff_row *r = &out->row[out->rows++];
        *r = (pl_diff_row){ .id = a->tensor[i].id, .a = i, .b = pl_model_find(b, a->tensor[i].id) };
        r->weights = a->tensor[i].rows * a->tensor[i].cols;
        if (r->b < 0) r->kind = PL_DIFF_ONLY_A;
        else if (b->tensor[r->b].rows != a->tensor[i].rows || b->tensor[r->b].cols != a->tensor[i].cols)
            r->kind = PL_DIFF_SHAPE;
    }
    for (int i = 0; i < b->tensors; i++) {
        if (pl_model_find(a, b->tensor[i].id) >= 0) continue;
        out->row[out->rows++] = (pl_diff_row){ .id = b->tensor[i].id, .a = -1, .b = i, .kind = PL_DIFF_ONLY_B,
                                               .weights = b->tensor[i].rows * b->tensor[i].cols };
    }
    qsort(out->row, (size_t)out->rows, sizeof *out->row, by_id);
    return PL_OK;
}

static int64_t range_height(const pl_tensor *t) { return pl_max64(1, RANGE_ELEMENTS / pl_max64(1, t->cols)); }

static pl_status cut(job *j, pl_arena *arena)
{
    const pl_diff *out = j->out;
    j->first_range = PL_NEW(arena, int64_t, out->rows + 1);
    if (!j->first_range) return PL_E_MEMORY;
    j->first_range[0] = 0;
    for (int i = 0; i < out->rows; i++) {
        const pl_diff_row *r = &out->row[i];
        int64_t ranges = r->kind == PL_DIFF_BYTES ? pl_ceil_div(tensor_a(j, r)->rows, range_height(tensor_a(j, r))) : 0;
        j->first_range[i + 1] = j->first_range[i] + ranges;
    }
    j->sum = PL_ZNEW(arena, part_sum, j->first_range[out->rows]);
    return j->sum ? PL_OK : PL_E_MEMORY;
}

/* Are these rows stored alike, put into one order? Where rows share bytes that is not asked. */
static pl_status same_bytes(const job *j, const pl_diff_row *r, int64_t first, int64_t count, pl_arena *scratch,
                            bool *same)
{
    const pl_tensor *a = tensor_a(j, r), *b = tensor_b(j, r);
    pl_packed x, y;
    *same = false;
    if (!pl_type_equal(&a->type, &b->type)) return PL_OK;
    PL_TRY(pl_packed_init(&x, a->type, a->rows, a->cols));
    if (x.granule != 1) return PL_OK;
    pl_input in[] = { { .source = j->a, .tensor = r->a, .rows = a->rows, .cols = a->cols, .order = a->order },
                      { .source = j->b, .tensor = r->b, .rows = b->rows, .cols = b->cols, .order = a->order } };
    PL_TRY(pl_rows_packed(&in[0], first, count, &x, scratch));
    PL_TRY(pl_rows_packed(&in[1], first, count, &y, scratch));
    *same = true;
    for (int i = 0; i < x.nparts; i++)
        *same = *same && !memcmp(x.part[i].ptr, y.part[i].ptr, (size_t)x.part[i].bytes);
    return PL_OK;
}

static void compare(const float *a, const float *b, int64_t n, part_sum *sum)
{
    for (int64_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i], apart = fabs(x - y);
        sum->power += x * x;
        if (x == y || (isnan(x) && isnan(y))) continue;
        sum->different++;
        sum->error += apart * apart;
        if (apart > sum->largest) sum->largest = apart;
    }
}

static pl_status diff_range(void *ctx, int64_t range, int worker)
{
    job *j = ctx;
    int index = pl_span_of(j->first_range, j->out->rows, range);
    const pl_diff_row *r = &j->out->row[index];
    const pl_tensor *t = tensor_a(j, r);
    int64_t height = range_height(t), first = (range - j->first_range[index]) * height;
    int64_t count = pl_min64(height, t->rows - first);
    part_sum *sum = &j->sum[range];
    pl_arena *scratch = j->scratch[worker];
    pl_arena_reset(scratch);
    PL_TRY(same_bytes(j, r, first, count, scratch, &sum->bytes));
    if (!sum->bytes) {
        pl_arena_reset(scratch);
        float *a = PL_NEW(scratch, float, count * t->cols), *b = PL_NEW(scratch, float, count * t->cols);
        if (!a || !b) return PL_E_MEMORY;
        pl_input in = { .source = j->a, .tensor = r->a, .rows = t->rows, .cols = t->cols };
        PL_TRY(pl_rows(&in, first, count, a, scratch));
        in.source = j->b;
        in.tensor = r->b;
        PL_TRY(pl_rows(&in, first, count, b, scratch));
        compare(a, b, count * t->cols, sum);
    }
    int64_t done = atomic_fetch_add(&j->done, 1) + 1;
    pl_progress("diff", t->name, "ranges", done, j->first_range[j->out->rows]);
    return PL_OK;
}

/* In the order of ranges, so that sums do not depend on who was quicker. */
static void add_up(job *j)
{
    pl_diff *out = j->out;
    for (int i = 0; i < out->rows; i++) {
        pl_diff_row *r = &out->row[i];
        double error = 0, power = 0;
        for (int64_t k = j->first_range[i]; k < j->first_range[i + 1]; k++) {
            const part_sum *s = &j->sum[k];
            if (!s->bytes && r->kind == PL_DIFF_BYTES) r->kind = PL_DIFF_VALUES;
            if (s->different) r->kind = PL_DIFF_CLOSE;
            r->different += s->different;
            r->largest = fmax(r->largest, s->largest);
            error += s->error;
            power += s->power;
        }
        r->error = error == 0 ? 0 : sqrt(error / power);
        out->count[r->kind]++;
    }
}

pl_status pl_diff_sources(pl_source *a, pl_source *b, pl_pool *pool, pl_arena *arena, pl_diff *out)
{
    int workers = pl_pool_workers(pool);
    *out = (pl_diff){ 0 };
    job j = { .a = a, .b = b, .out = out, .scratch = PL_ZNEW(arena, pl_arena *, workers) };
    pl_status code = j.scratch ? match(&j, arena) : PL_E_MEMORY;
    if (code == PL_OK) code = cut(&j, arena);
    for (int i = 0; i < workers && code == PL_OK; i++) code = pl_arena_create(&j.scratch[i]);
    if (code == PL_OK) code = pl_pool_for(pool, j.first_range[out->rows], diff_range, &j);
    if (code == PL_OK) add_up(&j);
    for (int i = 0; j.scratch && i < workers; i++) pl_arena_destroy(j.scratch[i]);
    return code;
}
