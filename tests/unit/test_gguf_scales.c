/* test_gguf_scales.c: NVFP4 weights whose factor is a tensor of its own, in files of GGUF. */
#include <math.h>

#include "tests/unit/gguf_fixture.h"

enum { EXPERTS = 3, WIDE = 64 };        /* columns: rows of NVFP4 are multiples of 64 */
#define Q "blk.0.attn_q"
#define UP "blk.1.ffn_up_exps"

/* A model with NVFP4 for one attn_q and all experts of one ffn_up, planned but not written. */
static pl_sink *plan_model(tiny *m)
{
    pl_sink *sink;
    make_model_of(m, PL_VOCAB_SPM, EXPERTS);
    m->model.hp.hidden = WIDE;
    m->model.hp.head_dim = m->model.hp.rope_dim = WIDE / HEADS;
    for (int i = 0; i < m->model.tensors; i++) {
        const pl_arch_tensor *row = pl_arch_row_of(pl_arch_find("llama"), m->tensor[i].id);
        m->tensor[i].rows = row->rows(&m->model.hp);
        m->tensor[i].cols = row->cols(&m->model.hp);
    }
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
    make_plan(m, sink);
    for (int i = 0; i < m->plan.steps; i++) {
        pl_step *step = &m->step[i];
        bool q = step->id.role == PL_ATTN_Q && step->id.layer == 0;
        if (!q && (step->id.role != PL_FFN_UP || step->id.layer != 1)) continue;
        pl_packed old = step->out;
        ck_assert_int_eq(pl_packed_init(&step->out, pl_type_plain(PL_NVFP4), old.rows, old.cols), PL_OK);
        step->out.order = old.order;
        step->out.part[0].id = old.part[0].id;
        m->data[i] = PL_NEW(m->arena, uint8_t, step->out.part[0].bytes);
        for (int64_t k = 0; k < step->out.part[0].bytes; k++)
            m->data[i][k] = (uint8_t)(pl_rng_bits(2, (uint64_t)i, (uint64_t)k) % 0x7f);
    }
    return sink;
}

/* One more tensor, of n numbers. */
static void add_numbers(tiny *m, const char *name, int dtype, const float *x, int n)
{
    int i = m->plan.steps++;
    m->step[i] = (pl_step){ .id = pl_id_make(PL_ROPE_FREQS, -1, -1), .tensor = 0, .name = name };
    ck_assert_int_eq(pl_packed_init(&m->step[i].out, pl_type_plain(dtype), n, 1), PL_OK);
    m->step[i].out.part[0].id = m->plan.parts++;
    m->data[i] = PL_ZNEW(m->arena, uint8_t, n * 4);
    memcpy(m->data[i], x, (size_t)m->step[i].out.part[0].bytes);
}

static void write_and_close(tiny *m, pl_sink *sink)
{
    write_planned(m, sink, path);
    pl_sink_close(sink);
    close_model(m);
}

static void refused(const char *sentence)
{
    pl_source *s = NULL;
    pl_status code = pl_source_open(only_gguf, path, NULL, &s);
    const char *said = code == PL_OK ? "(nothing)" : pl_error();
    ck_assert_msg(code == PL_E_INPUT && strstr(said, sentence), "'%s' expected in '%s'", sentence, said);
}

/* Rows from `first` of a tensor are its blocks times the factor. */
static void compare(pl_source *s, pl_id id, int64_t first, float factor)
{
    pl_arena *scratch;
    pl_packed p;
    int at = pl_model_find(s->model, id);
    ck_assert_int_ge(at, 0);
    const pl_tensor *t = &s->model->tensor[at];
    int64_t count = t->rows - first, n = count * t->cols, bytes, row;
    ck_assert_int_eq(pl_arena_create(&scratch), PL_OK);
    ck_assert_str_eq(pl_type_name(&t->type), factor == 1.0f ? "nvfp4" : "nvfp4 per tensor");
    ck_assert_int_eq(pl_tensor_bytes(t, &bytes), PL_OK);
    ck_assert_int_eq(pl_dtype_row_bytes(&pl_dtypes[PL_NVFP4], t->cols, &row), PL_OK);
    ck_assert_int_eq(bytes, row * t->rows + (factor == 1.0f ? 0 : 4));
    ck_assert_int_eq(pl_source_packed(s, at, first, count, &p, scratch), PL_OK);
    float *rows = PL_NEW(scratch, float, n), *blocks = PL_NEW(scratch, float, n);
    ck_assert_int_eq(pl_source_rows(s, at, first, count, rows, scratch), PL_OK);
    pl_dtypes[PL_NVFP4].decode(p.part[0].ptr, blocks, n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        ck_assert(rows[i] == blocks[i] * factor);
        sum += fabs((double)rows[i]);
    }
    ck_assert(sum > 0);
    pl_source_advise(s, at, first, count);
    pl_arena_destroy(scratch);
}

