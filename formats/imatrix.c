/* imatrix.c: activation statistics from llama.cpp's files, in GGUF form or as older binary files (.dat). Both become a
 * list of entries; what an entry is to the model is decided in one place. */
#include "formats/imatrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "formats/arch.h"
#include "formats/imatrix_keys.h"

enum {
    DAT_LEAST = 4 + 1 + 4 + 4 + 4,      /* bytes of an entry of a .dat file: lengths, a name, a value */
    DAT_MAX_DATASET = 1 << 16,          /* bytes of a name of a text */
    DAT_WINDOW = 512                    /* rows that a window of a .dat file is taken for */
};

/* A name with its numbers, still in the file. */
typedef struct entry {
    const char *name;
    int64_t at, values;         /* sums of squares: place in the file, how many */
    int64_t sums_at;            /* sums of the values themselves: as many; 0: none */
    int64_t counts_at, counts;  /* rows seen: the same; counts 0: `windows` instead */
    int32_t windows;            /* of a .dat file: the sums are means times this */
    pl_id id;                   /* of the first matrix */
    int64_t cols;
    int experts;                /* matrices that it is for */
} entry;

typedef struct reader {
    pl_file *file;
    const char *path;
    const pl_model *model;
    const pl_arch *arch;
    pl_arena *arena;
    entry *entry;
    int entries;
    pl_stats *out;
} reader;

static pl_status bad_tensor(const reader *r, const char *name, const char *what)
{
    return pl_fail(PL_E_INPUT, "%s: tensor '%s': %s", r->path, name, what);
}

/* ---- GGUF ---- */

static int compare_infos(const void *a, const void *b)
{
    return strcmp((*(const pl_gguf_info *const *)a)->name, (*(const pl_gguf_info *const *)b)->name);
}

/* Bytes of a name before an ending; 0 if it ends otherwise. */
static size_t stem(const char *name, const char *ending)
{
    size_t len = strlen(name), end = strlen(ending);
    return len > end && !strcmp(name + len - end, ending) ? len - end : 0;
}

/* The tensor with the same stem and another ending; NULL: none. */
static const pl_gguf_info *partner(const pl_gguf_info *const *sorted, int count, const char *name, size_t len,
                                   const char *ending)
{
    char wanted[PL_GGUF_MAX_NAME + sizeof PL_IMATRIX_SUM2];
    memcpy(wanted, name, len);
    strcpy(wanted + len, ending);
    const pl_gguf_info key = { .name = wanted }, *of = &key;
    const pl_gguf_info *const *found = bsearch(&of, sorted, (size_t)count, sizeof of, compare_infos);
    return found ? *found : NULL;
}

static int64_t values_of(const pl_gguf_info *info) { return info->bytes / (int64_t)sizeof(float); }

static pl_status take_info(reader *r, const pl_gguf_info *const *sorted, int count, const pl_gguf_info *info)
{
    size_t len = stem(info->name, PL_IMATRIX_SUM2);
    if (!len) {
        if (stem(info->name, PL_IMATRIX_SUM)) return PL_OK;
        len = stem(info->name, PL_IMATRIX_COUNTS);
        if (!len) return bad_tensor(r, info->name, "its name ends neither in '.in_sum2' nor in '.counts'");
        if (partner(sorted, count, info->name, len, PL_IMATRIX_SUM2)) return PL_OK;
        return bad_tensor(r, info->name, "there is no '.in_sum2' to it");
    }
    const pl_gguf_info *counts = partner(sorted, count, info->name, len, PL_IMATRIX_COUNTS);
    if (!counts) return bad_tensor(r, info->name, "there is no '.counts' to it");
    if (info->dtype != &pl_dtypes[PL_F32] || counts->dtype != &pl_dtypes[PL_F32])
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' is of type %s and its counts of %s, expected f32", r->path,
                       info->name, info->dtype->name, counts->dtype->name);
    const pl_gguf_info *sums = partner(sorted, count, info->name, len, PL_IMATRIX_SUM);
    if (sums && (sums->dtype != info->dtype || sums->bytes != info->bytes)) sums = NULL;    /* not what we know by it */
    const char *name = pl_arena_text(r->arena, info->name, len);
    if (!name) return PL_E_MEMORY;
    r->entry[r->entries++] = (entry){ .name = name, .at = info->at, .values = values_of(info),
                                      .sums_at = sums ? sums->at : 0, .counts_at = counts->at,
                                      .counts = values_of(counts) };
    return PL_OK;
}

