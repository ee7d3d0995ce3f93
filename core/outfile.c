/* outfile.c: temporary names, then rename; for sets of files steady names and locks: a dead run's work is found. */
#include "core/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"

struct pl_outfile {
    char *path, *temporary;
    int fd, slot;               /* -1: none; slot: in open_outputs */
    bool force, entered;        /* entered: its folder's entry is durable */
    atomic_bool mine;           /* the temporary file is this process's to remove */
    pl_outset *set;             /* NULL: a file of its own */
    pl_outfile *next;           /* in the set */
};

/* What has to go if the process is interrupted: temporary files of the outputs under way, and the
 * first of a set that are being renamed. */
static pl_outfile *_Atomic open_outputs[PL_MAX_OUTFILES];
typedef struct renaming { pl_outfile **file; int count; atomic_int from; } renaming;
static renaming *_Atomic half_named;        /* file[from .. count-1] have their names */

static bool kept(const pl_outfile *file)
{
    return file->set && (file->set->joined || atomic_load(&file->set->keep));
}

bool pl_outfile_unlink_all(void)
{
    bool any = false;
    const renaming *set = atomic_load(&half_named);
    for (int i = set ? atomic_load(&set->from) : 0; set && i < set->count; i++)
        rename(set->file[i]->path, set->file[i]->temporary);
    for (int i = 0; i < PL_MAX_OUTFILES; i++) {
        const pl_outfile *file = atomic_load(&open_outputs[i]);
        if (!file || !atomic_load(&file->mine)) continue;
        if (kept(file)) any = true;
        else unlink(file->temporary);
    }
    return any;
}

/* False if there is no slot left. */
static bool remember(pl_outfile *file)
{
    for (int i = 0; i < PL_MAX_OUTFILES; i++) {
        pl_outfile *none = NULL;
        if (!atomic_compare_exchange_strong(&open_outputs[i], &none, file)) continue;
        file->slot = i;
        return true;
    }
    return false;
}

/* Folder of a path, in a buffer of PATH_MAX bytes. */
static void folder_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (!slash) snprintf(out, size, ".");
    else if (slash == path) snprintf(out, size, "/");
    else snprintf(out, size, "%.*s", (int)(slash - path), path);
}

static pl_status check_space(const char *path, int64_t bytes)
{
    struct statvfs fs;
    char folder[PATH_MAX];
    folder_of(path, folder, sizeof folder);
    if (bytes <= 0 || statvfs(folder, &fs) != 0) return PL_OK;
    unsigned __int128 have = (unsigned __int128)fs.f_bavail * fs.f_frsize;
    if (have >= (unsigned __int128)bytes) return PL_OK;
    return pl_fail(PL_E_IO, "not enough room in '%s': %lld bytes are needed, %lld are free", folder,
                   (long long)bytes, (long long)have);
}

/* Calls that a signal may interrupt; a file system of a network may tell so of any. */
static int open_again(const char *path, int flags)
{
    return (int)TEMP_FAILURE_RETRY(open(path, flags | O_CLOEXEC, 0666));
}

static int cut_again(int fd) { return (int)TEMP_FAILURE_RETRY(ftruncate(fd, 0)); }

static int claim_again(int fd, int64_t bytes)
{
    return (int)TEMP_FAILURE_RETRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, bytes));
}

