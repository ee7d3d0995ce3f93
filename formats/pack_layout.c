/* pack_layout.c: what of a plan goes where in a pack: segments in the order of a forward pass, blobs in them,
 * frames. */
#include <stdlib.h>
#include <string.h>

#include "core/arrange.h"
#include "formats/arch.h"
#include "formats/pack.h"

/* A step and where it stands in the file. */
typedef struct entry { int stage, layer, expert, step; } entry;

enum { INPUT, LAYER, OUTPUT };

static entry entry_of(const pl_plan *plan, int step)
{
    pl_id id = plan->step[step].id;
    int role = id.role & ~PL_BIAS;
    int stage = id.layer >= 0 ? LAYER : role == PL_OUTPUT_NORM || role == PL_OUTPUT ? OUTPUT : INPUT;
    return (entry){ stage, id.layer, id.expert, step };
}

static int by_place(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int before[] = { x->stage - y->stage, x->layer - y->layer, x->expert - y->expert, x->step - y->step };
    for (int i = 0; i < PL_COUNT(before); i++)
        if (before[i]) return before[i];
    return 0;
}

static bool same_segment(const entry *a, const entry *b)
{
    return a->stage == b->stage && a->layer == b->layer && a->expert == b->expert;
}

static const char *segment_name(const entry *e, pl_arena *arena)
{
    if (e->stage != LAYER) return e->stage == INPUT ? "input" : "output";
    if (e->expert < 0) return pl_arena_format(arena, "layer %d", e->layer);
    return pl_arena_format(arena, "layer %d expert %d", e->layer, e->expert);
}

/* Bytes of a part in one frame: those of the rows that a work item has, so that a frame is mostly put in one piece. */
static int64_t frame_bytes(const pl_step *step, const pl_part *part)
{
    static const pl_plan usual = { .range_elements = PL_RANGE_ELEMENTS };
    int64_t whole = pl_min64(part->bytes, PL_PACK_FRAME);
    if (!part->stride || part->stride > PL_PACK_FRAME || step->out.granule == 0) return whole;
    int64_t granules = pl_ceil_div(pl_plan_range_rows(&usual, step), step->out.granule);
    return pl_min64(whole, pl_min64(granules, PL_PACK_FRAME / part->stride) * part->stride);
}

/* The work of laying out: the next free byte and frame. Without frames it only counts. */
typedef struct cursor {
    pl_pack *pack;
    int64_t at;
    const char *layout;
    pl_arrangements known;
    pl_arena *arena;
} cursor;

static pl_status align(cursor *c, int64_t to)
{
    return pl_align_ok(c->at, to, &c->at) ? PL_OK : pl_fail(PL_E_WISH, "the output is larger than 2^63 bytes");
}

/* The next blob: its frames follow each other. */
static pl_status add_blob(cursor *c, int64_t bytes, int64_t frame, pl_pack_blob *blob)
{
    pl_pack *pack = c->pack;
    const pl_pack_segment *segment = &pack->segment[pack->segments - 1];
    *blob = (pl_pack_blob){ bytes, pl_max64(frame, 1), pack->frames };
    PL_TRY(align(c, PL_PACK_ALIGN));
    if (pl_pack_frames_of(blob) > PL_PACK_MAX_FRAMES - pack->frames)
        return pl_fail(PL_E_WISH, "a pack of more than %d frames", PL_PACK_MAX_FRAMES);
    for (int64_t done = 0; done < bytes; done += frame) {
        int64_t content = pl_min64(frame, bytes - done);
        if (pack->frame)
            pack->frame[pack->frames] = (pl_pack_frame){
                .at = c->at + done, .stored = (uint32_t)content, .content = (uint32_t)content,
                .align = pack->frames == segment->first ? PL_PACK_PAGE : done == 0 ? PL_PACK_ALIGN : 1,
            };
        pack->frames++;
    }
    return pl_add_ok(c->at, bytes, &c->at) ? PL_OK : align(c, INT64_MAX);
}

