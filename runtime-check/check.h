/* check.h: what the command line calls to judge, run and time a model. */
#ifndef RUNTIME_CHECK_CHECK_H
#define RUNTIME_CHECK_CHECK_H

#include "core/json.h"
#include "runtime-check/graph.h"
#include "runtime-check/paired.h"
#include "runtime-check/tokenizer.h"

/* ---- check: candidates and their original over the same tokens, side by side ---- */

enum {
    PL_MAX_TEXT_BYTES = 1 << 30,        /* of a text to measure on */
    PL_MAX_CANDIDATES = 64              /* in one check */
};

typedef enum pl_protocol {
    PL_PROTOCOL_LCPP,           /* llama-perplexity's: second half of each window is scored */
    PL_PROTOCOL_FULL            /* every next-token prediction of a window is scored */
} pl_protocol;

typedef struct pl_check_options {
    const char *text;           /* path of the text */
    int32_t ctx, chunks;        /* chunks 0: all the text has */
    pl_protocol protocol;
    pl_bos bos;
    pl_mode mode;
    double max_ppl_ratio, max_kld, min_top1;    /* thresholds; NaN: none. min_top1 in percent */
    double min_cosine;          /* the same for encoders, whose only threshold it is */
    uint64_t seed;              /* reported; nothing here draws random numbers yet */
} pl_check_options;

typedef struct pl_check_result {
    bool encoder;                       /* embeddings were compared, not predictions */
    const char *model, *against;        /* paths; against NULL: perplexity alone */
    pl_check_options options;
    int32_t chunks;
    int64_t tokens_scored, size_bytes;
    double bpw_body, bpw_file;
    double ppl, ppl_err, ppl_base, ppl_ratio;
    double kld_mean, kld_err, kld_median, kld_p99, kld_p999, kld_max, kld_floor;
    double *kld_windows;                /* [chunks] mean KLD of each; NULL unless predictions were compared */
    pl_paired paired;                   /* kld_windows beside the first candidate's; NaN for that one and without */
    double top1, rms_dp;                /* percent */
    /* encoders only: cosines of embeddings of both models (mean, lowest hundredth, lowest), 1 - cosine of
     * the original with itself, RMS change of the similarities between passages */
    double cos_mean, cos_p01, cos_min, cos_floor, sim_rms;
    double pp_tps, tg_tps, seconds;
    int64_t nonfinite;                  /* logits (an encoder: hidden values) that are NaN or infinite;
                                         * not 0: not passed */
    int threads;
    char bos_used[8];                   /* "yes", "no" */
    char digest_model[40], digest_against[40], digest_text[40];
    bool passed;
    char missed[8][96];
    int missed_count;
} pl_check_result;

/* Runs `count` models (1 to PL_MAX_CANDIDATES, all encoders or none) in options->mode and `against` (their original;
 * may be NULL) once in exact mode. out [count]: the figures of each as if it were alone, and how it differs from the
 * first. Returns PL_OK also if thresholds are missed: see passed and missed; pl_check_release frees each result
 * then. All sources open with PL_OPEN_MAP. */
pl_status pl_check_run(pl_source *const *models, int count, pl_source *against, const pl_check_options *options,
                       pl_pool *pool, pl_check_result *out);
void pl_check_release(pl_check_result *result);
/* Digest of a model's only file, or of the digests of its files in turn, as text. */
pl_status pl_check_digest(const pl_source *s, char out[40]);
/* Texts in JSON, freed with pl_free. The report as docs/report.md describes it: of one candidate "planish.report/1",
 * of several "planish.reports/1". results [count] */
pl_status pl_check_json(const pl_check_result *results, int count, char **text);

/* ---- run: continue a prompt ---- */

typedef struct pl_generate_options {
    const char *prompt;
    int32_t tokens;             /* at most so many new ones */
    double temperature;         /* 0: greedy, ties to the lowest id */
    uint64_t seed;
    int32_t ctx;                /* 0: the model's, at most 4096 */
    pl_mode mode;
} pl_generate_options;

/* Called with the bytes of each new token as soon as it is known; the prompt is not repeated. */
typedef void (*pl_generate_out)(void *ctx, const char *bytes, int len);

typedef struct pl_generate_stats { int32_t prompt_tokens, new_tokens; double pp_tps, tg_tps; } pl_generate_stats;

pl_status pl_generate(pl_source *model, const pl_generate_options *options, pl_pool *pool,
                      pl_generate_out out, void *ctx, pl_generate_stats *stats);

/* ---- bench: tokens per second ---- */

typedef struct pl_bench_options { int32_t pp, tg, repeats; pl_mode mode; } pl_bench_options;

typedef struct pl_bench_result {
    double pp_tps, pp_spread, tg_tps, tg_spread;    /* medians; spread: (max-min)/median over the middle half */
    int64_t tg_bytes_per_token;
    double tg_gbps, read_gbps, tg_bandwidth_share;
    int threads;
} pl_bench_result;

pl_status pl_bench_run(pl_source *model, const pl_bench_options *options, pl_pool *pool,
                       pl_bench_result *out);
pl_status pl_bench_json(const pl_bench_result *result, char **text);

#endif
