/* layout_parts.h: what the files of the layout algebra share: flat modes, and building nested layouts. */
#ifndef CORE_LAYOUT_PARTS_H
#define CORE_LAYOUT_PARTS_H

#include "core/layout.h"

/* Modes without nesting, the first the fastest. */
typedef struct pl_flat {
    int count;
    int64_t shape[PL_LAYOUT_MODES], stride[PL_LAYOUT_MODES];
} pl_flat;

/* The modes of a layout as few as can be: 1:0 if none is left. */
void pl_flat_coalesced(const pl_layout *l, pl_flat *out);
/* A leaf, or a tuple of several. */
void pl_layout_from_flat(const pl_flat *f, pl_layout *out);

/* A tuple under construction begins with shape.count = 0. Adds a mode to it. */
pl_status pl_layout_append(pl_layout *tuple, const pl_layout *mode);
/* Puts parentheses around everything. */
pl_status pl_layout_wrap(pl_layout *l);

/* Right inverse's modes; the flat form of any layout. */
void pl_flat_right_inverse(const pl_flat *f, pl_flat *out);
/* Order of modes by stride, then shape. */
void pl_flat_sort(const pl_flat *f, int order[PL_LAYOUT_MODES]);

#endif
