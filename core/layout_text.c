/* layout_text.c: reading and printing layouts, composed layouts, tilers and coordinates. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/layout.h"
#include "core/layout_parts.h"

typedef struct cursor {
    const char *text, *at;
    const pl_layout_name *names;
    int count;
} cursor;

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool digit(char c) { return c >= '0' && c <= '9'; }

static char peek(cursor *c)
{
    while (*c->at == ' ') c->at++;
    return *c->at;
}

static bool take(cursor *c, char wanted)
{
    if (peek(c) != wanted) return false;
    c->at++;
    return true;
}

static pl_status expected(cursor *c, const char *what)
{
    char found[16] = "the end";
    if (peek(c)) snprintf(found, sizeof found, "'%.8s'", c->at);
    return pl_fail(PL_E_INPUT, "'%.200s' at character %d: expected %s, found %s", c->text, (int)(c->at - c->text) + 1,
                   what, found);
}

static pl_status too_large(cursor *c)
{
    return pl_fail(PL_E_INPUT, "'%.200s' at character %d: the number passes 2^63", c->text, (int)(c->at - c->text) + 1);
}

static pl_status digits(cursor *c, int64_t *out)
{
    int64_t value = 0;
    if (!digit(*c->at)) return expected(c, "a number");
    for (; digit(*c->at); c->at++)
        if (!pl_mul_ok(value, 10, &value) || !pl_add_ok(value, *c->at - '0', &value)) return too_large(c);
    *out = value;
    return PL_OK;
}

static pl_status named(cursor *c, int64_t *out)
{
    size_t len = 0;
    while (letter(c->at[len])) len++;
    for (int i = 0; i < c->count; i++) {
        if (strlen(c->names[i].name) != len || strncmp(c->names[i].name, c->at, len) != 0) continue;
        c->at += len;
        *out = c->names[i].value;
        return PL_OK;
    }
    return expected(c, c->count ? "a known name" : "a number");
}

/* 4, _4, h, 8N, and one of these by another one. */
static pl_status number(cursor *c, int64_t *out)
{
    int64_t value[2] = { 1, 1 }, factor = 1;
    peek(c);
    for (int i = 0; i < 2; i++) {
        bool any = false;
        if (take(c, '_') || digit(*c->at)) {
            PL_TRY(digits(c, &value[i]));
            any = true;
        }
        if (letter(*c->at) && (c->count || !any)) {
            PL_TRY(named(c, &factor));
            if (!pl_mul_ok(value[i], factor, &value[i])) return too_large(c);
            any = true;
        }
        if (!any) return expected(c, "a number");
        if (i == 0 && !(c->count && take(c, '/'))) break;
    }
    if (value[1] == 0 || value[0] % value[1] != 0)
        return pl_fail(PL_E_INPUT, "'%.200s': %" PRId64 " is no multiple of %" PRId64, c->text, value[0], value[1]);
    *out = value[0] / value[1];
    return PL_OK;
}

static pl_status tuple(cursor *c, pl_tuple *t)
{
    int depth = 0;
    t->count = 0;
    for (;;) {
        int i = t->count;
        if (i == PL_LAYOUT_MODES)
            return pl_fail(PL_E_INPUT, "'%.200s' has more than %d numbers in a tuple", c->text, PL_LAYOUT_MODES);
        t->open[i] = t->close[i] = 0;
        for (; take(c, '('); t->open[i]++)
            if (++depth > PL_LAYOUT_DEPTH)
                return pl_fail(PL_E_INPUT, "'%.200s' is nested deeper than %d", c->text, PL_LAYOUT_DEPTH);
        PL_TRY(number(c, &t->value[i]));
        for (; depth && take(c, ')'); t->close[i]++) depth--;
        t->count++;
        if (depth == 0) return PL_OK;
        if (!take(c, ',')) return expected(c, "',' or ')'");
    }
}

static pl_status layout(cursor *c, pl_layout *out)
{
    pl_layout l = { .shape = { .count = 0 } };
    PL_TRY(tuple(c, &l.shape));
    if (take(c, ':')) {
        pl_tuple stride;
        size_t n = (size_t)l.shape.count;
        PL_TRY(tuple(c, &stride));
        if (stride.count != l.shape.count || memcmp(stride.open, l.shape.open, n) ||
            memcmp(stride.close, l.shape.close, n))
            return pl_fail(PL_E_INPUT, "'%.200s': the strides are nested otherwise than the shape", c->text);
        memcpy(l.stride, stride.value, n * sizeof *stride.value);
    } else {
        int64_t size = 1;
        for (int i = 0; i < l.shape.count; i++) {
            l.stride[i] = size;
            if (!pl_mul_ok(size, l.shape.value[i], &size)) return too_large(c);
        }
    }
    if (pl_layout_check(&l) != PL_OK) return pl_fail_prefix(PL_E_INPUT, "'%.200s': ", c->text);
    *out = l;
    return PL_OK;
}

