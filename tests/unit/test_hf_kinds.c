/* test_hf_kinds.c: pre-tokenizers by name, WordPiece, frames and chat templates of Hugging Face folders. */
#include "tests/unit/hf_vocab_fixture.h"
#include "tests/unit/suite.h"

/* Rules that nobody knows, and the name that makes them known. */
START_TEST(test_named_pretokenizer)
{
    parts p = byte_level;
    p.pre = "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a-f]+|"
            "[0123456789][0123456789][0123456789][0123456789][0123456789][0123456789][0123456789][0123456789][0123456789]"
            "[0123456789]\"}, \"behavior\": \"Isolated\"}, "
            "{\"type\": \"ByteLevel\", \"use_regex\": false}]}";
    put_tokenizer(p);
    ck_assert_int_eq(read_folder("{}", 8), PL_E_INPUT);
    static const char *const parts_of_it[] = { "[Split /[a-f]+|[0123456789][01234", ".../, ByteLevel]", "--pre NAME",
                                               "gpt-2, olmo", "qwen2", "default" };
    for (int i = 0; i < PL_COUNT(parts_of_it); i++)
        ck_assert_msg(strstr(pl_error(), parts_of_it[i]) != NULL, "'%s' lacks '%s'", pl_error(), parts_of_it[i]);
    finish();
    taken_for = "qwen2";
    read_well("{}", 8);
    ck_assert_str_eq(vocab->pre, "qwen2");
    ck_assert(!vocab->nfc);                             /* as the file says */
    finish();
    put_tokenizer(byte_level);                          /* also where the file is known */
    read_well("{}", 8);
    ck_assert_str_eq(vocab->pre, "qwen2");
    finish();
    put_tokenizer(sentence_piece);                      /* which cuts nothing */
    read_well("{}", 9);
    ck_assert_str_eq(vocab->pre, "default");
    finish();
    taken_for = NULL;
}
END_TEST

static const char word_piece[] =
    "{\"added_tokens\": [{\"id\": 0, \"content\": \"[PAD]\", \"special\": true}, {\"id\": 1, \"content\": \"[UNK]\", "
    "\"special\": true}, {\"id\": 2, \"content\": \"[CLS]\", \"special\": true}, {\"id\": 3, \"content\": \"[SEP]\", "
    "\"special\": true}], \"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": %s, \"lowercase\": %s, "
    "\"strip_accents\": %s}, \"pre_tokenizer\": {\"type\": \"%s\"}, \"post_processor\": {\"type\": \"BertProcessing\", "
    "\"cls\": [\"[CLS]\", 2], \"sep\": [\"[SEP]\", 3]}, \"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "
    "\"continuing_subword_prefix\": \"%s\", \"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, "
    "\"a\": 4, \"##b\": 5, \"[unused1]\": 6}}}";

static void put_word_piece(const char *clean, const char *lower, const char *accents, const char *pre, const char *prefix)
{
    char text[2048];
    snprintf(text, sizeof text, word_piece, clean, lower, accents, pre, prefix);
    put("tokenizer.json", text);
}

START_TEST(test_word_piece)
{
    put_word_piece("true", "true", "null", "BertPreTokenizer", "##");
    put("tokenizer_config.json", "{\"cls_token\": \"[CLS]\", \"sep_token\": \"[SEP]\", \"mask_token\": \"a\"}");
    read_well("{\"pad_token_id\": 0}", 8);
    ck_assert_int_eq(vocab->kind, PL_VOCAB_WPM);
    expect_token(1, "[UNK]", PL_TOKEN_CONTROL);
    expect_token(2, "[CLS]", PL_TOKEN_CONTROL);
    expect_token(4, "\xE2\x96\x81" "a", PL_TOKEN_NORMAL);
    expect_token(5, "b", PL_TOKEN_NORMAL);
    expect_token(6, "\xE2\x96\x81[unused1]", PL_TOKEN_NORMAL);
    expect_token(7, "\xE2\x96\x81[PAD7]", PL_TOKEN_UNUSED);
    ck_assert(vocab->bos == 2 && vocab->eos == 3 && vocab->sep == 3 && vocab->unk == 1 && vocab->pad == 0);
    ck_assert(vocab->mask == 4 && vocab->add_bos && vocab->add_eos && vocab->eogs == 0);
    ck_assert(vocab->lowercase && vocab->strip_accents);
    ck_assert_str_eq(warning, "");
    finish();
    put_word_piece("true", "false", "null", "BertPreTokenizer", "##");
    read_well("{}", 7);
    ck_assert(!vocab->lowercase && !vocab->strip_accents);
    ck_assert_ptr_nonnull(strstr(warning, "case or accents"));
    finish();
    put_word_piece("true", "true", "false", "BertPreTokenizer", "##");
    read_well("{}", 7);
    ck_assert(vocab->lowercase && !vocab->strip_accents);
    finish();
    put_word_piece("false", "true", "null", "BertPreTokenizer", "##");
    expect_refused("{}", 7, "clean_text false");
    put_word_piece("true", "true", "null", "BertPreTokenizer", "@@");
    expect_refused("{}", 7, "'@@'");
    put_word_piece("true", "true", "null", "Whitespace", "##");
    expect_refused("{}", 7, "[Whitespace]");
}
END_TEST

/* What stands around texts goes before what the settings say, and moves the tokens' roles. */
START_TEST(test_frames)
{
    parts p = byte_level;
    p.post = "{\"type\": \"ByteLevel\"}";
    put_tokenizer(p);
    put("tokenizer_config.json", "{\"bos_token\": \"a\", \"add_bos_token\": true, \"eos_token\": \"<|end|>\"}");
    read_well("{}", 8);
    ck_assert(!vocab->add_bos && vocab->bos == 0);
    finish();
    p.post = "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\"}}, {\"SpecialToken\": "
             "{\"id\": \"<x>\"}}]}";
    put_tokenizer(p);
    read_well("{}", 8);
    ck_assert(vocab->add_eos && !vocab->add_bos && vocab->eos == 7);
    ck_assert(vocab->eogs == 2 && vocab->eog[0] == 7 && vocab->eog[1] == 6);
    finish();
}
END_TEST

START_TEST(test_chat_files)
{
    put_tokenizer(byte_level);
    put("chat_template.json", "{\"chat_template\": \"from json\"}");
    read_well("{}", 8);
    ck_assert_str_eq(vocab->chat_template, "from json");
    finish();
    put("chat_template.jinja", "from jinja");
    read_well("{}", 8);
    ck_assert_str_eq(vocab->chat_template, "from jinja");
    finish();
    put("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"a b\", \"template\": \"1\"}, "
        "{\"name\": \"a-b\", \"template\": \"2\"}]}");
    ck_assert_int_eq(read_folder("{}", 8), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "two chat templates are named 'a_b'"));
    finish();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_named_pretokenizer, test_word_piece, test_frames, test_chat_files,
    };
    return run_cases("hf_kinds", setup, teardown, tests, PL_COUNT(tests));
}
