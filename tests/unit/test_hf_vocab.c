/* test_hf_vocab.c: tokenizer.json and its companions, read and refused. */
#include "core/fs.h"
#include "tests/unit/hf_vocab_fixture.h"

/* ---- what is read ---- */

START_TEST(test_none)
{
    ck_assert_int_eq(read_folder("{}", 10), PL_OK);
    ck_assert_ptr_null(vocab);
    finish();
}
END_TEST

START_TEST(test_byte_level)
{
    put_tokenizer(byte_level);
    put("tokenizer_config.json", "{\"bos_token\": \"a\", \"eos_token\": {\"content\": \"<|end|>\"}, \"add_bos_token\": true,"
        "\"chat_template\": [{\"name\": \"tool-use\", \"template\": \"t\"}, {\"name\": \"default\", \"template\": \"d\"}]}");
    put("generation_config.json", "{\"eos_token_id\": [6, 7, 6]}");
    read_well("{\"eos_token_id\": 5, \"pad_token_id\": 4, \"unk_token_id\": null}", 10);
    ck_assert_int_eq(vocab->kind, PL_VOCAB_BPE);
    ck_assert_str_eq(vocab->pre, "gpt-2");
    ck_assert_int_eq(vocab->count, 10);
    ck_assert_ptr_null(vocab->score);
    expect_token(5, "abc", PL_TOKEN_NORMAL);
    expect_token(6, "<|end|>", PL_TOKEN_CONTROL);
    expect_token(7, "<x>", PL_TOKEN_USER);
    expect_token(8, "[PAD8]", PL_TOKEN_UNUSED);
    expect_token(9, "[PAD9]", PL_TOKEN_UNUSED);
    static const pl_merge want[] = { { 0, 1 }, { 1, 2 }, { 3, 2 }, { 0, 4 } };
    ck_assert_int_eq(vocab->merges, 4);
    for (int i = 0; i < 4; i++)
        ck_assert(vocab->merge[i].left == want[i].left && vocab->merge[i].right == want[i].right);
    ck_assert_int_eq(vocab->bos, 0);
    ck_assert_int_eq(vocab->eos, 6);    /* tokenizer_config.json goes before config.json */
    ck_assert_int_eq(vocab->pad, 4);
    ck_assert_int_eq(vocab->unk, -1);
    ck_assert_int_eq(vocab->eogs, 3);
    ck_assert(vocab->eog[0] == 6 && vocab->eog[1] == 5 && vocab->eog[2] == 7);
    ck_assert(vocab->add_bos && !vocab->add_eos && !vocab->add_space_prefix);
    ck_assert_str_eq(vocab->chat_template, "d");
    ck_assert_int_eq(vocab->chats, 1);
    ck_assert_str_eq(vocab->chat[0].name, "tool_use");
    ck_assert_str_eq(vocab->chat[0].key, "tokenizer.chat_template.tool_use");
    ck_assert_str_eq(vocab->chat[0].text, "t");
    ck_assert_str_eq(warning, "");
    finish();
}
END_TEST

START_TEST(test_sentence_piece)
{
    put_tokenizer(sentence_piece);
    put("tokenizer_config.json", "{\"add_bos_token\": false}");         /* the template knows better */
    put("chat_template.jinja", "from a file");
    read_well("{\"bos_token_id\": 1, \"eos_token_id\": [4, 3]}", 9);
    ck_assert_int_eq(vocab->kind, PL_VOCAB_SPM);
    ck_assert_str_eq(vocab->pre, "default");
    expect_token(0, "<unk>", PL_TOKEN_UNKNOWN);
    expect_token(1, "<s>", PL_TOKEN_CONTROL);
    expect_token(2, "<0x0A>", PL_TOKEN_BYTE);
    expect_token(3, "a", PL_TOKEN_NORMAL);
    static const float want[] = { -5, -5, -5, -5, -5, -5, 0, -1, -2 };
    for (int i = 0; i < 9; i++) ck_assert_msg(vocab->score[i] == want[i], "score of %d", i);
    ck_assert_int_eq(vocab->merges, 0);                 /* the scores say it all */
    ck_assert(vocab->bos == 1 && vocab->eos == 4 && vocab->unk == 0);
    ck_assert(vocab->eogs == 2 && vocab->eog[0] == 4 && vocab->eog[1] == 3);
    ck_assert(vocab->add_bos && vocab->add_space_prefix);
    ck_assert_str_eq(vocab->chat_template, "from a file");
    ck_assert_str_eq(warning, "");
    finish();
}
END_TEST

