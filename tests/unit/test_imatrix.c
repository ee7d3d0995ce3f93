/* test_imatrix.c: activation statistics in llama.cpp's files: there and back, the older form, damaged and foreign ones. */
#include <math.h>

#include "formats/imatrix.h"
#include "tests/unit/run.h"
/* behind run.h, whose parameters have the names of its variables */
#include "tests/unit/gguf_fixture.h"

enum { EXPERTS = 3, WINDOW = 512 };

/* ---- models and their statistics ---- */

static void open_tiny(tiny *m, int experts)
{
    make_model_of(m, PL_VOCAB_SPM, experts);
    assert_ok(pl_model_index(&m->model, m->arena));
}

/* Something for each matrix of the blocks and for routers, in the order of identities. */
static pl_stats *make_stats(tiny *m)
{
    pl_stat *stat = PL_NEW(m->arena, pl_stat, m->model.tensors);
    pl_stats *out = PL_ZNEW(m->arena, pl_stats, 1);
    static const char *const texts[] = { "one.txt", "zwei – \"2\"" };
    for (int i = 0; i < m->model.tensors; i++) {
        const pl_tensor *t = &m->model.tensor[m->model.entry[i].tensor];
        if (t->id.layer < 0 || t->cols < 2) continue;
        float *sum2 = PL_NEW(m->arena, float, t->cols), *sum = PL_NEW(m->arena, float, t->cols);
        for (int64_t c = 0; c < t->cols; c++) {
            sum2[c] = (float)(1 + i) * 0.25f * (float)c;
            sum[c] = (c % 2 ? -4.0f : 3.0f) * sqrtf(sum2[c]);
        }
        stat[out->count++] = (pl_stat){ .id = t->id, .cols = t->cols, .sum2 = sum2, .sum = sum,
                                        .count = t->id.expert == 1 ? 0 : (float)(17 + i) };
    }
    out->stat = stat;
    out->dataset = texts;
    out->datasets = 2;
    out->chunks = 7;
    out->chunk_size = 99;
    return out;
}

static void same_stats(const pl_stats *a, const pl_stats *b)
{
    ck_assert_int_eq(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        ck_assert(pl_id_equal(a->stat[i].id, b->stat[i].id));
        ck_assert_int_eq(a->stat[i].cols, b->stat[i].cols);
        ck_assert_mem_eq(a->stat[i].sum2, b->stat[i].sum2, (size_t)a->stat[i].cols * sizeof(float));
        ck_assert_float_eq(a->stat[i].count, b->stat[i].count);
        ck_assert_int_eq(a->stat[i].sum != NULL, b->stat[i].sum != NULL);
        if (a->stat[i].sum) ck_assert_mem_eq(a->stat[i].sum, b->stat[i].sum, (size_t)a->stat[i].cols * sizeof(float));
    }
    ck_assert(a->chunks == b->chunks && a->chunk_size == b->chunk_size && a->datasets == b->datasets);
    for (int i = 0; i < a->datasets; i++) ck_assert_str_eq(a->dataset[i], b->dataset[i]);
}

START_TEST(round_trips)
{
    for (int experts = 0; experts <= EXPERTS; experts += EXPERTS) {
        tiny m;
        open_tiny(&m, experts);
        pl_stats *stats = make_stats(&m), *back;
        char a[PATH_MAX], b[PATH_MAX];
        snprintf(a, sizeof a, "%s", temp_path("a.gguf"));
        snprintf(b, sizeof b, "%s", temp_path("b.gguf"));
        assert_ok(pl_imatrix_save(a, stats, &m.model, true));
        assert_ok(pl_imatrix_load(a, &m.model, m.arena, &back));
        same_stats(stats, back);
        ck_assert_int_eq(back->entries, LAYERS * (experts ? 8 : 7));
        ck_assert_str_eq(back->path, a);
        int all;
        ck_assert_int_eq(pl_imatrix_missing(back, &m.model, &all), 0);
        ck_assert_int_eq(all, LAYERS * (4 + 3 * (experts ? EXPERTS : 1)));
        assert_ok(pl_imatrix_save(b, back, &m.model, true));
        size_t a_size, b_size;
        uint8_t *first = load(a, &a_size), *second = load(b, &b_size);
        ck_assert_uint_eq(a_size, b_size);
        ck_assert_mem_eq(first, second, a_size);
        pl_free(first);
        pl_free(second);
        assert_fails(pl_imatrix_save(b, back, &m.model, false), PL_E_WISH, "b.gguf");
        close_model(&m);
    }
}
END_TEST

