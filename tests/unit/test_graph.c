/* test_graph.c: the forward pass against a naive one in double, written here on its own. */
#include <math.h>

#include "core/rng.h"
#include "runtime-check/graph.h"
#include "runtime-check/rope.h"
#include "tests/unit/run.h"
#include "tests/unit/tiny_llama.h"

enum { TOKENS = 70, WIDE = 96 };        /* TOKENS: more than one tile of queries */

/* ---- the naive decoder: one token after another, Hugging Face's conventions ---- */

typedef struct naive {
    const pl_source *s;
    double k[3][TOKENS][WIDE], v[3][TOKENS][WIDE];
} naive;

static void naive_linear(const naive *m, int role, int layer, int rows, int cols, const double *x,
                         double *y)
{
    for (int r = 0; r < rows; r++) {
        y[r] = pl_tiny_value(m->s, role + PL_BIAS, layer, r, 0);
        for (int c = 0; c < cols; c++) y[r] += pl_tiny_value(m->s, role, layer, r, c) * x[c];
    }
}

static void naive_norm(const naive *m, int role, int layer, const double *x, double *y)
{
    const pl_hparams *hp = &m->s->model->hp;
    double mean = 0;
    for (int c = 0; c < hp->hidden; c++) mean += x[c] * x[c] / hp->hidden;
    for (int c = 0; c < hp->hidden; c++) {
        y[c] = x[c] / sqrt(mean + (double)hp->norm_eps) * pl_tiny_value(m->s, role, layer, c, 0);
    }
}

static double naive_frequency(const naive *m, int j)
{
    const pl_hparams *hp = &m->s->model->hp;
    double f = 1 / pow(hp->rope_base, 2.0 * j / hp->head_dim), factor = hp->rope_factor;
    double table = pl_tiny_value(m->s, PL_ROPE_FREQS, -1, j, 0);
    if (table != 0) return f / table;
    if (hp->rope_scaling == PL_ROPE_LINEAR) return f / factor;
    if (hp->rope_scaling == PL_ROPE_LLAMA3) {
        double wave = 2 * M_PI / f, low = hp->rope_low, high = hp->rope_high, old = hp->rope_context;
        if (wave < old / high) return f;
        if (wave > old / low) return f / factor;
        double smooth = (old / wave - low) / (high - low);
        return (1 - smooth) * f / factor + smooth * f;
    }
    return f;
}

static void naive_rope(const naive *m, int position, int heads, double *x)
{
    int dim = m->s->model->hp.head_dim;
    for (int h = 0; h < heads; h++) {
        for (int j = 0; j < dim / 2; j++) {
            double angle = position * naive_frequency(m, j), *at = x + h * dim + j;
            double a = at[0], b = at[dim / 2];
            at[0] = a * cos(angle) - b * sin(angle);
            at[dim / 2] = b * cos(angle) + a * sin(angle);
        }
    }
}

static void naive_attention(const naive *m, int layer, int position, const double *q, double *out)
{
    const pl_hparams *hp = &m->s->model->hp;
    int dim = hp->head_dim;
    for (int h = 0; h < hp->heads; h++) {
        int kv = h / (hp->heads / hp->kv_heads) * dim;
        double score[TOKENS], sum = 0;
        for (int t = 0; t <= position; t++) {
            double dot = 0;
            for (int d = 0; d < dim; d++) dot += q[h * dim + d] * m->k[layer][t][kv + d];
            sum += score[t] = exp(dot / sqrt(dim));
        }
        for (int d = 0; d < dim; d++) {
            out[h * dim + d] = 0;
            for (int t = 0; t <= position; t++) out[h * dim + d] += score[t] / sum * m->v[layer][t][kv + d];
        }
    }
}

