/* tokenize_tool.c: prints the ids of texts, for comparison with other tokenizers.
 *
 *     tokenize_tool MODEL TEXTS special|plain
 *
 * MODEL: a Hugging Face folder (weights are not looked at) or a GGUF file. TEXTS: for each text four bytes
 * of length, little-endian, and the text. One line per text: its ids, with what the vocabulary puts at its
 * ends. Then, behind a line "-", the bytes of each text's ids as hexadecimal digits. */
#include <stdio.h>
#include <string.h>

#include "core/fs.h"
#include "formats/hf_vocab.h"
#include "formats/registry.h"
#include "runtime-check/tokenizer.h"

static pl_status folder_vocab(const char *path, pl_arena *arena, pl_vocab **vocab)
{
    char config_path[4096];
    pl_json *config;
    int64_t rows;
    PL_TRY(pl_path_join(config_path, sizeof config_path, path, "config.json"));
    PL_TRY(pl_json_load(config_path, &config));
    pl_status status = pl_json_int(config, "vocab_size", true, 1, PL_MAX_VOCAB, config_path, &rows);
    if (status == PL_OK) status = pl_hf_vocab_read(path, config, (int32_t)rows, NULL, arena, vocab);
    pl_json_free(config);
    return status;
}

static pl_status print_ids(const pl_tokenizer *t, const char *text, uint32_t len, bool special, bool bytes)
{
    int32_t *ids;
    int64_t count;
    char piece[1024];
    PL_TRY(pl_tokenizer_encode(t, text, len, special, PL_BOS_AUTO, &ids, &count));
    for (int64_t i = 0; i < count; i++) {
        if (!bytes) printf("%s%d", i ? " " : "", ids[i]);
        int n = bytes ? pl_tokenizer_piece(t, ids[i], true, piece, sizeof piece) : 0;
        for (int k = 0; k < n && k < (int)sizeof piece; k++) printf("%02x", (unsigned char)piece[k]);
    }
    printf("\n");
    pl_free(ids);
    return PL_OK;
}

static pl_status print_all(const pl_tokenizer *t, const char *texts, size_t len, bool special, bool bytes)
{
    for (size_t at = 0; at < len;) {
        uint32_t n;
        if (len - at < sizeof n) return pl_fail(PL_E_INPUT, "texts break off at byte %zu", at);
        memcpy(&n, texts + at, sizeof n);
        at += sizeof n;
        if (n > len - at) return pl_fail(PL_E_INPUT, "a text of %u bytes ends behind the file", n);
        PL_TRY(print_ids(t, texts + at, n, special, bytes));
        at += n;
    }
    return PL_OK;
}

static pl_status run(const char *path, const char *texts_path, bool special)
{
    pl_arena *arena;
    pl_source *source = NULL;
    pl_vocab *vocab = NULL;
    pl_tokenizer *t = NULL;
    char *texts = NULL;
    size_t len;
    PL_TRY(pl_arena_create(&arena));
    pl_status status;
    if (pl_path_is_dir(path)) {
        status = folder_vocab(path, arena, &vocab);
    } else {
        status = pl_source_open(pl_sources, path, NULL, &source);
        if (status == PL_OK) vocab = source->model->vocab;
    }
    if (status == PL_OK) status = pl_tokenizer_create(vocab, &t);
    if (status == PL_OK) status = pl_file_load(texts_path, INT32_MAX, &texts, &len);
    if (status == PL_OK) status = print_all(t, texts, len, special, false);
    printf("-\n");
    if (status == PL_OK) status = print_all(t, texts, len, special, true);
    pl_free(texts);
    pl_tokenizer_destroy(t);
    pl_source_close(source);
    pl_arena_destroy(arena);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4 || (strcmp(argv[3], "special") && strcmp(argv[3], "plain"))) {
        fprintf(stderr, "usage: tokenize_tool MODEL TEXTS special|plain\n");
        return 2;
    }
    pl_status status = run(argv[1], argv[2], !strcmp(argv[3], "special"));
    if (status != PL_OK) fprintf(stderr, "tokenize_tool: %s\n", pl_error());
    return pl_status_exit(status);
}
