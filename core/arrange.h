/* arrange.h: layouts by which matrices can be stored in packs, by name: for kernels that want them so. */
#ifndef CORE_ARRANGE_H
#define CORE_ARRANGE_H

#include "core/layout_fields.h"
#include "core/packed.h"

/* "marlin, rows4, ..." for help and errors. */
const char *pl_arrange_list(void);
bool pl_arrange_known(const char *name);
/* Rows of a matrix of this type and shape that are arranged together: its rows are a multiple of them. 0: this layout
 * has nothing to say of it, or its shape does not fit. */
int32_t pl_arrange_band(const char *name, const pl_packed *p);
/* The arrangement of one part of such a matrix, or of one or more bands of it. out->fields 0: the part stays as it is.
 * */
pl_status pl_arrange_part(const char *name, const pl_packed *p, int part, pl_arrangement *out);

#endif
