/* test_check.c: windows, side-by-side runs, thresholds, reports and timing on tiny models. */
#include <math.h>

#include "core/fs.h"
#include "core/rng.h"
#include "runtime-check/check.h"
#include "runtime-check/metrics.h"
#include "runtime-check/windows.h"
#include "tests/unit/run.h"
#include "tests/unit/tiny_model.h"

enum { TEXT = 100, CTX = 16 };

static char text[TEXT + 1];

static void make_text(void)
{
    for (int i = 0; i < TEXT; i++) {
        int letter = (int)(pl_rng_bits(5, 0, (uint64_t)i) % 27);
        text[i] = letter == 26 ? ' ' : (char)('a' + letter);
    }
}

static const char *text_path(void)
{
    static char path[PATH_MAX];
    temp_write("text", text, TEXT);
    snprintf(path, sizeof path, "%s", temp_path("text"));
    return path;
}

static int32_t id_of(char c) { return c == ' ' ? 2 : 3 + c - 'a'; }

static pl_source *make(float noise, int dtype)
{
    pl_source *s;
    pl_tiny_options o = { .hp = pl_tiny_hparams(), .dtype = dtype, .noise = noise };
    ck_assert_msg(pl_tiny_create(&o, &s) == PL_OK, "%s", pl_error());
    return s;
}

static pl_check_options wish(pl_protocol protocol)
{
    return (pl_check_options){ .text = text_path(), .ctx = CTX, .protocol = protocol, .max_ppl_ratio = NAN,
                               .max_kld = NAN, .min_top1 = NAN, .min_cosine = NAN, .seed = 7 };
}

static pl_check_result check(pl_source *model, pl_source *against, pl_check_options o, int threads)
{
    pl_pool *pool;
    pl_check_result r;
    ck_assert_int_eq(pl_pool_create(threads, &pool), PL_OK);
    ck_assert_msg(pl_check_run(&model, 1, against, &o, pool, &r) == PL_OK, "%s", pl_error());
    pl_pool_destroy(pool);
    double sum = 0;
    for (int i = 0; r.kld_windows && i < r.chunks; i++) sum += r.kld_windows[i];
    if (r.kld_windows && r.nonfinite == 0) ck_assert_double_eq_tol(sum / r.chunks, r.kld_mean, 1e-12);
    ck_assert((r.kld_windows != NULL) == (against != NULL && !r.encoder));
    pl_check_release(&r);
    return r;
}

/* ---- windows ---- */

START_TEST(test_window_counts)
{
    pl_windows w;
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_LCPP, 512, 0, 1, 10000, &w), PL_OK);
    ck_assert(w.count == 19 && w.count * w.scored == 4845 && w.first == 256 && w.step == 512);
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_FULL, 2048, 0, -1, 10000, &w), PL_OK);
    ck_assert(w.count == 4 && w.count * w.scored == 8188 && w.first == 0);
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_FULL, 512, 0, 1, 64624, &w), PL_OK);
    ck_assert(w.count == 126 && w.scored == 511 && w.step == 511);
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_FULL, 512, 4, 1, 64624, &w), PL_OK);
    ck_assert_int_eq(w.count, 4);
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_FULL, 512, 999, 1, 64624, &w), PL_OK);
    ck_assert_int_eq(w.count, 126);
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_LCPP, 512, 0, 1, 1024, &w), PL_OK);
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_LCPP, 512, 0, 1, 1023, &w), PL_E_INPUT);
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_FULL, 512, 0, 1, 511, &w), PL_OK);
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_FULL, 512, 0, -1, 511, &w), PL_E_INPUT);
    ck_assert_int_eq(pl_windows_plan(PL_PROTOCOL_FULL, 3, 0, -1, 511, &w), PL_E_WISH);
}
END_TEST

