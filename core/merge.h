/* merge.h: joining the shares of a conversion. */
#ifndef CORE_MERGE_H
#define CORE_MERGE_H

#include "core/status.h"

struct pl_outfile;

/* The last step of formats that have more to say of a whole file than its parts know; does nothing to files that are
 * not its own. `path`: for sentences. */
typedef pl_status pl_merge_seal(struct pl_outfile *file, const char *path);

typedef struct pl_merge_result {
    int files;
    int64_t bytes;              /* of all files */
} pl_merge_result;

/* Makes the output `path` of all shares of one conversion (pl_convert_options.part), whose journals `part` [parts]
 * names, in any order; a name without ".journal" stands for the one with it. Shares lie where their journals do, and
 * stay. The bytes are those of an undivided run. PL_E_WISH if a share is missing, given twice or unfinished, PL_E_INPUT
 * if they are not of one conversion or damaged. On failure nothing stands under `path`. `seals` ends with NULL. */
pl_status pl_merge_shares(const char *path, const char *const *part, int parts, bool force, pl_merge_seal *const *seals,
                          pl_merge_result *result);

#endif
