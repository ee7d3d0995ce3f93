/* test_calibrate.c: sums of squares of inputs, their independence of threads, the journal. */
#include <math.h>

#include "core/fs.h"
#include "core/rng.h"
#include "runtime-check/calibrate.h"
#include "runtime-check/journal.h"
#include "runtime-check/windows.h"
#include "tests/unit/run.h"
#include "tests/unit/tiny_model.h"

enum { TEXT = 400, CTX = 16, EXPERTS = 4, USED = 2 };

static const char *text_path(void)
{
    static char path[PATH_MAX], text[TEXT];
    for (int i = 0; i < TEXT; i++) text[i] = (char)('a' + pl_rng_bits(5, 0, (uint64_t)i) % 26);
    temp_write("text", text, TEXT);
    snprintf(path, sizeof path, "%s", temp_path("text"));
    return path;
}

static pl_tiny_options plain(void) { return (pl_tiny_options){ .hp = pl_tiny_hparams(), .dtype = PL_F32 }; }

static pl_tiny_options moe(void)
{
    pl_tiny_options o = plain();
    o.hp.experts = EXPERTS;
    o.hp.experts_used = USED;
    o.hp.expert_ffn = 40;
    o.hp.shared_ffn = 24;
    o.hp.expert_renorm = true;
    o.shared_router = true;
    return o;
}

static pl_source *make(pl_tiny_options o)
{
    pl_source *s;
    assert_ok(pl_tiny_create(&o, &s));
    return s;
}

static pl_calibrate_options wish(void)
{
    return (pl_calibrate_options){ .text = text_path(), .ctx = CTX, .output = true };
}

static pl_status run(pl_source *s, pl_calibrate_options o, int threads, pl_arena **arena, pl_calibrate_result *r)
{
    pl_pool *pool;
    assert_ok(pl_pool_create(threads, &pool));
    assert_ok(pl_arena_create(arena));
    pl_status code = pl_calibrate_run(s, &o, pool, *arena, r);
    pl_pool_destroy(pool);
    return code;
}

static const pl_stat *find(const pl_calibrate_result *r, int role, int layer, int expert)
{
    const pl_stat *s = pl_stats_find(&r->stats, pl_id_make(role, layer, expert));
    ck_assert_ptr_nonnull(s);
    return s;
}

static void same_stat(const pl_stat *a, const pl_stat *b)
{
    ck_assert(a->cols == b->cols && a->count == b->count);
    ck_assert_mem_eq(a->sum2, b->sum2, (size_t)a->cols * sizeof(float));
    ck_assert_mem_eq(a->sum, b->sum, (size_t)a->cols * sizeof(float));
}

static void near_sums(const pl_stat *s, const double *expected)
{
    for (int64_t c = 0; c < s->cols; c++)
        ck_assert_msg(fabs(s->sum2[c] - expected[c]) <= 1e-5 * expected[c], "column %lld: %g, expected %g", (long long)c,
                      (double)s->sum2[c], expected[c]);
}

/* Every matrix has an entry, in the order of identities; the same input, the same sums. */
static void check_shape(const pl_source *s, const pl_calibrate_result *r, bool fused)
{
    const pl_model *model = s->model;
    for (int i = 0; i < model->tensors; i++) {
        const pl_tensor *t = &model->tensor[i];
        bool wanted = (t->flags & PL_TENSOR_MATRIX) && (t->id.layer >= 0 || t->id.role == PL_OUTPUT);
        const pl_stat *stat = pl_stats_find(&r->stats, t->id);
        ck_assert(!wanted || (stat && stat->cols == t->cols));
    }
    for (int i = 1; i < r->stats.count; i++)
        ck_assert_int_lt(pl_id_compare(r->stats.stat[i - 1].id, r->stats.stat[i].id), 0);
    for (int layer = 0; layer < model->hp.layers && !fused; layer++) {
        same_stat(find(r, PL_ATTN_Q, layer, -1), find(r, PL_ATTN_K, layer, -1));
        same_stat(find(r, PL_ATTN_Q, layer, -1), find(r, PL_ATTN_V, layer, -1));
    }
}

START_TEST(dense)
{
    for (int fused = 0; fused < 2; fused++) {
        pl_tiny_options o = plain();
        pl_calibrate_result r;
        pl_arena *arena;
        o.fused = fused;
        pl_source *s = make(o);
        assert_ok(run(s, wish(), 2, &arena, &r));
        check_shape(s, &r, fused);
        ck_assert_int_eq(r.windows, (TEXT + 1) / CTX);
        ck_assert(r.bos && r.unseen == 0 && r.matrices == r.stats.count && r.resumed == 0);
        ck_assert_int_eq(r.stats.count, s->model->hp.layers * (fused ? 4 : 7) + 1);
        for (int i = 0; i < r.stats.count; i++) ck_assert(r.stats.stat[i].count == (float)(r.windows * CTX));
        ck_assert(r.stats.chunks == r.windows && r.stats.chunk_size == CTX && r.stats.datasets == 1);
        ck_assert_str_eq(r.stats.dataset[0], "text");
        pl_arena_destroy(arena);
        pl_source_close(s);
    }
}
END_TEST

