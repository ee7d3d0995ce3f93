/* arch.h: architectures: which tensor plays which role under which name. One file per architecture;
 * no other code compares tensor names. */
#ifndef FORMATS_ARCH_H
#define FORMATS_ARCH_H

#include "core/json.h"
#include "core/model.h"

/* One role and its names. "%d" stands for the layer; NULL: this naming has no such tensor. */
typedef struct pl_arch_tensor {
    int role;                   /* PL_BIAS added for a bias vector; -1: known, but of no use to us */
    const char *hf, *gguf;      /* "model.layers.%d.self_attn.q_proj.weight", "blk.%d.attn_q.weight" */
    bool required;
    const char *flag;           /* key of config.json that is true if an optional one is there, or NULL */
    /* Rows, cols from the hyper-parameters; cols 1: a vector. */
    int64_t (*rows)(const pl_hparams *hp);
    int64_t (*cols)(const pl_hparams *hp);
    /* Size of a head if GGUF wants the rows with interleaved rotary pairs, else NULL. */
    int32_t (*order)(const pl_hparams *hp);
} pl_arch_tensor;

typedef struct pl_arch {
    const char *name;           /* GGUF's general.architecture: "llama" */
    const char *const *hf;      /* architectures of config.json it covers, NULL ends */
    const pl_arch_tensor *tensor;
    int tensors;
    /* config.json -> hyper-parameters, all ranges checked. Options that would change the function in
     * a way we do not implement are PL_E_INPUT, naming key and value. */
    pl_status (*config)(const pl_json *config, const char *origin, pl_hparams *hp);
} pl_arch;

extern const pl_arch pl_arch_llama;

/* NULL when unknown; the list for error messages. */
const pl_arch *pl_arch_find(const char *gguf_name);
const pl_arch *pl_arch_find_hf(const char *architecture);
const char *pl_arch_list(void);

/* Identity of a tensor name in one naming; false if the architecture does not know it. Role -1: a
 * tensor to be passed over. */
typedef enum pl_naming { PL_NAMES_HF, PL_NAMES_GGUF } pl_naming;
bool pl_arch_identify(const pl_arch *arch, pl_naming naming, const char *name, pl_id *id);
/* The reverse; NULL if the architecture has no such tensor. Memory from arena. */
const char *pl_arch_name(const pl_arch *arch, pl_naming naming, pl_id id, pl_arena *arena);
const pl_arch_tensor *pl_arch_row(const pl_arch *arch, int role);
/* Given all tensors of a model and their index (pl_model_index comes first): shapes as the table
 * says, none missing (output may be absent when tied), optional ones in all layers or none. Counts
 * model->parameters. PL_E_INPUT names the tensor, expected and found shape. */
pl_status pl_arch_check(const pl_arch *arch, pl_model *model, const char *origin);

#endif
