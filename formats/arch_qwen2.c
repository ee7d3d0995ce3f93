/* arch_qwen2.c: Qwen2 and Qwen2.5: Llama with biases of Q, K and V. */
#include "formats/arch_config.h"
#include "formats/arch_rows.h"

static const pl_arch_tensor tensors[] = {
    PL_ROWS_TABLES,
    PL_ROWS_NORMS,
    PL_ROWS_QK(),
    PL_ROWS_VO,
    PL_ROWS_QKV_BIAS,
    PL_ROWS_MLP(),
};

static pl_status read_config(const pl_json *json, const char *origin, pl_hparams *hp)
{
    int32_t first;
    pl_config c = pl_config_begin(&pl_arch_qwen2, json, origin, hp);
    PL_TRY(pl_config_decoder(&c));
    PL_TRY(pl_config_rope(&c, PL_CONFIG_YARN));
    PL_TRY(pl_config_qwen_window(&c, &first));
    for (int i = first; i < hp->layers && hp->window; i++) hp->layer[i] |= PL_LAYER_WINDOW;
    return pl_config_layer_types(&c);
}

static const char *const classes[] = { "Qwen2ForCausalLM", NULL };
static const char *const keys[] = { "attention.head_count_kv", "rope.freq_base", NULL };
static const char *const also[] = { "attention.sliding_window", NULL };

const pl_arch pl_arch_qwen2 = {
    .name = "qwen2",
    .hf = classes,
    .tensor = tensors,
    .tensors = PL_COUNT(tensors),
    .config = read_config,
    .keys = keys,
    .also = also,
};
