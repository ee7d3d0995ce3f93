/* layout_fast.c: layouts that can be packed a word at a time: which these are, and how. */
#include <string.h>

#include "core/layout_walk.h"

/* ---- recognition ---- */

static void drop_first(pl_flat *f)
{
    f->count--;
    memmove(f->shape, f->shape + 1, (size_t)f->count * sizeof *f->shape);
    memmove(f->stride, f->stride + 1, (size_t)f->count * sizeof *f->stride);
}

/* Pairs of elements that stay together become one element, as long as there are such. */
static void widen(pl_fast *fast)
{
    pl_flat *f = &fast->modes;
    while (fast->bits < 64 && f->stride[0] == 1 && f->shape[0] % 2 == 0 && fast->offset % 2 == 0) {
        for (int k = 1; k < f->count; k++)
            if (f->stride[k] % 2 != 0) return;
        f->shape[0] /= 2;
        for (int k = 1; k < f->count; k++) f->stride[k] /= 2;
        fast->offset /= 2;
        fast->bits *= 2;
        if (f->shape[0] > 1) continue;
        if (f->count == 1) return;
        drop_first(f);
    }
}

/* Whole bytes that follow each other: all of them, or long runs. */
static bool find_runs(pl_fast *fast)
{
    pl_flat *f = &fast->modes;
    enum { WORTH = 64 };
    if (f->stride[0] != 1 && f->shape[0] > 1) return false;
    fast->run = f->shape[0] * fast->bits / 8;
    if (f->shape[0] * fast->bits % 8 || fast->offset * fast->bits % 8) return false;
    for (int k = 1; k < f->count; k++)
        if (f->stride[k] * fast->bits % 8) return false;
    fast->kind = f->count == 1 ? PL_FAST_COPY : PL_FAST_RUNS;
    return fast->kind == PL_FAST_COPY || fast->run >= WORTH;
}

static bool find_transpose(pl_fast *fast)
{
    const pl_flat *f = &fast->modes;
    if (fast->bits < 8 || f->shape[0] < 8) return false;
    for (int k = 1; k < f->count; k++) {
        if (f->stride[k] != 1 || f->shape[k] < 8) continue;
        fast->along = k;
        fast->kind = PL_FAST_TRANSPOSE;
        return true;
    }
    return false;
}

static int log2_of(int64_t x)
{
    int bits = 0;
    while (x > 1) {
        if (x % 2) return -1;
        x /= 2;
        bits++;
    }
    return bits;
}

/* Cuts the modes of one word of output off the front; false if they are no powers of two. */
static bool cut_word(pl_flat *f, int elements, pl_flat *word)
{
    word->count = 0;
    while (elements > 1) {
        if (f->count == 0) return false;
        int64_t n = f->shape[0] < elements ? f->shape[0] : elements;
        if (log2_of(n) < 0 || f->shape[0] % n != 0) return false;
        word->shape[word->count] = n;
        word->stride[word->count++] = f->stride[0];
        elements /= (int)n;
        if (f->shape[0] == n) {
            drop_first(f);
        } else {
            f->shape[0] /= n;
            f->stride[0] *= n;
        }
    }
    return true;
}

/* The bits of an element's index within the word of output come from bits of its index among the pieces as they are
 * loaded. Exchanging two bits of all indices is a swap of fields a fixed distance apart. */
static void find_swaps(pl_fast *fast, const int *from, int index_bits)
{
    int now[6];
    for (int i = 0; i < index_bits; i++) now[i] = i;
    fast->swaps = 0;
    for (int i = 0; i < index_bits; i++) {
        int j = i;
        while (now[j] != from[i]) j++;
        if (i == j) continue;
        now[j] = now[i];
        now[i] = from[i];
        uint64_t mask = 0, field = ((uint64_t)1 << fast->bits) - 1;
        for (int e = 0; e < 1 << index_bits; e++)
            if ((e >> i & 1) && !(e >> j & 1)) mask |= field << (e * fast->bits);
        fast->mask[fast->swaps] = mask;
        fast->by[fast->swaps++] = ((1 << j) - (1 << i)) * fast->bits;
    }
}

