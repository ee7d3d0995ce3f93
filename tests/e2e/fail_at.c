/* fail_at.c: for LD_PRELOAD: makes one of a program's calls to the system, or of its requests for memory, fail.
 * FAIL_KIND=KIND FAIL_HOW=HOW FAIL_AT=N: call N (from 1) of those that the kind is about fails (HOW is once), all from
 * it on do (on), or each from it on that did not fail just before (every), so that what is tried again succeeds.
 * FAIL_TOLD=FILE: the names of the calls that failed go there. Instead FAIL_LIST=FILE: nothing fails; at the end a line
 * goes there for every call: its name, a number that stands for the functions it was called by, and the kinds it
 * belongs to. Only calls between the beginning and the end of main() count; child programs are left alone, and what
 * OpenBLAS asks memory for, which it does not check. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef PL_URING
#include <liburing.h>
#endif

enum {
    SHORT_READ = 1 << 0, SHORT_WRITE = 1 << 1, AGAIN = 1 << 2, READING = 1 << 3, WRITING = 1 << 4, FULL = 1 << 5,
    FILES = 1 << 6, SYSTEM = 1 << 7, MEMORY = 1 << 8,
    PAGE = 4096, FRAMES = 32, MAX_CALLS = 1 << 21
};

static const struct { const char *name; int error; } kinds[] = {    /* in the order of the bits */
    { "short-read", 0 }, { "short-write", 0 }, { "interrupted", EINTR }, { "read-error", EIO }, { "write-error", EIO },
    { "disk-full", ENOSPC }, { "too-many-files", EMFILE }, { "no-resources", EAGAIN }, { "memory", ENOMEM },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const char *list_path, *told_path, *how = "once";
static unsigned wanted;             /* one of the bits; 0: nothing fails */
static int error_number;
static long fail_at;
static atomic_long calls, told;
static atomic_bool running;         /* main() is */
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));
static _Thread_local struct { const char *name; bool failed; } last[64] __attribute__((tls_model("initial-exec")));

typedef struct call { const char *name; unsigned member; uint64_t callers; } call;
static call *list;                  /* [MAX_CALLS] */
static atomic_long listed;

/* ---- which call fails ---- */

static void add_to_list(const char *name, unsigned member)
{
    void *frame[FRAMES];
    int count = backtrace(frame, FRAMES);
    uint64_t callers = 14695981039346656037ULL;
    for (int i = 2; i < count; i++) callers = (callers ^ (uintptr_t)frame[i]) * 1099511628211ULL;
    long at = atomic_fetch_add(&listed, 1);
    if (at < MAX_CALLS) list[at] = (call){ name, member, callers };
}

static void tell(const char *name)
{
    if (!told_path || atomic_fetch_add(&told, 1) >= 20) return;
    long fd = syscall(SYS_openat, AT_FDCWD, told_path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    char line[64];
    int len = snprintf(line, sizeof line, "%s\n", name);
    syscall(SYS_write, fd, line, len);
    syscall(SYS_close, fd);
}

/* Has this call of this thread just failed, so that it is being tried again? */
static bool tried_again(const char *name)
{
    int i = 0;
    while (last[i].name && last[i].name != name) i++;
    last[i].name = name;
    last[i].failed = !last[i].failed;
    return !last[i].failed;
}

static bool hit(const char *name)
{
    long now = atomic_fetch_add(&calls, 1) + 1;
    if (now < fail_at) return false;
    if (!strcmp(how, "once")) return now == fail_at;
    return strcmp(how, "every") || !tried_again(name);
}

/* Is this call to fail? Then errno says how. */
static bool struck(const char *name, unsigned member)
{
    if (!atomic_load(&running) || inside) return false;
    int error = errno;
    bool fails = false;
    inside = true;
    if (list) add_to_list(name, member);
    else if (member & wanted && hit(name)) {
        fails = true;
        tell(name);
    }
    inside = false;
    errno = fails ? error_number : error;
    return fails;
}

static bool shorter(void) { return wanted & (SHORT_READ | SHORT_WRITE); }

/* What a call does that does less than it could; whole pages where only such are allowed. */
static size_t part_of(int fd, size_t len)
{
    if (len >= 2 * PAGE) return len / 2 / PAGE * PAGE;
    return fcntl(fd, F_GETFL) & O_DIRECT || len < 2 ? len : len / 2;
}

/* ---- main ---- */

static int (*real_main)(int, char **, char **);

static int run_main(int argc, char **argv, char **env)
{
    atomic_store(&running, true);
    int code = real_main(argc, argv, env);
    atomic_store(&running, false);
    return code;
}

typedef int start_function(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
                           void (*)(void), void *);
start_function __libc_start_main;
int __libc_start_main(int (*body)(int, char **, char **), int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*end)(void), void *stack)
{
    start_function *next = (start_function *)(uintptr_t)dlsym(RTLD_NEXT, "__libc_start_main");
    real_main = body;
    return next(run_main, argc, argv, init, fini, end, stack);
}

