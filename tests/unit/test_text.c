/* test_text.c: regular expressions and UTF-8. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

static pl_regex *compiled(const char *pattern)
{
    pl_regex *regex;
    ck_assert_msg(pl_regex_create(pattern, &regex) == PL_OK, "%s", pl_error());
    return regex;
}

/* Where `pattern` matches in `text`, from `from` on, as "start-end" or "none". */
static void expect(const char *pattern, const char *text, size_t from, const char *want)
{
    pl_regex *regex = compiled(pattern);
    bool found;
    size_t start, end;
    char got[64] = "none";
    ck_assert_int_eq(pl_regex_find(regex, text, strlen(text), from, &found, &start, &end), PL_OK);
    if (found) snprintf(got, sizeof got, "%zu-%zu", start, end);
    ck_assert_msg(!strcmp(got, want), "/%s/ in '%s': got %s, want %s", pattern, text, got, want);
    pl_regex_destroy(regex);
}

START_TEST(test_find)
{
    expect("b+", "abbab", 0, "1-3");
    expect("b+", "abbab", 2, "2-3");
    expect("b+", "abbab", 3, "4-5");
    expect("b+", "abbab", 5, "none");
    expect("b+", "abbab", 6, "none");
    expect("\\p{L}+", "1\xC3\xA9t\xC3\xA9 2", 0, "1-6");                /* été */
    expect("\\p{N}", "a\xD9\xA3", 0, "1-3");                            /* ARABIC-INDIC DIGIT THREE */
    expect(".", "\xF0\x9F\x98\x80", 0, "0-4");                          /* one emoji is one character */
    expect("(?i:'s)", "x'\xC5\xBF", 0, "1-4");                          /* long s is an s */
    expect(" +(?! )", "a   b", 0, "1-4");
}
END_TEST

/* The text may hold anything, NUL characters too, and ends where len says. */
START_TEST(test_find_bounds)
{
    pl_regex *regex = compiled("x");
    bool found;
    size_t start, end;
    ck_assert_int_eq(pl_regex_find(regex, "a\0x", 3, 0, &found, &start, &end), PL_OK);
    ck_assert(found && start == 2 && end == 3);
    ck_assert_int_eq(pl_regex_find(regex, "a\0x", 2, 0, &found, &start, &end), PL_OK);
    ck_assert(!found);
    pl_regex_destroy(regex);
}
END_TEST

START_TEST(test_bad_pattern)
{
    pl_regex *regex;
    ck_assert_int_eq(pl_regex_create("a(b", &regex), PL_E_INPUT);
    ck_assert_ptr_null(regex);
    ck_assert_ptr_nonnull(strstr(pl_error(), "a(b"));
}
END_TEST

/* An expression with exponential cost gives up instead of running for years. */
START_TEST(test_gives_up)
{
    pl_regex *regex = compiled("^(a|aa)+$");
    char text[2001];
    bool found;
    size_t start, end;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    ck_assert_int_eq(pl_regex_find(regex, text, sizeof text, 0, &found, &start, &end), PL_E_INPUT);
    ck_assert(!found);
    ck_assert_ptr_nonnull(strstr(pl_error(), "gave up"));
    pl_regex_destroy(regex);
}
END_TEST

START_TEST(test_no_memory)
{
    int n = 0;
    for (pl_status status = PL_E_MEMORY; status != PL_OK; n++) {
        pl_regex *regex;
        bool found = false;
        size_t start, end;
        pl_mem_fail_after(n);
        status = pl_regex_create("a+b", &regex);
        if (status == PL_OK) status = pl_regex_find(regex, "xaab", 4, 0, &found, &start, &end);
        pl_mem_fail_after(-1);
        ck_assert(status == PL_E_MEMORY || (status == PL_OK && found));
        pl_regex_destroy(regex);
    }
    ck_assert_int_ge(n, 4);
}
END_TEST

/* Every code point comes back; surrogates and what lies beyond U+10FFFF are no characters. */
START_TEST(test_round_trip)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        char s[4];
        uint32_t back = 0;
        int n = pl_utf8_put(c, s);
        bool good = n == (c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4) &&
                    pl_utf8_next(s, (size_t)n, &back) == n && back == c;
        for (int k = 0; k < n; k++) good = good && pl_utf8_next(s, (size_t)k, &back) == 0;
        if (!good) ck_abort_msg("U+%04X", c);
    }
}
END_TEST

