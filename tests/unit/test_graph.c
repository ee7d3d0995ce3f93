/* test_graph.c: the forward pass against a naive one in double, for each thing that a model may have. */
#include <math.h>

#include "core/rng.h"
#include "runtime-check/graph.h"
#include "tests/unit/naive_model.h"
#include "tests/unit/run.h"
#include "tests/unit/tiny_model.h"

enum { TOKENS = 70, WIDE = 64 };        /* TOKENS: more than one tile of queries; WIDE: most values of a row */

/* ---- models ---- */

/* What a field of .hp leaves 0 is filled in from pl_tiny_hparams; rope_dim -1: none. */
static const struct { const char *name; pl_tiny_options o; } variants[] = {
    { "llama", { .dtype = PL_F32 } },
    { "tied, biases", { .hp = { .tied = true }, .bias = true } },
    { "q8_0, interleaved pairs", { .bias = true, .order = 16, .dtype = PL_Q8_0 } },
    { "linear scaling", { .hp = { .rope_scaling = PL_ROPE_LINEAR, .rope_factor = 4, .kv_heads = 4 } } },
    { "rotary factors, f16", { .hp = { .kv_heads = 1 }, .factors = true, .dtype = PL_F16 } },
    { "llama3", { .hp = { .rope_scaling = PL_ROPE_LLAMA3, .rope_factor = 8 }, .factors = true } },
    { "partly rotating", { .hp = { .rope_dim = 6 }, .factors = true } },
    { "no positions", { .hp = { .rope_dim = -1 } } },
    { "layers without positions", { .hp = { .layer = { 0, PL_LAYER_NO_ROPE, 0 } } } },
    { "yarn", { .hp = { .rope_scaling = PL_ROPE_YARN, .rope_factor = 8, .rope_context = 256, .yarn_fast = 16,
                        .yarn_slow = 2 } } },
    { "yarn, partly", { .hp = { .rope_scaling = PL_ROPE_YARN, .rope_factor = 4, .rope_context = 300, .rope_dim = 12,
                                .rope_attn_factor = 0.8f } } },
    { "longrope, long", { .hp = { .rope_scaling = PL_ROPE_LONGROPE, .rope_context = TOKENS - 1 } } },
    { "longrope, short", { .hp = { .rope_scaling = PL_ROPE_LONGROPE, .rope_context = TOKENS,
                                   .rope_attn_factor = 1.5f } } },
    { "windows", { .hp = { .layer = { PL_LAYER_WINDOW, 0, PL_LAYER_WINDOW }, .window = 5, .rope_base_window = 100,
                           .rope_scaling = PL_ROPE_LINEAR, .rope_factor = 8 } } },
    { "window of one", { .hp = { .layer = { 0, PL_LAYER_WINDOW, 0 }, .window = 1 } } },
    { "window of most", { .hp = { .layer = { PL_LAYER_WINDOW, PL_LAYER_WINDOW, 0 }, .window = 66 } } },
    { "layer norms", { .hp = { .norm = PL_NORM_LAYER } } },
    { "layer norms, biases", { .hp = { .norm = PL_NORM_LAYER }, .norm_bias = true } },
    { "fused", { .fused = true } },
    { "fused, biases, q8_0", { .fused = true, .bias = true, .dtype = PL_Q8_0 } },
    { "norms of heads", { .head_norms = true } },
    { "norms behind blocks", { .post_norms = true } },
    { "norms of the stream", { .out_norms = true } },
    { "gelu", { .hp = { .act = PL_ACT_GELU } } },
    { "gelu by tanh, ungated", { .hp = { .act = PL_ACT_GELU_TANH }, .ungated = true } },
    { "silu, ungated", { .ungated = true, .bias = true } },
    { "scales", { .hp = { .embd_scale = 8, .attn_scale = 0.1f } } },
    { "soft caps", { .hp = { .attn_softcap = 1.5f, .logit_softcap = 2 } } },
    { "learned positions", { .hp = { .rope_dim = -1 }, .positions = true } },
    { "token types", { .hp = { .token_types = 2 }, .embd_norm = true } },
    { "mixtral", { .hp = { .experts = 8, .experts_used = 2, .expert_ffn = 32, .expert_renorm = true } } },
    { "one expert", { .hp = { .experts = 5, .experts_used = 1, .expert_ffn = 32 }, .fused = true, .bias = true } },
    { "qwen2_moe", { .hp = { .experts = 6, .experts_used = 4, .expert_ffn = 32, .shared_ffn = 64 }, .bias = true,
                     .shared_router = true } },
    { "all experts, q8_0", { .hp = { .experts = 3, .experts_used = 3, .expert_ffn = 64, .shared_ffn = 32 },
                             .dtype = PL_Q8_0, .ungated = true } },
    { "experts, q8_0", { .hp = { .experts = 7, .experts_used = 3, .expert_ffn = 64, .expert_renorm = true },
                         .dtype = PL_Q8_0 } },
    { "gemma2", { .hp = { .act = PL_ACT_GELU_TANH, .embd_scale = 8, .attn_scale = 0.2f, .attn_softcap = 50,
                          .logit_softcap = 30, .layer = { PL_LAYER_WINDOW, 0, PL_LAYER_WINDOW }, .window = 16,
                          .tied = true }, .post_norms = true } },
    { "gemma3", { .hp = { .act = PL_ACT_GELU_TANH, .embd_scale = 8, .rope_base = 1e6f, .rope_base_window = 1e4f,
                          .rope_scaling = PL_ROPE_LINEAR, .rope_factor = 8, .kv_heads = 1, .tied = true,
                          .layer = { PL_LAYER_WINDOW, PL_LAYER_WINDOW, 0 }, .window = 8 },
                  .post_norms = true, .head_norms = true } },
    { "gpt2", { .hp = { .norm = PL_NORM_LAYER, .act = PL_ACT_GELU_TANH, .rope_dim = -1, .kv_heads = 4, .tied = true },
                .norm_bias = true, .bias = true, .fused = true, .ungated = true, .positions = true } },
    { "bert", { .hp = { .norm = PL_NORM_LAYER, .act = PL_ACT_GELU, .rope_dim = -1, .kv_heads = 4, .token_types = 2,
                        .encoder = true }, .norm_bias = true, .bias = true, .ungated = true, .positions = true,
                .embd_norm = true, .out_norms = true } },
    { "rotating encoder, experts, q8_0", { .hp = { .encoder = true, .experts = 4, .experts_used = 2, .expert_ffn = 32,
                                                   .kv_heads = 4 }, .dtype = PL_Q8_0 } },
};
enum { VARIANTS = PL_COUNT(variants) };