static int find_blas(struct dl_phdr_info *info, size_t size, void *ctx);

static const char *take(const char *name)
{
    const char *value = getenv(name);
    char *copy = value ? strdup(value) : NULL;
    unsetenv(name);
    return copy;
}

__attribute__((constructor)) static void begin(void)
{
    const char *kind = take("FAIL_KIND"), *at = take("FAIL_AT"), *way = take("FAIL_HOW");
    void *frame[2];
    unsetenv("LD_PRELOAD");
    dl_iterate_phdr(find_blas, NULL);
    told_path = take("FAIL_TOLD");
    list_path = take("FAIL_LIST");
    if (way) how = way;
    fail_at = at ? strtol(at, NULL, 10) : 1;
    for (int i = 0; i < KINDS && kind; i++)
        if (!strcmp(kind, kinds[i].name)) {
            wanted = 1U << i;
            error_number = kinds[i].error;
        }
    if (!list_path) return;
    list = mmap(NULL, MAX_CALLS * sizeof *list, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0);
    backtrace(frame, 2);            /* loads what it needs now */
}

__attribute__((destructor)) static void end(void)
{
    atomic_store(&running, false);
    FILE *file = list ? fopen(list_path, "w") : NULL;
    for (long i = 0; file && i < atomic_load(&listed) && i < MAX_CALLS; i++) {
        fprintf(file, "%s %llx", list[i].name, (unsigned long long)list[i].callers);
        for (int k = 0; k < KINDS; k++)
            if (list[i].member >> k & 1) fprintf(file, " %s", kinds[k].name);
        fputc('\n', file);
    }
    if (file) fclose(file);
}

/* ---- memory: the C library's own functions under their other names ---- */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static uintptr_t blas_from, blas_to;        /* where OpenBLAS lies */

static int find_blas(struct dl_phdr_info *info, size_t size, void *ctx)
{
    if (!strstr(info->dlpi_name, "openblas")) return 0;
    blas_from = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && end > blas_to) blas_to = end;
    }
    return 1;
}

static bool out_of_memory(const char *name, const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    return !(at >= blas_from && at < blas_to) && struck(name, MEMORY);
}

#define OUT(name) out_of_memory(name, __builtin_return_address(0))

void *malloc(size_t size) { return OUT("malloc") ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return OUT("calloc") ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return OUT("realloc") ? NULL : __libc_realloc(p, size); }
void *aligned_alloc(size_t align, size_t size) { return OUT("aligned_alloc") ? NULL : __libc_memalign(align, size); }

int posix_memalign(void **out, size_t align, size_t size)
{
    void *p = OUT("posix_memalign") ? NULL : __libc_memalign(align, size);
    if (p) *out = p;
    return p ? 0 : ENOMEM;
}

/* ---- the system ---- */

#define NEXT(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

