/* pack_write.c: packs as a sink. Ranges go to the places that they have in a pack without compression; digests of
 * frames are taken while their bytes are at hand. With compression what is there at the end is the work file of
 * another. */
#include <string.h>

#include "core/arrange.h"
#include "core/log.h"
#include "core/pool.h"
#include "core/sink.h"
#include "core/zst.h"
#include "formats/arch.h"
#include "formats/gguf_emit.h"
#include "formats/pack.h"
#include "formats/registry.h"
#include "formats/side.h"

/* Where a part goes. */
typedef struct place {
    const pl_pack_tensor *tensor;       /* NULL: nowhere */
    int part;
} place;

typedef struct pack_state {
    pl_arena *arena;
    pl_pack pack;
    const pl_plan *plan;
    place *part;                /* [parts] by the plan's ids */
    int parts;
    pl_outfile *file;
    pl_outset squeezed;         /* of the file that is made of it in the end */
    char *path, *text;          /* of the output; of the index */
    bool done;                  /* what was found to go on with is a whole pack already */
} pack_state;

static pl_status read_exactly(const pack_state *state, int64_t at, void *out, int64_t len)
{
    size_t got;
    PL_TRY(pl_outfile_read(state->file, at, out, (size_t)len, &got));
    return got == (size_t)len ? PL_OK : pl_fail(PL_E_IO, "'%s' lost bytes while it was written", state->path);
}

/* The tail of what has been written, zeros if there is none; *size: of the file. */
static pl_status read_tail(const pack_state *state, uint8_t tail[PL_PACK_TAIL], int64_t *size)
{
    memset(tail, 0, PL_PACK_TAIL);
    PL_TRY(pl_outfile_size(state->file, size));
    if (*size < PL_PACK_PAGE + PL_PACK_TAIL) return PL_OK;
    return read_exactly(state, *size - PL_PACK_TAIL, tail, PL_PACK_TAIL);
}

/* ---- before the data ---- */

static pl_type pack_form(const pl_sink *s, pl_type wish, const pl_tensor *t)
{
    return pl_type_scales_like(wish, t->type.element);
}

static pl_status pack_resolve(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                              const char **name, pl_arena *arena)
{
    const pl_arch *arch = pl_arch_find(model->arch);
    *name = arch ? pl_arch_name(arch, PL_NAMES_HF, t->id, arena) : NULL;
    if (!*name && arch && pl_arch_row_of(arch, t->id))      /* computed, or known to GGUF only */
        *name = pl_arch_name(arch, PL_NAMES_GGUF, t->id, arena);
    if (!*name) return pl_fail(PL_E_WISH, "there is no name for the tensor '%s' of a %s model", t->name, model->arch);
    *out = (pl_packed){ .type = t->flags & PL_TENSOR_MATRIX ? wish : pl_type_plain(PL_F32), .rows = t->rows,
                        .cols = t->cols };
    return PL_OK;
}

static int32_t pack_band(const pl_sink *s, const pl_packed *out)
{
    return s->layout ? pl_arrange_band(s->layout, out) : 0;
}

/* The whole layout, without bytes; the text of the index tells the rest of the size. */
static pl_status lay_out(const pl_sink *s, const pl_plan *plan, const pl_model *model, pl_arena *arena, pl_pack *pack,
                         char **text)
{
    int64_t head;
    *text = NULL;
    PL_TRY(pl_gguf_write_keys(plan, model, NULL, 0, &head));
    PL_TRY(pl_pack_lay_out(plan, model, s->layout, head, arena, pack));
    pack->zstd = s->zstd > 0;
    PL_TRY(pl_pack_text(pack, plan, model, s->input, text));
    pack->index_bytes = (int64_t)strlen(*text);
    if (pack->index_bytes > PL_MAX_JSON_BYTES)
        return pl_fail(PL_E_WISH, "an index of more than %d bytes", PL_MAX_JSON_BYTES);
    return PL_OK;
}