#define FILL(field) if (o.hp.field == 0) o.hp.field = d.field

static pl_tiny_options options_of(int variant)
{
    pl_tiny_options o = variants[variant].o;
    const pl_hparams d = pl_tiny_hparams();
    FILL(layers);
    FILL(hidden);
    FILL(heads);
    FILL(kv_heads);
    FILL(head_dim);
    FILL(ffn);
    FILL(vocab);
    FILL(context);
    FILL(norm_eps);
    FILL(rope_base);
    FILL(rope_dim);
    if (o.hp.rope_dim < 0) o.hp.rope_dim = 0;
    return o;
}

static int variant_named(const char *name)
{
    for (int v = 0; v < VARIANTS; v++)
        if (!strcmp(variants[v].name, name)) return v;
    ck_abort_msg("no variant '%s'", name);
    return 0;
}

static pl_source *make(pl_tiny_options o)
{
    pl_source *s;
    ck_assert_msg(pl_tiny_create(&o, &s) == PL_OK, "%s", pl_error());
    return s;
}

static pl_source *make_named(const char *name) { return make(options_of(variant_named(name))); }

/* Values of a token's result. */
static int width_of(const pl_source *s) { return s->model->hp.encoder ? s->model->hp.hidden : s->model->hp.vocab; }

/* ---- helpers ---- */

static int32_t tokens[600];

static void make_tokens(void)
{
    for (int i = 0; i < PL_COUNT(tokens); i++) tokens[i] = (int32_t)(pl_rng_bits(3, 0, (uint64_t)i) % 50);
}

