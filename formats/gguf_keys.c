/* gguf_keys.c: hyper-parameters as GGUF's "<architecture>.*" keys, read and written by one table. */
#include "formats/gguf_keys.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"

/* ---- the table ---- */

enum { WIDE = 1 << 20 };

typedef struct key_row {
    const char *name;           /* behind "<architecture>."; with "tokenizer." in front: the whole key */
    uint8_t type;               /* PL_META_U32 for an int32_t, PL_META_F32 for a float */
    size_t field;               /* its place in pl_hparams */
    double low, high;
    size_t limit;               /* place of a number that it must not exceed either, 0: none */
    bool required;
    bool listed;                /* only for architectures that list it, and refused for others, ... */
    bool harmless;              /* ... but for this one, which is nothing to them */
    bool same;                  /* repeats its field, which must be equal */
    bool per_layer;             /* may be an array with an equal number for every layer */
    /* NULL, or: which models have it? */
    bool (*of)(const pl_arch *arch, const pl_hparams *hp);
    /* What a reader takes without the key, from what stands above it; NULL: what the architecture fixes. */
    double (*assumed)(const pl_hparams *hp);
} key_row;

static bool with_rms(const pl_arch *arch, const pl_hparams *hp) { return hp->norm == PL_NORM_RMS; }
static bool with_layer_norm(const pl_arch *arch, const pl_hparams *hp) { return hp->norm == PL_NORM_LAYER; }
static bool with_experts(const pl_arch *arch, const pl_hparams *hp) { return hp->experts > 0; }
/* Learned positions take the place of rotary ones. */
static bool with_rope(const pl_arch *arch, const pl_hparams *hp)
{
    return !pl_arch_row(arch, PL_POSITION_EMBD);
}

static double heads(const pl_hparams *hp) { return hp->heads; }
static double head_dim(const pl_hparams *hp) { return hp->head_dim; }
static double head_share(const pl_hparams *hp) { return hp->hidden / hp->heads; }
static double vocab(const pl_hparams *hp) { return hp->vocab; }
static double base(const pl_hparams *hp) { return 10000; }
static double ffn(const pl_hparams *hp) { return hp->ffn; }
static double ffn_share(const pl_hparams *hp) { return hp->experts_used ? hp->ffn / hp->experts_used : 0; }

#define INT(name, field, low, high, ...) { name, PL_META_U32, offsetof(pl_hparams, field), low, high, __VA_ARGS__ }
#define NUM(name, field, low, high, ...) { name, PL_META_F32, offsetof(pl_hparams, field), low, high, __VA_ARGS__ }
#define AT_MOST(name) .limit = offsetof(pl_hparams, name)

/* Keys with a part of their own below. */
static const char causal_key[] = "attention.causal";
static const char window_key[] = "attention.sliding_window";
static const char scale_key[] = "attention.scale";
static const char pattern_key[] = "attention.sliding_window_pattern";
static const char original_key[] = "rope.scaling.original_context_length";
static const char magnitude_key[] = "rope.scaling.attn_factor";
static const char yarn_magnitude_key[] = "rope.scaling.yarn_attn_factor";
static const char yarn_fast_key[] = "rope.scaling.yarn_beta_fast";
static const char yarn_slow_key[] = "rope.scaling.yarn_beta_slow";

