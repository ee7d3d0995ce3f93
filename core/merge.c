/* merge.c: the files of all shares laid over each other. A share's file has its own ranges and whatever all shares have
 * in common (headers, padding) in their places, and zeros elsewhere; so the whole is the OR of all, and of two shares
 * that have a byte at the same place both have the same, which is checked. Journals say that all ranges are there
 * once. */
#include "core/merge.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/convert.h"
#include "core/fs.h"
#include "core/ledger.h"
#include "core/log.h"
#include "core/mem.h"

enum { WINDOW = 1 << 20 };

typedef struct share {
    char *journal;
    pl_ledger_key key;
    pl_ledger *ledger;
    char *list;                 /* see pl_outset_list */
} share;

typedef struct job {
    const char *path;
    pl_merge_seal *const *seals;
    share *share;               /* [shares] in order */
    int shares;
    uint8_t *seen;              /* [ranges] */
    const share *now;           /* whose ranges are looked at */
    pl_outset set;
    pl_outfile **out;           /* [files] */
    int files;
    bool made;                  /* the folder was */
    uint8_t *window, *other;    /* [WINDOW] */
    int64_t done, bytes;
} job;

/* ---- what the shares say of themselves ---- */

static pl_status open_share(share *s, const char *name)
{
    static const char ending[] = ".journal";
    size_t len = strlen(name), tail = sizeof ending - 1;
    bool whole = len > tail && !strcmp(name + len - tail, ending);
    s->journal = pl_alloc((int64_t)(len + sizeof ending), 1);
    if (!s->journal) return PL_E_MEMORY;
    snprintf(s->journal, len + sizeof ending, "%s%s", name, whole ? "" : ending);
    PL_TRY(pl_ledger_view(s->journal, &s->key, &s->ledger));
    PL_TRY(pl_ledger_sealed(s->ledger, &s->list));
    if (s->key.parts < 1 || s->key.part < 1 || s->key.part > s->key.parts || s->key.parts > PL_MAX_SHARES)
        return pl_fail(PL_E_WISH, "'%s' is not of a share but of a whole conversion", s->journal);
    if (s->list) return PL_OK;
    return pl_fail(PL_E_WISH, "share %d of %d is not finished ('%s'); --resume goes on with it", (int)s->key.part,
                   (int)s->key.parts, s->journal);
}

static int by_part(const void *a, const void *b)
{
    return ((const share *)a)->key.part - ((const share *)b)->key.part;
}

/* All shares of one conversion, each once. */
static pl_status check_shares(const job *j)
{
    const share *first = &j->share[0];
    for (int i = 0; i < j->shares; i++) {
        const share *s = &j->share[i];
        if (memcmp(&s->key.plan, &first->key.plan, sizeof s->key.plan) || s->key.ranges != first->key.ranges ||
            s->key.parts != first->key.parts)
            return pl_fail(PL_E_INPUT, "'%s' and '%s' are not of the same conversion: type, options or number of "
                           "shares differ", first->journal, s->journal);
        if (memcmp(&s->key.input, &first->key.input, sizeof s->key.input))
            return pl_fail(PL_E_INPUT, "'%s' and '%s' are of different inputs", first->journal, s->journal);
        if (i > 0 && s->key.part == s[-1].key.part)
            return pl_fail(PL_E_WISH, "share %d of %d is given twice: '%s', '%s'", (int)s->key.part, (int)s->key.parts,
                           s[-1].journal, s->journal);
    }
    for (int i = 0; i < first->key.parts; i++)
        if (i >= j->shares || j->share[i].key.part != i + 1)
            return pl_fail(PL_E_WISH, "share %d of %d is missing", i + 1, (int)first->key.parts);
    return PL_OK;
}

static pl_status see(void *ctx, const pl_record *record)
{
    job *j = ctx;
    if (j->seen[record->range]++ == 0) return PL_OK;
    return pl_fail(PL_E_INPUT, "%s: range %lld is in another share too", j->now->journal, (long long)record->range);
}

static pl_status check_ranges(job *j)
{
    int64_t ranges = j->share[0].key.ranges;
    j->seen = pl_alloc(ranges, 1);
    if (!j->seen) return PL_E_MEMORY;
    for (int i = 0; i < j->shares; i++) {
        j->now = &j->share[i];
        PL_TRY(pl_ledger_each(j->now->ledger, see, j));
    }
    for (int64_t r = 0; r < ranges; r++)
        if (!j->seen[r]) return pl_fail(PL_E_INPUT, "range %lld is in none of the shares", (long long)r);
    return PL_OK;
}

