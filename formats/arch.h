/* arch.h: architectures: which tensor plays which role under which name, and what a configuration
 * means. One file per architecture; no other code compares tensor names. docs/adding.md walks through
 * one. */
#ifndef FORMATS_ARCH_H
#define FORMATS_ARCH_H

#include "core/json.h"
#include "core/model.h"

/* One role and its names. The first "%d" of a name stands for the layer, a second one for the expert;
 * NULL: this naming has no such tensor. A row whose Hugging Face name has an expert and whose GGUF name
 * has none is stacked in GGUF: one tensor [experts][rows][cols]. Several rows may share a role: other
 * spellings, of which the first is written. */
typedef struct pl_arch_tensor {
    int role;                   /* PL_BIAS added for a bias vector; -1: known, but of no use to us */
    const char *hf, *gguf;      /* "model.layers.%d.self_attn.q_proj.weight", "blk.%d.attn_q.weight" */
    bool required;
    const char *flag;           /* key of config.json that is true if an optional one is there, or NULL */
    bool (*when)(const pl_hparams *hp);         /* NULL, or: does a model like this have it at all? */
    /* Rows, cols from the hyper-parameters; cols 1: a vector. */
    int64_t (*rows)(const pl_hparams *hp);
    int64_t (*cols)(const pl_hparams *hp);
    /* Size of a head if GGUF wants the rows with interleaved rotary pairs, else NULL. */
    int32_t (*order)(const pl_hparams *hp);
    bool keep;                  /* a small matrix on which much depends (a router, positions): never quantized */
    /* How a Hugging Face checkpoint stores it otherwise. */
    bool transposed;            /* as [cols][rows] */
    float offset;               /* to be added to every value: 1 where norms are stored as w - 1 */
} pl_arch_tensor;

typedef struct pl_arch {
    const char *name;           /* GGUF's general.architecture: "llama" */
    const char *const *hf;      /* architectures of config.json it covers, NULL ends */
    const char *prefix;         /* some checkpoints put this before every name, or NULL */
    const pl_arch_tensor *tensor;
    int tensors;
    /* What the architecture fixes (norms, activation), and defaults of numbers that a file may leave
     * out. Comes first, for every kind of file; NULL: RMS norms, SiLU. */
    void (*fixed)(pl_hparams *hp);
    /* config.json -> hyper-parameters, all ranges checked. Options that would change the function in
     * a way we do not implement are PL_E_INPUT, naming key and value. */
    pl_status (*config)(const pl_json *config, const char *origin, pl_hparams *hp);
    /* Comes last for GGUF: what its keys leave to the runtime, as which layers have a window. NULL:
     * nothing. */
    pl_status (*derive)(pl_hparams *hp, const char *origin);
    /* GGUF keys, without "<name>.", that its files carry even where a default would do, and others that
     * they may have beside those which all architectures share (gguf_keys.c); NULL ends, or none. */
    const char *const *keys, *const *also;
    /* Where GGUF says that there is a window but not in which layers: n if every n-th layer has none,
     * as n - 1, 2n - 1, ...; 0 if all have it, in which case llama.cpp ignores it. */
    int windows_period;
} pl_arch;

extern const pl_arch pl_arch_llama, pl_arch_qwen2, pl_arch_qwen2moe, pl_arch_qwen3, pl_arch_qwen3moe,
    pl_arch_gemma, pl_arch_gemma2, pl_arch_gemma3, pl_arch_phi3, pl_arch_smollm3, pl_arch_gpt2,
    pl_arch_bert;

/* All of them, NULL ends. */
extern const pl_arch *const pl_archs[];
/* NULL when unknown; the list for error messages. */
const pl_arch *pl_arch_find(const char *gguf_name);
const pl_arch *pl_arch_find_hf(const char *architecture);
const char *pl_arch_list(void);

/* Identity of a tensor name in one naming; false if the architecture does not know it. Role -1: a
 * tensor to be passed over. Expert -1 of a stacked tensor of GGUF: all of them. */
typedef enum pl_naming { PL_NAMES_HF, PL_NAMES_GGUF } pl_naming;
bool pl_arch_identify(const pl_arch *arch, pl_naming naming, const char *name, pl_id *id);
/* The reverse; NULL if the architecture has no such tensor. Experts of a stacked tensor share its
 * name. Memory from arena. */
const char *pl_arch_name(const pl_arch *arch, pl_naming naming, pl_id id, pl_arena *arena);
/* The first row of a role, NULL if there is none. */
const pl_arch_tensor *pl_arch_row(const pl_arch *arch, int role);
/* The same, of those that have a layer and an expert where the identity has them: a dense feed-forward
 * and that of an expert have the same roles. */
const pl_arch_tensor *pl_arch_row_of(const pl_arch *arch, pl_id id);
/* Does a layer have one per expert, and does GGUF keep these in one stacked tensor? */
bool pl_arch_per_expert(const pl_arch_tensor *row);
bool pl_arch_stacked(const pl_arch_tensor *row);
/* Flags of windows in hp->layer as GGUF assumes them for the architecture; none if hp->window is 0. */
void pl_arch_default_windows(const pl_arch *arch, pl_hparams *hp);
/* Given all tensors of a model and their index (pl_model_index comes first): shapes as the table
 * says, none missing (output may be absent when tied), optional ones in all layers or none. Counts
 * model->parameters; rotary factors do not count. PL_E_INPUT names the tensor, expected and found
 * shape. */
pl_status pl_arch_check(const pl_arch *arch, pl_model *model, const char *origin);

#endif
