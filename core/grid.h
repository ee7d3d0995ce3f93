/* grid.h: the values that a scalar storage type can hold: fit scales, snap a weight, pack codes.
 * rtn uses all three at once; error feedback and learned rounding will call them one by one. */
#ifndef CORE_GRID_H
#define CORE_GRID_H

#include "core/packed.h"

/* Scales of one span of values as its decoder will see them, that is already rounded to what is
 * stored: value = scale[j / group] * level(code) + offset[j / group]. */
typedef struct pl_fit {
    float scale[16], offset[16];
    const float *level;         /* NULL: the code itself as a number */
    int32_t group, levels;      /* values per scale, number of codes */
    float inverse;              /* what snap multiplies by where that is not 1/scale: the reference
                                 * encoders choose codes with the scale before its rounding */
    float shift;                /* subtracted from w before that */
    uint8_t raw[32];            /* the stored fields */
} pl_fit;

typedef struct pl_grid {
    const char *name;
    /* Values under one fit for this type, 0: not its type. */
    int (*span)(const pl_type *type, int64_t cols);
    /* w [n], h [n] importance of each value or NULL, codes [n] or NULL: free. */
    void (*fit)(const pl_type *type, float global, const float *w, const float *h,
                const uint8_t *codes, int64_t n, pl_fit *out);
    /* Code for value w at place j of the span; returns the value that will be read. */
    float (*snap)(const pl_fit *fit, int64_t j, float w, uint8_t *code);
    /* One span: codes [n] and its fit to stored bytes. */
    void (*pack)(const pl_type *type, const uint8_t *codes, const pl_fit *fit, int64_t n,
                 uint8_t *out);
    /* The reverse, lossless. */
    void (*unpack)(const pl_type *type, const uint8_t *in, int64_t n, uint8_t *codes, pl_fit *fit);
    /* fit + snap + pack without importance of `count` values (whole spans), by the fastest variant:
     * the same bytes. NULL: none. */
    void (*encode)(const pl_type *type, const float *w, int64_t count, uint8_t *out);
} pl_grid;

#endif
