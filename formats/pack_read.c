/* pack_read.c: packs as a source of models. Every frame is checked by XXH3 whenever it is read; for the engine all of
 * them are when it opens the file, and compressed ones become memory. */
#include <stdatomic.h>
#include <string.h>

#include "core/cpu.h"
#include "core/pool.h"
#include "core/source.h"
#include "formats/gguf_keys.h"
#include "formats/pack.h"
#include "formats/registry.h"

/* A frame that was read for some of its rows: those that follow are mostly wanted next. One thread at a time. */
typedef struct slot {
    atomic_bool busy;
    atomic_llong frame;         /* -1: none */
    atomic_llong used;          /* when, by the source's clock */
    uint8_t *content;
    int64_t room;
} slot;

typedef struct pack_state {
    slot *slot;                 /* [slots] some for each processor: a matrix has up to four parts */
    int slots;
    atomic_llong clock;
    pl_file *file;
    pl_pack pack;
    const pl_pack_tensor **tensor;      /* [tensors] of the model */
    /* PL_OPEN_STREAM: where a frame's content is in its segment; which segment has what */
    pl_resident *resident;
    int64_t *content_at;                /* [frames] */
    int input, output;                  /* segments; -1: none */
    int *layer, *expert;                /* [layers], [layers][experts] */
    const uint8_t *map;                 /* NULL: rows are read into windows */
    uint8_t **expanded;                 /* with a map, [frames]: where the content of a compressed blob's frame is */
} pack_state;

static bool pack_probe(const char *path)
{
    pl_file *file;
    if (pl_path_is_dir(path) || pl_file_open(path, &file) != PL_OK) return false;
    bool mine = pl_pack_is(file);
    pl_file_close(file);
    return mine;
}

/* ---- the model ---- */

static pl_status check_file(const pack_state *state, const pl_pack_file *f)
{
    uint8_t *bytes = pl_alloc_aligned(PL_PACK_FRAME, 1);
    pl_status code = bytes ? PL_OK : PL_E_MEMORY;
    for (int64_t i = 0; i < pl_pack_frames_of(&f->blob) && code == PL_OK; i++)
        code = pl_pack_read_stored(&state->pack, state->file, f->blob.first + i, false, bytes);
    pl_free(bytes);
    return code;
}

/* Keys and vocabulary: a GGUF file without tensors. */
static pl_status read_head(pl_source *s, const char *pre, const char *architecture, pl_gguf *g, const pl_arch **arch)
{
    pack_state *state = s->state;
    const pl_pack_file *head = &state->pack.file[0];
    int64_t at;
    if (strcmp(head->name, "model.gguf")) return pl_fail(PL_E_INPUT, "%s: its first file is not model.gguf", s->path);
    PL_TRY(check_file(state, head));
    pl_pack_plain(&state->pack, &head->blob, &at);
    PL_TRY(pl_gguf_scan_inside(state->file, at, head->blob.bytes, s->arena, g));
    if (g->infos) return pl_fail(PL_E_INPUT, "%s: its model.gguf has tensors", s->path);
    PL_TRY(pl_gguf_model_read(g, pre, s->arena, s->vocab_arena, s->model, arch));
    if (!strcmp(architecture, s->model->arch)) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: the index says %.60s, model.gguf %.60s", s->path, architecture, s->model->arch);
}

static pl_status describe(const pl_source *s, const pl_arch *arch, const pl_pack_tensor *from, pl_tensor *t)
{
    const pl_arch_tensor *row = pl_arch_row_of(arch, from->id);
    if (!row)
        return pl_fail(PL_E_INPUT, "%s: tensor '%s' has no place in this %s model", s->path, from->name, arch->name);
    *t = (pl_tensor){ .id = from->id, .name = from->name, .rows = from->shape.rows, .cols = from->shape.cols,
                      .type = from->shape.type,
                      .flags = from->shape.cols > 1 && !row->keep ? PL_TENSOR_MATRIX : 0 };
    return PL_OK;
}

/* For a Hugging Face folder: no tensors that are computed there; and what such a folder has in another form than the
 * model uses it cannot be given back exactly. */
static pl_status as_stored(const pl_source *s, const pl_arch *arch, pl_id id, bool *keep)
{
    const pl_arch_tensor *row = pl_arch_row_of(arch, id);
    *keep = !row || row->hf;
    if (!row || (row->offset == 0 && !row->transposed)) return PL_OK;
    return pl_fail(PL_E_WISH,
                   "%s: a folder of a %s model has %s in another form than a pack; make it from the original "
                   "checkpoint, or a GGUF file from this one", s->path, arch->name, pl_role_name(id.role));
}

