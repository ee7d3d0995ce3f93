/* pack_engine.c: packs for the engine: all in memory, or segments that come and go. */
#include "core/pool.h"
#include "formats/pack_read.h"

/* ---- all of it ---- */

/* A part with a layout, and the memory that it becomes. */
typedef struct turning {
    const pl_pack_blob *blob;
    const pl_arrangement *layout;
    uint8_t *to;
} turning;

typedef struct loading {
    const pl_pack_state *state;
    turning *turning;           /* [turnings] */
    int64_t turnings;
} loading;

static void keep_place(const pl_pack_state *state, const pl_pack_blob *b, uint8_t *to)
{
    for (int64_t i = 0; i < pl_pack_frames_of(b); i++) state->expanded[b->first + i] = to + i * b->frame;
}

/* Memory for what is compressed or in another order; without a list of the latter it only counts them. */
static pl_status make_room(const pl_pack_state *state, pl_arena *arena, loading *l)
{
    const pl_pack *pack = &state->pack;
    int64_t at;
    l->turnings = 0;
    for (int i = 0; i < pack->tensors; i++) {
        const pl_pack_tensor *t = &pack->tensor[i];
        for (int p = 0; p < t->shape.nparts; p++) {
            const pl_pack_blob *b = &t->part[p];
            l->turnings += t->layout[p] != NULL;
            if (!l->turning || (!t->layout[p] && pl_pack_plain(pack, b, &at))) continue;
            uint8_t *room = pl_arena_alloc(arena, b->bytes, 1);
            if (!room) return PL_E_MEMORY;
            if (t->layout[p]) l->turning[l->turnings - 1] = (turning){ b, t->layout[p], room };
            else keep_place(state, b, room);
        }
    }
    return PL_OK;
}

static pl_status load_frame(void *ctx, int64_t index, int worker)
{
    const loading *l = ctx;
    const pl_pack_state *state = l->state;
    const pl_pack *pack = &state->pack;
    const uint8_t *stored = state->map + pack->frame[index].at;
    PL_TRY(pl_pack_check(pack, state->file, index, false, stored));
    uint8_t *to = state->expanded[index];
    return to ? pl_pack_expand(pack, state->file, index, stored, to) : PL_OK;
}

static pl_status turn(void *ctx, int64_t index, int worker)
{
    const loading *l = ctx;
    const pl_pack_state *state = l->state;
    const turning *t = &l->turning[index];
    const uint8_t *stored = state->map + state->pack.frame[t->blob->first].at;
    keep_place(state, t->blob, t->to);
    return pl_pack_take(&state->pack, state->file, t->blob, t->layout, stored, t->to);
}

pl_status pl_pack_load(pl_source *s)
{
    pl_pack_state *state = s->state;
    loading l = { .state = state };
    pl_pool *pool;
    PL_TRY(pl_file_map(state->file, &state->map));
    state->expanded = PL_ZNEW(s->arena, uint8_t *, state->pack.frames);
    if (!state->expanded) return PL_E_MEMORY;
    PL_TRY(make_room(state, s->arena, &l));
    l.turning = PL_NEW(s->arena, turning, l.turnings);
    if (!l.turning) return PL_E_MEMORY;
    PL_TRY(make_room(state, s->arena, &l));
    PL_TRY(pl_pool_create(0, &pool));
    pl_status code = pl_pool_for(pool, state->pack.frames, load_frame, &l);
    if (code == PL_OK) code = pl_pool_for(pool, l.turnings, turn, &l);
    pl_pool_destroy(pool);
    return code == PL_OK ? pl_map_check() : code;
}

/* ---- segments ---- */

/* Checked and expanded by a thread of the reader. */
static pl_status segment_arrived(void *ctx, int segment, const uint8_t *stored, uint8_t *content)
{
    const pl_pack_state *state = ctx;
    const pl_pack *pack = &state->pack;
    const pl_pack_segment *s = &pack->segment[segment];
    int64_t begin = pack->frame[s->first].at;
    for (int64_t i = s->first; i < s->first + s->frames; i++)
        PL_TRY(pl_pack_check(pack, state->file, i, false, stored + (pack->frame[i].at - begin)));
    for (int i = state->first_tensor[segment]; i < state->first_tensor[segment + 1]; i++) {
        const pl_pack_tensor *t = &pack->tensor[i];
        for (int p = 0; p < t->shape.nparts; p++) {
            const pl_pack_blob *b = &t->part[p];
            if (!b->bytes) continue;
            PL_TRY(pl_pack_take(pack, state->file, b, t->layout[p], stored + (pack->frame[b->first].at - begin),
                                content + state->content_at[b->first]));
        }
    }
    return PL_OK;
}

