/* test_safetensors.c: headers of one file and of shards: what is read, and all that is refused. */
#include <sys/resource.h>
#include <sys/stat.h>

#include "formats/safetensors.h"
#include "tests/unit/st_fixture.h"

static const char good[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
    "\"none\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[16,16]},"
    "\"half\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[16,18]}}   ";
enum { GOOD_DATA = 18 };

static pl_status open_one(const char *name)
{
    pl_st_set set;
    pl_status code = pl_st_open_file(in(name), arena, &set);
    if (code == PL_OK)
        for (int i = 0; i < set.tensors; i++)
            ck_assert_int_le(set.tensor[i].offset + set.tensor[i].bytes, pl_file_size(set.file[0]));
    pl_st_close(&set);
    return code;
}

START_TEST(one_file)
{
    static const uint8_t data[GOOD_DATA] = { 1, 2, 3, 4, 5 };
    save_st("x", good, data, sizeof data);
    pl_st_set set;
    ck_assert_int_eq(pl_st_open_file(in("x"), arena, &set), PL_OK);
    ck_assert_int_eq(set.files, 1);
    ck_assert_int_eq(set.tensors, 4);
    static const struct { const char *name, *dtype; int dims; int64_t at, bytes; } expected[] = {
        { "a", "F32", 0, 0, 4 }, { "b", "BF16", 2, 4, 12 }, { "half", "F4", 1, 16, 2 },
        { "none", "I64", 2, 16, 0 },
    };
    int64_t start = 8 + (int64_t)strlen(good);
    for (int i = 0; i < 4; i++) {
        const pl_st_tensor *t = &set.tensor[i];
        ck_assert_str_eq(t->name, expected[i].name);
        ck_assert_str_eq(t->dtype, expected[i].dtype);
        ck_assert_int_eq(t->dims, expected[i].dims);
        ck_assert_int_eq(t->offset, start + expected[i].at);
        ck_assert_int_eq(t->bytes, expected[i].bytes);
    }
    ck_assert_int_eq(set.tensor[1].shape[0], 2);
    ck_assert_int_eq(set.tensor[1].shape[1], 3);
    uint8_t first;
    ck_assert_int_eq(pl_file_read(set.file[0], set.tensor[1].offset, &first, 1), PL_OK);
    ck_assert_int_eq(first, 5);
    pl_st_close(&set);
}
END_TEST

/* Names that begin alike, and parts of longer strings. */
/* Every type of the format may lie in a file, with the size that the format gives it and no other. */
START_TEST(every_dtype)
{
    static const struct { const char *name; int bits; } dtype[] = {
        { "BOOL", 8 }, { "F4", 4 }, { "F6_E2M3", 6 }, { "F6_E3M2", 6 }, { "U8", 8 }, { "I8", 8 }, { "F8_E5M2", 8 },
        { "F8_E4M3", 8 }, { "F8_E8M0", 8 }, { "F8_E4M3FNUZ", 8 }, { "F8_E5M2FNUZ", 8 }, { "I16", 16 }, { "U16", 16 },
        { "F16", 16 }, { "BF16", 16 }, { "I32", 32 }, { "U32", 32 }, { "F32", 32 }, { "C64", 64 }, { "F64", 64 },
        { "I64", 64 }, { "U64", 64 },
    };
    ck_assert_int_eq(PL_COUNT(dtype), 22);
    for (int i = 0; i < PL_COUNT(dtype); i++)
        for (int more = 0; more < 2; more++) {
            char header[128], data[40] = "";
            int bytes = dtype[i].bits / 2 + more;
            snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[4],\"data_offsets\":[0,%d]}}",
                     dtype[i].name, bytes);
            save_st("x", header, data, (size_t)bytes);
            ck_assert_msg(open_one("x") == (more ? PL_E_INPUT : PL_OK), "%s, %d bytes", dtype[i].name, bytes);
        }
}
END_TEST