/* Read and written from top to bottom. */
static const key_row rows[] = {
    INT(PL_GGUF_LAYERS, layers, 1, PL_MAX_LAYERS, .required = true),
    INT(PL_GGUF_CONTEXT, context, 1, INT32_MAX, .required = true),
    INT(PL_GGUF_HIDDEN, hidden, 1, WIDE, .required = true),
    INT(PL_GGUF_FFN, ffn, 1, 4 * WIDE, .required = true, .per_layer = true),
    INT(PL_GGUF_HEADS, heads, 1, WIDE, .required = true, .per_layer = true, AT_MOST(hidden)),
    INT(PL_GGUF_KV_HEADS, kv_heads, 1, WIDE, .per_layer = true, AT_MOST(heads), .assumed = heads),
    INT(PL_GGUF_KEY_LENGTH, head_dim, 1, 1 << 16, .assumed = head_share),
    INT(PL_GGUF_VALUE_LENGTH, head_dim, 1, 1 << 16, .same = true, .assumed = head_share),
    INT(PL_GGUF_ROPE_DIM, rope_dim, 1, 1 << 16, AT_MOST(head_dim), .of = with_rope, .assumed = head_dim),
    INT(PL_GGUF_VOCAB_SIZE, vocab, 1, PL_MAX_VOCAB, .assumed = vocab),
    INT("expert_count", experts, 0, PL_MAX_EXPERTS, .listed = true),
    INT("expert_used_count", experts_used, 1, PL_MAX_EXPERTS, .listed = true, AT_MOST(experts),
        .required = true, .of = with_experts),
    INT("expert_feed_forward_length", expert_ffn, 1, 4 * WIDE, .listed = true, .per_layer = true,
        .of = with_experts, .assumed = ffn_share),
    INT("expert_shared_feed_forward_length", shared_ffn, 1, 4 * WIDE, .listed = true, .of = with_experts,
        .assumed = ffn),
    NUM(PL_GGUF_NORM_EPS, norm_eps, 0, 1, .required = true, .of = with_rms),
    NUM("attention.layer_norm_epsilon", norm_eps, 0, 1, .required = true, .of = with_layer_norm),
    NUM("attn_logit_softcapping", attn_softcap, 0, 1e6, .listed = true),
    NUM("final_logit_softcapping", logit_softcap, 0, 1e6, .listed = true),
    INT(window_key, window, 0, INT32_MAX, .listed = true),
    NUM(PL_GGUF_ROPE_BASE, rope_base, 1, 1e15, .of = with_rope, .assumed = base),
    NUM("rope.freq_base_swa", rope_base_window, 1, 1e15, .listed = true),
    INT("pooling_type", pooling, PL_POOL_NONE, PL_POOL_CLS, .listed = true, .harmless = true),
    INT("tokenizer.ggml.token_type_count", token_types, 1, 1 << 16, .required = true, .listed = true),
};

/* Keys that make a runtime compute another function than the one planish knows, unless they are 0
 * or have the value beside them. */
static const struct { const char *name; double neutral; } variants[] = {
    { "nextn_predict_layers", 0 },    { "expert_group_count", 1 },
    { "attention.clamp_kqv", 0 },     { "attention.max_alibi_bias", 0 },
    { scale_key, 0 },                 { "attention.key_length_swa", 0 },
    { "attention.value_length_swa", 0 }, { "rope.dimension_count_swa", 0 },
    { "logit_scale", 1 },             { "residual_scale", 1 },
    { "embedding_scale", 1 },         { "rope.scaling.alpha", 0 },
};

static bool in_list(const char *const *list, const char *name)
{
    for (; list && *list; list++)
        if (!strcmp(*list, name)) return true;
    return false;
}

/* May a file of this architecture have the key at all? */
static bool is_known(const key_row *row, const pl_arch *arch)
{
    return !row->listed || in_list(arch->keys, row->name) || in_list(arch->also, row->name);
}

/* Does the original context say what nothing else does? */
static bool with_original(const pl_arch *arch, const pl_hparams *hp)
{
    return hp->rope_scaling == PL_ROPE_YARN || pl_arch_row(arch, PL_ROPE_LONG);
}

static bool is_whole(const char *name) { return !strncmp(name, "tokenizer.", 10); }

static double get_field(const key_row *row, const pl_hparams *hp)
{
    const char *at = (const char *)hp + row->field;
    int32_t whole;
    float number;
    memcpy(&whole, at, sizeof whole);
    memcpy(&number, at, sizeof number);
    return row->type == PL_META_U32 ? whole : (double)number;
}

static void set_field(const key_row *row, double value, pl_hparams *hp)
{
    int32_t whole = row->type == PL_META_U32 ? (int32_t)value : 0;
    float number = (float)value;
    memcpy((char *)hp + row->field, row->type == PL_META_U32 ? (void *)&whole : (void *)&number, 4);
}

/* ---- reading ---- */

