/* layout_fields.h: bytes in another order than their type's: fields that each have a layout. */
#ifndef CORE_LAYOUT_FIELDS_H
#define CORE_LAYOUT_FIELDS_H

#include "core/layout.h"
#include "core/mem.h"

/* What is stored comes in units of one size; in each unit field follows field. The elements of one field, over all
 * units, are numbered 0, 1, 2 ...; element p of them is element order(p) of the original, counted from byte `from` on.
 * Marlin's weights are one field of 4-bit elements and one unit; rows that llama.cpp interleaves are many units of two
 * fields, scales and codes. */
typedef struct pl_field {
    int bits;                   /* of an element, 1 to 64 */
    int flip;                   /* each byte is stored xor this */
    int64_t from;               /* bytes of the original in front of its element 0 */
    pl_layout order;
    int64_t pieces;             /* of a writer: what belongs to neighbouring rows lies in so many pieces,
        evenly spread */
} pl_field;

enum { PL_FIELDS = 4 };

typedef struct pl_arrangement {
    const char *name;
    int64_t bytes;              /* of the original, and of what is stored */
    int64_t unit;               /* bytes; divides them */
    int fields;
    pl_field field[PL_FIELDS];
} pl_arrangement;

/* Is it a bijection: do the fields fill their units, and is every bit of the original in just one of them? PL_E_INPUT
 * says what is wrong, or that it cannot be told, of several fields without a common pattern. */
pl_status pl_arrangement_check(const pl_arrangement *a);
/* Bytes of field i in all units; of one that was checked. */
int64_t pl_arrangement_field(const pl_arrangement *a, int i);
/* [a->bytes] to [a->bytes], of one that was checked. One thread. */
pl_status pl_arrangement_store(const pl_arrangement *a, const uint8_t *original, uint8_t *stored);
pl_status pl_arrangement_restore(const pl_arrangement *a, const uint8_t *stored, uint8_t *original);

/* Many matrices have the same: one is kept for all of them. */
typedef struct pl_arrangements {
    const pl_arrangement *known[16];    /* the last ones */
    int next;
} pl_arrangements;

/* *out: what is kept and the same as `a`, which otherwise is checked and then kept itself, in memory from arena. */
pl_status pl_arrangement_keep(pl_arrangements *all, const pl_arrangement *a, pl_arena *arena,
                              const pl_arrangement **out);

#endif