START_TEST(finding)
{
    static const char *const names[] = { "a", "a.b", "a.b.c", "a.bb", "b" };
    char header[512], *to = header + sprintf(header, "{");
    for (int i = PL_COUNT(names) - 1; i >= 0; i--)
        to += sprintf(to, "\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}%s", names[i], i,
                      i + 1, i ? "," : "}");
    save_st("x", header, "12345", 5);
    pl_st_set set;
    ck_assert_int_eq(pl_st_open_file(in("x"), arena, &set), PL_OK);
    for (int i = 0; i < PL_COUNT(names); i++) {
        char longer[16];
        snprintf(longer, sizeof longer, "%s.b_x", names[i]);
        const pl_st_tensor *t = pl_st_find(&set, longer, strlen(names[i]));
        ck_assert_ptr_nonnull(t);
        ck_assert_str_eq(t->name, names[i]);
        ck_assert_ptr_null(pl_st_find(&set, longer, strlen(longer)));
    }
    ck_assert_ptr_null(pl_st_find(&set, "", 0));
    ck_assert_ptr_null(pl_st_find(&set, "c", 1));
    pl_st_close(&set);
    pl_st_set none = { 0 };
    ck_assert_ptr_null(pl_st_find(&none, "a", 1));
}
END_TEST

START_TEST(no_tensors)
{
    save_st("x", "{}", NULL, 0);
    ck_assert_int_eq(open_one("x"), PL_OK);
    save_st("x", "{}", "1", 1);
    ck_assert_int_eq(open_one("x"), PL_E_INPUT);
}
END_TEST

START_TEST(truncated)
{
    size_t len;
    char data[GOOD_DATA] = { 0 }, *bytes = st_bytes(good, strlen(good), data, sizeof data, &len);
    for (size_t cut = 0; cut < len; cut++) {
        save("x", bytes, cut);
        ck_assert_int_eq(open_one("x"), PL_E_INPUT);
        ck_sentence(in("x"));
    }
    save("x", bytes, len);
    ck_assert_int_eq(open_one("x"), PL_OK);
    free(bytes);
}
END_TEST

/* Whatever one byte of the header becomes: an error, or a file whose ranges are still inside. */
START_TEST(flipped)
{
    size_t len;
    char data[GOOD_DATA] = { 0 }, *bytes = st_bytes(good, strlen(good), data, sizeof data, &len);
    int refused = 0, tried = 0;
    for (size_t at = 0; at < len - GOOD_DATA; at++) {
        for (int bit = 0; bit < 8; bit++, tried++) {
            bytes[at] ^= (char)(1 << bit);
            save("x", bytes, len);
            pl_status code = open_one("x");
            ck_assert(code == PL_OK || code == PL_E_INPUT);
            refused += code != PL_OK;
            bytes[at] ^= (char)(1 << bit);
        }
        pl_arena_reset(arena);
    }
    ck_assert_int_gt(refused, tried / 2);
    free(bytes);
}
END_TEST

