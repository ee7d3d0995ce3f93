/* mlx_types.c: MLX's ways to quantize, as storage types. */
#include "formats/mlx_types.h"

static const struct { const char *mode; int codes, scales, bits, group; } floats[PL_MLX_FLOATS] = {
    [PL_MLX_MXFP4] = { "mxfp4", PL_F4_E2M1, PL_F8_E8M0, 4, 32 },
    [PL_MLX_MXFP8] = { "mxfp8", PL_F8_E4M3, PL_F8_E8M0, 8, 32 },
    [PL_MLX_NVFP4] = { "nvfp4", PL_F4_E2M1, PL_F8_E4M3, 4, 16 },
};

pl_type pl_mlx_type_of(int i)
{
    return pl_type_scaled(&pl_dtypes[floats[i].codes], &pl_dtypes[floats[i].scales], 1, floats[i].group);
}

/* Which of the types with scales of bytes; -1: none. */
static int find(const pl_type *type)
{
    for (int i = 0; i < PL_MLX_FLOATS; i++) {
        pl_type one = pl_mlx_type_of(i);
        if (pl_type_equal(type, &one)) return i;
    }
    return -1;
}

bool pl_mlx_has_affine(int64_t bits, int64_t group)
{
    bool known = bits == 2 || bits == 3 || bits == 4 || bits == 5 || bits == 6 || bits == 8;
    return known && (group == 32 || group == 64 || group == 128);
}

const char *pl_mlx_mode(const pl_type *type)
{
    if (type->scheme == &pl_scheme_affine) return pl_mlx_has_affine(type->bits, type->group) ? "affine" : NULL;
    int i = find(type);
    return i < 0 ? NULL : floats[i].mode;
}

int pl_mlx_bits(const pl_type *type)
{
    int i = find(type);
    return i < 0 ? type->bits : floats[i].bits;
}

bool pl_mlx_alike(const pl_type *a, const pl_type *b)
{
    const char *mode = pl_mlx_mode(a);
    return mode && mode == pl_mlx_mode(b) && pl_mlx_bits(a) == pl_mlx_bits(b) && a->group == b->group;
}

bool pl_mlx_find_floats(int64_t bits, int64_t group, pl_type *out)
{
    for (int i = 0; i < PL_MLX_FLOATS; i++) {
        if (floats[i].bits != bits || floats[i].group != group) continue;
        *out = pl_mlx_type_of(i);
        return true;
    }
    return false;
}
