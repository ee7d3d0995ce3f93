/* mutate.h: changing inputs so that they stay files of their format, wrong in one place. */
#ifndef TESTS_FUZZ_MUTATE_H
#define TESTS_FUZZ_MUTATE_H

#include "tests/fuzz/fuzz.h"

/* libFuzzer's own mutation of bytes; works on at most `most` bytes, returns how many there are then. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t most);

/* A buffer of `most` bytes, of which `len` are in use, and a source of random numbers. */
typedef struct fuzz_buffer {
    uint8_t *data;
    size_t len, most;
    uint64_t state;
} fuzz_buffer;

/* Evenly from 0 .. n-1 (n > 0). */
static inline uint64_t fuzz_below(fuzz_buffer *b, uint64_t n)
{
    b->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = b->state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % n;
}
/* Puts `n` bytes in the place of from .. from+old-1; does nothing if there is no room. `bytes` may lie in
 * the buffer. */
void fuzz_replace(fuzz_buffer *b, size_t from, size_t old, const void *bytes, size_t n);
/* LLVMFuzzerMutate on a stretch of it. */
void fuzz_mutate_bytes(fuzz_buffer *b, size_t from, size_t len);
/* A number that is wrong more often than others. */
uint64_t fuzz_odd_number(fuzz_buffer *b, uint64_t was);

void fuzz_mutate_json(fuzz_buffer *b);
void fuzz_mutate_safetensors(fuzz_buffer *b);
void fuzz_mutate_gguf(fuzz_buffer *b);

/* One part of an input by its kind, or now and then the parts themselves. Returns the new length. */
size_t fuzz_mutate(const char *kinds, uint8_t *data, size_t len, size_t most, unsigned seed);

#endif
