/* test_status_mem.c: error sentences, messages, checked allocation, arenas. */
#include <pthread.h>
#include <stdint.h>

#include "core/log.h"
#include "core/mem.h"
#include "tests/unit/run.h"

START_TEST(sentences)
{
    ck_assert_str_eq(pl_error(), "");
    ck_assert_int_eq(pl_fail(PL_E_INPUT, "tensor '%s' at %d", "x", 7), PL_E_INPUT);
    ck_assert_str_eq(pl_error(), "tensor 'x' at 7");
    ck_assert_int_eq(pl_fail_prefix(PL_E_IO, "shard %d: ", 3), PL_E_IO);
    ck_assert_str_eq(pl_error(), "shard 3: tensor 'x' at 7");
    /* arguments that point into the old sentence */
    pl_fail(PL_E_IO, "again: %s", pl_error());
    ck_assert_str_eq(pl_error(), "again: shard 3: tensor 'x' at 7");
    pl_fail_prefix(PL_E_IO, "%s | ", pl_error());
    ck_assert_str_eq(pl_error(), "again: shard 3: tensor 'x' at 7 | again: shard 3: tensor 'x' at 7");
}
END_TEST

START_TEST(long_sentences_are_cut)
{
    char text[3 * PL_ERROR_BYTES];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 0;
    pl_fail(PL_E_IO, "%s", text);
    ck_assert_uint_eq(strlen(pl_error()), PL_ERROR_BYTES - 1);
    pl_fail_prefix(PL_E_IO, "b%s", "c");
    ck_assert_uint_eq(strlen(pl_error()), PL_ERROR_BYTES - 1);
    ck_assert_int_eq(strncmp(pl_error(), "bcaaa", 5), 0);
    memset(text, 'd', sizeof text - 1);
    pl_fail_prefix(PL_E_IO, "%s", text);
    ck_assert_uint_eq(strlen(pl_error()), PL_ERROR_BYTES - 1);
    ck_assert_int_eq(pl_error()[PL_ERROR_BYTES - 2], 'd');
}
END_TEST

static void *other_thread(void *unused)
{
    const char *before = pl_error();
    void *result = before[0] ? (void *)1 : NULL;
    pl_fail(PL_E_IO, "mine");
    return result;
}

START_TEST(sentences_belong_to_threads)
{
    pl_fail(PL_E_IO, "yours");
    pthread_t thread;
    void *result;
    ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_join(thread, &result);
    ck_assert_ptr_null(result);
    ck_assert_str_eq(pl_error(), "yours");
}
END_TEST

START_TEST(exit_codes)
{
    const int codes[][2] = { { PL_OK, 0 }, { PL_E_CHECK, 1 }, { PL_E_WISH, 2 }, { PL_E_INPUT, 3 },
                             { PL_E_IO, 4 }, { PL_E_MEMORY, 4 } };
    for (int i = 0; i < PL_COUNT(codes); i++) ck_assert_int_eq(pl_status_exit(codes[i][0]), codes[i][1]);
}
END_TEST

START_TEST(checked_arithmetic)
{
    int64_t out = 5;
    ck_assert(pl_mul_ok(3, 4, &out) && out == 12);
    ck_assert(!pl_mul_ok(-1, 4, &out) && !pl_mul_ok(4, -1, &out));
    ck_assert(!pl_mul_ok(INT64_MAX, 2, &out) && pl_mul_ok(INT64_MAX, 1, &out));
    ck_assert(!pl_add_ok(INT64_MAX, 1, &out) && !pl_add_ok(-1, 1, &out));
    ck_assert(pl_align_ok(33, 32, &out) && out == 64);
    ck_assert(pl_align_ok(0, 32, &out) && out == 0);
    ck_assert(!pl_align_ok(INT64_MAX - 3, 32, &out) && !pl_align_ok(-1, 32, &out));
    ck_assert_int_eq(pl_ceil_div(0, 8), 0);
    ck_assert_int_eq(pl_ceil_div(9, 8), 2);
    ck_assert_int_eq(pl_ceil_div(INT64_MAX, 2), INT64_MAX / 2 + 1);
}
END_TEST

