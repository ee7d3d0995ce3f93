/* test_hf_meta.c: what a checkpoint says of itself: names, sizes, licences, origins. */
#include <sys/stat.h>

#include "tests/unit/hf_fixture.h"

static const pl_meta *meta(const pl_source *s, const char *key)
{
    for (int i = 0; i < s->model->metas; i++)
        if (!strcmp(s->model->meta[i].key, key)) return &s->model->meta[i];
    return NULL;
}

static void ck_meta(const pl_source *s, const char *key, const char *expected)
{
    const pl_meta *m = meta(s, key);
    if (!expected) {
        ck_assert_msg(!m, "'%s' is there", key);
        return;
    }
    ck_assert_msg(m != NULL, "'%s' is missing", key);
    ck_assert_int_eq(m->type, PL_META_STRING);
    ck_assert_str_eq(m->value.text.s, expected);
    ck_assert_uint_eq(m->value.text.len, strlen(expected));
}

/* Opens the small model as the folder `name`. */
static pl_source *open_named(const char *name, const char *config, const char *readme)
{
    checkpoint c;
    char file[128];
    fill(&c);
    ck_assert_int_eq(mkdir(in(name), 0700), 0);
    snprintf(file, sizeof file, "%s/model.safetensors", name);
    save_tensors(file, c.entry, c.count);
    snprintf(file, sizeof file, "%s/config.json", name);
    save_text(file, config);
    snprintf(file, sizeof file, "%s/README.md", name);
    if (readme) save_text(file, readme);
    return open_model(in(name), PL_OPEN_WINDOWS);
}

START_TEST(names)
{
    pl_source *s = open_named("stories2x", untied, NULL);
    ck_assert_str_eq(s->model->name, "Stories2X");
    ck_meta(s, "general.name", "Stories2X");
    ck_meta(s, "general.size_label", "0.9K");
    ck_meta(s, "general.basename", NULL);
    ck_meta(s, "general.license", NULL);
    pl_source_close(s);
    s = open_named("tiny-1k-chat-v0.2", CONFIG ",\"_name_or_path\":\"/home/x/y\"}", "no front matter");
    ck_meta(s, "general.name", "Tiny 1k Chat v0.2");
    ck_meta(s, "general.basename", "tiny");
    ck_meta(s, "general.size_label", "1K");
    ck_meta(s, "general.finetune", "chat");
    ck_meta(s, "general.version", "v0.2");
    ck_meta(s, "general.organization", NULL);
    pl_source_close(s);
    s = open_named("other", CONFIG ",\"_name_or_path\":\"some-org/Llama-7B-hf\"}", "---\n---\n");
    ck_meta(s, "general.name", "Llama 7B Hf");      /* a size far from the real one is no size */
    ck_meta(s, "general.organization", "Some Org");
    ck_meta(s, "general.finetune", "7b-hf");
    pl_source_close(s);
}
END_TEST

START_TEST(model_card)
{
    pl_source *s = open_named("card", untied,
        "---\r\nlicense: other # see below\r\nlicense_name: 'my licence'\r\nlanguage:\r\n- en\r\n  - \"it\"\r\n"
        "tags: [a, b c]\r\npipeline_tag: text-generation\r\nbase_model:\r\n- org/Base-7B-v2\r\n"
        "- https://huggingface.co/x/y\r\n- https://example.org/z\r\nwidget:\r\n- text: a\r\n  license_link: no\r\n"
        "---\r\n# Title\r\nlicense_link: http://x\r\n");
    ck_meta(s, "general.license", "other");
    ck_meta(s, "general.license.name", "my licence");
    ck_meta(s, "general.license.link", NULL);
    ck_assert_uint_eq(meta(s, "general.base_model.count")->value.u, 3);
    ck_meta(s, "general.base_model.0.name", "Base 7B v2");
    ck_meta(s, "general.base_model.0.organization", "Org");
    ck_meta(s, "general.base_model.0.version", "v2");
    ck_meta(s, "general.base_model.0.repo_url", "https://huggingface.co/org/Base-7B-v2");
    ck_meta(s, "general.base_model.1.name", "Y");
    ck_meta(s, "general.base_model.1.repo_url", "https://huggingface.co/x/y");
    ck_meta(s, "general.base_model.2.name", NULL);
    ck_meta(s, "general.base_model.2.repo_url", "https://example.org/z");
    static const struct { const char *key, *item[3]; int count; } lists[] = {
        { "general.tags", { "a", "b c", "text-generation" }, 3 }, { "general.languages", { "en", "it" }, 2 },
    };
    for (int i = 0; i < PL_COUNT(lists); i++) {
        const pl_meta *m = meta(s, lists[i].key);
        ck_assert(m && m->type == PL_META_ARRAY && m->element == PL_META_STRING);
        ck_assert_int_eq(m->count, lists[i].count);
        for (int k = 0; k < lists[i].count; k++)
            ck_assert_str_eq(((const pl_text *)m->value.array)[k].s, lists[i].item[k]);
    }
    pl_source_close(s);
}
END_TEST

