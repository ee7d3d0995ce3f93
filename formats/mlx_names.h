/* mlx_names.h: what mlx-lm calls the tensors of the models that it has. */
#ifndef FORMATS_MLX_NAMES_H
#define FORMATS_MLX_NAMES_H

#include "formats/arch.h"

/* Does mlx-lm have this architecture (GGUF's name), and with an output matrix of its own? */
bool pl_mlx_has(const char *arch, bool output);
/* Names of the architectures it has, between commas. */
const char *pl_mlx_list(void);
/* A tensor's name; all experts of a role and layer share one. NULL if the table has none for it, or memory is out. */
const char *pl_mlx_name(const pl_arch *arch, pl_id id, pl_arena *arena);

/* How a tensor of a file is to be looked up. */
typedef struct pl_mlx_alias {
    char name[PL_MAX_NAME + 32];    /* Hugging Face's name; of a stack that of expert 0 */
    bool stacked;                   /* [experts][rows][cols] */
    bool turned;                    /* the other way around than Hugging Face's, where that stores [cols][rows] */
} pl_mlx_alias;
/* Names that are not mlx-lm's stay as they are. */
void pl_mlx_resolve(const pl_arch *arch, const char *name, pl_mlx_alias *out);

#endif
