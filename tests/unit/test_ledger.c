/* test_ledger.c: the journal of a conversion: what a power cut leaves of it, whose it is, who may write it. */
#include <sys/wait.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/ledger.h"
#include "core/mem.h"
#include "tests/unit/run.h"

enum { RANGES = 9, HEAD = 120, SLOT = 64 };

static pl_ledger_key key_of(const char *plan, const char *input)
{
    return (pl_ledger_key){ .plan = pl_hash_bytes(plan, strlen(plan)), .input = pl_hash_bytes(input, strlen(input)),
                            .ranges = RANGES };
}

static pl_record record_of(int64_t range)
{
    return (pl_record){ range, { 0.5 * (double)range, 2.0 }, range == 3, 7 * range, 11, -1.5f };
}

static bool found[RANGES];

static pl_status note_found(void *ctx, const pl_record *r)
{
    const pl_record expected = record_of(r->range);
    ck_assert(!found[r->range]);
    ck_assert(r->error[0] == expected.error[0] && r->error[1] == expected.error[1] && r->value == expected.value);
    ck_assert(r->nonfinite == expected.nonfinite && r->row == expected.row && r->col == expected.col);
    found[r->range] = true;
    return PL_OK;
}

static int count_found(pl_ledger *l)
{
    int count = 0;
    memset(found, 0, sizeof found);
    assert_ok(pl_ledger_each(l, note_found, NULL));
    for (int i = 0; i < RANGES; i++) count += found[i];
    return count;
}

/* A ledger with the ranges 1, 3, 4 and 8, sealed or not; kept. */
static void make(const char *path, bool sealed)
{
    const pl_record records[] = { record_of(4), record_of(1), record_of(8), record_of(3) };
    pl_outset set = { 0 };
    pl_ledger *l;
    pl_ledger_key key = key_of("plan", "input");
    assert_ok(pl_ledger_open(path, &key, &set, &l));
    assert_ok(pl_ledger_add(l, records, 1));
    assert_ok(pl_ledger_add(l, records + 1, 3));
    if (sealed) assert_ok(pl_ledger_seal(l, "a.gguf\n100 a.gguf\n"));
    set.keep = true;
    pl_ledger_close(l);
}

static pl_status reopen(const char *path, const char *plan, const char *input, pl_outset *set, pl_ledger **l)
{
    pl_ledger_key key = key_of(plan, input);
    *set = (pl_outset){ .resume = true };
    return pl_ledger_open(path, &key, set, l);
}

START_TEST(what_was_noted)
{
    char path[PATH_MAX], *text;
    snprintf(path, sizeof path, "%s", temp_path("j"));
    pl_outset set;
    pl_ledger *l;
    make(path, true);
    assert_ok(reopen(path, "plan", "input", &set, &l));
    ck_assert(set.resume && set.keep);
    ck_assert_int_eq(count_found(l), 4);
    ck_assert(found[1] && found[3] && found[4] && found[8]);
    assert_ok(pl_ledger_sealed(l, &text));
    ck_assert_str_eq(text, "a.gguf\n100 a.gguf\n");
    pl_free(text);
    const pl_record more = record_of(0);
    assert_ok(pl_ledger_add(l, &more, 1));
    pl_ledger_close(l);

    pl_ledger_key key;
    assert_ok(pl_ledger_view(path, &key, &l));
    ck_assert_int_eq(key.ranges, RANGES);
    ck_assert_int_eq(count_found(l), 5);
    pl_ledger_close(l);
    ck_assert(pl_path_exists(path));

    /* Done with: it goes. */
    assert_ok(reopen(path, "plan", "input", &set, &l));
    set.keep = false;
    pl_ledger_close(l);
    ck_assert(!pl_path_exists(path));

    /* Nothing there, or nothing in it: a new one, which stays only if it is to be kept. */
    for (int i = 0; i < 2; i++) {
        assert_ok(reopen(path, "plan", "input", &set, &l));
        ck_assert(!set.resume && !set.keep);
        ck_assert_int_eq(count_found(l), 0);
        set.keep = i == 0;
        pl_ledger_close(l);
        ck_assert(pl_path_exists(path) == (i == 0));
    }
}
END_TEST