/* A plain sum that those of the squares do not allow; of rows never seen it may be anything. */
START_TEST(plain_sums_refused)
{
    static const float bad[] = { 3.2e4f, -1e30f, NAN, INFINITY };
    tiny m;
    open_tiny(&m, EXPERTS);
    const char *to = temp_path("a.gguf");
    for (int i = 0; i < PL_COUNT(bad); i++) {
        pl_stats *stats = make_stats(&m), *back;
        int at = 0;
        while (stats->stat[at].id.expert != 0) at++;
        for (int k = 0; k < 2; k++) {
            bool unseen = k == 1, fine = unseen && isfinite(bad[i]);
            float *sum = (float *)(uintptr_t)stats->stat[at + k].sum, kept = sum[5];
            ck_assert(unseen == (stats->stat[at + k].count == 0));
            sum[5] = bad[i];
            assert_ok(pl_imatrix_save(to, stats, &m.model, true));
            pl_status code = pl_imatrix_load(to, &m.model, m.arena, &back);
            ck_assert_int_eq(code, fine ? PL_OK : PL_E_INPUT);
            if (!fine) ck_assert_ptr_nonnull(strstr(pl_error(), "its squares sum up to"));
            sum[5] = kept;
        }
    }
    close_model(&m);
}
END_TEST

/* Names in the order of their bytes, sums before counts, experts as a second dimension; plain sums, which it does not
 * know, in front. */
START_TEST(as_llama_cpp_has_it)
{
    tiny m;
    pl_file *file;
    pl_gguf g;
    open_tiny(&m, EXPERTS);
    const char *to = temp_path("a.gguf");
    assert_ok(pl_imatrix_save(to, make_stats(&m), &m.model, true));
    assert_ok(pl_file_open(to, &file));
    assert_ok(pl_gguf_scan(file, m.arena, &g));
    ck_assert_int_eq(g.kvs, 4);
    for (int i = 1; i < g.infos; i += 3) {
        const char *sums = g.info[i].name, *counts = g.info[i + 1].name, *dot = strrchr(sums, '.');
        ck_assert_str_eq(dot, ".in_sum2");
        ck_assert_str_eq(strrchr(counts, '.'), ".counts");
        ck_assert_int_eq(strncmp(sums, counts, (size_t)(dot - sums)), 0);
        ck_assert_str_eq(strrchr(g.info[i - 1].name, '.'), ".in_sum");
        ck_assert_int_eq(strncmp(sums, g.info[i - 1].name, (size_t)(dot - sums)), 0);
        ck_assert(g.info[i - 1].rows == g.info[i].rows && g.info[i - 1].cols == g.info[i].cols);
        if (i > 1) ck_assert_int_lt(strcmp(g.info[i - 3].name, sums), 0);
        bool stack = strstr(sums, "_exps.");
        ck_assert_int_eq(g.info[i + 1].rows, stack ? EXPERTS : 1);
        ck_assert_int_eq(g.info[i].rows * g.info[i].cols, (strstr(sums, "down") ? FFN : HIDDEN) * g.info[i + 1].rows);
    }
    pl_file_close(file);
    close_model(&m);
}
END_TEST

START_TEST(not_whole)
{
    tiny m;
    open_tiny(&m, EXPERTS);
    pl_stats *stats = make_stats(&m), *back;
    const char *to = temp_path("a.gguf");
    stats->count -= 1;
    assert_fails(pl_imatrix_save(to, stats, &m.model, true), PL_E_INPUT, "no statistics of expert 2 of 'blk.1.ffn_down");
    stats->count -= EXPERTS - 1;
    assert_ok(pl_imatrix_save(to, stats, &m.model, true));
    assert_ok(pl_imatrix_load(to, &m.model, m.arena, &back));
    ck_assert_int_eq(pl_imatrix_missing(back, &m.model, NULL), EXPERTS);
    ((pl_stat *)stats->stat)[0].id.layer = LAYERS;
    assert_fails(pl_imatrix_save(to, stats, &m.model, true), PL_E_INPUT, "which the model has not");
    close_model(&m);
}
END_TEST

