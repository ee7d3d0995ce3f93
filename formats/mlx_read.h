/* mlx_read.h: quantized weights in MLX's folders: X.weight, X.scales and, of affine codes, X.biases. */
#ifndef FORMATS_MLX_READ_H
#define FORMATS_MLX_READ_H

#include "core/json.h"
#include "formats/hf_parts.h"

typedef struct pl_mlx {
    const pl_json *quantization;        /* of config.json, as long as that is there; NULL: no such folder */
    const char *origin;
} pl_mlx;

/* What config.json says: `out` without quantization if that is nothing of MLX's. PL_E_INPUT if "quantization" is there
 * and cannot be understood. */
pl_status pl_mlx_config(const pl_json *config, const char *origin, pl_mlx *out);
/* Does this tensor belong to a weight that has codes? */
bool pl_mlx_consumes(const pl_mlx *mlx, const pl_st_set *set, const pl_st_tensor *t);
/* The storage type of a weight with scales beside it, which has rows of `cols` values: from the shapes, and not against
 * what config.json says of its module. *parts is empty for a weight without
 * scales. PL_E_INPUT names the tensor, what was expected and what was found. */
pl_status pl_mlx_type_read(const pl_mlx *mlx, const pl_st_set *set, const pl_st_tensor *weight, int64_t cols,
                           pl_type *type, pl_hf_parts *parts);

#endif
