/* ledger.c: a head, a slot for each range, and what was sealed behind them, as they lie in memory. Each piece carries a
 * checksum over its bytes and a number drawn for this ledger: whatever a power cut leaves of a slot, of the end of the
 * file or of an older ledger is not taken for a finished range. */
#include "core/ledger.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/fs.h"
#include "core/log.h"
#include "core/mem.h"

#define MAGIC "planish conversion journal 1\n"
enum { MAX_RANGES = 1 << 28, MAX_TEXT = 1 << 24, WINDOW_SLOTS = 1 << 10 };

typedef struct head {
    char magic[32];
    pl_ledger_key key;
    uint64_t drawn;
    pl_digest check;
} head;

typedef struct slot {
    int64_t range;
    double error[2];
    int64_t nonfinite, row, col;
    float value;
    uint32_t zero;
    uint64_t check;
} slot;

/* Begins at the first byte behind the slots. */
typedef struct seal {
    int64_t bytes;              /* of the text behind it */
    uint64_t drawn;
    pl_digest text;
} seal;

_Static_assert(sizeof(head) == 120 && sizeof(slot) == 64 && sizeof(seal) == 32, "no bytes between fields");

struct pl_ledger {
    char *path;
    pl_outfile *file;           /* written */
    pl_file *view;              /* looked at only; NULL: written */
    uint64_t drawn;
    int64_t ranges;
    head head;
};

static pl_digest check_of(const head *h) { return pl_hash_bytes(h, offsetof(head, check)); }

static uint64_t slot_check(const pl_ledger *l, slot s)
{
    uint64_t low;
    s.check = l->drawn;
    pl_digest digest = pl_hash_bytes(&s, sizeof s);
    memcpy(&low, digest.byte, sizeof low);
    return low;
}

static int64_t slot_at(int64_t range) { return (int64_t)sizeof(head) + range * (int64_t)sizeof(slot); }

/* Up to len bytes; *got: fewer where the file ends. */
static pl_status read_at(const pl_ledger *l, int64_t at, void *out, size_t len, size_t *got)
{
    if (!l->view) return pl_outfile_read(l->file, at, out, len, got);
    *got = (size_t)pl_max64(0, pl_min64((int64_t)len, pl_file_size(l->view) - at));
    return *got ? pl_file_read(l->view, at, out, *got) : PL_OK;
}

/* ---- records ---- */

static pl_status each_of(pl_ledger *l, slot *window, pl_status (*each)(void *ctx, const pl_record *record), void *ctx)
{
    for (int64_t first = 0; first < l->ranges; first += WINDOW_SLOTS) {
        size_t got;
        int64_t count = pl_min64(WINDOW_SLOTS, l->ranges - first);
        PL_TRY(read_at(l, slot_at(first), window, (size_t)count * sizeof *window, &got));
        for (int64_t i = 0; i < (int64_t)(got / sizeof *window); i++) {
            const slot *s = &window[i];
            if (s->range != first + i || s->check != slot_check(l, *s)) continue;
            PL_TRY(each(ctx, &(pl_record){ s->range, { s->error[0], s->error[1] }, s->nonfinite, s->row, s->col,
                                           s->value }));
        }
        if (got < (size_t)count * sizeof *window) break;
    }
    return PL_OK;
}

pl_status pl_ledger_each(pl_ledger *l, pl_status (*each)(void *ctx, const pl_record *record), void *ctx)
{
    slot *window = pl_alloc(WINDOW_SLOTS, sizeof *window);
    if (!window) return PL_E_MEMORY;
    pl_status code = each_of(l, window, each, ctx);
    pl_free(window);
    return code;
}

pl_status pl_ledger_add(pl_ledger *l, const pl_record *record, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const pl_record *r = &record[i];
        slot s = { r->range, { r->error[0], r->error[1] }, r->nonfinite, r->row, r->col, r->value, 0, 0 };
        s.check = slot_check(l, s);
        PL_TRY(pl_outfile_write(l->file, slot_at(r->range), &s, sizeof s));
    }
    return pl_outfile_sync(l->file);
}

/* ---- the end ---- */

pl_status pl_ledger_seal(pl_ledger *l, const char *text)
{
    size_t len = strlen(text);
    if (len > MAX_TEXT) return pl_fail(PL_E_WISH, "'%s': too many files", l->path);
    seal s = { (int64_t)len, l->drawn, pl_hash_bytes(text, len) };
    int64_t at = slot_at(l->ranges);
    PL_TRY(pl_outfile_write(l->file, at + (int64_t)sizeof s, text, len));
    PL_TRY(pl_outfile_write(l->file, at, &s, sizeof s));
    return pl_outfile_sync(l->file);
}

pl_status pl_ledger_sealed(pl_ledger *l, char **text)
{
    seal s;
    size_t got;
    *text = NULL;
    int64_t at = slot_at(l->ranges);
    PL_TRY(read_at(l, at, &s, sizeof s, &got));
    if (got < sizeof s || s.drawn != l->drawn || s.bytes < 0 || s.bytes > MAX_TEXT) return PL_OK;
    char *found = pl_alloc(s.bytes + 1, 1);
    if (!found) return PL_E_MEMORY;
    pl_status code = read_at(l, at + (int64_t)sizeof s, found, (size_t)s.bytes, &got);
    pl_digest digest = pl_hash_bytes(found, got);
    if (code == PL_OK && got == (size_t)s.bytes && !memcmp(&digest, &s.text, sizeof digest)) *text = found;
    else pl_free(found);
    return code;
}

/* ---- opening ---- */

