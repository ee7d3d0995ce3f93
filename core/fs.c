/* fs.c: reading by windows and guarded maps; paths; the process. */
#include "core/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"

/* ---- reading ---- */

/* A mapping that the SIGBUS handler may have to patch. Entries are only ever pushed, and cleared by
 * setting size to 0, so that the handler can walk the list at any moment. */
typedef struct map_entry {
    struct map_entry *next;
    const uint8_t *_Atomic base;
    _Atomic size_t size;
    atomic_bool shrank;
    int fd;                         /* of the open file; valid while size > 0 */
    char path[];
} map_entry;

struct pl_file {
    char *path;
    int fd;
    int64_t size;
    map_entry *map;
};

static map_entry *_Atomic maps;
static size_t page_size;

/* A mapped file lost its end: put a page of zeros there, note it, go on. The user of the map asks
 * pl_map_check() when its work is done and fails then with a sentence. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
    (void)context;
    const uint8_t *at = info->si_addr;
    for (map_entry *m = atomic_load(&maps); m; m = m->next) {
        size_t size = atomic_load(&m->size);
        const uint8_t *base = atomic_load(&m->base);
        if (!size || at < base || at >= base + size) continue;
        uint8_t *page = (uint8_t *)((uintptr_t)at & ~(uintptr_t)(page_size - 1));
        if (mmap(page, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            MAP_FAILED)
            break;
        atomic_store(&m->shrank, true);
        return;
    }
    signal(number, SIG_DFL);        /* not ours: the default action follows on return */
}

/* A file that ends inside its last page now reads as zeros there without a signal, so sizes are
 * compared as well. False with errno if that cannot be done. */
static bool note_size(map_entry *m)
{
    size_t size = atomic_load(&m->size);
    struct stat st;
    if (size && fstat(m->fd, &st) != 0) return false;
    if (size && (uint64_t)st.st_size < size) atomic_store(&m->shrank, true);
    return true;
}

pl_status pl_map_check(void)
{
    for (map_entry *m = atomic_load(&maps); m; m = m->next) {
        if (!note_size(m)) return pl_fail(PL_E_IO, "cannot look at '%s': %s", m->path, strerror(errno));
        if (atomic_load(&m->shrank))
            return pl_fail(PL_E_INPUT, "%s: became shorter while it was being read", m->path);
    }
    return PL_OK;
}

pl_status pl_file_open(const char *path, pl_file **out)
{
    *out = NULL;
    /* A pipe is refused, not waited for. */
    int fd = (int)TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (fd < 0) {
        int code = errno == ENOENT || errno == ENOTDIR ? PL_E_INPUT : PL_E_IO;
        return pl_fail(code, "cannot open '%s': %s", path, strerror(errno));
    }
    struct stat st;
    int error = fstat(fd, &st) != 0 ? errno : 0;
    if (error || !S_ISREG(st.st_mode)) {
        close(fd);
        if (error) return pl_fail(PL_E_IO, "cannot look at '%s': %s", path, strerror(error));
        return pl_fail(PL_E_INPUT, "'%s' is not a regular file", path);
    }
    pl_file *file = pl_alloc(1, sizeof *file);
    char *name = pl_strdup(path);
    if (!file || !name) {
        close(fd);
        pl_free(file);
        pl_free(name);
        return PL_E_MEMORY;
    }
    *file = (pl_file){ .path = name, .fd = fd, .size = st.st_size };
    *out = file;
    return PL_OK;
}

void pl_file_close(pl_file *file)
{
    if (!file) return;
    if (file->map) {
        note_size(file->map);
        size_t size = atomic_exchange(&file->map->size, 0);
        munmap((void *)(uintptr_t)atomic_load(&file->map->base), size);
    }
    close(file->fd);
    pl_free(file->path);
    pl_free(file);
}

const char *pl_file_path(const pl_file *file) { return file->path; }
int64_t pl_file_size(const pl_file *file) { return file->size; }

