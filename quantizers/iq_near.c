/* iq_near.c: builds, per grid, the lists of the points nearest to each tuple of levels. */
#include "quantizers/iq_near.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "core/iq_grids.h"
#include "core/mem.h"

enum { MAX_POINTS = 2048, MAX_HALVES = 256, MAX_RINGS = 3 };

/* A grid as core/iq_grids.h has it: level = (value + add) / divide. A list has the points of the `rings` smallest
 * distances that occur. */
typedef struct shape { int dtype; size_t at; int dims, bits, levels, points, rings, add, divide; } shape;

static const shape shapes[] = {
    { PL_IQ2_XXS, offsetof(pl_iq_grids, iq2_xxs), 8, 2, 3, 256, 2, 0, 17 },
    { PL_IQ2_XS, offsetof(pl_iq_grids, iq2_xs), 8, 2, 3, 512, 2, 0, 17 },
    { PL_IQ2_S, offsetof(pl_iq_grids, iq2_s), 8, 2, 3, 1024, 1, 0, 17 },
    { PL_IQ3_XXS, offsetof(pl_iq_grids, iq3_xxs), 4, 3, 8, 256, 2, 0, 8 },
    { PL_IQ3_S, offsetof(pl_iq_grids, iq3_s), 4, 3, 8, 512, 3, 0, 2 },
    { PL_IQ1_S, offsetof(pl_iq_grids, iq1_s), 8, 2, 3, 2048, 3, 1, 1 },
};
enum { SHAPES = (int)(sizeof shapes / sizeof *shapes) };

/* Each is built whole before others see it; NULL: not yet. */
static pl_iq_near *_Atomic tables[SHAPES];

/* While a table is built. Levels are squared by halves of a key: both halves' sums fit a byte together. */
typedef struct work {
    const shape *s;
    int8_t *point;
    uint16_t *point_key;
    int32_t *place;
    uint16_t *neighbours, *near_keys;
    int64_t used, room;                         /* entries of neighbours and near_keys */
    uint8_t apart[MAX_HALVES][MAX_POINTS];      /* squared distance of a low half from that of each point */
    uint8_t apart_high[MAX_POINTS];             /* the same of one high half */
    uint8_t distance[MAX_POINTS];
} work;

static int level_of(const shape *s, int key, int dim) { return key >> dim * s->bits & ((1 << s->bits) - 1); }

static bool occurs(const shape *s, int key, int dims)
{
    for (int d = 0; d < dims; d++)
        if (level_of(s, key, d) >= s->levels) return false;
    return true;
}

/* Distances of a half key from the points' halves that begin at bit `from`. */
static void measure_half(const work *m, int half, int from, uint8_t *apart)
{
    for (int j = 0; j < m->s->points; j++) {
        int sum = 0;
        for (int d = 0; d < m->s->dims / 2; d++) {
            int difference = level_of(m->s, half, d) - level_of(m->s, m->point_key[j] >> from, d);
            sum += difference * difference;
        }
        apart[j] = (uint8_t)sum;
    }
}

static void read_points(work *m)
{
    const shape *s = m->s;
    const int8_t *value = (const int8_t *)pl_iq_grids_get() + s->at;
    for (int j = 0; j < s->points; j++) {
        int key = 0;
        for (int d = 0; d < s->dims; d++) {
            int level = (value[j * s->dims + d] + s->add) / s->divide;
            m->point[j * s->dims + d] = (int8_t)(2 * level + 1);
            key |= level << d * s->bits;
        }
        m->point_key[j] = (uint16_t)key;
        m->place[key] = j;
    }
}

/* Room for one more list of any length and for what lanes read behind the last. */
static pl_status grow(work *m)
{
    int64_t need = m->used + 1 + MAX_POINTS + PL_IQ_NEAR_SPARE;
    if (need <= m->room) return PL_OK;
    int64_t room = 2 * need;
    uint16_t *indices = pl_realloc(m->neighbours, room, sizeof *indices);
    if (!indices) return PL_E_MEMORY;
    m->neighbours = indices;
    uint16_t *keys = pl_realloc(m->near_keys, room, sizeof *keys);
    if (!keys) return PL_E_MEMORY;
    m->near_keys = keys;
    memset(indices + m->room, 0, (size_t)(room - m->room) * sizeof *indices);
    memset(keys + m->room, 0, (size_t)(room - m->room) * sizeof *keys);
    m->room = room;
    return PL_OK;
}

