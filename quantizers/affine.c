/* affine.c: affine types in plain C (the definition). */
#include "quantizers/affine_lanes.h"

void pl_group_encoders_affine(pl_group_encoders *list) { affine_list(list); }
