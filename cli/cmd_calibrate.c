/* cmd_calibrate.c: planish calibrate. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/opts.h"
#include "core/fs.h"
#include "core/log.h"
#include "runtime-check/calibrate.h"

static const pl_usage usage = {
    .command = "calibrate",
    .arguments = "MODEL --calib FILE -o OUT.gguf [options]",
    .summary = "Runs a model over a text and writes what its matrices are multiplied by: for each input column\n"
               "the sum of squares, in the form that llama-quantize reads too (--imatrix). 'convert --stats'\n"
               "then spends its bits where they matter. Partial sums are kept in OUT.gguf.journal: the same\n"
               "command goes on where an interrupted one stopped, with the same result.",
    .example = "  planish calibrate SmolLM2-135M --calib calibration.txt --tokens 65536 -o smol.stats.gguf\n"
               "  planish convert SmolLM2-135M -o smol.gguf --type q4_k_m --stats smol.stats.gguf",
    .positional = 1,
};

typedef struct arguments {
    const char *model, *out, *pre;
    int32_t threads, bos;
    bool json;
    char journal[PATH_MAX];
    pl_calibrate_options calibrate;
} arguments;

static pl_status parse(int argc, const char **argv, arguments *a, bool *help)
{
    pl_calibrate_options *c = &a->calibrate;
    int32_t tokens = 0;
    const pl_opt opts[] = {
        { "output", 'o', PL_OPT_TEXT, &a->out, "OUT.gguf", "where to write; there is a whole file or none", 0, 0, NULL },
        { "calib", 0, PL_OPT_TEXT, &c->text, "FILE", "text to run", 0, 0, NULL },
        { "tokens", 'n', PL_OPT_INT, &tokens, "N", "at most so many tokens, in whole windows (default: the whole text)", 1, INT32_MAX, NULL },
        { "ctx", 'c', PL_OPT_INT, &c->ctx, "N", "tokens per window (default 512)", 8, 1 << 20, NULL },
        { "bos", 0, PL_OPT_CHOICE, &a->bos, NULL, "begin windows with the BOS token (auto: as the vocabulary says)", 0, 0, "auto|always|never" },
        { "with-output", 0, PL_OPT_FLAG, &c->output, NULL, "also measure the input of the output matrix", 0, 0, NULL },
        { "force", 0, PL_OPT_FLAG, &c->force, NULL, "replace an existing file, and the journal of another run", 0, 0, NULL },
        { "pre", 0, PL_OPT_TEXT, &a->pre, "NAME", "pre-tokenizer of the vocabulary, if its files do not tell", 0, 0, NULL },
        { "threads", 'j', PL_OPT_INT, &a->threads, "N", "threads (default: one per processor); the result does not depend on it", 1, PL_MAX_THREADS, NULL },
        { "json", 0, PL_OPT_FLAG, &a->json, NULL, "print what was done as JSON (docs/calibrate.md)", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &a->model, help));
    if (*help) return PL_OK;
    if (!c->text) return pl_fail(PL_E_WISH, "no --calib given to run");
    if (!a->out) return pl_fail(PL_E_WISH, "no -o OUT.gguf given to write to");
    c->tokens = tokens;
    c->bos = (pl_bos)a->bos;
    c->journal = a->journal;
    int len = snprintf(a->journal, sizeof a->journal, "%s.journal", a->out);
    if (len >= (int)sizeof a->journal) return pl_fail(PL_E_WISH, "the name '%s' is too long", a->out);
    return PL_OK;
}

/* Nobody should learn after hours that the result cannot be written. */
static pl_status check_out(const arguments *a, const pl_source *model)
{
    pl_outfile *file;
    for (int i = 0; i <= model->files; i++) {
        const char *input = i < model->files ? model->file[i] : a->calibrate.text;
        PL_TRY(pl_path_apart("output", a->out, input));
        PL_TRY(pl_path_apart("journal", a->journal, input));
    }
    PL_TRY(pl_outfile_create(a->out, 0, a->calibrate.force, &file));
    pl_outfile_abandon(file);
    return PL_OK;
}

static pl_status report(const arguments *a, const pl_calibrate_result *r)
{
    char tokens[32];
    if (r->unseen)
        pl_log(PL_LOG_WARN, "no row came to %d of %d matrices: of their experts nothing is known", r->unseen,
               r->matrices);
    if (a->json) {
        char *text;
        PL_TRY(pl_calibrate_json(r, &text));
        pl_status code = pl_ui_json(text, "-");
        pl_free(text);
        return code;
    }
    pl_ui_print("%s: inputs of %d matrices over %s tokens in %d window%s of %d\n", a->out, r->matrices,
                pl_ui_count((int64_t)r->windows * r->options.ctx, tokens), r->windows, r->windows == 1 ? "" : "s",
                r->options.ctx);
    return PL_OK;
}

static pl_status run(int argc, const char **argv)
{
    bool help;
    arguments a = { .calibrate = { .ctx = 512 } };
    PL_TRY(parse(argc, argv, &a, &help));
    if (help) return PL_OK;
    const pl_open_options how = { .how = PL_OPEN_MAP, .pre = a.pre };
    pl_source *model = NULL;
    pl_pool *pool = NULL;
    pl_arena *arena = NULL;
    pl_calibrate_result result;
    pl_status code = pl_wire_open(a.model, &how, &model);
    if (code == PL_OK) code = check_out(&a, model);
    if (code == PL_OK) code = pl_pool_create(a.threads, &pool);
    if (code == PL_OK) code = pl_arena_create(&arena);
    if (code == PL_OK) code = pl_calibrate_run(model, &a.calibrate, pool, arena, &result);
    if (code == PL_OK) code = pl_wire_stats_save(a.out, &result.stats, model->model, a.calibrate.force);
    if (code == PL_OK) unlink(a.journal);
    if (code == PL_OK) code = report(&a, &result);
    pl_arena_destroy(arena);
    pl_pool_destroy(pool);
    pl_source_close(model);
    return code;
}

const pl_command pl_cmd_calibrate = { "calibrate", "measure what a model's matrices are multiplied by", run };
