/* registry.c: the formats there are. */
#include "formats/registry.h"

const pl_source_ops *const pl_sources[] = { &pl_source_pack, &pl_source_gguf, &pl_source_hf, NULL };
const pl_sink_ops *const pl_sinks[] = {
    &pl_sink_gguf, &pl_sink_mlx, &pl_sink_dense, &pl_sink_ct, &pl_sink_gptq, &pl_sink_gptq_v2, &pl_sink_awq,
    &pl_sink_pack, &pl_sink_count, &pl_sink_digest, NULL,
};
pl_merge_seal *const pl_seals[] = { pl_pack_seal, NULL };
