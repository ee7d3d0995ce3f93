/* text.c: regular expressions by PCRE2, UTF-8 by utf8proc. */
#include "core/text.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include <utf8proc.h>

/* What one search may cost. Far above what an honest text needs, and reached in well under a second. */
enum { MATCH_STEPS = 10000000, DEPTH = 100000, HEAP_KIB = 64 * 1024 };

struct pl_regex {
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_code *code;
};

static void *take(PCRE2_SIZE size, void *unused)
{
    return pl_realloc(NULL, (int64_t)size, 1);
}

static void give(void *p, void *unused) { pl_free(p); }

pl_status pl_regex_create(const char *pattern, pl_regex **out)
{
    *out = NULL;
    pl_regex *regex = pl_alloc(1, sizeof *regex);
    if (!regex) return PL_E_MEMORY;
    pl_status status = PL_E_MEMORY;
    regex->memory = pcre2_general_context_create(take, give, NULL);
    if (!regex->memory) goto out;
    regex->limits = pcre2_match_context_create(regex->memory);
    if (!regex->limits) goto out;
    pcre2_set_match_limit(regex->limits, MATCH_STEPS);
    pcre2_set_depth_limit(regex->limits, DEPTH);
    pcre2_set_heap_limit(regex->limits, HEAP_KIB);

    pcre2_compile_context *compile = pcre2_compile_context_create(regex->memory);
    if (!compile) goto out;
    int error;
    PCRE2_SIZE where;
    regex->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                                &error, &where, compile);
    pcre2_compile_context_free(compile);
    if (!regex->code) {
        char why[120];
        if (error == PCRE2_ERROR_HEAP_FAILED) goto out;
        pcre2_get_error_message(error, (PCRE2_UCHAR *)why, sizeof why);
        status = pl_fail(PL_E_INPUT, "regular expression '%.200s': %s at byte %zu", pattern, why, where);
        goto out;
    }
    /* Without JIT (not built in, or the system forbids it) the interpreter matches the same. */
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    *out = regex;
    return PL_OK;
out:
    pl_regex_destroy(regex);
    return status;
}

void pl_regex_destroy(pl_regex *regex)
{
    if (!regex) return;
    pcre2_code_free(regex->code);
    pcre2_match_context_free(regex->limits);
    pcre2_general_context_free(regex->memory);
    pl_free(regex);
}

pl_status pl_regex_find(const pl_regex *regex, const char *text, size_t len, size_t from,
                        bool *found, size_t *start, size_t *end)
{
    *found = false;
    if (from > len) return PL_OK;
    pcre2_match_data *match = pcre2_match_data_create(1, regex->memory);
    if (!match) return PL_E_MEMORY;
    /* Validity is the caller's promise: checking here would read the whole text at every search. */
    int rc = pcre2_match(regex->code, (PCRE2_SPTR)text, len, from, PCRE2_NO_UTF_CHECK, match,
                         regex->limits);
    pl_status status = PL_OK;
    if (rc > 0) {
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
        *found = true;
        *start = range[0];
        *end = range[1];
    } else if (rc == PCRE2_ERROR_NOMEMORY) {
        status = PL_E_MEMORY;
    } else if (rc != PCRE2_ERROR_NOMATCH) {
        char why[120];
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
        status = pl_fail(PL_E_INPUT, "text behind byte %zu: the regular expression gave up: %s", from, why);
    }
    pcre2_match_data_free(match);
    return status;
}

int pl_utf8_put(uint32_t codepoint, char out[4])
{
    return (int)utf8proc_encode_char((utf8proc_int32_t)codepoint, (utf8proc_uint8_t *)out);
}

int64_t pl_utf8_check(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint64_t eight;
        if (len - i >= sizeof eight) {          /* most text is ASCII */
            memcpy(&eight, s + i, sizeof eight);
            if (!(eight & 0x8080808080808080u)) {
                i += sizeof eight;
                continue;
            }
        }
        uint32_t c;
        int n = pl_utf8_next(s + i, len - i, &c);
        if (n == 0) return (int64_t)i;
        i += (size_t)n;
    }
    return -1;
}

unsigned pl_char_class(uint32_t c)
{
    unsigned flags = 0;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_PC: flags = PL_CHAR_PUNCTUATION | PL_CHAR_WORD; break;
    case UTF8PROC_CATEGORY_PD: case UTF8PROC_CATEGORY_PS: case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI: case UTF8PROC_CATEGORY_PF: case UTF8PROC_CATEGORY_PO:
        flags = PL_CHAR_PUNCTUATION;
        break;
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_CO:
        flags = PL_CHAR_OTHER;
        break;
    case UTF8PROC_CATEGORY_MN: flags = PL_CHAR_ACCENT | PL_CHAR_WORD; break;
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL:
        flags = PL_CHAR_WORD;
        break;
    case UTF8PROC_CATEGORY_ZS: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP:
        flags = PL_CHAR_SPACE;
        break;
    default: break;
    }
    if ((c >= '\t' && c <= '\r') || c == 0x85) flags |= PL_CHAR_SPACE;
    return flags;
}

int pl_char_lower(uint32_t c, uint32_t out[2])
{
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    out[1] = 0x307;
    if (c != 0x130) return 1;
    out[0] = 'i';                   /* the only one with two: I with a dot above */
    return 2;
}

pl_status pl_text_normalize(const char *text, size_t len, bool compose, char **out, size_t *out_len)
{
    *out = NULL;
    *out_len = len;
    const utf8proc_option_t options = UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
    bool changes = false;           /* what stays as it is in both forms lies below U+00C0, in C below U+0300 */
    for (size_t i = 0; i < len && !changes; i++) changes = (uint8_t)text[i] >= (compose ? 0xCC : 0xC3);
    if (!changes) return PL_OK;
    utf8proc_ssize_t count = utf8proc_decompose((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, NULL, 0,
                                                options);
    if (count < 0) return pl_fail(PL_E_INPUT, "text of %zu bytes cannot be normalized", len);
    /* Four bytes for a code point, where its UTF-8 finds room later, and a NUL behind all. */
    utf8proc_int32_t *points = pl_realloc(NULL, (int64_t)count + 1, sizeof *points);
    if (!points) return PL_E_MEMORY;
    utf8proc_decompose((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, points, count, options);
    utf8proc_ssize_t bytes = utf8proc_reencode(points, count, options);
    if (bytes < 0) {
        pl_free(points);
        return pl_fail(PL_E_INPUT, "text of %zu bytes cannot be normalized", len);
    }
    *out = (char *)points;
    *out_len = (size_t)bytes;
    return PL_OK;
}
