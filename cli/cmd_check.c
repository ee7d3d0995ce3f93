/* cmd_check.c: planish check. */
#include <math.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/opts.h"
#include "core/fs.h"
#include "runtime-check/check.h"

static const pl_usage usage = {
    .command = "check",
    .arguments = "OUT.gguf --against MODEL --text FILE [options]",
    .summary = "Runs a packed model and its original over the same text, side by side, and reports\n"
               "perplexity, KL divergence, agreement, size and speed. Thresholds make it a gate: exit code 1\n"
               "when one is missed. Without --against it reports perplexity alone.",
    .example = "  planish check smol.gguf --against SmolLM2-135M --text wikitext2-test.txt --chunks 16 --max-kld 0.1",
    .positional = 1,
};

/* "missing" for values that were not measured. */
static const char *number(double value, const char *format, char *out, size_t size)
{
    if (isnan(value)) snprintf(out, size, "-");
    else {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(out, size, format, value);
#pragma GCC diagnostic pop
    }
    return out;
}

static pl_status row(pl_table *table, const char *name, double value, const char *format,
                     const char *meaning)
{
    char text[48];
    return pl_table_row(table, (const char *[]){ name, number(value, format, text, sizeof text), meaning });
}

static pl_status print_result(const pl_check_result *r)
{
    char size[24], note[96];
    pl_table *table;
    bool both = r->against != NULL;
    PL_TRY(pl_table_create(3, (bool[]){ false, true, false }, &table));
    snprintf(note, sizeof note, "+- %.4f, %lld tokens in %d windows of %d", r->ppl_err,
             (long long)r->tokens_scored, r->chunks, r->options.ctx);
    pl_status code = row(table, "perplexity", r->ppl, "%.4f", note);
    if (code == PL_OK && both) code = row(table, "of the original", r->ppl_base, "%.4f", "exact arithmetic on the original weights");
    if (code == PL_OK && both) code = row(table, "ratio", r->ppl_ratio, "%.5f", "1 is no loss");
    snprintf(note, sizeof note, "nats, +- %.2g; original against itself: %.1g", r->kld_err, r->kld_floor);
    if (code == PL_OK && both) code = row(table, "KL divergence", r->kld_mean, "%.6f", note);
    if (code == PL_OK && both) code = row(table, "  median", r->kld_median, "%.6f", "");
    if (code == PL_OK && both) code = row(table, "  99 %", r->kld_p99, "%.6f", "");
    if (code == PL_OK && both) code = row(table, "  largest", r->kld_max, "%.6f", "");
    if (code == PL_OK && both) code = row(table, "same top token", r->top1, "%.2f %%", "");
    if (code == PL_OK && both) code = row(table, "RMS change of p", r->rms_dp, "%.3f %%", "of the true token's probability");
    if (code == PL_OK) code = row(table, "bits per weight", r->bpw_body, "%.3f", "in the blocks");
    snprintf(note, sizeof note, "over the whole file of %s", pl_ui_bytes(r->size_bytes, size));
    if (code == PL_OK) code = row(table, "", r->bpw_file, "%.3f", note);
    snprintf(note, sizeof note, "tokens/s reading, %.1f writing (%s mode, %d threads)", r->tg_tps,
             r->options.mode == PL_MODE_EXACT ? "exact" : "fast", r->threads);
    if (code == PL_OK) code = row(table, "speed", r->pp_tps, "%.1f", note);
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    for (int i = 0; i < r->missed_count; i++) pl_ui_print("missed: %s\n", r->missed[i]);
    pl_ui_print("%s\n", r->passed ? "passed" : "FAILED");
    return code;
}

typedef struct arguments {
    const char *model, *against, *json;
    int32_t threads, protocol, bos, mode;
    pl_check_options check;
} arguments;

