/* knapsack.h: one option for each item, the least total loss within a budget of bytes. */
#ifndef CORE_KNAPSACK_H
#define CORE_KNAPSACK_H

#include "core/mem.h"

typedef struct pl_option {
    int64_t bytes;              /* >= 0 */
    double loss;                /* finite; units are the caller's, the same for all items */
} pl_option;

typedef struct pl_item {
    const pl_option *option;    /* [options], in any order */
    int options;                /* 1 .. PL_MAX_OPTIONS */
    int group;                  /* items of one group take the same option index; -1: free */
} pl_item;

enum { PL_MAX_OPTIONS = 64 };

/* choice [items]: index of each item's option. The sum of bytes is never above the budget. The result is the optimum
 * where the differences between options have a common divisor that cuts the range of sizes into cells of which a
 * table fits 64 MiB (matrices of a model do); else sizes are rounded up to larger cells. A larger budget never gives
 * a larger loss. Equal losses are told apart by the order of items. PL_E_WISH names the smallest possible sum if the
 * budget is below it, an option that is no number, or a group whose items have different numbers of options. */
pl_status pl_knapsack(const pl_item *item, int items, int64_t budget, int *choice);

#endif
