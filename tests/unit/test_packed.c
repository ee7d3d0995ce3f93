/* test_packed.c: storage types, packed matrices cut by rows, row orders, inputs in the order wanted. */
#include "core/half.h"
#include "core/method.h"
#include "core/model.h"
#include "core/packed.h"
#include "tests/unit/fake_model.h"
#include "tests/unit/run.h"

START_TEST(type_names)
{
    for (int i = 0; i < PL_DTYPES; i++) {
        pl_type plain = pl_type_plain(i), parsed;
        char upper[16];
        snprintf(upper, sizeof upper, "%s", pl_type_name(&plain));
        ck_assert_str_eq(upper, pl_dtypes[i].name);
        for (char *c = upper; *c; c++)
            if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
        assert_ok(pl_type_parse(pl_dtypes[i].name, &parsed));
        ck_assert(pl_type_equal(&plain, &parsed));
        assert_ok(pl_type_parse(upper, &parsed));
        ck_assert(pl_type_equal(&plain, &parsed));
        ck_assert_ptr_nonnull(strstr(pl_type_list(), pl_dtypes[i].name));
        for (int k = 0; k < i; k++) {
            pl_type other = pl_type_plain(k);
            ck_assert(!pl_type_equal(&plain, &other));
        }
    }
    pl_type out, none = { 0 };
    const char *bad[] = { "", "q4", "q4_0 ", " q4_0", "q4_00", "auto" };
    for (int i = 0; i < PL_COUNT(bad); i++)
        assert_fails(pl_type_parse(bad[i], &out), PL_E_WISH, "known are f32, f16");
    ck_assert_str_eq(pl_type_name(&none), "?");
}
END_TEST

static pl_type fp8(int codes, int scales, int32_t rows, int32_t cols)
{
    return pl_type_scaled(&pl_dtypes[codes], &pl_dtypes[scales], rows, cols);
}

START_TEST(scaled_names)
{
    const pl_type a = fp8(PL_F8_E4M3, PL_F32, 128, 64), b = fp8(PL_F8_E5M2, PL_F32, 1, 0);
    const pl_type c = fp8(PL_F8_E5M2, PL_BF16, 0, 0), d = fp8(PL_F8_E4M3, PL_F8_E8M0, 128, 64);
    const pl_type *all[] = { &a, &b, &c, &d };
    const char *name[4];
    for (int i = 0; i < 4; i++) name[i] = pl_type_name(all[i]);
    ck_assert_str_eq(name[0], "f8_e4m3 128x64");
    ck_assert_str_eq(name[1], "f8_e5m2 per row");
    ck_assert_str_eq(name[2], "f8_e5m2 per tensor");
    ck_assert_str_eq(name[3], "f8_e4m3 128x64");
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) ck_assert(pl_type_equal(all[i], all[k]) == (i == k));
    const pl_type rows = fp8(PL_F8_E4M3, PL_F32, 64, 64);
    ck_assert(!pl_type_equal(&a, &rows));
    ck_assert_ptr_null(strstr(pl_type_list(), "f8"));
    pl_type out;
    assert_fails(pl_type_parse("f8_e4m3", &out), PL_E_WISH, "can be read, not written; known are f32");
    assert_fails(pl_type_parse("F8_E8M0", &out), PL_E_WISH, "can be read, not written");
    assert_fails(pl_type_parse(name[0], &out), PL_E_WISH, "unknown storage type 'f8_e4m3 128x64'");
}
END_TEST

