/* arch_rows.h: what the tables of architectures share: sizes by name, and the rows that most have.
 * Only arch_*.c include it. */
#ifndef FORMATS_ARCH_ROWS_H
#define FORMATS_ARCH_ROWS_H

#include "formats/arch.h"

/* Rows and columns, from the hyper-parameters. Rows of a table name them without the prefix. */
int64_t pl_dim_one(const pl_hparams *hp);
int64_t pl_dim_hidden(const pl_hparams *hp);
int64_t pl_dim_vocab(const pl_hparams *hp);
int64_t pl_dim_context(const pl_hparams *hp);
int64_t pl_dim_types(const pl_hparams *hp);             /* token types */
int64_t pl_dim_head(const pl_hparams *hp);              /* one head */
int64_t pl_dim_heads(const pl_hparams *hp);             /* all heads of Q */
int64_t pl_dim_kv_heads(const pl_hparams *hp);          /* all heads of K, or of V */
int64_t pl_dim_qkv(const pl_hparams *hp);
int64_t pl_dim_rope(const pl_hparams *hp);              /* rotary pairs of a head */
int64_t pl_dim_ffn(const pl_hparams *hp);
int64_t pl_dim_gate_up(const pl_hparams *hp);           /* gate and up, fused */
int64_t pl_dim_experts(const pl_hparams *hp);
int64_t pl_dim_expert_ffn(const pl_hparams *hp);
int64_t pl_dim_shared_ffn(const pl_hparams *hp);

/* .order of rows that GGUF stores with interleaved pairs; and .when. */
int32_t pl_order_heads(const pl_hparams *hp);
bool pl_when_dense(const pl_hparams *hp);
bool pl_when_experts(const pl_hparams *hp);
bool pl_when_longrope(const pl_hparams *hp);

/* A tensor that must be there, or may; further fields of pl_arch_tensor may follow. */
#define PL_ROW(role_, hf_, gguf_, rows_, cols_, ...)                                               \
    { .role = (role_), .hf = hf_, .gguf = gguf_, .required = true, .rows = pl_dim_##rows_,         \
      .cols = pl_dim_##cols_, __VA_ARGS__ }
#define PL_ROW_MAYBE(role_, hf_, gguf_, rows_, cols_, ...)                                         \
    { .role = (role_), .hf = hf_, .gguf = gguf_, .rows = pl_dim_##rows_, .cols = pl_dim_##cols_,   \
      __VA_ARGS__ }
/* A name that checkpoints have and we pass over. */
#define PL_ROW_IGNORED(hf_) { .role = -1, .hf = hf_, .rows = pl_dim_one, .cols = pl_dim_one }

/* The names that decoders took over from Llama. Arguments are fields that all rows of a group get. */
#define PL_LAYER "model.layers.%d."
#define PL_ATTN PL_LAYER "self_attn."
#define PL_MLP PL_LAYER "mlp."

#define PL_ROWS_TABLES                                                                             \
    PL_ROW(PL_TOKEN_EMBD, "model.embed_tokens.weight", "token_embd.weight", vocab, hidden),        \
    PL_ROW(PL_OUTPUT, "lm_head.weight", "output.weight", vocab, hidden)

#define PL_ROWS_QK(...)                                                                            \
    PL_ROW(PL_ATTN_Q, PL_ATTN "q_proj.weight", "blk.%d.attn_q.weight", heads, hidden, __VA_ARGS__), \
    PL_ROW(PL_ATTN_K, PL_ATTN "k_proj.weight", "blk.%d.attn_k.weight", kv_heads, hidden, __VA_ARGS__)

#define PL_ROWS_VO                                                                                 \
    PL_ROW(PL_ATTN_V, PL_ATTN "v_proj.weight", "blk.%d.attn_v.weight", kv_heads, hidden),          \
    PL_ROW(PL_ATTN_O, PL_ATTN "o_proj.weight", "blk.%d.attn_output.weight", hidden, heads)

#define PL_ROWS_QKV_BIAS                                                                           \
    PL_ROW(PL_ATTN_Q + PL_BIAS, PL_ATTN "q_proj.bias", "blk.%d.attn_q.bias", heads, one),          \
    PL_ROW(PL_ATTN_K + PL_BIAS, PL_ATTN "k_proj.bias", "blk.%d.attn_k.bias", kv_heads, one),       \
    PL_ROW(PL_ATTN_V + PL_BIAS, PL_ATTN "v_proj.bias", "blk.%d.attn_v.bias", kv_heads, one)

#define PL_ROWS_QK_NORM(...)                                                                       \
    PL_ROW(PL_ATTN_Q_NORM, PL_ATTN "q_norm.weight", "blk.%d.attn_q_norm.weight", head, one, __VA_ARGS__), \
    PL_ROW(PL_ATTN_K_NORM, PL_ATTN "k_norm.weight", "blk.%d.attn_k_norm.weight", head, one, __VA_ARGS__)

/* Before attention, before the feed-forward, at the end. */
#define PL_ROWS_NORMS                                                                              \
    PL_ROW(PL_ATTN_NORM, PL_LAYER "input_layernorm.weight", "blk.%d.attn_norm.weight", hidden, one), \
    PL_ROW(PL_FFN_NORM, PL_LAYER "post_attention_layernorm.weight", "blk.%d.ffn_norm.weight",      \
           hidden, one),                                                                           \
    PL_ROW(PL_OUTPUT_NORM, "model.norm.weight", "output_norm.weight", hidden, one)

#define PL_ROWS_MLP(...)                                                                           \
    PL_ROW(PL_FFN_GATE, PL_MLP "gate_proj.weight", "blk.%d.ffn_gate.weight", ffn, hidden, __VA_ARGS__), \
    PL_ROW(PL_FFN_UP, PL_MLP "up_proj.weight", "blk.%d.ffn_up.weight", ffn, hidden, __VA_ARGS__),  \
    PL_ROW(PL_FFN_DOWN, PL_MLP "down_proj.weight", "blk.%d.ffn_down.weight", hidden, ffn, __VA_ARGS__)

/* A router and experts, whose matrices are called differently here and there. */
#define PL_ROWS_EXPERTS(block, gate, up, down)                                                     \
    PL_ROW(PL_FFN_ROUTER, PL_LAYER block ".gate.weight", "blk.%d.ffn_gate_inp.weight", experts,    \
           hidden, .when = pl_when_experts, .keep = true),                                         \
    PL_ROW(PL_FFN_GATE, PL_LAYER block ".experts.%d." gate ".weight", "blk.%d.ffn_gate_exps.weight", \
           expert_ffn, hidden, .when = pl_when_experts),                                           \
    PL_ROW(PL_FFN_UP, PL_LAYER block ".experts.%d." up ".weight", "blk.%d.ffn_up_exps.weight",     \
           expert_ffn, hidden, .when = pl_when_experts),                                           \
    PL_ROW(PL_FFN_DOWN, PL_LAYER block ".experts.%d." down ".weight", "blk.%d.ffn_down_exps.weight", \
           hidden, expert_ffn, .when = pl_when_experts)

#endif
