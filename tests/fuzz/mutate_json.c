/* mutate_json.c: changing JSON by its tokens: values replaced, copied, taken out, doubled. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/mutate.h"

enum { TOKENS = 4096 };

/* kind: the first character; 'a' for numbers and words. */
typedef struct token { size_t at, len; char kind; } token;
typedef struct tokens { token t[TOKENS]; int count; } tokens;

static size_t string_end(const fuzz_buffer *b, size_t at)
{
    for (at++; at < b->len && b->data[at] != '"'; at++)
        if (b->data[at] == '\\') at++;
    return at < b->len ? at + 1 : b->len;
}

static void cut(const fuzz_buffer *b, tokens *out)
{
    out->count = 0;
    for (size_t at = 0; at < b->len && out->count < TOKENS;) {
        char c = (char)b->data[at];
        size_t end = at + 1;
        if (isspace((unsigned char)c)) {
            at++;
            continue;
        }
        if (c == '"') {
            end = string_end(b, at);
        } else if (!strchr("{}[],:", c) || !c) {
            while (end < b->len && !isspace(b->data[end]) && !strchr("{}[],:\"", b->data[end])) end++;
            c = 'a';
        }
        out->t[out->count++] = (token){ at, end - at, c };
        at = end;
    }
}

static bool begins_value(const tokens *k, int i)
{
    char kind = k->t[i].kind;
    bool key = kind == '"' && i + 1 < k->count && k->t[i + 1].kind == ':';
    return !key && (kind == '"' || kind == 'a' || kind == '{' || kind == '[');
}

/* Some value; -1: there is none. */
static int pick(fuzz_buffer *b, const tokens *k)
{
    for (int tries = 0; tries < 32 && k->count; tries++) {
        int i = (int)fuzz_below(b, (uint64_t)k->count);
        if (begins_value(k, i)) return i;
    }
    return -1;
}

/* Index behind the last token of a value. */
static int value_end(const tokens *k, int i)
{
    int depth = 0;
    do {
        char kind = k->t[i].kind;
        depth += kind == '{' || kind == '[';
        depth -= kind == '}' || kind == ']';
        i++;
    } while (i < k->count && depth > 0);
    return i;
}

/* Bytes from token i up to and without token end. */
static size_t span(const tokens *k, int i, int end)
{
    return k->t[end - 1].at + k->t[end - 1].len - k->t[i].at;
}

static void put_odd_value(fuzz_buffer *b, const tokens *k, int i)
{
    static const char *const odd[] = {
        "null", "true", "false", "{}", "[]", "\"\"", "0", "-1", "-0", "1.5", "1e999", "-1e400", "1e-999",
        "9007199254740991", "9007199254740992", "4294967296", "2147483648", "1e15", "0.1", "NaN", "Infinity",
        "[[[[[[[[]]]]]]]]", "[0]", "[0,0]", "[null]", "{\"a\":1}", "\"\\u0000\"", "\"\\ud800\"", "\"\xff\"",
        "\"<0x-1>\"", "\"<0x100>\"", "\"../x\"", "\"/etc/passwd\"", "\"F8_E8M0\"", "\"BF16\"", "1048577"
    };
    const char *value = odd[fuzz_below(b, sizeof odd / sizeof *odd)];
    fuzz_replace(b, k->t[i].at, span(k, i, value_end(k, i)), value, strlen(value));
}

static void change_number(fuzz_buffer *b, const token *t)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)(t->len < 31 ? t->len : 31), (const char *)b->data + t->at);
    int64_t value = (int64_t)fuzz_odd_number(b, (uint64_t)strtoll(text, NULL, 10));
    snprintf(text, sizeof text, "%lld", (long long)value);
    fuzz_replace(b, t->at, t->len, text, strlen(text));
}

/* Takes a value out, with its key and a comma; or puts it there once more. */
static void take_out_or_double(fuzz_buffer *b, const tokens *k, int i, bool twice)
{
    int from = i >= 2 && k->t[i - 1].kind == ':' ? i - 2 : i, end = value_end(k, i);
    size_t at = k->t[from].at, len = span(k, from, end);
    if (twice) {
        uint8_t comma = ',';
        fuzz_replace(b, at, 0, b->data + at, len);
        fuzz_replace(b, at + len, 0, &comma, 1);
        return;
    }
    if (end < k->count && k->t[end].kind == ',') end++;
    else if (from > 0 && k->t[from - 1].kind == ',') from--;
    fuzz_replace(b, k->t[from].at, span(k, from, end), NULL, 0);
}

static void wrap(fuzz_buffer *b, const tokens *k, int i)
{
    size_t at = k->t[i].at, len = span(k, i, value_end(k, i));
    fuzz_replace(b, at + len, 0, "]", 1);
    fuzz_replace(b, at, 0, "[", 1);
}

void fuzz_mutate_json(fuzz_buffer *b)
{
    static tokens k;
    cut(b, &k);
    int i = pick(b, &k), other = pick(b, &k);
    if (i < 0 || other < 0) {
        b->len = LLVMFuzzerMutate(b->data, b->len, b->most);
        return;
    }
    const token *t = &k.t[i];
    int any = (int)fuzz_below(b, (uint64_t)k.count);
    switch (fuzz_below(b, 9)) {
    case 0: put_odd_value(b, &k, i); break;
    case 1:
    case 2:
        if (t->kind == 'a') change_number(b, t);
        else if (t->kind == '"' && t->len >= 2) fuzz_mutate_bytes(b, t->at + 1, t->len - 2);
        else put_odd_value(b, &k, i);
        break;
    case 3: take_out_or_double(b, &k, i, false); break;
    case 4: take_out_or_double(b, &k, i, true); break;
    case 5: wrap(b, &k, i); break;
    case 6: fuzz_mutate_bytes(b, k.t[any].at, k.t[any].len); break;
    default:                                    /* a value in the place of another, also keys */
        if (k.t[any].kind == '"' && k.t[other].kind == '"') i = any;
        fuzz_replace(b, k.t[i].at, span(&k, i, value_end(&k, i)), b->data + k.t[other].at,
                     span(&k, other, value_end(&k, other)));
        break;
    }
}
