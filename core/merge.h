/* merge.h: joining the shares of a conversion. */
#ifndef CORE_MERGE_H
#define CORE_MERGE_H

#include "core/status.h"

typedef struct pl_merge_result {
    int files;
    int64_t bytes;              /* of all files */
} pl_merge_result;

/* Makes the output `path` of all shares of one conversion (pl_convert_options.part), whose journals `part` [parts]
 * names, in any order; a name without ".journal" stands for the one with it. Shares lie where their journals do, and
 * stay. The bytes are those of an undivided run. PL_E_WISH if a share is missing, given twice or unfinished, PL_E_INPUT
 * if they are not of one conversion or damaged. On failure nothing stands under `path`. */
pl_status pl_merge_shares(const char *path, const char *const *part, int parts, bool force, pl_merge_result *result);

#endif
