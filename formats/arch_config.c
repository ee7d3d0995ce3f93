/* arch_config.c: what the readers of config.json share: numbers, sizes, activations, windows. */
#include "formats/arch_config.h"

#include <string.h>

pl_config pl_config_begin(const pl_arch *arch, const pl_json *json, const char *origin, pl_hparams *hp)
{
    *hp = (pl_hparams){ 0 };
    if (arch->fixed) arch->fixed(hp);
    return (pl_config){ json, origin, hp };
}

bool pl_config_is(const pl_config *c, const char *class_name)
{
    const pl_json *first = pl_json_first(pl_json_get(c->json, "architectures"));
    const char *text = pl_json_text(first);
    return text && !strcmp(text, class_name);
}

bool pl_config_has(const pl_config *c, const char *key)
{
    for (const pl_json *at = pl_json_first(c->json); at; at = pl_json_next(at)) {
        const char *name = pl_json_key(at);
        if (name && !strcmp(name, key)) return true;
    }
    return false;
}

/* ---- single values ---- */

pl_status pl_config_int(const pl_config *c, const char *key, bool required, int64_t low, int64_t high,
                        int32_t *out)
{
    int64_t value = *out;
    PL_TRY(pl_json_int(c->json, key, required, low, high, c->origin, &value));
    *out = (int32_t)value;
    return PL_OK;
}

pl_status pl_config_number(const pl_config *c, const char *key, bool required, double low, double high,
                           float *out)
{
    double value = (double)*out;
    if (!required && !pl_json_get(c->json, key)) return PL_OK;
    PL_TRY(pl_json_number(c->json, key, required, c->origin, &value));
    if (!(value >= low && value <= high))
        return pl_fail(PL_E_INPUT, "%s: '%s' should be between %g and %g, is %g", c->origin, key, low,
                       high, value);
    *out = (float)value;
    return PL_OK;
}

pl_status pl_config_bool(const pl_config *c, const char *key, bool *out)
{
    return pl_json_bool(c->json, key, false, c->origin, out);
}

pl_status pl_config_int_or_none(const pl_config *c, const char *key, int64_t low, int64_t high,
                                int32_t *out)
{
    if (pl_config_has(c, key)) *out = 0;
    return pl_config_int(c, key, false, low, high, out);
}

pl_status pl_config_number_or_none(const pl_config *c, const char *key, double low, double high,
                                   float *out)
{
    if (pl_config_has(c, key)) *out = 0;
    return pl_config_number(c, key, false, low, high, out);
}

pl_status pl_config_refuse(const pl_config *c, const char *const *keys, int count)
{
    for (int i = 0; i < count; i++) {
        bool value = false;
        PL_TRY(pl_config_bool(c, keys[i], &value));
        if (value) return pl_fail(PL_E_INPUT, "%s: '%s' is true, which is not supported", c->origin, keys[i]);
    }
    return PL_OK;
}

/* ---- sizes ---- */

enum { WIDE = 1 << 20 };

static pl_status size(const pl_config *c, const char *key, int64_t low, int64_t high, int32_t *out)
{
    return pl_config_int(c, key, *out == 0, low, high, out);
}

pl_status pl_config_sizes(const pl_config *c)
{
    pl_hparams *hp = c->hp;
    PL_TRY(size(c, "hidden_size", 2, WIDE, &hp->hidden));
    PL_TRY(size(c, "num_hidden_layers", 1, PL_MAX_LAYERS, &hp->layers));
    PL_TRY(size(c, "intermediate_size", 2, 4 * WIDE, &hp->ffn));
    PL_TRY(size(c, "vocab_size", 1, PL_MAX_VOCAB, &hp->vocab));
    if (hp->context == 0) hp->context = 2048;
    PL_TRY(size(c, "max_position_embeddings", 1, INT32_MAX, &hp->context));
    PL_TRY(size(c, "num_attention_heads", 1, hp->hidden, &hp->heads));
    if (hp->kv_heads == 0) hp->kv_heads = hp->heads;
    PL_TRY(size(c, "num_key_value_heads", 1, hp->heads, &hp->kv_heads));
    if (hp->head_dim == 0 && !pl_json_get(c->json, "head_dim") && hp->hidden % hp->heads)
        return pl_fail(PL_E_INPUT, "%s: hidden_size %d is no multiple of num_attention_heads %d, and "
                       "there is no head_dim", c->origin, hp->hidden, hp->heads);
    if (hp->head_dim == 0) hp->head_dim = hp->hidden / hp->heads;
    PL_TRY(pl_config_int(c, "head_dim", false, 2, 1 << 16, &hp->head_dim));
    hp->rope_dim = hp->head_dim;
    return pl_config_check_sizes(c);
}

pl_status pl_config_check_sizes(const pl_config *c)
{
    const pl_hparams *hp = c->hp;
    if (hp->heads % hp->kv_heads)
        return pl_fail(PL_E_INPUT, "%s: num_attention_heads %d is no multiple of num_key_value_heads %d",
                       c->origin, hp->heads, hp->kv_heads);
    if (hp->head_dim % 2)
        return pl_fail(PL_E_INPUT, "%s: the size of a head is %d, an odd number", c->origin,
                       hp->head_dim);
    if ((int64_t)hp->heads * hp->head_dim > 4 * WIDE)
        return pl_fail(PL_E_INPUT, "%s: %d heads of size %d have more than %d rows", c->origin, hp->heads,
                       hp->head_dim, 4 * WIDE);
    return PL_OK;
}

