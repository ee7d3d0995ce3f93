/* test_keep.c: pieces made once for several threads. */
#include "core/keep.h"

#include <stdatomic.h>
#include <string.h>

#include "core/mem.h"
#include "core/pool.h"
#include "tests/unit/run.h"

typedef struct piece { int64_t key; atomic_int made; bool fails; } piece;

static pl_status make(void *ctx, uint8_t *content)
{
    piece *p = ctx;
    atomic_fetch_add(&p->made, 1);
    if (p->fails) return pl_fail(PL_E_INPUT, "piece %d is bad", (int)p->key);
    memset(content, (int)p->key, (size_t)(100 + p->key));
    return PL_OK;
}

static void use(pl_keep *k, piece *p)
{
    const uint8_t *content;
    assert_ok(pl_keep_use(k, p->key, 100 + p->key, make, p, &content));
    for (int64_t i = 0; i < 100 + p->key; i++) ck_assert_int_eq(content[i], p->key);
    pl_keep_done(k, p->key);
}

/* The one that was not used for longest goes. */
START_TEST(kept_while_there_is_room)
{
    pl_keep *k;
    piece p[4] = { { .key = 0 }, { .key = 1 }, { .key = 2 }, { .key = 3 } };
    assert_ok(pl_keep_create(3, &k));
    for (int i = 0; i < 3; i++) use(k, &p[i]);
    use(k, &p[0]);
    use(k, &p[3]);              /* in place of 1 */
    use(k, &p[0]);
    use(k, &p[2]);
    use(k, &p[1]);
    const int made[] = { 1, 2, 1, 1 };
    for (int i = 0; i < 4; i++) ck_assert_int_eq(p[i].made, made[i]);
    pl_keep_destroy(k);
    pl_keep_destroy(NULL);
}
END_TEST

START_TEST(what_fails_is_tried_again)
{
    pl_keep *k;
    const uint8_t *content;
    piece p = { .key = 5, .fails = true };
    assert_ok(pl_keep_create(1, &k));
    for (int i = 0; i < 2; i++)
        assert_fails(pl_keep_use(k, 5, 105, make, &p, &content), PL_E_INPUT, "piece 5 is bad");
    p.fails = false;
    use(k, &p);
    ck_assert_int_eq(p.made, 3);
    for (int64_t n = 0; n < 2; n++) {
        piece larger = { .key = 100 + n };
        pl_mem_fail_after(0);
        pl_status code = pl_keep_use(k, larger.key, 4000 + n, make, &larger, &content);
        pl_mem_fail_after(-1);
        ck_assert_int_eq(code, PL_E_MEMORY);
    }
    use(k, &p);
    pl_keep_destroy(k);
    pl_mem_fail_after(0);
    ck_assert_int_eq(pl_keep_create(2, &k), PL_E_MEMORY);
    pl_mem_fail_after(-1);
}
END_TEST

typedef struct crowd { pl_keep *k; piece *p; int pieces; } crowd;

static pl_status one_of_the_crowd(void *ctx, int64_t index, int worker)
{
    const crowd *c = ctx;
    (void)worker;
    use(c->k, &c->p[index * index % c->pieces]);
    return PL_OK;
}

/* More threads than places: nobody waits for ever, nobody sees a piece of another. */
START_TEST(many_threads)
{
    enum { PIECES = 40 };
    pl_pool *pool;
    piece p[PIECES] = { { 0 } };
    crowd c = { .p = p, .pieces = PIECES };
    for (int i = 0; i < PIECES; i++) p[i].key = i;
    assert_ok(pl_pool_create(8, &pool));
    for (int places = 1; places <= 64; places *= 8) {
        assert_ok(pl_keep_create(places, &c.k));
        assert_ok(pl_pool_for(pool, 1000, one_of_the_crowd, &c));
        pl_keep_destroy(c.k);
    }
    int before = p[1].made;
    assert_ok(pl_keep_create(PIECES, &c.k));    /* all fit: each is made once */
    assert_ok(pl_pool_for(pool, 1000, one_of_the_crowd, &c));
    ck_assert_int_eq(p[1].made, before + 1);
    pl_keep_destroy(c.k);
    pl_pool_destroy(pool);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { kept_while_there_is_room, what_fails_is_tried_again, many_threads };
    return run_suite("keep", tests, PL_COUNT(tests));
}
