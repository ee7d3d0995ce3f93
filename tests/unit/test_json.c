/* test_json.c: what JSON is refused, typed members, printing. */
#include <math.h>

#include "core/fs.h"
#include "core/json.h"
#include "tests/unit/run.h"

/* From a block of exactly its size, so that a read behind the end shows under a sanitizer. */
static pl_status parse_bytes(const char *text, size_t len, pl_json **out)
{
    char *exact = malloc(len ? len : 1);
    memcpy(exact, text, len);
    pl_status code = pl_json_parse(exact, len, "doc", out);
    free(exact);
    return code;
}

static pl_json *parse(const char *text)
{
    pl_json *json;
    assert_ok(parse_bytes(text, strlen(text), &json));
    return json;
}

static void accepted(const char *text) { pl_json_free(parse(text)); }

static void refused_bytes(const char *text, size_t len, const char *part)
{
    pl_json *json = (void *)1;
    assert_fails(parse_bytes(text, len, &json), PL_E_INPUT, part);
    ck_assert_ptr_null(json);
    ck_assert_int_eq(strncmp(pl_error(), "doc: ", 5), 0);
}

static void refused(const char *text, const char *part) { refused_bytes(text, strlen(text), part); }

START_TEST(documents)
{
    const char *good[] = {
        "{}", "[]", " \t\r\n{ } \t\r\n", "null", "true", "false", "0", "-0", "-1.5e-3", "1E+5", "\"\"",
        "[1,[2,[3]],{\"a\":{\"b\":[]}}]", "\"\\u00e9\\n\\\\u0000\\\"\"", "\"\\ud83d\\ude00\"",
        "\"\xc3\xa9\xf0\x9f\x98\x80\"", "{\"\":1,\" \":2}", "{\"a\":null}", "\"\\/\\b\\f\\r\\t\"",
    };
    for (int i = 0; i < PL_COUNT(good); i++) accepted(good[i]);
    pl_json *json = parse("\"\\\\u0000\"");
    ck_assert_str_eq(json->valuestring, "\\u0000");     /* an escaped backslash, no escape behind it */
    pl_json_free(json);
}
END_TEST

START_TEST(syntax_errors)
{
    const char *bad[] = {
        "", "  ", "{", "[", "\"", "\"\\", "\"\\\"", "}", "]", "[1}", "{]", "{\"a\"}", "{\"a\":}", "{\"a\" 1}",
        "{\"a\":1,}", "{\"a\":1,", "{\"a\":1", "{\"a\":", "{\"a\"", "[1,]", "[,1]", "[1 2]", "{a:1}",
        "{1:1}", "{,}", "'a'", "tru", "nul", "TRUE", "/**/1", "nan", "NaN", "Infinity", "-Infinity", "inf",
        "01", "-01", "00", "1.", "-", "+1", ".5", "1e", "1e+", "1.e5", "--1", "[1.,2]", "[-]", "\"\\x\"",
        "\"\\u12\"", "\"\\u00zz\"", "\"\\u", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
    };
    for (int i = 0; i < PL_COUNT(bad); i++) refused(bad[i], "not valid JSON");
    refused("{\"a\": 12, \"b\": 01}", "at byte 15");
}
END_TEST

START_TEST(text_behind)
{
    const char *bad[] = { "{} x", "{}{}", "1 2", "truex", "0x10", "1-2", "null,", "\"a\" \"b\"" };
    for (int i = 0; i < PL_COUNT(bad); i++) refused(bad[i], "text behind the JSON document");
    refused("[1, 2]  x", "at byte 8");
}
END_TEST