/* A call under the name that the program links to. */
#define FAILS(result, name, member, failure, parameters, ...)                                       \
    result name parameters;                                                                         \
    result name parameters                                                                          \
    {                                                                                               \
        if (struck(#name, member)) return failure;                                                  \
        return NEXT(name)(__VA_ARGS__);                                                             \
    }

/* One that may do a part only of what it is asked for. */
#define TRANSFERS(name, member, parameters, ...)                                                    \
    ssize_t name parameters;                                                                        \
    ssize_t name parameters                                                                         \
    {                                                                                               \
        if (struck(#name, member)) {                                                                \
            if (!shorter()) return -1;                                                              \
            len = part_of(fd, len);                                                                 \
        }                                                                                           \
        return NEXT(name)(__VA_ARGS__);                                                             \
    }

TRANSFERS(read, SHORT_READ | AGAIN | READING, (int fd, void *data, size_t len), fd, data, len)
TRANSFERS(pread64, SHORT_READ | AGAIN | READING, (int fd, void *data, size_t len, off_t at), fd, data, len, at)
TRANSFERS(write, SHORT_WRITE | AGAIN | WRITING | FULL, (int fd, const void *data, size_t len), fd, data, len)
TRANSFERS(pwrite64, SHORT_WRITE | AGAIN | WRITING | FULL, (int fd, const void *data, size_t len, off_t at), fd, data,
          len, at)
FAILS(int, stat64, READING, -1, (const char *path, struct stat64 *out), path, out)
FAILS(int, lstat64, READING, -1, (const char *path, struct stat64 *out), path, out)
FAILS(int, fstat64, READING, -1, (int fd, struct stat64 *out), fd, out)
FAILS(int, statvfs64, READING, -1, (const char *path, struct statvfs64 *out), path, out)
FAILS(off_t, lseek64, READING, -1, (int fd, off_t at, int from), fd, at, from)
FAILS(char *, realpath, READING, NULL, (const char *path, char *out), path, out)
FAILS(DIR *, opendir, READING | FILES, NULL, (const char *path), path)
FAILS(struct dirent64 *, readdir64, READING, NULL, (DIR *dir), dir)
FAILS(int, rename, WRITING | FULL, -1, (const char *from, const char *to), from, to)
FAILS(int, renameat2, WRITING | FULL, -1, (int a, const char *from, int b, const char *to, unsigned flags), a, from, b,
      to, flags)
FAILS(int, unlink, WRITING, -1, (const char *path), path)
FAILS(int, rmdir, WRITING, -1, (const char *path), path)
FAILS(int, mkdir, WRITING | FULL, -1, (const char *path, mode_t mode), path, mode)
FAILS(int, fsync, AGAIN | WRITING | FULL, -1, (int fd), fd)
FAILS(int, fdatasync, AGAIN | WRITING | FULL, -1, (int fd), fd)
FAILS(int, ftruncate64, AGAIN | WRITING | FULL, -1, (int fd, off_t len), fd, len)
FAILS(int, fallocate64, AGAIN | WRITING | FULL, -1, (int fd, int mode, off_t at, off_t len), fd, mode, at, len)
FAILS(int, flock, AGAIN, -1, (int fd, int how_locked), fd, how_locked)
FAILS(int, poll, AGAIN, -1, (struct pollfd *p, nfds_t n, int ms), p, n, ms)
FAILS(pid_t, waitpid, AGAIN, -1, (pid_t pid, int *status, int flags), pid, status, flags)
FAILS(pid_t, fork, SYSTEM, -1, (void), )
FAILS(int, pipe2, FILES, -1, (int ends[2], int flags), ends, flags)
FAILS(FILE *, fopen64, FILES, NULL, (const char *path, const char *mode), path, mode)
FAILS(void *, mmap64, SYSTEM, MAP_FAILED, (void *to, size_t len, int use, int flags, int fd, off_t at), to, len, use,
      flags, fd, at)
FAILS(int, pthread_create, SYSTEM, EAGAIN,
      (pthread_t *out, const pthread_attr_t *with, void *(*body)(void *), void *ctx), out, with, body, ctx)

/* What a file system of a network tells when it is too late. */
int close(int fd)
{
    bool fails = struck("close", WRITING | FULL);
    int code = NEXT(close)(fd);
    if (!fails) return code;
    errno = error_number;
    return -1;
}

int open64(const char *path, int flags, ...);
int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (struck("open64", AGAIN | FILES | (flags & O_CREAT ? FULL | WRITING : READING))) return -1;
    return NEXT(open64)(path, flags, mode);
}

void *mremap(void *old, size_t len, size_t more, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    void *to = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
    va_end(args);
    if (struck("mremap", SYSTEM)) return MAP_FAILED;
    return NEXT(mremap)(old, len, more, flags, to);
}

#ifdef PL_URING
int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    if (struck("io_uring_queue_init", FILES | SYSTEM)) return -error_number;
    return NEXT(io_uring_queue_init)(entries, ring, flags);
}

/* The calls themselves, or the first of the completions that they bring. */
int io_uring_submit_and_wait(struct io_uring *ring, unsigned want)
{
    bool fails = struck("io_uring_submit_and_wait", SHORT_READ | AGAIN | READING | SYSTEM);
    if (fails && (wanted & (AGAIN | SYSTEM))) return wanted & SYSTEM ? -ENOMEM : -error_number;
    int code = NEXT(io_uring_submit_and_wait)(ring, want);
    unsigned head = *ring->cq.khead, tail = __atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE);
    if (!fails || head == tail) return code;
    struct io_uring_cqe *cqe = &ring->cq.cqes[head & *ring->cq.kring_mask];
    if (!shorter()) cqe->res = -error_number;
    else if (cqe->res >= 2 * PAGE) cqe->res = cqe->res / 2 / PAGE * PAGE;
    return code;
}
#endif
