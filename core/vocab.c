/* vocab.c: finding tokens by their text. */
#include "core/vocab.h"

#include <string.h>

/* A polynomial in BASE: hash(ab) = hash(a) * BASE^|b| + hash(b), so the hash of the rest of a token
 * follows from those of its beginnings. */
#define BASE UINT64_C(0x9E3779B97F4A7C15)

static const pl_text nothing = { "", 0 };

uint64_t pl_token_hash(uint64_t before, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) before = before * BASE + (uint8_t)s[i] + 1;
    return before;
}

/* A polynomial's low bits depend on few of the text's, so mix before cutting them off. */
static uint64_t first_slot(const pl_token_map *map, uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= UINT64_C(0xD6E8FEB86659FD93);
    return (hash ^ hash >> 32) & map->mask;
}

static int32_t find_hashed(const pl_token_map *map, uint64_t hash, pl_text left, pl_text right)
{
    for (uint64_t at = first_slot(map, hash); map->slot[at] >= 0; at = (at + 1) & map->mask) {
        const pl_text *t = &map->vocab->token[map->slot[at]];
        if (t->len == (uint64_t)left.len + right.len && !memcmp(t->s, left.s, left.len) &&
            !memcmp(t->s + left.len, right.s, right.len))
            return map->slot[at];
    }
    return -1;
}

int32_t pl_token_map_find(const pl_token_map *map, pl_text left, pl_text right)
{
    uint64_t hash = pl_token_hash(pl_token_hash(0, left.s, left.len), right.s, right.len);
    return find_hashed(map, hash, left, right);
}

pl_status pl_token_map_create(const pl_vocab *vocab, const char *origin, pl_arena *arena,
                              pl_token_map *out)
{
    uint64_t slots = 16;
    while (slots < (uint64_t)vocab->count * 2) slots *= 2;
    *out = (pl_token_map){ vocab, PL_NEW(arena, int32_t, (int64_t)slots), slots - 1 };
    if (!out->slot) return PL_E_MEMORY;
    memset(out->slot, 0xFF, slots * sizeof *out->slot);
    for (int32_t id = 0; id < vocab->count; id++) {
        pl_text t = vocab->token[id];
        if (!t.len) continue;
        uint64_t hash = pl_token_hash(0, t.s, t.len);
        int32_t twin = find_hashed(out, hash, t, nothing);
        if (twin >= 0)
            return pl_fail(PL_E_INPUT, "%s: tokens %d and %d are both '%.100s'", origin, twin, id, t.s);
        uint64_t at = first_slot(out, hash);
        while (out->slot[at] >= 0) at = (at + 1) & out->mask;
        out->slot[at] = id;
    }
    return PL_OK;
}

pl_status pl_token_map_cuts(const pl_token_map *map, pl_cut_fn fn, void *ctx)
{
    const pl_vocab *vocab = map->vocab;
    uint32_t longest = 0;
    for (int32_t id = 0; id < vocab->count; id++)
        if (vocab->token[id].len > longest) longest = vocab->token[id].len;
    uint64_t *prefix = pl_alloc(2 * ((int64_t)longest + 1), sizeof *prefix);
    if (!prefix) return PL_E_MEMORY;
    uint64_t *power = prefix + longest + 1;
    power[0] = 1;
    for (uint32_t k = 0; k < longest; k++) power[k + 1] = power[k] * BASE;
    for (int32_t id = 0; id < vocab->count; id++) {
        if (vocab->type[id] != PL_TOKEN_NORMAL && vocab->type[id] != PL_TOKEN_USER) continue;
        pl_text t = vocab->token[id];
        for (uint32_t k = 0; k < t.len; k++) prefix[k + 1] = pl_token_hash(prefix[k], t.s + k, 1);
        for (uint32_t k = 1; k < t.len; k++) {
            int32_t left = find_hashed(map, prefix[k], (pl_text){ t.s, k }, nothing);
            if (left < 0) continue;
            uint64_t rest = prefix[t.len] - prefix[k] * power[t.len - k];
            int32_t right = find_hashed(map, rest, (pl_text){ t.s + k, t.len - k }, nothing);
            if (right >= 0) fn(ctx, left, right, id);
        }
    }
    pl_free(prefix);
    return PL_OK;
}
