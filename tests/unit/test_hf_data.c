/* test_hf_data.c: weights that lie otherwise than the model wants them: transposed, shifted, computed. */
#include "formats/hf_data.h"
#include "core/half.h"
#include "tests/unit/st_fixture.h"
#include "tests/unit/suite.h"

enum { ROWS = 3000, COLS = 70 };    /* so long that windows are read in pieces, in more than one slab */

typedef struct model {
    pl_source source;
    pl_model model;
    pl_hf_state state;
    pl_hf_weight weight;
    pl_tensor tensor;
    const uint8_t *map;
} model;

/* Element of a tensor of one dtype: exact in all of them. */
static float element(int64_t row, int64_t col) { return (float)((row * 31 + col * 7) % 127) / 8; }

/* One tensor "w" [rows][cols], stored as dtype, as the table row says. */
static void open_tensor(model *m, int dtype, int64_t rows, int64_t cols, bool transposed, float offset,
                        bool mapped)
{
    const pl_dtype *type = &pl_dtypes[dtype];
    int64_t bytes = rows * cols * type->bytes, high = transposed ? cols : rows, wide = transposed ? rows : cols;
    uint8_t *data = calloc(1, (size_t)bytes);
    char header[160];
    ck_assert_ptr_nonnull(data);
    for (int64_t i = 0; i < rows * cols; i++) {
        float x = transposed ? element(i % wide, i / wide) : element(i / wide, i % wide);
        uint16_t half = dtype == PL_F16 ? pl_f32_to_f16(x) : pl_f32_to_bf16(x);
        if (dtype == PL_F32) memcpy(data + 4 * i, &x, 4);
        else if (type->bytes == 2) memcpy(data + 2 * i, &half, 2);
        else data[i] = (uint8_t)(x * 8);
    }
    snprintf(header, sizeof header, "{\"w\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[0,%lld]}}",
             type->safetensors, (int)high, (int)wide, (long long)bytes);
    save_st("w.safetensors", header, data, (size_t)bytes);
    free(data);
    *m = (model){ 0 };
    ck_assert_int_eq(pl_st_open_file(in("w.safetensors"), arena, &m->state.set), PL_OK);
    if (mapped) {
        ck_assert_int_eq(pl_file_map(m->state.set.file[0], &m->map), PL_OK);
        m->state.map = &m->map;
    }
    m->weight = (pl_hf_weight){ .from = &m->state.set.tensor[0], .dtype = type, .transposed = transposed,
                                .offset = offset };
    m->tensor = (pl_tensor){ .name = "w", .rows = rows, .cols = cols,
                             .type = pl_type_plain(offset != 0.0f ? PL_F32 : dtype) };
    m->state.weight = &m->weight;
    m->model = (pl_model){ .tensor = &m->tensor, .tensors = 1 };
    m->source = (pl_source){ .state = &m->state, .model = &m->model };
}

/* Rows first .. first+count-1, as f32 and as packed, against what was written. */
static void ck_rows(model *m, int64_t first, int64_t count)
{
    int64_t cols = m->tensor.cols;
    pl_arena_mark mark = pl_arena_save(arena);
    float *rows = PL_NEW(arena, float, count * cols), *decoded = PL_NEW(arena, float, count * cols);
    pl_packed packed;
    ck_assert_int_eq(pl_hf_rows(&m->source, 0, first, count, rows, arena), PL_OK);
    ck_assert_int_eq(pl_hf_packed(&m->source, 0, first, count, &packed, arena), PL_OK);
    ck_assert(packed.rows == count && packed.cols == cols && pl_type_equal(&packed.type, &m->tensor.type));
    ck_assert_int_eq(pl_packed_decode(&packed, 0, count, decoded, NULL), PL_OK);
    int wrong = 0;
    for (int64_t r = 0; r < count; r++)
        for (int64_t c = 0; c < cols; c++) {
            float expected = element(first + r, c);
            if (m->weight.dtype->bytes == 1)
                m->weight.dtype->decode(&(uint8_t){ (uint8_t)(expected * 8) }, &expected, 1);
            expected += m->weight.offset;
            wrong += rows[r * cols + c] != expected || decoded[r * cols + c] != expected;
        }
    ck_assert_int_eq(wrong, 0);
    pl_arena_restore(arena, mark);
}

