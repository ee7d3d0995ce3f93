/* target_vocab.c: the tokenizer files of a Hugging Face folder. */
#include "core/json.h"
#include "formats/hf_vocab.h"
#include "tests/fuzz/fuzz.h"

enum { VOCAB = 4096 };              /* rows that the token table is said to have */

static void read_folder(const fuzz_part *text)
{
    static const char config_text[] = "{\"bos_token_id\":1,\"eos_token_id\":[2,3]}";
    pl_json *config;
    pl_arena *arena;
    pl_vocab *vocab = NULL;
    if (!fuzz_must(pl_arena_create(&arena))) return;
    if (fuzz_must(pl_json_parse(config_text, sizeof config_text - 1, "config.json", &config))) {
        pl_status code = pl_hf_vocab_read(fuzz_folder_path(), config, VOCAB, NULL, arena, &vocab);
        if (!fuzz_refused(code) && vocab) fuzz_use_vocab(vocab, text);
        pl_json_free(config);
    }
    pl_arena_destroy(arena);
}

static void run_tokenizer(const fuzz_part *part, int parts)
{
    static const char *const names[] = { "tokenizer.json", "tokenizer_config.json", "generation_config.json" };
    for (int i = 0; i < PL_COUNT(names); i++) fuzz_file(names[i], fuzz_part_at(part, parts, i));
    read_folder(fuzz_part_at(part, parts, 3));
}

static void run_sp_model(const fuzz_part *part, int parts)
{
    static const char *const names[] = { "tokenizer.model", "tokenizer_config.json", "added_tokens.json" };
    for (int i = 0; i < PL_COUNT(names); i++) fuzz_file(names[i], fuzz_part_at(part, parts, i));
    read_folder(fuzz_part_at(part, parts, 3));
}

const fuzz_target fuzz_tokenizer = { "tokenizer", "jjjt", run_tokenizer };
const fuzz_target fuzz_sp_model = { "sp_model", "tjjt", run_sp_model };
