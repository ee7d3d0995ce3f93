/* pack_read.h: what the files of the source of packs share. */
#ifndef FORMATS_PACK_READ_H
#define FORMATS_PACK_READ_H

#include "core/keep.h"
#include "core/source.h"
#include "formats/pack.h"

typedef struct pl_pack_state {
    pl_file *file;
    pl_pack pack;
    const pl_pack_tensor **tensor;      /* [tensors] of the model */
    /* Rows that are read into windows: frames of which some rows were wanted (those that follow mostly are next), and
     * parts with a layout, which are turned as a whole. */
    pl_keep *frames, *turned;
    /* PL_OPEN_MAP: where frames' content is that is not in the map as it should be [frames]; else NULL. */
    const uint8_t *map;
    uint8_t **expanded;
    /* PL_OPEN_STREAM: where a part's content is in its segment, at the number of its first frame; which segment has
     * what */
    pl_resident *resident;
    int64_t *content_at;                /* [frames] */
    int *first_tensor;                  /* [segments + 1] */
    int input, output;                  /* segments; -1: none */
    int *layer, *expert;                /* [layers], [layers][experts] */
} pl_pack_state;

/* ---- pack_rows.c: windows ---- */

pl_status pl_pack_rows_open(pl_pack_state *state);
/* Bytes from .. from + len - 1 of a part, as its type has them. */
pl_status pl_pack_rows_read(pl_pack_state *state, const pl_pack_tensor *t, int part, int64_t from, int64_t len,
                            uint8_t *out, pl_arena *scratch);

/* ---- pack_engine.c: all in memory, or segments that come and go ---- */

/* Checks every frame; what is not as it should be in the map becomes memory. */
pl_status pl_pack_load(pl_source *s);
pl_status pl_pack_stream(pl_source *s, int64_t budget);
pl_status pl_pack_need(pl_source *s, int layer, int expert);
void pl_pack_done(pl_source *s, int layer, int expert);
pl_resident_report pl_pack_streamed(pl_source *s);

#endif
