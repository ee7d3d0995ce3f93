/* gguf_layout.c: what of a plan goes where: experts into stacks, tensors into the files of a set. */
#include "formats/gguf_layout.h"

#include <string.h>

/* ---- factors ---- */

bool pl_gguf_holds(const pl_type *type)
{
    pl_type factored = pl_type_scaled(&pl_dtypes[PL_NVFP4], &pl_dtypes[PL_F32], 0, 0);
    return (type->scheme == &pl_scheme_plain && type->element->gguf_id >= 0) || pl_type_equal(type, &factored);
}

/* llama.cpp reads factors for every architecture, but only some graphs hand those of the feed-forward on, and those put
 * them behind the bias. */
bool pl_gguf_takes_factor(const pl_model *model, pl_id id)
{
    static const char *const ffn[] = { "llama", "qwen3", "qwen3moe" };
    switch (id.role) {
    case PL_ATTN_QKV: case PL_ATTN_Q: case PL_ATTN_K: case PL_ATTN_V: case PL_ATTN_O: case PL_OUTPUT: return true;
    case PL_FFN_GATE: case PL_FFN_UP: case PL_FFN_DOWN: break;
    default: return false;
    }
    if (pl_model_find(model, pl_id_make(id.role + PL_BIAS, id.layer, id.expert)) >= 0) return false;
    for (int i = 0; i < PL_COUNT(ffn); i++)
        if (!strcmp(model->arch, ffn[i])) return true;
    return false;
}

/* ---- stacks ---- */

static pl_status check_step(const pl_step *step, const pl_plan *plan)
{
    bool good = pl_gguf_holds(&step->out.type);
    for (int i = 0; i < step->out.nparts; i++)
        good = good && step->out.part[i].id >= 0 && step->out.part[i].id < plan->parts;
    return good ? PL_OK : pl_fail(PL_E_WISH, "GGUF cannot hold '%s' as it was planned", step->name);
}

/* One more expert of the stack that the last tensor is. */
static pl_status add_expert(pl_gguf_tensor *t, const pl_step *first, const pl_step *step)
{
    if (!pl_type_equal(&step->out.type, &first->out.type))
        return pl_fail(PL_E_WISH, "GGUF keeps all experts of '%s' in one tensor of one type, some are "
                       "to be %s, some %s", t->name, pl_type_name(&first->out.type), pl_type_name(&step->out.type));
    if (step->out.rows != t->rows || step->out.cols != t->cols || step->id.expert != t->experts)
        return pl_fail(PL_E_WISH, "GGUF cannot stack expert %d of '%s'", (int)step->id.expert, t->name);
    t->experts++;
    return PL_OK;
}

static pl_gguf_tensor tensor_of(const pl_plan *plan, int index)
{
    const pl_step *step = &plan->step[index];
    return (pl_gguf_tensor){ .name = step->name, .dtype = step->out.type.element,
                             .rows = step->out.rows, .cols = step->out.cols, .experts = 1,
                             .first = index, .step_bytes = step->out.part[0].bytes };
}

/* The factors of a tensor's matrices: NAME.scale beside NAME.weight. */
static pl_status factors_of(const pl_gguf_tensor *weights, const pl_plan *plan, pl_arena *arena, pl_gguf_tensor *out)
{
    const pl_part *part = &plan->step[weights->first].out.part[1];
    int len = (int)strlen(weights->name) - (int)strlen(".weight");
    *out = (pl_gguf_tensor){ .name = pl_arena_format(arena, "%.*s.scale", len, weights->name), .dtype = part->dtype,
                             .rows = 1, .cols = 1, .experts = weights->experts, .first = weights->first,
                             .part = 1, .step_bytes = part->bytes };
    return out->name ? PL_OK : PL_E_MEMORY;
}

static pl_status too_large(void)
{
    return pl_fail(PL_E_WISH, "the output would be larger than any file");
}

