/* target.c: from a wished size to a type for each matrix: which types it can have, what each loses, the best choice. */
#include "cli/target.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/knapsack.h"

/* Candidates if nothing else is said. Those of short blocks are for rows that longer ones do not fit; there they take
 * the place of types that hold the same at fewer bytes. */
static const struct { int type; bool only_short; } usual[] = {
    { PL_IQ2_XXS, false }, { PL_IQ2_XS, false }, { PL_IQ2_S, false }, { PL_Q2_K, false }, { PL_IQ3_XXS, false },
    { PL_IQ3_S, false }, { PL_Q3_K, false }, { PL_IQ4_XS, false }, { PL_Q4_K, false }, { PL_Q5_K, false },
    { PL_Q6_K, false }, { PL_Q8_0, false },
    { PL_IQ4_NL, true }, { PL_Q4_1, true }, { PL_Q5_0, true }, { PL_Q5_1, true },
};

static bool only_short(const pl_target *t, int type)
{
    for (int i = 0; !t->types_wanted && i < PL_COUNT(usual); i++)
        if (t->type[type].element == &pl_dtypes[usual[i].type]) return usual[i].only_short;
    return false;
}

static pl_status read_types(pl_target *t)
{
    const char *at = t->types_wanted;
    if (!at) {
        for (int i = 0; i < PL_COUNT(usual); i++)
            if (usual[i].type < PL_DTYPES) t->type[t->types++] = pl_type_plain(usual[i].type);
        return PL_OK;
    }
    while (*at) {
        char name[32];
        size_t len = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)pl_min64((int64_t)len, 31), at);
        if (t->types == PL_COUNT(t->type)) return pl_fail(PL_E_WISH, "--target-types has more than %d types", t->types);
        PL_TRY(pl_type_parse(name, &t->type[t->types]));
        for (int i = 0; i < t->types; i++)
            if (pl_type_equal(&t->type[i], &t->type[t->types]))
                return pl_fail(PL_E_WISH, "--target-types has '%s' twice", name);
        t->types++;
        at += len + (at[len] == ',');
    }
    return t->types ? PL_OK : pl_fail(PL_E_WISH, "--target-types takes names of types between commas");
}

/* Is it what was asked for, but for what sink and method add: the type of scales, a factor of the whole matrix? */
static bool is_kind(const pl_type *type, const pl_type *asked)
{
    if (type->element != asked->element || type->bits != asked->bits) return false;
    return type->group == asked->group || !asked->group;
}

/* Does this type make sense for that matrix? The plan says whether it can be had. */
static bool is_candidate(const pl_target *t, int type, const pl_tensor *m)
{
    if (m->cols % pl_type_span(&t->type[type]) != 0) return false;
    if (t->types_wanted) return true;
    if (only_short(t, type) && m->cols % PL_MAX_BLOCK == 0) return false;
    return pl_stats_find(t->stats, m->id) || !pl_mix_wants_stats(NULL, &t->type[type], m->id);
}

/* ---- which matrices, which types ---- */

/* The plan for the choices as they are; its memory lasts until the next call. */
typedef struct planner {
    pl_target *t;
    pl_sink *sink;
    pl_recipe *recipe;
    const pl_plan_options *options;
    pl_arena *arena;
} planner;

static pl_status make_plan(planner *p, pl_plan **plan)
{
    pl_arena_reset(p->arena);
    return pl_plan_create(p->t->source->model, p->recipe, p->sink, &pl_wire_registries, p->options, p->arena, plan);
}

/* Steps that must be of one type are one item: an expert's of all experts in a layer. */
static bool joins(const pl_step *step, const pl_target_item *last)
{
    return step->id.expert >= 0 && last->id.expert >= 0 && step->id.role == last->id.role &&
           step->id.layer == last->id.layer;
}