START_TEST(characters)
{
    refused_bytes("{}\0", 3, "not valid JSON at byte 2");
    refused_bytes("[1,\0 2]", 7, "not valid JSON at byte 3");
    refused_bytes("\"a\0b\"", 5, "not valid JSON at byte 2");
    refused("\"a\nb\"", "not valid JSON at byte 2");
    refused("[1,\x01 2]", "not valid JSON at byte 3");
    refused("{\"a\":\"b\\u0000\"}", "NUL character");
    refused("{\"\\u0000\":1}", "NUL character");
    const char *bad_utf8[] = { "\"\xff\"", "\"\xc3\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"" };
    for (int i = 0; i < PL_COUNT(bad_utf8); i++) refused(bad_utf8[i], "invalid UTF-8 at byte 1");
}
END_TEST

START_TEST(depth)
{
    char text[4 * PL_MAX_JSON_DEPTH];
    for (int extra = 0; extra < 2; extra++) {
        int n = PL_MAX_JSON_DEPTH + extra;
        for (int i = 0; i < n; i++) text[i] = '[', text[n + i] = ']';
        text[2 * n] = 0;
        if (!extra) accepted(text);
        else refused(text, "nested deeper than 64 at byte 64");
    }
    size_t len = 1 << 20;                           /* a bomb */
    char *many = malloc(len);
    memset(many, '[', len);
    refused_bytes(many, len, "nested deeper");
    for (size_t i = 0; i + 5 <= len; i += 5) memcpy(many + i, "{\"a\":", 5);
    refused_bytes(many, len, "nested deeper");
    free(many);
    accepted("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"");
}
END_TEST

/* {"key0":0, "key1":1, ... and `last`. */
static char *object_of(int64_t keys, const char *last, size_t *len)
{
    char *text = malloc((size_t)keys * 24 + 64);
    ck_assert_ptr_nonnull(text);
    size_t used = (size_t)sprintf(text, "{");
    for (int64_t i = 0; i < keys; i++)
        used += (size_t)sprintf(text + used, "\"key%lld\":%lld,", (long long)i, (long long)i);
    *len = used + (size_t)sprintf(text + used, "\"%s\":0}", last);
    return text;
}

START_TEST(keys_that_stand_twice)
{
    refused("{\"a\":1,\"a\":1}", "key 'a' stands twice");
    refused("{\"a\":1,\"b\":{\"c\":[{\"d\":1,\"e\":2,\"d\":3}]}}", "key 'd' stands twice");
    refused("{\"a\":1,\"\\u0061\":2}", "key 'a' stands twice");
    accepted("{\"a\":1,\"A\":2,\"b\":{\"a\":1}}");
    for (int count = 2; count <= 20; count++) {     /* small objects and those with a table */
        size_t len;
        char *text = object_of(count, "last", &len), twin[32];
        accepted(text);
        free(text);
        snprintf(twin, sizeof twin, "key%d", count / 2);
        text = object_of(count, twin, &len);
        refused(text, "stands twice");
        free(text);
    }
}
END_TEST

/* A vocabulary's size: comparing every pair of keys would take minutes. */
START_TEST(huge_objects)
{
    size_t len;
    char *text = object_of(300000, "key150000", &len);
    double began = pl_seconds();
    refused_bytes(text, len, "key 'key150000' stands twice");
    free(text);
    text = object_of(300000, "last", &len);
    pl_json *json;
    assert_ok(parse_bytes(text, len, &json));
    ck_assert(pl_seconds() - began < 10);
    ck_assert_str_eq(json->child->prev->string, "last");
    pl_json_free(json);
    free(text);
}
END_TEST

START_TEST(integers)
{
    pl_json *j = parse("{\"zero\":-0,\"half\":1.5,\"big\":9007199254740991,\"bigger\":9007199254740992,"
                       "\"odd\":9007199254740993,\"low\":-9007199254740991,\"float\":3e2,\"text\":\"7\","
                       "\"no\":null,\"yes\":true,\"list\":[1],\"object\":{}}");
    int64_t out = 77;
    assert_ok(pl_json_int(j, "zero", true, 0, 5, "doc", &out));
    ck_assert_int_eq(out, 0);
    assert_ok(pl_json_int(j, "float", true, 300, 300, "doc", &out));
    ck_assert_int_eq(out, 300);
    assert_ok(pl_json_int(j, "big", true, INT64_MIN, INT64_MAX, "doc", &out));
    ck_assert_int_eq(out, 9007199254740991);
    assert_ok(pl_json_int(j, "low", true, INT64_MIN, INT64_MAX, "doc", &out));
    ck_assert_int_eq(out, -9007199254740991);
    out = 77;
    assert_ok(pl_json_int(j, "absent", false, 0, 5, "doc", &out));
    assert_ok(pl_json_int(j, "no", false, 0, 5, "doc", &out));
    assert_fails(pl_json_int(j, "absent", true, 0, 5, "doc", &out), PL_E_INPUT, "doc: 'absent' is missing");
    assert_fails(pl_json_int(j, "no", true, 0, 5, "doc", &out), PL_E_INPUT, "'no' is missing");
    assert_fails(pl_json_int(j, "half", true, 0, 5, "doc", &out), PL_E_INPUT, "'half' should be a whole");
    const char *too_big[] = { "bigger", "odd" };    /* both are read as 2^53 */
    for (int i = 0; i < 2; i++)
        assert_fails(pl_json_int(j, too_big[i], true, INT64_MIN, INT64_MAX, "doc", &out), PL_E_INPUT, "2^53");
    assert_fails(pl_json_int(j, "float", true, 0, 299, "doc", &out), PL_E_INPUT, "between 0 and 299, is 300");
    assert_fails(pl_json_int(j, "float", true, 301, 400, "doc", &out), PL_E_INPUT, "between 301 and 400");
    assert_fails(pl_json_int(j, "text", true, 0, 9, "doc", &out), PL_E_INPUT, "a number, is a string");
    assert_fails(pl_json_int(j, "yes", false, 0, 9, "doc", &out), PL_E_INPUT, "is true or false");
    assert_fails(pl_json_int(j, "list", true, 0, 9, "doc", &out), PL_E_INPUT, "is an array");
    assert_fails(pl_json_int(j, "object", true, 0, 9, "doc", &out), PL_E_INPUT, "is an object");
    ck_assert_int_eq(out, 77);
    pl_json_free(j);
}
END_TEST

START_TEST(other_types)
{
    pl_json *j = parse("{\"x\":2.5,\"t\":true,\"f\":false,\"s\":\"text\",\"n\":null,\"X\":1}");
    double x = 7;
    bool b = true;
    const char *s = NULL;
    assert_ok(pl_json_number(j, "x", true, "doc", &x));
    ck_assert(x == 2.5);
    assert_ok(pl_json_number(j, "n", false, "doc", &x));
    ck_assert(x == 2.5);
    assert_fails(pl_json_number(j, "s", true, "doc", &x), PL_E_INPUT, "'s' should be a number, is a string");
    assert_ok(pl_json_bool(j, "f", true, "doc", &b));
    ck_assert(!b);
    assert_ok(pl_json_bool(j, "t", true, "doc", &b));
    ck_assert(b);
    assert_fails(pl_json_bool(j, "x", true, "doc", &b), PL_E_INPUT, "should be true or false");
    assert_ok(pl_json_string(j, "s", true, "doc", &s));
    ck_assert_str_eq(s, "text");
    assert_fails(pl_json_string(j, "x", true, "doc", &s), PL_E_INPUT, "should be a string, is a number");
    assert_fails(pl_json_string(j, "n", true, "doc", &s), PL_E_INPUT, "missing");
    ck_assert_ptr_null(pl_json_get(j, "n"));
    ck_assert_int_eq(pl_json_get(j, "X")->valueint, 1);
    ck_assert_ptr_null(pl_json_get(pl_json_get(j, "s"), "x"));
    refused("{\"x\":1e999}", "beyond the range of a double");
    refused("-1e999", "beyond the range");
    accepted("1e-999");
    pl_json_free(j);
}
END_TEST

START_TEST(files)
{
    pl_json *json = (void *)1;
    temp_write("a.json", "{\"a\":1} \n", 9);
    assert_ok(pl_json_load(temp_path("a.json"), &json));
    pl_json_free(json);
    temp_write("b.json", "{\"a\":1,}", 8);
    assert_fails(pl_json_load(temp_path("b.json"), &json), PL_E_INPUT, "b.json: not valid JSON at byte 7");
    ck_assert_ptr_null(json);
    assert_fails(pl_json_load(temp_path("none.json"), &json), PL_E_INPUT, "none.json");
    temp_write("empty.json", "", 0);
    assert_fails(pl_json_load(temp_path("empty.json"), &json), PL_E_INPUT, "empty.json: not valid JSON");
}
END_TEST

START_TEST(printing)
{
    pl_json *json = parse("{\"a\":[1,2.5,\"\\n\"],\"b\":null}"), *again;
    ck_assert_ptr_nonnull(cJSON_AddNumberToObject(json, "inf", INFINITY));
    ck_assert_ptr_nonnull(cJSON_AddNumberToObject(json, "third", 1.0 / 3.0));
    char *text;
    assert_ok(pl_json_print(json, &text));
    assert_ok(pl_json_parse(text, strlen(text), "again", &again));
    double third = 0;
    assert_ok(pl_json_number(again, "third", true, "again", &third));
    ck_assert(third == 1.0 / 3.0);
    ck_assert(cJSON_IsNull(cJSON_GetObjectItem(again, "inf")));
    pl_free(text);
    pl_json_free(again);
    pl_mem_fail_after(0);
    assert_fails(pl_json_print(json, &text), PL_E_MEMORY, "out of memory");
    pl_mem_fail_after(-1);
    pl_json_free(json);
}
END_TEST

/* Every allocation on the way fails once. */
START_TEST(without_memory)
{
    const char *text = "{\"a\":[1,{\"b\":\"c\"},3],\"k1\":1,\"k2\":1,\"k3\":1,\"k4\":1,\"k5\":1,\"k6\":1,"
                       "\"k7\":1,\"k8\":1}";
    for (int64_t n = 0;; n++) {
        pl_json *json = (void *)1;
        pl_mem_fail_after(n);
        pl_status code = parse_bytes(text, strlen(text), &json);
        pl_mem_fail_after(-1);
        if (code == PL_OK) {
            ck_assert_int_gt(n, 20);
            pl_json_free(json);
            break;
        }
        ck_assert_int_eq(code, PL_E_MEMORY);
        ck_assert_ptr_null(json);
        ck_assert_ptr_nonnull(strstr(pl_error(), "out of memory"));
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        documents, syntax_errors, text_behind, characters, depth, keys_that_stand_twice, huge_objects,
        integers, other_types, files, printing, without_memory,
    };
    return run_suite("json", tests, PL_COUNT(tests));
}
