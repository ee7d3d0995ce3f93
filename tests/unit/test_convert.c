/* test_convert.c: the conversion loop: right bytes, refusals, failures that leave nothing behind but what is finished. */
#include <dirent.h>
#include <math.h>
#include <unistd.h>

#include "core/convert.h"
#include "core/fs.h"
#include "formats/registry.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

static const pl_registries registries = { pl_methods, pl_grids };

/* Everything one conversion needs. */
typedef struct setup {
    pl_source *source;
    pl_sink *sink;
    pl_arena *arena;
    pl_pool *pool;
    pl_plan *plan;
    bool force, measure;
    double *error;
} setup;

/* Plans and converts; the caller closes. Small ranges, so that there are many. */
static pl_status run(setup *s, const pl_sink_ops *ops, pl_recipe *recipe, int threads, const char *path)
{
    PL_TRY(pl_arena_create(&s->arena));
    PL_TRY(pl_sink_create(ops, &s->sink));
    pl_plan_options options = { .threads = threads };
    PL_TRY(pl_plan_create(s->source->model, recipe, s->sink, &registries, &options, s->arena, &s->plan));
    s->plan->range_elements = 1000;
    PL_TRY(pl_pool_create(threads, &s->pool));
    if (s->measure) {
        s->error = pl_alloc(s->plan->steps, sizeof *s->error);
        if (!s->error) return PL_E_MEMORY;
    }
    pl_convert_options o = { .force = s->force, .measure = s->measure };
    return pl_convert(s->plan, s->source, s->sink, path, s->pool, &o, s->error);
}

static void done(setup *s)
{
    pl_free(s->error);
    pl_pool_destroy(s->pool);
    pl_sink_close(s->sink);
    pl_arena_destroy(s->arena);
    pl_source_close(s->source);
}

