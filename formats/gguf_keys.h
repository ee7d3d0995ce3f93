/* gguf_keys.h: hyper-parameters as GGUF's "<architecture>.*" keys. */
#ifndef FORMATS_GGUF_KEYS_H
#define FORMATS_GGUF_KEYS_H

#include "formats/arch.h"
#include "formats/gguf.h"

/* Fills model->hp from the keys of a scanned file: the architecture's fixed part, the keys, then what
 * the architecture derives. Comes behind the vocabulary, whose size is checked. PL_E_INPUT for a number
 * out of range and for keys that would make a runtime compute something we do not. */
pl_status pl_gguf_keys_read(const pl_gguf *g, const pl_arch *arch, pl_arena *arena, pl_model *model);

enum { PL_GGUF_MAX_KEYS = 48 };
typedef struct pl_gguf_key {
    const char *name;           /* behind "<architecture>." */
    uint8_t type;               /* PL_META_U32, _F32, _BOOL or _STRING */
    double number;              /* a bool: 0 or 1 */
    const char *text;
} pl_gguf_key;

/* The keys that a file of this model gets, in their order; returns their number. */
int pl_gguf_keys_list(const pl_arch *arch, const pl_hparams *hp, pl_gguf_key out[PL_GGUF_MAX_KEYS]);

#endif