/* Results of `count` tokens, cut into calls of `piece`. */
static void run(pl_source *s, pl_mode mode, int threads, int count, int piece, float *out)
{
    pl_graph *g;
    pl_pool *pool;
    const float *hidden;
    int width = width_of(s);
    assert_ok(pl_pool_create(threads, &pool));
    assert_ok(pl_graph_create(s, pool, mode, count, &g));
    for (int done = 0; done < count; done += piece) {
        int n = done + piece <= count ? piece : count - done;
        assert_ok(pl_graph_forward(g, tokens + done, n, &hidden));
        if (s->model->hp.encoder) memcpy(out + done * width, hidden, (size_t)(n * width) * sizeof *out);
        else assert_ok(pl_graph_logits(g, hidden, n, out + done * width));
    }
    pl_graph_destroy(g);
    pl_pool_destroy(pool);
}

/* Written out: GCC 12.2 for aarch64 stops at loops that reduce by fmax. */
static double larger(double a, double b) { return b > a ? b : a; }

/* Largest difference, relative to the largest of a: rounding in float32 is below 1e-5 of it. */
static double difference(const float *a, const float *b, int n)
{
    double most = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        most = larger(most, fabs((double)a[i] - b[i]));
        largest = larger(largest, fabs(a[i]));
    }
    return most / largest;
}

/* ---- tests ---- */

START_TEST(test_reference)
{
    static float got[TOKENS * WIDE];
    static double expected[TOKENS * WIDE];
    for (int v = 0; v < VARIANTS; v++) {
        pl_source *s = make(options_of(v));
        double largest = 0;
        int values = TOKENS * width_of(s);
        run(s, PL_MODE_EXACT, 2, TOKENS, TOKENS, got);
        pl_naive_run(s, tokens, TOKENS, TOKENS, expected);
        for (int i = 0; i < values; i++) largest = larger(largest, fabs(expected[i]));
        ck_assert(largest > 0.5 && largest < 100);
        for (int i = 0; i < values; i++) {
            ck_assert_msg(fabs(got[i] - expected[i]) < 1e-5 * largest, "%s, token %d, value %d: %g, not %g",
                          variants[v].name, i / width_of(s), i % width_of(s), got[i], expected[i]);
        }
        pl_source_close(s);
    }
}
END_TEST

/* No variant computes what another one does, so each option has its effect. */
START_TEST(test_variants_differ)
{
    static float all[VARIANTS][TOKENS * WIDE];
    for (int v = 0; v < VARIANTS; v++) {
        pl_source *s = make(options_of(v));
        run(s, PL_MODE_EXACT, 1, TOKENS, TOKENS, all[v]);
        for (int other = 0; other < v; other++) {
            ck_assert_msg(difference(all[v], all[other], TOKENS * 50) > 1e-3, "'%s' is as '%s'", variants[v].name,
                          variants[other].name);
        }
        pl_source_close(s);
    }
}
END_TEST

START_TEST(test_cuts)
{
    static float whole[600 * 50], cut[600 * 50];
    const int piece[] = { 1, 13, 64 };
    for (int v = 0; v < VARIANTS; v++) {
        pl_tiny_options o = options_of(v);
        if (o.hp.encoder) continue;
        pl_source *s = make(o);
        run(s, PL_MODE_EXACT, 2, TOKENS, TOKENS, whole);
        for (int p = 0; p < PL_COUNT(piece); p++) {
            run(s, PL_MODE_EXACT, 2, TOKENS, piece[p], cut);
            ck_assert_msg(difference(whole, cut, TOKENS * 50) < 1e-5, "%s in pieces of %d", variants[v].name, piece[p]);
        }
        pl_source_close(s);
    }
}
END_TEST

/* Longer than what goes through the layers at a time. */
START_TEST(test_batches)
{
    static float whole[600 * 50], cut[600 * 50];
    const char *const names[] = { "tied, biases", "windows", "mixtral", "gpt2" };
    for (int i = 0; i < PL_COUNT(names); i++) {
        pl_source *s = make_named(names[i]);
        run(s, PL_MODE_EXACT, 2, 600, 600, whole);
        run(s, PL_MODE_EXACT, 2, 600, 50, cut);
        ck_assert_double_le(difference(whole, cut, 600 * 50), 1e-5);
        pl_source_close(s);
    }
}
END_TEST

