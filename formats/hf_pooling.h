/* hf_pooling.h: how a sentence-transformers folder makes one embedding of an encoder's hidden states. */
#ifndef FORMATS_HF_POOLING_H
#define FORMATS_HF_POOLING_H

#include "core/json.h"
#include "core/model.h"

/* From modules.json and the pooling module's config.json; leaves *out as it is where there is none.
 * PL_E_INPUT for a way of pooling that we do not have. */
pl_status pl_hf_pooling_read(const char *folder, pl_pooling *out);

#endif
