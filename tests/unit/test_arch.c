/* test_arch.c: the architecture table: names, identities, shapes, what config.json may say. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "formats/arch.h"

static const pl_arch *const arch = &pl_arch_llama;
static pl_arena *arena;

static void setup(void) { ck_assert_int_eq(pl_arena_create(&arena), PL_OK); }
static void teardown(void) { pl_arena_destroy(arena); }

/* ---- names ---- */

START_TEST(finds_architectures)
{
    ck_assert_ptr_eq(pl_arch_find("llama"), arch);
    ck_assert_ptr_eq(pl_arch_find_hf("LlamaForCausalLM"), arch);
    ck_assert_ptr_null(pl_arch_find("LlamaForCausalLM"));
    ck_assert_ptr_null(pl_arch_find_hf("llama"));
    ck_assert_ptr_null(pl_arch_find(""));
    ck_assert_ptr_nonnull(strstr(pl_arch_list(), "LlamaForCausalLM"));
}
END_TEST

START_TEST(known_names)
{
    static const struct { const char *hf, *gguf; int role, layer; } cases[] = {
        { "model.embed_tokens.weight", "token_embd.weight", PL_TOKEN_EMBD, -1 },
        { "model.norm.weight", "output_norm.weight", PL_OUTPUT_NORM, -1 },
        { "lm_head.weight", "output.weight", PL_OUTPUT, -1 },
        { "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", PL_ATTN_Q, 0 },
        { "model.layers.10.self_attn.k_proj.weight", "blk.10.attn_k.weight", PL_ATTN_K, 10 },
        { "model.layers.3.self_attn.v_proj.bias", "blk.3.attn_v.bias", PL_ATTN_V + PL_BIAS, 3 },
        { "model.layers.3.self_attn.o_proj.weight", "blk.3.attn_output.weight", PL_ATTN_O, 3 },
        { "model.layers.9.input_layernorm.weight", "blk.9.attn_norm.weight", PL_ATTN_NORM, 9 },
        { "model.layers.9.post_attention_layernorm.weight", "blk.9.ffn_norm.weight", PL_FFN_NORM, 9 },
        { "model.layers.1023.mlp.gate_proj.weight", "blk.1023.ffn_gate.weight", PL_FFN_GATE, 1023 },
        { "model.layers.7.mlp.up_proj.bias", "blk.7.ffn_up.bias", PL_FFN_UP + PL_BIAS, 7 },
        { "model.layers.7.mlp.down_proj.weight", "blk.7.ffn_down.weight", PL_FFN_DOWN, 7 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_id want = pl_id_make(cases[i].role, cases[i].layer, -1), id;
        ck_assert(pl_arch_identify(arch, PL_NAMES_HF, cases[i].hf, &id) && pl_id_equal(id, want));
        ck_assert(pl_arch_identify(arch, PL_NAMES_GGUF, cases[i].gguf, &id) && pl_id_equal(id, want));
        ck_assert_str_eq(pl_arch_name(arch, PL_NAMES_HF, want, arena), cases[i].hf);
        ck_assert_str_eq(pl_arch_name(arch, PL_NAMES_GGUF, want, arena), cases[i].gguf);
        ck_assert(!pl_arch_identify(arch, PL_NAMES_GGUF, cases[i].hf, &id));
        ck_assert(!pl_arch_identify(arch, PL_NAMES_HF, cases[i].gguf, &id));
    }
}
END_TEST

/* Every row, there and back. */
START_TEST(round_trips)
{
    for (int i = 0; i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        if (row->role < 0) continue;
        ck_assert_ptr_eq(pl_arch_row(arch, row->role), row);
        int found = 0;
        for (int naming = PL_NAMES_HF; naming <= PL_NAMES_GGUF; naming++) {
            for (int layer = -1; layer < 12; layer += 6) {
                pl_id want = pl_id_make(row->role, layer, -1), id;
                const char *name = pl_arch_name(arch, (pl_naming)naming, want, arena);
                if (!name) continue;
                found++;
                ck_assert(pl_arch_identify(arch, (pl_naming)naming, name, &id));
                ck_assert(pl_id_equal(id, want));
            }
        }
        ck_assert_int_ge(found, 1);
    }
    ck_assert_ptr_null(pl_arch_name(arch, PL_NAMES_HF, pl_id_make(PL_ROPE_FREQS, -1, -1), arena));
    ck_assert_ptr_null(pl_arch_name(arch, PL_NAMES_HF, pl_id_make(PL_ATTN_Q, -1, -1), arena));
    ck_assert_ptr_null(pl_arch_name(arch, PL_NAMES_HF, pl_id_make(PL_OUTPUT, 0, -1), arena));
    ck_assert_ptr_null(pl_arch_name(arch, PL_NAMES_HF, pl_id_make(PL_ATTN_Q, 0, 3), arena));
    ck_assert_ptr_null(pl_arch_name(arch, PL_NAMES_HF, pl_id_make(PL_ATTN_NORM + PL_BIAS, 0, -1), arena));
}
END_TEST

START_TEST(unknown_names)
{
    static const char *const names[] = {
        "", ".", "0", "model", "model.layers.", "model.layers..mlp.up_proj.weight",
        "model.layers.%d.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight2",
        "model.layers.0.mlp.up_proj", "model.layers.00.mlp.up_proj.weight",
        "model.layers.01.mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight",
        "model.layers.1024.mlp.up_proj.weight", "model.layers.4294967296.mlp.up_proj.weight",
        "model.layers.99999999999999999999999.mlp.up_proj.weight", "model.layers.1x.mlp.up_proj.weight",
        "model.layers. 1.mlp.up_proj.weight", "layers.0.mlp.up_proj.weight", "lm_head.0.weight",
        "model.layers.0.1.mlp.up_proj.weight", "model.norm.bias", "x.model.norm.weight",
    };
    pl_id id;
    for (int i = 0; i < PL_COUNT(names); i++)
        ck_assert_msg(!pl_arch_identify(arch, PL_NAMES_HF, names[i], &id), "'%s'", names[i]);
}
END_TEST

START_TEST(names_to_pass_over)
{
    pl_id id;
    ck_assert(pl_arch_identify(arch, PL_NAMES_HF, "model.layers.3.self_attn.rotary_emb.inv_freq", &id));
    ck_assert_int_eq(id.role, -1);
    ck_assert(!pl_arch_identify(arch, PL_NAMES_GGUF, "model.layers.3.self_attn.rotary_emb.inv_freq", &id));
}
END_TEST

/* ---- check ---- */

enum { MOST = 64 };

typedef struct fixture { pl_model model; pl_tensor tensor[MOST]; } fixture;

static pl_tensor make(const pl_model *model, int role, int layer)
{
    const pl_arch_tensor *row = pl_arch_row(arch, role);
    pl_id id = pl_id_make(role, layer, -1);
    int64_t cols = row->cols(&model->hp);
    return (pl_tensor){ .id = id, .name = pl_arch_name(arch, PL_NAMES_GGUF, id, arena),
                        .rows = row->rows(&model->hp), .cols = cols, .type = pl_type_plain(PL_F32),
                        .flags = cols > 1 ? PL_TENSOR_MATRIX : 0 };
}

/* Two layers with everything that is required. */
static void build(fixture *f, bool tied)
{
    *f = (fixture){ .model.hp = { .layers = 2, .hidden = 8, .heads = 2, .kv_heads = 1, .head_dim = 4,
                                  .ffn = 6, .vocab = 10, .tied = tied } };
    f->model.tensor = f->tensor;
    for (int i = 0; i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        bool layered = strstr(row->gguf ? row->gguf : row->hf, "%d") != NULL;
        if (!row->required || (row->role == PL_OUTPUT && tied)) continue;
        for (int layer = layered ? 0 : -1; layer < (layered ? 2 : 0); layer++)
            f->tensor[f->model.tensors++] = make(&f->model, row->role, layer);
    }
}

static pl_status check(fixture *f)
{
    PL_TRY(pl_model_index(&f->model, arena));
    return pl_arch_check(arch, &f->model, "file");
}

static void ck_refused(fixture *f, const char *sentence)
{
    ck_assert_int_eq(check(f), PL_E_INPUT);
    ck_assert_msg(strstr(pl_error(), sentence) != NULL, "expected '%s' in '%s'", sentence, pl_error());
}

START_TEST(complete_models)
{
    fixture f;
    int64_t layer = 2 * 8 + 8 * 8 * 2 + 4 * 8 * 2 + 3 * 6 * 8;
    build(&f, false);
    ck_assert_int_eq(check(&f), PL_OK);
    ck_assert_int_eq(f.model.parameters, 2 * layer + 8 + 2 * 10 * 8);
    build(&f, true);
    ck_assert_int_eq(check(&f), PL_OK);
    ck_assert_int_eq(f.model.parameters, 2 * layer + 8 + 10 * 8);
    f.tensor[f.model.tensors++] = make(&f.model, PL_ROPE_FREQS, -1);
    f.tensor[f.model.tensors++] = make(&f.model, PL_ATTN_Q + PL_BIAS, 0);
    f.tensor[f.model.tensors++] = make(&f.model, PL_ATTN_Q + PL_BIAS, 1);
    ck_assert_int_eq(check(&f), PL_OK);
}
END_TEST

START_TEST(incomplete_models)
{
    fixture f;
    build(&f, false);
    int all = f.model.tensors;
    for (int i = 0; i < all; i++) {         /* each in turn is missing */
        build(&f, false);
        char role[64];
        snprintf(role, sizeof role, "%s", pl_role_name(f.tensor[i].id.role));
        f.tensor[i] = f.tensor[--f.model.tensors];
        ck_refused(&f, "is missing");
        ck_refused(&f, role);
    }
    build(&f, true);
    f.tensor[f.model.tensors++] = make(&f.model, PL_FFN_UP + PL_BIAS, 1);
    ck_refused(&f, "ffn_up.bias of layer 0 is missing");
}
END_TEST

START_TEST(wrong_tensors)
{
    fixture f;
    build(&f, true);
    f.tensor[f.model.tensors++] = make(&f.model, PL_ATTN_Q, 1);
    ck_refused(&f, "blk.1.attn_q.weight");
    build(&f, true);
    f.tensor[f.model.tensors++] = make(&f.model, PL_ATTN_Q, 2);
    ck_refused(&f, "'blk.2.attn_q.weight' belongs to layer 2, the model has layers 0 to 1");
    build(&f, true);
    for (int i = 0; i < f.model.tensors; i++) {
        fixture g = f;
        g.model.tensor = g.tensor;
        g.tensor[i].rows++;
        ck_refused(&g, g.tensor[i].name);
        g.tensor[i] = f.tensor[i];
        g.tensor[i].cols = 0;
        ck_refused(&g, "should be");
        g.tensor[i] = f.tensor[i];
        g.tensor[i].flags ^= PL_TENSOR_MATRIX;
        ck_refused(&g, "should be");
        g.tensor[i] = f.tensor[i];
        g.tensor[i].id.expert = 0;
        ck_refused(&g, "has no place");
    }
}
END_TEST

/* ---- config.json ---- */

#define BASE                                                                                       \
    "\"hidden_size\":64,\"num_hidden_layers\":2,\"intermediate_size\":172,\"vocab_size\":512,"      \
    "\"num_attention_heads\":8"

static pl_status config(const char *text, pl_hparams *hp)
{
    pl_json *json;
    ck_assert_int_eq(pl_json_parse(text, strlen(text), "c.json", &json), PL_OK);
    pl_status code = arch->config(json, "c.json", hp);
    pl_json_free(json);
    return code;
}

START_TEST(config_defaults)
{
    pl_hparams hp;
    ck_assert_int_eq(config("{" BASE "}", &hp), PL_OK);
    ck_assert(hp.hidden == 64 && hp.layers == 2 && hp.ffn == 172 && hp.vocab == 512 && hp.heads == 8);
    ck_assert(hp.kv_heads == 8 && hp.head_dim == 8 && hp.rope_dim == 8 && hp.context == 2048);
    ck_assert(hp.norm_eps == 1e-6f && hp.rope_base == 10000 && !hp.tied);
    ck_assert_int_eq(hp.rope_scaling, PL_ROPE_NONE);
    ck_assert_int_eq(config("{" BASE ",\"num_key_value_heads\":2,\"head_dim\":32,\"rms_norm_eps\":1e-5,"
                            "\"rope_theta\":5e5,\"max_position_embeddings\":8192,\"rope_scaling\":null,"
                            "\"tie_word_embeddings\":true,\"hidden_act\":\"silu\",\"pretraining_tp\":4}",
                            &hp), PL_OK);
    ck_assert(hp.kv_heads == 2 && hp.head_dim == 32 && hp.norm_eps == 1e-5f && hp.rope_base == 5e5f);
    ck_assert(hp.context == 8192 && hp.tied);
}
END_TEST

START_TEST(config_rope)
{
#define LLAMA3 "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"                   \
               "\"original_max_position_embeddings\":8192"
    static const struct { const char *text; int scaling; float base, factor; } cases[] = {
        { "{" BASE ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}", PL_ROPE_LINEAR, 1e4f, 2 },
        { "{" BASE ",\"rope_scaling\":{\"rope_type\":\"default\"}}", PL_ROPE_NONE, 1e4f, 0 },
        { "{" BASE ",\"rope_theta\":5e5,\"rope_scaling\":{\"rope_type\":\"llama3\"," LLAMA3 "}}",
          PL_ROPE_LLAMA3, 5e5f, 8 },
        { "{" BASE ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1e6}}", PL_ROPE_NONE,
          1e6f, 0 },
        { "{" BASE ",\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":1e6," LLAMA3 "}}",
          PL_ROPE_LLAMA3, 1e6f, 8 },
        { "{" BASE ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},"
          "\"rope_parameters\":{\"type\":\"linear\",\"factor\":2}}", PL_ROPE_LINEAR, 1e4f, 2 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_hparams hp;
        ck_assert_msg(config(cases[i].text, &hp) == PL_OK, "%s: %s", cases[i].text, pl_error());
        ck_assert_int_eq((int)hp.rope_scaling, cases[i].scaling);
        ck_assert(hp.rope_base == cases[i].base && hp.rope_factor == cases[i].factor);
        if (hp.rope_scaling != PL_ROPE_LLAMA3) continue;
        ck_assert(hp.rope_low == 1 && hp.rope_high == 4 && hp.rope_context == 8192);
    }
}
END_TEST

