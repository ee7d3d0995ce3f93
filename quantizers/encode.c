/* encode.c: the methods that fill blocks one by one: `rtn` by ggml's own rule for the type, `best` by a search for
 * less weighted error under the same layout. Values without blocks are rounded to the nearest by both. */
#include <string.h>

#include "core/half.h"
#include "quantizers/codes.h"
#include "quantizers/encoders.h"
#include "quantizers/groups.h"
#include "quantizers/iq_near.h"
#include "quantizers/mean.h"
#include "quantizers/registry.h"
#include "quantizers/strip.h"

/* NVFP4 under one factor for the whole matrix. */
static pl_type factored_nvfp4(void) { return pl_type_scaled(&pl_dtypes[PL_NVFP4], &pl_dtypes[PL_F32], 0, 0); }

static bool is_factored(const pl_type *type)
{
    pl_type factored = factored_nvfp4();
    return pl_type_equal(type, &factored);
}

/* Weights, or whole numbers with scales? */
static bool readable(const pl_type *type)
{
    if (!type->scheme) return false;
    return type->scheme == &pl_scheme_affine || type->scheme == &pl_scheme_ints || type->element->decode;
}

static bool accepts(const pl_step *step, const pl_tensor *from)
{
    const pl_type *type = &step->out.type;
    if (!readable(&from->type)) return false;
    if (pl_groups_kind(type) >= 0) return type->group == 0 || step->out.cols % type->group == 0;
    bool factored = step->method == &pl_method_best && is_factored(type);
    if (type->scheme != &pl_scheme_plain && !factored) return false;
    if (pl_dtype_is_float(type->element)) return true;
    return pl_reference_encoder(type->element) && step->out.cols % type->element->block == 0;
}

static int64_t scratch(const pl_step *step, const pl_tensor *from, int64_t count)
{
    /* a strip as f32, and as stored while it is read; importance, and costs of errors along the mean */
    int64_t n = pl_strip_rows(from->cols, count);
    pl_packed stored;
    if (pl_packed_init(&stored, from->type, n, from->cols) != PL_OK) return 0;
    int64_t importance = step->stat ? 3 * from->cols * (int64_t)sizeof(float) : 0;
    return n * from->cols * (int64_t)sizeof(float) + importance + pl_packed_bytes(&stored) + 192;
}

static void round_values(const pl_dtype *dtype, const float *w, int64_t n, uint8_t *out)
{
    if (dtype == &pl_dtypes[PL_F16]) pl_f32_to_f16_row(w, out, n);
    else if (dtype == &pl_dtypes[PL_BF16]) pl_f32_to_bf16_row(w, out, n);
    else memcpy(out, w, (size_t)n * sizeof *w);
}

/* Larger values than this no block of the type holds, and its encoder does not show it by a scale that is not
 * finite: searches for scales overflow far above 65504 * 128 * 32, the most that Q6_K holds, and may end in zeros. */
static float limit_of(const pl_dtype *dtype)
{
    if (dtype == &pl_dtypes[PL_NVFP4]) return 448.0f * 6.0f;
    bool searched = dtype->block == PL_MAX_BLOCK || dtype == &pl_dtypes[PL_IQ4_NL];
    bool scaled = dtype->scale_at[0] >= 0 || dtype == &pl_dtypes[PL_IQ1_M];
    return searched && scaled ? 0x1p28f : INFINITY;
}

/* Values or scales that are finite as f32 may not be in 16 bits. w: values at .. at+n-1 behind the
 * beginning of row `first`. */
static pl_status check_range(const pl_dtype *dtype, const pl_input *in, int64_t first, int64_t at,
                             const float *w, int64_t n, const uint8_t *out)
{
    if (dtype == &pl_dtypes[PL_F32]) return PL_OK;
    int64_t bad = pl_dtype_find_nonfinite(dtype, out, n), larger = pl_strip_find_larger(w, n, limit_of(dtype));
    if (larger >= 0 && (bad < 0 || larger < bad)) bad = larger / dtype->block * dtype->block;
    if (bad < 0) return PL_OK;
    long long row = pl_strip_source_row(in, first + (at + bad) / in->cols), col = (at + bad) % in->cols;
    if (dtype->block == 1)
        return pl_fail(PL_E_INPUT, "tensor '%s' row %lld column %lld: %g does not fit %s%s",
                       in->name, row, col, (double)w[bad], dtype->name,
                       dtype == &pl_dtypes[PL_F16] ? ", bf16 would hold it" : "");
    float largest = 0.0f;
    for (int j = 0; j < dtype->block; j++)
        if (fabsf(w[bad + j]) > fabsf(largest)) largest = w[bad + j];
    return pl_fail(PL_E_INPUT, "tensor '%s' row %lld columns %lld to %lld: values up to %g are too "
                   "large for the scales of %s, bf16 would hold them", in->name, row, col,
                   col + dtype->block - 1, (double)largest, dtype->name);
}

