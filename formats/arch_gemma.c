/* arch_gemma.c: Gemma 1, 2 and 3: norms stored as w - 1, embeddings times sqrt(hidden), tanh GELU. The
 * second brings norms behind the blocks, soft caps and windows, the third norms of Q and K. */
#include <math.h>

#include "formats/arch_config.h"
#include "formats/arch_rows.h"

#define NORM(role, hf, gguf) PL_ROW(role, PL_LAYER hf ".weight", "blk.%d." gguf ".weight", hidden, one, .offset = 1)

#define COMMON                                                                                     \
    PL_ROW(PL_TOKEN_EMBD, "model.embed_tokens.weight", "token_embd.weight", vocab, hidden),        \
    PL_ROW(PL_OUTPUT_NORM, "model.norm.weight", "output_norm.weight", hidden, one, .offset = 1),   \
    NORM(PL_ATTN_NORM, "input_layernorm", "attn_norm"),                                            \
    PL_ROWS_QK(),                                                                                  \
    PL_ROWS_VO,                                                                                    \
    PL_ROWS_MLP()
/* GGUF has no name for an output matrix of its own before Gemma 3. */
#define OUTPUT(gguf) PL_ROW(PL_OUTPUT, "lm_head.weight", gguf, vocab, hidden)
#define BLOCK_NORMS                                                                                \
    NORM(PL_ATTN_POST_NORM, "post_attention_layernorm", "post_attention_norm"),                    \
    NORM(PL_FFN_NORM, "pre_feedforward_layernorm", "ffn_norm"),                                    \
    NORM(PL_FFN_POST_NORM, "post_feedforward_layernorm", "post_ffw_norm")

static const pl_arch_tensor tensors1[] = {
    COMMON, OUTPUT(NULL), NORM(PL_FFN_NORM, "post_attention_layernorm", "ffn_norm"),
};
static const pl_arch_tensor tensors2[] = { COMMON, OUTPUT(NULL), BLOCK_NORMS };
static const pl_arch_tensor tensors3[] = {
    COMMON, OUTPUT("output.weight"), BLOCK_NORMS, PL_ROWS_QK_NORM(.offset = 1),
};

/* ---- what a file leaves to the runtime ---- */

static void fixed1(pl_hparams *hp) { hp->act = PL_ACT_GELU_TANH; }
static void fixed2(pl_hparams *hp)
{
    hp->act = PL_ACT_GELU_TANH;
    hp->attn_softcap = 50;
    hp->logit_softcap = 30;
    hp->window = 4096;
}
static void fixed3(pl_hparams *hp)
{
    hp->act = PL_ACT_GELU_TANH;
    hp->rope_base_window = 10000;
}

static void scale_embeddings(pl_hparams *hp) { hp->embd_scale = (float)sqrt(hp->hidden); }

static pl_status derive1(pl_hparams *hp, const char *origin)
{
    scale_embeddings(hp);
    return PL_OK;
}

/* GGUF files rarely tell the scale of q k; runtimes know the largest model by its number of layers. */
static void derive_scale(pl_hparams *hp, int largest)
{
    int32_t scalar = hp->layers == largest ? hp->hidden / hp->heads : hp->head_dim;
    if (hp->attn_scale == 0) hp->attn_scale = (float)(1 / sqrt(scalar));
    scale_embeddings(hp);
}
static pl_status derive2(pl_hparams *hp, const char *origin)
{
    derive_scale(hp, 46);
    return PL_OK;
}
static pl_status derive3(pl_hparams *hp, const char *origin)
{
    derive_scale(hp, 62);
    return PL_OK;
}

/* ---- config.json ---- */

static pl_status read_common(const pl_config *c)
{
    static const char *const refused[] = { "attention_bias", "use_bidirectional_attention" };
    pl_hparams *hp = c->hp;
    hp->tied = true;
    hp->head_dim = 256;
    PL_TRY(pl_config_refuse(c, refused, PL_COUNT(refused)));
    PL_TRY(pl_config_decoder(c));
    scale_embeddings(hp);
    return PL_OK;
}

static pl_status read_config1(const pl_json *json, const char *origin, pl_hparams *hp)
{
    pl_config c = pl_config_begin(&pl_arch_gemma, json, origin, hp);
    PL_TRY(read_common(&c));
    /* The first files said "gelu" and meant the other one. */
    if (hp->act == PL_ACT_GELU) hp->act = PL_ACT_GELU_TANH;
    return pl_config_rope(&c, 0);
}

