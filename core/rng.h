/* rng.h: counter-based random numbers: value i of stream (seed, key) needs no state. */
#ifndef CORE_RNG_H
#define CORE_RNG_H

#include "core/base.h"

/* 64 random bits; the same on every machine (SplitMix64's finalizer over seed, key, counter). */
static inline uint64_t pl_rng_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
static inline uint64_t pl_rng_bits(uint64_t seed, uint64_t key, uint64_t counter)
{
    return pl_rng_mix(pl_rng_mix(pl_rng_mix(seed) ^ key) ^ counter);
}
/* Uniform in [0, 1), 53 bits. */
static inline double pl_rng_uniform(uint64_t seed, uint64_t key, uint64_t counter)
{
    return (double)(pl_rng_bits(seed, key, counter) >> 11) * 0x1p-53;
}
/* About normal(0, 1): sum of twelve uniforms less six, so that no libm function is needed. */
static inline double pl_rng_normal(uint64_t seed, uint64_t key, uint64_t counter)
{
    double sum = -6.0;
    for (uint64_t i = 0; i < 12; i++) sum += pl_rng_uniform(seed, key, counter * 12 + i);
    return sum;
}

#endif
