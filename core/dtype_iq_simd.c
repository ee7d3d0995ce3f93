/* dtype_iq_simd.c: decoders of the IQ types with AVX2, and again with AVX-512; the same bits as plain C,
 * because all products are exact. */
#include "core/dtype_blocks.h"
#include "core/dtype_iq.h"
#include "core/dtype_simd.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i rows(const pl_iq_group *g)
{
    return _mm256_setr_epi64x((long long)g->row[0], (long long)g->row[1], (long long)g->row[2],
                              (long long)g->row[3]);
}

/* A byte for each of 32 bits: 0, or -1 where it is set. */
INLINE __m256i spread(uint32_t bits)
{
#if defined(__AVX512F__)
    return _mm256_movm_epi8(bits);
#else
    __m256i bytes = _mm256_shuffle_epi8(
        _mm256_set1_epi32((int)bits),
        _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101, 0x0202020202020202,
                           0x0303030303030303));
    __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
#endif
}

INLINE __m256i signed_codes(const pl_iq_group *g)
{
    __m256i minus = spread(g->negative);
    return _mm256_sub_epi8(_mm256_xor_si256(rows(g), minus), minus);
}

/* Eight times the values: 8 g + 1 or 8 g - 1 */
INLINE __m256i shifted_codes(const pl_iq_group *g)
{
    __m256i times8 = _mm256_and_si256(_mm256_slli_epi16(rows(g), 3), _mm256_set1_epi8(-8));
    return _mm256_add_epi8(times8, _mm256_or_si256(spread(g->negative), _mm256_set1_epi8(1)));
}

#define DECODE(type, codes, unit)                                                                  \
    static void decode_##type(const void *blocks, float *out, int64_t count)                       \
    {                                                                                              \
        const pl_iq_grids *grids = pl_iq_grids_get();                                              \
        const uint8_t *p = blocks;                                                                 \
        for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_##type))                     \
            for (int b = 0; b < 8; b++, out += 32) {                                               \
                pl_iq_group g = pl_##type##_group(p, b, grids);                                    \
                float d = _cvtsh_ss(g.d) * unit;                                                   \
                pl_simd_put32(codes(&g), d * g.factor[0], d * g.factor[1], out);                  \
            }                                                                                      \
    }

DECODE(iq2_xxs, signed_codes, 1.0f)
DECODE(iq2_xs, signed_codes, 1.0f)
DECODE(iq2_s, signed_codes, 1.0f)
DECODE(iq3_xxs, signed_codes, 1.0f)
DECODE(iq3_s, signed_codes, 1.0f)
DECODE(iq1_s, shifted_codes, 0.125f)
DECODE(iq1_m, shifted_codes, 0.125f)

/* 32 codes: low nibbles, then high ones. */
INLINE void put_codes(const uint8_t *qs, float d, float *out)
{
    __m128i q = _mm_loadu_si128((const __m128i *)qs);
    __m256i both = _mm256_set_m128i(_mm_srli_epi16(q, 4), q);
    __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)pl_iq4_values));
    __m256i codes = _mm256_shuffle_epi8(table, _mm256_and_si256(both, _mm256_set1_epi8(15)));
    pl_simd_put32(codes, d, d, out);
}

static void decode_iq4_nl(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 32, p += sizeof(pl_block_iq4_nl))
        put_codes(p + offsetof(pl_block_iq4_nl, qs), pl_simd_f16(p), out + i);
}

static void decode_iq4_xs(const void *blocks, float *out, int64_t count)
{
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < count; i += 256, p += sizeof(pl_block_iq4_xs)) {
        float d = pl_simd_f16(p);
        for (int b = 0; b < 8; b++, out += 32)
            put_codes(p + offsetof(pl_block_iq4_xs, qs) + 16 * b, d * pl_iq4_xs_factor(p, b), out);
    }
}

void PL_FOR_ISA(pl_decoders_iq)(pl_decoders *list)
{
    list->decode[PL_IQ2_XXS] = decode_iq2_xxs;
    list->decode[PL_IQ2_XS] = decode_iq2_xs;
    list->decode[PL_IQ2_S] = decode_iq2_s;
    list->decode[PL_IQ3_XXS] = decode_iq3_xxs;
    list->decode[PL_IQ3_S] = decode_iq3_s;
    list->decode[PL_IQ1_S] = decode_iq1_s;
    list->decode[PL_IQ1_M] = decode_iq1_m;
    list->decode[PL_IQ4_NL] = decode_iq4_nl;
    list->decode[PL_IQ4_XS] = decode_iq4_xs;
}