START_TEST(test_window_tokens)
{
    pl_windows w;
    int32_t ids[12], out[4];
    for (int i = 0; i < 12; i++) ids[i] = 100 + i;
    const struct { pl_protocol protocol; int32_t bos; int32_t second[4]; } expected[] = {
        { PL_PROTOCOL_LCPP, 7, { 7, 105, 106, 107 } },      /* in place of a token */
        { PL_PROTOCOL_LCPP, -1, { 104, 105, 106, 107 } },
        { PL_PROTOCOL_FULL, 7, { 7, 103, 104, 105 } },      /* in front */
        { PL_PROTOCOL_FULL, -1, { 104, 105, 106, 107 } },
    };
    for (int e = 0; e < PL_COUNT(expected); e++) {
        ck_assert_int_eq(pl_windows_plan(expected[e].protocol, 4, 0, expected[e].bos, 12, &w), PL_OK);
        pl_windows_fill(&w, ids, 1, out);
        ck_assert(memcmp(out, expected[e].second, sizeof out) == 0);
    }
}
END_TEST

/* ---- check ---- */

/* Perplexity of given windows by the graph and pl_position_measure alone. */
static double direct_perplexity(pl_source *s, int32_t windows[][CTX], int count, int first)
{
    pl_graph *g;
    const float *hidden;
    static float logits[CTX * 50];
    double nll = 0;
    ck_assert_int_eq(pl_graph_create(s, NULL, PL_MODE_EXACT, CTX, &g), PL_OK);
    for (int w = 0; w < count; w++) {
        pl_graph_clear(g);
        ck_assert_int_eq(pl_graph_forward(g, windows[w], CTX, &hidden), PL_OK);
        ck_assert_int_eq(pl_graph_logits(g, hidden, CTX, logits), PL_OK);
        for (int i = first; i < CTX - 1; i++) {
            nll += pl_position_measure(logits + i * 50, NULL, 50, windows[w][i + 1]).nll_q;
        }
    }
    pl_graph_destroy(g);
    return exp(nll / (count * (CTX - 1 - first)));
}

START_TEST(test_protocols)
{
    int32_t windows[8][CTX];
    pl_source *s = make(0, PL_F32);

    /* lcpp: <s> and the text are one sequence; 101 / 16 = 6 windows, the first token of each replaced */
    for (int w = 0; w < 6; w++) {
        for (int i = 0; i < CTX; i++) windows[w][i] = i == 0 ? 0 : id_of(text[w * CTX + i - 1]);
    }
    pl_check_result r = check(s, NULL, wish(PL_PROTOCOL_LCPP), 1);
    ck_assert_int_eq(r.chunks, 6);
    ck_assert_int_eq(r.tokens_scored, 6 * 7);
    ck_assert_double_eq_tol(r.ppl, direct_perplexity(s, windows, 6, 8), 1e-5 * r.ppl);
    ck_assert_str_eq(r.bos_used, "yes");

    /* full: <s> and 15 of the text; 100 / 15 = 6 windows */
    for (int w = 0; w < 6; w++) {
        for (int i = 0; i < CTX; i++) windows[w][i] = i == 0 ? 0 : id_of(text[w * 15 + i - 1]);
    }
    r = check(s, NULL, wish(PL_PROTOCOL_FULL), 1);
    ck_assert_int_eq(r.tokens_scored, 6 * 15);
    ck_assert_double_eq_tol(r.ppl, direct_perplexity(s, windows, 6, 0), 1e-5 * r.ppl);
    ck_assert(isnan(r.kld_mean) && isnan(r.ppl_ratio) && isnan(r.kld_floor) && r.passed);
    ck_assert_double_gt(r.pp_tps, 0);
    ck_assert_double_gt(r.tg_tps, 0);

    /* full without BOS, two windows only */
    for (int w = 0; w < 2; w++) {
        for (int i = 0; i < CTX; i++) windows[w][i] = id_of(text[w * CTX + i]);
    }
    pl_check_options o = wish(PL_PROTOCOL_FULL);
    o.bos = PL_BOS_NEVER;
    o.chunks = 2;
    r = check(s, NULL, o, 1);
    ck_assert_int_eq(r.tokens_scored, 2 * 15);
    ck_assert_double_eq_tol(r.ppl, direct_perplexity(s, windows, 2, 0), 1e-5 * r.ppl);
    ck_assert_str_eq(r.bos_used, "no");
    pl_source_close(s);
}
END_TEST

