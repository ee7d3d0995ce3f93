/* groups_fixture.h: what tests of encoders of parts that lie apart share. */
#ifndef TESTS_UNIT_GROUPS_FIXTURE_H
#define TESTS_UNIT_GROUPS_FIXTURE_H

#include "quantizers/groups.h"
#include "tests/unit/run.h"

/* All of w [rows][cols] through pl_groups_encode, the parts one behind another at `to`. */
static inline pl_status encode_rows_to(const float *w, int64_t rows, int64_t cols, pl_type type, pl_mean_costs costs,
                                       pl_nonfinite *nonfinite, bool search, uint8_t *to, pl_packed *p)
{
    pl_arena *arena;
    const pl_input in = { .memory = w, .rows = rows, .cols = cols, .name = "w", .nonfinite = nonfinite };
    assert_ok(pl_packed_init(p, type, rows, cols));
    for (int i = 0; i < p->nparts; to += p->part[i++].bytes) p->part[i].ptr = to;
    assert_ok(pl_arena_create(&arena));
    pl_status code = pl_groups_encode(&in, search, NULL, costs, 0, rows, p, arena);
    pl_arena_destroy(arena);
    return code;
}

#endif