START_TEST(sizes_that_are_none)
{
    ck_assert_ptr_null(pl_alloc(-1, 4));
    ck_assert_ptr_nonnull(strstr(pl_error(), "out of memory"));
    ck_assert_ptr_null(pl_alloc(INT64_MAX, 4));
    ck_assert_ptr_null(pl_alloc(INT64_MAX - 70, 1));
    ck_assert_ptr_null(pl_alloc_aligned(INT64_MAX - 70, 1));
    ck_assert_ptr_null(pl_realloc(NULL, -5, 1));
    pl_arena *arena;
    assert_ok(pl_arena_create(&arena));
    ck_assert_ptr_null(pl_arena_alloc(arena, INT64_MAX, 8));
    ck_assert_ptr_null(pl_arena_alloc(arena, INT64_MAX - 70, 1));
    ck_assert_ptr_null(pl_arena_alloc(arena, -1, 8));
    ck_assert_ptr_null(pl_arena_zalloc(arena, -1, 8));
    ck_assert_ptr_null(pl_arena_text(arena, "x", SIZE_MAX));
    ck_assert_ptr_nonnull(pl_arena_alloc(arena, 0, 8));
    pl_arena_destroy(arena);
    pl_arena_destroy(NULL);
    void *none = pl_alloc(0, 16);
    ck_assert_ptr_nonnull(none);
    pl_free(none);
    pl_free(NULL);
}
END_TEST

static bool all_zero(const uint8_t *p, int64_t len)
{
    int sum = 0;
    for (int64_t i = 0; i < len; i++) sum |= p[i];
    return sum == 0;
}

START_TEST(zeroed_and_aligned)
{
    uint8_t *p = pl_alloc(1000, 3);
    ck_assert(all_zero(p, 3000));
    p = pl_realloc(p, 6000, 1);
    ck_assert_uint_eq(p[2999], 0);
    pl_free(p);
    for (int i = 1; i < 300; i += 37) {
        void *a = pl_alloc_aligned(i, 1);
        ck_assert_uint_eq((uintptr_t)a % 64, 0);
        pl_free(a);
    }
    char *copy = pl_strdup("planish");
    ck_assert_str_eq(copy, "planish");
    pl_free(copy);
}
END_TEST

START_TEST(failure_on_demand)
{
    pl_mem_fail_after(2);
    void *a = pl_alloc(1, 1), *b = pl_alloc_aligned(1, 1);
    ck_assert(a && b);
    for (int i = 0; i < 5; i++) {
        ck_assert_ptr_null(pl_alloc(1, 1));
        ck_assert_ptr_null(pl_alloc_aligned(1, 1));
        ck_assert_ptr_null(pl_realloc(NULL, 1, 1));
        ck_assert_ptr_null(pl_strdup("x"));
    }
    ck_assert_ptr_null(pl_realloc(a, 100, 1));      /* leaves the old block alone */
    pl_mem_fail_after(0);
    ck_assert_ptr_null(pl_alloc(1, 1));
    pl_mem_fail_after(-1);
    void *c = pl_alloc(1, 1);
    ck_assert_ptr_nonnull(c);
    pl_free(a);
    pl_free(b);
    pl_free(c);
}
END_TEST

/* Pieces never overlap, are aligned, and survive as long as the arena says. */
START_TEST(arena_pieces)
{
    enum { PIECES = 400 };
    pl_arena *arena;
    assert_ok(pl_arena_create(&arena));
    ck_assert_int_eq(pl_arena_bytes(arena), 0);
    int64_t held = 0;
    for (int round = 0; round < 3; round++) {
        uint8_t *piece[PIECES];
        int64_t size[PIECES];
        for (int i = 0; i < PIECES; i++) {
            size[i] = i % 41 == 0 ? 200000 : 1 + i * 37 % 5000;
            piece[i] = pl_arena_alloc(arena, size[i], 1);
            ck_assert_uint_eq((uintptr_t)piece[i] % 64, 0);
            memset(piece[i], i & 255, (size_t)size[i]);
        }
        int64_t wrong = 0;
        for (int i = 0; i < PIECES; i++)
            for (int64_t k = 0; k < size[i]; k++) wrong += piece[i][k] != (i & 255);
        ck_assert_int_eq(wrong, 0);
        if (round == 0) held = pl_arena_bytes(arena);
        ck_assert_int_eq(pl_arena_bytes(arena), held);      /* reset keeps and reuses its memory */
        pl_arena_reset(arena);
    }
    ck_assert_int_gt(held, 10 * 200000);
    pl_arena_destroy(arena);
}
END_TEST

