/* checkkern_matmul.c: matrix kernels and the quantizing of activations: every variant against sums
 * in double precision over decoded weights, and against itself for other cuts of the same work. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/half.h"
#include "core/mem.h"
#include "core/rng.h"
#include "runtime-check/kernels.h"
#include "runtime-check/kernels_isa.h"
#include "tests/kernels/checkkern.h"

enum { MOST = 64 };             /* activation rows */

/* ---- memory that ends where nothing may be read ---- */

typedef struct fence { uint8_t *map, *end; size_t size; } fence;

static bool fence_open(fence *f, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    f->size = room + page;
    f->map = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->map == MAP_FAILED) return false;
    f->end = f->map + room;
    return mprotect(f->end, page, PROT_NONE) == 0;
}

static void fence_close(fence *f) { munmap(f->map, f->size); }

/* ---- inputs ---- */

typedef enum pattern { RANDOM, ZEROS, OUTLIER, EXTREME, TINY, PATTERNS } pattern;
static const char *const pattern_names[] = { "random", "zeros", "outlier", "extreme", "tiny" };

static uint64_t drawn;

static uint32_t draw(void) { return (uint32_t)pl_rng_bits(1, 0, drawn++); }
static float draw_unit(void) { return (float)((double)draw() / 2147483648.0 - 1.0); }

static float pattern_value(pattern p, int64_t i, int64_t count, float most, float least)
{
    switch (p) {
    case ZEROS: return 0;
    case OUTLIER: return i == count / 2 ? most : 0;
    case EXTREME: return i % 3 ? most : -most;
    case TINY: return draw_unit() * least;
    default: return draw_unit();
    }
}

static void fill_floats(int dtype, pattern p, int64_t count, uint8_t *out)
{
    for (int64_t i = 0; i < count; i++) {
        if (dtype == PL_F32) {
            float v = pattern_value(p, i, count, 1e15f, 1e-40f);
            memcpy(out + 4 * i, &v, 4);
        } else if (dtype == PL_F16) {
            uint16_t h = pl_f32_to_f16(pattern_value(p, i, count, 65504, 0x1p-15f));
            memcpy(out + 2 * i, &h, 2);
        } else {
            uint16_t h = pl_f32_to_bf16(pattern_value(p, i, count, 1e15f, 1e-40f));
            memcpy(out + 2 * i, &h, 2);
        }
    }
}

static void fill_blocks(const pl_dtype *dtype, pattern p, int64_t count, uint8_t *out)
{
    for (int64_t b = 0; b < count; b++, out += dtype->bytes) {
        for (int i = 0; i < dtype->bytes; i++)
            out[i] = p == ZEROS ? 0 : p == EXTREME ? (i % 3 ? 0x80 : 0x7f) : (uint8_t)draw();
        if (p == EXTREME && b % 2) memset(out, b % 4 == 1 ? 0xff : 0, (size_t)dtype->bytes);
        if (dtype == &pl_dtypes[PL_MXFP4]) out[0] = (uint8_t)(p == ZEROS ? 0 : 110 + out[0] % 30);
        for (int k = 0; k < 2; k++) {
            if (dtype->scale_at[k] < 0) continue;
            uint16_t h = pl_f32_to_f16(pattern_value(p, b, count, 60000, 0x1p-15f));
            memcpy(out + dtype->scale_at[k], &h, 2);
        }
    }
}

/* ---- one case ---- */

typedef struct matmul_case {
    int dtype;
    pattern p;
    int64_t rows, cols, ldx;
    int shift;                  /* bytes by which w lies off its natural place, x by four times */
    bool q8;
    pl_packed w;
    fence wf, xf;
    const uint8_t *x;
    double *want, *bound;       /* [MOST][rows] */
    float *full, *part;         /* [MOST][rows], and room for cuts of it */
} matmul_case;

/* Room behind every row of results, and what it must keep. */
enum { GAP = 3 };
static const uint32_t untouched = 0x7fc0dead;

static void case_text(const matmul_case *c, char *out, size_t size)
{
    snprintf(out, size, "%s %s %lldx%lld", pl_dtypes[c->dtype].name, pattern_names[c->p],
             (long long)c->rows, (long long)c->cols);
}

