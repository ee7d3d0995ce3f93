/* gguf_keys.c: hyper-parameters as GGUF's "<architecture>.*" keys, read and written. */
#include "formats/gguf_keys.h"

#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

/* "llama.block_count"; architecture names are short. */
typedef struct hp_reader {
    const pl_gguf *g;
    const char *arch;
    char key[128];
} hp_reader;

static const char *hp_key(hp_reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, name);
    return r->key;
}

/* `same`: how many equal elements an array may have in place of the number. */
static pl_status hp_int(hp_reader *r, const char *name, bool required, int64_t high, int64_t same,
                        int32_t *out)
{
    int64_t value = *out;
    PL_TRY(pl_gguf_int(r->g, hp_key(r, name), required, 1, high, same, &value));
    *out = (int32_t)value;
    return PL_OK;
}

static pl_status hp_number(hp_reader *r, const char *name, bool required, double low, double high,
                           float *out)
{
    double value = (double)*out;
    PL_TRY(pl_gguf_number(r->g, hp_key(r, name), required, &value));
    if (!(value >= low && value <= high))
        return pl_fail(PL_E_INPUT, "%s: the key '%s' is %g, expected %g to %g", r->g->path, r->key,
                       value, low, high);
    *out = (float)value;
    return PL_OK;
}

static pl_status read_sizes(hp_reader *r, pl_hparams *hp)
{
    enum { WIDE = 1 << 20 };
    int32_t value_dim;
    PL_TRY(hp_int(r, PL_GGUF_LAYERS, true, PL_MAX_LAYERS, 0, &hp->layers));
    PL_TRY(hp_int(r, PL_GGUF_HIDDEN, true, WIDE, 0, &hp->hidden));
    PL_TRY(hp_int(r, PL_GGUF_CONTEXT, true, INT32_MAX, 0, &hp->context));
    PL_TRY(hp_int(r, PL_GGUF_FFN, true, 4 * WIDE, hp->layers, &hp->ffn));
    PL_TRY(hp_int(r, PL_GGUF_HEADS, true, hp->hidden, hp->layers, &hp->heads));
    hp->kv_heads = hp->heads;
    PL_TRY(hp_int(r, PL_GGUF_KV_HEADS, false, hp->heads, hp->layers, &hp->kv_heads));
    hp->head_dim = hp->hidden / hp->heads;
    PL_TRY(hp_int(r, PL_GGUF_KEY_LENGTH, false, 1 << 16, 0, &hp->head_dim));
    value_dim = hp->hidden / hp->heads;
    PL_TRY(hp_int(r, PL_GGUF_VALUE_LENGTH, false, 1 << 16, 0, &value_dim));
    hp->rope_dim = hp->head_dim;
    PL_TRY(hp_int(r, PL_GGUF_ROPE_DIM, false, 1 << 16, 0, &hp->rope_dim));
    if (hp->heads % hp->kv_heads)
        return pl_fail(PL_E_INPUT, "%s: %d attention heads are no multiple of %d key-value heads",
                       r->g->path, hp->heads, hp->kv_heads);
    if (hp->head_dim % 2 || value_dim != hp->head_dim || hp->rope_dim != hp->head_dim)
        return pl_fail(PL_E_INPUT, "%s: heads have %d values for keys, %d for values, %d that "
                       "rotate; expected one even number", r->g->path, hp->head_dim, value_dim,
                       hp->rope_dim);
    if ((int64_t)hp->heads * hp->head_dim > 4 * WIDE)
        return pl_fail(PL_E_INPUT, "%s: %d heads of %d values, together more than %d", r->g->path,
                       hp->heads, hp->head_dim, 4 * WIDE);
    return PL_OK;
}

/* Factors of Llama 3 come as a tensor; only the division of all positions is told by keys. A factor
 * without a type means "linear", as it does to the runtimes. */
static pl_status read_rope(hp_reader *r, pl_arena *arena, pl_hparams *hp)
{
    const char *type = "linear";
    hp->rope_base = 10000;
    PL_TRY(hp_number(r, PL_GGUF_ROPE_BASE, false, 1, 1e15, &hp->rope_base));
    PL_TRY(pl_gguf_string(r->g, hp_key(r, PL_GGUF_ROPE_SCALING), false, arena, &type));
    float factor = 0;
    PL_TRY(hp_number(r, PL_GGUF_ROPE_FACTOR_OLD, false, 0, 1e6, &factor));
    PL_TRY(hp_number(r, PL_GGUF_ROPE_FACTOR, false, 0, 1e6, &factor));
    if (!strcmp(type, "none")) return PL_OK;
    if (strcmp(type, "linear"))
        return pl_fail(PL_E_INPUT, "%s: rotary scaling '%.40s' is not supported (linear is)",
                       r->g->path, type);
    if (factor == 0 || factor == 1) return PL_OK;
    hp->rope_scaling = PL_ROPE_LINEAR;
    hp->rope_factor = factor;
    return PL_OK;
}