START_TEST(memory_runs_out)
{
    tiny m;
    open_tiny(&m, EXPERTS);
    pl_stats *stats = make_stats(&m), *back;
    const char *to = temp_path("a.gguf");
    pl_status saved = PL_E_MEMORY, loaded = PL_E_MEMORY;
    for (int n = 0; n < 100 && saved != PL_OK; n++) {
        pl_mem_fail_after(n);
        saved = pl_imatrix_save(to, stats, &m.model, true);
        pl_mem_fail_after(-1);
        ck_assert(saved == PL_OK || saved == PL_E_MEMORY);
    }
    ck_assert_int_eq(saved, PL_OK);
    for (int n = 0; n < 100 && loaded != PL_OK; n++) {
        pl_arena *arena;
        assert_ok(pl_arena_create(&arena));
        pl_mem_fail_after(n);
        loaded = pl_imatrix_load(to, &m.model, arena, &back);
        pl_mem_fail_after(-1);
        ck_assert(loaded == PL_OK || loaded == PL_E_MEMORY);
        pl_arena_destroy(arena);
    }
    ck_assert_int_eq(loaded, PL_OK);
    close_model(&m);
}
END_TEST

/* ---- files by hand ---- */

static uint8_t made[1 << 14];
static size_t made_len;

static void put(const void *data, size_t len)
{
    ck_assert_uint_le(made_len + len, sizeof made);
    memcpy(made + made_len, data, len);
    made_len += len;
}
static void put_int(uint64_t value, size_t bytes) { put(&value, bytes); }
static void put_text(const char *s, size_t bytes)
{
    put_int(strlen(s), bytes);
    put(s, strlen(s));
}
static void put_floats(int count, float value)
{
    for (int i = 0; i < count; i++) put(&value, 4);
}

static pl_status load_made(const tiny *m, pl_stats **out)
{
    temp_write("made", made, made_len);
    return pl_imatrix_load(temp_path("made"), &m->model, m->arena, out);
}

/* A GGUF file with sums and counts of one matrix: `cols` x `experts` of `value`, counts of `count`. What is 0
 * here is good there; a text that is empty: there is no such thing. */
typedef struct one {
    const char *type, *name, *sums, *counts;    /* type: general.type; sums, counts: endings of names */
    int cols, experts, count_rows, dtype;
    float value, count;
} one;

static void put_one(one f)
{
    const one full = {
        .type = f.type ? f.type : "imatrix", .name = f.name ? f.name : "blk.1.attn_output.weight",
        .sums = f.sums ? f.sums : ".in_sum2", .counts = f.counts ? f.counts : ".counts",
        .cols = f.cols ? f.cols : HIDDEN, .experts = f.experts ? f.experts : 1,
        .count_rows = f.count_rows ? f.count_rows : 1, .dtype = f.dtype,
        .value = f.value == 0 ? 2 : f.value, .count = f.count == 0 ? 4 : f.count,
    };
    const one *o = &full;
    bool half = o->dtype == 1;
    int tensors = (*o->sums != 0) + (*o->counts != 0), values = o->cols * o->experts;
    uint64_t bytes = (uint64_t)values * (half ? 2 : 4);
    char name[128];
    made_len = 0;
    put("GGUF\3\0\0\0", 8);
    put_int((uint64_t)tensors, 8);
    put_int(*o->type != 0, 8);
    if (*o->type) {
        put_text("general.type", 8);
        put_int(PL_META_STRING, 4);
        put_text(o->type, 8);
    }
    for (int i = 0; i < 2; i++) {
        const char *ending = i ? o->counts : o->sums;
        if (!*ending) continue;
        snprintf(name, sizeof name, "%s%s", o->name, ending);
        put_text(name, 8);
        put_int(2, 4);
        put_int(i ? 1 : (uint64_t)o->cols, 8);
        put_int((uint64_t)(i ? o->count_rows : o->experts), 8);
        put_int(i ? 0 : (uint64_t)o->dtype, 4);
        put_int(i && *o->sums ? (bytes + 31) / 32 * 32 : 0, 8);
    }
    while (made_len % 32) put("", 1);
    for (int i = 0; *o->sums && i < values; i++) put(&o->value, half ? 2 : 4);
    while (made_len % 32) put("", 1);
    if (*o->counts) put_floats(o->count_rows, o->count);
}

