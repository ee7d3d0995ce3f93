/* ints.c: whole numbers with a scale and a zero point for each group, which is the middle of the codes if they are
 * symmetric: compressed-tensors' rounding, and a search for less weighted error. */
#include <math.h>
#include <string.h>

#include "quantizers/affine_batch.h"

/* At a time: whole words of codes. */
enum { CHUNK = 1024, SUMS = 16, STEPS = 16 };

/* One group: n values and their importance, or NULL; codes count from least to most, below and above the middle. */
typedef struct group {
    const float *w, *h;
    int64_t n;
    float least, most;
    const pl_dtype *stored;     /* scales */
    const pl_dtype *rounded;    /* floats that quotients are rounded to before they become codes; F32: as they are */
    bool symmetric;
} group;

/* A value is (code - zero) * scale. */
typedef struct fit { float scale, zero; } fit;

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

/* The least and the largest value, with zero among them. */
static void range_of(const group *g, float *low, float *high)
{
    *low = *high = 0.0f;
    for (int64_t i = 0; i < g->n; i++) {
        *low = g->w[i] < *low ? g->w[i] : *low;
        *high = g->w[i] > *high ? g->w[i] : *high;
    }
}

static float largest_of(const group *g)
{
    float low, high;
    range_of(g, &low, &high);
    return high > -low ? high : -low;
}

/* Values `at` .. at+n-1, at most CHUNK, in units of the scale. */
static void codes_of(const group *g, fit f, int64_t at, int n, float *codes)
{
    for (int i = 0; i < n; i++) codes[i] = g->w[at + i] / f.scale;
    pl_affine_round(g->rounded, codes, n);
    if (!g->symmetric) {
        for (int i = 0; i < n; i++) codes[i] += f.zero;
        pl_affine_round(g->rounded, codes, n);
    }
    for (int i = 0; i < n; i++) codes[i] = whole(codes[i], g->least, g->most);
}

/* What is lost: of the values as readers compute them, in double precision and a fixed order. */
static double error_of(const group *g, fit f)
{
    float codes[CHUNK];
    double sum[8] = { 0.0 }, all = 0.0;
    for (int64_t at = 0; at < g->n; at += CHUNK) {
        int n = (int)pl_min64(g->n - at, CHUNK);
        codes_of(g, f, at, n, codes);
        for (int i = 0; i < n; i += 8)
            for (int j = 0; j < 8 && i + j < n; j++) {
                double difference = (double)g->w[at + i + j] - (double)((codes[i + j] - f.zero) * f.scale);
                sum[j] += (g->h ? (double)g->h[at + i + j] : 1.0) * (difference * difference);
            }
    }
    for (int j = 0; j < 8; j++) all += sum[j];
    return all;
}

/* ---- compressed-tensors' rounding ---- */

/* Symmetric: the largest magnitude lies half a code beyond the largest code. Else all codes cover the range of the
 * values, every step rounded to the floats that scales are. */
static fit reference_fit(const group *g)
{
    float low, high, span = g->most - g->least;
    if (g->symmetric)
        return (fit){ pl_affine_not_zero(g->stored, round_to(g->stored, largest_of(g) / (0.5f * span))), 0.0f };
    range_of(g, &low, &high);
    float scale = round_to(g->stored, round_to(g->stored, high - low) / span);
    float zero = 0.0f;
    if (high > low) zero = whole(round_to(g->stored, g->least - round_to(g->stored, low / scale)), g->least, g->most);
    return (fit){ pl_affine_not_zero(g->stored, scale), zero };
}

/* ---- the search ---- */

/* Sums over the codes c (less zero) of w * inverse: h w c and h c c. */
static void sums_of(const group *g, float inverse, float zero, double *wc, double *cc)
{
    float a[SUMS] = { 0.0f }, b[SUMS] = { 0.0f };
    int64_t even = g->n / SUMS * SUMS;
    for (int64_t i = 0; i < even; i += SUMS)
        for (int j = 0; j < SUMS; j++) {
            float c = whole(g->w[i + j] * inverse + zero, g->least, g->most) - zero, hc = g->h ? g->h[i + j] * c : c;
            a[j] += hc * g->w[i + j];
            b[j] += hc * c;
        }
    for (int64_t i = even; i < g->n; i++) {
        float c = whole(g->w[i] * inverse + zero, g->least, g->most) - zero, hc = g->h ? g->h[i] * c : c;
        a[i - even] += hc * g->w[i];
        b[i - even] += hc * c;
    }
    *wc = *cc = 0.0;
    for (int j = 0; j < SUMS; j++) {
        *wc += (double)a[j];
        *cc += (double)b[j];
    }
}