/* Two inputs that can be told without the engine's help: what the first norm makes of the embeddings, and the
 * hidden states that the output matrix gets. */
START_TEST(what_is_summed)
{
    pl_calibrate_options o = wish();
    pl_calibrate_result r;
    pl_arena *arena;
    pl_graph *g;
    pl_windows w;
    pl_window_text ids;
    char *data;
    size_t len;
    int32_t tokens[CTX];
    pl_source *s = make(plain());
    const pl_hparams *hp = &s->model->hp;
    const pl_id table = pl_id_make(PL_TOKEN_EMBD, -1, -1);
    double first[256] = { 0 }, last[256] = { 0 }, plain[256] = { 0 };
    o.tokens = 3 * CTX;
    assert_ok(run(s, o, 1, &arena, &r));
    ck_assert_int_eq(r.windows, 3);
    assert_ok(pl_file_load(o.text, TEXT, &data, &len));
    assert_ok(pl_windows_encode(s, PL_PROTOCOL_LCPP, PL_BOS_AUTO, data, len, &ids));
    assert_ok(pl_windows_plan(PL_PROTOCOL_LCPP, CTX, 3, ids.bos, ids.count, &w));
    assert_ok(pl_graph_create(s, NULL, PL_MODE_EXACT, CTX, &g));
    for (int i = 0; i < w.count; i++) {
        const float *hidden;
        pl_windows_fill(&w, ids.ids, i, tokens);
        ck_assert_int_eq(tokens[0], s->model->vocab->bos);
        pl_graph_clear(g);
        assert_ok(pl_graph_forward(g, tokens, CTX, &hidden));
        for (int t = 0; t < CTX; t++) {
            double squares = 0;
            for (int c = 0; c < hp->hidden; c++) squares += pow(pl_tiny_value(s, table, tokens[t], c), 2);
            double scale = 1 / sqrt(squares / hp->hidden + (double)hp->norm_eps);
            for (int c = 0; c < hp->hidden; c++) {
                double x = pl_tiny_value(s, table, tokens[t], c) * scale *
                           pl_tiny_value(s, pl_id_make(PL_ATTN_NORM, 0, -1), c, 0);
                first[c] += x * x;
                plain[c] += x;
                last[c] += (double)hidden[t * hp->hidden + c] * (double)hidden[t * hp->hidden + c];
            }
        }
    }
    near_sums(find(&r, PL_ATTN_V, 0, -1), first);
    const pl_stat *v = find(&r, PL_ATTN_V, 0, -1);
    for (int c = 0; c < hp->hidden; c++)
        ck_assert_float_eq_tol(v->sum[c], (float)plain[c], 1e-5f * sqrtf(v->sum2[c] * v->count));
    near_sums(find(&r, PL_OUTPUT, -1, -1), last);
    pl_graph_destroy(g);
    pl_free(ids.ids);
    pl_free(data);
    pl_arena_destroy(arena);
    pl_source_close(s);
}
END_TEST

START_TEST(experts)
{
    pl_calibrate_result r;
    pl_arena *arena;
    pl_source *s = make(moe());
    assert_ok(run(s, wish(), 2, &arena, &r));
    check_shape(s, &r, false);
    for (int layer = 0; layer < s->model->hp.layers; layer++) {
        double all = 0, inputs = 0, routed = 0;
        const pl_stat *router = find(&r, PL_FFN_ROUTER, layer, -1);
        same_stat(router, find(&r, PL_SHARED_UP, layer, -1));
        same_stat(router, find(&r, PL_SHARED_GATE, layer, -1));
        same_stat(router, find(&r, PL_SHARED_ROUTER, layer, -1));
        for (int64_t c = 0; c < router->cols; c++) inputs += router->sum2[c];
        for (int e = 0; e < EXPERTS; e++) {
            const pl_stat *up = find(&r, PL_FFN_UP, layer, e), *down = find(&r, PL_FFN_DOWN, layer, e);
            same_stat(up, find(&r, PL_FFN_GATE, layer, e));
            ck_assert(up->count == down->count && down->cols == s->model->hp.expert_ffn);
            all += up->count;
            for (int64_t c = 0; c < up->cols; c++) routed += up->sum2[c];
        }
        /* each row goes to so many experts, whole */
        ck_assert_double_eq(all, USED * r.windows * CTX);
        ck_assert_double_eq_tol(routed, USED * inputs, 1e-5 * inputs);
    }
    pl_arena_destroy(arena);
    pl_source_close(s);
}
END_TEST