/* A device or pipe (/dev/null): to be written to, never to be replaced by a file. */
static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* Is there anything of this name, be it a link to nowhere? */
static bool is_taken(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

pl_status pl_outfile_check(const char *path, bool force)
{
    char folder[PATH_MAX];
    folder_of(path, folder, sizeof folder);
    if (!pl_path_is_dir(folder))
        return pl_fail(PL_E_IO, "cannot write '%s': the folder '%s' does not exist", path, folder);
    if (pl_path_is_dir(path)) return pl_fail(PL_E_WISH, "cannot write '%s': it is a folder", path);
    if (is_special(path))
        return pl_fail(PL_E_WISH, "cannot write '%s': it is a device or a pipe", path);
    if (!force && is_taken(path))
        return pl_fail(PL_E_WISH, "'%s' exists already; --force replaces it", path);
    return PL_OK;
}

/* Claims the room at once where the file system can: a full disk shows now, not at the end. The
 * size stays what was written, there as elsewhere. */
static pl_status claim_room(pl_outfile *file, int64_t bytes)
{
    if (bytes <= 0 || claim_again(file->fd, bytes) == 0 || (errno != ENOSPC && errno != EFBIG))
        return PL_OK;
    return pl_fail(PL_E_IO, "cannot write '%s': %s (%lld bytes are needed)", file->path, strerror(errno),
                   (long long)bytes);
}

/* A file that is to be opened: its two names, and a place among those that a signal removes. */
static pl_status prepare(const char *path, const char *ending, pl_outset *set, pl_outfile **out)
{
    *out = NULL;
    pl_outfile *file = pl_alloc(1, sizeof *file);
    if (!file) return PL_E_MEMORY;
    file->fd = file->slot = -1;
    size_t size = strlen(path) + strlen(ending) + 1;
    file->path = pl_strdup(path);
    file->temporary = pl_alloc((int64_t)size, 1);
    if (!file->path || !file->temporary) {
        pl_outfile_abandon(file);
        return PL_E_MEMORY;
    }
    snprintf(file->temporary, size, "%s%s", path, ending);
    file->set = set;
    *out = file;
    return PL_OK;
}

static pl_status too_many(void)
{
    return pl_fail(PL_E_WISH, "more than %d files to write at a time", PL_MAX_OUTFILES);
}

pl_status pl_outfile_create(const char *path, int64_t bytes, bool force, pl_outfile **out)
{
    *out = NULL;
    PL_TRY(pl_outfile_check(path, force));
    PL_TRY(check_space(path, bytes));
    char ending[32];
    snprintf(ending, sizeof ending, ".partial-%ld", (long)getpid());
    pl_outfile *file;
    PL_TRY(prepare(path, ending, NULL, &file));
    file->force = force;
    unlink(file->temporary);        /* of a dead process that had our number */
    atomic_store(&file->mine, true);
    pl_status code = remember(file) ? PL_OK : too_many();
    if (code == PL_OK) {
        file->fd = open_again(file->temporary, O_WRONLY | O_CREAT | O_EXCL);
        if (file->fd < 0) code = pl_fail(PL_E_IO, "cannot write '%s': %s", path, strerror(errno));
    }
    if (code == PL_OK) code = claim_room(file, bytes);
    if (code == PL_OK) *out = file;
    else pl_outfile_abandon(file);
    return code;
}

/* ---- files of sets ---- */

static pl_status unseen(const char *path)
{
    return pl_fail(PL_E_IO, "cannot look at '%s': %s", path, strerror(errno));
}

/* Is the open file a regular one, and still the one of its name? */
static pl_status look_at(const pl_outfile *file, bool *same)
{
    struct stat opened, there;
    if (fstat(file->fd, &opened) != 0) return unseen(file->temporary);
    if (!S_ISREG(opened.st_mode))
        return pl_fail(PL_E_WISH, "cannot write '%s': it is no regular file", file->temporary);
    if (lstat(file->temporary, &there) == 0) *same = there.st_dev == opened.st_dev && there.st_ino == opened.st_ino;
    else if (errno != ENOENT) return unseen(file->temporary);
    return PL_OK;
}

/* Opens file->temporary so that no other run has it: with a lock, which the system drops when the process ends. Where
 * there are no locks, as on some file systems of networks, it goes on without. */
static pl_status claim(pl_outfile *file, bool create)
{
    if (!remember(file)) return too_many();
    for (;;) {
        /* One that is made here has to go from its first moment on, should a signal come. */
        atomic_store(&file->mine, create && !is_taken(file->temporary));
        file->fd = open_again(file->temporary, O_RDWR | O_NOFOLLOW | O_NONBLOCK | (create ? O_CREAT : 0));
        if (file->fd < 0 && errno == ENOENT && !create)
            return pl_fail(PL_E_INPUT, "there is nothing to go on with: '%s' is gone; without --resume the work begins "
                           "anew", file->temporary);
        if (file->fd < 0) return pl_fail(PL_E_IO, "cannot write '%s': %s", file->temporary, strerror(errno));
        bool same = false;
        pl_status code;
        if (TEMP_FAILURE_RETRY(flock(file->fd, LOCK_EX | LOCK_NB)) != 0 && errno == EWOULDBLOCK)
            code = pl_fail(PL_E_WISH, "'%s' is being written by another run", file->temporary);
        else code = look_at(file, &same);
        if (same || code == PL_E_IO) {          /* this run's to remove in either case */
            atomic_store(&file->mine, true);
            return code;
        }
        atomic_store(&file->mine, false);
        close(file->fd);        /* renamed or removed by the run that had the lock: look again */
        file->fd = -1;
        if (code != PL_OK) return code;
    }
}

/* Into what another process has opened. */
static pl_status join(pl_outfile *file)
{
    file->fd = open_again(file->temporary, O_RDWR | O_NOFOLLOW);
    if (file->fd >= 0) return PL_OK;
    return pl_fail(PL_E_IO, "cannot write '%s': %s", file->temporary, strerror(errno));
}

static pl_status open_steady(pl_outfile *file, int64_t bytes)
{
    const pl_outset *set = file->set;
    if (set->joined) return join(file);
    if (set->resume && set->named && !is_taken(file->temporary) && rename(file->path, file->temporary) != 0 &&
        errno != ENOENT)
        return pl_fail(PL_E_IO, "cannot take '%s' back: %s", file->path, strerror(errno));
    PL_TRY(claim(file, !set->resume));
    if (!set->resume && cut_again(file->fd) != 0)
        return pl_fail(PL_E_IO, "cannot write '%s': %s", file->temporary, strerror(errno));
    struct stat st;
    int64_t share = set->parts ? bytes / set->parts : bytes;
    PL_TRY(check_space(file->path, fstat(file->fd, &st) == 0 ? share - st.st_blocks * 512 : share));
    return set->parts ? PL_OK : claim_room(file, bytes);
}

pl_status pl_outset_open(pl_outset *set, const char *path, int64_t bytes, pl_outfile **out)
{
    *out = NULL;
    PL_TRY(pl_outfile_check(path, set->force || (set->resume && set->named)));
    char ending[48];
    snprintf(ending, sizeof ending, "%s", set->second ? ".partial-2" : ".partial");
    if (set->parts) snprintf(ending, sizeof ending, ".part-%d-of-%d", set->part, set->parts);
    pl_outfile *file;
    PL_TRY(prepare(path, ending, set, &file));
    file->force = set->force;
    pl_outfile **end = &set->first;
    while (*end) end = &(*end)->next;
    *end = file;
    pl_status code = open_steady(file, bytes);
    if (code == PL_OK) *out = file;
    else pl_outfile_abandon(file);
    return code;
}

pl_status pl_outset_scratch(pl_outset *set, const char *path, pl_outfile **out)
{
    *out = NULL;
    PL_TRY(pl_outfile_check(path, true));
    pl_outfile *file;
    PL_TRY(prepare(path, "", set, &file));
    pl_status code = set->joined ? join(file) : claim(file, true);
    if (code == PL_OK) *out = file;
    else pl_outfile_abandon(file);
    return code;
}

/* The folder of a file and the one above, which has the first one's name; -1: one that may not be opened. */
typedef struct folders { int fd[2]; } folders;

/* Those that are open are to be closed after a failure too. */
static pl_status open_folders(const char *path, folders *out)
{
    char name[2][PATH_MAX];
    folder_of(path, name[0], sizeof name[0]);
    folder_of(name[0], name[1], sizeof name[1]);
    *out = (folders){ { -1, -1 } };
    for (int i = 0; i < 2; i++) {
        out->fd[i] = open_again(name[i], O_RDONLY | O_DIRECTORY);
        if (out->fd[i] >= 0 || errno == EACCES || errno == EPERM) continue;
        return pl_fail(PL_E_IO, "cannot write '%s': the folder '%s': %s", path, name[i], strerror(errno));
    }
    return PL_OK;
}

/* Makes the name durable. Not every file system can, which is no failure; what the disk says is. */
static pl_status sync_folders(const char *path, const folders *f)
{
    for (int i = 0; i < 2; i++) {
        bool failed = f->fd[i] >= 0 && TEMP_FAILURE_RETRY(fsync(f->fd[i])) != 0;
        if (failed && (errno == EIO || errno == ENOSPC || errno == EDQUOT))
            return pl_fail(PL_E_IO, "the folder of '%s' could not be synced: %s", path, strerror(errno));
    }
    return PL_OK;
}

static void close_folders(const folders *f)
{
    for (int i = 0; i < 2; i++)
        if (f->fd[i] >= 0) close(f->fd[i]);
}

static pl_status sync_name(const char *path)
{
    folders f;
    pl_status code = open_folders(path, &f);
    if (code == PL_OK) code = sync_folders(path, &f);
    close_folders(&f);
    return code;
}

pl_status pl_outset_sync(pl_outset *set)
{
    for (pl_outfile *file = set->first; file; file = file->next) {
        PL_TRY(pl_outfile_sync(file));
        if (!file->entered) PL_TRY(sync_name(file->path));
        file->entered = true;
    }
    return PL_OK;
}

pl_status pl_outset_list(const pl_outset *set, const char *path, char **text)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
    int64_t room = (int64_t)strlen(path) + 2;
    for (const pl_outfile *file = set->first; file; file = file->next) room += (int64_t)strlen(file->path) + 24;
    *text = pl_alloc(room, 1);
    if (!*text) return PL_E_MEMORY;
    int64_t used = snprintf(*text, (size_t)room, "%s\n", path + folder);
    for (const pl_outfile *file = set->first; file; file = file->next) {
        struct stat st;
        if (fstat(file->fd, &st) != 0) return unseen(file->temporary);
        used += snprintf(*text + used, (size_t)(room - used), "%lld %s\n", (long long)st.st_size, file->path + folder);
    }
    return PL_OK;
}

