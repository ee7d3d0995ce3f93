/* arch_config.h: what the readers of config.json share. Names, defaults and meaning are those of the
 * transformers library. Only arch_*.c and the Hugging Face source include it. */
#ifndef FORMATS_ARCH_CONFIG_H
#define FORMATS_ARCH_CONFIG_H

#include "formats/arch.h"

/* One configuration on its way into hyper-parameters. All functions below fail with PL_E_INPUT, naming
 * file, key and value. */
typedef struct pl_config {
    const pl_json *json;
    const char *origin;
    pl_hparams *hp;
} pl_config;

/* Begins with what the architecture fixes. */
pl_config pl_config_begin(const pl_arch *arch, const pl_json *json, const char *origin, pl_hparams *hp);

/* Is this the first of 'architectures'? */
bool pl_config_is(const pl_config *c, const char *class_name);
/* Is the key there, if only as null? Null often means "none", absence a default. */
bool pl_config_has(const pl_config *c, const char *key);

/* A number in [low, high]; an optional one that is absent or null stays as it is. */
pl_status pl_config_int(const pl_config *c, const char *key, bool required, int64_t low, int64_t high,
                        int32_t *out);
pl_status pl_config_number(const pl_config *c, const char *key, bool required, double low, double high,
                           float *out);
pl_status pl_config_bool(const pl_config *c, const char *key, bool *out);
/* The same for an option whose null means 0 and whose absence leaves *out as it is. */
pl_status pl_config_int_or_none(const pl_config *c, const char *key, int64_t low, int64_t high,
                                int32_t *out);
pl_status pl_config_number_or_none(const pl_config *c, const char *key, double low, double high,
                                   float *out);
/* Options that change the function in a way nobody here implements: none of them may be true. */
pl_status pl_config_refuse(const pl_config *c, const char *const *keys, int count);

/* Sizes, under the names that most use; a size that is not 0 before is a default. Heads rotate whole. */
pl_status pl_config_sizes(const pl_config *c);
/* The consistency of sizes that were read under other names: heads, head_dim, rows of all heads. */
pl_status pl_config_check_sizes(const pl_config *c);
/* 'silu', 'gelu_pytorch_tanh', ...; absent: as the architecture fixes it. */
pl_status pl_config_activation(const pl_config *c, const char *key);
/* What nearly every decoder has: sizes, rms_norm_eps (default: hp->norm_eps, or 1e-6), tied tables,
 * hidden_act. */
pl_status pl_config_decoder(const pl_config *c);

enum {                          /* what of rotary positions an architecture may use */
    PL_CONFIG_LLAMA3 = 1,
    PL_CONFIG_YARN = 2,
    PL_CONFIG_LONGROPE = 4,
    PL_CONFIG_PARTIAL = 8,      /* part of a head rotates */
    PL_CONFIG_WINDOW_BASE = 16  /* layers with a window have a base of their own: hp->rope_base_window */
};
/* rope_theta (default: hp->rope_base, or 10000), rope_scaling of older and rope_parameters of newer
 * files. Linear scaling is always allowed. Comes behind sizes. */
pl_status pl_config_rope(const pl_config *c, unsigned allowed);

/* 'layer_types', if it is there, in place of the flags that were set before. */
pl_status pl_config_layer_types(const pl_config *c);

/* What the Qwen classes share. hp->window: 'sliding_window', if 'use_sliding_window'; *first:
 * 'max_window_layers', which each class means in a way of its own. */
pl_status pl_config_qwen_window(const pl_config *c, int32_t *first);
/* Experts, in every layer. */
pl_status pl_config_qwen_experts(const pl_config *c);
/* pl_arch.derive of architectures that always have experts. */
pl_status pl_arch_needs_experts(pl_hparams *hp, const char *origin);

/* Factors that divide rotary frequencies and that checkpoints hold as numbers of their configuration:
 * PL_ROPE_FREQS of llama3, PL_ROPE_LONG and PL_ROPE_SHORT of longrope. hp: as read from this
 * configuration; out[rope_dim / 2]. */
pl_status pl_arch_rope_factors(const pl_json *config, const pl_hparams *hp, int role, float *out);

#endif