/* Content of each segment as it would be without compression: blobs at multiples of 64. */
static void place_content(pl_pack_state *state, pl_segment *segment)
{
    const pl_pack *pack = &state->pack;
    for (int i = 0; i < pack->tensors; i++) {
        const pl_pack_tensor *t = &pack->tensor[i];
        int64_t *end = &segment[t->segment].content;
        for (int p = 0; p < t->shape.nparts; p++) {
            *end = pl_ceil_div(*end, PL_PACK_ALIGN) * PL_PACK_ALIGN;
            if (t->part[p].bytes) state->content_at[t->part[p].first] = *end;
            *end += t->part[p].bytes;
        }
        state->first_tensor[t->segment + 1] = i + 1;
    }
    for (int i = 0; i < pack->segments; i++) {
        const pl_pack_segment *s = &pack->segment[i];
        const pl_pack_frame *first = &pack->frame[s->first], *last = first + s->frames - 1;
        state->first_tensor[i + 1] = (int)pl_max64(state->first_tensor[i + 1], state->first_tensor[i]);
        if (!segment[i].content) continue;
        segment[i].at = first->at;
        segment[i].stored = last->at + last->stored - first->at;
        /* Frames as they are lie as in memory; what is changed may not look so by chance. */
        bool changed = pack->zstd || pack->arranged;
        if (changed && segment[i].stored == segment[i].content) segment[i].content += PL_PACK_ALIGN;
    }
}

/* Which segment has the weights of what; PL_E_WISH if they are scattered. */
static pl_status find_segments(pl_source *s)
{
    pl_pack_state *state = s->state;
    const pl_hparams *hp = &s->model->hp;
    int experts = hp->experts > 0 ? hp->experts : 0;
    state->layer = PL_NEW(s->arena, int, hp->layers);
    state->expert = PL_NEW(s->arena, int, (int64_t)hp->layers * experts);
    if (!state->layer || !state->expert) return PL_E_MEMORY;
    state->input = state->output = -1;
    for (int i = 0; i < hp->layers; i++) state->layer[i] = -1;
    for (int64_t i = 0; i < (int64_t)hp->layers * experts; i++) state->expert[i] = -1;
    for (int i = 0; i < s->model->tensors; i++) {
        pl_id id = s->model->tensor[i].id;
        int role = id.role & ~PL_BIAS, segment = state->tensor[i]->segment;
        int *of = role == PL_OUTPUT || role == PL_OUTPUT_NORM ? &state->output : &state->input;
        if (id.layer >= 0) of = id.expert < 0 ? &state->layer[id.layer] :
            &state->expert[id.layer * experts + id.expert];
        if (*of >= 0 && *of != segment)
            return pl_fail(PL_E_WISH, "%s: cannot be streamed: '%s' lies in another segment than its neighbours",
                           s->path, s->model->tensor[i].name);
        *of = segment;
    }
    return PL_OK;
}

pl_status pl_pack_stream(pl_source *s, int64_t budget)
{
    pl_pack_state *state = s->state;
    const pl_pack *pack = &state->pack;
    int layers = s->model->hp.layers, orders = 0;
    pl_segment *segment = PL_ZNEW(s->arena, pl_segment, pack->segments);
    int *order = PL_NEW(s->arena, int, layers + 3);
    state->content_at = PL_NEW(s->arena, int64_t, pack->frames);
    state->first_tensor = PL_ZNEW(s->arena, int, pack->segments + 1);
    if (!segment || !order || !state->content_at || !state->first_tensor) return PL_E_MEMORY;
    PL_TRY(find_segments(s));
    place_content(state, segment);
    if (state->input >= 0) order[orders++] = state->input;
    for (int i = 0; i < layers; i++)
        if (state->layer[i] >= 0) order[orders++] = state->layer[i];
    if (state->output >= 0) order[orders++] = state->output;
    if (s->model->hp.tied && state->input >= 0) order[orders++] = state->input;
    const pl_resident_plan plan = { .path = s->file[0], .segment = segment, .segments = pack->segments, .order = order,
                                    .orders = orders, .budget = budget, .arrived = segment_arrived, .ctx = state };
    s->streams = true;
    return pl_resident_open(&plan, &state->resident);
}

/* Up to two segments: the output of a tied model is the token table. */
static int needed(const pl_source *s, int layer, int expert, int segment[2])
{
    const pl_pack_state *state = s->state;
    const pl_hparams *hp = &s->model->hp;
    int n = 0, one = layer < 0 ? state->input : layer == hp->layers ? state->output
                   : expert < 0 ? state->layer[layer] : state->expert[layer * hp->experts + expert];
    if (one >= 0) segment[n++] = one;
    if (layer == hp->layers && hp->tied && state->input >= 0) segment[n++] = state->input;
    return n;
}

pl_status pl_pack_need(pl_source *s, int layer, int expert)
{
    const pl_pack_state *state = s->state;
    int segment[2], n = needed(s, layer, expert, segment);
    for (int i = 0; i < n; i++) PL_TRY(pl_resident_need(state->resident, segment[i]));
    return PL_OK;
}

void pl_pack_done(pl_source *s, int layer, int expert)
{
    const pl_pack_state *state = s->state;
    int segment[2], n = needed(s, layer, expert, segment);
    for (int i = 0; i < n; i++) pl_resident_done(state->resident, segment[i]);
}

pl_resident_report pl_pack_streamed(pl_source *s)
{
    const pl_pack_state *state = s->state;
    return pl_resident_told(state->resident);
}
