/* plan.c: from recipe, model and sink to a list of steps with exact parts. */
#include "core/plan.h"

#include <string.h>

#include "core/cpu.h"
#include "core/sink.h"

enum {
    MIN_RANGE_ELEMENTS = 1 << 14,
    BASE_BYTES = 12 << 20,          /* program, libraries' heaps, log and vocabulary buffers */
    WORKER_BYTES = 256 << 10        /* stack and scratch that does not depend on the range */
};

/* What takes the place of a type whose blocks are too long for the rows: about as many bits, shorter blocks. These
 * are llama-quantize's choices, so that both tools make the same mix of a model. */
static const struct { int wish, instead; } shorter[] = {
    { PL_Q2_K, PL_Q4_0 },       { PL_Q3_K, PL_Q4_0 },       { PL_Q4_K, PL_Q5_0 },       { PL_Q5_K, PL_Q5_1 },
    { PL_Q6_K, PL_Q8_0 },       { PL_TQ1_0, PL_Q4_0 },      { PL_TQ2_0, PL_Q4_0 },      { PL_Q2_0, PL_Q4_0 },
    { PL_IQ2_XXS, PL_IQ4_NL },  { PL_IQ2_XS, PL_IQ4_NL },   { PL_IQ2_S, PL_IQ4_NL },    { PL_IQ3_XXS, PL_IQ4_NL },
    { PL_IQ3_S, PL_IQ4_NL },    { PL_IQ1_S, PL_IQ4_NL },    { PL_IQ1_M, PL_IQ4_NL },    { PL_IQ4_XS, PL_IQ4_NL },
};

/* What rows of `cols` values can be instead of `wish`: shorter blocks or groups, else the floats that they are. */
static pl_type fitting(const pl_type *wish, const pl_tensor *from)
{
    if (wish->scheme == &pl_scheme_plain) {
        for (int i = 0; i < PL_COUNT(shorter); i++)
            if (wish->element == &pl_dtypes[shorter[i].wish] && from->cols % pl_dtypes[shorter[i].instead].block == 0)
                return pl_type_plain(shorter[i].instead);
        return pl_type_plain(PL_F16);
    }
    pl_type type = *wish;
    while (type.scheme == &pl_scheme_affine && type.group > 32) {
        type.group /= 2;
        if (from->cols % type.group == 0) return type;
    }
    return pl_type_coded(&from->type) ? pl_type_plain(PL_F16) : from->type;
}

/* What every step is made from. */
typedef struct planner {
    const pl_model *model;
    pl_recipe *recipe;
    pl_sink *sink;
    const pl_registries *registries;
    const pl_type *mixed;       /* [tensors] by the recipe's mix; NULL: none */
    pl_arena *arena;
    pl_plan *plan;
} planner;

/* The wish for one tensor: its rule's type, what was chosen for it, the mix's, or the recipe's; another where rows do
 * not divide into blocks. */
static pl_status wish_for(const planner *p, const pl_rule *rule, int tensor, pl_type *wish, const char **why)
{
    const pl_tensor *t = &p->model->tensor[tensor];
    const pl_type *choice = p->recipe->choice;
    *wish = p->mixed ? p->mixed[tensor] : p->recipe->type;
    if (choice && choice[tensor].scheme) *wish = choice[tensor];
    if (rule && rule->type.scheme) *wish = rule->type;
    *why = NULL;
    if (!(t->flags & PL_TENSOR_MATRIX) || !wish->element) return PL_OK;
    if (p->sink->ops->form) *wish = p->sink->ops->form(p->sink, *wish, t);
    int span = pl_type_span(wish);
    if (t->cols % span == 0) return PL_OK;
    *why = pl_arena_format(p->arena, "rows of %lld are no multiple of %s's %d", (long long)t->cols, pl_type_name(wish),
                           span);
    *wish = fitting(wish, t);
    return *why ? PL_OK : PL_E_MEMORY;
}

/* The wish with what is more to it: a factor of the whole matrix that the source has beside the same codes, or the
 * parts that the method to be likes to have. */
