/* work.c: the journal of a conversion: when ranges are noted, and by what a conversion is known again. */
#include "core/work.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/fs.h"

enum {
    MAX_WAITING = 1 << 10,              /* records not noted yet */
    NOTE_BYTES = 256 << 20,             /* noted after so many bytes, or so much time */
    WHOLE_BYTES = 64 << 20,             /* files up to here are told apart by all their bytes */
    WINDOW_BYTES = 1 << 20,             /* larger ones by windows: beginning, end, and between */
    WINDOWS = 64, FEWEST_WINDOWS = 4,   /* of one file; */
    ALL_WINDOWS = 1 << 10               /* and of all, as far as that leaves each its fewest */
};
#define NOTE_SECONDS 1.0

struct pl_work {
    pl_outset *set;                     /* the sink's */
    pl_ledger *ledger;                  /* NULL: nothing is kept on disk */
    char *path;                         /* of the output */
    pthread_mutex_t waiting_lock, sync_lock;
    pl_record *room;                    /* [2 * MAX_WAITING]: for both of these, which change places */
    pl_record *waiting, *batch;         /* batch: those being noted, under sync_lock */
    int count;
    int64_t bytes, note_bytes;          /* put since the last time; as many as call for the next */
    double since;
};

/* ---- by what a conversion is known again ---- */

static void hash_plan(const pl_plan *plan, const pl_source *source, const pl_sink *sink,
                           const pl_work_options *options, pl_hash *hash)
{
    const pl_vocab *vocab = source->model->vocab;
    const char *texts[] = { PL_VERSION, sink->ops->name, options->also, vocab ? vocab->pre : NULL };
    int64_t numbers[] = { plan->bytes, plan->range_elements, sink->max_shard, options->measured };
    for (int i = 0; i < PL_COUNT(texts); i++) {
        const char *text = texts[i] ? texts[i] : "";
        pl_hash_update(hash, text, strlen(text) + 1);
    }
    pl_hash_update(hash, numbers, sizeof numbers);
    pl_hash_update(hash, &plan->digest, sizeof plan->digest);
}

static pl_status hash_window(pl_file *file, int64_t at, int64_t len, void *window, pl_hash *hash)
{
    PL_TRY(pl_file_read(file, at, window, (size_t)len));
    pl_hash_update(hash, window, (size_t)len);
    return PL_OK;
}

/* All of a small file. Of a large one windows, so that another checkpoint is noticed wherever the file lies, and its
 * time, so that on the same machine any change is. */
static pl_status hash_file(const char *path, int64_t most, void *window, pl_hash *contents, pl_hash *times)
{
    pl_file *file;
    PL_TRY(pl_file_open(path, &file));
    int64_t size = pl_file_size(file);
    bool large = size > WHOLE_BYTES;
    pl_hash_update(contents, &size, sizeof size);
    struct stat st;
    if (large && stat(path, &st) == 0) {
        int64_t when[] = { st.st_mtim.tv_sec, st.st_mtim.tv_nsec };
        pl_hash_update(times, when, sizeof when);
    }
    int64_t windows = large ? most : pl_ceil_div(size, WINDOW_BYTES);
    pl_status code = PL_OK;
    for (int64_t i = 0; code == PL_OK && i < windows; i++) {
        int64_t at = large ? (size - WINDOW_BYTES) / (most - 1) * i : i * WINDOW_BYTES;
        if (large && i == most - 1) at = size - WINDOW_BYTES;
        code = hash_window(file, at, pl_min64(WINDOW_BYTES, size - at), window, contents);
    }
    pl_file_close(file);
    return code;
}