static pl_status add_items(pl_target *t, const pl_plan *plan)
{
    t->item = PL_ZNEW(t->arena, pl_target_item, plan->steps);
    int *tensors = PL_NEW(t->arena, int, plan->steps);
    if (!t->item || !tensors) return PL_E_MEMORY;
    for (int i = 0, at = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        if (!(t->source->model->tensor[step->tensor].flags & PL_TENSOR_MATRIX)) continue;
        tensors[at++] = step->tensor;
        if (t->items && joins(step, &t->item[t->items - 1])) {
            t->item[t->items - 1].tensors++;
            continue;
        }
        pl_target_item *item = &t->item[t->items++];
        *item = (pl_target_item){ .id = step->id, .tensors = 1, .tensor = tensors + at - 1, .probe_error = NAN,
                                  .name = pl_arena_text(t->arena, step->name, strlen(step->name)),
                                  .bytes = PL_ZNEW(t->arena, int64_t, t->types),
                                  .error = PL_ZNEW(t->arena, double, t->types) };
        if (!item->name || !item->bytes || !item->error) return PL_E_MEMORY;
    }
    return PL_OK;
}

/* Bytes of every item as type `type`, as the plan lays it out; 0 where a rule or the sink insists on another. */
static pl_status measure_bytes(planner *p, int type)
{
    pl_target *t = p->t;
    const pl_model *model = t->source->model;
    pl_plan *plan;
    for (int i = 0; i < model->tensors; i++)
        t->choice[i] = is_candidate(t, type, &model->tensor[i]) ? t->type[type] : pl_type_plain(PL_F32);
    PL_TRY(make_plan(p, &plan));
    if (!t->item) PL_TRY(add_items(t, plan));
    const pl_step *step = plan->step, *end = plan->step + plan->steps;
    for (int i = 0; i < t->items; i++) {
        int64_t bytes = 0;
        for (int left = t->item[i].tensors; left > 0 && step < end; step++) {
            if (!(model->tensor[step->tensor].flags & PL_TENSOR_MATRIX)) continue;
            left--;
            bool has = bytes >= 0 && is_candidate(t, type, &model->tensor[step->tensor]) &&
                       is_kind(&step->out.type, &t->type[type]);
            bytes = has ? bytes + pl_packed_bytes(&step->out) : -1;
        }
        t->item[i].bytes[type] = pl_max64(bytes, 0);
    }
    return PL_OK;
}

/* Items that can have none of the types are not for us: what becomes of them the plan says, as if they were to get
 * the last of the types. */
static pl_status drop_fixed(pl_target *t)
{
    int kept = 0;
    for (int i = 0; i < t->source->model->tensors; i++) t->choice[i] = t->type[t->types - 1];
    for (int i = 0; i < t->items; i++) {
        bool any = false;
        for (int o = 0; o < t->types; o++) any = any || t->item[i].bytes[o] > 0;
        if (any) t->item[kept++] = t->item[i];
    }
    t->items = kept;
    return kept ? PL_OK : pl_fail(PL_E_WISH, "no matrix can have one of the types to choose from");
}

/* ---- errors ---- */

static pl_status run_survey(pl_target *t, const pl_recipe *recipe, pl_survey **survey, pl_survey_way *way)
{
    const char *name = recipe->encoder ? recipe->encoder : "rtn";
    const pl_method *method = pl_method_find(pl_wire_registries.methods, name);
    if (!method) return pl_fail(PL_E_WISH, "unknown method '%s'", name);
    bool *wanted = PL_ZNEW(t->arena, bool, t->source->model->tensors);
    if (!wanted) return PL_E_MEMORY;
    for (int i = 0; i < t->items; i++)
        for (int k = 0; k < t->item[i].tensors; k++) wanted[t->item[i].tensor[k]] = true;
    for (int o = 0; o < t->types; o++) way[o] = (pl_survey_way){ t->type[o], method };
    pl_target_probe_ways(way + t->types);
    const pl_survey_options options = { .way = way, .ways = t->types + PL_TARGET_WAYS, .wanted = wanted,
                                        .grids = pl_wire_registries.grids, .stats = t->stats, .cache = t->cache };
    PL_TRY(pl_survey_run(t->source, &options, t->pool, t->arena, survey));
    for (int i = 0; i < t->items; i++) {
        pl_target_item *item = &t->item[i];
        for (int k = 0; k < item->tensors; k++) {
            const double *error = (*survey)->error + (int64_t)item->tensor[k] * (*survey)->ways;
            for (int o = 0; o < t->types; o++) item->error[o] += error[o];
            item->energy += (*survey)->energy[item->tensor[k]];
        }
        for (int o = 0; o < t->types; o++) {
            if (isnan(item->error[o])) item->bytes[o] = 0;
            else if (item->bytes[o] == 0) item->error[o] = NAN;
        }
    }
    return PL_OK;
}