static double x_at(const matmul_case *c, int64_t i, int64_t col)
{
    const uint8_t *row = c->x + i * c->ldx;
    float v;
    if (c->q8) {
        pl_act_block b;
        memcpy(&b, row + col / 32 * (int64_t)sizeof b, sizeof b);
        return (double)b.d * b.q[col % 32];
    }
    memcpy(&v, row + 4 * col, 4);
    return v;
}

/* Sums in double, and how far floats may be from them: each of at most `terms` roundings costs
 * 2^-24 of the sum of magnitudes. */
static void expect(matmul_case *c)
{
    const pl_dtype *t = &pl_dtypes[c->dtype];
    float *row = pl_alloc(c->cols, sizeof *row);
    double terms = (double)(c->q8 ? c->cols / 16 : c->cols) + 8;
    for (int64_t r = 0; r < c->rows; r++) {
        const uint8_t *bytes = c->w.part[0].ptr + r * c->w.part[0].stride;
        t->decode(bytes, row, c->cols);
        for (int64_t i = 0; i < MOST; i++) {
            double sum = 0, size = 0;
            for (int64_t k = 0; k < c->cols; k++) {
                double x = x_at(c, i, k), m = 0;
                if (c->q8 && t->scale_at[1] >= 0) {
                    uint16_t h;
                    memcpy(&h, bytes + k / 32 * t->bytes + t->scale_at[1], 2);
                    m = pl_f16_to_f32(h);
                }
                sum += row[k] * x;
                size += (fabs(row[k] - m) + fabs(m)) * fabs(x);
            }
            c->want[i * c->rows + r] = sum;
            c->bound[i * c->rows + r] = terms * (0x1p-24 * size + 0x1p-149);
        }
    }
    pl_free(row);
}

static bool case_open(matmul_case *c, const pl_kernel_list *plain)
{
    const pl_dtype *t = &pl_dtypes[c->dtype];
    if (pl_packed_init(&c->w, pl_type_plain(c->dtype), c->rows, c->cols) != PL_OK) return false;
    const pl_kernel *kernel = pl_kernel_find(plain, &c->w);
    c->q8 = kernel && kernel->act == PL_ACT_Q8;
    c->ldx = c->q8 ? c->cols / 32 * (int64_t)sizeof(pl_act_block) : c->cols * 4;
    int64_t wbytes = c->w.part[0].bytes, xbytes = c->ldx * MOST;
    if (!fence_open(&c->wf, (size_t)wbytes + 8) || !fence_open(&c->xf, (size_t)xbytes + 8))
        return false;
    uint8_t *w = c->wf.end - wbytes - c->shift, *x = c->xf.end - xbytes - 4 * c->shift;
    if (t->block > 1) fill_blocks(t, c->p, c->rows * c->cols / t->block, w);
    else fill_floats(c->dtype, c->p, c->rows * c->cols, w);
    float *v = pl_alloc(MOST * c->cols, sizeof *v);
    c->want = pl_alloc(MOST * c->rows, sizeof *c->want);
    c->bound = pl_alloc(MOST * c->rows, sizeof *c->bound);
    c->full = pl_alloc(MOST * c->rows, sizeof *c->full);
    c->part = pl_alloc(MOST * (c->rows + GAP), sizeof *c->part);
    if (!v || !c->want || !c->bound || !c->full || !c->part) return false;
    for (int64_t i = 0; i < MOST * c->cols; i++)
        v[i] = pattern_value(c->p == TINY ? RANDOM : c->p, i, MOST * c->cols, 100, 1);
    if (c->q8) plain->quantize(v, MOST * c->cols, (pl_act_block *)x);
    else memcpy(x, v, (size_t)xbytes);
    pl_free(v);
    c->w.part[0].ptr = w;
    c->x = x;
    expect(c);
    return true;
}

static void case_close(matmul_case *c)
{
    fence_close(&c->wf);
    fence_close(&c->xf);
    pl_free(c->want);
    pl_free(c->bound);
    pl_free(c->full);
    pl_free(c->part);
}

