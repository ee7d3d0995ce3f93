/* checkkern_matmul_bench.c: timings of the matrix kernels: decoding (n = 1) from memory with one
 * and all threads, prefill (n = 512) with one; the read bandwidth that decoding is held against. */
#include <stdio.h>
#include <string.h>

#include "core/half.h"
#include "core/mem.h"
#include "runtime-check/kernels.h"
#include "tests/kernels/checkkern.h"

enum { COLS = 4096, TILE = 128, MANY = 512 };
static const int64_t big = (int64_t)1 << 29;    /* bytes of weights, more than caches hold */

typedef struct work {
    const pl_kernel *kernel;
    const pl_packed *w;
    const void *x;
    int64_t ldx, n, rows;
    float *y;
    pl_pool *pool;
} work;

static pl_status tile(void *ctx, int64_t index, int worker)
{
    const work *j = ctx;
    int64_t first = index * TILE;
    j->kernel->matmul(j->w, first, TILE, j->x, j->ldx, j->n, j->y + first, j->rows);
    return PL_OK;
}

static void once(void *ctx)
{
    const work *j = ctx;
    pl_pool_for(j->pool, j->rows / TILE, tile, ctx);
}

static void measure(const char *name, const char *type, work *j, pl_pool *pool, int64_t rows,
                    int64_t n)
{
    j->pool = pool;
    j->rows = rows;
    j->n = n;
    double bytes = (double)(rows * j->w->part[0].stride);
    pl_ck_report(name, type, j->kernel->name, pl_ck_seconds(once, j),
                 2.0 * (double)(rows * COLS * n), bytes);
}

/* A megabyte of harmless weights, again and again. */
static void fill(const pl_dtype *t, uint8_t *out)
{
    const int64_t pattern = (1 << 20) / t->bytes * t->bytes;
    uint32_t state = 1;
    for (int64_t i = 0; i < pattern; i++) {
        state = state * 1664525u + 1013904223u;
        out[i] = (uint8_t)(state >> 24);
    }
    const uint16_t one = pl_f32_to_f16(1);
    for (int64_t b = 0; b < pattern; b += t->bytes) {
        if (t->block == 1) {
            float v = (float)out[b] - 128;
            uint16_t h = t == &pl_dtypes[PL_F16] ? pl_f32_to_f16(v) : pl_f32_to_bf16(v);
            memcpy(out + b, t == &pl_dtypes[PL_F32] ? (void *)&v : (void *)&h, (size_t)t->bytes);
        }
        for (int k = 0; k < 2; k++)
            if (t->scale_at[k] >= 0) memcpy(out + b + t->scale_at[k], &one, 2);
    }
    for (int64_t i = pattern; i < big; i += pattern)
        memcpy(out + i, out, (size_t)pl_min64(pattern, big - i));
}

static void measure_type(int dtype, pl_pool *pool, uint8_t *bytes, const float *x, pl_act_block *q8,
                         float *y)
{
    const pl_dtype *t = &pl_dtypes[dtype];
    int64_t stride = COLS / t->block * t->bytes;
    pl_packed w;
    pl_kernel_list list;
    if (pl_packed_init(&w, pl_type_plain(dtype), big / stride / TILE * TILE, COLS) != PL_OK) return;
    fill(t, bytes);
    w.part[0].ptr = bytes;
    const pl_kernel *last = NULL;
    for (int v = 0; pl_ck_variant_at(v); v++) {
        pl_kernels_init(&list, pl_ck_variant_at(v)->flags);
        work j = { .kernel = pl_kernel_find(&list, &w), .w = &w, .y = y };
        if (!j.kernel || j.kernel == last) continue;
        last = j.kernel;
        bool floats = j.kernel->act == PL_ACT_F32;
        j.x = floats ? (const void *)x : q8;
        j.ldx = floats ? COLS * 4 : COLS / 32 * (int64_t)sizeof *q8;
        measure("n1", t->name, &j, NULL, w.rows, 1);
        measure("n1_threads", t->name, &j, pool, w.rows, 1);
        measure("n512", t->name, &j, NULL, TILE, MANY);
    }
}

void pl_ck_matmul_bench(void)
{
    pl_pool *pool = NULL;
    pl_bandwidth *b = NULL;
    uint8_t *bytes = pl_alloc_aligned(big, 1);
    float *x = pl_alloc(MANY * COLS, sizeof *x);
    pl_act_block *q8 = pl_alloc(MANY * COLS / 32, sizeof *q8);
    float *y = pl_alloc(pl_max64(TILE * MANY, big / (COLS / 32 * 18)), sizeof *y);
    double best = 0;
    if (!bytes || !x || !q8 || !y || pl_pool_create(0, &pool) != PL_OK ||
        pl_bandwidth_create(pool, big, &b) != PL_OK || pl_bandwidth_measure(b, &best) != PL_OK) {
        pl_ck_fail("matmul: %s", pl_error());
    } else {
        pl_ck_report("read", "bytes", "best", (double)big / best, 0, (double)big);
        for (int64_t i = 0; i < MANY * COLS; i++) x[i] = (float)(i % 255) - 127;
        pl_kernel_list list;
        pl_kernels_init(&list, pl_cpu_flags());
        list.quantize(x, MANY * COLS, q8);
        for (int t = 0; t < PL_DTYPES; t++) measure_type(t, pool, bytes, x, q8, y);
    }
    pl_bandwidth_destroy(b);
    pl_pool_destroy(pool);
    pl_free(y);
    pl_free(q8);
    pl_free(x);
    pl_free(bytes);
}
