/* test_survey.c: errors of matrices in candidate types: what they are, and when they are computed anew. */
#include <math.h>
#include <stdatomic.h>

#include "core/survey.h"
#include "quantizers/encoders.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

enum { WAYS = 4 };

static atomic_int encoded;

static pl_status counted_encode(const pl_step *step, const pl_input *in, int64_t first, int64_t count,
                                pl_packed *rows, pl_arena *scratch)
{
    atomic_fetch_add(&encoded, 1);
    return pl_method_rtn.encode(step, in, first, count, rows, scratch);
}

static pl_method counted;

static pl_source *make(void)
{
    const fake_options o = { .layers = 2, .hidden = 256, .heads = 4, .kv_heads = 2, .ffn = 288, .vocab = 300,
                             .dtype = PL_F16 };
    pl_source *s = fake_model_create(&o);
    ck_assert_ptr_nonnull(s);
    counted = pl_method_rtn;
    counted.encode = counted_encode;
    return s;
}

static pl_survey *survey(pl_source *s, const pl_stats *stats, pl_cache *cache, int threads, pl_arena *arena)
{
    const pl_survey_way way[WAYS] = { { pl_type_plain(PL_Q4_0), &counted }, { pl_type_plain(PL_Q8_0), &counted },
                                      { pl_type_plain(PL_Q4_K), &counted }, { pl_type_plain(PL_F16), &counted } };
    bool wanted[256];
    ck_assert_int_le(s->model->tensors, PL_COUNT(wanted));
    for (int i = 0; i < s->model->tensors; i++) wanted[i] = s->model->tensor[i].flags & PL_TENSOR_MATRIX;
    const pl_survey_options o = { .way = way, .ways = WAYS, .wanted = wanted, .grids = pl_grids, .stats = stats,
                                  .cache = cache };
    pl_survey *out;
    pl_pool *pool;
    assert_ok(pl_pool_create(threads, &pool));
    assert_ok(pl_survey_run(s, &o, pool, arena, &out));
    pl_pool_destroy(pool);
    return out;
}

/* Everything a test needs. */
typedef struct setup { pl_source *source; pl_arena *arena; pl_cache *cache; } setup;

static setup begin(void)
{
    setup s = { .source = make() };
    assert_ok(pl_arena_create(&s.arena));
    assert_ok(pl_cache_open(NULL, &s.cache));
    return s;
}

static void end(setup *s)
{
    pl_cache_close(s->cache);
    pl_arena_destroy(s->arena);
    pl_source_close(s->source);
}

static int find(const setup *s, int role, int layer) { return pl_model_find(s->source->model, pl_id_make(role, layer, -1)); }

/* Σ h (w - Q(w))^2 of rows 0, step, 2 step .. of a matrix, by the encoder itself; dtype < 0: Σ h w^2. */
static double direct(const setup *s, int tensor, int dtype, const float *h, int64_t first, int64_t last, int64_t rows)
{
    const pl_tensor *t = &s->source->model->tensor[tensor];
    double sum = 0;
    float w[512], decoded[512] = { 0 };
    uint8_t bytes[2048];
    for (int64_t i = first; i < last; i++) {
        for (int64_t c = 0; c < t->cols; c++) w[c] = fake_model_value(s->source, tensor, i * t->rows / rows, c);
        if (dtype >= 0) {
            pl_reference_encoder(&pl_dtypes[dtype])(w, h, 1, t->cols, bytes);
            pl_decode(&pl_dtypes[dtype], bytes, decoded, t->cols);
        }
        for (int64_t c = 0; c < t->cols; c++) sum += (h ? (double)h[c] : 1) * pow((double)w[c] - decoded[c], 2);
    }
    return sum * (double)t->rows / (double)rows;
}

START_TEST(errors)
{
    setup s = begin();
    const pl_survey *v = survey(s.source, NULL, s.cache, 1, s.arena);
    int q = find(&s, PL_ATTN_K, 1), table = find(&s, PL_TOKEN_EMBD, -1), down = find(&s, PL_FFN_DOWN, 0);
    /* all 128 rows; 128 of 300 */
    const int64_t rows = s.source->model->tensor[q].rows;
    ck_assert_int_eq(rows, PL_SURVEY_ROWS);
    ck_assert_int_eq(s.source->model->tensor[table].rows, 300);
    for (int i = 0; i < 2; i++) {
        int t = i ? table : q;
        ck_assert_double_eq_tol(v->error[t * WAYS], direct(&s, t, PL_Q4_0, NULL, 0, 128, 128), 1e-9 * v->energy[t]);
        ck_assert_double_eq_tol(v->error[t * WAYS + 1], direct(&s, t, PL_Q8_0, NULL, 0, 128, 128), 1e-9 * v->energy[t]);
        ck_assert_double_eq_tol(v->energy[t], direct(&s, t, -1, NULL, 0, 128, 128), 1e-9 * v->energy[t]);
        ck_assert(v->error[t * WAYS + 1] < v->error[t * WAYS] / 50 && v->error[t * WAYS + 2] < v->error[t * WAYS]);
        ck_assert(v->error[t * WAYS + 3] == 0);                 /* stored so already */
    }
    ck_assert_int_eq(s.source->model->tensor[down].cols, 288);
    ck_assert(isnan(v->error[down * WAYS + 2]) && v->error[down * WAYS] > 0);
    int norm = find(&s, PL_ATTN_NORM, 0);
    ck_assert(isnan(v->error[norm * WAYS]) && isnan(v->energy[norm]));
    end(&s);
}
END_TEST