static pl_type refined(const planner *p, const pl_rule *rule, const pl_tensor *from, pl_type wish)
{
    const char *name = rule && rule->method ? rule->method : p->recipe->method;
    if (!(from->flags & PL_TENSOR_MATRIX) || wish.scheme != &pl_scheme_plain) return wish;
    if (!name && wish.element == from->type.element) return from->type;
    if (!name) name = p->recipe->encoder;
    const pl_method *method = name ? pl_method_find(p->registries->methods, name) : NULL;
    return method && method->refine ? method->refine(wish) : wish;
}

/* Who fills the step: what the rule or recipe says, else copy for equal types, else the recipe's encoder. */
static pl_status choose_method(pl_step *step, const pl_recipe *recipe, const pl_rule *rule,
                               const pl_tensor *from, const pl_registries *registries)
{
    bool matrix = from->flags & PL_TENSOR_MATRIX;
    const char *name = rule && rule->method ? rule->method : recipe->method;
    if (!name || !matrix) {
        name = matrix && pl_type_coded(&step->out.type) && recipe->encoder ? recipe->encoder : "rtn";
        if (pl_type_equal(&from->type, &step->out.type)) name = "copy";
    }
    step->method = pl_method_find(registries->methods, name);
    if (!step->method) {
        char known[256] = "";
        for (const pl_method *const *m = registries->methods; *m; m++) {
            strncat(known, known[0] ? ", " : "", sizeof known - strlen(known) - 1);
            strncat(known, (*m)->name, sizeof known - strlen(known) - 1);
        }
        return pl_fail(PL_E_WISH, "unknown method '%s'; known are %s", name, known);
    }
    step->grid = pl_grid_find(registries->grids, &step->out.type, step->out.cols);
    if (step->method->accepts && !step->method->accepts(step, from))
        return pl_fail(PL_E_WISH, "method '%s' cannot turn tensor '%s' from %s into %s", name,
                       from->name, pl_type_name(&from->type), pl_type_name(&step->out.type));
    return PL_OK;
}

/* The rule for a tensor. Some rules look at the name that the sink has for it, whatever its type. */
static pl_status rule_for(const planner *p, const pl_tensor *t, pl_rule **rule)
{
    pl_packed as_floats = { .rows = t->rows, .cols = t->cols };
    const char *name = NULL;
    if (p->recipe->kept)
        PL_TRY(p->sink->ops->resolve(p->sink, p->model, t, pl_type_plain(PL_F32), &as_floats, &name, p->arena));
    PL_TRY(pl_recipe_match(p->recipe, t, name, rule));
    if (*rule && (t->flags & PL_TENSOR_MATRIX)) (*rule)->used++;    /* vectors stay as they are */
    return PL_OK;
}

static pl_status plan_step(const planner *p, int tensor, pl_step *step)
{
    const pl_tensor *t = &p->model->tensor[tensor];
    pl_plan *plan = p->plan;
    pl_rule *rule;
    pl_type wish;
    const char *why;
    PL_TRY(rule_for(p, t, &rule));
    PL_TRY(wish_for(p, rule, tensor, &wish, &why));
    *step = (pl_step){ .id = t->id, .tensor = tensor, .why = why };
    if (t->flags & PL_TENSOR_MATRIX) step->stat = pl_stats_find(plan->stats, t->id);
    if (step->stat && step->stat->cols != t->cols)
        return pl_fail(PL_E_INPUT, "%s: statistics of %lld columns for '%s', which has %lld", plan->stats->path,
                       (long long)step->stat->cols, t->name, (long long)t->cols);
    pl_packed resolved = { .rows = t->rows, .cols = t->cols };
    wish = refined(p, rule, t, wish);
    PL_TRY(p->sink->ops->resolve(p->sink, p->model, t, wish, &resolved, &step->name, p->arena));
    PL_TRY(pl_packed_init(&step->out, resolved.type, resolved.rows, resolved.cols));
    step->out.order = resolved.order;
    if (p->sink->ops->band && t->flags & PL_TENSOR_MATRIX) step->band = p->sink->ops->band(p->sink, &step->out);
    PL_TRY(choose_method(step, p->recipe, rule, t, p->registries));
    if (why) plan->changed++;
    if (pl_plan_blind(plan, step)) plan->blind++;
    for (int i = 0; i < step->out.nparts; i++) step->out.part[i].id = plan->parts++;
    plan->data_bytes += pl_packed_bytes(&step->out);
    return PL_OK;
}

