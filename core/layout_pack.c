/* layout_pack.c: packing and unpacking by any layout: the definition, and the choice of faster ways. */
#include "core/layout_pack.h"

#include <string.h>

#include "core/layout_walk.h"

/* ---- walking ---- */

void pl_walk_start(pl_walk *w, const pl_flat *f, int64_t offset, int most)
{
    int k = 0;
    w->span = 1;
    w->table[0] = 0;
    /* whole modes, then as much of the next one as fits */
    w->inner = w->chunk = 1;
    w->step = 0;
    for (; k < f->count; k++) {
        w->inner = f->shape[k];
        w->step = f->stride[k];
        w->chunk = pl_min64(w->inner, most / w->span);
        for (int64_t i = 1; i < w->chunk; i++)
            for (int q = 0; q < w->span; q++) w->table[i * w->span + q] = w->table[q] + i * w->step;
        if (w->chunk < w->inner || k + 1 == f->count || w->span * w->chunk * 2 > most) break;
        w->span *= (int)w->chunk;
        w->inner = w->chunk = 1;
    }
    w->outer = 0;
    for (k++; k < f->count; k++, w->outer++) {
        w->shape[w->outer] = f->shape[k];
        w->stride[w->outer] = f->stride[k];
        w->at[w->outer] = 0;
    }
    w->base = offset;
    w->left = w->inner;
    w->count = w->span * (int)w->chunk;
}

bool pl_walk_next(pl_walk *w)
{
    w->left -= w->chunk;
    if (w->left > 0) {
        w->base += w->chunk * w->step;
        w->count = w->span * (int)pl_min64(w->chunk, w->left);
        return true;
    }
    w->base -= (w->inner - w->left - w->chunk) * w->step;
    for (int k = 0; k < w->outer; k++) {
        w->base += w->stride[k];
        if (++w->at[k] < w->shape[k]) {
            w->left = w->inner;
            w->count = w->span * (int)w->chunk;
            return true;
        }
        w->base -= w->shape[k] * w->stride[k];
        w->at[k] = 0;
    }
    return false;
}

/* ---- elements one by one ---- */

static uint64_t ones(int bits) { return bits == 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1; }

/* Element i of `bits` bits; only its own bytes, or eight that are all there, are read. */
static inline uint64_t get(const uint8_t *in, int64_t size, int bits, int64_t i)
{
    int64_t at = i * bits, byte = at >> 3;
    int low = (int)(at & 7);
    uint64_t x = 0;
    if (byte + 8 <= size) memcpy(&x, in + byte, 8);
    else
        for (int k = 0; byte + k < size; k++) x |= (uint64_t)in[byte + k] << (8 * k);
    x >>= low;
    if (low + bits > 64) x |= (uint64_t)in[byte + 8] << (64 - low);
    return x & ones(bits);
}

static void set(uint8_t *out, int bits, int64_t i, uint64_t x)
{
    int64_t at = i * bits;
    for (int have; bits > 0; bits -= have, at += have) {
        int low = (int)(at & 7);
        have = bits < 8 - low ? bits : 8 - low;
        unsigned mask = (unsigned)ones(have) << low;
        out[at >> 3] = (uint8_t)((out[at >> 3] & ~mask) | ((unsigned)(x << low) & mask));
        x >>= have;
    }
}

/* Consecutive elements, gathered in a word. */
typedef struct writer {
    uint8_t *out;
    uint64_t held;
    int have;
} writer;

static inline void put(writer *w, uint64_t x, int bits)
{
    w->held |= x << w->have;
    w->have += bits;
    if (w->have < 64) return;
    memcpy(w->out, &w->held, 8);
    w->out += 8;
    w->have -= 64;
    w->held = w->have ? x >> (bits - w->have) : 0;
}

static void finish(writer *w)
{
    for (; w->have > 0; w->have -= 8, w->held >>= 8) *w->out++ = (uint8_t)w->held;
}

/* ---- the definition ---- */

