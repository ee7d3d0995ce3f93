/* test_knapsack.c: the least loss within a budget: known answers, brute force, what must not change it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/knapsack.h"
#include "core/rng.h"
#include "tests/unit/run.h"

static const pl_option known[3][3] = {
    { { 10, 9 }, { 14, 4 }, { 20, 1 } },
    { { 10, 6 }, { 14, 5 }, { 20, 2 } },
    { { 20, 8 }, { 28, 3 }, { 40, 0.5 } },
};

static double loss_of(const pl_item *item, int items, const int *choice)
{
    double sum = 0;
    for (int i = 0; i < items; i++) sum += item[i].option[choice[i]].loss;
    return sum;
}

static int64_t bytes_of(const pl_item *item, int items, const int *choice)
{
    int64_t sum = 0;
    for (int i = 0; i < items; i++) sum += item[i].option[choice[i]].bytes;
    return sum;
}

START_TEST(known_answers)
{
    const struct { int64_t budget, bytes; double loss; int choice[3]; } expected[] = {
        { 40, 40, 23, { 0, 0, 0 } }, { 48, 48, 17, { 1, 1, 0 } }, { 54, 52, 13, { 1, 0, 1 } },
        { 60, 58, 10, { 2, 0, 1 } }, { 80, 80, 3.5, { 2, 2, 2 } }, { 1000, 80, 3.5, { 2, 2, 2 } },
    };
    pl_item item[3];
    for (int i = 0; i < 3; i++) item[i] = (pl_item){ known[i], 3, -1 };
    for (int e = 0; e < PL_COUNT(expected); e++) {
        int choice[3];
        assert_ok(pl_knapsack(item, 3, expected[e].budget, choice));
        ck_assert_double_eq(loss_of(item, 3, choice), expected[e].loss);
        ck_assert_int_le(bytes_of(item, 3, choice), expected[e].budget);
        /* 48 bytes: 1,1,0 and 0,0,1 both lose 17 */
        if (expected[e].budget == 48) continue;
        ck_assert_int_eq(bytes_of(item, 3, choice), expected[e].bytes);
        ck_assert(memcmp(choice, expected[e].choice, sizeof choice) == 0);
    }
}
END_TEST

/* Up to 6 items of up to 4 options; seed says which. divisor: all bytes are multiples of it. */
typedef struct puzzle {
    pl_option option[6][4];
    pl_item item[6];
    int items;
    int64_t smallest, largest;
} puzzle;

static puzzle make_puzzle(uint64_t seed, int64_t divisor, bool groups)
{
    puzzle p = { .items = 1 + (int)(pl_rng_bits(seed, 0, 0) % 6) };
    int options = 1 + (int)(pl_rng_bits(seed, 1, 0) % 4);
    for (int i = 0; i < p.items; i++) {
        int64_t least = INT64_MAX, most = 0;
        int count = groups ? options : 1 + (int)(pl_rng_bits(seed, 2, (uint64_t)i) % 4);
        for (int o = 0; o < count; o++) {
            uint64_t at = (uint64_t)(i * 4 + o);
            int64_t bytes = (int64_t)(pl_rng_bits(seed, 3, at) % 1000) * divisor;
            p.option[i][o] = (pl_option){ bytes, pl_rng_uniform(seed, 4, at) * 10 - 1 };
            least = pl_min64(least, bytes);
            most = pl_max64(most, bytes);
        }
        p.item[i] = (pl_item){ p.option[i], count, groups ? (int)(pl_rng_bits(seed, 5, (uint64_t)i) % 3) - 1 : -1 };
        p.smallest += least;
        p.largest += most;
    }
    return p;
}

/* The pointers of a copy. */
static void point(puzzle *p)
{
    for (int i = 0; i < p->items; i++) p->item[i].option = p->option[i];
}

/* INFINITY if nothing fits. */
static double brute_force(const puzzle *p, int64_t budget)
{
    double best = INFINITY;
    int total = 1;
    for (int i = 0; i < p->items; i++) total *= p->item[i].options;
    for (int n = 0; n < total; n++) {
        int choice[6], rest = n;
        bool same = true;
        for (int i = 0; i < p->items; i++) {
            choice[i] = rest % p->item[i].options;
            rest /= p->item[i].options;
            for (int k = 0; k < i; k++)
                same = same && (p->item[i].group < 0 || p->item[k].group != p->item[i].group || choice[k] == choice[i]);
        }
        if (!same || bytes_of(p->item, p->items, choice) > budget) continue;
        best = fmin(best, loss_of(p->item, p->items, choice));
    }
    return best;
}

START_TEST(equals_brute_force)
{
    int solved = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        puzzle p = make_puzzle(seed, seed % 2 ? 1 : 1 << 20, seed % 4 >= 2);
        point(&p);
        for (int step = 0; step < 5; step++) {
            int64_t budget = p.smallest + (p.largest - p.smallest) * step / 4;
            double best = brute_force(&p, budget);
            int choice[6];
            pl_status code = pl_knapsack(p.item, p.items, budget, choice);
            if (best == INFINITY) {
                ck_assert_int_eq(code, PL_E_WISH);
                continue;
            }
            ck_assert_int_eq(code, PL_OK);
            ck_assert_int_le(bytes_of(p.item, p.items, choice), budget);
            ck_assert_double_eq_tol(loss_of(p.item, p.items, choice), best, 1e-12);
            for (int i = 0; i < p.items; i++)
                for (int k = 0; k < i; k++)
                    ck_assert(p.item[i].group < 0 || p.item[i].group != p.item[k].group || choice[i] == choice[k]);
            solved++;
        }
    }
    ck_assert_int_gt(solved, 1500);
}
END_TEST

