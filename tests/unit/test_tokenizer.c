/* test_tokenizer.c: both kinds of tokenizer on small vocabularies, and against a naive twin. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pre.h"
#include "core/rng.h"
#include "tests/unit/tokenizer_fixture.h"

/* ---- encoding ---- */

START_TEST(test_byte_level)
{
    byte_level("gpt-2");
    expect("", "");
    expect("abcd", "abcd");             /* ranks: ab, bc, cd, abcd */
    expect("abc", "ab c");
    expect("bcd", "bc d");
    expect("aaaaa", "aa aa a");         /* leftmost of equals */
    expect(" abcd", "\xC4\xA0 abcd");   /* ab goes before Ġa */
    expect(" a a", "\xC4\xA0" "a \xC4\xA0" "a");
    expect("a  a", "a \xC4\xA0 \xC4\xA0" "a");
    expect("ab1ab", "ab 1 ab");
    expect("xyz", "x y z");
    expect("!\x04!", "!!");             /* a byte without token vanishes before merging */
    expect("\xC3\xA9", "\xC3\x83 \xC2\xA9");
    expect("<s>", "< s >");
    expect("<user><use", "<user> <us e");
    expect_bytes("x<s></s>ab", 10, true, PL_BOS_NEVER, "x <s> </s> ab");
    expect_bytes("ab", 2, false, PL_BOS_ALWAYS, "<s> ab");
    expect_bytes("ab", 2, false, PL_BOS_AUTO, "ab");
    vocab.add_bos = vocab.add_eos = true;
    expect_bytes("ab", 2, false, PL_BOS_AUTO, "<s> ab </s>");
    expect_bytes("ab", 2, false, PL_BOS_NEVER, "ab");
    expect_bytes("a\0b", 3, false, PL_BOS_NEVER, "a \xC4\x80 b");       /* NUL is a byte like others */
    vocab.unk = 0;
    expect("!\x04!", "!!");
    vocab.type[0] = PL_TOKEN_UNKNOWN;   /* now there is a token for such bytes */
    expect("!\x04!", "! <unk> !");
    finish();
}
END_TEST

/* Where words end decides what can merge: "aa" and digits show it. */
START_TEST(test_pretokenizers)
{
    byte_level("gpt-2");
    merge("1", "1");
    merge("a", "'");
    merge("\xC4\x8A", "\xC4\x8A");      /* two newlines */
    expect("1111", "11 11");
    expect("aa'd", "aa ' d");
    expect("xa'x", "x a ' x");
    vocab.pre = "smollm";
    expect("1111", "1 1 1 1");
    expect("11aa", "1 1 aa");
    vocab.pre = "llama-bpe";
    expect("1111", "11 1 1");           /* three digits to a word */
    expect("xyz", "x y z");
    vocab.whole_words = true;
    expect("xyz", "xyz");               /* a word that is a token, although no merge makes it */
    expect("xyzx", "x y z x");
    expect("\n\n", "\xC4\x8A\xC4\x8A");
    vocab.whole_words = false;
    vocab.pre = "default";
    expect("11112", "11 1 1 2");
    vocab.pre = "none-such";
    pl_tokenizer *t;
    ck_assert_int_eq(pl_tokenizer_create(&vocab, &t), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "none-such"));
    finish();
}
END_TEST

