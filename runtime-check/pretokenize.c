/* pretokenize.c: cutting text into words as a vocabulary's pre-tokenizer does. */
#include <string.h>

#include "core/text.h"
#include "runtime-check/tokenizer_parts.h"

/* Letters and digits are those of the Unicode version that PCRE2 was built with: a few digits that came
 * later are cut otherwise than elsewhere. */

/* White space and its complement, spelled out: \s of PCRE2 also takes U+180E, which is no white space. */
#define SPACE "\\t-\\r\\x{85}\\p{Z}"
#define IS_SPACE "[" SPACE "]"
#define NOT_SPACE "[^" SPACE "]"

/* A run of white space leaves its last character to the word behind it. */
#define SPACES IS_SPACE "+(?!" NOT_SPACE ")|" IS_SPACE "+"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|" SPACES
#define LLAMA3                                                                                     \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^" SPACE            \
    "\\p{L}\\p{N}]+[\\r\\n]*|" IS_SPACE "*[\\r\\n]+|" SPACES

enum { MAX_STAGES = 4 };

/* Each expression cuts the pieces that those before it left; what it matches and what lies between the
 * matches are pieces alike. */
static const struct rule {
    const char *name;
    bool whole_words;
    const char *stage[MAX_STAGES];
} rules[] = {
    { "gpt-2", false, { GPT2 } },
    { "smollm", false, { "\\p{N}", GPT2 } },
    { "starcoder", false, { "\\p{N}", GPT2 } },
    { "llama-bpe", true, { LLAMA3 } },
    { "llama3", true, { LLAMA3 } },
    { "llama-v3", true, { LLAMA3 } },
    { "default", false, { "[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]" } },
};

struct pl_pretokenizer {
    const struct rule *rule;
    pl_regex *stage[MAX_STAGES];
};

pl_status pl_pretokenizer_create(const char *name, pl_pretokenizer **out)
{
    *out = NULL;
    int which = 0;
    while (which < PL_COUNT(rules) && strcmp(rules[which].name, name)) which++;
    if (which == PL_COUNT(rules)) {
        char list[200] = "";
        for (int i = 0; i < PL_COUNT(rules); i++) {
            strcat(list, i ? ", " : "");
            strcat(list, rules[i].name);
        }
        return pl_fail(PL_E_INPUT, "pre-tokenizer '%.100s' is not supported; there are %s", name, list);
    }
    pl_pretokenizer *p = pl_alloc(1, sizeof *p);
    if (!p) return PL_E_MEMORY;
    p->rule = &rules[which];
    for (int i = 0; i < MAX_STAGES && p->rule->stage[i]; i++) {
        pl_status status = pl_regex_create(p->rule->stage[i], &p->stage[i]);
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
    for (int i = 0; i < MAX_STAGES; i++) pl_regex_destroy(p->stage[i]);
    pl_free(p);
}

bool pl_pretokenizer_whole_words(const pl_pretokenizer *p) { return p->rule->whole_words; }

static pl_status split(const pl_pretokenizer *p, int stage, const char *text, size_t len, pl_word_fn word,
                       void *ctx)
{
    if (len == 0) return PL_OK;
    if (stage == MAX_STAGES || !p->stage[stage]) return word(ctx, text, len);
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