/* Codes that come in blocks: a scale of whole blocks only. */
START_TEST(scaled_blocks)
{
    enum { ROWS = 3, COLS = 128 };
    static const float scale[ROWS][2] = { { 0.5f, 3.0f }, { -1.0f, 7.0f }, { 0.1f, 0.0f } };
    uint8_t codes[ROWS * COLS / 64 * 36];
    float plain[ROWS * COLS], rows[ROWS * COLS];
    for (int i = 0; i < PL_COUNT(codes); i++) codes[i] = (uint8_t)(i * 29 % 127);
    pl_decode(&pl_dtypes[PL_NVFP4], codes, plain, PL_COUNT(plain));
    for (int width = 0; width <= 64; width += 64) {
        pl_packed p, last;
        assert_ok(pl_packed_init(&p, fp8(PL_NVFP4, PL_F32, 1, width), ROWS, COLS));
        ck_assert_int_eq(pl_packed_bytes(&p), PL_COUNT(codes) + 4 * ROWS * (width ? 2 : 1));
        p.part[0].ptr = codes;
        p.part[1].ptr = (const uint8_t *)scale;
        assert_ok(pl_packed_decode(&p, 0, ROWS, rows, NULL));
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLS; c++)
                ck_assert(rows[r * COLS + c] ==
                          plain[r * COLS + c] * (width ? scale[r][c / 64] : scale[r / 2][r % 2]));
        assert_ok(pl_packed_rows(&p, 2, 1, &last));
        assert_ok(pl_packed_decode(&last, 0, 1, plain, NULL));
        ck_assert_mem_eq(plain, rows + 2 * COLS, COLS * sizeof *rows);
        pl_decode(&pl_dtypes[PL_NVFP4], codes, plain, PL_COUNT(plain));
    }
    pl_packed p;
    assert_fails(pl_packed_init(&p, fp8(PL_NVFP4, PL_F32, 1, 96), 1, 192), PL_E_WISH, "blocks of 64");
    assert_fails(pl_packed_init(&p, fp8(PL_NVFP4, PL_F32, 1, 0), 1, 96), PL_E_WISH, "multiple of 64");
}
END_TEST

START_TEST(layout)
{
    for (int i = 0; i < PL_DTYPES; i++) {
        pl_packed p;
        assert_ok(pl_packed_init(&p, pl_type_plain(i), 7, 256));
        ck_assert_int_eq(p.rows, 7);
        ck_assert_int_eq(p.cols, 256);
        ck_assert_int_eq(p.granule, 1);
        ck_assert_int_eq(p.nparts, 1);
        ck_assert_int_eq(p.part[0].stride, 256 / pl_dtypes[i].block * pl_dtypes[i].bytes);
        ck_assert_int_eq(pl_packed_bytes(&p), 7 * p.part[0].stride);
        ck_assert_int_eq(p.part[0].id, -1);
        ck_assert_ptr_null(p.part[0].ptr);
    }
    pl_packed p;
    assert_ok(pl_packed_init(&p, pl_type_plain(PL_Q4_0), 0, 32));
    ck_assert_int_eq(pl_packed_bytes(&p), 0);
    assert_fails(pl_packed_init(&p, pl_type_plain(PL_Q4_0), 4, 33), PL_E_WISH, "multiple of 32");
    assert_fails(pl_packed_init(&p, pl_type_plain(PL_F32), INT64_MAX / 2, 3), PL_E_WISH, "too large");
    assert_fails(pl_packed_init(&p, pl_type_plain(PL_F32), -1, 3), PL_E_WISH, "too large");
    ck_assert_int_ne(pl_packed_init(&p, pl_type_plain(PL_F32), 1, INT64_MAX), PL_OK);
    ck_assert_int_ne(pl_packed_init(&p, pl_type_plain(PL_F32), 1, -32), PL_OK);
    assert_fails(pl_packed_init(&p, (pl_type){ 0 }, 1, 1), PL_E_WISH, "no storage type");
}
END_TEST

/* Two parts as MLX or sign factors have them: one by groups of 4 rows, one for the whole matrix. */
static pl_packed grouped(int64_t rows, const uint8_t *bytes)
{
    pl_packed p = { .type = pl_type_plain(PL_F32), .rows = rows, .cols = 8, .granule = 4, .nparts = 2 };
    int64_t groups = pl_ceil_div(rows, 4);
    p.part[0] = (pl_part){ .role = PL_CODES, .ptr = bytes, .bytes = groups * 10, .stride = 10 };
    p.part[1] = (pl_part){ .role = PL_GLOBAL, .ptr = bytes ? bytes + 1000 : NULL, .bytes = 3 };
    return p;
}