/* What the file has at its beginning. *whole: a head that can be trusted. A file of another kind is refused. */
static pl_status read_head(pl_ledger *l, bool *whole)
{
    size_t got;
    static const char none[32];
    memset(&l->head, 0, sizeof l->head);
    PL_TRY(read_at(l, 0, &l->head, sizeof l->head, &got));
    const char *magic = l->head.magic;
    if (memcmp(magic, MAGIC, pl_min64((int64_t)got, sizeof MAGIC)) && memcmp(magic, none, sizeof none))
        return pl_fail(PL_E_WISH, "'%s' is no journal of a conversion and would be replaced by one", l->path);
    pl_digest check = check_of(&l->head);
    *whole = got == sizeof l->head && magic[0] && !memcmp(&check, &l->head.check, sizeof check) &&
             l->head.key.ranges >= 0 && l->head.key.ranges <= MAX_RANGES;
    l->drawn = l->head.drawn;
    l->ranges = l->head.key.ranges;
    return PL_OK;
}

static pl_status check_key(const pl_ledger *l, const pl_ledger_key *key)
{
    const pl_ledger_key *found = &l->head.key;
    if (memcmp(&found->plan, &key->plan, sizeof key->plan) || found->ranges != key->ranges ||
        found->part != key->part || found->parts != key->parts)
        return pl_fail(PL_E_WISH, "'%s' is of a conversion with other options; without --resume the work begins anew",
                       l->path);
    if (memcmp(&found->input, &key->input, sizeof key->input) || memcmp(&found->times, &key->times, sizeof key->times))
        return pl_fail(PL_E_INPUT, "the input has changed since '%s' was begun; without --resume the work begins anew",
                       l->path);
    return PL_OK;
}

/* Empties the file, durably: then what it told of older files is gone before these are. */
static pl_status begin(pl_ledger *l, const pl_ledger_key *key)
{
    /* With the room claimed a full disk keeps nobody from saying what is finished. */
    PL_TRY(pl_outfile_empty(l->file, slot_at(key->ranges)));
    l->head = (head){ .magic = MAGIC, .key = *key };
    if (getrandom(&l->head.drawn, sizeof l->head.drawn, 0) != (ssize_t)sizeof l->head.drawn)
        l->head.drawn = (uint64_t)(pl_seconds() * 1e9) ^ (uint64_t)getpid() << 48;
    l->head.check = check_of(&l->head);
    l->drawn = l->head.drawn;
    l->ranges = key->ranges;
    return pl_outfile_write(l->file, 0, &l->head, sizeof l->head);
}

static pl_status create(const char *path, pl_ledger **out)
{
    *out = pl_alloc(1, sizeof **out);
    if (!*out) return PL_E_MEMORY;
    (*out)->path = pl_strdup(path);
    return (*out)->path ? PL_OK : PL_E_MEMORY;
}

static pl_status one_found(void *ctx, const pl_record *record)
{
    *(bool *)ctx = true;
    return PL_OK;
}

/* Is anything finished? Until something is, not even all files need be there. */
static pl_status worth(pl_ledger *l, const pl_outset *set, bool *any)
{
    char *text;
    PL_TRY(pl_ledger_each(l, one_found, any));
    PL_TRY(pl_ledger_sealed(l, &text));
    *any = *any || text || set->joined;
    pl_free(text);
    return PL_OK;
}

static pl_status open_ledger(pl_ledger *l, const pl_ledger_key *key, pl_outset *set)
{
    bool whole, some = false;
    if (pl_path_exists(l->path)) atomic_store(&set->keep, true);    /* what is refused stays as it is */
    PL_TRY(pl_outset_scratch(set, l->path, &l->file));
    PL_TRY(read_head(l, &whole));
    if (whole) PL_TRY(worth(l, set, &some));
    else if (set->joined) return pl_fail(PL_E_IO, "'%s' was not begun by the first process", l->path);
    if (some && (set->resume || set->joined)) return check_key(l, key);
    if (some)
        pl_log(PL_LOG_WARN, "unfinished work is replaced: '%s' (--resume would go on with it)", l->path);
    set->resume = false;
    atomic_store(&set->keep, false);
    return begin(l, key);
}

pl_status pl_ledger_open(const char *path, const pl_ledger_key *key, pl_outset *set, pl_ledger **out)
{
    if (key->ranges > MAX_RANGES)
        return pl_fail(PL_E_WISH, "%lld ranges of rows, possible are %d", (long long)key->ranges, MAX_RANGES);
    pl_status code = create(path, out);
    if (code == PL_OK) code = open_ledger(*out, key, set);
    if (code == PL_OK) return PL_OK;
    pl_ledger_close(*out);
    *out = NULL;
    return code;
}

pl_status pl_ledger_view(const char *path, pl_ledger_key *key, pl_ledger **out)
{
    bool whole = false;
    pl_status code = create(path, out);
    if (code == PL_OK) code = pl_file_open(path, &(*out)->view);
    if (code == PL_OK) code = read_head(*out, &whole);
    if (code == PL_E_WISH || (code == PL_OK && !whole))
        code = pl_fail(PL_E_INPUT, "%s: no journal of a conversion, or a damaged one", path);
    if (code == PL_OK) *key = (*out)->head.key;
    if (code == PL_OK) return PL_OK;
    pl_ledger_close(*out);
    *out = NULL;
    return code;
}

void pl_ledger_close(pl_ledger *l)
{
    if (!l) return;
    pl_outfile_abandon(l->file);
    pl_file_close(l->view);
    pl_free(l->path);
    pl_free(l);
}