static pl_status take_datasets(reader *r, const pl_gguf *g)
{
    const pl_gguf_kv *kv = pl_gguf_find(g, PL_IMATRIX_DATASETS);
    if (!kv) return PL_OK;
    pl_text *text;
    PL_TRY(pl_gguf_strings(g, kv, r->arena, &text));
    const char **name = PL_NEW(r->arena, const char *, kv->count);
    if (!name) return PL_E_MEMORY;
    for (int64_t i = 0; i < kv->count; i++) {
        name[i] = text[i].s;
        if (strlen(text[i].s) != text[i].len)
            return pl_fail(PL_E_INPUT, "%s: the key '%s' has a NUL character in its text", r->path, kv->key);
    }
    r->out->dataset = name;
    r->out->datasets = (int)kv->count;
    return PL_OK;
}

static pl_status scan_gguf(reader *r)
{
    pl_gguf g;
    const char *type;
    PL_TRY(pl_gguf_scan(r->file, r->arena, &g));
    PL_TRY(pl_gguf_string(&g, PL_GGUF_KEY_TYPE, true, r->arena, &type));
    if (strcmp(type, PL_IMATRIX_TYPE))
        return pl_fail(PL_E_INPUT, "%s: a GGUF file of type '%s', expected '%s'", r->path, type, PL_IMATRIX_TYPE);
    PL_TRY(pl_gguf_int(&g, PL_IMATRIX_CHUNKS, false, 0, UINT32_MAX, 0, &r->out->chunks));
    PL_TRY(pl_gguf_int(&g, PL_IMATRIX_CHUNK_SIZE, false, 0, UINT32_MAX, 0, &r->out->chunk_size));
    PL_TRY(take_datasets(r, &g));
    const pl_gguf_info **sorted = PL_NEW(r->arena, const pl_gguf_info *, g.infos);
    r->entry = PL_NEW(r->arena, entry, g.infos);
    if (!sorted || !r->entry) return PL_E_MEMORY;
    for (int i = 0; i < g.infos; i++) sorted[i] = &g.info[i];
    qsort(sorted, (size_t)g.infos, sizeof *sorted, compare_infos);
    for (int i = 0; i < g.infos; i++) PL_TRY(take_info(r, sorted, g.infos, &g.info[i]));
    return PL_OK;
}

/* ---- .dat ---- */

typedef struct place { int64_t at, size; } place;

static pl_status need(const reader *r, const place *p, int64_t bytes, const char *what)
{
    if (bytes <= p->size - p->at) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: %lld bytes of %s expected at byte %lld, the file ends after %lld", r->path,
                   (long long)bytes, what, (long long)p->at, (long long)(p->size - p->at));
}

static pl_status take_int(const reader *r, place *p, const char *what, int32_t low, int64_t high, int32_t *out)
{
    PL_TRY(need(r, p, 4, what));
    PL_TRY(pl_file_read(r->file, p->at, out, 4));
    if (*out < low || *out > high)
        return pl_fail(PL_E_INPUT, "%s: the %s at byte %lld is %d, expected %d to %lld", r->path, what,
                       (long long)p->at, (int)*out, (int)low, (long long)high);
    p->at += 4;
    return PL_OK;
}

static pl_status take_text(const reader *r, place *p, const char *what, int32_t low, int32_t high, const char **out)
{
    int32_t len = 0;
    PL_TRY(take_int(r, p, "length of a name", low, high, &len));
    PL_TRY(need(r, p, len, what));
    char *text = pl_arena_alloc(r->arena, len + 1, 1);
    if (!text) return PL_E_MEMORY;
    PL_TRY(pl_file_read(r->file, p->at, text, (size_t)len));
    text[len] = 0;
    if (strlen(text) != (size_t)len)
        return pl_fail(PL_E_INPUT, "%s: %s at byte %lld has a NUL character in it", r->path, what, (long long)p->at);
    p->at += len;
    *out = text;
    return PL_OK;
}

static pl_status scan_dat_entry(reader *r, place *p)
{
    entry *e = &r->entry[r->entries++];
    int32_t values = 0;
    *e = (entry){ 0 };
    PL_TRY(take_text(r, p, "a tensor name", 1, PL_GGUF_MAX_NAME, &e->name));
    PL_TRY(take_int(r, p, "number of windows", 0, INT32_MAX, &e->windows));
    PL_TRY(take_int(r, p, "number of values", 1, INT32_MAX, &values));
    e->at = p->at;
    e->values = values;
    PL_TRY(need(r, p, e->values * 4, "values"));
    p->at += e->values * 4;
    return PL_OK;
}

