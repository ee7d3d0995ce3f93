/* mean_groups.c: codes of matrices whose parts lie apart, moved along the mean of the input. */
#include <string.h>

#include "quantizers/mean_groups.h"

enum { CODES, SCALES, BIASES };

/* ---- affine: whole numbers with a scale and a bias for each group ---- */

static void look_affine(const pl_mean_row *row, int64_t col, int n, uint8_t *rank, float *value, float *up, float *down)
{
    const pl_type *type = row->ctx;
    const pl_dtype *dtype = type->scale;
    float scale[PL_MEAN_VALUES / 32], bias[PL_MEAN_VALUES / 32];
    uint8_t code[PL_MEAN_VALUES];
    int64_t first = col / type->group;
    int top = (1 << type->bits) - 1;
    pl_bits_unpack(row->at[CODES] + col * type->bits / 8, n, type->bits, code);
    pl_decode(dtype, row->at[SCALES] + first * dtype->bytes, scale, n / type->group);
    pl_decode(dtype, row->at[BIASES] + first * dtype->bytes, bias, n / type->group);
    for (int i = 0; i < n; i++) {
        float s = scale[i / type->group], b = bias[i / type->group];
        value[i] = (float)code[i] * s + b;
        if (!rank) continue;
        up[i] = (float)(code[i] < top ? code[i] + 1 : top) * s + b;
        down[i] = (float)(code[i] > 0 ? code[i] - 1 : 0) * s + b;
    }
    if (rank) memcpy(rank, code, (size_t)n);
}

static void store_affine(const pl_mean_row *row, int64_t col, int n, uint8_t *rank)
{
    const pl_type *type = row->ctx;
    pl_bits_pack(rank, n, type->bits, row->at[CODES] + col * type->bits / 8);
}

/* ---- small floats with a scale for each group: signs and magnitudes ---- */

/* Ranks count from the most negative value; of -0 and 0 there is one. */
static int largest_of(const pl_type *type) { return type->element == &pl_dtypes[PL_F4_E2M1] ? 7 : 0x7e; }

static int read_code(const pl_type *type, const uint8_t *codes, int i)
{
    bool half = type->element == &pl_dtypes[PL_F4_E2M1];
    int code = half ? codes[i / 2] >> (i % 2 * 4) & 15 : codes[i], sign = half ? 8 : 0x80, top = largest_of(type);
    int size = code & (sign - 1);
    return code & sign ? top - size : top + size;
}

static void write_code(const pl_type *type, uint8_t *codes, int i, int rank)
{
    int top = largest_of(type), size = rank < top ? top - rank : rank - top;
    if (type->element != &pl_dtypes[PL_F4_E2M1]) {
        codes[i] = (uint8_t)(rank < top ? 0x80 | size : size);
        return;
    }
    int shift = i % 2 * 4, code = rank < top ? 8 | size : size;
    codes[i / 2] = (uint8_t)((codes[i / 2] & ~(15 << shift)) | code << shift);
}

static void look_micro(const pl_mean_row *row, int64_t col, int n, uint8_t *rank, float *value, float *up, float *down)
{
    const pl_type *type = row->ctx;
    const pl_dtype *element = type->element;
    const uint8_t *codes = row->at[CODES] + col / element->block * element->bytes;
    float scale[PL_MEAN_VALUES / 16];
    uint8_t moved[PL_MEAN_VALUES];
    int top = 2 * largest_of(type);
    pl_decode(type->scale, row->at[SCALES] + col / type->group * type->scale->bytes, scale, n / type->group);
    for (int by = -1; by <= 1; by++) {
        float *out = by < 0 ? down : by > 0 ? up : value;
        if (by && !rank) continue;
        for (int i = 0; by && i < n; i++) {
            int to = read_code(type, codes, i) + by;
            write_code(type, moved, i, to < 0 ? 0 : to > top ? top : to);
        }
        pl_decode(element, by ? moved : codes, out, n);
        for (int i = 0; i < n; i++) out[i] *= scale[i / type->group];
    }
    for (int i = 0; rank && i < n; i++) rank[i] = (uint8_t)read_code(type, codes, i);
}

static void store_micro(const pl_mean_row *row, int64_t col, int n, uint8_t *rank)
{
    const pl_type *type = row->ctx;
    uint8_t *codes = row->at[CODES] + col / type->element->block * type->element->bytes;
    for (int i = 0; i < n; i++) write_code(type, codes, i, rank[i]);
}

void pl_mean_settle_groups(const pl_group_rows *r, pl_mean_costs costs)
{
    const pl_type *type = r->type;
    bool affine = type->scheme == &pl_scheme_affine;
    int64_t scales = r->cols / type->group * type->scale->bytes;
    int64_t codes = affine ? r->cols * type->bits / 8 : r->cols / type->element->block * type->element->bytes;
    for (int64_t i = 0; i < r->rows; i++) {
        const pl_mean_row row = {
            affine ? look_affine : look_micro, affine ? store_affine : store_micro, type,
            { r->part[0] + i * codes, r->part[1] + i * scales, affine ? r->part[2] + i * scales : NULL },
        };
        pl_mean_settle_row(&row, r->w + i * r->cols, costs, r->cols);
    }
}
