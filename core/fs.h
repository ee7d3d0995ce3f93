/* fs.h: files: windows and guarded maps for reading, temporary-name-then-rename for writing. */
#ifndef CORE_FS_H
#define CORE_FS_H

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
/* The whole file mapped for reading, until close; a second call returns the same base. A file that
 * shrinks meanwhile makes the mapping read zeros instead of killing the process: whoever used the
 * map asks pl_map_check() after its work. */
pl_status pl_file_map(pl_file *file, const uint8_t **base);
/* PL_E_INPUT naming the file if a mapped file lost bytes since the process began. */
pl_status pl_map_check(void);

/* A whole file of at most `limit` bytes, with a NUL behind it; freed with pl_free. */
pl_status pl_file_load(const char *path, int64_t limit, char **data, size_t *len);
bool pl_path_is_dir(const char *path);
bool pl_path_exists(const char *path);
/* True if both exist and are the same file, through links too. */
bool pl_path_same(const char *a, const char *b);
/* "dir/name" in a buffer of PATH_MAX bytes. */
pl_status pl_path_join(char *out, size_t size, const char *dir, const char *name);

/* ---- writing ---- */

typedef struct pl_outfile pl_outfile;   /* a file that appears under its name whole or not at all */

enum { PL_MAX_OUTFILES = 1024 };        /* under way at a time */

/* Opens a temporary file in the folder of `path` ("<path>.partial-<pid>"), after checking that the
 * folder can be written and has `bytes` free (0: unknown). An existing `path` is refused (PL_E_WISH)
 * unless `force`; one that is no regular file always. */
pl_status pl_outfile_create(const char *path, int64_t bytes, bool force, pl_outfile **out);
/* Any order, from any thread. */
pl_status pl_outfile_write(pl_outfile *file, int64_t offset, const void *data, size_t len);
pl_status pl_outfile_sync(pl_outfile *file);
/* Syncs, renames into place, syncs the folder; frees `file` in every case. */
pl_status pl_outfile_commit(pl_outfile *file);
/* The same for the files of a set (of one folder, written by one process): all get their names or
 * none. If one name cannot be given, those given before are taken away again. Frees all of them. */
pl_status pl_outfile_commit_all(pl_outfile **file, int count);
/* Removes the temporary file; accepts NULL. */
void pl_outfile_abandon(pl_outfile *file);
/* Removes the temporary files of all outputs under way; safe in a signal handler before _exit. */
void pl_outfile_unlink_all(void);
/* A small file in one go, atomically, whether it exists or not; "-" is standard output. A device or
 * pipe is written to. */
pl_status pl_file_save(const char *path, const void *data, size_t len);

/* ---- the process ---- */

int64_t pl_rss_peak_bytes(void);        /* largest resident size so far; 0: unknown */
int64_t pl_rss_own_bytes(void);         /* resident memory that is not mapped files, now; 0: unknown */
double pl_seconds(void);                /* monotonic clock */

#endif
