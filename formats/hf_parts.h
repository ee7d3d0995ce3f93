/* hf_parts.h: what belongs to one weight of a checkpoint that keeps codes, scales and more as tensors of their own. */
#ifndef FORMATS_HF_PARTS_H
#define FORMATS_HF_PARTS_H

#include "core/packed.h"
#include "formats/safetensors.h"

/* How the words of codes and of zero points stand. */
typedef enum pl_hf_words {
    PL_WORDS_ROWS,              /* codes: rows of words; zero points [words of a column][groups] */
    PL_WORDS_GPTQ,              /* codes [words of a row][rows], zero points [groups][words of a column], scales
                                 * [groups][rows] */
    PL_WORDS_AWQ                /* codes [cols][words of a column], eight rows in each, in AWQ's order; zero points and
                                 * scales [groups] of such */
} pl_hf_words;

/* Tensors beside the codes; NULL: there is none. */
typedef struct pl_hf_parts {
    const pl_st_tensor *scales;         /* NULL: the weight has no codes */
    const pl_st_tensor *third;          /* biases, zero points or one number for the matrix, as the type has them */
    const pl_st_tensor *order;          /* of GPTQ: the group of each column */
    pl_hf_words words;
    uint8_t less;                       /* zero points are stored less so much */
    bool unordered;                     /* columns of a group stand anywhere: `order` must be asked */
} pl_hf_parts;

/* "X.": how many bytes of a name that ends so, with a dot before; 0: it does not. */
size_t pl_hf_stem(const char *name, const char *end);
/* The tensor with the same first bytes and this end. */
const pl_st_tensor *pl_hf_beside(const pl_st_set *set, const char *name, size_t stem, const char *end);
/* Path of the file that a tensor is in. */
const char *pl_hf_place(const pl_st_set *set, const pl_st_tensor *t);
/* "3 x 5"; "1" for no dimensions. Returns out. */
const char *pl_hf_shape(const int64_t *shape, int dims, char *out, size_t size);
/* F32, F16 or BF16, as scales are; NULL: another type. */
const pl_dtype *pl_hf_floats(const pl_st_tensor *t);

#endif
