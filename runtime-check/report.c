/* report.c: results as JSON; docs/report.md defines every field. */
#include <stdio.h>

#include "core/cpu.h"
#include "core/fs.h"
#include "core/linalg.h"
#include "runtime-check/check.h"

#define SCHEMA "planish.report/1"

static void device(pl_json_writer *w)
{
    char model[128], flags[128], text[300];
    snprintf(text, sizeof text, "cpu: %s, %s", pl_cpu_model(model, sizeof model),
             pl_cpu_names(pl_cpu_flags(), flags, sizeof flags));
    pl_json_put_text(w, "device", text);
}

static pl_status begin(pl_json_writer **w, const char *schema)
{
    PL_TRY(pl_json_writer_create(w));
    pl_json_begin_object(*w, NULL);
    pl_json_put_text(*w, "schema", schema);
    return PL_OK;
}

static pl_status end(pl_json_writer *w, char **text)
{
    pl_status code = pl_json_finish(w, text);
    pl_json_writer_destroy(w);
    return code;
}

static void versions(pl_json_writer *w)
{
    pl_json_begin_object(w, "versions");
    pl_json_put_text(w, "planish", PL_VERSION);
    pl_json_put_text(w, "blas", pl_linalg_version());
    pl_json_end(w);
}

static void digests(pl_json_writer *w, const pl_check_result *r)
{
    pl_json_begin_object(w, "digests");
    pl_json_put_text(w, "model", r->digest_model);
    pl_json_put_text(w, "against", r->against ? r->digest_against : NULL);
    pl_json_put_text(w, "text", r->digest_text);
    pl_json_end(w);
}

static void missed(pl_json_writer *w, const pl_check_result *r)
{
    pl_json_begin_array(w, "missed");
    for (int i = 0; i < r->missed_count; i++) pl_json_put_text(w, NULL, r->missed[i]);
    pl_json_end(w);
}

static void windows(pl_json_writer *w, const pl_check_result *r)
{
    pl_json_begin_array(w, "kld_windows");
    for (int32_t i = 0; r->kld_windows && i < r->chunks; i++) pl_json_put_number(w, NULL, r->kld_windows[i]);
    pl_json_end(w);
}

/* Members of one candidate's report behind its schema. */
static void members(pl_json_writer *w, const pl_check_result *r)
{
    pl_json_put_text(w, "model", r->model);
    pl_json_put_text(w, "against", r->against);
    pl_json_put_text(w, "text", r->options.text);
    const char *protocol = r->options.protocol == PL_PROTOCOL_LCPP ? "lcpp" : "full";
    pl_json_put_text(w, "protocol", r->encoder ? "embedding" : protocol);
    pl_json_put_text(w, "bos", r->bos_used);
    pl_json_put_int(w, "ctx", r->options.ctx);
    pl_json_put_int(w, "chunks", r->chunks);
    pl_json_put_int(w, "tokens_scored", r->tokens_scored);
    pl_json_put_int(w, "size_bytes", r->size_bytes);
    pl_json_put_number(w, "bpw_body", r->bpw_body);
    pl_json_put_number(w, "bpw_file", r->bpw_file);
    pl_json_put_number(w, "ppl", r->ppl);
    pl_json_put_number(w, "ppl_err", r->ppl_err);
    pl_json_put_number(w, "ppl_base", r->ppl_base);
    pl_json_put_number(w, "ppl_ratio", r->ppl_ratio);
    pl_json_put_number(w, "kld_mean", r->kld_mean);
    pl_json_put_number(w, "kld_err", r->kld_err);
    pl_json_put_number(w, "kld_median", r->kld_median);
    pl_json_put_number(w, "kld_p99", r->kld_p99);
    pl_json_put_number(w, "kld_p999", r->kld_p999);
    pl_json_put_number(w, "kld_max", r->kld_max);
    windows(w, r);
    pl_json_put_number(w, "kld_floor", r->kld_floor);
    pl_json_put_number(w, "top1", r->top1);
    pl_json_put_number(w, "rms_dp", r->rms_dp);
    pl_json_put_number(w, "cos_mean", r->cos_mean);
    pl_json_put_number(w, "cos_p01", r->cos_p01);
    pl_json_put_number(w, "cos_min", r->cos_min);
    pl_json_put_number(w, "cos_floor", r->cos_floor);
    pl_json_put_number(w, "sim_rms", r->sim_rms);
    pl_json_put_number(w, "pp_tps", r->pp_tps);
    pl_json_put_number(w, "tg_tps", r->tg_tps);
    pl_json_put_text(w, "mode", r->options.mode == PL_MODE_EXACT ? "exact" : "fast");
    device(w);
    pl_json_put_int(w, "threads", r->threads);
    pl_json_put_number(w, "seconds", r->seconds);
    pl_json_put_int(w, "peak_rss_bytes", pl_rss_peak_bytes());
    pl_json_put_number(w, "seed", (double)r->options.seed);
    pl_json_put_int(w, "nonfinite", r->nonfinite);
    versions(w);
    digests(w, r);
    pl_json_put_bool(w, "passed", r->passed);
    missed(w, r);
}

static void paired(pl_json_writer *w, const pl_check_result *r, const pl_check_result *first)
{
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "model", r->model);
    pl_json_put_text(w, "with", first->model);
    pl_json_put_number(w, "kld_change", r->paired.change);
    pl_json_put_number(w, "kld_change_err", r->paired.error);
    pl_json_put_number(w, "p", r->paired.p);
    pl_json_put_int(w, "windows", r->chunks);
    pl_json_end(w);
}

static void several(pl_json_writer *w, const pl_check_result *r, int count)
{
    bool passed = true;
    pl_json_begin_array(w, "reports");
    for (int i = 0; i < count; i++) {
        pl_json_begin_object(w, NULL);
        pl_json_put_text(w, "schema", SCHEMA);
        members(w, &r[i]);
        pl_json_end(w);
        passed &= r[i].passed;
    }
    pl_json_end(w);
    pl_json_begin_array(w, "paired");
    for (int i = 1; i < count && r->kld_windows; i++) paired(w, &r[i], r);
    pl_json_end(w);
    pl_json_put_bool(w, "passed", passed);
}

pl_status pl_check_json(const pl_check_result *results, int count, char **text)
{
    pl_json_writer *w;
    PL_TRY(begin(&w, count > 1 ? "planish.reports/1" : SCHEMA));
    if (count > 1) several(w, results, count);
    else members(w, results);
    return end(w, text);
}

pl_status pl_bench_json(const pl_bench_result *r, char **text)
{
    pl_json_writer *w;
    PL_TRY(begin(&w, "planish.bench/1"));
    pl_json_put_number(w, "pp_tps", r->pp_tps);
    pl_json_put_number(w, "pp_spread", r->pp_spread);
    pl_json_put_number(w, "tg_tps", r->tg_tps);
    pl_json_put_number(w, "tg_spread", r->tg_spread);
    pl_json_put_int(w, "tg_bytes_per_token", r->tg_bytes_per_token);
    pl_json_put_number(w, "tg_gbps", r->tg_gbps);
    pl_json_put_number(w, "read_gbps", r->read_gbps);
    pl_json_put_number(w, "tg_bandwidth_share", r->tg_bandwidth_share);
    pl_json_put_int(w, "threads", r->threads);
    device(w);
    return end(w, text);
}
