/* verify.c: what of a model can only be told by reading its data: digests of files, values that are not finite, codes
 * that there are not. */
#include "core/verify.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/half.h"
#include "core/log.h"

enum {
    RANGE_ELEMENTS = 1 << 20,       /* weights read at a time */
    STRIP_ELEMENTS = 1 << 15        /* decoded at a time */
};

/* A fault that one worker has found. Ranges come to it in rising order, so the first of a tensor is its lowest. */
typedef struct found {
    struct found *next;
    pl_verify_fault fault;
} found;

typedef struct worker {
    pl_arena *scratch, *kept;       /* emptied after each range; holds the list */
    found *list;                    /* the last one first */
    int count;
} worker;

typedef struct job {
    pl_source *source;
    pl_verify *out;
    worker *worker;
    int workers;
    int64_t *first_range;           /* [tensors + 1] ranges before each, in the order of identities */
    int64_t total;                  /* bytes of all tensors */
    atomic_llong done;
} job;

static const pl_tensor *tensor_at(const job *j, int entry)
{
    const pl_model *model = j->source->model;
    return &model->tensor[model->entry[entry].tensor];
}

static const char *file_of(const job *j, int entry)
{
    const pl_source *s = j->source;
    const char *path = s->ops->file_of && entry >= 0 ? s->ops->file_of(s, s->model->entry[entry].tensor) : NULL;
    return path ? path : s->path;
}

/* ---- what is wrong ---- */

/* Keeps the thread's last sentence. Entry -1: of no tensor. */
static pl_status keep_fault(job *j, worker *w, int entry, int64_t range)
{
    const char *name = entry >= 0 ? tensor_at(j, entry)->name : NULL;
    if (w->list && name && w->list->fault.tensor == name) return PL_OK;
    found *f = PL_ZNEW(w->kept, found, 1);
    char *sentence = pl_arena_text(w->kept, pl_error(), strlen(pl_error()));
    if (!f || !sentence) return PL_E_MEMORY;
    *f = (found){ w->list, { file_of(j, entry), name, sentence, range } };
    w->list = f;
    w->count++;
    return PL_OK;
}

typedef struct rows {
    const char *file;
    const pl_tensor *tensor;
    int64_t first, count;
    const pl_packed *packed;
} rows;

static const char *const part_names[] = {
    [PL_SCALES] = "scale", [PL_BIASES] = "bias", [PL_ZEROS] = "zero point", [PL_GLOBAL] = "scale of all",
};

/* Numbers as they are stored. */
static pl_status check_part(const rows *r, const pl_part *part)
{
    const pl_dtype *dtype = part->dtype;
    if (!dtype->decode) return PL_OK;
    int64_t bad = pl_dtype_find_nonfinite(dtype, part->ptr, part->bytes / dtype->bytes * dtype->block);
    if (bad < 0) return PL_OK;
    int64_t granule = pl_max64(1, r->packed->granule), across = part->stride / dtype->bytes * dtype->block;
    if (part->role == PL_CODES) across /= granule;
    across = across ? across : part->bytes / dtype->bytes;
    int64_t row = (part->role == PL_CODES ? r->first : r->first / granule) + bad / across;
    bad %= across;
    if (part->role != PL_CODES)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s': the %s in row %lld column %lld is not finite", r->file,
                       r->tensor->name, part_names[part->role], (long long)row, (long long)bad);
    if (dtype->block > 1)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s': the block in row %lld at column %lld has a scale that is not "
                       "finite", r->file, r->tensor->name, (long long)row, (long long)bad);
    return pl_fail(PL_E_INPUT, "%s: tensor '%s' row %lld column %lld is not finite", r->file, r->tensor->name,
                   (long long)row, (long long)bad);
}

