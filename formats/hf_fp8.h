/* hf_fp8.h: 8-bit floats in Hugging Face checkpoints: what config.json says of them, and their scales. */
#ifndef FORMATS_HF_FP8_H
#define FORMATS_HF_FP8_H

#include "core/json.h"
#include "formats/hf_parts.h"

typedef struct pl_hf_fp8 {
    bool scaled;                /* weights of 8-bit floats have scales */
    int32_t rows, cols;         /* of the blocks that share a scale; 0: none have blocks */
} pl_hf_fp8;

/* The quantization that config.json names: none, quant_method fp8, or compressed-tensors with
 * float-quantized weights. PL_E_INPUT for everything else. */
pl_status pl_hf_fp8_config(const pl_json *config, const char *origin, pl_hf_fp8 *out);

/* Does a tensor belong to a weight, or only to the activations of a quantized run, so that the model has
 * no place for it? PL_E_INPUT if it is a scale and its weight is none of 8-bit floats, or missing. */
pl_status pl_hf_fp8_consumes(const pl_hf_fp8 *fp8, const pl_st_set *set, const pl_st_tensor *t,
                             bool *consumed);

/* The scales of a weight of 8-bit floats, and its storage type with them; NULL and no type if the
 * configuration knows of no scales. PL_E_INPUT if they are missing or do not fit the weight's shape. */
pl_status pl_hf_fp8_type(const pl_hf_fp8 *fp8, const pl_st_set *set, const pl_st_tensor *weight,
                         pl_type *type, const pl_st_tensor **scales);

#endif
