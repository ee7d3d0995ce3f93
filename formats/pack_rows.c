/* pack_rows.c: rows of packs read into windows. */
#include <string.h>

#include "core/cpu.h"
#include "formats/pack_read.h"

pl_status pl_pack_rows_open(pl_pack_state *state)
{
    enum { EACH = 4, MOST = 256, TURNED = 4 };      /* a matrix has up to four parts */
    PL_TRY(pl_keep_create((int)pl_min64(EACH * (int64_t)pl_cpu_count(), MOST), &state->frames));
    return pl_keep_create(TURNED, &state->turned);
}

/* What is to be made, of a blob: a frame, or all of it in the order of its type. */
typedef struct wish {
    const pl_pack_state *state;
    const pl_pack_blob *blob;
    const pl_arrangement *layout;
    int64_t frame;
    pl_arena *scratch;
} wish;

static pl_status make_frame(void *ctx, uint8_t *content)
{
    const wish *w = ctx;
    const pl_pack *pack = &w->state->pack;
    return pl_pack_read(pack, w->state->file, w->blob, (w->frame - w->blob->first) * w->blob->frame,
                        pack->frame[w->frame].content, content, w->scratch);
}

static pl_status make_turned(void *ctx, uint8_t *content)
{
    const wish *w = ctx;
    uint8_t *stored = pl_alloc_aligned(w->blob->bytes, 1);
    if (!stored) return PL_E_MEMORY;
    pl_status code = pl_pack_read(&w->state->pack, w->state->file, w->blob, 0, w->blob->bytes, stored, w->scratch);
    if (code == PL_OK) code = pl_arrangement_restore(w->layout, stored, content);
    pl_free(stored);
    return code;
}

/* Whole frames as they come, pieces of others by way of one that is kept. */
static pl_status read_frames(pl_pack_state *state, const pl_pack_blob *b, int64_t from, int64_t len, uint8_t *out,
                             pl_arena *scratch)
{
    while (len > 0) {
        int64_t frame = b->first + from / b->frame, skip = from % b->frame, content = state->pack.frame[frame].content;
        int64_t n = pl_min64(len, content - skip);
        if (n == content) {
            PL_TRY(pl_pack_read(&state->pack, state->file, b, from, n, out, scratch));
        } else {
            wish w = { .state = state, .blob = b, .frame = frame, .scratch = scratch };
            const uint8_t *kept;
            PL_TRY(pl_keep_use(state->frames, frame, content, make_frame, &w, &kept));
            memcpy(out, kept + skip, (size_t)n);
            pl_keep_done(state->frames, frame);
        }
        out += n;
        from += n;
        len -= n;
    }
    return PL_OK;
}

pl_status pl_pack_rows_read(pl_pack_state *state, const pl_pack_tensor *t, int part, int64_t from, int64_t len,
                            uint8_t *out, pl_arena *scratch)
{
    const pl_pack_blob *b = &t->part[part];
    if (!t->layout[part]) return read_frames(state, b, from, len, out, scratch);
    wish w = { .state = state, .blob = b, .layout = t->layout[part], .scratch = scratch };
    const uint8_t *kept;
    PL_TRY(pl_keep_use(state->turned, b->first, b->bytes, make_turned, &w, &kept));
    memcpy(out, kept + from, (size_t)len);
    pl_keep_done(state->turned, b->first);
    return PL_OK;
}
