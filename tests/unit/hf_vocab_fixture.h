/* hf_vocab_fixture.h: tokenizer.json and its companions in the folder of a test, and what is read from them. */
#ifndef TESTS_UNIT_HF_VOCAB_FIXTURE_H
#define TESTS_UNIT_HF_VOCAB_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "formats/hf_vocab.h"

static char folder[64];
static pl_arena *arena;
static pl_vocab *vocab;
static char warning[400];
static const char *taken_for;          /* the pre-tokenizer that the caller names, or NULL */

static inline void keep_warning(void *ctx, pl_level level, const char *text)
{
    if (level == PL_LOG_WARN) snprintf(warning, sizeof warning, "%s", text);
}

static inline void setup(void)
{
    static const pl_log_sink sink = { keep_warning, NULL, NULL };
    strcpy(folder, "/tmp/planish-hf-vocab-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    pl_log_set(&sink);
}

static const char *const file_names[] = { "tokenizer.json", "tokenizer_config.json", "generation_config.json",
                                          "chat_template.jinja", "chat_template.json", "added_tokens.json",
                                          "tokenizer.model" };

static inline void teardown(void)
{
    char path[128];
    for (int i = 0; i < PL_COUNT(file_names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, file_names[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* text NULL: the file goes away. */
static inline void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    if (!text) return;
    FILE *file = fopen(path, "wb");     /* pl_file_save would wait for the disk */
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
}

static inline pl_status read_folder(const char *config, int32_t rows)
{
    pl_json *json;
    ck_assert_int_eq(pl_json_parse(config, strlen(config), "config.json", &json), PL_OK);
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    warning[0] = 0;
    pl_status status = pl_hf_vocab_read(folder, json, rows, taken_for, arena, &vocab);
    ck_assert(status == PL_OK || vocab == NULL);
    pl_json_free(json);
    return status;
}

static inline void read_well(const char *config, int32_t rows)
{
    ck_assert_msg(read_folder(config, rows) == PL_OK, "%s", pl_error());
    ck_assert_ptr_nonnull(vocab);
}

static inline void finish(void) { pl_arena_destroy(arena); }

static inline void expect_token(int32_t id, const char *text, pl_token_type type)
{
    ck_assert_msg(!strcmp(vocab->token[id].s, text) && vocab->token[id].len == strlen(text) &&
                  vocab->type[id] == type, "token %d is '%s', type %d", id, vocab->token[id].s, vocab->type[id]);
}

/* tokenizer.json of six tokens, byte-level; its parts can be changed one by one. */
typedef struct parts { const char *added, *normalizer, *pre, *post, *vocab, *merges, *more; } parts;

static const parts byte_level = {
    .added = "{\"id\": 6, \"content\": \"<|end|>\", \"special\": true}, {\"id\": 7, \"content\": \"<x>\"}",
    .normalizer = "null",
    .pre = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}",
    .post = "null",
    .vocab = "\"a\": 0, \"b\": 1, \"c\": 2, \"ab\": 3, \"bc\": 4, \"abc\": 5",
    .merges = "\"a b\", \"b c\", \"ab c\", \"a bc\"",
    .more = "\"byte_fallback\": false",
};

static const parts sentence_piece = {
    .added = "{\"id\": 0, \"content\": \"<unk>\", \"special\": true}, {\"id\": 1, \"content\": \"<s>\", \"special\": true}",
    .normalizer = "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"\\u2581\"},"
                  "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\\u2581\"}]}",
    .pre = "null",
    .post = "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}, "
            "{\"Sequence\": {\"id\": \"A\"}}]}",
    .vocab = "\"<unk>\": 0, \"<s>\": 1, \"<0x0A>\": 2, \"a\": 3, \"b\": 4, \"c\": 5, \"bc\": 6, \"ab\": 7, \"abc\": 8",
    .merges = "[\"b\", \"c\"], [\"a\", \"b\"], [\"a\", \"bc\"], [\"ab\", \"c\"]",
    .more = "\"byte_fallback\": true, \"unk_token\": \"<unk>\"",
};

static inline void put_tokenizer(parts p)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "{\"added_tokens\": [%s], \"normalizer\": %s, \"pre_tokenizer\": %s, "
                     "\"post_processor\": %s, \"model\": {\"type\": \"BPE\", \"vocab\": {%s}, \"merges\": [%s], %s}}",
                     p.added, p.normalizer, p.pre, p.post, p.vocab, p.merges, p.more);
    ck_assert_int_lt(n, (int)sizeof text);
    put("tokenizer.json", text);
}

static inline void expect_refused(const char *config, int32_t rows, const char *sentence_part)
{
    pl_status status = read_folder(config, rows);
    ck_assert_msg(status == PL_E_INPUT, "status %d, wanted '%s'", status, sentence_part);
    ck_assert_msg(strstr(pl_error(), sentence_part) != NULL, "'%s' lacks '%s'", pl_error(), sentence_part);
    finish();
}

#endif