/* Who encodes: a search of its own where there is one, ggml's rule, or (NULL) rounding. */
static pl_row_encoder encoder_of(const pl_step *step, const pl_dtype *dtype)
{
    pl_row_encoder best = step->method == &pl_method_best ? pl_best_encoder(dtype) : NULL;
    return best ? best : pl_reference_encoder(dtype);
}

/* rows x cols values; h [cols] or NULL. */
static void encode_values(pl_row_encoder encoder, const pl_dtype *dtype, const float *w, const float *h,
                          int64_t rows, int64_t cols, uint8_t *out)
{
    if (encoder) encoder(w, h, rows, cols, out);
    else round_values(dtype, w, rows * cols, out);
}

/* What each method takes for the importance of columns. */
static pl_status load_importance(const pl_step *step, int64_t cols, pl_arena *arena, float **h)
{
    *h = NULL;
    if (!step->stat) return PL_OK;
    *h = PL_NEW(arena, float, cols);
    if (!*h) return PL_E_MEMORY;
    if (step->method == &pl_method_best) pl_stat_weights(step->stat, *h);
    else pl_stat_importance(step->stat, *h);
    return PL_OK;
}

/* Who fills blocks of a matrix, and by what. */
typedef struct filler {
    pl_row_encoder encoder;
    const pl_dtype *dtype;
    const pl_input *in;
    const float *h;             /* [cols] importance, or NULL */
    pl_mean_costs costs;        /* of errors of a row if the mean of the input is known; weight NULL: it is not */
} filler;

static pl_status load_means(const pl_step *step, int64_t cols, pl_arena *arena, pl_mean_costs *out)
{
    *out = (pl_mean_costs){ NULL, NULL };
    if (step->method != &pl_method_best || !step->stat || !pl_type_coded(&step->out.type)) return PL_OK;
    float *weight = PL_NEW(arena, float, cols), *mean = PL_NEW(arena, float, cols);
    if (!weight || !mean) return PL_E_MEMORY;
    if (pl_stat_means(step->stat, weight, mean)) *out = (pl_mean_costs){ weight, mean };
    return PL_OK;
}

/* A block that every reader takes for not finite: NaN for its scale, or else all bits set. */
static void spoil(const pl_dtype *dtype, uint8_t *block)
{
    if (dtype->scale_at[0] >= 0) memcpy(block + dtype->scale_at[0], "\x00\x7e", 2);
    else memset(block, 0xff, (size_t)dtype->bytes);
}

/* A row with values that are not finite. Encoders are defined for others only, so this goes block by block: one
 * with such a value gets NaN for its scale and zeros for its codes, the same on every machine. NVFP4 has no byte
 * that reads as NaN: there such values are refused even where they may be kept. */
static pl_status fill_nonfinite(const filler *f, int64_t row, float *w, uint8_t *to)
{
    const pl_dtype *dtype = f->dtype;
    pl_input strict = *f->in;
    strict.nonfinite = NULL;
    for (int64_t at = 0; at < f->in->cols; at += dtype->block, to += dtype->bytes) {
        bool bad = pl_find_nonfinite(w + at, dtype->block) >= 0;
        for (int64_t j = at; bad && j < at + dtype->block; j++) {
            if (!isfinite(w[j]))
                PL_TRY(pl_strip_nonfinite(dtype == &pl_dtypes[PL_NVFP4] ? &strict : f->in, row, j, w[j]));
            if (dtype->block > 1) w[j] = 0.0f;
        }
        encode_values(f->encoder, dtype, w + at, f->h ? f->h + at : NULL, 1, dtype->block, to);
        if (!bad) PL_TRY(check_range(dtype, f->in, row, at, w + at, dtype->block, to));
        else if (dtype->block > 1) spoil(dtype, to);
    }
    return PL_OK;
}

static pl_status fill_finite(const filler *f, int64_t first, const float *w, int64_t rows, uint8_t *to)
{
    int64_t cols = f->in->cols;
    bool free = pl_codes_of(f->dtype), means = f->costs.weight;
    if (means && !free) pl_mean_encode(f->encoder, f->dtype, w, f->h, f->costs, rows, cols, to);
    else encode_values(f->encoder, f->dtype, w, f->h, rows, cols, to);
    PL_TRY(check_range(f->dtype, f->in, first, 0, w, rows * cols, to));
    if (means && free) pl_mean_settle(f->dtype, w, f->costs, rows, cols, to);
    return PL_OK;
}

