/* arch_llama.c: the Llama family: names, shapes, row orders, config.json. */
#include <stdio.h>
#include <string.h>

#include "formats/arch.h"

static int64_t one(const pl_hparams *hp) { return 1; }
static int64_t hidden(const pl_hparams *hp) { return hp->hidden; }
static int64_t vocab(const pl_hparams *hp) { return hp->vocab; }
static int64_t ffn(const pl_hparams *hp) { return hp->ffn; }
static int64_t all_heads(const pl_hparams *hp) { return (int64_t)hp->heads * hp->head_dim; }
static int64_t all_kv_heads(const pl_hparams *hp) { return (int64_t)hp->kv_heads * hp->head_dim; }
static int64_t half_head(const pl_hparams *hp) { return hp->head_dim / 2; }
static int32_t by_head(const pl_hparams *hp) { return hp->head_dim; }

#define LAYER "model.layers.%d."
#define ATTN LAYER "self_attn."
#define MLP LAYER "mlp."

/* In the order of the GGUF names. */
static const pl_arch_tensor tensors[] = {
    { PL_OUTPUT, "lm_head.weight", "output.weight", .required = true, .rows = vocab, .cols = hidden },
    { PL_OUTPUT_NORM, "model.norm.weight", "output_norm.weight", .required = true, .rows = hidden,
      .cols = one },
    { PL_ROPE_FREQS, NULL, "rope_freqs.weight", .rows = half_head, .cols = one },
    { PL_TOKEN_EMBD, "model.embed_tokens.weight", "token_embd.weight", .required = true,
      .rows = vocab, .cols = hidden },
    { PL_ATTN_K + PL_BIAS, ATTN "k_proj.bias", "blk.%d.attn_k.bias", .flag = "attention_bias",
      .rows = all_kv_heads, .cols = one, .order = by_head },
    { PL_ATTN_K, ATTN "k_proj.weight", "blk.%d.attn_k.weight", .required = true,
      .rows = all_kv_heads, .cols = hidden, .order = by_head },
    { PL_ATTN_NORM, LAYER "input_layernorm.weight", "blk.%d.attn_norm.weight", .required = true,
      .rows = hidden, .cols = one },
    { PL_ATTN_O + PL_BIAS, ATTN "o_proj.bias", "blk.%d.attn_output.bias", .flag = "attention_bias",
      .rows = hidden, .cols = one },
    { PL_ATTN_O, ATTN "o_proj.weight", "blk.%d.attn_output.weight", .required = true,
      .rows = hidden, .cols = all_heads },
    { PL_ATTN_Q + PL_BIAS, ATTN "q_proj.bias", "blk.%d.attn_q.bias", .flag = "attention_bias",
      .rows = all_heads, .cols = one, .order = by_head },
    { PL_ATTN_Q, ATTN "q_proj.weight", "blk.%d.attn_q.weight", .required = true,
      .rows = all_heads, .cols = hidden, .order = by_head },
    { PL_ATTN_V + PL_BIAS, ATTN "v_proj.bias", "blk.%d.attn_v.bias", .flag = "attention_bias",
      .rows = all_kv_heads, .cols = one },
    { PL_ATTN_V, ATTN "v_proj.weight", "blk.%d.attn_v.weight", .required = true,
      .rows = all_kv_heads, .cols = hidden },
    { PL_FFN_DOWN + PL_BIAS, MLP "down_proj.bias", "blk.%d.ffn_down.bias", .flag = "mlp_bias",
      .rows = hidden, .cols = one },
    { PL_FFN_DOWN, MLP "down_proj.weight", "blk.%d.ffn_down.weight", .required = true,
      .rows = hidden, .cols = ffn },
    { PL_FFN_GATE + PL_BIAS, MLP "gate_proj.bias", "blk.%d.ffn_gate.bias", .flag = "mlp_bias",
      .rows = ffn, .cols = one },
    { PL_FFN_GATE, MLP "gate_proj.weight", "blk.%d.ffn_gate.weight", .required = true, .rows = ffn,
      .cols = hidden },
    { PL_FFN_NORM, LAYER "post_attention_layernorm.weight", "blk.%d.ffn_norm.weight",
      .required = true, .rows = hidden, .cols = one },
    { PL_FFN_UP + PL_BIAS, MLP "up_proj.bias", "blk.%d.ffn_up.bias", .flag = "mlp_bias",
      .rows = ffn, .cols = one },
    { PL_FFN_UP, MLP "up_proj.weight", "blk.%d.ffn_up.weight", .required = true, .rows = ffn,
      .cols = hidden },
    /* Buffers that old checkpoints carry along; they follow from the hyper-parameters. */
    { -1, ATTN "rotary_emb.inv_freq", NULL, .rows = half_head, .cols = one },
    { -1, "model.rotary_emb.inv_freq", NULL, .rows = half_head, .cols = one },
};

