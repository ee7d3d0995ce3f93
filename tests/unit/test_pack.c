/* test_pack.c: packs that are written and read again: every part's bytes, the same file however it was made. */
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/pack_fixture.h"

/* ---- round trip ---- */

/* What the sink got, part by part. */
static struct { pl_id id; int part; int64_t bytes; uint8_t *data; } got[128];
static int parts;

static pl_status keep_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    parts = plan->parts;
    for (int i = 0; i < plan->steps; i++) {
        for (int p = 0; p < plan->step[i].out.nparts; p++) {
            const pl_part *part = &plan->step[i].out.part[p];
            got[part->id].id = plan->step[i].id;
            got[part->id].part = p;
            got[part->id].bytes = part->bytes;
            got[part->id].data = pl_alloc(part->bytes, 1);
            ck_assert_ptr_nonnull(got[part->id].data);
        }
    }
    return pl_sink_pack.begin(s, path, plan, model);
}

static pl_status keep_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    memcpy(got[part->id].data + offset, bytes, len);
    return pl_sink_pack.put(s, part, offset, bytes, len);
}

static void expect_parts(pl_source *s, pl_arena *scratch)
{
    for (int i = 0; i < parts; i++) {
        pl_packed all;
        int t = pl_model_find(s->model, got[i].id);
        ck_assert_int_ge(t, 0);
        assert_ok(pl_source_packed(s, t, 0, s->model->tensor[t].rows, &all, scratch));
        ck_assert_int_eq(all.part[got[i].part].bytes, got[i].bytes);
        ck_assert_mem_eq(all.part[got[i].part].ptr, got[i].data, (size_t)got[i].bytes);
    }
}

/* Some rows are what they are among all rows. */
static void expect_rows(pl_source *s, pl_arena *scratch)
{
    for (int t = 0; t < s->model->tensors; t++) {
        const pl_tensor *tensor = &s->model->tensor[t];
        float *all = PL_NEW(scratch, float, tensor->rows * tensor->cols), *some = PL_NEW(scratch, float, 3 * tensor->cols);
        assert_ok(pl_source_rows(s, t, 0, tensor->rows, all, scratch));
        for (int64_t r = 0; r + 3 <= tensor->rows; r += 5) {
            pl_source_advise(s, t, r, 3);
            assert_ok(pl_source_rows(s, t, r, 3, some, scratch));
            ck_assert_mem_eq(some, all + r * tensor->cols, (size_t)(3 * tensor->cols) * sizeof *some);
        }
    }
}

static void expect_sides(const pl_source *s)
{
    const char *texts[] = { pack_config, pack_license };
    ck_assert_int_eq(s->model->sides, 2);
    for (int i = 0; i < 2; i++) {
        const pl_side *side = &s->model->side[i];
        char bytes[100];
        pl_file *file;
        ck_assert_str_eq(side->name, i ? "LICENSE" : "config.json");
        ck_assert_int_eq(side->bytes, (int64_t)strlen(texts[i]));
        assert_ok(pl_file_open(side->path, &file));
        assert_ok(pl_file_read(file, side->at, bytes, (size_t)side->bytes));
        ck_assert_mem_eq(bytes, texts[i], (size_t)side->bytes);
        pl_file_close(file);
    }
}

START_TEST(round_trip)
{
    pl_sink_ops ops = pl_sink_pack;
    ops.begin = keep_begin;
    ops.put = keep_put;
    for (int zstd = 0; zstd <= 19; zstd += 19) {
        assert_ok(pack_convert(&(pack_wish){ .zstd = zstd }, &ops, "a.pl"));
        for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_STORED; how++) {
            pl_source *s;
            pl_arena *scratch;
            assert_ok(pl_arena_create(&scratch));
            assert_ok(pl_source_open(pack_only, temp_path("a.pl"), &(pl_open_options){ .how = (pl_open_how)how }, &s));
            ck_assert_str_eq(s->model->arch, "llama");
            ck_assert_str_eq(s->model->name, "fake");
            ck_assert_int_eq(s->model->hp.ffn, 64);
            expect_parts(s, scratch);
            expect_rows(s, scratch);
            expect_sides(s);
            assert_ok(s->ops->verify(s, scratch));
            pl_source_close(s);
            pl_arena_destroy(scratch);
        }
        temp_drop("a.pl");
        for (int i = 0; i < parts; i++) pl_free(got[i].data);
    }
}
END_TEST

