/* layout_table.h: the orders in which packed formats keep their elements, by name. */
#ifndef CORE_LAYOUT_TABLE_H
#define CORE_LAYOUT_TABLE_H

#include "core/layout.h"

enum { PL_LAYOUT_NAMES = 3 };           /* numbers that a row leaves open, at most */

/* place in the packed field -> element of the block, tile or matrix. */
typedef struct pl_layout_row {
    const char *name;                   /* "q4_k", "q6_k.high": type, and field where there are several */
    const char *text;                   /* with the names below */
    const char *names[PL_LAYOUT_NAMES];
    int bits;                           /* of an element of the field; 0: any */
    int dtype;                          /* index into pl_dtypes of the block; -1: no block of planish's */
    int offset;                         /* bytes of the block in front of the field */
    int shift;                          /* the field's bits are those of the code from this one up */
    bool high_first;                    /* fields of a byte are counted from its high bits */
    const char *what;
} pl_layout_row;

/* Row i = 0, 1, ...; NULL: no more. */
const pl_layout_row *pl_layout_row_at(int i);
/* By name and, in brackets, its numbers: "q4_k", "marlin[K=64,N=128]". PL_E_INPUT names what is missing. */
pl_status pl_layout_find(const char *text, pl_layout *out, const pl_layout_row **row);

#endif
