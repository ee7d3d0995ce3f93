/* tokenizer_bpe.c: merging neighbours by rank, and the byte alphabet of byte-level vocabularies. */
#include "core/hash.h"
#include "core/text.h"
#include "runtime-check/tokenizer_parts.h"

/* ---- pairs: a hash table, open addressing; an empty slot has left = -1 ---- */

/* Multiplying by a random odd number and keeping the upper bits spreads any set of keys; with a fixed one a
 * file could choose merges that share a slot. */
static uint64_t pair_slot(const pl_pairs *pairs, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return key * pairs->factor >> pairs->shift;
}

pl_status pl_pairs_create(int64_t count, pl_arena *arena, pl_pairs *out)
{
    uint64_t slots = 16;
    int shift = 60;
    for (; slots < (uint64_t)count * 2; slots *= 2) shift--;
    *out = (pl_pairs){ PL_NEW(arena, pl_pair, (int64_t)slots), slots - 1, pl_hash_key("pairs", 5) | 1, shift };
    if (!out->slot) return PL_E_MEMORY;
    for (uint64_t i = 0; i < slots; i++) out->slot[i].left = -1;
    return PL_OK;
}

void pl_pairs_put(pl_pairs *pairs, pl_pair pair)
{
    uint64_t at = pair_slot(pairs, pair.left, pair.right);
    while (pairs->slot[at].left >= 0 &&
           (pairs->slot[at].left != pair.left || pairs->slot[at].right != pair.right))
        at = (at + 1) & pairs->mask;
    pairs->slot[at] = pair;
}

const pl_pair *pl_pairs_find(const pl_pairs *pairs, int32_t left, int32_t right)
{
    uint64_t at = pair_slot(pairs, left, right);
    for (; pairs->slot[at].left >= 0; at = (at + 1) & pairs->mask)
        if (pairs->slot[at].left == left && pairs->slot[at].right == right) return &pairs->slot[at];
    return NULL;
}

/* ---- merging ---- */

pl_status pl_ids_add(pl_ids *ids, const int32_t *id, int64_t count)
{
    if (count > ids->room - ids->count) {
        int64_t room = pl_max64(ids->count + count, ids->room * 2);
        int32_t *more = pl_realloc(ids->id, room, sizeof *more);
        if (!more) return PL_E_MEMORY;
        ids->id = more;
        ids->room = room;
    }
    for (int64_t i = 0; i < count; i++) ids->id[ids->count + i] = id[i];
    ids->count += count;
    return PL_OK;
}

pl_status pl_merger_add(pl_merger *m, int32_t id)
{
    if (m->count == m->room) {
        int64_t room = pl_max64(64, m->room * 2);
        pl_symbol *symbols = pl_realloc(m->symbol, room, sizeof *symbols);
        if (!symbols) return PL_E_MEMORY;
        m->symbol = symbols;
        /* One candidate per neighbourhood at first; a merge takes one out and puts in at most two, and
         * there are fewer merges than symbols. */
        pl_candidate *heap = pl_realloc(m->heap, 2 * room, sizeof *heap);
        if (!heap) return PL_E_MEMORY;
        m->heap = heap;
        m->room = room;
    }
    int32_t at = (int32_t)m->count++;
    m->symbol[at] = (pl_symbol){ id, at - 1, -1 };
    if (at > 0) m->symbol[at - 1].next = at;
    return PL_OK;
}

void pl_merger_free(pl_merger *m)
{
    pl_free(m->symbol);
    pl_free(m->heap);
}

static bool goes_first(const pl_candidate *a, const pl_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

/* If the symbol at `left` and its neighbour form a pair, they wait in the heap for their turn. */
static void consider(pl_merger *m, const pl_pairs *pairs, int32_t left)
{
    if (left < 0 || m->symbol[left].next < 0) return;
    int32_t a = m->symbol[left].id, b = m->symbol[m->symbol[left].next].id;
    const pl_pair *pair = pl_pairs_find(pairs, a, b);
    if (!pair) return;
    pl_candidate c = { pair->rank, left, a, b };
    int64_t at = m->waiting++;
    for (; at > 0 && goes_first(&c, &m->heap[(at - 1) / 2]); at = (at - 1) / 2)
        m->heap[at] = m->heap[(at - 1) / 2];
    m->heap[at] = c;
}

static pl_candidate take_first(pl_merger *m)
{
    pl_candidate first = m->heap[0], last = m->heap[--m->waiting];
    int64_t at = 0;
    for (int64_t child; (child = 2 * at + 1) < m->waiting; at = child) {
        if (child + 1 < m->waiting && goes_first(&m->heap[child + 1], &m->heap[child])) child++;
        if (!goes_first(&m->heap[child], &last)) break;
        m->heap[at] = m->heap[child];
    }
    m->heap[at] = last;
    return first;
}

pl_status pl_merger_run(pl_merger *m, const pl_pairs *pairs, pl_ids *out)
{
    for (int32_t i = 0; i + 1 < m->count; i++) consider(m, pairs, i);
    while (m->waiting > 0) {
        pl_candidate c = take_first(m);
        pl_symbol *left = &m->symbol[c.at];
        /* Outdated if one of the two has been merged meanwhile. */
        if (left->id != c.left || left->next < 0 || m->symbol[left->next].id != c.right) continue;
        pl_symbol *right = &m->symbol[left->next];
        left->id = pl_pairs_find(pairs, c.left, c.right)->result;
        right->id = -1;
        left->next = right->next;
        if (left->next >= 0) m->symbol[left->next].prev = c.at;
        consider(m, pairs, left->prev);
        consider(m, pairs, c.at);
    }
    pl_status status = PL_OK;
    for (int32_t i = m->count > 0 ? 0 : -1; i >= 0 && status == PL_OK; i = m->symbol[i].next)
        status = pl_ids_add(out, &m->symbol[i].id, 1);
    m->count = 0;
    return status;
}

/* ---- byte-level ---- */

/* Bytes that print stand for themselves as characters of Latin-1; the others, in order, are the
 * characters from U+0100 on. */
void pl_byte_alphabet_fill(pl_byte_alphabet *a)
{
    uint32_t next = 256;
    for (int c = 0; c < PL_COUNT(a->byte); c++) a->byte[c] = -1;
    for (uint32_t b = 0; b < 256; b++) {
        bool prints = (b > 32 && b < 127) || (b > 160 && b != 173);
        a->character[b] = prints ? b : next++;
        a->byte[a->character[b]] = (int16_t)b;
    }
}

pl_status pl_bpe_pairs(const pl_token_map *map, pl_arena *arena, pl_pairs *out)
{
    const pl_vocab *vocab = map->vocab;
    PL_TRY(pl_pairs_create(vocab->merges, arena, out));
    for (int32_t rank = 0; rank < vocab->merges; rank++) {
        pl_merge m = vocab->merge[rank];
        if (m.left < 0 || m.left >= vocab->count || m.right < 0 || m.right >= vocab->count)
            return pl_fail(PL_E_INPUT, "vocabulary: merge %d joins tokens %d and %d of %d", rank, m.left,
                           m.right, vocab->count);
        pl_text left = vocab->token[m.left], right = vocab->token[m.right];
        int32_t result = pl_token_map_find(map, left, right);
        if (result < 0)
            return pl_fail(PL_E_INPUT, "vocabulary: merge %d of '%.100s' and '%.100s' makes no token", rank,
                           left.s, right.s);
        pl_pairs_put(out, (pl_pair){ m.left, m.right, result, (uint32_t)rank });
    }
    return PL_OK;
}
