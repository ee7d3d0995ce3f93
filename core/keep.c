/* keep.c: pieces of memory made once for several threads. */
#include "core/keep.h"

#include <pthread.h>

#include "core/mem.h"

typedef struct place {
    int64_t key, used;          /* key -1: nothing is in it; when it was asked for last */
    int64_t room;
    int users;                  /* who makes it is one */
    bool ready;
    uint8_t *content;
} place;

struct pl_keep {
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* something is ready, or free */
    int64_t clock;
    int places;
    place place[];
};

pl_status pl_keep_create(int places, pl_keep **out)
{
    pl_keep *k = pl_alloc(1, sizeof *k + (size_t)places * sizeof *k->place);
    *out = k;
    if (!k) return PL_E_MEMORY;
    k->places = places;
    for (int i = 0; i < places; i++) k->place[i].key = -1;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    return PL_OK;
}

void pl_keep_destroy(pl_keep *k)
{
    if (!k) return;
    for (int i = 0; i < k->places; i++) pl_free(k->place[i].content);
    pthread_cond_destroy(&k->changed);
    pthread_mutex_destroy(&k->lock);
    pl_free(k);
}

static place *find(pl_keep *k, int64_t key)
{
    for (int i = 0; i < k->places; i++)
        if (k->place[i].key == key) return &k->place[i];
    return NULL;
}

/* Of those that nobody holds the one that has not been used for longest; NULL: there is none. */
static place *oldest(pl_keep *k)
{
    place *found = NULL;
    for (int i = 0; i < k->places; i++)
        if (!k->place[i].users && (!found || k->place[i].used < found->used)) found = &k->place[i];
    return found;
}

static pl_status fill(place *p, int64_t bytes, pl_status (*make)(void *ctx, uint8_t *content), void *ctx)
{
    if (p->room < bytes) {
        pl_free(p->content);
        p->content = pl_alloc_aligned(bytes, 1);
        p->room = p->content ? bytes : 0;
        if (!p->content) return PL_E_MEMORY;
    }
    return make(ctx, p->content);
}

pl_status pl_keep_use(pl_keep *k, int64_t key, int64_t bytes, pl_status (*make)(void *ctx, uint8_t *content), void *ctx,
                      const uint8_t **content)
{
    pl_status code = PL_OK;
    place *p;
    pthread_mutex_lock(&k->lock);
    for (;;) {
        p = find(k, key);
        if (p && p->ready) break;
        if (!p) p = oldest(k);
        else p = NULL;                      /* somebody is at it */
        if (p) {
            *p = (place){ .key = key, .room = p->room, .users = 1, .content = p->content };
            pthread_mutex_unlock(&k->lock);
            code = fill(p, bytes, make, ctx);
            pthread_mutex_lock(&k->lock);
            p->ready = code == PL_OK;
            if (!p->ready) p->key = -1;     /* whoever waits tries in turn */
            p->users = 0;
            pthread_cond_broadcast(&k->changed);
            break;
        }
        pthread_cond_wait(&k->changed, &k->lock);
    }
    if (code == PL_OK) {
        p->users++;
        p->used = ++k->clock;
        *content = p->content;
    }
    pthread_mutex_unlock(&k->lock);
    return code;
}

void pl_keep_done(pl_keep *k, int64_t key)
{
    pthread_mutex_lock(&k->lock);
    if (--find(k, key)->users == 0) pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
}