/* The smallest distance that is larger than `above`; 255 if there is none. */
static uint8_t next_ring(const work *m, int above)
{
    uint8_t least = 255;
    for (int j = 0; j < m->s->points; j++) {
        uint8_t d = m->distance[j] > above ? m->distance[j] : 255;
        least = d < least ? d : least;
    }
    return least;
}

static void add_list(work *m, int key)
{
    uint16_t near[MAX_POINTS];
    uint8_t ring[MAX_RINGS];
    int above = -1, count = 0;
    for (int r = 0; r < m->s->rings; r++) above = ring[r] = next_ring(m, above);
    for (int j = 0; j < m->s->points; j++) {
        near[count] = (uint16_t)j;
        count += m->distance[j] <= above;
    }
    int64_t begin = m->used++;
    for (int r = 0; r < m->s->rings; r++)
        for (int i = 0; i < count; i++) {
            if (m->distance[near[i]] != ring[r]) continue;
            m->neighbours[m->used] = near[i];
            m->near_keys[m->used++] = m->point_key[near[i]];
        }
    m->neighbours[begin] = m->near_keys[begin] = (uint16_t)count;
    m->place[key] = (int32_t)(-1 - begin);
}

static pl_status add_lists(work *m)
{
    const shape *s = m->s;
    int bits = s->dims / 2 * s->bits, halves = 1 << bits;
    for (int low = 0; low < halves; low++)
        if (occurs(s, low, s->dims / 2)) measure_half(m, low, 0, m->apart[low]);
    for (int high = 0; high < halves; high++) {
        if (!occurs(s, high, s->dims / 2)) continue;
        measure_half(m, high, bits, m->apart_high);
        for (int low = 0; low < halves; low++) {
            int key = high << bits | low;
            if (m->place[key] >= 0 || !occurs(s, low, s->dims / 2)) continue;
            for (int j = 0; j < s->points; j++)
                m->distance[j] = (uint8_t)(m->apart[low][j] + m->apart_high[j]);
            PL_TRY(grow(m));
            add_list(m, key);
        }
    }
    return PL_OK;
}

static pl_status fill(work *m)
{
    const shape *s = m->s;
    int keys = 1 << s->dims * s->bits;
    m->point = pl_alloc(s->points * s->dims, sizeof *m->point);
    m->point_key = pl_alloc(s->points, sizeof *m->point_key);
    m->place = pl_alloc(keys, sizeof *m->place);
    if (!m->point || !m->point_key || !m->place) return PL_E_MEMORY;
    for (int key = 0; key < keys; key++) m->place[key] = -1;
    read_points(m);
    return add_lists(m);
}

static void drop(work *m)
{
    pl_free(m->point);
    pl_free(m->point_key);
    pl_free(m->place);
    pl_free(m->neighbours);
    pl_free(m->near_keys);
}

/* Threads that come at the same time may all build; the first to finish is heard. */
static pl_status build(int i)
{
    const shape *s = &shapes[i];
    pl_iq_near *table = pl_alloc(1, sizeof *table), *none = NULL;
    work *m = pl_alloc(1, sizeof *m);
    pl_status code = table && m ? PL_OK : PL_E_MEMORY;
    if (code == PL_OK) {
        m->s = s;
        code = fill(m);
        *table = (pl_iq_near){ .dims = s->dims, .bits = s->bits, .levels = s->levels, .points = s->points,
                               .point = m->point, .place = m->place, .neighbours = m->neighbours,
                               .near_keys = m->near_keys, .point_key = m->point_key };
        if (code != PL_OK || !atomic_compare_exchange_strong(&tables[i], &none, table)) drop(m);
        else table = NULL;
    }
    pl_free(table);
    pl_free(m);
    return code;
}

static int find(int dtype)
{
    for (int i = 0; i < SHAPES; i++)
        if (shapes[i].dtype == (dtype == PL_IQ1_M ? PL_IQ1_S : dtype)) return i;
    return -1;
}

const pl_iq_near *pl_iq_near_of(int dtype) { return atomic_load(&tables[find(dtype)]); }

pl_status pl_iq_prepare(int dtype)
{
    int i = find(dtype);
    return i < 0 || atomic_load(&tables[i]) ? PL_OK : build(i);
}
