/* method.h: a method finds good bytes for a storage type; its name is what --method takes. */
#ifndef CORE_METHOD_H
#define CORE_METHOD_H

#include "core/grid.h"
#include "core/source.h"
#include "core/stats.h"

typedef struct pl_step pl_step;
typedef struct pl_method pl_method;

/* One tensor of the plan: who encodes it, how, into exactly which parts. */
struct pl_step {
    pl_id id;
    int tensor;                 /* in the source's model */
    const char *name;           /* under which the sink stores it */
    const pl_method *method;
    const pl_stat *stat;        /* of the matrix's input; NULL: nothing is known of it */
    const pl_grid *grid;        /* NULL: the method needs none */
    const char *why;            /* reason if the type is not the one wished for, else NULL */
    pl_packed out;              /* exact parts before any data; ptr NULL */
    int32_t band;               /* rows that the sink wants together: ranges are whole bands; 0: any */
};

enum {                          /* what one call of a method sees */
    PL_SCOPE_ROWS               /* any range of whole granules, in any order, from any worker */
};
enum {                          /* flags */
    PL_METHOD_EXACT = 1         /* same input: same bytes on every processor */
};

struct pl_method {
    const char *name, *summary;
    int scope;
    unsigned flags;
    /* Can it fill this step's type from a matrix stored as `from`? NULL: any. */
    bool (*accepts)(const pl_step *step, const pl_tensor *from);
    /* Scratch bytes per worker that encode needs for `count` rows. */
    int64_t (*scratch)(const pl_step *step, const pl_tensor *from, int64_t count);
    /* The type that it would rather fill in place of the wish: with more parts, if the sink takes them. NULL: the
     * wish. */
    pl_type (*refine)(pl_type wish);
    /* For a type whose matrix has one f32 of its own (a part of stride 0): what rows first .. first+count-1 ask for,
     * >= 0. The largest over all rows is in that part before encode sees any of them, of types with a number beside
     * scales (pl_type.global) also over the matrices that runtimes join, as Q, K and V. NULL: encode fills every
     * part. */
    pl_status (*reach)(const pl_step *step, const pl_input *in, int64_t first, int64_t count, float *number,
                       pl_arena *scratch);
    /* Fills the parts of rows first .. first+count-1: rows->part[].ptr point to writable buffers. */
    pl_status (*encode)(const pl_step *step, const pl_input *in, int64_t first, int64_t count,
                        pl_packed *rows, pl_arena *scratch);
};

/* By name; NULL if there is none. Lists end with NULL. */
const pl_method *pl_method_find(const pl_method *const *methods, const char *name);
/* The part that the step's method wants to know all rows for before it encodes any (see reach); -1: none. */
int pl_step_shared(const pl_step *step);
/* The grid whose span takes this type; NULL if none does. */
const pl_grid *pl_grid_find(const pl_grid *const *grids, const pl_type *type, int64_t cols);

#endif
