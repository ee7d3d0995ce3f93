/* test_arch_config.c: what config.json may say, per architecture: defaults, options, hostile values. */
#include <math.h>

#include "tests/unit/run.h"

#include "formats/arch_config.h"

#define LLAMA                                                                                      \
    "\"hidden_size\":64,\"num_hidden_layers\":2,\"intermediate_size\":172,\"vocab_size\":512,"      \
    "\"num_attention_heads\":8"
#define LAYERS4                                                                                    \
    "\"hidden_size\":64,\"num_hidden_layers\":4,\"intermediate_size\":172,\"vocab_size\":512,"      \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16"
#define EXPERTS ",\"num_experts\":6,\"num_experts_per_tok\":2,\"moe_intermediate_size\":32"
#define GPT2 "\"n_embd\":64,\"n_layer\":2,\"n_head\":4,\"vocab_size\":512"
#define CLASS(name) ",\"architectures\":[\"" name "\"]"

static pl_status read_text(const pl_arch *arch, const char *text, pl_hparams *hp)
{
    pl_json *json;
    assert_ok(pl_json_parse(text, strlen(text), "c.json", &json));
    memset(hp, 0x5a, sizeof *hp);           /* what was there before means nothing */
    pl_status code = arch->config(json, "c.json", hp);
    pl_json_free(json);
    return code;
}

static pl_hparams read_good(const pl_arch *arch, const char *text)
{
    pl_hparams hp;
    pl_status code = read_text(arch, text, &hp);
    ck_assert_msg(code == PL_OK, "%s: %s", text, pl_error());
    return hp;
}

/* Layers with one of the flags, the first in the lowest bit. */
static unsigned layers_with(const pl_hparams *hp, int flag)
{
    unsigned bits = 0;
    for (int i = 0; i < hp->layers; i++) bits |= (hp->layer[i] & flag ? 1u : 0) << i;
    return bits;
}

/* ---- Llama and its kin ---- */

START_TEST(llama)
{
    pl_hparams hp = read_good(&pl_arch_llama, "{" LLAMA "}");
    ck_assert(hp.hidden == 64 && hp.layers == 2 && hp.ffn == 172 && hp.vocab == 512 && hp.heads == 8);
    ck_assert(hp.kv_heads == 8 && hp.head_dim == 8 && hp.rope_dim == 8 && hp.context == 2048);
    ck_assert(hp.norm_eps == 1e-6f && hp.rope_base == 10000 && !hp.tied && hp.act == PL_ACT_SILU);
    ck_assert(hp.rope_scaling == PL_ROPE_NONE && hp.window == 0 && hp.experts == 0);
    hp = read_good(&pl_arch_llama,
                   "{" LLAMA ",\"num_key_value_heads\":2,\"head_dim\":32,\"rms_norm_eps\":1e-5,"
                   "\"rope_theta\":5e5,\"max_position_embeddings\":8192,\"rope_scaling\":null,"
                   "\"tie_word_embeddings\":true,\"hidden_act\":\"silu\",\"pretraining_tp\":4}");
    ck_assert(hp.kv_heads == 2 && hp.head_dim == 32 && hp.norm_eps == 1e-5f && hp.rope_base == 5e5f);
    ck_assert(hp.context == 8192 && hp.tied);
    /* A window is none of Llama's options. */
    hp = read_good(&pl_arch_llama, "{" LLAMA CLASS("LlamaForCausalLM") ",\"sliding_window\":8}");
    ck_assert(hp.window == 0 && layers_with(&hp, PL_LAYER_WINDOW) == 0);
}
END_TEST