/* A word of output is made of pieces of whole bytes, each of elements that follow each other. */
static bool find_words(pl_fast *fast)
{
    pl_flat rest = fast->modes, word;
    int order[PL_LAYOUT_MODES], first_bit[PL_LAYOUT_MODES], from[6], at = 0, elements = 64 / fast->bits;
    if (!cut_word(&rest, elements, &word)) return false;
    pl_flat_sort(&word, order);
    int run = 1, pieces = 1;
    fast->piece[0] = 0;
    for (int i = 0; i < word.count; i++) {
        int k = order[i], n = (int)word.shape[k];
        first_bit[k] = at;
        at += log2_of(n);
        if (pieces == 1 && word.stride[k] == run) run *= n;
        else {
            if (word.stride[k] * fast->bits % 8 || pieces * n > 8) return false;
            for (int q = n * pieces - 1; q >= 0; q--)
                fast->piece[q] = fast->piece[q % pieces] + q / pieces * word.stride[k] * fast->bits / 8;
            pieces *= n;
        }
    }
    if (run * fast->bits % 8 || fast->offset * fast->bits % 8) return false;
    for (int k = 0; k < rest.count; k++)
        if (rest.stride[k] * fast->bits % 8) return false;
    at = 0;
    for (int k = 0; k < word.count; k++)
        for (int b = 0; b < log2_of(word.shape[k]); b++) from[at++] = first_bit[k] + b;
    find_swaps(fast, from, at);
    /* what is walked are words, in bytes of the input */
    for (int k = 0; k < rest.count; k++) rest.stride[k] = rest.stride[k] * fast->bits / 8;
    fast->offset = fast->offset * fast->bits / 8;
    fast->modes = rest;
    fast->pieces = pieces;
    fast->kind = PL_FAST_WORDS;
    return true;
}

pl_fast pl_fast_find(const pl_flat *f, int64_t offset, int bits)
{
    pl_fast fast = { .bits = bits, .offset = offset, .modes = *f };
    if ((bits & (bits - 1)) == 0) {
        widen(&fast);
        if (find_runs(&fast) || find_transpose(&fast) || find_words(&fast)) return fast;
    } else if (find_runs(&fast)) {
        return fast;
    }
    fast.kind = PL_FAST_NONE;
    return fast;
}

/* ---- packing ---- */

static void pack_runs(const pl_fast *fast, const uint8_t *in, uint8_t *out)
{
    pl_flat rest = fast->modes;
    pl_walk walk;
    drop_first(&rest);
    for (int k = 0; k < rest.count; k++) rest.stride[k] = rest.stride[k] * fast->bits / 8;
    pl_walk_start(&walk, &rest, fast->offset * fast->bits / 8, PL_WALK_SPAN);
    do
        for (int i = 0; i < walk.count; i++, out += fast->run)
            memcpy(out, in + walk.base + walk.table[i], (size_t)fast->run);
    while (pl_walk_next(&walk));
}

#define LOAD(pieces, type)                                                                         \
    for (int i = 0; i < walk->count; i++) {                                                        \
        const uint8_t *from = in + walk->base + walk->table[i];                                    \
        uint64_t x = 0;                                                                            \
        for (int k = 0; k < (pieces); k++) {                                                       \
            type part;                                                                             \
            memcpy(&part, from + piece[k], sizeof part);                                           \
            x |= (uint64_t)part << (8 * k * (int)sizeof part);                                     \
        }                                                                                          \
        word[i] = x;                                                                               \
    }                                                                                              \
    return;

static void load(const pl_fast *fast, const pl_walk *walk, const uint8_t *in, uint64_t *word)
{
    int64_t piece[8];           /* the compiler need not fear that storing changes it */
    memcpy(piece, fast->piece, sizeof piece);
    switch (fast->pieces) {
    case 1: LOAD(1, uint64_t)
    case 2: LOAD(2, uint32_t)
    case 4: LOAD(4, uint16_t)
    default: LOAD(8, uint8_t)
    }
}

