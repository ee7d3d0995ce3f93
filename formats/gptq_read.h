/* gptq_read.h: weights of whole-number codes in GPTQ's and AWQ's folders: X.qweight, X.scales, X.qzeros, X.g_idx. */
#ifndef FORMATS_GPTQ_READ_H
#define FORMATS_GPTQ_READ_H

#include "core/json.h"
#include "formats/hf_parts.h"

typedef struct pl_gptq {
    bool there;                 /* false: no such folder */
    bool awq;
    bool symmetric;             /* config.json says so: all zero points are the middle of the codes */
    bool unordered;             /* columns of a group may stand anywhere (desc_act) */
    uint8_t less;               /* zero points are stored less so much */
    int32_t bits, width;        /* width: columns that share a scale; 0: all */
    const pl_json *config;      /* as long as that is there */
} pl_gptq;

/* What config.json says. PL_E_INPUT for what cannot be read: other layouts of AWQ, of GPTQ, other widths. */
pl_status pl_gptq_config(const pl_json *config, const char *origin, pl_gptq *out);
/* Does this tensor belong to a weight that has codes? */
bool pl_gptq_consumes(const pl_gptq *gptq, const pl_st_set *set, const pl_st_tensor *t);
/* "X.qweight" becomes "X.weight". */
void pl_gptq_rename(const pl_gptq *gptq, char *name);
/* Is this a bias of zeros beside codes, which some tools store where the model has none? Reads it. */
pl_status pl_gptq_is_no_bias(const pl_gptq *gptq, const pl_st_set *set, const pl_st_tensor *t, bool *out);
/* The storage type of a weight with codes, its rows of `cols` values each; parts->scales NULL, nothing else set: it has
 * none. PL_E_INPUT names the tensor, what was expected and what was found. */
pl_status pl_gptq_type_read(const pl_gptq *gptq, const pl_st_set *set, const pl_st_tensor *weight, int64_t cols,
                            pl_type *type, int64_t *rows, pl_hf_parts *parts);

#endif