/* Where values come from: a file, or the list of keys that one shall get. */
typedef struct reader {
    const pl_gguf *g;           /* NULL: the list */
    const pl_gguf_keys *list;
    const pl_arch *arch;
    const char *origin;
    char key[128];              /* the key looked at last; architecture names are short */
} reader;

static const char *name_key(reader *r, const char *name)
{
    if (is_whole(name)) snprintf(r->key, sizeof r->key, "%s", name);
    else snprintf(r->key, sizeof r->key, "%s.%s", r->arch->name, name);
    return r->key;
}

static const pl_gguf_key *in_keys(const reader *r, const char *name)
{
    for (int i = 0; i < r->list->count; i++)
        if (!strcmp(r->list->key[i].name, name)) return &r->list->key[i];
    return NULL;
}

/* Is the key there? */
static bool has_key(reader *r, const char *name)
{
    return r->g ? pl_gguf_find(r->g, name_key(r, name)) != NULL : in_keys(r, name) != NULL;
}

/* A number in [low, high]; without the key *value stays. */
static pl_status read_number(reader *r, const char *name, int type, bool required, double low, double high,
                             int64_t same, double *value)
{
    name_key(r, name);
    if (!r->g) {
        const pl_gguf_key *key = in_keys(r, name);
        if (key) *value = key->number;
        return PL_OK;
    }
    if (!required && !has_key(r, name)) return PL_OK;
    if (type == PL_META_U32) {
        int64_t whole;
        PL_TRY(pl_gguf_int(r->g, r->key, true, (int64_t)low, (int64_t)high, same, &whole));
        *value = (double)whole;
        return PL_OK;
    }
    PL_TRY(pl_gguf_number(r->g, r->key, true, value));
    if (*value >= low && *value <= high) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: the key '%s' is %g, expected %g to %g", r->origin, r->key, *value, low,
                   high);
}

static pl_status read_float(reader *r, const char *name, double low, double high, float *out)
{
    double value = (double)*out;
    PL_TRY(read_number(r, name, PL_META_F32, false, low, high, 0, &value));
    *out = (float)value;
    return PL_OK;
}

static pl_status read_row(reader *r, const key_row *row, pl_hparams *hp)
{
    double value = row->assumed ? row->assumed(hp) : get_field(row, hp), high = row->high;
    if (!is_known(row, r->arch) || (row->of && !row->of(r->arch, hp))) return PL_OK;
    if (row->limit) {
        int32_t limit;
        memcpy(&limit, (const char *)hp + row->limit, sizeof limit);
        if (limit < high) high = limit;
    }
    PL_TRY(read_number(r, row->name, row->type, row->required, row->low, high,
                       row->per_layer ? hp->layers : 0, &value));
    if (!row->same) set_field(row, value, hp);
    else if (value != get_field(row, hp))
        return pl_fail(PL_E_INPUT, "%s: heads have %g values for keys, %g for values; expected one even "
                       "number", r->origin, get_field(row, hp), value);
    return PL_OK;
}

/* Rows with interleaved pairs are those of whole heads. */
static pl_status check_heads(const reader *r, const pl_hparams *hp)
{
    const pl_arch_tensor *q = pl_arch_row(r->arch, PL_ATTN_Q);
    bool partial = hp->rope_dim && hp->rope_dim != hp->head_dim;
    if (hp->heads % hp->kv_heads)
        return pl_fail(PL_E_INPUT, "%s: %d attention heads are no multiple of %d key-value heads",
                       r->origin, hp->heads, hp->kv_heads);
    if (hp->head_dim % 2 || hp->rope_dim % 2 || (partial && q && q->order))
        return pl_fail(PL_E_INPUT, "%s: heads have %d values, %d that rotate; expected %s", r->origin,
                       hp->head_dim, hp->rope_dim, q && q->order ? "one even number" : "even numbers");
    if ((int64_t)hp->heads * hp->head_dim > 4 * WIDE)
        return pl_fail(PL_E_INPUT, "%s: %d heads of %d values, together more than %d", r->origin,
                       hp->heads, hp->head_dim, 4 * WIDE);
    return PL_OK;
}

