/* test_gguf.c: what the GGUF sink writes the source reads back; outputs are whole or not there. */
#include "tests/unit/gguf_fixture.h"

/* ---- there and back ---- */

static void compare_vocabs(const pl_vocab *a, const pl_vocab *b)
{
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_str_eq(a->pre, b->pre);
    ck_assert_int_eq(a->count, b->count);
    ck_assert_mem_eq(a->type, b->type, (size_t)a->count);
    for (int i = 0; i < a->count; i++) {
        ck_assert_uint_eq(a->token[i].len, b->token[i].len);
        ck_assert_str_eq(a->token[i].s, b->token[i].s);
        if (a->score) ck_assert(a->score[i] == b->score[i]);
    }
    ck_assert_int_eq(a->merges, b->merges);
    if (a->merges) ck_assert_mem_eq(a->merge, b->merge, (size_t)a->merges * sizeof *a->merge);
    ck_assert(a->bos == b->bos && a->eos == b->eos && a->unk == b->unk && a->pad == b->pad);
    ck_assert(a->add_bos == b->add_bos && a->add_eos == b->add_eos);
    ck_assert(a->add_space_prefix == b->add_space_prefix);
    ck_assert_int_eq(!a->chat_template, !b->chat_template);
    if (a->chat_template) ck_assert_str_eq(a->chat_template, b->chat_template);
    for (int i = 0; i < a->eogs; i++) ck_assert_int_eq(a->eog[i], b->eog[i]);
}

static const pl_meta *find_meta(const pl_model *model, const char *key)
{
    for (int i = 0; i < model->metas; i++)
        if (!strcmp(model->meta[i].key, key)) return &model->meta[i];
    return NULL;
}

static void compare_meta(const pl_meta *a, const pl_meta *b)
{
    ck_assert_ptr_nonnull(b);
    ck_assert(a->type == b->type && a->element == b->element && a->count == b->count);
    if (a->type == PL_META_STRING) ck_assert_str_eq(a->value.text.s, b->value.text.s);
    else if (a->type != PL_META_ARRAY) ck_assert_uint_eq(a->value.u, b->value.u);
    else if (a->element != PL_META_STRING) ck_assert_mem_eq(a->value.array, b->value.array, 6);
    else {
        const pl_text *x = a->value.array, *y = b->value.array;
        for (int i = 0; i < a->count; i++) {
            ck_assert_uint_eq(x[i].len, y[i].len);
            ck_assert_mem_eq(x[i].s, y[i].s, x[i].len + 1);
        }
    }
}

static void check_round_trip(pl_vocab_kind kind, pl_open_how how)
{
    tiny m;
    make_model(&m, kind);
    write_model(&m, path);
    pl_source *s = open_model(how);
    ck_assert_str_eq(s->model->name, "tiny");
    ck_assert_int_eq(s->files, 1);
    ck_assert_str_eq(s->file[0], path);
    ck_assert_mem_eq(&s->model->hp, &m.model.hp, sizeof m.model.hp);
    compare_vocabs(&m.vocab, s->model->vocab);
    for (int i = 0; i < m.model.metas; i++)
        compare_meta(&m.model.meta[i], find_meta(s->model, m.model.meta[i].key));
    int more = kind == PL_VOCAB_BPE;            /* the second end of text */
    ck_assert_int_eq(s->model->metas, m.model.metas + more);
    compare_data(&m, s);
    pl_source_drop_vocab(s);
    pl_source_close(s);
    close_model(&m);
}

START_TEST(round_trips)
{
    check_round_trip(PL_VOCAB_SPM, PL_OPEN_WINDOWS);
    check_round_trip(PL_VOCAB_SPM, PL_OPEN_MAP);
    check_round_trip(PL_VOCAB_BPE, PL_OPEN_WINDOWS);
    check_round_trip(PL_VOCAB_BPE, PL_OPEN_MAP);
}
END_TEST

