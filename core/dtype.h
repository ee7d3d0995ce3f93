/* dtype.h: element types: how the bytes of one part are read. One row per type in dtype.c. */
#ifndef CORE_DTYPE_H
#define CORE_DTYPE_H

#include "core/status.h"

typedef struct pl_dtype {
    const char *name;           /* lower case, as --type takes it: "q4_0" */
    int block, bytes;           /* elements per block, bytes per block */
    int gguf_id;                /* ggml type id; -1: GGUF cannot hold it */
    const char *safetensors;    /* its name there ("BF16"); NULL: safetensors cannot hold it as such */
    /* count elements (a multiple of block) to f32: the definition, plain C. NULL: only inside a
     * scheme, or data that is no weight (integers). */
    void (*decode)(const void *blocks, float *out, int64_t count);
    /* Offsets of the f16 scale fields in a block, -1: none; a non-finite one makes the block bad. */
    int scale_at[2];
    /* Of blocks whose scales are no such fields: is this one bad? NULL: scale_at says it all. */
    bool (*bad)(const uint8_t *block);
} pl_dtype;

/* Index into pl_dtypes. The first PL_DTYPES are storage types that --type can name; those behind them
 * are found in files, but nothing writes them. */
enum {
    PL_F32, PL_F16, PL_BF16, PL_Q8_0, PL_Q4_0, PL_Q4_1, PL_Q5_0, PL_Q5_1,
    PL_Q2_K, PL_Q3_K, PL_Q4_K, PL_Q5_K, PL_Q6_K, PL_IQ4_NL, PL_IQ4_XS,
    PL_TQ1_0, PL_TQ2_0, PL_MXFP4, PL_NVFP4, PL_Q1_0, PL_Q2_0,
    PL_IQ2_XXS, PL_IQ2_XS, PL_IQ2_S, PL_IQ3_XXS, PL_IQ3_S, PL_IQ1_S, PL_IQ1_M,
    PL_DTYPES,
    PL_F8_E4M3 = PL_DTYPES,     /* 4 bits of exponent, bias 7; no infinity, 0x7f and 0xff are NaN */
    PL_F8_E5M2,                 /* the upper byte of an f16 */
    PL_F8_E8M0,                 /* scales: 2^(e - 127), 0xff is NaN */
    PL_F4_E2M1,                 /* two values in a byte, the first in its low bits */
    PL_DTYPES_READ,
    PL_U32 = PL_DTYPES_READ,    /* words of codes and bytes of zero points: no weights, decode is NULL */
    PL_U8,
    PL_DTYPES_ALL
};
enum { PL_MAX_BLOCK = 256 };    /* elements of a block, at most */
extern const pl_dtype pl_dtypes[PL_DTYPES_ALL];

/* NULL when there is none. Names compare without case. */
const pl_dtype *pl_dtype_find(const char *name);
const pl_dtype *pl_dtype_by_gguf(int id);
const pl_dtype *pl_dtype_by_safetensors(const char *name);
/* A name for the sentence about a type we cannot read: "q4_k", or NULL if nobody knows the id. */
const char *pl_dtype_gguf_name(int id);

/* F32, F16 or BF16? False for NULL. */
bool pl_dtype_is_float(const pl_dtype *dtype);
/* Bytes of a row of cols elements; PL_E_WISH if cols is no multiple of the block. */
pl_status pl_dtype_row_bytes(const pl_dtype *dtype, int64_t cols, int64_t *bytes);

/* Decodes by the fastest variant of this machine; same bits as dtype->decode. */
void pl_decode(const pl_dtype *dtype, const void *blocks, float *out, int64_t count);

/* A list of decoders, filled by an init per instruction set; NULL entries mean dtype->decode. Tests
 * build any variant through pl_decoders_init(list, flags). */
typedef struct pl_decoders {
    void (*decode[PL_DTYPES_READ])(const void *blocks, float *out, int64_t count);
} pl_decoders;
void pl_decoders_init(pl_decoders *list, unsigned cpu_flags);
void pl_decoders_avx2(pl_decoders *list);       /* parts of it: each replaces what it does faster */
void pl_decoders_avx512(pl_decoders *list);

/* Index of the first element that belongs to a block with a non-finite scale, or is itself not
 * finite; -1: all `count` elements are finite. */
int64_t pl_dtype_find_nonfinite(const pl_dtype *dtype, const void *blocks, int64_t count);

#endif