/* What an order by scores cannot say is told. */
START_TEST(test_score_warning)
{
    parts p = sentence_piece;
    p.merges = "\"b c\", \"a b\", \"a bc\"";            /* "ab" and "c" spell "abc", but are no merge */
    put_tokenizer(p);
    read_well("{}", 9);
    ck_assert_ptr_nonnull(strstr(warning, "1 pairs spell a token"));
    finish();
    p.merges = "\"b c\", \"a bc\", \"a b\", \"ab c\"";  /* the merges of "abc" do not stand together */
    put_tokenizer(p);
    read_well("{}", 9);
    ck_assert_ptr_nonnull(strstr(warning, "1 merges stand apart"));
    finish();
}
END_TEST

START_TEST(test_pretokenizers)
{
    static const char split[] =
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": "
        "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
        "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, \"behavior\": \"Isolated\", \"invert\": false}, "
        "{\"type\": \"ByteLevel\", \"use_regex\": false, \"add_prefix_space\": false}]}";
    static const struct { const char *pre, *want; } cases[] = {
        { "{\"type\": \"ByteLevel\"}", "gpt-2" },
        { "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}]}", "gpt-2" },
        { "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": true},"
          " {\"type\": \"ByteLevel\"}]}", "smollm" },
        { split, "llama-bpe" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        parts p = byte_level;
        p.pre = cases[i].pre;
        p.more = i == 3 ? "\"ignore_merges\": true" : "\"ignore_merges\": false";
        put_tokenizer(p);
        read_well("{}", 8);
        ck_assert_str_eq(vocab->pre, cases[i].want);
        ck_assert_str_eq(warning, "");
        finish();
        p.more = i == 3 ? "\"ignore_merges\": false" : "\"ignore_merges\": true";
        put_tokenizer(p);
        read_well("{}", 8);
        ck_assert(vocab->whole_words == (i != 3));
        ck_assert_str_eq(vocab->pre, i == 3 ? "dbrx" : cases[i].want);   /* the same cuts, no whole words */
        ck_assert((strstr(warning, "ignore_merges") != NULL) == (i != 3));
        finish();
    }
    parts p = byte_level;
    p.normalizer = "{\"type\": \"NFC\"}";
    put_tokenizer(p);
    read_well("{}", 8);
    ck_assert(vocab->nfc);
    ck_assert_str_eq(vocab->pre, "olmo");
    finish();
}
END_TEST

START_TEST(test_metaspace)
{
    static const struct { const char *options; bool prefix; } cases[] = {
        { "\"prepend_scheme\": \"first\"", true }, { "\"prepend_scheme\": \"always\"", true },
        { "\"prepend_scheme\": \"never\"", false }, { "\"add_prefix_space\": false", false },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        char pre[200];
        parts p = sentence_piece;
        p.normalizer = "null";
        snprintf(pre, sizeof pre, "{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\", \"split\": false, %s}",
                 cases[i].options);
        p.pre = pre;
        put_tokenizer(p);
        read_well("{}", 9);
        ck_assert(vocab->add_space_prefix == cases[i].prefix);
        ck_assert((strstr(warning, "Metaspace") != NULL) == cases[i].prefix);
        ck_assert(vocab->prefix_first == (i == 0) && vocab->prefix_unspaced == cases[i].prefix);
        finish();
    }
}
END_TEST

START_TEST(test_added_tokens)
{
    parts p = byte_level;
    p.added = "{\"id\": 6, \"content\": \"<|im|>\"}, {\"id\": 7, \"content\": \"<unused1>\"}, "
              "{\"id\": 8, \"content\": \"<pad>\"}, {\"id\": 3, \"content\": \"ab\"}";
    put_tokenizer(p);
    read_well("{}", 9);
    expect_token(6, "<|im|>", PL_TOKEN_CONTROL);        /* not marked, but look special */
    expect_token(7, "<unused1>", PL_TOKEN_CONTROL);
    expect_token(8, "<pad>", PL_TOKEN_CONTROL);
    expect_token(3, "ab", PL_TOKEN_USER);
    ck_assert_str_eq(warning, "");
    finish();
    p.added = "{\"id\": 6, \"content\": \"<mask>\", \"lstrip\": true}";
    put_tokenizer(p);
    read_well("{}", 7);
    ck_assert_ptr_nonnull(strstr(warning, "lstrip"));
    ck_assert_int_eq(vocab->strip[6], PL_TOKEN_LSTRIP);
    expect_token(6, "<mask>", PL_TOKEN_CONTROL);
    finish();
    p.added = "{\"id\": 6, \"content\": \"<a>\", \"rstrip\": true, \"single_word\": true}, {\"id\": 7, \"content\": \"<b>\"}";
    put_tokenizer(p);
    read_well("{}", 7);                                 /* models may have fewer rows than tokens were added */
    ck_assert_int_eq(vocab->strip[6], PL_TOKEN_RSTRIP | PL_TOKEN_WORD);
    ck_assert_int_eq(vocab->count, 7);
    finish();
    p.added = "{\"id\": 9, \"content\": \"<b>\"}, {\"id\": 10, \"content\": \"<c>\"}";
    put_tokenizer(p);
    read_well("{}", 7);
    ck_assert_ptr_nonnull(strstr(warning, "'<b>' is left out: the model has only 7 tokens; so are others"));
    finish();
}
END_TEST