/* Sizes and places of a file's tensors. Headers come to this, so the data leaves room for them. */
static pl_status place(pl_gguf_layout *l, pl_gguf_shard *shard)
{
    shard->data = 0;
    for (int i = 0; i < shard->tensors; i++) {
        pl_gguf_tensor *t = &l->tensor[shard->first + i];
        t->at = shard->data;
        if (!pl_add_ok(shard->data, t->bytes, &shard->data) ||
            !pl_align_ok(shard->data, PL_GGUF_ALIGNMENT, &shard->data) || shard->data > INT64_MAX / 2)
            return too_large();
    }
    return PL_OK;
}

pl_status pl_gguf_lay_out(const pl_plan *plan, const pl_model *model, pl_arena *arena,
                          pl_gguf_layout *out)
{
    *out = (pl_gguf_layout){ .plan = plan, .model = model, .shards = 1 };
    out->tensor = PL_NEW(arena, pl_gguf_tensor, 2 * plan->steps);
    out->shard = PL_ZNEW(arena, pl_gguf_shard, 1);
    if (!out->tensor || !out->shard) return PL_E_MEMORY;
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        PL_TRY(check_step(step, plan));
        /* In the plan's order, that of identities, the experts of a role and layer are neighbours. */
        pl_gguf_tensor *last = i ? &out->tensor[out->tensors - 1] : NULL;
        if (last && !strcmp(last->name, step->name)) PL_TRY(add_expert(last, &plan->step[last->first], step));
        else out->tensor[out->tensors++] = tensor_of(plan, i);
    }
    for (int i = 0, weights = out->tensors; i < weights; i++)       /* factors behind all weights */
        if (plan->step[out->tensor[i].first].out.nparts > 1)
            PL_TRY(factors_of(&out->tensor[i], plan, arena, &out->tensor[out->tensors++]));
    for (int i = 0; i < out->tensors; i++) {
        pl_gguf_tensor *t = &out->tensor[i];
        if (t->experts > 1 && t->experts != model->hp.experts)
            return pl_fail(PL_E_WISH, "GGUF cannot hold %d of %d experts of '%s'", t->experts,
                           (int)model->hp.experts, t->name);
        if (!pl_mul_ok(t->step_bytes, t->experts, &t->bytes)) return too_large();
    }
    out->shard[0].tensors = out->tensors;
    return place(out, &out->shard[0]);
}

/* ---- files ---- */

/* Bytes of a tensor's entry in the header: name, dimensions, type, offset. */
static int64_t info_bytes(const pl_gguf_tensor *t)
{
    return 8 + (int64_t)strlen(t->name) + 4 + 8 * pl_gguf_dims(t) + 4 + 8;
}

pl_status pl_gguf_cut(pl_gguf_layout *l, int64_t limit, int64_t first, int64_t more, pl_arena *arena)
{
    l->shard = PL_ZNEW(arena, pl_gguf_shard, l->tensors + 1);
    if (!l->shard) return PL_E_MEMORY;
    l->shards = 1;
    pl_gguf_shard *now = &l->shard[0];
    int64_t header = first, data = 0;
    for (int i = 0; i < l->tensors; i++) {
        const pl_gguf_tensor *t = &l->tensor[i];
        int64_t info = info_bytes(t), bytes = pl_gguf_padded(t->bytes);
        bool fits = pl_gguf_padded(header + info) + data + bytes <= limit;
        if (!fits && (now->tensors || l->shards == 1)) {
            now = &l->shard[l->shards++];
            now->first = i;
            header = more;
            data = 0;
        }
        now->tensors++;
        header += info;
        data += bytes;
    }
    if (l->shards > PL_MAX_OUTFILES)
        return pl_fail(PL_E_WISH, "files of %lld bytes would be %d, at most %d can be written together",
                       (long long)limit, l->shards, PL_MAX_OUTFILES);
    for (int i = 0; i < l->shards; i++) PL_TRY(place(l, &l->shard[i]));
    return PL_OK;
}
