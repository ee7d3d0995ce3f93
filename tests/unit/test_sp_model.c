/* test_sp_model.c: SentencePiece's tokenizer.model, whole, broken, and beside the files that go with it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "formats/hf_vocab.h"
#include "formats/sp_model.h"
#include "tests/unit/suite.h"

/* ---- models made by hand ---- */

static char folder[64], path[96];
static uint8_t bytes[4096];
static size_t len;
static char warning[400];
static pl_arena *arena;
static pl_sp_model model;

static void keep_warning(void *ctx, pl_level level, const char *text)
{
    if (level == PL_LOG_WARN) snprintf(warning, sizeof warning, "%s", text);
}

static void setup(void)
{
    static const pl_log_sink sink = { keep_warning, NULL, NULL };
    strcpy(folder, "/tmp/planish-sp-model-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    pl_log_set(&sink);
    len = 0;
}

static void put_file(const char *name, const void *data, size_t n)
{
    char to[128];
    snprintf(to, sizeof to, "%s/%s", folder, name);
    FILE *file = fopen(to, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, n, file), n);
    fclose(file);
}

static void put_text(const char *name, const char *text) { put_file(name, text, strlen(text)); }

static void teardown(void)
{
    static const char *const names[] = { "tokenizer.model", "tokenizer_config.json", "added_tokens.json" };
    for (int i = 0; i < PL_COUNT(names); i++) {
        char at[128];
        snprintf(at, sizeof at, "%s/%s", folder, names[i]);
        unlink(at);
    }
    rmdir(folder);
}

static void put(const void *data, size_t n)
{
    ck_assert_uint_le(len + n, sizeof bytes);
    memcpy(bytes + len, data, n);
    len += n;
}

static void put_byte(unsigned b) { put(&(uint8_t){ (uint8_t)b }, 1); }

/* pieces {piece, score, type}; type 0: not said. */
static void piece(const char *text, float score, unsigned type)
{
    size_t n = strlen(text);
    put_byte(0x0A);
    put_byte((unsigned)(n + 7 + (type ? 2 : 0)));
    put_byte(0x0A);
    put_byte((unsigned)n);
    put(text, n);
    put_byte(0x15);
    put(&score, 4);
    if (type) put_byte(0x18), put_byte(type);
}

/* trainer_spec {model_type, unk, bos, eos, pad}, normalizer_spec {add_dummy_prefix, remove_extra_whitespaces}. */
static void specs(unsigned type, unsigned prefix, unsigned squeeze)
{
    static const uint8_t ids[] = { 0xC0, 0x02, 0, 0xC8, 0x02, 1, 0xD0, 0x02, 2, 0xD8, 0x02, 0xFF, 0xFF, 0xFF, 0xFF,
                                   0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01 };       /* pad is -1 */
    put_byte(0x12);
    put_byte(2 + (unsigned)sizeof ids);
    put_byte(0x18);
    put_byte(type);
    put(ids, sizeof ids);
    const uint8_t normalizer[] = { 0x1A, 6, 0x18, (uint8_t)prefix, 0x20, (uint8_t)squeeze, 0x28, 1 };
    put(normalizer, sizeof normalizer);
}

static void pieces(void)
{
    piece("<unk>", 0, 2);
    piece("<s>", 0, 3);
    piece("</s>", 0, 3);
    piece("<0x41>", 0, 6);
    piece("\xE2\x96\x81" "a", -1.5f, 0);
    piece("b", -2, 1);
    piece("<user>", 0, 4);
    piece("none", 0, 5);
}

static void whole_model(void)
{
    len = 0;
    pieces();
    specs(2, 1, 0);
    put_file("tokenizer.model", bytes, len);
}

static pl_status read_model(void)
{
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    pl_status status = pl_sp_model_read(path, arena, &model);
    if (status != PL_OK) pl_arena_destroy(arena);
    return status;
}

static void expect_refused(const char *sentence_part)
{
    put_file("tokenizer.model", bytes, len);
    ck_assert_int_eq(read_model(), PL_E_INPUT);
    ck_assert_msg(strstr(pl_error(), sentence_part) != NULL, "'%s' lacks '%s'", pl_error(), sentence_part);
    len = 0;
}

