/* test_tokenizer_words.c: WordPiece, the space in front of SentencePiece-style text, white space of added tokens. */
#include "tests/unit/tokenizer_fixture.h"
#include "tests/unit/suite.h"

#define MARK "\xE2\x96\x81"

/* Control tokens 0 .. 3, then words and what goes on with them. */
static void word_pieces(void)
{
    static const char *const control[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]" };
    static const char *const pieces[] = {
        MARK "a", MARK "ab", MARK "abc", "c", "cd", "d", MARK "!", MARK "[", "!", MARK "\xE4\xB8\xAD",
        MARK "e", "e", MARK "\xC3\xA9", MARK "A", "\xCC\x87", MARK "i", MARK "$", MARK "_", MARK "x" MARK,
    };
    begin(PL_VOCAB_WPM, "default");
    for (int i = 0; i < PL_COUNT(control); i++) add(control[i], PL_TOKEN_CONTROL, 0);
    for (int i = 0; i < PL_COUNT(pieces); i++) add(pieces[i], PL_TOKEN_NORMAL, 0);
    vocab.score = NULL;
    vocab.unk = 1;
    vocab.bos = 2;
    vocab.eos = 3;
    vocab.add_bos = vocab.add_eos = vocab.lowercase = vocab.strip_accents = true;
}

START_TEST(test_pieces_of_words)
{
    word_pieces();
    expect("", "");
    expect(" \t\n\r ", "");
    expect("ab", MARK "ab");
    expect("abcd", MARK "abc d");               /* the longest piece first, not ab + cd */
    expect("abd a", MARK "ab d " MARK "a");
    expect("abq", "[UNK]");                     /* one unknown piece, and the word is */
    expect("q ab", "[UNK] " MARK "ab");
    expect("cd", "[UNK]");                      /* goes on with words, but begins none */
    expect("a!!ab", MARK "a " MARK "! " MARK "! " MARK "ab");
    expect("a$a_a", MARK "a " MARK "$ " MARK "a " MARK "_ " MARK "a");
    expect("a\xE4\xB8\xAD" "a", MARK "a " MARK "\xE4\xB8\xAD " MARK "a");
    expect("a\x01\x7F" "b\xEF\xBF\xBD\xE2\x80\x8B", MARK "ab");         /* controls and U+FFFD vanish */
    expect("a\xC2\xA0" "a\xE3\x80\x80" "a", MARK "a " MARK "a " MARK "a");
    expect("a" MARK "a", "[UNK]");              /* a mark in text begins no word */
    expect("x" MARK, MARK "x" MARK);
    expect_bytes("ab [CLS] ab", 11, true, PL_BOS_AUTO, "[CLS] " MARK "ab [CLS] " MARK "ab [SEP]");
    expect_bytes("ab", 2, true, PL_BOS_NEVER, MARK "ab");
    expect("[PAD]", MARK "[ [UNK] [UNK]");      /* plain text: [, pad, ] */
    char longest[101 + 1];
    memset(longest, 'c', sizeof longest);
    longest[0] = 'a';
    char want[400] = MARK "a";
    for (int i = 0; i < 99; i++) strcat(want, " c");
    expect_bytes(longest, 100, false, PL_BOS_NEVER, want);
    expect_bytes(longest, 101, false, PL_BOS_NEVER, "[UNK]");           /* a hundred characters at most */
    finish();
}
END_TEST

START_TEST(test_case_and_accents)
{
    word_pieces();
    expect("ABC \xC3\x89 e\xCC\x81", MARK "abc " MARK "e " MARK "e");
    expect("\xC4\xB0", MARK "i");               /* I with a dot loses it as an accent */
    vocab.strip_accents = false;
    expect("\xC3\x89 e\xCC\x81", MARK "\xC3\xA9 [UNK]");
    expect("\xC4\xB0", MARK "i \xCC\x87");      /* and keeps it as a second character */
    vocab.lowercase = false;
    expect("A a AB", MARK "A " MARK "a [UNK]");
    vocab.strip_accents = true;
    expect("\xC3\xA9 A", MARK "e " MARK "A");
    finish();
}
END_TEST

