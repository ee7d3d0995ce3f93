/* test_fs.c: reading, guarded maps, files that appear whole or not at all. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/mem.h"
#include "tests/unit/run.h"

/* Files in the test's folder. */
static int entries(void)
{
    int count = 0;
    DIR *dir = opendir(temp_folder);
    for (struct dirent *e; (e = readdir(dir));) count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void expect_content(const char *name, const void *data, size_t len)
{
    char *found;
    size_t size;
    assert_ok(pl_file_load(temp_path(name), 1 << 24, &found, &size));
    ck_assert_uint_eq(size, len);
    ck_assert_int_eq(memcmp(found, data, len), 0);
    pl_free(found);
}

/* ---- reading ---- */

START_TEST(ranges)
{
    uint8_t data[100], got[100];
    for (int i = 0; i < 100; i++) data[i] = (uint8_t)i;
    temp_write("f", data, sizeof data);
    pl_file *file;
    assert_ok(pl_file_open(temp_path("f"), &file));
    ck_assert_int_eq(pl_file_size(file), 100);
    ck_assert_str_eq(pl_file_path(file), temp_path("f"));
    const int64_t good[][2] = { { 0, 100 }, { 99, 1 }, { 100, 0 }, { 0, 0 }, { 17, 40 } };
    for (int i = 0; i < PL_COUNT(good); i++) {
        memset(got, 0xee, sizeof got);
        assert_ok(pl_file_read(file, good[i][0], got, (size_t)good[i][1]));
        ck_assert_int_eq(memcmp(got, data + good[i][0], (size_t)good[i][1]), 0);
        if (good[i][1] < 100) ck_assert_uint_eq(got[good[i][1]], 0xee);
    }
    const struct { int64_t offset; size_t len; } bad[] = {
        { 0, 101 }, { 100, 1 }, { 101, 0 }, { -1, 1 }, { INT64_MAX, 1 }, { 1, SIZE_MAX },
        { 1, INT64_MAX }, { INT64_MIN, 1 },
    };
    for (int i = 0; i < PL_COUNT(bad); i++)
        assert_fails(pl_file_read(file, bad[i].offset, got, bad[i].len), PL_E_INPUT, "the file has 100");
    pl_file_advise(file, 0, 100);
    pl_file_advise(file, 1000, -5);
    pl_file_close(file);
    pl_file_close(NULL);
}
END_TEST

START_TEST(what_is_no_file)
{
    pl_file *file = (void *)1;
    assert_fails(pl_file_open(temp_path("absent"), &file), PL_E_INPUT, "absent");
    ck_assert_ptr_null(file);
    assert_fails(pl_file_open(temp_folder, &file), PL_E_INPUT, "not a regular file");
    assert_fails(pl_file_open("/dev/null", &file), PL_E_INPUT, "not a regular file");
    ck_assert_int_eq(mkfifo(temp_path("pipe"), 0600), 0);
    assert_fails(pl_file_open(temp_path("pipe"), &file), PL_E_INPUT, "not a regular file");
    temp_write("f", "x", 1);
    assert_fails(pl_file_open(temp_path("f/g"), &file), PL_E_INPUT, "cannot open");
    for (int n = 0; n < 2; n++) {
        pl_mem_fail_after(n);
        assert_fails(pl_file_open(temp_path("f"), &file), PL_E_MEMORY, "out of memory");
        pl_mem_fail_after(-1);
    }
}
END_TEST

START_TEST(shrinks_while_open)
{
    char data[8192] = { 1 };
    temp_write("f", data, sizeof data);
    pl_file *file;
    assert_ok(pl_file_open(temp_path("f"), &file));
    ck_assert_int_eq(truncate(temp_path("f"), 5000), 0);
    assert_ok(pl_file_read(file, 0, data, 5000));
    assert_fails(pl_file_read(file, 0, data, 8192), PL_E_INPUT, "ends at byte 5000");
    pl_file_close(file);
}
END_TEST

START_TEST(whole_files)
{
    char *data;
    size_t len;
    temp_write("f", "a\0b", 3);
    assert_ok(pl_file_load(temp_path("f"), 3, &data, &len));
    ck_assert_uint_eq(len, 3);
    ck_assert_int_eq(memcmp(data, "a\0b\0", 4), 0);
    pl_free(data);
    assert_ok(pl_file_load(temp_path("f"), 3, &data, NULL));
    pl_free(data);
    assert_fails(pl_file_load(temp_path("f"), 2, &data, &len), PL_E_INPUT, "the limit is 2");
    ck_assert_ptr_null(data);
    temp_write("empty", "", 0);
    assert_ok(pl_file_load(temp_path("empty"), 10, &data, &len));
    ck_assert_str_eq(data, "");
    pl_free(data);
    for (int n = 0; n < 3; n++) {
        pl_mem_fail_after(n);
        assert_fails(pl_file_load(temp_path("f"), 3, &data, &len), PL_E_MEMORY, "out of memory");
        pl_mem_fail_after(-1);
        ck_assert_ptr_null(data);
    }
}
END_TEST

START_TEST(paths)
{
    char out[16];
    assert_ok(pl_path_join(out, sizeof out, "a", "b"));
    ck_assert_str_eq(out, "a/b");
    assert_ok(pl_path_join(out, sizeof out, "a/", "b"));
    ck_assert_str_eq(out, "a/b");
    assert_ok(pl_path_join(out, sizeof out, "", "b"));
    ck_assert_str_eq(out, "b");
    assert_ok(pl_path_join(out, sizeof out, "1234567", "1234567"));
    assert_fails(pl_path_join(out, sizeof out, "12345678", "1234567"), PL_E_INPUT, "longer than 15");
    temp_write("f", "x", 1);
    temp_write("g", "x", 1);
    ck_assert_int_eq(link(temp_path("f"), temp_path("hard")), 0);
    ck_assert_int_eq(symlink("f", temp_path("soft")), 0);
    assert_fails(pl_path_apart("output", temp_path("f"), temp_path("hard")), PL_E_WISH, "is the input");
    assert_fails(pl_path_apart("output", temp_path("soft"), temp_path("f")), PL_E_WISH, "is the input");
    assert_ok(pl_path_apart("output", temp_path("f"), temp_path("g")));
    assert_ok(pl_path_apart("output", temp_path("none"), temp_path("none")));
    ck_assert(pl_path_is_dir(temp_folder) && !pl_path_is_dir(temp_path("f")));
    ck_assert(pl_path_exists(temp_path("f")) && !pl_path_exists(temp_path("none")));
}
END_TEST

/* ---- maps ---- */

START_TEST(map_reads_the_file)
{
    char data[10000];
    for (int i = 0; i < 10000; i++) data[i] = (char)(i * 7);
    temp_write("f", data, sizeof data);
    temp_write("empty", "", 0);
    pl_file *file;
    const uint8_t *base, *again;
    assert_ok(pl_file_open(temp_path("f"), &file));
    pl_mem_fail_after(0);
    assert_fails(pl_file_map(file, &base), PL_E_MEMORY, "out of memory");
    pl_mem_fail_after(-1);
    assert_ok(pl_file_map(file, &base));
    assert_ok(pl_file_map(file, &again));
    ck_assert_ptr_eq(base, again);
    ck_assert_int_eq(memcmp(base, data, sizeof data), 0);
    assert_ok(pl_map_check());
    pl_file_close(file);
    assert_ok(pl_map_check());
    assert_ok(pl_file_open(temp_path("empty"), &file));
    assert_fails(pl_file_map(file, &base), PL_E_INPUT, "empty");
    pl_file_close(file);
}
END_TEST

/* The file loses whole pages: zeros there, and the check names it, even once it is closed. */
START_TEST(map_loses_pages)
{
    enum { SIZE = 1 << 20 };
    char *data = malloc(SIZE);
    memset(data, 7, SIZE);
    temp_write("kept", data, SIZE);
    temp_write("lost", data, SIZE);
    pl_file *kept, *lost;
    const uint8_t *a, *b;
    assert_ok(pl_file_open(temp_path("kept"), &kept));
    assert_ok(pl_file_open(temp_path("lost"), &lost));
    assert_ok(pl_file_map(kept, &a));
    assert_ok(pl_file_map(lost, &b));
    ck_assert_int_eq(truncate(temp_path("lost"), 8192), 0);
    int64_t sum = 0;
    for (int i = 0; i < SIZE; i++) sum += b[i];
    ck_assert_int_eq(sum, 7 * 8192);
    ck_assert_int_eq(memcmp(a, data, SIZE), 0);
    /* even if it has grown again since */
    ck_assert_int_eq(truncate(temp_path("lost"), SIZE), 0);
    assert_fails(pl_map_check(), PL_E_INPUT, "lost: became shorter");
    pl_file_close(lost);
    pl_file_close(kept);
    assert_fails(pl_map_check(), PL_E_INPUT, "lost: became shorter");
    free(data);
}
END_TEST

/* It loses a few bytes of its last page: no signal comes, the check finds out all the same. */
START_TEST(map_loses_bytes)
{
    temp_write("f", "0123456789", 10);
    pl_file *file;
    const uint8_t *base;
    assert_ok(pl_file_open(temp_path("f"), &file));
    assert_ok(pl_file_map(file, &base));
    ck_assert_int_eq(truncate(temp_path("f"), 4), 0);
    ck_assert_int_eq(memcmp(base, "0123\0\0", 6), 0);
    pl_file_close(file);
    assert_fails(pl_map_check(), PL_E_INPUT, "f: became shorter");
}
END_TEST

START_TEST(foreign_bus_errors_still_kill)
{
    temp_write("f", "x", 1);
    pl_file *file;
    const uint8_t *base;
    assert_ok(pl_file_open(temp_path("f"), &file));
    assert_ok(pl_file_map(file, &base));
    pid_t child = fork();
    if (child == 0) {
        raise(SIGBUS);
        raise(SIGBUS);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    pl_file_close(file);
}
END_TEST

/* ---- writing ---- */

START_TEST(commit_gives_exact_bytes)
{
    for (int claimed = 0; claimed <= 100; claimed += 50) {      /* unknown, too few, too many bytes */
        pl_outfile *out;
        assert_ok(pl_outfile_create(temp_path("f"), claimed, true, &out));
        ck_assert(claimed == 0 || pl_path_exists(temp_path("f")));
        assert_ok(pl_outfile_write(out, 60, "bbbbbbbbbb", 10));
        assert_ok(pl_outfile_write(out, 0, "aaaa", 4));
        assert_ok(pl_outfile_write(out, 4, "", 0));
        assert_ok(pl_outfile_write(out, 2, "cc", 2));
        assert_ok(pl_outfile_sync(out));
        if (claimed == 0) ck_assert(!pl_path_exists(temp_path("f")));
        assert_ok(pl_outfile_commit(out));
        char expected[70] = "aacc";
        memset(expected + 60, 'b', 10);
        expect_content("f", expected, 70);
        ck_assert_int_eq(entries(), 1);
    }
}
END_TEST

START_TEST(abandon_leaves_nothing)
{
    pl_outfile *out;
    assert_ok(pl_outfile_create(temp_path("f"), 1000, false, &out));
    ck_assert_int_eq(entries(), 1);                 /* the temporary one, in the same folder */
    assert_ok(pl_outfile_write(out, 0, "x", 1));
    pl_outfile_abandon(out);
    pl_outfile_abandon(NULL);
    ck_assert_int_eq(entries(), 0);
}
END_TEST

START_TEST(existing_outputs)
{
    temp_write("f", "old", 3);
    pl_outfile *out = (void *)1;
    assert_fails(pl_outfile_create(temp_path("f"), 0, false, &out), PL_E_WISH, "exists already");
    ck_assert_ptr_null(out);
    ck_assert_int_eq(entries(), 1);
    assert_ok(pl_outfile_create(temp_path("f"), 0, true, &out));
    assert_ok(pl_outfile_write(out, 0, "newer", 5));
    expect_content("f", "old", 3);
    assert_ok(pl_outfile_commit(out));
    expect_content("f", "newer", 5);
    /* one that appears while we write */
    assert_ok(pl_outfile_create(temp_path("g"), 0, false, &out));
    temp_write("g", "theirs", 6);
    assert_fails(pl_outfile_commit(out), PL_E_WISH, "File exists");
    expect_content("g", "theirs", 6);
    ck_assert_int_eq(entries(), 2);
    /* a link to nowhere is something as well */
    ck_assert_int_eq(symlink("nowhere", temp_path("link")), 0);
    assert_fails(pl_outfile_create(temp_path("link"), 0, false, &out), PL_E_WISH, "exists already");
}
END_TEST

START_TEST(places_that_do_not_work)
{
    pl_outfile *out;
    assert_fails(pl_outfile_create(temp_path("none/f"), 0, false, &out), PL_E_IO, "does not exist");
    ck_assert_int_eq(mkdir(temp_path("dir"), 0700), 0);
    assert_fails(pl_outfile_create(temp_path("dir"), 0, true, &out), PL_E_WISH, "it is a folder");
    temp_write("f", "x", 1);
    assert_fails(pl_outfile_create(temp_path("f/g"), 0, true, &out), PL_E_IO, "does not exist");
    assert_fails(pl_outfile_create(temp_path("f"), INT64_MAX, true, &out), PL_E_IO, "not enough room");
    char name[300];
    memset(name, 'a', sizeof name);
    name[299] = 0;
    assert_fails(pl_outfile_create(temp_path(name), 0, true, &out), PL_E_IO, "too long");
    ck_assert_int_eq(chmod(temp_path("dir"), 0500), 0);
    if (geteuid() != 0)                             /* root may write everywhere */
        assert_fails(pl_outfile_create(temp_path("dir/f"), 0, true, &out), PL_E_IO, "denied");
    for (int n = 0; n < 3; n++) {
        pl_mem_fail_after(n);
        assert_fails(pl_outfile_create(temp_path("m"), 0, true, &out), PL_E_MEMORY, "out of memory");
        pl_mem_fail_after(-1);
    }
    ck_assert_int_eq(entries(), 2);
}
END_TEST

/* A device is never replaced by a file, forced or not; saving to it works. */
START_TEST(devices_stay)
{
    pl_outfile *out;
    ck_assert_int_eq(mkfifo(temp_path("pipe"), 0600), 0);
    assert_fails(pl_outfile_create(temp_path("pipe"), 0, true, &out), PL_E_WISH, "device or a pipe");
    int reader = open(temp_path("pipe"), O_RDONLY | O_NONBLOCK);
    assert_ok(pl_file_save(temp_path("pipe"), "hello", 5));
    char got[6] = { 0 };
    ck_assert_int_eq(read(reader, got, 5), 5);
    ck_assert_str_eq(got, "hello");
    close(reader);
    ck_assert_int_eq(symlink("/dev/null", temp_path("null")), 0);
    assert_fails(pl_outfile_create(temp_path("null"), 0, true, &out), PL_E_WISH, "device or a pipe");
    assert_ok(pl_file_save(temp_path("null"), "hello", 5));
    ck_assert_int_eq(symlink("/dev/full", temp_path("full")), 0);
    assert_fails(pl_file_save(temp_path("full"), "hello", 5), PL_E_IO, "No space");
    struct stat st;
    ck_assert(stat(temp_path("pipe"), &st) == 0 && S_ISFIFO(st.st_mode));
    ck_assert(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
}
END_TEST

START_TEST(size_limit)
{
    signal(SIGXFSZ, SIG_IGN);                       /* as the command line does */
    char data[4096] = { 1 };
    struct rlimit limit = { 10000, RLIM_INFINITY };
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    pl_outfile *out;
    assert_ok(pl_outfile_create(temp_path("f"), 0, false, &out));
    pl_status code = PL_OK;
    for (int i = 0; i < 4 && code == PL_OK; i++) code = pl_outfile_write(out, i * 4096, data, 4096);
    ck_assert_int_eq(code, PL_E_IO);
    ck_assert_ptr_nonnull(strstr(pl_error(), "File too large"));
    pl_outfile_abandon(out);
    char big[20000] = { 0 };
    assert_fails(pl_file_save(temp_path("g"), big, sizeof big), PL_E_IO, "File too large");
    ck_assert_int_eq(entries(), 0);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
}
END_TEST

typedef struct slice { pl_outfile *out; int index; } slice;

static void *write_slices(void *arg)
{
    slice *s = arg;
    char data[1000];
    memset(data, 'a' + s->index, sizeof data);
    for (int i = 0; i < 25; i++)
        if (pl_outfile_write(s->out, (i * 4 + s->index) * 1000, data, 1000) != PL_OK) return s;
    return NULL;
}

START_TEST(many_writers)
{
    pl_outfile *out;
    assert_ok(pl_outfile_create(temp_path("f"), 100000, false, &out));
    pthread_t thread[4];
    slice s[4];
    for (int i = 0; i < 4; i++) {
        s[i] = (slice){ out, i };
        ck_assert_int_eq(pthread_create(&thread[i], NULL, write_slices, &s[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    assert_ok(pl_outfile_commit(out));
    char *expected = malloc(100000);
    for (int i = 0; i < 100000; i++) expected[i] = (char)('a' + i / 1000 % 4);
    expect_content("f", expected, 100000);
    free(expected);
}
END_TEST

static void open_set(pl_outfile *out[3], bool force)
{
    static const char *const names[] = { "a", "b", "c" };
    for (int i = 0; i < 3; i++) {
        assert_ok(pl_outfile_create(temp_path(names[i]), 0, force, &out[i]));
        assert_ok(pl_outfile_write(out[i], 0, names[i], 1));
    }
}

START_TEST(sets)
{
    pl_outfile *out[3];
    open_set(out, false);
    assert_ok(pl_outfile_commit_all(out, 3));
    expect_content("a", "a", 1);
    expect_content("c", "c", 1);
    ck_assert_int_eq(entries(), 3);
    temp_write("b", "old", 3);
    open_set(out, true);
    assert_ok(pl_outfile_commit_all(out, 3));
    expect_content("b", "b", 1);
    ck_assert_int_eq(entries(), 3);
    ck_assert(remove(temp_path("a")) == 0 && remove(temp_path("b")) == 0 && remove(temp_path("c")) == 0);

    /* The first, which is renamed last, cannot get its name: the other two lose theirs again. */
    open_set(out, false);
    temp_write("a", "theirs", 6);
    assert_fails(pl_outfile_commit_all(out, 3), PL_E_WISH, "2 of 3 files had their names");
    ck_assert(strstr(pl_error(), "cannot give '") && strstr(pl_error(), "File exists"));
    expect_content("a", "theirs", 6);
    ck_assert_int_eq(entries(), 1);
    ck_assert_int_eq(remove(temp_path("a")), 0);

    /* The last, renamed first: nothing had a name. */
    open_set(out, false);
    temp_write("c", "theirs", 6);
    assert_fails(pl_outfile_commit_all(out, 3), PL_E_WISH, "cannot give '");
    ck_assert_ptr_null(strstr(pl_error(), "removed"));
    expect_content("c", "theirs", 6);
    ck_assert_int_eq(entries(), 1);
    pl_outfile_unlink_all();
    ck_assert_int_eq(entries(), 1);
}
END_TEST

START_TEST(too_many_outputs)
{
    struct rlimit limit = { 4096, 4096 };
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return;      /* not ours to raise */
    static pl_outfile *out[PL_MAX_OUTFILES + 1];
    char name[16];
    for (int i = 0; i < PL_MAX_OUTFILES; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_ok(pl_outfile_create(temp_path(name), 0, false, &out[i]));
    }
    assert_fails(pl_outfile_create(temp_path("more"), 0, false, &out[PL_MAX_OUTFILES]), PL_E_WISH,
                 "more than 1024 files");
    pl_outfile_abandon(out[7]);
    assert_ok(pl_outfile_create(temp_path("more"), 0, false, &out[7]));
    pl_outfile_unlink_all();
    ck_assert_int_eq(entries(), 0);
    for (int i = 0; i < PL_MAX_OUTFILES; i++) pl_outfile_abandon(out[i]);
}
END_TEST

START_TEST(unlink_all)
{
    pl_outfile *out[20];
    for (int i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%d", i);
        assert_ok(pl_outfile_create(temp_path(name), 0, false, &out[i]));
    }
    ck_assert_int_eq(entries(), 20);
    pl_outfile_unlink_all();
    ck_assert_int_eq(entries(), 0);
    for (int i = 0; i < 20; i++) pl_outfile_abandon(out[i]);
    pl_outfile_unlink_all();                        /* nothing left to look at */
    ck_assert_int_eq(entries(), 0);
    assert_ok(pl_file_save(temp_path("done"), "x", 1));
    pl_outfile_unlink_all();
    expect_content("done", "x", 1);                 /* finished ones stay */
}
END_TEST

START_TEST(save)
{
    assert_ok(pl_file_save(temp_path("f"), "one", 3));
    assert_ok(pl_file_save(temp_path("f"), "", 0));
    expect_content("f", "", 0);
    assert_ok(pl_file_save(temp_path("f"), "three", 5));
    expect_content("f", "three", 5);
    int stdout_before = dup(1), to = open(temp_path("out"), O_WRONLY | O_CREAT, 0600);
    dup2(to, 1);
    pl_status code = pl_file_save("-", "printed", 7);
    dup2(stdout_before, 1);
    close(to);
    assert_ok(code);
    expect_content("out", "printed", 7);
    ck_assert_int_eq(entries(), 2);
}
END_TEST

START_TEST(the_process)
{
    double then = pl_seconds();
    int64_t own = pl_rss_own_bytes();
    ck_assert_int_gt(own, 100000);
    volatile char *block = malloc(32 << 20);
    for (int i = 0; i < 32 << 20; i += 1024) block[i] = 1;
    ck_assert_int_ge(pl_rss_own_bytes(), own + (30 << 20));
    free((void *)block);
    ck_assert_int_ge(pl_rss_peak_bytes(), own + (30 << 20));
    ck_assert(pl_seconds() >= then && pl_seconds() < then + 30);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        ranges, what_is_no_file, shrinks_while_open, whole_files, paths, map_reads_the_file,
        map_loses_pages, map_loses_bytes, foreign_bus_errors_still_kill, commit_gives_exact_bytes,
        abandon_leaves_nothing, existing_outputs, places_that_do_not_work, devices_stay, size_limit,
        many_writers, sets, too_many_outputs, unlink_all, save, the_process,
    };
    return run_suite("fs", tests, PL_COUNT(tests));
}
