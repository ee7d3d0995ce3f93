/* survey.h: what each matrix would lose in each storage type, from a sample of its rows. */
#ifndef CORE_SURVEY_H
#define CORE_SURVEY_H

#include "core/cache.h"
#include "core/plan.h"
#include "core/pool.h"

/* One way to store a matrix. */
typedef struct pl_survey_way { pl_type type; const pl_method *method; } pl_survey_way;

typedef struct pl_survey_options {
    const pl_survey_way *way;
    int ways;
    const bool *wanted;         /* [tensors] of the model: survey these, which are matrices */
    const pl_grid *const *grids;
    const pl_stats *stats;      /* NULL: every column counts 1 */
    pl_cache *cache;
} pl_survey_options;

typedef struct pl_survey {
    int ways;
    double *error;              /* [tensors][ways] Σ h_j (w - decoded)^2 over the matrix, where h_j is the mean square
                                 * of its input j (made safe as pl_stat_weights does): the squared error of its output
                                 * per token. 0 for the type it is stored in; NaN: not wanted, or not a type for it */
    double *energy;             /* [tensors] Σ h_j w_j^2 over the matrix; NaN: not wanted */
    pl_digest digest;           /* of the samples of all tensors: tells models apart */
} pl_survey;

enum {
    PL_SURVEY_ROWS = 128,       /* of a matrix that are encoded, evenly spread; the sums are scaled up */
    PL_SURVEY_EXPERT_ROWS = 16  /* of an expert's matrix: the experts of a layer share their type */
};

/* Errors of the wanted matrices. Those that the cache has for the same rows, statistics, type and method are taken
 * from there, new ones put into it. Rows with values that are not finite count as zeros. The same for every number
 * of threads. Memory from arena. */
pl_status pl_survey_run(pl_source *source, const pl_survey_options *options, pl_pool *pool, pl_arena *arena,
                        pl_survey **out);

#endif
