/* micro.c: mxfp4, mxfp8 and nvfp4 as MLX keeps them in plain C (the definition). */
#include "quantizers/micro_lanes.h"

void pl_group_encoders_micro(pl_group_encoders *list) { micro_list(list); }
