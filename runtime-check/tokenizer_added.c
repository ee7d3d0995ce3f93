/* tokenizer_added.c: control and user-defined tokens inside text, found by a trie. */
#include <string.h>

#include "core/text.h"
#include "runtime-check/tokenizer_parts.h"

/* Real ones are names in brackets or runs of spaces; the search looks at this many bytes per place. */
enum { MAX_ADDED_BYTES = 256 };

static bool is_added(const pl_vocab *vocab, int32_t id)
{
    uint8_t type = vocab->type[id];
    return type == PL_TOKEN_CONTROL || type == PL_TOKEN_USER || type == PL_TOKEN_UNKNOWN;
}

/* Where U+2581 stands for a space (tokenizer_spm.c), user-defined tokens are found with either. Returns the
 * bytes of the spelling with spaces, 0 if it is the same. */
static uint32_t spell_spaces(const pl_vocab *vocab, int32_t id, char out[MAX_ADDED_BYTES])
{
    const pl_text t = vocab->token[id];
    uint32_t n = 0;
    if (vocab->kind != PL_VOCAB_SPM || vocab->type[id] != PL_TOKEN_USER || !strstr(t.s, "\xE2\x96\x81")) return 0;
    for (uint32_t i = 0; i < t.len; i++) {
        bool space = t.len - i >= 3 && !memcmp(t.s + i, "\xE2\x96\x81", 3);
        out[n++] = space ? ' ' : t.s[i];
        i += space ? 2 : 0;
    }
    return n;
}

static void put_text(pl_added *added, const char *s, uint32_t len, int32_t id, int32_t *nodes)
{
    int32_t node = 0;
    for (uint32_t i = 0; i < len; i++) {
        const pl_pair *step = pl_pairs_find(&added->step, node, (uint8_t)s[i]);
        if (!step) pl_pairs_put(&added->step, (pl_pair){ node, (uint8_t)s[i], (*nodes)++, 0 });
        node = step ? step->result : *nodes - 1;
    }
    added->token[node] = id;
}

pl_status pl_added_create(const pl_vocab *vocab, pl_arena *arena, pl_added *out)
{
    char spaces[MAX_ADDED_BYTES];
    int64_t steps = 0;
    for (int32_t id = 0; id < vocab->count; id++) {
        if (!is_added(vocab, id)) continue;
        if (vocab->token[id].len > MAX_ADDED_BYTES)
            return pl_fail(PL_E_INPUT, "vocabulary: control or user-defined token %d has %u bytes, at most %d "
                           "are supported", id, vocab->token[id].len, MAX_ADDED_BYTES);
        steps += vocab->token[id].len + spell_spaces(vocab, id, spaces);
    }
    PL_TRY(pl_pairs_create(steps, arena, &out->step));
    out->vocab = vocab;
    out->token = PL_NEW(arena, int32_t, steps + 1);
    if (!out->token) return PL_E_MEMORY;
    for (int64_t i = 0; i <= steps; i++) out->token[i] = -1;
    int32_t nodes = 1;                  /* node 0 is where every token begins */
    for (int32_t id = 0; id < vocab->count; id++) {
        pl_text t = vocab->token[id];
        if (!is_added(vocab, id) || !t.len) continue;
        put_text(out, t.s, t.len, id, &nodes);
        uint32_t n = spell_spaces(vocab, id, spaces);
        if (n) put_text(out, spaces, n, id, &nodes);
    }
    return PL_OK;
}

/* The longest added token that begins at `from`; *end: behind it. -1: none. */
static int32_t longest_at(const pl_added *added, const char *text, size_t len, size_t from, bool special, size_t *end)
{
    int32_t best = -1;
    const pl_pair *step = pl_pairs_find(&added->step, 0, (uint8_t)text[from]);
    for (size_t k = from + 1; step; k++) {
        int32_t id = added->token[step->result];
        if (id >= 0 && (special || added->vocab->type[id] == PL_TOKEN_USER)) {
            best = id;
            *end = k;
        }
        step = k < len ? pl_pairs_find(&added->step, step->result, (uint8_t)text[k]) : NULL;
    }
    return best;
}

/* The class of the character in front of `at` or behind it; *n: its bytes, 0 at the ends of the text. */
static unsigned class_before(const char *text, size_t at, size_t *n)
{
    uint32_t c;
    for (*n = 1; *n <= at && *n <= 4; ++*n)
        if (pl_utf8_next(text + at - *n, *n, &c) == (int)*n) return pl_char_class(c);
    *n = 0;
    return 0;
}

static unsigned class_behind(const char *text, size_t len, size_t at, size_t *n)
{
    uint32_t c;
    *n = (size_t)pl_utf8_next(text + at, len - at, &c);
    return *n ? pl_char_class(c) : 0;
}

int32_t pl_added_find(const pl_added *added, const char *text, size_t len, size_t from, bool special,
                      size_t *start, size_t *end)
{
    for (size_t first = from, last = 0, n; first < len; first++) {
        int32_t id = longest_at(added, text, len, first, special, &last);
        if (id < 0) continue;
        uint8_t strip = added->vocab->strip ? added->vocab->strip[id] : 0;
        if ((strip & PL_TOKEN_WORD) && ((class_before(text, first, &n) & PL_CHAR_WORD) ||
                                        (class_behind(text, len, last, &n) & PL_CHAR_WORD))) {
            first = last - 1;
            continue;
        }
        if (strip & PL_TOKEN_LSTRIP)
            while (first > from && (class_before(text, first, &n) & PL_CHAR_SPACE)) first -= n;
        if (strip & PL_TOKEN_RSTRIP)
            while (class_behind(text, len, last, &n) & PL_CHAR_SPACE) last += n;
        *start = first;
        *end = last;
        return id;
    }
    return -1;
}