/* ---- files ---- */

/* Line `index` of a share's list: name and bytes. A name is a path below the folder, never out of it. */
static pl_status list_line(const share *s, int index, char *name, int64_t *bytes)
{
    const char *line = strchr(s->list, '\n');
    for (int i = 0; i < index && line; i++) line = strchr(line + 1, '\n');
    name[0] = 0;
    if (!line || !line[1]) return PL_OK;
    char *end;
    *bytes = strtoll(line + 1, &end, 10);
    size_t len = *end == ' ' ? strcspn(end + 1, "\n") : 0;
    if (*bytes < 0 || len == 0 || len >= PATH_MAX || end[1] == '/')
        return pl_fail(PL_E_INPUT, "%s: a damaged list of files", s->journal);
    memcpy(name, end + 1, len);
    name[len] = 0;
    if (!strncmp(name, "..", 2) || strstr(name, "/.."))
        return pl_fail(PL_E_INPUT, "%s: the file '%s' lies elsewhere", s->journal, name);
    return PL_OK;
}

/* `name` beside `path`. */
static pl_status beside(const char *path, const char *name, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int n = snprintf(out, PATH_MAX, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, name);
    return n < PATH_MAX ? PL_OK : pl_fail(PL_E_WISH, "the path of '%s' is longer than %d bytes", name, PATH_MAX - 1);
}

/* Where file `name` of the shares goes: an output of one file may have any name, of several they have those that the
 * conversion gave them. */
static pl_status target(job *j, const char *name, bool alone, char out[PATH_MAX])
{
    const char *list = j->share[0].list, *base = strrchr(j->path, '/');
    size_t len = strcspn(list, "\n");
    base = base ? base + 1 : j->path;
    if (alone) {
        snprintf(out, PATH_MAX, "%s", j->path);
        return PL_OK;
    }
    if (strlen(base) != len || strncmp(base, list, len))
        return pl_fail(PL_E_WISH, "the shares are of '%.*s', an output of several files, and cannot become '%s'",
                       (int)len, list, j->path);
    bool folder = strchr(name, '/') != NULL;
    if (folder && mkdir(j->path, 0777) == 0) j->made = true;
    else if (folder && errno != EEXIST)
        return pl_fail(PL_E_IO, "cannot make the folder '%s': %s", j->path, strerror(errno));
    return beside(j->path, name, out);
}

/* Weights of another output in the folder would be read together with those of this one. */
static pl_status check_entry(void *ctx, const char *name)
{
    const job *j = ctx;
    char line[PL_MAX_NAME + 4];
    snprintf(line, sizeof line, "/%s\n", name);
    if (fnmatch("*.safetensors", name, 0) || strstr(j->share[0].list, line)) return PL_OK;
    return pl_fail(PL_E_WISH, "'%s/%s' is none of the output's files and would be taken for one", j->path, name);
}

static pl_status open_files(job *j)
{
    char name[PATH_MAX], path[PATH_MAX];
    int64_t bytes;
    int count = 0;
    do {
        PL_TRY(list_line(&j->share[0], count, name, &bytes));
        count += name[0] != 0;
    } while (name[0] && count <= PL_MAX_OUTFILES);
    j->out = pl_alloc(count, sizeof *j->out);
    if (!j->out) return PL_E_MEMORY;
    for (; j->files < count; j->files++) {
        int64_t most = 0;
        for (int s = 0; s < j->shares; s++) {
            char other[PATH_MAX];
            PL_TRY(list_line(&j->share[s], j->files, other, &bytes));
            if (s == 0) snprintf(name, sizeof name, "%s", other);
            if (strcmp(name, other))
                return pl_fail(PL_E_INPUT, "'%s' and '%s' have other files", j->share[0].journal, j->share[s].journal);
            most = pl_max64(most, bytes);
        }
        PL_TRY(target(j, name, count == 1, path));
        PL_TRY(pl_outset_open(&j->set, path, most, &j->out[j->files]));
        j->bytes += most;
    }
    return PL_OK;
}

/* ---- bytes ---- */

/* Lays `from` over `to`; false where both have something and not the same. */
static bool lay_over(uint8_t *to, const uint8_t *from, size_t len)
{
    unsigned bad = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t a = to[i], b = from[i];
        bad |= (unsigned)(a && b && a != b);
        to[i] = a | b;
    }
    return !bad;
}