/* Every name that is told can be used, and is found again by what it does. */
START_TEST(test_names)
{
    char list[PL_PRE_LIST];
    int names = 0;
    pl_pre_list(list);
    for (char *name = strtok(list, ", "); name; name = strtok(NULL, ", "), names++) {
        pl_pretokenizer *p;
        ck_assert_msg(pl_pretokenizer_create(name, &p) == PL_OK, "%s: %s", name, pl_error());
        pl_pretokenizer_destroy(p);
        const pl_pre *row = pl_pre_find(name);
        ck_assert_ptr_nonnull(row);
        const unsigned told = row->flags & ~(unsigned)PL_PRE_ADD_BOS;     /* the rest stands in other files */
        const pl_pre *same = pl_pre_by_stages(row->stage, told);
        ck_assert(same && (same->flags & ~(unsigned)PL_PRE_ADD_BOS) == told);
        ck_assert_msg(!strcmp(same->stage[0], row->stage[0]), "%s", name);
    }
    ck_assert_int_ge(names, 25);
    ck_assert_ptr_null(pl_pre_find(""));
    ck_assert_ptr_eq(pl_pre_find("deepseek-r1-qwen"), pl_pre_find("qwen2"));
    const char *stage[PL_PRE_STAGES] = { "[\n]", "[^\r\n\\p{L}]" };
    ck_assert_ptr_null(pl_pre_by_stages(stage, 0));
    const pl_pre *coder = pl_pre_find("deepseek-coder");
    const char *spelled[PL_PRE_STAGES];
    memcpy(spelled, coder->stage, sizeof spelled);
    spelled[0] = "[\r\n]";              /* the characters themselves */
    ck_assert_ptr_eq(pl_pre_by_stages(spelled, 0), coder);
    spelled[0] = "[\r]";
    ck_assert_ptr_null(pl_pre_by_stages(spelled, 0));
}
END_TEST

/* e and a combining accent are one character where the vocabulary wants it so. */
START_TEST(test_composed)
{
    byte_level("qwen2");
    merge("\xC3\x83", "\xC2\xA9");      /* the bytes of U+00E9 */
    expect("e\xCC\x81", "e \xC3\x8C \xC4\xA3");
    vocab.nfc = true;
    expect("e\xCC\x81", "\xC3\x83\xC2\xA9");
    expect("e\xCC\x81 e\xCC\x81 e\xCC\x81", "\xC3\x83\xC2\xA9 \xC4\xA0 \xC3\x83\xC2\xA9 \xC4\xA0 \xC3\x83\xC2\xA9");
    expect("e<user>\xCC\x81", "e <user> \xC3\x8C \xC4\xA3");
    finish();
}
END_TEST

START_TEST(test_sentence_piece)
{
    sentence_piece();
    expect("", "");
    expect("a", "\xE2\x96\x81" "a");
    expect("abc", "\xE2\x96\x81" "a bc");               /* bc, then ▁a: ab and abc find nothing left */
    expect("b abc", "\xE2\x96\x81 b \xE2\x96\x81" "a bc");
    expect("ab", "\xE2\x96\x81 ab");
    expect("   b", "\xE2\x96\x81\xE2\x96\x81 \xE2\x96\x81\xE2\x96\x81 b");
    expect("\n", "\xE2\x96\x81 <0x0A>");
    expect("\xC3\xA9", "\xE2\x96\x81 <0xC3> <0xA9>");
    expect("<s>", "\xE2\x96\x81 < s>");                 /* text never becomes a control token by merging */
    expect_bytes("<s>a", 4, true, PL_BOS_AUTO, "<s> <s> \xE2\x96\x81" "a");
    expect_bytes("<unk>", 5, true, PL_BOS_AUTO, "<s> <unk>");
    expect("a<user>b", "\xE2\x96\x81" "a <user> \xE2\x96\x81 b");       /* every stretch has its prefix */
    vocab.add_space_prefix = false;
    expect("abc", "abc");
    expect(" a", "\xE2\x96\x81" "a");
    vocab.add_space_prefix = true;
    vocab.score[find("ab")] = 0;        /* scores decide: now ab goes before bc */
    expect("abc", "\xE2\x96\x81 abc");
    finish();
}
END_TEST

