/* micro_neon.c: mxfp4, mxfp8 and nvfp4 as MLX keeps them with NEON. */
#define PL_LANES 4
#include "quantizers/micro_lanes.h"

void pl_group_encoders_micro_neon(pl_group_encoders *list) { micro_list(list); }
