/* test_iq_near.c: the neighbours of tuples of levels on the grids of the IQ types. */
#include <check.h>
#include <pthread.h>

#include "core/iq_grids.h"
#include "core/mem.h"
#include "quantizers/iq_near.h"
#include "tests/unit/suite.h"

/* How many distances a list has, and what the levels of its grid stand for. */
static const struct { int dtype, dims, bits, points, rings; int8_t value[8]; } grids[] = {
    { PL_IQ2_XXS, 8, 2, 256, 2, { 8, 25, 43 } },
    { PL_IQ2_XS, 8, 2, 512, 2, { 8, 25, 43 } },
    { PL_IQ2_S, 8, 2, 1024, 1, { 8, 25, 43 } },
    { PL_IQ3_XXS, 4, 3, 256, 2, { 4, 12, 20, 28, 36, 44, 52, 62 } },
    { PL_IQ3_S, 4, 3, 512, 3, { 1, 3, 5, 7, 9, 11, 13, 15 } },
    { PL_IQ1_S, 8, 2, 2048, 3, { -1, 0, 1 } },
};

static const int8_t *values_of(int g)
{
    const pl_iq_grids *all = pl_iq_grids_get();
    const int8_t *at[] = { all->iq2_xxs[0], all->iq2_xs[0], all->iq2_s[0], all->iq3_xxs[0], all->iq3_s[0],
                           all->iq1_s[0] };
    return at[g];
}

static void prepare_all(void)
{
    for (int g = 0; g < PL_COUNT(grids); g++) ck_assert_int_eq(pl_iq_prepare(grids[g].dtype), PL_OK);
}

static int level_of(const pl_iq_near *n, int key, int d) { return key >> d * n->bits & ((1 << n->bits) - 1); }

/* In halves of a level's step, squared. */
static int distance(const pl_iq_near *n, int key, int point)
{
    int sum = 0;
    for (int d = 0; d < n->dims; d++) {
        int apart = 2 * level_of(n, key, d) + 1 - n->point[point * n->dims + d];
        sum += apart * apart;
    }
    return sum;
}

START_TEST(points)
{
    prepare_all();
    for (int g = 0; g < PL_COUNT(grids); g++) {
        const pl_iq_near *n = pl_iq_near_of(grids[g].dtype);
        ck_assert_int_eq(n->dims, grids[g].dims);
        ck_assert_int_eq(n->bits, grids[g].bits);
        ck_assert_int_eq(n->points, grids[g].points);
        for (int p = 0; p < n->points; p++) {
            ck_assert_int_eq(n->place[n->point_key[p]], p);
            ck_assert_int_eq(distance(n, n->point_key[p], p), 0);
            for (int d = 0; d < n->dims; d++)
                ck_assert_int_eq(values_of(g)[p * n->dims + d], grids[g].value[level_of(n, n->point_key[p], d)]);
        }
    }
    ck_assert_ptr_eq(pl_iq_near_of(PL_IQ1_M), pl_iq_near_of(PL_IQ1_S));
}
END_TEST

static bool occurs(const pl_iq_near *n, int key)
{
    for (int d = 0; d < n->dims; d++)
        if (level_of(n, key, d) >= n->levels) return false;
    return true;
}

/* By distance, then by index; all points that are no farther than the last, at so many distances. */
static void check_list(const pl_iq_near *n, int key, int rings)
{
    int at = -1 - n->place[key], count = n->neighbours[at], farthest = 0, found = 0, distances = 0, last = -1;
    ck_assert_int_gt(count, 0);
    ck_assert_int_eq(n->near_keys[at], count);
    for (int j = 1; j <= count; j++) {
        int point = n->neighbours[at + j], d = distance(n, key, point);
        ck_assert_int_eq(n->near_keys[at + j], n->point_key[point]);
        ck_assert_msg(d > farthest || (d == farthest && point > last), "key %d: order", key);
        distances += d > farthest;
        farthest = d;
        last = point;
    }
    for (int p = 0; p < n->points; p++) found += distance(n, key, p) <= farthest;
    ck_assert_int_eq(found, count);
    ck_assert_int_eq(distances, rings);
}

START_TEST(lists)
{
    prepare_all();
    for (int g = 0; g < PL_COUNT(grids); g++) {
        const pl_iq_near *n = pl_iq_near_of(grids[g].dtype);
        int count = 0;
        for (int key = 0; key < 1 << n->dims * n->bits; key++) {
            if (!occurs(n, key) || n->place[key] >= 0) continue;
            check_list(n, key, grids[g].rings);
            count++;
        }
        ck_assert_int_eq(count + n->points, n->bits == 2 ? 6561 : 4096);
    }
}
END_TEST

/* Whatever allocation fails, nothing is left half built, and a later call builds it. */
START_TEST(no_memory)
{
    int failures = 0;
    while (pl_mem_fail_after(failures), pl_iq_prepare(PL_IQ2_XXS) != PL_OK) {
        ck_assert_ptr_null(pl_iq_near_of(PL_IQ2_XXS));
        ck_assert_int_lt(++failures, 100);
    }
    pl_mem_fail_after(0);
    ck_assert_int_eq(pl_iq_prepare(PL_IQ2_XXS), PL_OK);         /* it is there */
    ck_assert_int_eq(pl_iq_prepare(PL_Q4_K), PL_OK);            /* needs none */
    ck_assert_int_eq(pl_iq_prepare(PL_IQ2_XS), PL_E_MEMORY);
    pl_mem_fail_after(-1);
    ck_assert_int_ge(failures, 5);
    ck_assert_int_eq(pl_iq_near_of(PL_IQ2_XXS)->points, 256);
}
END_TEST

static void *prepare_and_look(void *point)
{
    if (pl_iq_prepare(PL_IQ1_S) == PL_OK) *(const int8_t **)point = pl_iq_near_of(PL_IQ1_S)->point;
    return NULL;
}

START_TEST(threads)
{
    pthread_t thread[4];
    const int8_t *seen[4] = { NULL };
    for (int t = 0; t < 4; t++) ck_assert_int_eq(pthread_create(&thread[t], NULL, prepare_and_look, &seen[t]), 0);
    for (int t = 0; t < 4; t++) ck_assert_int_eq(pthread_join(thread[t], NULL), 0);
    ck_assert_ptr_nonnull(seen[0]);
    for (int t = 1; t < 4; t++) ck_assert_ptr_eq(seen[t], seen[0]);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        points, lists, no_memory, threads,
    };
    return run_cases("iq_near", NULL, NULL, tests, PL_COUNT(tests));
}
