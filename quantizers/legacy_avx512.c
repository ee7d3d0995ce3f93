/* legacy_avx512.c: encoders of the 32-value block types with AVX-512 (F BW VL DQ); the same bytes
 * as legacy.c for all finite values. A quotient that is not finite becomes 0x80000000 when
 * truncated; its low byte is code 0, as the definition wants. */
#include "quantizers/registry.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* Place of the first value equal to x: the one whose sign counts. Below 32 without a match too. */
INLINE unsigned first_equal(__m512 a, __m512 b, float x)
{
    __m512 all = _mm512_set1_ps(x);
    unsigned low = _mm512_cmp_ps_mask(a, all, _CMP_EQ_OQ);
    unsigned high = _mm512_cmp_ps_mask(b, all, _CMP_EQ_OQ);
    return (unsigned)__builtin_ctz(low | high << 16 | 1u << 31);
}

INLINE float inverse_of(float d) { return d != 0.0f ? 1.0f / d : 0.0f; }

INLINE void put_f16(uint8_t *out, float x)
{
    uint16_t h = (uint16_t)_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
    memcpy(out, &h, 2);
}

INLINE void put_bytes(uint8_t *out, __m512i q)
{
    _mm_storeu_si128((__m128i *)out, _mm512_cvtepi32_epi8(q));
}

/* Rounds half away from zero: half is the largest float below 1/2 with the sign of y. */
INLINE __m512i rounded(__m512 y)
{
    __m512 half = _mm512_or_ps(_mm512_and_ps(y, _mm512_set1_ps(-0.0f)),
                               _mm512_set1_ps(0x1.fffffep-2f));
    return _mm512_cvttps_epi32(_mm512_add_ps(y, half));
}

static void encode_q8_0(const float *w, int64_t count, uint8_t *out)
{
    for (int64_t i = 0; i < count; i += 32, out += 34) {
        __m512 a = _mm512_loadu_ps(w + i), b = _mm512_loadu_ps(w + i + 16);
        __m512 top = _mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b));
        float d = _mm512_reduce_max_ps(top) / 127.0f;
        __m512 id = _mm512_set1_ps(inverse_of(d));
        put_f16(out, d);
        put_bytes(out + 2, rounded(_mm512_mul_ps(a, id)));
        put_bytes(out + 18, rounded(_mm512_mul_ps(b, id)));
    }
}

/* Code of (v - shift) * id + round, truncated. */
INLINE __m512i code(__m512 v, float shift, float id, float round, int bits)
{
    __m512 y = _mm512_mul_ps(_mm512_sub_ps(v, _mm512_set1_ps(shift)), _mm512_set1_ps(id));
    __m512i q = _mm512_cvttps_epi32(_mm512_add_ps(y, _mm512_set1_ps(round)));
    return _mm512_min_epi32(q, _mm512_set1_epi32((1 << bits) - 1));
}

/* The block's codes to qs, for 5 bits with qh before it. */
INLINE void put_codes(__m512i low, __m512i high, int bits, uint8_t *out)
{
    if (bits == 5) {
        __m512i fifth = _mm512_set1_epi32(16);
        unsigned qh = _mm512_test_epi32_mask(low, fifth) |
                      (unsigned)_mm512_test_epi32_mask(high, fifth) << 16;
        memcpy(out, &qh, 4);
        out += 4;
        low = _mm512_and_si512(low, _mm512_set1_epi32(15));
    }
    put_bytes(out, _mm512_or_si512(low, _mm512_slli_epi32(high, 4)));
}

INLINE void encode_middle(const float *w, int64_t count, uint8_t *out, int bits)
{
    float middle = (float)(1 << (bits - 1));
    for (int64_t i = 0; i < count; i += 32, out += bits == 5 ? 22 : 18) {
        __m512 a = _mm512_loadu_ps(w + i), b = _mm512_loadu_ps(w + i + 16);
        __m512 pa = _mm512_abs_ps(a), pb = _mm512_abs_ps(b);
        float top = _mm512_reduce_max_ps(_mm512_max_ps(pa, pb));
        float largest = w[i + first_equal(pa, pb, top)] + 0.0f;     /* -0 counts as 0 */
        float d = largest / -middle, id = inverse_of(d);
        put_f16(out, d);
        put_codes(code(a, 0.0f, id, middle + 0.5f, bits), code(b, 0.0f, id, middle + 0.5f, bits),
                  bits, out + 2);
    }
}

INLINE void encode_offset(const float *w, int64_t count, uint8_t *out, int bits)
{
    float steps = (float)((1 << bits) - 1);
    for (int64_t i = 0; i < count; i += 32, out += bits == 5 ? 24 : 20) {
        __m512 a = _mm512_loadu_ps(w + i), b = _mm512_loadu_ps(w + i + 16);
        float high = _mm512_reduce_max_ps(_mm512_max_ps(a, b));
        float low = w[i + first_equal(a, b, _mm512_reduce_min_ps(_mm512_min_ps(a, b)))];
        float d = (high - low + 0.0f) / steps, id = inverse_of(d);  /* 0 whatever zeros' signs */
        put_f16(out, d);
        put_f16(out + 2, low);
        put_codes(code(a, low, id, 0.5f, bits), code(b, low, id, 0.5f, bits), bits, out + 4);
    }
}

static void encode_q4_0(const float *w, int64_t n, uint8_t *out) { encode_middle(w, n, out, 4); }
static void encode_q4_1(const float *w, int64_t n, uint8_t *out) { encode_offset(w, n, out, 4); }
static void encode_q5_0(const float *w, int64_t n, uint8_t *out) { encode_middle(w, n, out, 5); }
static void encode_q5_1(const float *w, int64_t n, uint8_t *out) { encode_offset(w, n, out, 5); }

void pl_encoders_avx512(pl_encoders *list)
{
    list->encode[PL_Q8_0] = encode_q8_0;
    list->encode[PL_Q4_0] = encode_q4_0;
    list->encode[PL_Q4_1] = encode_q4_1;
    list->encode[PL_Q5_0] = encode_q5_0;
    list->encode[PL_Q5_1] = encode_q5_1;
}