/* Each stretch that breaks off is one U+FFFD, as in Python: bytes.decode("utf-8", "replace"). */
START_TEST(test_invalid_utf8)
{
    static const struct { const char *text; int replaced; } cases[] = {
        { "\xFF", 1 }, { "\xC0\x80", 2 }, { "\xE2\x96", 1 }, { "\xE2\x96" "a", 1 }, { "\xF0\x9F\x98", 1 },
        { "\xED\xA0\x80", 3 }, { "\xF4\x90\x80\x80", 4 }, { "\xF5\x80\x80\x80", 4 }, { "\xC2", 1 },
        { "\x80\x80", 2 }, { "\xE0\x80\xAF", 3 }, { "\xF0\x8F\xBF\xBF", 4 }, { "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF", 4 },
        { "\xC2\xC2\xA9", 1 }, { "\xEF\xBF\xBD", 1 },
    };
    sentence_piece();
    vocab.add_bos = vocab.add_space_prefix = false;
    add("\xEF\xBF\xBD", PL_TOKEN_NORMAL, -100);
    int32_t mark = find("\xEF\xBF\xBD");
    pl_tokenizer *t;
    ck_assert_int_eq(pl_tokenizer_create(&vocab, &t), PL_OK);
    for (int i = 0; i < PL_COUNT(cases); i++) {
        int32_t *ids;
        int64_t count, marks = 0;
        ck_assert_int_eq(pl_tokenizer_encode(t, cases[i].text, strlen(cases[i].text), false, PL_BOS_AUTO, &ids,
                                             &count), PL_OK);
        for (int64_t k = 0; k < count; k++) marks += ids[k] == mark;
        ck_assert_msg(marks == cases[i].replaced, "case %d: %lld", i, (long long)marks);
        pl_free(ids);
    }
    pl_tokenizer_destroy(t);
    finish();
}
END_TEST

/* ---- against a naive twin ---- */

/* Merges the best pair, leftmost of equals, until there is none: quadratic, and short enough to be
 * right. pair() gives the token that two make, -1: none, and a rank, lowest first. */
static int naive(int32_t *ids, int n, int32_t (*pair)(int32_t, int32_t, double *rank))
{
    for (;;) {
        int best = -1;
        int32_t made = -1;
        double best_rank = INFINITY, rank;
        for (int i = 0; i + 1 < n; i++) {
            int32_t id = pair(ids[i], ids[i + 1], &rank);
            if (id >= 0 && rank < best_rank) best = i, best_rank = rank, made = id;
        }
        if (best < 0) return n;
        ids[best] = made;
        memmove(ids + best + 1, ids + best + 2, sizeof *ids * (size_t)(n - best - 2));
        n--;
    }
}

static int32_t together(int32_t left, int32_t right)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", vocab.token[left].s, vocab.token[right].s);
    for (int32_t id = 0; id < vocab.count; id++)
        if (!strcmp(vocab.token[id].s, whole)) return id;
    return -1;
}

static int32_t by_rank(int32_t left, int32_t right, double *rank)
{
    for (int32_t i = 0; i < vocab.merges; i++) {
        if (vocab.merge[i].left != left || vocab.merge[i].right != right) continue;
        *rank = i;
        return together(left, right);
    }
    return -1;
}

static int32_t by_score(int32_t left, int32_t right, double *rank)
{
    int32_t id = together(left, right);
    if (id >= 0) *rank = -(double)vocab.score[id];
    return id;
}

static uint32_t draw(uint64_t *counter, uint32_t below)
{
    return (uint32_t)(pl_rng_bits(11, 3, (*counter)++) % below);
}

static void compare_with_naive(pl_vocab_kind kind, uint64_t *counter)
{
    int32_t first = find("a");
    for (int i = 0; i < 60; i++) {      /* random tokens over a, b, c: many overlaps, many ties */
        int32_t parts[2];
        for (int k = 0; k < 2; k++) {
            uint32_t made = (uint32_t)i, pick = draw(counter, made + 3);
            parts[k] = pick < 3 ? first + (int32_t)pick : vocab.count - (int32_t)made + (int32_t)pick - 3;
        }
        char whole[128];
        snprintf(whole, sizeof whole, "%s%s", vocab.token[parts[0]].s, vocab.token[parts[1]].s);
        if (together(parts[0], parts[1]) >= 0 || strlen(whole) > 12) {
            snprintf(whole, sizeof whole, "unused-%d", i);
            add(whole, PL_TOKEN_UNUSED, 0);
            continue;
        }
        if (kind == PL_VOCAB_BPE) vocab.merge[vocab.merges++] = (pl_merge){ parts[0], parts[1] };
        add(whole, PL_TOKEN_NORMAL, (float)draw(counter, 20));
    }
    pl_tokenizer *t;
    ck_assert_msg(pl_tokenizer_create(&vocab, &t) == PL_OK, "%s", pl_error());
    for (int round = 0; round < 50; round++) {
        char text[80];
        int32_t want[80], *got;
        int64_t count;
        int n = (int)draw(counter, 79) + 1;
        for (int i = 0; i < n; i++) {
            uint32_t letter = draw(counter, 3);
            text[i] = (char)('a' + letter);
            want[i] = first + (int32_t)letter;
        }
        int left = naive(want, n, kind == PL_VOCAB_BPE ? by_rank : by_score);
        ck_assert_int_eq(pl_tokenizer_encode(t, text, (size_t)n, false, PL_BOS_NEVER, &got, &count), PL_OK);
        ck_assert_msg(count == left && !memcmp(got, want, sizeof *want * (size_t)left), "%.*s", n, text);
        pl_free(got);
    }
    pl_tokenizer_destroy(t);
}

