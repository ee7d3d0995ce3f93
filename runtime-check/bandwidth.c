/* bandwidth.c: how fast this machine reads memory: the yardstick for decoding. */
#include <string.h>

#include "core/cpu.h"
#include "core/fs.h"
#include "core/mem.h"
#include "runtime-check/kernels.h"
#include "runtime-check/kernels_isa.h"

enum { PIECE = 1 << 22, REPEATS = 5 };      /* bytes per task; each loop's best of so many runs counts */

static uint64_t read_plain(const uint8_t *data, int64_t bytes)
{
    uint64_t sum[8] = { 0 };
    for (int64_t i = 0; i < bytes; i += 64) {
        uint64_t v[8];
        memcpy(v, data + i, sizeof v);
        for (int k = 0; k < 8; k++) sum[k] += v[k];
    }
    for (int k = 1; k < 8; k++) sum[0] += sum[k];
    return sum[0];
}

typedef struct job {
    uint8_t *data;
    pl_read_loop loop;
    uint64_t found[PL_MAX_THREADS];     /* kept, so that no loop can be left out */
} job;

static pl_status fill_task(void *ctx, int64_t index, int worker)
{
    const job *j = ctx;
    memset(j->data + index * PIECE, 1, PIECE);
    return PL_OK;
}

static pl_status read_task(void *ctx, int64_t index, int worker)
{
    job *j = ctx;
    j->found[worker] += j->loop(j->data + index * PIECE, PIECE);
    return PL_OK;
}

pl_status pl_read_bandwidth(pl_pool *pool, int64_t bytes, double *best)
{
    pl_read_loop loops[4] = { read_plain };
    int count = 1;
#if defined(PL_X86)
    if (pl_cpu_flags() & PL_CPU_AVX512) {
        loops[count++] = pl_read_avx512;
        loops[count++] = pl_read_avx512_ahead;
        loops[count++] = pl_read_avx512_streams;
    }
#endif
    int64_t pieces = pl_max64(1, bytes / PIECE);
    job *j = pl_alloc(1, sizeof *j);
    if (!j) return PL_E_MEMORY;
    pl_status status = PL_E_MEMORY;
    j->data = pl_alloc_aligned(pieces, PIECE);
    if (!j->data) goto out;
    status = pl_pool_for(pool, pieces, fill_task, j);
    *best = 0;
    for (int threads = 0; threads < 2 && status == PL_OK; threads++) {
        for (int i = 0; i < count * REPEATS && status == PL_OK; i++) {
            j->loop = loops[i % count];
            double start = pl_seconds();
            status = pl_pool_for(threads ? pool : NULL, pieces, read_task, j);
            double took = pl_seconds() - start;
            if (took > 0 && (double)pieces * PIECE / took > *best)
                *best = (double)pieces * PIECE / took;
        }
    }
out:
    pl_free(j->data);
    pl_free(j);
    return status;
}
