/* hf_ints.h: what folders of codes have in common, compressed-tensors', GPTQ's and AWQ's: which matrices have codes, of
 * which type, zero points, and what they say of the other matrices. */
#ifndef FORMATS_HF_INTS_H
#define FORMATS_HF_INTS_H

#include "core/json.h"
#include "formats/folder.h"

/* What sets the formats apart. */
typedef struct pl_ints_format {
    const char *title, *types;          /* for people: "GPTQ"; which types it has */
    bool (*also)(const pl_type *type);  /* is it one of the types that are no whole numbers? NULL: there are none */
    const pl_dtype *scale;              /* of scales; NULL: the floats that the weights are */
} pl_ints_format;

/* State of such a sink. */
typedef struct pl_ints_folder {
    pl_folder folder;
    pl_type type;                       /* of all codes */
} pl_ints_folder;

/* For a sink's form: the type of scales, zero points as the caller wants; token table and output matrix stay floats. */
pl_type pl_ints_form(const pl_ints_format *format, const pl_sink *s, pl_type wish, const pl_tensor *t);
/* For a sink's resolve: Hugging Face's names. PL_E_WISH for other types than the format's and floats, encoders, and
 * models whose matrices are stored transposed, as these are no "Linear" modules. */
pl_status pl_ints_resolve(const pl_ints_format *format, const pl_model *model, const pl_tensor *t, pl_type wish,
                          pl_packed *out, const char **name, pl_arena *arena);

static inline bool pl_ints_coded(const pl_step *step) { return pl_type_coded(&step->out.type); }
/* Begins a folder's fill: its tensors, of steps with codes by `add_codes`; sets the state's type. PL_E_WISH if there
 * are several types of codes, or none. */
pl_status pl_ints_tensors(pl_folder *f, pl_sink *s, const pl_ints_format *format,
                          pl_status (*add_codes)(pl_folder *f, const pl_step *step));
/* One more tensor of the folder, called as the step's with `end` instead of "weight"; -1 if memory is out. */
int pl_ints_add(pl_folder *f, const pl_step *step, const char *end, const char *dtype, int dims, const int64_t *shape);

/* A sink's begin, for words that hold the codes or zero points of so many rows: PL_E_WISH if ranges of rows cut
 * them. */
pl_status pl_ints_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model,
                        pl_folder_fill *fill, int rows);
/* Rows whose zero points fill whole words. */
int pl_ints_zero_rows(const pl_type *type);
/* Zero points of n rows, each below 2^bits, to their words. */
typedef void pl_ints_pack(const uint8_t *zeros, int64_t n, int bits, uint8_t *words);
/* A range of the part of zero points, for a tensor of words that stand down its columns, one for each group, or along
 * its rows. */
pl_status pl_ints_put_zeros(pl_ints_folder *state, const pl_part *part, int64_t offset, const uint8_t *zeros,
                            size_t len, bool down, pl_ints_pack *pack);

/* Modules that a runtime would take for quantized ones if nothing were said: `put` for the path of each; NULL: as a
 * text. */
void pl_ints_left_out(const pl_folder *f, void (*put)(pl_json_writer *w, const char *path), pl_json_writer *w);
/* Ends the document, which becomes the folder's quantization_config, destroys the writer, and takes older ones away. */
pl_status pl_ints_config(pl_folder *f, pl_json_writer *w);

#endif
