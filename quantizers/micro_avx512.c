/* micro_avx512.c: mxfp4, mxfp8 and nvfp4 as MLX keeps them with AVX-512. */
#define PL_LANES 16
#include "quantizers/micro_lanes.h"

void pl_group_encoders_micro_avx512(pl_group_encoders *list) { micro_list(list); }