START_TEST(test_against_itself)
{
    pl_source *a = make(0, PL_F32), *b = make(0, PL_F32);
    for (int protocol = PL_PROTOCOL_LCPP; protocol <= PL_PROTOCOL_FULL; protocol++) {
        pl_check_options o = wish((pl_protocol)protocol);
        o.max_kld = 0;
        o.max_ppl_ratio = 1;
        o.min_top1 = 100;
        pl_check_result r = check(a, b, o, 2);
        ck_assert(r.kld_mean == 0 && r.kld_max == 0 && r.kld_floor == 0 && r.ppl_ratio == 1);
        ck_assert(r.top1 == 100 && r.rms_dp == 0 && r.ppl == r.ppl_base);
        ck_assert(r.passed && r.missed_count == 0 && r.nonfinite == 0);
    }
    pl_source_close(a);
    pl_source_close(b);
}
END_TEST

START_TEST(test_thresholds)
{
    pl_source *a = make(0.2f, PL_F32), *b = make(0, PL_F32);
    pl_check_options o = wish(PL_PROTOCOL_FULL);
    pl_check_result r = check(a, b, o, 1);
    ck_assert(r.passed && r.kld_mean > 0 && r.top1 < 100 && r.rms_dp > 0 && r.kld_floor == 0);
    ck_assert(r.kld_median <= r.kld_p99 && r.kld_p99 <= r.kld_p999 && r.kld_p999 <= r.kld_max);
    ck_assert_double_eq_tol(r.ppl_ratio, r.ppl / r.ppl_base, 1e-9);

    o.max_kld = r.kld_mean / 2;
    o.max_ppl_ratio = r.ppl_ratio * 0.99;
    o.min_top1 = 100;
    r = check(a, b, o, 1);
    ck_assert(!r.passed && r.missed_count == 3);
    ck_assert_ptr_nonnull(strstr(r.missed[0], "ppl_ratio"));
    ck_assert_ptr_nonnull(strstr(r.missed[1], "kld_mean"));
    ck_assert_ptr_nonnull(strstr(r.missed[2], "is below 100"));

    /* the same figures for any number of threads */
    pl_check_result t = check(a, b, wish(PL_PROTOCOL_FULL), 3);
    ck_assert(t.ppl == r.ppl && t.ppl_err == r.ppl_err && t.kld_mean == r.kld_mean &&
              t.kld_p99 == r.kld_p99 && t.rms_dp == r.rms_dp && t.top1 == r.top1);
    ck_assert_int_eq(t.threads, 3);
    pl_source_close(a);
    pl_source_close(b);
}
END_TEST

START_TEST(test_nonfinite)
{
    pl_source *a = make(0, PL_F32), *b = make(0, PL_F32);
    pl_tiny_poke(a, PL_OUTPUT, -1, 9, 0, INFINITY);
    pl_check_result r = check(a, b, wish(PL_PROTOCOL_FULL), 2);
    ck_assert_int_eq(r.nonfinite, r.tokens_scored);
    ck_assert(!r.passed && isnan(r.ppl) && isnan(r.kld_mean));
    ck_assert_str_eq(r.missed[0], "non-finite logits: 90");
    pl_source_close(a);
    pl_source_close(b);
}
END_TEST

/* ---- several candidates ---- */