/* The same for every number of threads, and by the cache. */
START_TEST(threads_and_cache)
{
    setup s = begin();
    const pl_survey *one = survey(s.source, NULL, s.cache, 1, s.arena);
    int tensors = s.source->model->tensors, first = atomic_exchange(&encoded, 0);
    ck_assert_int_gt(first, 2 * 14);
    const pl_survey *again = survey(s.source, NULL, s.cache, 3, s.arena);
    ck_assert_int_eq(atomic_load(&encoded), 0);
    pl_cache *other;
    assert_ok(pl_cache_open(NULL, &other));
    const pl_survey *three = survey(s.source, NULL, other, 3, s.arena);
    ck_assert_int_eq(atomic_exchange(&encoded, 0), first);
    size_t bytes = (size_t)(tensors * WAYS) * sizeof(double);
    ck_assert(memcmp(one->error, again->error, bytes) == 0 && memcmp(one->error, three->error, bytes) == 0);
    ck_assert(memcmp(one->digest.byte, three->digest.byte, 16) == 0);

    /* one weight: only its matrix is encoded anew */
    int q = find(&s, PL_ATTN_K, 1);
    fake_model_set(s.source, q, 5, 7, 3.0f);
    const pl_survey *changed = survey(s.source, NULL, s.cache, 2, s.arena);
    ck_assert_int_eq(atomic_exchange(&encoded, 0), 3);
    ck_assert(changed->error[q * WAYS] != one->error[q * WAYS]);
    ck_assert(memcmp(one->digest.byte, changed->digest.byte, 16) != 0);
    pl_cache_close(other);
    end(&s);
}
END_TEST

START_TEST(statistics)
{
    setup s = begin();
    float sum2[256], h[256];
    int q = find(&s, PL_ATTN_K, 0);
    double mean = 0;
    for (int c = 0; c < 256; c++) {
        sum2[c] = 1000.0f * (float)(1 + c % 7);
        mean += sum2[c] / 1000.0 / 256;
    }
    const pl_stat stat = { .id = pl_id_make(PL_ATTN_K, 0, -1), .cols = 256, .sum2 = sum2, .count = 1000 };
    const pl_stats stats = { .stat = &stat, .count = 1, .path = "stats" };
    const pl_survey *without = survey(s.source, NULL, s.cache, 1, s.arena);
    atomic_store(&encoded, 0);
    const pl_survey *with = survey(s.source, &stats, s.cache, 1, s.arena);
    ck_assert_int_eq(atomic_exchange(&encoded, 0), 3);          /* the others are as they were */
    ck_assert(with->error[q * WAYS] > 2 * without->error[q * WAYS]);
    /* mean squares of the inputs, a little closer to their mean */
    pl_stat_weights(&stat, h);
    for (int c = 0; c < 256; c++) h[c] *= (float)mean;
    ck_assert_double_eq_tol(with->energy[q], direct(&s, q, -1, h, 0, 128, 128), 1e-5 * with->energy[q]);
    ck_assert_double_eq_tol(with->error[q * WAYS + 1], direct(&s, q, PL_Q8_0, h, 0, 128, 128),
                            1e-5 * with->error[q * WAYS + 1]);

    pl_stat wrong = stat;
    wrong.cols = 255;
    const pl_stats bad = { .stat = &wrong, .count = 1, .path = "stats" };
    const pl_survey_way way = { pl_type_plain(PL_Q8_0), &counted };
    bool wanted[256] = { false };
    wanted[q] = true;
    const pl_survey_options o = { .way = &way, .ways = 1, .wanted = wanted, .grids = pl_grids, .stats = &bad,
                                  .cache = s.cache };
    pl_survey *out;
    assert_fails(pl_survey_run(s.source, &o, NULL, s.arena, &out), PL_E_INPUT, "statistics of 255 columns");
    end(&s);
}
END_TEST

/* Rows that are not finite count as zeros: converting is what refuses them. */
START_TEST(not_finite)
{
    setup s = begin();
    int q = find(&s, PL_ATTN_K, 1);
    fake_model_set(s.source, q, 2, 3, NAN);
    const pl_survey *v = survey(s.source, NULL, s.cache, 1, s.arena);
    double rest = direct(&s, q, PL_Q8_0, NULL, 0, 2, 128) + direct(&s, q, PL_Q8_0, NULL, 3, 128, 128);
    ck_assert_double_eq_tol(v->error[q * WAYS + 1], rest, 1e-9 * rest);
    fake_model_fail_after(s.source, 3);
    const pl_survey_way way = { pl_type_plain(PL_Q8_0), &counted };
    bool wanted[256] = { false };
    const pl_survey_options o = { .way = &way, .ways = 1, .wanted = wanted, .grids = pl_grids, .cache = s.cache };
    pl_survey *out;
    assert_fails(pl_survey_run(s.source, &o, NULL, s.arena, &out), PL_E_IO, "reading");
    end(&s);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { errors, threads_and_cache, statistics, not_finite };
    return run_suite("survey", tests, PL_COUNT(tests));
}