static pl_status scan_dat(reader *r)
{
    place p = { 0, pl_file_size(r->file) };
    int32_t count = 0, windows = 0;
    pl_status code = take_int(r, &p, "number of entries", 1, (p.size - 4) / DAT_LEAST, &count);
    if (code != PL_OK) return pl_fail_prefix(code, "not a GGUF file, so taken for an older file of statistics: ");
    r->entry = PL_NEW(r->arena, entry, count);
    if (!r->entry) return PL_E_MEMORY;
    for (int i = 0; i < count; i++) PL_TRY(scan_dat_entry(r, &p));
    if (p.at == p.size) return PL_OK;           /* the oldest end here */
    PL_TRY(take_int(r, &p, "number of windows", 0, INT32_MAX, &windows));
    r->out->chunks = windows;
    const char **name = PL_NEW(r->arena, const char *, 1);
    if (!name) return PL_E_MEMORY;
    PL_TRY(take_text(r, &p, "the name of a text", 0, DAT_MAX_DATASET, name));
    r->out->dataset = name;
    r->out->datasets = **name != 0;
    if (p.at == p.size) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: %lld bytes behind the end of the statistics", r->path, (long long)(p.size - p.at));
}

/* ---- what an entry is to the model ---- */

/* Has the tensor with this identity the entry's name in GGUF? */
static pl_status named(const reader *r, const entry *e, pl_id id, int *tensor)
{
    *tensor = pl_model_find(r->model, id);
    if (*tensor < 0) return PL_OK;
    pl_arena_mark mark = pl_arena_save(r->arena);
    const char *name = pl_arch_name(r->arch, PL_NAMES_GGUF, id, r->arena);
    bool same = name && !strcmp(name, e->name);
    pl_arena_restore(r->arena, mark);
    if (!name) return PL_E_MEMORY;
    if (!same) *tensor = -1;
    return PL_OK;
}

static pl_status identify(const reader *r, entry *e)
{
    int tensor = -1;
    bool stack = false;
    if (pl_arch_identify(r->arch, PL_NAMES_GGUF, e->name, &e->id) && e->id.role >= 0) {
        PL_TRY(named(r, e, e->id, &tensor));
        if (tensor < 0 && e->id.expert < 0) {
            e->id.expert = 0;
            stack = true;
            PL_TRY(named(r, e, e->id, &tensor));
        }
    }
    if (tensor < 0)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s': the model has none of this name, these are statistics of another",
                       r->path, e->name);
    const pl_tensor *t = &r->model->tensor[tensor];
    int64_t expected;
    e->cols = t->cols > 1 ? t->cols : t->rows;      /* one row, which is a vector to us */
    e->experts = stack ? r->model->hp.experts : 1;
    if (!pl_mul_ok(e->cols, e->experts, &expected) || expected != e->values)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %lld values, expected %d x %lld", r->path, e->name,
                       (long long)e->values, e->experts, (long long)e->cols);
    if (e->counts > 1 && e->counts != e->experts)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has %lld counts, expected %d", r->path, e->name,
                       (long long)e->counts, e->experts);
    return PL_OK;
}

/* Rows that each expert has seen. */
static pl_status read_counts(const reader *r, const entry *e, float *count)
{
    if (e->counts) PL_TRY(pl_file_read(r->file, e->counts_at, count, (size_t)e->counts * sizeof *count));
    /* without a number of windows the values are means of nobody knows how many rows */
    else count[0] = DAT_WINDOW * (float)(e->windows ? e->windows : 1);
    for (int i = e->counts > 1 ? (int)e->counts : 1; i < e->experts; i++) count[i] = count[0];
    for (int i = 0; i < e->experts; i++)
        if (!(count[i] >= 0 && isfinite(count[i]) && floorf(count[i]) == count[i]))
            return pl_fail(PL_E_INPUT, "%s: tensor '%s' has seen %g rows, expected a whole number", r->path, e->name,
                           (double)count[i]);
    return PL_OK;
}

static pl_status read_sums(const reader *r, const entry *e, float *sum2)
{
    float factor = e->counts ? 1 : DAT_WINDOW;
    PL_TRY(pl_file_read(r->file, e->at, sum2, (size_t)e->values * sizeof *sum2));
    for (int64_t i = 0; i < e->values; i++) {
        float value = sum2[i];
        sum2[i] = value * factor;
        if (!(value >= 0 && isfinite(sum2[i])))
            return pl_fail(PL_E_INPUT, "%s: tensor '%s': value %lld is %g, expected a sum of squares", r->path, e->name,
                           (long long)i, (double)value);
    }
    return PL_OK;
}

