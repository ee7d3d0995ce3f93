/* test_factor.c: NVFP4 under a factor for the whole matrix: its search, its conversion, where it is written. */
#include <math.h>

#include "core/convert.h"
#include "core/fs.h"
#include "core/half.h"
#include "core/rng.h"
#include "formats/gguf_layout.h"
#include "formats/registry.h"
#include "quantizers/encoders.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

enum { ROWS = 48, COLS = 1024, COUNT = ROWS * COLS, BLOCK = 64, BLOCK_BYTES = 36 };

static float w[COUNT], value[COUNT], plain[COUNT], h[COLS];
static uint8_t codes[COUNT / BLOCK * BLOCK_BYTES], reference[COUNT / BLOCK * BLOCK_BYTES];

static pl_type factored(void) { return pl_type_scaled(&pl_dtypes[PL_NVFP4], &pl_dtypes[PL_F32], 0, 0); }

/* Blocks of sizes that differ, by less or more. */
static void fill(float size, bool wide)
{
    for (uint64_t i = 0; i < COUNT; i++) {
        double block = pl_rng_normal(9, 2, i / 16);
        w[i] = size * (float)(pl_rng_normal(9, 1, i) * (wide ? exp(2 * block) : 1 + 0.2 * block));
    }
    for (uint64_t i = 0; i < COLS; i++) h[i] = (float)(0.1 + pow(pl_rng_normal(9, 3, i), 2));
}

/* What the method makes of w, in ranges of `height` rows; the number that these ask for. */
static float encode(int64_t height, const pl_stat *stat)
{
    pl_arena *arena;
    pl_step step = { .method = &pl_method_best, .stat = stat };
    const pl_input in = { .memory = w, .rows = ROWS, .cols = COLS, .name = "w" };
    float factor = 0.0f;
    assert_ok(pl_arena_create(&arena));
    assert_ok(pl_packed_init(&step.out, factored(), ROWS, COLS));
    ck_assert_int_eq(pl_step_shared(&step), 1);
    for (int64_t r = 0; r < ROWS; r += height) {
        float number;
        assert_ok(step.method->reach(&step, &in, r, pl_min64(height, ROWS - r), &number, arena));
        factor = fmaxf(factor, number);
    }
    step.out.part[0].ptr = codes;
    step.out.part[1].ptr = (const uint8_t *)&factor;
    for (int64_t r = 0; r < ROWS; r += height) {
        pl_packed rows;
        int64_t count = pl_min64(height, ROWS - r);
        assert_ok(pl_packed_rows(&step.out, r, count, &rows));
        assert_ok(step.method->encode(&step, &in, r, count, &rows, arena));
    }
    assert_ok(pl_packed_decode(&step.out, 0, ROWS, value, arena));
    pl_arena_destroy(arena);
    return factor;
}

static double error_of(const float *decoded, const float *weight, int from, int n)
{
    double sum = 0;
    for (int i = from; i < from + n; i++)
        sum += (weight ? weight[i % COLS] : 1.0) * ((double)w[i] - decoded[i]) * ((double)w[i] - decoded[i]);
    return sum;
}

/* Up to values of 1792, on no block more error than the reference makes without a factor, and overall a small part of
 * it where weights are small. The smallest are below the least factor. */
START_TEST(never_worse_than_without)
{
    static const struct { float size; double at_most; } sizes[] = {
        { 1e-38f, 1 }, { 1e-7f, 1e-2 }, { 1e-4f, 1e-2 }, { 0.001f, 0.1 }, { 0.005f, 0.4 }, { 0.02f, 0.68 }, { 1.0f, 0.78 },
        { 20.0f, 0.78 },
    };
    for (int run = 0; run < PL_COUNT(sizes) * 4; run++) {
        float size = sizes[run / 4].size;
        const float *weight = run & 1 ? h : NULL;
        fill(run & 2 ? size / 32.0f : size, run & 2);
        float sum2[COLS];
        for (int c = 0; c < COLS; c++) sum2[c] = 1e6f * h[c];
        const pl_stat stat = { .cols = COLS, .count = 1e6f, .sum2 = sum2 };
        float factor = encode(ROWS, weight ? &stat : NULL), seen[COLS];
        if (weight) pl_stat_weights(&stat, seen);
        ck_assert(pl_f32_bits(factor) << 9 == 0);               /* a power of two */
        pl_encode_nvfp4(w, NULL, ROWS, COLS, reference);
        pl_decode(&pl_dtypes[PL_NVFP4], reference, plain, COUNT);
        for (int i = 0; i < COUNT; i += 16) {
            double mine = error_of(value, weight ? seen : NULL, i, 16), theirs = error_of(plain, weight ? seen : NULL, i, 16);
            ck_assert_msg(mine <= theirs * (1 + 1e-6), "size %g run %d value %d: %g > %g", (double)size, run, i, mine, theirs);
        }
        double share = error_of(value, NULL, 0, COUNT) / error_of(plain, NULL, 0, COUNT);
        if (run % 4 == 0)
            ck_assert_msg(share <= sizes[run / 4].at_most, "size %g: %g of the reference's error", (double)size, share);
    }
}
END_TEST

