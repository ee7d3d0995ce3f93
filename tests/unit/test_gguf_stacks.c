/* test_gguf_stacks.c: experts, which GGUF stacks into one tensor: there and back, whole stacks only. */
#include "formats/gguf_layout.h"
#include "tests/unit/gguf_fixture.h"

enum { EXPERTS = 3 };
#define UP "blk.1.ffn_up_exps.weight"
#define ROUTER "blk.1.ffn_gate_inp.weight"

static const pl_gguf_info *info_of(const pl_gguf *g, const char *name)
{
    for (int i = 0; i < g->infos; i++)
        if (!strcmp(g->info[i].name, name)) return &g->info[i];
    ck_abort_msg("no tensor '%s'", name);
}

/* Index in the plan of expert k of a role. */
static int step_of(const tiny *m, int role, int layer, int expert)
{
    for (int i = 0; i < m->plan.steps; i++)
        if (pl_id_equal(m->step[i].id, pl_id_make(role, layer, expert))) return i;
    ck_abort_msg("no step");
}

/* ---- there and back ---- */

START_TEST(round_trips)
{
    for (int kind = PL_VOCAB_BPE; kind <= PL_VOCAB_SPM; kind++) {
        tiny m;
        make_model_of(&m, kind, EXPERTS);
        write_model(&m, path);
        for (pl_open_how how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
            pl_source *s = open_model(how);
            ck_assert_int_eq(s->model->hp.experts, EXPERTS);
            compare_data(&m, s);
            int router = pl_model_find(s->model, pl_id_make(PL_FFN_ROUTER, 1, -1));
            const pl_tensor *t = &s->model->tensor[router];
            ck_assert(t->rows == EXPERTS && t->cols == HIDDEN);
            ck_assert_ptr_eq(t->type.element, &pl_dtypes[PL_F32]);
            ck_assert(!(t->flags & PL_TENSOR_MATRIX));
            pl_source_close(s);
        }
        close_model(&m);
    }
}
END_TEST

/* One tensor of three dimensions; the experts back to back, padding only behind the last. */
START_TEST(as_stored)
{
    tiny m;
    pl_arena *arena;
    pl_gguf_set set;
    make_model_of(&m, PL_VOCAB_SPM, EXPERTS);
    write_model(&m, path);
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    ck_assert_int_eq(pl_gguf_set_open(path, arena, &set), PL_OK);
    const pl_gguf *g = &set.shard[0];
    ck_assert_int_eq(g->infos, m.plan.steps - LAYERS * 3 * (EXPERTS - 1));
    const pl_gguf_info *up = info_of(g, UP);
    ck_assert(up->planes == EXPERTS && up->rows == FFN && up->cols == HIDDEN);
    ck_assert(info_of(g, ROUTER)->planes == 1 && info_of(g, ROUTER)->rows == EXPERTS);
    int first = step_of(&m, PL_FFN_UP, 1, 0);
    int64_t one = m.step[first].out.part[0].bytes;
    ck_assert_int_eq(up->bytes, EXPERTS * one);
    size_t size;
    uint8_t *file = load(path, &size);
    for (int x = 0; x < EXPERTS; x++)
        ck_assert_mem_eq(file + up->at + x * one, m.data[first + x], (size_t)one);
    pl_free(file);
    pl_gguf_set_close(&set);
    pl_arena_destroy(arena);
    close_model(&m);
}
END_TEST

START_TEST(writes_what_it_read)
{
    tiny m;
    char copy[160];
    size_t a_size, b_size;
    make_model_of(&m, PL_VOCAB_SPM, EXPERTS);
    write_model(&m, path);
    pl_source *s = open_model(PL_OPEN_WINDOWS);
    m.model = *s->model;
    memcpy(m.tensor, s->model->tensor, (size_t)m.model.tensors * sizeof *m.tensor);
    snprintf(copy, sizeof copy, "%s/copy.gguf", folder);
    write_model(&m, copy);
    uint8_t *a = load(path, &a_size), *b = load(copy, &b_size);
    ck_assert_uint_eq(a_size, b_size);
    ck_assert_mem_eq(a, b, a_size);
    pl_free(a);
    pl_free(b);
    unlink(copy);
    pl_source_close(s);
    close_model(&m);
}
END_TEST

