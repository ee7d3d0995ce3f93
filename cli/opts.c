/* opts.c: option tables on popt. */
#include "cli/opts.h"

#include <errno.h>
#include <math.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

enum { MAX_OPTS = 32, HELP = 1000 };

/* Takes over a string from malloc; it lives until the process ends, in reach of leak checkers. */
static pl_status keep(char *text, const char **out)
{
    static char **kept;
    static int count;
    char **grown = text ? pl_realloc(kept, count + 1, sizeof *kept) : NULL;
    if (!grown) {
        free(text);
        return pl_fail(PL_E_MEMORY, "out of memory");
    }
    kept = grown;
    *out = kept[count++] = text;
    return PL_OK;
}

static void show_help(const pl_usage *usage, const pl_opt *opts, int count)
{
    printf("Usage: planish %s %s\n\n%s\n\nOptions:\n", usage->command, usage->arguments, usage->summary);
    for (int i = 0; i < count; i++) {
        char left[64], letter[8] = "    ";
        if (opts[i].letter) snprintf(letter, sizeof letter, "-%c, ", opts[i].letter);
        const char *argument = opts[i].kind == PL_OPT_CHOICE ? opts[i].names : opts[i].argument;
        snprintf(left, sizeof left, "%s--%s%s%s", letter, opts[i].name, argument ? " " : "",
                 argument ? argument : "");
        if (strlen(left) > 26) printf("  %s\n  %-26s  %s\n", left, "", opts[i].help);
        else printf("  %-26s  %s\n", left, opts[i].help);
    }
    printf("  %-26s  %s\n\nExample:\n%s\n", "-h, --help", "this text", usage->example);
}

static pl_status bad(const pl_opt *opt, const char *text, const char *expected)
{
    return pl_fail(PL_E_WISH, "--%s takes %s, not '%s'", opt->name, expected, text);
}

