/* legacy.c: the grids of Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1, in plain C: the definition. Same bytes as
 * ggml's reference encoders; docs/methods/gguf-types.md has formulas and edge cases. */
#include "quantizers/registry.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "core/cpu.h"
#include "core/half.h"

#define SPAN 32

/* Where a block keeps its fields, -1: has none, and what its codes mean:
 * value = d * (code - middle) + m.
 * Q8_0's bytes are signed; its codes here count from -128, so that all codes are unsigned. */
typedef struct kind {
    const pl_dtype *dtype;
    int levels, middle;
    float divisor;              /* d = the range of a block / divisor */
    int m, qh, qs;
} kind;

static const kind kinds[] = {
    { &pl_dtypes[PL_Q8_0], 256, 128, 127.0f, -1, -1, 2 },
    { &pl_dtypes[PL_Q4_0], 16, 8, -8.0f, -1, -1, 2 },
    { &pl_dtypes[PL_Q4_1], 16, 0, 15.0f, 2, -1, 4 },
    { &pl_dtypes[PL_Q5_0], 32, 16, -16.0f, -1, 2, 6 },
    { &pl_dtypes[PL_Q5_1], 32, 0, 31.0f, 2, 4, 8 },
};

static const kind *kind_of(const pl_type *type)
{
    for (int i = 0; i < PL_COUNT(kinds); i++)
        if (kinds[i].dtype == type->element) return &kinds[i];
    return NULL;
}

static int span_of(const pl_type *type, int64_t cols, int dtype)
{
    bool mine = type->scheme == &pl_scheme_plain && type->element == &pl_dtypes[dtype];
    return mine && cols % SPAN == 0 ? SPAN : 0;
}

/* Everything that follows from the stored fields d and m. */
static void set_fields(const kind *k, uint16_t d, uint16_t m, pl_fit *out)
{
    *out = (pl_fit){ .group = SPAN, .levels = k->levels };
    memcpy(out->raw, &d, 2);
    memcpy(out->raw + 2, &m, 2);
    out->scale[0] = pl_f16_to_f32(d);
    out->offset[0] = k->m < 0 ? (float)-k->middle * out->scale[0] : pl_f16_to_f32(m);
}

/* Importance and given codes come with the methods that measure them; the reference rule of these
 * types uses neither. */
static void fit(const pl_type *type, float global, const float *w, const float *h,
                const uint8_t *codes, int64_t n, pl_fit *out)
{
    const kind *k = kind_of(type);
    assert(k && n == SPAN);
    float largest = 0.0f, low = FLT_MAX, high = -FLT_MAX;   /* of equals the first one stays */
    for (int j = 0; j < SPAN; j++) {
        if (fabsf(w[j]) > fabsf(largest)) largest = w[j];
        if (w[j] < low) low = w[j];
        if (w[j] > high) high = w[j];
    }
    float shift = k->m < 0 ? 0.0f : low;
    float range = k->m >= 0 ? high - low : k->divisor > 0 ? fabsf(largest) : largest;
    float d = range / k->divisor;
    set_fields(k, pl_f32_to_f16(d), pl_f32_to_f16(shift), out);
    out->inverse = d != 0.0f ? 1.0f / d : 0.0f;
    out->shift = shift;
}

/* Truncates to a code. What is not finite comes from a scale that fell below or rose above all
 * floats; every code means the same then, and 0 is what ggml stores on x86. */
static uint8_t clamp_code(float y, int levels)
{
    if (!(y >= 0.0f && y < INFINITY)) return 0;
    return (uint8_t)(y < (float)levels ? (int)y : levels - 1);
}

static float value_of(const pl_fit *fit, uint8_t code)
{
    return fit->scale[0] * (float)code + fit->offset[0];
}

static float snap_q8_0(const pl_fit *f, int64_t j, float w, uint8_t *code)
{
    /* half away from zero; the largest float below 1/2 keeps 0.49999997 at 0 */
    float y = w * f->inverse;
    float rounded = y + (y < 0.0f ? -0x1.fffffep-2f : 0x1.fffffep-2f);
    int q = 0;
    if (fabsf(rounded) < INFINITY)
        q = rounded <= -128.0f ? -128 : rounded >= 127.0f ? 127 : (int)rounded;
    *code = (uint8_t)(q + 128);
    return value_of(f, *code);
}