START_TEST(test_threads)
{
    static float one[TOKENS * WIDE], more[TOKENS * WIDE];
    for (int v = 0; v < VARIANTS; v++) {
        pl_source *s = make(options_of(v));
        int piece = s->model->hp.encoder ? TOKENS : 35;
        size_t bytes = (size_t)(TOKENS * width_of(s)) * sizeof *one;
        for (int mode = PL_MODE_EXACT; mode <= PL_MODE_FAST; mode++) {
            run(s, (pl_mode)mode, 1, TOKENS, piece, one);
            for (int threads = 2; threads <= 4; threads++) {
                run(s, (pl_mode)mode, threads, TOKENS, piece, more);
                ck_assert_msg(memcmp(one, more, bytes) == 0, "%s, %d threads", variants[v].name, threads);
            }
        }
        pl_source_close(s);
    }
}
END_TEST

START_TEST(test_order)
{
    static float halves[TOKENS * 50], interleaved[TOKENS * 50];
    pl_tiny_options o = options_of(variant_named("tied, biases"));
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

/* Root mean square of the difference, relative to that of a. */
static double distance(const float *a, const float *b, int n)
{
    double apart = 0, size = 0;
    for (int i = 0; i < n; i++) {
        apart += pow((double)a[i] - b[i], 2);
        size += pow(a[i], 2);
    }
    return sqrt(apart / size);
}

/* Eight-bit activations cost something, but little; more where a token is sent to another expert. */
START_TEST(test_fast)
{
    static float exact[TOKENS * WIDE], fast[TOKENS * WIDE];
    for (int v = 0; v < VARIANTS; v++) {
        pl_tiny_options o = options_of(v);
        bool rounds = o.dtype == PL_Q8_0;
        double most = !rounds ? 1e-5 : o.hp.experts > o.hp.experts_used ? 0.5 : 0.05;
        pl_source *s = make(o);
        for (int piece = o.hp.encoder ? TOKENS : 1; piece <= TOKENS; piece += TOKENS - 1) {
            run(s, PL_MODE_EXACT, 2, TOKENS, piece, exact);
            run(s, PL_MODE_FAST, 2, TOKENS, piece, fast);
            double apart = distance(exact, fast, TOKENS * width_of(s));
            ck_assert_msg(apart < most && (!rounds || apart > 1e-4), "%s: %g", variants[v].name, apart);
        }
        pl_source_close(s);
    }
}
END_TEST

START_TEST(test_encoder)
{
    static float first[TOKENS * WIDE];
    float logits[64];
    pl_graph *g;
    const float *hidden;
    pl_source *s = make_named("bert");
    assert_ok(pl_graph_create(s, NULL, PL_MODE_EXACT, TOKENS, &g));
    assert_ok(pl_graph_forward(g, tokens, 20, &hidden));
    memcpy(first, hidden, 20 * 64 * sizeof *first);
    /* each call is a sequence of its own */
    assert_ok(pl_graph_forward(g, tokens + 20, TOKENS - 20, &hidden));
    assert_ok(pl_graph_forward(g, tokens, 20, &hidden));
    ck_assert(memcmp(first, hidden, 20 * 64 * sizeof *first) == 0);
    /* early positions see later ones */
    assert_ok(pl_graph_forward(g, tokens, 21, &hidden));
    ck_assert_double_ge(difference(first, hidden, 64), 1e-4);
    assert_fails(pl_graph_forward(g, tokens, TOKENS + 1, &hidden), PL_E_WISH, "context of 70");
    assert_fails(pl_graph_logits(g, hidden, 1, logits), PL_E_WISH, "encoder");
    pl_graph_destroy(g);
    pl_source_close(s);
}
END_TEST

/* ---- refusals ---- */

static void refuse(pl_source *s, pl_status status, const char *what)
{
    pl_graph *g;
    assert_fails(pl_graph_create(s, NULL, PL_MODE_EXACT, 16, &g), status, what);
    ck_assert_ptr_null(g);
    pl_source_close(s);
}

static pl_tensor *tensor_of(pl_source *s, int role, int layer, int expert)
{
    return &s->model->tensor[pl_model_find(s->model, pl_id_make(role, layer, expert))];
}

static void refuse_rows(const char *name, int role, int layer, int expert, const char *what)
{
    pl_source *s = make_named(name);
    tensor_of(s, role, layer, expert)->rows--;
    refuse(s, PL_E_INPUT, what);
}

START_TEST(test_shapes)
{
    refuse_rows("llama", PL_FFN_UP, 1, -1, "95 x 64, expected 96 x 64");
    refuse_rows("llama", PL_TOKEN_EMBD, -1, -1, "49 x 64");
    refuse_rows("llama", PL_OUTPUT_NORM, -1, -1, "63 x 1");
    refuse_rows("partly rotating", PL_ROPE_FREQS, -1, -1, "2 x 1, expected 3 x 1");
    refuse_rows("longrope, short", PL_ROPE_SHORT, -1, -1, "7 x 1, expected 8 x 1");
    refuse_rows("fused, biases, q8_0", PL_ATTN_QKV, 2, -1, "127 x 64, expected 128 x 64");
    refuse_rows("fused, biases, q8_0", PL_ATTN_QKV + PL_BIAS, 2, -1, "127 x 1");
    refuse_rows("fused", PL_FFN_GATE_UP, 0, -1, "191 x 64");
    refuse_rows("norms of heads", PL_ATTN_K_NORM, 0, -1, "15 x 1");
    refuse_rows("norms behind blocks", PL_FFN_POST_NORM, 0, -1, "63 x 1");
    refuse_rows("gpt2", PL_POSITION_EMBD, -1, -1, "1023 x 64");
    refuse_rows("bert", PL_TYPE_EMBD, -1, -1, "1 x 64, expected 2 x 64");
    refuse_rows("bert", PL_EMBD_NORM + PL_BIAS, -1, -1, "63 x 1");
    refuse_rows("mixtral", PL_FFN_ROUTER, 1, -1, "7 x 64");
    refuse_rows("mixtral", PL_FFN_DOWN, 1, 7, "63 x 32");
    refuse_rows("qwen2_moe", PL_SHARED_UP, 1, -1, "63 x 64");
    refuse_rows("qwen2_moe", PL_SHARED_ROUTER, 1, -1, "63 x 1");
}
END_TEST

/* A model in which one number is changed. */
#define refuse_with(name, field, value, what) do { \
    pl_source *s_ = make_named(name); \
    s_->model->hp.field = (value); \
    refuse(s_, PL_E_INPUT, (what)); } while (0)

