/* hf_data.h: weights of a Hugging Face checkpoint, however they are stored: rows as f32 and as packed. */
#ifndef FORMATS_HF_DATA_H
#define FORMATS_HF_DATA_H

#include "core/source.h"
#include "formats/ct_read.h"
#include "formats/hf_fp8.h"
#include "formats/mlx_read.h"

/* Where the values of one of the model's tensors come from. Its type is what pl_hf_packed delivers. */
typedef struct pl_hf_weight {
    const pl_st_tensor *from;       /* NULL: `values` */
    const pl_st_tensor *scales;     /* beside the codes in `from`, else NULL */
    const pl_st_tensor *biases;     /* of an affine type, else NULL */
    int64_t before;                 /* rows of a stack that are others' */
    const float *values;            /* [rows][cols] */
    const pl_dtype *dtype;          /* of `from` */
    bool transposed;                /* stored as [cols][rows] */
    float offset;                   /* added to every value; the tensor's type is F32 then */
} pl_hf_weight;

typedef struct pl_hf_state {        /* of a source */
    pl_st_set set;
    pl_hf_fp8 fp8;
    pl_mlx mlx;
    pl_ct ct;
    bool as_stored;                 /* nothing is added to values, see PL_OPEN_STORED */
    pl_hf_weight *weight;           /* [tensors] of the model */
    const uint8_t **map;            /* [files]; NULL: windows are read */
} pl_hf_state;

/* Rows of a tensor like t from such a weight, as f32 [count][cols]; takes scratch and leaves it taken. */
pl_status pl_hf_weight_rows(const pl_hf_state *state, const pl_hf_weight *w, const pl_tensor *t, int64_t first,
                            int64_t count, float *out, pl_arena *scratch);
/* Operations of the source, see core/source.h. A scale that is not finite is PL_E_INPUT. */
pl_status pl_hf_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                     pl_arena *scratch);
/* Scaled types: first and count must fall on their blocks. */
pl_status pl_hf_packed(pl_source *s, int tensor, int64_t first, int64_t count, pl_packed *out,
                       pl_arena *scratch);
void pl_hf_advise(pl_source *s, int tensor, int64_t first, int64_t count);

#endif