#define MOVE_WHOLE(type)                                                                           \
    for (int i = 0; i < count; i++) {                                                              \
        type x;                                                                                    \
        memcpy(&x, in + place[i] * (int64_t)sizeof x, sizeof x);                                   \
        memcpy(w->out, &x, sizeof x);                                                              \
        w->out += sizeof x;                                                                        \
    }                                                                                              \
    return;

#define MOVE_FIELDS(bits, shift)                                                                   \
    for (int i = 0; i < count; i++) {                                                              \
        unsigned x = in[place[i] >> (shift)] >> ((place[i] & ((1 << (shift)) - 1)) * (bits));      \
        put(w, x & ((1u << (bits)) - 1), (bits));                                                  \
    }                                                                                              \
    return;

static void gather(const uint8_t *in, int64_t size, int bits, const int64_t *place, int count, writer *w)
{
    switch (bits) {
    case 1: MOVE_FIELDS(1, 3)
    case 2: MOVE_FIELDS(2, 2)
    case 4: MOVE_FIELDS(4, 1)
    case 8: MOVE_WHOLE(uint8_t)
    case 16: MOVE_WHOLE(uint16_t)
    case 32: MOVE_WHOLE(uint32_t)
    case 64: MOVE_WHOLE(uint64_t)
    }
    for (int i = 0; i < count; i++) put(w, get(in, size, bits, place[i]), bits);
}

#define SCATTER_WHOLE(type)                                                                        \
    for (int i = 0; i < count; i++)                                                                \
        memcpy(out + place[i] * (int64_t)sizeof(type), in + (first + i) * (int64_t)sizeof(type), sizeof(type)); \
    return;

#define SCATTER_FIELDS(bits, shift)                                                                \
    for (int i = 0; i < count; i++) {                                                              \
        int64_t from = first + i, last = (1 << (shift)) - 1;                                       \
        unsigned x = in[from >> (shift)] >> ((from & last) * (bits)) & ((1u << (bits)) - 1);      \
        unsigned low = (unsigned)(place[i] & last) * (bits), old = out[place[i] >> (shift)];      \
        out[place[i] >> (shift)] = (uint8_t)((old & ~(((1u << (bits)) - 1) << low)) | x << low);   \
    }                                                                                              \
    return;

/* Elements first, first + 1, ... of in. */
static void scatter(const uint8_t *in, int64_t size, int64_t first, int bits, const int64_t *place, int count,
                    uint8_t *out)
{
    switch (bits) {
    case 1: SCATTER_FIELDS(1, 3)
    case 2: SCATTER_FIELDS(2, 2)
    case 4: SCATTER_FIELDS(4, 1)
    case 8: SCATTER_WHOLE(uint8_t)
    case 16: SCATTER_WHOLE(uint16_t)
    case 32: SCATTER_WHOLE(uint32_t)
    case 64: SCATTER_WHOLE(uint64_t)
    }
    for (int i = 0; i < count; i++) set(out, bits, place[i], get(in, size, bits, first + i));
}

/* The next places, as they are or swizzled; the largest is the answer. */
static int64_t places(const pl_walk *w, pl_swizzle s, int64_t *place)
{
    int64_t most = 0;
    for (int i = 0; i < w->count; i++) place[i] = w->base + w->table[i];
    if (s.bits == 0) return 0;              /* known beforehand */
    for (int i = 0; i < w->count; i++) {
        place[i] = pl_swizzle_at(s, place[i]);
        most = pl_max64(most, place[i]);
    }
    return most;
}

/* Bytes of so many elements. */
static bool bytes_of(int64_t elements, int bits, int64_t *out)
{
    int64_t total;
    if (!pl_mul_ok(elements, bits, &total)) return false;
    *out = pl_ceil_div(total, 8);
    return true;
}

