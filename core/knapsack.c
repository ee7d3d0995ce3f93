/* knapsack.c: the multiple-choice knapsack: steepest segments of the options' lower hulls, then dynamic programming
 * over sizes. */
#include "core/knapsack.h"

#include <math.h>
#include <stdlib.h>

enum {
    WORK = 1 << 26              /* bytes of the table of choices: cells times items */
};

/* An option of a merged item that no other beats in both bytes and loss; options rise in bytes, fall in loss. */
typedef struct kept {
    int64_t bytes;              /* above those of the item's first */
    double loss;
    int index;                  /* in the caller's list */
    bool hull;                  /* a corner of the lower hull */
} kept;

typedef struct merged {
    kept *option;
    int options;
    int root;                   /* the first of its items: places in the list rise with it */
} merged;

/* A step from one corner of a hull to the next. */
typedef struct segment {
    double slope;               /* loss saved per byte */
    int item, from, to;
} segment;

typedef struct problem {
    const pl_item *item;
    int items;
    merged *merged;
    int count;                  /* of merged */
    int *place;                 /* [items] in merged */
    int64_t smallest, range;    /* bytes of all first options; of all last ones above that */
    int64_t cell;               /* bytes of a cell */
    int *greedy, *best;         /* [count] indices of kept options */
} problem;

/* ---- merging groups, dropping what is beaten ---- */

static int compare_kept(const void *a, const void *b)
{
    const kept *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    if (x->loss != y->loss) return x->loss < y->loss ? -1 : 1;
    return x->index - y->index;
}

static pl_status add_item(merged *to, const pl_item *item, int number)
{
    if (item->options < 1 || item->options > PL_MAX_OPTIONS)
        return pl_fail(PL_E_WISH, "item %d has %d options, expected 1 to %d", number, item->options, PL_MAX_OPTIONS);
    if (to->options && to->options != item->options)
        return pl_fail(PL_E_WISH, "item %d has %d options, others of its group %d", number, item->options, to->options);
    to->options = item->options;
    for (int o = 0; o < item->options; o++) {
        const pl_option *from = &item->option[o];
        if (!isfinite(from->loss))
            return pl_fail(PL_E_WISH, "option %d of item %d has a loss of %g", o, number, from->loss);
        if (!pl_add_ok(to->option[o].bytes, from->bytes, &to->option[o].bytes))
            return pl_fail(PL_E_WISH, "option %d of item %d has %lld bytes: no size", o, number,
                           (long long)from->bytes);
        to->option[o].loss += from->loss;
        to->option[o].index = o;
    }
    return PL_OK;
}

/* Sorts, leaves only options that lose less than every smaller one, and marks the hull's corners. */
static void reduce(merged *m)
{
    qsort(m->option, (size_t)m->options, sizeof *m->option, compare_kept);
    int n = 1;
    for (int o = 1; o < m->options; o++)
        if (m->option[o].loss < m->option[n - 1].loss) m->option[n++] = m->option[o];
    m->options = n;
    for (int o = n - 1; o >= 0; o--) m->option[o].bytes -= m->option[0].bytes;
    for (int at = 0, next; at < n; at = next) {
        m->option[at].hull = true;
        next = at + 1;
        for (int o = next + 1; o < n; o++) {
            /* loss saved per byte, compared without dividing */
            const kept *a = &m->option[at], *b = &m->option[next], *c = &m->option[o];
            if ((a->loss - c->loss) * (double)(b->bytes - a->bytes) >=
                (a->loss - b->loss) * (double)(c->bytes - a->bytes)) next = o;
        }
    }
}

static int compare_group(const void *a, const void *b)
{
    const pl_item *const *x = a, *const *y = b;
    if ((*x)->group != (*y)->group) return (*x)->group < (*y)->group ? -1 : 1;
    return *x < *y ? -1 : *x > *y;
}

/* root [items]: the first item of each one's group, itself if it is free. */
static pl_status find_roots(const pl_item *item, int items, int *root)
{
    const pl_item **sorted = pl_alloc(items, sizeof *sorted);
    if (!sorted) return PL_E_MEMORY;
    for (int i = 0; i < items; i++) sorted[i] = &item[i];
    qsort(sorted, (size_t)items, sizeof *sorted, compare_group);
    for (int i = 0, first = 0; i < items; i++) {
        if (sorted[i]->group != sorted[first]->group || sorted[i]->group < 0) first = i;
        root[sorted[i] - item] = (int)(sorted[first] - item);
    }
    pl_free(sorted);
    return PL_OK;
}

/* The size of a cell follows from the items alone, so that a larger budget only adds cells. */
static void choose_cell(problem *p)
{
    int64_t divisor = 0, most = pl_max64(WORK / pl_max64(1, p->count), 2);
    for (int m = 0; m < p->count; m++)
        for (int o = 1; o < p->merged[m].options; o++) divisor = pl_gcd64(divisor, p->merged[m].option[o].bytes);
    divisor = pl_max64(divisor, 1);
    p->cell = pl_ceil_div(pl_ceil_div(p->range, divisor), most) * divisor;
    p->cell = pl_max64(p->cell, 1);
}