START_TEST(cuts_and_copies)
{
    static uint8_t whole[sizeof codes];
    static float before[COUNT];
    fill(0.01f, false);
    float factor = encode(ROWS, NULL);
    memcpy(whole, codes, sizeof codes);
    memcpy(before, value, sizeof value);
    ck_assert(encode(5, NULL) == factor && !memcmp(whole, codes, sizeof codes));
    ck_assert(encode(1, NULL) == factor && !memcmp(whole, codes, sizeof codes));
    memcpy(w, value, sizeof w);                         /* what was encoded before comes out the same */
    ck_assert(encode(ROWS, NULL) == factor && !memcmp(before, value, sizeof value));
    memset(w, 0, sizeof w);
    ck_assert(encode(7, NULL) > 0.0f);
    for (int i = 0; i < COUNT; i++) ck_assert(value[i] == 0.0f);
}
END_TEST

/* ---- conversion ---- */

static const pl_registries registries = { pl_methods, pl_grids };

/* Plans, and converts unless `path` is NULL; *plan lives as long as *arena. */
static void convert(pl_source *s, pl_sink *sink, const char *encoder, int threads, const char *path, pl_arena **arena,
                    pl_plan **plan)
{
    pl_pool *pool;
    pl_recipe recipe = { .type = pl_type_plain(PL_NVFP4), .encoder = encoder };
    assert_ok(pl_arena_create(arena));
    assert_ok(pl_plan_create(s->model, &recipe, sink, &registries, &(pl_plan_options){ .threads = threads }, *arena, plan));
    (*plan)->range_elements = 1000;
    assert_ok(pl_pool_create(threads, &pool));
    if (path) assert_ok(pl_convert(*plan, s, sink, path, pool, &(pl_convert_options){ 0 }, NULL));
    pl_pool_destroy(pool);
}

static pl_source *small_model(void)
{
    return fake_model_create(&(fake_options){ .layers = 2, .hidden = 128, .heads = 2, .kv_heads = 1, .ffn = 192,
                                              .vocab = 70, .dtype = PL_BF16, .seed = 3 });
}

static char *write_file(pl_source *s, const char *encoder, int threads, const char *name, size_t *len)
{
    pl_sink *sink;
    pl_arena *arena;
    pl_plan *plan;
    char *data;
    assert_ok(pl_sink_create(&pl_sink_gguf, &sink));
    convert(s, sink, encoder, threads, temp_path(name), &arena, &plan);
    pl_sink_close(sink);
    pl_arena_destroy(arena);
    assert_ok(pl_file_load(temp_path(name), 1 << 24, &data, len));
    return data;
}

/* Which matrices of a file have a factor; every value is near the original's. */
static int check_file(const char *name, pl_source *original)
{
    static const pl_source_ops *const gguf[] = { &pl_source_gguf, NULL };
    pl_source *s;
    pl_arena *arena;
    int count = 0;
    assert_ok(pl_arena_create(&arena));
    assert_ok(pl_source_open(gguf, temp_path(name), NULL, &s));
    for (int i = 0; i < s->model->tensors; i++) {
        const pl_tensor *t = &s->model->tensor[i];
        if (!(t->flags & PL_TENSOR_MATRIX)) continue;
        bool has = t->type.scheme == &pl_scheme_scaled;
        count += has;
        ck_assert_msg(!has || t->id.role != PL_TOKEN_EMBD, "%s", t->name);
        int from = pl_model_find(original->model, t->id);
        float *rows = PL_NEW(arena, float, t->rows * t->cols);
        assert_ok(pl_source_rows(s, i, 0, t->rows, rows, arena));
        double error = 0, power = 0;
        for (int64_t r = 0; r < t->rows; r++)
            for (int64_t c = 0; c < t->cols; c++) {
                double x = fake_model_value(original, from, pl_order_source(r, t->order), c);
                error += (x - rows[r * t->cols + c]) * (x - rows[r * t->cols + c]);
                power += x * x;
            }
        ck_assert_msg(error < 0.02 * power, "%s: %g of %g", t->name, error, power);
    }
    pl_source_close(s);
    pl_arena_destroy(arena);
    return count;
}