static void naive_step(naive *m, int position, int32_t token, double *logits)
{
    const pl_hparams *hp = &m->s->model->hp;
    int n = hp->hidden, kv = hp->kv_heads * hp->head_dim;
    double x[WIDE], y[WIDE], q[WIDE], att[WIDE], gate[WIDE], up[WIDE];
    for (int c = 0; c < n; c++) x[c] = pl_tiny_value(m->s, PL_TOKEN_EMBD, -1, token, c);
    for (int l = 0; l < hp->layers; l++) {
        naive_norm(m, PL_ATTN_NORM, l, x, y);
        naive_linear(m, PL_ATTN_Q, l, hp->heads * hp->head_dim, n, y, q);
        naive_linear(m, PL_ATTN_K, l, kv, n, y, m->k[l][position]);
        naive_linear(m, PL_ATTN_V, l, kv, n, y, m->v[l][position]);
        naive_rope(m, position, hp->heads, q);
        naive_rope(m, position, hp->kv_heads, m->k[l][position]);
        naive_attention(m, l, position, q, att);
        naive_linear(m, PL_ATTN_O, l, n, hp->heads * hp->head_dim, att, y);
        for (int c = 0; c < n; c++) x[c] += y[c];
        naive_norm(m, PL_FFN_NORM, l, x, y);
        naive_linear(m, PL_FFN_GATE, l, hp->ffn, n, y, gate);
        naive_linear(m, PL_FFN_UP, l, hp->ffn, n, y, up);
        for (int c = 0; c < hp->ffn; c++) gate[c] *= up[c] / (1 + exp(-gate[c]));
        naive_linear(m, PL_FFN_DOWN, l, n, hp->ffn, gate, y);
        for (int c = 0; c < n; c++) x[c] += y[c];
    }
    naive_norm(m, PL_OUTPUT_NORM, -1, x, y);
    naive_linear(m, hp->tied ? PL_TOKEN_EMBD : PL_OUTPUT, -1, hp->vocab, n, y, logits);
}

/* ---- helpers ---- */

static int32_t tokens[600];

static void make_tokens(void)
{
    for (int i = 0; i < PL_COUNT(tokens); i++) tokens[i] = (int32_t)(pl_rng_bits(3, 0, (uint64_t)i) % 50);
}

/* Logits of `count` tokens, cut into calls of `piece`. */
static void run(pl_source *s, pl_mode mode, int threads, int count, int piece, float *logits)
{
    pl_graph *g;
    pl_pool *pool;
    const float *hidden;
    ck_assert_int_eq(pl_pool_create(threads, &pool), PL_OK);
    ck_assert_msg(pl_graph_create(s, pool, mode, count, &g) == PL_OK, "%s", pl_error());
    for (int done = 0; done < count; done += piece) {
        int n = done + piece <= count ? piece : count - done;
        ck_assert_int_eq(pl_graph_forward(g, tokens + done, n, &hidden), PL_OK);
        ck_assert_int_eq(pl_graph_logits(g, hidden, n, logits + done * 50), PL_OK);
    }
    pl_graph_destroy(g);
    pl_pool_destroy(pool);
}

/* Largest difference, relative to the largest of a: rounding in float32 is below 1e-5 of it. */
static double difference(const float *a, const float *b, int n)
{
    double most = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - b[i]));
        largest = fmax(largest, fabs(a[i]));
    }
    return most / largest;
}

static pl_source *make(pl_tiny_options o)
{
    pl_source *s;
    ck_assert_msg(pl_tiny_create(&o, &s) == PL_OK, "%s", pl_error());
    return s;
}

/* ---- tests ---- */

enum { VARIANTS = 6 };

static pl_tiny_options variants(int i)
{
    pl_tiny_options o = { .hp = pl_tiny_hparams(), .dtype = PL_F32 };
    switch (i) {
    case 1:
        o.hp.tied = true;
        o.bias = true;
        break;
    case 2:
        o.hp.rope_scaling = PL_ROPE_LINEAR;
        o.hp.rope_factor = 4;
        o.hp.kv_heads = 4;
        break;
    case 3:
        o.hp.rope_scaling = PL_ROPE_LLAMA3;
        o.hp.rope_factor = 8;
        o.hp.rope_low = 1;
        o.hp.rope_high = 4;
        o.hp.rope_context = 64;
        o.dtype = PL_F16;
        break;
    case 4:
        o.factors = true;
        o.hp.kv_heads = 1;
        break;
    case 5:
        o.dtype = PL_Q8_0;
        o.order = 16;
        o.bias = true;
        break;
    }
    return o;
}

START_TEST(test_reference)
{
    static float logits[TOKENS * 50];
    static naive m;
    double expected[WIDE];
    for (int v = 0; v < VARIANTS; v++) {
        pl_source *s = make(variants(v));
        run(s, PL_MODE_EXACT, 2, TOKENS, TOKENS, logits);
        m.s = s;
        for (int t = 0; t < TOKENS; t++) {
            naive_step(&m, t, tokens[t], expected);
            for (int i = 0; i < 50; i++) {
                ck_assert_msg(fabs(logits[t * 50 + i] - expected[i]) < 3e-5,
                              "variant %d, token %d, logit %d: %g, not %g", v, t, i, logits[t * 50 + i],
                              expected[i]);
            }
        }
        pl_source_close(s);
    }
}
END_TEST

