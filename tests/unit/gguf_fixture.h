/* gguf_fixture.h: a tiny model and the files that the GGUF tests write it to. */
#ifndef TESTS_UNIT_GGUF_FIXTURE_H
#define TESTS_UNIT_GGUF_FIXTURE_H

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/plan.h"
#include "core/rng.h"
#include "core/source.h"
#include "formats/arch.h"
#include "formats/gguf.h"
#include "formats/registry.h"

enum { LAYERS = 2, HIDDEN = 32, HEADS = 2, KV_HEADS = 1, HEAD = 16, FFN = 48, MAX_STEPS = 64 };

typedef struct tiny {
    pl_arena *arena;
    pl_model model;
    pl_vocab vocab;
    pl_tensor tensor[MAX_STEPS];
    pl_step step[MAX_STEPS];
    pl_plan plan;
    uint8_t *data[MAX_STEPS];
} tiny;

static char folder[64], path[128];

static inline void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_gguf.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.gguf", folder);
}

static inline void teardown(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0);     /* fails if anything else was left there */
}

static inline pl_text text(const char *s) { return (pl_text){ s, (uint32_t)strlen(s) }; }

static const char *const spm_tokens[] = { "<unk>", "<s>", "</s>", "<0x41>", "▁", "a", "b",
                                          "ab", "▁ab", "" };
static const char *const bpe_tokens[] = { "<|endoftext|>", "<start>", "<stop>", "Ġ", "a", "b",
                                          "ab", "Ġab" };

static inline void make_vocab(tiny *m, pl_vocab_kind kind)
{
    bool spm = kind == PL_VOCAB_SPM;
    const char *const *token = spm ? spm_tokens : bpe_tokens;
    int count = spm ? PL_COUNT(spm_tokens) : PL_COUNT(bpe_tokens);
    m->vocab = (pl_vocab){ .kind = kind, .count = count, .bos = 1, .eos = 2, .unk = 0, .pad = -1,
                           .sep = -1, .mask = -1,
                           .pre = spm ? "default" : "smollm", .add_bos = spm,
                           .add_space_prefix = spm };
    m->vocab.token = PL_NEW(m->arena, pl_text, count);
    m->vocab.type = PL_NEW(m->arena, uint8_t, count);
    m->vocab.score = spm ? PL_NEW(m->arena, float, count) : NULL;
    for (int i = 0; i < count; i++) {
        m->vocab.token[i] = text(token[i]);
        m->vocab.type[i] = i < 3 ? PL_TOKEN_CONTROL : PL_TOKEN_NORMAL;
        if (spm) m->vocab.score[i] = -0.5f * (float)i;
    }
    if (spm) m->vocab.type[3] = PL_TOKEN_BYTE;
    m->vocab.eog[m->vocab.eogs++] = 2;
    if (spm) return;
    static pl_merge merges[] = { { 4, 5 }, { 3, 6 } };
    m->vocab.merge = merges;
    m->vocab.merges = PL_COUNT(merges);
    m->vocab.eog[m->vocab.eogs++] = 1;      /* no runtime knows "<start>" as an end by its text */
    m->vocab.chat_template = "{{ messages }}\n";
}

static pl_meta extra_meta[8];

static inline void make_meta(tiny *m)
{
    static const uint16_t numbers[] = { 1, 2, 0xffff };
    static pl_text strings[] = { { "one", 3 }, { "", 0 }, { "a\0b", 3 } };
    static pl_text names[] = { { "tool_use", 8 } };
    extra_meta[0] = (pl_meta){ .key = "general.license", .type = PL_META_STRING, .count = 3,
                               .value.text = { "mit", 3 } };
    extra_meta[1] = (pl_meta){ .key = "x.numbers", .type = PL_META_ARRAY, .element = PL_META_U16,
                               .count = 3, .value.array = numbers };
    extra_meta[2] = (pl_meta){ .key = "x.strings", .type = PL_META_ARRAY, .element = PL_META_STRING,
                               .count = 3, .value.array = strings };
    extra_meta[3] = (pl_meta){ .key = "x.minus", .type = PL_META_I16, .value.i = -7 };
    extra_meta[4] = (pl_meta){ .key = "x.half", .type = PL_META_F32, .value.f = 0.5 };
    extra_meta[5] = (pl_meta){ .key = "general.base_model.0.name", .type = PL_META_STRING,
                               .count = 4, .value.text = { "Base", 4 } };
    extra_meta[6] = (pl_meta){ .key = "tokenizer.chat_template.tool_use", .type = PL_META_STRING,
                               .count = 11, .value.text = { "{{ tools }}", 11 } };
    extra_meta[7] = (pl_meta){ .key = "tokenizer.chat_templates", .type = PL_META_ARRAY,
                               .element = PL_META_STRING, .count = 1, .value.array = names };
    m->model.meta = extra_meta;
    m->model.metas = PL_COUNT(extra_meta);
}

