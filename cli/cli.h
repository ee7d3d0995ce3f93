/* cli.h: what the commands share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "core/convert.h"
#include "core/json.h"
#include "core/merge.h"
#include "core/pool.h"
#include "core/sink.h"
#include "core/stats.h"

/* A command: one const struct per cmd_*.c, one line in main.c's table. */
typedef struct pl_command {
    const char *name, *summary;
    pl_status (*run)(int argc, const char **argv);
} pl_command;

extern const pl_command pl_cmd_inspect, pl_cmd_convert, pl_cmd_diff, pl_cmd_merge, pl_cmd_check, pl_cmd_run,
    pl_cmd_bench, pl_cmd_calibrate, pl_cmd_layout, pl_cmd_verify_load;

/* wire.c: the registries of the leaves. */
extern const pl_registries pl_wire_registries;
pl_status pl_wire_open(const char *path, const pl_open_options *options, pl_source **out);
/* Sink by name ("gguf", "count", "digest"), else PL_E_WISH. */
pl_status pl_wire_sink(const char *name, pl_sink **out);
pl_digest pl_wire_sink_digest(const pl_sink *sink);
pl_status pl_wire_merge(const char *path, const char *const *part, int parts, bool force, pl_merge_result *result);
/* Statistics of a model's activations from a file, memory from arena; warns if some matrices have none. */
pl_status pl_wire_stats(const char *path, const pl_model *model, pl_arena *arena, pl_stats **out);
pl_status pl_wire_stats_save(const char *path, const pl_stats *stats, const pl_model *model, bool force);

/* ranks.c: the processes that mpirun or srun started together. *out: NULL if this one is alone; PL_E_WISH if it is
 * not and planish was built without MPI. From then on only the first of them prints. */
pl_status pl_ranks_start(const pl_ranks **out);
void pl_ranks_end(void);
/* What all agree on: a failure of any is one of all. Ranks may be NULL. */
pl_status pl_ranks_agree(const pl_ranks *ranks, pl_status mine);

/* ui.c: how results, messages and progress look. */
void pl_ui_start(bool quiet, bool verbose);
void pl_ui_end(void);                               /* clears the progress line */
/* "1.23 GiB", "17 B". */
const char *pl_ui_bytes(int64_t bytes, char buffer[24]);
/* "1,234,567" */
const char *pl_ui_count(int64_t count, char buffer[32]);
/* "576 x 1536"; of a vector (cols 1) "576". */
const char *pl_ui_shape(int64_t rows, int64_t cols, char buffer[48]);
/* "name", for several things of a kind "name x128". */
void pl_ui_times(const char *name, int count, char *out, size_t size);
/* Prints to standard output; a failed write there is PL_E_IO at the end. */
void pl_ui_print(const char *format, ...) PL_PRINTF(1, 2);
pl_status pl_ui_flush(void);
/* A table: each column as wide as its widest cell; right[i] aligns column i to the right. */
typedef struct pl_table pl_table;
pl_status pl_table_create(int columns, const bool *right, pl_table **out);
pl_status pl_table_row(pl_table *table, const char *const *cells);      /* copies */
void pl_table_print(const pl_table *table);
void pl_table_destroy(pl_table *table);
/* A text of JSON to a file, or to standard output for "-". */
pl_status pl_ui_json(const char *text, const char *path);

#endif
