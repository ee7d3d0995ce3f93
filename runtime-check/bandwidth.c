/* bandwidth.c: how fast this machine reads memory: the yardstick for decoding. */
#include <string.h>

#include "core/cpu.h"
#include "core/fs.h"
#include "core/mem.h"
#include "runtime-check/kernels.h"
#include "runtime-check/kernels_isa.h"

/* Bytes per task; runs of each loop, of which the best counts. */
enum { PIECE = 1 << 22, REPEATS = 2 };

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

struct pl_bandwidth {
    pl_pool *pool;
    uint8_t *data;
    int64_t pieces;
    pl_read_loop loop;
    uint64_t found[PL_MAX_THREADS];     /* kept, so that no loop can be left out */
};

static pl_status fill_task(void *ctx, int64_t index, int worker)
{
    const pl_bandwidth *b = ctx;
    memset(b->data + index * PIECE, 1, PIECE);
    return PL_OK;
}

static pl_status read_task(void *ctx, int64_t index, int worker)
{
    pl_bandwidth *b = ctx;
    b->found[worker] += b->loop(b->data + index * PIECE, PIECE);
    return PL_OK;
}

pl_status pl_bandwidth_create(pl_pool *pool, int64_t bytes, pl_bandwidth **out)
{
    *out = NULL;
    pl_bandwidth *b = pl_alloc(1, sizeof *b);
    if (!b) return PL_E_MEMORY;
    b->pool = pool;
    b->pieces = pl_max64(1, bytes / PIECE);
    b->data = pl_alloc_aligned(b->pieces, PIECE);
    pl_status status = b->data ? pl_pool_for(pool, b->pieces, fill_task, b) : PL_E_MEMORY;
    if (status != PL_OK) {
        pl_bandwidth_destroy(b);
        return status;
    }
    *out = b;
    return PL_OK;
}

void pl_bandwidth_destroy(pl_bandwidth *b)
{
    if (!b) return;
    pl_free(b->data);
    pl_free(b);
}

pl_status pl_bandwidth_measure(pl_bandwidth *b, double *best)
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
    *best = 0;
    for (int threads = 0; threads < 2; threads++) {
        for (int i = 0; i < count * REPEATS; i++) {
            b->loop = loops[i % count];
            double start = pl_seconds();
            PL_TRY(pl_pool_for(threads ? b->pool : NULL, b->pieces, read_task, b));
            double took = pl_seconds() - start;
            if (took > 0 && (double)b->pieces * PIECE / took > *best)
                *best = (double)b->pieces * PIECE / took;
        }
    }
    return PL_OK;
}