/* Keys that nobody here follows, or nobody for this architecture. */
static pl_status refuse_variants(reader *r)
{
    for (int i = 0; i < PL_COUNT(variants) + PL_COUNT(rows); i++) {
        const key_row *row = i < PL_COUNT(rows) ? &rows[i] : NULL;
        const char *name = row ? row->name : variants[i - PL_COUNT(rows)].name;
        double neutral = row ? 0 : variants[i - PL_COUNT(rows)].neutral;
        if (row ? row->harmless || is_known(row, r->arch) : in_list(r->arch->also, name)) continue;
        const pl_gguf_kv *kv = pl_gguf_find(r->g, name_key(r, name));
        if (!kv || (pl_gguf_scalar_bytes(kv->type) && kv->value.u == 0)) continue;
        if (kv->type == PL_META_F32 ? kv->value.f == neutral
                                    : pl_gguf_scalar_bytes(kv->type) && kv->value.u == (uint64_t)neutral)
            continue;
        return pl_fail(PL_E_INPUT, "%s: the key '%s' asks for something that is not supported for %s",
                       r->origin, r->key, r->arch->name);
    }
    return PL_OK;
}

/* What the key says must be what the architecture is. */
static pl_status read_causal(reader *r, const pl_hparams *hp)
{
    bool causal = true;
    PL_TRY(pl_gguf_bool(r->g, name_key(r, causal_key), &causal));
    if (causal != hp->encoder) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: attention that is %scausal is not supported for %s", r->origin,
                   causal ? "" : "not ", r->arch->name);
}

/* A factor without a type means "linear", as it does to the runtimes. Factors that are tensors come
 * with pl_gguf_keys_settle. */
static pl_status read_scaling(reader *r, pl_arena *arena, pl_hparams *hp)
{
    static const char *const names[] = { "none", "linear", NULL, "yarn", "longrope" };
    const char *type = names[PL_ROPE_LINEAR];
    float factor = 0, magnitude = 0;
    if (r->g) PL_TRY(pl_gguf_string(r->g, name_key(r, PL_GGUF_ROPE_SCALING), false, arena, &type));
    else if (in_keys(r, PL_GGUF_ROPE_SCALING)) type = in_keys(r, PL_GGUF_ROPE_SCALING)->text;
    int scaling = PL_COUNT(names);
    while (--scaling >= 0 && !(names[scaling] && !strcmp(names[scaling], type))) continue;
    if (scaling < 0)
        return pl_fail(PL_E_INPUT, "%s: rotary scaling '%.40s' is not supported (none, linear, yarn and "
                       "longrope are)", r->origin, type);
    PL_TRY(read_float(r, PL_GGUF_ROPE_FACTOR_OLD, 0, 1e6, &factor));
    PL_TRY(read_float(r, PL_GGUF_ROPE_FACTOR, 0, 1e6, &factor));
    PL_TRY(read_float(r, magnitude_key, 0, 1e3, &magnitude));
    hp->rope_attn_factor = magnitude == 1 ? 0 : magnitude;
    if (scaling == PL_ROPE_LONGROPE) hp->rope_scaling = PL_ROPE_LONGROPE;
    if ((scaling == PL_ROPE_LINEAR && factor != 0 && factor != 1) || (scaling == PL_ROPE_YARN && factor != 0)) {
        hp->rope_scaling = (pl_rope_scaling)scaling;
        hp->rope_factor = factor;
    }
    if (with_original(r->arch, hp)) {
        double original = hp->context;
        PL_TRY(read_number(r, original_key, PL_META_U32, false, 1, INT32_MAX, 0, &original));
        hp->rope_context = (int32_t)original;
    }
    if (hp->rope_scaling != PL_ROPE_YARN) return PL_OK;
    hp->rope_attn_factor *= (float)pl_yarn_magnitude(hp);
    PL_TRY(read_float(r, yarn_magnitude_key, 0, 1e3, &hp->rope_attn_factor));
    PL_TRY(read_float(r, yarn_fast_key, 0, 1e6, &hp->yarn_fast));
    return read_float(r, yarn_slow_key, 0, 1e6, &hp->yarn_slow);
}