START_TEST(arena_marks)
{
    pl_arena *arena;
    assert_ok(pl_arena_create(&arena));
    pl_arena_mark empty = pl_arena_save(arena);
    char *kept = pl_arena_text(arena, "kept and more", 4);
    ck_assert_str_eq(kept, "kept");
    pl_arena_mark mark = pl_arena_save(arena);
    void *first = pl_arena_alloc(arena, 100, 1);
    int64_t held = 0;
    for (int i = 0; i < 50; i++) {
        pl_arena_restore(arena, mark);
        ck_assert_ptr_eq(pl_arena_alloc(arena, 100, 1), first);
        memset(pl_arena_alloc(arena, 1 << 20, 1), i, 1 << 20);      /* in a chunk of its own */
        memset(pl_arena_alloc(arena, 3 << 20, 1), i, 3 << 20);
        if (i == 0) held = pl_arena_bytes(arena);
    }
    ck_assert_int_eq(pl_arena_bytes(arena), held);
    ck_assert_str_eq(kept, "kept");
    pl_arena_restore(arena, empty);
    uint8_t *zero = pl_arena_zalloc(arena, 1000, 1);
    ck_assert(all_zero(zero, 1000));
    ck_assert_str_eq(pl_arena_format(arena, "%d %s", 4, "five"), "4 five");
    pl_arena_destroy(arena);
}
END_TEST

START_TEST(arena_without_memory)
{
    pl_arena *arena = (void *)1;
    pl_mem_fail_after(0);
    ck_assert_int_eq(pl_arena_create(&arena), PL_E_MEMORY);
    ck_assert_ptr_null(arena);
    for (int n = 1; n < 3; n++) {               /* the arena's head, its chunk's head, its data */
        pl_mem_fail_after(n);
        assert_ok(pl_arena_create(&arena));
        ck_assert_ptr_null(pl_arena_alloc(arena, 10, 1));
        ck_assert_ptr_null(pl_arena_text(arena, "x", 1));
        ck_assert_ptr_null(pl_arena_format(arena, "x"));
        ck_assert_int_eq(pl_arena_bytes(arena), 0);
        pl_mem_fail_after(-1);
        ck_assert_ptr_nonnull(pl_arena_alloc(arena, 10, 1));
        pl_arena_destroy(arena);
    }
}
END_TEST

typedef struct heard { int messages, progress; pl_level level; char text[2048]; int64_t done; } heard;

static void hear_message(void *ctx, pl_level level, const char *text)
{
    heard *h = ctx;
    h->messages++;
    h->level = level;
    snprintf(h->text, sizeof h->text, "%s", text);
}

static void hear_progress(void *ctx, const pl_progress_event *event)
{
    heard *h = ctx;
    h->progress++;
    h->done = event->done;
    ck_assert_str_eq(event->task, "convert");
    ck_assert_ptr_null(event->item);
    ck_assert_int_eq(event->total, 10);
}

START_TEST(messages)
{
    heard h = { 0 };
    pl_log(PL_LOG_ERROR, "nobody hears this");
    pl_progress("convert", NULL, "B", 1, 10);
    pl_log_set(&(pl_log_sink){ hear_message, NULL, &h });
    pl_log(PL_LOG_WARN, "%d of %s", 1, "two");
    pl_progress("convert", NULL, "B", 2, 10);
    ck_assert_int_eq(h.messages, 1);
    ck_assert_int_eq(h.level, PL_LOG_WARN);
    ck_assert_str_eq(h.text, "1 of two");
    pl_log_set(&(pl_log_sink){ NULL, hear_progress, &h });
    pl_log(PL_LOG_WARN, "not this");
    pl_progress("convert", NULL, "B", 3, 10);
    pl_log_set(NULL);
    pl_progress("convert", NULL, "B", 4, 10);
    ck_assert_int_eq(h.messages, 1);
    ck_assert_int_eq(h.progress, 1);
    ck_assert_int_eq(h.done, 3);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        sentences, long_sentences_are_cut, sentences_belong_to_threads, exit_codes, checked_arithmetic,
        sizes_that_are_none, zeroed_and_aligned, failure_on_demand, arena_pieces, arena_marks,
        arena_without_memory, messages,
    };
    return run_suite("status_mem", tests, PL_COUNT(tests));
}