START_TEST(cuts_on_granules)
{
    uint8_t bytes[2000] = { 0 };
    pl_packed p = grouped(18, bytes), view;
    assert_ok(pl_packed_rows(&p, 4, 8, &view));
    ck_assert_int_eq(view.rows, 8);
    ck_assert_ptr_eq(view.part[0].ptr, bytes + 10);
    ck_assert_int_eq(view.part[0].bytes, 20);
    ck_assert_ptr_eq(view.part[1].ptr, bytes + 1000);
    ck_assert_int_eq(view.part[1].bytes, 3);
    assert_ok(pl_packed_rows(&p, 16, 2, &view));        /* the ragged end */
    ck_assert_ptr_eq(view.part[0].ptr, bytes + 40);
    ck_assert_int_eq(view.part[0].bytes, 10);
    pl_packed inner;
    assert_ok(pl_packed_rows(&view, 0, 2, &inner));     /* a view of a view */
    ck_assert_ptr_eq(inner.part[0].ptr, bytes + 40);
    assert_ok(pl_packed_rows(&p, 0, 18, &view));
    ck_assert_int_eq(pl_packed_bytes(&view), pl_packed_bytes(&p));
    assert_ok(pl_packed_rows(&p, 8, 0, &view));
    ck_assert_int_eq(view.part[0].bytes, 0);
    const int64_t cut[][2] = { { 1, 4 }, { 0, 3 }, { 4, 6 }, { 14, 4 }, { 17, 1 } };
    for (int i = 0; i < PL_COUNT(cut); i++)
        assert_fails(pl_packed_rows(&p, cut[i][0], cut[i][1], &view), PL_E_INPUT, "group of 4 rows");
    p.granule = 0;                                      /* all rows share bytes */
    assert_fails(pl_packed_rows(&p, 0, 4, &view), PL_E_INPUT, "share bytes");
    assert_ok(pl_packed_rows(&p, 0, 18, &view));
    p = grouped(18, NULL);                              /* a promise stays one */
    assert_ok(pl_packed_rows(&p, 4, 4, &view));
    ck_assert_ptr_null(view.part[0].ptr);
    ck_assert_ptr_null(view.part[1].ptr);
}
END_TEST

/* Codes and scales of a matrix whose last blocks have fewer rows and columns. */
START_TEST(scaled_layout)
{
    static const struct { int32_t rows, cols; int scales, granule; int64_t codes_step, step, bytes; } known[] = {
        { 4, 8, PL_F32, 4, 84, 12, 36 }, { 4, 8, PL_F8_E8M0, 4, 84, 3, 9 }, { 1, 0, PL_BF16, 1, 21, 2, 20 },
        { 0, 0, PL_F32, 1, 21, 0, 4 },   { 0, 8, PL_F16, 1, 21, 0, 6 },     { 16, 32, PL_F32, 16, 336, 4, 4 },
    };
    pl_packed p, view;
    for (int i = 0; i < PL_COUNT(known); i++) {
        assert_ok(pl_packed_init(&p, fp8(PL_F8_E4M3, known[i].scales, known[i].rows, known[i].cols), 10, 21));
        ck_assert(p.nparts == 2 && p.part[0].role == PL_CODES && p.part[1].role == PL_SCALES);
        ck_assert_int_eq(p.granule, known[i].granule);
        ck_assert_int_eq(p.part[0].bytes, 210);
        ck_assert_int_eq(p.part[0].stride, known[i].codes_step);
        ck_assert_int_eq(p.part[1].bytes, known[i].bytes);
        ck_assert_int_eq(p.part[1].stride, known[i].step);
        ck_assert_int_eq(pl_packed_bytes(&p), 210 + known[i].bytes);
    }
    assert_ok(pl_packed_init(&p, fp8(PL_F8_E4M3, PL_F32, 4, 8), 10, 21));
    assert_ok(pl_packed_rows(&p, 4, 4, &view));
    ck_assert(view.part[0].bytes == 84 && view.part[1].bytes == 12);
    assert_ok(pl_packed_rows(&p, 8, 2, &view));         /* the ragged end has no more than there is */
    ck_assert(view.part[0].bytes == 42 && view.part[1].bytes == 12);
    assert_ok(pl_packed_rows(&p, 4, 6, &view));
    ck_assert(view.part[0].bytes == 126 && view.part[1].bytes == 24);
    assert_fails(pl_packed_rows(&p, 2, 4, &view), PL_E_INPUT, "group of 4 rows");
    assert_ok(pl_packed_init(&p, fp8(PL_F8_E4M3, PL_F32, 0, 8), 10, 21));
    assert_ok(pl_packed_rows(&p, 3, 2, &view));         /* scales for all rows */
    ck_assert(view.part[0].bytes == 42 && view.part[1].bytes == 12);
    assert_ok(pl_packed_init(&p, fp8(PL_F8_E4M3, PL_F32, 4, 8), 0, 0));
    ck_assert_int_eq(pl_packed_bytes(&p), 0);
    const pl_type type = fp8(PL_F8_E4M3, PL_F32, 128, 128), cells = fp8(PL_F8_E4M3, PL_F32, 1, 1);
    ck_assert_int_ne(pl_packed_init(&p, type, INT64_MAX / 2, 3), PL_OK);
    ck_assert_int_ne(pl_packed_init(&p, type, 1, INT64_MAX), PL_OK);
    ck_assert_int_ne(pl_packed_init(&p, cells, INT64_MAX / 2, 1), PL_OK);
    ck_assert_int_ne(pl_packed_init(&p, type, -1, 3), PL_OK);
    ck_assert_int_ne(pl_packed_init(&p, type, 3, -1), PL_OK);
    assert_fails(pl_packed_init(&p, fp8(PL_F8_E4M3, PL_F32, -1, 8), 4, 4), PL_E_WISH, "blocks of -1 x 8");
    assert_fails(pl_packed_init(&p, fp8(PL_F8_E4M3, PL_F32, 8, -1), 4, 4), PL_E_WISH, "blocks of 8 x -1");
}
END_TEST