/* Of the codes of w * inverse, with the scale that suits them best: more of the squares explained than so far? */
static void look(const group *g, float inverse, float zero, double *explained, fit *found)
{
    double wc, cc;
    sums_of(g, inverse, zero, &wc, &cc);
    if (!(cc > 0.0 && wc / cc * wc > *explained)) return;
    *explained = wc / cc * wc;
    *found = (fit){ (float)(wc / cc), zero };
}

/* The codes of several scales around the largest value's: symmetric ones of either sign, as there is one more code
 * below the middle than above; else of the range's, and zero points around those which put the middle of the range into
 * that of the codes. Scale 0: none. */
static fit search_codes(const group *g)
{
    float low, high, first = g->most > 31.0f ? 0.85f : 0.5f, last = g->most > 31.0f ? 1.1f : 1.4f;
    double explained = 0.0;
    fit found = { 0.0f, 0.0f };
    range_of(g, &low, &high);
    double size = g->symmetric ? (double)largest_of(g) : (double)high - (double)low;
    float codes = g->symmetric ? -g->least : g->most - g->least;
    for (int i = 0; i < STEPS && size > 0.0; i++) {
        float part = first + (last - first) * (float)i / (float)(STEPS - 1);
        double inverse = (double)(part * codes) / size;
        if (!(inverse < 0x1p120)) break;                /* squares of such values vanish */
        float middle = g->symmetric ? 0.0f : -0.5f - (float)(0.5 * ((double)low + (double)high) * inverse);
        if (g->symmetric) {
            look(g, (float)inverse, 0.0f, &explained, &found);
            look(g, -(float)inverse, 0.0f, &explained, &found);
        } else {
            for (int by = -1; by <= 1; by++)
                look(g, (float)inverse, whole(middle + (float)by, g->least, g->most), &explained, &found);
        }
    }
    return found;
}

/* Then what is stored of the best, its neighbours among the floats that can be stored, and of zero points, until
 * nothing is gained. */
static fit search_fit(const group *g)
{
    fit found = search_codes(g), best = { 0.0f, 0.0f };
    double least = INFINITY;
    for (int round = 0; round < 3 && found.scale != 0.0f; round++) {
        double before = least;
        for (int side = -1; side <= 1; side++) {
            fit f = { round_to(g->stored, found.scale * (1.0f + (float)side * 0x1p-8f)), found.zero };
            double lost = f.scale != 0.0f && isfinite(f.scale) ? error_of(g, f) : (double)INFINITY;
            if (!(lost < least)) continue;
            least = lost;
            best = f;
        }
        if (!(least < before)) break;
        double explained = 0.0;
        found.scale = 0.0f;
        for (int by = g->symmetric ? 0 : -1; by <= (g->symmetric ? 0 : 1); by++)
            look(g, 1.0f / best.scale, whole(best.zero + (float)by, g->least, g->most), &explained, &found);
    }
    return best;
}

/* ---- rows ---- */

static void put_codes(const group *g, int bits, fit f, uint8_t *words)
{
    float codes[CHUNK];
    uint8_t bytes[CHUNK];
    for (int64_t at = 0; at < g->n; at += CHUNK) {
        int n = (int)pl_min64(g->n - at, CHUNK);
        codes_of(g, f, at, n, codes);
        for (int i = 0; i < n; i++) bytes[i] = (uint8_t)(codes[i] - g->least);
        pl_bits_pack(bytes, n, bits, words + at * bits / 8);
    }
}

/* The fit with less error; *g gets the way that it rounds. Its zero point is never the least code: mirrored, the values
 * are the same, and GPTQ's first version cannot hold it. */
static fit better_fit(group *g)
{
    fit f = reference_fit(g);
    group mine = *g;
    mine.rounded = &pl_dtypes[PL_F32];
    if (!isfinite(f.scale)) return f;
    fit other = search_fit(&mine);
    if (other.scale != 0.0f && error_of(&mine, other) < error_of(g, f)) {
        *g = mine;
        f = other;
    }
    if (g->symmetric || f.zero > g->least) return f;
    *g = mine;
    return (fit){ -f.scale, g->most };
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
                    rounded, type->symmetric };
        fit f = search ? better_fit(&g) : reference_fit(&g);
        pl_affine_store(type->scale, &f.scale, 1, r->part[1] + i * type->scale->bytes);
        if (!type->symmetric) r->part[2][i] = (uint8_t)(f.zero + range);
        put_codes(&g, type->bits, f, r->part[0] + row * pitch + at * type->bits / 8);
    }
}

static void encode_reference(const pl_group_rows *r) { encode(r, false); }
static void encode_best(const pl_group_rows *r) { encode(r, true); }

void pl_group_encoders_ints(pl_group_encoders *list)
{
    list->reference[PL_GROUPS_INTS] = encode_reference;
    list->best[PL_GROUPS_INTS] = encode_best;
}