static pl_status read_tensors(pl_source *s, const pl_arch *arch, bool stored)
{
    pack_state *state = s->state;
    const pl_pack *pack = &state->pack;
    pl_model *model = s->model;
    model->tensor = PL_NEW(s->arena, pl_tensor, pack->tensors);
    state->tensor = PL_NEW(s->arena, const pl_pack_tensor *, pack->tensors);
    if (!model->tensor || !state->tensor) return PL_E_MEMORY;
    int most = 0;
    for (int i = 0; i < pack->tensors; i++) {
        state->tensor[i] = &pack->tensor[i];
        PL_TRY(describe(s, arch, &pack->tensor[i], &model->tensor[i]));
        if (pack->tensor[i].shape.rows * pack->tensor[i].shape.cols >
            pack->tensor[most].shape.rows * pack->tensor[most].shape.cols) most = i;
    }
    model->tensors = pack->tensors;
    const char *type = pl_type_name(&model->tensor[most].type);
    model->file_type = pl_arena_text(s->arena, type, strlen(type));
    if (!model->file_type) return PL_E_MEMORY;
    pl_status code = pl_model_index(model, s->arena);
    if (code != PL_OK) return pl_fail_prefix(code, "%s: ", s->path);
    PL_TRY(pl_gguf_keys_settle(model, s->path));
    PL_TRY(pl_arch_check(arch, model, s->path));
    if (!stored) return PL_OK;
    model->tensors = 0;
    for (int i = 0; i < pack->tensors; i++) {
        bool keep;
        PL_TRY(as_stored(s, arch, pack->tensor[i].id, &keep));
        if (!keep) continue;
        state->tensor[model->tensors] = &pack->tensor[i];
        PL_TRY(describe(s, arch, &pack->tensor[i], &model->tensor[model->tensors++]));
    }
    return pl_model_index(model, s->arena);
}

/* The files that lay beside a Hugging Face checkpoint. */
static pl_status list_sides(pl_source *s)
{
    const pack_state *state = s->state;
    const pl_pack *pack = &state->pack;
    pl_side *side = PL_NEW(s->arena, pl_side, pack->files);
    if (!side) return PL_E_MEMORY;
    for (int i = 1; i < pack->files; i++) {
        pl_side *to = &side[s->model->sides++];
        *to = (pl_side){ .name = pack->file[i].name, .path = s->file[0], .bytes = pack->file[i].blob.bytes };
        PL_TRY(check_file(state, &pack->file[i]));
        pl_pack_plain(pack, &pack->file[i].blob, &to->at);
    }
    s->model->side = side;
    return PL_OK;
}

/* ---- for the engine ---- */

static pl_status expand_room(pl_source *s)
{
    pack_state *state = s->state;
    const pl_pack *pack = &state->pack;
    int64_t at;
    state->expanded = PL_ZNEW(s->arena, uint8_t *, pack->frames);
    if (!state->expanded) return PL_E_MEMORY;
    for (int i = 0; i < pack->tensors; i++) {
        for (int p = 0; p < pack->tensor[i].shape.nparts; p++) {
            const pl_pack_blob *b = &pack->tensor[i].part[p];
            if (pl_pack_plain(pack, b, &at)) continue;
            uint8_t *room = pl_arena_alloc(s->arena, b->bytes, 1);
            if (!room) return PL_E_MEMORY;
            for (int64_t f = 0; f < pl_pack_frames_of(b); f++) state->expanded[b->first + f] = room + f * b->frame;
        }
    }
    return PL_OK;
}

static pl_status load_frame(void *ctx, int64_t index, int worker)
{
    const pl_source *s = ctx;
    const pack_state *state = s->state;
    const pl_pack *pack = &state->pack;
    const pl_pack_frame *f = &pack->frame[index];
    PL_TRY(pl_pack_check(pack, state->file, index, false, state->map + f->at));
    uint8_t *to = state->expanded[index];
    return to ? pl_pack_expand(pack, state->file, index, state->map + f->at, to) : PL_OK;
}

