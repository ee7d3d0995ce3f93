/* hf_fixture.h: small Llama checkpoints in the folder of a test. */
#ifndef TESTS_UNIT_HF_FIXTURE_H
#define TESTS_UNIT_HF_FIXTURE_H

#include "core/half.h"
#include "core/source.h"
#include "formats/registry.h"
#include "tests/unit/st_fixture.h"

static const pl_source_ops *const formats[] = { &pl_source_hf, NULL };

enum { LAYERS = 2, HIDDEN = 8, HEADS = 2, KV_HEADS = 1, HEAD = 4, FFN = 6, VOCAB = 10, MOST = 64 };

#define SIZES                                                                                      \
    "\"hidden_size\":8,\"num_hidden_layers\":2,\"intermediate_size\":6,\"vocab_size\":10,"          \
    "\"num_attention_heads\":2,\"num_key_value_heads\":1"
#define CONFIG "{\"architectures\":[\"LlamaForCausalLM\"]," SIZES
static const char untied[] = CONFIG "}";
static const char tied[] = CONFIG ",\"tie_word_embeddings\":true}";

typedef struct entry { char name[80]; int dims; int64_t shape[3]; const char *dtype; } entry;
typedef struct checkpoint { entry entry[MOST]; int count; } checkpoint;

static inline entry *add(checkpoint *c, const char *name, int64_t rows, int64_t cols)
{
    entry *e = &c->entry[c->count++];
    *e = (entry){ .dims = cols ? 2 : 1, .shape = { rows, cols }, .dtype = "F32" };
    snprintf(e->name, sizeof e->name, "%s", name);
    return e;
}

static inline entry *find(checkpoint *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (!strcmp(c->entry[i].name, name)) return &c->entry[i];
    ck_abort_msg("no '%s'", name);
    return NULL;
}

static inline void drop(checkpoint *c, const char *name)
{
    entry *e = find(c, name);
    *e = c->entry[--c->count];
}

/* Everything a Llama needs, with its output matrix. */
static inline void fill(checkpoint *c)
{
    static const struct { const char *name; int64_t rows, cols; } row[] = {
        { "self_attn.q_proj.weight", HEADS * HEAD, HIDDEN }, { "self_attn.k_proj.weight", HEAD, HIDDEN },
        { "self_attn.v_proj.weight", HEAD, HIDDEN }, { "self_attn.o_proj.weight", HIDDEN, HEADS * HEAD },
        { "mlp.gate_proj.weight", FFN, HIDDEN }, { "mlp.up_proj.weight", FFN, HIDDEN },
        { "mlp.down_proj.weight", HIDDEN, FFN }, { "input_layernorm.weight", HIDDEN, 0 },
        { "post_attention_layernorm.weight", HIDDEN, 0 },
    };
    c->count = 0;
    add(c, "lm_head.weight", VOCAB, HIDDEN);
    add(c, "model.norm.weight", HIDDEN, 0);
    add(c, "model.embed_tokens.weight", VOCAB, HIDDEN);
    for (int layer = LAYERS - 1; layer >= 0; layer--)
        for (int i = 0; i < PL_COUNT(row); i++) {
            char name[80];
            snprintf(name, sizeof name, "model.layers.%d.%s", layer, row[i].name);
            add(c, name, row[i].rows, row[i].cols);
        }
}

/* Number k of a tensor, 0 to 240. */
static inline int number(const char *name, int64_t k)
{
    unsigned sum = 7;
    for (; *name; name++) sum = sum * 31 + (unsigned char)*name;
    return (int)((sum + (unsigned)k * 37) % 241);
}

/* Element k: exact in every type of 16 bits and more. One of 8 bits is the number itself; the bit that
 * NaN and infinities need is cleared, but for scales. */
static inline float value(const char *name, int64_t k) { return (float)(number(name, k) - 120) / 16; }

static __attribute__((noinline, unused)) size_t put_value(const char *dtype, const char *name, int64_t k, uint8_t *out)
{
    float x = value(name, k);
    uint16_t half = !strcmp(dtype, "F16") ? pl_f32_to_f16(x) : pl_f32_to_bf16(x);
    if (!strncmp(dtype, "F8", 2) || !strcmp(dtype, "U8") || !strcmp(dtype, "I8")) {
        *out = (uint8_t)(number(name, k) & (strcmp(dtype, "F8_E8M0") ? 0xbf : 0xff));
        return 1;
    }
    if (!strcmp(dtype, "F32") || !strcmp(dtype, "I32") || !strcmp(dtype, "U32")) {
        memcpy(out, &x, 4);
        return 4;
    }
    memcpy(out, &half, 2);
    return 2;
}