/* A flag for every layer, or a number n: every n-th has no window. */
static pl_status read_pattern(reader *r, pl_arena *arena, pl_hparams *hp)
{
    pl_arch_default_windows(r->arch, hp);
    if (!hp->window || !has_key(r, pattern_key)) return PL_OK;
    const uint8_t *flags = r->list ? r->list->windows : NULL;
    int bytes = 1;
    if (r->g) {
        pl_gguf_kv *kv = pl_gguf_find(r->g, r->key);
        bytes = pl_gguf_scalar_bytes(kv->element);
        if (kv->type != PL_META_ARRAY) {
            int64_t period;
            PL_TRY(pl_gguf_int(r->g, r->key, true, 0, INT32_MAX, 0, &period));
            pl_arch every = { .windows_period = (int)period };
            pl_arch_default_windows(&every, hp);
            return PL_OK;
        }
        if (kv->count != hp->layers || !bytes)
            return pl_fail(PL_E_INPUT, "%s: the key '%s' should have %d truth values, one for each layer",
                           r->origin, r->key, hp->layers);
        void *raw;
        PL_TRY(pl_gguf_bytes(r->g, kv, arena, &raw));
        kv->used = true;
        flags = raw;
    }
    for (int i = 0; i < hp->layers; i++) {
        bool window = false;
        for (int k = 0; k < bytes; k++) window |= flags[i * bytes + k] != 0;
        hp->layer[i] = window ? PL_LAYER_WINDOW : 0;
    }
    return PL_OK;
}

static pl_status read_all(reader *r, pl_arena *arena, pl_hparams *hp)
{
    for (int i = 0; i < PL_COUNT(rows); i++) PL_TRY(read_row(r, &rows[i], hp));
    PL_TRY(check_heads(r, hp));
    if (in_list(r->arch->also, scale_key)) PL_TRY(read_float(r, scale_key, 0, 1e3, &hp->attn_scale));
    PL_TRY(read_scaling(r, arena, hp));
    PL_TRY(read_pattern(r, arena, hp));
    return r->arch->derive ? r->arch->derive(hp, r->origin) : PL_OK;
}

pl_status pl_gguf_keys_read(const pl_gguf *g, const pl_arch *arch, pl_arena *arena, pl_model *model)
{
    reader r = { .g = g, .arch = arch, .origin = g->path };
    pl_hparams *hp = &model->hp;
    if (arch->fixed) arch->fixed(hp);
    if (model->vocab) hp->vocab = model->vocab->count;
    else if (!has_key(&r, PL_GGUF_VOCAB_SIZE))
        return pl_fail(PL_E_INPUT, "%s: the key '%s' is missing", g->path, r.key);
    PL_TRY(refuse_variants(&r));
    PL_TRY(read_causal(&r, hp));
    PL_TRY(read_all(&r, arena, hp));
    if (model->vocab && hp->vocab != model->vocab->count)
        return pl_fail(PL_E_INPUT, "%s: %s says %d tokens, the vocabulary has %d", g->path,
                       name_key(&r, PL_GGUF_VOCAB_SIZE), hp->vocab, model->vocab->count);
    return PL_OK;
}

/* Factors by tensors, or by keys, not by both; only longrope multiplies without yarn. */
static pl_status settle_scaling(pl_hparams *hp, bool freqs, bool factors, const char *origin)
{
    if (((freqs || factors) && (hp->rope_scaling == PL_ROPE_LINEAR || hp->rope_scaling == PL_ROPE_YARN)) ||
        (freqs && factors))
        return pl_fail(PL_E_INPUT, "%s: rotary frequencies are scaled in more than one way", origin);
    if (hp->rope_scaling == PL_ROPE_LONGROPE && !factors)
        return pl_fail(PL_E_INPUT, "%s: rotary scaling is longrope, but its factors are missing", origin);
    if (freqs) hp->rope_scaling = PL_ROPE_LLAMA3;
    if (factors) hp->rope_scaling = PL_ROPE_LONGROPE;
    if (factors && hp->rope_attn_factor == 0) hp->rope_attn_factor = 1;
    if (factors || hp->rope_attn_factor == 0 || hp->rope_scaling == PL_ROPE_YARN) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: rope.scaling.attn_factor is %g, which is not supported without yarn or "
                   "longrope", origin, (double)hp->rope_attn_factor);
}