static void run_several(pl_source *const *models, int count, pl_source *against, pl_check_options o, int threads,
                        pl_check_result *out)
{
    pl_pool *pool;
    ck_assert_int_eq(pl_pool_create(threads, &pool), PL_OK);
    ck_assert_msg(pl_check_run(models, count, against, &o, pool, out) == PL_OK, "%s", pl_error());
    pl_pool_destroy(pool);
}

static void same_figures(const pl_check_result *a, const pl_check_result *b)
{
    ck_assert_str_eq(a->model, b->model);
    ck_assert(a->chunks == b->chunks && a->tokens_scored == b->tokens_scored && a->size_bytes == b->size_bytes);
    ck_assert(a->bpw_body == b->bpw_body && a->bpw_file == b->bpw_file);
    ck_assert(a->ppl == b->ppl && a->ppl_err == b->ppl_err);
    ck_assert_str_eq(a->bos_used, b->bos_used);
    if (!a->against) return;
    ck_assert(a->ppl_base == b->ppl_base && a->ppl_ratio == b->ppl_ratio && a->kld_mean == b->kld_mean &&
              a->kld_err == b->kld_err && a->kld_median == b->kld_median && a->kld_p99 == b->kld_p99 &&
              a->kld_p999 == b->kld_p999 && a->kld_max == b->kld_max && a->kld_floor == b->kld_floor &&
              a->top1 == b->top1 && a->rms_dp == b->rms_dp);
    for (int i = 0; i < a->chunks; i++) ck_assert(a->kld_windows[i] == b->kld_windows[i]);
}

START_TEST(test_several)
{
    enum { COUNT = 3 };
    pl_source *models[COUNT] = { make(0.2f, PL_F32), make(0.05f, PL_Q8_0), make(0.2f, PL_Q8_0) }, *b = make(0, PL_F32);
    for (int protocol = PL_PROTOCOL_LCPP; protocol <= PL_PROTOCOL_FULL; protocol++) {
        for (int mode = PL_MODE_EXACT; mode <= PL_MODE_FAST; mode++) {
            pl_check_options o = wish((pl_protocol)protocol);
            pl_check_result all[COUNT], alone;
            o.mode = (pl_mode)mode;
            run_several(models, COUNT, b, o, 2, all);
            for (int i = 0; i < COUNT; i++) {
                run_several(&models[i], 1, b, o, 1, &alone);
                same_figures(&all[i], &alone);
                pl_check_release(&alone);
            }
            ck_assert(isnan(all[0].paired.change) && isnan(all[0].paired.p));
            ck_assert_double_eq_tol(all[1].paired.change, all[1].kld_mean / all[0].kld_mean - 1, 1e-12);
            ck_assert(all[1].paired.change < -0.5 && all[1].paired.p < 0.05 && all[1].paired.error > 0);
            ck_assert(all[2].paired.p > all[1].paired.p && all[2].paired.error < 0.5);
            for (int i = 0; i < COUNT; i++) pl_check_release(&all[i]);
        }
    }

    /* without an original: perplexity of each, nothing to pair */
    pl_check_result all[COUNT], alone;
    run_several(models, COUNT, NULL, wish(PL_PROTOCOL_FULL), 1, all);
    for (int i = 0; i < COUNT; i++) {
        run_several(&models[i], 1, NULL, wish(PL_PROTOCOL_FULL), 1, &alone);
        same_figures(&all[i], &alone);
        ck_assert(isnan(all[i].paired.p) && !all[i].kld_windows);
    }
    for (int i = 0; i < COUNT; i++) pl_source_close(models[i]);
    pl_source_close(b);
}
END_TEST

