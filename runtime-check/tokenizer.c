/* tokenizer.c: text to token ids and back; the parts are joined here. */
#include "runtime-check/tokenizer.h"

#include <string.h>

#include "core/text.h"
#include "runtime-check/tokenizer_parts.h"

/* Bytes of one text: positions fit 32 bits even after every space has become three bytes. */
enum { MAX_TEXT = 1 << 29 };

struct pl_tokenizer {
    const pl_vocab *vocab;
    pl_arena *arena;                    /* all tables */
    pl_token_map map;
    pl_pairs pairs;
    pl_added added;
    pl_spm spm;                         /* SPM only; what follows: byte-level only */
    pl_byte_alphabet alphabet;
    int32_t byte_id[256];               /* -1: no token */
    pl_pretokenizer *pre;
};

static bool in_range(const pl_vocab *vocab, int32_t id) { return id >= 0 && id < vocab->count; }

static pl_status build(pl_tokenizer *t)
{
    const pl_vocab *vocab = t->vocab;
    if ((vocab->add_bos && !in_range(vocab, vocab->bos)) || (vocab->add_eos && !in_range(vocab, vocab->eos)))
        return pl_fail(PL_E_INPUT, "vocabulary: asks for a token at the start or end, but does not name it");
    PL_TRY(pl_token_map_create(vocab, "vocabulary", t->arena, &t->map));
    if (vocab->kind == PL_VOCAB_SPM) {
        PL_TRY(pl_spm_spell(&t->map, t->arena, &vocab));
        if (vocab != t->vocab) PL_TRY(pl_token_map_create(vocab, "vocabulary", t->arena, &t->map));
    }
    PL_TRY(pl_added_create(vocab, t->arena, &t->added));
    if (vocab->kind == PL_VOCAB_SPM) return pl_spm_create(&t->map, t->arena, &t->pairs, &t->spm);
    if (vocab->kind == PL_VOCAB_WPM)
        return in_range(vocab, vocab->unk) ? PL_OK : pl_fail(PL_E_INPUT, "vocabulary: WordPiece, but without an "
                                                             "unknown token");

    PL_TRY(pl_bpe_pairs(&t->map, t->arena, &t->pairs));
    pl_byte_alphabet_fill(&t->alphabet);
    /* Only a token typed as unknown stands in for bytes without a token; where there is none, such bytes
     * are dropped. */
    bool has_unk = in_range(vocab, vocab->unk) && vocab->type[vocab->unk] == PL_TOKEN_UNKNOWN;
    for (int b = 0; b < 256; b++) {
        char spelling[4];
        int n = pl_utf8_put(t->alphabet.character[b], spelling);
        t->byte_id[b] = pl_token_map_find(&t->map, (pl_text){ spelling, (uint32_t)n }, (pl_text){ "", 0 });
        if (t->byte_id[b] < 0 && has_unk) t->byte_id[b] = vocab->unk;
    }
    return pl_pretokenizer_create(vocab->pre ? vocab->pre : "default", &t->pre);
}

pl_status pl_tokenizer_create(const pl_vocab *vocab, pl_tokenizer **out)
{
    *out = NULL;
    if (!vocab || vocab->kind == PL_VOCAB_NONE)
        return pl_fail(PL_E_INPUT, "the model has no tokenizer");
    pl_tokenizer *t = pl_alloc(1, sizeof *t);
    if (!t) return PL_E_MEMORY;
    t->vocab = vocab;
    pl_status status = pl_arena_create(&t->arena);
    if (status == PL_OK) status = build(t);
    if (status == PL_OK) *out = t;
    else pl_tokenizer_destroy(t);
    return status;
}

void pl_tokenizer_destroy(pl_tokenizer *t)
{
    if (!t) return;
    pl_pretokenizer_destroy(t->pre);
    pl_arena_destroy(t->arena);
    pl_free(t);
}

/* ---- text to ids ---- */

/* A word seen before has the ids it had then. Words that share a slot push each other out. */
typedef struct seen { const char *word; int64_t first; uint32_t len, count; } seen;

enum { MAX_SEEN_BYTES = 64 };

typedef struct encoder {
    const pl_tokenizer *t;
    pl_ids ids;
    pl_merger merger;
    seen *cache;                        /* [cache_mask + 1] */
    uint64_t cache_mask;
    char *spelling;                     /* room for a word as the vocabulary spells it */
    pl_arena *composed;                 /* stretches in normalization form C: the cache points into them */
} encoder;

