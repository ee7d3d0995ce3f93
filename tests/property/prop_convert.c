/* prop_convert.c: a conversion's bytes depend neither on the number of threads nor on the memory
 * allowed nor on the files it is cut into, its size is the planned one, its measured error the one
 * computed directly. Seeded; PLANISH_SEED=n tries others. */
#include <math.h>
#include <unistd.h>

#include "core/convert.h"
#include "core/fs.h"
#include "core/rng.h"
#include "formats/registry.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

static const pl_registries registries = { pl_methods, pl_grids };
static uint64_t seed;

/* One conversion of a fresh copy of a model. */
typedef struct result {
    pl_source *source;
    pl_arena *arena;
    pl_sink *sink;
    pl_plan *plan;
    double *error;              /* [steps] */
} result;

static result convert_split(const fake_options *o, int dtype, const pl_sink_ops *ops, const char *path,
                            int threads, int64_t memory, int64_t range, int64_t max_shard)
{
    result r = { .source = fake_model_create(o) };
    pl_recipe recipe = { .type = pl_type_plain(dtype) };
    pl_plan_options options = { .threads = threads, .memory = memory };
    pl_pool *pool;
    assert_ok(pl_arena_create(&r.arena));
    assert_ok(pl_sink_create(ops, &r.sink));
    r.sink->max_shard = max_shard;
    assert_ok(pl_plan_create(r.source->model, &recipe, r.sink, &registries, &options, r.arena, &r.plan));
    if (range) r.plan->range_elements = range;
    r.error = calloc((size_t)r.plan->steps, sizeof *r.error);
    assert_ok(pl_pool_create(r.plan->threads, &pool));
    pl_convert_options how = { .force = true, .measure = true };
    assert_ok(pl_convert(r.plan, r.source, r.sink, path, pool, &how, r.error));
    pl_pool_destroy(pool);
    return r;
}

static result convert(const fake_options *o, int dtype, const pl_sink_ops *ops, const char *path,
                      int threads, int64_t memory, int64_t range)
{
    return convert_split(o, dtype, ops, path, threads, memory, range, 0);
}

static void drop(result *r)
{
    free(r->error);
    pl_sink_close(r->sink);
    pl_arena_destroy(r->arena);
    pl_source_close(r->source);
}

static fake_options random_options(uint64_t round)
{
    static const int stored[] = { PL_F32, PL_F16, PL_BF16 };
    return (fake_options){ .layers = 1 + (int32_t)(pl_rng_bits(seed, round, 0) % 2),
                           .hidden = 32 * (1 + (int32_t)(pl_rng_bits(seed, round, 1) % 4)), .heads = 2,
                           .kv_heads = 1, .ffn = 10 + (int32_t)(pl_rng_bits(seed, round, 2) % 150),
                           .vocab = 10 + (int32_t)(pl_rng_bits(seed, round, 3) % 700),
                           .dtype = stored[round % 3], .tied = pl_rng_bits(seed, round, 4) & 1,
                           .interleaved = pl_rng_bits(seed, round, 5) & 1, .seed = seed };
}

static void expect_same(const result *a, const result *b, const char *what)
{
    const fake_store *x = fake_sink_store(a->sink), *y = fake_sink_store(b->sink);
    ck_assert_int_eq(x->parts, y->parts);
    ck_assert_mem_eq(&a->plan->digest, &b->plan->digest, sizeof a->plan->digest);
    for (int i = 0; i < x->parts; i++) {
        ck_assert_int_eq(x->bytes[i], y->bytes[i]);
        ck_assert_msg(!memcmp(x->part[i], y->part[i], (size_t)x->bytes[i]), "part %d differs with %s", i, what);
    }
}

START_TEST(threads_and_memory)
{
    const int threads[] = { 2, 3, 7 };
    const int64_t ranges[] = { 1, 333, 4096 };
    for (uint64_t round = 0; round < PL_DTYPES; round++) {
        fake_options o = random_options(round);
        result one = convert(&o, (int)round, &fake_sink, "", 1, 0, 0);
        for (int i = 0; i < PL_COUNT(threads); i++) {
            result many = convert(&o, (int)round, &fake_sink, "", threads[i], 0, 0);
            expect_same(&one, &many, "more threads");
            /* the same ranges, so the same sums to the last bit */
            ck_assert_mem_eq(one.error, many.error, (size_t)one.plan->steps * sizeof *one.error);
            drop(&many);
            many = convert(&o, (int)round, &fake_sink, "", threads[i], 0, ranges[i]);
            expect_same(&one, &many, "shorter ranges");
            for (int s = 0; s < one.plan->steps; s++)
                ck_assert(fabs(one.error[s] - many.error[s]) <= 1e-13 * one.error[s]);
            drop(&many);
        }
        drop(&one);
    }
}
END_TEST

