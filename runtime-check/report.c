/* report.c: results as JSON; docs/report.md defines every field. */
#include <stdio.h>

#include "core/cpu.h"
#include "core/fs.h"
#include "core/linalg.h"
#include "runtime-check/check.h"

/* cJSON's adders give NULL when there is no memory; one look at the end of a document is not enough to
 * tell, so each is noted here. */
typedef struct writer {
    pl_json *object;
    bool failed;
} writer;

static void number(writer *w, const char *key, double value)
{
    if (!cJSON_AddNumberToObject(w->object, key, value)) w->failed = true;
}

static void string(writer *w, const char *key, const char *value)
{
    pl_json *item = value ? cJSON_AddStringToObject(w->object, key, value)
                          : cJSON_AddNullToObject(w->object, key);
    if (!item) w->failed = true;
}

static void boolean(writer *w, const char *key, bool value)
{
    if (!cJSON_AddBoolToObject(w->object, key, value)) w->failed = true;
}

static void device(writer *w)
{
    char model[128], flags[128], text[300];
    snprintf(text, sizeof text, "cpu: %s, %s", pl_cpu_model(model, sizeof model),
             pl_cpu_names(pl_cpu_flags(), flags, sizeof flags));
    string(w, "device", text);
}

static pl_status begin(writer *w)
{
    *w = (writer){ cJSON_CreateObject(), false };
    return w->object ? PL_OK : pl_fail(PL_E_MEMORY, "no memory for the report");
}

static pl_status end(writer *w, pl_json **out)
{
    *out = w->object;
    if (!w->failed) return PL_OK;
    pl_json_free(w->object);
    *out = NULL;
    return pl_fail(PL_E_MEMORY, "no memory for the report");
}

static writer nested(writer *w, const char *key)
{
    writer inner = { cJSON_AddObjectToObject(w->object, key), false };
    if (!inner.object) w->failed = true;
    return inner;
}

static void versions(writer *w)
{
    writer v = nested(w, "versions");
    if (!v.object) return;
    string(&v, "planish", PL_VERSION);
    string(&v, "blas", pl_linalg_version());
    w->failed |= v.failed;
}

static void digests(writer *w, const pl_check_result *r)
{
    writer d = nested(w, "digests");
    if (!d.object) return;
    string(&d, "model", r->digest_model);
    string(&d, "against", r->against ? r->digest_against : NULL);
    string(&d, "text", r->digest_text);
    w->failed |= d.failed;
}

static void missed(writer *w, const pl_check_result *r)
{
    pl_json *list = cJSON_AddArrayToObject(w->object, "missed");
    if (!list) w->failed = true;
    for (int i = 0; list && i < r->missed_count; i++) {
        pl_json *item = cJSON_CreateString(r->missed[i]);
        if (item && cJSON_AddItemToArray(list, item)) continue;
        cJSON_Delete(item);
        w->failed = true;
    }
}

pl_status pl_check_json(const pl_check_result *r, pl_json **out)
{
    writer w;
    PL_TRY(begin(&w));
    string(&w, "schema", "planish.report/1");
    string(&w, "model", r->model);
    string(&w, "against", r->against);
    string(&w, "text", r->options.text);
    string(&w, "protocol", r->options.protocol == PL_PROTOCOL_LCPP ? "lcpp" : "full");
    string(&w, "bos", r->bos_used);
    number(&w, "ctx", r->options.ctx);
    number(&w, "chunks", r->chunks);
    number(&w, "tokens_scored", (double)r->tokens_scored);
    number(&w, "size_bytes", (double)r->size_bytes);
    number(&w, "bpw_body", r->bpw_body);
    number(&w, "bpw_file", r->bpw_file);
    number(&w, "ppl", r->ppl);
    number(&w, "ppl_err", r->ppl_err);
    number(&w, "ppl_base", r->ppl_base);
    number(&w, "ppl_ratio", r->ppl_ratio);
    number(&w, "kld_mean", r->kld_mean);
    number(&w, "kld_err", r->kld_err);
    number(&w, "kld_median", r->kld_median);
    number(&w, "kld_p99", r->kld_p99);
    number(&w, "kld_p999", r->kld_p999);
    number(&w, "kld_max", r->kld_max);
    number(&w, "kld_floor", r->kld_floor);
    number(&w, "top1", r->top1);
    number(&w, "rms_dp", r->rms_dp);
    number(&w, "pp_tps", r->pp_tps);
    number(&w, "tg_tps", r->tg_tps);
    string(&w, "mode", r->options.mode == PL_MODE_EXACT ? "exact" : "fast");
    device(&w);
    number(&w, "threads", r->threads);
    number(&w, "seconds", r->seconds);
    number(&w, "peak_rss_bytes", (double)pl_rss_peak_bytes());
    number(&w, "seed", (double)r->options.seed);
    number(&w, "nonfinite", (double)r->nonfinite);
    versions(&w);
    digests(&w, r);
    boolean(&w, "passed", r->passed);
    missed(&w, r);
    return end(&w, out);
}

pl_status pl_bench_json(const pl_bench_result *r, pl_json **out)
{
    writer w;
    PL_TRY(begin(&w));
    string(&w, "schema", "planish.bench/1");
    number(&w, "pp_tps", r->pp_tps);
    number(&w, "pp_spread", r->pp_spread);
    number(&w, "tg_tps", r->tg_tps);
    number(&w, "tg_spread", r->tg_spread);
    number(&w, "tg_bytes_per_token", (double)r->tg_bytes_per_token);
    number(&w, "tg_gbps", r->tg_gbps);
    number(&w, "read_gbps", r->read_gbps);
    number(&w, "tg_bandwidth_share", r->tg_bandwidth_share);
    number(&w, "threads", r->threads);
    device(&w);
    return end(&w, out);
}