/* Cut off anywhere, or with any byte changed: what is not whole does not count, the rest does. */
START_TEST(torn)
{
    char path[PATH_MAX], *whole;
    size_t size;
    snprintf(path, sizeof path, "%s", temp_path("j"));
    make(path, true);
    assert_ok(pl_file_load(path, 1 << 20, &whole, &size));
    ck_assert_uint_gt(size, HEAD + RANGES * SLOT);
    for (size_t n = 0; n < 2 * size; n++) {
        bool cut = n < size;
        size_t at = n % size, slot = at < HEAD ? 0 : (at - HEAD) / SLOT;
        char *bytes = malloc(size), *text;
        memcpy(bytes, whole, size);
        if (!cut) bytes[at] ^= 0x10;
        temp_write("j", bytes, cut ? at : size);
        free(bytes);
        int expected = 0;
        for (size_t r = 0; r < RANGES; r++) {
            bool noted = r == 1 || r == 3 || r == 4 || r == 8;
            expected += noted && (cut ? HEAD + (r + 1) * SLOT <= at : at < HEAD || slot != r);
        }
        pl_outset set;
        pl_ledger *l;
        pl_status code = reopen(path, "plan", "input", &set, &l);
        if (!cut && at < 30) {              /* another kind of file */
            assert_fails(code, PL_E_WISH, "is no journal");
            ck_assert(pl_path_exists(path));
            continue;
        }
        assert_ok(code);
        if (at < HEAD) expected = 0;
        ck_assert_msg(count_found(l) == expected, "%s at byte %zu: %d ranges", cut ? "cut" : "changed", at, expected);
        assert_ok(pl_ledger_sealed(l, &text));
        ck_assert(at >= HEAD + RANGES * SLOT || cut || at < HEAD || text);
        if (cut || at < HEAD) ck_assert_ptr_null(text);
        ck_assert(set.resume == (expected > 0 || text));
        pl_free(text);
        set.keep = false;
        pl_ledger_close(l);
    }
    pl_free(whole);
}
END_TEST

/* Slots of an older ledger in the same place, as a file system may leave them. */
START_TEST(of_another_time)
{
    char path[PATH_MAX], *old, *fresh;
    size_t size, n;
    snprintf(path, sizeof path, "%s", temp_path("j"));
    make(path, true);
    assert_ok(pl_file_load(path, 1 << 20, &old, &size));
    pl_ledger_key key = key_of("plan", "input");
    pl_outset set = { 0 };
    pl_ledger *l;
    assert_ok(pl_ledger_open(path, &key, &set, &l));
    set.keep = true;
    pl_ledger_close(l);
    assert_ok(pl_file_load(path, 1 << 20, &fresh, &n));
    ck_assert_uint_eq(n, HEAD);
    memcpy(old, fresh, HEAD);
    temp_write("j", old, size);
    assert_ok(reopen(path, "plan", "input", &set, &l));
    ck_assert(!set.resume);
    ck_assert_int_eq(count_found(l), 0);
    pl_ledger_close(l);
    pl_free(old);
    pl_free(fresh);
}
END_TEST

START_TEST(of_another_conversion)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", temp_path("j"));
    pl_outset set;
    pl_ledger *l;
    make(path, false);
    assert_fails(reopen(path, "other", "input", &set, &l), PL_E_WISH, "other options");
    ck_assert_ptr_null(l);
    assert_fails(reopen(path, "plan", "other", &set, &l), PL_E_INPUT, "the input has changed");
    assert_ok(reopen(path, "plan", "input", &set, &l));
    ck_assert_int_eq(count_found(l), 4);
    pl_ledger_close(l);
    /* With nothing in it, whose it is does not matter. */
    pl_ledger_key key = key_of("other", "other");
    set = (pl_outset){ 0 };
    assert_ok(pl_ledger_open(path, &key, &set, &l));
    set.keep = true;
    pl_ledger_close(l);
    assert_ok(reopen(path, "plan", "input", &set, &l));
    ck_assert(!set.resume);
    pl_ledger_close(l);
    /* A stranger's file stays as it is. */
    temp_write("j", "precious", 8);
    for (int resume = 0; resume < 2; resume++) {
        set = (pl_outset){ .resume = resume };
        assert_fails(pl_ledger_open(path, &key, &set, &l), PL_E_WISH, "is no journal");
        assert_fails(pl_ledger_view(path, &key, &l), PL_E_INPUT, "no journal");
    }
    char *text;
    assert_ok(pl_file_load(path, 100, &text, NULL));
    ck_assert_str_eq(text, "precious");
    pl_free(text);
    assert_fails(pl_ledger_view(temp_path("none"), &key, &l), PL_E_INPUT, "cannot open");
    key.ranges = (int64_t)1 << 40;
    assert_fails(pl_ledger_open(temp_path("k"), &key, &set, &l), PL_E_WISH, "ranges");
}
END_TEST