/* Where index, table and tail are, from where the frames end. */
static void place_index(pl_pack *pack, int64_t end)
{
    pack->index_at = (end + PL_PACK_PAGE - 1) / PL_PACK_PAGE * PL_PACK_PAGE;
    pack->table_at = (pack->index_at + pack->index_bytes + PL_PACK_ALIGN - 1) / PL_PACK_ALIGN * PL_PACK_ALIGN;
    pack->size = pack->table_at + pack->frames * PL_PACK_ENTRY + PL_PACK_TAIL;
}

static pl_status pack_size(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes)
{
    pl_pack pack;
    pl_arena *arena;
    char *text = NULL;
    PL_TRY(pl_arena_create(&arena));
    pl_status code = lay_out(s, plan, model, arena, &pack, &text);
    if (code == PL_OK) place_index(&pack, pack.index_at);
    *bytes = pack.size;
    pl_free(text);
    pl_arena_destroy(arena);
    return code;
}

/* Digests of files that go along are taken at the end, like those of whatever an earlier run wrote. */
static pl_status write_head(pack_state *state, const pl_plan *plan, const pl_model *model)
{
    uint8_t head[PL_PACK_HEAD];
    int64_t bytes;
    const pl_pack *pack = &state->pack;
    pl_pack_put_head(head);
    PL_TRY(pl_outfile_write(state->file, 0, head, sizeof head));
    PL_TRY(pl_gguf_write_keys(plan, model, state->file, pack->frame[pack->file[0].blob.first].at, &bytes));
    for (int i = 0; i < model->sides; i++) {
        const pl_pack_blob *to = &pack->file[i + 1].blob;
        if (to->bytes) PL_TRY(pl_side_copy(&model->side[i], state->file, pack->frame[to->first].at));
    }
    return PL_OK;
}

static pl_status index_parts(pack_state *state, const pl_plan *plan)
{
    state->parts = plan->parts;
    state->part = PL_ZNEW(state->arena, place, plan->parts);
    if (!state->part) return PL_E_MEMORY;
    for (int i = 0; i < state->pack.tensors; i++) {
        const pl_pack_tensor *t = &state->pack.tensor[i];
        for (int p = 0; p < t->shape.nparts; p++) state->part[plan->step[t->step].out.part[p].id] = (place){ t, p };
    }
    return PL_OK;
}

/* Index, table and tail, behind the frames. */
static pl_status write_end(pl_pack *pack, const char *text, pl_outfile *file, bool share)
{
    uint8_t tail[PL_PACK_TAIL], *table = pl_alloc(pl_max64(pack->frames, 1), PL_PACK_ENTRY);
    if (!table) return PL_E_MEMORY;
    pl_pack_put_table(pack->frame, pack->frames, table);
    pl_status code = pl_pack_put_tail(pack, text, table, tail);
    if (share) {                /* all have the same: none knows the others' frames */
        memcpy(tail, pl_pack_share_magic, sizeof pl_pack_share_magic);
        memset(tail + PL_PACK_TAIL - 32, 0, 32);
    }
    if (code == PL_OK) code = pl_outfile_write(file, pack->index_at, text, (size_t)pack->index_bytes);
    if (code == PL_OK) code = pl_outfile_write(file, pack->table_at, table, (size_t)pack->frames * PL_PACK_ENTRY);
    if (code == PL_OK) code = pl_outfile_write(file, pack->size - PL_PACK_TAIL, tail, sizeof tail);
    pl_free(table);
    return code;
}

/* An earlier run was killed when the compressed pack had its name but its journal was still there: it was taken back,
 * and is all that is left. */
static pl_status find_done(pack_state *state)
{
    uint8_t tail[PL_PACK_TAIL];
    int64_t size;
    PL_TRY(read_tail(state, tail, &size));
    state->done = !memcmp(tail, pl_pack_tail_magic, sizeof pl_pack_tail_magic);
    return PL_OK;
}

