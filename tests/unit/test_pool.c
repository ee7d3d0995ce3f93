/* test_pool.c: parallel loops: each index once, failures, waking, many loops in a row. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "core/cpu.h"
#include "core/mem.h"
#include "core/pool.h"
#include "tests/unit/run.h"

typedef struct seen {
    int workers;
    atomic_int *times;          /* [count] */
    atomic_int *inside;         /* [workers] a worker index is never in use twice at a time */
} seen;

static pl_status note(void *ctx, int64_t index, int worker)
{
    seen *s = ctx;
    if (worker < 0 || worker >= s->workers) return pl_fail(PL_E_CHECK, "worker %d", worker);
    if (atomic_fetch_add(&s->inside[worker], 1) != 0) return pl_fail(PL_E_CHECK, "scratch shared");
    atomic_fetch_add(&s->times[index], 1);
    atomic_fetch_sub(&s->inside[worker], 1);
    return PL_OK;
}

static void each_index_once(pl_pool *pool, int64_t count)
{
    seen s = { .workers = pl_pool_workers(pool) };
    s.times = calloc((size_t)count + 1, sizeof *s.times);
    s.inside = calloc((size_t)s.workers, sizeof *s.inside);
    assert_ok(pl_pool_for(pool, count, note, &s));
    int64_t wrong = atomic_load(&s.times[count]);
    for (int64_t i = 0; i < count; i++) wrong += atomic_load(&s.times[i]) != 1;
    ck_assert_int_eq(wrong, 0);
    free(s.times);
    free(s.inside);
}

START_TEST(counts_and_threads)
{
    const int threads[] = { 1, 2, 3, 7, 20 };
    const int64_t counts[] = { 0, 1, 2, 3, 39, 40, 41, 5000 };
    for (int t = 0; t < PL_COUNT(threads); t++) {
        pl_pool *pool;
        assert_ok(pl_pool_create(threads[t], &pool));
        ck_assert_int_eq(pl_pool_workers(pool), threads[t]);
        for (int c = 0; c < PL_COUNT(counts); c++) each_index_once(pool, counts[c]);
        pl_pool_destroy(pool);
    }
    each_index_once(NULL, 100);
    ck_assert_int_eq(pl_pool_workers(NULL), 1);
    pl_pool_destroy(NULL);
}
END_TEST

START_TEST(default_and_refused)
{
    pl_pool *pool;
    assert_ok(pl_pool_create(0, &pool));
    ck_assert_int_eq(pl_pool_workers(pool), pl_cpu_count());
    pl_pool_destroy(pool);
    pool = (void *)1;
    assert_fails(pl_pool_create(-1, &pool), PL_E_WISH, "-1 threads");
    ck_assert_ptr_null(pool);
    assert_fails(pl_pool_create(PL_MAX_THREADS + 1, &pool), PL_E_WISH, "1 to 1024");
    for (int n = 0; n < 2; n++) {
        pl_mem_fail_after(n);
        assert_fails(pl_pool_create(4, &pool), PL_E_MEMORY, "out of memory");
        ck_assert_ptr_null(pool);
        pl_mem_fail_after(-1);
    }
}
END_TEST

/* Tens of thousands of loops too short to be worth it, as in decoding a token. */
static pl_status add_one(void *ctx, int64_t index, int worker)
{
    atomic_fetch_add_explicit((atomic_llong *)ctx, 1, memory_order_relaxed);
    return PL_OK;
}

START_TEST(many_tiny_loops)
{
    pl_pool *pool;
    assert_ok(pl_pool_create(2, &pool));
    atomic_llong sum = 0;
    long long expected = 0;
    for (int i = 0; i < 10000; i++) {
        pl_status code = pl_pool_for(pool, i % 5, add_one, &sum);
        expected += i % 5;
        if (code != PL_OK || atomic_load(&sum) != expected) ck_abort_msg("loop %d went wrong", i);
    }
    pl_pool_destroy(pool);
    assert_ok(pl_pool_create(9, &pool));            /* more than there are processors */
    for (int i = 0; i < 100; i++) assert_ok(pl_pool_for(pool, 20, add_one, &sum));
    ck_assert_int_eq(atomic_load(&sum), expected + 100 * 20);
    pl_pool_destroy(pool);
}
END_TEST

