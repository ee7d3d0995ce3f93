/* arch_rows.c: sizes of tensors by name. */
#include "formats/arch_rows.h"

int64_t pl_dim_one(const pl_hparams *hp) { return 1; }
int64_t pl_dim_hidden(const pl_hparams *hp) { return hp->hidden; }
int64_t pl_dim_vocab(const pl_hparams *hp) { return hp->vocab; }
int64_t pl_dim_context(const pl_hparams *hp) { return hp->context; }
int64_t pl_dim_types(const pl_hparams *hp) { return hp->token_types; }
int64_t pl_dim_head(const pl_hparams *hp) { return hp->head_dim; }
int64_t pl_dim_heads(const pl_hparams *hp) { return (int64_t)hp->heads * hp->head_dim; }
int64_t pl_dim_kv_heads(const pl_hparams *hp) { return (int64_t)hp->kv_heads * hp->head_dim; }
int64_t pl_dim_qkv(const pl_hparams *hp) { return pl_dim_heads(hp) + 2 * pl_dim_kv_heads(hp); }
int64_t pl_dim_rope(const pl_hparams *hp) { return hp->rope_dim / 2; }
int64_t pl_dim_ffn(const pl_hparams *hp) { return hp->ffn; }
int64_t pl_dim_gate_up(const pl_hparams *hp) { return 2 * (int64_t)hp->ffn; }
int64_t pl_dim_experts(const pl_hparams *hp) { return hp->experts; }
int64_t pl_dim_expert_ffn(const pl_hparams *hp) { return hp->expert_ffn; }
int64_t pl_dim_shared_ffn(const pl_hparams *hp) { return hp->shared_ffn; }

int32_t pl_order_heads(const pl_hparams *hp) { return hp->head_dim; }
bool pl_when_dense(const pl_hparams *hp) { return hp->experts == 0; }
bool pl_when_experts(const pl_hparams *hp) { return hp->experts > 0; }
bool pl_when_longrope(const pl_hparams *hp) { return hp->rope_scaling == PL_ROPE_LONGROPE; }