static pl_status hash_input(const pl_plan *plan, const pl_source *source, pl_hash *contents, pl_hash *times)
{
    void *window = pl_alloc_aligned(WINDOW_BYTES, 1);
    pl_status code = window ? PL_OK : PL_E_MEMORY;
    int64_t most = pl_max64(FEWEST_WINDOWS, pl_min64(WINDOWS, ALL_WINDOWS / pl_max64(1, source->files)));
    for (int i = 0; i < source->files && code == PL_OK; i++)
        code = hash_file(source->file[i], most, window, contents, times);
    if (code == PL_OK && plan->stats) code = hash_file(plan->stats->path, WINDOWS, window, contents, times);
    pl_free(window);
    return code;
}

static pl_status make_key(const pl_plan *plan, const pl_source *source, const pl_sink *sink, int64_t ranges,
                          const pl_work_options *options, pl_ledger_key *key)
{
    pl_hash *hash[3] = { NULL };
    pl_status code = PL_OK;
    for (int i = 0; i < 3 && code == PL_OK; i++) code = pl_hash_create(&hash[i]);
    if (code == PL_OK) hash_plan(plan, source, sink, options, hash[0]);
    if (code == PL_OK) code = hash_input(plan, source, hash[1], hash[2]);
    if (code == PL_OK)
        *key = (pl_ledger_key){ pl_hash_digest(hash[0]), pl_hash_digest(hash[1]), pl_hash_digest(hash[2]), ranges,
                                sink->set.part, sink->set.parts };
    for (int i = 0; i < 3; i++) pl_hash_destroy(hash[i]);
    return code;
}

/* ---- the journal ---- */

/* What the output is called: as its first file, or as the folder that this is in. */
static pl_status name_output(const pl_sink *sink, const char *path, char out[PATH_MAX])
{
    PL_TRY(pl_sink_file_name(sink, path, 0, out));
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    if (!strncmp(out, path, len) && out[len] == '/') out[len] = 0;
    return PL_OK;
}

static pl_status name_journal(const pl_work *w, char out[PATH_MAX])
{
    char share[48] = "";
    if (w->set->parts) snprintf(share, sizeof share, ".part-%d-of-%d", w->set->part, w->set->parts);
    int n = snprintf(out, PATH_MAX, "%s%s.journal", w->path, share);
    return n < PATH_MAX ? PL_OK : pl_fail(PL_E_WISH, "the output's path is longer than %d bytes", PATH_MAX - 1);
}

/* What can be refused before anything is read or written. */
static pl_status check_names(const pl_sink *sink, const char *path)
{
    char name[PATH_MAX];
    for (int i = 0; i < sink->files && !(sink->ops->flags & PL_SINK_FOLDER); i++) {
        PL_TRY(pl_sink_file_name(sink, path, i, name));
        PL_TRY(pl_outfile_check(name, sink->set.force || sink->set.resume));
    }
    return PL_OK;
}

static pl_status open_work(pl_work *w, const pl_plan *plan, const pl_source *source, pl_sink *sink,
                           int64_t ranges, const pl_work_options *options)
{
    char path[PATH_MAX], *sealed = NULL;
    pl_ledger_key key;
    PL_TRY(check_names(sink, options->path));
    PL_TRY(name_output(sink, options->path, path));
    if (sink->ops->flags & PL_SINK_FOLDER && !pl_path_exists(path)) PL_TRY(pl_outfile_check(path, false));
    w->path = pl_strdup(path);
    w->room = pl_alloc(2 * MAX_WAITING, sizeof *w->room);
    if (!w->path || !w->room) return PL_E_MEMORY;
    w->waiting = w->room;
    w->batch = w->room + MAX_WAITING;
    PL_TRY(name_journal(w, path));
    PL_TRY(make_key(plan, source, sink, ranges, options, &key));
    sink->input = key.input;
    PL_TRY(pl_ledger_open(path, &key, w->set, &w->ledger));
    if (options->keep) atomic_store(&w->set->keep, true);
    PL_TRY(pl_ledger_sealed(w->ledger, &sealed));
    w->set->named = w->set->resume && sealed;
    pl_free(sealed);
    return PL_OK;
}