/* Rows first .. first+rows-1, w [rows][cols]. What one of them becomes does not depend on those beside it. */
static pl_status fill_rows(const filler *f, int64_t first, float *w, int64_t rows, int64_t row_bytes, uint8_t *to)
{
    int64_t cols = f->in->cols;
    if (pl_find_nonfinite(w, rows * cols) < 0) return fill_finite(f, first, w, rows, to);
    for (int64_t r = 0; r < rows; r++, w += cols, to += row_bytes) {
        bool bad = pl_find_nonfinite(w, cols) >= 0;
        PL_TRY(bad ? fill_nonfinite(f, first + r, w, to) : fill_finite(f, first + r, w, 1, to));
    }
    return PL_OK;
}

static pl_type refine(pl_type wish)
{
    bool nvfp4 = wish.scheme == &pl_scheme_plain && wish.element == &pl_dtypes[PL_NVFP4];
    return nvfp4 ? factored_nvfp4() : wish;
}

/* The least power of two by which all values can be divided so that the search may store scales for a level of 4 where
 * the reference makes one for 6: values up to 4 * 448. Powers of two, so that dividing does not round, and whatever the
 * reference stores without a factor is a scale here, too. */
static pl_status reach(const pl_step *step, const pl_input *in, int64_t first, int64_t count, float *number,
                       pl_arena *arena)
{
    int64_t strip = pl_strip_rows(in->cols, count);
    float *w = PL_NEW(arena, float, strip * in->cols), largest = 0.0f;
    if (!w) return PL_E_MEMORY;
    for (int64_t done = 0; done < count; done += strip) {
        int64_t n = pl_min64(strip, count - done);
        pl_arena_mark mark = pl_arena_save(arena);
        PL_TRY(pl_rows(in, first + done, n, w, arena));
        pl_arena_restore(arena, mark);
        for (int64_t i = 0; i < n * in->cols; i++) {
            float size = fabsf(w[i]);
            largest = size > largest && size < INFINITY ? size : largest;       /* encode refuses others */
        }
    }
    float factor = 0x1p-96f;
    while (factor * (4.0f * 448.0f) < largest) factor *= 2.0f;
    *number = factor;
    return PL_OK;
}

static pl_status encode(const pl_step *step, const pl_input *in, int64_t first, int64_t count,
                        pl_packed *rows, pl_arena *arena)
{
    const pl_dtype *dtype = rows->type.element;
    int64_t strip = pl_strip_rows(in->cols, count);
    float *h;
    PL_TRY(load_importance(step, in->cols, arena, &h));
    pl_mean_costs costs;
    PL_TRY(load_means(step, in->cols, arena, &costs));
    if (pl_groups_kind(&rows->type) >= 0)
        return pl_groups_encode(in, step->method == &pl_method_best, h, costs, first, count, rows, arena);
    /* the caller's buffers are writable; a part's pointer is const for those who read weights */
    uint8_t *out = (uint8_t *)(uintptr_t)rows->part[0].ptr;
    float factor = 1.0f;
    if (is_factored(&rows->type)) memcpy(&factor, rows->part[1].ptr, sizeof factor);
    const filler f = { .encoder = encoder_of(step, dtype), .dtype = dtype, .in = in, .h = h, .costs = costs };
    float *w = PL_NEW(arena, float, strip * in->cols);
    if (!w) return PL_E_MEMORY;
    PL_TRY(pl_iq_prepare((int)(dtype - pl_dtypes)));
    for (int64_t done = 0; done < count; done += strip) {
        int64_t n = pl_min64(strip, count - done), stride = rows->part[0].stride;
        pl_arena_mark mark = pl_arena_save(arena);
        PL_TRY(pl_rows(in, first + done, n, w, arena));
        pl_arena_restore(arena, mark);
        for (int64_t i = 0; factor != 1.0f && i < n * in->cols; i++) w[i] /= factor;
        PL_TRY(fill_rows(&f, first + done, w, n, stride, out + done * stride));
    }
    return PL_OK;
}

const pl_method pl_method_best = {
    .name = "best", .summary = "search for the least weighted error under the type's own layout",
    .scope = PL_SCOPE_ROWS, .flags = PL_METHOD_EXACT,
    .accepts = accepts, .scratch = scratch, .refine = refine, .reach = reach, .encode = encode,
};

const pl_method pl_method_rtn = {
    .name = "rtn", .summary = "round to nearest with the reference scale of each block",
    .scope = PL_SCOPE_ROWS, .flags = PL_METHOD_EXACT,
    .accepts = accepts, .scratch = scratch, .reach = reach, .encode = encode,
};
