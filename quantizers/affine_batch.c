/* affine_batch.c: what the encoders of affine types share on every instruction set. */
#include "quantizers/affine_batch.h"

#include <math.h>

#include "core/half.h"

void pl_affine_round(const pl_dtype *stored, float *x, int n)
{
    if (stored == &pl_dtypes[PL_F16])
        for (int i = 0; i < n; i++) x[i] = pl_f16_to_f32(pl_f32_to_f16(x[i]));
    if (stored == &pl_dtypes[PL_BF16])
        for (int i = 0; i < n; i++) x[i] = pl_bf16_to_f32(pl_f32_to_bf16(x[i]));
}

void pl_affine_store(const pl_dtype *stored, const float *x, int n, uint8_t *out)
{
    if (stored == &pl_dtypes[PL_F16]) pl_f32_to_f16_row(x, out, n);
    else if (stored == &pl_dtypes[PL_BF16]) pl_f32_to_bf16_row(x, out, n);
    else memcpy(out, x, (size_t)n * sizeof *x);
}

float pl_affine_not_zero(const pl_dtype *stored, float scale)
{
    if (scale > 0.0f) return scale;
    return stored == &pl_dtypes[PL_F16] ? 0x1p-10f : stored == &pl_dtypes[PL_BF16] ? 0x1p-7f : 0x1p-23f;
}

/* Groups are whole words, and rows whole groups: the streams of all rows are one. */
void pl_affine_put(const pl_group_rows *r, const affine_batch *b, int64_t first, int groups)
{
    const pl_type *type = r->type;
    int64_t at = first * type->scale->bytes;
    uint8_t *codes = r->part[0] + first * type->group * type->bits / 8;
    pl_bits_pack(b->codes, (int64_t)groups * type->group, type->bits, codes);
    pl_affine_store(type->scale, b->scale, groups, r->part[1] + at);
    pl_affine_store(type->scale, b->bias, groups, r->part[2] + at);
}

/* In eight sums: the order is fixed, and compilers may use vectors. n: a multiple of 8. */
static double error_of(const float *w, const float *h, const uint8_t *codes, int n, float scale, float bias)
{
    double sum[8] = { 0.0 };
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < 8; j++) {
            double difference = (double)w[i + j] - (double)((float)codes[i + j] * scale + bias);
            sum[j] += (h ? (double)h[i + j] : 1.0) * (difference * difference);
        }
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

bool pl_affine_less(const float *w, const float *h, int n, const affine_batch *mine, const affine_batch *than, int g)
{
    const float *x = w + g * n, *weight = h ? h + g * n : NULL;
    double other = error_of(x, weight, than->codes + g * n, n, than->scale[g], than->bias[g]);
    if (!(other < (double)INFINITY)) return false;
    return error_of(x, weight, mine->codes + g * n, n, mine->scale[g], mine->bias[g]) < other;
}

void pl_affine_take(const affine_batch *from, int n, int g, affine_batch *to)
{
    to->scale[g] = from->scale[g];
    to->bias[g] = from->bias[g];
    memcpy(to->codes + g * n, from->codes + g * n, (size_t)n);
}
