/* test_generate.c: a prompt continued by a tiny model, greedily and by drawing. */
#include <math.h>

#include "runtime-check/check.h"
#include "tests/unit/run.h"
#include "tests/unit/tiny_model.h"

static int32_t id_of(char c) { return c == ' ' ? 2 : 3 + c - 'a'; }

static pl_source *make(void)
{
    pl_source *s;
    pl_tiny_options o = { .hp = pl_tiny_hparams(), .dtype = PL_F32 };
    ck_assert_msg(pl_tiny_create(&o, &s) == PL_OK, "%s", pl_error());
    return s;
}

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
    pl_source *s = make();
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
    pl_source *s = make();
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
    const TTest *const tests[] = { test_generate, test_sampling };
    return run_suite("generate", tests, PL_COUNT(tests));
}