/* A value is its code times the scale of its block, from any row on. */
START_TEST(scaled_decode)
{
    enum { ROWS = 11, COLS = 300 };
    static const int32_t blocks[][2] = { { 4, 128 }, { 3, 2 }, { 1, 0 }, { 0, 0 }, { 1, 7 }, { 16, 512 }, { 0, 5 } };
    static const int scales[] = { PL_F32, PL_BF16, PL_F8_E8M0 };
    static uint8_t codes[ROWS * COLS], factors[ROWS * COLS * 4];
    static float rows[ROWS * COLS], all[ROWS * COLS];
    for (int i = 0; i < PL_COUNT(codes); i++) codes[i] = (uint8_t)(i * 37 % 251);
    for (int k = 0; k < PL_COUNT(blocks) * PL_COUNT(scales); k++) {
        const int32_t *block = blocks[k / PL_COUNT(scales)];
        const pl_dtype *scale = &pl_dtypes[scales[k % PL_COUNT(scales)]];
        int codes_type = k % 2 ? PL_F8_E4M3 : PL_F8_E5M2;
        int64_t high = block[0] ? block[0] : ROWS, wide = block[1] ? block[1] : COLS;
        int64_t across = pl_ceil_div(COLS, wide);
        for (int i = 0; i < ROWS * COLS; i++) {
            float x = 0.01f * (float)(i % 77 + 1);
            if (scale->bytes == 4) memcpy(factors + 4 * i, &x, 4);
            else if (scale->bytes == 2) memcpy(factors + 2 * i, &(uint16_t){ pl_f32_to_bf16(x) }, 2);
            else factors[i] = (uint8_t)(100 + i % 40);
        }
        pl_packed p, view;
        assert_ok(pl_packed_init(&p, fp8(codes_type, scales[k % PL_COUNT(scales)], block[0], block[1]), ROWS, COLS));
        p.part[0].ptr = codes;
        p.part[1].ptr = factors;
        assert_ok(pl_packed_decode(&p, 0, ROWS, all, NULL));
        for (int64_t i = 0; i < ROWS * COLS; i++) {
            float code, factor;
            int64_t at = i / COLS / high * across + i % COLS / wide;
            pl_dtypes[codes_type].decode(codes + i, &code, 1);
            scale->decode(factors + at * scale->bytes, &factor, 1);
            float expected = code * factor;
            ck_assert(pl_f32_bits(all[i]) == pl_f32_bits(expected) || (expected != expected && all[i] != all[i]));
        }
        for (int64_t first = 0; first < ROWS; first += 2) {
            int64_t n = pl_min64(3, ROWS - first);
            assert_ok(pl_packed_decode(&p, first, n, rows, NULL));
            ck_assert_mem_eq(rows, all + first * COLS, (size_t)(n * COLS) * sizeof *rows);
        }
        int64_t last = (ROWS - 1) / p.granule * p.granule;
        assert_ok(pl_packed_rows(&p, last, ROWS - last, &view));
        assert_ok(pl_packed_decode(&view, 0, ROWS - last, rows, NULL));
        ck_assert_mem_eq(rows, all + last * COLS, (size_t)((ROWS - last) * COLS) * sizeof *rows);
    }
}
END_TEST