/* One candidate misses a threshold, one is not finite: the others keep their figures. */
START_TEST(test_several_verdicts)
{
    enum { COUNT = 3 };
    pl_source *models[COUNT] = { make(0.05f, PL_F32), make(0.4f, PL_F32), make(0.05f, PL_F32) }, *b = make(0, PL_F32);
    pl_check_result all[COUNT], alone;
    pl_tiny_poke(models[2], PL_OUTPUT, -1, 9, 0, INFINITY);
    pl_check_options o = wish(PL_PROTOCOL_FULL);
    run_several(models, 1, b, o, 1, &alone);
    o.max_kld = 2 * alone.kld_mean;
    run_several(models, COUNT, b, o, 1, all);
    ck_assert(all[0].passed && all[0].kld_mean == alone.kld_mean && all[0].nonfinite == 0);
    ck_assert(!all[1].passed && all[1].missed_count == 1 && all[1].nonfinite == 0);
    ck_assert_ptr_nonnull(strstr(all[1].missed[0], "kld_mean"));
    ck_assert(!all[2].passed && isnan(all[2].kld_mean) && isnan(all[2].paired.change) && isnan(all[2].paired.p));
    for (int i = 0; i < COUNT; i++) {
        pl_check_release(&all[i]);
        pl_source_close(models[i]);
    }
    pl_check_release(&alone);
    pl_source_close(b);
}
END_TEST

static void refuse(pl_source *a, pl_source *b, pl_check_options o, pl_status code, const char *what)
{
    pl_check_result r;
    ck_assert_int_eq(pl_check_run(&a, 1, b, &o, NULL, &r), code);
    ck_assert_msg(strstr(pl_error(), what) != NULL, "'%s' lacks '%s'", pl_error(), what);
}

START_TEST(test_refusals)
{
    pl_source *a = make(0, PL_F32), *b = make(0, PL_F32);
    pl_check_options o = wish(PL_PROTOCOL_LCPP);

    o.max_kld = 1;
    refuse(a, NULL, o, PL_E_WISH, "original");
    o = wish(PL_PROTOCOL_LCPP);
    o.ctx = 64;
    refuse(a, b, o, PL_E_INPUT, "101 tokens, expected at least 128");
    o.ctx = 3;
    refuse(a, b, o, PL_E_WISH, "context of 3");
    o = wish(PL_PROTOCOL_LCPP);
    o.text = "/nonexistent/text";
    refuse(a, b, o, PL_E_INPUT, "/nonexistent/text");

    o = wish(PL_PROTOCOL_LCPP);
    pl_vocab *v = b->model->vocab;
    v->add_eos = true;
    refuse(a, b, o, PL_E_INPUT, "EOS");
    v->add_eos = false;
    v->add_bos = false;
    refuse(a, b, o, PL_E_INPUT, "begins texts with token 0");
    v->bos = -1;
    o.bos = PL_BOS_ALWAYS;
    refuse(a, b, o, PL_E_WISH, "BOS");
    o.bos = PL_BOS_NEVER;

    /* two tokens swapped: the first of them in the text is named */
    pl_text swap = v->token[id_of(text[5])];
    v->token[id_of(text[5])] = v->token[40];
    v->token[40] = swap;
    int first = (int)(strchr(text, text[5]) - text);
    char sentence[64];
    snprintf(sentence, sizeof sentence, "token %d of the text is %d", first, (int)id_of(text[5]));
    refuse(a, b, o, PL_E_INPUT, sentence);
    b->model->hp.vocab = 49;
    refuse(a, b, o, PL_E_INPUT, "predicts 50 tokens");
    b->model->vocab = NULL;
    refuse(a, b, o, PL_E_INPUT, "vocabulary");
    pl_source_close(a);
    pl_source_close(b);
}
END_TEST

