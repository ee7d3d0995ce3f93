/* target_loss.c: what an error of a matrix costs: by forward passes with some matrices quantized, or by experience. */
#include <math.h>
#include <string.h>

#include "cli/target.h"
#include "core/fs.h"
#include "core/log.h"
#include "runtime-check/probe.h"

enum {
    CTX = 256,                  /* tokens of a probe's window */
    WINDOWS_TENSOR = 2, WINDOWS_LAYER = 4,      /* many probes of few windows tell more than few of many */
    ROLES = 10                  /* probed beside the layers, about */
};

/* Up to so many operations matrices are probed one by one, layers and roles; a core does about 1e11 a second. */
static const double most_by_tensor = 1e14, most_by_layer = 6e14;

/* How a probe encodes: coarsely enough to be told from rounding, by the quicker method. The second where rows are too
 * short for the first. */
static const int probe_type[PL_TARGET_WAYS] = { PL_Q3_K, PL_Q4_0 };

void pl_target_probe_ways(pl_survey_way way[PL_TARGET_WAYS])
{
    for (int i = 0; i < PL_TARGET_WAYS; i++)
        way[i] = (pl_survey_way){ pl_type_plain(probe_type[i]), pl_method_find(pl_wire_registries.methods, "rtn") };
}

/* ---- one probe ---- */

typedef struct prober {
    pl_target *t;
    const pl_survey *survey;
    const pl_survey_way *way;
    pl_digest text;
    pl_source *model;           /* an overlay; opened, as is the probe, when the cache lacks something */
    pl_probe *probe;
    int total, done;
} prober;

static pl_probe_options probe_options(const pl_target *t, int mode)
{
    return (pl_probe_options){ .text = t->wish.calib, .ctx = CTX,
                               .windows = mode == PL_PROBE_TENSOR ? WINDOWS_TENSOR : WINDOWS_LAYER };
}

static pl_status open_probe(const pl_target *t, pl_source **model, pl_probe **probe)
{
    pl_source *inner;
    const pl_probe_options o = probe_options(t, t->wish.probe);
    PL_TRY(pl_wire_open(t->wish.model, &(pl_open_options){ .how = PL_OPEN_MAP, .pre = t->wish.pre }, &inner));
    PL_TRY(pl_overlay_create(inner, model));
    return pl_probe_create(*model, &o, t->pool, probe);
}

static pl_status replace_item(prober *p, const pl_target_item *item)
{
    const pl_target *t = p->t;
    const pl_survey_way *way = &p->way[item->probe_way];
    for (int k = 0; k < item->tensors; k++) {
        /* the same model, opened twice: tensors have the same numbers */
        const pl_tensor *m = &t->source->model->tensor[item->tensor[k]];
        PL_TRY(pl_overlay_replace(p->model, item->tensor[k], &way->type, way->method,
                                  pl_grid_find(pl_wire_registries.grids, &way->type, m->cols),
                                  pl_stats_find(t->stats, m->id), t->pool));
    }
    return PL_OK;
}

/* Is the item part of the probe of this layer and role? -1: of any. */
static bool belongs(const pl_target_item *item, int layer, int role)
{
    return (layer < -1 || item->id.layer == layer) && (role < 0 || item->id.role == role) && !isnan(item->probe_error);
}

enum { ANY_LAYER = -2, ANY_ROLE = -1 };

/* A digest of all that the result depends on. */
static pl_status key_of(const prober *p, int layer, int role, pl_digest *key)
{
    pl_hash *hash;
    PL_TRY(pl_hash_create(&hash));
    const pl_probe_options o = probe_options(p->t, p->t->wish.probe);
    const int32_t numbers[] = { o.ctx, o.windows, p->t->stats != NULL, probe_type[0], probe_type[1] };
    pl_hash_update(hash, PL_VERSION, sizeof PL_VERSION);
    pl_hash_update(hash, p->survey->digest.byte, sizeof p->survey->digest.byte);
    pl_hash_update(hash, p->text.byte, sizeof p->text.byte);
    pl_hash_update(hash, numbers, sizeof numbers);
    for (int i = 0; i < p->t->items; i++) {
        const pl_target_item *item = &p->t->item[i];
        if (!belongs(item, layer, role)) continue;
        pl_hash_update(hash, &item->id, sizeof item->id);
        pl_hash_update(hash, &item->probe_error, sizeof item->probe_error);     /* statistics are in it */
    }
    *key = pl_hash_digest(hash);
    pl_hash_destroy(hash);
    return PL_OK;
}