int64_t pl_plan_range_rows(const pl_plan *plan, const pl_step *step)
{
    int64_t granule = step->out.granule;
    if (granule == 0) return step->out.rows;
    int64_t rows = plan->range_elements / pl_max64(1, step->out.cols * granule) * granule, several = 32 * granule;
    while (several > rows && several > 8 * granule) several /= 2;
    if (rows > several) rows -= rows % several;         /* for sinks whose words hold several rows */
    if (step->band) rows = pl_max64(rows / step->band, 1) * step->band;
    return pl_min64(pl_max64(rows, granule), pl_max64(step->out.rows, 1));
}

/* Own memory of one worker: a range's output and the method's scratch. */
static int64_t worker_bytes(const pl_plan *plan, const pl_model *model)
{
    int64_t most = 0;
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        int64_t rows = pl_plan_range_rows(plan, step);
        int64_t out = 0;
        for (int p = 0; p < step->out.nparts; p++) {
            const pl_part *part = &step->out.part[p];
            out += part->stride ? pl_ceil_div(rows, pl_max64(1, step->out.granule)) * part->stride
                                : part->bytes;
        }
        if (step->band) out *= 3;           /* the sink arranges them anew */
        const pl_tensor *from = &model->tensor[step->tensor];
        most = pl_max64(most, out + step->method->scratch(step, from, rows));
    }
    return most + WORKER_BYTES;
}

/* What the loop keeps per range: a place in the list, two sums when errors are measured. */
static int64_t range_bytes(const pl_plan *plan)
{
    int64_t ranges = 0;
    for (int i = 0; i < plan->steps; i++)
        ranges += pl_ceil_div(plan->step[i].out.rows, pl_plan_range_rows(plan, &plan->step[i]));
    return ranges * 2 * (int64_t)sizeof(double) + plan->steps * 2 * (int64_t)sizeof(int64_t);
}

/* Lowers range and workers until the prediction fits. */
static pl_status fit_memory(pl_plan *plan, const pl_model *model, const pl_plan_options *options,
                            int64_t held)
{
    plan->threads = options->threads > 0 ? options->threads : pl_cpu_count();
    plan->range_elements = PL_RANGE_ELEMENTS;
    for (;;) {
        int64_t worker = worker_bytes(plan, model);
        plan->peak = BASE_BYTES + held + range_bytes(plan) + plan->threads * worker;
        if (options->memory <= 0 || plan->peak <= options->memory) return PL_OK;
        if (plan->range_elements > MIN_RANGE_ELEMENTS) plan->range_elements /= 2;
        else if (plan->threads > 1) plan->threads--;
        else
            return pl_fail(PL_E_WISH, "--memory %lld is too little: at least %lld bytes are needed",
                           (long long)options->memory, (long long)plan->peak);
    }
}

static pl_status digest(pl_plan *plan, const pl_sink *sink)
{
    pl_hash *hash;
    PL_TRY(pl_hash_create(&hash));
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        const char *type = pl_type_name(&step->out.type);
        int64_t numbers[] = { step->id.role, step->id.layer, step->id.expert, step->out.rows,
                              step->out.cols, step->out.order };
        pl_hash_update(hash, numbers, sizeof numbers);
        pl_hash_update(hash, step->name, strlen(step->name) + 1);
        pl_hash_update(hash, type, strlen(type) + 1);
        pl_hash_update(hash, step->method->name, strlen(step->method->name) + 1);
        if (step->band) pl_hash_update(hash, sink->layout, strlen(sink->layout) + 1);
    }
    plan->digest = pl_hash_digest(hash);
    pl_hash_destroy(hash);
    return PL_OK;
}