pl_status pl_file_read(pl_file *file, int64_t offset, void *out, size_t len)
{
    int64_t end;
    if (!pl_add_ok(offset, (int64_t)len, &end) || end > file->size)
        return pl_fail(PL_E_INPUT, "%s: %zu bytes wanted at byte %lld, the file has %lld", file->path,
                       len, (long long)offset, (long long)file->size);
    uint8_t *to = out;
    while (len) {
        ssize_t n = pread(file->fd, to, len, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return pl_fail(PL_E_IO, "%s: reading at byte %lld failed: %s", file->path,
                           (long long)offset, strerror(errno));
        if (n == 0)
            return pl_fail(PL_E_INPUT, "%s: ends at byte %lld now, had %lld bytes when opened",
                           file->path, (long long)offset, (long long)file->size);
        to += n;
        offset += n;
        len -= (size_t)n;
    }
    return PL_OK;
}

void pl_file_advise(pl_file *file, int64_t offset, int64_t len)
{
    posix_fadvise(file->fd, offset, len, POSIX_FADV_WILLNEED);
}

bool pl_file_has_data(pl_file *file, int64_t offset, int64_t len)
{
    off_t data = lseek(file->fd, offset, SEEK_DATA);
    return data < 0 ? errno != ENXIO : data < offset + len;
}

static void set_handler(void)
{
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

pl_status pl_file_map(pl_file *file, const uint8_t **base)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (file->map) {
        *base = atomic_load(&file->map->base);
        return PL_OK;
    }
    if (file->size == 0) return pl_fail(PL_E_INPUT, "%s: the file is empty", file->path);
    pthread_once(&once, set_handler);
    void *at = mmap(NULL, (size_t)file->size, PROT_READ, MAP_PRIVATE, file->fd, 0);
    if (at == MAP_FAILED)
        return pl_fail(PL_E_IO, "cannot map '%s': %s", file->path, strerror(errno));
    /* Never freed: the handler may look at it at any time. */
    size_t name = strlen(file->path) + 1;
    map_entry *entry = pl_alloc((int64_t)(sizeof *entry + name), 1);
    if (!entry) {
        munmap(at, (size_t)file->size);
        return PL_E_MEMORY;
    }
    atomic_init(&entry->base, at);
    atomic_init(&entry->size, (size_t)file->size);
    entry->fd = file->fd;
    memcpy(entry->path, file->path, name);
    entry->next = atomic_load(&maps);
    while (!atomic_compare_exchange_weak(&maps, &entry->next, entry)) {}
    file->map = entry;
    *base = at;
    return PL_OK;
}

pl_status pl_file_bytes(const char *path, int64_t *bytes)
{
    pl_file *file;
    PL_TRY(pl_file_open(path, &file));
    *bytes = file->size;
    pl_file_close(file);
    return PL_OK;
}

pl_status pl_file_load(const char *path, int64_t limit, char **data, size_t *len)
{
    *data = NULL;
    pl_file *file;
    PL_TRY(pl_file_open(path, &file));
    pl_status code = PL_OK;
    char *text = NULL;
    if (file->size > limit) {
        code = pl_fail(PL_E_INPUT, "%s: has %lld bytes, the limit is %lld", path,
                       (long long)file->size, (long long)limit);
        goto out;
    }
    text = pl_realloc(NULL, file->size + 1, 1);
    if (!text) {
        code = PL_E_MEMORY;
        goto out;
    }
    code = pl_file_read(file, 0, text, (size_t)file->size);
    text[file->size] = 0;
    if (len) *len = (size_t)file->size;
out:
    if (code != PL_OK) {
        pl_free(text);
        text = NULL;
    }
    *data = text;
    pl_file_close(file);
    return code;
}

bool pl_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What stat failed with: is nothing there? */
static bool is_absent(int error) { return error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG; }

bool pl_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 || !is_absent(errno);
}

pl_status pl_path_each(const char *folder, pl_status (*each)(void *ctx, const char *name), void *ctx)
{
    DIR *dir = opendir(folder);
    if (!dir && is_absent(errno)) return PL_OK;
    if (!dir) return pl_fail(PL_E_IO, "cannot read the folder '%s': %s", folder, strerror(errno));
    pl_status code = PL_OK;
    const struct dirent *e;
    while (code == PL_OK && (errno = 0, e = readdir(dir)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) code = each(ctx, e->d_name);
    if (code == PL_OK && errno) code = pl_fail(PL_E_IO, "cannot read the folder '%s': %s", folder, strerror(errno));
    closedir(dir);
    return code;
}

pl_status pl_path_apart(const char *what, const char *path, const char *input)
{
    struct stat sa, sb;
    const char *unknown = stat(path, &sa) != 0 ? path : stat(input, &sb) != 0 ? input : NULL;
    if (unknown && is_absent(errno)) return PL_OK;
    if (unknown) return pl_fail(PL_E_IO, "cannot look at '%s': %s", unknown, strerror(errno));
    if (sa.st_dev != sb.st_dev || sa.st_ino != sb.st_ino) return PL_OK;
    return pl_fail(PL_E_WISH, "the %s '%s' is the input '%s'", what, path, input);
}

pl_status pl_file_remove(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT) return PL_OK;
    return pl_fail(PL_E_IO, "cannot remove '%s': %s", path, strerror(errno));
}

pl_status pl_path_join(char *out, size_t size, const char *dir, const char *name)
{
    size_t len = strlen(dir);
    const char *slash = !len || dir[len - 1] == '/' ? "" : "/";
    int n = snprintf(out, size, "%s%s%s", dir, slash, name);
    if (n < 0 || (size_t)n >= size)
        return pl_fail(PL_E_INPUT, "path '%s/%s' is longer than %zu bytes", dir, name, size - 1);
    return PL_OK;
}

/* ---- the process ---- */

/* A field of /proc/self/status in bytes, 0 if it is not there. */
static int64_t status_field(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return 0;
    char line[256];
    long long kb = 0;
    size_t len = strlen(name);
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, len) && sscanf(line + len, ": %lld", &kb) == 1) break;
    fclose(file);
    return kb * 1024;
}

int64_t pl_rss_peak_bytes(void) { return status_field("VmHWM"); }
int64_t pl_rss_own_bytes(void) { return status_field("RssAnon"); }

double pl_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