static float snap_middle(const pl_fit *f, int64_t j, float w, uint8_t *code)
{
    *code = clamp_code(w * f->inverse + ((float)(f->levels / 2) + 0.5f), f->levels);
    return value_of(f, *code);
}

static float snap_offset(const pl_fit *f, int64_t j, float w, uint8_t *code)
{
    *code = clamp_code((w - f->shift) * f->inverse + 0.5f, f->levels);
    return value_of(f, *code);
}

static void pack(const pl_type *type, const uint8_t *codes, const pl_fit *f, int64_t n,
                 uint8_t *out)
{
    const kind *k = kind_of(type);
    assert(k && n == SPAN);
    memcpy(out, f->raw, k->m < 0 ? 2 : 4);
    uint8_t *qs = out + k->qs;
    if (k->levels == 256) {
        for (int j = 0; j < SPAN; j++) qs[j] = (uint8_t)(codes[j] - 128);
        return;
    }
    for (int j = 0; j < 16; j++) qs[j] = (uint8_t)((codes[j] & 15) | codes[j + 16] << 4);
    if (k->qh < 0) return;
    memset(out + k->qh, 0, 4);
    for (int j = 0; j < SPAN; j++) out[k->qh + j / 8] |= (uint8_t)((codes[j] >> 4) << (j % 8));
}

static void unpack(const pl_type *type, const uint8_t *in, int64_t n, uint8_t *codes, pl_fit *f)
{
    const kind *k = kind_of(type);
    assert(k && n == SPAN);
    uint16_t d, m = 0;
    memcpy(&d, in, 2);
    if (k->m >= 0) memcpy(&m, in + k->m, 2);
    set_fields(k, d, m, f);
    f->inverse = f->scale[0] != 0.0f ? 1.0f / f->scale[0] : 0.0f;
    if (k->m >= 0) f->shift = f->offset[0];
    const uint8_t *qs = in + k->qs;
    for (int j = 0; j < SPAN; j++) {
        if (k->levels == 256) codes[j] = (uint8_t)(qs[j] + 128);
        else codes[j] = j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
        if (k->qh >= 0) codes[j] |= (uint8_t)((in[k->qh + j / 8] >> (j % 8) & 1) << 4);
    }
}

static pl_encoders fastest;
static void choose(void) { pl_encoders_init(&fastest, pl_cpu_flags()); }

static void encode(const pl_type *type, const float *w, int64_t count, uint8_t *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    fastest.encode[type->element - pl_dtypes](w, count, out);
}

/* A grid, and its definition in the shape of pl_encoders. */
#define GRID(grid_name, dtype, snap)                                                               \
    static int span_##grid_name(const pl_type *type, int64_t cols)                                 \
    {                                                                                              \
        return span_of(type, cols, dtype);                                                         \
    }                                                                                              \
    const pl_grid pl_grid_##grid_name = { #grid_name, span_##grid_name, fit, snap, pack,           \
                                          unpack, encode };                                        \
    static void encode_##grid_name(const float *w, int64_t count, uint8_t *out)                    \
    {                                                                                              \
        pl_type type = pl_type_plain(dtype);                                                       \
        pl_grid_encode(&pl_grid_##grid_name, &type, w, count, out);                                \
    }

GRID(q8_0, PL_Q8_0, snap_q8_0)
GRID(q4_0, PL_Q4_0, snap_middle)
GRID(q4_1, PL_Q4_1, snap_offset)
GRID(q5_0, PL_Q5_0, snap_middle)
GRID(q5_1, PL_Q5_1, snap_offset)

void pl_encoders_init(pl_encoders *list, unsigned cpu_flags)
{
    *list = (pl_encoders){ .encode = {
        [PL_Q8_0] = encode_q8_0, [PL_Q4_0] = encode_q4_0, [PL_Q4_1] = encode_q4_1,
        [PL_Q5_0] = encode_q5_0, [PL_Q5_1] = encode_q5_1,
    } };
#if defined(PL_X86)
    if (cpu_flags & PL_CPU_AVX2) pl_encoders_avx2(list);
    if (cpu_flags & PL_CPU_AVX512) pl_encoders_avx512(list);
#elif defined(PL_NEON)
    if (cpu_flags & PL_CPU_NEON) pl_encoders_neon(list);
#endif
}