/* Two bits that have three values. */
static pl_status check_ternary(const rows *r)
{
    const pl_part *part = &r->packed->part[0];
    const pl_dtype *dtype = part->dtype;
    if (dtype != &pl_dtypes[PL_TQ2_0]) return PL_OK;
    for (int64_t i = 0; i < part->bytes; i++) {
        uint8_t b = part->ptr[i];
        if (i % dtype->bytes >= dtype->scale_at[0] || !(b & b >> 1 & 0x55)) continue;
        return pl_fail(PL_E_INPUT, "%s: tensor '%s': the block in row %lld at column %lld has a code 3, %s has 0 to 2",
                       r->file, r->tensor->name, (long long)(r->first + i / part->stride),
                       (long long)(i % part->stride / dtype->bytes * dtype->block), dtype->name);
    }
    return PL_OK;
}

/* Finite codes and scales may still give what is not. */
static pl_status check_decoded(const rows *r, pl_arena *scratch)
{
    int64_t cols = r->tensor->cols, strip = pl_max64(1, STRIP_ELEMENTS / pl_max64(1, cols));
    if (!pl_type_coded(&r->tensor->type)) return PL_OK;
    float *values = PL_NEW(scratch, float, pl_min64(strip, r->count) * cols);
    if (!values) return PL_E_MEMORY;
    for (int64_t at = 0; at < r->count; at += strip) {
        int64_t n = pl_min64(strip, r->count - at);
        pl_arena_mark mark = pl_arena_save(scratch);
        PL_TRY(pl_packed_decode(r->packed, at, n, values, scratch));
        pl_arena_restore(scratch, mark);
        int64_t bad = pl_find_nonfinite(values, n * cols);
        if (bad < 0) continue;
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' row %lld column %lld: code and scale give %s", r->file,
                       r->tensor->name, (long long)(r->first + at + bad / cols), (long long)(bad % cols),
                       pl_nonfinite_name(values[bad]));
    }
    return PL_OK;
}

/* ---- what is read ---- */

/* Rows of a range, on granules. */
static pl_status range_rows(const pl_tensor *t, int64_t *height)
{
    pl_packed p;
    PL_TRY(pl_packed_init(&p, t->type, t->rows, t->cols));
    int64_t granule = p.granule ? p.granule : pl_max64(1, t->rows);
    *height = pl_max64(1, RANGE_ELEMENTS / pl_max64(1, t->cols) / granule) * granule;
    return PL_OK;
}

static pl_status check_rows(const job *j, int entry, int64_t range, pl_arena *scratch, int64_t *bytes)
{
    pl_packed p;
    int64_t height;
    int tensor = j->source->model->entry[entry].tensor;
    rows r = { .file = file_of(j, entry), .tensor = tensor_at(j, entry), .packed = &p };
    PL_TRY(range_rows(r.tensor, &height));
    r.first = (range - j->first_range[entry]) * height;
    r.count = pl_min64(height, r.tensor->rows - r.first);
    int64_t ahead = r.first + height * j->workers;
    if (ahead < r.tensor->rows)
        pl_source_advise(j->source, tensor, ahead, pl_min64(height, r.tensor->rows - ahead));
    PL_TRY(pl_source_packed(j->source, tensor, r.first, r.count, &p, scratch));
    *bytes = pl_packed_bytes(&p);
    for (int i = 0; i < p.nparts; i++) PL_TRY(check_part(&r, &p.part[i]));
    PL_TRY(check_ternary(&r));
    return check_decoded(&r, scratch);
}

static pl_status hash_file(job *j, int file)
{
    pl_verify_file *f = &j->out->file[file];
    f->path = j->source->file[file];
    PL_TRY(pl_file_bytes(f->path, &f->bytes));
    return pl_hash_file(f->path, &f->digest);
}

/* First the files, each by one worker, then what the format itself proves, then ranges: the largest pieces begin first,
 * and ranges are read while they are in the system's memory. */
static pl_status run(void *ctx, int64_t index, int number)
{
    job *j = ctx;
    worker *w = &j->worker[number];
    int files = j->out->files, entry = -1;
    int64_t range = index - files - 1, bytes = 0;
    if (index < files) return hash_file(j, (int)index);
    pl_status code = PL_OK;
    if (range >= 0) {
        entry = pl_span_of(j->first_range, j->source->model->tensors, range);
        code = check_rows(j, entry, range, w->scratch, &bytes);
    } else if (j->source->ops->verify) {
        code = j->source->ops->verify(j->source, w->scratch);
    }
    pl_arena_reset(w->scratch);
    if (code == PL_E_INPUT) code = keep_fault(j, w, entry, range);
    pl_progress("verify", NULL, "B", atomic_fetch_add(&j->done, bytes) + bytes, j->total);
    return code;
}

