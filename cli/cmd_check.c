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
               "when one is missed. Without --against it reports perplexity alone. Encoders are judged by the\n"
               "cosine of their embeddings.",
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

/* What was lost in predictions of the next token. */
static pl_status predictions(pl_table *table, const pl_check_result *r)
{
    char note[96];
    snprintf(note, sizeof note, "+- %.4f, %lld tokens in %d windows of %d", r->ppl_err,
             (long long)r->tokens_scored, r->chunks, r->options.ctx);
    PL_TRY(row(table, "perplexity", r->ppl, "%.4f", note));
    if (!r->against) return PL_OK;
    PL_TRY(row(table, "of the original", r->ppl_base, "%.4f", "exact arithmetic on the original weights"));
    PL_TRY(row(table, "ratio", r->ppl_ratio, "%.5f", "1 is no loss"));
    snprintf(note, sizeof note, "nats, +- %.2g; original against itself: %.1g", r->kld_err, r->kld_floor);
    PL_TRY(row(table, "KL divergence", r->kld_mean, "%.6f", note));
    PL_TRY(row(table, "  median", r->kld_median, "%.6f", ""));
    PL_TRY(row(table, "  99 %", r->kld_p99, "%.6f", ""));
    PL_TRY(row(table, "  largest", r->kld_max, "%.6f", ""));
    PL_TRY(row(table, "same top token", r->top1, "%.2f %%", ""));
    return row(table, "RMS change of p", r->rms_dp, "%.3f %%", "of the true token's probability");
}

/* What was lost in an encoder's embeddings. */
static pl_status embeddings(pl_table *table, const pl_check_result *r)
{
    char note[96];
    snprintf(note, sizeof note, "%d passages, %lld tokens; 1 is no loss; original against itself: 1 - %.1g",
             r->chunks, (long long)r->tokens_scored, r->cos_floor);
    PL_TRY(row(table, "cosine of embeddings", r->cos_mean, "%.6f", note));
    PL_TRY(row(table, "  lowest 1 %", r->cos_p01, "%.6f", ""));
    PL_TRY(row(table, "  lowest", r->cos_min, "%.6f", ""));
    return row(table, "change of similarity", r->sim_rms, "%.6f", "RMS, between passages");
}

static pl_status fill_table(pl_table *table, const pl_check_result *r)
{
    char size[24], note[96];
    PL_TRY(r->encoder ? embeddings(table, r) : predictions(table, r));
    PL_TRY(row(table, "bits per weight", r->bpw_body, "%.3f", "in the blocks"));
    snprintf(note, sizeof note, "over the whole file of %s", pl_ui_bytes(r->size_bytes, size));
    PL_TRY(row(table, "", r->bpw_file, "%.3f", note));
    const char *mode = r->options.mode == PL_MODE_EXACT ? "exact" : "fast";
    if (r->encoder)
        snprintf(note, sizeof note, "tokens/s (%s mode, %d threads)", mode, r->threads);
    else
        snprintf(note, sizeof note, "tokens/s reading, %.1f writing (%s mode, %d threads)", r->tg_tps, mode,
                 r->threads);
    return row(table, "speed", r->pp_tps, "%.1f", note);
}

static pl_status print_result(const pl_check_result *r)
{
    pl_table *table;
    PL_TRY(pl_table_create(3, (bool[]){ false, true, false }, &table));
    pl_status code = fill_table(table, r);
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    for (int i = 0; i < r->missed_count; i++) pl_ui_print("missed: %s\n", r->missed[i]);
    pl_ui_print("%s\n", r->passed ? "passed" : "FAILED");
    return code;
}

typedef struct arguments {
    const char *model, *against, *json, *pre;
    int32_t threads, protocol, bos, mode;
    pl_check_options check;
} arguments;

