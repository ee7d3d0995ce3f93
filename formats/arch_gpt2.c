/* arch_gpt2.c: GPT-2: learned positions, norms with biases, matrices stored as [in][out]. */
#include "formats/arch_config.h"
#include "formats/arch_rows.h"

#define NORM(role, hf, gguf)                                                                       \
    PL_ROW(role, hf ".weight", gguf ".weight", hidden, one),                                       \
    PL_ROW(role + PL_BIAS, hf ".bias", gguf ".bias", hidden, one)
#define LINEAR(role, hf, gguf, rows, cols)                                                         \
    PL_ROW(role, hf ".weight", gguf ".weight", rows, cols, .transposed = true),                    \
    PL_ROW(role + PL_BIAS, hf ".bias", gguf ".bias", rows, one)

static const pl_arch_tensor tensors[] = {
    PL_ROW(PL_TOKEN_EMBD, "wte.weight", "token_embd.weight", vocab, hidden),
    PL_ROW(PL_POSITION_EMBD, "wpe.weight", "position_embd.weight", context, hidden, .keep = true),
    PL_ROW(PL_OUTPUT, "lm_head.weight", "output.weight", vocab, hidden),
    NORM(PL_OUTPUT_NORM, "ln_f", "output_norm"),
    NORM(PL_ATTN_NORM, "h.%d.ln_1", "blk.%d.attn_norm"),
    LINEAR(PL_ATTN_QKV, "h.%d.attn.c_attn", "blk.%d.attn_qkv", qkv, hidden),
    LINEAR(PL_ATTN_O, "h.%d.attn.c_proj", "blk.%d.attn_output", hidden, heads),
    NORM(PL_FFN_NORM, "h.%d.ln_2", "blk.%d.ffn_norm"),
    LINEAR(PL_FFN_UP, "h.%d.mlp.c_fc", "blk.%d.ffn_up", ffn, hidden),
    LINEAR(PL_FFN_DOWN, "h.%d.mlp.c_proj", "blk.%d.ffn_down", hidden, ffn),
    /* The causal mask. */
    PL_ROW_IGNORED("h.%d.attn.bias"),
    PL_ROW_IGNORED("h.%d.attn.masked_bias"),
};

static void fixed(pl_hparams *hp)
{
    hp->norm = PL_NORM_LAYER;
    hp->act = PL_ACT_GELU_TANH;
}

static pl_status read_config(const pl_json *json, const char *origin, pl_hparams *hp)
{
    static const char *const refused[] = { "scale_attn_by_inverse_layer_idx", "add_cross_attention" };
    bool scaled = true;
    pl_config c = pl_config_begin(&pl_arch_gpt2, json, origin, hp);
    PL_TRY(pl_config_refuse(&c, refused, PL_COUNT(refused)));
    PL_TRY(pl_config_bool(&c, "scale_attn_weights", &scaled));
    if (!scaled)
        return pl_fail(PL_E_INPUT, "%s: 'scale_attn_weights' is false, which is not supported", origin);
    PL_TRY(pl_config_int(&c, "n_embd", true, 2, 1 << 20, &hp->hidden));
    PL_TRY(pl_config_int(&c, "n_layer", true, 1, PL_MAX_LAYERS, &hp->layers));
    PL_TRY(pl_config_int(&c, "n_head", true, 1, hp->hidden, &hp->heads));
    hp->ffn = 4 * hp->hidden;
    PL_TRY(pl_config_int(&c, "n_inner", false, 2, 1 << 22, &hp->ffn));
    hp->context = 1024;
    PL_TRY(pl_config_int(&c, "n_positions", false, 1, 1 << 22, &hp->context));
    PL_TRY(pl_config_int(&c, "vocab_size", true, 1, PL_MAX_VOCAB, &hp->vocab));
    if (hp->hidden % hp->heads)
        return pl_fail(PL_E_INPUT, "%s: n_embd %d is no multiple of n_head %d", origin, hp->hidden,
                       hp->heads);
    hp->kv_heads = hp->heads;
    hp->head_dim = hp->hidden / hp->heads;
    PL_TRY(pl_config_check_sizes(&c));
    hp->norm_eps = 1e-5f;
    PL_TRY(pl_config_number(&c, "layer_norm_epsilon", false, 0, 1, &hp->norm_eps));
    hp->tied = true;
    PL_TRY(pl_config_bool(&c, "tie_word_embeddings", &hp->tied));
    return pl_config_activation(&c, "activation_function");
}

static const char *const classes[] = { "GPT2LMHeadModel", NULL };

const pl_arch pl_arch_gpt2 = {
    .name = "gpt2",
    .hf = classes,
    .prefix = "transformer.",
    .tensor = tensors,
    .tensors = PL_COUNT(tensors),
    .fixed = fixed,
    .config = read_config,
};
