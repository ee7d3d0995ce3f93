/* mean_groups.h: errors that cancel each other in the mean of the input, for matrices whose parts lie apart. */
#ifndef QUANTIZERS_MEAN_GROUPS_H
#define QUANTIZERS_MEAN_GROUPS_H

#include "quantizers/groups.h"
#include "quantizers/mean.h"

/* Changes codes of encoded rows by one level where that lowers the cost of the row; see mean.h. */
void pl_mean_settle_groups(const pl_group_rows *r, pl_mean_costs costs);

#endif
