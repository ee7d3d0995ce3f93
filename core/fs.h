/* fs.h: files: windows and guarded maps for reading; for writing see outfile.h. */
#ifndef CORE_FS_H
#define CORE_FS_H

#include "core/outfile.h"
#include "core/status.h"

/* ---- reading ---- */

typedef struct pl_file pl_file;         /* open for reading; calls but map and close are re-entrant */

pl_status pl_file_open(const char *path, pl_file **out);
void pl_file_close(pl_file *file);
const char *pl_file_path(const pl_file *file);
int64_t pl_file_size(const pl_file *file);
/* Exactly len bytes at offset. A range outside the file is PL_E_INPUT, a failed read PL_E_IO. */
pl_status pl_file_read(pl_file *file, int64_t offset, void *out, size_t len);
/* These bytes are wanted soon: the system may read ahead. Never fails. */
void pl_file_advise(pl_file *file, int64_t offset, int64_t len);
/* False if these bytes are a hole, which reads as zeros. */
bool pl_file_has_data(pl_file *file, int64_t offset, int64_t len);
/* The whole file mapped for reading, until close; a second call returns the same base. A file that
 * shrinks meanwhile makes the mapping read zeros instead of killing the process: whoever used the
 * map asks pl_map_check() after its work. */
pl_status pl_file_map(pl_file *file, const uint8_t **base);
/* PL_E_INPUT naming the file if a mapped file lost bytes since the process began; PL_E_IO if that cannot be told. */
pl_status pl_map_check(void);

/* How long a file is. */
pl_status pl_file_bytes(const char *path, int64_t *bytes);
/* A whole file of at most `limit` bytes, with a NUL behind it; freed with pl_free. */
pl_status pl_file_load(const char *path, int64_t limit, char **data, size_t *len);
bool pl_path_is_dir(const char *path);
/* False only where there is certainly nothing: what cannot be looked at fails when it is opened. */
bool pl_path_exists(const char *path);
/* Calls each(ctx, name) for what lies in a folder, until it fails; for nothing if there is no such folder. */
pl_status pl_path_each(const char *folder, pl_status (*each)(void *ctx, const char *name), void *ctx);
/* PL_E_WISH if what is to be written is the input, through links too; PL_E_IO if that cannot be found out. `what` is
 * written: the "output". */
pl_status pl_path_apart(const char *what, const char *path, const char *input);
/* Takes a file away, if it is there. */
pl_status pl_file_remove(const char *path);
/* "dir/name" in a buffer of PATH_MAX bytes. */
pl_status pl_path_join(char *out, size_t size, const char *dir, const char *name);

/* ---- the process ---- */

int64_t pl_rss_peak_bytes(void);        /* largest resident size so far; 0: unknown */
int64_t pl_rss_own_bytes(void);         /* resident memory that is not mapped files, now; 0: unknown */
double pl_seconds(void);                /* monotonic clock */

#endif
