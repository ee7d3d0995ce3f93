/* arch_bert.c: BERT, an encoder: learned positions and token types, norms behind each block. What stands
 * on top of it (pooler, language model, next sentence) is passed over: an embedding needs none of it. */
#include <string.h>

#include "formats/arch_config.h"
#include "formats/arch_rows.h"

#define LAYER "encoder.layer.%d."
/* The first checkpoints call the weights of a norm gamma and beta. */
#define NORM(role, hf, gguf)                                                                       \
    PL_ROW(role, hf ".LayerNorm.weight", gguf ".weight", hidden, one),                             \
    PL_ROW(role, hf ".LayerNorm.gamma", NULL, hidden, one),                                        \
    PL_ROW(role + PL_BIAS, hf ".LayerNorm.bias", gguf ".bias", hidden, one),                       \
    PL_ROW(role + PL_BIAS, hf ".LayerNorm.beta", NULL, hidden, one)
#define LINEAR(role, hf, gguf, rows, cols)                                                         \
    PL_ROW(role, LAYER hf ".weight", "blk.%d." gguf ".weight", rows, cols),                        \
    PL_ROW(role + PL_BIAS, LAYER hf ".bias", "blk.%d." gguf ".bias", rows, one)
#define IGNORED(hf) PL_ROW_IGNORED(hf ".weight"), PL_ROW_IGNORED(hf ".bias")

static const pl_arch_tensor tensors[] = {
    PL_ROW(PL_TOKEN_EMBD, "embeddings.word_embeddings.weight", "token_embd.weight", vocab, hidden),
    PL_ROW(PL_POSITION_EMBD, "embeddings.position_embeddings.weight", "position_embd.weight", context,
           hidden, .keep = true),
    PL_ROW(PL_TYPE_EMBD, "embeddings.token_type_embeddings.weight", "token_types.weight", types, hidden,
           .keep = true),
    NORM(PL_EMBD_NORM, "embeddings", "token_embd_norm"),
    LINEAR(PL_ATTN_Q, "attention.self.query", "attn_q", heads, hidden),
    LINEAR(PL_ATTN_K, "attention.self.key", "attn_k", kv_heads, hidden),
    LINEAR(PL_ATTN_V, "attention.self.value", "attn_v", kv_heads, hidden),
    LINEAR(PL_ATTN_O, "attention.output.dense", "attn_output", hidden, heads),
    NORM(PL_ATTN_OUT_NORM, LAYER "attention.output", "blk.%d.attn_output_norm"),
    LINEAR(PL_FFN_UP, "intermediate.dense", "ffn_up", ffn, hidden),
    LINEAR(PL_FFN_DOWN, "output.dense", "ffn_down", hidden, ffn),
    NORM(PL_LAYER_OUT_NORM, LAYER "output", "blk.%d.layer_output_norm"),
    PL_ROW_IGNORED("embeddings.position_ids"),
    IGNORED("pooler.dense"),
    IGNORED("cls.predictions.transform.dense"),
    IGNORED("cls.predictions.transform.LayerNorm"),
    PL_ROW_IGNORED("cls.predictions.transform.LayerNorm.gamma"),
    PL_ROW_IGNORED("cls.predictions.transform.LayerNorm.beta"),
    IGNORED("cls.predictions.decoder"),
    PL_ROW_IGNORED("cls.predictions.bias"),
    IGNORED("cls.seq_relationship"),
};

static void fixed(pl_hparams *hp)
{
    hp->norm = PL_NORM_LAYER;
    hp->act = PL_ACT_GELU;
    hp->encoder = true;
}

static pl_status read_config(const pl_json *json, const char *origin, pl_hparams *hp)
{
    static const char *const refused[] = { "is_decoder", "add_cross_attention" };
    const char *positions = "absolute";
    pl_config c = pl_config_begin(&pl_arch_bert, json, origin, hp);
    PL_TRY(pl_config_refuse(&c, refused, PL_COUNT(refused)));
    PL_TRY(pl_json_string(json, "position_embedding_type", false, origin, &positions));
    if (strcmp(positions, "absolute"))
        return pl_fail(PL_E_INPUT, "%s: position_embedding_type '%.40s' is not supported", origin,
                       positions);
    hp->context = 512;
    hp->token_types = 2;
    hp->norm_eps = 1e-12f;
    PL_TRY(pl_config_sizes(&c));
    hp->rope_dim = 0;
    hp->tied = true;            /* there is no output matrix, as in GGUF files */
    PL_TRY(pl_config_int(&c, "type_vocab_size", false, 1, 1 << 16, &hp->token_types));
    PL_TRY(pl_config_number(&c, "layer_norm_eps", false, 0, 1, &hp->norm_eps));
    return pl_config_activation(&c, "hidden_act");
}

static const char *const classes[] = { "BertModel", "BertForMaskedLM", "BertForPreTraining", NULL };
static const char *const also[] = { "pooling_type", "tokenizer.ggml.token_type_count", NULL };

const pl_arch pl_arch_bert = {
    .name = "bert",
    .hf = classes,
    .prefix = "bert.",
    .tensor = tensors,
    .tensors = PL_COUNT(tensors),
    .fixed = fixed,
    .config = read_config,
    .also = also,
};