/* A card that is cut anywhere, or no text at all, does no harm. */
START_TEST(broken_cards)
{
    static const char card[] = "---\nlicense: [mit, \"b\"]\nbase_model:\n- a/b\n-\n- {x: y}\ntags: \"\xc3\xa9\"\n---\n";
    pl_source_close(open_named("card", untied, NULL));
    for (size_t cut = 0; cut < sizeof card; cut++) {
        save("card/README.md", card, cut);
        pl_source *s = open_model(in("card"), PL_OPEN_WINDOWS);
        ck_meta(s, "general.license", cut >= sizeof card - 2 ? "mit,b" : NULL);
        pl_source_close(s);
    }
    static const char *const bad[] = { "---\nlicense: \xff\n---\n", "---\nlicense: a: b\n---\n",
                                       "---\nlicense: |\n  mit\n---\n", "---\nlicense: \"mit\n---\n" };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        save_text("card/README.md", bad[i]);
        pl_source *s = open_model(in("card"), PL_OPEN_WINDOWS);
        ck_meta(s, "general.license", NULL);
        pl_source_close(s);
    }
}
END_TEST

START_TEST(sampling)
{
    pl_source_close(open_named("sampled", untied, NULL));
    save_text("sampled/generation_config.json",
              "{\"temperature\": 0.6, \"top_p\": 1, \"top_k\": 50, \"repetition_penalty\": 1.5, \"min_p\": null,"
              " \"sequence\": \"kp\", \"mirostat_tau\": \"five\", \"mirostat\": 1.5, \"penalty_last_n\": 3e9,"
              " \"mirostat_eta\": 1e200, \"do_sample\": true, \"eos_token_id\": 2}");
    pl_source *s = open_model(in("sampled"), PL_OPEN_WINDOWS);
    static const struct { const char *key; double value; } numbers[] = {
        { "temp", 0.6 }, { "top_p", 1 }, { "penalty_repeat", 1.5 },
    };
    static const char *const none[] = { "min_p", "mirostat_tau", "mirostat", "mirostat_eta", "penalty_last_n",
                                        "xtc_threshold", "do_sample" };
    char key[64];
    for (int i = 0; i < PL_COUNT(numbers); i++) {
        snprintf(key, sizeof key, "general.sampling.%s", numbers[i].key);
        ck_assert(meta(s, key) && meta(s, key)->type == PL_META_F32);
        ck_assert(meta(s, key)->value.f == numbers[i].value);
    }
    ck_assert(meta(s, "general.sampling.top_k") && meta(s, "general.sampling.top_k")->type == PL_META_I32);
    ck_assert_int_eq(meta(s, "general.sampling.top_k")->value.i, 50);
    ck_meta(s, "general.sampling.sequence", "kp");
    for (int i = 0; i < PL_COUNT(none); i++) {
        snprintf(key, sizeof key, "general.sampling.%s", none[i]);
        ck_assert_msg(!meta(s, key), "%s", key);
    }
    pl_source_close(s);
    save_text("sampled/generation_config.json", "{\"penalty_repeat\": 2, \"repetition_penalty\": 1.5}");
    s = open_model(in("sampled"), PL_OPEN_WINDOWS);
    ck_assert(meta(s, "general.sampling.penalty_repeat")->value.f == 2);
    pl_source_close(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hf_meta");
    TCase *cases = tcase_create("hf_meta");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, names);
    tcase_add_test(cases, model_card);
    tcase_add_test(cases, broken_cards);
    tcase_add_test(cases, sampling);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
