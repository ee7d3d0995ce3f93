/* arch_rope.c: rotary positions in config.json. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/arch_config.h"

/* The object of rotary options; nested ones are those of layers with full attention. */
typedef struct rope_options {
    const pl_json *json;        /* NULL: there are none */
    const pl_json *window;      /* of layers with a window, NULL if not nested */
    char name[512];             /* file and key, for sentences */
} rope_options;

static pl_status find_options(const pl_json *config, const char *origin, rope_options *out)
{
    const pl_json *older = pl_json_get(config, "rope_scaling");
    const pl_json *newer = pl_json_get(config, "rope_parameters");
    const char *key = newer ? "rope_parameters" : "rope_scaling";
    *out = (rope_options){ .json = newer ? newer : older };
    if (older && newer && !pl_json_same(older, newer))
        return pl_fail(PL_E_INPUT, "%s: 'rope_scaling' and 'rope_parameters' disagree", origin);
    if (out->json && !pl_json_is(out->json, PL_JSON_OBJECT))
        return pl_fail(PL_E_INPUT, "%s: '%s' should be an object or null", origin, key);
    snprintf(out->name, sizeof out->name, "%.400s: %s", origin, key);
    const pl_json *full = pl_json_get(out->json, "full_attention");
    out->window = pl_json_get(out->json, "sliding_attention");
    if (full || out->window) out->json = full;
    if ((full && !pl_json_is(full, PL_JSON_OBJECT)) ||
        (out->window && !pl_json_is(out->window, PL_JSON_OBJECT)))
        return pl_fail(PL_E_INPUT, "%s: both kinds of layers should have an object", out->name);
    return PL_OK;
}

/* "default" if nothing is said; older files call the key 'type'. */
static pl_status type_of(const pl_json *options, const char *name, const char **out)
{
    *out = "default";
    if (!options) return PL_OK;
    PL_TRY(pl_json_string(options, "type", false, name, out));
    return pl_json_string(options, "rope_type", false, name, out);
}

/* ---- kinds of scaling ---- */

static pl_status read_llama3(const pl_config *o)
{
    pl_hparams *hp = o->hp;
    hp->rope_scaling = PL_ROPE_LLAMA3;
    PL_TRY(pl_config_number(o, "factor", true, 1, 1e6, &hp->rope_factor));
    PL_TRY(pl_config_number(o, "low_freq_factor", true, 1e-3, 1e6, &hp->rope_low));
    PL_TRY(pl_config_number(o, "high_freq_factor", true, 1e-3, 1e6, &hp->rope_high));
    PL_TRY(pl_config_int(o, "original_max_position_embeddings", true, 1, INT32_MAX, &hp->rope_context));
    if (hp->rope_low >= hp->rope_high)
        return pl_fail(PL_E_INPUT, "%s: low_freq_factor %g should be below high_freq_factor %g",
                       o->origin, (double)hp->rope_low, (double)hp->rope_high);
    return PL_OK;
}

/* The context before it was stretched. Some classes have it beside the options, and it counts then. */
static pl_status original_context(const pl_config *o)
{
    pl_hparams *hp = o->hp;
    if (hp->rope_context) return PL_OK;
    hp->rope_context = hp->context;
    return pl_config_int(o, "original_max_position_embeddings", false, 1, INT32_MAX, &hp->rope_context);
}

/* By how much the context is stretched: said, or what the two contexts say. */
static pl_status stretch(const pl_config *o, float *out)
{
    *out = (float)((double)o->hp->context / o->hp->rope_context);
    return pl_config_number(o, "factor", false, 1, 1e6, out);
}

static double yarn_magnitude(double factor, double scale)
{
    return factor > 1 ? 0.1 * scale * log(factor) + 1 : 1;
}

