/* cmd_run.c: planish run. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/opts.h"
#include "cli/streamed.h"
#include "core/log.h"
#include "runtime-check/check.h"

static const pl_usage usage = {
    .command = "run",
    .arguments = "MODEL -p \"prompt\" [options]",
    .summary = "Continues a prompt, token by token: the eye test.",
    .example = "  planish run smol.gguf -p \"Once upon a time\" -n 64",
    .positional = 1,
};

/* ctx: the prompt, printed before the first piece, when nothing can go wrong with it any more. */
static void print_piece(void *ctx, const char *bytes, int len)
{
    const char **prompt = ctx;
    if (*prompt) pl_ui_print("%s", *prompt);
    *prompt = NULL;
    fwrite(bytes, 1, (size_t)len, stdout);
    fflush(stdout);
}

static pl_status run(int argc, const char **argv)
{
    bool help;
    const char *path;
    int32_t threads = 0, mode = 0;
    const char *pre = NULL;
    int64_t resident = 0;
    pl_generate_options o = { .tokens = 128 };
    const pl_opt opts[] = {
        { "prompt", 'p', PL_OPT_TEXT, &o.prompt, "TEXT", "text to continue", 0, 0, NULL },
        { "tokens", 'n', PL_OPT_INT, &o.tokens, "N", "most new tokens (default 128)", 1, 1 << 20, NULL },
        { "temp", 0, PL_OPT_REAL, &o.temperature, "T", "0 takes the likeliest token (default), 1 draws as the model says", 0, 100, NULL },
        { "seed", 0, PL_OPT_SEED, &o.seed, "S", "of the draws (default 0)", 0, 0, NULL },
        { "ctx", 'c', PL_OPT_INT, &o.ctx, "N", "most positions (default: the model's, at most 4096)", 8, 1 << 20, NULL },
        { "mode", 0, PL_OPT_CHOICE, &mode, NULL, "8-bit activations (default), or exact arithmetic", 0, 0, "fast|exact" },
        { "pre", 0, PL_OPT_TEXT, &pre, "NAME", "pre-tokenizer of the vocabulary, if its files do not tell", 0, 0, NULL },
        PL_RESIDENT_OPTION(&resident),
        { "threads", 'j', PL_OPT_INT, &threads, "N", "threads (default: one per processor)", 1, PL_MAX_THREADS, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &path, &help));
    if (help) return PL_OK;
    if (!o.prompt) return pl_fail(PL_E_WISH, "no prompt given: -p \"Once upon a time\"");
    o.mode = mode == 0 ? PL_MODE_FAST : PL_MODE_EXACT;
    pl_source *model = NULL;
    pl_pool *pool = NULL;
    pl_generate_stats stats;
    const pl_open_options how = pl_cli_engine(pre, resident);
    pl_status code = pl_wire_open(path, &how, &model);
    if (code == PL_OK) code = pl_pool_create(threads, &pool);
    const char *prompt = o.prompt;
    if (code == PL_OK) code = pl_generate(model, &o, pool, print_piece, &prompt, &stats);
    if (code == PL_OK || !prompt) pl_ui_print("%s\n", prompt ? prompt : "");
    if (code == PL_OK) code = pl_ui_flush();    /* the text before the figures on the other stream */
    /* Logits that are not finite end a run with 1, as they end a check, but no table says why. */
    if (code == PL_E_CHECK) pl_log(PL_LOG_ERROR, "%s", pl_error());
    if (code == PL_OK)
        fprintf(stderr, "%d prompt tokens at %.1f/s, %d new ones at %.1f/s\n", stats.prompt_tokens,
                stats.pp_tps, stats.new_tokens, stats.tg_tps);
    if (code == PL_OK) pl_cli_streamed(model);
    pl_pool_destroy(pool);
    pl_source_close(model);
    return code;
}

const pl_command pl_cmd_run = { "run", "continue a prompt with a model", run };
