/* micro_batch.h: groups of 4- and 8-bit floats under an 8-bit scale: mxfp4, mxfp8 and nvfp4 as MLX keeps them. */
#ifndef QUANTIZERS_MICRO_BATCH_H
#define QUANTIZERS_MICRO_BATCH_H

#include "core/half.h"
#include "quantizers/groups.h"

/* Groups that are encoded together, however many lanes there are; the most values of one. */
enum { MICRO_GROUPS = 16, MICRO_MOST = 32 };

typedef struct micro_batch {
    uint8_t scale[MICRO_GROUPS];
    uint8_t codes[MICRO_GROUPS * MICRO_MOST];           /* [groups][values of a group] */
} micro_batch;

/* What sets the types apart. */
typedef struct micro_rule {
    int n;                                      /* values of a group */
    bool wide;                                  /* codes of 8 bits, e4m3; else of 4, e2m1 */
    bool power;                                 /* scales are powers of two, e8m0; else e4m3 */
    float most;                                 /* the largest level */
    int below, above;                           /* the search: how far from the reference's scale it looks, in codes */
} micro_rule;

/* What encoding rows of a type needs: its rule, the floats that MLX computes in (F32, F16 or BF16), what the codes for
 * scales and for values mean. */
typedef struct micro_work {
    micro_rule rule;
    const pl_dtype *floats;
    float scale_of[256], level_of[256];
} micro_work;
/* e4m3 of x: the nearest, of ties the even one; 448 for all that is larger. */
static inline uint8_t micro_e4m3(float x)
{
    uint32_t bits = pl_f32_bits(x), size = bits & 0x7fffffffu;
    uint32_t low = pl_f32_bits(pl_bits_f32(size) + 0x1p14f) - pl_f32_bits(0x1p14f);
    uint32_t high = (size + 0x7ffffu + (size >> 20 & 1) - (120u << 23)) >> 20;
    uint32_t code = size < pl_f32_bits(0x1p-6f) ? low : high;
    if (size >= pl_f32_bits(448.0f)) code = 0x7e;
    return (uint8_t)(code | (bits >> 31) << 7);
}

void pl_micro_begin(const pl_group_rows *r, micro_work *work);

/* Writes the first `groups` of b to the parts of r, as its groups first, first + 1, ... */
void pl_micro_put(const pl_group_rows *r, const micro_work *work, const micro_batch *b, int64_t first, int groups);
/* Groups of `mine` with less weighted error than those of `out` replace them: in double precision, of what readers
 * decode. h: importance, or NULL. */
void pl_micro_keep(const micro_work *work, const float *w, const float *h, int groups, const micro_batch *mine,
                   micro_batch *out);

#endif
