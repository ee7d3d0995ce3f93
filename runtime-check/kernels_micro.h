/* kernels_micro.h: y = W x over small floats with scales for groups of columns. 4-bit floats times two are whole
 * numbers and meet 8-bit activations, 8-bit floats meet floats. What one row of x adds is a function of each
 * instruction set; the order of sums is one, and no product is fused with a sum, so all variants give the same bits. */
#ifndef RUNTIME_CHECK_KERNELS_MICRO_H
#define RUNTIME_CHECK_KERNELS_MICRO_H

#include <string.h>

#include "core/dtype_blocks.h"
#include "runtime-check/kernels_isa.h"

enum {
    MICRO_CODES = 1024,                 /* of a row that are worked on at a time */
    MICRO_FACTORS = MICRO_CODES / 16,
    MICRO_ROWS = 4,                     /* rows that are, side by side */
    MICRO_INPUTS = 32                   /* rows of x for which codes are unpacked once */
};

/* Partial sums of a row; what each lane has of a block of 32 columns is told with the plain C. */
typedef struct micro_sums { float lane[16]; } micro_sums;

/* Some columns of MICRO_ROWS rows: codes as `unpack` left them, or as they are stored, and scales. */
typedef struct micro_tile {
    const uint8_t *codes[MICRO_ROWS];
    float factor[MICRO_ROWS][MICRO_FACTORS + 4];        /* read in fours; 0 for one block more than there are */
    uint8_t unpacked[MICRO_ROWS][MICRO_CODES];
} micro_tile;

/* Adds `blocks` blocks of 32 columns of each row; x: pl_act_blocks or floats. */
typedef void micro_run(const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums sums[MICRO_ROWS]);

typedef struct micro_way {
    int32_t span, input;                /* columns of a factor; bytes of a block of x */
    float unit;                         /* what 1 in the sums stands for */
    void (*unpack)(const uint8_t *packed, int64_t n, uint8_t *codes);       /* NULL: there is nothing to unpack */
    micro_run *run;
} micro_way;

/* As pl_decode; of E8M0 in a loop that compilers turn into vectors: 0 and 255 are a number below the smallest normal
 * one and NaN, which the same bit makes them. */
