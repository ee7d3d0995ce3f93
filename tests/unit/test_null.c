/* test_null.c: the sinks that write nothing: sizes, row orders, a digest that sees bytes alone. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"
#include "core/rng.h"
#include "formats/arch.h"
#include "formats/registry.h"

enum { PARTS = 3 };
static const int64_t part_bytes[PARTS] = { 20011, 7, 4096 * 3 };
static uint8_t *data[PARTS];
static pl_step step[PARTS];
static pl_plan plan = { .step = step, .steps = PARTS, .parts = PARTS };

static void setup(void)
{
    plan.data_bytes = 0;
    for (int i = 0; i < PARTS; i++) {
        step[i].out = (pl_packed){ .nparts = 1, .part[0] = { .id = i, .bytes = part_bytes[i] } };
        plan.data_bytes += part_bytes[i];
        data[i] = malloc((size_t)part_bytes[i]);
        for (int64_t k = 0; k < part_bytes[i]; k++)
            data[i][k] = (uint8_t)pl_rng_bits(1, (uint64_t)i, (uint64_t)k);
    }
}

static void teardown(void)
{
    for (int i = 0; i < PARTS; i++) free(data[i]);
}

static pl_sink *begin(void)
{
    pl_sink *sink;
    ck_assert_int_eq(pl_sink_create(&pl_sink_digest, &sink), PL_OK);
    ck_assert_int_eq(sink->ops->begin(sink, NULL, &plan, NULL), PL_OK);
    return sink;
}

static pl_digest finish(pl_sink *sink)
{
    ck_assert_int_eq(sink->ops->finish(sink), PL_OK);
    pl_digest digest = pl_sink_digest_value(sink);
    pl_sink_close(sink);
    return digest;
}

static pl_status put(pl_sink *sink, int part, int64_t offset, int64_t len)
{
    return sink->ops->put(sink, &step[part].out.part[0], offset, data[part] + offset, (size_t)len);
}

static pl_digest whole(void)
{
    pl_sink *sink = begin();
    for (int i = 0; i < PARTS; i++) ck_assert_int_eq(put(sink, i, 0, part_bytes[i]), PL_OK);
    return finish(sink);
}

static bool same(pl_digest a, pl_digest b) { return !memcmp(&a, &b, sizeof a); }

/* Ranges of any length, back to front: in one piece, byte by byte, across words and blocks. */
START_TEST(any_cut)
{
    static const int64_t lengths[] = { 1, 3, 8, 13, 4095, 4096, 4097, 9001 };
    pl_digest expected = whole();
    for (int l = 0; l < PL_COUNT(lengths); l++) {
        pl_sink *sink = begin();
        for (int i = 0; i < PARTS; i++)
            for (int64_t at = (part_bytes[i] - 1) / lengths[l] * lengths[l]; at >= 0; at -= lengths[l])
                ck_assert_int_eq(put(sink, i, at, pl_min64(lengths[l], part_bytes[i] - at)), PL_OK);
        ck_assert(same(finish(sink), expected));
    }
}
END_TEST

enum { PIECE = 101 };

static pl_status put_piece(void *ctx, int64_t index, int worker)
{
    return put(ctx, 0, index * PIECE, pl_min64(PIECE, part_bytes[0] - index * PIECE));
}

START_TEST(any_thread)
{
    pl_digest expected = whole();
    pl_pool *pool;
    ck_assert_int_eq(pl_pool_create(4, &pool), PL_OK);
    for (int round = 0; round < 20; round++) {
        pl_sink *sink = begin();
        ck_assert_int_eq(pl_pool_for(pool, pl_ceil_div(part_bytes[0], PIECE), put_piece, sink), PL_OK);
        for (int i = 1; i < PARTS; i++) ck_assert_int_eq(put(sink, i, 0, part_bytes[i]), PL_OK);
        ck_assert(same(finish(sink), expected));
    }
    pl_pool_destroy(pool);
}
END_TEST

static void swap_words(uint8_t *a, uint8_t *b)
{
    uint8_t word[8];
    memcpy(word, a, 8);
    memcpy(a, b, 8);
    memcpy(b, word, 8);
}

/* Every bit counts, and so does every place. */
START_TEST(any_change)
{
    pl_digest expected = whole();
    for (int i = 0; i < PARTS; i++) {
        for (int64_t at = 0; at < part_bytes[i]; at += 1 + part_bytes[i] / 50) {
            data[i][at] ^= (uint8_t)(1 << at % 8);
            ck_assert(!same(whole(), expected));
            data[i][at] ^= (uint8_t)(1 << at % 8);
        }
    }
    for (int64_t at = 8; at + 8 <= part_bytes[0]; at += 4088) {
        swap_words(data[0], data[0] + at);
        ck_assert(!same(whole(), expected));
        swap_words(data[0], data[0] + at);
    }
    ck_assert(same(whole(), expected));
}
END_TEST

/* The same bytes in another version, on another machine: the same digest. */
START_TEST(known_answer)
{
    char text[40];
    ck_assert_str_eq(pl_digest_text(whole(), text), "xxh3:c8720f089f738fa324ab41d4c9f0c309");
}
END_TEST