/* What is wrong with one of several is told with its own name. */
START_TEST(test_several_refusals)
{
    pl_source *b = make(0, PL_F32), *odd = make(0, PL_F32), *models[] = { make(0, PL_F32), make(0, PL_F32), odd };
    pl_source *crowd[PL_MAX_CANDIDATES + 1];
    pl_check_result r[PL_MAX_CANDIDATES + 1];
    pl_check_options o = wish(PL_PROTOCOL_LCPP);
    odd->path = "odd.gguf";
    pl_text *token = odd->model->vocab->token, swap = token[id_of(text[5])];
    token[id_of(text[5])] = token[40];
    token[40] = swap;
    ck_assert_int_eq(pl_check_run(models, 3, b, &o, NULL, r), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "is 40 for odd.gguf"));
    ck_assert_int_eq(pl_check_run(models, 3, NULL, &o, NULL, r), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "is 40 for odd.gguf"));
    odd->model->hp.vocab = 49;
    ck_assert_int_eq(pl_check_run(models, 3, b, &o, NULL, r), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "odd.gguf predicts 49 tokens"));
    odd->model->hp.encoder = true;
    ck_assert_int_eq(pl_check_run(models, 3, b, &o, NULL, r), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "odd.gguf is an encoder"));

    for (int i = 0; i < PL_COUNT(crowd); i++) crowd[i] = models[0];
    ck_assert_int_eq(pl_check_run(crowd, PL_COUNT(crowd), b, &o, NULL, r), PL_E_WISH);
    ck_assert_ptr_nonnull(strstr(pl_error(), "65 models to check, expected 1 to 64"));
    ck_assert_int_eq(pl_check_run(crowd, 0, b, &o, NULL, r), PL_E_WISH);
    for (int i = 0; i < 3; i++) pl_source_close(models[i]);
    pl_source_close(b);
}
END_TEST

/* ---- reports ---- */

/* Names of all members in turn, joined by spaces. */
static void names_of(const pl_json *json, char *out)
{
    out[0] = 0;
    for (const pl_json *m = pl_json_first(json); m; m = pl_json_next(m)) {
        strcat(out, pl_json_key(m));
        strcat(out, " ");
    }
}

static pl_json *read_back(char *printed)
{
    pl_json *json;
    ck_assert_int_eq(pl_json_take(printed, strlen(printed), "report", &json), PL_OK);
    return json;
}

static pl_json *report_of(const pl_check_result *r)
{
    char *printed;
    ck_assert_int_eq(pl_check_json(r, 1, &printed), PL_OK);
    return read_back(printed);
}

static double number_of(const pl_json *json, const char *key)
{
    double value;
    ck_assert_int_eq(pl_json_number(json, key, true, "report", &value), PL_OK);
    return value;
}

static bool passed(const pl_json *json)
{
    bool value;
    ck_assert_int_eq(pl_json_bool(json, "passed", true, "report", &value), PL_OK);
    return value;
}

/* A member that is there, but null. */
static bool is_null(const pl_json *json, const char *key)
{
    for (const pl_json *m = pl_json_first(json); m; m = pl_json_next(m))
        if (!strcmp(pl_json_key(m), key)) return pl_json_is(m, PL_JSON_NULL);
    return false;
}

