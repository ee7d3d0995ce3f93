/* test_probe.c: models with some matrices replaced, what that costs, and how sums are shared out. */
#include <math.h>

#include "core/rng.h"
#include "quantizers/registry.h"
#include "runtime-check/check.h"
#include "runtime-check/overlay.h"
#include "runtime-check/probe.h"
#include "tests/unit/run.h"
#include "tests/unit/tiny_model.h"

enum { TEXT = 100, CTX = 16 };

static const char *text_path(void)
{
    static char path[PATH_MAX];
    char text[TEXT];
    for (int i = 0; i < TEXT; i++) text[i] = (char)('a' + pl_rng_bits(5, 0, (uint64_t)i) % 26);
    temp_write("text", text, TEXT);
    snprintf(path, sizeof path, "%s", temp_path("text"));
    return path;
}

static pl_source *make(float noise, int32_t order)
{
    pl_source *s;
    pl_tiny_options o = { .hp = pl_tiny_hparams(), .dtype = PL_F32, .noise = noise, .order = order };
    assert_ok(pl_tiny_create(&o, &s));
    return s;
}

static pl_source *overlay_of(pl_source *inner)
{
    pl_source *s;
    assert_ok(pl_overlay_create(inner, &s));
    return s;
}

static pl_status replace(pl_source *s, int role, int layer, int dtype, pl_pool *pool)
{
    pl_type type = pl_type_plain(dtype);
    int tensor = pl_model_find(s->model, pl_id_make(role, layer, -1));
    return pl_overlay_replace(s, tensor, &type, &pl_method_rtn,
                              pl_grid_find(pl_grids, &type, s->model->tensor[tensor].cols), NULL, pool);
}

/* Largest difference between rows of a tensor in both. */
static double difference(pl_source *a, pl_source *b, int role, int layer)
{
    float x[128 * 128], y[128 * 128];
    pl_arena *arena;
    double most = 0;
    int tensor = pl_model_find(a->model, pl_id_make(role, layer, -1));
    const pl_tensor *t = &a->model->tensor[tensor];
    assert_ok(pl_arena_create(&arena));
    assert_ok(pl_source_rows(a, tensor, 0, t->rows, x, arena));
    assert_ok(pl_source_rows(b, tensor, 0, t->rows, y, arena));
    for (int64_t i = 0; i < t->rows * t->cols; i++) {
        double apart = fabs((double)x[i] - y[i]);
        if (apart > most) most = apart;         /* not fmax: GCC 12.2 for aarch64 stops at loops that reduce by it */
    }
    pl_arena_destroy(arena);
    return most;
}

START_TEST(overlay)
{
    for (int32_t order = 0; order <= 16; order += 16) {
        pl_source *plain = make(0, order), *s = overlay_of(make(0, order));
        pl_pool *pool;
        assert_ok(pl_pool_create(3, &pool));
        assert_ok(replace(s, PL_ATTN_Q, 1, PL_Q8_0, pool));
        double most = difference(s, plain, PL_ATTN_Q, 1);
        ck_assert(most > 0 && most < 0.02);
        ck_assert(difference(s, plain, PL_ATTN_Q, 0) == 0 && difference(s, plain, PL_ATTN_K, 1) == 0);
        int q = pl_model_find(s->model, pl_id_make(PL_ATTN_Q, 1, -1));
        ck_assert_str_eq(pl_type_name(&s->model->tensor[q].type), "q8_0");
        pl_packed p;
        assert_ok(pl_source_packed(s, q, 2, 3, &p, NULL));
        ck_assert(p.rows == 3 && p.order == order && pl_packed_bytes(&p) == 3 * 64 / 32 * 34);
        assert_ok(replace(s, PL_ATTN_Q, 1, PL_Q4_0, pool));     /* again */
        ck_assert_double_gt(difference(s, plain, PL_ATTN_Q, 1), 4 * most);
        assert_fails(replace(s, PL_ATTN_Q, 1, PL_Q4_K, pool), PL_E_WISH, "multiple of 256");
        ck_assert_double_gt(difference(s, plain, PL_ATTN_Q, 1), 4 * most);
        pl_overlay_clear(s);
        ck_assert(difference(s, plain, PL_ATTN_Q, 1) == 0);
        ck_assert_str_eq(pl_type_name(&s->model->tensor[q].type), "f32");
        pl_pool_destroy(pool);
        pl_source_close(s);
        pl_source_close(plain);
    }
}
END_TEST

START_TEST(overlay_memory)
{
    for (int n = 0;; n++) {
        pl_source *inner = make(0, 0), *s;
        pl_mem_fail_after(n);
        pl_status code = pl_overlay_create(inner, &s);
        if (code == PL_OK) code = replace(s, PL_ATTN_Q, 1, PL_Q8_0, NULL);
        pl_mem_fail_after(-1);
        pl_source_close(s);
        if (code == PL_OK) break;
        ck_assert_int_eq(code, PL_E_MEMORY);
    }
}
END_TEST