/* The same file from any number of threads; converting it again, by either encoder, copies blocks and factors. */
START_TEST(files)
{
    static const pl_source_ops *const gguf[] = { &pl_source_gguf, NULL };
    enum { MATRICES = 2 * 7 + 1 };                      /* all but the token table */
    pl_source *s;
    size_t first_len, len;
    char *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        s = small_model();
        char *data = write_file(s, "best", threads, threads == 1 ? "first.gguf" : "next.gguf", &len);
        if (first) ck_assert(len == first_len && !memcmp(first, data, len));
        if (first) pl_free(data);
        else {
            first = data;
            first_len = len;
        }
        pl_source_close(s);
        remove(temp_path("next.gguf"));
    }
    s = small_model();
    ck_assert_int_eq(check_file("first.gguf", s), MATRICES);
    pl_free(write_file(s, "rtn", 2, "plain.gguf", &len));
    ck_assert_uint_lt(len, first_len);
    pl_source_close(s);
    s = small_model();
    ck_assert_int_eq(check_file("plain.gguf", s), 0);
    pl_source_close(s);
    for (int i = 0; i < 2; i++) {
        assert_ok(pl_source_open(gguf, temp_path("first.gguf"), NULL, &s));
        char *again = write_file(s, i ? "best" : "rtn", 2, i ? "a.gguf" : "b.gguf", &len);
        ck_assert(len == first_len && !memcmp(first, again, len));
        pl_free(again);
        pl_source_close(s);
    }
    pl_free(first);
}
END_TEST

/* A sink gets the factor of a matrix once. */
START_TEST(once)
{
    pl_source *s = small_model();
    pl_sink *sink;
    pl_arena *arena;
    pl_plan *plan;
    assert_ok(pl_sink_create(&fake_sink, &sink));
    convert(s, sink, "best", 3, "", &arena, &plan);
    const fake_store *store = fake_sink_store(sink);
    ck_assert(store->finished);
    int factors = 0;
    for (int i = 0; i < plan->steps; i++) {
        if (plan->step[i].out.nparts < 2) continue;
        float factor;
        memcpy(&factor, store->part[plan->step[i].out.part[1].id], sizeof factor);
        ck_assert(factor > 0 && factor < 1);
        factors++;
    }
    ck_assert_int_eq(factors, 2 * 7 + 2);
    pl_sink_close(sink);
    pl_arena_destroy(arena);
    pl_source_close(s);
}
END_TEST

/* llama.cpp's feed-forward knows the factor in some architectures, and not together with a bias. */
START_TEST(where_it_is_written)
{
    pl_tensor bias = { .id = pl_id_make(PL_FFN_UP + PL_BIAS, 3, -1) };
    pl_model model = { .arch = "llama" };
    ck_assert(pl_gguf_takes_factor(&model, pl_id_make(PL_FFN_UP, 3, -1)));
    ck_assert(pl_gguf_takes_factor(&model, pl_id_make(PL_FFN_DOWN, 3, 2)));
    ck_assert(!pl_gguf_takes_factor(&model, pl_id_make(PL_TOKEN_EMBD, -1, -1)));
    ck_assert(!pl_gguf_takes_factor(&model, pl_id_make(PL_SHARED_UP, 3, -1)));
    pl_arena *arena;
    assert_ok(pl_arena_create(&arena));
    model.tensor = &bias;
    model.tensors = 1;
    assert_ok(pl_model_index(&model, arena));
    ck_assert(!pl_gguf_takes_factor(&model, pl_id_make(PL_FFN_UP, 3, -1)));
    ck_assert(pl_gguf_takes_factor(&model, pl_id_make(PL_FFN_UP, 2, -1)));
    ck_assert(pl_gguf_takes_factor(&model, pl_id_make(PL_ATTN_Q, 3, -1)));
    model.arch = "qwen2";
    ck_assert(!pl_gguf_takes_factor(&model, pl_id_make(PL_FFN_UP, 2, -1)));
    ck_assert(pl_gguf_takes_factor(&model, pl_id_make(PL_OUTPUT, -1, -1)));
    pl_arena_destroy(arena);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { never_worse_than_without, cuts_and_copies, files, once, where_it_is_written };
    return run_suite("factor", tests, PL_COUNT(tests));
}