/* ---- what is read ---- */

START_TEST(test_whole)
{
    static const uint8_t types[] = { 2, 3, 3, 6, 1, 1, 4, 5 };
    whole_model();
    ck_assert_msg(read_model() == PL_OK, "%s", pl_error());
    ck_assert_int_eq(model.count, 8);
    for (int i = 0; i < 8; i++) ck_assert_int_eq(model.type[i], types[i]);
    ck_assert_str_eq(model.piece[4].s, "\xE2\x96\x81" "a");
    ck_assert_uint_eq(model.piece[4].len, 4);
    ck_assert(model.score[4] == -1.5f && model.score[5] == -2);
    ck_assert(model.unk == 0 && model.bos == 1 && model.eos == 2 && model.pad == -1);
    ck_assert(model.add_space_prefix && !model.squeezes && !model.rewrites);
    pl_arena_destroy(arena);
}
END_TEST

START_TEST(test_refused)
{
    expect_refused("no pieces");
    pieces();
    specs(1, 1, 0);
    expect_refused("unigram");
    pieces();
    specs(3, 1, 0);
    expect_refused("word or character");
    pieces();                                   /* the schema's own default is unigram */
    expect_refused("unigram");
    piece("", 0, 1);
    expect_refused("piece 0 is no text");
    piece("a\xFF", 0, 1);
    expect_refused("piece 0 is no text");
    piece("a", 0, 7);
    expect_refused("unknown type 7");
    uint32_t nan_bits = 0x7FC00000;
    float nan_score;
    memcpy(&nan_score, &nan_bits, 4);
    piece("a", nan_score, 1);
    expect_refused("score of piece 0");
    put("\x0B\x00", 2);                         /* a group */
    expect_refused("not a SentencePiece model");
    put("\x02\x00", 2);                         /* field 0 */
    expect_refused("not a SentencePiece model");
    put("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11);            /* a length of 2^64 - 1 */
    expect_refused("not a SentencePiece model");
    put("\x0A\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 13);    /* a number of 11 bytes */
    expect_refused("not a SentencePiece model");
}
END_TEST

/* Cut short anywhere, or with any byte changed: a status, never a crash. */
START_TEST(test_broken)
{
    static const uint8_t swaps[] = { 0x00, 0x01, 0x7F, 0x80, 0xFF };
    whole_model();
    uint8_t copy[sizeof bytes];
    memcpy(copy, bytes, len);
    for (size_t at = 0; at < len; at++) {
        put_file("tokenizer.model", copy, at);
        if (read_model() == PL_OK) pl_arena_destroy(arena);
        for (size_t k = 0; k < sizeof swaps; k++) {
            memcpy(bytes, copy, len);
            bytes[at] = swaps[k];
            put_file("tokenizer.model", bytes, len);
            pl_status status = read_model();
            ck_assert(status == PL_OK || (status == PL_E_INPUT && pl_error()[0]));
            if (status == PL_OK) pl_arena_destroy(arena);
        }
    }
}
END_TEST

/* ---- as a vocabulary ---- */

static pl_vocab *vocab;

static pl_status read_folder(int32_t rows)
{
    warning[0] = 0;
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    pl_status status = pl_hf_vocab_read(folder, NULL, rows, NULL, arena, &vocab);
    if (status != PL_OK) pl_arena_destroy(arena);
    return status;
}

static void expect_token(int32_t id, const char *text, pl_token_type type, float score)
{
    ck_assert_msg(!strcmp(vocab->token[id].s, text) && vocab->type[id] == type && vocab->score[id] == score,
                  "token %d is '%s', type %d, score %g", id, vocab->token[id].s, vocab->type[id],
                  (double)vocab->score[id]);
}

START_TEST(test_alone)
{
    whole_model();
    ck_assert_msg(read_folder(10) == PL_OK, "%s", pl_error());
    ck_assert_int_eq(vocab->kind, PL_VOCAB_SPM);
    ck_assert_str_eq(vocab->pre, "default");
    expect_token(0, "<unk>", PL_TOKEN_UNKNOWN, 0);
    expect_token(3, "<0x41>", PL_TOKEN_BYTE, 0);
    expect_token(4, "\xE2\x96\x81" "a", PL_TOKEN_NORMAL, -1.5f);
    expect_token(6, "<user>", PL_TOKEN_NORMAL, 0);      /* until an added token says what it is */
    expect_token(9, "[PAD9]", PL_TOKEN_UNUSED, -10000);
    ck_assert(vocab->bos == 1 && vocab->eos == 2 && vocab->unk == 0 && vocab->pad == -1);
    ck_assert(vocab->add_bos && !vocab->add_eos && vocab->add_space_prefix);
    ck_assert_int_eq(vocab->merges, 0);
    pl_arena_destroy(arena);
    ck_assert_int_eq(read_folder(7), PL_OK);            /* fewer rows than pieces */
    ck_assert_ptr_nonnull(strstr(warning, "8 pieces, but the model has 7 tokens"));
    pl_arena_destroy(arena);
    len = 0;
    pieces();
    specs(2, 1, 1);
    put_file("tokenizer.model", bytes, len);
    ck_assert_int_eq(read_folder(8), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "drops white space"));
    len = 0;
    pieces();
    piece("<0x4G>", 0, 6);
    specs(2, 1, 0);
    put_file("tokenizer.model", bytes, len);
    ck_assert_int_eq(read_folder(9), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "byte token 8 is spelled '<0x4G>'"));
}
END_TEST

