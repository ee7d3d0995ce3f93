/* wire.c: the only file that names the leaves together. */
#include "cli/cli.h"
#include "core/log.h"
#include "formats/imatrix.h"
#include "formats/registry.h"
#include "quantizers/registry.h"

const pl_registries pl_wire_registries = { pl_methods, pl_grids };

pl_status pl_wire_open(const char *path, const pl_open_options *options, pl_source **out)
{
    return pl_source_open(pl_sources, path, options, out);
}

pl_status pl_wire_sink(const char *name, pl_sink **out)
{
    *out = NULL;
    const pl_sink_ops *ops = pl_sink_find(pl_sinks, name);
    if (!ops)
        return pl_fail(PL_E_WISH, "unknown output format '%s'; known are gguf, pack, mlx, dense, compressed-tensors, "
                       "gptq, gptq-v2, awq, digest, count", name);
    return pl_sink_create(ops, out);
}

pl_digest pl_wire_sink_digest(const pl_sink *sink) { return pl_sink_digest_value(sink); }

pl_status pl_wire_merge(const char *path, const char *const *part, int parts, bool force, pl_merge_result *result)
{
    return pl_merge_shares(path, part, parts, force, pl_seals, result);
}

pl_status pl_wire_stats(const char *path, const pl_model *model, pl_arena *arena, pl_stats **out)
{
    PL_TRY(pl_imatrix_load(path, model, arena, out));
    int all, missing = pl_imatrix_missing(*out, model, &all);
    if (missing)
        pl_log(PL_LOG_WARN, "%s: no statistics for %d of the %d matrices of the model's blocks", path, missing, all);
    return PL_OK;
}

pl_status pl_wire_stats_save(const char *path, const pl_stats *stats, const pl_model *model, bool force)
{
    return pl_imatrix_save(path, stats, model, force);
}
