/* text.h: regular expressions and Unicode; the only door to PCRE2 and utf8proc. */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include "core/mem.h"

/* A Unicode-aware expression, compiled once, used from any thread. PL_E_INPUT if it does not compile. */
typedef struct pl_regex pl_regex;
pl_status pl_regex_create(const char *pattern, pl_regex **out);
void pl_regex_destroy(pl_regex *regex);
/* First match at or behind `from`; false: none. text must be valid UTF-8. PL_E_INPUT when the expression
 * gives up. */
pl_status pl_regex_find(const pl_regex *regex, const char *text, size_t len, size_t from,
                        bool *found, size_t *start, size_t *end);

/* Length in bytes of the valid UTF-8 character at s (1..4), 0 if the bytes there are invalid. */
int pl_utf8_next(const char *s, size_t len, uint32_t *codepoint);
/* Writes a code point as UTF-8; returns 1..4. */
int pl_utf8_put(uint32_t codepoint, char out[4]);
/* Offset of the first invalid byte, -1: valid throughout. */
int64_t pl_utf8_check(const char *s, size_t len);

/* What a character is, by its Unicode properties. */
enum {
    PL_CHAR_SPACE = 1,          /* White_Space */
    PL_CHAR_PUNCTUATION = 2,    /* category P */
    PL_CHAR_OTHER = 4,          /* control, format, private use */
    PL_CHAR_ACCENT = 8,         /* a mark that takes no room (Mn) */
    PL_CHAR_WORD = 16           /* letter, digit, mark or connector: what \w is to expressions */
};
unsigned pl_char_class(uint32_t codepoint);
/* Lower case of a character: one code point or two; returns how many. */
int pl_char_lower(uint32_t codepoint, uint32_t out[2]);
/* Text in normalization form C (`compose`) or D; it must be valid UTF-8 of at most 2^30 bytes. *out is NULL
 * if it is in that form already, else freed with pl_free. */
pl_status pl_text_normalize(const char *text, size_t len, bool compose, char **out, size_t *out_len);

#endif
