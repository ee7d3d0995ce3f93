/* st_write.h: writing a set of safetensors files: where each tensor lies is known before the first byte of data. */
#ifndef FORMATS_ST_WRITE_H
#define FORMATS_ST_WRITE_H

#include "core/fs.h"
#include "core/mem.h"

enum { PL_ST_OUT_DIMS = 3 };

/* A tensor to be written. */
typedef struct pl_st_out {
    const char *name;
    const char *dtype;          /* the format's name of a type of whole bytes: "BF16", "U32", "I64" */
    int dims;
    int64_t shape[PL_ST_OUT_DIMS];
    /* set by pl_st_lay_out: */
    int64_t bytes;
    int file;                   /* index into the layout's files */
    int64_t at;                 /* where its data begins, from the beginning of that file */
} pl_st_out;

typedef struct pl_st_out_file {
    int first, tensors;         /* which of the layout's tensors it holds */
    int64_t header;             /* bytes before the data: length, JSON and spaces, a multiple of 8 */
    int64_t bytes;              /* of the whole file */
} pl_st_out_file;

typedef struct pl_st_layout {
    const char *format;         /* "mlx", "pt": metadata of every file */
    pl_st_out *tensor;          /* in the order of the files */
    int tensors;
    pl_st_out_file *file;       /* at least one */
    int files;
    int64_t data_bytes;         /* of all tensors: the index' total_size */
    const char *index;          /* text of pl_st_index_name for several files; NULL for one, which needs none */
} pl_st_layout;

/* Fills files in the order given, with at most max_shard bytes each (0: one file); a tensor too large for that gets a
 * file of its own. Inside a file wide types lie in front of narrow ones, so that every value is aligned. Tensors must
 * have different names; the list is kept, not copied. PL_E_WISH for
 * sizes that overflow, an unknown type, headers beyond the format's limit or too many files. Memory from arena. */
pl_status pl_st_lay_out(pl_st_out *tensor, int tensors, int64_t max_shard, const char *format, pl_arena *arena,
                        pl_st_layout *out);
/* "model.safetensors", of several "model-00002-of-00003.safetensors"; i from 0. */
void pl_st_out_name(const pl_st_layout *l, int i, char out[64]);
extern const char pl_st_index_name[];
/* The header of file i, into an output that was opened for it. */
pl_status pl_st_write_header(const pl_st_layout *l, int i, pl_outfile *file);

#endif