START_TEST(ranges_outside)
{
    float data[12] = { 0 }, rows[12];
    pl_packed p, view;
    assert_ok(pl_packed_init(&p, pl_type_plain(PL_F32), 4, 3));
    p.part[0].ptr = (const uint8_t *)data;
    const int64_t bad[][2] = { { 0, 5 }, { 4, 1 }, { 5, 0 }, { -1, 1 }, { 1, -1 }, { INT64_MAX, 1 },
                               { 1, INT64_MAX }, { INT64_MIN, INT64_MIN } };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        assert_fails(pl_packed_rows(&p, bad[i][0], bad[i][1], &view), PL_E_INPUT, "with 4 rows");
        assert_fails(pl_packed_decode(&p, bad[i][0], bad[i][1], rows, NULL), PL_E_INPUT, "with 4 rows");
    }
    assert_ok(pl_packed_decode(&p, 4, 0, rows, NULL));
}
END_TEST

START_TEST(decode_reads_rows)
{
    float data[12], rows[12];
    for (int i = 0; i < 12; i++) data[i] = (float)i - 3.5f;
    pl_packed p, view;
    assert_ok(pl_packed_init(&p, pl_type_plain(PL_F32), 4, 3));
    p.part[0].ptr = (const uint8_t *)data;
    assert_ok(pl_packed_decode(&p, 1, 2, rows, NULL));
    ck_assert_mem_eq(rows, data + 3, 6 * sizeof *rows);
    assert_ok(pl_packed_rows(&p, 2, 2, &view));
    assert_ok(pl_packed_decode(&view, 1, 1, rows, NULL));
    ck_assert_mem_eq(rows, data + 9, 3 * sizeof *rows);
}
END_TEST

START_TEST(order_known_answer)
{
    /* halves 0 1 2 3 of a head of 8 pair with 4 5 6 7 */
    const int64_t expected[] = { 0, 4, 1, 5, 2, 6, 3, 7, 8, 12 };
    for (int i = 0; i < PL_COUNT(expected); i++) ck_assert_int_eq(pl_order_source(i, 8), expected[i]);
    ck_assert_int_eq(pl_order_source(5, 0), 5);
}
END_TEST

static pl_tensor *named(const pl_source *s, int role, int *index)
{
    *index = pl_model_find(s->model, pl_id_make(role, 1, -1));
    ck_assert_int_ge(*index, 0);
    return &s->model->tensor[*index];
}

/* Rows wanted in either order from a source in either order, cut anywhere, as f32 and as stored. */
START_TEST(inputs_in_order)
{
    pl_arena *scratch;
    assert_ok(pl_arena_create(&scratch));
    for (int stored = 0; stored < 2; stored++) {
        pl_source *s = fake_model_create(&(fake_options){ .dtype = PL_F16, .interleaved = stored });
        int t;
        pl_tensor *q = named(s, PL_ATTN_Q, &t);
        ck_assert_int_eq(q->order, stored ? 16 : 0);
        for (int wanted = 0; wanted < 2; wanted++) {
            pl_input in = { .source = s, .tensor = t, .rows = q->rows, .cols = q->cols,
                            .order = wanted ? 16 : 0, .name = q->name };
            float *rows = PL_NEW(scratch, float, q->rows * q->cols);
            int wrong = 0;
            for (int64_t first = 0, n = 1; first < q->rows; first += n, n = n * 5 % 7 + 1) {
                n = pl_min64(n, q->rows - first);
                pl_packed packed;
                assert_ok(pl_rows(&in, first, n, rows, scratch));
                assert_ok(pl_rows_packed(&in, first, n, &packed, scratch));
                ck_assert_int_eq(packed.rows, n);
                ck_assert_int_eq(packed.order, in.order);
                for (int64_t r = 0; r < n; r++) {
                    for (int64_t c = 0; c < q->cols; c++) {
                        float right = fake_model_value(s, t, pl_order_source(first + r, in.order), c), other;
                        pl_f16_to_f32_row(packed.part[0].ptr + (r * q->cols + c) * 2, &other, 1);
                        wrong += rows[r * q->cols + c] != right || other != right;
                    }
                }
            }
            ck_assert_int_eq(wrong, 0);
        }
        pl_packed packed;
        pl_input other = { .source = s, .tensor = t, .rows = q->rows, .cols = q->cols, .order = stored ? 0 : 16 };
        q->type = fp8(PL_F8_E4M3, PL_F32, 4, 4);
        assert_fails(pl_rows_packed(&other, 0, 4, &packed, scratch), PL_E_WISH, "cannot be put into another order");
        pl_source_close(s);
    }
    pl_arena_destroy(scratch);
}
END_TEST

