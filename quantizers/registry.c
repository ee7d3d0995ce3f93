/* registry.c: the methods and grids there are. A new one is a line here. */
#include "quantizers/registry.h"

#include <assert.h>

const pl_method *const pl_methods[] = { &pl_method_best, &pl_method_rtn, &pl_method_copy, NULL };

const pl_grid *const pl_grids[] = {
    &pl_grid_q8_0, &pl_grid_q4_0, &pl_grid_q4_1, &pl_grid_q5_0, &pl_grid_q5_1, NULL
};

void pl_grid_encode(const pl_grid *grid, const pl_type *type, const float *w, int64_t count,
                    uint8_t *out)
{
    uint8_t codes[256];
    int span = grid->span(type, count);
    assert(span > 0 && span <= PL_COUNT(codes));
    int64_t bytes = (int64_t)span / type->element->block * type->element->bytes;
    for (int64_t i = 0; i < count; i += span, w += span, out += bytes) {
        pl_fit fit;
        grid->fit(type, 1.0f, w, NULL, NULL, span, &fit);
        for (int j = 0; j < span; j++) grid->snap(&fit, j, w[j], &codes[j]);
        grid->pack(type, codes, &fit, span, out);
    }
}
