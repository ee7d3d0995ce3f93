/* arch_smollm3.c: SmolLM3: Llama in which some layers know no positions. */
#include "formats/arch_config.h"
#include "formats/arch_rows.h"

static const pl_arch_tensor tensors[] = {
    PL_ROWS_TABLES,
    PL_ROWS_NORMS,
    PL_ROWS_QK(.order = pl_order_heads),
    PL_ROWS_VO,
    PL_ROWS_MLP(),
};

static void every_nth(pl_hparams *hp, int32_t n)
{
    for (int i = 0; i < hp->layers; i++)
        if ((i + 1) % n == 0) hp->layer[i] |= PL_LAYER_NO_ROPE;
}

/* GGUF does not say which. */
static pl_status derive(pl_hparams *hp, const char *origin)
{
    every_nth(hp, 4);
    return PL_OK;
}

/* A list of at least as many numbers as there are layers: 1 for positions, 0 for none. */
static pl_status no_rope_layers(const pl_config *c)
{
    const pl_json *list = pl_json_get(c->json, "no_rope_layers");
    int32_t interval = 4;
    PL_TRY(pl_config_int(c, "no_rope_layer_interval", false, 1, INT32_MAX, &interval));
    if (!list) {
        every_nth(c->hp, interval);
        return PL_OK;
    }
    if (!pl_json_is(list, PL_JSON_ARRAY) || pl_json_count(list) < c->hp->layers)
        return pl_fail(PL_E_INPUT, "%s: 'no_rope_layers' should be a list of %d numbers", c->origin,
                       c->hp->layers);
    const pl_json *at = pl_json_first(list);
    for (int i = 0; i < c->hp->layers; i++, at = pl_json_next(at)) {
        int64_t rope;
        PL_TRY(pl_json_as_int(at, 0, 1, c->origin, "no_rope_layers", &rope));
        if (!rope) c->hp->layer[i] |= PL_LAYER_NO_ROPE;
    }
    return PL_OK;
}

/* Layers without positions have the window, if there is one. */
static pl_status windows(const pl_config *c)
{
    pl_hparams *hp = c->hp;
    bool use = false;
    PL_TRY(pl_config_bool(c, "use_sliding_window", &use));
    if (use) PL_TRY(pl_config_int(c, "sliding_window", false, 1, INT32_MAX, &hp->window));
    for (int i = 0; i < hp->layers && hp->window; i++)
        if (hp->layer[i] & PL_LAYER_NO_ROPE) hp->layer[i] |= PL_LAYER_WINDOW;
    return pl_config_layer_types(c);
}

static pl_status read_config(const pl_json *json, const char *origin, pl_hparams *hp)
{
    static const char *const refused[] = { "attention_bias", "mlp_bias" };
    pl_config c = pl_config_begin(&pl_arch_smollm3, json, origin, hp);
    hp->tied = true;
    hp->rope_base = 2e6f;
    PL_TRY(pl_config_refuse(&c, refused, PL_COUNT(refused)));
    PL_TRY(pl_config_decoder(&c));
    PL_TRY(pl_config_rope(&c, PL_CONFIG_YARN));
    PL_TRY(no_rope_layers(&c));
    return windows(&c);
}

static const char *const classes[] = { "SmolLM3ForCausalLM", NULL };
static const char *const keys[] = { "attention.head_count_kv", "rope.dimension_count", "rope.freq_base",
                                    "vocab_size", NULL };
static const char *const also[] = { "attention.sliding_window", NULL };

const pl_arch pl_arch_smollm3 = {
    .name = "smollm3",
    .hf = classes,
    .tensor = tensors,
    .tensors = PL_COUNT(tensors),
    .config = read_config,
    .derive = derive,
    .keys = keys,
    .also = also,
};