/* KL divergence with all items of a layer and role quantized. */
static pl_status probe(prober *p, int layer, int role, double *kld)
{
    pl_target *t = p->t;
    pl_digest key;
    PL_TRY(key_of(p, layer, role, &key));
    t->probes_asked++;
    pl_progress("probe", NULL, "passes", ++p->done, p->total);
    if (pl_cache_find(t->cache, key, kld)) return PL_OK;
    if (!p->probe) PL_TRY(open_probe(t, &p->model, &p->probe));
    for (int i = 0; i < t->items; i++)
        if (belongs(&t->item[i], layer, role)) PL_TRY(replace_item(p, &t->item[i]));
    PL_TRY(pl_probe_model(p->probe, p->model, kld));
    pl_overlay_clear(p->model);
    t->probes_run++;
    return pl_cache_put(t->cache, key, *kld);
}

/* ---- all probes ---- */

/* loss [items]: of each one's probe. */
static pl_status probe_tensors(prober *p, double *loss)
{
    p->total = p->t->items;
    for (int i = 0; i < p->t->items; i++) {
        const pl_target_item *item = &p->t->item[i];
        loss[i] = 0;
        if (!isnan(item->probe_error)) PL_TRY(probe(p, item->id.layer, item->id.role, &loss[i]));
    }
    return PL_OK;
}

/* Rows: layers; columns: roles. prior: the relative error of what is there. */
static pl_status share(prober *p, double *prior, double *by_layer, double *by_role, double *shared, double *loss)
{
    const pl_target *t = p->t;
    int layers = t->source->model->hp.layers;
    for (int i = 0; i < t->items; i++) {
        const pl_target_item *item = &t->item[i];
        if (item->id.layer >= 0 && item->energy > 0 && !isnan(item->probe_error))
            prior[item->id.layer * PL_ROLES + item->id.role] = item->probe_error / item->energy;
    }
    for (int r = 0; r < PL_ROLES; r++) {
        bool any = false;
        for (int l = 0; l < layers; l++) any = any || prior[l * PL_ROLES + r] > 0;
        if (any) p->total++;
        by_role[r] = any ? -1 : 0;
    }
    for (int i = 0; i < t->items; i++) p->total += t->item[i].id.layer < 0;
    p->total += layers;
    for (int r = 0; r < PL_ROLES; r++) {
        /* of layers only: the token table and the output are probed alone, and have other roles */
        if (by_role[r] < 0) PL_TRY(probe(p, ANY_LAYER, r, &by_role[r]));
    }
    for (int l = 0; l < layers; l++) PL_TRY(probe(p, l, ANY_ROLE, &by_layer[l]));
    pl_probe_share(prior, by_layer, by_role, layers, PL_ROLES, shared);
    for (int i = 0; i < t->items; i++) {
        const pl_target_item *item = &t->item[i];
        loss[i] = 0;
        if (isnan(item->probe_error)) continue;
        if (item->id.layer < 0) PL_TRY(probe(p, -1, item->id.role, &loss[i]));
        else loss[i] = shared[item->id.layer * PL_ROLES + item->id.role];
    }
    return PL_OK;
}

static pl_status probe_layers(prober *p, double *loss)
{
    int64_t layers = p->t->source->model->hp.layers;
    double *prior = pl_alloc(layers * PL_ROLES, sizeof *prior), *shared = pl_alloc(layers * PL_ROLES, sizeof *shared);
    double *by_layer = pl_alloc(layers, sizeof *by_layer), by_role[PL_ROLES];
    pl_status code = prior && shared && by_layer ? share(p, prior, by_layer, by_role, shared, loss) : PL_E_MEMORY;
    pl_free(prior);
    pl_free(shared);
    pl_free(by_layer);
    return code;
}

/* Operations of this many probes. */
static double cost_of_probes(const pl_target *t, int mode, int probes)
{
    const pl_probe_options o = probe_options(t, mode);
    return pl_probe_cost(t->source->model, &o) * probes;
}

/* By what the wish says, else by what it costs: that depends on the model alone, not on the machine, so that the
 * same wish gives the same types everywhere. */
static int choose_mode(const pl_target *t)
{
    if (!t->wish.calib) return PL_PROBE_NONE;
    if (t->wish.probe != PL_PROBE_AUTO) return t->wish.probe;
    if (t->source->model->hp.encoder) return PL_PROBE_NONE;
    int layers = t->source->model->hp.layers;
    if (cost_of_probes(t, PL_PROBE_TENSOR, t->items) <= most_by_tensor) return PL_PROBE_TENSOR;
    if (cost_of_probes(t, PL_PROBE_LAYER, layers + ROLES) <= most_by_layer) return PL_PROBE_LAYER;
    pl_log(PL_LOG_WARN, "the model is large: its matrices are not probed unless --probe layer asks for it");
    return PL_PROBE_NONE;
}

/* Probes say little of what they hardly changed: a matrix counts at least a twentieth of what its relative error
 * costs elsewhere. */
