/* affine_avx512.c: affine types with AVX-512. */
#define PL_LANES 16
#include "quantizers/affine_lanes.h"

void pl_group_encoders_affine_avx512(pl_group_encoders *list) { affine_list(list); }