static inline void save_tensors(const char *name, const entry *e, int count)
{
    static char header[16384];
    static uint8_t data[65536];
    size_t used = 0;
    char *to = header + sprintf(header, "{");
    for (int i = 0; i < count; i++) {
        int64_t n = 1;
        to += sprintf(to, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", e[i].name, e[i].dtype);
        for (int d = 0; d < e[i].dims; d++) {
            to += sprintf(to, "%s%d", d ? "," : "", (int)e[i].shape[d]);
            n *= e[i].shape[d];
        }
        size_t begin = used;
        for (int64_t k = 0; k < n; k++) used += put_value(e[i].dtype, e[i].name, k, data + used);
        to += sprintf(to, "],\"data_offsets\":[%zu,%zu]}", begin, used);
    }
    strcpy(to, "}");
    save_st(name, header, data, used);
}

static inline void save_model(const checkpoint *c, const char *config)
{
    save_text("config.json", config);
    save_tensors("model.safetensors", c->entry, c->count);
}

static inline pl_status try_open(const char *path)
{
    pl_source *s;
    warned[0] = 0;
    pl_status code = pl_source_open(formats, path, NULL, &s);
    pl_source_close(s);
    return code;
}

static inline pl_source *open_model(const char *path, pl_open_how how)
{
    pl_source *s;
    ck_assert_msg(pl_source_open(formats, path, &(pl_open_options){ .how = how }, &s) == PL_OK, "%s", pl_error());
    return s;
}

/* ---- a Llama of one layer and 64 columns, whose matrices have codes ---- */

enum { WIDE = 64, TABLES = 2 };
#define WIDE_CONFIG(key, quantization)                                                             \
    "{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":64,\"num_hidden_layers\":1,"         \
    "\"intermediate_size\":64,\"vocab_size\":10,\"num_attention_heads\":2,\"num_key_value_heads\":1," \
    "\"" key "\":{" quantization "}}"
#define UP "model.layers.0.mlp.up_proj"
static const struct { const char *name; int rows; } wide_matrix[] = {           /* TABLES first */
    { "lm_head", VOCAB }, { "model.embed_tokens", VOCAB }, { "model.layers.0.self_attn.q_proj", WIDE },
    { "model.layers.0.self_attn.k_proj", WIDE / 2 }, { "model.layers.0.self_attn.v_proj", WIDE / 2 },
    { "model.layers.0.self_attn.o_proj", WIDE }, { "model.layers.0.mlp.gate_proj", WIDE }, { UP, WIDE },
    { "model.layers.0.mlp.down_proj", WIDE },
};

/* A part of matrix i. */
static inline void add_wide(checkpoint *c, int i, const char *end, int64_t rows, int64_t cols, const char *dtype)
{
    char name[80];
    snprintf(name, sizeof name, "%s.%s", wide_matrix[i].name, end);
    add(c, name, rows, cols)->dtype = dtype;
}

/* What is no matrix, and the first of them as floats. */
static inline void fill_wide(checkpoint *c, int floats)
{
    c->count = 0;
    add(c, "model.norm.weight", WIDE, 0);
    add(c, "model.layers.0.input_layernorm.weight", WIDE, 0);
    add(c, "model.layers.0.post_attention_layernorm.weight", WIDE, 0);
    for (int i = 0; i < floats; i++) add_wide(c, i, "weight", wide_matrix[i].rows, WIDE, "F32");
}

static inline entry *find_up(checkpoint *c, const char *part)
{
    char name[80];
    snprintf(name, sizeof name, UP ".%s", part);
    return find(c, name);
}

/* Bytes of so many elements of a part of up_proj, as they are saved. */
static inline void stored(const char *part, const char *dtype, int64_t first, int64_t count, uint8_t *out)
{
    char name[80];
    snprintf(name, sizeof name, UP ".%s", part);
    for (int64_t k = 0; k < count; k++) out += put_value(dtype, name, first + k, out);
}

#endif
