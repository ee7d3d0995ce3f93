/* registry.h: the formats there are; lists end with NULL. */
#ifndef FORMATS_REGISTRY_H
#define FORMATS_REGISTRY_H

#include "core/merge.h"
#include "core/sink.h"

extern const pl_source_ops pl_source_gguf, pl_source_hf, pl_source_pack;
extern const pl_sink_ops pl_sink_gguf, pl_sink_mlx, pl_sink_dense, pl_sink_ct, pl_sink_gptq, pl_sink_gptq_v2,
    pl_sink_awq, pl_sink_pack, pl_sink_count, pl_sink_digest;

extern const pl_source_ops *const pl_sources[];
extern const pl_sink_ops *const pl_sinks[];

/* Of merged shares. */
extern pl_merge_seal pl_pack_seal;
extern pl_merge_seal *const pl_seals[];

/* Of the digest sink, after finish: one number over every part's bytes in plan order. */
pl_digest pl_sink_digest_value(const pl_sink *s);

#endif
