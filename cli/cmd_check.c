/* cmd_check.c: planish check. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/opts.h"
#include "cli/streamed.h"
#include "core/fs.h"
#include "runtime-check/check.h"

static const pl_usage usage = {
    .command = "check",
    .arguments = "OUT.gguf... --against MODEL --text FILE [options]",
    .summary = "Runs a packed model and its original over the same text, side by side, and reports\n"
               "perplexity, KL divergence, agreement, size and speed. Thresholds make it a gate: exit code 1\n"
               "when one is missed. Without --against it reports perplexity alone. Encoders are judged by the\n"
               "cosine of their embeddings. Several packed models share one run of the original; each is compared\n"
               "with the first of them, window by window.",
    .example = "  planish check smol.gguf --against SmolLM2-135M --text wikitext2-test.txt --chunks 16 --max-kld 0.1",
    .positional = 1,
    .most = PL_MAX_CANDIDATES,
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

/* ---- several candidates, a line for each ---- */

static pl_status line_of_predictions(pl_table *table, const pl_check_result *r)
{
    char size[24], bits[24], ppl[24], kld[48], top[24], change[64], p[24];
    number(r->bpw_file, "%.3f", bits, sizeof bits);
    number(r->ppl, "%.4f", ppl, sizeof ppl);
    number(r->top1, "%.2f %%", top, sizeof top);
    number(r->paired.p, "%.2g", p, sizeof p);
    if (isnan(r->kld_mean)) snprintf(kld, sizeof kld, "-");
    else snprintf(kld, sizeof kld, "%.6f +- %.2g", r->kld_mean, r->kld_err);
    number(100 * r->paired.change, "%+.2f %%", change, sizeof change);
    if (!isnan(r->paired.error)) {
        size_t len = strlen(change);
        snprintf(change + len, sizeof change - len, " +- %.2f %%", 100 * r->paired.error);
    }
    return pl_table_row(table, (const char *[]){ r->model, pl_ui_bytes(r->size_bytes, size), bits, ppl, kld, top,
                                                 change, p });
}

static pl_status line_of_embeddings(pl_table *table, const pl_check_result *r)
{
    char size[24], bits[24], mean[24], low[24], lowest[24], change[24];
    number(r->bpw_file, "%.3f", bits, sizeof bits);
    number(r->cos_mean, "%.6f", mean, sizeof mean);
    number(r->cos_p01, "%.6f", low, sizeof low);
    number(r->cos_min, "%.6f", lowest, sizeof lowest);
    number(r->sim_rms, "%.6f", change, sizeof change);
    return pl_table_row(table, (const char *[]){ r->model, pl_ui_bytes(r->size_bytes, size), bits, mean, low, lowest,
                                                 change });
}

static pl_status fill_lines(pl_table *table, const pl_check_result *r, int count)
{
    static const char *const predicted[] = { "model", "size", "bits/weight", "perplexity", "KL divergence",
                                             "same top token", "against the first", "p" };
    static const char *const embedded[] = { "model", "size", "bits/weight", "cosine", "lowest 1 %", "lowest",
                                            "change of similarity" };
    PL_TRY(pl_table_row(table, r->encoder ? embedded : predicted));
    for (int i = 0; i < count; i++) PL_TRY((r->encoder ? line_of_embeddings : line_of_predictions)(table, &r[i]));
    return PL_OK;
}

/* What is the same for all lines. */
static void print_shared(const pl_check_result *r, int count)
{
    const pl_check_result *known = r;       /* values that are not finite hide the original's figures */
    for (int i = 0; i < count && known->nonfinite; i++) known = &r[i];
    if (r->encoder) {
        pl_ui_print("%d passages, %lld tokens; original against itself: 1 - %.1g\n", r->chunks,
                    (long long)r->tokens_scored, known->cos_floor);
        return;
    }
    pl_ui_print("%lld tokens in %d windows of %d", (long long)r->tokens_scored, r->chunks, r->options.ctx);
    if (r->against)
        pl_ui_print("; original: perplexity %.4f, against itself: %.1g", known->ppl_base, known->kld_floor);
    pl_ui_print("\n");
}

static bool all_passed(const pl_check_result *r, int count)
{
    bool passed = true;
    for (int i = 0; i < count; i++) passed &= r[i].passed;
    return passed;
}

