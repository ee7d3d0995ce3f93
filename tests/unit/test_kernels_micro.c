/* test_kernels_micro.c: products with 4- and 8-bit floats whose scales lie apart: every instruction set gives the same
 * bits, near the sums over decoded weights. */
#include <math.h>

#include "core/cpu.h"
#include "core/half.h"
#include "core/mem.h"
#include "core/rng.h"
#include "runtime-check/kernels.h"
#include "tests/unit/suite.h"

enum { ROWS = 133, N = 3 };             /* more rows than a block of 128 x 128 */

typedef enum kind { USUAL, SMALLEST, LARGEST, MIXED, KINDS } kind;

/* Each piece is an allocation of its own, so that sanitizers see what reads behind it. */
typedef struct fixture {
    pl_packed w;
    float *x, *decoded;                 /* [N][cols], [ROWS][cols] */
    pl_act_block *q8;                   /* [N][cols / 32] */
    bool whole;                         /* the kernel takes q8 */
} fixture;

/* The i-th scale, in f32. `most`: so large that values stay finite and sums of them do too. */
static float scale_value(kind k, uint64_t i, float least, float most)
{
    if (k == MIXED) k = (kind)(pl_rng_bits(3, 3, i) % MIXED);
    if (k == SMALLEST) return i % 3 ? least : 0;
    if (k == LARGEST) return most;
    return ldexpf(1.0f + (float)(i % 8) / 8.0f, (int)(pl_rng_bits(4, 4, i) % 6) - 6);
}

/* The scale of the type that is nearest to it from below, as 8 bits: those are few. */
static uint8_t nearest(const pl_dtype *dtype, float value)
{
    uint8_t best = 0;
    float at = -1;
    for (int code = 0; code < 0x7f + 0x80 * (dtype == &pl_dtypes[PL_F8_E8M0]); code++) {
        float v;
        uint8_t byte = (uint8_t)code;
        dtype->decode(&byte, &v, 1);
        if (v > value || v <= at) continue;
        best = byte;
        at = v;
    }
    return best;
}

static void put_scale(const pl_dtype *dtype, kind k, uint64_t i, uint8_t *out)
{
    if (dtype->bytes == 1) {
        uint8_t byte = nearest(dtype, scale_value(k, i, 0x1p-9f, dtype == &pl_dtypes[PL_F8_E8M0] ? 0x1p+110f : 448));
        memcpy(out, &byte, 1);
    } else if (dtype == &pl_dtypes[PL_F32]) {
        memcpy(out, &(float){ scale_value(k, i, 0x1p-149f, 0x1p+110f) }, 4);
    } else {
        bool half = dtype == &pl_dtypes[PL_F16];
        float v = scale_value(k, i, half ? 0x1p-24f : 0x1p-133f, half ? 65504 : 0x1p+110f);
        uint16_t bits = half ? pl_f32_to_f16(v) : pl_f32_to_bf16(v);
        memcpy(out, &bits, 2);
    }
}

static void make(fixture *f, const pl_type *type, int64_t cols, kind k, const pl_kernel_list *list)
{
    ck_assert_int_eq(pl_packed_init(&f->w, *type, ROWS, cols), PL_OK);
    for (int p = 0; p < f->w.nparts; p++) {
        pl_part *part = &f->w.part[p];
        uint8_t *bytes = pl_alloc(part->bytes, 1);
        ck_assert_ptr_nonnull(bytes);
        for (int64_t i = 0; i < part->bytes / part->dtype->bytes; i++) {
            if (part->role == PL_SCALES) put_scale(part->dtype, k, (uint64_t)i, bytes + i * part->dtype->bytes);
            else bytes[i] = (uint8_t)pl_rng_bits(5, (uint64_t)k, (uint64_t)i);
            bool nan = part->dtype == &pl_dtypes[PL_F8_E4M3] && (bytes[i] & 0x7f) == 0x7f;
            if (part->role == PL_CODES && nan) bytes[i] ^= 1;
        }
        if (part->role == PL_GLOBAL) memcpy(bytes, &(float){ 2688.5f }, 4);
        part->ptr = bytes;
    }
    f->x = pl_alloc(N * cols, sizeof *f->x);
    f->decoded = pl_alloc(ROWS * cols, sizeof *f->decoded);
    f->q8 = pl_alloc(N * cols / 32, sizeof *f->q8);
    ck_assert(f->x && f->decoded && f->q8);
    for (int64_t i = 0; i < N * cols; i++)
        f->x[i] = i / 32 % 7 == 3 ? 0 : (float)(int8_t)pl_rng_bits(9, 9, (uint64_t)i) / 50.0f;
    list->quantize(f->x, N * cols, f->q8);
    ck_assert_int_eq(pl_packed_decode(&f->w, 0, ROWS, f->decoded, NULL), PL_OK);
}

