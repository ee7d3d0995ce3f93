/* strip.h: what methods that work through rows share: how many at once, which value was bad. */
#ifndef QUANTIZERS_STRIP_H
#define QUANTIZERS_STRIP_H

#include <math.h>

#include "core/source.h"

/* Values taken at once: as f32, as stored and as encoded they stay in a second-level cache. */
enum { PL_STRIP_VALUES = 1 << 15 };

static inline int64_t pl_strip_rows(int64_t cols, int64_t count)
{
    return pl_min64(count, pl_max64(1, PL_STRIP_VALUES / pl_max64(cols, 1)));
}

/* The row to name in a message: as the source numbers it, or as Hugging Face does if the rows are
 * reordered on the way. */
static inline int64_t pl_strip_source_row(const pl_input *in, int64_t row)
{
    int32_t have = in->source ? in->source->model->tensor[in->tensor].order : 0;
    return have == in->order ? row : pl_order_source(row, in->order);
}

/* Value `at`, counted from row `first`, is NaN or infinite: counted, or PL_E_INPUT. */
static inline pl_status pl_strip_nonfinite(const pl_input *in, int64_t first, int64_t at, float value)
{
    pl_nonfinite *n = in->nonfinite;
    if (n && n->count++ == 0)
        *n = (pl_nonfinite){ 1, in->name, pl_strip_source_row(in, first + at / in->cols), at % in->cols, value };
    if (n) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s%stensor '%s' row %lld column %lld is %s", in->source ? in->source->path : "",
                   in->source ? ": " : "", in->name, (long long)pl_strip_source_row(in, first + at / in->cols),
                   (long long)(at % in->cols), pl_nonfinite_name(value));
}

/* The first of w that is larger than `limit`, or -1. */
static inline int64_t pl_strip_find_larger(const float *w, int64_t n, float limit)
{
    enum { AT_ONCE = 1024 };
    for (int64_t i = 0; limit < INFINITY && i < n; i += AT_ONCE) {
        int64_t end = pl_min64(i + AT_ONCE, n), larger = 0;
        for (int64_t j = i; j < end; j++) larger |= fabsf(w[j]) > limit;
        for (int64_t j = i; larger && j < end; j++)
            if (fabsf(w[j]) > limit) return j;
    }
    return -1;
}

#endif