START_TEST(test_cuts)
{
    static float whole[600 * 50], cut[600 * 50];
    pl_source *s = make(variants(1));
    run(s, PL_MODE_EXACT, 2, TOKENS, TOKENS, whole);
    const int piece[] = { 1, 2, 13, 64 };
    for (int p = 0; p < PL_COUNT(piece); p++) {
        run(s, PL_MODE_EXACT, 2, TOKENS, piece[p], cut);
        ck_assert_double_le(difference(whole, cut, TOKENS * 50), 1e-5);
    }
    /* longer than what goes through the layers at a time */
    run(s, PL_MODE_EXACT, 2, 600, 600, whole);
    run(s, PL_MODE_EXACT, 2, 600, 50, cut);
    ck_assert_double_le(difference(whole, cut, 600 * 50), 1e-5);
    pl_source_close(s);
}
END_TEST

START_TEST(test_threads)
{
    static float one[TOKENS * 50], more[TOKENS * 50];
    for (int v = 0; v < VARIANTS; v++) {
        pl_source *s = make(variants(v));
        for (int mode = PL_MODE_EXACT; mode <= PL_MODE_FAST; mode++) {
            run(s, (pl_mode)mode, 1, TOKENS, 35, one);
            for (int threads = 2; threads <= 3; threads++) {
                run(s, (pl_mode)mode, threads, TOKENS, 35, more);
                ck_assert(memcmp(one, more, sizeof one) == 0);
            }
        }
        pl_source_close(s);
    }
}
END_TEST

START_TEST(test_order)
{
    static float halves[TOKENS * 50], interleaved[TOKENS * 50];
    pl_tiny_options o = variants(1);
    pl_source *s = make(o);
    run(s, PL_MODE_EXACT, 2, TOKENS, TOKENS, halves);
    pl_source_close(s);
    o.order = o.hp.head_dim;
    s = make(o);
    run(s, PL_MODE_EXACT, 2, TOKENS, TOKENS, interleaved);
    pl_source_close(s);
    ck_assert_double_le(difference(halves, interleaved, TOKENS * 50), 1e-5);
}
END_TEST

/* Eight-bit activations cost something, but little. */
START_TEST(test_fast)
{
    static float exact[TOKENS * 50], fast[TOKENS * 50];
    const struct { int variant; double least, most; } expected[] = { { 1, 0, 1e-5 }, { 3, 0, 1e-5 },
                                                                     { 5, 1e-4, 0.1 } };
    for (int e = 0; e < PL_COUNT(expected); e++) {
        pl_source *s = make(variants(expected[e].variant));
        for (int piece = 1; piece <= TOKENS; piece += TOKENS - 1) {
            run(s, PL_MODE_EXACT, 2, TOKENS, piece, exact);
            run(s, PL_MODE_FAST, 2, TOKENS, piece, fast);
            double distance = difference(exact, fast, TOKENS * 50);
            ck_assert_double_le(distance, expected[e].most);
            ck_assert_double_ge(distance, expected[e].least);
        }
        pl_source_close(s);
    }
}
END_TEST

/* Llama 3.1: pairs up to 28 turn as ever, those from 35 on eight times slower, with values between. */
START_TEST(test_llama3_frequencies)
{
    pl_hparams hp = { .head_dim = 128, .rope_base = 500000, .rope_scaling = PL_ROPE_LLAMA3, .rope_factor = 8,
                      .rope_low = 1, .rope_high = 4, .rope_context = 8192 };
    double f[64], plain[64];
    pl_rope_frequencies(&hp, NULL, f);
    hp.rope_scaling = PL_ROPE_NONE;
    pl_rope_frequencies(&hp, NULL, plain);
    ck_assert_double_eq_tol(plain[0], 1, 1e-15);
    ck_assert_double_eq_tol(plain[32], 1 / sqrt(500000), 1e-12);
    for (int j = 0; j < 64; j++) {
        if (j <= 28) ck_assert(f[j] == plain[j]);
        else if (j >= 35) ck_assert_double_eq_tol(f[j], plain[j] / 8, 1e-15);
        else ck_assert(f[j] < plain[j] && f[j] > plain[j] / 8 && f[j] < f[j - 1]);
    }
    ck_assert_double_eq_tol(plain[29] / f[29], 1.207484, 1e-5);
    ck_assert_double_eq_tol(plain[34] / f[34], 5.257327, 1e-5);

    float factors[64];
    for (int j = 0; j < 64; j++) factors[j] = (float)(j + 1);
    hp.rope_scaling = PL_ROPE_LINEAR;
    pl_rope_frequencies(&hp, factors, f);
    for (int j = 0; j < 64; j++) ck_assert_double_eq_tol(f[j], plain[j] / 8 / (j + 1), 1e-15);
}
END_TEST

static void refuse(pl_source *s, const char *what)
{
    pl_graph *g;
    ck_assert_int_eq(pl_graph_create(s, NULL, PL_MODE_EXACT, 16, &g), PL_E_INPUT);
    ck_assert_ptr_null(g);
    ck_assert_msg(strstr(pl_error(), what) != NULL, "'%s' lacks '%s'", pl_error(), what);
    pl_source_close(s);
}