/* As little memory as the plan takes. */
START_TEST(least_memory)
{
    fake_options o = { .layers = 1, .vocab = 3000, .dtype = PL_BF16, .seed = seed };
    result all = convert(&o, PL_Q4_0, &fake_sink, "", 7, 0, 0);
    pl_recipe recipe = { .type = pl_type_plain(PL_Q4_0) };
    pl_plan *plan;
    pl_plan_options options = { .threads = 7, .memory = 1 };
    ck_assert_int_eq(pl_plan_create(all.source->model, &recipe, all.sink, &registries, &options, all.arena, &plan), PL_E_WISH);
    long long least;
    ck_assert_int_eq(sscanf(strstr(pl_error(), "at least"), "at least %lld", &least), 1);
    for (int64_t more = 0; more < 8 << 20; more += 900000) {
        result little = convert(&o, PL_Q4_0, &fake_sink, "", 7, least + more, 0);
        ck_assert_int_le(little.plan->peak, least + more);
        if (more == 0) ck_assert(little.plan->threads == 1 && little.plan->range_elements <= 1 << 14);
        expect_same(&all, &little, "little memory");
        drop(&little);
    }
    drop(&all);
}
END_TEST

START_TEST(planned_size_is_written)
{
    for (uint64_t round = 0; round < 3 * PL_DTYPES; round++) {
        fake_options o = random_options(round);
        result r = convert(&o, (int)(round % PL_DTYPES), &pl_sink_gguf, temp_path("out.gguf"), 2, 0, 3000);
        pl_file *file;
        assert_ok(pl_file_open(temp_path("out.gguf"), &file));
        ck_assert_int_eq(pl_file_size(file), r.plan->bytes);
        ck_assert_int_gt(r.plan->bytes, r.plan->data_bytes);
        pl_file_close(file);
        drop(&r);
        r = convert(&o, (int)(round % PL_DTYPES), &fake_sink, "", 2, 0, 3000);
        const fake_store *store = fake_sink_store(r.sink);
        int64_t received = 0;
        for (int i = 0; i < store->parts; i++) received += store->received[i];
        ck_assert_int_eq(received, r.plan->data_bytes);
        drop(&r);
    }
}
END_TEST

static int64_t size_of(const char *path)
{
    pl_file *file;
    assert_ok(pl_file_open(path, &file));
    int64_t size = pl_file_size(file);
    pl_file_close(file);
    return size;
}

/* A set of files holds what one file holds, in as many bytes as were planned, whoever wrote it. */
START_TEST(split_is_the_whole)
{
    static const pl_source_ops *const gguf[] = { &pl_source_gguf, NULL };
    for (uint64_t round = 0; round < 2 * PL_DTYPES; round++) {
        fake_options o = random_options(round);
        int dtype = (int)(round % PL_DTYPES);
        result one = convert(&o, dtype, &pl_sink_gguf, temp_path("one.gguf"), 1, 0, 0);
        int64_t limit = 1 + (int64_t)(pl_rng_bits(seed, round, 6) % (uint64_t)one.plan->bytes);
        result set = convert_split(&o, dtype, &pl_sink_gguf, temp_path("set.gguf"), 3, 0, 2000, limit);
        ck_assert_int_gt(set.sink->files, 1);
        ck_assert_mem_eq(&one.plan->digest, &set.plan->digest, sizeof one.plan->digest);
        char first[PATH_MAX], name[PATH_MAX];
        int64_t bytes = 0;
        for (int i = set.sink->files - 1; i >= 0; i--) {
            assert_ok(pl_sink_file_name(set.sink, temp_path("set.gguf"), i, name));
            bytes += size_of(name);
        }
        ck_assert_int_eq(bytes, set.plan->bytes);
        memcpy(first, name, sizeof first);
        pl_source *a, *b;
        pl_arena *scratch;
        assert_ok(pl_arena_create(&scratch));
        assert_ok(pl_source_open(gguf, temp_path("one.gguf"), NULL, &a));
        assert_ok(pl_source_open(gguf, first, NULL, &b));
        ck_assert_int_eq(b->files, set.sink->files);
        ck_assert_int_eq(a->model->tensors, b->model->tensors);
        for (int i = 0; i < a->model->tensors; i++) {
            const pl_tensor *t = &a->model->tensor[i];
            pl_packed x, y;
            ck_assert(pl_id_equal(t->id, b->model->tensor[i].id));
            assert_ok(pl_source_packed(a, i, 0, t->rows, &x, scratch));
            assert_ok(pl_source_packed(b, i, 0, t->rows, &y, scratch));
            ck_assert_int_eq(x.part[0].bytes, y.part[0].bytes);
            ck_assert_mem_eq(x.part[0].ptr, y.part[0].ptr, (size_t)x.part[0].bytes);
        }
        pl_arena_destroy(scratch);
        pl_source_close(a);
        pl_source_close(b);
        drop(&one);
        drop(&set);
    }
}
END_TEST

