/* streamed.c: weights that come from a disk while the model runs. */
#include "cli/streamed.h"

#include <stdio.h>

pl_open_options pl_cli_engine(const char *pre, int64_t resident)
{
    return (pl_open_options){ .how = resident ? PL_OPEN_STREAM : PL_OPEN_MAP, .pre = pre, .resident = resident };
}

void pl_cli_streamed(pl_source *s)
{
    char read[24], rate[24], peak[24], budget[24];
    if (!s || !s->streams) return;
    pl_resident_report r = s->ops->streamed(s);
    double busy = r.read.busy > 1e-9 ? r.read.busy : 1e-9, overlap = 1 - r.waited / busy;
    fprintf(stderr, "streamed %s at %s/s (%s), waited %.2f s for it, overlap %.0f %%; weights in memory: at most %s of "
            "%s\n",
            pl_ui_bytes(r.read.bytes, read), pl_ui_bytes((int64_t)((double)r.read.bytes / busy), rate), r.read.how,
            r.waited, 100 * (overlap > 0 ? overlap : 0), pl_ui_bytes(r.peak, peak), pl_ui_bytes(r.budget, budget));
}