START_TEST(refused)
{
    static const struct { one file; const char *part; } bad[] = {
        { { .type = "" }, "'general.type' is missing" },
        { { .type = "model" }, "of type 'model', expected 'imatrix'" },
        { { .sums = "" }, "no '.in_sum2'" },
        { { .counts = "" }, "no '.counts'" },
        { { .counts = ".in_sum" }, "no '.counts'" },
        { { .sums = ".sum" }, "neither in" },
        { { .sums = "", .counts = "" }, "no statistics" },
        { { .name = "blk.2.attn_output.weight" }, "statistics of another" },
        { { .name = "blk.01.attn_output.weight" }, "statistics of another" },
        { { .name = "blk.1.ffn_up_exps.weight" }, "statistics of another" },
        { { .name = "model.layers.1.self_attn.o_proj.weight" }, "statistics of another" },
        { { .name = "output.weight" }, "statistics of another" },
        { { .cols = HIDDEN - 1 }, "has 31 values, expected 1 x 32" },
        { { .experts = 2 }, "has 64 values, expected 1 x 32" },
        { { .count_rows = 2 }, "has 2 counts, expected 1" },
        { { .dtype = 1 }, "of type f16" },
        { { .value = -1 }, "value 0 is -1" },
        { { .value = NAN }, "value 0 is" },
        { { .value = INFINITY }, "value 0 is inf" },
        { { .count = -1 }, "seen -1 rows" },
        { { .count = 0.5f }, "seen 0.5 rows" },
        { { .count = NAN }, "rows, expected a whole number" },
        { { .count = INFINITY }, "seen inf rows" },
    };
    tiny m;
    pl_stats *stats;
    open_tiny(&m, 0);
    put_one((one){ 0 });
    assert_ok(load_made(&m, &stats));
    ck_assert_int_eq(stats->count, 1);
    ck_assert_float_eq(stats->stat[0].sum2[HIDDEN - 1], 2);
    ck_assert_float_eq(stats->stat[0].count, 4);
    ck_assert_int_eq(pl_imatrix_missing(stats, &m.model, NULL), LAYERS * 7 - 1);
    for (int i = 0; i < PL_COUNT(bad); i++) {
        put_one(bad[i].file);
        assert_fails(load_made(&m, &stats), PL_E_INPUT, bad[i].part);
        ck_assert_ptr_null(stats);
        ck_assert_ptr_nonnull(strstr(pl_error(), "/made"));
    }
    close_model(&m);
}
END_TEST

/* Files that came from the older form have one count for a whole stack. Token tables are taken where they are. */
START_TEST(tolerated)
{
    tiny m;
    pl_stats *stats;
    open_tiny(&m, EXPERTS);
    put_one((one){ .name = "blk.1.ffn_up_exps.weight", .experts = EXPERTS });
    assert_ok(load_made(&m, &stats));
    ck_assert_int_eq(stats->count, EXPERTS);
    for (int k = 0; k < EXPERTS; k++) {
        const pl_stat *s = pl_stats_find(stats, pl_id_make(PL_FFN_UP, 1, k));
        ck_assert(s && s->count == 4 && s->sum2[0] == 2);
    }
    put_one((one){ .name = "blk.1.ffn_up.weight" });
    assert_fails(load_made(&m, &stats), PL_E_INPUT, "statistics of another");
    put_one((one){ .name = "blk.1.ffn_up_exps.weight", .experts = EXPERTS - 1 });
    assert_fails(load_made(&m, &stats), PL_E_INPUT, "has 64 values, expected 3 x 32");
    put_one((one){ .name = "token_embd.weight" });
    assert_ok(load_made(&m, &stats));
    ck_assert_ptr_nonnull(pl_stats_find(stats, pl_id_make(PL_TOKEN_EMBD, -1, -1)));
    close_model(&m);
}
END_TEST

/* ---- the older form ---- */

static void put_entry(const char *name, int windows, int values, int really, float value)
{
    put_text(name, 4);
    put_int((uint32_t)windows, 4);
    put_int((uint32_t)values, 4);
    put_floats(really, value);
}

static void put_dat(void)
{
    made_len = 0;
    put_int(3, 4);
    put_entry("blk.0.ffn_down_exps.weight", 5, FFN * EXPERTS, FFN * EXPERTS, 10);
    put_entry("blk.0.attn_q.weight", 5, HIDDEN, HIDDEN, 15);
    put_entry("blk.0.attn_k.weight", 0, HIDDEN, HIDDEN, 3);
}

