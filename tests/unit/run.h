/* run.h: what every unit test program needs around its tests: a main, a folder of its own. */
#ifndef TESTS_UNIT_RUN_H
#define TESTS_UNIT_RUN_H

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "core/mem.h"
#include "tests/unit/suite.h"

#define assert_ok(call) do { pl_status code_ = (call); \
    ck_assert_msg(code_ == PL_OK, "status %d: %s", code_, pl_error()); } while (0)
/* The call fails with this status and a sentence that contains `part`. */
#define assert_fails(call, status, part) do { pl_status code_ = (call); \
    ck_assert_msg(code_ == (status) && strstr(pl_error(), (part)), \
                  "expected status %d with '%s', got %d: %s", (status), (part), code_, pl_error()); } while (0)

static char temp_folder[64];

__attribute__((unused)) static int temp_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

/* Fixture: an empty folder for one test. */
__attribute__((unused)) static void temp_make(void)
{
    snprintf(temp_folder, sizeof temp_folder, "/tmp/planish-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(temp_folder));
}
__attribute__((unused)) static void temp_remove(void)
{
    nftw(temp_folder, temp_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Path of a name in it; one of four buffers in turn. */
__attribute__((unused)) static const char *temp_path(const char *name)
{
    static char path[4][PATH_MAX];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", temp_folder, name);
    return path[at];
}

__attribute__((unused)) static void temp_write(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(temp_path(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

/* Two files there have the same bytes. */
__attribute__((unused)) static void temp_same(const char *a, const char *b)
{
    char *x, *y;
    size_t n, m;
    assert_ok(pl_file_load(temp_path(a), 1 << 24, &x, &n));
    assert_ok(pl_file_load(temp_path(b), 1 << 24, &y, &m));
    ck_assert_msg(n == m && !memcmp(x, y, n), "%s and %s differ", a, b);
    pl_free(x);
    pl_free(y);
}

__attribute__((unused)) static void temp_drop(const char *name) { ck_assert_int_eq(remove(temp_path(name)), 0); }

/* Runs the tests, each in a process and with a folder of its own. */
static int run_suite(const char *name, const TTest *const *tests, int count)
{
    return run_cases(name, temp_make, temp_remove, tests, count);
}

#endif
