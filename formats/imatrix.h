/* imatrix.h: activation statistics in llama.cpp's files ("importance matrix"): its GGUF form is read and
 * written, its older binary form (.dat) read; which one it is the bytes say. */
#ifndef FORMATS_IMATRIX_H
#define FORMATS_IMATRIX_H

#include "core/model.h"
#include "core/stats.h"

/* Reads the statistics of `model`. One entry of a stack of experts becomes one pl_stat for each expert. PL_E_INPUT
 * names file and tensor if a name is none of the model's matrices (statistics of another model), a length differs, a
 * number is negative or not finite, or the file is damaged. The older form keeps means times the number of windows,
 * not of rows: each window is taken for the 512 rows that llama.cpp's own default makes. Memory from arena. */
pl_status pl_imatrix_load(const char *path, const pl_model *model, pl_arena *arena, pl_stats **out);

/* Writes the GGUF form: entries sorted by name, experts stacked. `path` as pl_outfile_create takes it.
 * PL_E_INPUT if an identity is none of the model's, or a stack not whole. */
pl_status pl_imatrix_save(const char *path, const pl_stats *stats, const pl_model *model, bool force);

/* How many matrices of the model's blocks have no entry; *of (may be NULL): how many matrices there are. */
int pl_imatrix_missing(const pl_stats *stats, const pl_model *model, int *of);

#endif
