/* registry.h: the methods and grids there are; lists end with NULL. */
#ifndef QUANTIZERS_REGISTRY_H
#define QUANTIZERS_REGISTRY_H

#include "core/method.h"

extern const pl_method pl_method_rtn, pl_method_copy;
extern const pl_grid pl_grid_q8_0, pl_grid_q4_0, pl_grid_q4_1, pl_grid_q5_0, pl_grid_q5_1;

extern const pl_method *const pl_methods[];
extern const pl_grid *const pl_grids[];

/* Encoders of whole rows without importance, by dtype; filled per instruction set so that tests can
 * compare any variant with the definition (fit + snap + pack). */
typedef struct pl_encoders {
    void (*encode[PL_DTYPES])(const float *w, int64_t count, uint8_t *out);
} pl_encoders;
void pl_encoders_init(pl_encoders *list, unsigned cpu_flags);

#endif