typedef struct input { pl_file *file; const share *share; } input;

/* One window of the output. */
static pl_status merge_window(job *j, const input *in, int64_t at, int64_t len, pl_outfile *out)
{
    memset(j->window, 0, (size_t)len);
    for (int i = 0; i < j->shares; i++) {
        int64_t n = pl_min64(len, pl_file_size(in[i].file) - at);
        if (n <= 0 || !pl_file_has_data(in[i].file, at, n)) continue;
        PL_TRY(pl_file_read(in[i].file, at, j->other, (size_t)n));
        if (!lay_over(j->window, j->other, (size_t)n))
            return pl_fail(PL_E_INPUT, "%s: differs from another share between bytes %lld and %lld, where one of them "
                           "must be empty", pl_file_path(in[i].file), (long long)at, (long long)(at + n));
    }
    PL_TRY(pl_outfile_write(out, at, j->window, (size_t)len));
    j->done += len;
    pl_progress("merge", NULL, "B", j->done, j->bytes);
    return PL_OK;
}

static pl_status open_inputs(const job *j, int file, input *in, int64_t *most)
{
    char name[PATH_MAX], ending[48], path[PATH_MAX];
    *most = 0;
    for (int i = 0; i < j->shares; i++) {
        const share *s = &j->share[i];
        int64_t bytes;
        PL_TRY(list_line(s, file, name, &bytes));
        snprintf(ending, sizeof ending, ".part-%d-of-%d", (int)s->key.part, (int)s->key.parts);
        if (strlen(name) + strlen(ending) >= sizeof name) return pl_fail(PL_E_INPUT, "'%s': too long a name", name);
        strcat(name, ending);
        PL_TRY(beside(s->journal, name, path));
        PL_TRY(pl_file_open(path, &in[i].file));
        if (pl_file_size(in[i].file) != bytes)
            return pl_fail(PL_E_INPUT, "%s: has %lld bytes, its journal says %lld", path,
                           (long long)pl_file_size(in[i].file), (long long)bytes);
        *most = pl_max64(*most, bytes);
    }
    return PL_OK;
}

static pl_status merge_file(job *j, int file)
{
    int64_t size;
    input *in = pl_alloc(j->shares, sizeof *in);
    if (!in) return PL_E_MEMORY;
    pl_status code = open_inputs(j, file, in, &size);
    for (int64_t at = 0; at < size && code == PL_OK; at += WINDOW)
        code = merge_window(j, in, at, pl_min64(WINDOW, size - at), j->out[file]);
    for (pl_merge_seal *const *seal = j->seals; *seal && code == PL_OK; seal++) code = (*seal)(j->out[file], j->path);
    for (int i = 0; i < j->shares; i++) pl_file_close(in[i].file);
    pl_free(in);
    return code;
}

static pl_status merge(job *j, const char *const *part, int parts, pl_merge_result *result)
{
    j->share = pl_alloc(parts, sizeof *j->share);
    j->window = pl_alloc(2 * WINDOW, 1);
    if (!j->share || !j->window) return PL_E_MEMORY;
    j->other = j->window + WINDOW;
    for (; j->shares < parts; j->shares++) PL_TRY(open_share(&j->share[j->shares], part[j->shares]));
    qsort(j->share, (size_t)j->shares, sizeof *j->share, by_part);
    PL_TRY(check_shares(j));
    PL_TRY(check_ranges(j));
    PL_TRY(pl_path_each(j->path, check_entry, j));
    PL_TRY(open_files(j));
    for (int f = 0; f < j->files; f++) PL_TRY(merge_file(j, f));
    result->files = j->files;
    result->bytes = j->bytes;
    j->files = 0;
    return pl_outfile_commit_all(j->out, result->files);
}

pl_status pl_merge_shares(const char *path, const char *const *part, int parts, bool force, pl_merge_seal *const *seals,
                          pl_merge_result *result)
{
    job j = { .path = path, .seals = seals, .set.force = force };
    pl_status code = merge(&j, part, parts, result);
    for (int i = 0; i < j.files; i++) pl_outfile_abandon(j.out[i]);
    if (code != PL_OK && j.made) rmdir(path);
    for (int i = 0; j.share && i < parts; i++) {
        pl_ledger_close(j.share[i].ledger);
        pl_free(j.share[i].list);
        pl_free(j.share[i].journal);
    }
    pl_free(j.share);
    pl_free(j.seen);
    pl_free(j.window);
    pl_free(j.out);
    return code;
}