START_TEST(test_refusals)
{
    refuse_with("llama", layers, 4, "layer 3 has no tensor 'attn_norm'");
    refuse_with("llama", layers, PL_MAX_LAYERS + 1, "1025 layers");
    refuse_with("llama", kv_heads, 3, "4 heads over 3");
    refuse_with("llama", head_dim, INT32_MAX / 4 + 1, "4 heads over 2 of 536870912 values");
    refuse_with("llama", vocab, 0, "without layers, channels or tokens");
    refuse_with("llama", rope_dim, 7, "7 of them rotating");
    refuse_with("llama", rope_dim, 18, "18 of them rotating");
    refuse_with("llama", rope_scaling, PL_ROPE_LLAMA3, "no tensor 'rope_freqs'");
    refuse_with("llama", rope_scaling, PL_ROPE_LONGROPE, "no tensor 'rope_factors_long'");
    refuse_with("llama", ffn, 0, "feed-forward of 0 rows");
    refuse_with("llama", layer[1], PL_LAYER_WINDOW, "layer 1 with a window of 0");
    refuse_with("mixtral", experts_used, 9, "9 of 8 experts");
    refuse_with("mixtral", experts_used, 0, "0 of 8 experts");
    refuse_with("mixtral", experts, 0, "2 of 0 experts");
    refuse_with("mixtral", experts, 9, "expert 8 of layer 0 has no tensor 'ffn_up'");
    refuse_with("mixtral", expert_ffn, 0, "feed-forward of 0 rows");
    refuse_with("bert", encoder, false, "the model has no tensor 'output_norm'");
    refuse_with("q8_0, interleaved pairs", rope_dim, 8, "order 16");

    pl_tiny_options o = options_of(variant_named("bert"));
    o.hp.layer[2] = PL_LAYER_WINDOW;
    o.hp.window = 8;
    refuse(make(o), PL_E_INPUT, "in an encoder");
    o = options_of(variant_named("norms of heads"));
    o.order = o.hp.head_dim;
    refuse(make(o), PL_E_INPUT, "norms of heads");
    o = options_of(variant_named("gpt2"));
    o.hp.context = 15;
    refuse(make(o), PL_E_WISH, "16 positions, but the model learned 15");
    pl_source *s = make_named("llama");
    tensor_of(s, PL_ATTN_K, 2, -1)->order = 16;
    refuse(s, PL_E_INPUT, "order 16");
    s = make_named("fused");
    tensor_of(s, PL_ATTN_QKV, 0, -1)->order = 16;
    refuse(s, PL_E_INPUT, "order 16");
}
END_TEST

