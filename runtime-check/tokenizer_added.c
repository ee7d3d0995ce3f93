/* tokenizer_added.c: control and user-defined tokens inside text, found by a trie. */
#include "runtime-check/tokenizer_parts.h"

/* Real ones are names in brackets or runs of spaces; the search looks at this many bytes per place. */
enum { MAX_ADDED_BYTES = 256 };

static bool is_added(const pl_vocab *vocab, int32_t id)
{
    uint8_t type = vocab->type[id];
    return type == PL_TOKEN_CONTROL || type == PL_TOKEN_USER || type == PL_TOKEN_UNKNOWN;
}

pl_status pl_added_create(const pl_vocab *vocab, pl_arena *arena, pl_added *out)
{
    int64_t steps = 0;
    for (int32_t id = 0; id < vocab->count; id++) {
        if (!is_added(vocab, id)) continue;
        if (vocab->token[id].len > MAX_ADDED_BYTES)
            return pl_fail(PL_E_INPUT, "vocabulary: control or user-defined token %d has %u bytes, at most %d "
                           "are supported", id, vocab->token[id].len, MAX_ADDED_BYTES);
        steps += vocab->token[id].len;
    }
    PL_TRY(pl_pairs_create(steps, arena, &out->step));
    out->type = vocab->type;
    out->token = PL_NEW(arena, int32_t, steps + 1);
    if (!out->token) return PL_E_MEMORY;
    for (int64_t i = 0; i <= steps; i++) out->token[i] = -1;
    int32_t nodes = 1;                  /* node 0 is where every token begins */
    for (int32_t id = 0; id < vocab->count; id++) {
        pl_text t = vocab->token[id];
        if (!is_added(vocab, id) || !t.len) continue;
        int32_t node = 0;
        for (uint32_t i = 0; i < t.len; i++) {
            const pl_pair *step = pl_pairs_find(&out->step, node, (uint8_t)t.s[i]);
            if (!step) pl_pairs_put(&out->step, (pl_pair){ node, (uint8_t)t.s[i], nodes++, 0 });
            node = step ? step->result : nodes - 1;
        }
        out->token[node] = id;
    }
    return PL_OK;
}

int32_t pl_added_find(const pl_added *added, const char *text, size_t len, size_t from, bool special,
                      size_t *start, size_t *end)
{
    for (size_t i = from; i < len; i++) {
        int32_t best = -1;
        const pl_pair *step = pl_pairs_find(&added->step, 0, (uint8_t)text[i]);
        for (size_t k = i + 1; step; k++) {
            int32_t id = added->token[step->result];
            if (id >= 0 && (special || added->type[id] == PL_TOKEN_USER)) {
                best = id;
                *end = k;
            }
            step = k < len ? pl_pairs_find(&added->step, step->result, (uint8_t)text[k]) : NULL;
        }
        if (best >= 0) {
            *start = i;
            return best;
        }
    }
    return -1;
}