/* ---- config.json ---- */

/* A number in [low, high]; one that is absent stays as it is. */
static pl_status number(const pl_json *object, const char *key, bool required, double low,
                        double high, const char *origin, float *out)
{
    double value = *out;
    PL_TRY(pl_json_number(object, key, required, origin, &value));
    if (!(value >= low && value <= high))
        return pl_fail(PL_E_INPUT, "%s: '%s' should be between %g and %g, is %g", origin, key, low,
                       high, value);
    *out = (float)value;
    return PL_OK;
}

static pl_status whole(const pl_json *object, const char *key, bool required, int64_t low,
                       int64_t high, const char *origin, int32_t *out)
{
    int64_t value = *out;
    PL_TRY(pl_json_int(object, key, required, low, high, origin, &value));
    *out = (int32_t)value;
    return PL_OK;
}

static pl_status sizes(const pl_json *config, const char *origin, pl_hparams *hp)
{
    const int64_t wide = 1 << 20;
    PL_TRY(whole(config, "hidden_size", true, 2, wide, origin, &hp->hidden));
    PL_TRY(whole(config, "num_hidden_layers", true, 1, PL_MAX_LAYERS, origin, &hp->layers));
    PL_TRY(whole(config, "intermediate_size", true, 2, 4 * wide, origin, &hp->ffn));
    PL_TRY(whole(config, "vocab_size", true, 1, PL_MAX_VOCAB, origin, &hp->vocab));
    hp->context = 2048;
    PL_TRY(whole(config, "max_position_embeddings", false, 1, INT32_MAX, origin, &hp->context));
    PL_TRY(whole(config, "num_attention_heads", true, 1, hp->hidden, origin, &hp->heads));
    hp->kv_heads = hp->heads;
    PL_TRY(whole(config, "num_key_value_heads", false, 1, hp->heads, origin, &hp->kv_heads));
    if (hp->heads % hp->kv_heads)
        return pl_fail(PL_E_INPUT, "%s: num_attention_heads %d is no multiple of "
                       "num_key_value_heads %d", origin, (int)hp->heads, (int)hp->kv_heads);
    hp->head_dim = hp->hidden / hp->heads;
    if (!pl_json_get(config, "head_dim") && hp->hidden % hp->heads)
        return pl_fail(PL_E_INPUT, "%s: hidden_size %d is no multiple of num_attention_heads %d, and "
                       "there is no head_dim", origin, (int)hp->hidden, (int)hp->heads);
    PL_TRY(whole(config, "head_dim", false, 2, 1 << 16, origin, &hp->head_dim));
    if (hp->head_dim % 2)
        return pl_fail(PL_E_INPUT, "%s: the size of a head is %d, an odd number", origin,
                       (int)hp->head_dim);
    if ((int64_t)hp->heads * hp->head_dim > 4 * wide)
        return pl_fail(PL_E_INPUT, "%s: %d heads of size %d have more than %lld rows", origin,
                       (int)hp->heads, (int)hp->head_dim, (long long)(4 * wide));
    hp->rope_dim = hp->head_dim;
    return PL_OK;
}