/* All windows of the text: what check says with its other way to hold logits. */
START_TEST(same_as_check)
{
    pl_source *original = make(0, 0), *noisy = make(0.2f, 0);
    pl_probe_options o = { .text = text_path(), .ctx = CTX, .windows = 1000 };
    pl_check_options c = { .text = o.text, .ctx = CTX, .protocol = PL_PROTOCOL_FULL, .max_ppl_ratio = NAN,
                           .max_kld = NAN, .min_top1 = NAN, .min_cosine = NAN };
    pl_check_result r;
    pl_probe *p;
    double kld[2];
    assert_ok(pl_check_run(&noisy, 1, original, &c, NULL, &r));
    const double expected = r.kld_mean;
    pl_check_release(&r);
    for (int threads = 1; threads <= 2; threads++) {
        pl_pool *pool;
        assert_ok(pl_pool_create(threads, &pool));
        assert_ok(pl_probe_create(original, &o, pool, &p));
        assert_ok(pl_probe_model(p, original, &kld[0]));
        assert_ok(pl_probe_model(p, noisy, &kld[1]));
        ck_assert(kld[0] == 0 && kld[1] == expected && kld[1] > 0);
        pl_probe_destroy(p);
        pl_pool_destroy(pool);
    }
    /* fewer windows: others of the same text */
    o.windows = 2;
    assert_ok(pl_probe_create(original, &o, NULL, &p));
    assert_ok(pl_probe_model(p, noisy, &kld[0]));
    ck_assert(kld[0] > 0 && kld[0] != kld[1]);
    pl_probe_destroy(p);
    ck_assert_double_gt(pl_probe_cost(original->model, &o), 2.0 * 2 * CTX * 50 * 64);
    pl_source_close(original);
    pl_source_close(noisy);
}
END_TEST

/* A matrix more is a loss more; put back, nothing is lost. */
START_TEST(replaced)
{
    pl_source *s = overlay_of(make(0, 0));
    const pl_probe_options o = { .text = text_path(), .ctx = CTX, .windows = 4 };
    pl_probe *p;
    double one, two, none;
    assert_ok(pl_probe_create(s, &o, NULL, &p));
    assert_ok(replace(s, PL_FFN_DOWN, 1, PL_Q4_0, NULL));
    assert_ok(pl_probe_model(p, s, &one));
    assert_ok(replace(s, PL_OUTPUT, -1, PL_Q4_0, NULL));
    assert_ok(pl_probe_model(p, s, &two));
    pl_overlay_clear(s);
    assert_ok(pl_probe_model(p, s, &none));
    ck_assert(one > 0 && two > one && none == 0);
    pl_probe_destroy(p);
    pl_source_close(s);
}
END_TEST

START_TEST(refusals)
{
    pl_source *s = make(0, 0);
    pl_probe_options o = { .text = text_path(), .ctx = CTX, .windows = 4 };
    pl_probe *p;
    double kld;
    assert_ok(pl_probe_create(s, &o, NULL, &p));
    pl_source *bad = make(0, 0);
    pl_tiny_poke(bad, PL_OUTPUT, -1, 9, 0, INFINITY);
    assert_fails(pl_probe_model(p, bad, &kld), PL_E_INPUT, "not finite");
    pl_source_close(bad);
    pl_probe_destroy(p);
    o.ctx = 200;
    assert_fails(pl_probe_create(s, &o, NULL, &p), PL_E_INPUT, "tokens");
    o.text = "/nonexistent/text";
    assert_fails(pl_probe_create(s, &o, NULL, &p), PL_E_INPUT, "/nonexistent/text");
    s->model->hp.encoder = true;
    assert_fails(pl_probe_create(s, &o, NULL, &p), PL_E_WISH, "encoder");
    pl_source_close(s);
}
END_TEST

START_TEST(shares)
{
    double out[12], prior[12], rows[3] = { 0 }, cols[4] = { 0 };
    const double ones[4] = { 1, 1, 1, 1 };
    pl_probe_share(ones, (double[]){ 1, 3 }, (double[]){ 2, 2 }, 2, 2, out);
    const double even[4] = { 0.5, 0.5, 1.5, 1.5 };
    for (int i = 0; i < 4; i++) ck_assert_double_eq_tol(out[i], even[i], 1e-12);

    /* a table of products a_r b_c prior_rc comes back from its sums; the scale is that of the rows */
    double truth[12];
    for (int i = 0; i < 12; i++) {
        prior[i] = i == 6 ? 0 : 0.5 + pl_rng_uniform(1, 0, (uint64_t)i);
        truth[i] = prior[i] * (1 + i / 4) * (i % 4 == 2 ? 7 : 0.5);
        rows[i / 4] += truth[i];
        cols[i % 4] += 3 * truth[i];
    }
    pl_probe_share(prior, rows, cols, 3, 4, out);
    for (int i = 0; i < 12; i++) ck_assert_double_eq_tol(out[i], truth[i], 1e-9);
    ck_assert(out[6] == 0);
    pl_probe_share(prior, (double[3]){ 0 }, (double[4]){ 0 }, 3, 4, out);
    for (int i = 0; i < 12; i++) ck_assert(out[i] == 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { overlay, overlay_memory, same_as_check, replaced, refusals, shares };
    return run_suite("probe", tests, PL_COUNT(tests));
}
