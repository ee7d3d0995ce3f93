/* embed.h: judging encoders: the embeddings of a text's passages against those of the original. */
#ifndef RUNTIME_CHECK_EMBED_H
#define RUNTIME_CHECK_EMBED_H

#include "runtime-check/check.h"

/* Embedding of one sequence: hidden [n][width] -> out [width] in double, of length 1. A zero or
 * non-finite vector stays as it is. Mean unless the model asks for the first token's state. */
void pl_embed_pool(const float *hidden, int64_t n, int64_t width, pl_pooling pooling, double *out);

/* Every line of the text that is not blank is a passage, cut off at the least context. Fills each result's
 * embedding figures, speed and counts; all others become NaN. PL_E_WISH without an original;
 * PL_E_INPUT if the models split the text differently or it has no passage. */
pl_status pl_embed_compare(pl_source *const *models, int count, pl_source *against, const pl_check_options *options,
                           pl_pool *pool, pl_check_result *out);

#endif
