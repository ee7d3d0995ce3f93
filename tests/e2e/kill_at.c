/* kill_at.c: for LD_PRELOAD: counts the calls by which a program changes files, and ends it (SIGKILL) before one of them.
 * KILL_AT=N: before call N, from 1; KILL_COUNT=FILE: at the end the number of calls goes there. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long calls;

static void count(void)
{
    const char *at = getenv("KILL_AT");
    long call = atomic_fetch_add(&calls, 1) + 1;
    if (at && call == strtol(at, NULL, 10)) raise(SIGKILL);
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("KILL_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld\n", atomic_load(&calls));
    fclose(file);
}

/* A call under the name that the program links to. */
#define CHANGES(result, name, parameters, ...)                                                      \
    result name parameters;                                                                         \
    result name parameters                                                                          \
    {                                                                                               \
        result(*next) parameters = (result(*) parameters)(uintptr_t)dlsym(RTLD_NEXT, #name);        \
        count();                                                                                    \
        return next(__VA_ARGS__);                                                                   \
    }

CHANGES(int, rename, (const char *from, const char *to), from, to)
CHANGES(int, renameat2, (int a, const char *from, int b, const char *to, unsigned flags), a, from, b, to, flags)
CHANGES(int, unlink, (const char *path), path)
CHANGES(int, rmdir, (const char *path), path)
CHANGES(int, mkdir, (const char *path, mode_t mode), path, mode)
CHANGES(int, fsync, (int fd), fd)
CHANGES(int, fdatasync, (int fd), fd)
CHANGES(int, ftruncate64, (int fd, off_t len), fd, len)
CHANGES(int, fallocate64, (int fd, int mode, off_t at, off_t len), fd, mode, at, len)
CHANGES(ssize_t, pwrite64, (int fd, const void *data, size_t len, off_t at), fd, data, len, at)

int open64(const char *path, int flags, ...);
int open64(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))(uintptr_t)dlsym(RTLD_NEXT, "open64");
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (flags & O_CREAT) count();
    return next(path, flags, mode);
}
