/* layout.h: index functions as shape:stride with nesting, and their algebra. */
#ifndef CORE_LAYOUT_H
#define CORE_LAYOUT_H

#include "core/status.h"

/* The notation and the operations are those of CuTe (the layout and layout algebra chapters of CUTLASS's
 * documentation; C. Cecka, "CuTe Layout Representation and Algebra", arXiv 2603.02298). docs/layouts.md explains them
 * by examples.
 *
 * A layout is a pair of nested tuples of one profile, printed shape:stride, as (4,(2,3)):(2,(1,8)). It maps an index
 * 0 .. size-1 to a place: the index is cut into one digit for each number of the flattened shape, the first mode the
 * fastest, and place = sum of digit x stride. Shapes are at least 1, strides at least 0; sizes and places fit int64_t.
 *
 * Everything here is a value: no allocation, no recursion. Whatever fails does so with PL_E_INPUT and a sentence, and
 * leaves its output as it was. Layouts given to an operation must have come out of one of these functions, or have
 * passed pl_layout_check; outputs may be inputs. */
enum {
    PL_LAYOUT_MODES = 32,       /* numbers of a flattened shape */
    PL_LAYOUT_DEPTH = 16,       /* parentheses within parentheses */
    PL_LAYOUT_TEXT = 4096,      /* bytes of any printed form, with its NUL */
    PL_TILER_MODES = 8
};

/* A nested tuple of whole numbers: in front of number i stand open[i] opening parentheses, behind it close[i] closing
 * ones. One number without parentheses is a leaf; everything else has parentheses around the whole. */
typedef struct pl_tuple {
    int count;
    int64_t value[PL_LAYOUT_MODES];
    uint8_t open[PL_LAYOUT_MODES], close[PL_LAYOUT_MODES];
} pl_tuple;

typedef struct pl_layout {
    pl_tuple shape;
    int64_t stride[PL_LAYOUT_MODES];    /* profile: that of the shape */
} pl_layout;

/* x ^ ((x & mask) >> shift), mask = bits ones from bit base + max(shift, 0); a negative shift goes left. An involution,
 * and a bijection on 0 .. 2^(bits + base + |shift|) - 1. bits 0: nothing moves. bits <= |shift|. */
typedef struct pl_swizzle { int bits, base, shift; } pl_swizzle;

/* place = swizzle(offset + layout(index)); printed S<bits,base,shift> o offset o layout. */
typedef struct pl_composed {
    pl_swizzle swizzle;
    int64_t offset;
    pl_layout layout;
} pl_composed;

/* What an operation by modes takes for the first modes of a layout: <3:4, 8:2>; the others stay. by_mode false: one
 * layout for the whole. */
typedef struct pl_tiler {
    bool by_mode;
    int count;
    pl_layout mode[PL_TILER_MODES];
} pl_tiler;

/* ---- text (layout_text.c) ---- */

/* A name that stands for a number in a text: 8N, h/2. */
typedef struct pl_layout_name { const char *name; int64_t value; } pl_layout_name;

/* Blanks may stand between the parts, _ before a number, as CuTe prints static ones. A shape alone gets compact
 * column-major strides: (4,(2,3)) is (4,(2,3)):(1,(4,8)). */
pl_status pl_layout_parse(const char *text, pl_layout *out);
/* The same with names: a number is 4, h, 8N, h/2, 16/b or N/64; a division that leaves a rest fails. */
pl_status pl_layout_parse_names(const char *text, const pl_layout_name *names, int count, pl_layout *out);
pl_status pl_composed_parse(const char *text, pl_composed *out);
pl_status pl_tiler_parse(const char *text, pl_tiler *out);
/* A coordinate: 7, (1,5), (1,(0,2)). */
pl_status pl_tuple_parse(const char *text, pl_tuple *out);
/* Return `text`. */
const char *pl_layout_print(const pl_layout *l, char text[PL_LAYOUT_TEXT]);
const char *pl_composed_print(const pl_composed *c, char text[PL_LAYOUT_TEXT]);

/* ---- facts and values (layout.c) ---- */

