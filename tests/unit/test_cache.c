/* test_cache.c: numbers under digests: kept in a file, which may be damaged. */
#include <math.h>

#include "core/cache.h"
#include "core/fs.h"
#include "core/mem.h"
#include "core/rng.h"
#include "tests/unit/run.h"

static pl_digest key_of(int i) { return pl_hash_bytes(&i, sizeof i); }
static double value_of(int i) { return pl_rng_normal(1, 2, (uint64_t)i) * 1e-7; }

static bool has(const pl_cache *c, int i)
{
    double value;
    return pl_cache_find(c, key_of(i), &value) && value == value_of(i);
}

static pl_cache *open_cache(const char *path)
{
    pl_cache *c;
    assert_ok(pl_cache_open(path, &c));
    return c;
}

static void fill(const char *path, int count)
{
    pl_cache *c = open_cache(path);
    for (int i = 0; i < count; i++) assert_ok(pl_cache_put(c, key_of(i), value_of(i)));
    assert_ok(pl_cache_save(c));
    pl_cache_close(c);
}

START_TEST(keeps)
{
    const char *path = temp_path("cache");
    fill(path, 300);
    pl_cache *c = open_cache(path);
    for (int i = 0; i < 300; i++) ck_assert(has(c, i));
    ck_assert(!has(c, 300));
    assert_ok(pl_cache_put(c, key_of(5), 17));          /* the first stays */
    assert_ok(pl_cache_put(c, key_of(300), NAN));       /* no number */
    ck_assert(has(c, 5) && !has(c, 300));
    pl_cache_close(c);
    c = open_cache(NULL);
    assert_ok(pl_cache_put(c, key_of(1), value_of(1)));
    assert_ok(pl_cache_save(c));
    ck_assert(has(c, 1) && !has(c, 2));
    pl_cache_close(c);
}
END_TEST

/* Every file with one byte changed, or cut off anywhere, is as good as none. */
START_TEST(damaged)
{
    char *data, other[2048], path[PATH_MAX];
    size_t len;
    fill(temp_path("whole"), 4);
    assert_ok(pl_file_load(temp_path("whole"), 1 << 20, &data, &len));
    ck_assert_uint_lt(len, sizeof other);
    snprintf(path, sizeof path, "%s", temp_path("damaged"));
    int ignored = 0;
    for (size_t i = 0; i < len; i++) {
        memcpy(other, data, len);
        other[i] ^= 1;
        temp_write("damaged", other, len);
        pl_cache *c = open_cache(path);
        /* white space may change without harm */
        bool all = has(c, 0) && has(c, 1) && has(c, 2) && has(c, 3);
        bool none = !has(c, 0) && !has(c, 1) && !has(c, 2) && !has(c, 3);
        ck_assert_msg(all || none, "byte %zu", i);
        ignored += none;
        pl_cache_close(c);
        temp_write("damaged", data, i);
        c = open_cache(path);
        ck_assert_msg(!has(c, 0) || i == len - 1, "cut at %zu", i);
        assert_ok(pl_cache_put(c, key_of(9), value_of(9)));
        assert_ok(pl_cache_save(c));
        pl_cache_close(c);
        c = open_cache(path);
        ck_assert(has(c, 9));
        pl_cache_close(c);
    }
    ck_assert_int_gt(ignored, (int)len / 2);
    pl_free(data);
}
END_TEST

START_TEST(refusals)
{
    pl_cache *c = open_cache(temp_path("no/such/folder/cache"));
    assert_ok(pl_cache_put(c, key_of(1), 1));
    assert_fails(pl_cache_save(c), PL_E_IO, "no/such/folder");
    pl_cache_close(c);
    fill(temp_path("cache"), 3);
    for (int n = 0;; n++) {
        pl_mem_fail_after(n);
        pl_status code = pl_cache_open(temp_path("cache"), &c);
        pl_mem_fail_after(-1);
        if (code == PL_OK) break;
        ck_assert_int_eq(code, PL_E_MEMORY);
    }
    ck_assert(has(c, 2));
    pl_cache_close(c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { keeps, damaged, refusals };
    return run_suite("cache", tests, PL_COUNT(tests));
}
