/* sp_model.h: tokenizer.model files of SentencePiece. */
#ifndef FORMATS_SP_MODEL_H
#define FORMATS_SP_MODEL_H

#include "core/vocab.h"

typedef struct pl_sp_model {
    int32_t count;              /* pieces */
    pl_text *piece;             /* [count] */
    float *score;               /* [count] */
    uint8_t *type;              /* [count] pl_token_type */
    int32_t bos, eos, unk, pad; /* ids, -1: none */
    bool add_space_prefix;
    bool squeezes;              /* drops white space that stands twice or at the ends of a text */
    bool rewrites;              /* replaces characters by a table of its own */
} pl_sp_model;

/* Memory from arena. PL_E_INPUT for bytes that are no such file, for pieces that no vocabulary could have,
 * and for unigram models. */
pl_status pl_sp_model_read(const char *path, pl_arena *arena, pl_sp_model *out);

#endif
