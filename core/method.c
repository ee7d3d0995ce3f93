/* method.c: looking up methods and grids; parts that all rows share. */
#include "core/method.h"

#include <string.h>

const pl_method *pl_method_find(const pl_method *const *methods, const char *name)
{
    for (; *methods; methods++)
        if (!strcmp((*methods)->name, name)) return *methods;
    return NULL;
}

const pl_grid *pl_grid_find(const pl_grid *const *grids, const pl_type *type, int64_t cols)
{
    for (; *grids; grids++)
        if ((*grids)->span(type, cols) > 0) return *grids;
    return NULL;
}

int pl_step_shared(const pl_step *step)
{
    for (int i = 0; step->method->reach && i < step->out.nparts; i++)
        if (step->out.part[i].stride == 0) return i;
    return -1;
}