static void done(fixture *f)
{
    for (int p = 0; p < f->w.nparts; p++) pl_free((void *)(uintptr_t)f->w.part[p].ptr);
    pl_free(f->x);
    pl_free(f->decoded);
    pl_free(f->q8);
}

/* Against x as the kernel gets it, in double. */
static double expected(const fixture *f, int64_t row, int64_t i, double *size)
{
    double sum = 0;
    *size = 0;
    for (int64_t c = 0; c < f->w.cols; c++) {
        const pl_act_block *b = &f->q8[(i * f->w.cols + c) / 32];
        double x = f->whole ? (double)b->d * b->q[c % 32] : (double)f->x[i * f->w.cols + c];
        double term = (double)f->decoded[row * f->w.cols + c] * x;
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

/* Rows by all instruction sets, which must agree: y [N][ROWS]. */
static void multiply(fixture *f, float *y)
{
    static const unsigned sets[] = { 0, PL_CPU_AVX2, ~0u };
    static float got[N * ROWS];
    for (int s = 0; s < PL_COUNT(sets); s++) {
        pl_kernel_list list;
        pl_kernels_init(&list, sets[s] & pl_cpu_flags());
        const pl_kernel *k = pl_kernel_find(&list, &f->w);
        ck_assert_ptr_nonnull(k);
        f->whole = k->act == PL_ACT_Q8;
        ck_assert_int_eq(f->whole, f->w.type.element == &pl_dtypes[PL_F4_E2M1]);
        const void *x = f->whole ? (const void *)f->q8 : f->x;
        int64_t ldx = f->whole ? f->w.cols / 32 * (int64_t)sizeof(pl_act_block) : f->w.cols * 4;
        k->matmul(&f->w, 0, 5, x, ldx, N, got, ROWS);                   /* cuts do not show */
        k->matmul(&f->w, 5, ROWS - 5, x, ldx, N - 1, got + 5, ROWS);
        k->matmul(&f->w, 5, ROWS - 5, (const uint8_t *)x + (N - 1) * ldx, ldx, 1, got + (N - 1) * ROWS + 5, ROWS);
        if (s == 0) memcpy(y, got, sizeof got);
        for (int64_t i = 0; i < N * ROWS; i++)
            ck_assert_msg(!memcmp(&y[i], &got[i], sizeof *y) || (isnan(y[i]) && isnan(got[i])),
                          "%s: %s: %a, of plain C %a", k->name, pl_type_name(&f->w.type), got[i], y[i]);
    }
}

static void check(const pl_type *type, int64_t cols, kind k)
{
    float y[N * ROWS];
    pl_kernel_list list;
    fixture f;
    pl_kernels_init(&list, 0);
    make(&f, type, cols, k, &list);
    multiply(&f, y);
    for (int64_t i = 0; i < N; i++) {
        for (int64_t r = 0; r < ROWS; r++) {
            double size, sum = expected(&f, r, i, &size), bound = 8e-6 * size + (double)cols * 0x1p-140;
            ck_assert_msg(fabs(y[i * ROWS + r] - sum) <= bound, "%s %s, kind %d, %d columns: %g, expected %g +- %g",
                          pl_type_name(type), type->scale->name, (int)k, (int)cols, y[i * ROWS + r], sum, bound);
        }
    }
    done(&f);
}

static void check_type(int codes, int scales, int rows, int group, bool global)
{
    static const int64_t cols[] = { 32, 96, 128, 1024 + 288 };
    pl_type type = pl_type_scaled(&pl_dtypes[codes], &pl_dtypes[scales], rows, group);
    type.global = global;
    for (int c = 0; c < PL_COUNT(cols); c++)
        for (int k = 0; k < KINDS; k++) check(&type, cols[c], (kind)k);
}

START_TEST(groups)
{
    check_type(PL_F4_E2M1, PL_F8_E8M0, 1, 32, false);           /* mxfp4 */
    check_type(PL_F4_E2M1, PL_F8_E4M3, 1, 16, false);           /* nvfp4 */
    check_type(PL_F4_E2M1, PL_F8_E4M3, 1, 16, true);
    check_type(PL_F8_E4M3, PL_F8_E8M0, 1, 32, false);           /* mxfp8 */
}
END_TEST

START_TEST(blocks)
{
    static const int scales[] = { PL_F32, PL_F16, PL_BF16 };
    for (int s = 0; s < PL_COUNT(scales); s++) {
        check_type(PL_F8_E4M3, scales[s], 1, 0, false);
        check_type(PL_F8_E4M3, scales[s], 128, 128, false);
    }
    check_type(PL_F8_E4M3, PL_F32, 0, 0, false);
    check_type(PL_F4_E2M1, PL_F32, 2, 96, true);                /* groups that pieces of a row cut */
}
END_TEST

/* Codes and scales that are no number make no number of their rows, and of no other. */
START_TEST(not_a_number)
{
    static const struct { int codes, scales, group; } types[] = {
        { PL_F4_E2M1, PL_F8_E8M0, 32 }, { PL_F4_E2M1, PL_F8_E4M3, 16 }, { PL_F8_E4M3, PL_F8_E8M0, 32 },
    };
    for (int t = 0; t < PL_COUNT(types); t++) {
        float y[N * ROWS];
        pl_type type = pl_type_scaled(&pl_dtypes[types[t].codes], &pl_dtypes[types[t].scales], 1, types[t].group);
        pl_kernel_list list;
        fixture f;
        pl_kernels_init(&list, 0);
        make(&f, &type, 96, USUAL, &list);
        bool coded = types[t].codes == PL_F8_E4M3;
        uint8_t *scales = (uint8_t *)(uintptr_t)f.w.part[1].ptr, *codes = (uint8_t *)(uintptr_t)f.w.part[0].ptr;
        scales[4 * f.w.part[1].stride + 1] = types[t].scales == PL_F8_E8M0 ? 0xff : 0x7f;
        if (coded) codes[7 * f.w.part[0].stride + 95] = codes[9 * f.w.part[0].stride + 16] = 0xff;
        multiply(&f, y);
        for (int64_t i = 0; i < N * ROWS; i++) {
            int64_t r = i % ROWS;
            ck_assert_int_eq(isnan(y[i]), r == 4 || (coded && (r == 7 || r == 9)));
        }
        done(&f);
    }
}
END_TEST

/* What does not come in whole blocks is left to decoding. */
START_TEST(others)
{
    pl_kernel_list list;
    pl_packed w;
    pl_kernels_init(&list, pl_cpu_flags());
    const pl_type fp8 = pl_type_scaled(&pl_dtypes[PL_F8_E4M3], &pl_dtypes[PL_F32], 1, 0);
    const pl_type narrow = pl_type_scaled(&pl_dtypes[PL_F8_E4M3], &pl_dtypes[PL_F32], 1, 16);
    ck_assert_int_eq(pl_packed_init(&w, fp8, 4, 48), PL_OK);
    ck_assert_ptr_null(pl_kernel_find(&list, &w));
    ck_assert_int_eq(pl_packed_init(&w, narrow, 4, 64), PL_OK);
    ck_assert_ptr_null(pl_kernel_find(&list, &w));
}
END_TEST

int main(void)
{
    const TTest *tests[] = { groups, blocks, not_a_number, others };
    return run_cases("kernels_micro", NULL, NULL, tests, PL_COUNT(tests));
}