START_TEST(any_number_of_threads)
{
    pl_calibrate_result one, many;
    pl_arena *a, *b;
    pl_source *s = make(moe());
    assert_ok(run(s, wish(), 1, &a, &one));
    for (int threads = 2; threads < 6; threads += 3) {
        assert_ok(run(s, wish(), threads, &b, &many));
        ck_assert_int_eq(one.stats.count, many.stats.count);
        for (int i = 0; i < one.stats.count; i++) same_stat(&one.stats.stat[i], &many.stats.stat[i]);
        pl_arena_destroy(b);
    }
    pl_arena_destroy(a);
    pl_source_close(s);
}
END_TEST

START_TEST(refused)
{
    pl_calibrate_result r;
    pl_arena *arena;
    pl_calibrate_options o = wish();
    pl_source *s = make(plain());
    o.tokens = CTX - 1;
    assert_fails(run(s, o, 1, &arena, &r), PL_E_WISH, "15 tokens are less than a window of 16");
    pl_arena_destroy(arena);
    o.tokens = 0;
    o.ctx = TEXT;
    assert_fails(run(s, o, 1, &arena, &r), PL_E_INPUT, "expected at least 800");
    pl_arena_destroy(arena);
    o = wish();
    pl_tiny_poke(s, PL_FFN_UP, 1, 5, 0, NAN);
    assert_fails(run(s, o, 1, &arena, &r), PL_E_INPUT, "'ffn_down' is not finite or too large in column 5");
    pl_arena_destroy(arena);
    pl_source_close(s);
    pl_tiny_options encoder = plain();
    encoder.hp.encoder = true;
    s = make(encoder);
    assert_fails(run(s, o, 1, &arena, &r), PL_E_WISH, "no output matrix");
    pl_arena_destroy(arena);
    pl_source_close(s);
}
END_TEST

/* ---- the journal ---- */

START_TEST(journal)
{
    int64_t count[2] = { 3, 5 }, count2[2] = { 0 };
    double sum[3] = { 0.1, 2, 3e300 }, sum2[3] = { 0 };
    pl_journal a = { .key = pl_hash_bytes("a", 1), .done = 4, .counts = 2, .sums = 3, .count = count, .sum = sum };
    pl_journal b = a;
    char path[PATH_MAX], *data;
    size_t len;
    snprintf(path, sizeof path, "%s", temp_path("journal"));
    b.done = 0;
    b.count = count2;
    b.sum = sum2;
    assert_ok(pl_journal_save(path, &a));
    assert_ok(pl_journal_save(path, &a));
    assert_ok(pl_journal_load(path, &b));
    ck_assert_int_eq(b.done, 4);
    ck_assert_mem_eq(count, count2, sizeof count);
    ck_assert_mem_eq(sum, sum2, sizeof sum);
    b.key = pl_hash_bytes("b", 1);
    assert_fails(pl_journal_load(path, &b), PL_E_INPUT, "another model, another text or other options");
    b.key = a.key;
    b.sums = 2;
    assert_fails(pl_journal_load(path, &b), PL_E_INPUT, "another model, another text or other options");
    b.sums = 3;
    assert_ok(pl_file_load(path, 1 << 20, &data, &len));
    memset(sum2, 0, sizeof sum2);
    for (size_t i = 0; i < len; i++) {
        data[i] ^= 4;
        temp_write("journal", data, len);
        ck_assert_int_eq(pl_journal_load(path, &b), PL_E_INPUT);
        data[i] ^= 4;
        temp_write("journal", data, i);
        ck_assert_int_eq(pl_journal_load(path, &b), PL_E_INPUT);
    }
    ck_assert_double_eq(sum2[1], 0);            /* nothing of a damaged one is kept */
    pl_free(data);
}
END_TEST

/* What an earlier run left is taken as it is, if it was the same run. */
START_TEST(goes_on)
{
    pl_calibrate_result whole, again, other;
    pl_arena *a, *b, *c;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", temp_path("journal"));
    pl_calibrate_options o = wish();
    o.journal = path;
    pl_source *s = make(plain());
    assert_ok(run(s, o, 2, &a, &whole));
    ck_assert(pl_path_exists(path));            /* until the caller has the result in safety */
    assert_ok(run(s, o, 1, &b, &again));
    ck_assert_int_eq(again.resumed, whole.windows);
    for (int i = 0; i < whole.stats.count; i++) same_stat(&whole.stats.stat[i], &again.stats.stat[i]);
    o.tokens = 4 * CTX;
    assert_fails(run(s, o, 1, &c, &other), PL_E_INPUT, "--force begins anew");
    pl_arena_destroy(c);
    o.force = true;
    assert_ok(run(s, o, 1, &c, &other));
    ck_assert(other.resumed == 0 && other.windows == 4);
    pl_arena_destroy(c);
    pl_arena_destroy(b);
    pl_arena_destroy(a);
    pl_source_close(s);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { dense, what_is_summed, experts, any_number_of_threads, refused, journal, goes_on };
    return run_suite("calibrate", tests, PL_COUNT(tests));
}