START_TEST(test_calls)
{
    pl_graph *g;
    const float *hidden;
    const int32_t bad[] = { 1, 50 };
    pl_source *s = make_named("llama");
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

/* ---- sizes, failures ---- */

/* What a model reads per token follows from its shapes. */
START_TEST(test_sizes)
{
    pl_graph *g;
    int64_t attention = 64 * 64 * 2 + 32 * 64 * 2, norms = (2 * 3 + 1) * 64 * 4;
    for (int quantized = 0; quantized < 2; quantized++) {
        pl_tiny_options o = options_of(0);
        if (quantized) o.dtype = PL_Q8_0;
        pl_source *s = make(o);
        ck_assert_int_eq(pl_graph_create(s, NULL, PL_MODE_FAST, 16, &g), PL_OK);
        int64_t weights = 3 * (attention + 3 * 64 * 96) + 50 * 64 + 64;
        ck_assert_int_eq(pl_graph_bytes_per_token(g), (quantized ? weights / 32 * 34 : weights * 4) + norms);
        ck_assert_int_gt(pl_graph_memory(g), 2 * 3 * 16 * 32 * 4);
        ck_assert_int_lt(pl_graph_memory(g), 4 << 20);
        pl_graph_destroy(g);
        pl_source_close(s);
    }
    /* of eight experts, two */
    pl_source *s = make_named("mixtral");
    ck_assert_int_eq(pl_graph_create(s, NULL, PL_MODE_EXACT, 16, &g), PL_OK);
    int64_t weights = 3 * (attention + 8 * 64 + 2 * 3 * 64 * 32) + 50 * 64 + 64;
    ck_assert_int_eq(pl_graph_bytes_per_token(g), weights * 4 + norms);
    pl_graph_destroy(g);
    pl_source_close(s);
}
END_TEST

START_TEST(test_nonfinite_weights_show)
{
    static float logits[TOKENS * 50];
    const struct { const char *name; int role, row; } at[] = {
        { "llama", PL_FFN_DOWN, 5 }, { "soft caps", PL_ATTN_Q, 3 }, { "mixtral", PL_FFN_ROUTER, 2 },
        { "gelu by tanh, ungated", PL_FFN_UP, 1 }, { "layer norms", PL_ATTN_V, 0 },
    };
    for (int k = 0; k < PL_COUNT(at); k++) {
        pl_source *s = make_named(at[k].name);
        pl_tiny_poke(s, at[k].role, 2, at[k].row, 7, NAN);
        run(s, PL_MODE_EXACT, 2, TOKENS, TOKENS, logits);
        for (int i = 0; i < TOKENS * 50; i++) ck_assert_msg(isnan(logits[i]), "%s, logit %d", at[k].name, i);
        pl_source_close(s);
    }
}
END_TEST

START_TEST(test_no_memory)
{
    pl_graph *g;
    for (int v = 0; v < VARIANTS; v++) {
        pl_source *s = make(options_of(v));
        pl_status status = PL_E_MEMORY;
        for (int n = 0; status != PL_OK; n++) {
            pl_mem_fail_after(n);
            status = pl_graph_create(s, NULL, PL_MODE_FAST, 16, &g);
            pl_mem_fail_after(-1);
            ck_assert(status == PL_OK || (status == PL_E_MEMORY && !g));
            pl_graph_destroy(g);
        }
        pl_source_close(s);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_reference, test_variants_differ, test_cuts, test_batches, test_threads, test_order, test_fast,
        test_encoder, test_shapes, test_refusals, test_calls, test_sizes, test_nonfinite_weights_show, test_no_memory,
    };
    make_tokens();
    return run_suite("graph", tests, PL_COUNT(tests));
}