static pl_status begin_segment(cursor *c, const char *name)
{
    if (!name) return PL_E_MEMORY;
    PL_TRY(align(c, PL_PACK_PAGE));
    c->pack->segment[c->pack->segments++] = (pl_pack_segment){ .name = name, .first = c->pack->frames };
    return PL_OK;
}

static void end_segment(cursor *c)
{
    pl_pack_segment *s = &c->pack->segment[c->pack->segments - 1];
    s->frames = c->pack->frames - s->first;
}

static pl_status lay_head(cursor *c, const pl_model *model, int64_t head)
{
    pl_pack *pack = c->pack;
    PL_TRY(begin_segment(c, "head"));
    pack->files = 0;
    for (int i = -1; i < model->sides; i++) {
        pl_pack_file *file = &pack->file[pack->files++];
        file->name = i < 0 ? "model.gguf" : model->side[i].name;
        PL_TRY(add_blob(c, i < 0 ? head : model->side[i].bytes, PL_PACK_FRAME, &file->blob));
    }
    end_segment(c);
    return PL_OK;
}

static pl_status lay_tensor(cursor *c, const pl_plan *plan, int index, const char *name)
{
    pl_pack *pack = c->pack;
    const pl_step *step = &plan->step[index];
    if (!name) return PL_E_MEMORY;
    pl_pack_tensor *t = &pack->tensor[pack->tensors++];
    *t = (pl_pack_tensor){ .name = name, .id = step->id, .segment = pack->segments - 1, .shape = step->out,
                           .step = index };
    for (int p = 0; p < step->out.nparts; p++) {
        PL_TRY(add_blob(c, step->out.part[p].bytes, frame_bytes(step, &step->out.part[p]), &t->part[p]));
        if (!step->band) continue;
        pl_arrangement a;
        PL_TRY(pl_arrange_part(c->layout, &step->out, p, &a));
        if (!a.fields) continue;
        PL_TRY(pl_arrangement_keep(&c->known, &a, c->arena, &t->layout[p]));
        pack->arranged = true;
    }
    return PL_OK;
}

static pl_status lay_all(cursor *c, const pl_plan *plan, const pl_model *model, int64_t head, const entry *order)
{
    pl_pack *pack = c->pack;
    pack->segments = pack->tensors = 0;
    pack->frames = 0;
    c->at = PL_PACK_PAGE;
    PL_TRY(lay_head(c, model, head));
    for (int i = 0; i < plan->steps; i++) {
        if (i == 0 || !same_segment(&order[i], &order[i - 1]))
            PL_TRY(begin_segment(c, segment_name(&order[i], c->arena)));
        PL_TRY(lay_tensor(c, plan, order[i].step, plan->step[order[i].step].name));
        end_segment(c);
    }
    PL_TRY(align(c, PL_PACK_PAGE));
    pack->index_at = c->at;
    return PL_OK;
}

pl_status pl_pack_lay_out(const pl_plan *plan, const pl_model *model, const char *layout, int64_t head, pl_arena *arena,
                          pl_pack *out)
{
    *out = (pl_pack){ 0 };
    if (model->sides >= PL_PACK_MAX_FILES) return pl_fail(PL_E_WISH, "a pack of more than %d files", PL_PACK_MAX_FILES);
    entry *order = PL_NEW(arena, entry, plan->steps);
    out->segment = PL_NEW(arena, pl_pack_segment, plan->steps + 1);
    out->file = PL_NEW(arena, pl_pack_file, model->sides + 1);
    out->tensor = PL_NEW(arena, pl_pack_tensor, plan->steps);
    if (!order || !out->segment || !out->file || !out->tensor) return PL_E_MEMORY;
    for (int i = 0; i < plan->steps; i++) order[i] = entry_of(plan, i);
    qsort(order, (size_t)plan->steps, sizeof *order, by_place);
    cursor c = { .pack = out, .layout = layout, .arena = arena };
    PL_TRY(lay_all(&c, plan, model, head, order));
    out->frame = PL_NEW(arena, pl_pack_frame, out->frames);
    if (!out->frame) return PL_E_MEMORY;
    return lay_all(&c, plan, model, head, order);
}