START_TEST(dat)
{
    tiny m;
    pl_stats *stats;
    float importance[FFN];
    open_tiny(&m, EXPERTS);
    put_dat();
    assert_ok(load_made(&m, &stats));           /* the oldest end here */
    ck_assert(stats->datasets == 0 && stats->entries == 3 && stats->count == EXPERTS + 2);
    put_int(9, 4);
    put_text("texts/wiki.txt", 4);
    assert_ok(load_made(&m, &stats));
    ck_assert(stats->chunks == 9 && stats->chunk_size == 0 && stats->datasets == 1);
    ck_assert_str_eq(stats->dataset[0], "texts/wiki.txt");
    for (int k = 0; k < EXPERTS; k++) {
        const pl_stat *s = pl_stats_find(stats, pl_id_make(PL_FFN_DOWN, 0, k));
        ck_assert(s && s->cols == FFN && s->count == 5 * WINDOW);
        pl_stat_importance(s, importance);
        ck_assert_float_eq(importance[FFN - 1], 2);
    }
    pl_stat_importance(pl_stats_find(stats, pl_id_make(PL_ATTN_Q, 0, -1)), importance);
    ck_assert_float_eq(importance[0], 3);
    pl_stat_importance(pl_stats_find(stats, pl_id_make(PL_ATTN_K, 0, -1)), importance);
    ck_assert_float_eq(importance[0], 3);
    put("x", 1);
    assert_fails(load_made(&m, &stats), PL_E_INPUT, "1 bytes behind the end");
    close_model(&m);
}
END_TEST

START_TEST(dat_refused)
{
    tiny m;
    pl_stats *stats;
    open_tiny(&m, EXPERTS);
    static const struct { const char *name, *part; int windows, values; float value; } bad[] = {
        { "blk.0.attn_q.weight", "expected 0 to", -1, HIDDEN, 1 },
        { "blk.0.attn_q.weight", "number of values at byte", 1, 0, 1 },
        { "blk.0.attn_q.weight", "number of values at byte", 1, -5, 1 },
        { "blk.0.attn_q.weight", "bytes of values expected", 1, INT_MAX, 1 },
        { "blk.0.attn_q.weight", "expected 1 x 32", 1, HIDDEN - 1, 1 },
        { "blk.9.attn_q.weight", "statistics of another", 1, HIDDEN, 1 },
        { "", "length of a name", 1, HIDDEN, 1 },
        { "blk.0.attn_q.weight", "value 0 is nan", 1, HIDDEN, NAN },
        { "blk.0.attn_q.weight", "value 0 is -2", 1, HIDDEN, -2 },
        { "blk.0.attn_q.weight", "value 0 is 1e+38", 1, HIDDEN, 1e38f },
    };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        made_len = 0;
        put_int(1, 4);
        put_entry(bad[i].name, bad[i].windows, bad[i].values, bad[i].values == HIDDEN ? HIDDEN : HIDDEN - 1,
                  bad[i].value);
        assert_fails(load_made(&m, &stats), PL_E_INPUT, bad[i].part);
    }
    made_len = 0;
    put_int(2, 4);
    put_entry("blk.0.attn_q.weight", 1, HIDDEN, HIDDEN, 1);
    put_entry("blk.0.attn_q.weight", 1, HIDDEN, HIDDEN, 1);
    assert_fails(load_made(&m, &stats), PL_E_INPUT, "'blk.0.attn_q.weight' is there twice");
    made_len = 0;
    put("This is a text and nothing else.", 32);
    assert_fails(load_made(&m, &stats), PL_E_INPUT, "number of entries");
    close_model(&m);
}
END_TEST

/* ---- damage ---- */

START_TEST(truncated)
{
    tiny m;
    pl_stats *stats;
    open_tiny(&m, EXPERTS);
    put_dat();
    for (made_len--; made_len > 0; made_len--) ck_assert_int_eq(load_made(&m, &stats), PL_E_INPUT);
    ck_assert_int_eq(load_made(&m, &stats), PL_E_INPUT);
    put_one((one){ 0 });
    for (made_len--; made_len > 0; made_len--) ck_assert_int_eq(load_made(&m, &stats), PL_E_INPUT);
    close_model(&m);
}
END_TEST

/* Any bit changed: read all the same, or refused with a sentence. */
START_TEST(flipped)
{
    tiny m;
    pl_stats *stats;
    open_tiny(&m, EXPERTS);
    for (int form = 0; form < 2; form++) {
        if (form) put_dat();
        else put_one((one){ 0 });
        for (size_t i = 0; i < made_len * 8; i++) {
            made[i / 8] ^= (uint8_t)(1 << i % 8);
            pl_status code = load_made(&m, &stats);
            ck_assert(code == PL_OK ? stats != NULL : code == PL_E_INPUT && pl_error()[0]);
            made[i / 8] ^= (uint8_t)(1 << i % 8);
            if (form && i > 256 * 8) i += 8;    /* one value is like the other */
        }
    }
    close_model(&m);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { round_trips, plain_sums_refused, as_llama_cpp_has_it, not_whole, memory_runs_out, refused, tolerated,
                             dat, dat_refused, truncated, flipped };
    return run_suite("imatrix", tests, PL_COUNT(tests));
}
