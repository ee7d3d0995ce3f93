/* affine_avx2.c: affine types with AVX2. */
#define PL_LANES 8
#include "quantizers/affine_lanes.h"

void pl_group_encoders_affine_avx2(pl_group_encoders *list) { affine_list(list); }