/* ---- the same file ---- */

START_TEST(threads_and_ranges)
{
    static const int threads[] = { 1, 2, 5 };
    static const int64_t ranges[] = { 0, 2000, 500, 64, 1 };
    for (int zstd = 0; zstd <= 3; zstd += 3) {
        assert_ok(pack_convert(&(pack_wish){ .threads = 1, .zstd = zstd }, &pl_sink_pack, "ref.pl"));
        for (int t = 0; t < PL_COUNT(threads); t++) {
            for (int r = 0; r < PL_COUNT(ranges); r++) {
                pack_wish w = { .threads = threads[t], .range = ranges[r], .zstd = zstd };
                assert_ok(pack_convert(&w, &pl_sink_pack, "a.pl"));
                temp_same("a.pl", "ref.pl");
                temp_drop("a.pl");
            }
        }
        temp_drop("ref.pl");
    }
}
END_TEST

/* A matrix of several frames, put in pieces that are parts of frames, and of two. */
START_TEST(several_frames)
{
    for (int zstd = 0; zstd <= 1; zstd++) {
        pack_wish w = { .threads = 1, .zstd = zstd, .vocab = 80000 };
        assert_ok(pack_convert(&w, &pl_sink_pack, "ref.pl"));
        w.threads = 3;
        for (int64_t range = 700000; range <= 1500000; range += 800000) {
            w.range = range;
            assert_ok(pack_convert(&w, &pl_sink_pack, "a.pl"));
            temp_same("a.pl", "ref.pl");
            temp_drop("a.pl");
        }
        pl_source *windows, *map;
        pl_arena *scratch;
        assert_ok(pl_arena_create(&scratch));
        assert_ok(pl_source_open(pack_only, temp_path("ref.pl"), NULL, &windows));
        assert_ok(pl_source_open(pack_only, temp_path("ref.pl"), &(pl_open_options){ .how = PL_OPEN_MAP }, &map));
        int t = pl_model_find(map->model, pl_id_make(PL_TOKEN_EMBD, -1, -1));
        static const int64_t firsts[] = { 0, 32760, 32767, 32768, 65530, 79900 };
        for (int i = 0; i < PL_COUNT(firsts); i++) {        /* rows 32768 and 65536 begin frames */
            pl_packed a, b;
            assert_ok(pl_source_packed(windows, t, firsts[i], 100, &a, scratch));
            assert_ok(pl_source_packed(map, t, firsts[i], 100, &b, scratch));
            ck_assert_int_eq(a.part[0].bytes, 100 * 18);
            ck_assert_mem_eq(a.part[0].ptr, b.part[0].ptr, 100 * 18);
        }
        assert_ok(map->ops->verify(map, scratch));
        pl_source_close(windows);
        pl_source_close(map);
        pl_arena_destroy(scratch);
        temp_drop("ref.pl");
    }
}
END_TEST

/* ---- killed ---- */

static int die_at;              /* the put that kills the process */
static atomic_int put_count;
static enum { NOT, BEGUN, BEFORE_FINISH, IN_COMPRESSION, AFTER_FINISH } die_when;

static pl_status die_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model)
{
    pl_status code = pl_sink_pack.begin(s, path, plan, model);
    if (die_when == BEGUN) kill(getpid(), SIGKILL);
    return code;
}

static pl_status die_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len)
{
    if (atomic_fetch_add(&put_count, 1) + 1 == die_at) kill(getpid(), SIGKILL);
    return pl_sink_pack.put(s, part, offset, bytes, len);
}

static pl_status die_finish(pl_sink *s)
{
    if (die_when == BEFORE_FINISH) kill(getpid(), SIGKILL);
    pl_status code = pl_sink_pack.finish(s);
    if (die_when == AFTER_FINISH) kill(getpid(), SIGKILL);
    return code;
}

static void die_progress(void *ctx, const pl_progress_event *event)
{
    if (die_when == IN_COMPRESSION && !strcmp(event->task, "compress") && event->done > event->total / 2)
        kill(getpid(), SIGKILL);
}

