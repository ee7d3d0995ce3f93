/* folder.h: what outputs have in common that are folders of safetensors: which parts of the plan lie where,
 * config.json, files taken over from the source, a model card; all of it appears when it is complete. */
#ifndef FORMATS_FOLDER_H
#define FORMATS_FOLDER_H

#include "core/sink.h"
#include "formats/st_write.h"

/* Where the bytes of a part go: one behind another into a tensor, or, a matrix of plain values, turned around. */
typedef struct pl_folder_place {
    int tensor;                 /* index into the layout's; -1: nowhere, the part is put by the sink itself or not */
    int64_t at, bytes;          /* from the beginning of the tensor's data; how many of the part go there */
    int64_t rows, cols;         /* of a matrix that is stored as [cols][rows]; 0: as it is */
} pl_folder_place;

/* A member of config.json, by its key. */
typedef struct pl_folder_edit {
    const char *key, *value;    /* value: JSON text; NULL: the member goes */
    bool only;                  /* replaced where it stands, not added where there is none */
} pl_folder_edit;

/* A folder to be written. A sink's state begins with one; zeroed at first. */
typedef struct pl_folder {
    const char *format;         /* metadata of the files: "mlx", "pt" */
    const char *title;          /* of the format, for people: "MLX" */
    const char *library;        /* the runtime's name on the model hub, or NULL */
    const pl_plan *plan;
    const pl_model *model;
    pl_st_out *tensor;          /* [tensors], room for one per part and two per step of the plan */
    int tensors;
    pl_folder_place *place;     /* [plan->parts] */
    pl_folder_edit edit[8];     /* of config.json */
    int edits;
    pl_arena *arena;            /* of all this */
    /* set by the functions below */
    pl_st_layout layout;
    const char *config, *card;  /* texts of config.json and README.md */
    pl_outset *set;             /* the sink's */
    pl_outfile **file;          /* [files] under way: config.json, index, safetensors, what is taken over, card */
    int files, first_shard;
    int parts;
    char *path;
    bool made, replaces;        /* the folder was not there before; what it had is to go */
} pl_folder;

/* Fills format ... edit of f from f->plan and f->model; memory from f->arena. Called for each size and for begin: only
 * what the last call leaves in the sink's state lives on. */
typedef pl_status pl_folder_fill(pl_folder *f, pl_sink *s);

/* PL_E_WISH if the model has no config.json, as one from GGUF; `title`: of the format. */
pl_status pl_folder_check(const pl_model *model, const char *title);
/* Room for tensors and places; a fill begins with it. All places are nowhere. */
pl_status pl_folder_start(pl_folder *f);
/* One more tensor; its index. */
int pl_folder_add(pl_folder *f, const char *name, const char *dtype, int dims, const int64_t *shape);
/* Steps from `first` on that go into one tensor, as experts do: those with the same name. PL_E_WISH if they are not all
 * experts of the model in turn, of one type and shape. */
pl_status pl_folder_stack(const pl_folder *f, int first, int *count);

/* Operations of a sink (core/sink.h) whose state begins with a pl_folder. */
pl_status pl_folder_size(pl_sink *s, const pl_plan *plan, const pl_model *model, pl_folder_fill *fill, int64_t *bytes);
pl_status pl_folder_file_name(const pl_sink *s, const char *path, int i, char out[PATH_MAX]);
pl_status pl_folder_begin(pl_sink *s, const char *path, const pl_plan *plan, const pl_model *model,
                          pl_folder_fill *fill);
pl_status pl_folder_put(pl_sink *s, const pl_part *part, int64_t offset, const void *bytes, size_t len);
/* Bytes of a tensor that are no part of the plan, or not as they are; after begin. Re-entrant. */
pl_status pl_folder_write(pl_folder *f, int tensor, int64_t offset, const void *bytes, size_t len);
pl_status pl_folder_finish(pl_sink *s);
void pl_folder_close(pl_sink *s);

/* ---- folder_text.c ---- */

/* A JSON object's text with members replaced, taken out or added at the end; everything else as it was. PL_E_INPUT,
 * naming origin, if it is no object. Memory from arena. */
pl_status pl_folder_edit_json(const char *text, const char *origin, const pl_folder_edit *edit, int edits,
                              pl_arena *arena, const char **out);
/* README.md: what was made of what, with which types. The same for the same plan. */
pl_status pl_folder_card(const pl_folder *f, const char **out);

#endif
