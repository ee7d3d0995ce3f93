/* linear.c: packed matrices times rows of activations, in tiles of matrix rows. */
#include "runtime-check/linear.h"

#include "core/linalg.h"

/* From so many rows of x on, decoding a tile once and BLAS beat the kernels that take floats. */
enum { DECODE_FROM = 8 };

/* Rows of one piece of a kernel's work. */
enum { SHORTEST = 32, LONGEST = 1024 };

/* Rows decoded at a time: some 16 tiles per matrix, of 32 to 128 rows so that neither the start of a task
 * nor the copying of x inside BLAS weighs much. BLAS may round a row differently at the edge of a tile, so
 * this depends on the shape alone. */
static int64_t tile_rows(int64_t rows)
{
    int64_t tile = pl_ceil_div(rows, 16 * 32) * 32;
    return pl_min64(pl_max64(tile, 32), 128);
}

/* Where tasks of a kernel begin. Its results do not depend on the cut, so that may depend on the workers:
 * long pieces first, which read memory in long streams, short ones last, so that all finish together. */
static pl_status cut_rows(pl_linear *l, int workers, pl_arena *arena)
{
    int64_t rows = l->w.rows;
    for (int pass = 0; pass < 2; pass++) {
        int64_t at = 0;
        int32_t pieces = 0;
        while (at < rows) {
            if (pass) l->cut[pieces] = at;
            int64_t piece = (rows - at) * 3 / (4 * workers) / SHORTEST * SHORTEST;
            at += pl_min64(pl_max64(piece, SHORTEST), LONGEST);
            pieces++;
        }
        if (pass) {
            l->cut[pieces] = rows;
            break;
        }
        l->pieces = pieces;
        l->cut = PL_NEW(arena, int64_t, pieces + 1);
        if (!l->cut) return PL_E_MEMORY;
    }
    return PL_OK;
}

pl_status pl_linear_init(pl_linear *linear, const pl_packed *w, const float *bias,
                         const pl_kernel_list *kernels, int workers, pl_arena *arena)
{
    *linear = (pl_linear){ .w = *w, .bias = bias, .tile = tile_rows(w->rows) };
    if (kernels) linear->kernel = pl_kernel_find(kernels, w);
    if (pl_linear_wants_q8(linear) && w->cols % 32 != 0) linear->kernel = NULL;
    return linear->kernel ? cut_rows(linear, workers, arena) : PL_OK;
}

int64_t pl_linear_scratch(const pl_linear *linear) { return linear->tile * linear->w.cols; }

bool pl_linear_wants_q8(const pl_linear *linear)
{
    return linear->kernel && linear->kernel->act == PL_ACT_Q8;
}

/* Does this product go through the kernel, not through decoded tiles? */
static bool by_kernel(const pl_product *p)
{
    const pl_linear *l = p->linear;
    return l->kernel && (pl_linear_wants_q8(l) || p->n < DECODE_FROM);
}

static int64_t task_count(const pl_product *p)
{
    const pl_linear *l = p->linear;
    return by_kernel(p) ? l->pieces : pl_ceil_div(l->w.rows, l->tile);
}

/* Rows first .. first+count-1 of the matrix. */
static void run_kernel(const pl_product *p, int64_t first, int64_t count)
{
    const pl_linear *l = p->linear;
    bool q8 = pl_linear_wants_q8(l);
    const void *x = q8 ? (const void *)p->q8 : p->x;
    int64_t ldx = q8 ? l->w.cols / 32 * (int64_t)sizeof(pl_act_block) : l->w.cols * (int64_t)sizeof(float);
    l->kernel->matmul(&l->w, first, count, x, ldx, p->n, p->y + first, p->ldy);
}

static pl_status run_decoded(const pl_product *p, int64_t first, int64_t count, float *rows)
{
    const pl_linear *l = p->linear;
    int64_t cols = l->w.cols;
    PL_TRY(pl_packed_decode(&l->w, first, count, rows, NULL));
    pl_gemm_nt(p->n, count, cols, 1, p->x, cols, rows, cols, 0, p->y + first, p->ldy);
    return PL_OK;
}

typedef struct job {
    const pl_product *products;
    float *const *scratch;
} job;

static pl_status tile_task(void *ctx, int64_t index, int worker)
{
    const job *j = ctx;
    const pl_product *p = j->products;
    for (int64_t tasks; index >= (tasks = task_count(p)); p++) index -= tasks;
    const pl_linear *l = p->linear;
    int64_t first, count;
    if (by_kernel(p)) {
        first = l->cut[index];
        count = l->cut[index + 1] - first;
        run_kernel(p, first, count);
    } else {
        first = index * l->tile;
        count = pl_min64(l->tile, l->w.rows - first);
        PL_TRY(run_decoded(p, first, count, j->scratch[worker]));
    }
    if (l->bias) {
        for (int64_t i = 0; i < p->n; i++) {
            float *y = p->y + i * p->ldy + first;
            for (int64_t r = 0; r < count; r++) y[r] += l->bias[first + r];
        }
    }
    return PL_OK;
}

pl_status pl_linear_multiply(const pl_product *products, int count, float *const *scratch, pl_pool *pool)
{
    job j = { products, scratch };
    int64_t tasks = 0;
    for (int i = 0; i < count; i++) tasks += task_count(&products[i]);
    return pl_pool_for(pool, tasks, tile_task, &j);
}