/* ---- what is refused ---- */

#define REFUSED(base, member, value, sentence)                                                     \
    do {                                                                                           \
        parts p_ = base;                                                                           \
        p_.member = value;                                                                         \
        put_tokenizer(p_);                                                                         \
        expect_refused("{}", 9, sentence);                                                         \
    } while (0)

START_TEST(test_refused_tokens)
{
    REFUSED(byte_level, vocab, "\"a\": 0, \"b\": 0", "'a' and 'b' both have id 0");
    REFUSED(byte_level, vocab, "\"a\": 9", "id of token 'a'");
    REFUSED(byte_level, vocab, "\"a\": -1", "id of token 'a'");
    REFUSED(byte_level, vocab, "\"a\": 0.5", "id of token 'a'");
    REFUSED(byte_level, vocab, "\"a\": \"0\"", "id of token 'a'");
    REFUSED(byte_level, vocab, "\"a\": 0, \"a\": 1", "'a' stands twice");
    REFUSED(byte_level, added, "{\"id\": 5, \"content\": \"x\"}", "id 5, which is token 'abc'");
    REFUSED(byte_level, added, "{\"id\": 8, \"content\": \"abc\"}", "tokens 5 and 8 are both 'abc'");
    REFUSED(byte_level, added, "{\"id\": 4194304, \"content\": \"x\"}", "id of token 'x'");
    REFUSED(byte_level, added, "{\"id\": -1, \"content\": \"x\"}", "id of token 'x'");
    REFUSED(byte_level, added, "{\"content\": \"x\"}", "no id");
    REFUSED(byte_level, added, "{\"id\": 8}", "content");
    REFUSED(byte_level, added, "{\"id\": 8, \"content\": 8}", "content");
    REFUSED(byte_level, added, "{\"id\": 8, \"content\": \"x\", \"special\": 1}", "special");
    REFUSED(byte_level, added, "7", "not an object");
    char long_token[PL_MAX_TOKEN_BYTES + 200];
    snprintf(long_token, sizeof long_token, "{\"model\": {\"vocab\": {\"%0*d\": 0}}, \"pre_tokenizer\": "
             "{\"type\": \"ByteLevel\"}}", PL_MAX_TOKEN_BYTES + 1, 0);
    put("tokenizer.json", long_token);
    expect_refused("{}", 9, "PL_MAX_TOKEN_BYTES");
    put_tokenizer(byte_level);
    expect_refused("{}", 0, "PL_MAX_VOCAB");
    put_tokenizer(byte_level);
    expect_refused("{}", PL_MAX_VOCAB + 1, "PL_MAX_VOCAB");
}
END_TEST

START_TEST(test_refused_merges)
{
    REFUSED(byte_level, merges, "\"a\"", "merge 0 is neither");
    REFUSED(byte_level, merges, "\"a b c\"", "merge 0 is neither");
    REFUSED(byte_level, merges, "\"a b\", 7", "merge 1 is neither");
    REFUSED(byte_level, merges, "[\"a\"]", "merge 0 is neither");
    REFUSED(byte_level, merges, "[\"a\", \"b\", \"c\"]", "merge 0 is neither");
    REFUSED(byte_level, merges, "[\"a\", 7]", "merge 0 is neither");
    REFUSED(byte_level, merges, "\"a b\", \"a x\"", "merge 1: 'x' is no token");
    REFUSED(byte_level, merges, "\"xy b\"", "merge 0: 'xy' is no token");
    REFUSED(byte_level, merges, "\"a \"", "merge 0: '' is no token");
    REFUSED(byte_level, merges, "\"b a\"", "'b' and 'a' together are no token");
}
END_TEST

