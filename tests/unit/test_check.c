/* test_check.c: windows, side-by-side runs, thresholds, reports, generation and timing on tiny models. */
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
    ck_assert_msg(pl_check_run(model, against, &o, pool, &r) == PL_OK, "%s", pl_error());
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

static void refuse(pl_source *a, pl_source *b, pl_check_options o, pl_status code, const char *what)
{
    pl_check_result r;
    ck_assert_int_eq(pl_check_run(a, b, &o, NULL, &r), code);
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
    ck_assert_int_eq(pl_check_json(r, &printed), PL_OK);
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

/* ---- generation ---- */

typedef struct collected { char text[400]; int len, calls; } collected;

static void collect(void *ctx, const char *bytes, int len)
{
    collected *c = ctx;
    memcpy(c->text + c->len, bytes, (size_t)len);
    c->len += len;
    c->calls++;
}

static collected generate(pl_source *s, pl_generate_options o, pl_generate_stats *stats)
{
    collected c = { .len = 0 };
    ck_assert_msg(pl_generate(s, &o, NULL, collect, &c, stats) == PL_OK, "%s", pl_error());
    return c;
}

START_TEST(test_generate)
{
    pl_generate_stats stats;
    pl_source *s = make(0, PL_F32);
    s->model->vocab->eogs = 0;          /* nothing ends it early */
    pl_generate_options o = { .prompt = "once upon", .tokens = 12 };
    collected a = generate(s, o, &stats);
    ck_assert_int_eq(stats.prompt_tokens, 10);
    ck_assert_int_eq(stats.new_tokens, 12);
    ck_assert(a.calls == 12 && stats.pp_tps > 0 && stats.tg_tps > 0);

    /* greedy by hand */
    pl_graph *g;
    const float *hidden;
    float logits[50];
    char expected[64] = "";
    int32_t ids[10] = { 0 };
    for (int i = 0; i < 9; i++) ids[i + 1] = id_of(o.prompt[i]);
    ck_assert_int_eq(pl_graph_create(s, NULL, PL_MODE_EXACT, 32, &g), PL_OK);
    ck_assert_int_eq(pl_graph_forward(g, ids, 10, &hidden), PL_OK);
    hidden += (int64_t)9 * 64;
    for (int i = 0; i < 12; i++) {
        ck_assert_int_eq(pl_graph_logits(g, hidden, 1, logits), PL_OK);
        int32_t top = 0;
        for (int t = 1; t < 50; t++) top = logits[t] > logits[top] ? t : top;
        if (top == 2) strcat(expected, " ");
        else if (top > 2) strcat(expected, s->model->vocab->token[top].s);
        ck_assert_int_eq(pl_graph_forward(g, &top, 1, &hidden), PL_OK);
    }
    pl_graph_destroy(g);
    ck_assert_int_eq(a.len, (int)strlen(expected));
    ck_assert(memcmp(a.text, expected, (size_t)a.len) == 0);

    /* the context ends it: 16 positions hold 6 new tokens, and one more is known after them */
    o.ctx = 16;
    o.tokens = 100;
    generate(s, o, &stats);
    ck_assert_int_eq(stats.new_tokens, 7);

    /* tokens that end a generation are not put out */
    collected whole = generate(s, o, &stats);
    s->model->vocab->eogs = 1;
    for (int32_t t = 0; t < 50; t++) {
        s->model->vocab->eog[0] = t;
        collected c = generate(s, o, &stats);
        ck_assert(c.calls == stats.new_tokens && c.len <= whole.len);
        ck_assert(memcmp(c.text, whole.text, (size_t)c.len) == 0);
    }
    pl_source_close(s);
}
END_TEST

START_TEST(test_sampling)
{
    pl_generate_stats stats;
    pl_source *s = make(0, PL_F32);
    s->model->vocab->eogs = 0;
    pl_generate_options o = { .prompt = "a", .tokens = 30, .temperature = 1, .seed = 1 };
    collected a = generate(s, o, &stats), again = generate(s, o, &stats);
    ck_assert(a.len == again.len && memcmp(a.text, again.text, (size_t)a.len) == 0);
    o.seed = 2;
    collected other = generate(s, o, &stats);
    ck_assert(a.len != other.len || memcmp(a.text, other.text, (size_t)a.len) != 0);
    o.temperature = 1e-4;               /* so cold that the likeliest always wins */
    collected cold = generate(s, o, &stats);
    o.temperature = 0;
    collected greedy = generate(s, o, &stats);
    ck_assert(cold.len == greedy.len && memcmp(cold.text, greedy.text, (size_t)cold.len) == 0);

    collected c = { .len = 0 };
    o = (pl_generate_options){ .prompt = "", .tokens = 3 };
    ck_assert_int_eq(pl_generate(s, &o, NULL, collect, &c, &stats), PL_OK);     /* <s> alone */
    s->model->vocab->add_bos = false;
    ck_assert_int_eq(pl_generate(s, &o, NULL, collect, &c, &stats), PL_E_WISH);
    o.prompt = "far too long";
    o.ctx = 8;
    ck_assert_int_eq(pl_generate(s, &o, NULL, collect, &c, &stats), PL_E_WISH);
    pl_tiny_poke(s, PL_OUTPUT_NORM, -1, 3, 0, NAN);
    o.ctx = 0;
    ck_assert_int_eq(pl_generate(s, &o, NULL, collect, &c, &stats), PL_E_CHECK);
    pl_source_close(s);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_window_counts, test_window_tokens, test_protocols, test_against_itself,
        test_thresholds, test_nonfinite, test_refusals, test_report, test_bench, test_generate,
        test_sampling,
    };
    make_text();
    return run_suite("check", tests, PL_COUNT(tests));
}
