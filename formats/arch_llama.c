/* arch_llama.c: Llama, and Mistral and Mixtral, which GGUF calls "llama" too. */
#include "formats/arch_config.h"
#include "formats/arch_rows.h"

static const pl_arch_tensor tensors[] = {
    PL_ROWS_TABLES,
    PL_ROWS_NORMS,
    PL_ROW_MAYBE(PL_ROPE_FREQS, NULL, "rope_freqs.weight", rope, one),
    PL_ROWS_QK(.order = pl_order_heads),
    PL_ROWS_VO,
    PL_ROW_MAYBE(PL_ATTN_Q + PL_BIAS, PL_ATTN "q_proj.bias", "blk.%d.attn_q.bias", heads, one,
                 .flag = "attention_bias", .order = pl_order_heads),
    PL_ROW_MAYBE(PL_ATTN_K + PL_BIAS, PL_ATTN "k_proj.bias", "blk.%d.attn_k.bias", kv_heads, one,
                 .flag = "attention_bias", .order = pl_order_heads),
    PL_ROW_MAYBE(PL_ATTN_V + PL_BIAS, PL_ATTN "v_proj.bias", "blk.%d.attn_v.bias", kv_heads, one,
                 .flag = "attention_bias"),
    PL_ROW_MAYBE(PL_ATTN_O + PL_BIAS, PL_ATTN "o_proj.bias", "blk.%d.attn_output.bias", hidden, one,
                 .flag = "attention_bias"),
    PL_ROWS_MLP(.when = pl_when_dense),
    PL_ROW_MAYBE(PL_FFN_GATE + PL_BIAS, PL_MLP "gate_proj.bias", "blk.%d.ffn_gate.bias", ffn, one,
                 .flag = "mlp_bias", .when = pl_when_dense),
    PL_ROW_MAYBE(PL_FFN_UP + PL_BIAS, PL_MLP "up_proj.bias", "blk.%d.ffn_up.bias", ffn, one,
                 .flag = "mlp_bias", .when = pl_when_dense),
    PL_ROW_MAYBE(PL_FFN_DOWN + PL_BIAS, PL_MLP "down_proj.bias", "blk.%d.ffn_down.bias", hidden, one,
                 .flag = "mlp_bias", .when = pl_when_dense),
    PL_ROWS_EXPERTS("block_sparse_moe", "w1", "w3", "w2"),
    /* Buffers that old checkpoints carry along; they follow from the hyper-parameters. */
    PL_ROW_IGNORED(PL_ATTN "rotary_emb.inv_freq"),
    PL_ROW_IGNORED("model.rotary_emb.inv_freq"),
};

/* Experts have the size that a dense feed-forward would have. */
static pl_status derive(pl_hparams *hp, const char *origin)
{
    if (!hp->experts) return PL_OK;
    hp->expert_ffn = hp->ffn;
    hp->expert_renorm = true;
    return PL_OK;
}

static pl_status read_experts(const pl_config *c)
{
    pl_hparams *hp = c->hp;
    PL_TRY(pl_config_int(c, "num_local_experts", true, 1, PL_MAX_EXPERTS, &hp->experts));
    PL_TRY(pl_config_int(c, "num_experts_per_tok", true, 1, hp->experts, &hp->experts_used));
    return derive(hp, c->origin);
}

static pl_status read_config(const pl_json *json, const char *origin, pl_hparams *hp)
{
    pl_config c = pl_config_begin(&pl_arch_llama, json, origin, hp);
    bool mixtral = pl_config_is(&c, "MixtralForCausalLM");
    bool mistral = pl_config_is(&c, "MistralForCausalLM");
    hp->window = mistral ? 4096 : 0;
    hp->norm_eps = mixtral ? 1e-5f : 1e-6f;
    hp->rope_base = mixtral ? 1e6f : 1e4f;
    PL_TRY(pl_config_decoder(&c));
    PL_TRY(pl_config_rope(&c, PL_CONFIG_LLAMA3 | PL_CONFIG_YARN));
    if (mixtral) PL_TRY(read_experts(&c));
    if (mistral || mixtral)
        PL_TRY(pl_config_int_or_none(&c, "sliding_window", 1, INT32_MAX, &hp->window));
    pl_arch_default_windows(&pl_arch_llama, hp);
    return PL_OK;
}

static const char *const classes[] = { "LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM",
                                       NULL };
static const char *const keys[] = { "attention.head_count_kv", "attention.key_length",
                                    "attention.value_length", "rope.dimension_count", "rope.freq_base",
                                    "vocab_size", NULL };
static const char *const also[] = { "expert_count", "expert_used_count", "attention.sliding_window", NULL };

const pl_arch pl_arch_llama = {
    .name = "llama",
    .hf = classes,
    .tensor = tensors,
    .tensors = PL_COUNT(tensors),
    .config = read_config,
    .derive = derive,
    .keys = keys,
    .also = also,
};
