/* hf_ints.h: what folders of whole-number codes share, compressed-tensors' and GPTQ's: which matrices have codes, of
 * which type, and what they say of the others. */
#ifndef FORMATS_HF_INTS_H
#define FORMATS_HF_INTS_H

#include "core/json.h"
#include "formats/folder.h"

/* For a sink's form: scales of `scale`, NULL: of the floats that the weights are; token table and output matrix stay
 * floats. */
pl_type pl_ints_form(pl_type wish, const pl_tensor *t, const pl_dtype *scale);
/* For a sink's resolve: Hugging Face's names. PL_E_WISH for other types than symmetric ints and floats, encoders, and
 * models whose matrices are stored transposed, as these are no "Linear" modules. */
pl_status pl_ints_resolve(const char *title, const pl_model *model, const pl_tensor *t, pl_type wish, pl_packed *out,
                          const char **name, pl_arena *arena);

static inline bool pl_ints_coded(const pl_step *step) { return step->out.type.scheme == &pl_scheme_ints; }
/* Begins a folder's fill: its tensors, of steps with codes by `add_codes`; *type: of all of these. PL_E_WISH if there
 * are several types, or none. */
pl_status pl_ints_tensors(pl_folder *f, const char *title, pl_status (*add_codes)(pl_folder *f, const pl_step *step),
                          pl_type *type);
/* One more tensor of the folder, called as the step's with `end` instead of "weight"; -1 if memory is out. */
int pl_ints_add(pl_folder *f, const pl_step *step, const char *end, const char *dtype, int dims, const int64_t *shape);

/* Modules that a runtime would take for quantized ones if nothing were said: `put` for the path of each. */
void pl_ints_left_out(const pl_folder *f, void (*put)(pl_json_writer *w, const char *path), pl_json_writer *w);
/* Ends the document, which becomes the folder's quantization_config, destroys the writer, and takes older ones away. */
pl_status pl_ints_config(pl_folder *f, pl_json_writer *w);

#endif
