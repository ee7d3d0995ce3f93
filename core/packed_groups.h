/* packed_groups.h: names of the schemes affine and ints, for packed.c. */
#ifndef CORE_PACKED_GROUPS_H
#define CORE_PACKED_GROUPS_H

#include "core/packed.h"

/* "affine4-g64", "int8": is it such a name, of a type that can be written? The scale's type is left open. */
bool pl_type_parse_groups(const char *name, pl_type *out);
/* What it takes, for lists of names. */
extern const char pl_type_groups_list[];
/* "uint4-g128" where zero points are stored. */
void pl_type_name_groups(const pl_type *type, char *out, size_t size);

#endif