static inline void micro_scales(const pl_dtype *scale, const uint8_t *scales, float *out, int64_t n)
{
    if (scale != &pl_dtypes[PL_F8_E8M0]) {
        pl_decode(scale, scales, out, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint32_t e = scales[i], bit = e == 0 || e == 255;
        out[i] = pl_bits_f32(e << 23 | bit << 22);
    }
}

/* Scales of columns at .. at+n-1 of a row, one for each `span` of them. */
static inline void micro_factors(const pl_packed *w, int64_t row, int64_t at, int64_t n, int32_t span, float *factor)
{
    const pl_dtype *scale = w->type.scale;
    const uint8_t *scales = w->part[1].ptr + row / w->granule * w->part[1].stride;
    if (w->type.group == span) {
        micro_scales(scale, scales + at / span * scale->bytes, factor, n / span);
    } else {
        int64_t width = w->type.group ? w->type.group : w->cols, from = at / width, k = 0, left = width - at % width;
        float some[MICRO_FACTORS];
        micro_scales(scale, scales + from * scale->bytes, some, pl_ceil_div(at + n, width) - from);
        for (int64_t i = 0; i < n / span; i++, left -= span) {
            if (left == 0) {
                left = width;
                k++;
            }
            factor[i] = some[k];
        }
    }
    factor[n / span] = factor[n / span + 1] = 0;
}

/* Columns at .. at+n-1 of rows first .. first+rows-1; the last stands for those that are missing. */
static inline void micro_take(const pl_packed *w, int64_t first, int64_t rows, int64_t at, int64_t n,
                              const micro_way *way, micro_tile *t)
{
    const pl_dtype *element = w->type.element;
    int64_t row_bytes = w->part[0].stride / w->granule;
    for (int64_t l = 0; l < MICRO_ROWS; l++) {
        int64_t row = first + pl_min64(l, rows - 1);
        t->codes[l] = w->part[0].ptr + row * row_bytes + at / element->block * element->bytes;
        micro_factors(w, row, at, n, way->span, t->factor[l]);
        if (!way->unpack) continue;
        way->unpack(t->codes[l], n, t->unpacked[l]);
        t->codes[l] = t->unpacked[l];
    }
}

static inline float micro_total(const micro_sums *sums)
{
    float s[8];
    for (int j = 0; j < 8; j++) s[j] = sums->lane[j] + sums->lane[j + 8];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* In line, so that what a way says is known when it is compiled. */
static inline __attribute__((always_inline)) void micro_matmul(const pl_packed *w, int64_t first, int64_t count,
                                                               const void *x, int64_t ldx, int64_t n, float *y,
                                                               int64_t ldy, const micro_way *way)
{
    micro_tile t;
    micro_sums sums[MICRO_INPUTS][MICRO_ROWS];
    float global = 1.0f;
    if (w->type.global) memcpy(&global, w->part[2].ptr, sizeof global);
    for (int64_t r = 0; r < count; r += MICRO_ROWS) {
        int64_t rows = pl_min64(MICRO_ROWS, count - r);
        for (int64_t i = 0, some; i < n; i += some) {
            some = pl_min64(n - i, MICRO_INPUTS);
            for (int64_t k = 0; k < some; k++) memset(sums[k], 0, sizeof sums[k]);
            for (int64_t at = 0; at < w->cols; at += MICRO_CODES) {
                int64_t left = pl_min64(MICRO_CODES, w->cols - at);
                micro_take(w, first + r, rows, at, left, way, &t);
                const uint8_t *in = (const uint8_t *)x + i * ldx + at / 32 * way->input;
                for (int64_t k = 0; k < some; k++, in += ldx) way->run(&t, left / 32, in, sums[k]);
            }
            for (int64_t k = 0; k < some; k++)
                for (int64_t l = 0; l < rows; l++)
                    y[(i + k) * ldy + r + l] = micro_total(&sums[k][l]) * way->unit / global;
        }
    }
}

/* The kernels of an instruction set, of its functions unpack_e2m1, run_e2m1 (in line), run_e4m3. 8-bit floats are
 * summed as 1/256 of what they are: the 16-bit floats into which their bits turn by a shift. */
#define MICRO_KERNELS(isa)                                                                                  \
    static void run_e2m1_16(const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)        \
    {                                                                                                       \
        run_e2m1(2, t, blocks, x, sums);                                                                    \
    }                                                                                                       \
    static void run_e2m1_32(const micro_tile *t, int64_t blocks, const uint8_t *x, micro_sums *sums)        \
    {                                                                                                       \
        run_e2m1(1, t, blocks, x, sums);                                                                    \
    }                                                                                                       \
    static const micro_way e2m1_16 = { 16, sizeof(pl_act_block), 0.5f, unpack_e2m1, run_e2m1_16 };          \
    static const micro_way e2m1_32 = { 32, sizeof(pl_act_block), 0.5f, unpack_e2m1, run_e2m1_32 };          \
    static const micro_way e4m3 = { 32, 32 * sizeof(float), 256.0f, NULL, run_e4m3 };                       \
    static void matmul_e2m1(const pl_packed *w, int64_t first, int64_t count, const void *x, int64_t ldx,   \
                            int64_t n, float *y, int64_t ldy)                                               \
    {                                                                                                       \
        if (w->type.group == 16) micro_matmul(w, first, count, x, ldx, n, y, ldy, &e2m1_16);                \
        else micro_matmul(w, first, count, x, ldx, n, y, ldy, &e2m1_32);                                    \
    }                                                                                                       \
    static void matmul_e4m3(const pl_packed *w, int64_t first, int64_t count, const void *x, int64_t ldx,   \
                            int64_t n, float *y, int64_t ldy)                                               \
    {                                                                                                       \
        micro_matmul(w, first, count, x, ldx, n, y, ldy, &e4m3);                                            \
    }                                                                                                       \
    static const pl_kernel kernels[] = {                                                                    \
        { "e2m1 " isa, PL_ACT_Q8, pl_takes_e2m1, matmul_e2m1 },                                             \
        { "e4m3 " isa, PL_ACT_F32, pl_takes_e4m3, matmul_e4m3 },                                            \
    };

#endif
