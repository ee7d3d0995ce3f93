/* journal.c: a head, counts, sums and a digest of it all, as they lie in memory. */
#include "runtime-check/journal.h"

#include <string.h>

#include "core/fs.h"
#include "core/mem.h"

typedef struct head {
    char magic[32];
    pl_digest key;
    int64_t done, counts, sums;
} head;

static head head_of(const pl_journal *j)
{
    return (head){ "planish calibration journal 1\n", j->key, j->done, j->counts, j->sums };
}

static pl_digest digest_of(pl_hash *hash, const head *h, const int64_t *count, const double *sum)
{
    pl_hash_update(hash, h, sizeof *h);
    pl_hash_update(hash, count, (size_t)h->counts * sizeof *count);
    pl_hash_update(hash, sum, (size_t)h->sums * sizeof *sum);
    return pl_hash_digest(hash);
}

typedef struct places { int64_t count, sum, digest, end; } places;

static places places_of(const pl_journal *j)
{
    places p = { .count = sizeof(head) };
    p.sum = p.count + j->counts * (int64_t)sizeof *j->count;
    p.digest = p.sum + j->sums * (int64_t)sizeof *j->sum;
    p.end = p.digest + (int64_t)sizeof(pl_digest);
    return p;
}

static pl_status write_all(pl_outfile *file, const pl_journal *j, pl_hash *hash)
{
    places p = places_of(j);
    head h = head_of(j);
    pl_digest digest = digest_of(hash, &h, j->count, j->sum);
    PL_TRY(pl_outfile_write(file, 0, &h, sizeof h));
    PL_TRY(pl_outfile_write(file, p.count, j->count, (size_t)(p.sum - p.count)));
    PL_TRY(pl_outfile_write(file, p.sum, j->sum, (size_t)(p.digest - p.sum)));
    return pl_outfile_write(file, p.digest, &digest, sizeof digest);
}

pl_status pl_journal_save(const char *path, const pl_journal *j)
{
    pl_hash *hash;
    pl_outfile *file = NULL;
    PL_TRY(pl_hash_create(&hash));
    pl_status code = pl_outfile_create(path, places_of(j).end, true, &file);
    if (code == PL_OK) {
        code = write_all(file, j, hash);
        if (code == PL_OK) code = pl_outfile_commit(file);
        else pl_outfile_abandon(file);
    }
    pl_hash_destroy(hash);
    return code;
}

/* The head says that the rest is meant for this journal. */
static pl_status check_head(const pl_journal *j, pl_file *file, head *h)
{
    const char *path = pl_file_path(file);
    const head wanted = head_of(j);
    if (pl_file_size(file) < (int64_t)sizeof *h)
        return pl_fail(PL_E_INPUT, "%s: %lld bytes are no journal", path, (long long)pl_file_size(file));
    PL_TRY(pl_file_read(file, 0, h, sizeof *h));
    if (memcmp(h->magic, wanted.magic, sizeof h->magic))
        return pl_fail(PL_E_INPUT, "%s: no journal of a calibration", path);
    if (memcmp(&h->key, &wanted.key, sizeof h->key) || h->counts != j->counts || h->sums != j->sums)
        return pl_fail(PL_E_INPUT, "%s: a journal of another model, another text or other options", path);
    if (pl_file_size(file) == places_of(j).end && h->done >= 0) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: a damaged journal of %lld bytes, expected %lld", path,
                   (long long)pl_file_size(file), (long long)places_of(j).end);
}

static pl_status read_all(pl_journal *j, pl_file *file, pl_hash *hash, int64_t *count, double *sum)
{
    places p = places_of(j);
    head h;
    pl_digest stored;
    PL_TRY(check_head(j, file, &h));
    PL_TRY(pl_file_read(file, p.count, count, (size_t)(p.sum - p.count)));
    PL_TRY(pl_file_read(file, p.sum, sum, (size_t)(p.digest - p.sum)));
    PL_TRY(pl_file_read(file, p.digest, &stored, sizeof stored));
    pl_digest found = digest_of(hash, &h, count, sum);
    if (memcmp(&found, &stored, sizeof found))
        return pl_fail(PL_E_INPUT, "%s: a damaged journal: its digest is another", pl_file_path(file));
    memcpy(j->count, count, (size_t)(p.sum - p.count));
    memcpy(j->sum, sum, (size_t)(p.digest - p.sum));
    j->done = h.done;
    return PL_OK;
}

pl_status pl_journal_load(const char *path, pl_journal *j)
{
    pl_hash *hash = NULL;
    pl_file *file = NULL;
    int64_t *count = pl_alloc(j->counts, sizeof *count);
    double *sum = pl_alloc(j->sums, sizeof *sum);
    pl_status code = count && sum ? pl_hash_create(&hash) : PL_E_MEMORY;
    if (code == PL_OK) code = pl_file_open(path, &file);
    if (code == PL_OK) code = read_all(j, file, hash, count, sum);
    pl_file_close(file);
    if (hash) pl_hash_destroy(hash);
    pl_free(sum);
    pl_free(count);
    return code;
}
