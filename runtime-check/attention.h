/* attention.h: attention with grouped heads over cached keys and values. */
#ifndef RUNTIME_CHECK_ATTENTION_H
#define RUNTIME_CHECK_ATTENTION_H

#include "core/pool.h"

typedef struct pl_attention {
    int32_t heads, kv_heads, head_dim;
    float scale;                /* of q k^T */
    float softcap;              /* c: scores become c tanh(score/c); 0: none */
    const float *q;             /* [n][heads*head_dim], already rotated */
    const float *k, *v;         /* [first+n][kv_heads*head_dim] */
    float *out;                 /* [n][heads*head_dim] */
    int64_t first, n;           /* query i stands at position first+i and sees 0 .. first+i */
    int64_t window;             /* > 0: of these the last `window` only */
    bool encoder;               /* every query sees all first+n positions; no window then */
    int64_t tile;               /* queries per task */
    float *const *scores;       /* per worker: tile * (first+n) floats */
} pl_attention;

/* out = softmax(scale q k^T) v. Cut into tasks by heads and tiles of queries. */
pl_status pl_attention_run(const pl_attention *a, pl_pool *pool);

#endif
