/* tensor.c: names of roles, sizes of tensors. */
#include "core/tensor.h"

#include <string.h>

/* Of each role and of its bias. */
#define ROLE(role, name) [role] = { name, name ".bias" }
static const char *const names[PL_ROLES][2] = {
    ROLE(PL_TOKEN_EMBD, "token_embd"),
    ROLE(PL_POSITION_EMBD, "position_embd"),
    ROLE(PL_TYPE_EMBD, "token_types"),
    ROLE(PL_EMBD_NORM, "token_embd_norm"),
    ROLE(PL_OUTPUT_NORM, "output_norm"),
    ROLE(PL_OUTPUT, "output"),
    ROLE(PL_ROPE_FREQS, "rope_freqs"),
    ROLE(PL_ROPE_LONG, "rope_factors_long"),
    ROLE(PL_ROPE_SHORT, "rope_factors_short"),
    ROLE(PL_ATTN_NORM, "attn_norm"),
    ROLE(PL_ATTN_QKV, "attn_qkv"),
    ROLE(PL_ATTN_Q, "attn_q"),
    ROLE(PL_ATTN_K, "attn_k"),
    ROLE(PL_ATTN_V, "attn_v"),
    ROLE(PL_ATTN_Q_NORM, "attn_q_norm"),
    ROLE(PL_ATTN_K_NORM, "attn_k_norm"),
    ROLE(PL_ATTN_O, "attn_output"),
    ROLE(PL_ATTN_POST_NORM, "post_attention_norm"),
    ROLE(PL_ATTN_OUT_NORM, "attn_output_norm"),
    ROLE(PL_FFN_NORM, "ffn_norm"),
    ROLE(PL_FFN_ROUTER, "ffn_gate_inp"),
    ROLE(PL_FFN_GATE_UP, "ffn_gate_up"),
    ROLE(PL_FFN_GATE, "ffn_gate"),
    ROLE(PL_FFN_UP, "ffn_up"),
    ROLE(PL_FFN_DOWN, "ffn_down"),
    ROLE(PL_SHARED_ROUTER, "ffn_gate_inp_shexp"),
    ROLE(PL_SHARED_GATE, "ffn_gate_shexp"),
    ROLE(PL_SHARED_UP, "ffn_up_shexp"),
    ROLE(PL_SHARED_DOWN, "ffn_down_shexp"),
    ROLE(PL_FFN_POST_NORM, "post_ffw_norm"),
    ROLE(PL_LAYER_OUT_NORM, "layer_output_norm"),
};

int pl_id_compare(pl_id a, pl_id b)
{
    if (a.layer != b.layer) return a.layer < b.layer ? -1 : 1;
    if (a.role != b.role) return a.role < b.role ? -1 : 1;
    return (a.expert > b.expert) - (a.expert < b.expert);
}

const char *pl_role_name(int role)
{
    int bias = role >= PL_BIAS, base = bias ? role - PL_BIAS : role;
    return base >= 0 && base < PL_ROLES ? names[base][bias] : "?";
}

int pl_role_find(const char *name)
{
    for (int i = 0; i < PL_ROLES; i++) {
        if (!strcmp(names[i][0], name)) return i;
        if (!strcmp(names[i][1], name)) return i + PL_BIAS;
    }
    return -1;
}

pl_status pl_tensor_bytes(const pl_tensor *t, int64_t *bytes)
{
    pl_packed p;
    PL_TRY(pl_packed_init(&p, t->type, t->rows, t->cols));
    *bytes = pl_packed_bytes(&p);
    return PL_OK;
}
