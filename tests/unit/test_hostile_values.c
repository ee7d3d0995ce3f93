/* test_hostile_values.c: weights that are not finite, files that shrink under a conversion, texts that
 * would command a terminal. */
#include <dirent.h>
#include <math.h>
#include <unistd.h>

#include "core/convert.h"
#include "core/fs.h"
#include "core/json.h"
#include "core/log.h"
#include "formats/registry.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

static const pl_registries registries = { pl_methods, pl_grids };
static const pl_source_ops *const gguf[] = { &pl_source_gguf, NULL };

/* One conversion; what the sink kept is there until done(). */
typedef struct job {
    pl_source *source;
    pl_sink *sink;
    pl_arena *arena;
    pl_pool *pool;
    pl_plan *plan;
    pl_nonfinite found;
} job;

static pl_status run(job *j, const pl_sink_ops *ops, int dtype, int threads, bool allow, const char *path)
{
    pl_recipe recipe = { .type = pl_type_plain(dtype) };
    pl_plan_options wishes = { .threads = threads };
    PL_TRY(pl_arena_create(&j->arena));
    PL_TRY(pl_sink_create(ops, &j->sink));
    PL_TRY(pl_plan_create(j->source->model, &recipe, j->sink, &registries, &wishes, j->arena, &j->plan));
    j->plan->range_elements = 1000;
    PL_TRY(pl_pool_create(threads, &j->pool));
    pl_convert_options options = { .force = true, .nonfinite = allow ? &j->found : NULL };
    return pl_convert(j->plan, j->source, j->sink, path, j->pool, &options, NULL);
}

static void done(job *j)
{
    pl_pool_destroy(j->pool);
    pl_sink_close(j->sink);
    pl_arena_destroy(j->arena);
    pl_source_close(j->source);
}

static bool stands(const char *name) { return access(temp_path(name), F_OK) == 0; }

/* A model with four values that are not finite; the first in the order of the plan is in q of layer 0. */
static pl_source *poisoned(void)
{
    static const struct { int role, layer; int64_t row, col; float value; } bad[] = {
        { PL_FFN_DOWN, 1, 3, 7, NAN }, { PL_ATTN_Q, 0, 9, 33, -INFINITY }, { PL_ATTN_Q, 0, 12, 0, NAN },
        { PL_ATTN_NORM, 1, 2, 0, INFINITY },
    };
    pl_source *s = fake_model_create(&(fake_options){ 0 });
    for (int i = 0; i < PL_COUNT(bad); i++)
        fake_model_set(s, pl_model_find(s->model, pl_id_make(bad[i].role, bad[i].layer, -1)), bad[i].row,
                       bad[i].col, bad[i].value);
    return s;
}

/* Of two rows of q, which the sink wants with rotary pairs side by side, the first there is named, by its
 * number in Hugging Face's order; whatever the number of threads. */
START_TEST(refused_with_count_and_place)
{
    for (int threads = 1; threads <= 3; threads++) {
        job j = { .source = poisoned() };
        assert_fails(run(&j, &pl_sink_gguf, PL_Q8_0, threads, false, temp_path("out")), PL_E_INPUT, "q_proj");
        ck_assert_ptr_nonnull(strstr(pl_error(), "values that are not finite: 4"));
        ck_assert_msg(strstr(pl_error(), "row 9 column 33 is -inf"), "%s", pl_error());
        done(&j);
        ck_assert(!stands("out"));
    }
}
END_TEST