static pl_status read_yarn(const pl_config *o)
{
    pl_hparams *hp = o->hp;
    float scale = 0, all = 0;
    bool truncate = true;
    hp->rope_scaling = PL_ROPE_YARN;
    PL_TRY(original_context(o));
    PL_TRY(stretch(o, &hp->rope_factor));
    if (!(hp->rope_factor >= 1))
        return pl_fail(PL_E_INPUT, "%s: the context shrinks from %d to %d", o->origin,
                       hp->rope_context, hp->context);
    PL_TRY(pl_config_number(o, "beta_fast", false, 0, 1e6, &hp->yarn_fast));
    PL_TRY(pl_config_number(o, "beta_slow", false, 0, 1e6, &hp->yarn_slow));
    PL_TRY(pl_config_number(o, "mscale", false, 0, 1e3, &scale));
    PL_TRY(pl_config_number(o, "mscale_all_dim", false, 0, 1e3, &all));
    if (scale > 0 && all > 0)
        hp->rope_attn_factor = (float)(yarn_magnitude(hp->rope_factor, scale) /
                                       yarn_magnitude(hp->rope_factor, all));
    PL_TRY(pl_config_number(o, "attention_factor", false, 1e-3, 1e3, &hp->rope_attn_factor));
    PL_TRY(pl_config_bool(o, "truncate", &truncate));
    return truncate ? PL_OK : pl_fail(PL_E_INPUT, "%s: 'truncate' is false, which is not supported",
                                      o->origin);
}

/* Numbers of a list that has one for each rotary pair; out NULL: they are only checked. */
static pl_status read_factors(const pl_json *options, const char *name, const char *key, int32_t count,
                              float *out)
{
    const pl_json *list = pl_json_get(options, key);
    if (!pl_json_is(list, PL_JSON_ARRAY) || pl_json_count(list) != count)
        return pl_fail(PL_E_INPUT, "%s: '%s' should be a list of %d numbers", name, key, count);
    int i = 0;
    for (const pl_json *at = pl_json_first(list); at; at = pl_json_next(at), i++) {
        double value;
        PL_TRY(pl_json_as_number(at, name, key, &value));
        if (!(value >= 1e-3 && value <= 1e6))
            return pl_fail(PL_E_INPUT, "%s: '%s' has %g at place %d, expected 0.001 to 1e6", name, key,
                           value, i);
        if (out) out[i] = (float)value;
    }
    return PL_OK;
}

static pl_status read_longrope(const pl_config *o)
{
    pl_hparams *hp = o->hp;
    float factor;
    hp->rope_scaling = PL_ROPE_LONGROPE;
    PL_TRY(original_context(o));
    PL_TRY(stretch(o, &factor));
    hp->rope_attn_factor = 1;
    if (factor > 1 && hp->rope_context > 1)
        hp->rope_attn_factor = (float)sqrt(1 + log((double)factor) / log(hp->rope_context));
    PL_TRY(pl_config_number(o, "attention_factor", false, 1e-3, 1e3, &hp->rope_attn_factor));
    PL_TRY(read_factors(o->json, o->origin, "long_factor", hp->rope_dim / 2, NULL));
    return read_factors(o->json, o->origin, "short_factor", hp->rope_dim / 2, NULL);
}

static pl_status read_scaling(const pl_config *o, const char *type, unsigned allowed)
{
    if (!strcmp(type, "default")) return PL_OK;
    if (!strcmp(type, "linear")) {
        float factor = 1;
        PL_TRY(pl_config_number(o, "factor", true, 1, 1e6, &factor));
        if (factor == 1) return PL_OK;
        o->hp->rope_scaling = PL_ROPE_LINEAR;
        o->hp->rope_factor = factor;
        return PL_OK;
    }
    if (!strcmp(type, "dynamic")) {         /* a factor of 1 changes nothing */
        float factor = 0;
        PL_TRY(pl_config_number(o, "factor", true, 0, 1e6, &factor));
        if (factor == 1) return PL_OK;
    }
    if (!strcmp(type, "llama3") && allowed & PL_CONFIG_LLAMA3) return read_llama3(o);
    if (!strcmp(type, "yarn") && allowed & PL_CONFIG_YARN) return read_yarn(o);
    /* Phi-3 called it "su" at first, then "yarn", which it never was. */
    bool longrope = !strcmp(type, "longrope") || !strcmp(type, "su") || !strcmp(type, "yarn");
    if (longrope && allowed & PL_CONFIG_LONGROPE) return read_longrope(o);
    return pl_fail(PL_E_INPUT, "%s: rope_type '%.40s' is not supported here; known are default, linear"
                   "%s%s%s", o->origin, type, allowed & PL_CONFIG_LLAMA3 ? ", llama3" : "",
                   allowed & PL_CONFIG_YARN ? ", yarn" : "",
                   allowed & PL_CONFIG_LONGROPE ? ", longrope" : "");
}