/* ---- choice ---- */

static void set_choice(pl_target *t, int i, int type)
{
    t->item[i].choice = type;
    for (int k = 0; k < t->item[i].tensors; k++) t->choice[t->item[i].tensor[k]] = t->type[type];
}

/* Every item's smallest type; their bytes. */
static int64_t choose_smallest(pl_target *t)
{
    int64_t sum = 0;
    for (int i = 0; i < t->items; i++) {
        const pl_target_item *item = &t->item[i];
        int least = -1;
        for (int o = 0; o < t->types; o++)
            if (!isnan(item->error[o]) && (least < 0 || item->bytes[o] < item->bytes[least])) least = o;
        set_choice(t, i, least);
        sum += item->bytes[least];
    }
    return sum;
}

/* Options of all items for the knapsack; index: the type of each option. */
static pl_status list_options(const pl_target *t, pl_arena *arena, pl_item **items, int **index)
{
    pl_item *list = PL_ZNEW(arena, pl_item, t->items);
    pl_option *option = PL_NEW(arena, pl_option, (int64_t)t->items * t->types);
    int *type = PL_NEW(arena, int, (int64_t)t->items * t->types);
    if (!list || !option || !type) return PL_E_MEMORY;
    for (int i = 0; i < t->items; i++) {
        list[i] = (pl_item){ .option = option + i * t->types, .group = -1 };
        for (int o = 0; o < t->types; o++) {
            if (isnan(t->item[i].error[o])) continue;
            type[i * t->types + list[i].options] = o;
            option[i * t->types + list[i].options++] =
                (pl_option){ t->item[i].bytes[o], pl_target_loss(&t->item[i], o) };
        }
    }
    *items = list;
    *index = type;
    return PL_OK;
}

/* The best choice within the wished size. What the output has beside the items' bytes depends on them a little: gaps
 * between tensors. So the plan is asked, and its excess taken from the budget. */
static pl_status solve(planner *p, pl_plan **plan)
{
    pl_target *t = p->t;
    pl_item *item;
    int *index, *best = PL_NEW(t->arena, int, t->items);
    if (!best) return PL_E_MEMORY;
    PL_TRY(list_options(t, t->arena, &item, &index));
    int64_t smallest = choose_smallest(t);
    PL_TRY(make_plan(p, plan));
    if ((*plan)->bytes > t->wanted)
        return pl_fail(PL_E_WISH, "a size of %lld bytes cannot be met: the smallest possible is %lld bytes, %.3f bits "
                       "per weight", (long long)t->wanted, (long long)(*plan)->bytes,
                       8.0 * (double)(*plan)->bytes / (double)t->source->model->parameters);
    int64_t budget = t->wanted - ((*plan)->bytes - smallest);
    for (;;) {
        PL_TRY(pl_knapsack(item, t->items, budget, best));
        for (int i = 0; i < t->items; i++) set_choice(t, i, index[i * t->types + best[i]]);
        PL_TRY(make_plan(p, plan));
        if ((*plan)->bytes <= t->wanted) break;
        budget = pl_max64(smallest, budget - ((*plan)->bytes - t->wanted));
    }
    t->bytes = (*plan)->bytes;
    for (int i = 0; i < t->items; i++) t->loss += pl_target_loss(&t->item[i], t->item[i].choice);
    return PL_OK;
}

