/* vocab.c: finding tokens by their text. */
#include "core/vocab.h"

#include <stdatomic.h>
#include <string.h>

#include "core/hash.h"

/* A polynomial modulo a prime, at a place that is random in each process: hash(ab) = hash(a) * base^|b| +
 * hash(b), so the hash of the rest of a token follows from those of its beginnings. Two texts of n bytes
 * collide with probability n / PRIME, whoever chose them. */
#define PRIME ((UINT64_C(1) << 61) - 1)

static const pl_text nothing = { "", 0 };

static uint64_t reduce(unsigned __int128 x)
{
    uint64_t sum = (uint64_t)(x & PRIME) + (uint64_t)(x >> 61);
    return sum >= PRIME ? sum - PRIME : sum;
}

static uint64_t times(uint64_t a, uint64_t b) { return reduce((unsigned __int128)a * b); }

static uint64_t base(void)
{
    static _Atomic uint64_t chosen;
    uint64_t known = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (known) return known;
    uint64_t fresh = pl_hash_key("tokens", 6) % (PRIME - 512) + 512;
    return atomic_compare_exchange_strong(&chosen, &known, fresh) ? fresh : known;
}

static uint64_t hash_on(uint64_t at, uint64_t before, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        before = reduce((unsigned __int128)before * at + (uint8_t)s[i] + 1);
    return before;
}

uint64_t pl_token_hash(uint64_t before, const char *s, size_t len) { return hash_on(base(), before, s, len); }

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
    *out = (pl_token_map){ vocab, PL_NEW(arena, int32_t, (int64_t)slots), slots - 1, 0 };
    if (!out->slot) return PL_E_MEMORY;
    memset(out->slot, 0xFF, slots * sizeof *out->slot);
    for (int32_t id = 0; id < vocab->count; id++) {
        pl_text t = vocab->token[id];
        if (!t.len) continue;
        if (t.len > out->longest) out->longest = t.len;
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

static bool in_words(const pl_vocab *vocab, int32_t id)
{
    return vocab->type[id] == PL_TOKEN_NORMAL || vocab->type[id] == PL_TOKEN_USER;
}

int32_t pl_token_map_longest(const pl_token_map *map, pl_text left, pl_text rest, uint32_t *len)
{
    const uint64_t at = base();
    uint64_t hash = hash_on(at, 0, left.s, left.len);
    int32_t best = -1;
    *len = 0;
    for (uint32_t n = 1; n <= rest.len && n <= map->longest; n++) {
        hash = hash_on(at, hash, rest.s + n - 1, 1);
        int32_t id = find_hashed(map, hash, left, (pl_text){ rest.s, n });
        if (id < 0 || !in_words(map->vocab, id)) continue;
        best = id;
        *len = n;
    }
    return best;
}

pl_status pl_token_map_cuts(const pl_token_map *map, pl_cut_fn fn, void *ctx)
{
    const pl_vocab *vocab = map->vocab;
    const uint32_t longest = map->longest;
    uint64_t *prefix = pl_alloc(2 * ((int64_t)longest + 1), sizeof *prefix);
    if (!prefix) return PL_E_MEMORY;
    uint64_t *power = prefix + longest + 1;
    const uint64_t at = base();
    prefix[0] = 0;
    power[0] = 1;
    for (uint32_t k = 0; k < longest; k++) power[k + 1] = times(power[k], at);
    for (int32_t id = 0; id < vocab->count; id++) {
        if (!in_words(vocab, id)) continue;
        pl_text t = vocab->token[id];
        for (uint32_t k = 0; k < t.len; k++) prefix[k + 1] = hash_on(at, prefix[k], t.s + k, 1);
        for (uint32_t k = 1; k < t.len; k++) {
            int32_t left = find_hashed(map, prefix[k], (pl_text){ t.s, k }, nothing);
            if (left < 0) continue;
            uint64_t rest = reduce((unsigned __int128)prefix[t.len] + PRIME - times(prefix[k], power[t.len - k]));
            int32_t right = find_hashed(map, rest, (pl_text){ t.s + k, t.len - k }, nothing);
            if (right >= 0) fn(ctx, left, right, id);
        }
    }
    pl_free(prefix);
    return PL_OK;
}
