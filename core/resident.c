/* resident.c: a cyclic scan over segments within a budget. The first that fit are pinned, which is the best that can be
 * done for a scan; of the others the next ones are read while one is in use. Addresses are reserved for all of them:
 * pages come when a segment is read into them, and go when it is evicted. */
#include "core/resident.h"

#include <string.h>
#include <sys/mman.h>

#include "core/fs.h"
#include "core/mem.h"

enum {
    AHEAD = 2,                  /* segments read while one is in use */
    SPARES = 8                  /* evicted segments whose pages wait for the next one */
};

typedef struct place {
    struct pl_resident *owner;
    pl_segment segment;
    uint8_t *base;              /* content; stored bytes that are to be expanded lie behind it until then */
    int64_t room;
    bool present;               /* read, or on its way */
    bool pinned, waited;        /* waited: known to be there */
    int needed;                 /* how often */
    int64_t used;               /* when last */
    int in_order[2];            /* where it stands in the order; -1: not, or not twice */
    pl_read read;
} place;

struct pl_resident {
    pl_resident_plan plan;
    place *place;               /* [segments] */
    int *order;
    uint8_t *base;
    int64_t size;               /* of the addresses */
    pl_reader *reader;
    int at;                     /* place in the order of what was needed last */
    int64_t clock, live;        /* live: bytes present and not pinned */
    int spare[SPARES], spares;
    pl_resident_report report;
};

static int64_t pages(int64_t bytes) { return pl_ceil_div(bytes, PL_READER_ALIGN) * PL_READER_ALIGN; }

static bool expands(const pl_segment *s) { return s->stored != s->content; }
static int64_t room_of(const pl_segment *s) { return pages(s->content) + (expands(s) ? pages(s->stored) : 0); }

/* ---- coming and going ---- */

static pl_status on_arrival(void *ctx)
{
    place *p = ctx;
    pl_resident *r = p->owner;
    uint8_t *stored = p->base + (expands(&p->segment) ? pages(p->segment.content) : 0);
    PL_TRY(r->plan.arrived(r->plan.ctx, (int)(p - r->place), stored, p->base));
    if (stored != p->base) madvise(stored, (size_t)pages(p->segment.stored), MADV_DONTNEED);
    return PL_OK;
}

/* Pages of an evicted segment move to the one that comes: new ones would have to be zeroed first. Where the system
 * cannot do that they are given back. */
static void take_spares(pl_resident *r, place *to)
{
    bool taken = false;
    size_t len = (size_t)to->room;
    for (int i = 0; i < r->spares; i++) {
        place *p = &r->place[r->spare[i]];
        if (!taken && p != to && p->room >= to->room)
            taken = mremap(p->base, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to->base) != MAP_FAILED;
        madvise(p->base, (size_t)p->room, MADV_DONTNEED);
    }
    r->spares = 0;
}

/* Here, while others read: else the one who reads would have to make the pages, one by one. Segments that are not
 * pinned get those of evicted ones. */
static void make_pages(const place *p)
{
#ifdef MADV_POPULATE_WRITE
    madvise(p->base, (size_t)p->room, MADV_POPULATE_WRITE);
#else
    (void)p;
#endif
}

static void issue(pl_resident *r, int segment)
{
    place *p = &r->place[segment];
    take_spares(r, p);
    uint8_t *to = p->base + (expands(&p->segment) ? pages(p->segment.content) : 0);
    p->read = (pl_read){ .at = p->segment.at, .bytes = p->segment.stored, .to = to, .arrived = on_arrival, .ctx = p };
    p->present = true;
    p->waited = false;
    if (p->pinned) make_pages(p);
    else r->live += p->room;
    r->report.peak = pl_max64(r->report.peak, r->live + r->report.pinned);
    pl_reader_submit(r->reader, &p->read);
}

/* Steps of the order until a segment is next used; those that are not in it come last. */
static int distance(const pl_resident *r, int segment)
{
    int n = r->plan.orders, nearest = n + 1;
    for (int i = 0; i < 2; i++) {
        int at = r->place[segment].in_order[i];
        int d = at < 0 ? n + 1 : (at - r->at - 1 + 2 * n) % n + 1;
        if (d < nearest) nearest = d;
    }
    return nearest;
}

/* Of those that nobody needs now, the one that is needed last; -1: there is none. */
static int victim(pl_resident *r, int closer_than)
{
    int worst = -1, worst_distance = closer_than;
    for (int i = 0; i < r->plan.segments; i++) {
        const place *p = &r->place[i];
        if (!p->present || p->pinned || p->needed) continue;
        int d = distance(r, i);
        bool later = d > worst_distance || (worst >= 0 && d == worst_distance && p->used < r->place[worst].used);
        if (!later) continue;
        worst = i;
        worst_distance = d;
    }
    return worst;
}

static void evict(pl_resident *r, int segment)
{
    place *p = &r->place[segment];
    pl_reader_wait(r->reader, &p->read);        /* whatever became of it */
    if (r->spares < SPARES) r->spare[r->spares++] = segment;
    else madvise(p->base, (size_t)p->room, MADV_DONTNEED);
    p->present = false;
    r->live -= p->room;
}