START_TEST(test_check)
{
    static const struct { const char *s; size_t len; int64_t want; } cases[] = {
        { "", 0, -1 }, { "plain text, longer than eight", 29, -1 }, { "a\0b", 3, -1 },
        { "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, -1 },
        { "12345678\xC3", 9, 8 }, { "1234567\xC3\xA9", 9, -1 }, { "\x80", 1, 0 }, { "a\xC0\x80", 3, 1 },
        { "\xE0\x80\xAF", 3, 0 }, { "ab\xED\xA0\x80", 5, 2 }, { "\xEF\xBF\xBF", 3, -1 },
        { "\xF0\x80\x80\x80", 4, 0 }, { "\xF4\x8F\xBF\xBF", 4, -1 }, { "\xF4\x90\x80\x80", 4, 0 },
        { "\xF5\x80\x80\x80", 4, 0 }, { "\xE2\x82\xAC", 2, 0 }, { "\xFF", 1, 0 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++)
        ck_assert_msg(pl_utf8_check(cases[i].s, cases[i].len) == cases[i].want, "case %d", i);
}
END_TEST

/* A text in form C or D; NULL: it is already. */
static void expect_form(bool compose, const char *text, const char *want)
{
    char *out;
    size_t len;
    ck_assert_int_eq(pl_text_normalize(text, strlen(text), compose, &out, &len), PL_OK);
    if (!want) ck_assert(!out && len == strlen(text));
    else ck_assert_msg(out && len == strlen(want) && !memcmp(out, want, len), "'%s'", text);
    pl_free(out);
}

START_TEST(test_forms)
{
    expect_form(true, "", NULL);
    expect_form(true, "plain \xC3\xA9", NULL);
    expect_form(true, "e\xCC\x81!", "\xC3\xA9!");
    expect_form(true, "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81");      /* Hangul */
    expect_form(true, "a\xCC\x82\xCC\xA3", "\xE1\xBA\xAD");                          /* in their order */
    expect_form(true, "\xEF\xAC\x81", "\xEF\xAC\x81");                                /* a ligature stays */
    expect_form(true, "\xE2\x84\xAB", "\xC3\x85");                                     /* the unit Angstrom */
    expect_form(false, "plain", NULL);
    expect_form(false, "\xC3\xA9!", "e\xCC\x81!");
    expect_form(false, "\xEA\xB0\x81", "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8");
    char *out;
    size_t len;
    ck_assert_int_eq(pl_text_normalize("\0e\xCC\x81\0", 5, true, &out, &len), PL_OK);
    ck_assert(len == 4 && !memcmp(out, "\0\xC3\xA9\0", 4));
    pl_free(out);
    pl_mem_fail_after(0);
    ck_assert_int_eq(pl_text_normalize("e\xCC\x81", 3, true, &out, &len), PL_E_MEMORY);
    pl_mem_fail_after(-1);
    ck_assert_ptr_null(out);
}
END_TEST

START_TEST(test_classes)
{
    static const struct { uint32_t c; unsigned want; } cases[] = {
        { ' ', PL_CHAR_SPACE }, { '\t', PL_CHAR_SPACE | PL_CHAR_OTHER }, { 0x85, PL_CHAR_SPACE | PL_CHAR_OTHER },
        { 0x1C, PL_CHAR_OTHER }, { 0xA0, PL_CHAR_SPACE }, { 0x3000, PL_CHAR_SPACE }, { 0x180E, PL_CHAR_OTHER },
        { 0x200B, PL_CHAR_OTHER }, { 'a', PL_CHAR_WORD }, { '5', PL_CHAR_WORD }, { 0x4E2D, PL_CHAR_WORD },
        { '_', PL_CHAR_PUNCTUATION | PL_CHAR_WORD }, { '!', PL_CHAR_PUNCTUATION }, { '$', 0 }, { 0x2581, 0 },
        { 0x301, PL_CHAR_ACCENT | PL_CHAR_WORD }, { 0x903, PL_CHAR_WORD }, { 0xE000, PL_CHAR_OTHER },
        { 0x10FFFF, 0 }, { 0x1F600, 0 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++)
        ck_assert_msg(pl_char_class(cases[i].c) == cases[i].want, "U+%04X: %u", cases[i].c, pl_char_class(cases[i].c));
    uint32_t lower[2];
    ck_assert(pl_char_lower('A', lower) == 1 && lower[0] == 'a');
    ck_assert(pl_char_lower(0x416, lower) == 1 && lower[0] == 0x436);
    ck_assert(pl_char_lower(0x130, lower) == 2 && lower[0] == 'i' && lower[1] == 0x307);
    ck_assert(pl_char_lower('5', lower) == 1 && lower[0] == '5');
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, test_find);
    tcase_add_test(t, test_find_bounds);
    tcase_add_test(t, test_bad_pattern);
    tcase_add_test(t, test_gives_up);
    tcase_add_test(t, test_no_memory);
    tcase_add_test(t, test_round_trip);
    tcase_add_test(t, test_check);
    tcase_add_test(t, test_forms);
    tcase_add_test(t, test_classes);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
