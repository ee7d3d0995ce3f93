/* pretokenize.c: cutting text into words as a vocabulary's pre-tokenizer does. */
#include <stdio.h>
#include <string.h>

#include "core/pre.h"
#include "core/text.h"
#include "runtime-check/tokenizer_parts.h"

/* Letters and digits are those of the Unicode version that PCRE2 was built with: a few that came later
 * are cut otherwise than elsewhere. */

struct pl_pretokenizer {
    pl_regex *stage[PL_PRE_STAGES];
};

/* White space is spelled out: \s of PCRE2 also takes U+180E, which is no white space elsewhere. */
static pl_status compile(const char *pattern, pl_regex **out)
{
    static const char space[] = "\\t-\\r\\x{85}\\p{Z}";
    char exact[2048];
    size_t at = 0;
    bool inside = false;                /* a [class] */
    for (const char *p = pattern; *p; p++) {
        char piece[40] = { *p };
        if (*p == '\\') {
            piece[1] = *++p;
            if (*p == 's' && inside) snprintf(piece, sizeof piece, "%s", space);
            else if (*p == 's' || *p == 'S') snprintf(piece, sizeof piece, "[%s%s]", *p == 'S' ? "^" : "", space);
        } else if (*p == '[' || *p == ']') {
            inside = *p == '[';
        }
        size_t len = strlen(piece);
        if (len >= sizeof exact - at)
            return pl_fail(PL_E_INPUT, "the regular expression '%.100s...' is too long", pattern);
        memcpy(exact + at, piece, len + 1);
        at += len;
    }
    return pl_regex_create(exact, out);
}

pl_status pl_pretokenizer_create(const char *name, pl_pretokenizer **out)
{
    *out = NULL;
    const pl_pre *pre = pl_pre_find(name);
    if (!pre) {
        char list[PL_PRE_LIST];
        pl_pre_list(list);
        return pl_fail(PL_E_INPUT, "pre-tokenizer '%.100s' is not supported; --pre NAME takes another one: %s", name,
                       list);
    }
    pl_pretokenizer *p = pl_alloc(1, sizeof *p);
    if (!p) return PL_E_MEMORY;
    for (int i = 0; i < PL_PRE_STAGES && pre->stage[i]; i++) {
        pl_status status = compile(pre->stage[i], &p->stage[i]);
        if (status != PL_OK) {
            pl_pretokenizer_destroy(p);
            return status;
        }
    }
    *out = p;
    return PL_OK;
}

void pl_pretokenizer_destroy(pl_pretokenizer *p)
{
    if (!p) return;
    for (int i = 0; i < PL_PRE_STAGES; i++) pl_regex_destroy(p->stage[i]);
    pl_free(p);
}

static pl_status split(const pl_pretokenizer *p, int stage, const char *text, size_t len, pl_word_fn word,
                       void *ctx)
{
    if (len == 0) return PL_OK;
    if (stage == PL_PRE_STAGES || !p->stage[stage]) return word(ctx, text, len);
    for (size_t at = 0; at < len;) {
        bool found;
        size_t start, end;
        PL_TRY(pl_regex_find(p->stage[stage], text, len, at, &found, &start, &end));
        if (!found) start = end = len;
        PL_TRY(split(p, stage + 1, text + at, start - at, word, ctx));
        PL_TRY(split(p, stage + 1, text + start, end - start, word, ctx));
        at = end;
    }
    return PL_OK;
}

pl_status pl_pretokenizer_split(const pl_pretokenizer *p, const char *text, size_t len, pl_word_fn word,
                                void *ctx)
{
    return split(p, 0, text, len, word, ctx);
}
