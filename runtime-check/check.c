/* check.c: candidates judged against their original: sizes, digests, thresholds; embed.c and predict.c run them. */
#include "runtime-check/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "core/hash.h"
#include "core/log.h"
#include "runtime-check/embed.h"
#include "runtime-check/predict.h"

static pl_status measure_size(const pl_source *model, const pl_source *against, pl_check_result *out)
{
    double bits = 0, weights = 0;
    for (int i = 0; i < model->model->tensors; i++) {
        const pl_tensor *t = &model->model->tensor[i];
        int64_t bytes;
        if (t->id.layer < 0 || !(t->flags & PL_TENSOR_MATRIX)) continue;
        PL_TRY(pl_tensor_bytes(t, &bytes));
        bits += 8.0 * (double)bytes;
        weights += (double)t->rows * (double)t->cols;
    }
    for (int i = 0; i < model->files; i++) {
        int64_t bytes;
        PL_TRY(pl_file_bytes(model->file[i], &bytes));
        out->size_bytes += bytes;
    }
    const pl_source *original = against ? against : model;
    out->bpw_body = bits / weights;
    out->bpw_file = 8.0 * (double)out->size_bytes / (double)original->model->parameters;
    return PL_OK;
}

pl_status pl_check_digest(const pl_source *s, char out[40])
{
    pl_hash *all = NULL;
    pl_digest digest = { { 0 } };
    PL_TRY(pl_hash_create(&all));
    pl_status status = PL_OK;
    for (int i = 0; status == PL_OK && i < s->files; i++) {
        status = pl_hash_file(s->file[i], &digest);
        pl_hash_update(all, digest.byte, sizeof digest.byte);
    }
    if (s->files != 1) digest = pl_hash_digest(all);
    pl_digest_text(digest, out);
    pl_hash_destroy(all);
    return status;
}

static pl_status digest_all(pl_source *const *models, int count, const pl_source *against, pl_check_result *out)
{
    pl_digest text_digest;
    char original[sizeof out->digest_against] = "";
    if (against) PL_TRY(pl_check_digest(against, original));
    PL_TRY(pl_hash_file(out->options.text, &text_digest));
    for (int i = 0; i < count; i++) {
        PL_TRY(pl_check_digest(models[i], out[i].digest_model));
        memcpy(out[i].digest_against, original, sizeof original);
        pl_digest_text(text_digest, out[i].digest_text);
    }
    return PL_OK;
}

static void miss(pl_check_result *r, const char *what, double value, const char *side, double bound)
{
    snprintf(r->missed[r->missed_count++], sizeof r->missed[0], "%s %.6g is %s %.9g", what, value, side,
             bound);
}

/* Written so that a NaN misses every threshold. */
static void judge(pl_check_result *r)
{
    const pl_check_options *o = &r->options;
    if (r->nonfinite > 0) {
        snprintf(r->missed[r->missed_count++], sizeof r->missed[0], "non-finite %s: %lld",
                 r->encoder ? "hidden values" : "logits", (long long)r->nonfinite);
    }
    if (!isnan(o->max_ppl_ratio) && !(r->ppl_ratio <= o->max_ppl_ratio)) {
        miss(r, "ppl_ratio", r->ppl_ratio, "above", o->max_ppl_ratio);
    }
    if (!isnan(o->max_kld) && !(r->kld_mean <= o->max_kld)) {
        miss(r, "kld_mean", r->kld_mean, "above", o->max_kld);
    }
    if (!isnan(o->min_top1) && !(r->top1 >= o->min_top1)) {
        miss(r, "top1", r->top1, "below", o->min_top1);
    }
    if (!isnan(o->min_cosine) && !(r->cos_mean >= o->min_cosine)) {
        miss(r, "cos_mean", r->cos_mean, "below", o->min_cosine);
    }
    r->passed = r->missed_count == 0;
}

/* A threshold that cannot be measured would pass in silence. */
static pl_status check_wish(pl_source *const *models, int count, const pl_source *against, const pl_check_options *o)
{
    bool encoder = models[0]->model->hp.encoder;
    bool predictions = !isnan(o->max_ppl_ratio) || !isnan(o->max_kld) || !isnan(o->min_top1);
    bool embeddings = !isnan(o->min_cosine);
    if ((predictions || embeddings) && !against) {
        return pl_fail(PL_E_WISH, "a threshold needs the original to compare with");
    }
    for (int i = 1; i < count; i++) {
        if (models[i]->model->hp.encoder == encoder) continue;
        return pl_fail(PL_E_INPUT, "%s is an encoder, %s predicts tokens: they are not compared with each other",
                       models[encoder ? 0 : i]->path, models[encoder ? i : 0]->path);
    }
    if (encoder && predictions) {
        return pl_fail(PL_E_WISH, "%s is an encoder: of the thresholds only --min-cosine applies", models[0]->path);
    }
    if (!encoder && embeddings) {
        return pl_fail(PL_E_WISH, "%s predicts tokens: --min-cosine is for encoders", models[0]->path);
    }
    for (int i = 0; i < count && !encoder; i++) {
        int32_t context = models[i]->model->hp.context;
        if (o->ctx > context)
            pl_log(PL_LOG_WARN, "windows of %d tokens are longer than the %d that %s was made for", (int)o->ctx,
                   (int)context, count > 1 ? models[i]->path : "the model");
    }
    return PL_OK;
}

static pl_status compare_all(pl_source *const *models, int count, pl_source *against, const pl_check_options *options,
                             pl_pool *pool, pl_check_result *out)
{
    for (int i = 0; i < count; i++) PL_TRY(measure_size(models[i], against, &out[i]));
    PL_TRY((out->encoder ? pl_embed_compare : pl_predict_compare)(models, count, against, options, pool, out));
    return digest_all(models, count, against, out);
}

void pl_check_release(pl_check_result *result)
{
    pl_free(result->kld_windows);
    result->kld_windows = NULL;
}

pl_status pl_check_run(pl_source *const *models, int count, pl_source *against, const pl_check_options *options,
                       pl_pool *pool, pl_check_result *out)
{
    double begin = pl_seconds();
    if (count < 1 || count > PL_MAX_CANDIDATES)
        return pl_fail(PL_E_WISH, "%d models to check, expected 1 to %d", count, (int)PL_MAX_CANDIDATES);
    PL_TRY(check_wish(models, count, against, options));
    for (int i = 0; i < count; i++)
        out[i] = (pl_check_result){ .encoder = models[i]->model->hp.encoder, .model = models[i]->path,
                                    .against = against ? against->path : NULL, .options = *options,
                                    .threads = pl_pool_workers(pool), .paired = { NAN, NAN, NAN } };
    pl_status status = compare_all(models, count, against, options, pool, out);
    if (status != PL_OK) {
        for (int i = 0; i < count; i++) pl_check_release(&out[i]);
        return status;
    }
    for (int i = 0; i < count; i++) {
        if (i && out->kld_windows)
            out[i].paired = pl_paired_compare(out[i].kld_windows, out->kld_windows, out->chunks);
        judge(&out[i]);
        out[i].seconds = pl_seconds() - begin;
    }
    return PL_OK;
}