/* modes numbers each, not nested: (s0,s1,...):(d0,d1,...); one alone is a leaf. */
pl_status pl_layout_make(int modes, const int64_t *shape, const int64_t *stride, pl_layout *out);
/* Is this a layout? For those built by hand or read from a file. */
pl_status pl_layout_check(const pl_layout *l);
pl_status pl_composed_check(const pl_composed *c);
int64_t pl_layout_size(const pl_layout *l);         /* number of indices: product of the shape */
int64_t pl_layout_cosize(const pl_layout *l);       /* largest place + 1 */
int pl_layout_rank(const pl_layout *l);             /* modes of the outermost tuple; a leaf has 1 */
int pl_layout_depth(const pl_layout *l);            /* 0 for a leaf */
bool pl_layout_same(const pl_layout *a, const pl_layout *b);    /* as printed */
/* Mode i < rank of the outermost tuple; of a leaf itself. */
void pl_layout_mode(const pl_layout *l, int i, pl_layout *out);
/* The place of index 0 <= i < size, unchecked. */
int64_t pl_layout_at(const pl_layout *l, int64_t i);
pl_status pl_layout_eval(const pl_layout *l, int64_t i, int64_t *place);
/* At a coordinate nested like the shape, or less deep: a number may stand for a whole tuple, whose index it is. */
pl_status pl_layout_eval_tuple(const pl_layout *l, const pl_tuple *coordinate, int64_t *place);
int64_t pl_swizzle_at(pl_swizzle s, int64_t x);     /* x >= 0 */
int64_t pl_composed_at(const pl_composed *c, int64_t i);
/* No two indices have one place? PL_E_INPUT if that could only be told by a scan of more than 2^28 places. */
pl_status pl_composed_injective(const pl_composed *c, bool *out);
/* Are the places just 0 .. size-1, each once? Fails as above; a layout without swizzle and offset never. */
pl_status pl_composed_bijective(const pl_composed *c, bool *out);

/* ---- algebra (layout_algebra.c) ---- */

/* The same function by the fewest modes, none of size 1: not nested. */
void pl_layout_coalesce(const pl_layout *l, pl_layout *out);
/* Each mode of the outermost tuple on its own: the rank stays. */
pl_status pl_layout_coalesce_modes(const pl_layout *l, pl_layout *out);
/* out(i) = a(b(i)) for all i, out nested like b, or deeper. Fails where that is no layout, or this cannot be told
 * digit by digit: b leaves a's indices; a stride of b neither divides a mode of a nor is divided by it; modes of b
 * carry into each other within one of a. */
pl_status pl_layout_compose(const pl_layout *a, const pl_layout *b, pl_layout *out);
/* Each mode of a with the tiler's. */
pl_status pl_layout_compose_tiler(const pl_layout *a, const pl_tiler *b, pl_layout *out);
/* What fills the gaps of l's places up to m (at least 1): (l, out) has each place below size(l) x size(out) once, and
 * out's places rise. Where the last repetition passes m it is whole. Modes of stride 0 do not count. Fails where a
 * stride is no multiple of what the smaller ones cover. */
pl_status pl_layout_complement(const pl_layout *l, int64_t m, pl_layout *out);
/* l(out(i)) = i for all i < size(out); as long as l's places have no gap. Of a bijective l the inverse. */
pl_status pl_layout_right_inverse(const pl_layout *l, pl_layout *out);
/* out(l(i)) = i for all i < size(l). Fails where two indices have one place, and where the complement does. */
pl_status pl_layout_left_inverse(const pl_layout *l, pl_layout *out);

/* a cut into tiles. LOGICAL: a o (b, complement(b, size a)), that is (tile, tiles); for a tiler each mode so:
 * ((tile0,tiles0),(tile1,tiles1),rest). ZIPPED: ((tile0,tile1),(tiles0,tiles1,rest)); TILED: ((tile0,tile1),tiles0,
 * tiles1,rest); FLAT: (tile0,tile1,tiles0,tiles1,rest). Fails where the tile does not divide a, and as compose does. */
typedef enum pl_divide { PL_DIVIDE_LOGICAL, PL_DIVIDE_ZIPPED, PL_DIVIDE_TILED, PL_DIVIDE_FLAT } pl_divide;
pl_status pl_layout_divide(pl_divide kind, const pl_layout *a, const pl_tiler *b, pl_layout *out);

/* b's places, each a copy of a. LOGICAL: (a, complement(a, size a x cosize b) o b). BLOCKED: mode i is (a's, b's):
 * copies stand side by side; RAKED: (b's, a's): their elements are interleaved. Ranks are made equal by modes of
 * size 1. */
typedef enum pl_product { PL_PRODUCT_LOGICAL, PL_PRODUCT_BLOCKED, PL_PRODUCT_RAKED } pl_product;
pl_status pl_layout_product(pl_product kind, const pl_layout *a, const pl_layout *b, pl_layout *out);

#endif