static pl_tensor *tensor_of(pl_source *s, int role, int layer)
{
    return &s->model->tensor[pl_model_find(s->model, pl_id_make(role, layer, -1))];
}

START_TEST(test_refusals)
{
    pl_source *s = make(variants(0));
    s->model->hp.layers = 4;
    refuse(s, "layer 3 has no tensor 'attn_norm'");
    s = make(variants(0));
    tensor_of(s, PL_FFN_UP, 1)->rows = 95;
    refuse(s, "95 x 64, expected 96 x 64");
    s = make(variants(0));
    tensor_of(s, PL_ATTN_K, 2)->order = 16;
    refuse(s, "order 16");
    s = make(variants(0));
    tensor_of(s, PL_ATTN_V, 2)->order = 16;
    refuse(s, "order 16");
    s = make(variants(0));
    s->model->hp.kv_heads = 3;
    refuse(s, "4 heads over 3");
    s = make(variants(0));
    s->model->hp.vocab = 0;
    refuse(s, "without layers, channels or tokens");

    pl_graph *g;
    const float *hidden;
    const int32_t bad[] = { 1, 50 };
    s = make(variants(0));
    ck_assert_int_eq(pl_graph_create(s, NULL, PL_MODE_EXACT, 0, &g), PL_E_WISH);
    ck_assert_int_eq(pl_graph_create(s, NULL, PL_MODE_EXACT, 4, &g), PL_OK);
    ck_assert_int_eq(pl_graph_forward(g, bad, 2, &hidden), PL_E_INPUT);
    ck_assert_int_eq(pl_graph_forward(g, tokens, 5, &hidden), PL_E_WISH);
    ck_assert_int_eq(pl_graph_forward(g, tokens, 3, &hidden), PL_OK);
    ck_assert_int_eq(pl_graph_forward(g, tokens, 2, &hidden), PL_E_WISH);
    ck_assert_int_eq(pl_graph_forward(g, tokens, 1, &hidden), PL_OK);
    pl_graph_clear(g);
    ck_assert_int_eq(pl_graph_forward(g, tokens, 4, &hidden), PL_OK);
    pl_graph_destroy(g);
    pl_graph_destroy(NULL);
    pl_source_close(s);
}
END_TEST

/* What a model reads per token follows from its shapes. */
START_TEST(test_sizes)
{
    pl_graph *g;
    int64_t block = 64 * 64 * 2 + 32 * 64 * 2 + 3 * 64 * 96, norms = (2 * 3 + 1) * 64 * 4;
    for (int v = 0; v <= 5; v += 5) {
        pl_tiny_options o = variants(v);
        o.bias = false;
        pl_source *s = make(o);
        ck_assert_int_eq(pl_graph_create(s, NULL, PL_MODE_FAST, 16, &g), PL_OK);
        int64_t weights = 3 * block + 50 * 64 + 64, bytes = v == 0 ? weights * 4 : weights / 32 * 34;
        ck_assert_int_eq(pl_graph_bytes_per_token(g), bytes + norms);
        ck_assert_int_gt(pl_graph_memory(g), 2 * 3 * 16 * 32 * 4);
        ck_assert_int_lt(pl_graph_memory(g), 4 << 20);
        pl_graph_destroy(g);
        pl_source_close(s);
    }
}
END_TEST

START_TEST(test_nonfinite_weights_show)
{
    static float logits[TOKENS * 50];
    pl_source *s = make(variants(0));
    pl_tiny_poke(s, PL_FFN_DOWN, 2, 5, 7, NAN);
    run(s, PL_MODE_EXACT, 2, TOKENS, TOKENS, logits);
    for (int i = 0; i < TOKENS * 50; i++) ck_assert(isnan(logits[i]));
    pl_source_close(s);
}
END_TEST

START_TEST(test_no_memory)
{
    pl_graph *g;
    pl_source *s = make(variants(1));
    for (int n = 0; n < 30; n++) {
        pl_mem_fail_after(n);
        pl_status status = pl_graph_create(s, NULL, PL_MODE_FAST, 16, &g);
        pl_mem_fail_after(-1);
        ck_assert(status == PL_OK || (status == PL_E_MEMORY && !g));
        pl_graph_destroy(g);
    }
    pl_source_close(s);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_reference, test_cuts, test_threads, test_order, test_fast, test_llama3_frequencies,
        test_refusals, test_sizes, test_nonfinite_weights_show, test_no_memory,
    };
    make_tokens();
    return run_suite("graph", tests, PL_COUNT(tests));
}
