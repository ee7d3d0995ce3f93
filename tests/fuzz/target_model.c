/* target_model.c: whole models: GGUF files, split ones, Hugging Face folders; opened and used. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/convert.h"
#include "core/fs.h"
#include "formats/registry.h"
#include "quantizers/registry.h"
#include "runtime-check/tokenizer.h"
#include "tests/fuzz/fuzz.h"

enum { WEIGHTS = 1 << 16 };         /* models that are converted: larger ones take too long */

/* ---- vocabularies ---- */

static void check_special(const pl_vocab *v)
{
    const int32_t ids[] = { v->bos, v->eos, v->unk, v->pad, v->sep, v->mask };
    for (int i = 0; i < PL_COUNT(ids); i++) fuzz_check(ids[i] >= -1 && ids[i] < v->count);
    fuzz_check(v->eogs >= 0 && v->eogs <= PL_COUNT(v->eog));
    for (int i = 0; i < v->eogs; i++) fuzz_check(v->eog[i] >= 0 && v->eog[i] < v->count);
    for (int i = 0; i < v->merges; i++) {
        fuzz_check(v->merge[i].left >= 0 && v->merge[i].left < v->count);
        fuzz_check(v->merge[i].right >= 0 && v->merge[i].right < v->count);
    }
    for (int i = 0; i < v->count; i++) {
        fuzz_check(v->token[i].len <= PL_MAX_TOKEN_BYTES && v->token[i].s[v->token[i].len] == 0);
        fuzz_check(v->type[i] >= PL_TOKEN_NORMAL && v->type[i] <= PL_TOKEN_BYTE);
    }
}

static void encode(const pl_tokenizer *t, const pl_vocab *v, const char *text, size_t len, bool special)
{
    int32_t *ids = NULL;
    int64_t count;
    char piece[64];
    if (fuzz_refused(pl_tokenizer_encode(t, text, len, special, PL_BOS_AUTO, &ids, &count))) return;
    for (int64_t i = 0; i < count; i++) {
        fuzz_check(ids[i] >= 0 && ids[i] < v->count);
        fuzz_check(pl_tokenizer_piece(t, ids[i], special, piece, sizeof piece) >= 0);
        pl_tokenizer_ends(t, ids[i]);
    }
    pl_free(ids);
}

void fuzz_use_vocab(const pl_vocab *vocab, const fuzz_part *text)
{
    static const char standard[] = "Once upon a time  there WAS\n\n\ta <s></s> <unk> d\xc3\xa9j\xc3\xa0 123456, "
                                   "\xe2\x96\x81\xe2\x96\x81 \xf0\x9f\x99\x82 e\xcc\x81 \xff\xfe <|im_end|> 's";
    pl_tokenizer *t;
    char piece[8];
    check_special(vocab);
    if (fuzz_refused(pl_tokenizer_create(vocab, &t))) return;
    encode(t, vocab, standard, sizeof standard - 1, true);
    encode(t, vocab, standard, sizeof standard - 1, false);
    if (text) encode(t, vocab, (const char *)text->data, text->len, true);
    for (int32_t i = 0; i < vocab->count; i++) pl_tokenizer_piece(t, i, true, piece, sizeof piece);
    pl_tokenizer_destroy(t);
}

/* ---- weights ---- */

static void read_rows(pl_source *s, pl_arena *scratch)
{
    for (int i = 0; i < s->model->tensors; i++) {
        const pl_tensor *t = &s->model->tensor[i];
        pl_packed packed;
        int64_t bytes;
        pl_arena_reset(scratch);
        fuzz_must(pl_tensor_bytes(t, &bytes));
        float *rows = PL_NEW(scratch, float, t->rows * t->cols);
        if (!rows) continue;
        fuzz_refused(pl_source_rows(s, i, 0, t->rows, rows, scratch));
        fuzz_refused(pl_source_rows(s, i, t->rows - 1, 1, rows, scratch));
        fuzz_refused(pl_source_packed(s, i, 0, t->rows, &packed, scratch));
        pl_source_advise(s, i, 0, t->rows);
    }
    pl_arena_reset(scratch);
}

/* ---- conversion ---- */

/* The file that we wrote must be one that we read. */
static void open_again(const char *path, int32_t tokens)
{
    static const pl_source_ops *const gguf[] = { &pl_source_gguf, NULL };
    pl_source *s;
    if (!fuzz_must(pl_source_open(gguf, path, NULL, &s))) return;
    fuzz_check((s->model->vocab ? s->model->vocab->count : 0) == tokens);
    pl_source_close(s);
}

static void convert(pl_source *s, pl_arena *arena)
{
    static const pl_registries registries = { pl_methods, pl_grids };
    static const int types[] = { PL_Q8_0, PL_Q4_0, PL_F16, PL_Q5_1 };
    int32_t tokens = s->model->vocab ? s->model->vocab->count : 0;
    pl_sink *sink;
    pl_plan *plan;
    const char *path = fuzz_path("out.gguf");
    pl_recipe recipe = { .type = pl_type_plain(types[s->model->tensors % PL_COUNT(types)]) };
    if (!fuzz_must(pl_sink_create(&pl_sink_gguf, &sink))) return;
    pl_plan_options wishes = { .threads = 1 };
    pl_convert_options options = { .force = true };
    if (!fuzz_refused(pl_plan_create(s->model, &recipe, sink, &registries, &wishes, arena, &plan)) &&
        !fuzz_refused(pl_convert(plan, s, sink, path, NULL, &options, NULL)))
        open_again(path, tokens);
    pl_sink_close(sink);
    unlink(path);
}

void fuzz_use_model(pl_source *s)
{
    pl_arena *scratch;
    if (s->model->vocab) fuzz_use_vocab(s->model->vocab, NULL);
    if (fuzz_must(pl_arena_create(&scratch))) {
        read_rows(s, scratch);
        if (s->model->parameters < WEIGHTS) convert(s, scratch);
        pl_arena_destroy(scratch);
    }
    pl_source_close(s);
}

/* ---- targets ---- */

static void open_and_use(const pl_source_ops *format, const char *path, size_t len)
{
    const pl_source_ops *const formats[] = { format, NULL };
    pl_source *s;
    /* Mapped files stay on a list for good, so only now and then. */
    pl_open_options options = { .how = len % 16 == 1 ? PL_OPEN_MAP : PL_OPEN_WINDOWS };
    if (!fuzz_refused(pl_source_open(formats, path, &options, &s))) fuzz_use_model(s);
}

static void run_gguf(const fuzz_part *part, int parts)
{
    open_and_use(&pl_source_gguf, fuzz_file("model.gguf", &part[0]), part[0].len);
}

static void run_split(const fuzz_part *part, int parts)
{
    char name[64], first[128] = "";
    for (int i = 0; i < parts; i++) {
        snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", i + 1, parts);
        const char *path = fuzz_file(name, &part[i]);
        if (i == 0) snprintf(first, sizeof first, "%s", path);
    }
    open_and_use(&pl_source_gguf, first, part[0].len);
}

static void run_folder(const fuzz_part *part, int parts)
{
    static const char *const names[] = { "config.json", "model.safetensors", "tokenizer.json",
                                         "tokenizer_config.json" };
    for (int i = 0; i < PL_COUNT(names); i++) fuzz_file(names[i], fuzz_part_at(part, parts, i));
    open_and_use(&pl_source_hf, fuzz_folder_path(), part[0].len);
}

const fuzz_target fuzz_gguf = { "gguf", "g", run_gguf };
const fuzz_target fuzz_split = { "split", "g", run_split };
const fuzz_target fuzz_folder = { "folder", "jsjj", run_folder };