START_TEST(inputs_from_memory)
{
    float memory[8 * 2], rows[16];
    for (int i = 0; i < 16; i++) memory[i] = (float)i;
    pl_input in = { .memory = memory, .rows = 8, .cols = 2, .order = 4, .name = "m" };
    pl_arena *scratch;
    assert_ok(pl_arena_create(&scratch));
    assert_ok(pl_rows(&in, 4, 3, rows, scratch));
    const float expected[] = { 8, 9, 12, 13, 10, 11 };      /* rows 4 6 5 */
    ck_assert_mem_eq(rows, expected, sizeof expected);
    in.order = 0;
    assert_fails(pl_rows(&in, 7, 2, rows, scratch), PL_E_INPUT, "2 rows from row 7 of 8");
    assert_fails(pl_rows(&in, -1, 2, rows, scratch), PL_E_INPUT, "of 8");
    assert_fails(pl_rows(&in, INT64_MAX, 2, rows, scratch), PL_E_INPUT, "of 8");
    pl_arena_destroy(scratch);
}
END_TEST

START_TEST(sources_check_ranges)
{
    pl_source *s = fake_model_create(&(fake_options){ 0 });
    float out[64];
    pl_packed p;
    const struct { int tensor; int64_t first, count; const char *part; } bad[] = {
        { -1, 0, 1, "tensor -1 of" }, { 1 << 20, 0, 1, "tensor 1048576 of" }, { 0, 100, 1, "with 100 rows" },
        { 0, -1, 1, "with 100 rows" }, { 0, 1, -1, "with 100 rows" }, { 0, INT64_MAX, 5, "with 100 rows" },
    };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        assert_fails(pl_source_rows(s, bad[i].tensor, bad[i].first, bad[i].count, out, s->arena), PL_E_INPUT, bad[i].part);
        assert_fails(pl_source_packed(s, bad[i].tensor, bad[i].first, bad[i].count, &p, s->arena), PL_E_INPUT, bad[i].part);
        pl_source_advise(s, bad[i].tensor, bad[i].first, bad[i].count);
    }
    assert_ok(pl_source_rows(s, 0, 99, 1, out, s->arena));
    pl_source_close(s);
    pl_source_close(NULL);
}
END_TEST

/* ---- finding things by name and identity ---- */

static pl_status is_mine(const char *path, bool *mine)
{
    *mine = strstr(path, "mine") != NULL;
    return strstr(path, "broken") ? pl_fail(PL_E_IO, "%s: cannot be looked at", path) : PL_OK;
}
static pl_status is_never(const char *path, bool *mine) { return PL_E_INPUT; }
static int closed;
static pl_status open_badly(pl_source *s, const char *path, const pl_open_options *options)
{
    return pl_fail(PL_E_INPUT, "%s: broken", path);
}
static void count_close(pl_source *s) { closed++; }

