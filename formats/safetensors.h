/* safetensors.h: the tensors of one safetensors file, or of a set of shards with its index. */
#ifndef FORMATS_SAFETENSORS_H
#define FORMATS_SAFETENSORS_H

#include "core/fs.h"
#include "core/mem.h"

typedef struct pl_st_tensor {
    const char *name;
    const char *dtype;          /* one of the format's names: "BF16" */
    int32_t file;               /* index into the set's files */
    int32_t dims;
    const int64_t *shape;       /* [dims] */
    int64_t offset, bytes;      /* in the file; checked against its real size */
} pl_st_tensor;

typedef struct pl_st_set {
    pl_file **file;             /* [files] all open; in order of their names */
    int files;
    pl_st_tensor *tensor;       /* [tensors] in order of their names, none twice */
    int tensors;
} pl_st_set;

/* Both check headers completely and read no data; memory from arena. PL_E_INPUT names the file, the
 * tensor, what was expected and what was found. `out` is to be closed in every case. */

/* One file. */
pl_status pl_st_open_file(const char *path, pl_arena *arena, pl_st_set *out);
/* The files that weight_map of an index names, which lie in `folder`. A tensor the index does not
 * list and a wrong total_size are warnings. */
pl_status pl_st_open_index(const char *folder, const char *index, pl_arena *arena, pl_st_set *out);
/* What is a warning there is PL_E_INPUT here: the index and the shards it was opened with say the same. */
pl_status pl_st_check_index(const pl_st_set *set, const char *index);
void pl_st_close(pl_st_set *set);
/* The tensor whose name is the first `len` bytes of `name`, or NULL. O(log n). */
const pl_st_tensor *pl_st_find(const pl_st_set *set, const char *name, size_t len);

/* PL_E_INPUT if `path` is a link that leads out of `folder`. The blobs of a Hugging Face hub cache
 * (folder/../../blobs) count as inside: its snapshots consist of links to them. */
pl_status pl_st_check_link(const char *folder, const char *path);

#endif
