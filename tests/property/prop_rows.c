/* prop_rows.c: a matrix is the same however its rows are cut: reading, encoding, viewing, decoding;
 * row orders are permutations. Seeded; PLANISH_SEED=n tries others. */
#include "core/rng.h"
#include "quantizers/registry.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

static uint64_t seed, drawn;

static int64_t draw(int64_t low, int64_t high)
{
    return low + (int64_t)(pl_rng_bits(seed, 1, drawn++) % (uint64_t)(high - low + 1));
}

static pl_source *random_model(int dtype)
{
    int32_t heads = (int32_t)draw(1, 4), head_dim = (int32_t)(2 * draw(1, 9));
    while (heads * head_dim % 32) head_dim += 2;
    /* for blocks of 256, too */
    int32_t ffn = (int32_t)(draw(0, 2) ? draw(1, 6) * 32 : draw(1, 2) * 256);
    fake_options o = { .layers = 1, .hidden = heads * head_dim, .heads = heads, .kv_heads = 1,
                       .ffn = ffn, .vocab = (int32_t)draw(2, 50), .dtype = dtype,
                       .interleaved = draw(0, 1), .seed = seed };
    pl_source *s = fake_model_create(&o);
    ck_assert_ptr_nonnull(s);
    return s;
}

/* A step as the plan would make it. */
static pl_step step_for(const pl_source *s, int tensor, int dtype)
{
    const pl_tensor *t = &s->model->tensor[tensor];
    bool rotary = t->id.role == PL_ATTN_Q || t->id.role == PL_ATTN_K;
    pl_step step = { .id = t->id, .tensor = tensor, .name = t->name };
    assert_ok(pl_packed_init(&step.out, pl_type_plain(dtype), t->rows, t->cols));
    step.out.order = rotary && draw(0, 1) ? s->model->hp.head_dim : 0;
    step.grid = pl_grid_find(pl_grids, &step.out.type, t->cols);
    step.method = pl_type_equal(&t->type, &step.out.type) ? &pl_method_copy : &pl_method_rtn;
    ck_assert(step.method->accepts(&step, t));
    return step;
}

static void encode(const pl_step *step, const pl_input *in, int64_t first, int64_t count, uint8_t *out,
                   pl_arena *scratch)
{
    pl_packed rows;
    assert_ok(pl_packed_rows(&step->out, first, count, &rows));
    rows.part[0].ptr = out;
    pl_arena_reset(scratch);
    assert_ok(step->method->encode(step, in, first, count, &rows, scratch));
}

static void check_cuts(pl_source *s, const pl_step *step, pl_arena *scratch)
{
    const pl_tensor *t = &s->model->tensor[step->tensor];
    const pl_packed *out = &step->out;
    pl_input in = { .source = s, .tensor = step->tensor, .rows = out->rows, .cols = out->cols,
                    .order = out->order, .name = t->name };
    size_t bytes = (size_t)pl_packed_bytes(out), values = (size_t)(out->rows * out->cols);
    uint8_t *whole = malloc(bytes), *cut = malloc(bytes);
    float *decoded = malloc(values * 4), *again = malloc(values * 4), *rows = malloc(values * 4);
    encode(step, &in, 0, out->rows, whole, scratch);
    pl_packed p = *out, view;
    p.part[0].ptr = whole;
    assert_ok(pl_packed_decode(&p, 0, p.rows, decoded, scratch));
    for (int round = 0; round < 2; round++) {
        memset(cut, 0xee, bytes);
        for (int64_t first = 0, n; first < p.rows; first += n) {
            n = pl_min64(round ? draw(1, 9) : 1, p.rows - first);
            encode(step, &in, first, n, cut + first * p.part[0].stride, scratch);
            assert_ok(pl_rows(&in, first, n, rows + first * p.cols, scratch));
            assert_ok(pl_packed_rows(&p, first, n, &view));
            assert_ok(pl_packed_decode(&view, 0, n, again + first * p.cols, scratch));
        }
        ck_assert_msg(!memcmp(cut, whole, bytes), "%s as %s", t->name, pl_type_name(&out->type));
        ck_assert_msg(!memcmp(again, decoded, values * 4), "%s as %s", t->name, pl_type_name(&out->type));
        pl_arena_reset(scratch);
        float *all = PL_NEW(scratch, float, (int64_t)values);
        assert_ok(pl_rows(&in, 0, p.rows, all, scratch));
        ck_assert_msg(!memcmp(all, rows, values * 4), "%s", t->name);
    }
    free(whole);
    free(cut);
    free(decoded);
    free(again);
    free(rows);
}

START_TEST(any_cut_gives_the_same_bytes)
{
    const int stored[] = { PL_F32, PL_F16, PL_BF16 };
    pl_arena *scratch;
    assert_ok(pl_arena_create(&scratch));
    for (int round = 0; round < 9; round++, seed++) {
        pl_source *s = random_model(stored[round % 3]);
        for (int t = 0; t < s->model->tensors; t++) {
            if (!(s->model->tensor[t].flags & PL_TENSOR_MATRIX)) continue;
            for (int dtype = 0; dtype < PL_DTYPES; dtype++) {
                if (s->model->tensor[t].cols % pl_dtypes[dtype].block) continue;
                pl_step step = step_for(s, t, dtype);
                check_cuts(s, &step, scratch);
            }
        }
        pl_source_close(s);
    }
    pl_arena_destroy(scratch);
}
END_TEST

/* A source whose rows hold their own number. */
static pl_status numbered_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                               pl_arena *scratch)
{
    for (int64_t i = 0; i < count; i++) out[i] = (float)(first + i);
    return PL_OK;
}

/* pl_order_source is a permutation within each head, and reading back from a source that stores that
 * order undoes it. */
START_TEST(orders_are_permutations)
{
    const pl_source_ops ops = { .name = "numbered", .rows = numbered_rows };
    for (int round = 0; round < 60; round++) {
        int32_t head = (int32_t)(2 * draw(1, 64));
        int64_t rows = head * draw(1, 5), inverse[640];
        pl_tensor t = { .name = "t", .rows = rows, .cols = 1, .type = pl_type_plain(PL_F32), .order = head };
        pl_model model = { .tensor = &t, .tensors = 1 };
        pl_source source = { .ops = &ops, .model = &model, .path = "numbered" };
        pl_input in = { .source = &source, .rows = rows, .cols = 1, .order = 0, .name = "t" };
        for (int64_t i = 0; i < rows; i++) inverse[i] = -1;
        int64_t wrong = 0;
        for (int64_t i = 0; i < rows; i++) {
            int64_t from = pl_order_source(i, head);
            if (from < 0 || from >= rows) ck_abort_msg("row %lld of %lld", (long long)from, (long long)rows);
            wrong += from / head != i / head || inverse[from] >= 0;
            inverse[from] = i;
        }
        pl_arena *scratch;
        float got[640];
        assert_ok(pl_arena_create(&scratch));
        assert_ok(pl_rows(&in, 0, rows, got, scratch));
        for (int64_t i = 0; i < rows; i++) wrong += got[i] != (float)inverse[i];
        ck_assert_int_eq(wrong, 0);
        pl_arena_destroy(scratch);
    }
}
END_TEST

int main(void)
{
    const char *wish = getenv("PLANISH_SEED");
    seed = wish ? strtoull(wish, NULL, 10) : 1;
    const TTest *const tests[] = { any_cut_gives_the_same_bytes, orders_are_permutations };
    return run_suite("rows", tests, PL_COUNT(tests));
}
