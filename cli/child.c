/* child.c: a child process: its output in a pipe, its time limited. */
#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"

enum { KEPT_BYTES = 4096, LOOK_MS = 50 };

/* ---- finding ---- */

static bool runnable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

bool pl_child_find(const char *name, const char *folder, char path[PATH_MAX])
{
    if (strchr(name, '/')) {
        int n = snprintf(path, PATH_MAX, "%s", name);
        return n < PATH_MAX && runnable(path);
    }
    if (folder) return pl_path_join(path, PATH_MAX, folder, name) == PL_OK && runnable(path);
    for (const char *at = getenv("PATH"); at && *at;) {
        size_t len = strcspn(at, ":");
        int n = snprintf(path, PATH_MAX, "%.*s/%s", (int)len, at, name);
        if (len && n < PATH_MAX && runnable(path)) return true;     /* an empty entry would be the folder at hand */
        at += len + (at[len] == ':');
    }
    return false;
}

/* ---- running ---- */

/* In the child; nothing but what is safe after fork. */
static void become(const char *const *argv, int output)
{
    int input = (int)TEMP_FAILURE_RETRY(open("/dev/null", O_RDONLY));
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (input >= 0 && dup2(input, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0)
        execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* The last bytes of a stream. */
typedef struct tail { char text[KEPT_BYTES]; size_t len; } tail;

/* Takes what is there; false at the end of the stream. */
static bool drain(int fd, tail *t)
{
    for (;;) {
        char piece[KEPT_BYTES / 2];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 && errno == EAGAIN;
        size_t over = t->len + (size_t)n > KEPT_BYTES ? t->len + (size_t)n - KEPT_BYTES : 0;
        memmove(t->text, t->text + over, t->len - over);
        memcpy(t->text + t->len - over, piece, (size_t)n);
        t->len += (size_t)n - over;
    }
}

static void last_line(const tail *t, char *out, size_t size)
{
    size_t end = t->len, begin;
    while (end && strchr(" \t\r\n", t->text[end - 1])) end--;
    for (begin = end; begin && t->text[begin - 1] != '\n' && t->text[begin - 1] != '\r';) begin--;
    snprintf(out, size, "%.*s", (int)(end - begin), t->text + begin);
    pl_printable(out);
}

static void wait_for(pid_t pid, int fd, double seconds, pl_child *out)
{
    double until = pl_seconds() + seconds;
    bool open = true, over = false, lost = false;
    int status = 0;
    tail t = { .len = 0 };
    for (;;) {
        struct pollfd p = { .fd = open ? fd : -1, .events = POLLIN };
        poll(&p, 1, LOOK_MS);
        if (open) open = drain(fd, &t);
        pid_t ended = waitpid(pid, &status, WNOHANG);
        lost = ended < 0 && errno != EINTR;
        if (ended == pid || lost) break;
        if (pl_seconds() < until) continue;
        over = true;
        kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
        break;
    }
    kill(-pid, SIGKILL);            /* what it may have left in its group */
    if (open) drain(fd, &t);
    last_line(&t, out->last, sizeof out->last);
    out->code = over ? -2 : WIFEXITED(status) && !lost ? WEXITSTATUS(status) : -1;
    out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

pl_status pl_child_run(const char *const *argv, double seconds, pl_child *out)
{
    int ends[2];
    *out = (pl_child){ 0 };
    signal(SIGCHLD, SIG_DFL);       /* if we were started with it ignored, nobody could be waited for */
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return pl_fail(PL_E_IO, "'%s' cannot be started: no pipe: %s", argv[0], strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        fcntl(ends[1], F_SETFL, 0);             /* the child's end may block */
        become(argv, ends[1]);
    }
    int failed = errno;
    close(ends[1]);
    if (pid > 0) {
        setpgid(pid, pid);
        wait_for(pid, ends[0], seconds, out);
    }
    close(ends[0]);
    return pid > 0 ? PL_OK : pl_fail(PL_E_IO, "'%s' cannot be started: %s", argv[0], strerror(failed));
}
