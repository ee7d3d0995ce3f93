/* ct_read.h: weights with codes in compressed-tensors' folders: X.weight_packed or X.weight of signed bytes,
 * X.weight_scale, and X.weight_shape, X.weight_zero_point or X.weight_global_scale. */
#ifndef FORMATS_CT_READ_H
#define FORMATS_CT_READ_H

#include "core/json.h"
#include "formats/hf_parts.h"

enum { PL_CT_GROUPS = 8 };

typedef struct pl_ct {
    int groups;                 /* 0: no such folder */
    pl_type group[PL_CT_GROUPS];        /* of config_groups; scales of whole numbers: NULL, any floats */
} pl_ct;

/* How one of config_groups says that weights are stored, floats or whole numbers. */
typedef struct pl_ct_weights {
    const pl_json *member;      /* "weights" of the group */
    const char *type, *strategy;
    int64_t bits;
    bool symmetric;
} pl_ct_weights;
/* PL_E_INPUT names what is missing or of another type. */
pl_status pl_ct_read_weights(const pl_json *group, const char *origin, pl_ct_weights *out);

/* What config.json says; no groups if it has no quantization of this kind. PL_E_INPUT for codes in other orders, of
 * other types, or with one scale for a matrix. */
pl_status pl_ct_config(const pl_json *config, const char *origin, pl_ct *out);
/* Does this tensor belong to a weight that has codes, or only to the activations of a quantized run? */
bool pl_ct_consumes(const pl_ct *ct, const pl_st_set *set, const pl_st_tensor *t);
/* "X.weight_packed" becomes "X.weight". */
void pl_ct_rename(const pl_ct *ct, char *name);
/* The storage type of a weight with codes, which has rows of `cols` values; parts->scales NULL, no type: it has none.
 * PL_E_INPUT names the tensor, what was expected and what was found. */
pl_status pl_ct_type_read(const pl_ct *ct, const pl_st_set *set, const pl_st_tensor *weight, int64_t cols,
                          pl_type *type, pl_hf_parts *parts);
/* 4-bit floats as compressed-tensors keeps them: with a number for the whole matrix (nvfp4), or without (mxfp4). */
pl_type pl_ct_fp4(bool nvfp4);

#endif