START_TEST(mistral)
{
    static const struct { const char *text; int window; } cases[] = {
        { "{" LLAMA CLASS("MistralForCausalLM") "}", 4096 },
        { "{" LLAMA CLASS("MistralForCausalLM") ",\"sliding_window\":8}", 8 },
        { "{" LLAMA CLASS("MistralForCausalLM") ",\"sliding_window\":null}", 0 },
        { "{" LLAMA CLASS("MixtralForCausalLM") ",\"num_local_experts\":4,\"num_experts_per_tok\":2}", 0 },
        { "{" LLAMA CLASS("MixtralForCausalLM") ",\"num_local_experts\":4,\"num_experts_per_tok\":2,"
          "\"sliding_window\":16}", 16 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_hparams hp = read_good(&pl_arch_llama, cases[i].text);
        ck_assert_int_eq(hp.window, cases[i].window);
        ck_assert_uint_eq(layers_with(&hp, PL_LAYER_WINDOW), cases[i].window ? 3 : 0);
        if (i < 3) continue;
        ck_assert(hp.experts == 4 && hp.experts_used == 2 && hp.expert_ffn == 172 && hp.expert_renorm);
        ck_assert(hp.norm_eps == 1e-5f && hp.rope_base == 1e6f);
    }
}
END_TEST

START_TEST(activations)
{
    static const struct { const char *name; pl_activation act; } cases[] = {
        { "silu", PL_ACT_SILU }, { "swish", PL_ACT_SILU }, { "gelu", PL_ACT_GELU },
        { "gelu_new", PL_ACT_GELU_TANH }, { "gelu_pytorch_tanh", PL_ACT_GELU_TANH },
        { "gelu_fast", PL_ACT_GELU_TANH },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        char text[512];
        snprintf(text, sizeof text, "{" LLAMA ",\"hidden_act\":\"%s\"}", cases[i].name);
        ck_assert_int_eq(read_good(&pl_arch_llama, text).act, cases[i].act);
    }
}
END_TEST

/* ---- rotary positions ---- */

#define LLAMA3 "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"                   \
               "\"original_max_position_embeddings\":8192"

START_TEST(rope)
{
    static const struct { const char *text; int scaling; float base, factor; } cases[] = {
        { "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}", PL_ROPE_LINEAR, 1e4f, 2 },
        { "\"rope_scaling\":{\"type\":\"linear\",\"factor\":1}", PL_ROPE_NONE, 1e4f, 0 },
        { "\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":1}", PL_ROPE_NONE, 1e4f, 0 },
        { "\"rope_scaling\":{\"rope_type\":\"default\"}", PL_ROPE_NONE, 1e4f, 0 },
        { "\"rope_scaling\":{}", PL_ROPE_NONE, 1e4f, 0 },
        { "\"rope_theta\":5e5,\"rope_scaling\":{\"rope_type\":\"llama3\"," LLAMA3 "}", PL_ROPE_LLAMA3, 5e5f, 8 },
        { "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1e6}", PL_ROPE_NONE, 1e6f, 0 },
        { "\"rope_theta\":5,\"rope_parameters\":{\"rope_theta\":1e6}", PL_ROPE_NONE, 1e6f, 0 },
        { "\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":1e6," LLAMA3 "}", PL_ROPE_LLAMA3,
          1e6f, 8 },
        { "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},"
          "\"rope_parameters\":{\"factor\":2,\"type\":\"linear\"}", PL_ROPE_LINEAR, 1e4f, 2 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        char text[1024];
        snprintf(text, sizeof text, "{" LLAMA ",%s}", cases[i].text);
        pl_hparams hp = read_good(&pl_arch_llama, text);
        ck_assert_int_eq((int)hp.rope_scaling, cases[i].scaling);
        ck_assert(hp.rope_base == cases[i].base && hp.rope_factor == cases[i].factor);
        if (hp.rope_scaling == PL_ROPE_LLAMA3)
            ck_assert(hp.rope_low == 1 && hp.rope_high == 4 && hp.rope_context == 8192);
    }
}
END_TEST

START_TEST(yarn)
{
    static const struct { const char *text; float factor, magnitude, fast, slow; int context; } cases[] = {
        { "\"factor\":4,\"original_max_position_embeddings\":64", 4, 0, 0, 0, 64 },
        { "\"original_max_position_embeddings\":64", 8, 0, 0, 0, 64 },
        { "\"factor\":4", 4, 0, 0, 0, 512 },
        { "\"factor\":4,\"attention_factor\":1.5,\"beta_fast\":16,\"beta_slow\":2", 4, 1.5f, 16, 2, 512 },
        { "\"factor\":4,\"mscale\":2,\"mscale_all_dim\":1", 4, 1.1217511f, 0, 0, 512 },
        { "\"factor\":4,\"mscale\":2,\"truncate\":true", 4, 0, 0, 0, 512 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        char text[1024];
        snprintf(text, sizeof text, "{" LLAMA ",\"max_position_embeddings\":512,"
                 "\"rope_scaling\":{\"type\":\"yarn\",%s}}", cases[i].text);
        pl_hparams hp = read_good(&pl_arch_qwen2, text);
        ck_assert_int_eq(hp.rope_scaling, PL_ROPE_YARN);
        ck_assert(hp.rope_factor == cases[i].factor && hp.rope_context == cases[i].context);
        ck_assert_float_eq_tol(hp.rope_attn_factor, cases[i].magnitude, 1e-6f);
        ck_assert(hp.yarn_fast == cases[i].fast && hp.yarn_slow == cases[i].slow);
    }
}
END_TEST

#define PHI3 "{" LAYERS4 ",\"max_position_embeddings\":64,\"original_max_position_embeddings\":16"
#define SIX_LONG "\"long_factor\":[1,1.4,2.1,3,4.5,6.5]"
#define SIX_SHORT "\"short_factor\":[1,1.05,1.1,1.2,1.35,1.5]"

START_TEST(longrope)
{
    static const char *const texts[] = {
        PHI3 ",\"rope_parameters\":{\"rope_type\":\"longrope\",\"partial_rotary_factor\":0.75," SIX_LONG ","
        SIX_SHORT "}}",
        PHI3 ",\"partial_rotary_factor\":0.75,\"rope_scaling\":{\"type\":\"su\"," SIX_LONG "," SIX_SHORT "}}",
        PHI3 ",\"partial_rotary_factor\":0.75,\"rope_scaling\":{\"type\":\"yarn\"," SIX_LONG "," SIX_SHORT "}}",
    };
    for (int i = 0; i < PL_COUNT(texts); i++) {
        pl_hparams hp = read_good(&pl_arch_phi3, texts[i]);
        ck_assert(hp.rope_scaling == PL_ROPE_LONGROPE && hp.rope_dim == 12 && hp.rope_context == 16);
        ck_assert_float_eq_tol(hp.rope_attn_factor, 1.2247449f, 1e-6f);
        pl_json *json;
        float out[6];
        assert_ok(pl_json_parse(texts[i], strlen(texts[i]), "c.json", &json));
        assert_ok(pl_arch_rope_factors(json, &hp, PL_ROPE_LONG, out));
        ck_assert(out[0] == 1 && out[1] == 1.4f && out[5] == 6.5f);
        assert_ok(pl_arch_rope_factors(json, &hp, PL_ROPE_SHORT, out));
        ck_assert(out[0] == 1 && out[1] == 1.05f && out[5] == 1.5f);
        pl_json_free(json);
    }
    pl_hparams hp = read_good(&pl_arch_phi3, PHI3 ",\"sliding_window\":9}");
    ck_assert(hp.rope_scaling == PL_ROPE_NONE && hp.rope_dim == 16 && hp.window == 9);
    ck_assert_uint_eq(layers_with(&hp, PL_LAYER_WINDOW), 15);
}
END_TEST

/* Against the formula as transformers has it. */
START_TEST(llama3_factors)
{
    pl_hparams hp = { .rope_dim = 16, .rope_base = 10000, .rope_factor = 8, .rope_low = 1, .rope_high = 4,
                      .rope_context = 32 };
    float out[8];
    assert_ok(pl_arch_rope_factors(NULL, &hp, PL_ROPE_FREQS, out));
    for (int i = 0; i < 8; i++) {
        double frequency = pow(10000, -i / 8.0), wave = 2 * 3.14159265358979323846 / frequency;
        double smooth = (32 / wave - 1) / 3, slowed = (1 - smooth) * frequency / 8 + smooth * frequency;
        double expected = wave < 8 ? 1 : wave > 32 ? 8 : frequency / slowed;
        ck_assert_float_eq_tol(out[i], (float)expected, 1e-5f);
    }
    ck_assert(out[0] == 1 && out[7] == 8);
}
END_TEST

/* ---- the others ---- */

START_TEST(qwen)
{
    pl_hparams hp = read_good(&pl_arch_qwen2, "{" LAYERS4 ",\"sliding_window\":8,\"max_window_layers\":1}");
    ck_assert(hp.window == 0 && layers_with(&hp, PL_LAYER_WINDOW) == 0 && hp.act == PL_ACT_SILU);
    hp = read_good(&pl_arch_qwen2, "{" LAYERS4 ",\"sliding_window\":8,\"max_window_layers\":3,"
                   "\"use_sliding_window\":true}");
    ck_assert(hp.window == 8 && layers_with(&hp, PL_LAYER_WINDOW) == 8);
    hp = read_good(&pl_arch_qwen3, "{" LAYERS4 ",\"sliding_window\":8,\"use_sliding_window\":true,"
                   "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\","
                   "\"sliding_attention\"]}");
    ck_assert(hp.window == 8 && layers_with(&hp, PL_LAYER_WINDOW) == 9);
    hp = read_good(&pl_arch_qwen3, "{" LLAMA "}");
    ck_assert_int_eq(hp.head_dim, 128);
    hp = read_good(&pl_arch_qwen3moe, "{" LAYERS4 EXPERTS ",\"norm_topk_prob\":true,\"mlp_only_layers\":[],"
                   "\"sliding_window\":8,\"use_sliding_window\":true,\"max_window_layers\":1}");
    ck_assert(hp.experts == 6 && hp.experts_used == 2 && hp.expert_ffn == 32 && hp.expert_renorm);
    ck_assert(hp.shared_ffn == 0 && layers_with(&hp, PL_LAYER_WINDOW) == 15);
    ck_assert(!read_good(&pl_arch_qwen3moe, "{" LAYERS4 EXPERTS "}").expert_renorm);
    hp = read_good(&pl_arch_qwen2moe, "{" LAYERS4 EXPERTS ",\"shared_expert_intermediate_size\":64,"
                   "\"sliding_window\":0,\"use_sliding_window\":false}");
    ck_assert(hp.shared_ffn == 64 && !hp.expert_renorm && hp.window == 0);
    hp = read_good(&pl_arch_qwen2moe, "{" LAYERS4 EXPERTS ",\"shared_expert_intermediate_size\":64,"
                   "\"sliding_window\":8,\"use_sliding_window\":true,\"max_window_layers\":2}");
    ck_assert_uint_eq(layers_with(&hp, PL_LAYER_WINDOW), 1);
}
END_TEST

START_TEST(gemma)
{
    pl_hparams hp = read_good(&pl_arch_gemma, "{" LAYERS4 ",\"hidden_act\":\"gelu\"}");
    ck_assert(hp.act == PL_ACT_GELU_TANH && hp.embd_scale == 8 && hp.tied && hp.attn_scale == 0);
    hp = read_good(&pl_arch_gemma2, "{" LAYERS4 ",\"query_pre_attn_scalar\":144}");
    ck_assert(hp.act == PL_ACT_GELU_TANH && hp.embd_scale == 8 && hp.attn_scale == (float)(1 / 12.0));
    ck_assert(hp.attn_softcap == 50 && hp.logit_softcap == 30 && hp.window == 4096);
    ck_assert_uint_eq(layers_with(&hp, PL_LAYER_WINDOW), 5);
    hp = read_good(&pl_arch_gemma2, "{" LAYERS4 ",\"attn_logit_softcapping\":null,\"sliding_window\":8,"
                   "\"final_logit_softcapping\":4.5,\"layer_types\":[\"full_attention\",\"full_attention\","
                   "\"full_attention\",\"full_attention\"]}");
    ck_assert(hp.attn_softcap == 0 && hp.logit_softcap == 4.5f && layers_with(&hp, PL_LAYER_WINDOW) == 0);
    ck_assert(hp.attn_scale == 1 / 16.0f);
    hp = read_good(&pl_arch_gemma3, "{\"hidden_size\":64,\"num_hidden_layers\":7,\"intermediate_size\":172,"
                   "\"vocab_size\":512,\"sliding_window\":8}");
    ck_assert(hp.heads == 8 && hp.kv_heads == 4 && hp.head_dim == 256 && hp.context == 131072);
    ck_assert(hp.rope_base == 1e6f && hp.rope_base_window == 1e4f && hp.logit_softcap == 0);
    ck_assert_uint_eq(layers_with(&hp, PL_LAYER_WINDOW), 0x5f);
    hp = read_good(&pl_arch_gemma3, "{" LAYERS4 ",\"sliding_window_pattern\":2,\"rope_theta\":500,"
                   "\"rope_local_base_freq\":100,\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8}}");
    ck_assert(hp.rope_base == 500 && hp.rope_base_window == 100 && hp.rope_scaling == PL_ROPE_LINEAR);
    ck_assert_uint_eq(layers_with(&hp, PL_LAYER_WINDOW), 5);
    hp = read_good(&pl_arch_gemma3, "{" LAYERS4 ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":"
                   "\"linear\",\"factor\":8,\"rope_theta\":600},\"sliding_attention\":{\"rope_theta\":60}}}");
    ck_assert(hp.rope_base == 600 && hp.rope_base_window == 60 && hp.rope_factor == 8);
}
END_TEST

START_TEST(smollm3)
{
    pl_hparams hp = read_good(&pl_arch_smollm3, "{" LAYERS4 "}");
    ck_assert(hp.rope_base == 2e6f && hp.tied && layers_with(&hp, PL_LAYER_NO_ROPE) == 8 && hp.window == 0);
    hp = read_good(&pl_arch_smollm3, "{" LAYERS4 ",\"no_rope_layer_interval\":2,\"tie_word_embeddings\":false}");
    ck_assert(!hp.tied && layers_with(&hp, PL_LAYER_NO_ROPE) == 10);
    hp = read_good(&pl_arch_smollm3, "{" LAYERS4 ",\"no_rope_layers\":[0,1,1,1,0,0],\"sliding_window\":8,"
                   "\"use_sliding_window\":true}");
    ck_assert(layers_with(&hp, PL_LAYER_NO_ROPE) == 1 && layers_with(&hp, PL_LAYER_WINDOW) == 1);
    ck_assert_int_eq(hp.window, 8);
}
END_TEST

START_TEST(gpt2_and_bert)
{
    pl_hparams hp = read_good(&pl_arch_gpt2, "{" GPT2 ",\"n_inner\":null}");
    ck_assert(hp.hidden == 64 && hp.layers == 2 && hp.heads == 4 && hp.kv_heads == 4 && hp.head_dim == 16);
    ck_assert(hp.ffn == 256 && hp.context == 1024 && hp.tied && hp.norm == PL_NORM_LAYER);
    ck_assert(hp.act == PL_ACT_GELU_TANH && hp.norm_eps == 1e-5f && hp.rope_dim == 0 && hp.rope_base == 0);
    hp = read_good(&pl_arch_gpt2, "{" GPT2 ",\"n_inner\":100,\"n_positions\":32,\"activation_function\":"
                   "\"gelu\",\"layer_norm_epsilon\":1e-3}");
    ck_assert(hp.ffn == 100 && hp.context == 32 && hp.act == PL_ACT_GELU && hp.norm_eps == 1e-3f);
    hp = read_good(&pl_arch_bert, "{" LLAMA "}");
    ck_assert(hp.encoder && hp.norm == PL_NORM_LAYER && hp.act == PL_ACT_GELU && hp.norm_eps == 1e-12f);
    ck_assert(hp.context == 512 && hp.token_types == 2 && hp.rope_dim == 0 && hp.kv_heads == 8);
    hp = read_good(&pl_arch_bert, "{" LLAMA ",\"type_vocab_size\":1,\"layer_norm_eps\":1e-5,"
                   "\"position_embedding_type\":\"absolute\"}");
    ck_assert(hp.token_types == 1 && hp.norm_eps == 1e-5f);
}
END_TEST

/* ---- hostile ---- */

/* A good configuration in which the key of `replace` gets its value, or comes as a new one. */
static void with(const char *good, const char *replace, char *out, size_t size)
{
    size_t len = strcspn(replace + 1, "\"") + 2, at = (size_t)snprintf(out, size, "{%s", replace);
    for (const char *from = good; *from;) {
        size_t depth = 0, n = 0;            /* of one member */
        for (; from[n] && (depth || from[n] != ','); n++)
            depth += (from[n] == '[' || from[n] == '{') - (size_t)(from[n] == ']' || from[n] == '}');
        if (strncmp(from, replace, len)) at += (size_t)snprintf(out + at, size - at, ",%.*s", (int)n, from);
        from += n + (from[n] == ',');
    }
    snprintf(out + at, size - at, "}");
}

typedef struct bad_value { const char *replace, *sentence; } bad_value;

static void refused(const pl_arch *arch, const char *good, const bad_value *cases, int count)
{
    for (int i = 0; i < count; i++) {
        char text[2048];
        pl_hparams hp;
        with(good, cases[i].replace, text, sizeof text);
        pl_status code = read_text(arch, text, &hp);
        ck_assert_msg(code == PL_E_INPUT && strstr(pl_error(), cases[i].sentence) && strstr(pl_error(), "c.json"),
                      "%s: expected '%s', got %d: %s", text, cases[i].sentence, code, code ? pl_error() : "");
    }
}

START_TEST(bad_llamas)
{
    static const bad_value cases[] = {
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
        { "\"hidden_act\":\"relu\"", "hidden_act 'relu'" }, { "\"hidden_act\":3", "hidden_act" },
        { "\"tie_word_embeddings\":1", "tie_word_embeddings" },
        { "\"partial_rotary_factor\":0.5", "partial_rotary_factor 0.5" },
        { "\"rope_scaling\":7", "rope_scaling" },
        { "\"rope_scaling\":{\"type\":\"ntk\",\"factor\":2}", "rope_scaling: rope_type 'ntk'" },
        { "\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}", "'dynamic'" },
        { "\"rope_parameters\":{\"rope_type\":\"longrope\"}", "rope_parameters: rope_type 'longrope'" },
        { "\"rope_scaling\":{\"type\":\"linear\"}", "'factor' is missing" },
        { "\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", "'factor' should be between" },
        { "\"rope_scaling\":{\"type\":7}", "type" },
        { "\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8}", "low_freq_factor" },
        { "\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
          "\"high_freq_factor\":4,\"original_max_position_embeddings\":8}", "below high_freq_factor" },
        { "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2},\"rope_parameters\":{\"type\":\"default\"}",
          "disagree" },
        { "\"rope_parameters\":{\"full_attention\":{},\"sliding_attention\":{}}", "layers with a window" },
        { "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":0.5}", "'factor' should be between" },
        { "\"rope_scaling\":{\"type\":\"yarn\",\"original_max_position_embeddings\":9999}", "shrinks" },
        { "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"truncate\":false}", "truncate" },
        { "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"attention_factor\":0}", "attention_factor" },
        { "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"beta_fast\":-1}", "beta_fast" },
        { "\"architectures\":[\"MistralForCausalLM\"],\"sliding_window\":-1", "sliding_window" },
        { "\"architectures\":[\"MistralForCausalLM\"],\"sliding_window\":1.5", "sliding_window" },
        { "\"architectures\":[\"MixtralForCausalLM\"]", "num_local_experts" },
        { "\"architectures\":[\"MixtralForCausalLM\"],\"num_local_experts\":5000", "num_local_experts" },
        { "\"architectures\":[\"MixtralForCausalLM\"],\"num_local_experts\":4", "num_experts_per_tok" },
        { "\"architectures\":[\"MixtralForCausalLM\"],\"num_local_experts\":4,\"num_experts_per_tok\":5",
          "num_experts_per_tok" },
    };
    refused(&pl_arch_llama, LLAMA, cases, PL_COUNT(cases));
}
END_TEST

START_TEST(bad_qwens)
{
    static const bad_value windows[] = {
        { "\"use_sliding_window\":1", "use_sliding_window" },
        { "\"sliding_window\":-5", "sliding_window" }, { "\"max_window_layers\":-1", "max_window_layers" },
        { "\"layer_types\":[\"full_attention\"]", "list of 4 names" },
        { "\"layer_types\":7", "list of 4 names" },
        { "\"layer_types\":[\"full_attention\",1,\"full_attention\",\"full_attention\"]", "layer 1 is" },
        { "\"layer_types\":[\"chunked\",\"full_attention\",\"full_attention\",\"full_attention\"]",
          "layer 0 is 'chunked'" },
        { "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\",\"full_attention\"]",
          "there is no sliding_window" },
        { "\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3 "}", "'llama3' is not supported" },
    };
    static const bad_value bias[] = { { "\"attention_bias\":true", "attention_bias" },
                                      { "\"attention_bias\":\"no\"", "attention_bias" } };
    static const bad_value experts[] = {
        { "\"num_experts\":0", "num_experts" }, { "\"num_experts\":4097", "num_experts" },
        { "\"num_experts\":\"6\"", "num_experts" }, { "\"num_experts_per_tok\":7", "num_experts_per_tok" },
        { "\"num_experts_per_tok\":0", "num_experts_per_tok" },
        { "\"moe_intermediate_size\":-1", "moe_intermediate_size" },
        { "\"moe_intermediate_size\":null", "moe_intermediate_size" },
        { "\"norm_topk_prob\":1", "norm_topk_prob" },
        { "\"decoder_sparse_step\":2", "layers without experts" },
        { "\"decoder_sparse_step\":0", "decoder_sparse_step" },
        { "\"mlp_only_layers\":[1]", "layers without experts" },
    };
    static const bad_value shared[] = {
        { "\"qkv_bias\":false", "qkv_bias" },
        { "\"shared_expert_intermediate_size\":0", "shared_expert_intermediate_size" },
        { "\"shared_expert_intermediate_size\":1e12", "shared_expert_intermediate_size" },
    };
    refused(&pl_arch_qwen2, LAYERS4, windows, PL_COUNT(windows));
    refused(&pl_arch_qwen3, LAYERS4, windows, PL_COUNT(windows));
    refused(&pl_arch_qwen3, LAYERS4, bias, PL_COUNT(bias));
    refused(&pl_arch_qwen3moe, LAYERS4 EXPERTS, bias, PL_COUNT(bias));
    refused(&pl_arch_qwen3moe, LAYERS4 EXPERTS, experts, PL_COUNT(experts));
    refused(&pl_arch_qwen2moe, LAYERS4 EXPERTS, experts, PL_COUNT(experts));
    refused(&pl_arch_qwen2moe, LAYERS4 EXPERTS, shared, PL_COUNT(shared));
    refused(&pl_arch_qwen2moe, LAYERS4 EXPERTS ",\"shared_expert_intermediate_size\":64", windows,
            PL_COUNT(windows));
}
END_TEST

START_TEST(bad_gemmas)
{
    static const bad_value all[] = {
        { "\"use_bidirectional_attention\":true", "use_bidirectional_attention" },
        { "\"attention_bias\":true", "attention_bias" },
        { "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}", "'yarn' is not supported" },
    };
    static const bad_value newer[] = {
        { "\"query_pre_attn_scalar\":0", "query_pre_attn_scalar" },
        { "\"query_pre_attn_scalar\":\"256\"", "query_pre_attn_scalar" },
        { "\"attn_logit_softcapping\":-1", "attn_logit_softcapping" },
        { "\"final_logit_softcapping\":0", "final_logit_softcapping" },
        { "\"final_logit_softcapping\":[30]", "final_logit_softcapping" },
        { "\"sliding_window\":null", "sliding_window" }, { "\"sliding_window\":0", "sliding_window" },
        { "\"hidden_activation\":\"relu\"", "hidden_activation 'relu'" },
        { "\"layer_types\":[]", "list of 4 names" },
    };
    static const bad_value third[] = {
        { "\"attn_logit_softcapping\":50", "attn_logit_softcapping" },
        { "\"sliding_window_pattern\":0", "sliding_window_pattern" },
        { "\"rope_local_base_freq\":0", "rope_local_base_freq" },
        { "\"rope_parameters\":{\"full_attention\":{},\"sliding_attention\":7}", "should have an object" },
        { "\"rope_parameters\":{\"full_attention\":{},\"sliding_attention\":{\"rope_type\":\"linear\"}}",
          "not supported for layers with a window" },
        { "\"rope_parameters\":{\"full_attention\":{},\"sliding_attention\":{\"rope_theta\":-1}}",
          "rope_theta" },
    };
    refused(&pl_arch_gemma, LAYERS4, all, PL_COUNT(all));
    refused(&pl_arch_gemma2, LAYERS4, all, PL_COUNT(all));
    refused(&pl_arch_gemma3, LAYERS4, all, PL_COUNT(all));
    refused(&pl_arch_gemma2, LAYERS4, newer, PL_COUNT(newer));
    refused(&pl_arch_gemma3, LAYERS4, newer, PL_COUNT(newer));
    refused(&pl_arch_gemma3, LAYERS4, third, PL_COUNT(third));
}
END_TEST

#define LONG(long_list, short_list)                                                                \
    "\"rope_scaling\":{\"type\":\"longrope\",\"long_factor\":" long_list ",\"short_factor\":" short_list "}"

START_TEST(bad_others)
{
    static const bad_value phi3[] = {
        { "\"partial_rotary_factor\":0", "partial_rotary_factor" },
        { "\"partial_rotary_factor\":1.5", "partial_rotary_factor" },
        { "\"partial_rotary_factor\":0.2", "partial_rotary_factor" },
        { "\"partial_rotary_factor\":\"1\"", "partial_rotary_factor" },
        { "\"original_max_position_embeddings\":0", "original_max_position_embeddings" },
        { "\"sliding_window\":0", "sliding_window" },
        { "\"rope_scaling\":{\"type\":\"longrope\"}", "'long_factor' should be a list of 8 numbers" },
        { LONG("[1,1,1,1,1,1,1]", "[1,1,1,1,1,1,1,1]"), "'long_factor' should be a list of 8" },
        { LONG("[1,1,1,1,1,1,1,1]", "[1,1,1,1,1,1,1,1,1]"), "'short_factor' should be a list of 8" },
        { LONG("[1,1,1,0,1,1,1,1]", "[1,1,1,1,1,1,1,1]"), "'long_factor' has 0 at place 3" },
        { LONG("[1,1,1,1,1,1,1,\"1\"]", "[1,1,1,1,1,1,1,1]"), "long_factor" },
        { LONG("7", "[1,1,1,1,1,1,1,1]"), "'long_factor' should be a list" },
        { "\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3 "}", "'llama3' is not supported" },
    };
    static const bad_value positions[] = {
        { "\"no_rope_layers\":[1,1,1]", "list of 4 numbers" }, { "\"no_rope_layers\":1", "list of 4 numbers" },
        { "\"no_rope_layers\":[1,1,2,1]", "no_rope_layers" },
        { "\"no_rope_layers\":[1,1,true,1]", "no_rope_layers" },
        { "\"no_rope_layer_interval\":0", "no_rope_layer_interval" },
        { "\"mlp_bias\":true", "mlp_bias" },
        { "\"sliding_window\":8,\"layer_types\":[\"full_attention\",\"full_attention\","
          "\"full_attention\",\"sliding_attention\"]", "there is no sliding_window" },
    };
    static const bad_value gpt2[] = {
        { "\"n_embd\":0", "n_embd" }, { "\"n_embd\":66", "no multiple of n_head" },
        { "\"n_layer\":2000", "n_layer" }, { "\"n_head\":null", "n_head" }, { "\"n_head\":64", "odd" },
        { "\"n_inner\":-1", "n_inner" }, { "\"n_positions\":0", "n_positions" },
        { "\"scale_attn_weights\":false", "scale_attn_weights" },
        { "\"scale_attn_by_inverse_layer_idx\":true", "scale_attn_by_inverse_layer_idx" },
        { "\"add_cross_attention\":true", "add_cross_attention" },
        { "\"activation_function\":\"tanh\"", "activation_function 'tanh'" },
        { "\"layer_norm_epsilon\":5", "layer_norm_epsilon" },
    };
    static const bad_value bert[] = {
        { "\"position_embedding_type\":\"relative_key\"", "relative_key" },
        { "\"is_decoder\":true", "is_decoder" }, { "\"type_vocab_size\":0", "type_vocab_size" },
        { "\"layer_norm_eps\":-1e-12", "layer_norm_eps" }, { "\"hidden_act\":\"quick_gelu\"", "quick_gelu" },
    };
    refused(&pl_arch_phi3, LAYERS4, phi3, PL_COUNT(phi3));
    refused(&pl_arch_smollm3, LAYERS4, positions, PL_COUNT(positions));
    refused(&pl_arch_gpt2, GPT2, gpt2, PL_COUNT(gpt2));
    refused(&pl_arch_bert, LLAMA, bert, PL_COUNT(bert));
}
END_TEST

/* No value of a wrong type is taken for another: each member of a good configuration becomes each type. */
START_TEST(every_type_everywhere)
{
    static const char *const values[] = { "-1", "1e18", "0.5", "\"x\"", "true", "[]", "{}", "null",
                                          "[[[1]]]", "1e-300", "9007199254740993" };
    static const char *const keys[] = {
        "hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "num_attention_heads",
        "num_key_value_heads", "head_dim", "rope_theta", "rope_scaling", "rope_parameters", "layer_types",
        "sliding_window", "use_sliding_window", "max_window_layers", "num_experts", "num_local_experts",
        "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size",
        "mlp_only_layers", "query_pre_attn_scalar", "attn_logit_softcapping", "no_rope_layers", "n_embd",
        "n_layer", "n_head", "n_inner", "n_positions", "type_vocab_size", "architectures", "hidden_act",
    };
    static const char good[] = LAYERS4 EXPERTS ",\"shared_expert_intermediate_size\":64," "\"n_embd\":64,"
                               "\"n_layer\":2,\"n_head\":4";
    int outcomes[2] = { 0 };
    for (int a = 0; pl_archs[a]; a++) {
        for (int k = 0; k < PL_COUNT(keys); k++) {
            for (int v = 0; v < PL_COUNT(values); v++) {
                char member[128], text[2048];
                pl_hparams hp;
                snprintf(member, sizeof member, "\"%s\":%s", keys[k], values[v]);
                with(good, member, text, sizeof text);
                pl_status code = read_text(pl_archs[a], text, &hp);
                ck_assert_msg(code == PL_OK || code == PL_E_INPUT, "%s: %d", text, code);
                outcomes[code == PL_OK]++;
                if (code != PL_OK) continue;
                ck_assert(hp.layers >= 1 && hp.layers <= PL_MAX_LAYERS && hp.hidden >= 2 && hp.heads >= 1);
                ck_assert(hp.kv_heads >= 1 && hp.heads % hp.kv_heads == 0 && hp.head_dim >= 2);
                ck_assert(hp.ffn >= 2 && hp.vocab >= 1 && hp.context >= 1 && hp.window >= 0);
                ck_assert(hp.rope_dim % 2 == 0 && hp.rope_dim <= hp.head_dim && hp.experts_used <= hp.experts);
            }
        }
    }
    ck_assert(outcomes[0] > 500 && outcomes[1] > 500);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        llama, mistral, activations, rope, yarn, longrope, llama3_factors, qwen, gemma, smollm3,
        gpt2_and_bert, bad_llamas, bad_qwens, bad_gemmas, bad_others, every_type_everywhere,
    };
    return run_suite("arch_config", tests, PL_COUNT(tests));
}