static pl_status parse(int argc, const char **argv, arguments *a, bool *help)
{
    pl_check_options *c = &a->check;
    const pl_opt opts[] = {
        { "against", 'a', PL_OPT_TEXT, &a->against, "MODEL", "the original", 0, 0, NULL },
        { "text", 0, PL_OPT_TEXT, &c->text, "FILE", "text to measure on", 0, 0, NULL },
        { "ctx", 'c', PL_OPT_INT, &c->ctx, "N", "tokens per window (default 512); an encoder's passages are cut off there", 8, 1 << 20, NULL },
        { "chunks", 0, PL_OPT_INT, &c->chunks, "N", "windows, or passages of an encoder: lines of the text (default: all)", 1, 1 << 30, NULL },
        { "protocol", 0, PL_OPT_CHOICE, &a->protocol, NULL, "lcpp scores the second half of each window, as llama-perplexity does", 0, 0, "lcpp|full" },
        { "bos", 0, PL_OPT_CHOICE, &a->bos, NULL, "begin windows with the BOS token (auto: as the vocabulary says)", 0, 0, "auto|always|never" },
        { "mode", 0, PL_OPT_CHOICE, &a->mode, NULL, "exact arithmetic (default), or 8-bit activations as deployed", 0, 0, "exact|fast" },
        { "max-ppl-ratio", 0, PL_OPT_REAL, &c->max_ppl_ratio, "R", "fail above this perplexity ratio", 0, 1e9, NULL },
        { "max-kld", 0, PL_OPT_REAL, &c->max_kld, "X", "fail above this mean KL divergence", 0, 1e9, NULL },
        { "min-top1", 0, PL_OPT_REAL, &c->min_top1, "P", "fail below this percentage of equal top tokens", 0, 100, NULL },
        { "min-cosine", 0, PL_OPT_REAL, &c->min_cosine, "C", "fail below this mean cosine of embeddings (encoders)", -1, 1, NULL },
        { "pre", 0, PL_OPT_TEXT, &a->pre, "NAME", "pre-tokenizer of the vocabulary, if its files do not tell", 0, 0, NULL },
        { "threads", 'j', PL_OPT_INT, &a->threads, "N", "threads (default: one per processor)", 1, PL_MAX_THREADS, NULL },
        { "json", 0, PL_OPT_TEXT, &a->json, "FILE", "write the report (docs/report.md); - prints it instead of the table", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &a->model, help));
    if (*help) return PL_OK;
    if (!c->text) return pl_fail(PL_E_WISH, "no --text given to measure on");
    if (!a->against && !(isnan(c->max_ppl_ratio) && isnan(c->max_kld) && isnan(c->min_top1) && isnan(c->min_cosine)))
        return pl_fail(PL_E_WISH, "thresholds compare with the original: --against is missing");
    c->protocol = (pl_protocol)a->protocol;
    c->bos = (pl_bos)a->bos;
    c->mode = (pl_mode)a->mode;
    return PL_OK;
}

static pl_status report(const arguments *a, const pl_check_result *result)
{
    if (!a->json) return print_result(result);
    char *text;
    PL_TRY(pl_check_json(result, &text));
    pl_status code = pl_ui_json(text, a->json);
    pl_free(text);
    if (code == PL_OK && a->json[0] != '-') code = print_result(result);
    return code;
}

static pl_status run(int argc, const char **argv)
{
    bool help;
    arguments a = { .check = { .ctx = 512, .max_ppl_ratio = NAN, .max_kld = NAN, .min_top1 = NAN, .min_cosine = NAN } };
    PL_TRY(parse(argc, argv, &a, &help));
    if (help) return PL_OK;
    const pl_open_options how = { PL_OPEN_MAP, a.pre };
    pl_source *model = NULL, *against = NULL;
    pl_pool *pool = NULL;
    pl_check_result result = { 0 };
    pl_status code = pl_wire_open(a.model, &how, &model);
    if (code == PL_OK && a.against) code = pl_wire_open(a.against, &how, &against);
    if (code == PL_OK) code = pl_pool_create(a.threads, &pool);
    if (code == PL_OK) code = pl_check_run(model, against, &a.check, pool, &result);
    if (code == PL_OK) code = report(&a, &result);
    if (code == PL_OK && !result.passed) code = PL_E_CHECK;
    pl_check_release(&result);
    pl_pool_destroy(pool);
    pl_source_close(against);
    pl_source_close(model);
    return code;
}

const pl_command pl_cmd_check = { "check", "measure what a packed model lost, against its original", run };