/* Narrow ranges are read piece by piece, wide ones with what lies between; the map needs neither. */
START_TEST(transposed)
{
    static const int dtypes[] = { PL_F32, PL_F16, PL_BF16, PL_F8_E4M3 };
    static const int64_t ranges[][2] = { { 0, 1 }, { 7, 100 }, { 1400, 1600 }, { 2999, 1 }, { 0, ROWS }, { 5, 0 } };
    for (int i = 0; i < 2 * PL_COUNT(dtypes); i++) {
        model m;
        open_tensor(&m, dtypes[i / 2], ROWS, COLS, true, 0, i % 2);
        for (int k = 0; k < PL_COUNT(ranges); k++) {
            pl_hf_advise(&m.source, 0, ranges[k][0], ranges[k][1]);
            ck_rows(&m, ranges[k][0], ranges[k][1]);
        }
        pl_st_close(&m.state.set);
        open_tensor(&m, dtypes[i / 2], 3, 9000, true, 0, i % 2);       /* many short stored rows */
        ck_rows(&m, 1, 2);
        ck_rows(&m, 0, 3);
        pl_st_close(&m.state.set);
    }
}
END_TEST

/* Norms that are stored as w - 1: f32 whatever the file has, in rows and packed alike. */
START_TEST(shifted)
{
    static const int dtypes[] = { PL_F32, PL_F16, PL_BF16 };
    for (int i = 0; i < 4 * PL_COUNT(dtypes); i++) {
        model m;
        open_tensor(&m, dtypes[i / 4], 50, i & 1 ? 6 : 1, i & 1, 1.0f, i & 2);
        for (int64_t first = 0; first < 50; first += 7) {
            pl_hf_advise(&m.source, 0, first, pl_min64(7, 50 - first));
            ck_rows(&m, first, pl_min64(7, 50 - first));
        }
        pl_st_close(&m.state.set);
    }
}
END_TEST

/* Values that are in no file. */
START_TEST(computed)
{
    static const float values[] = { 1, 2, 4, 8, 16 };
    model m = { .weight = { .values = values },
                .tensor = { .name = "w", .rows = 5, .cols = 1, .type = pl_type_plain(PL_F32) } };
    m.state.weight = &m.weight;
    m.model = (pl_model){ .tensor = &m.tensor, .tensors = 1 };
    m.source = (pl_source){ .state = &m.state, .model = &m.model };
    float rows[3];
    pl_packed packed;
    pl_hf_advise(&m.source, 0, 1, 3);
    ck_assert_int_eq(pl_hf_rows(&m.source, 0, 1, 3, rows, arena), PL_OK);
    ck_assert_mem_eq(rows, values + 1, sizeof rows);
    ck_assert_int_eq(pl_hf_packed(&m.source, 0, 2, 3, &packed, arena), PL_OK);
    ck_assert_mem_eq(packed.part[0].ptr, values + 2, sizeof rows);
}
END_TEST

/* A file that shrinks while its pieces are read. */
START_TEST(shrinks)
{
    model m;
    float rows[COLS];
    open_tensor(&m, PL_F32, ROWS, COLS, true, 0, false);
    ck_assert_int_eq(truncate(in("w.safetensors"), 100000), 0);
    ck_assert_int_eq(pl_hf_rows(&m.source, 0, 0, 1, rows, arena), PL_E_INPUT);
    ck_sentence("w.safetensors");
    pl_st_close(&m.state.set);
}
END_TEST

START_TEST(out_of_memory)
{
    for (int how = 0; how < 3; how++) {
        model m;
        pl_packed packed;
        pl_status code = PL_E_MEMORY;
        int failures = 0;
        open_tensor(&m, PL_F32, ROWS, how == 2 ? 1 : COLS, how != 2, how == 2 ? 1.0f : 0.0f, how == 1);
        for (; code == PL_E_MEMORY; failures++) {
            pl_arena *scratch;
            ck_assert_int_eq(pl_arena_create(&scratch), PL_OK);
            pl_mem_fail_after(failures);
            code = pl_hf_packed(&m.source, 0, 0, 1000, &packed, scratch);
            pl_mem_fail_after(-1);
            pl_arena_destroy(scratch);
        }
        ck_assert_int_eq(code, PL_OK);
        ck_assert_int_gt(failures, 1);
        pl_st_close(&m.state.set);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        transposed, shifted, computed, shrinks, out_of_memory,
    };
    return run_cases("hf_data", setup, teardown, tests, PL_COUNT(tests));
}
