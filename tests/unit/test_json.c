/* test_json.c: what JSON is refused, the tree and its size, typed members, writing. */
#include <math.h>
#include <stdlib.h>

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
    ck_assert_str_eq(pl_json_text(json), "\\u0000");     /* an escaped backslash, no escape behind it */
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
    for (int count = 2; count <= 100; count++) {     /* small objects and those with a table */
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
    ck_assert_int_eq(pl_json_count(json), 300001);
    int64_t at = 0, value;
    for (const pl_json *m = pl_json_first(json); m; m = pl_json_next(m), at++) {
        char key[32];
        snprintf(key, sizeof key, at < 300000 ? "key%lld" : "last", (long long)at);
        ck_assert_str_eq(pl_json_key(m), key);
        ck_assert_ptr_eq(pl_json_get(json, key), m);
        assert_ok(pl_json_int(json, key, true, 0, 300000, "doc", &value));
        ck_assert_int_eq(value, at < 300000 ? at : 0);
    }
    ck_assert_int_eq(at, 300001);
    ck_assert_ptr_null(pl_json_get(json, "key300000"));
    ck_assert_ptr_null(pl_json_get(json, ""));
    ck_assert(pl_json_same(json, json));
    ck_assert(pl_seconds() - began < 20);
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
    assert_ok(pl_json_as_number(pl_json_get(j, "X"), "doc", "X", &x));
    ck_assert(x == 1);
    assert_fails(pl_json_as_number(NULL, "doc", "it", &x), PL_E_INPUT, "doc: it should be a number, is missing");
    ck_assert_ptr_null(pl_json_get(pl_json_get(j, "s"), "x"));
    refused("{\"x\":1e999}", "beyond the range of a double");
    refused("-1e999", "beyond the range");
    refused("[1, -1e999 ]", "at byte 4");
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

/* Offsets of what is wrong, not of where it was noticed. */
START_TEST(offsets)
{
    const struct { const char *text; int at; } cases[] = {
        { "{\"a\":1,}", 7 }, { "[1, ,2]", 4 }, { "[1 \"two, 3\"]", 3 }, { "{\"a\" 12}", 5 }, { "[ tru]", 2 },
        { "{\"a\":\"b\" : 1}", 9 }, { "[1, 2}", 5 }, { "{ 12:3}", 2 }, { "[\"a\\x\"]", 3 }, { "[-]", 1 },
        { "[1, 2, 3.]", 7 }, { "[1, nan]", 4 }, { "  x", 2 }, { "[\"\\ud800\"]", 2 }, { "[\"a\\u12\"]", 3 },
        { "[1,\v2]", 3 }, { "[1,\f2]", 3 }, { "[\"\\ud83dx\\ude00\"]", 2 }, { "", 0 }, { " ", 1 },
        { "{\"a\" , 1}", 5 }, { "[ , 1]", 2 }, { "[[] : 1]", 4 }, { "[[], , 1]", 5 }, { "{:1}", 1 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        char part[64];
        snprintf(part, sizeof part, "not valid JSON at byte %d", cases[i].at);
        refused(cases[i].text, part);
        ck_assert_str_eq(strstr(pl_error(), "byte"), strstr(part, "byte"));
    }
}
END_TEST

START_TEST(walking)
{
    pl_json *j = parse(" {\"s\": \"x\\ty\\u00e9\\ud83d\\ude00\", \"\\\"k\\\"\": [1, [], {}, [[2]], \"\"], \"o\": {\"p\": {}}, "
                       "\"t\": true} ");
    const pl_json *s = pl_json_first(j), *k = pl_json_next(s), *o = pl_json_next(k), *t = pl_json_next(o);
    ck_assert_ptr_null(pl_json_next(t));
    ck_assert_ptr_null(pl_json_next(j));
    ck_assert_ptr_null(pl_json_key(j));
    ck_assert_int_eq(pl_json_count(j), 4);
    ck_assert_str_eq(pl_json_key(s), "s");
    ck_assert_str_eq(pl_json_text(s), "x\ty\xc3\xa9\xf0\x9f\x98\x80");
    ck_assert_uint_eq(pl_json_length(s), 9);
    ck_assert_str_eq(pl_json_key(k), "\"k\"");
    ck_assert_str_eq(pl_json_key(o), "o");
    ck_assert_str_eq(pl_json_key(t), "t");
    ck_assert_ptr_eq(pl_json_get(j, "\"k\""), k);
    const pl_json_kind kinds[] = { PL_JSON_NUMBER, PL_JSON_ARRAY, PL_JSON_OBJECT, PL_JSON_ARRAY, PL_JSON_STRING };
    int at = 0;
    for (const pl_json *e = pl_json_first(k); e; e = pl_json_next(e)) {
        ck_assert(pl_json_is(e, kinds[at++]));
        ck_assert_ptr_null(pl_json_key(e));
    }
    ck_assert_int_eq(at, 5);
    ck_assert_int_eq(pl_json_count(k), 5);
    const pl_json *none[] = { NULL, s, t, pl_json_get(o, "p") };
    for (int i = 0; i < PL_COUNT(none); i++) {
        ck_assert_ptr_null(pl_json_first(none[i]));
        ck_assert_ptr_null(pl_json_get(none[i], "x"));
        ck_assert_int_eq(pl_json_count(none[i]), 0);
    }
    ck_assert_ptr_null(pl_json_text(NULL));
    ck_assert_ptr_null(pl_json_text(k));
    ck_assert_uint_eq(pl_json_length(k), 0);
    ck_assert(!pl_json_is(NULL, PL_JSON_NULL));
    pl_json_free(j);
}
END_TEST

START_TEST(equality)
{
    const struct { const char *a, *b; bool same; } cases[] = {
        { "{\"a\":1,\"b\":[null,true]}", "{ \"b\":[null,true], \"a\":1.0 }", true }, { "[1,2]", "[2,1]", false },
        { "{\"a\":1}", "{\"a\":1,\"b\":1}", false }, { "{\"a\":null}", "{\"b\":null}", false }, { "[]", "{}", false },
        { "\"a\"", "\"b\"", false }, { "true", "false", false }, { "1", "\"1\"", false }, { "null", "null", true },
        { "{\"a\":{\"x\":[{}]}}", "{\"a\":{\"x\":[{}]}}", true }, { "[1,2]", "[1,2,3]", false },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_json *a = parse(cases[i].a), *b = parse(cases[i].b);
        ck_assert_msg(pl_json_same(a, b) == cases[i].same, "%s %s", cases[i].a, cases[i].b);
        ck_assert(pl_json_same(b, a) == cases[i].same);
        pl_json_free(a);
        pl_json_free(b);
    }
}
END_TEST

/* What a hostile file can make of its size: 16 bytes for the two of an element, 48 for the six of a member. */
START_TEST(memory)
{
    const size_t len = 4 << 20;
    char *text = malloc(len);
    for (size_t i = 0; i < len; i += 2) memcpy(text + i, ",0", 2);
    text[0] = '[';
    memcpy(text + len - 2, " ]", 2);
    pl_json *json;
    assert_ok(pl_json_parse(text, len, "doc", &json));
    ck_assert_int_eq(pl_json_count(json), (int64_t)len / 2 - 1);
    ck_assert_int_lt(pl_json_bytes(json), 9 * (int64_t)len + 1000);
    pl_json_free(json);
    free(text);

    size_t used = 1;
    text = malloc(len);
    text[0] = '{';
    for (unsigned i = 0; i < 200000; i++)               /* the shortest keys there are */
        used += (size_t)sprintf(text + used, "\"%x\":0,", i);
    text[used - 1] = '}';
    assert_ok(pl_json_parse(text, used, "doc", &json));
    ck_assert_int_lt(pl_json_bytes(json), 9 * (int64_t)used);
    pl_json_free(json);

    /* one string, most of it escapes: yajl's copy of it is gone again */
    for (used = 1; used < len - 1; used += 2) memcpy(text + used, "\\n", 2);
    text[0] = text[used - 2] = '"';
    assert_ok(pl_json_parse(text, used - 1, "doc", &json));
    ck_assert_uint_eq(pl_json_length(json), (used - 3) / 2);
    ck_assert_uint_eq(strspn(pl_json_text(json), "\n"), (used - 3) / 2);
    ck_assert_int_lt(pl_json_bytes(json), (int64_t)len + 1000);
    pl_json_free(json);
    free(text);
}
END_TEST

static void write_sample(pl_json_writer *w)
{
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "text", "\"q\" \\ \n\x01 \xc3\xa9/");
    pl_json_put_text(w, "no text", NULL);
    pl_json_begin_array(w, "list");
    pl_json_put_int(w, NULL, INT64_MIN);
    pl_json_put_number(w, NULL, INFINITY);
    pl_json_put_number(w, NULL, 0.1);
    pl_json_begin_object(w, NULL);
    pl_json_end(w);
    pl_json_put_bool(w, NULL, true);
    pl_json_end(w);
    pl_json_put_number(w, "third", 1.0 / 3.0);
    pl_json_put_number(w, "whole", 4096);
    pl_json_put_null(w, "null");
    pl_json_begin_array(w, "open");
}

START_TEST(writing)
{
    pl_json_writer *w;
    char *text;
    assert_ok(pl_json_writer_create(&w));
    write_sample(w);
    assert_ok(pl_json_finish(w, &text));
    pl_json_writer_destroy(w);
    ck_assert_str_eq(text, "{\n  \"text\": \"\\\"q\\\" \\\\ \\n\\u0001 \xc3\xa9/\",\n  \"no text\": null,\n  \"list\": [\n"
                     "    -9223372036854775808,\n    null,\n    0.1,\n    {\n\n    },\n    true\n  ],\n"
                     "  \"third\": 0.33333333333333331,\n  \"whole\": 4096,\n  \"null\": null,\n  \"open\": [\n\n  ]\n}\n");
    pl_json *json = parse(text);
    double third = 0;
    assert_ok(pl_json_number(json, "third", true, "again", &third));
    ck_assert(third == 1.0 / 3.0);
    ck_assert_str_eq(pl_json_text(pl_json_first(json)), "\"q\" \\ \n\x01 \xc3\xa9/");
    pl_json_free(json);
    pl_free(text);
}
END_TEST

START_TEST(writing_wrongly)
{
    for (int i = 0; i < 6; i++) {
        pl_json_writer *w;
        char *text = (void *)1;
        assert_ok(pl_json_writer_create(&w));
        if (i == 0) pl_json_end(w);
        else if (i < 5) pl_json_begin_object(w, NULL);
        if (i == 1) pl_json_put_int(w, NULL, 1);
        for (int k = 0; i == 2 && k <= PL_MAX_JSON_DEPTH; k++) pl_json_begin_object(w, "deeper");
        if (i == 3 || i == 4) pl_json_end(w);
        if (i == 3) pl_json_put_bool(w, NULL, true);
        if (i == 4) pl_json_end(w);
        assert_fails(pl_json_finish(w, &text), PL_E_INPUT, "JSON cannot be written");
        ck_assert_ptr_null(text);
        pl_json_writer_destroy(w);
    }
    pl_json_writer_destroy(NULL);
}
END_TEST

START_TEST(writing_without_memory)
{
    for (int64_t n = 0;; n++) {
        pl_json_writer *w = NULL;
        char *text = NULL;
        pl_mem_fail_after(n);
        pl_status code = pl_json_writer_create(&w);
        for (int i = 0; code == PL_OK && i < 20; i++) {
            if (i == 0) pl_json_begin_array(w, NULL);
            write_sample(w);
            pl_json_end(w);
            pl_json_end(w);
        }
        if (code == PL_OK) code = pl_json_finish(w, &text);
        pl_mem_fail_after(-1);
        pl_json_writer_destroy(w);
        pl_free(text);
        if (code == PL_OK) {
            ck_assert_int_ge(n, 3);
            break;
        }
        ck_assert_int_eq(code, PL_E_MEMORY);
        ck_assert_ptr_null(text);
        ck_assert_ptr_nonnull(strstr(pl_error(), "out of memory"));
    }
}
END_TEST

/* Every allocation on the way fails once. */
START_TEST(without_memory)
{
    size_t len;
    char *text = object_of(100, "l\\u00e4st", &len);     /* a table, an escape, more nodes than at first */
    for (int64_t n = 0;; n++) {
        pl_json *json = (void *)1;
        pl_mem_fail_after(n);
        pl_status code = parse_bytes(text, len, &json);
        pl_mem_fail_after(-1);
        if (code == PL_OK) {
            ck_assert_int_gt(n, 6);
            pl_json_free(json);
            free(text);
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
        documents, syntax_errors, text_behind, characters, depth, keys_that_stand_twice, huge_objects, offsets,
        walking, equality, memory, integers, other_types, files, writing, writing_wrongly,
        writing_without_memory, without_memory,
    };
    return run_suite("json", tests, PL_COUNT(tests));
}
