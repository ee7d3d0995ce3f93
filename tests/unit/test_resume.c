/* test_resume.c: conversions that are killed, run out of room, are shared: the bytes are those of an undisturbed run. */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/convert.h"
#include "core/fs.h"
#include "core/merge.h"
#include "formats/registry.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

static const pl_registries registries = { pl_methods, pl_grids };

/* A conversion and what is done to it. */
typedef struct wish {
    int threads, part, parts;
    bool resume, force, measure, allow;
    int64_t max_shard, range;
    int type;                   /* 0: q4_0 */
    const char *input;          /* a file that counts as the input's; or NULL */
    float bad;                  /* a weight; 0: as it is */
} wish;

static atomic_int put_count;         /* of the current conversion */
static int die_at, limit_at;    /* the put that kills the process, or finds the disk full; 0: none */
static enum { NAMES_GIVEN = 1, BEFORE_NAMES, BEGUN } die_when;
static double errors[100];
static int64_t nonfinite;

static pl_status put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    int now = atomic_fetch_add(&put_count, 1) + 1;
    if (now == die_at) kill(getpid(), SIGKILL);
    if (now == limit_at) {
        struct rlimit limit = { 1, RLIM_INFINITY };
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    return pl_sink_gguf.put(s, part, offset, bytes, len);
}

static pl_status begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    pl_status code = pl_sink_gguf.begin(s, path, plan, model);
    if (die_when == BEGUN) kill(getpid(), SIGKILL);
    return code;
}

/* Killed with the last of several names given, or none. */
static pl_status finish(pl_sink *s)
{
    char name[PATH_MAX], partial[PATH_MAX + 16];
    for (int i = s->files - 1; i > 0 && die_when == NAMES_GIVEN; i--) {
        assert_ok(pl_sink_file_name(s, temp_path("out.gguf"), i, name));
        snprintf(partial, sizeof partial, "%s.partial", name);
        if (rename(partial, name) != 0) return pl_fail(PL_E_CHECK, "no %s", partial);
    }
    if (die_when) kill(getpid(), SIGKILL);
    return pl_sink_gguf.finish(s);
}

static pl_status run(const wish *w, const char *path)
{
    fake_options o = { .layers = 1, .hidden = 64, .ffn = 150, .vocab = 200, .dtype = PL_BF16, .seed = 5 };
    pl_source *source = fake_model_create(&o);
    if (w->bad != 0) fake_model_set(source, pl_model_find(source->model, pl_id_make(PL_FFN_UP, 0, -1)), 3, 4, w->bad);
    const char *files[] = { w->input };
    source->file = files;
    source->files = w->input != NULL;
    pl_sink_ops ops = pl_sink_gguf;
    ops.begin = begin;
    ops.put = put;
    ops.finish = finish;
    pl_sink *sink;
    pl_arena *arena;
    pl_plan *plan;
    pl_pool *pool;
    pl_recipe recipe = { .type = pl_type_plain(w->type ? w->type : PL_Q4_0) };
    pl_plan_options options = { .threads = w->threads ? w->threads : 2 };
    assert_ok(pl_arena_create(&arena));
    assert_ok(pl_sink_create(&ops, &sink));
    sink->max_shard = w->max_shard;
    assert_ok(pl_plan_create(source->model, &recipe, sink, &registries, &options, arena, &plan));
    plan->range_elements = w->range ? w->range : 2000;
    assert_ok(pl_pool_create(plan->threads, &pool));
    pl_nonfinite bad = { 0 };
    pl_convert_options how = { .resume = w->resume, .force = w->force, .part = w->part, .parts = w->parts,
                               .measure = w->measure, .note_bytes = 1, .nonfinite = w->allow ? &bad : NULL };
    atomic_store(&put_count, 0);
    pl_status code = pl_convert(plan, source, sink, path, pool, &how, errors);
    nonfinite = bad.count;
    pl_pool_destroy(pool);
    pl_sink_close(sink);
    pl_arena_destroy(arena);
    pl_source_close(source);
    return code;
}

