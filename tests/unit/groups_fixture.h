/* groups_fixture.h: what tests of encoders of parts that lie apart share. */
#ifndef TESTS_UNIT_GROUPS_FIXTURE_H
#define TESTS_UNIT_GROUPS_FIXTURE_H

#include "core/rng.h"
#include "quantizers/groups.h"
#include "tests/unit/run.h"

enum { ROWS = 5, COLS = 384, COUNT = ROWS * COLS, BYTES = COUNT * 5 };

static float w[COUNT], h[COLS], value[COUNT], again[COUNT];

/* 0: all 1; spread widely; nearly all in few columns, the rest none. */
static inline const float *fill_importance(uint64_t seed, int kind)
{
    for (uint64_t i = 0; i < COLS; i++) {
        float x = (float)pl_rng_normal(seed, 5, i);
        h[i] = kind == 1 ? x * x + 0.01f : i % 29 ? 0.0f : 2.0f;
    }
    return kind ? h : NULL;
}

/* Sum of squares, of values from .. from+n-1 of w. */
static inline double error_of(const float *decoded, const float *importance, int64_t from, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = from; i < from + n; i++) {
        double difference = (double)w[i] - (double)decoded[i];
        sum += (importance ? (double)importance[i % COLS] : 1.0) * difference * difference;
    }
    return sum;
}

/* Parts of `type` one after the other; scales that are floats are of the type of the weights. */
static inline pl_packed encode(pl_type type, const float *from, const float *importance, int64_t rows, int64_t cols,
                               bool search, uint8_t *out)
{
    pl_packed p;
    assert_ok(pl_packed_init(&p, type, rows, cols));
    ck_assert_int_le(pl_packed_bytes(&p), BYTES);
    memset(out, 0xee, BYTES);
    pl_group_rows r = { .type = &p.type, .source = pl_dtype_is_float(type.scale) ? type.scale : &pl_dtypes[PL_BF16],
                        .w = from, .h = importance, .rows = rows, .cols = cols };
    int64_t at = 0;
    for (int i = 0; i < p.nparts; at += p.part[i++].bytes) p.part[i].ptr = r.part[i] = out + at;
    pl_groups_encoder(&type, search)(&r);
    return p;
}

/* All of w through pl_groups_encode, the parts one behind another at `to`. */
static inline pl_status encode_rows_to(pl_type type, pl_mean_costs costs, pl_nonfinite *nonfinite, bool search,
                                       uint8_t *to, pl_packed *p)
{
    pl_arena *arena;
    const pl_input in = { .memory = w, .rows = ROWS, .cols = COLS, .name = "w", .nonfinite = nonfinite };
    assert_ok(pl_packed_init(p, type, ROWS, COLS));
    for (int i = 0; i < p->nparts; to += p->part[i++].bytes) p->part[i].ptr = to;
    assert_ok(pl_arena_create(&arena));
    pl_status code = pl_groups_encode(&in, search, NULL, costs, 0, ROWS, p, arena);
    pl_arena_destroy(arena);
    return code;
}

#endif