static pl_status parse_size(const pl_opt *opt, const char *text)
{
    static const struct { const char *unit; double factor; } units[] = {
        { "", 1 }, { "B", 1 }, { "K", 0x1p10 }, { "KiB", 0x1p10 }, { "M", 0x1p20 }, { "MiB", 0x1p20 },
        { "G", 0x1p30 }, { "GiB", 0x1p30 }, { "T", 0x1p40 }, { "TiB", 0x1p40 },
        { "KB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 }, { "TB", 1e12 },
    };
    char *end;
    double value = strtod(text, &end);
    for (int i = 0; i < PL_COUNT(units) && end != text; i++) {
        double bytes = value * units[i].factor;
        if (strcasecmp(end, units[i].unit) || !(bytes >= 1 && bytes < 0x1p62)) continue;
        *(int64_t *)opt->value = (int64_t)bytes;
        return PL_OK;
    }
    return bad(opt, text, "a size like 500M or 1.5GiB");
}

static pl_status parse_choice(const pl_opt *opt, const char *text)
{
    int32_t index = 0;
    size_t len = strlen(text);
    for (const char *at = opt->names; *at; index++) {
        size_t n = strcspn(at, "|");
        if (n == len && !strncmp(at, text, n)) {
            *(int32_t *)opt->value = index;
            return PL_OK;
        }
        at += n + (at[n] == '|');
    }
    char expected[128];
    snprintf(expected, sizeof expected, "one of %s", opt->names);
    return bad(opt, text, expected);
}

/* text NULL for a flag. */
static pl_status parse_value(const pl_opt *opt, const char *text)
{
    char expected[128], *end;
    errno = 0;
    switch (opt->kind) {
    case PL_OPT_FLAG: *(bool *)opt->value = true; return PL_OK;
    case PL_OPT_TEXT: return keep(strdup(text), (const char **)opt->value);
    case PL_OPT_LIST: {
        pl_opt_list *list = opt->value;
        if (list->count == PL_COUNT(list->text))
            return pl_fail(PL_E_WISH, "--%s is given more than %d times", opt->name, PL_COUNT(list->text));
        return keep(strdup(text), &list->text[list->count++]);
    }
    case PL_OPT_SIZE: return parse_size(opt, text);
    case PL_OPT_CHOICE: return parse_choice(opt, text);
    case PL_OPT_SEED: {
        unsigned long long value = strtoull(text, &end, 10);
        if (errno || end == text || *end || strchr(text, '-')) return bad(opt, text, "a whole number");
        *(uint64_t *)opt->value = value;
        return PL_OK;
    }
    case PL_OPT_INT: {
        long long value = strtoll(text, &end, 10);
        snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", opt->low, opt->high);
        if (errno || end == text || *end || (double)value < opt->low || (double)value > opt->high)
            return bad(opt, text, expected);
        *(int32_t *)opt->value = (int32_t)value;
        return PL_OK;
    }
    case PL_OPT_REAL: {
        double value = strtod(text, &end);
        snprintf(expected, sizeof expected, "a number from %g to %g", opt->low, opt->high);
        if (errno || end == text || *end || !(value >= opt->low && value <= opt->high))
            return bad(opt, text, expected);
        *(double *)opt->value = value;
        return PL_OK;
    }
    }
    return PL_OK;
}

pl_status pl_opts_parse(int argc, const char **argv, const pl_usage *usage, const pl_opt *opts,
                        int count, const char **positional, bool *help)
{
    *help = false;
    struct poptOption table[MAX_OPTS + 2] = { 0 };
    for (int i = 0; i < count && i < MAX_OPTS; i++) {
        int kind = opts[i].kind == PL_OPT_FLAG ? POPT_ARG_NONE : POPT_ARG_STRING;
        table[i] = (struct poptOption){ opts[i].name, opts[i].letter, kind, NULL, i + 1, NULL, NULL };
    }
    table[count] = (struct poptOption){ "help", 'h', POPT_ARG_NONE, NULL, HELP, NULL, NULL };
    poptContext context = poptGetContext("planish", argc, argv, table, 0);
    if (!context) return pl_fail(PL_E_MEMORY, "out of memory");
    pl_status code = PL_OK;
    int got;
    while (code == PL_OK && (got = poptGetNextOpt(context)) > 0) {
        if (got == HELP) {
            show_help(usage, opts, count);
            *help = true;
            poptFreeContext(context);
            return PL_OK;
        }
        char *text = poptGetOptArg(context);
        bool lost = !text && opts[got - 1].kind != PL_OPT_FLAG;
        code = lost ? pl_fail(PL_E_MEMORY, "out of memory") : parse_value(&opts[got - 1], text);
        free(text);
    }
    if (code == PL_OK && got < -1)
        code = pl_fail(PL_E_WISH, "%s: %s; see 'planish %s --help'",
                       poptBadOption(context, POPT_BADOPTION_NOALIAS), poptStrerror(got), usage->command);
    int found = 0, most = usage->most > usage->positional ? usage->most : usage->positional;
    const char *extra = NULL;
    for (const char *arg; code == PL_OK && (arg = poptGetArg(context)) != NULL;) {
        if (found < most) code = keep(strdup(arg), &positional[found++]);
        else if (!extra) extra = arg;
    }
    if (code == PL_OK && extra && most > usage->positional)
        code = pl_fail(PL_E_WISH, "more than %d arguments, the next is '%s'; usage: planish %s %s", most, extra,
                       usage->command, usage->arguments);
    else if (code == PL_OK && extra)
        code = pl_fail(PL_E_WISH, "unexpected argument '%s'; usage: planish %s %s", extra,
                       usage->command, usage->arguments);
    else if (code == PL_OK && found < usage->positional)
        code = pl_fail(PL_E_WISH, "an argument is missing; usage: planish %s %s", usage->command,
                       usage->arguments);
    poptFreeContext(context);
    return code;
}