static void set_sensitivities(pl_target *t, const double *loss)
{
    double losses = 0, relative = 0;
    for (int i = 0; i < t->items; i++) {
        const pl_target_item *item = &t->item[i];
        if (isnan(item->probe_error) || !(item->energy > 0)) continue;
        losses += loss[i];
        relative += item->probe_error / item->energy;
    }
    double floor = relative > 0 ? 0.05 * losses / relative : 0;
    for (int i = 0; i < t->items; i++) {
        pl_target_item *item = &t->item[i];
        if (!(item->energy > 0)) continue;              /* all zeros: nothing is lost */
        double measured = item->probe_error > 0 ? loss[i] / item->probe_error : 0;
        item->sensitivity = fmax(measured, floor / item->energy);
    }
}

static void find_probe_errors(pl_target *t, const pl_survey *survey)
{
    for (int i = 0; i < t->items; i++) {
        pl_target_item *item = &t->item[i];
        for (int w = 0; w < PL_TARGET_WAYS && isnan(item->probe_error); w++) {
            item->probe_error = 0;
            item->probe_way = t->types + w;
            for (int k = 0; k < item->tensors; k++)
                item->probe_error += survey->error[(int64_t)item->tensor[k] * survey->ways + item->probe_way];
        }
    }
}

/* What a relative error costs by what a matrix does, where nothing is probed: about what probes say of small llamas,
 * in nats; of layers all together. The output's error is that of the logits, values pass attention as they are, while
 * errors of queries and keys mostly vanish in its weights. */
static const struct { int role; double cost; } usual_cost[] = {
    { PL_TOKEN_EMBD, 1 }, { PL_OUTPUT, 7 }, { PL_ATTN_QKV, 8 }, { PL_ATTN_Q, 1.2 }, { PL_ATTN_K, 1.2 },
    { PL_ATTN_V, 22 }, { PL_ATTN_O, 1.2 }, { PL_FFN_GATE_UP, 7 }, { PL_FFN_GATE, 6 }, { PL_FFN_UP, 8 },
    { PL_FFN_DOWN, 4 },
};

static double cost_of(const pl_model *model, const pl_target_item *item)
{
    double cost = 4;
    bool tied = pl_model_find(model, pl_id_make(PL_OUTPUT, -1, -1)) < 0;
    if (item->id.role == PL_TOKEN_EMBD && tied) return 8;       /* it is both */
    for (int i = 0; i < PL_COUNT(usual_cost); i++)
        if (usual_cost[i].role == item->id.role) cost = usual_cost[i].cost;
    return item->id.layer < 0 ? cost : cost / pl_max64(1, model->hp.layers);
}

pl_status pl_target_weigh(pl_target *t, const pl_survey *survey, const pl_survey_way *way)
{
    t->wish.probe = choose_mode(t);
    if (t->wish.probe == PL_PROBE_NONE) {
        for (int i = 0; i < t->items; i++) {
            pl_target_item *item = &t->item[i];
            item->sensitivity = item->energy > 0 ? cost_of(t->source->model, item) / item->energy : 0;
        }
        return PL_OK;
    }
    prober p = { .t = t, .survey = survey, .way = way };
    double *loss = PL_ZNEW(t->arena, double, t->items);
    if (!loss) return PL_E_MEMORY;
    PL_TRY(pl_hash_file(t->wish.calib, &p.text));
    find_probe_errors(t, survey);
    pl_status code = t->wish.probe == PL_PROBE_TENSOR ? probe_tensors(&p, loss) : probe_layers(&p, loss);
    pl_probe_destroy(p.probe);
    pl_source_close(p.model);
    if (code == PL_OK) set_sensitivities(t, loss);
    else pl_cache_save(t->cache);               /* what was measured so far is not measured again */
    return code;
}

pl_status pl_target_verify(pl_target *t, const pl_sink *sink, const char *path)
{
    char name[PATH_MAX];
    pl_source *model = NULL, *written = NULL;
    pl_probe *probe = NULL;
    if (t->wish.probe == PL_PROBE_NONE) return PL_OK;
    if (!(sink->ops->flags & PL_SINK_FOLDER)) {
        PL_TRY(pl_sink_file_name(sink, path, 0, name));
        path = name;
    }
    pl_status code = pl_pool_create(t->threads, &t->pool);
    if (code == PL_OK) code = open_probe(t, &model, &probe);
    if (code == PL_OK) code = pl_wire_open(path, &(pl_open_options){ .how = PL_OPEN_MAP, .pre = t->wish.pre },
                                           &written);
    if (code == PL_OK) code = pl_probe_model(probe, written, &t->measured);
    pl_source_close(written);
    pl_probe_destroy(probe);
    pl_source_close(model);
    pl_pool_destroy(t->pool);
    t->pool = NULL;
    return code;
}
