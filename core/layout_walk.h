/* layout_walk.h: going through the places of flat modes in spans, without a division per element; the fast paths. */
#ifndef CORE_LAYOUT_WALK_H
#define CORE_LAYOUT_WALK_H

#include "core/layout_parts.h"

enum { PL_WALK_SPAN = 512 };

/* Places come as base + table[0 .. count-1], base changing from span to span. */
typedef struct pl_walk {
    int64_t table[PL_WALK_SPAN];
    int64_t base;
    int count;
    /* the mode that the table ends within, and those behind it */
    int64_t inner, chunk, step, left;
    int span;
    int outer;
    int64_t shape[PL_LAYOUT_MODES], stride[PL_LAYOUT_MODES], at[PL_LAYOUT_MODES];
} pl_walk;

/* Stands at the first span. most <= PL_WALK_SPAN: elements of a span. */
void pl_walk_start(pl_walk *w, const pl_flat *f, int64_t offset, int most);
/* False: there was no further span. */
bool pl_walk_next(pl_walk *w);

/* A way of packing that the shape of a layout allows. */
typedef enum pl_fast_kind { PL_FAST_NONE, PL_FAST_COPY, PL_FAST_RUNS, PL_FAST_TRANSPOSE, PL_FAST_WORDS } pl_fast_kind;
typedef struct pl_fast {
    pl_fast_kind kind;
    int bits;                   /* of an element: several small ones that stay together are one */
    int64_t offset;             /* of the first element, in elements */
    pl_flat modes;
    int64_t run;                /* RUNS, COPY: bytes */
    int along;                  /* TRANSPOSE: the mode of stride 1 */
    /* WORDS: a word of the output is so many pieces of the input, as many bytes each as are 8 / pieces, with the bits
     * of its element indices exchanged in pairs */
    int pieces;
    int64_t piece[8];
    int swaps, by[6];
    uint64_t mask[6];
} pl_fast;

pl_fast pl_fast_find(const pl_flat *f, int64_t offset, int bits);
void pl_fast_pack(const pl_fast *fast, const uint8_t *in, uint8_t *out);
/* out[l(p)] = in[p]; of kind WORDS alone. */
void pl_fast_unpack(const pl_fast *fast, const uint8_t *in, uint8_t *out);
void pl_fast_transpose(const pl_fast *fast, const uint8_t *in, uint8_t *out);

#endif
