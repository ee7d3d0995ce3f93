/* pool.c: worker threads for parallel loops. Between loops that follow each other closely, as in
 * decoding a token, workers spin for a moment before they sleep: waking a thread costs more than many
 * of those loops take. */
#include "core/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/cpu.h"
#include "core/mem.h"

enum { SPIN = 20000 };              /* pauses before sleeping, around 0.2 to 0.8 ms */

/* pl_pool.state */
#define INSIDE 0xffffull
#define OPEN 0x10000ull
#define EPOCH 0x20000ull
#define EPOCH_MASK (~(EPOCH - 1))

typedef struct worker {
    pl_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct pl_pool {
    int workers;                    /* the caller included */
    worker *worker;                 /* [workers]; 0 is the caller and has no thread */
    /* the loop at hand */
    pl_task fn;
    void *ctx;
    int64_t count;
    _Alignas(64) atomic_llong next;
    /* Epoch of the loop (it rises when one begins), whether it is open for workers, how many are in.
     * A worker that the system wakes late finds the loop closed: nobody waits for it. */
    _Alignas(64) atomic_ullong state;
    _Alignas(64) atomic_bool failed;
    atomic_bool quit;
    /* first failure */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_int sleepers;
    int64_t fail_index;
    pl_status fail_code;
    char fail_text[PL_ERROR_BYTES];
};

static inline void relax(void)
{
#if defined(PL_X86)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes indices until there are none; keeps the failure with the lowest index. */
static void work(pl_pool *pool, int index)
{
    while (!atomic_load_explicit(&pool->failed, memory_order_relaxed)) {
        int64_t i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= pool->count) break;
        pl_status code = pool->fn(pool->ctx, i, index);
        if (code == PL_OK) continue;
        pthread_mutex_lock(&pool->lock);
        if (pool->fail_code == PL_OK || i < pool->fail_index) {
            pool->fail_index = i;
            pool->fail_code = code;
            snprintf(pool->fail_text, sizeof pool->fail_text, "%s", pl_error());
        }
        pthread_mutex_unlock(&pool->lock);
        atomic_store(&pool->failed, true);
    }
}

static uint64_t epoch_of(pl_pool *pool) { return atomic_load(&pool->state) & EPOCH_MASK; }

/* Waits until the epoch is no longer `seen`. */
static uint64_t await(pl_pool *pool, uint64_t seen)
{
    for (int i = 0; i < SPIN; i++) {
        uint64_t now = epoch_of(pool);
        if (now != seen) return now;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (epoch_of(pool) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return epoch_of(pool);
}

/* Enters the loop if it is still open. */
static bool enter(pl_pool *pool)
{
    unsigned long long now = atomic_load(&pool->state);
    while (now & OPEN)
        if (atomic_compare_exchange_weak(&pool->state, &now, now + 1)) return true;
    return false;
}

/* Opens the next epoch; nobody is in at this time. */
static void announce(pl_pool *pool)
{
    atomic_store(&pool->state, (epoch_of(pool) + EPOCH) | OPEN);
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    uint64_t seen = 0;
    for (;;) {
        seen = await(w->pool, seen);
        if (atomic_load(&w->pool->quit)) return NULL;
        if (!enter(w->pool)) continue;
        work(w->pool, w->index);
        atomic_fetch_sub(&w->pool->state, 1);
    }
}

pl_status pl_pool_create(int threads, pl_pool **out)
{
    *out = NULL;
    if (threads < 0 || threads > PL_MAX_THREADS)
        return pl_fail(PL_E_WISH, "%d threads asked for, possible are 1 to %d", threads, PL_MAX_THREADS);
    if (threads == 0) threads = pl_cpu_count();
    pl_pool *pool = pl_alloc_aligned(1, sizeof *pool);
    if (!pool) return PL_E_MEMORY;
    memset(pool, 0, sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->workers = 1;
    pool->worker = pl_alloc(threads, sizeof *pool->worker);
    if (!pool->worker) {
        pl_pool_destroy(pool);
        return PL_E_MEMORY;
    }
    for (int i = 1; i < threads; i++) {
        pool->worker[i] = (worker){ .pool = pool, .index = i };
        int error = pthread_create(&pool->worker[i].thread, NULL, worker_main, &pool->worker[i]);
        if (error) {
            pl_pool_destroy(pool);
            return pl_fail(PL_E_MEMORY, "cannot start thread %d of %d: %s", i + 1, threads,
                           strerror(error));
        }
        pool->workers++;
    }
    *out = pool;
    return PL_OK;
}

void pl_pool_destroy(pl_pool *pool)
{
    if (!pool) return;
    atomic_store(&pool->quit, true);
    announce(pool);
    for (int i = 1; i < pool->workers; i++) pthread_join(pool->worker[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pl_free(pool->worker);
    pl_free(pool);
}

int pl_pool_workers(const pl_pool *pool) { return pool ? pool->workers : 1; }

pl_status pl_pool_for(pl_pool *pool, int64_t count, pl_task fn, void *ctx)
{
    if (!pool || pool->workers == 1 || count <= 1) {
        for (int64_t i = 0; i < count; i++) PL_TRY(fn(ctx, i, 0));
        return PL_OK;
    }
    pool->fn = fn;
    pool->ctx = ctx;
    pool->count = count;
    pool->fail_code = PL_OK;
    atomic_store(&pool->failed, false);
    atomic_store(&pool->next, 0);
    announce(pool);
    work(pool, 0);
    /* The last indices may still run elsewhere. Once the loop is closed and empty nobody can meet the
     * next one's fields half-set. */
    atomic_fetch_and(&pool->state, ~OPEN);
    for (unsigned i = 0; atomic_load(&pool->state) & INSIDE; i++) {
        if (i < 1000) relax();
        else sched_yield();
    }
    if (pool->fail_code != PL_OK) return pl_fail(pool->fail_code, "%s", pool->fail_text);
    return PL_OK;
}