/* An object of rotary options: rope_scaling of old, rope_parameters of newer checkpoints. */
static pl_status rope_options(const pl_json *rope, const char *key, const char *origin,
                              pl_hparams *hp)
{
    if (!cJSON_IsObject(rope))
        return pl_fail(PL_E_INPUT, "%s: '%s' should be an object or null", origin, key);
    char what[512];
    snprintf(what, sizeof what, "%.400s: %s", origin, key);
    const char *type = "default";
    PL_TRY(pl_json_string(rope, "type", false, what, &type));
    PL_TRY(pl_json_string(rope, "rope_type", false, what, &type));
    PL_TRY(number(rope, "rope_theta", false, 1, 1e15, what, &hp->rope_base));
    if (!strcmp(type, "default")) return PL_OK;
    bool llama3 = !strcmp(type, "llama3");
    if (!llama3 && strcmp(type, "linear"))
        return pl_fail(PL_E_INPUT, "%s: rope_type '%.40s' is not supported; known are default, "
                       "linear, llama3", what, type);
    hp->rope_scaling = llama3 ? PL_ROPE_LLAMA3 : PL_ROPE_LINEAR;
    PL_TRY(number(rope, "factor", true, 1, 1e6, what, &hp->rope_factor));
    if (!llama3) return PL_OK;
    PL_TRY(number(rope, "low_freq_factor", true, 1e-3, 1e6, what, &hp->rope_low));
    PL_TRY(number(rope, "high_freq_factor", true, 1e-3, 1e6, what, &hp->rope_high));
    PL_TRY(whole(rope, "original_max_position_embeddings", true, 1, INT32_MAX, what,
                 &hp->rope_context));
    if (hp->rope_low >= hp->rope_high)
        return pl_fail(PL_E_INPUT, "%s: low_freq_factor %g should be below high_freq_factor %g", what,
                       (double)hp->rope_low, (double)hp->rope_high);
    return PL_OK;
}

static pl_status rope(const pl_json *config, const char *origin, pl_hparams *hp)
{
    hp->rope_base = 10000;
    PL_TRY(number(config, "rope_theta", false, 1, 1e15, origin, &hp->rope_base));
    float whole_head = 1;
    PL_TRY(number(config, "partial_rotary_factor", false, 0, 1, origin, &whole_head));
    if (whole_head != 1)
        return pl_fail(PL_E_INPUT, "%s: partial_rotary_factor %g is not supported", origin,
                       (double)whole_head);
    const pl_json *older = pl_json_get(config, "rope_scaling");
    const pl_json *newer = pl_json_get(config, "rope_parameters");
    if (older && newer && !cJSON_Compare(older, newer, true))
        return pl_fail(PL_E_INPUT, "%s: 'rope_scaling' and 'rope_parameters' disagree", origin);
    if (newer) return rope_options(newer, "rope_parameters", origin, hp);
    return older ? rope_options(older, "rope_scaling", origin, hp) : PL_OK;
}

static pl_status read_config(const pl_json *config, const char *origin, pl_hparams *hp)
{
    *hp = (pl_hparams){ .norm_eps = 1e-6f };
    PL_TRY(sizes(config, origin, hp));
    PL_TRY(number(config, "rms_norm_eps", false, 0, 1, origin, &hp->norm_eps));
    PL_TRY(pl_json_bool(config, "tie_word_embeddings", false, origin, &hp->tied));
    PL_TRY(rope(config, origin, hp));
    const char *act = "silu";
    PL_TRY(pl_json_string(config, "hidden_act", false, origin, &act));
    if (strcmp(act, "silu"))
        return pl_fail(PL_E_INPUT, "%s: hidden_act '%.40s' is not supported; expected 'silu'", origin,
                       act);
    return PL_OK;
}

static const char *const hf_names[] = { "LlamaForCausalLM", NULL };

const pl_arch pl_arch_llama = {
    .name = "llama",
    .hf = hf_names,
    .tensor = tensors,
    .tensors = PL_COUNT(tensors),
    .config = read_config,
};