/* `key` of a good configuration is replaced by the text, or added. */
START_TEST(bad_configs)
{
    static const struct { const char *replace, *sentence; } cases[] = {
        { "\"hidden_size\":0", "hidden_size" }, { "\"hidden_size\":-64", "hidden_size" },
        { "\"hidden_size\":1048577", "hidden_size" }, { "\"hidden_size\":\"64\"", "hidden_size" },
        { "\"hidden_size\":64.5", "hidden_size" }, { "\"hidden_size\":null", "hidden_size" },
        { "\"hidden_size\":60", "no multiple of num_attention_heads" },
        { "\"num_hidden_layers\":0", "num_hidden_layers" },
        { "\"num_hidden_layers\":1025", "num_hidden_layers" },
        { "\"intermediate_size\":0", "intermediate_size" },
        { "\"intermediate_size\":[172]", "intermediate_size" },
        { "\"vocab_size\":0", "vocab_size" }, { "\"vocab_size\":4194305", "vocab_size" },
        { "\"vocab_size\":1e300", "vocab_size" }, { "\"num_attention_heads\":0", "num_attention_heads" },
        { "\"num_attention_heads\":65", "num_attention_heads" },
        { "\"num_attention_heads\":64", "odd" }, { "\"num_key_value_heads\":3", "no multiple" },
        { "\"num_key_value_heads\":0", "num_key_value_heads" },
        { "\"num_key_value_heads\":16", "num_key_value_heads" }, { "\"head_dim\":7", "odd" },
        { "\"head_dim\":0", "head_dim" }, { "\"head_dim\":1000000", "head_dim" },
        { "\"max_position_embeddings\":0", "max_position_embeddings" },
        { "\"rms_norm_eps\":-1", "rms_norm_eps" }, { "\"rms_norm_eps\":2", "rms_norm_eps" },
        { "\"rms_norm_eps\":true", "rms_norm_eps" }, { "\"rope_theta\":0", "rope_theta" },
        { "\"hidden_act\":\"gelu\"", "hidden_act 'gelu'" },
        { "\"tie_word_embeddings\":1", "tie_word_embeddings" },
        { "\"partial_rotary_factor\":0.5", "partial_rotary_factor 0.5" },
        { "\"rope_scaling\":7", "rope_scaling" },
        { "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}", "rope_scaling: rope_type 'yarn'" },
        { "\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}", "'dynamic'" },
        { "\"rope_parameters\":{\"rope_type\":\"longrope\"}", "rope_parameters: rope_type 'longrope'" },
        { "\"rope_scaling\":{\"type\":\"linear\"}", "'factor' is missing" },
        { "\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", "'factor' should be between" },
        { "\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8}", "low_freq_factor" },
        { "\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
          "\"high_freq_factor\":4,\"original_max_position_embeddings\":8}", "below high_freq_factor" },
        { "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},\"rope_parameters\":{\"type\":\"default\"}",
          "disagree" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        char text[1024], key[64];
        size_t len = strcspn(cases[i].replace + 1, "\"") + 2;
        snprintf(key, sizeof key, "%.*s", (int)len, cases[i].replace);
        char *to = text + sprintf(text, "{%s", cases[i].replace);
        static const char base[] = BASE;
        for (const char *from = base; *from; from += strcspn(from, ",") + (strchr(from, ',') != NULL))
            if (strncmp(from, key, len)) to += sprintf(to, ",%.*s", (int)strcspn(from, ","), from);
        strcpy(to, "}");
        pl_hparams hp;
        ck_assert_msg(config(text, &hp) == PL_E_INPUT, "accepted: %s", text);
        ck_assert_msg(strstr(pl_error(), cases[i].sentence) != NULL, "expected '%s' in '%s'", cases[i].sentence, pl_error());
        ck_assert_ptr_nonnull(strstr(pl_error(), "c.json"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arch");
    TCase *cases = tcase_create("arch");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, finds_architectures);
    tcase_add_test(cases, known_names);
    tcase_add_test(cases, round_trips);
    tcase_add_test(cases, unknown_names);
    tcase_add_test(cases, names_to_pass_over);
    tcase_add_test(cases, complete_models);
    tcase_add_test(cases, incomplete_models);
    tcase_add_test(cases, wrong_tensors);
    tcase_add_test(cases, config_defaults);
    tcase_add_test(cases, config_rope);
    tcase_add_test(cases, bad_configs);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
