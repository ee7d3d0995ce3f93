/* test_hash.c: digests against vectors of the reference implementation. */
#include "core/hash.h"
#include "core/mem.h"
#include "tests/unit/run.h"

enum { MANY = 3 << 20 };

static uint8_t *pattern(void)
{
    uint8_t *data = malloc(MANY);
    for (int i = 0; i < MANY; i++) data[i] = (uint8_t)(i * 7 + 3);
    return data;
}

static void expect_digest(pl_digest digest, const char *hex)
{
    char text[40];
    ck_assert_ptr_eq(pl_digest_text(digest, text), text);
    ck_assert_int_eq(strncmp(text, "xxh3:", 5), 0);
    ck_assert_str_eq(text + 5, hex);
}

/* Made with python-xxhash: xxh3_128(...).hexdigest(). */
START_TEST(vectors)
{
    uint8_t *data = pattern(), all[256];
    for (int i = 0; i < 256; i++) all[i] = (uint8_t)i;
    expect_digest(pl_hash_bytes("", 0), "99aa06d3014798d86001c324468d497f");
    expect_digest(pl_hash_bytes("a", 1), "a96faf705af16834e6c632b61e964e1f");
    expect_digest(pl_hash_bytes("planish", 7), "ce639865e92460f20288bfba942c0f93");
    expect_digest(pl_hash_bytes(all, 256), "f1f8a93f50849ac39408a4433b952d71");
    expect_digest(pl_hash_bytes(data, 100000), "d9e155dd16e141d00c056f6fcc340974");
    free(data);
}
END_TEST

START_TEST(in_pieces)
{
    uint8_t *data = pattern();
    pl_hash *hash;
    assert_ok(pl_hash_create(&hash));
    pl_digest empty = pl_hash_digest(hash), whole = pl_hash_bytes(data, MANY), before, after;
    expect_digest(empty, "99aa06d3014798d86001c324468d497f");
    for (size_t at = 0, n = 0; at < MANY; at += n) {
        n = (at * 31 + 1) % 5003;
        if (n > MANY - at) n = MANY - at;
        pl_hash_update(hash, data + at, n);
    }
    before = pl_hash_digest(hash);
    after = pl_hash_digest(hash);                   /* asking does not change it */
    ck_assert_mem_eq(&before, &whole, sizeof whole);
    ck_assert_mem_eq(&after, &whole, sizeof whole);
    pl_hash_destroy(hash);
    pl_hash_destroy(NULL);
    free(data);
}
END_TEST

START_TEST(of_files)
{
    uint8_t *data = pattern();
    const size_t sizes[] = { 0, 1, 1 << 20, (1 << 20) + 1, MANY };
    for (int i = 0; i < PL_COUNT(sizes); i++) {
        temp_write("f", data, sizes[i]);
        pl_digest file, bytes = pl_hash_bytes(data, sizes[i]);
        assert_ok(pl_hash_file(temp_path("f"), &file));
        ck_assert_mem_eq(&file, &bytes, sizeof bytes);
    }
    pl_digest digest;
    assert_fails(pl_hash_file(temp_path("none"), &digest), PL_E_INPUT, "none");
    int64_t n = 0;
    for (pl_status code = PL_E_MEMORY; code != PL_OK; n++) {
        pl_mem_fail_after(n);
        code = pl_hash_file(temp_path("f"), &digest);
        pl_mem_fail_after(-1);
        ck_assert(code == PL_OK || code == PL_E_MEMORY);
    }
    ck_assert_int_ge(n, 4);
    free(data);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { vectors, in_pieces, of_files };
    return run_suite("hash", tests, PL_COUNT(tests));
}
