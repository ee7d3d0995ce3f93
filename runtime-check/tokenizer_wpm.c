/* tokenizer_wpm.c: WordPiece: text cleaned as BERT does, words cut into the longest pieces there are. */
#include <string.h>

#include "core/text.h"
#include "runtime-check/tokenizer_parts.h"

enum { MAX_WORD_CHARS = 100 };          /* a longer word is unknown as a whole */

static const pl_text mark = { "\xE2\x96\x81", 3 };      /* U+2581, in front of what begins a word */
static const pl_text nothing = { "", 0 };

/* Ideographs are words of their own. (One range starts where the reference has it, not where Unicode does.) */
static bool is_ideograph(uint32_t c)
{
    static const struct { uint32_t low, high; } ranges[] = {
        { 0x4E00, 0x9FFF }, { 0x3400, 0x4DBF }, { 0x20000, 0x2A6DF }, { 0x2A700, 0x2B73F },
        { 0x2B740, 0x2B81F }, { 0x2B920, 0x2CEAF }, { 0xF900, 0xFAFF }, { 0x2F800, 0x2FA1F },
    };
    for (int i = 0; i < PL_COUNT(ranges); i++)
        if (c >= ranges[i].low && c <= ranges[i].high) return true;
    return false;
}

/* Without control characters, white space as spaces, spaces around ideographs. `out` has room for five
 * bytes per three of the text. */
static size_t clean(const char *text, size_t len, char *out)
{
    size_t to = 0;
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        int n = pl_utf8_next(text + i, len - i, &c);
        unsigned is = pl_char_class(c);
        bool plain = c == '\t' || c == '\n' || c == '\r';
        if (plain || !(is & PL_CHAR_OTHER || c == 0xFFFD)) {
            bool alone = is_ideograph(c);
            if (alone) out[to++] = ' ';
            if (is & PL_CHAR_SPACE) out[to++] = ' ';
            else memcpy(out + to, text + i, (size_t)n), to += (size_t)n;
            if (alone) out[to++] = ' ';
        }
        i += (size_t)n;
    }
    return to;
}

/* Token ids of a word; the unknown token if one of its pieces is none. */
static pl_status add_word(const pl_token_map *map, const char *word, size_t len, pl_ids *ids)
{
    const int64_t before = ids->count;
    int64_t chars = 0;
    for (size_t i = 0; i < len; i++) chars += ((uint8_t)word[i] & 0xC0) != 0x80;
    bool known = chars <= MAX_WORD_CHARS;
    for (size_t at = 0; at < len && known;) {
        const pl_text rest = { word + at, (uint32_t)(len - at) };
        uint32_t n = 0;
        /* A token that begins a word does not go on with one, though it is spelled with the mark. */
        bool marked = at > 0 && rest.len >= mark.len && !memcmp(rest.s, mark.s, mark.len);
        int32_t id = marked ? -1 : pl_token_map_longest(map, at ? nothing : mark, rest, &n);
        known = id >= 0;
        if (known) PL_TRY(pl_ids_add(ids, &id, 1));
        at += n;
    }
    if (known) return PL_OK;
    ids->count = before;
    return pl_ids_add(ids, &map->vocab->unk, 1);
}

/* Words are what lies between spaces; each punctuation character is a word of its own. */
static pl_status add_words(const pl_token_map *map, const char *text, size_t len, char *word,
                           pl_ids *ids)
{
    const pl_vocab *vocab = map->vocab;
    size_t n = 0;                       /* bytes of the word so far */
    for (size_t i = 0; i < len;) {
        uint32_t c = 0, lower[2];
        i += (size_t)pl_utf8_next(text + i, len - i, &c);
        unsigned is = pl_char_class(c);
        if (vocab->strip_accents && (is & PL_CHAR_ACCENT)) continue;
        lower[0] = c;
        int points = vocab->lowercase ? pl_char_lower(c, lower) : 1;
        bool punctuation = is & PL_CHAR_PUNCTUATION || (c < 127 && c > 32 && !(is & PL_CHAR_WORD));
        if (punctuation || is & PL_CHAR_SPACE) {
            if (n) PL_TRY(add_word(map, word, n, ids));
            n = 0;
            if (!punctuation) continue;
        }
        for (int k = 0; k < points; k++) n += (size_t)pl_utf8_put(lower[k], word + n);
        if (punctuation) {
            PL_TRY(add_word(map, word, n, ids));
            n = 0;
        }
    }
    return n ? add_word(map, word, n, ids) : PL_OK;
}

pl_status pl_wpm_encode(const pl_token_map *map, const char *text, size_t len, pl_ids *ids)
{
    char *cleaned = pl_alloc(2 * (int64_t)len + 8, 1), *decomposed = NULL, *word = NULL;
    if (!cleaned) return PL_E_MEMORY;
    pl_status status = PL_OK;
    size_t n = clean(text, len, cleaned);
    if (map->vocab->strip_accents) status = pl_text_normalize(cleaned, n, false, &decomposed, &n);
    /* A lower-case letter takes at most one byte more for each two. */
    if (status == PL_OK) {
        word = pl_alloc(2 * (int64_t)n + 8, 1);
        if (!word) status = PL_E_MEMORY;
    }
    if (status == PL_OK) status = add_words(map, decomposed ? decomposed : cleaned, n, word, ids);
    pl_free(word);
    pl_free(decomposed);
    pl_free(cleaned);
    return status;
}