static pl_status merge(problem *p, pl_arena *arena)
{
    PL_TRY(find_roots(p->item, p->items, p->place));
    for (int i = 0; i < p->items; i++) {
        bool first = p->place[i] == i;
        int at = first ? p->count++ : p->place[p->place[i]];    /* the root's place is known by then */
        merged *m = &p->merged[at];
        if (first) {
            m->root = i;
            m->option = PL_ZNEW(arena, kept, pl_min64(pl_max64(p->item[i].options, 1), PL_MAX_OPTIONS));
            if (!m->option) return PL_E_MEMORY;
        }
        p->place[i] = at;
        PL_TRY(add_item(m, &p->item[i], i));
    }
    int64_t largest = 0;
    for (int m = 0; m < p->count; m++) {
        merged *at = &p->merged[m];
        int64_t first = INT64_MAX;
        for (int o = 0; o < at->options; o++) first = pl_min64(first, at->option[o].bytes);
        reduce(at);
        if (!pl_add_ok(p->smallest, first, &p->smallest) ||
            !pl_add_ok(largest, at->option[at->options - 1].bytes, &largest))
            return pl_fail(PL_E_WISH, "the items have more than %lld bytes together", (long long)INT64_MAX);
    }
    p->range = largest;
    choose_cell(p);
    return PL_OK;
}

/* ---- segments ---- */

static int compare_segment(const void *a, const void *b)
{
    const segment *x = a, *y = b;
    if (x->slope != y->slope) return x->slope > y->slope ? -1 : 1;
    if (x->item != y->item) return x->item - y->item;
    return x->from - y->from;
}

/* Steepest segments of all hulls until one does not fit: at most one segment short of the optimum. */
static pl_status take_segments(problem *p, int64_t slack)
{
    int count = 0, total = 0;
    for (int m = 0; m < p->count; m++) total += p->merged[m].options;
    segment *list = pl_alloc(pl_max64(total, 1), sizeof *list);
    if (!list) return PL_E_MEMORY;
    for (int m = 0; m < p->count; m++) {
        const kept *option = p->merged[m].option;
        for (int o = 1, from = 0; o < p->merged[m].options; o++) {
            if (!option[o].hull) continue;
            double saved = option[from].loss - option[o].loss, cost = (double)(option[o].bytes - option[from].bytes);
            list[count++] = (segment){ saved / cost, m, from, o };
            from = o;
        }
    }
    qsort(list, (size_t)count, sizeof *list, compare_segment);
    for (int s = 0; s < count; s++) {
        const kept *option = p->merged[list[s].item].option;
        int64_t cost = option[list[s].to].bytes - option[list[s].from].bytes;
        if (cost > slack) break;
        slack -= cost;
        p->greedy[list[s].item] = list[s].to;
    }
    pl_free(list);
    return PL_OK;
}

/* ---- dynamic programming ---- */

/* value [k]: the least loss of the items so far within k cells; pick [item][k]: the last one's option. Costs are
 * rounded up to cells, so that what fits here fits in bytes. */
static pl_status fill_table(problem *p, int64_t slack)
{
    int64_t cells = slack / p->cell;
    uint8_t *pick = pl_alloc(p->count * (cells + 1), sizeof *pick);
    double *value = pl_alloc(cells + 1, sizeof *value), *next = pl_alloc(cells + 1, sizeof *next);
    pl_status code = pick && value && next ? PL_OK : PL_E_MEMORY;
    for (int m = 0; code == PL_OK && m < p->count; m++) {
        const merged *at = &p->merged[m];
        uint8_t *row = pick + m * (cells + 1);
        for (int64_t k = 0; k <= cells; k++) next[k] = value[k] + at->option[0].loss;
        for (int o = 1; o < at->options; o++) {
            int64_t cost = pl_ceil_div(at->option[o].bytes, p->cell);
            for (int64_t k = cost; k <= cells; k++) {
                double loss = value[k - cost] + at->option[o].loss;
                if (loss >= next[k]) continue;
                next[k] = loss;
                row[k] = (uint8_t)o;
            }
        }
        double *swap = value;
        value = next;
        next = swap;
    }
    for (int64_t m = p->count - 1, k = cells; code == PL_OK && m >= 0; m--) {
        p->best[m] = pick[m * (cells + 1) + k];
        k -= pl_ceil_div(p->merged[m].option[p->best[m]].bytes, p->cell);
    }
    pl_free(pick);
    pl_free(value);
    pl_free(next);
    return code;
}

static double total_loss(const problem *p, const int *choice)
{
    double sum = 0;
    for (int m = 0; m < p->count; m++) sum += p->merged[m].option[choice[m]].loss;
    return sum;
}

static pl_status solve(problem *p, int64_t budget, pl_arena *arena, int *choice)
{
    p->merged = PL_ZNEW(arena, merged, p->items);
    p->place = PL_ZNEW(arena, int, p->items);
    p->greedy = PL_ZNEW(arena, int, p->items);
    p->best = PL_ZNEW(arena, int, p->items);
    if (!p->merged || !p->place || !p->greedy || !p->best) return PL_E_MEMORY;
    PL_TRY(merge(p, arena));
    if (p->smallest > budget)
        return pl_fail(PL_E_WISH, "%lld bytes are too few: the smallest possible is %lld", (long long)budget,
                       (long long)p->smallest);
    int64_t slack = budget - p->smallest;
    PL_TRY(take_segments(p, slack));
    /* with room for all there is nothing to weigh: the segments end at every item's last option */
    if (slack < p->range) PL_TRY(fill_table(p, slack));
    const int *best = total_loss(p, p->greedy) < total_loss(p, p->best) ? p->greedy : p->best;
    for (int i = 0; i < p->items; i++) choice[i] = p->merged[p->place[i]].option[best[p->place[i]]].index;
    return PL_OK;
}

pl_status pl_knapsack(const pl_item *item, int items, int64_t budget, int *choice)
{
    problem p = { .item = item, .items = items };
    pl_arena *arena;
    if (items == 0) return PL_OK;
    PL_TRY(pl_arena_create(&arena));
    pl_status code = solve(&p, budget, arena, choice);
    pl_arena_destroy(arena);
    return code;
}