static pl_status load(pl_source *s)
{
    pack_state *state = s->state;
    pl_pool *pool;
    PL_TRY(pl_file_map(state->file, &state->map));
    PL_TRY(expand_room(s));
    PL_TRY(pl_pool_create(0, &pool));
    pl_status code = pl_pool_for(pool, state->pack.frames, load_frame, s);
    pl_pool_destroy(pool);
    return code == PL_OK ? pl_map_check() : code;
}

/* ---- for the engine, by segments ---- */

/* Checked and expanded by a thread of the reader. */
static pl_status segment_arrived(void *ctx, int segment, const uint8_t *stored, uint8_t *content)
{
    const pack_state *state = ctx;
    const pl_pack *pack = &state->pack;
    const pl_pack_segment *s = &pack->segment[segment];
    for (int64_t i = s->first; i < s->first + s->frames; i++) {
        const pl_pack_frame *f = &pack->frame[i];
        const uint8_t *from = stored + (f->at - pack->frame[s->first].at);
        uint8_t *to = content + state->content_at[i];
        PL_TRY(pl_pack_check(pack, state->file, i, false, from));
        PL_TRY(pl_pack_expand(pack, state->file, i, from, to));
    }
    return PL_OK;
}

/* Content of each segment as it would be without compression: blobs at multiples of 64. */
static void place_content(pack_state *state, pl_segment *segment)
{
    const pl_pack *pack = &state->pack;
    int64_t tensor = 0, part = 0, next = 0;     /* next: frame that begins the next blob */
    for (int i = 0; i < pack->segments; i++) {
        const pl_pack_segment *s = &pack->segment[i];
        int64_t at = 0;
        bool zstd = false;
        for (int64_t f = s->first; f < s->first + s->frames; f++) {
            while (tensor < pack->tensors && next < f) {        /* of blobs without frames there are none */
                if (part == pack->tensor[tensor].shape.nparts) { tensor++; part = 0; continue; }
                next = pack->tensor[tensor].part[part++].first;
            }
            bool begins = f == next || f == s->first;
            if (begins) at = pl_ceil_div(at, PL_PACK_ALIGN) * PL_PACK_ALIGN;
            state->content_at[f] = at;
            at += pack->frame[f].content;
            zstd = zstd || pack->frame[f].zstd;
        }
        const pl_pack_frame *first = &pack->frame[s->first], *last = first + pl_max64(s->frames - 1, 0);
        if (!s->frames) continue;
        segment[i] = (pl_segment){ first->at, last->at + last->stored - first->at, at };
        /* Frames as they are lie as in memory; else `stored` may not look like `content` by chance. */
        if (zstd && segment[i].stored == at) segment[i].content += PL_PACK_ALIGN;
    }
}

/* Which segment has the weights of what; PL_E_WISH if they are scattered. */
static pl_status find_segments(pl_source *s)
{
    pack_state *state = s->state;
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
                           s->path,
                           s->model->tensor[i].name);
        *of = segment;
    }
    return PL_OK;
}

static pl_status open_stream(pl_source *s, int64_t budget)
{
    pack_state *state = s->state;
    const pl_pack *pack = &state->pack;
    int layers = s->model->hp.layers, orders = 0;
    pl_segment *segment = PL_ZNEW(s->arena, pl_segment, pack->segments);
    int *order = PL_NEW(s->arena, int, layers + 3);
    state->content_at = PL_NEW(s->arena, int64_t, pack->frames);
    if (!segment || !order || !state->content_at) return PL_E_MEMORY;
    PL_TRY(find_segments(s));
    place_content(state, segment);
    segment[0] = (pl_segment){ 0 };                 /* files are no weights */
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
    const pack_state *state = s->state;
    const pl_hparams *hp = &s->model->hp;
    int n = 0, one = layer < 0 ? state->input : layer == hp->layers ? state->output
                   : expert < 0 ? state->layer[layer] : state->expert[layer * hp->experts + expert];
    if (one >= 0) segment[n++] = one;
    if (layer == hp->layers && hp->tied && state->input >= 0) segment[n++] = state->input;
    return n;
}

static pl_status pack_need(pl_source *s, int layer, int expert)
{
    const pack_state *state = s->state;
    int segment[2], n = state->resident ? needed(s, layer, expert, segment) : 0;
    for (int i = 0; i < n; i++) PL_TRY(pl_resident_need(state->resident, segment[i]));
    return PL_OK;
}

static void pack_done(pl_source *s, int layer, int expert)
{
    const pack_state *state = s->state;
    int segment[2], n = state->resident ? needed(s, layer, expert, segment) : 0;
    for (int i = 0; i < n; i++) pl_resident_done(state->resident, segment[i]);
}