/* What stands beside it goes before it. */
START_TEST(test_companions)
{
    whole_model();
    put_text("added_tokens.json", "{\"<new>\": 8, \"<|end|>\": 9, \"<far>\": 12}");
    put_text("tokenizer_config.json", "{\"add_bos_token\": false, \"eos_token\": \"<|end|>\", \"added_tokens_decoder\": {"
             "\"0\": {\"content\": \"<unk>\", \"special\": true}, \"6\": {\"content\": \"\xE2\x96\x81\xE2\x96\x81\"}, "
             "\"7\": {\"content\": \"<x>\", \"special\": true, \"rstrip\": true}}}");
    ck_assert_msg(read_folder(10) == PL_OK, "%s", pl_error());
    expect_token(0, "<unk>", PL_TOKEN_CONTROL, -1000);
    expect_token(1, "<s>", PL_TOKEN_CONTROL, 0);
    expect_token(6, "  ", PL_TOKEN_USER, -1000);        /* looked for in text, so with spaces */
    expect_token(7, "<x>", PL_TOKEN_CONTROL, -1000);
    expect_token(8, "<new>", PL_TOKEN_USER, -1000);
    expect_token(9, "<|end|>", PL_TOKEN_CONTROL, -1000);
    ck_assert_int_eq(vocab->strip[7], PL_TOKEN_RSTRIP);
    ck_assert(!vocab->add_bos && vocab->eos == 9);
    pl_arena_destroy(arena);
    static const char *const bad[] = { "\"x\"", "\"-1\"", "\"99999999999999999999\"", "\"3x\"" };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"added_tokens_decoder\": {%s: {\"content\": \"a\"}}}", bad[i]);
        put_text("tokenizer_config.json", text);
        ck_assert_int_eq(read_folder(10), PL_E_INPUT);
        ck_assert_ptr_nonnull(strstr(pl_error(), "added token 'a' has the id"));
    }
}
END_TEST

START_TEST(test_no_memory)
{
    whole_model();
    int n = 0;
    for (pl_status status = PL_E_MEMORY; status != PL_OK; n++) {
        ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
        pl_mem_fail_after(n);
        status = pl_hf_vocab_read(folder, NULL, 8, NULL, arena, &vocab);
        pl_mem_fail_after(-1);
        ck_assert_msg(status == PL_E_MEMORY || status == PL_OK, "allocation %d: %s", n, pl_error());
        pl_arena_destroy(arena);
    }
    ck_assert_int_ge(n, 8);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_whole, test_refused, test_broken, test_alone, test_companions, test_no_memory,
    };
    return run_cases("sp_model", setup, teardown, tests, PL_COUNT(tests));
}