START_TEST(test_report)
{
    char names[600];
    const char *files[] = { text_path() };
    pl_source *a = make(0.2f, PL_Q8_0), *b = make(0, PL_F32);
    a->file = files;
    a->files = 1;
    pl_check_options o = wish(PL_PROTOCOL_LCPP);
    o.max_kld = 0;
    pl_check_result r = check(a, b, o, 1);
    ck_assert_int_eq(r.size_bytes, TEXT);
    ck_assert_double_eq_tol(r.bpw_body, 8.5, 1e-12);
    ck_assert_double_eq_tol(r.bpw_file, 8.0 * TEXT / (double)b->model->parameters, 1e-12);

    pl_json *json = report_of(&r);
    names_of(json, names);
    ck_assert_str_eq(names, "schema model against text protocol bos ctx chunks tokens_scored size_bytes "
                     "bpw_body bpw_file ppl ppl_err ppl_base ppl_ratio kld_mean kld_err kld_median "
                     "kld_p99 kld_p999 kld_max kld_windows kld_floor top1 rms_dp cos_mean cos_p01 cos_min cos_floor sim_rms "
                     "pp_tps tg_tps mode device threads "
                     "seconds peak_rss_bytes seed nonfinite versions digests passed missed ");
    ck_assert_str_eq(pl_json_text(pl_json_get(json, "schema")), "planish.report/1");
    ck_assert_str_eq(pl_json_text(pl_json_get(json, "protocol")), "lcpp");
    ck_assert_str_eq(pl_json_text(pl_json_get(json, "mode")), "exact");
    ck_assert(strncmp(pl_json_text(pl_json_get(json, "device")), "cpu: ", 5) == 0);
    ck_assert(number_of(json, "kld_mean") == r.kld_mean);
    ck_assert(number_of(json, "seed") == 7);
    ck_assert(!passed(json));
    ck_assert_str_eq(pl_json_text(pl_json_first(pl_json_get(json, "missed"))), r.missed[0]);
    const pl_json *digests = pl_json_get(json, "digests");
    names_of(digests, names);
    ck_assert_str_eq(names, "model against text ");
    const char *text_digest = pl_json_text(pl_json_get(digests, "text"));
    ck_assert_str_eq(pl_json_text(pl_json_get(digests, "model")), text_digest);
    ck_assert(strncmp(text_digest, "xxh3:", 5) == 0);
    names_of(pl_json_get(json, "versions"), names);
    ck_assert_str_eq(names, "planish blas ");
    pl_json_free(json);

    /* alone: what was not measured is null */
    r = check(a, NULL, wish(PL_PROTOCOL_LCPP), 1);
    json = report_of(&r);
    ck_assert(is_null(json, "kld_mean"));
    ck_assert(is_null(json, "against"));
    ck_assert(passed(json));
    pl_json_free(json);
    pl_source_close(a);
    pl_source_close(b);
}
END_TEST

START_TEST(test_bench)
{
    char names[400], *printed;
    pl_bench_result r;
    pl_source *s = make(0, PL_Q8_0);
    pl_bench_options o = { .pp = 20, .tg = 5, .repeats = 3, .mode = PL_MODE_FAST };
    ck_assert_msg(pl_bench_run(s, &o, NULL, &r) == PL_OK, "%s", pl_error());
    ck_assert(r.pp_tps > 0 && r.tg_tps > 0 && r.pp_spread >= 0 && r.tg_spread >= 0 && r.threads == 1);
    ck_assert(r.tg_bandwidth_share > 0);
    /* 3 layers of keys and values, 32 floats each, of 1 to 5 positions: 3 on average */
    pl_graph *g;
    ck_assert_int_eq(pl_graph_create(s, NULL, PL_MODE_FAST, 8, &g), PL_OK);
    ck_assert_int_eq(r.tg_bytes_per_token, pl_graph_bytes_per_token(g) + 3 * 2 * 32 * 4 * 3);
    ck_assert_double_eq_tol(r.tg_gbps, r.tg_tps * (double)r.tg_bytes_per_token / 1e9, 1e-9 * r.tg_gbps);
    pl_graph_destroy(g);

    ck_assert_int_eq(pl_bench_json(&r, &printed), PL_OK);
    pl_json *json = read_back(printed);
    names_of(json, names);
    ck_assert_str_eq(names, "schema pp_tps pp_spread tg_tps tg_spread tg_bytes_per_token tg_gbps read_gbps "
                     "tg_bandwidth_share threads device ");
    pl_json_free(json);
    o = (pl_bench_options){ .pp = 0, .tg = 0 };
    ck_assert_int_eq(pl_bench_run(s, &o, NULL, &r), PL_E_WISH);
    pl_source_close(s);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_window_counts, test_window_tokens, test_protocols, test_against_itself,
        test_thresholds, test_nonfinite, test_several, test_several_verdicts, test_refusals, test_several_refusals,
        test_report, test_bench,
    };
    make_text();
    return run_suite("check", tests, PL_COUNT(tests));
}