static pl_resident_report pack_streamed(pl_source *s)
{
    const pack_state *state = s->state;
    return pl_resident_told(state->resident);
}

/* ---- frames that are wanted in pieces ---- */

static pl_status make_slots(pack_state *state)
{
    enum { EACH = 4, MOST = 256 };
    int slots = (int)pl_min64(EACH * (int64_t)pl_cpu_count(), MOST);
    state->slot = pl_alloc(slots, sizeof *state->slot);
    if (!state->slot) return PL_E_MEMORY;
    state->slots = slots;
    for (int i = 0; i < slots; i++) atomic_init(&state->slot[i].frame, -1);
    return PL_OK;
}

static bool take_slot(slot *s) { return !atomic_exchange(&s->busy, true); }

/* The slot that has the frame, else the one that has not been used for longest; of those that nobody holds. It is the
 * caller's then. NULL: there is none. */
static slot *find_slot(pack_state *state, int64_t frame)
{
    slot *oldest = NULL;
    for (int i = 0; i < state->slots; i++) {
        slot *s = &state->slot[i];
        if (atomic_load(&s->frame) == frame && take_slot(s)) {
            if (atomic_load(&s->frame) == frame) return s;
            atomic_store(&s->busy, false);
        }
        if (!atomic_load(&s->busy) && (!oldest || atomic_load(&s->used) < atomic_load(&oldest->used))) oldest = s;
    }
    return oldest && take_slot(oldest) ? oldest : NULL;
}

static pl_status fill_slot(const pack_state *state, const pl_pack_blob *b, int64_t frame, slot *s, pl_arena *scratch)
{
    int64_t from = (frame - b->first) * b->frame, content = state->pack.frame[frame].content;
    if (atomic_load(&s->frame) == frame) return PL_OK;
    atomic_store(&s->frame, -1);
    if (s->room < content) {
        pl_free(s->content);
        s->content = pl_alloc_aligned(content, 1);
        s->room = s->content ? content : 0;
        if (!s->content) return PL_E_MEMORY;
    }
    PL_TRY(pl_pack_read(&state->pack, state->file, b, from, content, s->content, scratch));
    atomic_store(&s->frame, frame);
    return PL_OK;
}

/* Bytes of a blob: whole frames as they come, pieces of others by way of a slot. */
static pl_status read_bytes(pack_state *state, const pl_pack_blob *b, int64_t from, int64_t len, uint8_t *out,
                            pl_arena *scratch)
{
    while (len > 0) {
        int64_t frame = b->first + from / b->frame, skip = from % b->frame, content = state->pack.frame[frame].content;
        int64_t n = pl_min64(len, content - skip);
        slot *s = n < content ? find_slot(state, frame) : NULL;
        pl_status code = s ? fill_slot(state, b, frame, s, scratch)
                           : pl_pack_read(&state->pack, state->file, b, from, n, out, scratch);
        if (s && code == PL_OK) memcpy(out, s->content + skip, (size_t)n);
        if (s) {
            atomic_store(&s->used, atomic_fetch_add(&state->clock, 1) + 1);
            atomic_store(&s->busy, false);
        }
        PL_TRY(code);
        out += n;
        from += n;
        len -= n;
    }
    return PL_OK;
}

/* ---- the source ---- */

static pl_status pack_open(pl_source *s, const char *path, const pl_open_options *options)
{
    pack_state *state = s->state;
    const pl_arch *arch;
    const char *architecture, *name;
    pl_gguf g;
    s->model = PL_ZNEW(s->arena, pl_model, 1);
    s->file = PL_NEW(s->arena, const char *, 1);
    if (!s->model || !s->file) return PL_E_MEMORY;
    PL_TRY(pl_file_open(path, &state->file));
    s->file[s->files++] = pl_file_path(state->file);
    PL_TRY(pl_pack_open(state->file, s->arena, &state->pack, &architecture, &name));
    PL_TRY(read_head(s, options->pre, architecture, &g, &arch));
    s->model->name = name;
    PL_TRY(read_tensors(s, arch, options->how == PL_OPEN_STORED));
    PL_TRY(pl_gguf_carry_over(&g, s->arena, s->model));
    PL_TRY(list_sides(s));
    PL_TRY(make_slots(state));
    if (options->how == PL_OPEN_STREAM) return open_stream(s, options->resident);
    return options->how == PL_OPEN_MAP ? load(s) : PL_OK;
}

