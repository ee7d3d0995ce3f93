/* arch_qwen3moe.c: Qwen3 with experts. */
#include "formats/arch_config.h"
#include "formats/arch_rows.h"

static const pl_arch_tensor tensors[] = {
    PL_ROWS_TABLES,
    PL_ROWS_NORMS,
    PL_ROWS_QK(),
    PL_ROWS_QK_NORM(),
    PL_ROWS_VO,
    PL_ROWS_EXPERTS("mlp", "gate_proj", "up_proj", "down_proj"),
};

static void fixed(pl_hparams *hp) { hp->expert_renorm = true; }

static pl_status read_config(const pl_json *json, const char *origin, pl_hparams *hp)
{
    static const char *const refused[] = { "attention_bias" };
    int32_t first;              /* means nothing to this class */
    pl_config c = pl_config_begin(&pl_arch_qwen3moe, json, origin, hp);
    PL_TRY(pl_config_refuse(&c, refused, PL_COUNT(refused)));
    PL_TRY(pl_config_decoder(&c));
    PL_TRY(pl_config_rope(&c, PL_CONFIG_YARN));
    PL_TRY(pl_config_qwen_experts(&c));
    PL_TRY(pl_config_qwen_window(&c, &first));
    pl_arch_default_windows(&pl_arch_qwen3moe, hp);
    return PL_OK;
}

static const char *const classes[] = { "Qwen3MoeForCausalLM", NULL };
static const char *const keys[] = { "attention.head_count_kv", "attention.key_length",
                                    "attention.value_length", "rope.freq_base", "expert_count",
                                    "expert_used_count", "expert_feed_forward_length", NULL };
static const char *const also[] = { "attention.sliding_window", NULL };

const pl_arch pl_arch_qwen3moe = {
    .name = "qwen3moe",
    .hf = classes,
    .tensor = tensors,
    .tensors = PL_COUNT(tensors),
    .fixed = fixed,
    .config = read_config,
    .derive = pl_arch_needs_experts,
    .keys = keys,
    .also = also,
};