static pl_status parse(int argc, const char **argv, arguments *a, bool *help)
{
    pl_check_options *c = &a->check;
    const pl_opt opts[] = {
        { "against", 'a', PL_OPT_TEXT, &a->against, "MODEL", "the original", 0, 0, NULL },
        { "text", 0, PL_OPT_TEXT, &c->text, "FILE", "text to measure on", 0, 0, NULL },
        { "ctx", 'c', PL_OPT_INT, &c->ctx, "N", "tokens per window (default 512)", 8, 1 << 20, NULL },
        { "chunks", 0, PL_OPT_INT, &c->chunks, "N", "windows (default: all the text has)", 1, 1 << 30, NULL },
        { "protocol", 0, PL_OPT_CHOICE, &a->protocol, NULL, "lcpp scores the second half of each window, as llama-perplexity does", 0, 0, "lcpp|full" },
        { "bos", 0, PL_OPT_CHOICE, &a->bos, NULL, "begin windows with the BOS token (auto: as the vocabulary says)", 0, 0, "auto|always|never" },
        { "mode", 0, PL_OPT_CHOICE, &a->mode, NULL, "exact arithmetic (default), or 8-bit activations as deployed", 0, 0, "exact|fast" },
        { "max-ppl-ratio", 0, PL_OPT_REAL, &c->max_ppl_ratio, "R", "fail above this perplexity ratio", 0, 1e9, NULL },
        { "max-kld", 0, PL_OPT_REAL, &c->max_kld, "X", "fail above this mean KL divergence", 0, 1e9, NULL },
        { "min-top1", 0, PL_OPT_REAL, &c->min_top1, "P", "fail below this percentage of equal top tokens", 0, 100, NULL },
        { "threads", 'j', PL_OPT_INT, &a->threads, "N", "threads (default: one per processor)", 1, PL_MAX_THREADS, NULL },
        { "json", 0, PL_OPT_TEXT, &a->json, "FILE", "write the report (docs/report.md); - prints it instead of the table", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &a->model, help));
    if (*help) return PL_OK;
    if (!c->text) return pl_fail(PL_E_WISH, "no --text given to measure on");
    if (!a->against && !(isnan(c->max_ppl_ratio) && isnan(c->max_kld) && isnan(c->min_top1)))
        return pl_fail(PL_E_WISH, "thresholds compare with the original: --against is missing");
    c->protocol = (pl_protocol)a->protocol;
    c->bos = (pl_bos)a->bos;
    c->mode = (pl_mode)a->mode;
    return PL_OK;
}

static pl_status report(const arguments *a, const pl_check_result *result)
{
    if (!a->json) return print_result(result);
    pl_json *json;
    PL_TRY(pl_check_json(result, &json));
    pl_status code = pl_ui_json(json, a->json);
    pl_json_free(json);
    if (code == PL_OK && a->json[0] != '-') code = print_result(result);
    return code;
}

static pl_status run(int argc, const char **argv)
{
    bool help;
    arguments a = { .check = { .ctx = 512, .max_ppl_ratio = NAN, .max_kld = NAN, .min_top1 = NAN } };
    PL_TRY(parse(argc, argv, &a, &help));
    if (help) return PL_OK;
    pl_source *model = NULL, *against = NULL;
    pl_pool *pool = NULL;
    pl_check_result result;
    pl_status code = pl_wire_open(a.model, PL_OPEN_MAP, &model);
    if (code == PL_OK && a.against) code = pl_wire_open(a.against, PL_OPEN_MAP, &against);
    if (code == PL_OK) code = pl_pool_create(a.threads, &pool);
    if (code == PL_OK) code = pl_check_run(model, against, &a.check, pool, &result);
    if (code == PL_OK) code = report(&a, &result);
    if (code == PL_OK && !result.passed) code = PL_E_CHECK;
    pl_pool_destroy(pool);
    pl_source_close(against);
    pl_source_close(model);
    return code;
}

const pl_command pl_cmd_check = { "check", "measure what a packed model lost, against its original", run };