static inline void add_tensor(tiny *m, const pl_arch_tensor *row, int layer, int expert)
{
    pl_hparams *hp = &m->model.hp;
    ck_assert_int_lt(m->model.tensors, MAX_STEPS);
    pl_tensor *t = &m->tensor[m->model.tensors++];
    *t = (pl_tensor){ .id = pl_id_make(row->role, layer, expert), .name = row->gguf,
                      .rows = row->rows(hp), .cols = row->cols(hp), .type = pl_type_plain(PL_F32) };
    if (t->cols > 1 && !row->keep) t->flags = PL_TENSOR_MATRIX;
}

/* Everything a plan says, without the code that makes plans. */
static inline void make_plan(tiny *m, pl_sink *sink)
{
    static const int types[] = { PL_F32,  PL_F16,  PL_BF16, PL_Q8_0,
                                 PL_Q4_0, PL_Q4_1, PL_Q5_0, PL_Q5_1 };
    m->plan = (pl_plan){ .step = m->step, .type = pl_type_plain(PL_Q4_0) };
    for (int i = 0; i < m->model.tensors; i++) {
        pl_step *step = &m->step[m->plan.steps++];
        pl_packed r = { 0 };
        const pl_tensor *t = &m->tensor[i];
        int turn = t->id.expert < 0 ? i : t->id.role + t->id.layer;     /* one type for all experts */
        int dtype = t->id.role == PL_ATTN_Q ? PL_Q8_0 : types[turn % PL_COUNT(types)];
        pl_type wish = pl_type_plain(t->cols % 32 ? PL_F16 : dtype);
        *step = (pl_step){ .id = t->id, .tensor = i };
        ck_assert_int_eq(sink->ops->resolve(sink, &m->model, t, wish, &r, &step->name, m->arena),
                         PL_OK);
        ck_assert_int_eq(pl_packed_init(&step->out, r.type, r.rows, r.cols), PL_OK);
        step->out.order = r.order;
        step->out.part[0].id = m->plan.parts++;
        int64_t bytes = step->out.part[0].bytes;
        m->data[i] = PL_NEW(m->arena, uint8_t, bytes);
        for (int64_t k = 0; k < bytes; k++)     /* 0x3b and less: finite whatever it means */
            m->data[i][k] = (uint8_t)(pl_rng_bits(1, (uint64_t)i, (uint64_t)k) % 0x3c);
    }
}

/* experts 0: a dense feed-forward. */
static inline void make_model_of(tiny *m, pl_vocab_kind kind, int experts)
{
    *m = (tiny){ 0 };
    ck_assert_int_eq(pl_arena_create(&m->arena), PL_OK);
    m->model = (pl_model){ .arch = "llama", .name = "tiny", .tensor = m->tensor };
    make_vocab(m, kind);
    m->model.vocab = &m->vocab;
    m->model.hp = (pl_hparams){ .layers = LAYERS, .hidden = HIDDEN, .heads = HEADS,
                                .kv_heads = KV_HEADS, .head_dim = HEAD, .ffn = FFN,
                                .vocab = m->vocab.count, .context = 77, .norm_eps = 1e-5f,
                                .rope_base = 5e5f, .rope_dim = HEAD, .tied = true };
    if (experts) {
        m->model.hp.experts = experts;
        m->model.hp.experts_used = 1;
        m->model.hp.expert_ffn = FFN;
        m->model.hp.expert_renorm = true;
    }
    make_meta(m);
    const pl_arch *arch = pl_arch_find("llama");
    for (int i = 0; i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        if (!row->required || row->role == PL_OUTPUT) continue;
        if (row->when && !row->when(&m->model.hp)) continue;
        bool layered = strstr(row->gguf, "%d"), expert = pl_arch_per_expert(row);
        for (int layer = layered ? 0 : -1; layer < (layered ? LAYERS : 0); layer++)
            for (int k = expert ? 0 : -1; k < (expert ? experts : 0); k++)
                add_tensor(m, row, layer, k);
    }
}