/* Checks the arrays' sizes: `natural` has the elements where they are reached, `packed` one after the other. */
static pl_status fits(const pl_composed *l, int bits, int64_t natural, int64_t packed)
{
    int64_t needed;
    if (bits < 1 || bits > 64) return pl_fail(PL_E_INPUT, "elements have 1 to 64 bits, not %d", bits);
    PL_TRY(pl_composed_check(l));
    if (!bytes_of(pl_layout_size(&l->layout), bits, &needed) || needed > packed)
        return pl_fail(PL_E_INPUT, "%lld elements of %d bits do not fit %lld bytes",
                       (long long)pl_layout_size(&l->layout), bits, (long long)packed);
    /* a swizzle may go further: then each place is looked at */
    if (!bytes_of(l->offset + pl_layout_cosize(&l->layout), bits, &needed) || needed > natural)
        return pl_fail(PL_E_INPUT, "the layout reaches element %lld of %d bits, which is not in %lld bytes",
                       (long long)(l->offset + pl_layout_cosize(&l->layout) - 1), bits, (long long)natural);
    return PL_OK;
}

static pl_status beyond(int64_t place)
{
    return pl_fail(PL_E_INPUT, "the swizzled layout reaches element %lld, which is not in the array", (long long)place);
}

static pl_status shared_place(void)
{
    return pl_fail(PL_E_INPUT, "unpacking: the layout has one place for several indices");
}

pl_status pl_layout_pack_generic(const pl_composed *l, int bits, const void *in, int64_t in_bytes, void *out,
                                 int64_t out_bytes)
{
    int64_t place[PL_WALK_SPAN];
    pl_walk walk;
    pl_flat f;
    PL_TRY(fits(l, bits, in_bytes, out_bytes));
    int64_t elements = in_bytes > INT64_MAX / 8 ? INT64_MAX : in_bytes * 8 / bits;
    writer w = { .out = out };
    pl_flat_coalesced(&l->layout, &f);
    pl_walk_start(&walk, &f, l->offset, PL_WALK_SPAN);
    do {
        int64_t most = places(&walk, l->swizzle, place);
        if (most >= elements) return beyond(most);
        gather(in, in_bytes, bits, place, walk.count, &w);
    } while (pl_walk_next(&walk));
    finish(&w);
    return PL_OK;
}

pl_status pl_layout_unpack_generic(const pl_composed *l, int bits, const void *in, int64_t in_bytes, void *out,
                                   int64_t out_bytes)
{
    int64_t place[PL_WALK_SPAN], next = 0;
    bool once;
    pl_walk walk;
    pl_flat f;
    PL_TRY(fits(l, bits, out_bytes, in_bytes));
    PL_TRY(pl_composed_injective(l, &once));
    if (!once) return shared_place();
    int64_t elements = out_bytes > INT64_MAX / 8 ? INT64_MAX : out_bytes * 8 / bits;
    pl_flat_coalesced(&l->layout, &f);
    pl_walk_start(&walk, &f, l->offset, PL_WALK_SPAN);
    do {
        int64_t most = places(&walk, l->swizzle, place);
        if (most >= elements) return beyond(most);
        scatter(in, in_bytes, next, bits, place, walk.count, out);
        next += walk.count;
    } while (pl_walk_next(&walk));
    return PL_OK;
}

/* ---- faster ways ---- */

static pl_fast fast_of(const pl_composed *l, int bits)
{
    pl_flat f;
    int64_t total, reach;
    if (l->swizzle.bits || !pl_mul_ok(l->offset + pl_layout_cosize(&l->layout), bits, &reach) ||
        !pl_mul_ok(pl_layout_size(&l->layout), bits, &total) || total % 8 != 0)
        return (pl_fast){ .kind = PL_FAST_NONE };
    pl_flat_coalesced(&l->layout, &f);
    return pl_fast_find(&f, l->offset, bits);
}

/* Where a layout is a bijection, packing by it is unpacking by its inverse, and the other way round. */
static bool invert(const pl_composed *l, pl_composed *inverse)
{
    bool bijective = false;
    *inverse = (pl_composed){ .offset = 0 };
    return !l->swizzle.bits && !l->offset && pl_composed_bijective(l, &bijective) == PL_OK && bijective &&
           pl_layout_right_inverse(&l->layout, &inverse->layout) == PL_OK;
}

static pl_fast inverse_of(const pl_composed *l, int bits)
{
    pl_composed inverse;
    return invert(l, &inverse) ? fast_of(&inverse, bits) : (pl_fast){ .kind = PL_FAST_NONE };
}