/* Where values are not finite the output says so, everything else is as it would be without them. */
static void compare(const job *j, const job *clean)
{
    int64_t bad = 0, differ = 0, expected = 1;      /* one in a vector, which stays f32; three blocks in matrices */
    for (int i = 0; i < j->plan->steps; i++) {
        pl_packed p = j->plan->step[i].out, q = p;
        int64_t values = p.rows * p.cols;
        pl_id id = j->plan->step[i].id;
        int places = id.role == PL_ATTN_Q && id.layer == 0 ? 2 : id.role == PL_FFN_DOWN && id.layer == 1;
        expected += places * p.type.element->block;
        float *x = malloc((size_t)values * sizeof *x), *y = malloc((size_t)values * sizeof *y);
        p.part[0].ptr = fake_sink_store(j->sink)->part[p.part[0].id];
        q.part[0].ptr = fake_sink_store(clean->sink)->part[q.part[0].id];
        assert_ok(pl_packed_decode(&p, 0, p.rows, x, NULL));
        assert_ok(pl_packed_decode(&q, 0, q.rows, y, NULL));
        for (int64_t k = 0; k < values; k++) {
            bad += !isfinite(x[k]);
            differ += isfinite(x[k]) && x[k] != y[k];
        }
        free(x);
        free(y);
    }
    ck_assert_int_eq(differ, 0);
    ck_assert_int_eq(bad, expected);
}

START_TEST(kept_if_allowed)
{
    for (int type = 0; type < PL_DTYPES; type++) {
        job clean = { .source = fake_model_create(&(fake_options){ 0 }) }, one = { .source = poisoned() };
        job three = { .source = poisoned() };
        assert_ok(run(&clean, &fake_sink, type, 2, true, ""));
        if (type == PL_NVFP4) {                 /* it cannot say NaN */
            assert_fails(run(&one, &fake_sink, type, 1, true, ""), PL_E_INPUT, "row 9 column 33 is -inf");
            done(&clean);
            done(&one);
            pl_source_close(three.source);
            continue;
        }
        assert_ok(run(&one, &fake_sink, type, 1, true, ""));
        assert_ok(run(&three, &fake_sink, type, 3, true, ""));
        ck_assert_int_eq(clean.found.count, 0);
        ck_assert_int_eq(one.found.count, 4);
        ck_assert_int_eq(three.found.count, 4);
        ck_assert_ptr_nonnull(strstr(one.found.tensor, "q_proj"));
        ck_assert_int_eq(one.found.row, three.found.row);
        ck_assert_int_eq(one.found.col, three.found.col);
        compare(&one, &clean);
        compare(&three, &clean);
        done(&clean);
        done(&one);
        done(&three);
    }
}
END_TEST

/* Stored blocks with a scale that is not finite, as a conversion that allowed it wrote them. */
START_TEST(stored_scales)
{
    static const int types[] = { PL_Q8_0, PL_Q4_1, PL_BF16 };
    for (int i = 0; i < PL_COUNT(types); i++) {
        job first = { .source = poisoned() }, again = { 0 }, kept = { 0 };
        assert_ok(run(&first, &pl_sink_gguf, types[i], 2, true, temp_path("bad.gguf")));
        done(&first);
        assert_ok(pl_source_open(gguf, temp_path("bad.gguf"), NULL, &again.source));
        assert_fails(run(&again, &pl_sink_gguf, types[i], 2, false, temp_path("out")), PL_E_INPUT,
                     types[i] == PL_BF16 ? "not finite: 4" : "not finite: 97");
        done(&again);
        ck_assert(!stands("out"));
        assert_ok(pl_source_open(gguf, temp_path("bad.gguf"), NULL, &kept.source));
        assert_ok(run(&kept, &pl_sink_gguf, types[i], 2, true, temp_path("copy.gguf")));
        ck_assert_int_eq(kept.found.count, types[i] == PL_BF16 ? 4 : 97);
        done(&kept);
        temp_same("bad.gguf", "copy.gguf");
    }
}
END_TEST

/* A finite value that the type cannot hold is no value of the input that is not finite. */
START_TEST(too_large_for_the_type)
{
    job j = { .source = poisoned() };
    int tensor = pl_model_find(j.source->model, pl_id_make(PL_FFN_UP, 0, -1));
    fake_model_set(j.source, tensor, 5, 4, 1e30f);
    fake_model_set(j.source, tensor, 5, 6, NAN);
    assert_fails(run(&j, &pl_sink_gguf, PL_F16, 2, true, temp_path("out")), PL_E_INPUT, "row 5 column 4: 1e+30");
    done(&j);
    ck_assert(!stands("out"));
}
END_TEST

