/* groups.c: which encoder fills which type of parts that lie apart, and rows through it: values that are not finite,
 * scales that overflow. */
#include "quantizers/groups.h"

#include <pthread.h>
#include <string.h>

#include "core/cpu.h"
#include "core/half.h"
#include "quantizers/mean_groups.h"
#include "quantizers/strip.h"

/* ---- which ---- */

void pl_group_encoders_init(pl_group_encoders *list, unsigned cpu_flags)
{
    pl_group_encoders_affine(list);
    pl_group_encoders_micro(list);
    pl_group_encoders_ints(list);
    pl_group_encoders_fp8(list);
#if defined(PL_X86)
    if (cpu_flags & PL_CPU_AVX2) {
        pl_group_encoders_affine_avx2(list);
        pl_group_encoders_micro_avx2(list);
    }
    if (cpu_flags & PL_CPU_AVX512) {
        pl_group_encoders_affine_avx512(list);
        pl_group_encoders_micro_avx512(list);
    }
#elif defined(PL_NEON)
    if (cpu_flags & PL_CPU_NEON) {
        pl_group_encoders_affine_neon(list);
        pl_group_encoders_micro_neon(list);
    }
#endif
}

static pl_group_encoders fastest;
static void choose(void) { pl_group_encoders_init(&fastest, pl_cpu_flags()); }

int pl_groups_kind(const pl_type *type)
{
    const pl_type micro[] = {
        pl_type_scaled(&pl_dtypes[PL_F4_E2M1], &pl_dtypes[PL_F8_E8M0], 1, 32),
        pl_type_scaled(&pl_dtypes[PL_F4_E2M1], &pl_dtypes[PL_F8_E4M3], 1, 16),
        pl_type_scaled(&pl_dtypes[PL_F8_E4M3], &pl_dtypes[PL_F8_E8M0], 1, 32),
    };
    pl_type alone = *type, rows = pl_type_scaled(&pl_dtypes[PL_F8_E4M3], type->scale, 1, 0);
    if (type->scale == &pl_dtypes[PL_F8_E4M3]) alone.global = false;
    for (int i = 0; i < PL_COUNT(micro); i++)
        if (pl_type_equal(&alone, &micro[i])) return PL_GROUPS_MICRO;
    if (pl_dtype_is_float(type->scale) && pl_type_equal(type, &rows)) return PL_GROUPS_FP8;
    bool group = type->group == 32 || type->group == 64 || type->group == 128;
    bool bits = (type->bits >= 2 && type->bits <= 6) || type->bits == 8;
    if (!type->scale || !bits) return -1;
    if (type->scheme == &pl_scheme_ints) return group || !type->group ? PL_GROUPS_INTS : -1;
    return type->scheme == &pl_scheme_affine && group ? PL_GROUPS_AFFINE : -1;
}

pl_group_encoder pl_groups_encoder(const pl_type *type, bool best)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    int kind = pl_groups_kind(type);
    return kind < 0 ? NULL : (best ? fastest.best : fastest.reference)[kind];
}

/* ---- rows ---- */

/* The floats of the weights, as far as they are still what the source stores. */
static const pl_dtype *floats_of(const pl_input *in)
{
    const pl_type *type = in->source ? &in->source->model->tensor[in->tensor].type : NULL;
    bool half = type && (type->element == &pl_dtypes[PL_F16] || type->element == &pl_dtypes[PL_BF16]);
    return half && type->scheme == &pl_scheme_plain ? type->element : &pl_dtypes[PL_F32];
}

/* Values that share a scale. */
static int64_t width_of(const pl_group_rows *r) { return r->type->group ? r->type->group : r->cols; }

/* One group of r, counted through all rows, as a row of its own. */
static pl_group_rows group_at(const pl_group_rows *r, int64_t group)
{
    int64_t width = width_of(r), row = group * width / r->cols, col = group * width % r->cols;
    pl_group_rows one = { .type = r->type, .source = r->source, .w = r->w + group * width, .rows = 1, .cols = width };
    if (r->h) one.h = r->h + col;
    bool scaled = r->type->scheme == &pl_scheme_scaled;
    one.part[0] = r->part[0] + (scaled ? group * (width / r->type->element->block * r->type->element->bytes)
                                       : row * pl_bits_words(r->cols, r->type->bits) * 4 + col * r->type->bits / 8);
    bool zeros = r->type->scheme == &pl_scheme_ints;
    for (int i = 1; i < 3; i++)
        if (r->part[i]) one.part[i] = r->part[i] + group * (i == 2 && zeros ? 1 : r->type->scale->bytes);
    return one;
}

/* Scales that their type cannot hold; values that are too large for any. r->w begins `at` values behind the beginning
 * of row `first`. */