static int entries(void)
{
    int count = 0;
    DIR *dir = opendir(temp_folder);
    for (struct dirent *e; (e = readdir(dir));) count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

static pl_recipe wish(int dtype) { return (pl_recipe){ .type = pl_type_plain(dtype) }; }

/* Every value of a lossless conversion arrives, in the row order that the sink asked for. */
START_TEST(values_arrive)
{
    for (int variant = 0; variant < 8; variant++) {
        fake_options o = { .dtype = variant & 1 ? PL_BF16 : PL_F32, .interleaved = variant & 2 };
        setup s = { .source = fake_model_create(&o) };
        pl_recipe r = wish(variant & 4 ? PL_F32 : o.dtype);
        assert_ok(run(&s, &fake_sink, &r, 3, ""));
        const fake_store *store = fake_sink_store(s.sink);
        ck_assert(store->finished);
        int wrong = 0;
        for (int i = 0; i < s.plan->steps; i++) {
            const pl_step *step = &s.plan->step[i];
            pl_packed p = step->out;
            p.part[0].ptr = store->part[p.part[0].id];
            float *rows = malloc((size_t)(p.rows * p.cols) * sizeof *rows);
            assert_ok(pl_packed_decode(&p, 0, p.rows, rows, NULL));
            for (int64_t row = 0; row < p.rows; row++)
                for (int64_t c = 0; c < p.cols; c++)
                    wrong += rows[row * p.cols + c] !=
                             fake_model_value(s.source, step->tensor, pl_order_source(row, p.order), c);
            free(rows);
        }
        ck_assert_int_eq(wrong, 0);
        ck_assert_ptr_null(s.source->vocab_arena);      /* not needed once the header is out */
        done(&s);
    }
}
END_TEST

START_TEST(output_is_the_input)
{
    temp_write("model", "precious", 8);
    ck_assert_int_eq(link(temp_path("model"), temp_path("hard")), 0);
    ck_assert_int_eq(symlink("model", temp_path("soft")), 0);
    const char *names[] = { "model", "hard", "soft" };
    for (int i = 0; i < PL_COUNT(names); i++) {
        setup s = { .source = fake_model_create(&(fake_options){ 0 }), .force = true };
        char input[PATH_MAX];
        snprintf(input, sizeof input, "%s", temp_path("model"));
        const char *files[] = { "/dev/null", input };
        s.source->file = files;
        s.source->files = 2;
        pl_recipe r = wish(PL_Q4_0);
        assert_fails(run(&s, &pl_sink_gguf, &r, 2, temp_path(names[i])), PL_E_WISH, "is the input");
        done(&s);
    }
    char *data;
    assert_ok(pl_file_load(temp_path("model"), 100, &data, NULL));
    ck_assert_str_eq(data, "precious");
    pl_free(data);
}
END_TEST

START_TEST(a_source_that_fails)
{
    temp_write("old", "old", 3);
    const int64_t after[] = { 0, 1, 7, 60 };
    for (int i = 0; i < PL_COUNT(after); i++) {
        for (int threads = 1; threads <= 3; threads++) {
            setup s = { .source = fake_model_create(&(fake_options){ 0 }), .force = true };
            fake_model_fail_after(s.source, after[i]);
            pl_recipe r = wish(PL_Q5_1);
            assert_fails(run(&s, &pl_sink_gguf, &r, threads, temp_path(i % 2 ? "old" : "new")), PL_E_IO,
                         "fake model: reading");
            bool kept = strstr(pl_error(), "--resume goes on") != NULL;
            done(&s);
            ck_assert(after[i] > 0 ? after[i] < 60 || kept : !kept);
            ck_assert_int_eq(entries(), kept ? 3 : 1);      /* with what is finished, and the journal */
            if (kept) ck_assert_int_eq(remove(temp_path(i % 2 ? "old.partial" : "new.partial")), 0);
            if (kept) ck_assert_int_eq(remove(temp_path(i % 2 ? "old.journal" : "new.journal")), 0);
        }
    }
    char *data;
    assert_ok(pl_file_load(temp_path("old"), 100, &data, NULL));
    ck_assert_str_eq(data, "old");
    pl_free(data);
}
END_TEST

START_TEST(a_sink_that_fails)
{
    for (int at = 1; at < 30; at += 7) {
        setup s = { .source = fake_model_create(&(fake_options){ 0 }) };
        pl_recipe r = wish(PL_Q4_0);
        assert_ok(pl_arena_create(&s.arena));
        assert_ok(pl_sink_create(&fake_sink, &s.sink));
        fake_sink_store(s.sink)->fail_at = at;
        pl_plan_options options = { .threads = 2 };
        assert_ok(pl_plan_create(s.source->model, &r, s.sink, &registries, &options, s.arena, &s.plan));
        s.plan->range_elements = 1000;
        assert_ok(pl_pool_create(2, &s.pool));
        assert_fails(pl_convert(s.plan, s.source, s.sink, "", s.pool, &(pl_convert_options){ 0 }, NULL),
                     PL_E_IO, "fake sink: full");
        ck_assert(!fake_sink_store(s.sink)->finished);
        ck_assert_int_le(fake_sink_store(s.sink)->puts, at + 1);
        done(&s);
    }
}
END_TEST

START_TEST(existing_output)
{
    setup s = { .source = fake_model_create(&(fake_options){ 0 }) };
    temp_write("out.gguf", "old", 3);
    pl_recipe r = wish(PL_Q4_0);
    assert_fails(run(&s, &pl_sink_gguf, &r, 2, temp_path("out.gguf")), PL_E_WISH, "exists already");
    done(&s);
    ck_assert_int_eq(entries(), 1);
    s = (setup){ .source = fake_model_create(&(fake_options){ 0 }), .force = true };
    assert_ok(run(&s, &pl_sink_gguf, &r, 2, temp_path("out.gguf")));
    pl_file *file;
    assert_ok(pl_file_open(temp_path("out.gguf"), &file));
    ck_assert_int_eq(pl_file_size(file), s.plan->bytes);
    pl_file_close(file);
    ck_assert_int_eq(entries(), 1);
    done(&s);
}
END_TEST

/* A weight that is no number is named as the checkpoint numbers its rows, whatever the sink's order. */
START_TEST(bad_weights)
{
    const struct {
        int role; int64_t row, col; float value; int to; const char *name, *part, *interleaved;
    } cases[] = {
        { PL_FFN_UP, 70, 63, NAN, PL_Q4_0, "up_proj", "row 70 column 63 is nan", NULL },
        { PL_FFN_UP, 0, 0, -INFINITY, PL_F16, "up_proj", "row 0 column 0 is -inf", NULL },
        { PL_ATTN_Q, 9, 5, INFINITY, PL_Q8_0, "q_proj", "row 9 column 5 is inf", "row 3 column 5" },
        { PL_ATTN_K, 17, 31, NAN, PL_F32, "k_proj", "row 17 column 31 is nan", "row 18 column 31" },
        { PL_ATTN_NORM, 3, 0, NAN, PL_Q4_0, "input_layernorm", "row 3 column 0 is nan", NULL },
        { PL_FFN_DOWN, 5, 6, 1e6f, PL_F16, "down_proj", "row 5 column 6: 1e+06 does not fit f16", NULL },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        for (int interleaved = 0; interleaved < 2; interleaved++) {
            setup s = { .source = fake_model_create(&(fake_options){ .interleaved = interleaved }) };
            int t = pl_model_find(s.source->model, pl_id_make(cases[i].role, 1, -1));
            fake_model_set(s.source, t, cases[i].row, cases[i].col, cases[i].value);
            pl_recipe r = wish(cases[i].to);
            pl_status code = run(&s, &pl_sink_gguf, &r, 2, temp_path("out"));
            ck_assert_int_eq(code, PL_E_INPUT);
            ck_assert_msg(strstr(pl_error(), cases[i].name), "%s", pl_error());
            const char *part = interleaved && cases[i].interleaved ? cases[i].interleaved : cases[i].part;
            ck_assert_msg(strstr(pl_error(), part), "%s", pl_error());
            done(&s);
            ck_assert_int_eq(entries(), 0);
        }
    }
}
END_TEST

/* ---- a sink that takes parts only in their order ---- */

static int next_part;
static int64_t next_offset;

static pl_status strict_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    if (part->id != next_part || offset != next_offset)
        return pl_fail(PL_E_CHECK, "part %d at %lld came, expected was part %d at %lld", part->id,
                       (long long)offset, next_part, (long long)next_offset);
    next_offset += (int64_t)len;
    if (next_offset == part->bytes) next_offset = 0, next_part++;
    return fake_sink.put(s, part, offset, bytes, len);
}