pl_status pl_gguf_keys_settle(pl_model *model, const char *origin)
{
    bool freqs = pl_model_find(model, pl_id_make(PL_ROPE_FREQS, -1, -1)) >= 0;
    bool factors = pl_model_find(model, pl_id_make(PL_ROPE_LONG, -1, -1)) >= 0;
    model->hp.tied = pl_model_find(model, pl_id_make(PL_OUTPUT, -1, -1)) < 0;
    return settle_scaling(&model->hp, freqs, factors, origin);
}

/* ---- writing ---- */

static void add(pl_gguf_keys *keys, const char *name, int type, double number, const char *text)
{
    keys->key[keys->count++] = (pl_gguf_key){ name, is_whole(name), (uint8_t)type, number, text };
}

/* Numbers that the file must have, or whose absence would mean another one. */
static void list_rows(const pl_arch *arch, const pl_hparams *hp, pl_gguf_keys *out)
{
    pl_hparams fixed = { 0 };
    if (arch->fixed) arch->fixed(&fixed);
    for (int i = 0; i < PL_COUNT(rows); i++) {
        const key_row *row = &rows[i];
        double value = get_field(row, hp);
        if (!is_known(row, arch) || (row->of && !row->of(arch, hp))) continue;
        if (row->required || in_list(arch->keys, row->name) ||
            value != (row->assumed ? row->assumed(hp) : get_field(row, &fixed)))
            add(out, row->name, row->type, value, NULL);
    }
}

static void list_scaling(const pl_arch *arch, const pl_hparams *hp, pl_gguf_keys *out)
{
    bool yarn = hp->rope_scaling == PL_ROPE_YARN;
    double magnitude = (double)hp->rope_attn_factor;
    if (yarn || hp->rope_scaling == PL_ROPE_LINEAR) {
        add(out, PL_GGUF_ROPE_SCALING, PL_META_STRING, 0, yarn ? "yarn" : "linear");
        add(out, PL_GGUF_ROPE_FACTOR, PL_META_F32, (double)hp->rope_factor, NULL);
    }
    if (with_original(arch, hp)) add(out, original_key, PL_META_U32, hp->rope_context, NULL);
    if (hp->rope_scaling == PL_ROPE_LONGROPE) add(out, magnitude_key, PL_META_F32, magnitude, NULL);
    if (!yarn) return;
    if (magnitude != 0) {       /* the second is what llama.cpp multiplies its own rule by */
        add(out, yarn_magnitude_key, PL_META_F32, magnitude, NULL);
        add(out, magnitude_key, PL_META_F32, magnitude / pl_yarn_magnitude(hp), NULL);
    }
    if (hp->yarn_fast > 0) add(out, yarn_fast_key, PL_META_F32, (double)hp->yarn_fast, NULL);
    if (hp->yarn_slow > 0) add(out, yarn_slow_key, PL_META_F32, (double)hp->yarn_slow, NULL);
}

/* A scale of q k that is not the one which the architecture derives. */
static pl_status list_scale(const pl_arch *arch, const pl_hparams *hp, pl_gguf_keys *out)
{
    pl_hparams derived = *hp;
    derived.attn_scale = 0;
    if (!in_list(arch->also, scale_key)) return PL_OK;
    PL_TRY(arch->derive(&derived, arch->name));
    if (derived.attn_scale != hp->attn_scale)
        add(out, scale_key, PL_META_F32, (double)hp->attn_scale, NULL);
    return PL_OK;
}

static void list_windows(const pl_arch *arch, const pl_hparams *hp, pl_gguf_keys *out)
{
    pl_hparams assumed = *hp;
    bool differ = false;
    pl_arch_default_windows(arch, &assumed);
    for (int i = 0; i < hp->layers; i++) {
        out->windows[i] = (hp->layer[i] & PL_LAYER_WINDOW) != 0;
        differ |= ((hp->layer[i] ^ assumed.layer[i]) & PL_LAYER_WINDOW) != 0;
    }
    if (differ) add(out, pattern_key, PL_META_ARRAY, 0, NULL);
}