START_TEST(opening)
{
    const pl_source_ops never = { .name = "never", .probe = is_never };
    const pl_source_ops bad = { .name = "bad", .probe = is_mine, .open = open_badly, .close = count_close };
    const pl_source_ops *formats[] = { &never, &bad, NULL };
    const pl_open_options mapped = { .how = PL_OPEN_MAP };
    pl_source *s = (void *)1;
    assert_fails(pl_source_open(formats, temp_path("none"), &mapped, &s), PL_E_INPUT, "no such file");
    ck_assert_ptr_null(s);
    temp_write("other", "", 0);
    assert_fails(pl_source_open(formats, temp_path("other"), &mapped, &s), PL_E_INPUT, "is no model");
    temp_write("mine", "", 0);
    assert_fails(pl_source_open(formats, temp_path("mine"), &mapped, &s), PL_E_INPUT, "mine: broken");
    ck_assert_int_eq(closed, 1);
    temp_write("broken", "", 0);
    assert_fails(pl_source_open(formats, temp_path("broken"), &mapped, &s), PL_E_IO, "cannot be looked at");
    const pl_open_options odd = { .pre = "none-such" };
    assert_fails(pl_source_open(formats, temp_path("mine"), &odd, &s), PL_E_WISH, "'none-such'; known are gpt-2, ");
    ck_assert_int_eq(closed, 1);
    for (int n = 0; n < 5; n++) {
        pl_mem_fail_after(n);
        assert_fails(pl_source_open(formats, temp_path("mine"), &mapped, &s), PL_E_MEMORY, "out of memory");
        pl_mem_fail_after(-1);
        ck_assert_ptr_null(s);
    }
}
END_TEST

START_TEST(roles)
{
    for (int i = 0; i < PL_BIAS + PL_ROLES; i++)
        if (strcmp(pl_role_name(i), "?")) ck_assert_int_eq(pl_role_find(pl_role_name(i)), i);
    for (int i = 0; i < PL_ROLES; i++) ck_assert_str_ne(pl_role_name(i), "?");
    ck_assert_str_eq(pl_role_name(PL_ATTN_Q + PL_BIAS), "attn_q.bias");
    const int none[] = { -1, PL_ROLES, PL_BIAS - 1, PL_BIAS + PL_ROLES, INT_MAX };
    for (int i = 0; i < PL_COUNT(none); i++) ck_assert_str_eq(pl_role_name(none[i]), "?");
    ck_assert_int_eq(pl_role_find("?"), -1);
    ck_assert_int_eq(pl_role_find("attn_norm.bias"), PL_ATTN_NORM + PL_BIAS);
}
END_TEST

START_TEST(model_index)
{
    pl_source *s = fake_model_create(&(fake_options){ .layers = 5 });
    const pl_model *m = s->model;
    for (int i = 0; i < m->tensors; i++) ck_assert_int_eq(pl_model_find(m, m->tensor[i].id), i);
    ck_assert_int_eq(pl_model_find(m, pl_id_make(PL_ATTN_Q, 5, -1)), -1);
    ck_assert_int_eq(pl_model_find(m, pl_id_make(PL_ATTN_Q, 4, 0)), -1);
    ck_assert_int_eq(pl_model_find(m, pl_id_make(-1, -1, -1)), -1);
    s->model->tensor[7].id = s->model->tensor[3].id;
    assert_fails(pl_model_index(s->model, s->arena), PL_E_INPUT, "play the same role");
    pl_model empty = { 0 };
    assert_ok(pl_model_index(&empty, s->arena));
    ck_assert_int_eq(pl_model_find(&empty, pl_id_make(0, 0, 0)), -1);
    pl_source_close(s);
}
END_TEST

START_TEST(registries)
{
    const pl_method rtn = { .name = "rtn" }, *methods[] = { &rtn, NULL };
    ck_assert_ptr_eq(pl_method_find(methods, "rtn"), &rtn);
    ck_assert_ptr_null(pl_method_find(methods, "RTN"));
    const pl_sink_ops *sinks[] = { &fake_sink, NULL };
    ck_assert_ptr_eq(pl_sink_find(sinks, "fake"), &fake_sink);
    ck_assert_ptr_null(pl_sink_find(sinks, ""));
    pl_sink *sink = (void *)1;
    for (int n = 0; n < 2; n++) {
        pl_mem_fail_after(n);
        ck_assert_int_eq(pl_sink_create(&fake_sink, &sink), PL_E_MEMORY);
        pl_mem_fail_after(-1);
        ck_assert_ptr_null(sink);
    }
    assert_ok(pl_sink_create(&fake_sink, &sink));
    pl_sink_close(sink);
    pl_sink_close(NULL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        type_names, scaled_names, scaled_blocks, layout, cuts_on_granules, scaled_layout, scaled_decode,
        ranges_outside, decode_reads_rows, order_known_answer, inputs_in_order, inputs_from_memory, sources_check_ranges,
        opening, roles, model_index, registries,
    };
    return run_suite("packed", tests, PL_COUNT(tests));
}