static pl_status run(const pack_wish *w)
{
    pl_sink_ops ops = pl_sink_pack;
    ops.begin = die_begin;
    ops.put = die_put;
    ops.finish = die_finish;
    atomic_store(&put_count, 0);
    return pack_convert(w, &ops, "out.pl");
}

static void expect_killed(const pack_wish *w)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        static const pl_log_sink log = { .progress = die_progress };
        pl_log_set(&log);
        _exit(run(w));
    }
    waitpid(child, &status, 0);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Files of an output, unfinished ones too, but for those that were there before. */
static int left(void)
{
    int count = 0;
    DIR *dir = opendir(temp_folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir));) count += !strncmp(e->d_name, "out.pl", 6);
    closedir(dir);
    return count;
}

static void expect_resumed(pack_wish w)
{
    w.resume = true;
    w.threads = 3;
    assert_ok(run(&w));
    temp_same("out.pl", "ref.pl");
    ck_assert_int_eq(left(), 1);
    temp_drop("out.pl");
}

START_TEST(killed_at_every_put)
{
    for (int zstd = 0; zstd <= 3; zstd += 3) {
        pack_wish w = { .threads = 1, .zstd = zstd, .range = 500 };
        assert_ok(pack_convert(&w, &pl_sink_pack, "ref.pl"));
        assert_ok(run(&w));
        temp_drop("out.pl");
        int all = atomic_load(&put_count);
        ck_assert_int_gt(all, 30);
        for (int at = 1; at <= all; at++) {
            die_at = at;
            expect_killed(&w);
            die_at = 0;
            expect_resumed(w);
            ck_assert_int_le(atomic_load(&put_count), all - at + 3);     /* a range's parts come one by one */
        }
        temp_drop("ref.pl");
    }
}
END_TEST

START_TEST(killed_around_the_end)
{
    for (int zstd = 0; zstd <= 3; zstd += 3) {
        pack_wish w = { .threads = 2, .zstd = zstd };
        assert_ok(pack_convert(&w, &pl_sink_pack, "ref.pl"));
        for (int when = BEGUN; when <= AFTER_FINISH; when++) {
            if (when == IN_COMPRESSION && !zstd) continue;
            die_when = when;
            expect_killed(&w);
            if (when == AFTER_FINISH) {
                temp_same("out.pl", "ref.pl");        /* whole before the resumed run looks at it */
                ck_assert(pl_path_exists(temp_path("out.pl.journal")));
            } else {
                ck_assert(!pl_path_exists(temp_path("out.pl")));
            }
            die_when = NOT;
            expect_resumed(w);
            ck_assert((atomic_load(&put_count) == 0) == (when != BEGUN));
        }
        temp_drop("ref.pl");
    }
}
END_TEST

/* A new run instead: nothing of the old one is in it, and nothing stays. */
START_TEST(begun_anew)
{
    pack_wish w = { .threads = 2, .zstd = 3 };
    assert_ok(pack_convert(&w, &pl_sink_pack, "ref.pl"));
    die_when = BEFORE_FINISH;
    expect_killed(&w);
    die_when = NOT;
    assert_ok(run(&w));
    temp_same("out.pl", "ref.pl");
    ck_assert_int_eq(left(), 1);
}
END_TEST

/* Nobody takes a share for a pack. */
static void expect_refused_share(const char *path)
{
    pl_source *s;
    ck_assert_int_eq(pl_source_open(pl_sources, path, NULL, &s), PL_E_INPUT);
    ck_assert_msg(strstr(pl_error(), "is a share of a conversion"), "%s", pl_error());
}

/* One share of a plan that was carried out already. */
static pl_status convert_share(const pack_run *r, int share, int of, int zstd)
{
    pl_convert_options how = { .part = share, .parts = of };
    pl_sink *sink;
    assert_ok(pl_sink_create(&pl_sink_pack, &sink));
    sink->zstd = zstd;
    pl_status code = pl_convert(r->plan, r->source, sink, temp_path("out.pl"), r->pool, &how, NULL);
    pl_sink_close(sink);
    return code;
}

