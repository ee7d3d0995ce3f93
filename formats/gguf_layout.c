/* gguf_layout.c: what of a plan goes where: experts into stacks, tensors into the files of a set. */
#include "formats/gguf_layout.h"

#include <string.h>

/* ---- stacks ---- */

static pl_status check_step(const pl_step *step, const pl_plan *plan)
{
    const pl_part *part = &step->out.part[0];
    if (step->out.type.scheme == &pl_scheme_plain && step->out.nparts == 1 &&
        step->out.type.element->gguf_id >= 0 && part->id >= 0 && part->id < plan->parts)
        return PL_OK;
    return pl_fail(PL_E_WISH, "GGUF cannot hold '%s' as it was planned", step->name);
}

/* One more expert of the stack that the last tensor is. */
static pl_status add_expert(pl_gguf_tensor *t, const pl_step *step)
{
    if (step->out.type.element != t->dtype)
        return pl_fail(PL_E_WISH, "GGUF keeps all experts of '%s' in one tensor of one type, some are "
                       "to be %s, some %s", t->name, t->dtype->name, step->out.type.element->name);
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
    out->tensor = PL_NEW(arena, pl_gguf_tensor, plan->steps);
    out->shard = PL_ZNEW(arena, pl_gguf_shard, 1);
    if (!out->tensor || !out->shard) return PL_E_MEMORY;
    for (int i = 0; i < plan->steps; i++) {
        const pl_step *step = &plan->step[i];
        PL_TRY(check_step(step, plan));
        /* In the plan's order, that of identities, the experts of a role and layer are neighbours. */
        pl_gguf_tensor *last = i ? &out->tensor[out->tensors - 1] : NULL;
        if (last && !strcmp(last->name, step->name)) PL_TRY(add_expert(last, step));
        else out->tensor[out->tensors++] = tensor_of(plan, i);
    }
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