START_TEST(gaps_and_repeats)
{
    pl_sink *sink = begin();
    ck_assert_int_eq(put(sink, 0, 0, part_bytes[0]), PL_OK);
    ck_assert_int_eq(put(sink, 1, 0, part_bytes[1]), PL_OK);
    ck_assert_int_eq(put(sink, 2, 0, part_bytes[2] - 1), PL_OK);
    ck_assert_int_eq(sink->ops->finish(sink), PL_E_IO);
    ck_assert_ptr_nonnull(strstr(pl_error(), "part 2 has 12288 bytes, 12287 were put"));
    ck_assert_int_eq(put(sink, 2, 0, part_bytes[2]), PL_OK);
    ck_assert_int_eq(sink->ops->finish(sink), PL_E_IO);
    pl_sink_close(sink);
    ck_assert_int_eq(pl_sink_create(&pl_sink_digest, &sink), PL_OK);
    pl_sink_close(sink);                /* never begun */
}
END_TEST

START_TEST(resolves_like_gguf)
{
    pl_model model = { .arch = "llama", .hp = { .layers = 1, .hidden = 64, .heads = 4, .kv_heads = 2,
                                                .head_dim = 16, .ffn = 96, .vocab = 10 } };
    static const struct { int role, layer; bool matrix; } cases[] = {
        { PL_ATTN_Q, 0, true }, { PL_ATTN_K + PL_BIAS, 0, false }, { PL_ATTN_V, 0, true },
        { PL_TOKEN_EMBD, -1, true }, { PL_ATTN_NORM, 0, false },
    };
    const pl_sink_ops *const ops[] = { &pl_sink_count, &pl_sink_digest };
    pl_arena *arena;
    pl_sink *gguf;
    ck_assert_int_eq(pl_arena_create(&arena), PL_OK);
    ck_assert_int_eq(pl_sink_create(&pl_sink_gguf, &gguf), PL_OK);
    for (int i = 0; i < PL_COUNT(cases); i++) {
        const pl_arch_tensor *row = pl_arch_row(&pl_arch_llama, cases[i].role);
        pl_tensor t = { .id = pl_id_make(cases[i].role, cases[i].layer, -1), .name = "t",
                        .rows = row->rows(&model.hp), .cols = row->cols(&model.hp),
                        .type = pl_type_plain(PL_F16), .flags = cases[i].matrix ? PL_TENSOR_MATRIX : 0 };
        pl_packed expected = { 0 };
        const char *expected_name;
        ck_assert_int_eq(gguf->ops->resolve(gguf, &model, &t, pl_type_plain(PL_Q8_0), &expected,
                                            &expected_name, arena), PL_OK);
        for (int k = 0; k < PL_COUNT(ops); k++) {
            pl_sink *sink;
            pl_packed out = { 0 };
            const char *name;
            ck_assert_int_eq(pl_sink_create(ops[k], &sink), PL_OK);
            ck_assert_int_eq(ops[k]->resolve(sink, &model, &t, pl_type_plain(PL_Q8_0), &out, &name, arena),
                             PL_OK);
            ck_assert_str_eq(name, expected_name);
            ck_assert(pl_type_equal(&out.type, &expected.type));
            ck_assert(out.rows == expected.rows && out.cols == expected.cols);
            ck_assert_int_eq(out.order, expected.order);
            pl_sink_close(sink);
        }
    }
    pl_tensor lost = { .id = pl_id_make(PL_ATTN_NORM + PL_BIAS, 0, -1), .name = "lost" };
    pl_packed out;
    const char *name;
    ck_assert_int_eq(pl_sink_count.resolve(gguf, &model, &lost, pl_type_plain(PL_F32), &out, &name, arena),
                     PL_E_WISH);
    pl_sink_close(gguf);
    pl_arena_destroy(arena);
}
END_TEST

START_TEST(counts)
{
    pl_sink *sink;
    int64_t bytes = 0;
    ck_assert_int_eq(pl_sink_create(&pl_sink_count, &sink), PL_OK);
    ck_assert_int_eq(sink->ops->size(sink, &plan, NULL, &bytes), PL_OK);
    ck_assert_int_eq(bytes, part_bytes[0] + part_bytes[1] + part_bytes[2]);
    ck_assert_int_eq(sink->ops->begin(sink, NULL, &plan, NULL), PL_OK);
    ck_assert_int_eq(put(sink, 0, 0, part_bytes[0]), PL_OK);
    ck_assert_int_eq(sink->ops->finish(sink), PL_OK);
    pl_sink_close(sink);
}
END_TEST

START_TEST(registries)
{
    ck_assert_ptr_eq(pl_sink_find(pl_sinks, "count"), &pl_sink_count);
    ck_assert_ptr_eq(pl_sink_find(pl_sinks, "digest"), &pl_sink_digest);
    ck_assert_ptr_eq(pl_sink_find(pl_sinks, "gguf"), &pl_sink_gguf);
    ck_assert_ptr_null(pl_sink_find(pl_sinks, "nothing"));
    int sources = 0;
    while (pl_sources[sources]) sources++;
    ck_assert_int_eq(sources, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("null");
    TCase *cases = tcase_create("null");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, any_cut);
    tcase_add_test(cases, any_thread);
    tcase_add_test(cases, any_change);
    tcase_add_test(cases, known_answer);
    tcase_add_test(cases, gaps_and_repeats);
    tcase_add_test(cases, resolves_like_gguf);
    tcase_add_test(cases, counts);
    tcase_add_test(cases, registries);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