/* Makes room for a segment at the cost of those that are used later than in `closer_than` steps. */
static bool make_room(pl_resident *r, int segment, int closer_than)
{
    while (!r->place[segment].pinned && r->live + r->place[segment].room > r->plan.budget - r->report.pinned) {
        int out = victim(r, closer_than);
        if (out < 0) return false;
        evict(r, out);
    }
    return true;
}

static void read_ahead(pl_resident *r)
{
    int found = 0;
    for (int i = 1; i <= r->plan.orders && found < AHEAD; i++) {
        int segment = r->order[(r->at + i) % r->plan.orders];
        place *p = &r->place[segment];
        if (p->pinned && p->present) continue;
        found++;
        if (p->present) continue;
        if (!make_room(r, segment, i)) return;
        issue(r, segment);
    }
}

pl_status pl_resident_need(pl_resident *r, int segment)
{
    place *p = &r->place[segment];
    int d = distance(r, segment);
    if (d <= r->plan.orders) r->at = (r->at + d) % r->plan.orders;
    p->needed++;
    p->used = ++r->clock;
    if (!p->present) {
        if (!make_room(r, segment, 0)) {
            p->needed--;
            return pl_fail(PL_E_WISH, "more weights are needed at a time than --resident %lld allows",
                           (long long)r->plan.budget);
        }
        issue(r, segment);
    }
    read_ahead(r);
    if (p->waited) return PL_OK;
    double began = pl_seconds();
    pl_status code = pl_reader_wait(r->reader, &p->read);
    r->report.waited += pl_seconds() - began;
    p->waited = code == PL_OK;
    return code;
}

void pl_resident_done(pl_resident *r, int segment)
{
    r->place[segment].needed--;
}

/* ---- life ---- */

/* Those of the order that are pinned: as many as leave room for one in use and those read ahead of it. */
static pl_status pin(pl_resident *r)
{
    int64_t total = 0, largest = 0, pinned = 0;
    for (int i = 0; i < r->plan.segments; i++) {
        total += r->place[i].room;
        largest = pl_max64(largest, r->place[i].room);
    }
    for (int i = 0; i < r->plan.orders; i++) {
        place *p = &r->place[r->order[i]];
        p->in_order[p->in_order[0] >= 0] = i;
    }
    int64_t moving = (1 + AHEAD) * largest;
    bool all = total <= r->plan.budget;
    if (!all && r->plan.budget < moving)
        return pl_fail(PL_E_WISH, "--resident %lld is too little for segments of %lld bytes: %lld are enough",
                       (long long)r->plan.budget, (long long)largest, (long long)moving);
    for (int i = 0; i < r->plan.orders; i++) {
        place *p = &r->place[r->order[i]];
        if (p->pinned) continue;
        if (!all && pinned + p->room > r->plan.budget - moving) break;
        p->pinned = true;
        pinned += p->room;
    }
    r->report.pinned = pinned;
    r->report.budget = r->plan.budget;
    return PL_OK;
}

static pl_status reserve(pl_resident *r)
{
    for (int i = 0; i < r->plan.segments; i++) {
        place *p = &r->place[i];
        *p = (place){ .owner = r, .segment = r->plan.segment[i], .room = room_of(&r->plan.segment[i]),
                      .in_order = { -1, -1 } };
        if (!pl_add_ok(r->size, p->room, &r->size)) return pl_fail(PL_E_INPUT, "segments of more than 2^63 bytes");
    }
    void *base = mmap(NULL, (size_t)pl_max64(r->size, 1), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return pl_fail(PL_E_MEMORY, "no addresses for %lld bytes", (long long)r->size);
    uint8_t *at = r->base = base;
    for (int i = 0; i < r->plan.segments; i++) {
        r->place[i].base = at;
        at += r->place[i].room;
    }
    return PL_OK;
}

pl_status pl_resident_open(const pl_resident_plan *plan, pl_resident **out)
{
    *out = NULL;
    pl_resident *r = pl_alloc(1, sizeof *r);
    if (!r) return PL_E_MEMORY;
    r->plan = *plan;
    r->place = pl_alloc(plan->segments, sizeof *r->place);
    r->order = pl_alloc(plan->orders, sizeof *r->order);
    pl_status code = r->place && r->order ? PL_OK : PL_E_MEMORY;
    if (code == PL_OK) memcpy(r->order, plan->order, (size_t)plan->orders * sizeof *r->order);
    r->at = plan->orders - 1;
    if (code == PL_OK) code = reserve(r);
    if (code == PL_OK) code = pin(r);
    if (code == PL_OK) code = pl_reader_open(plan->path, &r->reader);
    for (int i = 0; i < r->plan.orders && code == PL_OK; i++)       /* what stays is wanted in any case */
        if (r->place[r->order[i]].pinned && !r->place[r->order[i]].present) issue(r, r->order[i]);
    if (code == PL_OK) *out = r;
    else pl_resident_close(r);
    return code;
}

void pl_resident_close(pl_resident *r)
{
    if (!r) return;
    pl_reader_close(r->reader);
    if (r->base) munmap(r->base, (size_t)pl_max64(r->size, 1));
    pl_free(r->place);
    pl_free(r->order);
    pl_free(r);
}

uint8_t *pl_resident_at(const pl_resident *r, int segment) { return r->place[segment].base; }

pl_resident_report pl_resident_told(pl_resident *r)
{
    r->report.read = pl_reader_told(r->reader);
    return r->report;
}
