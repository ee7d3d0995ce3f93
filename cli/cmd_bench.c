/* cmd_bench.c: planish bench. */
#include "cli/cli.h"
#include "cli/opts.h"
#include "cli/streamed.h"
#include "runtime-check/check.h"

static const pl_usage usage = {
    .command = "bench",
    .arguments = "MODEL [options]",
    .summary = "Measures tokens per second: reading a prompt in one batch (pp) and writing one token after\n"
               "another from an empty cache (tg), beside the memory bandwidth of this machine.",
    .example = "  planish bench smol.gguf --pp 512 --tg 64",
    .positional = 1,
};

static void print_result(const pl_bench_options *o, const pl_bench_result *r)
{
    char bytes[24];
    pl_ui_print("pp%d:  %.1f tokens/s (spread %.1f %%)\n", o->pp, r->pp_tps, 100 * r->pp_spread);
    pl_ui_print("tg%d:  %.1f tokens/s (spread %.1f %%)\n", o->tg, r->tg_tps, 100 * r->tg_spread);
    pl_ui_print("tg reads %s per token: %.2f GB/s, %.0f %% of the %.2f GB/s this machine reads\n",
                pl_ui_bytes(r->tg_bytes_per_token, bytes), r->tg_gbps, 100 * r->tg_bandwidth_share,
                r->read_gbps);
    pl_ui_print("%d thread%s, median of %d runs\n", r->threads, r->threads == 1 ? "" : "s", o->repeats);
}

static pl_status run(int argc, const char **argv)
{
    bool help, as_json = false;
    const char *path;
    int32_t threads = 0, mode = 0;
    int64_t resident = 0;
    const char *pre = NULL;
    pl_bench_options o = { .pp = 512, .tg = 64, .repeats = 5 };
    const pl_opt opts[] = {
        { "pp", 0, PL_OPT_INT, &o.pp, "N", "prompt tokens (default 512)", 1, 1 << 20, NULL },
        { "tg", 0, PL_OPT_INT, &o.tg, "N", "written tokens (default 64)", 1, 1 << 20, NULL },
        { "repeats", 0, PL_OPT_INT, &o.repeats, "N", "timed runs after a warm-up (default 5)", 1, 1000, NULL },
        { "mode", 0, PL_OPT_CHOICE, &mode, NULL, "8-bit activations (default), or exact arithmetic", 0, 0, "fast|exact" },
        { "pre", 0, PL_OPT_TEXT, &pre, "NAME", "pre-tokenizer of the vocabulary, if its files do not tell", 0, 0, NULL },
        PL_RESIDENT_OPTION(&resident),
        { "threads", 'j', PL_OPT_INT, &threads, "N", "threads (default: one per processor)", 1, PL_MAX_THREADS, NULL },
        { "json", 0, PL_OPT_FLAG, &as_json, NULL, "print JSON", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &path, &help));
    if (help) return PL_OK;
    o.mode = mode == 0 ? PL_MODE_FAST : PL_MODE_EXACT;
    pl_source *model = NULL;
    pl_pool *pool = NULL;
    pl_bench_result result;
    const pl_open_options how = pl_cli_engine(pre, resident);
    pl_status code = pl_wire_open(path, &how, &model);
    if (code == PL_OK) code = pl_pool_create(threads, &pool);
    if (code == PL_OK) code = pl_bench_run(model, &o, pool, &result);
    if (code == PL_OK && as_json) {
        char *text;
        code = pl_bench_json(&result, &text);
        if (code == PL_OK) code = pl_ui_json(text, "-");
        pl_free(text);
    } else if (code == PL_OK) {
        print_result(&o, &result);
    }
    if (code == PL_OK) pl_cli_streamed(model);
    pl_pool_destroy(pool);
    pl_source_close(model);
    return code;
}

const pl_command pl_cmd_bench = { "bench", "measure tokens per second", run };