static void pack_close(pl_source *s)
{
    pack_state *state = s->state;
    pl_resident_close(state->resident);
    for (int i = 0; i < state->slots; i++) pl_free(state->slot[i].content);
    pl_free(state->slot);
    pl_file_close(state->file);
}

/* Bytes from .. from+len-1 of a part: in the map, in memory, or read into scratch. */
static pl_status part_bytes(pack_state *state, const pl_pack_blob *b, int64_t from, int64_t len, const uint8_t **out,
                            pl_arena *scratch)
{
    if (state->map && len) {
        const uint8_t *expanded = state->expanded[b->first];
        *out = (expanded ? expanded : state->map + state->pack.frame[b->first].at) + from;
        return PL_OK;
    }
    uint8_t *bytes = pl_arena_alloc(scratch, len, 1);
    if (!bytes) return PL_E_MEMORY;
    *out = bytes;
    return read_bytes(state, b, from, len, bytes, scratch);
}

static pl_status read_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out, bool streamed,
                             pl_arena *scratch)
{
    pack_state *state = s->state;
    const pl_pack_tensor *t = state->tensor[tensor];
    PL_TRY(pl_packed_rows(&t->shape, first, count, out));
    for (int p = 0; p < out->nparts; p++) {
        pl_part *part = &out->part[p];
        int64_t from = part->stride ? first / pl_max64(1, t->shape.granule) * part->stride : 0;
        if (streamed) part->ptr = pl_resident_at(state->resident,
                                                 t->segment) + state->content_at[t->part[p].first] + from;
        else PL_TRY(part_bytes(state, &t->part[p], from, part->bytes, &part->ptr, scratch));
    }
    return PL_OK;
}

static pl_status pack_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out, pl_arena *scratch)
{
    const pack_state *state = s->state;
    return read_packed(s, tensor, first, count, out, state->resident != NULL, scratch);
}

static pl_status pack_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out, pl_arena *scratch)
{
    const pack_state *state = s->state;
    const pl_packed *shape = &state->tensor[tensor]->shape;
    int64_t granule = shape->granule ? shape->granule : shape->rows, from = first / granule * granule;
    int64_t end = pl_min64(shape->rows, pl_ceil_div(first + count, granule) * granule);
    pl_packed rows;
    pl_arena_mark mark = pl_arena_save(scratch);
    pl_status code = read_packed(s, tensor, from, end - from, &rows, false, scratch);
    if (code == PL_OK) code = pl_packed_decode(&rows, first - from, count, out, scratch);
    pl_arena_restore(scratch, mark);
    return code;
}

static void pack_advise(pl_source *s, int tensor, int64_t first, int64_t count)
{
    const pack_state *state = s->state;
    const pl_pack_tensor *t = state->tensor[tensor];
    for (int p = 0; p < t->shape.nparts; p++) {
        const pl_part *part = &t->shape.part[p];
        const pl_pack_blob *b = &t->part[p];
        int64_t granule = pl_max64(1, t->shape.granule);
        if (!part->stride || !b->bytes) continue;
        int64_t from = first / granule * part->stride, to = pl_ceil_div(first + count, granule) * part->stride - 1;
        const pl_pack_frame *a = &state->pack.frame[b->first + pl_min64(from, b->bytes - 1) / b->frame];
        const pl_pack_frame *z = &state->pack.frame[b->first + pl_min64(to, b->bytes - 1) / b->frame];
        pl_file_advise(state->file, a->at, z->at + z->stored - a->at);
    }
}

static const char *pack_file_of(const pl_source *s, int tensor) { return s->file[0]; }

/* SHA-256 of every frame, and zeros between them: no byte of the file is without a digest. */
static pl_status pack_verify(pl_source *s, pl_arena *scratch)
{
    const pack_state *state = s->state;
    return pl_pack_verify(&state->pack, state->file, scratch);
}

const pl_source_ops pl_source_pack = {
    .name = "pack",
    .state_size = sizeof(pack_state),
    .probe = pack_probe,
    .open = pack_open,
    .close = pack_close,
    .rows = pack_rows,
    .packed = pack_packed,
    .advise = pack_advise,
    .need = pack_need,
    .done = pack_done,
    .streamed = pack_streamed,
    .file_of = pack_file_of,
    .verify = pack_verify,
};