START_TEST(errors_as_computed_directly)
{
    for (uint64_t round = 0; round < 2 * PL_DTYPES; round++) {
        fake_options o = random_options(round);
        result r = convert(&o, (int)(round % PL_DTYPES), &fake_sink, "", 3, 0, 2000);
        for (int i = 0; i < r.plan->steps; i++) {
            pl_packed p = r.plan->step[i].out;
            p.part[0].ptr = fake_sink_store(r.sink)->part[p.part[0].id];
            float *rows = malloc((size_t)(p.rows * p.cols) * sizeof *rows);
            assert_ok(pl_packed_decode(&p, 0, p.rows, rows, NULL));
            long double error = 0, power = 0;
            for (int64_t row = 0; row < p.rows; row++) {
                for (int64_t c = 0; c < p.cols; c++) {
                    int64_t from = pl_order_source(row, p.order);
                    long double w = fake_model_value(r.source, r.plan->step[i].tensor, from, c);
                    error += (w - rows[row * p.cols + c]) * (w - rows[row * p.cols + c]);
                    power += w * w;
                }
            }
            double direct = (double)sqrtl(error / power);
            ck_assert_msg(fabs(direct - r.error[i]) <= 1e-12 * direct, "%s: %.17g, directly %.17g",
                          r.plan->step[i].name, r.error[i], direct);
            bool copied = !strcmp(r.plan->step[i].method->name, "copy");
            ck_assert_msg(!copied || r.error[i] == 0, "%s", r.plan->step[i].name);
            free(rows);
        }
        drop(&r);
    }
}
END_TEST

/* Its norm is zero: the error is 0, not 0/0. */
START_TEST(all_zero_matrix)
{
    fake_options o = { .layers = 1 };
    pl_source *s = fake_model_create(&o);
    int t = pl_model_find(s->model, pl_id_make(PL_FFN_UP, 0, -1));
    for (int64_t row = 0; row < s->model->tensor[t].rows; row++)
        for (int64_t c = 0; c < s->model->tensor[t].cols; c++) fake_model_set(s, t, row, c, 0);
    result r = { .source = s };
    for (int dtype = 0; dtype < PL_DTYPES; dtype++) {
        pl_recipe recipe = { .type = pl_type_plain(dtype) };
        assert_ok(pl_arena_create(&r.arena));
        assert_ok(pl_sink_create(&fake_sink, &r.sink));
        assert_ok(pl_plan_create(s->model, &recipe, r.sink, &registries, &(pl_plan_options){ 0 }, r.arena, &r.plan));
        double error[32];
        ck_assert_int_le(r.plan->steps, PL_COUNT(error));
        assert_ok(pl_convert(r.plan, s, r.sink, "", NULL, &(pl_convert_options){ .measure = true }, error));
        for (int i = 0; i < r.plan->steps; i++)
            if (r.plan->step[i].tensor == t) ck_assert(error[i] == 0);
        pl_sink_close(r.sink);
        pl_arena_destroy(r.arena);
    }
    pl_source_close(s);
}
END_TEST

int main(void)
{
    const char *wish = getenv("PLANISH_SEED");
    seed = wish ? strtoull(wish, NULL, 10) : 1;
    const TTest *const tests[] = {
        threads_and_memory, least_memory, planned_size_is_written, split_is_the_whole,
        errors_as_computed_directly, all_zero_matrix,
    };
    return run_suite("convert", tests, PL_COUNT(tests));
}