START_TEST(test_refused_rules)
{
    REFUSED(byte_level, normalizer, "{\"type\": \"NFKC\"}", "NFKC");
    REFUSED(byte_level, normalizer, "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Lowercase\"}]}", "Lowercase");
    REFUSED(byte_level, normalizer, "7", "normalizer is not an object");
    REFUSED(byte_level, normalizer, "{}", "type");
    REFUSED(byte_level, pre, "null", "without byte_fallback []");
    REFUSED(byte_level, pre, "{\"type\": \"Whitespace\"}", "without byte_fallback [Whitespace]");
    REFUSED(byte_level, pre, "{\"type\": \"Sequence\"}", "'pretokenizers'");
    REFUSED(byte_level, pre, "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Punctuation\"}, "
            "{\"type\": \"ByteLevel\"}]}", "[Punctuation, ByteLevel]");
    REFUSED(byte_level, pre, "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", "
            "\"individual_digits\": false}, {\"type\": \"ByteLevel\"}]}", "[Digits, ByteLevel] is not known");
    REFUSED(byte_level, pre, "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"x\"},"
            "\"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\", \"use_regex\": false}]}", "[Split /x/, ByteLevel]");
    REFUSED(byte_level, pre, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}", "add_prefix_space");
    REFUSED(byte_level, pre, "{\"type\": \"ByteLevel\", \"use_regex\": 1}", "use_regex");
    REFUSED(byte_level, more, "\"byte_fallback\": 0", "byte_fallback");
    REFUSED(byte_level, more, "\"ignore_merges\": \"no\"", "ignore_merges");
    REFUSED(byte_level, post, "{\"type\": \"BertProcessing\"}", "'cls' and 'sep'");
    REFUSED(byte_level, post, "{\"type\": \"Other\"}", "post_processor [Other]");
    REFUSED(byte_level, post, "{\"type\": \"TemplateProcessing\"}", "'single'");
    REFUSED(byte_level, post, "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"a\"}}, "
            "{\"SpecialToken\": {\"id\": \"b\"}}, {\"Sequence\": {\"id\": \"A\"}}]}", "more than one special");
    REFUSED(byte_level, post, "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {}}, {\"Sequence\": {}}]}",
            "not one text");
    REFUSED(byte_level, post, "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"zz\"}}, "
            "{\"Sequence\": {\"id\": \"A\"}}]}", "'zz' at the start");
    REFUSED(sentence_piece, normalizer, "null", "normalizer []");
    REFUSED(sentence_piece, normalizer, "{\"type\": \"Replace\", \"pattern\": {\"String\": \"x\"}, \"content\": \"y\"}",
            "normalizer [Replace]");
    REFUSED(sentence_piece, pre, "{\"type\": \"Digits\"}", "pre_tokenizer [Digits]");
    parts p = sentence_piece;
    p.normalizer = "null";
    REFUSED(p, pre, "{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\"}", "\"split\": true");
    REFUSED(p, pre, "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"split\": false}", "U+2581");
    REFUSED(p, pre, "{\"type\": \"Metaspace\", \"prepend_scheme\": 7}", "prepend_scheme");
}
END_TEST

START_TEST(test_refused_model)
{
    REFUSED(byte_level, more, "\"end_of_word_suffix\": \"</w>\"", "end_of_word_suffix '</w>'");
    REFUSED(byte_level, more, "\"continuing_subword_prefix\": \"##\"", "continuing_subword_prefix '##'");
    REFUSED(byte_level, more, "\"dropout\": 0.1", "dropout");
    REFUSED(byte_level, more, "\"unk_token\": \"zz\"", "unk_token 'zz'");
    REFUSED(byte_level, more, "\"unk_token\": 7", "unk_token");
    static const struct { const char *text, *sentence; } files[] = {
        { "", "tokenizer.json" }, { "[]", "no object 'model'" }, { "{\"model\": 7}", "no object 'model'" },
        { "{\"model\": {\"type\": \"Unigram\"}}", "model.type is 'Unigram'" },
        { "{\"model\": {\"type\": 7}}", "type" }, { "{\"model\": {}}", "no object 'model.vocab'" },
        { "{\"model\": {\"vocab\": []}}", "no object 'model.vocab'" },
        { "{\"model\": {\"vocab\": {}}, \"added_tokens\": {}}", "added_tokens is not an array" },
        { "{\"model\": {\"vocab\": {}, \"merges\": {}}, \"pre_tokenizer\": {\"type\": \"ByteLevel\"}}", "model.merges" },
    };
    for (int i = 0; i < PL_COUNT(files); i++) {
        put("tokenizer.json", files[i].text);
        expect_refused("{}", 9, files[i].sentence);
    }
    put_tokenizer(byte_level);
    expect_refused("{\"bos_token_id\": 9}", 9, "bos_token_id");
    expect_refused("{\"eos_token_id\": [0, \"1\"]}", 9, "eos_token_id");
    put("tokenizer_config.json", "[]");
    expect_refused("{}", 9, "tokenizer_config.json");
    put("tokenizer_config.json", NULL);
    put("generation_config.json", "{\"eos_token_id\": 99}");
    expect_refused("{}", 9, "generation_config.json");
}
END_TEST

