/* pack.h: planish's own container, as docs/pack-format.md defines it: what its files share. */
#ifndef FORMATS_PACK_H
#define FORMATS_PACK_H

#include "core/fs.h"
#include "core/layout_fields.h"
#include "core/plan.h"
#include "core/sha.h"

enum {
    PL_PACK_VERSION = 1,
    PL_PACK_HEAD = 64, PL_PACK_TAIL = 96,       /* bytes at the beginning, at the end */
    PL_PACK_ENTRY = 64,                         /* of a frame in the table */
    PL_PACK_PAGE = 4096, PL_PACK_ALIGN = 64,    /* segments and the index; blobs and the table */
    PL_PACK_FRAME = 4 << 20,                    /* content of a frame, at most */
    PL_PACK_MAX_FILES = 64,
    PL_PACK_MAX_FRAMES = 1 << 27
};
extern const uint8_t pl_pack_magic[8], pl_pack_tail_magic[8], pl_pack_share_magic[8];

typedef struct pl_pack_frame {
    int64_t at;
    uint32_t stored, content;   /* bytes */
    bool zstd;
    bool known;                 /* of a writer: the digests are there; */
    uint16_t align;             /* and what its offset is a multiple of */
    uint64_t check;             /* XXH3-64 and SHA-256 of the stored bytes */
    pl_sha256 sha;
} pl_pack_frame;

/* Content in consecutive frames: `frame` bytes of it in each but the last. */
typedef struct pl_pack_blob { int64_t bytes, frame, first; } pl_pack_blob;

static inline int64_t pl_pack_frames_of(const pl_pack_blob *b) { return b->bytes ? pl_ceil_div(b->bytes, b->frame) :
                                                                 0; }

typedef struct pl_pack_segment { const char *name; int64_t first, frames; } pl_pack_segment;
typedef struct pl_pack_file { const char *name; pl_pack_blob blob; } pl_pack_file;

typedef struct pl_pack_tensor {
    const char *name;
    pl_id id;
    int segment;
    pl_packed shape;            /* type, rows, cols and parts, without bytes */
    const pl_arrangement *layout[PL_MAX_PARTS];     /* NULL: as its type has it */
    int step;                   /* of a writer's plan */
    pl_pack_blob part[PL_MAX_PARTS];
} pl_pack_tensor;

typedef struct pl_pack {
    pl_pack_segment *segment;
    pl_pack_file *file;         /* the first one: model.gguf */
    pl_pack_tensor *tensor;     /* in the order of segments */
    pl_pack_frame *frame;
    int segments, files, tensors;
    int64_t frames;
    bool zstd;                  /* frames may be compressed */
    bool arranged;              /* parts may have layouts of their own */
    int64_t index_at, index_bytes, table_at, size;
    pl_sha256 sha;              /* of a file that was read: the one in its tail */
} pl_pack;

/* ---- pack_layout.c: of a plan ---- */

/* Where everything goes if nothing is compressed. `layout`: of the steps with bands; `head`: bytes of model.gguf.
 * Memory from arena. */
pl_status pl_pack_lay_out(const pl_plan *plan, const pl_model *model, const char *layout, int64_t head, pl_arena *arena,
                          pl_pack *out);

/* ---- pack_text.c: the index' text ---- */

/* Freed with pl_free. */
pl_status pl_pack_text(const pl_pack *pack, const pl_plan *plan, const pl_model *model, pl_digest input, char **text);

/* ---- pack_index.c: from bytes to structures, everything checked ---- */

/* The tail, the index and the table of an open file. Memory from arena. */
pl_status pl_pack_open(pl_file *file, pl_arena *arena, pl_pack *out, const char **architecture, const char **name);
/* Is it such a file, whole or damaged? */
pl_status pl_pack_is(pl_file *file, bool *is);

/* ---- pack_frames.c ---- */

/* The table's bytes [frames][PL_PACK_ENTRY] and back; pl_pack_take_table checks order, sizes and places. */
void pl_pack_put_table(const pl_pack_frame *frame, int64_t frames, uint8_t *out);
pl_status pl_pack_take_table(const uint8_t *bytes, const char *path, pl_pack *pack);
/* The places that a tail tells, of a file of so many bytes. False: they cannot be. */
bool pl_pack_take_tail(const uint8_t tail[PL_PACK_TAIL], int64_t size, pl_pack *pack);
/* The tail of a pack whose index and table are these. */
pl_status pl_pack_put_tail(pl_pack *pack, const char *index, const uint8_t *table, uint8_t tail[PL_PACK_TAIL]);
void pl_pack_put_head(uint8_t head[PL_PACK_HEAD]);
/* Digests of a frame from its stored bytes. */
pl_status pl_pack_know(pl_pack_frame *frame, const void *stored);
/* Bytes `from` .. `from + len - 1` of a blob, checked by XXH3, expanded. PL_E_INPUT names the segment. `scratch` holds
 * frames that are not wanted whole. */
pl_status pl_pack_read(const pl_pack *pack, pl_file *file, const pl_pack_blob *blob, int64_t from, int64_t len,
                       void *out,
                       pl_arena *scratch);
/* Are these the stored bytes of a frame, by XXH3 and, if wanted, SHA-256? */
pl_status pl_pack_check(const pl_pack *pack, const pl_file *file, int64_t frame, bool sha, const void *stored);
/* The content of a frame from its stored bytes, which have been checked. out: [frame->content], or `stored` itself. */
pl_status pl_pack_expand(const pl_pack *pack, const pl_file *file, int64_t frame, const void *stored, void *out);
/* A part as its type has it from its stored frames, which have been checked; the first of them at `stored`, the others
 * as far behind it as in the file. layout NULL: its own. out: [blob->bytes]. */
pl_status pl_pack_take(const pl_pack *pack, const pl_file *file, const pl_pack_blob *blob,
                       const pl_arrangement *layout, const uint8_t *stored, uint8_t *out);
/* One frame as stored, checked so. out: [frame->stored]. */
pl_status pl_pack_read_stored(const pl_pack *pack, pl_file *file, int64_t frame, bool sha, void *out);
/* The SHA-256 of every frame, and that all is zero which belongs to no part of the file. */
pl_status pl_pack_verify(const pl_pack *pack, pl_file *file, pl_arena *scratch);
/* Name of the segment that a frame is in. */
const char *pl_pack_segment_of(const pl_pack *pack, int64_t frame);
/* Is all of a blob stored as it is? Then it is one piece of the file, from *at on. */
bool pl_pack_plain(const pl_pack *pack, const pl_pack_blob *blob, int64_t *at);

#endif
