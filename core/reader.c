/* reader.c: background reads. A read is cut into chunks; many are under way at a time, whichever way they are made. */
#include "core/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#ifdef PL_URING
#include <liburing.h>
#endif

enum { CHUNK = 4 << 20, DEPTH = 8, THREADS = 4 };

struct pl_reader {
    int fd;
    char *path;
    bool direct, uring, quit;
    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    pl_read *head, *tail;       /* those with chunks that nobody has taken */
    int busy;                   /* reads that are not complete */
    double busy_since;
    pl_reader_stats stats;
    pthread_t thread[THREADS];
    int threads;
#ifdef PL_URING
    struct io_uring ring;
#endif
};

/* A chunk of a read; of io_uring's. */
typedef struct chunk { pl_read *read; int64_t at, left; uint8_t *to; } chunk;

static int64_t padded(const pl_read *read) { return pl_ceil_div(read->bytes, PL_READER_ALIGN) * PL_READER_ALIGN; }

/* ---- under the lock ---- */

static bool take(pl_reader *r, chunk *out)
{
    pl_read *read = r->head;
    if (!read) return false;
    int64_t n = pl_min64(CHUNK, padded(read) - read->issued);
    *out = (chunk){ read, read->at + read->issued, n, read->to + read->issued };
    read->issued += n;
    if (read->issued == padded(read)) {
        r->head = read->next;
        if (!r->head) r->tail = NULL;
    }
    return true;
}

static void keep_error(pl_read *read, pl_status code)
{
    if (read->code != PL_OK) return;
    read->code = code;
    snprintf(read->error, sizeof read->error, "%s", pl_error());
}

/* ---- with or without it ---- */

/* A chunk is there, or failed. Whoever brings the last one does what is to be done with the whole. */
static void complete(pl_reader *r, pl_read *read, int64_t bytes, pl_status code)
{
    pthread_mutex_lock(&r->lock);
    if (code != PL_OK) keep_error(read, code);
    read->done += bytes;
    r->stats.bytes += bytes;
    bool last = read->done == padded(read);
    if (last && --r->busy == 0) r->stats.busy += pl_seconds() - r->busy_since;
    code = read->code;
    pthread_mutex_unlock(&r->lock);
    if (!last) return;
    if (code == PL_OK && read->arrived) code = read->arrived(read->ctx);
    pthread_mutex_lock(&r->lock);
    if (code != PL_OK) keep_error(read, code);
    read->ready = true;
    pthread_cond_broadcast(&r->ready);
    pthread_mutex_unlock(&r->lock);
}

static pl_status failed(const pl_reader *r, int64_t at, int error)
{
    if (!error) return pl_fail(PL_E_INPUT, "%s: became shorter while it was being read", r->path);
    return pl_fail(PL_E_IO, "%s: reading at byte %lld failed: %s", r->path, (long long)at, strerror(error));
}