START_TEST(factors)
{
    static const float of_q = 0.37f, of_up[EXPERTS] = { 3.0f, -0.25f, 1e-3f }, ones[EXPERTS] = { 1, 1, 1 };
    tiny m;
    pl_sink *sink = plan_model(&m);
    add_numbers(&m, UP ".scale", PL_F32, of_up, EXPERTS);
    add_numbers(&m, Q ".scale", PL_F32, &of_q, 1);
    add_numbers(&m, Q ".input_scale", PL_F32, ones, 1);
    add_numbers(&m, UP ".input_scale", PL_F32, ones, EXPERTS);
    int tensors = m.model.tensors;
    write_and_close(&m, sink);
    for (pl_open_how how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
        pl_source *s = open_model(how);
        ck_assert_int_eq(s->model->tensors, tensors);
        for (int first = 0; first < 40; first += 13) {
            compare(s, pl_id_make(PL_ATTN_Q, 0, -1), first, of_q);
            for (int k = 0; k < EXPERTS; k++) compare(s, pl_id_make(PL_FFN_UP, 1, k), first, of_up[k]);
        }
        pl_source_close(s);
    }
}
END_TEST

START_TEST(no_factors)
{
    tiny m;
    pl_sink *sink = plan_model(&m);
    write_and_close(&m, sink);
    pl_source *s = open_model(PL_OPEN_MAP);
    compare(s, pl_id_make(PL_ATTN_Q, 0, -1), 1, 1.0f);
    for (int k = 0; k < EXPERTS; k++) compare(s, pl_id_make(PL_FFN_UP, 1, k), 0, 1.0f);
    pl_source_close(s);
}
END_TEST

static const struct { const char *name; int dtype, n; float x[4]; const char *sentence; } others[] = {
    { Q ".scale", PL_F32, 2, { 1, 1 }, "'" Q ".scale' should be 1 of f32, is 2 x 1 of f32" },
    { Q ".scale", PL_F16, 1, { 1 }, "should be 1 of f32, is 1 x 1 of f16" },
    { Q ".scale", PL_F32, 1, { NAN }, "'" Q ".scale' has a value that is not finite" },
    { UP ".scale", PL_F32, 1, { 1 }, "should be 3 of f32, is 1 x 1 of f32" },
    { UP ".scale", PL_F32, 4, { 1, 1, 1, 1 }, "should be 3 of f32" },
    { UP ".scale", PL_F32, 3, { 1, 1, INFINITY }, "not finite" },
    { "blk.1.attn_q.scale", PL_F32, 1, { 1 }, "'blk.1.attn_q.scale' is no tensor" },     /* of q8_0 */
    { "blk.1.attn_q.input_scale", PL_F32, 1, { 1 }, "is no tensor" },
    { "blk.9.attn_q.scale", PL_F32, 1, { 1 }, "is no tensor" },
    { "blk.0.ffn_up.scale", PL_F32, 1, { 1 }, "is no tensor" },
    { "any.scale", PL_F32, 1, { 1 }, "'any.scale' is no tensor" },
    { ".scale", PL_F32, 1, { 1 }, "is no tensor" },
    { Q ".output_scale", PL_F32, 1, { 1 }, "is no tensor" },
    { Q ".weight.scale", PL_F32, 1, { 1 }, "is no tensor" },
    { "blk.0.name_of_as_many_bytes_as_a_tensor_might_have_in_it_.scale", PL_F32, 1, { 1 }, "is no tensor" },
};

START_TEST(refuses)
{
    tiny m;
    pl_sink *sink = plan_model(&m);
    add_numbers(&m, others[_i].name, others[_i].dtype, others[_i].x, others[_i].n);
    write_and_close(&m, sink);
    refused(others[_i].sentence);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf_scales");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, factors);
    tcase_add_test(tcase, no_factors);
    tcase_add_loop_test(tcase, refuses, 0, PL_COUNT(others));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
