/* survey.c: encoding samples of all matrices by all candidates, and measuring what that loses. */
#include "core/survey.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/half.h"
#include "core/log.h"

typedef struct sample {
    pl_digest rows;             /* of the sampled rows and the tensor's shape */
    pl_digest *key;             /* [ways] in the cache */
    bool *fresh;                /* [ways] computed now */
} sample;

typedef struct job {
    pl_source *source;
    const pl_survey_options *o;
    pl_survey *survey;
    sample *sample;             /* [tensors] */
    pl_arena **scratch;         /* per worker */
    atomic_llong done;
} job;

/* What a task works on. */
typedef struct matrix {
    int tensor;
    int64_t rows;               /* sampled */
    float *w, *decoded;         /* [rows][cols] */
    float *h;                   /* [cols] */
    const pl_stat *stat;
} matrix;

/* Mean squares of the inputs; ones where nothing is known. */
static void load_weights(const pl_stat *stat, int64_t cols, float *h)
{
    double sum = 0;
    for (int64_t c = 0; c < cols; c++) h[c] = 1.0f;
    if (!stat) return;
    pl_stat_weights(stat, h);
    for (int64_t c = 0; c < cols; c++) sum += stat->sum2[c];
    double mean = stat->count > 0 ? sum / ((double)cols * stat->count) : 0;
    if (!(mean > 0) || !isfinite(mean)) return;
    for (int64_t c = 0; c < cols; c++) h[c] = (float)(h[c] * mean);
}

/* Σ h (w - decoded)^2 in a fixed order of eight lanes; decoded NULL: Σ h w^2. */
static double weighted(const matrix *m, int64_t cols, const float *decoded)
{
    double total = 0;
    for (int64_t r = 0; r < m->rows; r++) {
        const float *w = m->w + r * cols, *d = decoded ? decoded + r * cols : NULL;
        double lane[8] = { 0 };
        for (int64_t c = 0; c < cols; c++) {
            double difference = w[c] - (d ? (double)d[c] : 0);
            lane[c % 8] += m->h[c] * difference * difference;
        }
        for (int l = 0; l < 8; l++) total += lane[l];
    }
    return total;
}

static pl_digest key_of(const job *j, const matrix *m, const pl_survey_way *way, int64_t cols)
{
    const char *type = pl_type_name(&way->type);
    pl_digest statistics = pl_hash_bytes(m->h, (size_t)cols * sizeof *m->h);
    char text[256];
    size_t len = 0;
    memcpy(text, j->sample[m->tensor].rows.byte, 16);
    memcpy(text + 16, statistics.byte, 16);
    len = 32 + (size_t)snprintf(text + 32, sizeof text - 32, "%d %s %s " PL_VERSION, m->stat != NULL, type,
                                way->method->name);
    return pl_hash_bytes(text, len);
}

/* Encodes the sample one way; *error NaN if the type does not fit. */
static pl_status measure(const job *j, const matrix *m, const pl_survey_way *way, double *error, pl_arena *scratch)
{
    const pl_tensor *t = &j->source->model->tensor[m->tensor];
    const pl_type type = pl_type_scales_like(way->type, t->type.element);
    pl_step step = { .id = t->id, .tensor = m->tensor, .name = t->name, .method = way->method, .stat = m->stat,
                     .grid = pl_grid_find(j->o->grids, &type, t->cols) };
    const pl_input in = { .memory = m->w, .rows = m->rows, .cols = t->cols, .name = t->name };
    *error = NAN;
    if (t->cols % pl_type_span(&type) != 0) return PL_OK;
    PL_TRY(pl_packed_init(&step.out, type, m->rows, t->cols));
    if (way->method->accepts && !way->method->accepts(&step, t)) return PL_OK;
    pl_packed rows = step.out;
    for (int i = 0; i < rows.nparts; i++) {
        rows.part[i].ptr = PL_NEW(scratch, uint8_t, rows.part[i].bytes);
        if (!rows.part[i].ptr) return PL_E_MEMORY;
    }
    PL_TRY(way->method->encode(&step, &in, 0, m->rows, &rows, scratch));
    PL_TRY(pl_packed_decode(&rows, 0, m->rows, m->decoded, scratch));
    *error = weighted(m, t->cols, m->decoded) * (double)t->rows / (double)m->rows;
    return PL_OK;
}

/* Rows of the tensor, evenly spread. */
static pl_status load_sample(job *j, matrix *m, pl_arena *scratch)
{
    enum { MOST_VALUES = 1 << 22 };
    const pl_tensor *t = &j->source->model->tensor[m->tensor];
    int64_t rows = t->id.expert >= 0 ? PL_SURVEY_EXPERT_ROWS : PL_SURVEY_ROWS;
    rows = pl_min64(pl_min64(rows, t->rows), pl_max64(1, MOST_VALUES / pl_max64(1, t->cols)));
    m->rows = rows;
    m->w = PL_NEW(scratch, float, rows * t->cols);
    if (!m->w) return PL_E_MEMORY;
    for (int64_t r = 0; r < rows; r++) {
        float *row = m->w + r * t->cols;
        pl_arena_mark mark = pl_arena_save(scratch);
        PL_TRY(pl_source_rows(j->source, m->tensor, r * t->rows / rows, 1, row, scratch));
        pl_arena_restore(scratch, mark);
        if (pl_find_nonfinite(row, t->cols) >= 0) memset(row, 0, (size_t)t->cols * sizeof *row);
    }
    return PL_OK;
}