START_TEST(order_of_ranges)
{
    pl_sink_ops strict = fake_sink;
    strict.flags = 0;
    strict.put = strict_put;
    setup s = { .source = fake_model_create(&(fake_options){ 0 }) };
    pl_recipe r = wish(PL_Q8_0);
    assert_ok(run(&s, &strict, &r, 4, ""));
    ck_assert_int_eq(next_part, s.plan->parts);
    ck_assert_int_gt(fake_sink_store(s.sink)->puts, 2 * s.plan->parts);
    done(&s);
}
END_TEST

/* ---- every allocation fails once ---- */

static void fail_everywhere(const pl_sink_ops *ops, int threads, int64_t step)
{
    int64_t n = 0;
    for (pl_status code = PL_E_MEMORY; code != PL_OK; n += step) {
        setup s = { .source = fake_model_create(&(fake_options){ .layers = 1, .ffn = 90 }),
                    .measure = true };
        pl_recipe r = wish(PL_Q4_1);
        pl_mem_fail_after(n);
        code = run(&s, ops, &r, threads, temp_path("out"));
        pl_mem_fail_after(-1);
        ck_assert_msg(code == PL_OK || code == PL_E_MEMORY, "allocation %lld: %d, %s", (long long)n, code, pl_error());
        if (code == PL_E_MEMORY) ck_assert_msg(strstr(pl_error(), "memory"), "%s", pl_error());
        done(&s);
        if (code != PL_OK) ck_assert_int_eq(entries(), 0);
    }
    ck_assert_int_gt(n, 20);
}

START_TEST(without_memory)
{
    fail_everywhere(&pl_sink_gguf, 1, 1);
    ck_assert_int_eq(entries(), 1);
}
END_TEST

START_TEST(without_memory_in_threads)
{
    fail_everywhere(&fake_sink, 3, 1);
    fail_everywhere(&pl_sink_digest, 3, 3);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        values_arrive, output_is_the_input, a_source_that_fails, a_sink_that_fails, existing_output,
        bad_weights, order_of_ranges, without_memory, without_memory_in_threads,
    };
    return run_suite("convert", tests, PL_COUNT(tests));
}