START_TEST(shares)
{
    pack_run r;
    pack_wish w = { .range = 300 };
    pack_ready(&r, &w);
    assert_ok(pack_write(&r, &w, &pl_sink_pack, temp_path("ref.pl")));
    for (int n = 1; n <= 9; n += 4) {
        static char journals[9][PATH_MAX];
        const char *list[9];
        pl_merge_result result;
        for (int i = 0; i < n; i++) {
            char name[64];
            assert_ok(convert_share(&r, i + 1, n, 0));
            snprintf(name, sizeof name, "out.pl.part-%d-of-%d", i + 1, n);
            expect_refused_share(temp_path(name));
            snprintf(journals[i], PATH_MAX, "%s", temp_path(name));
            list[i] = journals[i];
        }
        assert_ok(pl_merge_shares(temp_path("out.pl"), list, n, false, pl_seals, &result));
        temp_same("ref.pl", "out.pl");
        temp_drop("out.pl");
    }
    assert_fails(convert_share(&r, 1, 2, 3), PL_E_WISH, "cannot be compressed");
    pack_done(&r);
}
END_TEST

/* ---- without memory ---- */

static void expect_no_memory(pl_status code, int64_t n)
{
    ck_assert_msg(code == PL_OK || code == PL_E_MEMORY, "allocation %lld: %d, %s", (long long)n, code, pl_error());
    if (code == PL_E_MEMORY) ck_assert_msg(strstr(pl_error(), "memory"), "%s", pl_error());
}

START_TEST(written_without_memory)
{
    for (int zstd = 0; zstd <= 3; zstd += 3) {
        pack_wish w = { .threads = 1, .zstd = zstd };
        int64_t n = 0;
        for (pl_status code = PL_E_MEMORY; code != PL_OK; n++) {
            pack_run r;
            pack_ready(&r, &w);
            pl_mem_fail_after(n);
            code = pack_write(&r, &w, &pl_sink_pack, temp_path("out.pl"));
            pl_mem_fail_after(-1);
            expect_no_memory(code, n);
            pack_done(&r);
            ck_assert_int_eq(left(), code == PL_OK);
        }
        ck_assert_int_gt(n, 40);
        assert_ok(pack_verify_file(temp_path("out.pl"), PL_OPEN_WINDOWS));
        temp_drop("out.pl");
    }
}
END_TEST

/* Opens, reads all, verifies. */
static pl_status use(pl_open_how how)
{
    pl_source *s;
    pl_arena *scratch = NULL;
    pl_status opened = pl_source_open(pack_only, temp_path("a.pl"), &(pl_open_options){ .how = how }, &s);
    if (opened != PL_OK) return strstr(pl_error(), "is no model") ? pl_fail(PL_E_MEMORY, "no memory to look") : opened;
    pl_status code = pl_arena_create(&scratch);
    for (int t = 0; t < s->model->tensors && code == PL_OK; t++) {
        const pl_tensor *tensor = &s->model->tensor[t];
        float *rows = PL_NEW(scratch, float, tensor->rows * tensor->cols);
        code = rows ? pl_source_rows(s, t, 0, tensor->rows, rows, scratch) : PL_E_MEMORY;
    }
    if (code == PL_OK) code = s->ops->verify(s, scratch);
    pl_arena_destroy(scratch);
    pl_source_close(s);
    return code;
}

START_TEST(read_without_memory)
{
    for (int zstd = 0; zstd <= 3; zstd += 3) {
        assert_ok(pack_convert(&(pack_wish){ .zstd = zstd }, &pl_sink_pack, "a.pl"));
        for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
            int64_t n = 0;
            for (pl_status code = PL_E_MEMORY; code != PL_OK; n++) {
                pl_mem_fail_after(n);
                code = use((pl_open_how)how);
                pl_mem_fail_after(-1);
                expect_no_memory(code, n);
            }
            ck_assert_int_gt(n, 15);
        }
        temp_drop("a.pl");
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        round_trip, threads_and_ranges, several_frames, killed_at_every_put, killed_around_the_end, begun_anew, shares,
        written_without_memory, read_without_memory,
    };
    return run_suite("pack", tests, PL_COUNT(tests));
}
