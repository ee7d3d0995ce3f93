/* sink.h: where a packed model goes. A sink says which storage types it takes, gets the plan, then
 * byte ranges of parts; it commits, or leaves nothing under the name. */
#ifndef CORE_SINK_H
#define CORE_SINK_H

#include "core/outfile.h"
#include "core/plan.h"

typedef struct pl_sink pl_sink;

enum {                          /* flags */
    PL_SINK_ANY_ORDER = 1,      /* takes ranges as they come; else in plan order, rows in turn */
    PL_SINK_FOLDER = 2,         /* the output is a folder */
    PL_SINK_AS_STORED = 4,      /* its source is to be opened as PL_OPEN_STORED */
    PL_SINK_RESUMES = 8         /* takes any order, and all it writes goes into files of s->set: of these each range has
                                 * bytes of its own, and all other bytes are written by begin, the same each time */
};

typedef struct pl_sink_ops {
    const char *name, *extension;       /* "gguf", ".gguf" */
    const char *target_types;   /* names, between commas, of types that a size target chooses from; NULL: GGUF's */
    unsigned flags;
    size_t state_size;          /* bytes of s->state, zeroed before any call */
    /* The form in which this sink keeps what `wish` names, of a tensor like t: 4-bit floats as MLX lays them out
     * instead of GGUF's blocks, scales in the type of the weights. NULL: the wish as it is. */
    pl_type (*form)(const pl_sink *s, pl_type wish, const pl_tensor *t);
    /* Can this sink hold tensor t as `wish`? Sets out->type (wish, or a type the sink insists on, as
     * f32 for vectors in GGUF), rows, cols, order, and *name (from arena); PL_E_WISH says why not. */
    pl_status (*resolve)(pl_sink *s, const pl_model *model, const pl_tensor *t, pl_type wish,
                         pl_packed *out, const char **name, pl_arena *arena);
    /* Rows of such a matrix that a put has only together; divides its rows; 0: any rows. NULL: any, always. */
    int32_t (*band)(const pl_sink *s, const pl_packed *out);
    /* Bytes of the whole output, exactly; sets s->files. */
    pl_status (*size)(pl_sink *s, const pl_plan *plan, const pl_model *model, int64_t *bytes);
    /* Name of file i of s->files that begin(path) writes; NULL: one file, `path`. */
    pl_status (*file_name)(const pl_sink *s, const char *path, int i, char out[PATH_MAX]);
    /* Opens the output, its files in s->set; header and vocabulary are written here, the model may drop them after. */
    pl_status (*begin)(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model);
    /* Bytes of a part (by its id in the plan) at an offset in it. The same range again overwrites.
     * Re-entrant with ANY_ORDER. */
    pl_status (*put)(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len);
    /* Makes what was put durable and gives the output its name. */
    pl_status (*finish)(pl_sink *s);
    /* Releases; an output that was not finished disappears, unless the set keeps it. */
    void (*close)(pl_sink *s);
} pl_sink_ops;

struct pl_sink {
    const pl_sink_ops *ops;
    void *state;
    int64_t max_shard;          /* the caller's wish: bytes of one file of the output; 0: one file */
    bool symmetric;             /* the caller's wish: whole numbers without zero points, also where a format has them */
    int files;                  /* of the output: 1 until size() says otherwise */
    pl_outset set;              /* of the files; the caller's wishes (force) before begin */
    int32_t zstd;               /* the caller's wish: level at which formats that can compress do so; 0: not at all */
    const char *layout;         /* the caller's wish: for sinks with bands; NULL: none */
    int64_t written;            /* bytes of the output, where finish made it smaller than planned; 0: as planned */
    pl_digest input;            /* of what is read, from begin on */
    struct pl_pool *pool;       /* for work of the sink's own in finish; NULL: none */
};

pl_status pl_sink_create(const pl_sink_ops *ops, pl_sink **out);
void pl_sink_close(pl_sink *s);         /* accepts NULL */
/* Name of file i (from 0) of an output under `path`, after size(). */
pl_status pl_sink_file_name(const pl_sink *s, const char *path, int i, char out[PATH_MAX]);
/* For put: PL_E_WISH unless len bytes at offset lie within the `bytes` of a "part" with this number; -1: there is no
 * such part. */
pl_status pl_sink_within(const char *what, int id, int64_t bytes, int64_t offset, size_t len);
/* By name ("gguf"); NULL if there is none. */
const pl_sink_ops *pl_sink_find(const pl_sink_ops *const *sinks, const char *name);

#endif