START_TEST(test_naive)
{
    uint64_t counter = 0;
    for (int i = 0; i < 8; i++) {
        byte_level("gpt-2");
        vocab.merges = 0;
        vocab.count = find("ab");       /* the bytes only */
        compare_with_naive(PL_VOCAB_BPE, &counter);
        finish();
        sentence_piece();
        vocab.add_space_prefix = false;
        vocab.count = find("s");        /* up to the letters */
        compare_with_naive(PL_VOCAB_SPM, &counter);
        finish();
    }
}
END_TEST

/* A text longer than every cache and buffer: its ids are those of its words. */
START_TEST(test_long_text)
{
    byte_level("smollm");
    pl_tokenizer *t;
    ck_assert_int_eq(pl_tokenizer_create(&vocab, &t), PL_OK);
    enum { WORDS = 60000 };
    char *text = malloc(WORDS * 7 + 1);
    size_t len = 0;
    uint64_t counter = 0;
    int64_t want = 0;
    for (int i = 0; i < WORDS; i++) {
        len += (size_t)sprintf(text + len, " %c%c%c%c", 'f' + draw(&counter, 20), 'f' + draw(&counter, 20),
                               'f' + draw(&counter, 20), 'f' + draw(&counter, 20));
        want += 5;                      /* no merges among these letters */
    }
    int32_t *ids;
    int64_t count;
    ck_assert_int_eq(pl_tokenizer_encode(t, text, len, false, PL_BOS_NEVER, &ids, &count), PL_OK);
    ck_assert_int_eq(count, want);
    size_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        char piece[4];
        ck_assert_int_eq(pl_tokenizer_piece(t, ids[i], false, piece, sizeof piece), 1);
        ck_assert_int_eq(piece[0], text[at++]);
    }
    pl_free(ids);
    free(text);
    pl_tokenizer_destroy(t);
    finish();
}
END_TEST

/* ---- ids to text ---- */

static void expect_piece(const pl_tokenizer *t, int32_t id, bool special, const char *want, int len)
{
    char out[16];
    memset(out, '#', sizeof out);
    ck_assert_int_eq(pl_tokenizer_piece(t, id, special, out, sizeof out), len);
    ck_assert_msg(!memcmp(out, want, (size_t)len) && out[len] == '#', "token %d", id);
}

START_TEST(test_pieces)
{
    pl_tokenizer *t;
    byte_level("gpt-2");
    int32_t unused = add("[PAD9]", PL_TOKEN_UNUSED, 0);
    ck_assert_int_eq(pl_tokenizer_create(&vocab, &t), PL_OK);
    expect_piece(t, find("\xC4\xA0" "a"), false, " a", 2);
    expect_piece(t, find("\xC4\x8A"), false, "\n", 1);
    expect_piece(t, find("\xC3\x83"), false, "\xC3", 1);
    expect_piece(t, find("<s>"), false, "", 0);
    expect_piece(t, find("<s>"), true, "<s>", 3);
    expect_piece(t, find("<user>"), false, "<user>", 6);
    expect_piece(t, unused, true, "", 0);
    expect_piece(t, -1, true, "", 0);
    expect_piece(t, vocab.count, true, "", 0);
    char two[3] = "##";
    ck_assert_int_eq(pl_tokenizer_piece(t, find("<user>"), false, two, 2), 6);    /* what fits */
    ck_assert_str_eq(two, "<u");
    ck_assert(pl_tokenizer_ends(t, 2) && !pl_tokenizer_ends(t, 1) && !pl_tokenizer_ends(t, -1));
    pl_tokenizer_destroy(t);
    finish();

    sentence_piece();
    ck_assert_int_eq(pl_tokenizer_create(&vocab, &t), PL_OK);
    expect_piece(t, find("\xE2\x96\x81" "a"), false, " a", 2);
    expect_piece(t, find("<0x0A>"), false, "\n", 1);
    expect_piece(t, find("<0x00>"), false, "\0", 1);
    expect_piece(t, find("<unk>"), false, "", 0);
    ck_assert(pl_tokenizer_ends(t, vocab.eos));
    pl_tokenizer_destroy(t);
    finish();
}
END_TEST

