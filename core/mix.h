/* mix.h: the mixes of llama-quantize: a name that gives each tensor of a model a type by what the tensor does. */
#ifndef CORE_MIX_H
#define CORE_MIX_H

#include "core/model.h"

typedef struct pl_mix pl_mix;

/* By the name that llama-quantize has for it ("q4_k_m", "q4_k"), without regard to case; NULL if there is none. */
const pl_mix *pl_mix_find(const char *name);
const char *pl_mix_name(const pl_mix *mix);
/* Names of all mixes, separated by ", ", for help and errors. */
const char *pl_mix_list(void);
/* The type that most matrices get; all of them where the mix is not wanted. */
pl_type pl_mix_base(const pl_mix *mix);
/* general.file_type of a file of this mix; mix NULL: of one where every matrix has this type, -1 if it has none. */
int pl_mix_file_type(const pl_mix *mix, const pl_type *type);

/* Type of every tensor: *out [model's tensors], scheme NULL for what is no matrix. Rows that do not fill the blocks
 * of their type are the plan's business. have_stats: statistics of activations will guide the encoder, which some
 * mixes ask. Memory from arena. */
pl_status pl_mix_types(const pl_mix *mix, const pl_model *model, bool have_stats, pl_arena *arena, pl_type **out);

/* Is a matrix stored so of little use if its encoder knows nothing of activations? mix NULL: none. Never true of
 * token table and output matrix. */
bool pl_mix_wants_stats(const pl_mix *mix, const pl_type *type, pl_id id);

#endif