static pl_status read_chunk(const pl_reader *r, chunk c)
{
    while (c.left > 0) {
        ssize_t n = pread(r->fd, c.to, (size_t)c.left, c.at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return failed(r, c.at, n < 0 ? errno : 0);
        c.at += n;
        c.to += n;
        c.left -= n;
    }
    return PL_OK;
}

static void *run_threads(void *ctx)
{
    pl_reader *r = ctx;
    chunk c;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->head && !r->quit) pthread_cond_wait(&r->work, &r->lock);
        if (!take(r, &c)) break;
        pthread_mutex_unlock(&r->lock);
        complete(r, c.read, c.left, read_chunk(r, c));
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- io_uring ---- */

#ifdef PL_URING
/* What the kernel says of a chunk: done, short, to be tried again, failed. True: it is done with. */
static bool settle(pl_reader *r, chunk *c, int result)
{
    if (result > 0) {
        c->at += result;
        c->to += result;
        c->left -= result;
        if (c->left > 0) return false;
    }
    if (result == -EINTR || result == -EAGAIN) return false;
    if (c->left > 0) failed(r, c->at, -result);
    return true;
}

/* Whatever is under way. */
static void fail_all(pl_reader *r, const chunk *slot, int64_t *size, int *idle, int *idles, int error)
{
    for (int i = 0; i < DEPTH; i++) {
        if (!size[i]) continue;
        complete(r, slot[i].read, size[i], failed(r, slot[i].at, error));
        size[i] = 0;
        idle[(*idles)++] = i;
    }
}

static void *run_uring(void *ctx)
{
    pl_reader *r = ctx;
    chunk slot[DEPTH];
    int64_t size[DEPTH] = { 0 };        /* 0: idle */
    int idle[DEPTH], idles = DEPTH, again[DEPTH], agains = 0, lost = 0;
    for (int i = 0; i < DEPTH; i++) idle[i] = i;
    for (;;) {
        bool end;
        pthread_mutex_lock(&r->lock);
        while (!r->head && !r->quit && idles == DEPTH) pthread_cond_wait(&r->work, &r->lock);
        while (idles > 0 && take(r, &slot[idle[idles - 1]])) {
            again[agains++] = idle[--idles];
            size[idle[idles]] = slot[idle[idles]].left;
        }
        end = r->quit && idles == DEPTH;
        pthread_mutex_unlock(&r->lock);
        if (end) return NULL;
        while (agains > 0 && !lost) {
            int i = again[--agains];
            struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
            io_uring_prep_read(sqe, r->fd, slot[i].to, (unsigned)slot[i].left, (uint64_t)slot[i].at);
            io_uring_sqe_set_data64(sqe, (uint64_t)i);
        }
        int told = lost ? -lost : io_uring_submit_and_wait(&r->ring, 1);
        if (told < 0 && told != -EINTR && told != -EAGAIN && told != -EBUSY) {
            lost = -told;               /* for good: what is under way fails, and what comes */
            fail_all(r, slot, size, idle, &idles, lost);
            agains = 0;
            continue;
        }
        struct io_uring_cqe *cqe;
        while (io_uring_peek_cqe(&r->ring, &cqe) == 0) {
            int i = (int)io_uring_cqe_get_data64(cqe), result = cqe->res;
            io_uring_cqe_seen(&r->ring, cqe);
            if (!settle(r, &slot[i], result)) {
                again[agains++] = i;
                continue;
            }
            complete(r, slot[i].read, size[i], slot[i].left == 0 ? PL_OK : result == 0 ? PL_E_INPUT : PL_E_IO);
            size[i] = 0;
            idle[idles++] = i;
        }
    }
}

static bool open_ring(pl_reader *r) { return io_uring_queue_init(DEPTH, &r->ring, 0) == 0; }
static void close_ring(pl_reader *r) { io_uring_queue_exit(&r->ring); }
#else
static void *run_uring(void *ctx) { return NULL; }
static bool open_ring(pl_reader *r) { return false; }
static void close_ring(pl_reader *r) {}
#endif

/* ---- life ---- */

/* Some file systems take O_DIRECT when a file is opened and refuse it when it is read. */
static bool try_direct(const char *path, int *fd)
{
    uint8_t *room = pl_alloc_aligned(2, PL_READER_ALIGN);
    if (!room) return false;
    uint8_t *page = room + (PL_READER_ALIGN - (uintptr_t)room % PL_READER_ALIGN) % PL_READER_ALIGN;
    *fd = (int)TEMP_FAILURE_RETRY(open(path, O_RDONLY | O_CLOEXEC | O_DIRECT));
    bool good = *fd >= 0 && pread(*fd, page, PL_READER_ALIGN, 0) >= 0;
    if (!good && *fd >= 0) close(*fd);
    pl_free(room);
    return good;
}

static pl_status open_file(pl_reader *r, const char *wish)
{
    r->direct = (!wish || strcmp(wish, "buffered") != 0) && try_direct(r->path, &r->fd);
    if (r->direct) return PL_OK;
    r->fd = (int)TEMP_FAILURE_RETRY(open(r->path, O_RDONLY | O_CLOEXEC));
    if (r->fd < 0) return pl_fail(PL_E_IO, "cannot open '%s': %s", r->path, strerror(errno));
    return PL_OK;
}

static pl_status start(pl_reader *r)
{
    static const char *const how[] = {
        "threads, buffered", "threads, direct", "io_uring, buffered", "io_uring, direct",
    };
    r->stats.how = how[2 * r->uring + r->direct];
    for (int n = r->uring ? 1 : THREADS; r->threads < n; r->threads++)
        if (pthread_create(&r->thread[r->threads], NULL, r->uring ? run_uring : run_threads, r) != 0)
            return r->threads ? PL_OK : pl_fail(PL_E_MEMORY, "cannot start a thread");
    return PL_OK;
}

pl_status pl_reader_open(const char *path, pl_reader **out)
{
    const char *wish = getenv("PLANISH_IO");
    *out = NULL;
    pl_reader *r = pl_alloc(1, sizeof *r);
    if (!r) return PL_E_MEMORY;
    r->fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->ready, NULL);
    r->path = pl_strdup(path);
    pl_status code = r->path ? open_file(r, wish) : PL_E_MEMORY;
    if (code == PL_OK) r->uring = !wish && open_ring(r);
    if (code == PL_OK) code = start(r);
    if (code == PL_OK) *out = r;
    else pl_reader_close(r);
    return code;
}

void pl_reader_close(pl_reader *r)
{
    if (!r) return;
    pthread_mutex_lock(&r->lock);
    r->quit = true;
    r->head = r->tail = NULL;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < r->threads; i++) pthread_join(r->thread[i], NULL);
    if (r->uring) close_ring(r);
    if (r->fd >= 0) close(r->fd);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->ready);
    pthread_mutex_destroy(&r->lock);
    pl_free(r->path);
    pl_free(r);
}

void pl_reader_submit(pl_reader *r, pl_read *read)
{
    read->next = NULL;
    read->issued = read->done = 0;
    read->ready = false;
    read->code = PL_OK;
    pthread_mutex_lock(&r->lock);
    if (r->tail) r->tail->next = read;
    else r->head = read;
    r->tail = read;
    if (r->busy++ == 0) r->busy_since = pl_seconds();
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
}

pl_status pl_reader_wait(pl_reader *r, pl_read *read)
{
    pthread_mutex_lock(&r->lock);
    while (!read->ready) pthread_cond_wait(&r->ready, &r->lock);
    pthread_mutex_unlock(&r->lock);
    return read->code == PL_OK ? PL_OK : pl_fail(read->code, "%s", read->error);
}

pl_reader_stats pl_reader_told(pl_reader *r)
{
    pthread_mutex_lock(&r->lock);
    pl_reader_stats stats = r->stats;
    if (r->busy) stats.busy += pl_seconds() - r->busy_since;
    pthread_mutex_unlock(&r->lock);
    return stats;
}
