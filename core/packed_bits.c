/* packed_bits.c: streams of codes in plain C (the definition), and the choice of faster variants. */
#include "core/packed_bits.h"

#include <pthread.h>
#include <string.h>

#include "core/cpu.h"
#include "core/packed.h"

static void pack(const uint8_t *codes, int64_t n, int bits, uint8_t *words)
{
    uint64_t held = 0;
    int have = 0;
    for (int64_t i = 0; i < n; i++) {
        held |= (uint64_t)codes[i] << have;
        have += bits;
        if (have < 32) continue;
        memcpy(words, &held, 4);
        words += 4;
        held >>= 32;
        have -= 32;
    }
    if (have) memcpy(words, &held, 4);
}

static void unpack(const uint8_t *words, int64_t n, int bits, uint8_t *codes)
{
    uint64_t held = 0;
    int have = 0;
    for (int64_t i = 0; i < n; i++) {
        if (have < bits) {
            uint32_t word;
            memcpy(&word, words, 4);
            held |= (uint64_t)word << have;
            words += 4;
            have += 32;
        }
        codes[i] = (uint8_t)(held & ((1u << bits) - 1));
        held >>= bits;
        have -= bits;
    }
}

static void values(const uint8_t *codes, int64_t n, int zero, float scale, float bias, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = (float)(codes[i] - zero) * scale + bias;
}

void pl_bits_ops_plain(pl_bits_ops *list) { *list = (pl_bits_ops){ pack, unpack, values }; }

void pl_bits_ops_init(pl_bits_ops *list, unsigned cpu_flags)
{
    pl_bits_ops_plain(list);
#if defined(PL_X86)
    if (cpu_flags & PL_CPU_AVX2) pl_bits_ops_avx2(list);
#endif
}

static pl_bits_ops fastest;
static void choose(void) { pl_bits_ops_init(&fastest, pl_cpu_flags()); }

const pl_bits_ops *pl_bits_fastest(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return &fastest;
}

void pl_bits_pack(const uint8_t *codes, int64_t n, int bits, uint8_t *words)
{
    pl_bits_fastest()->pack(codes, n, bits, words);
}

void pl_bits_unpack(const uint8_t *words, int64_t n, int bits, uint8_t *codes)
{
    pl_bits_fastest()->unpack(words, n, bits, codes);
}