/* A stack is never cut, whatever the limit. */
START_TEST(in_several_files)
{
    tiny m;
    make_model_of(&m, PL_VOCAB_SPM, EXPERTS);
    for (int64_t limit = 1; limit < 40000; limit += 3777) {
        int files = write_shards(&m, path, limit);
        ck_assert_int_gt(files, 1);
        char name[200];
        snprintf(name, sizeof name, "%s/model-%05d-of-%05d.gguf", folder, 1, files);
        pl_source *s;
        ck_assert_msg(pl_source_open(only_gguf, name, &(pl_open_options){ .how = PL_OPEN_MAP }, &s) == PL_OK,
                      "%s", pl_error());
        compare_data(&m, s);
        pl_source_close(s);
        for (int i = 1; i <= files; i++) {
            snprintf(name, sizeof name, "%s/model-%05d-of-%05d.gguf", folder, i, files);
            unlink(name);
        }
    }
    close_model(&m);
}
END_TEST

/* ---- what no stack can hold ---- */

static void refused_plan(tiny *m, pl_sink *sink, const char *sentence)
{
    int64_t bytes;
    ck_assert_int_eq(sink->ops->size(sink, &m->plan, &m->model, &bytes), PL_E_WISH);
    ck_assert_msg(strstr(pl_error(), sentence), "'%s' expected in '%s'", sentence, pl_error());
}

START_TEST(plans_it_cannot_meet)
{
    tiny m;
    pl_sink *sink;
    make_model_of(&m, PL_VOCAB_SPM, EXPERTS);
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
    make_plan(&m, sink);
    int last = step_of(&m, PL_FFN_UP, 1, EXPERTS - 1);
    pl_step before = m.step[last];

    ck_assert_int_eq(pl_packed_init(&m.step[last].out, pl_type_plain(PL_BF16), FFN, HIDDEN), PL_OK);
    m.step[last].out.part[0].id = before.out.part[0].id;
    refused_plan(&m, sink, "all experts of '" UP "' in one tensor of one type");
    ck_assert_ptr_nonnull(strstr(pl_error(), "bf16"));
    ck_assert_ptr_nonnull(strstr(pl_error(), before.out.type.element->name));

    m.step[last] = before;
    m.step[last].out.rows--;
    refused_plan(&m, sink, "cannot stack expert 2 of '" UP "'");

    m.step[last] = before;
    m.step[last].id.expert = 1;
    refused_plan(&m, sink, "cannot stack expert 1 of '" UP "'");

    m.step[last] = before;
    m.step[last].name = "other";
    refused_plan(&m, sink, "cannot hold 2 of 3 experts of '" UP "'");
    m.step[last] = before;
    m.model.hp.experts = 2;
    refused_plan(&m, sink, "cannot hold 3 of 2 experts");
    pl_sink_close(sink);
    close_model(&m);
}
END_TEST

/* ---- files that lie ---- */

typedef struct lie {
    const char *anchor;         /* a key or name; dims of a stack at 4, 12, 20 behind it, type at 28 */
    int skip, width;
    uint64_t value;
    const char *sentence;
} lie;

static const lie lies[] = {
    { "llama.expert_count", 4, 4, 2, "has 3 experts, the model 2" },
    { "llama.expert_count", 4, 4, 4, "has 3 experts, the model 4" },
    { "llama.expert_count", 4, 4, UINT32_MAX, "expert_count" },
    { UP, 20, 8, 0, "dimension 2 is 0" },
    { UP, 20, 8, 1, "is said to begin" },
    { UP, 20, 8, UINT64_MAX, "dimension 2 is -1" },
    { UP, 20, 8, UINT64_C(1) << 60, "dimension 2" },
    { UP, 20, 8, UINT64_C(1) << 50, "is said to begin" },
    { "blk.1.ffn_down_exps.weight", 20, 8, UINT64_C(5) << 50, "too many bytes" },
    { UP, 12, 8, 0, "dimension 1 is 0" },
    { UP, 0, 4, 4, "" },
    { UP, -21, 1, 'q', "is no tensor" },
    { ROUTER, 12, 8, 4, "is said to begin" },
};

static void damage(const lie *l)
{
    size_t size;
    uint8_t *file = load(path, &size), *at = memmem(file, size, l->anchor, strlen(l->anchor));
    ck_assert_msg(at, "%s", l->anchor);
    at += (int)strlen(l->anchor) + l->skip;
    for (int k = 0; k < l->width; k++) at[k] = (uint8_t)(l->value >> 8 * k);
    save(file, size);
    pl_free(file);
}