START_TEST(test_text_of_pieces)
{
    pl_tokenizer *t;
    char out[8];
    word_pieces();
    ck_assert_int_eq(pl_tokenizer_create(&vocab, &t), PL_OK);
    ck_assert(pl_tokenizer_piece(t, find(MARK "ab"), false, out, sizeof out) == 3 && !memcmp(out, " ab", 3));
    ck_assert(pl_tokenizer_piece(t, find("cd"), false, out, sizeof out) == 2 && !memcmp(out, "cd", 2));
    ck_assert_int_eq(pl_tokenizer_piece(t, vocab.bos, false, out, sizeof out), 0);
    ck_assert_int_eq(pl_tokenizer_piece(t, vocab.bos, true, out, sizeof out), 5);
    pl_tokenizer_destroy(t);
    vocab.unk = -1;
    ck_assert_int_eq(pl_tokenizer_create(&vocab, &t), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "unknown token"));
    finish();
}
END_TEST

START_TEST(test_space_in_front)
{
    sentence_piece();
    expect("a<user>a", SPACE_A " <user> " SPACE_A);
    expect(" a", MARK " " SPACE_A);
    vocab.prefix_unspaced = true;
    expect(" a", SPACE_A);
    expect(MARK "a", SPACE_A);
    expect("a<user>a", SPACE_A " <user> " SPACE_A);
    vocab.prefix_first = true;
    expect("a<user>a", SPACE_A " <user> a");
    expect("<user>a", "<user> a");
    vocab.add_space_prefix = false;
    expect("a", "a");
    finish();
}
END_TEST

/* Spaces of a user-defined token are U+2581 in text that says so. */
START_TEST(test_spaces_in_user_tokens)
{
    sentence_piece();
    vocab.add_space_prefix = false;
    add("   ", PL_TOKEN_USER, -1000);
    add("b  b", PL_TOKEN_USER, -1000);
    expect("a    a", "a     " SPACE_A);
    expect("a" MARK MARK MARK MARK "a", "a     " SPACE_A);
    expect("ab  ba", "a b  b a");
    expect("ab" MARK MARK "ba", "a b  b a");
    int32_t twin = add("  ", PL_TOKEN_USER, -1000);     /* two spaces, which another token spells already */
    expect("a  a", "a    a");
    ck_assert_int_eq(twin, vocab.count - 1);
    finish();
}
END_TEST

START_TEST(test_white_space_of_tokens)
{
    byte_level("gpt-2");
    vocab.strip = PL_ZNEW(arena, uint8_t, MAX_TOKENS);
    int32_t left = add("<l>", PL_TOKEN_USER, 0), right = add("<r>", PL_TOKEN_USER, 0), word = add("ww", PL_TOKEN_USER, 0);
    vocab.strip[left] = PL_TOKEN_LSTRIP;
    vocab.strip[right] = PL_TOKEN_RSTRIP;
    vocab.strip[word] = PL_TOKEN_WORD;
    expect("a \t\xE3\x80\x80<l> a", "a <l> \xC4\xA0" "a");
    expect("  <l>", "<l>");
    expect("a <r> \n\xC2\x85 a", "a \xC4\xA0 <r> a");
    expect("<r> <l>", "<r> <l>");               /* what one has taken the next cannot */
    expect("<r>  ", "<r>");
    expect("ww", "ww");
    expect("!ww!", "! ww !");
    expect("aww ww", "a w w \xC4\xA0 ww");
    expect("wwa ww_ \xC3\xA9ww", "w w a \xC4\xA0 w w _ \xC4\xA0 \xC3\x83 \xC2\xA9 w w");
    finish();
}
END_TEST

/* Whatever allocation fails: a status, and nothing leaks. */
START_TEST(test_no_memory)
{
    for (int kind = 0; kind < 2; kind++) {
        if (kind) word_pieces();
        else sentence_piece();
        if (!kind) add("  b", PL_TOKEN_USER, -1000);
        int n = 0;
        for (pl_status status = PL_E_MEMORY; status != PL_OK; n++) {
            pl_tokenizer *t;
            int32_t *ids = NULL;
            int64_t count;
            pl_mem_fail_after(n);
            status = pl_tokenizer_create(&vocab, &t);
            if (status == PL_OK)
                status = pl_tokenizer_encode(t, "ab \xC3\x89  b", 8, true, PL_BOS_AUTO, &ids, &count);
            pl_mem_fail_after(-1);
            ck_assert(status == PL_E_MEMORY || status == PL_OK);
            pl_free(ids);
            pl_tokenizer_destroy(t);
        }
        ck_assert_int_ge(n, 6);
        finish();
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_pieces_of_words, test_case_and_accents, test_text_of_pieces, test_space_in_front,
        test_spaces_in_user_tokens, test_white_space_of_tokens, test_no_memory,
    };
    return run_cases("tokenizer_words", NULL, NULL, tests, PL_COUNT(tests));
}
