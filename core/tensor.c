/* tensor.c: names of roles, sizes of tensors. */
#include "core/tensor.h"

#include <string.h>

static const char *const names[PL_ROLES] = {
    [PL_TOKEN_EMBD] = "token_embd",
    [PL_OUTPUT_NORM] = "output_norm",
    [PL_OUTPUT] = "output",
    [PL_ROPE_FREQS] = "rope_freqs",
    [PL_ATTN_NORM] = "attn_norm",
    [PL_ATTN_Q] = "attn_q",
    [PL_ATTN_K] = "attn_k",
    [PL_ATTN_V] = "attn_v",
    [PL_ATTN_O] = "attn_output",
    [PL_FFN_NORM] = "ffn_norm",
    [PL_FFN_GATE] = "ffn_gate",
    [PL_FFN_UP] = "ffn_up",
    [PL_FFN_DOWN] = "ffn_down",
};
static const char *const bias_names[PL_ROLES] = {
    [PL_ATTN_Q] = "attn_q.bias",     [PL_ATTN_K] = "attn_k.bias",   [PL_ATTN_V] = "attn_v.bias",
    [PL_ATTN_O] = "attn_output.bias", [PL_FFN_GATE] = "ffn_gate.bias", [PL_FFN_UP] = "ffn_up.bias",
    [PL_FFN_DOWN] = "ffn_down.bias",
};

const char *pl_role_name(int role)
{
    const char *name = NULL;
    if (role >= 0 && role < PL_ROLES) name = names[role];
    else if (role >= PL_BIAS && role < PL_BIAS + PL_ROLES) name = bias_names[role - PL_BIAS];
    return name ? name : "?";
}

int pl_role_find(const char *name)
{
    for (int i = 0; i < PL_ROLES; i++) {
        if (names[i] && !strcmp(names[i], name)) return i;
        if (bias_names[i] && !strcmp(bias_names[i], name)) return i + PL_BIAS;
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
