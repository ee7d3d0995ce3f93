/* reader.c: background reads. A read is cut into chunks, which a few threads fetch and put in their places: so that the
 * disk is busy while one of them copies or checks. */
#include "core/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/cpu.h"
#include "core/fs.h"
#include "core/mem.h"
#ifdef PL_URING
#include <liburing.h>
#endif

enum {
    CHUNK = 1 << 20,
    THREADS = 4,
    DEPTH = 2                   /* chunks that a thread's ring reads: one comes while it copies another */
};

typedef struct worker {
    struct pl_reader *reader;
    int number;
    pthread_t thread;
#ifdef PL_URING
    struct io_uring ring;
#endif
} worker;

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
    worker worker[THREADS];
    int workers;
    uint8_t *area, *room;       /* room: [THREADS][DEPTH][CHUNK] in area; NULL: chunks are read into place */
    size_t area_size;
};

/* A chunk of a read. to: where the next byte of it goes; room: where its first went; home: where they belong. */
typedef struct chunk { pl_read *read; int64_t at, left; uint8_t *to, *room, *home; } chunk;

static int64_t padded(const pl_read *read) { return pl_ceil_div(read->bytes, PL_READER_ALIGN) * PL_READER_ALIGN; }

/* ---- under the lock ---- */

/* The next chunk, for a slot of a worker's. */
static bool take(const worker *w, int slot, chunk *out)
{
    pl_reader *r = w->reader;
    pl_read *read = r->head;
    if (!read) return false;
    int64_t n = pl_min64(CHUNK, padded(read) - read->issued);
    uint8_t *home = read->to + read->issued;
    uint8_t *room = r->room ? r->room + ((int64_t)w->number * DEPTH + slot) * CHUNK : home;
    *out = (chunk){ read, read->at + read->issued, n, room, room, home };
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

/* ---- chunks ---- */

/* A chunk of so many bytes is there, or failed. Whoever brings the last one does what is to be done with the whole. */
static void complete(pl_reader *r, const chunk *c, int64_t bytes, pl_status code)
{
    pl_read *read = c->read;
    if (code == PL_OK && c->room != c->home) memcpy(c->home, c->room, (size_t)bytes);
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
    const worker *w = ctx;
    pl_reader *r = w->reader;
    chunk c;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->head && !r->quit) pthread_cond_wait(&r->work, &r->lock);
        if (!take(w, 0, &c)) break;
        pthread_mutex_unlock(&r->lock);
        complete(r, &c, c.left, read_chunk(r, c));
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
        complete(r, &slot[i], size[i], failed(r, slot[i].at, error));
        size[i] = 0;
        idle[(*idles)++] = i;
    }
}

static void *run_uring(void *ctx)
{
    worker *w = ctx;
    pl_reader *r = w->reader;
    chunk slot[DEPTH];
    int64_t size[DEPTH] = { 0 };        /* 0: idle */
    int idle[DEPTH], idles = DEPTH, again[DEPTH], agains = 0, lost = 0;
    for (int i = 0; i < DEPTH; i++) idle[i] = i;
    for (;;) {
        bool end;
        pthread_mutex_lock(&r->lock);
        while (!r->head && !r->quit && idles == DEPTH) pthread_cond_wait(&r->work, &r->lock);
        while (idles > 0 && take(w, idle[idles - 1], &slot[idle[idles - 1]])) {
            again[agains++] = idle[--idles];
            size[idle[idles]] = slot[idle[idles]].left;
        }
        end = r->quit && idles == DEPTH;
        pthread_mutex_unlock(&r->lock);
        if (end) return NULL;
        while (agains > 0 && !lost) {
            int i = again[--agains];
            struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
            io_uring_prep_read(sqe, r->fd, slot[i].to, (unsigned)slot[i].left, (uint64_t)slot[i].at);
            io_uring_sqe_set_data64(sqe, (uint64_t)i);
        }
        int told = lost ? -lost : io_uring_submit_and_wait(&w->ring, 1);
        if (told < 0 && told != -EINTR && told != -EAGAIN && told != -EBUSY) {
            lost = -told;               /* for good: what is under way fails, and what comes */
            fail_all(r, slot, size, idle, &idles, lost);
            agains = 0;
            continue;
        }
        struct io_uring_cqe *cqe;
        while (io_uring_peek_cqe(&w->ring, &cqe) == 0) {
            int i = (int)io_uring_cqe_get_data64(cqe), result = cqe->res;
            io_uring_cqe_seen(&w->ring, cqe);
            if (!settle(r, &slot[i], result)) {
                again[agains++] = i;
                continue;
            }
            complete(r, &slot[i], size[i], slot[i].left == 0 ? PL_OK : result == 0 ? PL_E_INPUT : PL_E_IO);
            size[i] = 0;
            idle[idles++] = i;
        }
    }
}

static bool open_ring(worker *w) { return io_uring_queue_init(DEPTH, &w->ring, 0) == 0; }
static void close_ring(worker *w) { io_uring_queue_exit(&w->ring); }
#else
static void *run_uring(void *ctx) { return NULL; }
static bool open_ring(worker *w) { return false; }
static void close_ring(worker *w) {}
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

/* Disks take requests of so many pieces of memory at a time, 254 with virtio: of 4 KiB each they are a quarter of what
 * they may be. So chunks are read into huge pages and copied from there, unless the system has none. */
static void make_room(pl_reader *r)
{
    size_t size = (size_t)THREADS * DEPTH * CHUNK, huge = (size_t)pl_cpu_huge_page();
    if (huge == 0 || size % huge) return;           /* pages may be large in themselves */
    void *area = mmap(NULL, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) return;
    r->area = area;
    r->area_size = size + huge;
    r->room = r->area + (huge - (uintptr_t)area % huge) % huge;
    madvise(r->room, size, MADV_HUGEPAGE);
}

static pl_status open_file(pl_reader *r, const char *wish)
{
    r->direct = (!wish || strcmp(wish, "buffered") != 0) && try_direct(r->path, &r->fd);
    if (r->direct) {
        make_room(r);
        return PL_OK;
    }
    r->fd = (int)TEMP_FAILURE_RETRY(open(r->path, O_RDONLY | O_CLOEXEC));
    if (r->fd < 0) return pl_fail(PL_E_IO, "cannot open '%s': %s", r->path, strerror(errno));
    return PL_OK;
}

static pl_status start(pl_reader *r, const char *wish)
{
    static const char *const how[] = {
        "threads, buffered", "threads, direct", "io_uring, buffered", "io_uring, direct",
    };
    for (int i = 0; i < THREADS; i++, r->workers++) {
        worker *w = &r->worker[i];
        *w = (worker){ .reader = r, .number = i };
        if (i == 0) r->uring = !wish && open_ring(w);
        else if (r->uring && !open_ring(w)) break;      /* the others do */
        if (pthread_create(&w->thread, NULL, r->uring ? run_uring : run_threads, w) == 0) continue;
        if (r->uring) close_ring(w);
        break;
    }
    r->stats.how = how[2 * r->uring + r->direct];
    return r->workers ? PL_OK : pl_fail(PL_E_MEMORY, "cannot start a thread");
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
    if (code == PL_OK) code = start(r, wish);
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
    for (int i = 0; i < r->workers; i++) {
        pthread_join(r->worker[i].thread, NULL);
        if (r->uring) close_ring(&r->worker[i]);
    }
    if (r->fd >= 0) close(r->fd);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->ready);
    pthread_mutex_destroy(&r->lock);
    if (r->area) munmap(r->area, r->area_size);
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
