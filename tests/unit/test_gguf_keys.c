/* test_gguf_keys.c: hyper-parameters as GGUF keys: those of llama.cpp's converter, there and back, what
 * GGUF cannot say, hostile values. */
#include "tests/unit/run.h"

#include "core/half.h"
#include "core/json.h"
#include "formats/gguf_keys.h"

static pl_arena *arena;         /* of all tests; each runs in a process of its own */

static const char *const models[] = { "bert", "gemma2", "gemma3", "gpt2", "llama", "mistral", "mixtral",
    "phi3", "phi3-longrope", "qwen2", "qwen2-yarn", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3" };

/* One of the small checkpoints in tests/tiny. */
typedef struct checkpoint {
    const char *name;
    pl_json *config, *converter;
    const pl_arch *arch;
    pl_hparams hp;
} checkpoint;

static pl_json *load(const char *model, const char *file)
{
    char path[PATH_MAX];
    const char *root = getenv("PLANISH_SOURCE_ROOT");
    pl_json *json;
    snprintf(path, sizeof path, "%s/tests/tiny/models/%s/%s", root ? root : ".", model, file);
    assert_ok(pl_json_load(path, &json));
    return json;
}

static void open_checkpoint(checkpoint *c, const char *name)
{
    *c = (checkpoint){ .name = name, .config = load(name, "config.json"),
                       .converter = load(name, "converter.json") };
    const pl_json *class_name = pl_json_first(pl_json_get(c->config, "architectures"));
    c->arch = pl_arch_find_hf(pl_json_text(class_name));
    ck_assert_ptr_nonnull(c->arch);
    assert_ok(c->arch->config(c->config, name, &c->hp));
    if (c->hp.encoder) c->hp.pooling = PL_POOL_MEAN;    /* from another file */
}

static void close_checkpoint(checkpoint *c)
{
    pl_json_free(c->config);
    pl_json_free(c->converter);
}

/* ---- the keys of llama.cpp's converter ---- */

/* The converter's entry {"type", "value"} of a key. */
static const pl_json *theirs(const checkpoint *c, const pl_gguf_key *key)
{
    char name[128];
    const pl_json *keys = pl_json_get(pl_json_get(c->converter, "f32"), "keys");
    snprintf(name, sizeof name, "%s%s%s", key->whole ? "" : c->arch->name, key->whole ? "" : ".", key->name);
    return pl_json_get(keys, name);
}

static void compare_key(const checkpoint *c, const pl_gguf_key *key)
{
    static const struct { int type; const char *name; } types[] = {
        { PL_META_U32, "uint32" }, { PL_META_F32, "float32" }, { PL_META_BOOL, "bool" },
        { PL_META_STRING, "string" },
    };
    /* Keys of our own: what llama.cpp does not follow, and a default that is spelled out. */
    static const struct { const char *model, *key; } meant[] = {
        { "mistral", "attention.sliding_window" }, { "gemma2", "attention.scale" },
        { "mixtral", "attention.key_length" },     { "mixtral", "attention.value_length" },
    };
    const pl_json *entry = theirs(c, key);
    bool ours = false;
    for (int i = 0; i < PL_COUNT(meant); i++)
        ours |= !strcmp(meant[i].model, c->name) && !strcmp(meant[i].key, key->name);
    ck_assert_msg(ours == !entry, "%s: %s is %s", c->name, key->name, ours ? "there" : "ours alone");
    if (ours) return;
    const char *type;
    assert_ok(pl_json_string(entry, "type", true, c->name, &type));
    for (int i = 0; i < PL_COUNT(types); i++)
        if (types[i].type == key->type) ck_assert_str_eq(type, types[i].name);
    if (key->type == PL_META_STRING) {
        ck_assert_str_eq(pl_json_text(pl_json_get(entry, "value")), key->text);
    } else if (key->type == PL_META_BOOL) {
        bool value;
        assert_ok(pl_json_bool(entry, "value", true, c->name, &value));
        ck_assert_int_eq(value, key->number != 0);
    } else {
        double value;
        assert_ok(pl_json_number(entry, "value", true, c->name, &value));
        ck_assert_msg(key->type == PL_META_F32 ? (float)value == (float)key->number : value == key->number,
                      "%s: %s is %g, theirs %g", c->name, key->name, key->number, value);
    }
}

static bool is_hparam(const checkpoint *c, const char *name)
{
    size_t len = strlen(c->arch->name);
    return (!strncmp(name, c->arch->name, len) && name[len] == '.') || strstr(name, "token_type_count");
}

START_TEST(keys_are_those_of_the_converter)
{
    for (int m = 0; m < PL_COUNT(models); m++) {
        checkpoint c;
        pl_gguf_keys keys;
        open_checkpoint(&c, models[m]);
        assert_ok(pl_gguf_keys_list(c.arch, &c.hp, &keys));
        int matched = 0, expected = 0;
        for (int i = 0; i < keys.count; i++) {
            compare_key(&c, &keys.key[i]);
            matched += theirs(&c, &keys.key[i]) != NULL;
        }
        const pl_json *all = pl_json_get(pl_json_get(c.converter, "f32"), "keys");
        for (const pl_json *at = pl_json_first(all); at; at = pl_json_next(at))
            expected += is_hparam(&c, pl_json_key(at));
        ck_assert_msg(matched == expected, "%s: %d of %d keys", c.name, matched, expected);
        close_checkpoint(&c);
    }
}
END_TEST

/* ---- files with keys and nothing else ---- */

typedef struct bytes { uint8_t at[1 << 14]; size_t len; int keys; } bytes;

static void put(bytes *b, uint64_t value, int count)
{
    ck_assert_uint_le(b->len + 8, sizeof b->at);
    for (int i = 0; i < count; i++) b->at[b->len++] = (uint8_t)(value >> 8 * i);
}

static void put_text(bytes *b, const char *text)
{
    put(b, strlen(text), 8);
    while (*text) put(b, (uint8_t)*text++, 1);
}

static void put_number(bytes *b, const char *arch, const char *name, int type, double value)
{
    char key[128];
    snprintf(key, sizeof key, "%s%s%s", arch, *arch ? "." : "", name);
    put_text(b, key);
    put(b, (uint64_t)type, 4);
    put(b, type == PL_META_F32 ? pl_f32_bits((float)value) : (uint64_t)(int64_t)value,
        pl_gguf_scalar_bytes(type));
    b->keys++;
}

static void put_keys(bytes *b, const pl_arch *arch, const pl_gguf_keys *keys)
{
    for (int i = 0; i < keys->count; i++) {
        const pl_gguf_key *key = &keys->key[i];
        if (key->type != PL_META_STRING && key->type != PL_META_ARRAY) {
            put_number(b, key->whole ? "" : arch->name, key->name, key->type, key->number);
            continue;
        }
        char name[128];
        snprintf(name, sizeof name, "%s.%s", arch->name, key->name);
        put_text(b, name);
        put(b, key->type, 4);
        b->keys++;
        if (key->type == PL_META_STRING) put_text(b, key->text);
        if (key->type == PL_META_STRING) continue;
        put(b, PL_META_BOOL, 4);
        put(b, (uint64_t)keys->layers, 8);
        for (int k = 0; k < keys->layers; k++) put(b, keys->windows[k], 1);
    }
}

/* Reads a file with these keys, as if it had the tensors that the scaling of `like` asks for. */
static pl_status read_keys(const bytes *b, const pl_arch *arch, const pl_hparams *like, pl_hparams *hp)
{
    bytes head = { .len = 0 };
    put(&head, 0x46554747, 4);
    put(&head, PL_GGUF_VERSION, 4);
    put(&head, 0, 8);
    put(&head, (uint64_t)b->keys, 8);
    FILE *out = fopen(temp_path("keys.gguf"), "wb");
    ck_assert_ptr_nonnull(out);
    fwrite(head.at, 1, head.len, out);
    fwrite(b->at, 1, b->len, out);
    for (size_t i = head.len + b->len; i % PL_GGUF_ALIGNMENT; i++) fputc(0, out);
    ck_assert_int_eq(fclose(out), 0);

    pl_file *file;
    pl_gguf g;
    pl_vocab vocab = { .count = like->vocab };
    pl_tensor tensor = { .id = { PL_TOKEN_EMBD, -1, -1 }, .name = "x" };
    pl_model model = { .vocab = &vocab, .tensor = &tensor, .tensors = 1 };
    if (like->rope_scaling == PL_ROPE_LLAMA3) tensor.id.role = PL_ROPE_FREQS;
    if (like->rope_scaling == PL_ROPE_LONGROPE) tensor.id.role = PL_ROPE_LONG;
    assert_ok(pl_file_open(temp_path("keys.gguf"), &file));
    pl_status code = pl_gguf_scan(file, arena, &g);
    if (code == PL_OK) code = pl_gguf_keys_read(&g, arch, arena, &model);
    if (code == PL_OK) code = pl_model_index(&model, arena);
    if (code == PL_OK) code = pl_gguf_keys_settle(&model, "keys.gguf");
    *hp = model.hp;
    pl_file_close(file);
    return code;
}

/* The same function? Numbers of llama3 became a tensor; whether the output is tied the tensors say. */
static void compare(const char *name, const pl_hparams *a, pl_hparams b)
{
    pl_hparams x = *a;
    if (x.rope_scaling == PL_ROPE_LLAMA3) {
        x.rope_factor = x.rope_low = x.rope_high = 0;
        x.rope_context = 0;
    }
    b.tied = x.tied;
    for (size_t i = 0; i < sizeof x; i++)
        ck_assert_msg(((const char *)&x)[i] == ((const char *)&b)[i], "%s: byte %zu differs", name, i);
}

START_TEST(there_and_back)
{
    for (int m = 0; m < PL_COUNT(models); m++) {
        checkpoint c;
        pl_gguf_keys keys;
        pl_hparams hp;
        bytes b = { .len = 0 };
        open_checkpoint(&c, models[m]);
        assert_ok(pl_gguf_keys_list(c.arch, &c.hp, &keys));
        put_keys(&b, c.arch, &keys);
        assert_ok(read_keys(&b, c.arch, &c.hp, &hp));
        compare(c.name, &c.hp, hp);
        close_checkpoint(&c);
    }
}
END_TEST

/* The same model from the folder and from llama.cpp's file. */
START_TEST(files_of_the_converter)
{
    for (int m = 0; m < PL_COUNT(models); m++) {
        checkpoint c;
        pl_gguf_keys keys = { .count = 0 };
        pl_hparams hp;
        bytes b = { .len = 0 };
        open_checkpoint(&c, models[m]);
        size_t skip = strlen(c.arch->name) + 1;
        const pl_json *all = pl_json_get(pl_json_get(c.converter, "f32"), "keys");
        for (const pl_json *at = pl_json_first(all); at; at = pl_json_next(at)) {
            const char *name = pl_json_key(at), *type;
            if (!is_hparam(&c, name)) continue;
            pl_gguf_key *key = &keys.key[keys.count++];
            *key = (pl_gguf_key){ .name = name, .whole = !strncmp(name, "tokenizer.", 10) };
            if (!key->whole) key->name += skip;
            assert_ok(pl_json_string(at, "type", true, c.name, &type));
            key->type = !strcmp(type, "uint32") ? PL_META_U32 : !strcmp(type, "float32") ? PL_META_F32
                      : !strcmp(type, "bool") ? PL_META_BOOL : PL_META_STRING;
            key->text = pl_json_text(pl_json_get(at, "value"));
            if (key->type == PL_META_U32 || key->type == PL_META_F32)
                assert_ok(pl_json_number(at, "value", true, c.name, &key->number));
        }
        put_keys(&b, c.arch, &keys);
        assert_ok(read_keys(&b, c.arch, &c.hp, &hp));
        /* What that file does not say. */
        if (!strcmp(c.name, "mistral")) {
            hp.window = c.hp.window;
            memcpy(hp.layer, c.hp.layer, sizeof hp.layer);
        }
        if (!strcmp(c.name, "gemma2")) hp.attn_scale = c.hp.attn_scale;
        compare(c.name, &c.hp, hp);
        close_checkpoint(&c);
    }
}
END_TEST

/* ---- variants ---- */

/* A model of some architecture with one thing changed is written and read, or refused with a sentence. */
typedef void change(pl_hparams *hp);

static void window_everywhere(pl_hparams *hp)
{
    for (int i = 0; i < hp->layers; i++) hp->layer[i] |= PL_LAYER_WINDOW;
}
static void window_nowhere(pl_hparams *hp)
{
    for (int i = 0; i < hp->layers; i++) hp->layer[i] = 0;
}
static void window_last(pl_hparams *hp)
{
    hp->window = 5;
    hp->layer[hp->layers - 1] |= PL_LAYER_WINDOW;
}
static void rope_everywhere(pl_hparams *hp)
{
    for (int i = 0; i < hp->layers; i++) hp->layer[i] = 0;
}
static void yarn_magnitude(pl_hparams *hp) { hp->rope_attn_factor = 1.75f; }
static void yarn_ramp(pl_hparams *hp)
{
    hp->yarn_fast = 16;
    hp->yarn_slow = 2;
}
static void no_caps(pl_hparams *hp) { hp->logit_softcap = 0; }
static void with_cap(pl_hparams *hp) { hp->logit_softcap = 11; }
static void plain_rope(pl_hparams *hp)
{
    hp->rope_scaling = PL_ROPE_NONE;
    hp->rope_factor = hp->rope_low = hp->rope_high = 0;
    hp->rope_context = 0;
}
static void linear(pl_hparams *hp)
{
    hp->rope_scaling = PL_ROPE_LINEAR;
    hp->rope_factor = 3;
}
static void other_renorm(pl_hparams *hp) { hp->expert_renorm = !hp->expert_renorm; }
static void other_act(pl_hparams *hp) { hp->act = hp->act == PL_ACT_GELU ? PL_ACT_SILU : PL_ACT_GELU; }
static void other_scale(pl_hparams *hp) { hp->embd_scale = 3; }
static void partial(pl_hparams *hp) { hp->rope_dim = 8; }
static void cls(pl_hparams *hp) { hp->pooling = PL_POOL_CLS; }
static void wide_head(pl_hparams *hp) { hp->head_dim = hp->rope_dim = 6; }
static void other_base(pl_hparams *hp) { hp->rope_base = 12345; }

START_TEST(variants)
{
    static const struct { const char *model; change *make; const char *refused; } cases[] = {
        { "gemma3", window_everywhere, NULL }, { "gemma3", window_nowhere, NULL },
        { "gemma3", with_cap, NULL },          { "gemma3", plain_rope, NULL },
        { "gemma2", window_nowhere, NULL },    { "gemma2", other_base, NULL },
        { "gemma2", no_caps, NULL },           { "gemma2", linear, NULL },
        { "mistral", window_last, NULL },      { "qwen2", window_last, NULL },
        { "qwen3_moe", window_last, NULL },    { "smollm3", window_last, NULL },
        { "phi3", window_last, NULL },         { "qwen2-yarn", yarn_magnitude, NULL },
        { "qwen2-yarn", yarn_ramp, NULL },     { "qwen2", linear, NULL },
        { "qwen2", wide_head, NULL },          { "qwen3", partial, NULL },
        { "phi3", partial, NULL },             { "bert", cls, NULL },
        { "mixtral", linear, NULL },           { "llama", plain_rope, NULL },
        { "qwen2_moe", other_renorm, "expert_renorm" },
        { "qwen3_moe", other_renorm, "expert_renorm" },
        { "mixtral", other_renorm, "expert_renorm" },
        { "llama", other_act, "act" },         { "gemma2", other_act, "act" },
        { "bert", other_act, "act" },          { "gemma3", other_scale, "embd_scale" },
        { "qwen3", other_scale, "embd_scale" }, { "smollm3", rope_everywhere, "layer 3" },
        { "llama", with_cap, "logit_softcap" }, { "mistral", partial, "one even number" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        checkpoint c;
        pl_gguf_keys keys;
        open_checkpoint(&c, cases[i].model);
        cases[i].make(&c.hp);
        pl_status code = pl_gguf_keys_list(c.arch, &c.hp, &keys);
        if (cases[i].refused) {
            ck_assert_msg(code == PL_E_WISH && strstr(pl_error(), cases[i].refused),
                          "%s, case %d: status %d: %s", c.name, i, code, pl_error());
        } else {
            pl_hparams hp;
            bytes b = { .len = 0 };
            ck_assert_msg(code == PL_OK, "%s, case %d: %s", c.name, i, pl_error());
            put_keys(&b, c.arch, &keys);
            assert_ok(read_keys(&b, c.arch, &c.hp, &hp));
            compare(c.name, &c.hp, hp);
        }
        close_checkpoint(&c);
    }
}
END_TEST

/* llama.cpp multiplies its own rule by one key and ignores the other, we read the other. */
START_TEST(magnitude_of_yarn)
{
    checkpoint c;
    pl_gguf_keys keys;
    pl_hparams hp;
    open_checkpoint(&c, "qwen2-yarn");
    c.hp.rope_attn_factor = 2;
    assert_ok(pl_gguf_keys_list(c.arch, &c.hp, &keys));
    int found = 0;
    for (int i = 0; i < keys.count; i++) {
        if (!strcmp(keys.key[i].name, "rope.scaling.yarn_attn_factor")) {
            ck_assert(keys.key[i].number == 2);
            keys.key[i].name = "rope.scaling.unknown";
            found++;
        } else if (!strcmp(keys.key[i].name, "rope.scaling.attn_factor")) {
            ck_assert_double_eq_tol(keys.key[i].number, 2 / 1.13862943611199, 1e-12);
            found++;
        }
    }
    ck_assert_int_eq(found, 2);
    bytes b = { .len = 0 };
    put_keys(&b, c.arch, &keys);
    assert_ok(read_keys(&b, c.arch, &c.hp, &hp));
    ck_assert_float_eq_tol(hp.rope_attn_factor, 2, 1e-6f);
    close_checkpoint(&c);
}
END_TEST

/* ---- files of others ---- */

/* A good file of an architecture with one key more or another value. */
static pl_status read_with(const char *model, const char *name, int type, double value, pl_hparams *hp)
{
    checkpoint c;
    pl_gguf_keys keys;
    bytes b = { .len = 0 };
    open_checkpoint(&c, model);
    assert_ok(pl_gguf_keys_list(c.arch, &c.hp, &keys));
    for (int i = 0; i < keys.count; i++)
        if (!strcmp(keys.key[i].name, name)) keys.key[i--] = keys.key[--keys.count];
    put_keys(&b, c.arch, &keys);
    if (type >= 0) put_number(&b, strncmp(name, "tokenizer.", 10) ? c.arch->name : "", name, type, value);
    pl_status code = read_keys(&b, c.arch, &c.hp, hp);
    close_checkpoint(&c);
    return code;
}

START_TEST(hostile_values)
{
    enum { NONE = -1, U = PL_META_U32, I = PL_META_I64, F = PL_META_F32, B = PL_META_BOOL };
    static const struct { const char *model, *key; int type; double value; const char *sentence; } cases[] = {
        { "qwen3", "block_count", NONE, 0, "is missing" },
        { "qwen3", "block_count", I, -1, "expected 1 to" },
        { "qwen3", "block_count", U, 1025, "expected 1 to 1024" },
        { "qwen3", "block_count", F, 2, "expected an integer" },
        { "qwen3", "attention.head_count", U, 65, "expected 1 to 64" },
        { "qwen3", "attention.head_count_kv", U, 3, "no multiple" },
        { "qwen3", "attention.head_count_kv", U, 8, "expected 1 to 4" },
        { "qwen3", "attention.key_length", U, 31, "for values" },
        { "qwen3", "attention.key_length", U, 0, "expected 1 to" },
        { "qwen3", "rope.dimension_count", U, 34, "expected 1 to 32" },
        { "qwen3", "rope.dimension_count", U, 7, "even numbers" },
        { "qwen3", "rope.freq_base", F, -1, "expected 1 to" },
        { "qwen3", "rope.freq_base", U, 10000, "expected a number" },
        { "qwen3", "attention.layer_norm_rms_epsilon", NONE, 0, "is missing" },
        { "qwen3", "attention.scale", F, 0.5, "not supported for qwen3" },
        { "qwen3", "final_logit_softcapping", F, 30, "not supported for qwen3" },
        { "qwen3", "expert_count", U, 8, "not supported for qwen3" },
        { "qwen3", "attention.causal", B, 0, "not causal" },
        { "qwen3", "attention.sliding_window", I, -1, "expected 0 to" },
        { "qwen3", "rope.scaling.attn_factor", F, 2, "without yarn or" },
        { "qwen3_moe", "expert_count", U, 0, "has none" },
        { "qwen3_moe", "expert_count", U, 5000, "expected 0 to 4096" },
        { "qwen3_moe", "expert_used_count", U, 7, "expected 1 to 6" },
        { "qwen3_moe", "expert_used_count", NONE, 0, "is missing" },
        { "qwen3_moe", "expert_group_count", U, 2, "not supported" },
        { "qwen2_moe", "expert_shared_feed_forward_length", U, 0, "expected 1 to" },
        { "mixtral", "expert_used_count", U, 5, "expected 1 to 4" },
        { "gemma2", "attn_logit_softcapping", F, -1, "expected 0 to" },
        { "gemma2", "attn_logit_softcapping", U, 50, "expected a number" },
        { "gemma3", "attention.sliding_window_pattern", I, -1, "expected 0 to" },
        { "gemma3", "attention.sliding_window_pattern", F, 2, "expected an integer" },
        { "gemma3", "rope.freq_base_swa", F, 0.5, "expected 1 to" },
        { "gemma3", "attention.key_length_swa", U, 64, "not supported" },
        { "bert", "attention.causal", NONE, 0, "attention that is causal" },
        { "bert", "attention.causal", U, 0, "truth value" },
        { "bert", "pooling_type", U, 3, "expected 0 to 2" },
        { "bert", "tokenizer.ggml.token_type_count", NONE, 0, "is missing" },
        { "bert", "tokenizer.ggml.token_type_count", U, 1 << 20, "expected 1 to" },
        { "bert", "attention.layer_norm_epsilon", F, 2, "expected 0 to 1" },
        { "gpt2", "attention.layer_norm_epsilon", NONE, 0, "is missing" },
        { "phi3-longrope", "rope.scaling.original_context_length", U, 0, "expected 1 to" },
        { "phi3-longrope", "rope.scaling.attn_factor", F, -1, "expected 0 to" },
        { "qwen2-yarn", "rope.scaling.factor", F, -4, "expected 0 to" },
        { "qwen2-yarn", "rope.scaling.yarn_beta_fast", F, -4, "expected 0 to" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_hparams hp;
        pl_status code = read_with(cases[i].model, cases[i].key, cases[i].type, cases[i].value, &hp);
        ck_assert_msg(code == PL_E_INPUT && strstr(pl_error(), cases[i].sentence),
                      "%s %s = %g: expected '%s', got %d: %s", cases[i].model, cases[i].key, cases[i].value,
                      cases[i].sentence, code, pl_error());
    }
}
END_TEST

START_TEST(defaults_of_readers)
{
    pl_hparams hp;
    assert_ok(read_with("gemma2", "attn_logit_softcapping", -1, 0, &hp));
    ck_assert(hp.attn_softcap == 50);
    assert_ok(read_with("gemma2", "attention.scale", -1, 0, &hp));
    ck_assert_float_eq_tol(hp.attn_scale, 0.17677669f, 1e-8f);
    assert_ok(read_with("gemma2", "attention.sliding_window", -1, 0, &hp));
    ck_assert_int_eq(hp.window, 4096);
    ck_assert(hp.layer[0] == PL_LAYER_WINDOW && hp.layer[1] == 0 && hp.layer[2] == PL_LAYER_WINDOW);
    assert_ok(read_with("gemma3", "rope.freq_base_swa", -1, 0, &hp));
    ck_assert(hp.rope_base_window == 10000);
    assert_ok(read_with("gemma3", "attention.sliding_window_pattern", PL_META_U32, 3, &hp));
    for (int i = 0; i < hp.layers; i++) ck_assert_int_eq(hp.layer[i], i % 3 < 2 ? PL_LAYER_WINDOW : 0);
    assert_ok(read_with("gemma3", "attention.sliding_window", -1, 0, &hp));
    for (int i = 0; i < hp.layers; i++) ck_assert_int_eq(hp.layer[i], 0);
    assert_ok(read_with("qwen3", "rope.freq_base", -1, 0, &hp));
    ck_assert(hp.rope_base == 10000);
    assert_ok(read_with("qwen3", "attention.head_count_kv", -1, 0, &hp));
    ck_assert_int_eq(hp.kv_heads, 4);
    assert_ok(read_with("qwen3_moe", "expert_feed_forward_length", -1, 0, &hp));
    ck_assert_int_eq(hp.expert_ffn, 96 / 2);
    assert_ok(read_with("qwen2_moe", "expert_shared_feed_forward_length", -1, 0, &hp));
    ck_assert_int_eq(hp.shared_ffn, 96);
    assert_ok(read_with("phi3-longrope", "rope.scaling.attn_factor", -1, 0, &hp));
    ck_assert(hp.rope_attn_factor == 1 && hp.rope_scaling == PL_ROPE_LONGROPE);
    assert_ok(read_with("qwen2-yarn", "rope.scaling.original_context_length", -1, 0, &hp));
    ck_assert_int_eq(hp.rope_context, 256);
    assert_ok(read_with("qwen2-yarn", "rope.scaling.factor", -1, 0, &hp));
    ck_assert_int_eq(hp.rope_scaling, PL_ROPE_NONE);
    assert_ok(read_with("qwen2-yarn", "rope.scaling.type", -1, 0, &hp));
    ck_assert(hp.rope_scaling == PL_ROPE_LINEAR && hp.rope_factor == 4);
    assert_ok(read_with("bert", "pooling_type", -1, 0, &hp));
    ck_assert_int_eq(hp.pooling, PL_POOL_NONE);
    assert_ok(read_with("qwen3", "pooling_type", PL_META_U32, 3, &hp));     /* is carried over */
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        keys_are_those_of_the_converter, there_and_back, files_of_the_converter, variants,
        magnitude_of_yarn, hostile_values, defaults_of_readers,
    };
    if (pl_arena_create(&arena) != PL_OK) return 1;
    int failed = run_suite("gguf_keys", tests, PL_COUNT(tests));
    pl_arena_destroy(arena);
    return failed;
}