/* Keys that make a runtime compute another function than the one planish knows, unless they are 0
 * or have the value beside them. */
static pl_status refuse_variants(hp_reader *r)
{
    static const struct { const char *name; double neutral; } keys[] = {
        { "expert_count", 0 },            { "nextn_predict_layers", 0 },
        { "attention.clamp_kqv", 0 },     { "attention.max_alibi_bias", 0 },
        { "attention.scale", 0 },         { "attn_logit_softcapping", 0 },
        { "final_logit_softcapping", 0 }, { "logit_scale", 1 },
        { "residual_scale", 1 },          { "embedding_scale", 1 },
        { "rope.scaling.alpha", 0 },      { "rope.scaling.attn_factor", 1 },
    };
    for (int i = 0; i < PL_COUNT(keys); i++) {
        const pl_gguf_kv *kv = pl_gguf_find(r->g, hp_key(r, keys[i].name));
        if (!kv || (pl_gguf_scalar_bytes(kv->type) && kv->value.u == 0)) continue;
        if (kv->type == PL_META_F32 && kv->value.f == keys[i].neutral) continue;
        return pl_fail(PL_E_INPUT, "%s: the key '%s' asks for something that is not supported",
                       r->g->path, r->key);
    }
    const pl_gguf_kv *causal = pl_gguf_find(r->g, hp_key(r, "attention.causal"));
    if (causal && (causal->type != PL_META_BOOL || !causal->value.u))
        return pl_fail(PL_E_INPUT, "%s: attention that is not causal is not supported", r->g->path);
    return PL_OK;
}

pl_status pl_gguf_keys_read(const pl_gguf *g, const pl_arch *arch, pl_arena *arena, pl_model *model)
{
    hp_reader r = { .g = g, .arch = arch->name };
    pl_hparams *hp = &model->hp;
    if (arch->fixed) arch->fixed(hp);
    PL_TRY(refuse_variants(&r));
    PL_TRY(read_sizes(&r, hp));
    PL_TRY(hp_number(&r, PL_GGUF_NORM_EPS, true, 0, 1, &hp->norm_eps));
    PL_TRY(read_rope(&r, arena, hp));
    if (model->vocab) hp->vocab = model->vocab->count;
    PL_TRY(hp_int(&r, PL_GGUF_VOCAB_SIZE, !model->vocab, PL_MAX_VOCAB, 0, &hp->vocab));
    if (model->vocab && hp->vocab != model->vocab->count)
        return pl_fail(PL_E_INPUT, "%s: %s says %d tokens, the vocabulary has %d", g->path, r.key,
                       hp->vocab, model->vocab->count);
    return arch->derive ? arch->derive(hp, g->path) : PL_OK;
}

/* ---- writing ---- */

static void add_number(pl_gguf_key *out, int *count, const char *name, int type, double number)
{
    out[(*count)++] = (pl_gguf_key){ .name = name, .type = (uint8_t)type, .number = number };
}

int pl_gguf_keys_list(const pl_arch *arch, const pl_hparams *hp, pl_gguf_key out[PL_GGUF_MAX_KEYS])
{
    const struct { const char *name; int32_t value; } numbers[] = {
        { PL_GGUF_LAYERS, hp->layers },         { PL_GGUF_CONTEXT, hp->context },
        { PL_GGUF_HIDDEN, hp->hidden },         { PL_GGUF_FFN, hp->ffn },
        { PL_GGUF_HEADS, hp->heads },           { PL_GGUF_KV_HEADS, hp->kv_heads },
        { PL_GGUF_KEY_LENGTH, hp->head_dim },   { PL_GGUF_VALUE_LENGTH, hp->head_dim },
        { PL_GGUF_ROPE_DIM, hp->rope_dim },     { PL_GGUF_VOCAB_SIZE, hp->vocab },
    };
    int count = 0;
    for (int i = 0; i < PL_COUNT(numbers); i++)
        add_number(out, &count, numbers[i].name, PL_META_U32, numbers[i].value);
    add_number(out, &count, PL_GGUF_NORM_EPS, PL_META_F32, (double)hp->norm_eps);
    add_number(out, &count, PL_GGUF_ROPE_BASE, PL_META_F32, (double)hp->rope_base);
    if (hp->rope_scaling == PL_ROPE_LINEAR) {
        out[count++] = (pl_gguf_key){ PL_GGUF_ROPE_SCALING, PL_META_STRING, 0, "linear" };
        add_number(out, &count, PL_GGUF_ROPE_FACTOR, PL_META_F32, (double)hp->rope_factor);
    }
    return count;
}