/* tokenizer.json cut short anywhere, or with a byte changed: a status, never a crash. */
START_TEST(test_broken_files)
{
    put_tokenizer(sentence_piece);
    char path[128], *text;
    size_t len;
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    ck_assert_int_eq(pl_file_load(path, 1 << 20, &text, &len), PL_OK);
    static const char swaps[] = "\"{}[]:,0x\xFF";
    for (size_t at = 0; at < len; at++) {
        char *copy = malloc(len + 1);
        memcpy(copy, text, len + 1);
        copy[at] = 0;
        put("tokenizer.json", copy);
        ck_assert_int_eq(read_folder("{}", 9), PL_E_INPUT);
        finish();
        memcpy(copy, text, len + 1);
        copy[at] = swaps[at % (sizeof swaps - 1)];
        put("tokenizer.json", copy);
        pl_status status = read_folder("{}", 9);
        ck_assert(status == PL_OK || (status == PL_E_INPUT && pl_error()[0]));
        finish();
        free(copy);
    }
    pl_free(text);
}
END_TEST

START_TEST(test_no_memory)
{
    put_tokenizer(sentence_piece);
    put("tokenizer_config.json", "{\"chat_template\": \"x\"}");
    pl_json *config;
    ck_assert_int_eq(pl_json_parse("{}", 2, "config.json", &config), PL_OK);
    int n = 0;
    for (pl_status status = PL_E_MEMORY; status != PL_OK; n++) {
        ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
        pl_mem_fail_after(n);
        status = pl_hf_vocab_read(folder, config, 9, NULL, arena, &vocab);
        pl_mem_fail_after(-1);
        ck_assert_msg(status == PL_E_MEMORY || status == PL_OK, "allocation %d: %s", n, pl_error());
        finish();
    }
    ck_assert_int_ge(n, 20);
    pl_json_free(config);
}
END_TEST

/* A real model. */
START_TEST(test_stories260k)
{
    const char *root = getenv("PLANISH_SOURCE_ROOT");
    ck_assert_ptr_nonnull(root);
    char path[1024];
    snprintf(path, sizeof path, "%s/calib-data/stories260k", root);
    pl_json *config;
    ck_assert_int_eq(pl_json_parse("{}", 2, "config.json", &config), PL_OK);
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    ck_assert_msg(pl_hf_vocab_read(path, config, 512, NULL, arena, &vocab) == PL_OK, "%s", pl_error());
    ck_assert_int_eq(vocab->kind, PL_VOCAB_SPM);
    expect_token(0, "<unk>", PL_TOKEN_UNKNOWN);
    expect_token(3, "<0x00>", PL_TOKEN_BYTE);
    expect_token(258, "<0xFF>", PL_TOKEN_BYTE);
    ck_assert(vocab->bos == 1 && vocab->eos == 2 && vocab->unk == 0 && vocab->add_bos && !vocab->add_eos);
    pl_json_free(config);
    finish();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hf_vocab");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_none);
    tcase_add_test(t, test_byte_level);
    tcase_add_test(t, test_sentence_piece);
    tcase_add_test(t, test_score_warning);
    tcase_add_test(t, test_pretokenizers);
    tcase_add_test(t, test_metaspace);
    tcase_add_test(t, test_added_tokens);
    tcase_add_test(t, test_refused_tokens);
    tcase_add_test(t, test_refused_merges);
    tcase_add_test(t, test_refused_rules);
    tcase_add_test(t, test_refused_model);
    tcase_add_test(t, test_broken_files);
    tcase_add_test(t, test_no_memory);
    tcase_add_test(t, test_stories260k);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
