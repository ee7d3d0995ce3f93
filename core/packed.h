/* packed.h: storage types and packed matrices: the one shape of every stored weight. */
#ifndef CORE_PACKED_H
#define CORE_PACKED_H

#include "core/dtype.h"
#include "core/mem.h"

typedef struct pl_packed pl_packed;

/* How parts make a matrix, in packed.c and packed_groups.c.
 * plain: one part of codes, each row a whole number of blocks.
 * scaled: codes [rows][cols] of a float type and one scale for each block of group_rows x group of them, scales
 *   [ceil(rows / group_rows)][ceil(cols / group)]; a value is code times scale, in f32; with `global` each scale is
 *   divided by one f32 for the whole matrix (a third part) before.
 * affine: whole numbers of `bits` bits, each row one stream of them in 32-bit words, lowest bits first, as many words
 *   as it needs; scales and biases [rows][cols / group]; a value is code * scale + bias.
 * ints: the same codes; scales [rows][ceil(cols / group)] and, unless symmetric, zero points of the same shape, u8;
 *   a value is (code - zero) * scale, where a symmetric type's zero is 2^(bits - 1). Group 0: the whole row.
 * This is how planish keeps them; formats that store the same numbers in another order (GPTQ, AWQ) are turned by
 * their source and sink. */
typedef struct pl_scheme {
    const char *name;
    int factors;                /* 2: a chain of two matrices, factor 0 meets x first */
    /* Fills granule, nparts and the parts' role, dtype, bytes, stride exactly, from type, rows, cols,
     * rank. What a file holds is checked against this. PL_E_WISH if the shape does not fit. */
    pl_status (*layout)(pl_packed *p);
    /* View of one factor as a packed matrix; NULL if factors is 1. */
    pl_status (*factor)(const pl_packed *p, int which, pl_packed *view);
    /* rows [count][cols], rows first .. first+count-1: the definition of the matrix's values. */
    pl_status (*decode)(const pl_packed *p, int64_t first, int64_t count, float *rows,
                        pl_arena *scratch);
} pl_scheme;

extern const pl_scheme pl_scheme_plain, pl_scheme_scaled, pl_scheme_affine, pl_scheme_ints;

/* Storage type: what --type names. scheme NULL: no type. */
typedef struct pl_type {
    const pl_scheme *scheme;
    const pl_dtype *element, *scale;    /* of codes and of scales kept in a part of their own; scale NULL in a wish:
                                         * the sink says which */
    int32_t bits, group;                /* affine, ints: bits of a code; columns that share a scale; 0: all */
    int32_t group_rows;                 /* scaled: rows that share a scale; 0: all */
    bool symmetric, global;
} pl_type;

/* "q8_0" -> plain Q8_0, "affine4-g64", "int4-g128", "uint4-g128" (with zero points), "fp8" ... PL_E_WISH with the list
 * of names if there is none that can be written. */
pl_status pl_type_parse(const char *name, pl_type *out);
pl_type pl_type_plain(int dtype_index);
/* scale: F32, F16, BF16 or NULL. */
pl_type pl_type_affine(int bits, int group, const pl_dtype *scale);
pl_type pl_type_ints(int bits, int group, bool symmetric, const pl_dtype *scale);
/* A wish of affine, ints or scaled that leaves the type of scales open takes that of the weights, if it is F32, F16 or
 * BF16, else BF16; other types as they are. */
pl_type pl_type_scales_like(pl_type wish, const pl_dtype *weights);
/* Columns of a row that is to be written come in multiples of so many; 1: any. */
int32_t pl_type_span(const pl_type *type);
/* F32, F16 or BF16, one behind another? */
bool pl_type_is_float(const pl_type *type);
/* Is there more to a value than its own bits: blocks, scales? */
bool pl_type_coded(const pl_type *type);
/* Codes with a scale for each rows x cols of them; 0: as many as the matrix has. */
pl_type pl_type_scaled(const pl_dtype *codes, const pl_dtype *scales, int32_t rows, int32_t cols);
/* Its name, "f8_e4m3 128x128" for a scaled one; "?" for no type. Valid until the fourth call after. */
const char *pl_type_name(const pl_type *type);
bool pl_type_equal(const pl_type *a, const pl_type *b);
/* Comma-separated names of all types that --type takes, for help and errors. */
const char *pl_type_list(void);

typedef enum pl_part_role {
    PL_CODES, PL_SCALES, PL_BIASES, PL_ZEROS, PL_GLOBAL, PL_INDEX, PL_MASK
} pl_part_role;

/* "codes", "scales" ...; and back, -1 for no such name. */
const char *pl_part_name(int role);
int pl_part_find(const char *name);

typedef struct pl_part {
    uint8_t role, factor;
    int32_t id;                 /* number in the plan; -1: none */
    const pl_dtype *dtype;
    const uint8_t *ptr;         /* NULL: a promise (in a plan) */
    int64_t bytes, stride;      /* stride: bytes per granule of rows; 0: one for the whole matrix */
} pl_part;

#define PL_MAX_PARTS 8

/* A matrix [rows][cols], a vector is [n][1]; owns nothing. */
struct pl_packed {
    pl_type type, inner[2];     /* inner: how each factor of a chain is stored */
    int64_t rows, cols;
    int32_t granule;            /* rows that share bytes: ranges are cut only between granules; 0: all */
    int32_t order;              /* row order: 0 as Hugging Face stores it; h (even): rotary pairs
                                 * interleaved in heads of h rows */
    int32_t rank, nonzeros;
    int32_t nparts;
    pl_part part[PL_MAX_PARTS];
};

/* type, rows, cols -> parts, all other fields zero. */
pl_status pl_packed_init(pl_packed *p, pl_type type, int64_t rows, int64_t cols);
/* Bytes of all parts. */
int64_t pl_packed_bytes(const pl_packed *p);
/* Scales of a row, of matrices that have them in a part of their own. */
static inline int64_t pl_packed_groups(const pl_packed *p)
{
    return p->part[1].stride / pl_max64(1, p->part[1].dtype->bytes);
}
/* Rows first .. first+count-1 as a packed matrix of its own; both must fall on granules. */
pl_status pl_packed_rows(const pl_packed *p, int64_t first, int64_t count, pl_packed *view);
/* Decodes rows to f32 [count][cols]; checks the range. scratch may be NULL for plain types. */
pl_status pl_packed_decode(const pl_packed *p, int64_t first, int64_t count, float *rows,
                           pl_arena *scratch);

/* Codes of one row, each below 2^bits, to its stream of pl_bits_words(n, bits) words and back; bits 1 .. 8. */
static inline int64_t pl_bits_words(int64_t n, int bits) { return pl_ceil_div(n * bits, 32); }
void pl_bits_pack(const uint8_t *codes, int64_t n, int bits, uint8_t *words);
void pl_bits_unpack(const uint8_t *words, int64_t n, int bits, uint8_t *codes);

/* Row r of a matrix in order `order` is row pl_order_source(r, order) in Hugging Face's order:
 * within a head of h rows, interleaved row 2j+s is half-split row s*h/2 + j. Order 0: r. */
static inline int64_t pl_order_source(int64_t row, int32_t order)
{
    if (order == 0) return row;
    int64_t head = row / order * order, r = row % order;
    return head + (r % 2) * (order / 2) + r / 2;
}

#endif
