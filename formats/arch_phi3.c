/* arch_phi3.c: Phi-3 and Phi-4-mini: Q, K and V in one matrix, gate and up in one matrix, rotary factors
 * for long contexts. */
#include "formats/arch_config.h"
#include "formats/arch_rows.h"

static const pl_arch_tensor tensors[] = {
    PL_ROWS_TABLES,
    PL_ROWS_NORMS,
    PL_ROW(PL_ROPE_LONG, NULL, "rope_factors_long.weight", rope, one, .when = pl_when_longrope),
    PL_ROW(PL_ROPE_SHORT, NULL, "rope_factors_short.weight", rope, one, .when = pl_when_longrope),
    PL_ROW(PL_ATTN_QKV, PL_ATTN "qkv_proj.weight", "blk.%d.attn_qkv.weight", qkv, hidden),
    PL_ROW(PL_ATTN_O, PL_ATTN "o_proj.weight", "blk.%d.attn_output.weight", hidden, heads),
    PL_ROW(PL_FFN_GATE_UP, PL_MLP "gate_up_proj.weight", "blk.%d.ffn_up.weight", gate_up, hidden),
    PL_ROW(PL_FFN_DOWN, PL_MLP "down_proj.weight", "blk.%d.ffn_down.weight", hidden, ffn),
};

static pl_status read_config(const pl_json *json, const char *origin, pl_hparams *hp)
{
    pl_config c = pl_config_begin(&pl_arch_phi3, json, origin, hp);
    hp->norm_eps = 1e-5f;
    hp->context = hp->rope_context = 4096;
    PL_TRY(pl_config_int(&c, "original_max_position_embeddings", false, 1, INT32_MAX, &hp->rope_context));
    PL_TRY(pl_config_decoder(&c));
    PL_TRY(pl_config_rope(&c, PL_CONFIG_LONGROPE | PL_CONFIG_PARTIAL));
    PL_TRY(pl_config_int(&c, "sliding_window", false, 1, INT32_MAX, &hp->window));
    pl_arch_default_windows(&pl_arch_phi3, hp);
    return PL_OK;
}

static const char *const classes[] = { "Phi3ForCausalLM", NULL };
static const char *const keys[] = { "attention.head_count_kv", "attention.sliding_window",
                                    "rope.dimension_count", "rope.freq_base", NULL };

const pl_arch pl_arch_phi3 = {
    .name = "phi3",
    .hf = classes,
    .tensor = tensors,
    .tensors = PL_COUNT(tensors),
    .config = read_config,
    .keys = keys,
};