static inline void make_model(tiny *m, pl_vocab_kind kind) { make_model_of(m, kind, 0); }

static inline void close_model(tiny *m) { pl_arena_destroy(m->arena); }

/* Writes what was planned; the last rows of each matrix first, to show that order is free. */
static inline void write_planned(tiny *m, pl_sink *sink, const char *to)
{
    ck_assert_msg(sink->ops->size(sink, &m->plan, &m->model, &m->plan.bytes) == PL_OK, "%s", pl_error());
    sink->set.force = true;
    ck_assert_int_eq(sink->ops->begin(sink, to, &m->plan, &m->model), PL_OK);
    for (int i = m->plan.steps - 1; i >= 0; i--) {
        const pl_part *part = &m->step[i].out.part[0];
        size_t half = (size_t)part->bytes / 2;
        ck_assert_int_eq(sink->ops->put(sink, part, (int64_t)half, m->data[i] + half,
                                        (size_t)part->bytes - half), PL_OK);
        ck_assert_int_eq(sink->ops->put(sink, part, 0, m->data[i], half), PL_OK);
    }
    ck_assert_int_eq(sink->ops->finish(sink), PL_OK);
}

/* The tiny model in files of at most max_shard bytes (0: one); returns their number. */
static inline int write_shards(tiny *m, const char *to, int64_t max_shard)
{
    pl_sink *sink;
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &sink), PL_OK);
    sink->max_shard = max_shard;
    make_plan(m, sink);
    write_planned(m, sink, to);
    int files = sink->files;
    pl_sink_close(sink);
    return files;
}

static inline void write_model(tiny *m, const char *to) { write_shards(m, to, 0); }

static const pl_source_ops *const only_gguf[] = { &pl_source_gguf, NULL };

static inline pl_source *open_model(pl_open_how how)
{
    pl_source *s;
    ck_assert_msg(pl_source_open(only_gguf, path, &(pl_open_options){ .how = how }, &s) == PL_OK, "%s", pl_error());
    return s;
}

/* Does the source give what was written? */
static inline void compare_data(const tiny *m, pl_source *s)
{
    pl_arena *scratch;
    ck_assert_int_eq(pl_arena_create(&scratch), PL_OK);
    ck_assert_int_eq(s->model->tensors, m->model.tensors);
    for (int i = 0; i < m->plan.steps; i++) {
        const pl_step *step = &m->step[i];
        int at = pl_model_find(s->model, step->id);
        ck_assert_int_ge(at, 0);
        const pl_tensor *t = &s->model->tensor[at];
        ck_assert_str_eq(t->name, step->name);
        ck_assert(pl_type_equal(&t->type, &step->out.type));
        ck_assert_int_eq(t->order, step->out.order);
        pl_packed all, some;
        ck_assert_int_eq(pl_source_packed(s, at, 0, t->rows, &all, scratch), PL_OK);
        ck_assert_mem_eq(all.part[0].ptr, m->data[i], (size_t)all.part[0].bytes);
        int64_t first = t->rows / 3, count = t->rows - first, n = count * t->cols;
        ck_assert_int_eq(pl_source_packed(s, at, first, count, &some, scratch), PL_OK);
        ck_assert_mem_eq(some.part[0].ptr, m->data[i] + first * all.part[0].stride,
                         (size_t)some.part[0].bytes);
        float *rows = PL_NEW(scratch, float, n), *expected = PL_NEW(scratch, float, n);
        ck_assert_int_eq(pl_source_rows(s, at, first, count, rows, scratch), PL_OK);
        t->type.element->decode(some.part[0].ptr, expected, n);
        ck_assert_mem_eq(rows, expected, (size_t)n * sizeof *rows);
        pl_source_advise(s, at, first, count);
    }
    pl_arena_destroy(scratch);
}

/* Files in the folder. */
static inline int entries(void)
{
    int count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *d; (d = readdir(dir));) count += d->d_name[0] != '.';
    closedir(dir);
    return count;
}

static inline uint8_t *load(const char *name, size_t *size)
{
    char *data;
    ck_assert_int_eq(pl_file_load(name, 1 << 24, &data, size), PL_OK);
    return (uint8_t *)data;
}

static inline void save(const void *data, size_t size)
{
    ck_assert_int_eq(pl_file_save(path, data, size), PL_OK);
}

#endif
