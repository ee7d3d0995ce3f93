/* test_kernels_affine.c: products with MLX's affine types: every instruction set gives the same bits, near the sums over
 * decoded weights. */
#include <math.h>

#include "core/cpu.h"
#include "core/mem.h"
#include "core/rng.h"
#include "runtime-check/kernels.h"
#include "tests/unit/suite.h"

enum { ROWS = 13, N = 3 };

typedef struct fixture {
    pl_arena *arena;
    pl_packed w;
    float *x, *decoded;                 /* [N][cols], [ROWS][cols] */
    pl_act_block *q8;                   /* [N][cols / 32] */
} fixture;

static void make(fixture *f, int bits, int group, int64_t cols, const pl_dtype *scale, const pl_kernel_list *list)
{
    ck_assert_int_eq(pl_arena_create(&f->arena), PL_OK);
    ck_assert_int_eq(pl_packed_init(&f->w, pl_type_affine(bits, group, scale), ROWS, cols), PL_OK);
    uint64_t number = 0;
    for (int p = 0; p < f->w.nparts; p++) {
        pl_part *part = &f->w.part[p];
        uint8_t *bytes = pl_arena_alloc(f->arena, part->bytes, 1);
        for (int64_t i = 0; i < part->bytes; i++) bytes[i] = (uint8_t)pl_rng_bits(bits, (uint64_t)group, number++);
        for (int64_t i = 0; p && i < part->bytes / scale->bytes; i++) {       /* floats around 2^-6 */
            uint16_t value = (uint16_t)((bytes[i * scale->bytes] & 0x7f) | (scale == &pl_dtypes[PL_BF16] ? 0x3c80 : 0x2400));
            if (scale->bytes == 2) memcpy(bytes + i * 2, &value, 2);
            else memcpy(bytes + i * 4, &(float){ 0.01f + (float)bytes[i * 4] / 5000.0f }, 4);
        }
        part->ptr = bytes;
    }
    f->x = PL_NEW(f->arena, float, N * cols);
    f->decoded = PL_NEW(f->arena, float, ROWS * cols);
    f->q8 = PL_NEW(f->arena, pl_act_block, N * cols / 32);
    for (int64_t i = 0; i < N * cols; i++) f->x[i] = (float)(int8_t)pl_rng_bits(9, 9, (uint64_t)i) / 50.0f;
    list->quantize(f->x, N * cols, f->q8);
    ck_assert_int_eq(pl_packed_decode(&f->w, 0, ROWS, f->decoded, f->arena), PL_OK);
}

/* Against x as it was quantized, in double. */
static double expected(const fixture *f, int64_t row, int64_t i, double *size)
{
    double sum = 0;
    *size = 0;
    for (int64_t c = 0; c < f->w.cols; c++) {
        const pl_act_block *b = &f->q8[(i * f->w.cols + c) / 32];
        double term = (double)f->decoded[row * f->w.cols + c] * b->d * b->q[c % 32];
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static void check(int bits, int group, int64_t cols, const pl_dtype *scale)
{
    static const unsigned sets[] = { 0, PL_CPU_AVX2, ~0u };
    float y[N][ROWS], first[N][ROWS];
    pl_kernel_list list;
    fixture f;
    pl_kernels_init(&list, 0);
    make(&f, bits, group, cols, scale, &list);
    for (int s = 0; s < 3; s++) {
        pl_kernels_init(&list, sets[s] & pl_cpu_flags());
        const pl_kernel *k = pl_kernel_find(&list, &f.w);
        ck_assert_ptr_nonnull(k);
        ck_assert_int_eq(k->act, PL_ACT_Q8);
        int64_t ldx = cols / 32 * (int64_t)sizeof(pl_act_block);
        k->matmul(&f.w, 0, 5, f.q8, ldx, N, &y[0][0], ROWS);            /* cuts do not show */
        k->matmul(&f.w, 5, ROWS - 5, f.q8, ldx, N, &y[0][5], ROWS);
        if (s == 0) memcpy(first, y, sizeof y);
        ck_assert_msg(!memcmp(first, y, sizeof y), "%s: other bits than plain C, %d bits", k->name, bits);
    }
    for (int64_t i = 0; i < N; i++) {
        for (int64_t r = 0; r < ROWS; r++) {
            double size, sum = expected(&f, r, i, &size);
            ck_assert_msg(fabs(y[i][r] - sum) <= 2e-6 * size * 4, "%d bits, group %d: %g, expected %g", bits, group,
                          y[i][r], sum);
        }
    }
    pl_arena_destroy(f.arena);
}

START_TEST(products)
{
    static const int widths[] = { 2, 3, 4, 5, 6, 8 }, groups[] = { 32, 64, 128 }, scales[] = { PL_F32, PL_F16, PL_BF16 };
    for (int b = 0; b < PL_COUNT(widths); b++)
        for (int g = 0; g < PL_COUNT(groups); g++)
            for (int s = 0; s < PL_COUNT(scales); s++) {
                check(widths[b], groups[g], 128, &pl_dtypes[scales[s]]);
                check(widths[b], groups[g], 1024 + 384, &pl_dtypes[scales[s]]);
            }
}
END_TEST

int main(void)
{
    const TTest *tests[] = { products };
    return run_cases("kernels_affine", NULL, NULL, tests, PL_COUNT(tests));
}