/* A cut must give the bits of the whole, and leave everything else alone. */
static void check_cut(matmul_case *c, const pl_kernel *k, int64_t first, int64_t count, int64_t n)
{
    char text[96];
    int64_t ldy = count + GAP;
    for (int64_t i = 0; i < n * ldy; i++) memcpy(&c->part[i], &untouched, 4);
    k->matmul(&c->w, first, count, c->x, c->ldx, n, c->part, ldy);
    for (int64_t i = 0; i < n; i++) {
        const float *got = c->part + i * ldy;
        bool same = !memcmp(got, c->full + i * c->rows + first, (size_t)count * 4);
        for (int g = 0; g < GAP; g++) same = same && !memcmp(&got[count + g], &untouched, 4);
        if (same) continue;
        case_text(c, text, sizeof text);
        pl_ck_fail("%s: %s: rows %lld+%lld with n %lld differ from the whole in row %lld of y",
                   k->name, text, (long long)first, (long long)count, (long long)n, (long long)i);
        return;
    }
}

static void check_kernel(matmul_case *c, const pl_kernel *k)
{
    static const int64_t sizes[] = { 1, 2, 3, 5, 8, 17 };
    char text[96];
    int64_t rows = c->rows;
    k->matmul(&c->w, 0, rows, c->x, c->ldx, MOST, c->full, rows);
    for (int64_t i = 0; i < MOST * rows; i++) {
        if (fabs(c->full[i] - c->want[i]) <= c->bound[i]) continue;
        case_text(c, text, sizeof text);
        pl_ck_fail("%s: %s: row %lld of w, %lld of x: %.9g, expected %.9g +- %.2g", k->name, text,
                   (long long)(i % rows), (long long)(i / rows), c->full[i], c->want[i],
                   c->bound[i]);
        return;
    }
    for (int s = 0; s < PL_COUNT(sizes); s++) {
        int64_t n = sizes[s], third = rows / 3;
        check_cut(c, k, 0, rows, n);
        check_cut(c, k, rows - 1, 1, n);
        if (rows > 1) check_cut(c, k, 1, rows - 1, n);
        if (third > 0) check_cut(c, k, third, rows - 2 * third, n);
        if (rows > 16) check_cut(c, k, 1, 16, n);
    }
}

/* What other types have no kernel for is run by decoding them. */
static bool needs_kernel(int dtype) { return dtype <= PL_Q5_1; }

static void check_matmul(void)
{
    static const int64_t rows[] = { 1, 3, 16, 50 };
    static const int64_t float_cols[] = { 1, 7, 16, 31, 172, 529 };
    static const int64_t blocks[] = { 1, 3, 17, 33 };       /* of 32; of longer ones 1, 2 and 3 */
    pl_kernel_list plain, list;
    pl_kernels_init(&plain, 0);
    for (int t = 0; t < PL_DTYPES; t++) {
        pl_packed any;
        if (!needs_kernel(t) && (pl_packed_init(&any, pl_type_plain(t), 1, PL_MAX_BLOCK) != PL_OK ||
                                 !pl_kernel_find(&plain, &any))) continue;
        int block = pl_dtypes[t].block;
        int widths = block == 1 ? PL_COUNT(float_cols) : block == 32 ? PL_COUNT(blocks) : 3;
        int shapes = PL_COUNT(rows) * widths;
        for (int i = 0; i < shapes * PATTERNS; i++) {
            int col = i / PATTERNS / PL_COUNT(rows);
            matmul_case c = { .dtype = t, .p = (pattern)(i % PATTERNS), .shift = i % 2,
                              .rows = rows[i / PATTERNS % PL_COUNT(rows)],
                              .cols = block == 1 ? float_cols[col] : block * (block == 32 ? blocks[col] : col + 1) };
            if (!case_open(&c, &plain)) {
                pl_ck_fail("no memory for a case");
                return;
            }
            const pl_kernel *last = NULL;
            for (int v = 0; pl_ck_variant_at(v); v++) {
                pl_kernels_init(&list, pl_ck_variant_at(v)->flags);
                const pl_kernel *k = pl_kernel_find(&list, &c.w);
                if (!k) pl_ck_fail("%s has no kernel", pl_dtypes[t].name);
                else if (k != last) check_kernel(&c, k);
                last = k;
            }
            case_close(&c);
        }
    }
}

/* ---- quantize ---- */