static pl_status check_range(const pl_group_rows *r, const pl_input *in, int64_t first, int64_t at)
{
    const pl_dtype *scale = r->type->scale;
    int64_t width = width_of(r), values = r->rows * r->cols, groups = values / width, bad = -1;
    for (int i = 1; i < (r->type->scheme == &pl_scheme_ints ? 2 : 3) && bad < 0; i++)
        if (r->part[i]) bad = pl_dtype_find_nonfinite(scale, r->part[i], groups);
    int64_t larger = scale == &pl_dtypes[PL_F8_E4M3] ? pl_strip_find_larger(r->w, values, 448.0f * 6.0f) : -1;
    if (larger >= 0 && (bad < 0 || larger / width < bad)) bad = larger / width;
    if (bad < 0) return PL_OK;
    float largest = 0.0f;
    for (int64_t j = bad * width; j < (bad + 1) * width; j++)
        if (fabsf(r->w[j]) > fabsf(largest)) largest = r->w[j];
    at += bad * width;
    long long row = pl_strip_source_row(in, first + at / in->cols), col = at % in->cols;
    return pl_fail(PL_E_INPUT, "tensor '%s' row %lld columns %lld to %lld: values up to %g are too large for the "
                   "scales of %s%s", in->name, row, col, col + width - 1, (double)largest, pl_type_name(r->type),
                   scale == &pl_dtypes[PL_F32] || scale == &pl_dtypes[PL_BF16] ? "" : ", bf16 would hold them");
}

/* NaN for the scale of a group, 0 for all else. */
static void spoil(const pl_group_rows *one)
{
    const pl_dtype *scale = one->type->scale;
    uint32_t nan = scale == &pl_dtypes[PL_F32] ? 0x7fc00000u : scale == &pl_dtypes[PL_F16] ? 0x7e00u
                 : scale == &pl_dtypes[PL_BF16] ? 0x7fc0u : scale == &pl_dtypes[PL_F8_E8M0] ? 0xffu : 0x7fu;
    memcpy(one->part[1], &nan, (size_t)scale->bytes);
}

/* Rows with values that are not finite, group by group: one with such a value counts as zeros under a scale of NaN. */
static pl_status encode_nonfinite(pl_group_encoder encode, const pl_group_rows *r, float *w, const pl_input *in,
                                  int64_t first)
{
    int64_t width = width_of(r), groups = r->rows * r->cols / width;
    for (int64_t g = 0; g < groups; g++) {
        int64_t at = g * width;
        bool bad = pl_find_nonfinite(w + at, width) >= 0;
        for (int64_t j = at; bad && j < at + width; j++) {
            if (!isfinite(w[j])) PL_TRY(pl_strip_nonfinite(in, first, j, w[j]));
            w[j] = 0.0f;
        }
        pl_group_rows one = group_at(r, g);
        encode(&one);
        if (bad) spoil(&one);
        else PL_TRY(check_range(&one, in, first, at));
    }
    return PL_OK;
}

pl_status pl_groups_encode(const pl_input *in, bool best, const float *h, pl_mean_costs costs, int64_t first,
                           int64_t count, pl_packed *rows, pl_arena *arena)
{
    int64_t strip = pl_strip_rows(in->cols, count);
    float *w = PL_NEW(arena, float, strip * in->cols), number = 1.0f;
    pl_group_encoder encode = pl_groups_encoder(&rows->type, best);
    pl_type type = rows->type;
    if (type.global) {                  /* scales are divided by that, so values are multiplied */
        memcpy(&number, rows->part[2].ptr, sizeof number);
        number = 1.0f / number;
        memcpy((uint8_t *)(uintptr_t)rows->part[2].ptr, &number, sizeof number);
        type.global = false;
    }
    if (!w) return PL_E_MEMORY;
    for (int64_t done = 0; done < count; done += strip) {
        int64_t n = pl_min64(strip, count - done);
        pl_group_rows r = { .type = &type, .source = floats_of(in), .w = w, .h = h, .rows = n, .cols = in->cols };
        /* the caller's buffers are writable; a part's pointer is const for those who read weights */
        for (int i = 0; i < rows->nparts - rows->type.global; i++)
            r.part[i] = (uint8_t *)(uintptr_t)rows->part[i].ptr + done * rows->part[i].stride;
        pl_arena_mark mark = pl_arena_save(arena);
        PL_TRY(pl_rows(in, first + done, n, w, arena));
        pl_arena_restore(arena, mark);
        for (int64_t i = 0; rows->type.global && i < n * in->cols; i++) w[i] *= number;
        if (pl_find_nonfinite(w, n * in->cols) >= 0) {
            PL_TRY(encode_nonfinite(encode, &r, w, in, first + done));
        } else {
            encode(&r);
            PL_TRY(check_range(&r, in, first + done, 0));
        }
        bool settled = rows->type.scheme != &pl_scheme_ints && rows->type.group;
        if (costs.weight && settled) pl_mean_settle_groups(&r, costs);
    }
    return PL_OK;
}
