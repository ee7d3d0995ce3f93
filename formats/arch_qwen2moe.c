/* arch_qwen2moe.c: Qwen1.5 and Qwen2 with experts, beside whom a shared one works for every token. */
#include "formats/arch_config.h"
#include "formats/arch_rows.h"

static const pl_arch_tensor tensors[] = {
    PL_ROWS_TABLES,
    PL_ROWS_NORMS,
    PL_ROWS_QK(),
    PL_ROWS_VO,
    PL_ROWS_QKV_BIAS,
    PL_ROWS_EXPERTS("mlp", "gate_proj", "up_proj", "down_proj"),
    /* One row, which GGUF has as a vector. */
    PL_ROW(PL_SHARED_ROUTER, PL_MLP "shared_expert_gate.weight", "blk.%d.ffn_gate_inp_shexp.weight",
           hidden, one),
    PL_ROW(PL_SHARED_GATE, PL_MLP "shared_expert.gate_proj.weight", "blk.%d.ffn_gate_shexp.weight",
           shared_ffn, hidden),
    PL_ROW(PL_SHARED_UP, PL_MLP "shared_expert.up_proj.weight", "blk.%d.ffn_up_shexp.weight",
           shared_ffn, hidden),
    PL_ROW(PL_SHARED_DOWN, PL_MLP "shared_expert.down_proj.weight", "blk.%d.ffn_down_shexp.weight",
           hidden, shared_ffn),
};

static pl_status read_config(const pl_json *json, const char *origin, pl_hparams *hp)
{
    bool qkv_bias = true;
    int32_t first;
    pl_config c = pl_config_begin(&pl_arch_qwen2moe, json, origin, hp);
    PL_TRY(pl_config_bool(&c, "qkv_bias", &qkv_bias));
    if (!qkv_bias)
        return pl_fail(PL_E_INPUT, "%s: 'qkv_bias' is false, which is not supported", origin);
    PL_TRY(pl_config_decoder(&c));
    PL_TRY(pl_config_rope(&c, PL_CONFIG_YARN));
    PL_TRY(pl_config_qwen_experts(&c));
    PL_TRY(pl_config_int(&c, "shared_expert_intermediate_size", true, 2, 1 << 22, &hp->shared_ffn));
    PL_TRY(pl_config_qwen_window(&c, &first));
    for (int i = 0; i < hp->layers && i < first && hp->window; i += 2) hp->layer[i] |= PL_LAYER_WINDOW;
    return pl_config_layer_types(&c);
}

static const char *const classes[] = { "Qwen2MoeForCausalLM", NULL };
static const char *const keys[] = { "attention.head_count_kv", "rope.freq_base", "expert_count",
                                    "expert_used_count", "expert_feed_forward_length",
                                    "expert_shared_feed_forward_length", NULL };
static const char *const also[] = { "attention.sliding_window", NULL };

const pl_arch pl_arch_qwen2moe = {
    .name = "qwen2moe",
    .hf = classes,
    .tensor = tensors,
    .tensors = PL_COUNT(tensors),
    .config = read_config,
    .derive = pl_arch_needs_experts,
    .keys = keys,
    .also = also,
};
