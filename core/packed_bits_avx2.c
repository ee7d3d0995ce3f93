/* packed_bits_avx2.c: streams of 2- to 6-bit codes with AVX2, 32 codes at a time; the same bytes as packed_bits.c. */
#include "core/packed_bits.h"

#include <immintrin.h>
#include <string.h>

enum { AT_ONCE = 32 };                          /* codes: as many words as a code has bits */

static __m256i load(const void *p) { return _mm256_loadu_si256(p); }

/* Place of each byte that 8 codes fill, for two times 8 of them: 8-byte lanes to `bits` bytes each. */
static __m256i closing_up(int bits)
{
    uint8_t place[32];
    memset(place, 0x80, sizeof place);
    for (int i = 0; i < 2 * bits; i++) place[i] = place[16 + i] = (uint8_t)(i / bits * 8 + i % bits);
    return load(place);
}

/* Pairs of codes, then of pairs, then of fours grow together; writes up to 2 * bits + 16 bytes. */
static inline void pack_32(const uint8_t *codes, int bits, __m256i places, uint8_t *out)
{
    __m256i pairs = _mm256_set1_epi16((short)(1 | 1 << (bits + 8)));
    __m256i fours = _mm256_set1_epi32(1 | 1 << (2 * bits + 16));
    __m256i x = _mm256_madd_epi16(_mm256_maddubs_epi16(load(codes), pairs), fours);
    __m256i second = _mm256_sll_epi64(_mm256_srli_epi64(x, 32), _mm_cvtsi32_si128(4 * bits));
    x = _mm256_or_si256(_mm256_and_si256(x, _mm256_set1_epi64x(0xffffffff)), second);
    x = _mm256_shuffle_epi8(x, places);
    _mm_storeu_si128((__m128i *)(void *)out, _mm256_castsi256_si128(x));
    _mm_storeu_si128((__m128i *)(void *)(out + 2 * bits), _mm256_extracti128_si256(x, 1));
}

/* Of the part of a stream that is less than AT_ONCE codes long, or wider or narrower ones. */
static pl_bits_ops plain(void)
{
    pl_bits_ops list;
    pl_bits_ops_plain(&list);
    return list;
}

static void pack(const uint8_t *codes, int64_t n, int bits, uint8_t *words)
{
    if (bits == 8) memcpy(words, codes, (size_t)n & ~(size_t)3);
    int64_t done = bits == 8 ? n & ~(int64_t)3 : 0, whole = n & ~(int64_t)(AT_ONCE - 1);
    if (bits >= 2 && bits <= 6) {
        __m256i places = closing_up(bits);
        const uint8_t *end = words + whole * bits / 8;
        for (uint8_t *out = words; done < whole; done += AT_ONCE, out += 4 * bits) {
            uint8_t last[2 * 8 + 16];
            bool room = end - out >= 2 * bits + 16;
            pack_32(codes + done, bits, places, room ? out : last);
            if (!room) memcpy(out, last, (size_t)(4 * bits));
        }
    }
    plain().pack(codes + done, n - done, bits, words + done * bits / 8);
}

/* For 16 codes, the two bytes that hold each, and the factor that shifts it to the top of them. */
typedef struct spread { __m256i place, factor; } spread;

static spread spreading(int bits)
{
    uint8_t place[32];
    uint16_t factor[16];
    for (int i = 0; i < 16; i++) {
        place[2 * i] = (uint8_t)(i * bits / 8);
        place[2 * i + 1] = (uint8_t)(i * bits / 8 + 1);
        factor[i] = (uint16_t)(1 << (16 - bits - i * bits % 8));
    }
    return (spread){ load(place), load(factor) };
}

static inline __m256i unpack_16(const uint8_t *in, int bits, const spread s)
{
    __m256i x = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)in));
    x = _mm256_mullo_epi16(_mm256_shuffle_epi8(x, s.place), s.factor);
    return _mm256_srl_epi16(x, _mm_cvtsi32_si128(16 - bits));
}

static void unpack(const uint8_t *words, int64_t n, int bits, uint8_t *codes)
{
    if (bits == 8) memcpy(codes, words, (size_t)n & ~(size_t)3);
    int64_t done = bits == 8 ? n & ~(int64_t)3 : 0, whole = n & ~(int64_t)(AT_ONCE - 1);
    if (bits >= 2 && bits <= 6) {
        spread s = spreading(bits);
        const uint8_t *in = words, *end = words + whole * bits / 8;
        for (; done < whole; done += AT_ONCE, in += 4 * bits) {
            uint8_t last[2 * 8 + 16] = { 0 };
            const uint8_t *from = in;
            if (end - in < 2 * bits + 16) from = memcpy(last, in, (size_t)(4 * bits));
            __m256i x = _mm256_packus_epi16(unpack_16(from, bits, s), unpack_16(from + 2 * bits, bits, s));
            _mm256_storeu_si256((__m256i *)(void *)(codes + done), _mm256_permute4x64_epi64(x, 0xd8));
        }
    }
    plain().unpack(words + done * bits / 8, n - done, bits, codes + done);
}

static void values(const uint8_t *codes, int64_t n, int zero, float scale, float bias, float *out)
{
    int64_t i = 0;
    __m256 factor = _mm256_set1_ps(scale), offset = _mm256_set1_ps(bias);
    for (; i + 8 <= n; i += 8) {
        __m256i q = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(codes + i)));
        __m256 x = _mm256_cvtepi32_ps(_mm256_sub_epi32(q, _mm256_set1_epi32(zero)));
        _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_mul_ps(x, factor), offset));
    }
    plain().values(codes + i, n - i, zero, scale, bias, out + i);
}

void pl_bits_ops_avx2(pl_bits_ops *list) { *list = (pl_bits_ops){ pack, unpack, values }; }
