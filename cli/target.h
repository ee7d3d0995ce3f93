/* target.h: a type for each matrix such that the whole output has a wished size and loses the least. */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include "cli/cli.h"
#include "core/survey.h"

typedef enum pl_target_probe { PL_PROBE_AUTO, PL_PROBE_TENSOR, PL_PROBE_LAYER, PL_PROBE_NONE } pl_target_probe;
#define PL_TARGET_PROBES "auto|tensor|layer|none"      /* for a PL_OPT_CHOICE */

typedef struct pl_target_wish {
    double bpw;                 /* bits per weight of the whole output; 0: size says it */
    int64_t size;               /* bytes of the whole output; 0: bpw says it */
    const char *types;          /* names between commas; NULL: what is usual */
    const char *calib;          /* text to probe with; NULL: no probes */
    const char *cache;          /* file of earlier errors and probes; NULL: none */
    int32_t probe;              /* pl_target_probe */
    const char *model, *pre;    /* to open the model for probes */
} pl_target_wish;

/* Matrices that share a type: one, or an expert's of each expert in a layer. */
typedef struct pl_target_item {
    const char *name;           /* of the first in the output */
    pl_id id;                   /* of the first */
    int tensors;
    const int *tensor;          /* [tensors] in the model */
    int64_t *bytes;             /* [types] */
    double *error;              /* [types] of all, see pl_survey; NaN: cannot be had */
    double energy;
    double sensitivity;         /* loss per error */
    double probe_error;         /* of its probe's encoding; NaN: it has none */
    int probe_way;              /* of the survey's ways, where there is one */
    int choice;                 /* type */
} pl_target_item;

typedef struct pl_target {
    pl_target_wish wish;
    pl_arena *arena;
    pl_source *source;
    const pl_stats *stats;
    pl_cache *cache;
    pl_pool *pool;
    int threads;
    const char *types_wanted;   /* names between commas: the user's or the sink's; NULL: the usual ones */
    pl_type type[PL_DTYPES_READ];       /* candidates */
    int types;
    pl_target_item *item;       /* in the order of the output */
    int items;
    pl_type *choice;            /* [tensors] what the recipe gets */
    int64_t wanted, bytes;      /* of the whole output */
    int probes_asked, probes_run;       /* passes through the model; of these not found in the cache */
    double loss;                /* predicted: mean KL divergence in nats, with probes or by experience */
    double measured;            /* KL divergence of what was written; NaN: not measured */
    double seconds;
} pl_target;

/* PL_E_WISH for options that do not go together; type: what --type says, or NULL. */
pl_status pl_target_check(const pl_target_wish *wish, const char *type);
/* Fills recipe->choice (and type and mix, which nothing uses then but the file's label) so that the output is not
 * larger than wished and, if the types allow, at most 0.2 % smaller. PL_E_WISH says what the smallest is if that
 * is larger. Memory from arena. docs/size-target.md describes how. */
pl_status pl_target_choose(const pl_target_wish *wish, pl_source *source, pl_sink *sink, pl_recipe *recipe,
                           const pl_plan_options *options, pl_arena *arena, pl_target *out);
/* Runs what the sink wrote for `path` over the text of the probes; without probes does nothing. */
pl_status pl_target_verify(pl_target *t, const pl_sink *sink, const char *path);

/* ---- target_loss.c ---- */

enum { PL_TARGET_WAYS = 2 };    /* ways of the survey behind the candidates: encodings that probes use */
void pl_target_probe_ways(pl_survey_way way[PL_TARGET_WAYS]);
/* Sets every item's sensitivity. */
pl_status pl_target_weigh(pl_target *t, const pl_survey *survey, const pl_survey_way *way);

/* ---- target_report.c ---- */

double pl_target_loss(const pl_target_item *item, int type);
/* Each matrix: type, error, bytes, loss, and the next larger and smaller type. */
pl_status pl_target_table(const pl_target *t);
/* Wanted and reached, predicted and measured. */
void pl_target_totals(const pl_target *t);
/* The member "target" of an object. */
void pl_target_json(const pl_target *t, pl_json_writer *w);

#endif