/* ---- together ---- */

static pl_status prepare(job *j, int workers, pl_arena *arena)
{
    const pl_model *model = j->source->model;
    j->out->files = j->source->files;
    j->out->file = PL_ZNEW(arena, pl_verify_file, j->out->files);
    j->first_range = pl_alloc(model->tensors + 1, sizeof *j->first_range);
    j->worker = pl_alloc(workers, sizeof *j->worker);
    if (!j->out->file || !j->first_range || !j->worker) return PL_E_MEMORY;
    j->workers = workers;
    for (int i = 0; i < workers; i++) {
        PL_TRY(pl_arena_create(&j->worker[i].scratch));
        PL_TRY(pl_arena_create(&j->worker[i].kept));
    }
    for (int i = 0; i < model->tensors; i++) {
        int64_t height, bytes;
        PL_TRY(range_rows(tensor_at(j, i), &height));
        PL_TRY(pl_tensor_bytes(tensor_at(j, i), &bytes));
        j->first_range[i + 1] = j->first_range[i] + pl_ceil_div(tensor_at(j, i)->rows, height);
        j->total += bytes;
    }
    return PL_OK;
}

static int by_range(const void *a, const void *b)
{
    const pl_verify_fault *x = a, *y = b;
    return (x->range > y->range) - (x->range < y->range);
}

/* One list of what the workers have found: of each tensor the first fault. */
static pl_status gather(job *j, pl_arena *arena)
{
    pl_verify *out = j->out;
    int64_t count = 0, n = 0;
    for (int i = 0; i < j->workers; i++) count += j->worker[i].count;
    out->fault = PL_NEW(arena, pl_verify_fault, count);
    if (!out->fault) return PL_E_MEMORY;
    for (int i = 0; i < j->workers; i++)
        for (const found *f = j->worker[i].list; f; f = f->next) {
            out->fault[n] = f->fault;
            out->fault[n].sentence = pl_arena_text(arena, f->fault.sentence, strlen(f->fault.sentence));
            if (!out->fault[n++].sentence) return PL_E_MEMORY;
        }
    if (n) qsort(out->fault, (size_t)n, sizeof *out->fault, by_range);
    for (int64_t i = 0; i < n; i++) {
        const pl_verify_fault *last = out->faults ? &out->fault[out->faults - 1] : NULL;
        if (!last || !last->tensor || last->tensor != out->fault[i].tensor) out->fault[out->faults++] = out->fault[i];
    }
    return PL_OK;
}

static pl_status sum_up(pl_verify *out)
{
    pl_hash *hash;
    PL_TRY(pl_hash_create(&hash));
    for (int i = 0; i < out->files; i++) {
        out->bytes += out->file[i].bytes;
        pl_hash_update(hash, &out->file[i].digest, sizeof out->file[i].digest);
    }
    out->digest = out->files == 1 ? out->file[0].digest : pl_hash_digest(hash);
    pl_hash_destroy(hash);
    return PL_OK;
}

pl_status pl_verify_source(pl_source *s, pl_pool *pool, pl_arena *arena, pl_verify *out)
{
    job j = { .source = s, .out = out };
    *out = (pl_verify){ 0 };
    pl_status code = prepare(&j, pl_pool_workers(pool), arena);
    if (code == PL_OK) code = pl_pool_for(pool, out->files + 1 + j.first_range[s->model->tensors], run, &j);
    if (code == PL_OK) code = gather(&j, arena);
    if (code == PL_OK) code = sum_up(out);
    for (int i = 0; i < j.workers; i++) {
        pl_arena_destroy(j.worker[i].scratch);
        pl_arena_destroy(j.worker[i].kept);
    }
    pl_free(j.worker);
    pl_free(j.first_range);
    return code;
}