static void refused(const char *sentence)
{
    pl_source *s = NULL;
    pl_status code = pl_source_open(only_gguf, path, NULL, &s);
    const char *said = code == PL_OK ? "(nothing)" : pl_error();
    ck_assert_msg(code == PL_E_INPUT && strstr(said, sentence), "'%s' expected in '%s'", sentence, said);
}

START_TEST(lying_files)
{
    tiny m;
    make_model_of(&m, PL_VOCAB_SPM, EXPERTS);
    write_model(&m, path);
    damage(&lies[_i]);
    refused(lies[_i].sentence);
    close_model(&m);
}
END_TEST

/* Shapes of the same number of bytes, so that only their meaning is wrong. */
START_TEST(other_shapes)
{
    static const struct { uint64_t cols, rows, experts; const char *sentence; } shapes[] = {
        { FFN, HIDDEN, EXPERTS, "should be 48 x 32, is 32 x 48" },
        { HIDDEN, EXPERTS, FFN, "has 48 experts, the model 3" },
        { HIDDEN, FFN * EXPERTS, 1, "has 1 experts, the model 3" },
        { HIDDEN * EXPERTS, FFN, 1, "has 1 experts, the model 3" },
        { HIDDEN / 2, FFN * 2, EXPERTS, "should be 48 x 32, is 96 x 16" },
    };
    tiny m;
    make_model_of(&m, PL_VOCAB_SPM, EXPERTS);
    write_model(&m, path);
    size_t size;
    uint8_t *file = load(path, &size), *at = memmem(file, size, UP, strlen(UP));
    for (int i = 0; i < PL_COUNT(shapes); i++) {
        const uint64_t dims[] = { shapes[i].cols, shapes[i].rows, shapes[i].experts };
        memcpy(at + strlen(UP) + 4, dims, sizeof dims);
        save(file, size);
        refused(shapes[i].sentence);
    }
    pl_free(file);
    close_model(&m);
}
END_TEST

/* Three dimensions where there are no experts. */
START_TEST(stacks_elsewhere)
{
    static const struct { const char *name, *sentence; } others[] = {
        { "output.weight", "tensor 'output.weight' has three dimensions" },
        { "blk.1.attn_q.bias", "tensor 'blk.1.attn_q.bias' has three dimensions" },
        { "blk.1.ffn_up.weight", "tensor 'blk.1.ffn_up.weight' has three dimensions" },
        { "token_embd.weight", "is there twice" },
        { "blk.7.ffn_up_exps.weight", "belongs to layer 7" },
        { "blk.1.ffn_up_exps.bias", "is no tensor" },
        { "blk.1.ffn_up.0.weight", "is no tensor" },
    };
    tiny m;
    for (int i = 0; i < PL_COUNT(others); i++) {
        pl_sink *sink;
        make_model_of(&m, PL_VOCAB_SPM, EXPERTS);
        ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
        make_plan(&m, sink);
        int first = step_of(&m, PL_FFN_UP, 1, 0);
        for (int x = 0; x < EXPERTS; x++) m.step[first + x].name = others[i].name;
        write_planned(&m, sink, path);
        pl_sink_close(sink);
        refused(others[i].sentence);
        close_model(&m);
    }
}
END_TEST

START_TEST(every_flipped_byte)
{
    tiny m;
    size_t size;
    make_model_of(&m, PL_VOCAB_SPM, EXPERTS);
    write_model(&m, path);
    uint8_t *file = load(path, &size);
    uint8_t *from = memmem(file, size, "token_embd.weight", 17), *end = file + size;
    int refusals = 0;
    for (uint8_t *at = from; at < from + 2500 && at < end; at++) {
        pl_source *s;
        *at ^= 0x05;
        save(file, size);
        pl_status code = pl_source_open(only_gguf, path, &(pl_open_options){ .how = PL_OPEN_MAP }, &s);
        if (code == PL_OK) pl_source_close(s);
        else refusals++;
        *at ^= 0x05;
    }
    ck_assert_int_gt(refusals, 1000);
    pl_free(file);
    close_model(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf_stacks");
    TCase *cases = tcase_create("gguf_stacks");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, round_trips);
    tcase_add_test(cases, as_stored);
    tcase_add_test(cases, writes_what_it_read);
    tcase_add_test(cases, in_several_files);
    tcase_add_test(cases, plans_it_cannot_meet);
    tcase_add_loop_test(cases, lying_files, 0, PL_COUNT(lies));
    tcase_add_test(cases, other_shapes);
    tcase_add_test(cases, stacks_elsewhere);
    tcase_add_test(cases, every_flipped_byte);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
