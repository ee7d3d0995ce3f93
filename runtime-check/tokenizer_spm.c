/* tokenizer_spm.c: SentencePiece-style BPE: merging by score, bytes for characters without a token. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "runtime-check/tokenizer_parts.h"

static const pl_text space = { "\xE2\x96\x81", 3 };        /* U+2581 */

/* Ranks in the order of falling scores, equal for equal scores: the bits of a float, read as an integer
 * with the sign undone, rise with its value. */
static uint32_t rank_of(float score)
{
    uint32_t bits;
    score += 0.0f;                          /* -0 becomes 0 */
    memcpy(&bits, &score, sizeof bits);
    uint32_t rising = bits >> 31 ? ~bits : bits | 0x80000000u;
    return ~rising;
}

typedef struct cut_job { const pl_vocab *vocab; pl_pairs *pairs; int64_t count; } cut_job;

static void count_cut(void *ctx, int32_t left, int32_t right, int32_t whole)
{
    cut_job *job = ctx;
    job->count++;
}

static void put_cut(void *ctx, int32_t left, int32_t right, int32_t whole)
{
    cut_job *job = ctx;
    pl_pairs_put(job->pairs, (pl_pair){ left, right, whole, rank_of(job->vocab->score[whole]) });
}

static pl_status score_pairs(const pl_token_map *map, pl_arena *arena, pl_pairs *pairs)
{
    cut_job job = { map->vocab, pairs, 0 };
    for (int32_t id = 0; id < map->vocab->count; id++)
        if (isnan(map->vocab->score[id]))
            return pl_fail(PL_E_INPUT, "vocabulary: the score of token %d is not a number", id);
    PL_TRY(pl_token_map_cuts(map, count_cut, &job));
    PL_TRY(pl_pairs_create(job.count, arena, pairs));
    return pl_token_map_cuts(map, put_cut, &job);
}

static bool has_spaces(const pl_vocab *vocab, int32_t id)
{
    return vocab->type[id] == PL_TOKEN_USER && memchr(vocab->token[id].s, ' ', vocab->token[id].len);
}

/* `t` with U+2581 for spaces. */
static pl_status spell(pl_text t, pl_arena *arena, pl_text *out)
{
    char *to = PL_NEW(arena, char, 3 * (int64_t)t.len + 1);
    if (!to) return PL_E_MEMORY;
    *out = (pl_text){ to, 0 };
    for (uint32_t i = 0; i < t.len; i++) {
        const uint32_t n = t.s[i] == ' ' ? space.len : 1;
        memcpy(to + out->len, n > 1 ? space.s : t.s + i, n);
        out->len += n;
    }
    to[out->len] = 0;
    return PL_OK;
}

pl_status pl_spm_spell(const pl_token_map *map, pl_arena *arena, const pl_vocab **out)
{
    const pl_vocab *vocab = map->vocab;
    int32_t id = 0;
    while (id < vocab->count && !has_spaces(vocab, id)) id++;
    *out = vocab;
    if (id == vocab->count) return PL_OK;
    pl_vocab *copy = PL_NEW(arena, pl_vocab, 1);
    pl_text *token = PL_NEW(arena, pl_text, vocab->count);
    if (!copy || !token) return PL_E_MEMORY;
    *copy = *vocab;
    copy->token = token;
    memcpy(token, vocab->token, (size_t)vocab->count * sizeof *token);
    for (; id < vocab->count; id++) {
        pl_text marked;
        if (!has_spaces(vocab, id)) continue;
        PL_TRY(spell(token[id], arena, &marked));
        if (pl_token_map_find(map, marked, (pl_text){ "", 0 }) < 0) token[id] = marked;
    }
    *out = copy;
    return PL_OK;
}

pl_status pl_spm_create(const pl_token_map *map, pl_arena *arena, pl_pairs *pairs, pl_spm *out)
{
    if (!map->vocab->score)
        return pl_fail(PL_E_INPUT, "vocabulary: SentencePiece-style, but without scores");
    for (int b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        out->byte[b] = pl_token_map_find(map, (pl_text){ name, 6 }, (pl_text){ "", 0 });
        if (out->byte[b] < 0)
            return pl_fail(PL_E_INPUT, "vocabulary: SentencePiece-style, but without the byte token %s", name);
    }
    return score_pairs(map, arena, pairs);
}

static pl_status add_character(const pl_spm *spm, const pl_token_map *map, pl_text c, pl_merger *m)
{
    int32_t id = pl_token_map_find(map, c, (pl_text){ "", 0 });
    if (id >= 0) return pl_merger_add(m, id);
    for (uint32_t i = 0; i < c.len; i++) PL_TRY(pl_merger_add(m, spm->byte[(uint8_t)c.s[i]]));
    return PL_OK;
}

pl_status pl_spm_symbols(const pl_spm *spm, const pl_token_map *map, const char *text, size_t len,
                         bool prefix, pl_merger *m)
{
    if (prefix) PL_TRY(add_character(spm, map, space, m));
    for (size_t i = 0; i < len;) {
        uint32_t codepoint;
        int n = pl_utf8_next(text + i, len - i, &codepoint);
        pl_text c = { text + i, (uint32_t)n };
        PL_TRY(add_character(spm, map, text[i] == ' ' ? space : c, m));
        i += (size_t)n;
    }
    return PL_OK;
}
