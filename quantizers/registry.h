/* registry.h: the methods and grids there are; lists end with NULL. */
#ifndef QUANTIZERS_REGISTRY_H
#define QUANTIZERS_REGISTRY_H

#include "core/method.h"

extern const pl_method pl_method_best, pl_method_rtn, pl_method_copy;
extern const pl_grid pl_grid_q8_0, pl_grid_q4_0, pl_grid_q4_1, pl_grid_q5_0, pl_grid_q5_1;

extern const pl_method *const pl_methods[];
extern const pl_grid *const pl_grids[];

/* fit + snap + pack of `count` values (whole spans) without importance: the definition of
 * grid->encode, and what stands in for it where a grid has none. */
void pl_grid_encode(const pl_grid *grid, const pl_type *type, const float *w, int64_t count,
                    uint8_t *out);

/* Encoders of whole rows without importance, by dtype; filled per instruction set so that tests can
 * compare any variant with the definition (fit + snap + pack). */
typedef struct pl_encoders {
    void (*encode[PL_DTYPES])(const float *w, int64_t count, uint8_t *out);
} pl_encoders;
void pl_encoders_init(pl_encoders *list, unsigned cpu_flags);
void pl_encoders_avx2(pl_encoders *list);       /* parts of it: each replaces what it does faster */
void pl_encoders_avx512(pl_encoders *list);
void pl_encoders_neon(pl_encoders *list);

#endif
