/* affine_neon.c: affine types with NEON. */
#define PL_LANES 4
#include "quantizers/affine_lanes.h"

void pl_group_encoders_affine_neon(pl_group_encoders *list) { affine_list(list); }