START_TEST(false_lengths)
{
    static const struct { uint64_t length; const char *sentence; } cases[] = {
        { 0, "'{'" }, { 1, "JSON" }, { sizeof good, "JSON" }, { sizeof good + 100, "has" },
        { 100000000, "has" }, { 100000001, "PL_MAX_ST_HEADER" }, { UINT64_MAX, "PL_MAX_ST_HEADER" },
        { UINT64_C(1) << 63, "PL_MAX_ST_HEADER" }, { UINT64_MAX - 7, "PL_MAX_ST_HEADER" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        size_t len;
        char data[GOOD_DATA] = "#################";
        char *bytes = st_bytes(good, cases[i].length, data, sizeof data, &len);
        save("x", bytes, len);
        free(bytes);
        ck_assert_int_eq(open_one("x"), PL_E_INPUT);
        if (cases[i].length != sizeof good) ck_sentence(cases[i].sentence);
    }
}
END_TEST

#define T(name, dtype, shape, begin, end)                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

/* All with 8 bytes of data. */
START_TEST(bad_headers)
{
    static const struct { const char *header, *sentence; } cases[] = {
        { "{" T("a", "F32", "[1]", 0, 4) "}", "take 4 bytes, the file has 8" },
        { "{" T("a", "F32", "[1]", 4, 8) "}", "begins at byte 4 of the data, expected at 0" },
        { "{" T("a", "F32", "[1]", 0, 4) "," T("b", "F16", "[1]", 6, 8) "}", "expected at 4" },
        { "{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[1]", 4, 8) "}", "expected at 8" },
        { "{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 0, 8) "}", "expected at 8" },
        { "{" T("a", "F32", "[4]", 0, 16) "}", "ends at byte 16, the file has 8" },
        { "{" T("a", "F32", "[2]", 8, 0) "}", "begins at 8 and ends at 0" },
        { "{" T("a", "F32", "[2]", -8, 0) "}", "begin offset should be between 0" },
        { "{" T("a", "F32", "[2]", 0.5, 8.5) "}", "whole number" },
        { "{" T("a", "F32", "[2]", 0, 9007199254740994) "}", "2^53" },
        { "{" T("a", "F32", "[2]", 0, 1e999) "}", "a.safe" },
        { "{" T("a", "F32", "[3]", 0, 8) "}", "take 12 bytes, its offsets say 8" },
        { "{" T("a", "F32", "[1]", 0, 8) "}", "take 4 bytes, its offsets say 8" },
        { "{" T("a", "F32", "[-2]", 0, 8) "}", "dimension" },
        { "{" T("a", "F32", "[2.5]", 0, 8) "}", "dimension" },
        { "{" T("a", "F32", "[\"2\"]", 0, 8) "}", "dimension" },
        { "{" T("a", "F32", "2", 0, 8) "}", "'shape' should be an array" },
        { "{" T("a", "F32", "[4294967296,4294967296]", 0, 8) "}", "overflow" },
        { "{" T("a", "F32", "[4294967296,2147483647]", 0, 8) "}", "overflow" },
        { "{" T("a", "F32", "[4503599627370496,4503599627370496,0]", 0, 8) "}", "overflow" },
        { "{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", "PL_MAX_DIMS" },
        { "{" T("a", "F4", "[15]", 0, 8) "}", "7 and a part of bytes" },
        { "{" T("a", "Q4", "[2]", 0, 8) "}", "unknown dtype 'Q4'" },
        { "{" T("a", "f32", "[2]", 0, 8) "}", "unknown dtype" },
        { "{" T("a", "F32", "[2]", 0, 8) "," T("a", "F32", "[2]", 0, 8) "}", "twice" },
        { "{" T("", "F32", "[2]", 0, 8) "}", "PL_MAX_NAME" },
        { "{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", "'dtype' should be a string" },
        { "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", "'dtype' is missing" },
        { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "'shape'" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "'data_offsets'" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "two numbers" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", "two numbers" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{\"0\":0,\"1\":8}}}", "two numbers" },
        { "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "twice" },
        { "{\"a\":[]}", "should be an object" },
        { "{\"a\":null}", "should be an object" },
        { "{\"__metadata__\":[]," T("a", "F32", "[2]", 0, 8) "}", "__metadata__" },
        { "{\"__metadata__\":{\"n\":1}," T("a", "F32", "[2]", 0, 8) "}", "__metadata__" },
        { " {" T("a", "F32", "[2]", 0, 8) "}", "'{'" },
        { "[]", "'{'" },
        { "{" T("a", "F32", "[2]", 0, 8) "}}", "behind" },
        { "{" T("a", "F32", "[2]", 0, 8) ",}", "JSON" },
        { "{\"\xff\":0}", "UTF-8" },
        { "{\"a\\u0000b\":0}", "NUL" },
        { "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "nested" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        save_st("a.safetensors", cases[i].header, "01234567", 8);
        ck_assert_msg(open_one("a.safetensors") == PL_E_INPUT, "accepted: %s", cases[i].header);
        ck_sentence(cases[i].sentence);
        ck_sentence("a.safetensors");
    }
    char header[1024];
    snprintf(header, sizeof header, "{\"%0256d\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 0);
    save_st("x", header, "01234567", 8);
    ck_assert_int_eq(open_one("x"), PL_E_INPUT);
    ck_sentence("PL_MAX_NAME");
    ck_assert_int_eq(open_one("missing"), PL_E_INPUT);
    ck_assert_int_eq(open_one("."), PL_E_INPUT);
}
END_TEST

/* ---- shards ---- */

#define A1 "{" T("a", "F32", "[1]", 0, 4) "}"
#define B1 "{" T("b", "F32", "[1]", 0, 4) "}"
#define INDEX(total, map) "{\"metadata\":{\"total_size\":" total "},\"weight_map\":{" map "}}"

static pl_status open_index(const char *text, pl_st_set *set)
{
    warned[0] = 0;
    save_text("i.json", text);
    return pl_st_open_index(folder, in("i.json"), arena, set);
}

static void save_two(void)
{
    save_st("1.st", A1, "aaaa", 4);
    save_st("2.st", B1, "bbbb", 4);
}

START_TEST(two_shards)
{
    save_two();
    pl_st_set set;
    ck_assert_int_eq(open_index(INDEX("8", "\"b\":\"2.st\",\"a\":\"1.st\""), &set), PL_OK);
    ck_assert_str_eq(warned, "");
    ck_assert_int_eq(set.files, 2);
    ck_assert_int_eq(set.tensors, 2);
    for (int i = 0; i < 2; i++) {
        char value;
        const pl_st_tensor *t = &set.tensor[i];
        ck_assert_int_eq(pl_file_read(set.file[t->file], t->offset, &value, 1), PL_OK);
        ck_assert_int_eq(value, t->name[0]);
    }
    pl_st_close(&set);
    ck_assert_int_eq(open_index("{\"weight_map\":{\"a\":\"1.st\",\"b\":\"2.st\"}}", &set), PL_OK);
    pl_st_close(&set);
}
END_TEST

START_TEST(odd_indexes_warn)
{
    save_two();
    pl_st_set set;
    ck_assert_int_eq(open_index(INDEX("9", "\"b\":\"2.st\",\"a\":\"1.st\""), &set), PL_OK);
    ck_assert_ptr_nonnull(strstr(warned, "total_size is 9, the tensors have 8"));
    pl_st_close(&set);
    save_st("1.st", "{" T("c", "U8", "[1]", 0, 1) "," T("a", "U8", "[3]", 1, 4) "}", "aaaa", 4);
    ck_assert_int_eq(open_index(INDEX("8.0", "\"b\":\"2.st\",\"a\":\"1.st\""), &set), PL_OK);
    ck_assert_ptr_nonnull(strstr(warned, "does not list 1 tensor of its shards: 'c'"));
    ck_assert_int_eq(set.tensors, 3);
    pl_st_close(&set);
}
END_TEST

START_TEST(bad_indexes)
{
    static const struct { const char *index, *sentence; } cases[] = {
        { INDEX("8", "\"a\":\"1.st\",\"b\":\"3.st\""), "shard '3.st' is missing" },
        { INDEX("8", "\"a\":\"2.st\",\"b\":\"1.st\""), "tensor 'a' should be in '2.st', is in '1.st'" },
        { INDEX("8", "\"a\":\"1.st\",\"c\":\"2.st\""), "tensor 'c' is not in '2.st'" },
        { INDEX("8", "\"a\":\"1.st\",\"b\":\"2.st\",\"c\":\"2.st\""), "tensor 'c' is not in '2.st'" },
        { INDEX("8", "\"a\":\"1.st\",\"a\":\"2.st\""), "twice" },
        { INDEX("8", "\"a\":\"1.st\",\"b\":\"again.st\""), "tensor 'a' is in" },
        { INDEX("8", "\"a\":\"../1.st\""), "plain file name" },
        { INDEX("8", "\"a\":\"sub/1.st\""), "plain file name" },
        { INDEX("8", "\"a\":\"/etc/passwd\""), "plain file name" },
        { INDEX("8", "\"a\":\"..\""), "plain file name" },
        { INDEX("8", "\"a\":\".\""), "plain file name" },
        { INDEX("8", "\"a\":\"\""), "plain file name" },
        { INDEX("8", "\"a\":\"sub\\\\1.st\""), "plain file name" },
        { INDEX("8", "\"a\":\"away.st\""), "a link out of its folder" },
        { INDEX("8", "\"a\":\"sub\""), "regular file" },
        { INDEX("8", "\"a\":1"), "should be a string" },
        { INDEX("8", "\"a\":null"), "should be a string" },
        { INDEX("8", ""), "lists 0 tensors" },
        { "{\"weight_map\":[]}", "'weight_map' should be an object" },
        { "{}", "'weight_map' should be an object" },
        { "[]", "'weight_map' should be an object" },
        { "", "JSON" },
    };
    save_two();
    save_st("again.st", A1, "aaaa", 4);
    ck_assert_int_eq(mkdir(in("sub"), 0700), 0);
    char outside[] = "/tmp/test_st_outside.XXXXXX";
    int fd = mkstemp(outside);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(symlink(outside, in("away.st")), 0);
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_st_set set;
        ck_assert_msg(open_index(cases[i].index, &set) == PL_E_INPUT, "accepted: %s", cases[i].index);
        ck_sentence(cases[i].sentence);
        pl_st_close(&set);
    }
    unlink(outside);
}
END_TEST

/* Links inside the folder, and those of a hub cache: models--x/snapshots/y/1.st -> ../../blobs/z. */
START_TEST(links_inside)
{
    ck_assert_int_eq(mkdir(in("snapshots"), 0700), 0);
    ck_assert_int_eq(mkdir(in("snapshots/y"), 0700), 0);
    ck_assert_int_eq(mkdir(in("blobs"), 0700), 0);
    save_st("blobs/z", A1, "aaaa", 4);
    ck_assert_int_eq(symlink("../../blobs/z", in("snapshots/y/1.st")), 0);
    ck_assert_int_eq(symlink("1.st", in("snapshots/y/2.st")), 0);
    ck_assert_int_eq(symlink("../../snapshots", in("snapshots/y/3.st")), 0);
    ck_assert_int_eq(pl_st_check_link(in("snapshots/y"), in("snapshots/y/1.st")), PL_OK);
    ck_assert_int_eq(pl_st_check_link(in("snapshots/y"), in("snapshots/y/2.st")), PL_OK);
    ck_assert_int_eq(pl_st_check_link(in("snapshots/y"), in("snapshots/y/3.st")), PL_E_INPUT);
    ck_assert_int_eq(pl_st_check_link(in("blobs"), in("snapshots/y/2.st")), PL_OK);
}
END_TEST

/* A thousand shards under a small limit of open files; time must not grow with the square. */
START_TEST(many_shards)
{
    enum { SHARDS = 1000, EACH = 100, LEN = EACH * 96 };
    char *header = malloc(LEN), *index = malloc((size_t)SHARDS * EACH * 64), name[32];
    char *to = index + sprintf(index, "{\"weight_map\":{"), data[EACH] = { 0 };
    for (int s = 0; s < SHARDS; s++) {
        snprintf(name, sizeof name, "m-%05d.st", s);
        char *h = header + sprintf(header, "{");
        for (int i = 0; i < EACH; i++) {
            h += sprintf(h, "%s\"layer.%d.w%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                         i ? "," : "", s, i, i, i + 1);
            to += sprintf(to, "%s\"layer.%d.w%d\":\"%s\"", s || i ? "," : "", s, i, name);
        }
        strcpy(h, "}");
        save_st(name, header, data, EACH);
    }
    strcpy(to, "}}");
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 256;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    pl_st_set set;
    double start = pl_seconds();
    ck_assert_int_eq(open_index(index, &set), PL_OK);
    ck_assert_double_lt(pl_seconds() - start, 10);
    ck_assert_int_eq(set.files, SHARDS);
    ck_assert_int_eq(set.tensors, SHARDS * EACH);
    pl_st_close(&set);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_NOFILE, &limit);
    free(header);
    free(index);
}
END_TEST

START_TEST(out_of_memory)
{
    save_two();
    pl_status code = PL_E_MEMORY;
    int failures = 0;
    for (; code == PL_E_MEMORY; failures++) {
        pl_st_set set;
        pl_arena *own = NULL;
        save_text("i.json", INDEX("8", "\"b\":\"2.st\",\"a\":\"1.st\""));
        pl_mem_fail_after(failures);
        code = pl_arena_create(&own);
        if (code == PL_OK) {
            code = pl_st_open_index(folder, in("i.json"), own, &set);
            pl_st_close(&set);
        }
        pl_mem_fail_after(-1);
        ck_assert(code == PL_OK || code == PL_E_MEMORY);
        pl_arena_destroy(own);
    }
    ck_assert_int_gt(failures, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *cases = tcase_create("safetensors");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, one_file);
    tcase_add_test(cases, every_dtype);
    tcase_add_test(cases, finding);
    tcase_add_test(cases, no_tensors);
    tcase_add_test(cases, truncated);
    tcase_add_test(cases, flipped);
    tcase_add_test(cases, false_lengths);
    tcase_add_test(cases, bad_headers);
    tcase_add_test(cases, two_shards);
    tcase_add_test(cases, odd_indexes_warn);
    tcase_add_test(cases, bad_indexes);
    tcase_add_test(cases, links_inside);
    tcase_add_test(cases, many_shards);
    tcase_add_test(cases, out_of_memory);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
