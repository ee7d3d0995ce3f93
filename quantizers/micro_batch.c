/* micro_batch.c: what the encoders of mxfp4, mxfp8 and nvfp4 share on every instruction set. */
#include "quantizers/micro_batch.h"

#include <string.h>

static micro_rule rule_of(const pl_type *type)
{
    micro_rule rule = { .n = type->group, .wide = type->element == &pl_dtypes[PL_F8_E4M3],
                        .power = type->scale == &pl_dtypes[PL_F8_E8M0] };
    rule.most = rule.wide ? 448.0f : 6.0f;
    rule.below = rule.power ? 2 : 6;            /* e4m3: eight codes to a factor of two */
    rule.above = rule.power ? 1 : 6;
    return rule;
}

void pl_micro_begin(const pl_group_rows *r, micro_work *work)
{
    uint8_t code[256], pair[128];
    *work = (micro_work){ .rule = rule_of(r->type), .floats = r->source };
    for (int i = 0; i < 256; i++) code[i] = (uint8_t)i;
    for (int i = 0; i < 8; i++) pair[i] = (uint8_t)(2 * i | (2 * i + 1) << 4);
    pl_decode(r->type->scale, code, work->scale_of, 256);
    if (work->rule.wide) pl_decode(r->type->element, code, work->level_of, 256);
    else pl_decode(r->type->element, pair, work->level_of, 16);
}

void pl_micro_put(const pl_group_rows *r, const micro_work *work, const micro_batch *b, int64_t first, int groups)
{
    int bits = work->rule.wide ? 8 : 4, n = work->rule.n;
    pl_bits_pack(b->codes, (int64_t)groups * n, bits, r->part[0] + first * n * bits / 8);
    memcpy(r->part[1] + first, b->scale, (size_t)groups);
}

/* In eight sums: the order is fixed, and compilers may use vectors. */
static double error_of(const micro_work *work, const float *w, const float *h, const uint8_t *codes, uint8_t scale)
{
    double sum[8] = { 0.0 };
    for (int i = 0; i < work->rule.n; i += 8)
        for (int j = 0; j < 8; j++) {
            double difference = (double)w[i + j] - (double)(work->level_of[codes[i + j]] * work->scale_of[scale]);
            sum[j] += (h ? (double)h[i + j] : 1.0) * (difference * difference);
        }
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

void pl_micro_keep(const micro_work *work, const float *w, const float *h, int groups, const micro_batch *mine,
                   micro_batch *out)
{
    int n = work->rule.n;
    for (int g = 0; g < groups; g++) {
        const float *x = w + g * n, *weight = h ? h + g * n : NULL;
        const uint8_t *ours = mine->codes + g * n;
        double reference = error_of(work, x, weight, out->codes + g * n, out->scale[g]);
        if (!(error_of(work, x, weight, ours, mine->scale[g]) < reference)) continue;
        out->scale[g] = mine->scale[g];
        memcpy(out->codes + g * n, ours, (size_t)n);
    }
}