/* A word that is a token as a whole; -1: it is none. */
static int32_t whole_word(encoder *e, const char *word, size_t len)
{
    const pl_tokenizer *t = e->t;
    if (len > t->map.longest) return -1;
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += (uint32_t)pl_utf8_put(t->alphabet.character[(uint8_t)word[i]], e->spelling + n);
    return pl_token_map_find(&t->map, (pl_text){ e->spelling, n }, (pl_text){ "", 0 });
}

static pl_status encode_word(void *ctx, const char *word, size_t len)
{
    encoder *e = ctx;
    const pl_tokenizer *t = e->t;
    seen *known = NULL;
    if (len <= MAX_SEEN_BYTES) {
        uint64_t hash = pl_token_hash(0, word, len);
        known = &e->cache[(hash ^ hash >> 32) & e->cache_mask];
        if (known->len == len && !memcmp(known->word, word, len)) {
            for (uint32_t i = 0; i < known->count; i++) {       /* one by one: `ids` may move */
                int32_t id = e->ids.id[known->first + i];
                PL_TRY(pl_ids_add(&e->ids, &id, 1));
            }
            return PL_OK;
        }
    }
    int64_t first = e->ids.count;
    int32_t whole = t->vocab->whole_words ? whole_word(e, word, len) : -1;
    if (whole >= 0) {
        PL_TRY(pl_ids_add(&e->ids, &whole, 1));
    } else {
        for (size_t i = 0; i < len; i++) {
            int32_t id = t->byte_id[(uint8_t)word[i]];
            if (id >= 0) PL_TRY(pl_merger_add(&e->merger, id));
        }
        PL_TRY(pl_merger_run(&e->merger, &t->pairs, &e->ids));
    }
    if (known) *known = (seen){ word, first, (uint32_t)len, (uint32_t)(e->ids.count - first) };
    return PL_OK;
}

/* A stretch between added tokens. Each gets its own space prefix, as in the reference, whose normalizer
 * sees one stretch after the other. */
static pl_status encode_stretch(encoder *e, const char *text, size_t len, bool first)
{
    static const char space[] = "\xE2\x96\x81";      /* U+2581, what spaces become */
    const pl_tokenizer *t = e->t;
    if (len == 0) return PL_OK;
    if (t->vocab->kind == PL_VOCAB_WPM) return pl_wpm_encode(&t->map, text, len, &e->ids);
    if (t->vocab->kind == PL_VOCAB_SPM) {
        const bool prefix = t->vocab->add_space_prefix && (first || !t->vocab->prefix_first) &&
                            (!t->vocab->prefix_unspaced || !(text[0] == ' ' || (len > 2 && !memcmp(text, space, 3))));
        PL_TRY(pl_spm_symbols(&t->spm, &t->map, text, len, prefix, &e->merger));
        return pl_merger_run(&e->merger, &t->pairs, &e->ids);
    }
    char *composed = NULL;
    if (t->vocab->nfc) PL_TRY(pl_text_normalize(text, len, true, &composed, &len));
    if (composed) {
        text = pl_arena_text(e->composed, composed, len);
        pl_free(composed);
        if (!text) return PL_E_MEMORY;
    }
    return pl_pretokenizer_split(t->pre, text, len, encode_word, e);
}

static pl_status encode_text(encoder *e, const char *text, size_t len, bool special)
{
    for (size_t at = 0; at < len;) {
        size_t start = len, end = len;
        int32_t id = pl_added_find(&e->t->added, text, len, at, special, &start, &end);
        PL_TRY(encode_stretch(e, text + at, start - at, at == 0));
        if (id >= 0) PL_TRY(pl_ids_add(&e->ids, &id, 1));
        at = end;
    }
    return PL_OK;
}

static pl_status prepare(encoder *e, size_t len)
{
    if (e->t->vocab->kind != PL_VOCAB_BPE) return PL_OK;
    uint64_t slots = 64;
    while (slots < len / 4 && slots < 65536) slots *= 2;
    e->cache = pl_alloc((int64_t)slots, sizeof *e->cache);
    e->cache_mask = slots - 1;
    e->spelling = pl_alloc(2 * (int64_t)e->t->map.longest + 4, 1);
    if (e->t->vocab->nfc) PL_TRY(pl_arena_create(&e->composed));
    return e->cache && e->spelling ? PL_OK : PL_E_MEMORY;
}

/* Bytes at s that are invalid together: the longest beginning of a character that breaks off, or one
 * byte. Each such stretch is read as one U+FFFD, as Python does. */
static size_t broken_length(const char *s, size_t len)
{
    uint8_t lead = (uint8_t)s[0];
    size_t want = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 && lead < 0xF0 ? 3 : 1;
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;     /* of the second byte */
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    size_t n = 1;
    while (n < want && n < len && (uint8_t)s[n] >= low && (uint8_t)s[n] <= high) {
        n++;
        low = 0x80;
        high = 0xBF;
    }
    return n;
}