/* The type that holds most weights names the file. */
static pl_type label(const pl_target *t)
{
    int most = 0;
    double weights[PL_DTYPES_READ] = { 0 };
    for (int i = 0; i < t->items; i++) {
        const pl_tensor *m = &t->source->model->tensor[t->item[i].tensor[0]];
        weights[t->item[i].choice] += (double)t->item[i].tensors * (double)m->rows * (double)m->cols;
    }
    for (int o = 1; o < t->types; o++)
        if (weights[o] > weights[most]) most = o;
    return t->type[most];
}

static pl_status choose(planner *p)
{
    pl_target *t = p->t;
    pl_survey *survey;
    pl_survey_way way[PL_DTYPES_READ + PL_TARGET_WAYS];
    pl_plan *plan;
    for (int o = 0; o < t->types; o++) PL_TRY(measure_bytes(p, o));
    PL_TRY(drop_fixed(t));
    PL_TRY(run_survey(t, p->recipe, &survey, way));
    PL_TRY(drop_fixed(t));
    PL_TRY(pl_target_weigh(t, survey, way));
    PL_TRY(pl_cache_save(t->cache));
    PL_TRY(solve(p, &plan));
    p->recipe->type = label(t);
    return PL_OK;
}

static pl_status wanted_bytes(pl_target *t)
{
    double bytes = t->wish.bpw > 0 ? t->wish.bpw / 8 * (double)t->source->model->parameters : (double)t->wish.size;
    if (!(bytes < 0x1p62)) return pl_fail(PL_E_WISH, "a target of %g bytes is no size", bytes);
    t->wanted = (int64_t)bytes;
    return PL_OK;
}

pl_status pl_target_check(const pl_target_wish *wish, const char *type)
{
    bool wanted = wish->bpw > 0 || wish->size > 0;
    if (wish->bpw > 0 && wish->size > 0) return pl_fail(PL_E_WISH, "--target-bpw and --target-size exclude each other");
    if (wanted && type) return pl_fail(PL_E_WISH, "--type and a target size exclude each other");
    if (!wanted && (wish->types || wish->calib || wish->cache || wish->probe))
        return pl_fail(PL_E_WISH, "--target-types, --calib, --probe and --cache go with --target-bpw or --target-size");
    if (!wish->calib && (wish->probe == PL_PROBE_TENSOR || wish->probe == PL_PROBE_LAYER))
        return pl_fail(PL_E_WISH, "--probe needs a text: --calib is missing");
    return PL_OK;
}

pl_status pl_target_choose(const pl_target_wish *wish, pl_source *source, pl_sink *sink, pl_recipe *recipe,
                           const pl_plan_options *options, pl_arena *arena, pl_target *t)
{
    double began = pl_seconds();
    *t = (pl_target){ .wish = *wish, .arena = arena, .source = source, .stats = options->stats,
                        .threads = options->threads, .measured = NAN,
                        .types_wanted = wish->types ? wish->types : sink->ops->target_types };
    PL_TRY(wanted_bytes(t));
    PL_TRY(read_types(t));
    t->choice = PL_ZNEW(arena, pl_type, source->model->tensors);
    if (!t->choice) return PL_E_MEMORY;
    recipe->choice = t->choice;
    recipe->type = t->type[0];
    recipe->mix = NULL;
    planner p = { .t = t, .sink = sink, .recipe = recipe, .options = options };
    pl_status code = pl_arena_create(&p.arena);
    if (code == PL_OK) code = pl_cache_open(wish->cache, &t->cache);
    if (code == PL_OK) code = pl_pool_create(options->threads, &t->pool);
    if (code == PL_OK) code = choose(&p);
    pl_pool_destroy(t->pool);
    pl_cache_close(t->cache);
    pl_arena_destroy(p.arena);
    t->pool = NULL;
    t->cache = NULL;
    t->seconds = pl_seconds() - began;
    return code;
}
