/* ranks.c: several processes that do one conversion: the only door to MPI. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

pl_status pl_ranks_agree(const pl_ranks *ranks, pl_status mine)
{
    return ranks ? ranks->agree(ranks, mine) : mine;
}

/* How many processes the starter says that there are; 1 if nothing started them together. MPI itself is asked only if
 * it says so: without a starter that would take a second and a port. */
static int started_together(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS" };
    for (int i = 0; i < PL_COUNT(names); i++) {
        const char *text = getenv(names[i]);
        if (text && atoi(text) > 1) return atoi(text);
    }
    return 1;
}

#ifdef PL_MPI

#include <mpi.h>
#include <pthread.h>

#include "core/fs.h"
#include "core/mem.h"

enum { FAILED_TAG = 1 };
#define LOOK_SECONDS 0.2

static pthread_mutex_t look_lock = PTHREAD_MUTEX_INITIALIZER;
static double looked;           /* under look_lock, as the next */
static bool told;               /* another one has failed */
static bool running;

static bool failed(const pl_ranks *r)
{
    if (pthread_mutex_trylock(&look_lock) != 0) return false;
    if (!told && pl_seconds() - looked >= LOOK_SECONDS) {
        int found = 0;
        MPI_Iprobe(MPI_ANY_SOURCE, FAILED_TAG, MPI_COMM_WORLD, &found, MPI_STATUS_IGNORE);
        told = found;
        looked = pl_seconds();
    }
    bool is = told;
    pthread_mutex_unlock(&look_lock);
    return is;
}

/* What failed first tells all others, so that they stop; then all meet here, and the first of those that failed has the
 * word. One that only stopped says nothing. */
static pl_status agree(const pl_ranks *r, pl_status mine)
{
    struct { int32_t code; char sentence[PL_ERROR_BYTES]; } word = { .code = mine };
    int here = mine != PL_OK && !told, first = -1, *all = pl_alloc(r->count, sizeof *all);
    if (!all) MPI_Abort(MPI_COMM_WORLD, pl_status_exit(PL_E_MEMORY));
    for (int i = 0; here && i < r->count; i++)
        if (i != r->rank) MPI_Send(NULL, 0, MPI_BYTE, i, FAILED_TAG, MPI_COMM_WORLD);
    MPI_Allgather(&here, 1, MPI_INT, all, 1, MPI_INT, MPI_COMM_WORLD);
    for (int i = r->count - 1; i >= 0; i--) {
        if (!all[i]) continue;
        if (i != r->rank) MPI_Recv(NULL, 0, MPI_BYTE, i, FAILED_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        first = i;
    }
    pl_free(all);
    if (first < 0) return PL_OK;
    strncpy(word.sentence, pl_error(), sizeof word.sentence - 1);
    MPI_Bcast(&word, sizeof word, MPI_BYTE, first, MPI_COMM_WORLD);
    return pl_fail(word.code, "%s", word.sentence);
}

pl_status pl_ranks_start(const pl_ranks **out)
{
    static pl_ranks ranks = { .agree = agree, .failed = failed };
    *out = NULL;
    if (started_together() == 1) return PL_OK;
    int level;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level) != MPI_SUCCESS)
        return pl_fail(PL_E_IO, "MPI cannot be started");
    running = true;
    MPI_Comm_rank(MPI_COMM_WORLD, &ranks.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks.count);
    if (ranks.rank > 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            MPI_Abort(MPI_COMM_WORLD, pl_status_exit(PL_E_IO));
    }
    if (level < MPI_THREAD_SERIALIZED) return pl_fail(PL_E_WISH, "this MPI takes no calls from threads");
    if (ranks.count > 1) *out = &ranks;
    return PL_OK;
}

void pl_ranks_end(void)
{
    if (running) MPI_Finalize();
}

#else

pl_status pl_ranks_start(const pl_ranks **out)
{
    *out = NULL;
    int count = started_together();
    if (count == 1) return PL_OK;
    return pl_fail(PL_E_WISH, "started as %d processes together, but this planish was built without MPI; --part and "
                   "'planish merge' share the work as well", count);
}

void pl_ranks_end(void) {}

#endif
