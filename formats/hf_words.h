/* hf_words.h: whole-number codes and zero points whose words do not stand in the rows of a matrix. */
#ifndef FORMATS_HF_WORDS_H
#define FORMATS_HF_WORDS_H

#include "formats/hf_data.h"

/* Rows of a matrix of GPTQ's or AWQ's, of type w->coded, as parts of that type in scratch. PL_E_INPUT for zero points
 * or an order of columns other than config.json says. */
pl_status pl_hf_words_packed(const pl_hf_state *state, const pl_hf_weight *w, int64_t cols, int64_t first,
                             int64_t count, pl_packed *out, pl_arena *scratch);
/* The same as f32 [count][cols], also where columns of a group stand anywhere. */
pl_status pl_hf_words_rows(const pl_hf_state *state, const pl_hf_weight *w, int64_t cols, int64_t first, int64_t count,
                           float *out, pl_arena *scratch);
/* Zero points [count][groups] of rows, wherever the words stand. */
pl_status pl_hf_words_zeros(const pl_hf_state *state, const pl_hf_weight *w, int64_t groups, int64_t first,
                            int64_t count, uint8_t *out, pl_arena *scratch);

#endif
