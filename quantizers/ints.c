/* ints.c: whole numbers with a scale for each group and the zero point in the middle: compressed-tensors' rounding, and
 * a search for less weighted error. */
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "quantizers/affine_batch.h"

/* At a time: whole words of codes. */
enum { CHUNK = 1024, SUMS = 16, STEPS = 16 };

/* One group: n values and their importance, or NULL; codes count from least to most. */
typedef struct group {
    const float *w, *h;
    int64_t n;
    float least, most;
    const pl_dtype *stored;     /* scales */
    const pl_dtype *rounded;    /* floats that quotients are rounded to before they become codes; F32: as they are */
} group;

/* Nearest whole number, halves to the even one; |y| far below 2^22. */
static float whole(float y, float least, float most)
{
    const float rounder = 12582912.0f;
    y = y < least ? least : y;
    y = y > most ? most : y;
    return (y + rounder) - rounder;
}

static float round_to(const pl_dtype *dtype, float x)
{
    pl_affine_round(dtype, &x, 1);
    return x;
}

static float largest_of(const group *g)
{
    float largest = 0.0f;
    for (int64_t i = 0; i < g->n; i++) {
        float size = fabsf(g->w[i]);
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Values `at` .. at+n-1, at most CHUNK, in units of the scale. */
static void codes_of(const group *g, float scale, int64_t at, int n, float *codes)
{
    for (int i = 0; i < n; i++) codes[i] = g->w[at + i] / scale;
    pl_affine_round(g->rounded, codes, n);
    for (int i = 0; i < n; i++) codes[i] = whole(codes[i], g->least, g->most);
}

/* What is lost: of the values as readers compute them, in double precision and a fixed order. */
static double error_of(const group *g, float scale)
{
    float codes[CHUNK];
    double sum[8] = { 0.0 }, all = 0.0;
    for (int64_t at = 0; at < g->n; at += CHUNK) {
        int n = (int)pl_min64(g->n - at, CHUNK);
        codes_of(g, scale, at, n, codes);
        for (int i = 0; i < n; i += 8)
            for (int j = 0; j < 8 && i + j < n; j++) {
                double difference = (double)g->w[at + i + j] - (double)(codes[i + j] * scale);
                sum[j] += (g->h ? (double)g->h[at + i + j] : 1.0) * (difference * difference);
            }
    }
    for (int j = 0; j < 8; j++) all += sum[j];
    return all;
}

/* ---- compressed-tensors' rounding ---- */

/* The largest magnitude lies half a code beyond the largest code. Groups of zeros get the scale that makes no trouble
 * where it divides. */
static float reference_scale(const group *g)
{
    float scale = round_to(g->stored, largest_of(g) / (0.5f * (g->most - g->least)));
    if (scale > 0.0f) return scale;
    return g->stored == &pl_dtypes[PL_F16] ? 0x1p-10f : g->stored == &pl_dtypes[PL_BF16] ? 0x1p-7f : 0x1p-23f;
}

/* ---- the search ---- */

/* Sums over the codes c of w * inverse: h w c and h c c. */
static void sums_of(const group *g, float inverse, double *wc, double *cc)
{
    float a[SUMS] = { 0.0f }, b[SUMS] = { 0.0f };
    int64_t even = g->n / SUMS * SUMS;
    for (int64_t i = 0; i < even; i += SUMS)
        for (int j = 0; j < SUMS; j++) {
            float c = whole(g->w[i + j] * inverse, g->least, g->most), hc = g->h ? g->h[i + j] * c : c;
            a[j] += hc * g->w[i + j];
            b[j] += hc * c;
        }
    for (int64_t i = even; i < g->n; i++) {
        float c = whole(g->w[i] * inverse, g->least, g->most), hc = g->h ? g->h[i] * c : c;
        a[i - even] += hc * g->w[i];
        b[i - even] += hc * c;
    }
    *wc = *cc = 0.0;
    for (int j = 0; j < SUMS; j++) {
        *wc += (double)a[j];
        *cc += (double)b[j];
    }
}

/* A scale of either sign: there is one more code below zero than above. First by least squares: the codes of several
 * scales around the largest value's, each with the scale that suits them best; then what is stored of the best, and
 * its neighbours among the floats that can be stored, until nothing is gained. */
static float search_scale(const group *g)
{
    float range = -g->least, largest = largest_of(g), best = 0.0f, found = 0.0f;
    float low = g->most > 31.0f ? 0.85f : 0.5f, high = g->most > 31.0f ? 1.1f : 1.4f;
    double explained = 0.0, least = INFINITY;
    for (int i = 0; i < 2 * STEPS && largest > 0.0f; i++) {
        float part = low + (high - low) * (float)(i / 2) / (float)(STEPS - 1);
        double wc, cc, inverse = (double)(part * range) / (double)largest * (i % 2 ? -1.0 : 1.0);
        if (!(fabs(inverse) < 0x1p120)) break;          /* squares of such values vanish */
        sums_of(g, (float)inverse, &wc, &cc);
        if (!(cc > 0.0 && wc / cc * wc > explained)) continue;
        explained = wc / cc * wc;
        found = (float)(wc / cc);
    }
    for (int round = 0; round < 3 && found != 0.0f; round++) {
        double wc, cc, before = least;
        for (int side = -1; side <= 1; side++) {
            float scale = round_to(g->stored, found * (1.0f + (float)side * 0x1p-8f));
            double lost = scale != 0.0f && isfinite(scale) ? error_of(g, scale) : (double)INFINITY;
            if (!(lost < least)) continue;
            least = lost;
            best = scale;
        }
        if (!(least < before)) break;
        sums_of(g, 1.0f / best, &wc, &cc);
        found = cc > 0.0 ? (float)(wc / cc) : 0.0f;
    }
    return best;
}

/* ---- rows ---- */

static void put_scale(const pl_dtype *stored, float scale, uint8_t *out)
{
    if (stored == &pl_dtypes[PL_F16]) pl_f32_to_f16_row(&scale, out, 1);
    else if (stored == &pl_dtypes[PL_BF16]) pl_f32_to_bf16_row(&scale, out, 1);
    else memcpy(out, &scale, sizeof scale);
}

static void put_codes(const group *g, int bits, float scale, uint8_t *words)
{
    float codes[CHUNK];
    uint8_t bytes[CHUNK];
    for (int64_t at = 0; at < g->n; at += CHUNK) {
        int n = (int)pl_min64(g->n - at, CHUNK);
        codes_of(g, scale, at, n, codes);
        for (int i = 0; i < n; i++) bytes[i] = (uint8_t)(codes[i] - g->least);
        pl_bits_pack(bytes, n, bits, words + at * bits / 8);
    }
}

static void encode(const pl_group_rows *r, bool search)
{
    const pl_type *type = r->type;
    int64_t width = type->group ? type->group : r->cols, groups = r->cols / pl_max64(width, 1);
    int64_t pitch = pl_bits_words(r->cols, type->bits) * 4;
    float range = (float)(1 << (type->bits - 1));
    for (int64_t i = 0; i < r->rows * groups; i++) {
        int64_t row = i / groups, at = i % groups * width;
        const pl_dtype *rounded = r->source == type->scale ? r->source : &pl_dtypes[PL_F32];
        group g = { r->w + row * r->cols + at, r->h ? r->h + at : NULL, width, -range, range - 1.0f, type->scale,
                    rounded };
        float scale = reference_scale(&g);
        if (search && isfinite(scale)) {
            double reference = error_of(&g, scale);
            group mine = g;
            mine.rounded = &pl_dtypes[PL_F32];
            float other = search_scale(&mine);
            if (other != 0.0f && error_of(&mine, other) < reference) {
                g = mine;
                scale = other;
            }
        }
        put_scale(type->scale, scale, r->part[1] + i * type->scale->bytes);
        put_codes(&g, type->bits, scale, r->part[0] + row * pitch + at * type->bits / 8);
    }
}

static void encode_reference(const pl_group_rows *r) { encode(r, false); }
static void encode_best(const pl_group_rows *r) { encode(r, true); }

void pl_group_encoders_ints(pl_group_encoders *list)
{
    list->reference[PL_GROUPS_INTS] = encode_reference;
    list->best[PL_GROUPS_INTS] = encode_best;
}