/* ---- vocabularies that are refused ---- */

static void expect_refused(const char *sentence_part)
{
    pl_tokenizer *t;
    ck_assert_int_eq(pl_tokenizer_create(&vocab, &t), PL_E_INPUT);
    ck_assert_ptr_null(t);
    ck_assert_msg(strstr(pl_error(), sentence_part) != NULL, "'%s' lacks '%s'", pl_error(), sentence_part);
    finish();
}

START_TEST(test_refused)
{
    pl_tokenizer *t;
    ck_assert_int_eq(pl_tokenizer_create(NULL, &t), PL_E_INPUT);
    begin(PL_VOCAB_NONE, NULL);
    expect_refused("no tokenizer");
    byte_level("gpt-2");
    vocab.merge[1].right = vocab.count;
    expect_refused("merge 1 joins");
    byte_level("gpt-2");
    vocab.merge[2] = (pl_merge){ find("q"), find("q") };
    expect_refused("makes no token");
    byte_level("gpt-2");
    add("xyz", PL_TOKEN_NORMAL, 0);
    expect_refused("are both 'xyz'");
    byte_level("gpt-2");
    vocab.add_bos = true;
    vocab.bos = vocab.count;
    expect_refused("does not name it");
    byte_level("gpt-2");
    char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    long_name[299] = 0;
    add(long_name, PL_TOKEN_CONTROL, 0);
    expect_refused("299 bytes");
    sentence_piece();
    vocab.token[find("<0x41>")].s = "<0x4G>";
    expect_refused("<0x41>");
    sentence_piece();
    vocab.score[7] = NAN;
    expect_refused("token 7");
    sentence_piece();
    vocab.score = NULL;
    expect_refused("without scores");

    byte_level("gpt-2");
    vocab.bos = -1;
    int32_t *ids;
    int64_t count;
    ck_assert_int_eq(pl_tokenizer_create(&vocab, &t), PL_OK);
    ck_assert_int_eq(pl_tokenizer_encode(t, "a", 1, false, PL_BOS_ALWAYS, &ids, &count), PL_E_WISH);
    pl_tokenizer_destroy(t);
    finish();
}
END_TEST

/* Whatever allocation fails: a status, and nothing leaks (the sanitizer builds watch). */
START_TEST(test_no_memory)
{
    for (int kind = 0; kind < 3; kind++) {
        if (kind == 1) sentence_piece();
        else byte_level("smollm");
        vocab.nfc = kind == 2;
        int n = 0;
        for (pl_status status = PL_E_MEMORY; status != PL_OK; n++) {
            pl_tokenizer *t;
            int32_t *ids = NULL;
            int64_t count;
            pl_mem_fail_after(n);
            status = pl_tokenizer_create(&vocab, &t);
            if (status == PL_OK)
                status = pl_tokenizer_encode(t, "ab \xFF 12 <s> abcd e\xCC\x81", 21, true, PL_BOS_AUTO, &ids, &count);
            pl_mem_fail_after(-1);
            ck_assert(status == PL_E_MEMORY || status == PL_OK);
            pl_free(ids);
            pl_tokenizer_destroy(t);
        }
        ck_assert_int_ge(n, 8);
        finish();
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tokenizer");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, test_byte_level);
    tcase_add_test(t, test_pretokenizers);
    tcase_add_test(t, test_names);
    tcase_add_test(t, test_composed);
    tcase_add_test(t, test_sentence_piece);
    tcase_add_test(t, test_invalid_utf8);
    tcase_add_test(t, test_naive);
    tcase_add_test(t, test_long_text);
    tcase_add_test(t, test_pieces);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_no_memory);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