static pl_status print_table(const pl_check_result *r, int count)
{
    const bool one[] = { false, true, false }, more[] = { false, true, true, true, true, true, true, true };
    int columns = r->encoder ? 7 : r->against ? 8 : 4;
    pl_table *table;
    PL_TRY(count > 1 ? pl_table_create(columns, more, &table) : pl_table_create(3, one, &table));
    pl_status code = count > 1 ? fill_lines(table, r, count) : fill_table(table, r);
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

static pl_status print_results(const pl_check_result *r, int count)
{
    PL_TRY(print_table(r, count));
    if (count > 1) print_shared(r, count);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < r[i].missed_count; k++)
            pl_ui_print("missed: %s%s%s\n", count > 1 ? r[i].model : "", count > 1 ? ": " : "", r[i].missed[k]);
    pl_ui_print("%s\n", all_passed(r, count) ? "passed" : "FAILED");
    return PL_OK;
}

typedef struct arguments {
    const char *model[PL_MAX_CANDIDATES], *against, *json, *pre;
    int64_t resident;
    int count;
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
        PL_RESIDENT_OPTION(&a->resident),
        { "threads", 'j', PL_OPT_INT, &a->threads, "N", "threads (default: one per processor)", 1, PL_MAX_THREADS, NULL },
        { "json", 0, PL_OPT_TEXT, &a->json, "FILE", "write the report (docs/report.md); - prints it instead of the table", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), a->model, help));
    if (*help) return PL_OK;
    while (a->count < PL_MAX_CANDIDATES && a->model[a->count]) a->count++;
    if (!c->text) return pl_fail(PL_E_WISH, "no --text given to measure on");
    if (!a->against && !(isnan(c->max_ppl_ratio) && isnan(c->max_kld) && isnan(c->min_top1) && isnan(c->min_cosine)))
        return pl_fail(PL_E_WISH, "thresholds compare with the original: --against is missing");
    c->protocol = (pl_protocol)a->protocol;
    c->bos = (pl_bos)a->bos;
    c->mode = (pl_mode)a->mode;
    return PL_OK;
}

static pl_status report(const arguments *a, const pl_check_result *results)
{
    if (a->json) {
        char *text;
        PL_TRY(pl_check_json(results, a->count, &text));
        pl_status code = pl_ui_json(text, a->json);
        pl_free(text);
        PL_TRY(code);
    }
    if (!a->json || a->json[0] != '-') PL_TRY(print_results(results, a->count));
    return all_passed(results, a->count) ? PL_OK : PL_E_CHECK;
}

static pl_status run_with(const arguments *a, pl_source **model, pl_source *against, pl_pool *pool)
{
    pl_check_result *results = pl_alloc(a->count, sizeof *results);
    if (!results) return PL_E_MEMORY;
    pl_status code = pl_check_run(model, a->count, against, &a->check, pool, results);
    if (code == PL_OK) code = report(a, results);
    for (int i = 0; i < a->count; i++) pl_check_release(&results[i]);
    pl_free(results);
    return code;
}

static pl_status run(int argc, const char **argv)
{
    bool help;
    arguments a = { .check = { .ctx = 512, .max_ppl_ratio = NAN, .max_kld = NAN, .min_top1 = NAN, .min_cosine = NAN } };
    PL_TRY(parse(argc, argv, &a, &help));
    if (help) return PL_OK;
    const pl_open_options how = pl_cli_engine(a.pre, a.resident), mapped = pl_cli_engine(a.pre, 0);
    pl_source *model[PL_MAX_CANDIDATES] = { NULL }, *against = NULL;
    pl_pool *pool = NULL;
    pl_status code = PL_OK;
    for (int i = 0; code == PL_OK && i < a.count; i++) code = pl_wire_open(a.model[i], &how, &model[i]);
    if (code == PL_OK && a.against) code = pl_wire_open(a.against, &mapped, &against);
    if (code == PL_OK) code = pl_pool_create(a.threads, &pool);
    if (code == PL_OK) code = run_with(&a, model, against, pool);
    for (int i = 0; (code == PL_OK || code == PL_E_CHECK) && i < a.count; i++) pl_cli_streamed(model[i]);
    pl_pool_destroy(pool);
    pl_source_close(against);
    for (int i = 0; i < a.count; i++) pl_source_close(model[i]);
    return code;
}

const pl_command pl_cmd_check = { "check", "measure what a packed model lost, against its original", run };