/* ---- all of it ---- */

/* The share of a head that rotates, in the options or beside them. */
static pl_status read_partial(const pl_config *c, const pl_config *options, unsigned allowed)
{
    const pl_config *at[] = { c, options };
    double share = 1;
    for (int i = 0; i < PL_COUNT(at); i++)
        if (at[i]->json)
            PL_TRY(pl_json_number(at[i]->json, "partial_rotary_factor", false, at[i]->origin, &share));
    if (share == 1) return PL_OK;
    int32_t dim = share > 0 && share < 1 ? (int32_t)(c->hp->head_dim * share) : 0;
    if (!(allowed & PL_CONFIG_PARTIAL) || dim < 2 || dim % 2)
        return pl_fail(PL_E_INPUT, "%s: partial_rotary_factor %g of heads of size %d is not supported",
                       c->origin, share, c->hp->head_dim);
    c->hp->rope_dim = dim;
    return PL_OK;
}

/* Layers with a window: a base, and no scaling. */
static pl_status read_window(const pl_config *c, const rope_options *o, unsigned allowed)
{
    const char *type;
    pl_config options = { o->window, o->name, c->hp };
    if (!(allowed & PL_CONFIG_WINDOW_BASE))
        return pl_fail(PL_E_INPUT, "%s: other rotary options for layers with a window are not supported "
                       "here", o->name);
    PL_TRY(type_of(o->window, o->name, &type));
    if (strcmp(type, "default"))
        return pl_fail(PL_E_INPUT, "%s: rope_type '%.40s' is not supported for layers with a window",
                       o->name, type);
    return pl_config_number(&options, "rope_theta", false, 1, 1e15, &c->hp->rope_base_window);
}

pl_status pl_config_rope(const pl_config *c, unsigned allowed)
{
    pl_hparams *hp = c->hp;
    rope_options o;
    const char *type;
    PL_TRY(find_options(c->json, c->origin, &o));
    pl_config options = { o.json, o.name, hp };
    if (hp->rope_base == 0) hp->rope_base = 10000;
    PL_TRY(pl_config_number(c, "rope_theta", false, 1, 1e15, &hp->rope_base));
    if (allowed & PL_CONFIG_WINDOW_BASE)
        PL_TRY(pl_config_number(c, "rope_local_base_freq", false, 1, 1e15, &hp->rope_base_window));
    PL_TRY(read_partial(c, &options, allowed));
    if (o.window) PL_TRY(read_window(c, &o, allowed));
    if (!o.json) return PL_OK;
    PL_TRY(pl_config_number(&options, "rope_theta", false, 1, 1e15, &hp->rope_base));
    PL_TRY(type_of(o.json, o.name, &type));
    return read_scaling(&options, type, allowed);
}

/* ---- factors ---- */

/* Llama 3: 1 for short waves, all of the factor for long ones, a ramp between. */
static float llama3_factor(const pl_hparams *hp, int pair)
{
    double context = hp->rope_context, low = (double)hp->rope_low, high = (double)hp->rope_high;
    double factor = (double)hp->rope_factor;
    double wave = 2 * M_PI * pow((double)hp->rope_base, 2.0 * pair / hp->rope_dim);
    if (wave < context / high) return 1;
    if (wave > context / low) return (float)factor;
    double ramp = (context / wave - low) / (high - low);
    return (float)(1 / ((1 - ramp) / factor + ramp));
}

pl_status pl_arch_rope_factors(const pl_json *config, const pl_hparams *hp, int role, float *out)
{
    if (role == PL_ROPE_FREQS) {
        for (int i = 0; i < hp->rope_dim / 2; i++) out[i] = llama3_factor(hp, i);
        return PL_OK;
    }
    rope_options o;
    PL_TRY(find_options(config, "config.json", &o));
    const char *key = role == PL_ROPE_LONG ? "long_factor" : "short_factor";
    return read_factors(o.json, o.name, key, hp->rope_dim / 2, out);
}
