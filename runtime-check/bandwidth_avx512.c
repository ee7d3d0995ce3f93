/* bandwidth_avx512.c: loops that read memory as fast as 512-bit loads can. */
#include <immintrin.h>

#include "runtime-check/kernels_isa.h"

#define INLINE static inline __attribute__((always_inline))

enum { PIECE = 512, FETCH = 4096 };

/* Adds a piece to four accumulators. */
INLINE void add_piece(const uint8_t *p, __m512i sum[4])
{
#pragma GCC unroll 8
    for (int i = 0; i < PIECE / 64; i++)
        sum[i % 4] = _mm512_add_epi64(sum[i % 4], _mm512_loadu_si512(p + 64 * i));
}

INLINE uint64_t total(const __m512i sum[4])
{
    uint64_t lane[32], all = 0;
    for (int i = 0; i < 4; i++) _mm512_storeu_si512(lane + 8 * i, sum[i]);
    for (int i = 0; i < 32; i++) all += lane[i];
    return all;
}

uint64_t pl_read_avx512(const uint8_t *data, int64_t bytes)
{
    __m512i sum[4] = { 0 };
    for (int64_t i = 0; i < bytes; i += PIECE) add_piece(data + i, sum);
    return total(sum);
}

uint64_t pl_read_avx512_ahead(const uint8_t *data, int64_t bytes)
{
    __m512i sum[4] = { 0 };
    for (int64_t i = 0; i < bytes; i += PIECE) {
        /* the end fetches the start of the data again rather than what is not ours */
        const uint8_t *next = i + FETCH < bytes ? data + i + FETCH : data;
        for (int k = 0; k < PIECE; k += 64) _mm_prefetch((const char *)next + k, _MM_HINT_T1);
        add_piece(data + i, sum);
    }
    return total(sum);
}

uint64_t pl_read_avx512_streams(const uint8_t *data, int64_t bytes)
{
    __m512i sum[4] = { 0 };
    int64_t part = bytes / 8;
    for (int64_t i = 0; i < part; i += PIECE)
        for (int s = 0; s < 8; s++) add_piece(data + s * part + i, sum);
    return total(sum);
}