#define STORE(pieces, type)                                                                        \
    for (int i = 0; i < walk->count; i++) {                                                        \
        uint8_t *to = out + walk->base + walk->table[i];                                           \
        for (int k = 0; k < (pieces); k++) {                                                       \
            type part = (type)(word[i] >> (8 * k * (int)sizeof part));                             \
            memcpy(to + piece[k], &part, sizeof part);                                             \
        }                                                                                          \
    }                                                                                              \
    return;

static void store(const pl_fast *fast, const pl_walk *walk, const uint64_t *word, uint8_t *out)
{
    int64_t piece[8];
    memcpy(piece, fast->piece, sizeof piece);
    switch (fast->pieces) {
    case 1: STORE(1, uint64_t)
    case 2: STORE(2, uint32_t)
    case 4: STORE(4, uint16_t)
    default: STORE(8, uint8_t)
    }
}

/* Exchanges the fields that each of n swaps names, in order. */
#define SWAP(k) do { uint64_t t = (x ^ x >> by[k]) & mask[k]; x ^= t ^ t << by[k]; } while (0)
#define SWAPS(n, all)                                                                              \
    static void swaps_##n(const int *by, const uint64_t *mask, uint64_t *word, int count)          \
    {                                                                                              \
        for (int i = 0; i < count; i++) {                                                          \
            uint64_t x = word[i];                                                                  \
            all;                                                                                   \
            word[i] = x;                                                                           \
        }                                                                                          \
    }
SWAPS(0, )
SWAPS(1, SWAP(0))
SWAPS(2, SWAP(0); SWAP(1))
SWAPS(3, SWAP(0); SWAP(1); SWAP(2))
SWAPS(4, SWAP(0); SWAP(1); SWAP(2); SWAP(3))
SWAPS(5, SWAP(0); SWAP(1); SWAP(2); SWAP(3); SWAP(4))
static void (*const do_swaps[])(const int *, const uint64_t *, uint64_t *, int) = {
    swaps_0, swaps_1, swaps_2, swaps_3, swaps_4, swaps_5,
};

static void pack_words(const pl_fast *fast, const uint8_t *in, uint8_t *out)
{
    uint64_t word[PL_WALK_SPAN];
    pl_walk walk;
    pl_walk_start(&walk, &fast->modes, fast->offset, PL_WALK_SPAN);
    do {
        load(fast, &walk, in, word);
        do_swaps[fast->swaps](fast->by, fast->mask, word, walk.count);
        memcpy(out, word, (size_t)walk.count * 8);
        out += walk.count * 8;
    } while (pl_walk_next(&walk));
}

/* The other way: the swaps undone, the pieces to their places. */
static void unpack_words(const pl_fast *fast, const uint8_t *in, uint8_t *out)
{
    uint64_t word[PL_WALK_SPAN], mask[6];
    int by[6];
    pl_walk walk;
    for (int k = 0; k < fast->swaps; k++) {
        mask[k] = fast->mask[fast->swaps - 1 - k];
        by[k] = fast->by[fast->swaps - 1 - k];
    }
    pl_walk_start(&walk, &fast->modes, fast->offset, PL_WALK_SPAN);
    do {
        memcpy(word, in, (size_t)walk.count * 8);
        in += walk.count * 8;
        do_swaps[fast->swaps](by, mask, word, walk.count);
        store(fast, &walk, word, out);
    } while (pl_walk_next(&walk));
}

void pl_fast_pack(const pl_fast *fast, const uint8_t *in, uint8_t *out)
{
    switch (fast->kind) {
    case PL_FAST_COPY: memcpy(out, in + fast->offset * fast->bits / 8, (size_t)fast->run); break;
    case PL_FAST_RUNS: pack_runs(fast, in, out); break;
    case PL_FAST_TRANSPOSE: pl_fast_transpose(fast, in, out); break;
    case PL_FAST_WORDS: pack_words(fast, in, out); break;
    case PL_FAST_NONE: break;
    }
}

void pl_fast_unpack(const pl_fast *fast, const uint8_t *in, uint8_t *out)
{
    if (fast->kind == PL_FAST_WORDS) unpack_words(fast, in, out);
}