static pl_status pack_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    pack_state *state = s->state;
    if (s->set.parts && s->zstd)
        return pl_fail(PL_E_WISH, "shares of a pack cannot be compressed: --zstd takes the merged pack as its input");
    state->path = pl_strdup(path);
    if (!state->path) return PL_E_MEMORY;
    PL_TRY(pl_arena_create(&state->arena));
    PL_TRY(lay_out(s, plan, model, state->arena, &state->pack, &state->text));
    place_index(&state->pack, state->pack.index_at);
    state->plan = plan;
    PL_TRY(index_parts(state, plan));
    PL_TRY(pl_outset_open(&s->set, path, state->pack.size, &state->file));
    if (s->set.joined) return PL_OK;
    if (s->zstd && s->set.resume) PL_TRY(find_done(state));
    if (!state->done) PL_TRY(write_head(state, plan, model));
    return s->set.parts ? write_end(&state->pack, state->text, state->file, true) : PL_OK;
}

/* ---- data ---- */

/* Bytes at an offset of a blob, and the digests of the frames that lie whole in them. */
static pl_status write_bytes(pl_sink *s, const pl_pack_blob *to, int64_t offset, const uint8_t *bytes, int64_t len)
{
    pack_state *state = s->state;
    PL_TRY(pl_outfile_write(state->file, state->pack.frame[to->first].at + offset, bytes, (size_t)len));
    for (int64_t i = pl_ceil_div(offset, to->frame); i < pl_pack_frames_of(to); i++) {
        pl_pack_frame *f = &state->pack.frame[to->first + i];
        int64_t from = i * to->frame;
        if (from + f->content > offset + len) break;
        if (!s->zstd && !s->set.joined && !s->set.parts) PL_TRY(pl_pack_know(f, bytes + (from - offset)));
    }
    return PL_OK;
}

/* Rows `first` .. `first + count - 1` of a part with a layout, which are arranged among themselves as the whole is: of
 * each field some pieces, evenly spread. */
static pl_status write_pieces(pl_sink *s, const place *to, const pl_arrangement *rows, int64_t first, int64_t count,
                              const uint8_t *stored)
{
    const pl_arrangement *whole = to->tensor->layout[to->part];
    int64_t at = 0;                         /* of the field in the whole */
    for (int i = 0; i < whole->fields; i++) {
        int64_t pieces = whole->field[i].pieces, pitch = pl_arrangement_field(whole, i) / pieces;
        int64_t len = pl_arrangement_field(rows, i) / pieces, skip = len / count * first;
        for (int64_t k = 0; k < pieces; k++, stored += len)
            PL_TRY(write_bytes(s, &to->tensor->part[to->part], at + k * pitch + skip, stored, len));
        at += pieces * pitch;
    }
    return PL_OK;
}

/* Whole bands of rows. */
static pl_status put_arranged(pl_sink *s, const place *to, int64_t offset, const uint8_t *bytes, int64_t len)
{
    const pl_packed *shape = &to->tensor->shape;
    const pl_arrangement *whole = to->tensor->layout[to->part];
    int64_t row = shape->part[to->part].stride, first = offset / row, count = len / row;
    pl_packed rows;
    pl_arrangement own;
    PL_TRY(pl_packed_init(&rows, shape->type, count, shape->cols));
    PL_TRY(pl_arrange_part(whole->name, &rows, to->part, &own));
    uint8_t *stored = pl_alloc_aligned(len, 1);
    pl_status code = stored ? pl_arrangement_store(&own, bytes, stored) : PL_E_MEMORY;
    if (code == PL_OK && whole->unit < whole->bytes)        /* a unit is a few rows: they follow each other */
        code = write_bytes(s, &to->tensor->part[to->part], offset, stored, len);
    else if (code == PL_OK)
        code = write_pieces(s, to, &own, first, count, stored);
    pl_free(stored);
    return code;
}

static pl_status pack_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    const pack_state *state = s->state;
    const place *to = part->id >= 0 && part->id < state->parts ? &state->part[part->id] : &(place){ 0 };
    const pl_pack_blob *blob = to->tensor ? &to->tensor->part[to->part] : NULL;
    PL_TRY(pl_sink_within("part", part->id, blob ? blob->bytes : -1, offset, len));
    if (!len) return PL_OK;
    if (to->tensor->layout[to->part]) return put_arranged(s, to, offset, bytes, (int64_t)len);
    return write_bytes(s, blob, offset, bytes, (int64_t)len);
}

