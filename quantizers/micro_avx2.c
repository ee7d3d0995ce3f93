/* micro_avx2.c: mxfp4, mxfp8 and nvfp4 as MLX keeps them with AVX2. */
#define PL_LANES 8
#include "quantizers/micro_lanes.h"

void pl_group_encoders_micro_avx2(pl_group_encoders *list) { micro_list(list); }