/* ---- all files ---- */

pl_status pl_outfile_read(const pl_outfile *file, int64_t offset, void *out, size_t len, size_t *got)
{
    for (*got = 0; *got < len;) {
        ssize_t n = pread(file->fd, (uint8_t *)out + *got, len - *got, offset + (int64_t)*got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return pl_fail(PL_E_IO, "%s: reading failed: %s", file->path, strerror(errno));
        if (n == 0) break;
        *got += (size_t)n;
    }
    return PL_OK;
}

pl_status pl_outfile_size(const pl_outfile *file, int64_t *bytes)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0) return unseen(file->temporary);
    *bytes = st.st_size;
    return PL_OK;
}

pl_status pl_outfile_empty(pl_outfile *file, int64_t bytes)
{
    if (lseek(file->fd, 0, SEEK_END) != 0) {
        if (cut_again(file->fd) != 0)
            return pl_fail(PL_E_IO, "writing '%s' failed: %s", file->path, strerror(errno));
        PL_TRY(pl_outfile_sync(file));
    }
    claim_again(file->fd, bytes);
    return PL_OK;
}

pl_status pl_outfile_write(pl_outfile *file, int64_t offset, const void *data, size_t len)
{
    const uint8_t *from = data;
    while (len) {
        ssize_t n = pwrite(file->fd, from, len, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return pl_fail(PL_E_IO, "writing '%s' at byte %lld failed: %s", file->path,
                           (long long)offset, strerror(n < 0 ? errno : EIO));
        from += n;
        offset += n;
        len -= (size_t)n;
    }
    return PL_OK;
}

pl_status pl_outfile_sync(pl_outfile *file)
{
    if (TEMP_FAILURE_RETRY(fdatasync(file->fd)) != 0)
        return pl_fail(PL_E_IO, "writing '%s' failed: %s", file->path, strerror(errno));
    return PL_OK;
}

/* Renames without replacing; file systems that cannot promise that get a check first. */
static int rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    if (is_taken(to)) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

static pl_status give_name(pl_outfile *file)
{
    if ((file->force ? rename : rename_new)(file->temporary, file->path) == 0) return PL_OK;
    return pl_fail(errno == EEXIST ? PL_E_WISH : PL_E_IO, "cannot give '%s' its name: %s", file->path,
                   strerror(errno));
}

/* Frees; leaves the files as they are. */
static void release(pl_outfile *file)
{
    if (file->slot >= 0) atomic_store(&open_outputs[file->slot], NULL);
    pl_outfile **link = file->set ? &file->set->first : NULL;
    for (; link && *link; link = &(*link)->next)
        if (*link == file) {
            *link = file->next;
            break;
        }
    if (file->fd >= 0) close(file->fd);
    pl_free(file->path);
    pl_free(file->temporary);
    pl_free(file);
}

/* Names from the last file to the first, by which a set is opened. Until all have theirs, those that
 * have go with whatever ends the work. What stands under the names goes before, the first of it first: nobody may read
 * new files together with old ones. */
static pl_status give_names(pl_outfile **file, int count)
{
    renaming set = { file, count, count };
    for (int i = 0; i < count && count > 1; i++)
        if (file[i]->force) PL_TRY(pl_file_remove(file[i]->path));
    if (count > 1) atomic_store(&half_named, &set);
    pl_status code = PL_OK;
    for (int i = count - 1; i >= 0 && code == PL_OK; i--) {
        atomic_store(&set.from, i);
        code = give_name(file[i]);
        if (code == PL_OK) continue;
        int stay = 0;
        for (int k = i + 1; k < count; k++) stay += rename(file[k]->path, file[k]->temporary) != 0;
        if (stay)
            code = pl_fail_prefix(code, "%d of %d files have their names without the others: ", stay, count);
        else if (i + 1 < count)
            code = pl_fail_prefix(code, "%d of %d files had their names and lost them again: ",
                                  count - i - 1, count);
    }
    atomic_store(&half_named, NULL);
    return code;
}

pl_status pl_outfile_commit_all(pl_outfile **file, int count)
{
    pl_status code = PL_OK;
    for (int i = 0; i < count && code == PL_OK; i++) code = pl_outfile_sync(file[i]);
    const pl_outset *set = count ? file[0]->set : NULL;
    folders f = { { -1, -1 } };
    if (code == PL_OK && count) code = open_folders(file[0]->path, &f);     /* what may fail does before */
    if (code == PL_OK && !(set && (set->joined || set->parts))) code = give_names(file, count);
    if (code == PL_OK && count) code = sync_folders(file[0]->path, &f);
    close_folders(&f);
    for (int i = 0; i < count; i++) {
        if (code == PL_OK) release(file[i]);
        else pl_outfile_abandon(file[i]);
    }
    return code;
}

pl_status pl_outfile_commit(pl_outfile *file) { return pl_outfile_commit_all(&file, 1); }

void pl_outfile_abandon(pl_outfile *file)
{
    if (!file) return;
    if (file->fd >= 0 && !kept(file)) unlink(file->temporary);
    release(file);
}

/* To what has no name to be given at the end: standard output, a device, a pipe. */
static pl_status write_stream(int fd, const char *name, const char *from, size_t len)
{
    while (len) {
        ssize_t n = write(fd, from, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return pl_fail(PL_E_IO, "writing to %s failed: %s", name, strerror(errno));
        from += n;
        len -= (size_t)n;
    }
    return PL_OK;
}

pl_status pl_file_save(const char *path, const void *data, size_t len)
{
    if (!strcmp(path, "-")) return write_stream(STDOUT_FILENO, "standard output", data, len);
    if (is_special(path)) {
        int fd = open_again(path, O_WRONLY | O_NOCTTY);
        if (fd < 0) return pl_fail(PL_E_IO, "cannot write '%s': %s", path, strerror(errno));
        pl_status code = write_stream(fd, path, data, len);
        close(fd);
        return code;
    }
    pl_outfile *file;
    PL_TRY(pl_outfile_create(path, (int64_t)len, true, &file));
    pl_status code = pl_outfile_write(file, 0, data, len);
    if (code == PL_OK) return pl_outfile_commit(file);
    pl_outfile_abandon(file);
    return code;
}