/* Are two models of an architecture the same function? */
static pl_status compare(const pl_arch *arch, const pl_hparams *model, const pl_hparams *file)
{
#define FIELD(name) { #name, offsetof(pl_hparams, name), sizeof model->name }
    static const struct { const char *name; size_t at, size; } fields[] = {
        FIELD(norm), FIELD(act), FIELD(embd_scale), FIELD(attn_scale), FIELD(attn_softcap),
        FIELD(logit_softcap), FIELD(rope_dim), FIELD(rope_base), FIELD(rope_base_window),
        FIELD(rope_scaling), FIELD(rope_attn_factor), FIELD(yarn_fast), FIELD(yarn_slow),
        FIELD(experts), FIELD(experts_used), FIELD(expert_ffn), FIELD(shared_ffn), FIELD(expert_renorm),
        FIELD(encoder), FIELD(pooling), FIELD(token_types), FIELD(window),
    };
    for (int i = 0; i < PL_COUNT(fields); i++)
        if (memcmp((const char *)model + fields[i].at, (const char *)file + fields[i].at, fields[i].size))
            return pl_fail(PL_E_WISH, "GGUF cannot say that this %s model has %s unlike others",
                           arch->name, fields[i].name);
    for (int i = 0; i < model->layers; i++)
        if (model->layer[i] != file->layer[i])
            return pl_fail(PL_E_WISH, "GGUF cannot say that layer %d of this %s model has %s, unlike "
                           "others", i, arch->name, (model->layer[i] ^ file->layer[i]) & PL_LAYER_NO_ROPE
                           ? "positions or has none" : "a window or has none");
    return PL_OK;
}

/* The list is read again as a file would be. */
static pl_status read_back(const pl_arch *arch, const pl_hparams *hp, const pl_gguf_keys *list)
{
    pl_hparams file = { .vocab = hp->vocab };
    reader r = { .list = list, .arch = arch, .origin = arch->name };
    if (arch->fixed) arch->fixed(&file);
    pl_status code = read_all(&r, NULL, &file);
    if (code == PL_OK)
        code = settle_scaling(&file, hp->rope_scaling == PL_ROPE_LLAMA3,
                              hp->rope_scaling == PL_ROPE_LONGROPE, arch->name);
    if (code != PL_OK) return pl_fail_prefix(PL_E_WISH, "GGUF cannot hold the model: ");
    return compare(arch, hp, &file);
}

pl_status pl_gguf_keys_list(const pl_arch *arch, const pl_hparams *hp, pl_gguf_keys *out)
{
    *out = (pl_gguf_keys){ .layers = hp->layers };
    list_rows(arch, hp, out);
    list_scaling(arch, hp, out);
    list_windows(arch, hp, out);
    PL_TRY(list_scale(arch, hp, out));
    if (hp->encoder) add(out, causal_key, PL_META_BOOL, 0, NULL);
    return read_back(arch, hp, out);
}

void pl_gguf_keys_add_vocab(pl_gguf_keys *keys, int32_t tokens)
{
    for (int i = 0; i < keys->count; i++)
        if (!strcmp(keys->key[i].name, PL_GGUF_VOCAB_SIZE)) return;
    add(keys, PL_GGUF_VOCAB_SIZE, PL_META_U32, tokens, NULL);
}

void pl_gguf_keys_warn(const pl_arch *arch, const pl_gguf_keys *keys)
{
    for (int i = 0; i < keys->count; i++) {
        const pl_gguf_key *key = &keys->key[i];
        bool window = !strcmp(key->name, window_key) && key->number > 0 && !arch->windows_period;
        if (window || !strcmp(key->name, scale_key) || !strcmp(key->name, yarn_fast_key) ||
            !strcmp(key->name, yarn_slow_key))
            pl_log(PL_LOG_WARN, "llama.cpp ignores the key '%s.%s': it computes something else than this "
                   "model%s", arch->name, key->name, window ? " for texts longer than the window" : "");
    }
}