/* Runs fn in a process of its own; its exit code. */
static int in_child(int (*fn)(const char *path), const char *path)
{
    int status;
    pid_t child = fork();
    if (child == 0) _exit(fn(path));
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int try_ledger(const char *path)
{
    pl_ledger_key key = key_of("plan", "input");
    pl_outset set = { .resume = true };
    pl_ledger *l;
    pl_status code = pl_ledger_open(path, &key, &set, &l);
    return code == PL_E_WISH && strstr(pl_error(), "being written by another run") ? 7 : code;
}

static int try_file(const char *path)
{
    pl_outset set = { .force = true };
    pl_outfile *file;
    pl_status code = pl_outset_open(&set, path, 0, &file);
    return code == PL_E_WISH && strstr(pl_error(), "being written by another run") ? 7 : code;
}

/* Only one run at a time; a dead one is in nobody's way. */
START_TEST(two_runs)
{
    char path[PATH_MAX], out[PATH_MAX];
    snprintf(path, sizeof path, "%s", temp_path("j"));
    snprintf(out, sizeof out, "%s", temp_path("out"));
    pl_ledger_key key = key_of("plan", "input");
    pl_outset set = { 0 };
    pl_ledger *l;
    pl_outfile *file;
    assert_ok(pl_ledger_open(path, &key, &set, &l));
    assert_ok(pl_outset_open(&set, out, 10, &file));
    assert_ok(pl_outfile_write(file, 0, "mine", 4));
    ck_assert_int_eq(in_child(try_ledger, path), 7);
    ck_assert_int_eq(in_child(try_file, out), 7);
    assert_ok(pl_outfile_commit(file));
    pl_ledger_close(l);
    char *text;
    assert_ok(pl_file_load(out, 100, &text, NULL));
    ck_assert_str_eq(text, "mine");
    pl_free(text);
    ck_assert_int_eq(in_child(try_file, out), PL_OK);       /* and dies with an unfinished file */
    ck_assert(pl_path_exists(temp_path("out.partial")));
    set = (pl_outset){ .force = true };
    assert_ok(pl_outset_open(&set, out, 10, &file));
    assert_ok(pl_outfile_write(file, 0, "new", 3));
    assert_ok(pl_outfile_commit(file));
    assert_ok(pl_file_load(out, 100, &text, NULL));
    ck_assert_str_eq(text, "new");
    pl_free(text);
    ck_assert(!pl_path_exists(temp_path("out.partial")));
}
END_TEST

/* ---- sets of files ---- */

START_TEST(files_of_a_set)
{
    pl_outset set = { 0 };
    pl_outfile *a, *b;
    char *text, path[PATH_MAX];
    snprintf(path, sizeof path, "%s", temp_path("a"));
    assert_ok(pl_outset_open(&set, path, 0, &a));
    assert_ok(pl_outset_open(&set, temp_path("b"), 0, &b));
    assert_ok(pl_outfile_write(a, 0, "aaaa", 4));
    assert_ok(pl_outset_sync(&set));
    assert_ok(pl_outset_list(&set, path, &text));
    ck_assert_str_eq(text, "a\n4 a\n0 b\n");
    pl_free(text);
    /* A signal takes what is not to be kept. */
    ck_assert(!pl_outfile_unlink_all());
    ck_assert(!pl_path_exists(temp_path("a.partial")) && !pl_path_exists(temp_path("b.partial")));
    pl_outfile_abandon(a);
    ck_assert_ptr_eq(set.first, b);
    pl_outfile_abandon(b);
    ck_assert_ptr_null(set.first);

    /* What is kept stays, whatever happens, and is gone on with. */
    set = (pl_outset){ .keep = true };
    assert_ok(pl_outset_open(&set, path, 0, &a));
    assert_ok(pl_outfile_write(a, 0, "aaaa", 4));
    ck_assert(pl_outfile_unlink_all());
    pl_outfile_abandon(a);
    set = (pl_outset){ .resume = true };
    assert_ok(pl_outset_open(&set, path, 0, &a));
    assert_ok(pl_outfile_write(a, 2, "bb", 2));
    assert_fails(pl_outset_open(&set, temp_path("b"), 0, &b), PL_E_INPUT, "nothing to go on with");
    assert_ok(pl_outfile_commit(a));
    assert_ok(pl_file_load(path, 100, &text, NULL));
    ck_assert_str_eq(text, "aabb");
    pl_free(text);

    /* It had its name already when it was killed: that is taken back, if the ledger says that it is the right one. */
    set = (pl_outset){ .resume = true };
    assert_fails(pl_outset_open(&set, path, 0, &a), PL_E_WISH, "exists already");
    set = (pl_outset){ .resume = true, .named = true };
    assert_ok(pl_outset_open(&set, path, 0, &a));
    ck_assert(!pl_path_exists(path));
    assert_ok(pl_outfile_commit(a));
    ck_assert(pl_path_exists(path));

    /* A link is not followed. */
    ck_assert_int_eq(symlink("elsewhere", temp_path("c.partial")), 0);
    set = (pl_outset){ 0 };
    assert_fails(pl_outset_open(&set, temp_path("c"), 0, &a), PL_E_IO, "cannot write");
    ck_assert(!pl_path_exists(temp_path("elsewhere")));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_was_noted, torn, of_another_time, of_another_conversion, two_runs, files_of_a_set,
    };
    return run_suite("ledger", tests, PL_COUNT(tests));
}
