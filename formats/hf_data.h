/* hf_data.h: weights of a Hugging Face checkpoint, however they are stored: rows as f32 and as packed. */
#ifndef FORMATS_HF_DATA_H
#define FORMATS_HF_DATA_H

#include "core/source.h"
#include "formats/ct_read.h"
#include "formats/gptq_read.h"
#include "formats/hf_fp8.h"
#include "formats/mlx_read.h"

/* Where the values of one of the model's tensors come from. Its type is what pl_hf_packed delivers. */
typedef struct pl_hf_weight {
    const pl_st_tensor *from;       /* NULL: `values` */
    const pl_st_tensor *scales;     /* beside the codes in `from`, else NULL */
    const pl_st_tensor *biases;     /* of an affine type; zero points; the number of a whole matrix; else NULL */
    const pl_st_tensor *order;      /* the group of each column, or NULL */
    pl_type coded;                  /* type of the codes, that of the tensor unless `unordered` */
    pl_hf_words words;              /* how codes and zero points stand, */
    uint8_t less;                   /* which are stored less so much */
    bool unordered;                 /* columns of a group stand anywhere; the tensor's type is F32 then */
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
    pl_gptq gptq;
    bool as_stored;                 /* nothing is added to values, see PL_OPEN_STORED */
    pl_hf_weight *weight;           /* [tensors] of the model */
    const uint8_t **map;            /* [files]; NULL: windows are read */
} pl_hf_state;

/* Bytes of a stored tensor: in the map, or read into scratch. */
pl_status pl_hf_stored(const pl_hf_state *state, const pl_st_tensor *from, int64_t offset, int64_t len,
                       pl_arena *scratch, const uint8_t **out);
/* Rows first .. first+count-1 of a matrix [rows][cols] of elements of 1, 2 or 4 bytes that is stored as [cols][rows],
 * in scratch. */
pl_status pl_hf_gather(const pl_hf_state *state, const pl_st_tensor *from, int unit, int64_t rows, int64_t cols,
                       int64_t first, int64_t count, pl_arena *scratch, const uint8_t **out);
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

/* hf_verify.c: of the index and the shards, of tensors that the model does not use, of shapes kept as tensors. */
const char *pl_hf_file_of(const pl_source *s, int tensor);
pl_status pl_hf_verify(pl_source *s, pl_arena *scratch);

#endif