/* Sums of values, which must agree with those of their squares. */
static pl_status read_plain_sums(const reader *r, const entry *e, const float *sum2, const float *count, float *sum)
{
    PL_TRY(pl_file_read(r->file, e->sums_at, sum, (size_t)e->values * sizeof *sum));
    for (int64_t i = 0; i < e->values; i++) {
        double most = (double)count[i / e->cols] * sum2[i], square = (double)sum[i] * sum[i];
        if (!isfinite(sum[i]) || (count[i / e->cols] > 0 && !(square <= most * 1.0001 + 1e-30)))
            return pl_fail(PL_E_INPUT, "%s: tensor '%s': the sum of column %lld is %g, its squares sum up to %g",
                           r->path, e->name, (long long)i, (double)sum[i], (double)sum2[i]);
    }
    return PL_OK;
}

static int compare_stats(const void *a, const void *b)
{
    return pl_id_compare(((const pl_stat *)a)->id, ((const pl_stat *)b)->id);
}

static pl_status take_entries(reader *r)
{
    int64_t count = 0, at = 0;
    int most = 1;
    if (r->entries == 0) return pl_fail(PL_E_INPUT, "%s: no statistics in it", r->path);
    for (int i = 0; i < r->entries; i++) {
        PL_TRY(identify(r, &r->entry[i]));
        count += r->entry[i].experts;
        if (r->entry[i].experts > most) most = r->entry[i].experts;
    }
    pl_stat *stat = PL_NEW(r->arena, pl_stat, count);
    float *rows = PL_NEW(r->arena, float, most);
    if (!stat || !rows) return PL_E_MEMORY;
    for (int i = 0; i < r->entries; i++) {
        const entry *e = &r->entry[i];
        float *sum2 = PL_NEW(r->arena, float, e->values), *sum = NULL;
        if (!sum2) return PL_E_MEMORY;
        PL_TRY(read_counts(r, e, rows));
        PL_TRY(read_sums(r, e, sum2));
        if (e->sums_at) {
            sum = PL_NEW(r->arena, float, e->values);
            if (!sum) return PL_E_MEMORY;
            PL_TRY(read_plain_sums(r, e, sum2, rows, sum));
        }
        for (int k = 0; k < e->experts; k++) {
            pl_id id = pl_id_make(e->id.role, e->id.layer, e->experts > 1 || e->id.expert >= 0 ? k : -1);
            stat[at++] = (pl_stat){ .id = id, .cols = e->cols, .sum2 = sum2 + k * e->cols,
                                    .sum = sum ? sum + k * e->cols : NULL, .count = rows[k] };
        }
    }
    qsort(stat, (size_t)count, sizeof *stat, compare_stats);
    for (int64_t i = 1; i < count; i++) {
        if (!pl_id_equal(stat[i - 1].id, stat[i].id)) continue;
        const char *name = pl_arch_name(r->arch, PL_NAMES_GGUF, stat[i].id, r->arena);
        return name ? pl_fail(PL_E_INPUT, "%s: the tensor '%s' is there twice", r->path, name) : PL_E_MEMORY;
    }
    r->out->stat = stat;
    r->out->count = (int)count;
    r->out->entries = r->entries;
    return PL_OK;
}

/* ---- */

static pl_status read_file(reader *r)
{
    char magic[4] = "";
    r->arch = pl_arch_find(r->model->arch);
    if (!r->arch) return pl_fail(PL_E_INPUT, "%s: the architecture %s is unknown", r->path, r->model->arch);
    if (pl_file_size(r->file) >= 4) PL_TRY(pl_file_read(r->file, 0, magic, 4));
    PL_TRY(memcmp(magic, "GGUF", 4) ? scan_dat(r) : scan_gguf(r));
    return take_entries(r);
}

pl_status pl_imatrix_load(const char *path, const pl_model *model, pl_arena *arena, pl_stats **out)
{
    *out = NULL;
    reader r = { .model = model, .arena = arena, .path = pl_arena_text(arena, path, strlen(path)),
                 .out = PL_ZNEW(arena, pl_stats, 1) };
    if (!r.path || !r.out) return PL_E_MEMORY;
    PL_TRY(pl_file_open(path, &r.file));
    r.out->path = r.path;
    pl_status code = read_file(&r);
    pl_file_close(r.file);
    if (code == PL_OK) *out = r.out;
    return code;
}

int pl_imatrix_missing(const pl_stats *stats, const pl_model *model, int *of)
{
    int all = 0, missing = 0;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        if (t->id.layer < 0 || !(t->flags & PL_TENSOR_MATRIX)) continue;
        all++;
        missing += !pl_stats_find(stats, t->id);
    }
    if (of) *of = all;
    return missing;
}
