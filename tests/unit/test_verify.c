/* test_verify.c: faults of a model that is read whole: found, each once, in order, for any number of threads. */
#include "core/verify.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/suite.h"

static pl_arena *arena;

static void begin(void) { ck_assert_int_eq(pl_arena_create(&arena), PL_OK); }
static void end(void) { pl_arena_destroy(arena); }

static pl_status verify(pl_source *s, int threads, pl_verify *v)
{
    pl_pool *pool = NULL;
    pl_status code = pl_pool_create(threads, &pool);
    if (code == PL_OK) code = pl_verify_source(s, pool, arena, v);
    pl_pool_destroy(pool);
    return code;
}

/* Of so many rows that its token table is read in two ranges. */
static pl_source *large(void)
{
    pl_source *s = fake_model_create(&(fake_options){ .vocab = 1 << 15, .hidden = 64, .heads = 4, .kv_heads = 4,
                                                      .dtype = PL_F16 });
    ck_assert_ptr_nonnull(s);
    return s;
}

START_TEST(nothing_wrong)
{
    pl_verify v;
    pl_source *s = large();
    ck_assert_int_eq(verify(s, 3, &v), PL_OK);
    ck_assert_int_eq(v.faults, 0);
    ck_assert_int_eq(v.files, s->files);
    pl_source_close(s);
}
END_TEST

START_TEST(first_of_each_tensor)
{
    for (int threads = 1; threads <= 4; threads++) {
        pl_verify v;
        pl_source *s = large();
        int table = pl_model_find(s->model, pl_id_make(PL_TOKEN_EMBD, -1, -1));
        int up = pl_model_find(s->model, pl_id_make(PL_FFN_UP, 0, -1));
        fake_model_set(s, up, 2, 3, INFINITY);
        fake_model_set(s, table, (1 << 15) - 1, 5, NAN);
        fake_model_set(s, table, 1 << 14, 7, NAN);
        fake_model_set(s, table, 9, 1, NAN);
        fake_model_set(s, table, 9, 2, NAN);
        ck_assert_int_eq(verify(s, threads, &v), PL_OK);
        ck_assert_int_eq(v.faults, 2);
        ck_assert_str_eq(v.fault[0].tensor, s->model->tensor[table].name);
        ck_assert_str_eq(v.fault[1].tensor, s->model->tensor[up].name);
        ck_assert_ptr_nonnull(strstr(v.fault[0].sentence, "row 9 column 1"));
        ck_assert_ptr_nonnull(strstr(v.fault[1].sentence, "row 2 column 3"));
        pl_source_close(s);
    }
}
END_TEST

static pl_status differs(pl_source *s, pl_arena *scratch)
{
    (void)s;
    (void)scratch;
    return pl_fail(PL_E_INPUT, "the digest of segment 3 differs");
}

static const char *second_file(const pl_source *s, int tensor)
{
    (void)s;
    return tensor ? "second" : NULL;
}

START_TEST(what_the_format_says)
{
    pl_verify v;
    pl_source *s = large();
    pl_source_ops ops = *s->ops;
    ops.verify = differs;
    ops.file_of = second_file;
    s->ops = &ops;
    fake_model_set(s, 1, 0, 0, NAN);
    ck_assert_int_eq(verify(s, 2, &v), PL_OK);
    ck_assert_int_eq(v.faults, 2);
    ck_assert_ptr_null(v.fault[0].tensor);
    ck_assert_str_eq(v.fault[0].sentence, "the digest of segment 3 differs");
    ck_assert_str_eq(v.fault[1].file, "second");
    pl_source_close(s);
}
END_TEST

static pl_status broken_disk(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out, pl_arena *scratch)
{
    return pl_fail(PL_E_IO, "reading failed");
}

/* No fault of the model: the work cannot be done. */
START_TEST(failures_are_no_faults)
{
    pl_verify v;
    pl_source *s = large();
    const pl_source_ops *sound = s->ops;
    pl_source_ops ops = *sound;
    ops.packed = broken_disk;
    s->ops = &ops;
    ck_assert_int_eq(verify(s, 2, &v), PL_E_IO);
    s->ops = sound;
    fake_model_set(s, 1, 0, 0, NAN);
    pl_status code = PL_E_MEMORY;
    for (int n = 0; code != PL_OK; n++) {
        pl_mem_fail_after(n);
        code = verify(s, 1, &v);
        pl_mem_fail_after(-1);
        ck_assert(code == PL_OK || code == PL_E_MEMORY);
        ck_assert_int_lt(n, 1000);
    }
    ck_assert_int_eq(v.faults, 1);
    pl_source_close(s);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { nothing_wrong, first_of_each_tensor, what_the_format_says, failures_are_no_faults };
    return run_cases("verify", begin, end, tests, PL_COUNT(tests));
}