/* The file loses its end between opening and reading: a sentence, and nothing under the name. What was
 * behind its end never gets into an output. */
START_TEST(shrinks_before_it_is_read)
{
    for (int mapped = 0; mapped < 2; mapped++) {
        job write = { .source = fake_model_create(&(fake_options){ 0 }) }, j = { 0 };
        assert_ok(run(&write, &pl_sink_gguf, PL_F16, 2, false, temp_path("in.gguf")));
        int64_t bytes = write.plan->bytes;
        done(&write);
        pl_open_options how = { .how = mapped ? PL_OPEN_MAP : PL_OPEN_WINDOWS };
        assert_ok(pl_source_open(gguf, temp_path("in.gguf"), &how, &j.source));
        ck_assert_int_eq(truncate(temp_path("in.gguf"), bytes / 2), 0);
        assert_fails(run(&j, &pl_sink_gguf, PL_Q8_0, 2, false, temp_path("out")), PL_E_INPUT,
                     mapped ? "became shorter" : "ends at byte");
        done(&j);
        ck_assert(!stands("out"));
    }
}
END_TEST

/* ---- texts ---- */

static char logged[256];
static void keep_message(void *ctx, pl_level level, const char *text) { snprintf(logged, sizeof logged, "%s", text); }

START_TEST(sentences_are_printable)
{
    static const struct { const char *given, *shown; } cases[] = {
        { "plain, \xc3\xa9 \xf0\x9f\x99\x82", "plain, \xc3\xa9 \xf0\x9f\x99\x82" },
        { "\x1b[2J\x1b]0;title\x07", "?[2J?]0;title?" }, { "a\nb\tc\r\x7f", "a?b?c??" },
        { "\xc2\x9b""31m", "??31m" },                                      /* CSI as one character */
        { "\xff\xfe \xc0\x80 \xed\xa0\x80", "?? ?? ???" }, { "cut \xe2\x96", "cut ??" }, { "", "" },
    };
    static const pl_log_sink sink = { .message = keep_message };
    pl_log_set(&sink);
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_fail(PL_E_INPUT, "%s", cases[i].given);
        ck_assert_str_eq(pl_error(), cases[i].shown);
        pl_fail(PL_E_INPUT, "x");
        pl_fail_prefix(PL_E_INPUT, "%s", cases[i].given);
        ck_assert(!strncmp(pl_error(), cases[i].shown, strlen(cases[i].shown)));
        pl_log(PL_LOG_WARN, "%s", cases[i].given);
        ck_assert_str_eq(logged, cases[i].shown);
    }
}
END_TEST

START_TEST(reports_are_utf8)
{
    pl_json_writer *w;
    pl_json *json;
    char *text;
    assert_ok(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "name", "a\xff\xc3\xa9\xe2\x96");
    assert_ok(pl_json_finish(w, &text));
    assert_ok(pl_json_parse(text, strlen(text), "report", &json));
    ck_assert_str_eq(pl_json_text(pl_json_get(json, "name")), "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
    pl_json_free(json);
    pl_free(text);
    pl_json_writer_destroy(w);
    assert_ok(pl_json_writer_create(&w));
    pl_json_begin_array(w, NULL);
    pl_mem_fail_after(0);
    pl_json_put_text(w, NULL, "\xff");
    pl_mem_fail_after(-1);
    ck_assert_int_eq(pl_json_finish(w, &text), PL_E_MEMORY);
    pl_json_writer_destroy(w);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { refused_with_count_and_place, kept_if_allowed, stored_scales, too_large_for_the_type,
                             shrinks_before_it_is_read, sentences_are_printable, reports_are_utf8 };
    return run_suite("hostile_values", tests, PL_COUNT(tests));
}