static void check_block(const float *x, const pl_act_block *b)
{
    float top = 0;
    int sum = 0;
    bool finite = true;
    for (int i = 0; i < 32; i++) {
        finite = finite && isfinite(x[i]);
        top = fmaxf(top, fabsf(x[i]));
        sum += b->q[i];
    }
    if (!finite) {
        if (!isnan(b->d)) pl_ck_fail("quantize: a block that is not finite has scale %g", b->d);
        return;
    }
    if (b->sum != sum) pl_ck_fail("quantize: sum %d of values that add up to %d", b->sum, sum);
    if (top > 1e-30f && b->d != top / 127.0f)
        pl_ck_fail("quantize: scale %g of a block up to %g", b->d, top);
    for (int i = 0; i < 32; i++) {
        if (fabs((double)x[i] - (double)b->d * b->q[i]) > 0.50001 * b->d + 1e-36)
            pl_ck_fail("quantize: %g became %d times %g", x[i], b->q[i], b->d);
    }
}

static void check_quantize(void)
{
    enum { BLOCKS = 64, COUNT = 32 * BLOCKS };
    static float space[COUNT + 1];
    static pl_act_block want[BLOCKS], got[BLOCKS];
    float *x = space + 1;                       /* off any alignment but that of a float */
    for (int b = 0; b < BLOCKS; b++) {
        for (int i = 0; i < 32; i++) {
            float *v = &x[32 * b + i];
            switch (b % 8) {
            case 0: *v = 0; break;
            case 1: *v = i == b % 32 ? -1e4f : 0; break;
            case 2: *v = ((float)(i - 16) + 0.5f) * (b == 2 ? 1.0f : 0.25f); break;
            case 3: *v = draw_unit() * 3e38f; break;
            case 4: *v = draw_unit() * ldexpf(1, -120 - b / 2); break;
            default: *v = draw_unit() * ldexpf(1, (int)(draw() % 40) - 20);
            }
        }
        if (b % 8 == 2) x[32 * b] = b == 2 ? 127 : -31.75f;     /* exact ties */
    }
    x[32 * 13 + 5] = NAN;
    x[32 * 14 + 31] = -INFINITY;
    x[32 * 15] = INFINITY;
    pl_kernel_list list;
    pl_kernels_init(&list, 0);
    list.quantize(x, COUNT, want);
    for (int b = 0; b < BLOCKS; b++) check_block(x + 32 * b, &want[b]);
    for (int v = 1; pl_ck_variant_at(v); v++) {
        pl_kernels_init(&list, pl_ck_variant_at(v)->flags);
        memset(got, 0x55, sizeof got);
        list.quantize(x, COUNT, got);
        if (memcmp(got, want, sizeof got) != 0)
            pl_ck_fail("quantize %s differs from plain C", pl_ck_variant_at(v)->name);
    }
}

/* ---- the bandwidth measurement, and that its loops see every byte ---- */

static void check_bandwidth(void)
{
    double best = 0;
    pl_bandwidth *b;
    if (pl_bandwidth_create(NULL, 1 << 23, &b) != PL_OK || pl_bandwidth_measure(b, &best) != PL_OK || !(best > 0))
        pl_ck_fail("bandwidth of %g: %s", best, pl_error());
    pl_bandwidth_destroy(b);
    for (int n = 0; n < 2; n++) {
        pl_mem_fail_after(n);
        if (pl_bandwidth_create(NULL, 1 << 23, &b) != PL_E_MEMORY)
            pl_ck_fail("bandwidth does without allocation %d", n);
        pl_mem_fail_after(-1);
    }
#if defined(PL_X86)
    static const pl_read_loop loops[] = { pl_read_avx512, pl_read_avx512_ahead,
                                          pl_read_avx512_streams };
    enum { BYTES = 1 << 16 };
    if (!(pl_cpu_flags() & PL_CPU_AVX512)) return;
    uint8_t *data = pl_alloc_aligned(BYTES, 1);
    if (!data) {
        pl_ck_fail("no memory for the read loops");
        return;
    }
    uint64_t sum = 0;
    for (int i = 0; i < BYTES; i += 8) {
        uint64_t v = (uint64_t)draw() << 32 | draw();
        memcpy(data + i, &v, 8);
        sum += v;
    }
    for (int i = 0; i < PL_COUNT(loops); i++)
        if (loops[i](data, BYTES) != sum) pl_ck_fail("read loop %d leaves bytes out", i);
    pl_free(data);
#endif
}

static void run(void)
{
    drawn = 0;
    check_quantize();
    check_matmul();
    check_bandwidth();
}

const pl_ck_group pl_ck_matmul = { "matmul", run, pl_ck_matmul_bench };
