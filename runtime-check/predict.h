/* predict.h: judging decoders: predictions of the next token against those of the original. */
#ifndef RUNTIME_CHECK_PREDICT_H
#define RUNTIME_CHECK_PREDICT_H

#include "runtime-check/check.h"

/* Runs every window of the text through all models and compares logits in chunks of positions. Fills each result's
 * figures of predictions, speed and counts; those of embeddings become NaN. The original may be NULL. PL_E_INPUT if
 * the models read the text differently or it is too short. Results own kld_windows, after a failure too. */
pl_status pl_predict_compare(pl_source *const *models, int count, pl_source *against,
                             const pl_check_options *options, pl_pool *pool, pl_check_result *out);

#endif
