/* overlay.c: a source around a source that gives other bytes for some matrices. */
#include "runtime-check/overlay.h"

#include <string.h>

typedef struct overlay {
    pl_packed *other;           /* [tensors]; nparts 0: not replaced */
} overlay;

static pl_status overlay_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                                pl_arena *scratch)
{
    const overlay *o = s->state;
    if (!o->other[tensor].nparts) return pl_source_packed(s->inner, tensor, first, count, out, scratch);
    return pl_packed_rows(&o->other[tensor], first, count, out);
}

static pl_status overlay_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out, pl_arena *scratch)
{
    const overlay *o = s->state;
    if (!o->other[tensor].nparts) return pl_source_rows(s->inner, tensor, first, count, out, scratch);
    return pl_packed_decode(&o->other[tensor], first, count, out, scratch);
}

static void free_parts(pl_packed *p)
{
    for (int i = 0; i < p->nparts; i++) pl_free((void *)(uintptr_t)p->part[i].ptr);
    *p = (pl_packed){ 0 };
}

void pl_overlay_clear(pl_source *s)
{
    overlay *o = s->state;
    for (int t = 0; t < s->model->tensors; t++) {
        if (!o->other[t].nparts) continue;
        free_parts(&o->other[t]);
        s->model->tensor[t].type = s->inner->model->tensor[t].type;
    }
}

static void overlay_close(pl_source *s)
{
    overlay *o = s->state;
    if (o->other) pl_overlay_clear(s);
}

static const pl_source_ops overlay_ops = { .name = "overlay", .state_size = sizeof(overlay), .close = overlay_close,
                                           .rows = overlay_rows, .packed = overlay_packed };

pl_status pl_overlay_create(pl_source *inner, pl_source **out)
{
    *out = NULL;
    pl_source *s = pl_alloc(1, sizeof *s);
    if (!s) {
        pl_source_close(inner);
        return PL_E_MEMORY;
    }
    s->ops = &overlay_ops;
    s->inner = inner;
    s->path = inner->path;
    s->file = inner->file;
    s->files = inner->files;
    s->state = pl_alloc(1, sizeof(overlay));
    pl_status code = s->state ? pl_arena_create(&s->arena) : PL_E_MEMORY;
    if (code == PL_OK) {
        overlay *o = s->state;
        int tensors = inner->model->tensors;
        s->model = PL_NEW(s->arena, pl_model, 1);
        pl_tensor *tensor = PL_NEW(s->arena, pl_tensor, tensors);
        pl_packed *other = PL_ZNEW(s->arena, pl_packed, tensors);
        if (!s->model || !tensor || !other) code = PL_E_MEMORY;
        else {
            *s->model = *inner->model;
            memcpy(tensor, inner->model->tensor, (size_t)tensors * sizeof *tensor);
            s->model->tensor = tensor;
            o->other = other;
        }
    }
    if (code != PL_OK) {
        pl_source_close(s);
        return code;
    }
    *out = s;
    return PL_OK;
}

/* ---- encoding ---- */

typedef struct job {
    pl_input in;
    pl_step step;               /* out: with its bytes */
    int64_t height;             /* rows of a range */
    pl_arena **scratch;
} job;

static pl_status do_range(void *ctx, int64_t index, int worker)
{
    const job *j = ctx;
    int64_t first = index * j->height, count = pl_min64(j->height, j->in.rows - first);
    pl_packed rows;
    pl_arena_reset(j->scratch[worker]);
    PL_TRY(pl_packed_rows(&j->step.out, first, count, &rows));
    return j->step.method->encode(&j->step, &j->in, first, count, &rows, j->scratch[worker]);
}

static pl_status encode(job *j, pl_pool *pool)
{
    enum { RANGE_VALUES = 1 << 18 };
    const pl_packed *out = &j->step.out;
    int workers = pl_pool_workers(pool);
    int64_t granule = out->granule ? out->granule : out->rows;
    j->height = pl_max64(1, RANGE_VALUES / pl_max64(1, out->cols * granule)) * granule;
    j->scratch = pl_alloc(workers, sizeof *j->scratch);
    pl_status code = j->scratch ? PL_OK : PL_E_MEMORY;
    for (int i = 0; i < workers && code == PL_OK; i++) code = pl_arena_create(&j->scratch[i]);
    if (code == PL_OK) code = pl_pool_for(pool, pl_ceil_div(out->rows, j->height), do_range, j);
    for (int i = 0; j->scratch && i < workers; i++) pl_arena_destroy(j->scratch[i]);
    pl_free(j->scratch);
    return code;
}

pl_status pl_overlay_replace(pl_source *s, int tensor, const pl_type *type, const pl_method *method,
                             const pl_grid *grid, const pl_stat *stat, pl_pool *pool)
{
    overlay *o = s->state;
    pl_tensor *t = &s->model->tensor[tensor];
    const pl_tensor *from = &s->inner->model->tensor[tensor];
    job j = { .in = { .source = s->inner, .tensor = tensor, .rows = t->rows, .cols = t->cols, .order = t->order,
                      .name = t->name },
              .step = { .id = t->id, .tensor = tensor, .name = t->name, .method = method, .stat = stat,
                        .grid = grid } };
    pl_packed *out = &j.step.out;
    PL_TRY(pl_packed_init(out, *type, t->rows, t->cols));
    out->order = t->order;
    if (method->accepts && !method->accepts(&j.step, from))
        return pl_fail(PL_E_WISH, "method '%s' cannot turn tensor '%s' from %s into %s", method->name, t->name,
                       pl_type_name(&from->type), pl_type_name(type));
    pl_status code = PL_OK;
    for (int i = 0; i < out->nparts && code == PL_OK; i++) {
        out->part[i].ptr = pl_alloc_aligned(out->part[i].bytes, 1);
        if (!out->part[i].ptr) code = PL_E_MEMORY;
    }
    if (code == PL_OK) code = encode(&j, pool);
    if (code != PL_OK) {
        free_parts(out);
        return code;
    }
    free_parts(&o->other[tensor]);
    o->other[tensor] = *out;
    t->type = *type;
    return PL_OK;
}