static pl_status do_tensor(void *ctx, int64_t index, int worker)
{
    job *j = ctx;
    pl_arena *scratch = j->scratch[worker];
    const pl_tensor *t = &j->source->model->tensor[index];
    sample *s = &j->sample[index];
    matrix m = { .tensor = (int)index, .stat = pl_stats_find(j->o->stats, t->id) };
    pl_arena_reset(scratch);
    PL_TRY(load_sample(j, &m, scratch));
    pl_digest values = pl_hash_bytes(m.w, (size_t)(m.rows * t->cols) * sizeof *m.w);
    struct { pl_digest values; int64_t rows, cols; } shape = { values, t->rows, t->cols };
    s->rows = pl_hash_bytes(&shape, sizeof shape);
    pl_progress("survey", t->name, "tensors", atomic_fetch_add(&j->done, 1) + 1, j->source->model->tensors);
    if (!j->o->wanted[index]) return PL_OK;

    if (m.stat && m.stat->cols != t->cols)
        return pl_fail(PL_E_INPUT, "%s: statistics of %lld columns for '%s', which has %lld", j->o->stats->path,
                       (long long)m.stat->cols, t->name, (long long)t->cols);
    m.decoded = PL_NEW(scratch, float, m.rows * t->cols);
    m.h = PL_NEW(scratch, float, t->cols);
    if (!m.decoded || !m.h) return PL_E_MEMORY;
    load_weights(m.stat, t->cols, m.h);
    j->survey->energy[index] = weighted(&m, t->cols, NULL) * (double)t->rows / (double)m.rows;
    for (int w = 0; w < j->o->ways; w++) {
        double *error = &j->survey->error[index * j->o->ways + w];
        pl_arena_mark mark = pl_arena_save(scratch);
        s->key[w] = key_of(j, &m, &j->o->way[w], t->cols);
        if (pl_type_equal(&t->type, &j->o->way[w].type)) *error = 0;    /* it will be copied */
        else if (!pl_cache_find(j->o->cache, s->key[w], error)) {
            PL_TRY(measure(j, &m, &j->o->way[w], error, scratch));
            s->fresh[w] = true;
        }
        pl_arena_restore(scratch, mark);
    }
    return PL_OK;
}

static pl_status reserve(job *j, pl_arena *arena)
{
    int tensors = j->source->model->tensors, ways = j->o->ways;
    pl_survey *s = j->survey = PL_ZNEW(arena, pl_survey, 1);
    if (!s) return PL_E_MEMORY;
    s->ways = ways;
    s->error = PL_NEW(arena, double, (int64_t)tensors * ways);
    s->energy = PL_NEW(arena, double, tensors);
    j->sample = PL_ZNEW(arena, sample, tensors);
    pl_digest *keys = PL_ZNEW(arena, pl_digest, (int64_t)tensors * ways);
    bool *fresh = PL_ZNEW(arena, bool, (int64_t)tensors * ways);
    if (!s->error || !s->energy || !j->sample || !keys || !fresh) return PL_E_MEMORY;
    for (int t = 0; t < tensors; t++) {
        s->energy[t] = NAN;
        for (int w = 0; w < ways; w++) s->error[t * ways + w] = NAN;
        j->sample[t].key = keys + t * ways;
        j->sample[t].fresh = fresh + t * ways;
    }
    return PL_OK;
}

/* New errors into the cache; the digest of all samples, in the order of identities. */
static pl_status conclude(job *j)
{
    const pl_model *model = j->source->model;
    pl_hash *hash;
    PL_TRY(pl_hash_create(&hash));
    pl_status code = PL_OK;
    for (int i = 0; i < model->tensors && code == PL_OK; i++) {
        int t = model->entry[i].tensor;
        pl_hash_update(hash, j->sample[t].rows.byte, sizeof(pl_digest));
        for (int w = 0; w < j->o->ways && code == PL_OK; w++)
            if (j->sample[t].fresh[w])
                code = pl_cache_put(j->o->cache, j->sample[t].key[w], j->survey->error[t * j->o->ways + w]);
    }
    j->survey->digest = pl_hash_digest(hash);
    pl_hash_destroy(hash);
    return code;
}

pl_status pl_survey_run(pl_source *source, const pl_survey_options *options, pl_pool *pool, pl_arena *arena,
                        pl_survey **out)
{
    job j = { .source = source, .o = options };
    int workers = pl_pool_workers(pool);
    PL_TRY(reserve(&j, arena));
    j.scratch = PL_ZNEW(arena, pl_arena *, workers);
    if (!j.scratch) return PL_E_MEMORY;
    pl_status code = PL_OK;
    for (int i = 0; i < workers && code == PL_OK; i++) code = pl_arena_create(&j.scratch[i]);
    if (code == PL_OK) code = pl_pool_for(pool, source->model->tensors, do_tensor, &j);
    if (code == PL_OK) code = conclude(&j);
    for (int i = 0; i < workers; i++) pl_arena_destroy(j.scratch[i]);
    if (code == PL_OK) *out = j.survey;
    return code;
}