pl_status pl_work_open(const pl_plan *plan, const pl_source *source, pl_sink *sink, int64_t ranges,
                       const pl_work_options *options, pl_work **out)
{
    pl_work *w = *out = pl_alloc(1, sizeof *w);
    if (!w) return PL_E_MEMORY;
    w->set = &sink->set;
    w->since = pl_seconds();
    w->note_bytes = options->note_bytes ? options->note_bytes : NOTE_BYTES;
    pthread_mutex_init(&w->waiting_lock, NULL);
    pthread_mutex_init(&w->sync_lock, NULL);
    return options->path ? open_work(w, plan, source, sink, ranges, options) : PL_OK;
}

pl_status pl_work_gather(pl_work *w, pl_work_finished finished, void *ctx)
{
    return w->ledger ? pl_ledger_each(w->ledger, finished, ctx) : PL_OK;
}

/* What waits becomes durable: first the data, then the word that it is there. Under sync_lock. */
static pl_status note(pl_work *w)
{
    pthread_mutex_lock(&w->waiting_lock);
    int count = w->count;
    pl_record *batch = w->waiting;
    w->waiting = w->batch;
    w->batch = batch;
    w->count = 0;
    w->bytes = 0;
    pthread_mutex_unlock(&w->waiting_lock);
    pl_status code = count ? pl_outset_sync(w->set) : PL_OK;
    if (code == PL_OK && count) code = pl_ledger_add(w->ledger, batch, count);
    if (code == PL_OK && count) atomic_store(&w->set->keep, true);
    pthread_mutex_lock(&w->waiting_lock);
    w->since = pl_seconds();
    pthread_mutex_unlock(&w->waiting_lock);
    return code;
}

/* True if the record has a place now; *due: it is time to note what waits. */
static bool enter(pl_work *w, const pl_record *record, int64_t bytes, bool *due)
{
    pthread_mutex_lock(&w->waiting_lock);
    bool room = w->count < MAX_WAITING;
    if (room) {
        w->waiting[w->count++] = *record;
        w->bytes += bytes;
    }
    *due = w->bytes >= w->note_bytes || pl_seconds() - w->since >= NOTE_SECONDS;
    pthread_mutex_unlock(&w->waiting_lock);
    return room;
}

pl_status pl_work_add(pl_work *w, const pl_record *record, int64_t bytes)
{
    if (!w->ledger) return PL_OK;
    pl_status code = PL_OK;
    bool due;
    while (!enter(w, record, bytes, &due)) {
        pthread_mutex_lock(&w->sync_lock);
        code = note(w);
        pthread_mutex_unlock(&w->sync_lock);
        if (code != PL_OK) return code;
    }
    if (!due || pthread_mutex_trylock(&w->sync_lock) != 0) return PL_OK;
    code = note(w);
    pthread_mutex_unlock(&w->sync_lock);
    return code;
}

pl_status pl_work_flush(pl_work *w, pl_status before)
{
    if (!w->ledger) return before;
    char sentence[PL_ERROR_BYTES];
    snprintf(sentence, sizeof sentence, "%s", pl_error());
    pl_status code = note(w);
    return before == PL_OK ? code : pl_fail(before, "%s", sentence);
}

pl_status pl_work_seal(pl_work *w)
{
    if (!w->ledger) return PL_OK;
    char *files = NULL;
    pl_status code = pl_outset_list(w->set, w->path, &files);
    if (code == PL_OK) code = pl_ledger_seal(w->ledger, files);
    pl_free(files);
    return code;
}

void pl_work_close(pl_work *w, bool keep)
{
    if (!w) return;
    atomic_store(&w->set->keep, keep);
    pl_ledger_close(w->ledger);
    pthread_mutex_destroy(&w->waiting_lock);
    pthread_mutex_destroy(&w->sync_lock);
    pl_free(w->room);
    pl_free(w->path);
    pl_free(w);
}