/* A copy of the text in valid UTF-8. */
static pl_status repair(const char *text, size_t len, char **out, size_t *out_len)
{
    char *copy = pl_alloc(3 * (int64_t)len, 1);
    if (!copy) return PL_E_MEMORY;
    size_t to = 0;
    for (size_t i = 0; i < len;) {
        uint32_t codepoint;
        size_t n = (size_t)pl_utf8_next(text + i, len - i, &codepoint);
        if (n > 0) {
            memcpy(copy + to, text + i, n);
            to += n;
        } else {
            n = broken_length(text + i, len - i);
            to += (size_t)pl_utf8_put(0xFFFD, copy + to);
        }
        i += n;
    }
    *out = copy;
    *out_len = to;
    return PL_OK;
}

pl_status pl_tokenizer_encode(const pl_tokenizer *t, const char *text, size_t len, bool special,
                              pl_bos bos, int32_t **ids, int64_t *count)
{
    const pl_vocab *vocab = t->vocab;
    *ids = NULL;
    *count = 0;
    if (len > MAX_TEXT) return pl_fail(PL_E_INPUT, "text of %zu bytes, at most %d at a time", len, MAX_TEXT);
    if (bos == PL_BOS_ALWAYS && !in_range(vocab, vocab->bos))
        return pl_fail(PL_E_WISH, "a token is wanted at the start, but the vocabulary has none for it");
    encoder e = { .t = t };
    char *repaired = NULL;
    pl_status status = prepare(&e, len);
    if (status == PL_OK && pl_utf8_check(text, len) >= 0) {
        status = repair(text, len, &repaired, &len);
        text = repaired;
    }
    if (status == PL_OK && (bos == PL_BOS_ALWAYS || (bos == PL_BOS_AUTO && vocab->add_bos)))
        status = pl_ids_add(&e.ids, &vocab->bos, 1);
    if (status == PL_OK) status = encode_text(&e, text, len, special);
    if (status == PL_OK && bos == PL_BOS_AUTO && vocab->add_eos)
        status = pl_ids_add(&e.ids, &vocab->eos, 1);
    pl_merger_free(&e.merger);
    pl_free(e.cache);
    pl_free(e.spelling);
    pl_arena_destroy(e.composed);
    pl_free(repaired);
    if (status != PL_OK) {
        pl_free(e.ids.id);
        return status;
    }
    *ids = e.ids.id;
    *count = e.ids.count;
    return PL_OK;
}

/* ---- ids to text ---- */

typedef struct writer { char *out; size_t size, at; } writer;

static void put(writer *w, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++, w->at++)
        if (w->at < w->size) w->out[w->at] = s[i];
}

int pl_tokenizer_piece(const pl_tokenizer *t, int32_t id, bool special, char *out, size_t size)
{
    const pl_vocab *vocab = t->vocab;
    writer w = { out, size, 0 };
    if (!in_range(vocab, id)) return 0;
    pl_text text = vocab->token[id];
    switch (vocab->type[id]) {
    case PL_TOKEN_UNKNOWN:
    case PL_TOKEN_CONTROL:
        if (special) put(&w, text.s, text.len);
        break;
    case PL_TOKEN_USER:
        put(&w, text.s, text.len);
        break;
    case PL_TOKEN_BYTE:
        for (int b = 0; b < 256 && vocab->kind == PL_VOCAB_SPM; b++)
            if (t->spm.byte[b] == id) put(&w, &(char){ (char)b }, 1);
        break;
    case PL_TOKEN_NORMAL:
        for (uint32_t i = 0; i < text.len;) {
            uint32_t c = 0;
            int n = pl_utf8_next(text.s + i, text.len - i, &c);
            if (n == 0) n = 1, c = UINT32_MAX;          /* a spelling that is no text goes out as it is */
            if (vocab->kind != PL_VOCAB_BPE && c == 0x2581) put(&w, " ", 1);
            else if (vocab->kind == PL_VOCAB_BPE && c < (uint32_t)PL_COUNT(t->alphabet.byte) &&
                     t->alphabet.byte[c] >= 0)
                put(&w, &(char){ (char)t->alphabet.byte[c] }, 1);
            else put(&w, text.s + i, (size_t)n);
            i += (uint32_t)n;
        }
        break;
    default:
        break;
    }
    return (int)w.at;
}

bool pl_tokenizer_ends(const pl_tokenizer *t, int32_t id)
{
    for (int32_t i = 0; i < t->vocab->eogs; i++)
        if (t->vocab->eog[i] == id) return true;
    return id >= 0 && id == t->vocab->eos;
}