/* ---- the end ---- */

/* A buffer for each worker, and what it made of a frame. */
typedef struct bench {
    pack_state *state;
    int level;
    uint8_t *from, *to;         /* [workers][PL_PACK_FRAME] */
    int64_t first;              /* frame of index 0 */
} bench;

static pl_status bench_open(bench *b, pack_state *state, pl_pool *pool, int level)
{
    *b = (bench){ .state = state, .level = level };
    b->from = pl_alloc_aligned(pl_pool_workers(pool), PL_PACK_FRAME);
    b->to = level ? pl_alloc_aligned(pl_pool_workers(pool), PL_PACK_FRAME) : NULL;
    return b->from && (!level || b->to) ? PL_OK : PL_E_MEMORY;
}

static void bench_close(bench *b)
{
    pl_free(b->from);
    pl_free(b->to);
}

static pl_status know_frame(void *ctx, int64_t index, int worker)
{
    bench *b = ctx;
    pl_pack_frame *f = &b->state->pack.frame[index];
    uint8_t *bytes = b->from + (int64_t)worker * PL_PACK_FRAME;
    if (f->known) return PL_OK;
    PL_TRY(read_exactly(b->state, f->at, bytes, f->content));
    return pl_pack_know(f, bytes);
}

static pl_status finish_plain(pack_state *state, pl_pool *pool)
{
    bench b;
    pl_status code = bench_open(&b, state, pool, 0);
    if (code == PL_OK) code = pl_pool_for(pool, state->pack.frames, know_frame, &b);
    bench_close(&b);
    return code == PL_OK ? write_end(&state->pack, state->text, state->file, false) : code;
}

/* A frame of the work file and what becomes of it: kept compressed if that saves at least 3 %. */
static pl_status squeeze_frame(void *ctx, int64_t index, int worker)
{
    bench *b = ctx;
    const pl_pack *pack = &b->state->pack;
    const pl_pack_file *last = &pack->file[pack->files - 1];
    int64_t number = b->first + index, files = last->blob.first + pl_pack_frames_of(&last->blob);
    pl_pack_frame *f = &pack->frame[number];
    uint8_t *from = b->from + index * PL_PACK_FRAME, *to = b->to + index * PL_PACK_FRAME;
    size_t room = f->content - (size_t)pl_ceil_div((int64_t)f->content * 3, 100), got = 0;
    PL_TRY(read_exactly(b->state, f->at, from, f->content));
    if (number >= files && room) PL_TRY(pl_zstd_pack(from, f->content, b->level, to, room, &got));
    f->zstd = got > 0;
    f->stored = got ? (uint32_t)got : f->content;
    return pl_pack_know(f, got ? to : from);
}

/* All frames, from their places in the work file to those in `out`: as many at a time as there are workers, in
 * order. */
static pl_status squeeze(pl_sink *s, bench *b, pl_outfile *out)
{
    pl_pack *pack = &b->state->pack;
    int64_t at = PL_PACK_PAGE;
    for (int64_t count; b->first < pack->frames; b->first += count) {
        count = pl_min64(pl_pool_workers(s->pool), pack->frames - b->first);
        PL_TRY(pl_pool_for(s->pool, count, squeeze_frame, b));
        for (int64_t i = 0; i < count; i++) {
            pl_pack_frame *f = &pack->frame[b->first + i];
            at = (at + f->align - 1) / f->align * f->align;
            f->at = at;
            at += f->stored;
            PL_TRY(pl_outfile_write(out, f->at, (f->zstd ? b->to : b->from) + i * PL_PACK_FRAME, f->stored));
        }
        pl_progress("compress", NULL, "frames", b->first + count, pack->frames);
    }
    place_index(pack, at);
    return PL_OK;
}