pl_status pl_config_activation(const pl_config *c, const char *key)
{
    static const struct { const char *name; pl_activation act; } known[] = {
        { "silu", PL_ACT_SILU },         { "swish", PL_ACT_SILU },
        { "gelu", PL_ACT_GELU },         { "gelu_python", PL_ACT_GELU },
        { "gelu_new", PL_ACT_GELU_TANH }, { "gelu_pytorch_tanh", PL_ACT_GELU_TANH },
        { "gelu_fast", PL_ACT_GELU_TANH }, { "gelu_python_tanh", PL_ACT_GELU_TANH },
    };
    const char *name = NULL;
    PL_TRY(pl_json_string(c->json, key, false, c->origin, &name));
    for (int i = 0; name && i < PL_COUNT(known); i++) {
        if (strcmp(name, known[i].name)) continue;
        c->hp->act = known[i].act;
        return PL_OK;
    }
    return name ? pl_fail(PL_E_INPUT, "%s: %s '%.40s' is not supported; known are silu, gelu and "
                          "gelu_pytorch_tanh, and other names of these", c->origin, key, name) : PL_OK;
}

pl_status pl_config_decoder(const pl_config *c)
{
    pl_hparams *hp = c->hp;
    PL_TRY(pl_config_sizes(c));
    if (hp->norm_eps == 0) hp->norm_eps = 1e-6f;
    PL_TRY(pl_config_number(c, "rms_norm_eps", false, 0, 1, &hp->norm_eps));
    PL_TRY(pl_config_bool(c, "tie_word_embeddings", &hp->tied));
    return pl_config_activation(c, "hidden_act");
}

/* ---- windows ---- */

/* Sets a layer's flag from "full_attention" or "sliding_attention". */
static pl_status layer_type(const pl_config *c, const pl_json *node, int layer)
{
    c->hp->layer[layer] &= (uint8_t)~PL_LAYER_WINDOW;
    const char *name = pl_json_text(node);
    if (name && !strcmp(name, "full_attention")) return PL_OK;
    if (!name || strcmp(name, "sliding_attention"))
        return pl_fail(PL_E_INPUT, "%s: layer_types: layer %d is '%.40s'; known are full_attention and "
                       "sliding_attention", c->origin, layer, name ? name : "no text");
    c->hp->layer[layer] |= PL_LAYER_WINDOW;
    if (c->hp->window) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: layer_types gives layer %d a window, but there is no sliding_window",
                   c->origin, layer);
}

pl_status pl_config_layer_types(const pl_config *c)
{
    pl_hparams *hp = c->hp;
    const pl_json *types = pl_json_get(c->json, "layer_types");
    if (!types) return PL_OK;
    if (!pl_json_is(types, PL_JSON_ARRAY) || pl_json_count(types) != hp->layers)
        return pl_fail(PL_E_INPUT, "%s: 'layer_types' should be a list of %d names, one for each layer",
                       c->origin, hp->layers);
    int layer = 0;
    for (const pl_json *at = pl_json_first(types); at; at = pl_json_next(at))
        PL_TRY(layer_type(c, at, layer++));
    return PL_OK;
}

/* ---- Qwen ---- */

pl_status pl_config_qwen_window(const pl_config *c, int32_t *first)
{
    bool windows = false;
    int32_t window = 4096;
    *first = 28;
    PL_TRY(pl_config_bool(c, "use_sliding_window", &windows));
    PL_TRY(pl_config_int_or_none(c, "sliding_window", 0, INT32_MAX, &window));
    PL_TRY(pl_config_int(c, "max_window_layers", false, 0, INT32_MAX, first));
    c->hp->window = windows ? window : 0;
    return PL_OK;
}

pl_status pl_config_qwen_experts(const pl_config *c)
{
    pl_hparams *hp = c->hp;
    int32_t step = 1;
    const char *count = pl_config_has(c, "num_local_experts") ? "num_local_experts" : "num_experts";
    PL_TRY(pl_config_int(c, count, true, 1, PL_MAX_EXPERTS, &hp->experts));
    PL_TRY(pl_config_int(c, "num_experts_per_tok", true, 1, hp->experts, &hp->experts_used));
    PL_TRY(pl_config_int(c, "moe_intermediate_size", true, 2, 4 * WIDE, &hp->expert_ffn));
    hp->expert_renorm = false;
    PL_TRY(pl_config_bool(c, "norm_topk_prob", &hp->expert_renorm));
    PL_TRY(pl_config_int(c, "decoder_sparse_step", false, 1, INT32_MAX, &step));
    if (step != 1 || pl_json_count(pl_json_get(c->json, "mlp_only_layers")))
        return pl_fail(PL_E_INPUT, "%s: layers without experts (decoder_sparse_step, mlp_only_layers) are "
                       "not supported", c->origin);
    return PL_OK;
}

pl_status pl_arch_needs_experts(pl_hparams *hp, const char *origin)
{
    return hp->experts ? PL_OK : pl_fail(PL_E_INPUT, "%s: a model with experts has none", origin);
}