/* What was read, written again, gives the same bytes: no key is lost, none is added. */
START_TEST(writes_what_it_read)
{
    char copy[160];
    snprintf(copy, sizeof copy, "%s/copy.gguf", folder);
    for (int kind = PL_VOCAB_BPE; kind <= PL_VOCAB_SPM; kind++) {
        tiny m;
        size_t a_size, b_size;
        make_model(&m, kind);
        m.vocab.eogs = 1;           /* else its key moves to the end, among those carried over */
        write_model(&m, path);
        pl_source *s = open_model(PL_OPEN_WINDOWS);
        m.model = *s->model;
        memcpy(m.tensor, s->model->tensor, (size_t)m.model.tensors * sizeof *m.tensor);
        write_model(&m, copy);
        uint8_t *a = load(path, &a_size), *b = load(copy, &b_size);
        ck_assert_int_eq((int64_t)b_size, m.plan.bytes);
        ck_assert_uint_eq(a_size, b_size);
        ck_assert_mem_eq(a, b, a_size);
        pl_free(a);
        pl_free(b);
        unlink(copy);
        pl_source_close(s);
        close_model(&m);
    }
}
END_TEST

static const char *text_of(const pl_source *s, const char *key)
{
    const pl_meta *meta = find_meta(s->model, key);
    ck_assert_msg(meta && meta->type == PL_META_STRING, "%s", key);
    return meta->value.text.s;
}

static int number_of(const pl_source *s, const char *key)
{
    const pl_meta *meta = find_meta(s->model, key);
    ck_assert_msg(meta && meta->type == PL_META_U32, "%s", key);
    return (int)meta->value.u;
}

/* Which statistics guided the encoder; a text longer than llama-quantize's field loses whole characters. */
START_TEST(statistics)
{
    tiny m;
    char name[200];
    snprintf(name, sizeof name, "%0126d\xc3\xa9.txt", 0);
    const char *sets[] = { name, "other" };
    pl_stats stats = { .path = "s.gguf", .dataset = sets, .datasets = 2, .entries = 30, .chunks = 7 };
    make_model(&m, PL_VOCAB_SPM);
    for (int i = 0; i < 2; i++) {
        pl_sink *sink;
        ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
        make_plan(&m, sink);
        m.plan.stats = &stats;
        write_planned(&m, sink, path);
        pl_sink_close(sink);
        pl_source *s = open_model(PL_OPEN_WINDOWS);
        ck_assert_str_eq(text_of(s, "quantize.imatrix.file"), "s.gguf");
        ck_assert_int_eq(number_of(s, "quantize.imatrix.entries_count"), 30);
        if (i == 0) {
            ck_assert_int_eq((int)strlen(text_of(s, "quantize.imatrix.dataset")), 126);
            ck_assert_int_eq(number_of(s, "quantize.imatrix.chunks_count"), 7);
        } else {                                /* what the file does not say is not written */
            ck_assert_ptr_null(find_meta(s->model, "quantize.imatrix.dataset"));
            ck_assert_ptr_null(find_meta(s->model, "quantize.imatrix.chunks_count"));
        }
        pl_source_close(s);
        unlink(path);
        stats.datasets = 0;
        stats.chunks = 0;
    }
    close_model(&m);
}
END_TEST

START_TEST(version_2)
{
    tiny m;
    size_t size;
    make_model(&m, PL_VOCAB_SPM);
    write_model(&m, path);
    uint8_t *file = load(path, &size);
    file[4] = 2;                        /* the two versions differ in nothing that is used here */
    save(file, size);
    pl_source *s = open_model(PL_OPEN_MAP);
    compare_data(&m, s);
    pl_source_close(s);
    pl_free(file);
    close_model(&m);
}
END_TEST

START_TEST(rope)
{
    tiny m;
    make_model(&m, PL_VOCAB_SPM);
    m.model.hp.rope_scaling = PL_ROPE_LINEAR;
    m.model.hp.rope_factor = 4;
    write_model(&m, path);
    pl_source *s = open_model(PL_OPEN_WINDOWS);
    ck_assert_int_eq(s->model->hp.rope_scaling, PL_ROPE_LINEAR);
    ck_assert(s->model->hp.rope_factor == 4);
    pl_source_close(s);
    /* factors are a tensor as any other */
    m.model.hp.rope_scaling = PL_ROPE_LLAMA3;
    add_tensor(&m, pl_arch_row(pl_arch_find("llama"), PL_ROPE_FREQS), -1, -1);
    write_model(&m, path);
    s = open_model(PL_OPEN_WINDOWS);
    ck_assert_int_eq(s->model->hp.rope_scaling, PL_ROPE_LLAMA3);
    compare_data(&m, s);
    pl_source_close(s);
    close_model(&m);
}
END_TEST