/* The pack that is wanted, from the one without compression, whose journal says that it is whole. */
static pl_status finish_squeezed(pl_sink *s, pl_outfile **out)
{
    pack_state *state = s->state;
    uint8_t head[PL_PACK_HEAD];
    bench b;
    state->squeezed = (pl_outset){ .force = true, .second = true };
    PL_TRY(pl_outset_open(&state->squeezed, state->path, 0, out));
    pl_pack_put_head(head);
    PL_TRY(pl_outfile_write(*out, 0, head, sizeof head));
    pl_status code = bench_open(&b, state, s->pool, s->zstd);
    if (code == PL_OK) code = squeeze(s, &b, *out);
    bench_close(&b);
    return code == PL_OK ? write_end(&state->pack, state->text, *out, false) : code;
}

static pl_status pack_finish(pl_sink *s)
{
    pack_state *state = s->state;
    pl_outfile *file = state->file, *squeezed = NULL;
    pl_status code = PL_OK;
    bool whole = s->set.joined || s->set.parts || state->done;
    if (!whole) code = s->zstd ? finish_squeezed(s, &squeezed) : finish_plain(state, s->pool);
    if (code != PL_OK) {
        pl_outfile_abandon(squeezed);
        return code;
    }
    if (!squeezed) {
        state->file = NULL;
        return pl_outfile_commit(file);
    }
    PL_TRY(pl_outfile_commit(squeezed));
    s->written = state->pack.size;
    atomic_store(&s->set.keep, false);      /* the work file is of no use any more: close removes it */
    return PL_OK;
}

static void pack_close(pl_sink *s)
{
    pack_state *state = s->state;
    pl_outfile_abandon(state->file);
    pl_arena_destroy(state->arena);
    pl_free(state->path);
    pl_free(state->text);
}

/* ---- merged shares ---- */

static pl_status seal(pack_state *state, const uint8_t tail[PL_PACK_TAIL], int64_t size, pl_pool *pool)
{
    pl_pack *pack = &state->pack;
    if (!pl_pack_take_tail(tail, size, pack))
        return pl_fail(PL_E_INPUT, "%s: the shares' ends do not fit a file of %lld bytes", state->path,
                       (long long)size);
    state->text = pl_alloc(pack->index_bytes + 1, 1);
    pack->frame = PL_NEW(state->arena, pl_pack_frame, pack->frames);
    uint8_t *table = pl_arena_alloc(state->arena, pack->frames * PL_PACK_ENTRY, 1);
    if (!state->text || !pack->frame || !table) return PL_E_MEMORY;
    PL_TRY(read_exactly(state, pack->index_at, state->text, pack->index_bytes));
    PL_TRY(read_exactly(state, pack->table_at, table, pack->frames * PL_PACK_ENTRY));
    PL_TRY(pl_pack_take_table(table, state->path, pack));
    for (int64_t i = 0; i < pack->frames; i++) pack->frame[i].known = false;
    return finish_plain(state, pool);
}

pl_status pl_pack_seal(pl_outfile *file, const char *path)
{
    pack_state state = { .file = file, .path = pl_strdup(path) };
    uint8_t tail[PL_PACK_TAIL];
    int64_t size;
    pl_pool *pool = NULL;
    pl_status code = state.path ? read_tail(&state, tail, &size) : PL_E_MEMORY;
    bool share = code == PL_OK && !memcmp(tail, pl_pack_share_magic, sizeof pl_pack_share_magic);
    if (share) code = pl_arena_create(&state.arena);
    if (share && code == PL_OK) code = pl_pool_create(0, &pool);
    if (share && code == PL_OK) code = seal(&state, tail, size, pool);
    pl_pool_destroy(pool);
    pl_arena_destroy(state.arena);
    pl_free(state.text);
    pl_free(state.path);
    return code;
}

const pl_sink_ops pl_sink_pack = {
    .name = "pack",
    .extension = ".pl",
    .flags = PL_SINK_ANY_ORDER | PL_SINK_RESUMES,
    .state_size = sizeof(pack_state),
    .form = pack_form,
    .resolve = pack_resolve,
    .band = pack_band,
    .size = pack_size,
    .begin = pack_begin,
    .put = pack_put,
    .finish = pack_finish,
    .close = pack_close,
};
