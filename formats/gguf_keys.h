/* gguf_keys.h: hyper-parameters as GGUF's "<architecture>.*" keys. */
#ifndef FORMATS_GGUF_KEYS_H
#define FORMATS_GGUF_KEYS_H

#include "formats/arch.h"
#include "formats/gguf.h"

/* Fills model->hp from the keys of a scanned file: the architecture's fixed part, the keys, then what
 * the architecture derives. Comes behind the vocabulary, whose size is checked. PL_E_INPUT for a number
 * out of range and for keys that would make a runtime compute something we do not. */
pl_status pl_gguf_keys_read(const pl_gguf *g, const pl_arch *arch, pl_arena *arena, pl_model *model);
/* What no key tells but the tensors, once they are indexed: is the output matrix the token table, and do
 * rotary factors divide the frequencies? */
pl_status pl_gguf_keys_settle(pl_model *model, const char *origin);

enum { PL_GGUF_MAX_KEYS = 48 };
typedef struct pl_gguf_key {
    const char *name;           /* behind "<architecture>.", unless `whole` */
    bool whole;
    uint8_t type;               /* PL_META_U32, _F32, _BOOL, _STRING, or _ARRAY: of bools */
    double number;              /* a bool: 0 or 1 */
    const char *text;
} pl_gguf_key;

typedef struct pl_gguf_keys {
    pl_gguf_key key[PL_GGUF_MAX_KEYS];
    int count;
    int32_t layers;
    uint8_t windows[PL_MAX_LAYERS];     /* the one array: 1 for a layer with a window */
} pl_gguf_keys;

/* The keys that a file of this model gets, in their order. PL_E_WISH if its readers would compute another
 * function than the model: then it has a property that GGUF leaves to the architecture, unlike others
 * of the architecture. */
pl_status pl_gguf_keys_list(const pl_arch *arch, const pl_hparams *hp, pl_gguf_keys *out);
/* The number of tokens, if it is not listed: for a file without a vocabulary, which would tell it. */
void pl_gguf_keys_add_vocab(pl_gguf_keys *keys, int32_t tokens);
/* Says so (pl_log) if llama.cpp ignores one of them, which we ourselves follow. */
void pl_gguf_keys_warn(const pl_arch *arch, const pl_gguf_keys *keys);

/* ---- gguf_model.c ---- */

/* Architecture, name, vocabulary (its memory from vocab_arena; `pre` as in pl_gguf_vocab) and hyper-parameters of a
 * scanned file. */
pl_status pl_gguf_model_read(const pl_gguf *g, const char *pre, pl_arena *arena, pl_arena *vocab_arena, pl_model *model,
                             const pl_arch **out);
/* Comes last: what nobody understood goes to the sink as it is, in the file's order. */
pl_status pl_gguf_carry_over(const pl_gguf *g, pl_arena *arena, pl_model *model);

#endif