pl_status pl_plan_create(const pl_model *model, pl_recipe *recipe, pl_sink *sink,
                         const pl_registries *registries, const pl_plan_options *options,
                         pl_arena *arena, pl_plan **out)
{
    *out = NULL;
    if (!recipe->type.scheme)
        return pl_fail(PL_E_WISH, "no type given: --type takes one of %s, mxfp4, nvfp4", pl_mix_list());
    pl_plan *plan = PL_ZNEW(arena, pl_plan, 1);
    if (!plan) return PL_E_MEMORY;
    plan->step = PL_ZNEW(arena, pl_step, model->tensors);
    if (!plan->step) return PL_E_MEMORY;
    plan->type = recipe->type;
    plan->mix = recipe->mix;
    plan->stats = options->stats;
    pl_type *mixed = NULL;
    if (recipe->mix && !recipe->pure) PL_TRY(pl_mix_types(recipe->mix, model, options->stats != NULL, arena, &mixed));
    planner p = { model, recipe, sink, registries, mixed, arena, plan };
    for (int i = 0; i < recipe->rules; i++) recipe->rule[i].used = 0;
    /* In the order of identities: the output does not depend on how the input was sharded. */
    for (int i = 0; i < model->tensors; i++)
        PL_TRY(plan_step(&p, model->entry[i].tensor, &plan->step[plan->steps++]));
    for (int i = 0; i < recipe->rules; i++) {
        if (recipe->rule[i].used) continue;
        if (i < recipe->kept) return pl_fail(PL_E_WISH, "--keep '%s' matches no matrix", recipe->rule[i].expression);
        return pl_fail(PL_E_WISH, "rule %d of the recipe matches no matrix", i - recipe->kept + 1);
    }
    PL_TRY(sink->ops->size(sink, plan, model, &plan->bytes));
    PL_TRY(fit_memory(plan, model, options, pl_arena_bytes(arena) + options->held));
    PL_TRY(digest(plan, sink));
    *out = plan;
    return PL_OK;
}

int pl_plan_find(const pl_plan *plan, pl_id id)
{
    int low = 0, high = plan->steps;
    while (low < high) {
        int middle = low + (high - low) / 2, order = pl_id_compare(plan->step[middle].id, id);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return -1;
}

/* Does the method find new bytes for this step's matrix, in blocks? */
static bool searched(const pl_step *step)
{
    return pl_type_coded(&step->out.type) && strcmp(step->method->name, "copy");
}

bool pl_plan_blind(const pl_plan *plan, const pl_step *step)
{
    return searched(step) && !step->stat && pl_mix_wants_stats(plan->mix, &step->out.type, step->id);
}

pl_status pl_plan_coverage(const pl_plan *plan, const pl_model *model, pl_coverage *out)
{
    *out = (pl_coverage){ 0 };
    int64_t most = 0;
    for (int i = 0; i < model->tensors; i++) most = pl_max64(most, model->tensor[i].cols);
    float *weights = pl_alloc(most, sizeof *weights);
    if (!weights) return PL_E_MEMORY;
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        if (!searched(step)) continue;
        out->matrices++;
        if (!step->stat) out->without++;
        else if (!(step->stat->count > 0)) out->unseen += step->id.expert >= 0;
        if (!step->stat || strcmp(step->method->name, "best")) continue;
        out->columns += step->stat->cols;
        out->lifted += pl_stat_weights(step->stat, weights);
    }
    pl_free(weights);
    return PL_OK;
}

void pl_plan_bpw(const pl_plan *plan, const pl_model *model, double *body, double *file)
{
    int64_t bytes = 0, weights = 0;
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        if (step->id.layer < 0 || !(model->tensor[step->tensor].flags & PL_TENSOR_MATRIX)) continue;
        bytes += pl_packed_bytes(&step->out);
        weights += step->out.rows * step->out.cols;
    }
    *body = weights ? 8.0 * (double)bytes / (double)weights : 0;
    *file = model->parameters ? 8.0 * (double)plan->bytes / (double)model->parameters : 0;
}