/* A whole number of words of the last mode, and what is left of it. */
static bool split(const pl_composed *l, pl_composed *head, pl_composed *tail)
{
    enum { WORDS = 16 };
    pl_flat f;
    pl_flat_coalesced(&l->layout, &f);
    int last = f.count - 1;
    int64_t rest = f.shape[last] % WORDS, whole = f.shape[last] - rest;
    if (rest == 0 || whole == 0) return false;
    *head = *tail = *l;
    f.shape[last] = whole;
    pl_layout_from_flat(&f, &head->layout);
    f.shape[last] = rest;
    pl_layout_from_flat(&f, &tail->layout);
    tail->offset += whole * f.stride[last];
    return true;
}

/* How l is moved, and whether as an inverse: packed as the inverse is unpacked, or unpacked as it is packed. */
static pl_fast choose(const pl_composed *l, int bits, bool pack, bool *inverse)
{
    pl_fast fast;
    for (int i = 0; i < 2; i++) {
        *inverse = pack ? i == 1 : i == 0;
        fast = *inverse ? inverse_of(l, bits) : fast_of(l, bits);
        /* elements are only put somewhere by words */
        if (fast.kind == PL_FAST_WORDS || (fast.kind != PL_FAST_NONE && *inverse != pack)) return fast;
    }
    return (pl_fast){ .kind = PL_FAST_NONE };
}

const char *pl_layout_pack_path(const pl_composed *l, int bits)
{
    static const char *const names[] = { "", "copy", "runs", "transpose", "words" };
    pl_composed head, tail;
    bool inverse;
    pl_fast fast = choose(l, bits, true, &inverse);
    if (fast.kind == PL_FAST_NONE && split(l, &head, &tail)) fast = choose(&head, bits, true, &inverse);
    return inverse && fast.kind != PL_FAST_NONE ? "inverse" : names[fast.kind];
}

pl_status pl_layout_pack(const pl_composed *l, int bits, const void *in, int64_t in_bytes, void *out, int64_t out_bytes)
{
    pl_composed head, tail;
    bool inverse;
    PL_TRY(fits(l, bits, in_bytes, out_bytes));
    pl_fast fast = choose(l, bits, true, &inverse);
    bool all = fast.kind != PL_FAST_NONE;
    if (!all && split(l, &head, &tail)) fast = choose(&head, bits, true, &inverse);
    if (fast.kind == PL_FAST_NONE) return pl_layout_pack_generic(l, bits, in, in_bytes, out, out_bytes);
    if (inverse) pl_fast_unpack(&fast, in, out);
    else pl_fast_pack(&fast, in, out);
    if (all) return PL_OK;
    int64_t done = pl_layout_size(&head.layout) * bits / 8;
    return pl_layout_pack_generic(&tail, bits, in, in_bytes, (uint8_t *)out + done, out_bytes - done);
}

pl_status pl_layout_unpack(const pl_composed *l, int bits, const void *in, int64_t in_bytes, void *out,
                           int64_t out_bytes)
{
    pl_composed head, tail, back;
    bool inverse, once;
    PL_TRY(fits(l, bits, out_bytes, in_bytes));
    pl_fast fast = choose(l, bits, false, &inverse);
    bool all = fast.kind != PL_FAST_NONE;
    if (!all && split(l, &head, &tail)) fast = choose(&head, bits, false, &inverse);
    if (fast.kind == PL_FAST_NONE) {
        /* Words are made quicker than changed. */
        bool words = bits % 8 && pl_layout_size(&l->layout) % 8 == 0 && invert(l, &back);
        return words ? pl_layout_pack_generic(&back, bits, in, in_bytes, out, out_bytes)
                     : pl_layout_unpack_generic(l, bits, in, in_bytes, out, out_bytes);
    }
    PL_TRY(pl_composed_injective(l, &once));
    if (!once) return shared_place();
    if (inverse) pl_fast_pack(&fast, in, out);
    else pl_fast_unpack(&fast, in, out);
    if (all) return PL_OK;
    int64_t done = pl_layout_size(&head.layout) * bits / 8;
    return pl_layout_unpack_generic(&tail, bits, (const uint8_t *)in + done, in_bytes - done, out, out_bytes);
}