static pl_status end(cursor *c) { return peek(c) ? expected(c, "the end") : PL_OK; }

pl_status pl_layout_parse_names(const char *text, const pl_layout_name *names, int count, pl_layout *out)
{
    cursor c = { text, text, names, count };
    pl_layout l;
    PL_TRY(layout(&c, &l));
    PL_TRY(end(&c));
    *out = l;
    return PL_OK;
}

pl_status pl_layout_parse(const char *text, pl_layout *out) { return pl_layout_parse_names(text, NULL, 0, out); }

pl_status pl_tuple_parse(const char *text, pl_tuple *out)
{
    cursor c = { text, text, NULL, 0 };
    pl_tuple t;
    PL_TRY(tuple(&c, &t));
    PL_TRY(end(&c));
    *out = t;
    return PL_OK;
}

/* A number of a swizzle: small, and below 0 perhaps. */
static pl_status small(cursor *c, int *out)
{
    int64_t value;
    bool negative = take(c, '-');
    peek(c);
    PL_TRY(digits(c, &value));
    if (value > 62)
        return pl_fail(PL_E_INPUT, "'%.200s': %" PRId64 " passes 62, which a swizzle has at most", c->text, value);
    *out = (int)(negative ? -value : value);
    return PL_OK;
}

static pl_status then(cursor *c, char wanted, const char *what)
{
    return take(c, wanted) ? PL_OK : expected(c, what);
}

pl_status pl_composed_parse(const char *text, pl_composed *out)
{
    cursor c = { text, text, NULL, 0 };
    pl_composed made = { .offset = 0 };
    if (take(&c, 'S')) {
        PL_TRY(then(&c, '<', "'<'"));
        PL_TRY(small(&c, &made.swizzle.bits));
        PL_TRY(then(&c, ',', "','"));
        PL_TRY(small(&c, &made.swizzle.base));
        PL_TRY(then(&c, ',', "','"));
        PL_TRY(small(&c, &made.swizzle.shift));
        PL_TRY(then(&c, '>', "'>'"));
        PL_TRY(then(&c, 'o', "'o'"));
        PL_TRY(number(&c, &made.offset));
        PL_TRY(then(&c, 'o', "'o'"));
    }
    PL_TRY(layout(&c, &made.layout));
    PL_TRY(end(&c));
    if (pl_composed_check(&made) != PL_OK) return pl_fail_prefix(PL_E_INPUT, "'%.200s': ", text);
    *out = made;
    return PL_OK;
}

pl_status pl_tiler_parse(const char *text, pl_tiler *out)
{
    cursor c = { text, text, NULL, 0 };
    pl_tiler made = { .count = 0 };
    made.by_mode = take(&c, '<');
    do {
        if (made.count == PL_TILER_MODES)
            return pl_fail(PL_E_INPUT, "'%.200s' has more than %d layouts", text, PL_TILER_MODES);
        PL_TRY(layout(&c, &made.mode[made.count]));
        made.count++;
    } while (made.by_mode && take(&c, ','));
    if (made.by_mode && !take(&c, '>')) return expected(&c, "',' or '>'");
    PL_TRY(end(&c));
    *out = made;
    return PL_OK;
}

/* ---- printing ---- */

static char *print_tuple(const pl_tuple *t, const int64_t *value, char *to)
{
    for (int i = 0; i < t->count; i++) {
        if (i) *to++ = ',';
        memset(to, '(', t->open[i]);
        to += t->open[i];
        to += snprintf(to, 24, "%" PRId64, value[i]);
        memset(to, ')', t->close[i]);
        to += t->close[i];
    }
    *to = 0;
    return to;
}

_Static_assert(PL_LAYOUT_TEXT >= 64 + 2 * PL_LAYOUT_MODES * (20 + 2 * PL_LAYOUT_DEPTH), "longest text");

const char *pl_layout_print(const pl_layout *l, char text[PL_LAYOUT_TEXT])
{
    char *to = print_tuple(&l->shape, l->shape.value, text);
    *to++ = ':';
    print_tuple(&l->shape, l->stride, to);
    return text;
}

const char *pl_composed_print(const pl_composed *c, char text[PL_LAYOUT_TEXT])
{
    int used = 0;
    pl_swizzle s = c->swizzle;
    if (s.bits || c->offset)
        used = snprintf(text, 64, "S<%d,%d,%d> o %" PRId64 " o ", s.bits, s.base, s.shift, c->offset);
    char *to = print_tuple(&c->layout.shape, c->layout.shape.value, text + used);
    *to++ = ':';
    print_tuple(&c->layout.shape, c->layout.stride, to);
    return text;
}
