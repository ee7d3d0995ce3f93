/* fp8.c: 8-bit floats (e4m3) with a scale for each row: compressed-tensors' rounding, and a search for less weighted
 * error. */
#include <math.h>

#include "quantizers/affine_batch.h"
#include "quantizers/micro_batch.h"

/* At a time; sums that are kept beside each other; scales that are tried, all within a factor of two. */
enum { CHUNK = 1024, SUMS = 16, STEPS = 8 };

/* One row: n values and their importance, or NULL. */
typedef struct row {
    const float *w, *h;
    int64_t n;
    const pl_dtype *stored;     /* scales */
    const pl_dtype *rounded;    /* floats that quotients are rounded to before they become codes; F32: as they are */
} row;

static const float most = 448.0f;       /* the largest level */

static float round_to(const pl_dtype *dtype, float x)
{
    pl_affine_round(dtype, &x, 1);
    return x;
}

/* What code micro_e4m3 gives y means: steps of 2^-9 below 2^-6, else 4 bits of mantissa. */
static float level_of(float y)
{
    float size = fabsf(y), small, far;
    size = size < most ? size : most;
    small = (size + 0x1p14f) - 0x1p14f;
    far = size * (0x1p20f + 1.0f);
    size = size < 0x1p-6f ? small : far - (far - size);
    return y < 0.0f ? -size : size;
}

static float largest_of(const row *r)
{
    float largest = 0.0f;
    for (int64_t i = 0; i < r->n; i++) largest = fabsf(r->w[i]) > largest ? fabsf(r->w[i]) : largest;
    return largest;
}

static float reference_scale(const row *r)
{
    return pl_affine_not_zero(r->stored, round_to(r->stored, largest_of(r) / most));
}

static void quotients(const row *r, float scale, int64_t at, int n, float *out)
{
    for (int i = 0; i < n; i++) out[i] = r->w[at + i] / scale;
    pl_affine_round(r->rounded, out, n);
}

/* What is lost, in double precision and a fixed order. */
static double error_of(const row *r, float scale)
{
    float y[CHUNK];
    double sum[8] = { 0.0 }, all = 0.0;
    for (int64_t at = 0; at < r->n; at += CHUNK) {
        int n = (int)pl_min64(r->n - at, CHUNK);
        quotients(r, scale, at, n, y);
        for (int i = 0; i < n; i++) {
            double difference = (double)r->w[at + i] - (double)(level_of(y[i]) * scale);
            sum[i % 8] += (r->h ? (double)r->h[at + i] : 1.0) * (difference * difference);
        }
    }
    for (int j = 0; j < 8; j++) all += sum[j];
    return all;
}

/* The levels of w * inverse: the scale that suits them best, and how much of the squares that explains. */
static double suit(const row *r, float inverse, float *scale)
{
    float a[SUMS] = { 0.0f }, b[SUMS] = { 0.0f };
    double wl = 0.0, ll = 0.0;
    int64_t even = r->n / SUMS * SUMS;
    for (int64_t i = 0; i < r->n; i += SUMS)
        for (int j = 0; j < (i < even ? SUMS : (int)(r->n - i)); j++) {
            float level = level_of(r->w[i + j] * inverse), hl = r->h ? r->h[i + j] * level : level;
            a[j] += hl * r->w[i + j];
            b[j] += hl * level;
        }
    for (int j = 0; j < SUMS; j++) {
        wl += (double)a[j];
        ll += (double)b[j];
    }
    *scale = ll > 0.0 ? (float)(wl / ll) : 0.0f;
    return ll > 0.0 ? wl / ll * wl : 0.0;
}

/* The largest value goes to levels down to half of the largest one; then what is stored of the best scale, and its
 * neighbours. 0: none. */
static float search_scale(const row *r)
{
    float found = 0.0f, best = 0.0f, largest = largest_of(r);
    double explained = 0.0, least = INFINITY;
    for (int i = 0; i < STEPS && largest > 0.0f; i++) {
        double inverse = (double)(most * (1.0f - 0.5f * (float)i / (float)STEPS)) / (double)largest;
        float scale;
        if (!(inverse < 0x1p100)) break;                /* squares of such values vanish */
        double part = suit(r, (float)inverse, &scale);
        if (!(part > explained)) continue;
        explained = part;
        found = scale;
    }
    for (int side = -1; side <= 1 && found != 0.0f; side++) {
        float scale = round_to(r->stored, found * (1.0f + (float)side * 0x1p-8f));
        double lost = scale != 0.0f && isfinite(scale) ? error_of(r, scale) : (double)INFINITY;
        if (!(lost < least)) continue;
        least = lost;
        best = scale;
    }
    return best;
}

static void put(const row *r, float scale, uint8_t *codes, uint8_t *out)
{
    float y[CHUNK];
    for (int64_t at = 0; at < r->n; at += CHUNK) {
        int n = (int)pl_min64(r->n - at, CHUNK);
        quotients(r, scale, at, n, y);
        for (int i = 0; i < n; i++) codes[at + i] = micro_e4m3(y[i]);
    }
    pl_affine_store(r->stored, &scale, 1, out);
}

static void encode(const pl_group_rows *r, bool search)
{
    const pl_dtype *stored = r->type->scale;
    for (int64_t i = 0; i < r->rows; i++) {
        row one = { r->w + i * r->cols, r->h, r->cols, stored, r->source == stored ? stored : &pl_dtypes[PL_F32] };
        float scale = reference_scale(&one);
        if (search && isfinite(scale)) {
            row mine = one;
            mine.rounded = &pl_dtypes[PL_F32];
            float other = search_scale(&mine);
            if (other != 0.0f && error_of(&mine, other) < error_of(&one, scale)) {
                one = mine;
                scale = other;
            }
        }
        put(&one, scale, r->part[0] + i * r->cols, r->part[1] + i * stored->bytes);
    }
}

static void encode_reference(const pl_group_rows *r) { encode(r, false); }
static void encode_best(const pl_group_rows *r) { encode(r, true); }

void pl_group_encoders_fp8(pl_group_encoders *list)
{
    list->reference[PL_GROUPS_FP8] = encode_reference;
    list->best[PL_GROUPS_FP8] = encode_best;
}
