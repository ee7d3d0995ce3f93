/* cmd_merge.c: planish merge. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/opts.h"

static const pl_usage usage = {
    .command = "merge",
    .arguments = "OUT PART... [options]",
    .summary = "Joins what 'planish convert --part i/N' made into the output that one conversion would have\n"
               "made, byte by byte. All N parts must be named, in any order, by their journals: these say\n"
               "whether the parts are of one conversion and complete. The parts stay.",
    .example = "  planish convert SmolLM2-135M -o smol.gguf --type q4_k_m --part 1/2\n"
               "  planish convert SmolLM2-135M -o smol.gguf --type q4_k_m --part 2/2\n"
               "  planish merge smol.gguf smol.gguf.part-*.journal",
    .positional = 2,
    .most = 1 + PL_MAX_SHARES,
};

static pl_status run(int argc, const char **argv)
{
    static const char *path[1 + PL_MAX_SHARES];
    bool force = false, help;
    const pl_opt opts[] = {
        { "force", 'f', PL_OPT_FLAG, &force, NULL, "replace an existing output", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), path, &help));
    if (help) return PL_OK;
    int parts = 0;
    while (parts < PL_MAX_SHARES && path[1 + parts]) parts++;
    pl_merge_result result;
    PL_TRY(pl_wire_merge(path[0], path + 1, parts, force, &result));
    char bytes[24], more[32] = "";
    if (result.files > 1) snprintf(more, sizeof more, " in %d files", result.files);
    pl_ui_print("wrote %s: %s%s from %d parts\n", path[0], pl_ui_bytes(result.bytes, bytes), more, parts);
    return PL_OK;
}

const pl_command pl_cmd_merge = { "merge", "join what conversions of parts have made", run };