static void doze(long nanoseconds) { nanosleep(&(struct timespec){ 0, nanoseconds }, NULL); }

START_TEST(asleep_then_awake)
{
    pl_pool *pool;
    assert_ok(pl_pool_create(4, &pool));
    for (int i = 0; i < 20; i++) {
        doze(i % 2 ? 10000000 : 300000);            /* all asleep, or just about to be */
        each_index_once(pool, 64);
    }
    doze(10000000);
    pl_pool_destroy(pool);                          /* while they sleep */
    assert_ok(pl_pool_create(4, &pool));
    pl_pool_destroy(pool);                          /* before they have begun */
}
END_TEST

typedef struct trouble { int64_t fails_from; int64_t slow; atomic_llong started, last; } trouble;

static pl_status fail_from(void *ctx, int64_t index, int worker)
{
    trouble *t = ctx;
    atomic_fetch_add(&t->started, 1);
    if (index == t->slow) doze(20000000);           /* fails after those behind it */
    if (index < t->fails_from) return PL_OK;
    return pl_fail(index % 2 ? PL_E_IO : PL_E_INPUT, "index %lld", (long long)index);
}

START_TEST(lowest_failure_wins)
{
    const int threads[] = { 1, 2, 3, 8 };
    for (int t = 0; t < PL_COUNT(threads); t++) {
        pl_pool *pool;
        assert_ok(pl_pool_create(threads[t], &pool));
        for (int64_t from = 0; from < 40; from += 3) {
            trouble x = { .fails_from = from, .slow = from };
            char expected[32];
            snprintf(expected, sizeof expected, "index %lld", (long long)from);
            ck_assert_int_eq(pl_pool_for(pool, 1000, fail_from, &x), from % 2 ? PL_E_IO : PL_E_INPUT);
            ck_assert_str_eq(pl_error(), expected);
            ck_assert_int_lt(atomic_load(&x.started), 1000);    /* the rest is not begun */
        }
        each_index_once(pool, 100);                 /* a failure does not linger */
        pl_pool_destroy(pool);
    }
}
END_TEST

START_TEST(last_index_fails)
{
    pl_pool *pool;
    assert_ok(pl_pool_create(3, &pool));
    trouble x = { .fails_from = 99, .slow = 99 };
    assert_fails(pl_pool_for(pool, 100, fail_from, &x), PL_E_IO, "index 99");
    ck_assert_int_eq(atomic_load(&x.started), 100);
    pl_pool_destroy(pool);
}
END_TEST

START_TEST(processor)
{
    char text[64], small[8];
    ck_assert_str_eq(pl_cpu_names(0, text, sizeof text), "scalar");
    ck_assert_str_eq(pl_cpu_names(PL_CPU_AVX2 | PL_CPU_VNNI, text, sizeof text), "avx2 vnni");
    ck_assert_uint_lt(strlen(pl_cpu_names(PL_CPU_ALL, small, sizeof small)), sizeof small);
    ck_assert_str_ne(pl_cpu_model(text, sizeof text), "");
    ck_assert_int_ge(pl_cpu_count(), 1);
    setenv("PLANISH_CPU", "scalar", 1);
    ck_assert_uint_eq(pl_cpu_flags(), 0);
    setenv("PLANISH_CPU", "avx2", 1);               /* found once */
    ck_assert_uint_eq(pl_cpu_flags(), 0);
}
END_TEST

START_TEST(processor_masked)
{
    setenv("PLANISH_CPU", "avx2", 1);
    ck_assert_uint_eq(pl_cpu_flags() & ~(unsigned)PL_CPU_AVX2, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        counts_and_threads, default_and_refused, many_tiny_loops, asleep_then_awake,
        lowest_failure_wins, last_index_fails, processor, processor_masked,
    };
    return run_suite("pool", tests, PL_COUNT(tests));
}
