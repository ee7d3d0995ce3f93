/* outfile.h: files that appear under their names whole or not at all; sets of them whose unfinished work can be gone
 * on with. */
#ifndef CORE_OUTFILE_H
#define CORE_OUTFILE_H

#include <stdatomic.h>

#include "core/status.h"

typedef struct pl_outfile pl_outfile;

enum { PL_MAX_OUTFILES = 1024 };        /* under way at a time */

/* The files of one output. The caller fills the wishes, gives every file of it the same set, and keeps the set until
 * all are committed or abandoned. */
typedef struct pl_outset {
    bool force;                 /* replace what stands under the names */
    bool resume;                /* go on with unfinished files; they must be there */
    bool named;                 /* with resume: some may have got their names already, which are taken back */
    bool joined;                /* another process creates and names the files, this one only writes into them */
    bool second;                /* made of another set's files of the same names: they are "<path>.partial-2" */
    int part, parts;            /* share `part` (from 1) of `parts`, under names of its own for good; 0: the whole */
    atomic_bool keep;           /* what is unfinished stays on disk, whatever ends the work */
    pl_outfile *first;          /* its open files, as they were opened */
} pl_outset;

/* Refuses a path where no file may appear: in no folder (PL_E_IO), one that exists unless `force`, one that is no
 * regular file (PL_E_WISH). */
pl_status pl_outfile_check(const char *path, bool force);
/* Opens a temporary file in the folder of `path` ("<path>.partial-<pid>"), after checking that the
 * folder can be written and has `bytes` free (0: unknown). An existing `path` is refused (PL_E_WISH)
 * unless `force`; one that is no regular file always. */
pl_status pl_outfile_create(const char *path, int64_t bytes, bool force, pl_outfile **out);
/* The same for a file of a set, under a steady name: "<path>.partial", of a share "<path>.part-2-of-4". What a dead run
 * left there is replaced, or gone on with as the set wants; PL_E_WISH if a run that is alive writes it. Of a share the
 * room is not claimed, so that it takes no more than its data. */
pl_status pl_outset_open(pl_outset *set, const char *path, int64_t bytes, pl_outfile **out);
/* A file that goes with the set: it has the name `path` from the beginning, is there until it is abandoned without
 * `keep`, and is open for reading too. It is none of the files that the calls on whole sets mean. */
pl_status pl_outset_scratch(pl_outset *set, const char *path, pl_outfile **out);
/* What was written to the set's files so far is durable, and so are their names. Beside writes, not beside itself. */
pl_status pl_outset_sync(pl_outset *set);
/* The last name of `path`, which the files of the set lie under or beside, and a newline; then a line
 * "<bytes> <name>\n" for each of them, as seen from the folder that `path` is in. Freed with pl_free. */
pl_status pl_outset_list(const pl_outset *set, const char *path, char **text);

/* Any order, from any thread. */
pl_status pl_outfile_write(pl_outfile *file, int64_t offset, const void *data, size_t len);
pl_status pl_outfile_sync(pl_outfile *file);
/* Up to len bytes; *got: fewer where the file ends. Of a file of a set only. */
pl_status pl_outfile_read(const pl_outfile *file, int64_t offset, void *out, size_t len, size_t *got);
/* Bytes it has so far. */
pl_status pl_outfile_size(const pl_outfile *file, int64_t *bytes);
/* Empties a scratch file, durably, and claims room for so many bytes if it can be had. */
pl_status pl_outfile_empty(pl_outfile *file, int64_t bytes);
/* Syncs, renames into place, syncs the folder; frees `file` in every case. A share, and a file that was joined, is
 * synced and closed only. */
pl_status pl_outfile_commit(pl_outfile *file);
/* The same for the files of a set (of one folder, written by one process): all get their names or
 * none. If one name cannot be given, those given before are taken back. Frees all of them. */
pl_status pl_outfile_commit_all(pl_outfile **file, int count);
/* Removes the temporary file, unless its set keeps it; accepts NULL. */
void pl_outfile_abandon(pl_outfile *file);
/* Removes the temporary files of all outputs under way but those to be kept, of which it tells whether there are any;
 * safe in a signal handler before _exit. */
bool pl_outfile_unlink_all(void);
/* A small file in one go, atomically, whether it exists or not; "-" is standard output. A device or
 * pipe is written to. */
pl_status pl_file_save(const char *path, const void *data, size_t len);

#endif
