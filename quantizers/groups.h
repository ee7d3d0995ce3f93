/* groups.h: encoders of matrices whose parts lie apart: codes, and scales (and biases) for groups of columns. */
#ifndef QUANTIZERS_GROUPS_H
#define QUANTIZERS_GROUPS_H

#include "core/source.h"
#include "quantizers/mean.h"

/* Whole rows and where they go. */
typedef struct pl_group_rows {
    const pl_type *type;
    const pl_dtype *source;     /* F32, F16 or BF16: the floats that the values are; MLX computes 4- and 8-bit floats
                                 * in that type */
    const float *w, *h;         /* [rows][cols], finite; [cols] importance of the columns >= 0, or NULL: all 1 */
    int64_t rows, cols;         /* cols: a multiple of the group; that of 0 is the row */
    uint8_t *part[3];           /* codes, scales, biases or zero points, as the type's layout has them */
} pl_group_rows;

typedef void (*pl_group_encoder)(const pl_group_rows *r);

/* By kind of type and encoder, filled per instruction set so that tests can compare any variant with plain C.
 * The references give mlx.core.quantize's bytes (on a CPU), of ints and fp8 those of compressed-tensors' rounding. The
 * searches leave never more weighted squared error in a group than the reference's parts, as they are decoded. */
enum { PL_GROUPS_AFFINE, PL_GROUPS_MICRO, PL_GROUPS_INTS, PL_GROUPS_FP8, PL_GROUPS_KINDS };
typedef struct pl_group_encoders {
    pl_group_encoder reference[PL_GROUPS_KINDS], best[PL_GROUPS_KINDS];
} pl_group_encoders;
void pl_group_encoders_init(pl_group_encoders *list, unsigned cpu_flags);
void pl_group_encoders_affine(pl_group_encoders *list);         /* parts of it */
void pl_group_encoders_affine_avx2(pl_group_encoders *list);
void pl_group_encoders_affine_avx512(pl_group_encoders *list);
void pl_group_encoders_affine_neon(pl_group_encoders *list);
void pl_group_encoders_micro(pl_group_encoders *list);
void pl_group_encoders_micro_avx2(pl_group_encoders *list);
void pl_group_encoders_micro_avx512(pl_group_encoders *list);
void pl_group_encoders_micro_neon(pl_group_encoders *list);
void pl_group_encoders_ints(pl_group_encoders *list);
void pl_group_encoders_fp8(pl_group_encoders *list);

/* Which of the kinds fills this type; -1: none. */
int pl_groups_kind(const pl_type *type);
/* The fastest variant on this machine; NULL if there is none for the type. */
pl_group_encoder pl_groups_encoder(const pl_type *type, bool best);

/* Rows first .. first+count-1 of `in` to rows->part[].ptr, which point to writable buffers; the number of a whole
 * matrix comes as what values are divided by, a power of two, and is stored as what scales are divided by. h [cols] or
 * NULL; costs of errors along the mean of the input, weight NULL: it is not known. The type has a kind. PL_E_INPUT for
 * values that are not finite, unless `in` counts them (their groups get a scale of NaN), and for scales that
 * overflow. */
pl_status pl_groups_encode(const pl_input *in, bool best, const float *h, pl_mean_costs costs, int64_t first,
                           int64_t count, pl_packed *rows, pl_arena *scratch);

#endif
