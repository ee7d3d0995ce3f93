/* stats.c: finding statistics, and importance from them. */
#include "core/stats.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *key, const void *entry)
{
    return pl_id_compare(*(const pl_id *)key, ((const pl_stat *)entry)->id);
}

const pl_stat *pl_stats_find(const pl_stats *stats, pl_id id)
{
    if (!stats || stats->count == 0) return NULL;
    return bsearch(&id, stats->stat, (size_t)stats->count, sizeof *stats->stat, compare);
}

void pl_stat_importance(const pl_stat *stat, float *out)
{
    for (int64_t c = 0; c < stat->cols; c++) out[c] = stat->count > 0 ? stat->sum2[c] / stat->count : 1.0f;
}

int64_t pl_stat_weights(const pl_stat *stat, float *out)
{
    double sum = 0;
    for (int64_t c = 0; c < stat->cols; c++) sum += stat->sum2[c];
    double mean = sum / (double)stat->cols, rows = stat->count, total = rows + PL_STAT_PRIOR, all = 0;
    bool known = rows > 0 && mean > 0 && isfinite(mean);
    int64_t lifted = 0;
    for (int64_t c = 0; c < stat->cols; c++) {
        double weight = known ? (rows * (stat->sum2[c] / mean) + PL_STAT_PRIOR) / total : 1;
        if (weight < 0.01) lifted++;
        weight = weight < 0.01 ? 0.01 : weight;
        out[c] = (float)sqrt(weight * sqrt(weight));
        all += out[c];
    }
    float scale = (float)((double)stat->cols / all);
    for (int64_t c = 0; c < stat->cols; c++) out[c] *= scale;
    return lifted;
}

bool pl_stat_means(const pl_stat *stat, float *weight, float *mean)
{
    double all = 0;
    for (int64_t c = 0; c < stat->cols; c++) all += stat->sum2[c];
    double unit = sqrt(all / (double)stat->cols / stat->count);         /* root of the mean square */
    if (!stat->sum || !(stat->count > 0 && unit > 0 && isfinite(unit))) return false;
    pl_stat_weights(stat, weight);
    for (int64_t c = 0; c < stat->cols; c++) {
        double centre = stat->sum[c] / (stat->count + (double)PL_STAT_PRIOR), square = stat->sum2[c] / stat->count;
        double rest = square > 0 ? 1 - centre * centre / square : 1;
        mean[c] = (float)(centre / unit);
        weight[c] *= (float)(rest < 0.1 ? 0.1 : rest);
    }
    return true;
}