/* Scale, activation and caps of the second and third; 'hidden_act' means nothing to them. */
static pl_status read_newer(const pl_config *c)
{
    pl_hparams *hp = c->hp;
    float scalar = 256;
    hp->act = PL_ACT_GELU_TANH;
    PL_TRY(pl_config_activation(c, "hidden_activation"));
    PL_TRY(pl_config_number(c, "query_pre_attn_scalar", false, 1e-3, 1e6, &scalar));
    hp->attn_scale = (float)(1 / sqrt((double)scalar));
    PL_TRY(pl_config_number_or_none(c, "attn_logit_softcapping", 1e-3, 1e6, &hp->attn_softcap));
    PL_TRY(pl_config_number_or_none(c, "final_logit_softcapping", 1e-3, 1e6, &hp->logit_softcap));
    PL_TRY(pl_config_int_or_none(c, "sliding_window", 1, INT32_MAX, &hp->window));
    return hp->window ? PL_OK : pl_fail(PL_E_INPUT, "%s: 'sliding_window' should be a number, is null",
                                        c->origin);
}

static pl_status read_config2(const pl_json *json, const char *origin, pl_hparams *hp)
{
    pl_config c = pl_config_begin(&pl_arch_gemma2, json, origin, hp);
    PL_TRY(read_common(&c));
    PL_TRY(pl_config_rope(&c, 0));
    PL_TRY(read_newer(&c));
    pl_arch_default_windows(&pl_arch_gemma2, hp);
    return pl_config_layer_types(&c);
}

static pl_status read_config3(const pl_json *json, const char *origin, pl_hparams *hp)
{
    pl_config c = pl_config_begin(&pl_arch_gemma3, json, origin, hp);
    int32_t period = 6;
    hp->heads = 8;
    hp->kv_heads = 4;
    hp->context = 131072;
    hp->rope_base = 1e6f;
    hp->window = 4096;
    PL_TRY(read_common(&c));
    PL_TRY(pl_config_rope(&c, PL_CONFIG_WINDOW_BASE));
    PL_TRY(read_newer(&c));
    if (hp->attn_softcap > 0)       /* some versions of the class apply it, some do not */
        return pl_fail(PL_E_INPUT, "%s: 'attn_logit_softcapping' is not supported in Gemma 3", origin);
    PL_TRY(pl_config_int(&c, "sliding_window_pattern", false, 1, INT32_MAX, &period));
    for (int i = 0; i < hp->layers; i++)
        if ((i + 1) % period) hp->layer[i] |= PL_LAYER_WINDOW;
    return pl_config_layer_types(&c);
}

/* ---- the three ---- */

#define GEMMA_KEYS "attention.head_count_kv", "attention.key_length", "attention.value_length"
static const char *const classes1[] = { "GemmaForCausalLM", NULL };
static const char *const classes2[] = { "Gemma2ForCausalLM", NULL };
static const char *const classes3[] = { "Gemma3ForCausalLM", NULL };
static const char *const keys1[] = { GEMMA_KEYS, NULL };
static const char *const keys2[] = { GEMMA_KEYS, "attn_logit_softcapping", "final_logit_softcapping",
                                     "attention.sliding_window", NULL };
static const char *const also2[] = { "rope.freq_base_swa", "attention.scale", NULL };
static const char *const keys3[] = { GEMMA_KEYS, "rope.freq_base", "rope.freq_base_swa", NULL };
static const char *const also3[] = { "final_logit_softcapping", "attention.sliding_window",
                                     "attention.scale", NULL };

const pl_arch pl_arch_gemma = {
    .name = "gemma",
    .hf = classes1,
    .tensor = tensors1,
    .tensors = PL_COUNT(tensors1),
    .fixed = fixed1,
    .config = read_config1,
    .derive = derive1,
    .keys = keys1,
};

const pl_arch pl_arch_gemma2 = {
    .name = "gemma2",
    .hf = classes2,
    .tensor = tensors2,
    .tensors = PL_COUNT(tensors2),
    .fixed = fixed2,
    .config = read_config2,
    .derive = derive2,
    .keys = keys2,
    .also = also2,
    .windows_period = 2,
};

const pl_arch pl_arch_gemma3 = {
    .name = "gemma3",
    .hf = classes3,
    .tensor = tensors3,
    .tensors = PL_COUNT(tensors3),
    .fixed = fixed3,
    .config = read_config3,
    .derive = derive3,
    .keys = keys3,
    .also = also3,
    .windows_period = 6,
};
