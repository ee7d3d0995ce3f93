/* plan.h: everything that will be written, known before the first byte of data. */
#ifndef CORE_PLAN_H
#define CORE_PLAN_H

#include "core/hash.h"
#include "core/method.h"
#include "core/recipe.h"
#include "core/stats.h"

enum { PL_RANGE_ELEMENTS = 1 << 20 };      /* weights per work item when memory is not scarce */

typedef struct pl_plan {
    pl_step *step;              /* in the order of the output file */
    int steps, parts;           /* part ids run from 0 to parts-1 in that order */
    int64_t bytes;              /* of the whole output, from the sink */
    int64_t data_bytes;         /* of all parts */
    int64_t peak;               /* predicted own memory (RssAnon) of the conversion */
    int64_t range_elements;     /* weights per work item */
    int threads;
    int changed;                /* steps whose type is not the one wished for */
    int blind;                  /* steps of a type that wants statistics, and has none */
    pl_type type;               /* the recipe's wish for matrices */
    const pl_mix *mix;          /* and its mix; NULL: none */
    const pl_stats *stats;      /* what the steps' stat are from; NULL: none */
    pl_digest digest;           /* of types, shapes, methods and order */
} pl_plan;

/* What the plan and convert may choose from; lists end with NULL. */
typedef struct pl_registries {
    const pl_method *const *methods;
    const pl_grid *const *grids;
} pl_registries;

struct pl_sink;

typedef struct pl_plan_options {
    int threads;                /* 0: all */
    int64_t memory;             /* upper bound for peak; 0: none */
    const pl_stats *stats;      /* of the model's activations; NULL: none */
    int64_t held;               /* bytes that the source holds already */
} pl_plan_options;

/* One step per tensor. Matrices get the type of their rule, else of the recipe's choice, else of its mix (or its one
 * type), by the recipe's encoder, or `copy` when the source has it already. A row length that is no multiple of the
 * type's block falls back to a type of shorter blocks, else to F16, as in llama-quantize, and the step says why.
 * Vectors become F32. PL_E_WISH if the sink or a rule cannot be met. Memory from arena. */
pl_status pl_plan_create(const pl_model *model, pl_recipe *recipe, struct pl_sink *sink,
                         const pl_registries *registries, const pl_plan_options *options,
                         pl_arena *arena, pl_plan **out);

/* The step with this identity, or -1. */
int pl_plan_find(const pl_plan *plan, pl_id id);

/* Rows of one work item of this step: whole granules, at least one; a multiple of 32 granules if there is memory, or of
 * eight if there is less. */
int64_t pl_plan_range_rows(const pl_plan *plan, const pl_step *step);

/* Is this step one of plan->blind? */
bool pl_plan_blind(const pl_plan *plan, const pl_step *step);

/* What statistics say of the matrices that get new bytes in blocks. */
typedef struct pl_coverage {
    int matrices, without;      /* experts counted one by one; matrices of which nothing is known */
    int unseen;                 /* matrices of experts that no row was routed to */
    int64_t columns, lifted;    /* of the matrices that `best` encodes: all, and those it counts for more than they
                                 * carried, see pl_stat_weights */
} pl_coverage;
pl_status pl_plan_coverage(const pl_plan *plan, const pl_model *model, pl_coverage *out);

/* Bits per weight: of all matrices inside decoder blocks, and of the whole output over all
 * parameters of the model. */
void pl_plan_bpw(const pl_plan *plan, const pl_model *model, double *body, double *file);

#endif