/* ---- the life of an output ---- */

START_TEST(whole_or_nothing)
{
    tiny m;
    pl_sink *sink;
    make_model(&m, PL_VOCAB_SPM);
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
    make_plan(&m, sink);
    ck_assert_int_eq(sink->ops->begin(sink, path, &m.plan, &m.model), PL_OK);
    const pl_part *part = &m.step[0].out.part[0];
    pl_part foreign = { .id = m.plan.parts };
    ck_assert_int_ne(sink->ops->put(sink, part, part->bytes - 1, m.data[0], 2), PL_OK);
    ck_assert_int_ne(sink->ops->put(sink, part, -1, m.data[0], 1), PL_OK);
    ck_assert_int_ne(sink->ops->put(sink, &foreign, 0, m.data[0], 1), PL_OK);
    ck_assert(!pl_path_exists(path));
    pl_sink_close(sink);
    ck_assert_int_eq(entries(), 0);
    write_model(&m, path);
    ck_assert_int_eq(entries(), 1);
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
    ck_assert_int_eq(sink->ops->begin(sink, path, &m.plan, &m.model), PL_E_WISH);
    pl_sink_close(sink);
    ck_assert_int_eq(entries(), 1);
    close_model(&m);
}
END_TEST

START_TEST(wishes_it_cannot_meet)
{
    tiny m;
    pl_sink *sink;
    pl_packed out;
    const char *name;
    make_model(&m, PL_VOCAB_SPM);
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
    pl_tensor t = { .id = pl_id_make(PL_FFN_DOWN, 0, -1), .name = "x", .rows = HIDDEN, .cols = FFN,
                    .flags = PL_TENSOR_MATRIX };
    ck_assert_int_eq(sink->ops->resolve(sink, &m.model, &t, pl_type_plain(PL_Q8_0), &out, &name,
                                        m.arena), PL_E_WISH);
    t.id.role = PL_ROLES;
    ck_assert_int_eq(sink->ops->resolve(sink, &m.model, &t, pl_type_plain(PL_F16), &out, &name,
                                        m.arena), PL_E_WISH);
    pl_sink_close(sink);
    close_model(&m);
}
END_TEST

/* Memory that runs out at any moment is reported, and nothing is lost or left behind. */
START_TEST(out_of_memory)
{
    tiny m;
    pl_sink *sink;
    pl_source *s;
    int failures = 0;
    make_model(&m, PL_VOCAB_BPE);
    write_model(&m, path);
    for (pl_status code = PL_E_MEMORY; code != PL_OK; failures++) {
        pl_mem_fail_after(failures);
        code = pl_source_open(only_gguf, path, NULL, &s);
        pl_mem_fail_after(-1);
        ck_assert(code == PL_OK || code == PL_E_MEMORY);
    }
    pl_source_close(s);
    ck_assert_int_gt(failures, 5);
    failures = 0;
    for (pl_status code = PL_E_MEMORY; code != PL_OK; failures++) {
        ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
        pl_mem_fail_after(failures);
        sink->set.force = true;
        code = sink->ops->begin(sink, path, &m.plan, &m.model);
        pl_mem_fail_after(-1);
        ck_assert(code == PL_OK || code == PL_E_MEMORY);
        pl_sink_close(sink);
        ck_assert_int_eq(entries(), 1);
    }
    ck_assert_int_gt(failures, 5);
    close_model(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf");
    TCase *cases = tcase_create("gguf");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, round_trips);
    tcase_add_test(cases, writes_what_it_read);
    tcase_add_test(cases, statistics);
    tcase_add_test(cases, version_2);
    tcase_add_test(cases, rope);
    tcase_add_test(cases, whole_or_nothing);
    tcase_add_test(cases, wishes_it_cannot_meet);
    tcase_add_test(cases, out_of_memory);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
