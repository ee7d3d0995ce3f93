/* base.h: the few definitions every file shares: sizes, checked arithmetic, attributes. */
#ifndef CORE_BASE_H
#define CORE_BASE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PL_VERSION "0.1.0"

#define PL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PL_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static inline int64_t pl_min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t pl_max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t pl_ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
/* Greatest common divisor of two numbers >= 0; that of 0 and b is b. */
static inline int64_t pl_gcd64(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Arithmetic on numbers that come from files. True on success; *out is set only then. Both
 * operands must be non-negative for the result to be a size, so negatives fail as well. */
static inline bool pl_mul_ok(int64_t a, int64_t b, int64_t *out)
{
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, out);
}
static inline bool pl_add_ok(int64_t a, int64_t b, int64_t *out)
{
    return a >= 0 && b >= 0 && !__builtin_add_overflow(a, b, out);
}
/* a rounded up to a multiple of b (b > 0). */
static inline bool pl_align_ok(int64_t a, int64_t b, int64_t *out)
{
    int64_t sum;
    if (!pl_add_ok(a, b - 1, &sum)) return false;
    *out = sum / b * b;
    return true;
}

/* The piece that `at` lies in, where piece i begins at first[i], in rising order: the last i with first[i] <= at. */
static inline int pl_span_of(const int64_t *first, int count, int64_t at)
{
    int low = 0, high = count - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (first[middle] <= at) low = middle;
        else high = middle - 1;
    }
    return low;
}

/* Hard limits on what a file may ask for, in one table. A file beyond one of them is refused with
 * exit code 3 and the limit's name; none is near what real checkpoints use. */
enum {
    PL_MAX_NAME = 255,              /* bytes of a tensor name (GGUF itself allows 63) */
    PL_MAX_DIMS = 8,                /* dimensions of a safetensors tensor */
    PL_MAX_LAYERS = 1024,           /* decoder blocks */
    PL_MAX_EXPERTS = 4096,          /* experts per block */
    PL_MAX_TENSORS = 1 << 19,       /* tensors in one model */
    PL_MAX_SHARDS = 99999,          /* files of one checkpoint */
    PL_MAX_VOCAB = 1 << 22,         /* tokens */
    PL_MAX_MERGES = 1 << 23,        /* BPE merges */
    PL_MAX_TOKEN_BYTES = 1 << 16,   /* bytes of one token */
    PL_MAX_KV = 1 << 16,            /* GGUF metadata entries */
    PL_MAX_JSON_DEPTH = 64,         /* nesting of a JSON document */
    PL_MAX_JSON_BYTES = 1 << 29,    /* a JSON side file */
    PL_MAX_ST_HEADER = 100000000,   /* safetensors header, the format's own limit */
    PL_MAX_THREADS = 1024
};

#endif