START_TEST(permutation_and_scale)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        puzzle p = make_puzzle(seed, 7, false), q = p;
        point(&p);
        point(&q);
        int64_t budget = (p.smallest + p.largest) / 2;
        int choice[6], turned[6], scaled[6];
        assert_ok(pl_knapsack(p.item, p.items, budget, choice));
        for (int i = 0; i < p.items; i++) q.item[i] = p.item[p.items - 1 - i];
        assert_ok(pl_knapsack(q.item, q.items, budget, turned));
        for (int i = 0; i < p.items; i++) ck_assert_int_eq(choice[i], turned[p.items - 1 - i]);
        q = p;
        point(&q);
        for (int i = 0; i < q.items; i++)
            for (int o = 0; o < 4; o++) q.option[i][o].loss *= 3.7e-6;
        assert_ok(pl_knapsack(q.item, q.items, budget, scaled));
        ck_assert(memcmp(choice, scaled, (size_t)p.items * sizeof *choice) == 0);
    }
}
END_TEST

enum { MANY = 3000 };

/* Sizes without a common divisor, so many items that cells are coarse: never above the budget, a larger budget never
 * loses more, close to what fractions of options could reach. */
START_TEST(many_items)
{
    pl_option (*option)[5] = malloc(MANY * sizeof *option);
    pl_item *item = malloc(MANY * sizeof *item);
    int *choice = malloc(MANY * sizeof *choice);
    int64_t smallest = 0, largest = 0;
    for (int i = 0; i < MANY; i++) {
        double scale = 1 + 50 * pl_rng_uniform(1, 0, (uint64_t)i), weight = pl_rng_uniform(1, 1, (uint64_t)i);
        for (int o = 0; o < 5; o++) {
            int64_t bytes = (int64_t)(scale * 1e6 * (2 + o)) + (int64_t)(pl_rng_bits(1, 2, (uint64_t)(5 * i + o)) % 1000);
            option[i][o] = (pl_option){ bytes, weight * scale * pow(0.25, o) };
        }
        item[i] = (pl_item){ option[i], 5, -1 };
        smallest += option[i][0].bytes;
        largest += option[i][4].bytes;
    }
    double before = INFINITY;
    for (int step = 0; step <= 12; step++) {
        int64_t budget = smallest + (largest - smallest) * step / 12;
        assert_ok(pl_knapsack(item, MANY, budget, choice));
        double loss = loss_of(item, MANY, choice);
        int64_t bytes = bytes_of(item, MANY, choice);
        ck_assert_int_le(bytes, budget);
        ck_assert_double_lt(loss, before);
        if (step > 0) ck_assert_double_gt((double)bytes, (double)budget * 0.998);
        before = loss;
    }
    free(option);
    free(item);
    free(choice);
}
END_TEST

START_TEST(refusals)
{
    const pl_option nan[] = { { 1, NAN } }, negative[] = { { -1, 0 } }, huge[] = { { INT64_MAX, 0 } };
    const pl_item few = { known[0], 3, -1 }, bad = { nan, 1, -1 }, below = { negative, 1, -1 }, none = { known[0], 0, -1 };
    const pl_item uneven[] = { { known[0], 3, 4 }, { known[1], 2, 4 } };
    const pl_item too_large[] = { { huge, 1, -1 }, { huge, 1, -1 } };
    int choice[2];
    assert_fails(pl_knapsack(&few, 1, 9, choice), PL_E_WISH, "9 bytes are too few: the smallest possible is 10");
    assert_fails(pl_knapsack(&bad, 1, 9, choice), PL_E_WISH, "loss of nan");
    assert_fails(pl_knapsack(&below, 1, 9, choice), PL_E_WISH, "-1 bytes");
    assert_fails(pl_knapsack(&none, 1, 9, choice), PL_E_WISH, "0 options");
    assert_fails(pl_knapsack(uneven, 2, 90, choice), PL_E_WISH, "others of its group 3");
    assert_fails(pl_knapsack(too_large, 2, INT64_MAX, choice), PL_E_WISH, "more than");
    assert_ok(pl_knapsack(NULL, 0, 0, choice));
}
END_TEST

/* Memory that runs out anywhere is a status. */
START_TEST(out_of_memory)
{
    pl_item item[3];
    int choice[3], failures = 0;
    for (int i = 0; i < 3; i++) item[i] = (pl_item){ known[i], 3, -1 };
    for (int n = 0;; n++) {
        pl_mem_fail_after(n);
        pl_status code = pl_knapsack(item, 3, 54, choice);
        pl_mem_fail_after(-1);
        if (code == PL_OK) break;
        ck_assert_int_eq(code, PL_E_MEMORY);
        failures++;
    }
    ck_assert_int_gt(failures, 3);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { known_answers, equals_brute_force, permutation_and_scale, many_items, refusals,
                                   out_of_memory };
    return run_suite("knapsack", tests, PL_COUNT(tests));
}
