/* legacy_avx2.c: encoders of the 32-value block types with AVX2; the same bytes as legacy.c for all
 * finite values. A quotient that is not finite becomes 0x80000000 when truncated, which the packing
 * below turns into code 0, as the definition wants. */
#include "quantizers/registry.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* 32 values */
typedef struct block { __m256 v[4]; } block;

INLINE block load(const float *w)
{
    block b;
    for (int k = 0; k < 4; k++) b.v[k] = _mm256_loadu_ps(w + 8 * k);
    return b;
}

INLINE block absolute(block b)
{
    for (int k = 0; k < 4; k++) b.v[k] = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), b.v[k]);
    return b;
}

INLINE float highest(block b)
{
    __m256 m = _mm256_max_ps(_mm256_max_ps(b.v[0], b.v[1]), _mm256_max_ps(b.v[2], b.v[3]));
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}

INLINE float lowest(block b)
{
    __m256 m = _mm256_min_ps(_mm256_min_ps(b.v[0], b.v[1]), _mm256_min_ps(b.v[2], b.v[3]));
    __m128 h = _mm_min_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    h = _mm_min_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_min_ss(h, _mm_movehdup_ps(h)));
}

/* Place of the first value equal to x: the one whose sign counts. Below 32 without a match too. */
INLINE unsigned first_equal(block b, float x)
{
    __m256 all = _mm256_set1_ps(x);
    unsigned mask = 0;
    for (int k = 0; k < 4; k++)
        mask |= (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(b.v[k], all, _CMP_EQ_OQ)) << (8 * k);
    return (unsigned)__builtin_ctz(mask | 1u << 31);
}

INLINE float inverse_of(float d) { return d != 0.0f ? 1.0f / d : 0.0f; }

INLINE void put_f16(uint8_t *out, float x)
{
    uint16_t h = (uint16_t)_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
    memcpy(out, &h, 2);
}

static void encode_q8_0(const float *w, int64_t count, uint8_t *out)
{
    __m256 sign = _mm256_set1_ps(-0.0f), half = _mm256_set1_ps(0x1.fffffep-2f);
    for (int64_t i = 0; i < count; i += 32, out += 34) {
        block b = load(w + i);
        float d = highest(absolute(b)) / 127.0f, id = inverse_of(d);
        if (isinf(id)) id = 0.0f;           /* packing with saturation would keep a sign */
        __m256i q[4];
        for (int k = 0; k < 4; k++) {
            __m256 y = _mm256_mul_ps(b.v[k], _mm256_set1_ps(id));
            __m256 away = _mm256_or_ps(_mm256_and_ps(y, sign), half);
            q[k] = _mm256_cvttps_epi32(_mm256_add_ps(y, away));
        }
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]),
                                           _mm256_packs_epi32(q[2], q[3]));
        bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        put_f16(out, d);
        _mm256_storeu_si256((__m256i *)(out + 2), bytes);
    }
}

/* Codes of (v - shift) * id + round, truncated, to qs and for 5 bits to qh. */
INLINE void put_codes(block b, float shift, float id, float round, int bits, uint8_t *out)
{
    __m256i q[4];
    unsigned high = 0;
    for (int k = 0; k < 4; k++) {
        __m256 y = _mm256_mul_ps(_mm256_sub_ps(b.v[k], _mm256_set1_ps(shift)), _mm256_set1_ps(id));
        q[k] = _mm256_cvttps_epi32(_mm256_add_ps(y, _mm256_set1_ps(round)));
        q[k] = _mm256_min_epi32(q[k], _mm256_set1_epi32((1 << bits) - 1));
        if (bits == 5) {
            __m256 bit4 = _mm256_castsi256_ps(_mm256_slli_epi32(q[k], 27));
            high |= (unsigned)_mm256_movemask_ps(bit4) << (8 * k);
        }
    }
    __m256i low = _mm256_packs_epi32(q[0], q[1]), top = _mm256_packs_epi32(q[2], q[3]);
    if (bits == 5) {
        low = _mm256_and_si256(low, _mm256_set1_epi16(15));
        top = _mm256_and_si256(top, _mm256_set1_epi16(15));
        memcpy(out, &high, 4);
        out += 4;
    }
    __m256i both = _mm256_or_si256(low, _mm256_slli_epi16(top, 4));
    both = _mm256_permute4x64_epi64(both, 0xd8);
    _mm_storeu_si128((__m128i *)out, _mm_packus_epi16(_mm256_castsi256_si128(both),
                                                      _mm256_extracti128_si256(both, 1)));
}

INLINE void encode_middle(const float *w, int64_t count, uint8_t *out, int bits)
{
    float middle = (float)(1 << (bits - 1));
    for (int64_t i = 0; i < count; i += 32, out += bits == 5 ? 22 : 18) {
        block b = load(w + i), a = absolute(b);
        float largest = w[i + first_equal(a, highest(a))] + 0.0f;   /* -0 counts as 0 */
        float d = largest / -middle;
        put_f16(out, d);
        put_codes(b, 0.0f, inverse_of(d), middle + 0.5f, bits, out + 2);
    }
}

INLINE void encode_offset(const float *w, int64_t count, uint8_t *out, int bits)
{
    float steps = (float)((1 << bits) - 1);
    for (int64_t i = 0; i < count; i += 32, out += bits == 5 ? 24 : 20) {
        block b = load(w + i);
        float low = w[i + first_equal(b, lowest(b))];
        float d = (highest(b) - low + 0.0f) / steps;        /* 0 whatever the signs of zeros */
        put_f16(out, d);
        put_f16(out + 2, low);
        put_codes(b, low, inverse_of(d), 0.5f, bits, out + 4);
    }
}

static void encode_q4_0(const float *w, int64_t n, uint8_t *out) { encode_middle(w, n, out, 4); }
static void encode_q4_1(const float *w, int64_t n, uint8_t *out) { encode_offset(w, n, out, 4); }
static void encode_q5_0(const float *w, int64_t n, uint8_t *out) { encode_middle(w, n, out, 5); }
static void encode_q5_1(const float *w, int64_t n, uint8_t *out) { encode_offset(w, n, out, 5); }

void pl_encoders_avx2(pl_encoders *list)
{
    list->encode[PL_Q8_0] = encode_q8_0;
    list->encode[PL_Q4_0] = encode_q4_0;
    list->encode[PL_Q4_1] = encode_q4_1;
    list->encode[PL_Q5_0] = encode_q5_0;
    list->encode[PL_Q5_1] = encode_q5_1;
}
