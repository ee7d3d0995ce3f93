/* mlx_types.h: MLX's ways to quantize, as storage types. */
#ifndef FORMATS_MLX_TYPES_H
#define FORMATS_MLX_TYPES_H

#include "core/packed.h"

/* "affine", "mxfp4", "mxfp8", "nvfp4"; NULL for a type that is none of MLX's. */
const char *pl_mlx_mode(const pl_type *type);
/* Bits of a code. */
int pl_mlx_bits(const pl_type *type);
/* The same way, whatever the scales' float type. */
bool pl_mlx_alike(const pl_type *a, const pl_type *b);

enum { PL_MLX_MXFP4, PL_MLX_MXFP8, PL_MLX_NVFP4, PL_MLX_FLOATS };
pl_type pl_mlx_type_of(int floats);
/* The type with scales of bytes that has such codes and groups. False if there is none. */
bool pl_mlx_find_floats(int64_t bits, int64_t group, pl_type *out);
/* Has MLX affine codes of so many bits in such groups? */
bool pl_mlx_has_affine(int64_t bits, int64_t group);

#endif