/* In a process of its own, which dies, or ends with a status. */
static int run_apart(const wish *w)
{
    int status;
    pid_t child = fork();
    if (child == 0) _exit(run(w, temp_path("out.gguf")));
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Names in the folder, sorted, with blanks between; hidden ones too. */
static const char *listing(void)
{
    static char text[4096];
    struct dirent **entry;
    size_t used = 0;
    int n = scandir(temp_folder, &entry, NULL, alphasort);
    text[0] = 0;
    for (int i = 0; i < n; i++) {
        if (strcmp(entry[i]->d_name, ".") && strcmp(entry[i]->d_name, ".."))
            used += (size_t)snprintf(text + used, sizeof text - used, "%s ", entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    return text;
}

/* An undisturbed run; how many put_count it took. */
static int reference(const wish *w)
{
    wish alone = { .max_shard = w->max_shard, .range = w->range, .type = w->type };
    assert_ok(run(&alone, temp_path("ref.gguf")));
    return atomic_load(&put_count);
}

/* Killed at every put: resumed bytes are the same, and what was noted is not done again. */
START_TEST(killed_at_every_range)
{
    wish w = { .threads = 1 };
    int all = reference(&w);
    ck_assert_int_gt(all, 15);
    for (int at = 1; at <= all; at++) {
        w = (wish){ .threads = 1 };
        die_at = at;
        ck_assert_int_eq(run_apart(&w), -SIGKILL);
        die_at = 0;
        ck_assert_str_eq(listing(), "out.gguf.journal out.gguf.partial ref.gguf ");
        w.resume = true;
        w.threads = 3;
        assert_ok(run(&w, temp_path("out.gguf")));
        ck_assert_int_eq(atomic_load(&put_count), all - at + 1);
        temp_same("out.gguf", "ref.gguf");
        ck_assert_str_eq(listing(), "out.gguf ref.gguf ");
        temp_drop("out.gguf");
    }
}
END_TEST

/* Killed again and again with several threads; files of a set too. */
START_TEST(killed_again_and_again)
{
    for (int64_t max_shard = 0; max_shard <= 20000; max_shard += 20000) {
        wish w = { .max_shard = max_shard, .threads = 3, .resume = true };
        reference(&w);
        int code, kills = 0;
        die_at = 4;
        while ((code = run_apart(&w)) == -SIGKILL) die_at = 4 + ++kills;
        die_at = 0;
        ck_assert_int_eq(code, 0);
        ck_assert_int_gt(kills, 3);
        if (!max_shard) temp_same("out.gguf", "ref.gguf");
        for (int i = 1; max_shard && i <= 3; i++) {
            char a[32], b[32];
            snprintf(a, sizeof a, "out-%05d-of-00003.gguf", i);
            snprintf(b, sizeof b, "ref-%05d-of-00003.gguf", i);
            temp_same(a, b);
            temp_drop(a);
            temp_drop(b);
        }
        if (!max_shard) temp_drop("out.gguf"), temp_drop("ref.gguf");
        ck_assert_str_eq(listing(), "");
    }
}
END_TEST

/* Killed between the names of a set, and before the first of them. */
START_TEST(killed_at_the_end)
{
    wish w = { .max_shard = 20000 };
    reference(&w);
    for (int when = NAMES_GIVEN; when <= BEGUN; when++) {
        w.resume = false;
        die_when = when;
        ck_assert_int_eq(run_apart(&w), -SIGKILL);
        die_when = 0;
        ck_assert(pl_path_exists(temp_path("out-00003-of-00003.gguf")) == (when == NAMES_GIVEN));
        ck_assert(pl_path_exists(temp_path("out-00001-of-00003.gguf.journal")));
        w.resume = true;
        assert_ok(run(&w, temp_path("out.gguf")));
        ck_assert((atomic_load(&put_count) == 0) == (when != BEGUN));
        temp_same("out-00001-of-00003.gguf", "ref-00001-of-00003.gguf");
        temp_same("out-00003-of-00003.gguf", "ref-00003-of-00003.gguf");
        for (int i = 1; i <= 3; i++) {
            char name[32];
            snprintf(name, sizeof name, "out-%05d-of-00003.gguf", i);
            temp_drop(name);
        }
        ck_assert_ptr_null(strstr(listing(), "out"));
    }
}
END_TEST

/* Without --resume a new run begins, whatever was there. */
START_TEST(begun_anew)
{
    wish w = { .threads = 1 };
    int all = reference(&w);
    die_at = all / 2;
    ck_assert_int_eq(run_apart(&w), -SIGKILL);
    die_at = 0;
    assert_ok(run(&w, temp_path("out.gguf")));
    ck_assert_int_eq(atomic_load(&put_count), all);
    temp_same("out.gguf", "ref.gguf");
    ck_assert_str_eq(listing(), "out.gguf ref.gguf ");
    /* With --resume and nothing there the same. */
    temp_drop("out.gguf");
    w.resume = true;
    assert_ok(run(&w, temp_path("out.gguf")));
    ck_assert_int_eq(atomic_load(&put_count), all);
    /* What is complete is not begun again. */
    assert_fails(run(&w, temp_path("out.gguf")), PL_E_WISH, "exists already");
}
END_TEST

START_TEST(no_room)
{
    signal(SIGXFSZ, SIG_IGN);
    wish w = { .threads = 1 };
    int all = reference(&w);
    limit_at = all / 2;
    int code = run_apart(&w);
    limit_at = 0;
    ck_assert_int_eq(code, PL_E_IO);
    ck_assert_str_eq(listing(), "out.gguf.journal out.gguf.partial ref.gguf ");
    w.resume = true;
    assert_ok(run(&w, temp_path("out.gguf")));
    ck_assert_int_lt(atomic_load(&put_count), all);
    temp_same("out.gguf", "ref.gguf");
    /* With nothing finished nothing stays. */
    temp_drop("out.gguf");
    w.resume = false;
    limit_at = 1;
    code = run_apart(&w);
    limit_at = 0;
    ck_assert_int_eq(code, PL_E_IO);
    ck_assert_str_eq(listing(), "ref.gguf ");
}
END_TEST

/* Another input, other options. */
START_TEST(not_the_same)
{
    char input[PATH_MAX];
    snprintf(input, sizeof input, "%s", temp_path("input"));
    temp_write("input", "weights", 7);
    wish w = { .threads = 1, .input = input };
    int all = reference(&w);
    die_at = all / 2;
    ck_assert_int_eq(run_apart(&w), -SIGKILL);
    die_at = 0;
    w.resume = true;
    const wish others[] = {
        { .type = PL_Q4_1 }, { .range = 1000 }, { .max_shard = 1 << 20 }, { .measure = true },
    };
    for (int i = 0; i < PL_COUNT(others); i++) {
        wish other = others[i];
        other.resume = true;
        other.input = input;
        assert_fails(run(&other, temp_path("out.gguf")), PL_E_WISH, "other options");
    }
    temp_write("input", "weighty", 7);
    assert_fails(run(&w, temp_path("out.gguf")), PL_E_INPUT, "the input has changed");
    temp_write("input", "weights", 7);              /* the same again, at another time */
    assert_ok(run(&w, temp_path("out.gguf")));
    temp_same("out.gguf", "ref.gguf");
}
END_TEST

/* Weights that are not finite count, whichever run met them; errors are those of an undisturbed run. */
START_TEST(what_earlier_runs_saw)
{
    wish w = { .threads = 1, .bad = NAN, .measure = true, .allow = true };
    double expected[100];
    assert_ok(run(&w, temp_path("ref.gguf")));
    int all = atomic_load(&put_count);
    memcpy(expected, errors, sizeof errors);
    memset(errors, 0, sizeof errors);
    ck_assert_int_eq(nonfinite, 1);
    die_at = all;
    ck_assert_int_eq(run_apart(&w), -SIGKILL);
    die_at = 0;
    w.resume = true;
    assert_ok(run(&w, temp_path("out.gguf")));
    ck_assert_int_eq(nonfinite, 1);
    ck_assert_mem_eq(errors, expected, sizeof errors);
    temp_drop("out.gguf");
    /* Refused at the end: nothing stays. */
    w = (wish){ .threads = 1, .bad = NAN };
    die_at = all;
    ck_assert_int_eq(run_apart(&w), -SIGKILL);
    die_at = 0;
    w.resume = true;
    assert_fails(run(&w, temp_path("out.gguf")), PL_E_INPUT, "row 3 column 4 is nan");
    ck_assert_str_eq(listing(), "ref.gguf ");
}
END_TEST

/* ---- shares ---- */

static const char *part_name(const char *base, int i, int n)
{
    static char name[3][64];
    static int at;
    at = (at + 1) % 3;
    snprintf(name[at], sizeof name[at], "%s.part-%d-of-%d", base, i, n);
    return name[at];
}

START_TEST(shares)
{
    for (int64_t max_shard = 0; max_shard <= 20000; max_shard += 20000) {
        for (int n = 1; n <= 40; n = n < 5 ? n + 1 : n * 8) {       /* 40: more than there are ranges */
            wish w = { .max_shard = max_shard };
            int all = reference(&w), done = 0;
            const char *base = max_shard ? "out-00001-of-00003.gguf" : "out.gguf";
            static char journals[40][PATH_MAX];
            const char *list[40];
            for (int i = n; i >= 1; i--) {
                wish part = { .max_shard = max_shard, .part = i, .parts = n };
                assert_ok(run(&part, temp_path("out.gguf")));
                done += atomic_load(&put_count);
                snprintf(journals[i - 1], PATH_MAX, "%s", temp_path(part_name(base, i, n)));
                list[i - 1] = journals[i - 1];
            }
            ck_assert_int_eq(done, all);
            pl_merge_result result;
            assert_ok(pl_merge_shares(temp_path(base), list, n, false, pl_seals, &result));
            ck_assert_int_eq(result.files, max_shard ? 3 : 1);
            for (int i = 1; i <= 3; i++) {
                char a[32], b[32];
                snprintf(a, sizeof a, max_shard ? "out-%05d-of-00003.gguf" : "out.gguf", i);
                snprintf(b, sizeof b, max_shard ? "ref-%05d-of-00003.gguf" : "ref.gguf", i);
                if (!max_shard && i > 1) break;
                temp_same(a, b);
            }
            temp_remove();
            ck_assert_int_eq(mkdir(temp_folder, 0700), 0);
        }
    }
}
END_TEST

/* A share goes on as a whole run does; what is missing, twice there or of something else is no output. */
START_TEST(bad_shares)
{
    wish w = { 0 };
    reference(&w);
    char path[4][PATH_MAX];
    const char *list[] = { path[0], path[1], path[2], path[3] };
    for (int i = 0; i < 3; i++) snprintf(path[i], PATH_MAX, "%s", temp_path(part_name("out.gguf", i + 1, 3)));
    for (int i = 1; i <= 3; i++) {
        wish part = { .part = i, .parts = 3, .threads = 1 };
        die_at = i == 2 ? 3 : 0;
        ck_assert_int_eq(run_apart(&part), i == 2 ? -SIGKILL : 0);
        die_at = 0;
    }
    char out[PATH_MAX];
    snprintf(out, sizeof out, "%s", temp_path("new.gguf"));
    pl_merge_result result;
    assert_fails(pl_merge_shares(out, list, 3, false, pl_seals, &result), PL_E_WISH, "share 2 of 3 is not finished");
    wish rest = { .part = 2, .parts = 3, .resume = true };
    assert_ok(run(&rest, temp_path("out.gguf")));
    assert_fails(pl_merge_shares(out, list, 2, false, pl_seals, &result), PL_E_WISH, "share 3 of 3 is missing");
    assert_fails(pl_merge_shares(out, list + 1, 2, false, pl_seals, &result), PL_E_WISH, "share 1 of 3 is missing");
    snprintf(path[3], PATH_MAX, "%s", path[1]);
    assert_fails(pl_merge_shares(out, list, 4, false, pl_seals, &result), PL_E_WISH, "share 2 of 3 is given twice");
    wish other = { .part = 2, .parts = 3, .type = PL_Q4_1 };
    assert_ok(run(&other, temp_path("other.gguf")));
    snprintf(path[1], PATH_MAX, "%s", temp_path(part_name("other.gguf", 2, 3)));
    assert_fails(pl_merge_shares(out, list, 3, false, pl_seals, &result), PL_E_INPUT, "not of the same conversion");
    snprintf(path[1], PATH_MAX, "%s", temp_path("out.gguf.part-2-of-3.journal"));
    assert_ok(pl_merge_shares(out, list, 3, false, pl_seals, &result));
    temp_same("new.gguf", "ref.gguf");
    assert_fails(pl_merge_shares(out, list, 3, false, pl_seals, &result), PL_E_WISH, "exists already");
    temp_drop("new.gguf");
    /* A byte that two of them have, and a file that lost its end. */
    char *data;
    size_t size;
    assert_ok(pl_file_load(path[0], 1 << 24, &data, &size));
    ck_assert_int_eq(data[0], 'G');
    data[0]++;
    temp_write(part_name("out.gguf", 1, 3), data, size);
    assert_fails(pl_merge_shares(out, list, 3, false, pl_seals, &result), PL_E_INPUT, "differs from another share");
    data[0]--;
    temp_write(part_name("out.gguf", 1, 3), data, size - 1);
    assert_fails(pl_merge_shares(out, list, 3, false, pl_seals, &result), PL_E_INPUT, "its journal says");
    temp_write(part_name("out.gguf", 1, 3), data, size);
    assert_ok(pl_merge_shares(out, list, 3, false, pl_seals, &result));
    pl_free(data);
    temp_same("new.gguf", "ref.gguf");
    ck_assert_ptr_null(strstr(listing(), "partial"));
    const char *none[] = { "/nowhere/x.part-1-of-1" };
    assert_fails(pl_merge_shares(out, none, 1, true, pl_seals, &result), PL_E_INPUT, "cannot open");
}
END_TEST

START_TEST(sinks_that_cannot)
{
    pl_sink *sink;
    assert_ok(pl_sink_create(&pl_sink_digest, &sink));
    pl_plan plan = { 0 };
    pl_source source = { 0 };
    assert_fails(pl_convert(&plan, &source, sink, "", NULL, &(pl_convert_options){ .resume = true }, NULL), PL_E_WISH,
                 "can neither be resumed nor shared");
    pl_sink_close(sink);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        killed_at_every_range, killed_again_and_again, killed_at_the_end, begun_anew, no_room, not_the_same,
        what_earlier_runs_saw, shares, bad_shares, sinks_that_cannot,
    };
    return run_suite("resume", tests, PL_COUNT(tests));
}
