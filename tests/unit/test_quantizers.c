/* test_quantizers.c: grids against their own formulas and bounds; the methods rtn and copy. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/rng.h"
#include "quantizers/encoders.h"
#include "quantizers/iq_near.h"
#include "quantizers/registry.h"

static pl_arena *arena;

static void setup(void) { ck_assert_int_eq(pl_arena_create(&arena), PL_OK); }
static void teardown(void) { pl_arena_destroy(arena); }

static pl_type type_of(const pl_grid *grid)
{
    pl_type type;
    ck_assert_int_eq(pl_type_parse(grid->name, &type), PL_OK);
    return type;
}

static void fill_normal(float *w, int n, uint64_t key, float scale)
{
    for (int i = 0; i < n; i++) w[i] = scale * (float)pl_rng_normal(3, key, (uint64_t)i);
}

/* ---- grids ---- */

START_TEST(spans)
{
    for (int g = 0; pl_grids[g]; g++) {
        pl_type type = type_of(pl_grids[g]), none = { 0 };
        ck_assert_int_eq(pl_grids[g]->span(&type, 64), 32);
        ck_assert_int_eq(pl_grids[g]->span(&type, 40), 0);
        ck_assert_int_eq(pl_grids[g]->span(&none, 64), 0);
        for (int t = 0; t < PL_DTYPES; t++) {
            pl_type other = pl_type_plain(t);
            if (!pl_type_equal(&other, &type)) ck_assert_int_eq(pl_grids[g]->span(&other, 64), 0);
        }
        ck_assert_ptr_eq(pl_grid_find(pl_grids, &type, 32), pl_grids[g]);
    }
}
END_TEST

/* A ramp from -4 to 3.75 by 1/4 in each type, worked out by hand. */
START_TEST(known_bytes)
{
    static const uint8_t q4_0[18] = {
        0x00, 0x38, 0x80, 0x91, 0x91, 0xa2, 0xa2, 0xb3, 0xb3, 0xc4, 0xc4, 0xd5, 0xd5, 0xe6,
        0xe6, 0xf7, 0xf7, 0xf8
    };
    static const uint8_t q5_0[22] = {
        0x00, 0x34, 0x00, 0x00, 0xff, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
        0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff
    };
    static const uint8_t q5_1[24] = {
        0x00, 0x34, 0x00, 0xc4, 0x00, 0x00, 0xff, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
        0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff
    };
    float ramp[32], wide[32];
    uint8_t out[34];
    for (int j = 0; j < 32; j++) {
        ramp[j] = (float)(j - 16) / 4;
        wide[j] = j == 0 ? 127.0f : j % 2 ? (float)j / 2 : -(float)j;
    }
    pl_type type = pl_type_plain(PL_Q5_0);
    pl_grid_q5_0.encode(&type, ramp, 32, out);
    ck_assert_mem_eq(out, q5_0, sizeof q5_0);
    type = pl_type_plain(PL_Q5_1);
    pl_grid_q5_1.encode(&type, ramp, 32, out);
    ck_assert_mem_eq(out, q5_1, sizeof q5_1);
    type = pl_type_plain(PL_Q4_0);
    pl_grid_q4_0.encode(&type, ramp, 32, out);
    ck_assert_mem_eq(out, q4_0, sizeof q4_0);
    type = pl_type_plain(PL_Q8_0);
    pl_grid_q8_0.encode(&type, wide, 32, out);      /* d = 1: halves go away from zero */
    ck_assert_uint_eq(out[0] | out[1] << 8, 0x3c00);
    for (int j = 0; j < 32; j++)
        ck_assert_int_eq((int8_t)out[2 + j], j == 0 ? 127 : j % 2 ? (j + 1) / 2 : -j);
}
END_TEST

/* What a block of zeros gives; -0 counts as 0 where only the scale's sign could tell. */
START_TEST(zero_blocks)
{
    static const struct { int type; uint8_t fields[4]; int fields_bytes; float first; } known[] = {
        { PL_Q8_0, { 0x00, 0x00 }, 2, -0.0f }, { PL_Q4_0, { 0x00, 0x80 }, 2, -0.0f },
        { PL_Q5_0, { 0x00, 0x80 }, 2, -0.0f }, { PL_Q4_1, { 0, 0, 0x00, 0x80 }, 4, -0.0f },
        { PL_Q5_1, { 0, 0, 0x00, 0x80 }, 4, -0.0f }, { PL_Q4_1, { 0, 0, 0, 0 }, 4, 0.0f },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        pl_type type = pl_type_plain(known[i].type);
        float w[32] = { 0 }, y[32];
        uint8_t out[34];
        w[0] = known[i].first;
        pl_grid_find(pl_grids, &type, 32)->encode(&type, w, 32, out);
        ck_assert_mem_eq(out, known[i].fields, known[i].fields_bytes);
        pl_decode(type.element, out, y, 32);
        for (int j = 0; j < 32; j++) ck_assert_msg(y[j] == 0.0f, "%s", type.element->name);
    }
}
END_TEST

START_TEST(pack_is_lossless)
{
    for (int g = 0; pl_grids[g]; g++) {
        pl_type type = type_of(pl_grids[g]);
        for (uint64_t b = 0; b < 2000; b++) {
            uint8_t in[64], out[64], codes[32];
            pl_fit fit;
            for (uint64_t k = 0; k < 64; k++) in[k] = (uint8_t)pl_rng_bits(4, b, k);
            pl_grids[g]->unpack(&type, in, 32, codes, &fit);
            for (int j = 0; j < 32; j++) ck_assert_int_lt(codes[j], fit.levels);
            pl_grids[g]->pack(&type, codes, &fit, 32, out);
            ck_assert_mem_eq(in, out, (size_t)type.element->bytes);
            float y[32];
            pl_decode(type.element, in, y, 32);
            for (int j = 0; j < 32 && isfinite(fit.scale[0]) && isfinite(fit.offset[0]); j++)
                ck_assert_msg(fit.scale[0] * (float)codes[j] + fit.offset[0] == y[j], "%s block %d",
                              type.element->name, (int)b);
        }
    }
}
END_TEST

/* snap's value is the decoder's, and no code of the grid lies much nearer than the one it chose. */
START_TEST(snap_agrees_with_decode)
{
    for (int g = 0; pl_grids[g]; g++) {
        pl_type type = type_of(pl_grids[g]);
        for (uint64_t b = 0; b < 1000; b++) {
            float w[32], y[32], value[32];
            uint8_t codes[32], out[34];
            pl_fit fit;
            fill_normal(w, 32, b, 0.05f);
            pl_grids[g]->fit(&type, 1.0f, w, NULL, NULL, 32, &fit);
            for (int j = 0; j < 32; j++) value[j] = pl_grids[g]->snap(&fit, j, w[j], &codes[j]);
            pl_grids[g]->pack(&type, codes, &fit, 32, out);
            pl_decode(type.element, out, y, 32);
            for (int j = 0; j < 32; j++) {
                ck_assert_msg(value[j] == y[j], "%s", type.element->name);
                float nearest = INFINITY;
                for (int c = 0; c < fit.levels; c++)
                    nearest = fminf(nearest, fabsf(fit.scale[0] * (float)c + fit.offset[0] - w[j]));
                /* the scale was rounded to 11 bits after the choice */
                float slack = (fabsf(fit.scale[0]) * (float)fit.levels + fabsf(w[j])) * 0x1p-10f;
                ck_assert_float_le(fabsf(y[j] - w[j]), nearest + slack);
            }
        }
    }
}
END_TEST

START_TEST(snap_outside_the_range)
{
    for (int g = 0; pl_grids[g]; g++) {
        pl_type type = type_of(pl_grids[g]);
        float w[32];
        uint8_t code;
        pl_fit fit;
        fill_normal(w, 32, 9, 1.0f);
        w[3] = -5.0f;                       /* so that the scale of q4_0 is positive */
        pl_grids[g]->fit(&type, 1.0f, w, NULL, NULL, 32, &fit);
        pl_grids[g]->snap(&fit, 0, 1e30f, &code);
        ck_assert_int_eq(code, fit.levels - 1);
        pl_grids[g]->snap(&fit, 0, -1e30f, &code);
        ck_assert_int_eq(code, 0);
    }
}
END_TEST

/* |w - decoded|: half a step, a whole one at q4_0's and q5_0's short end; and d, m were rounded. */
START_TEST(error_bounds)
{
    for (int g = 0; pl_grids[g]; g++) {
        pl_type type = type_of(pl_grids[g]);
        for (uint64_t b = 0; b < 3000; b++) {
            float w[32], y[32];
            uint8_t out[34], codes[32];
            pl_fit fit;
            fill_normal(w, 32, b, ldexpf(1.0f, (int)(b % 20) - 10));
            pl_grids[g]->encode(&type, w, 32, out);
            pl_grids[g]->unpack(&type, out, 32, codes, &fit);
            pl_decode(type.element, out, y, 32);
            double d = fabs((double)fit.scale[0]), m = fabs((double)fit.offset[0]);
            bool short_end = pl_grids[g] == &pl_grid_q4_0 || pl_grids[g] == &pl_grid_q5_0;
            for (int j = 0; j < 32; j++) {
                bool last = short_end && codes[j] == fit.levels - 1;
                double steps = last ? 1.0 : 0.5;
                double bound = steps * d * (1 + 0x1p-17) + (d * fit.levels + m) * 0x1p-11;
                ck_assert_double_le(fabs((double)w[j] - (double)y[j]), bound);
            }
        }
    }
}
END_TEST

/* Encoding decoded values again changes nothing. */
START_TEST(idempotent)
{
    for (int g = 0; pl_grids[g]; g++) {
        pl_type type = type_of(pl_grids[g]);
        float w[3200], y[3200], z[3200];
        uint8_t out[3400];
        fill_normal(w, 3200, 77, 0.3f);
        pl_grids[g]->encode(&type, w, 3200, out);
        pl_decode(type.element, out, y, 3200);
        pl_grids[g]->encode(&type, y, 3200, out);
        pl_decode(type.element, out, z, 3200);
        ck_assert_mem_eq(y, z, sizeof y);
    }
}
END_TEST

/* q8_0 rounds as roundf does, also beside the middle between two integers. */
START_TEST(half_away_from_zero)
{
    pl_fit fit = { .group = 32, .levels = 256, .inverse = 1.0f };
    fit.scale[0] = 1.0f;
    fit.offset[0] = -128.0f;
    for (int n = -254; n <= 254; n++) {
        float x = (float)n / 2, around[3] = { nextafterf(x, -1e9f), x, nextafterf(x, 1e9f) };
        for (int k = 0; k < 3; k++) {
            uint8_t code;
            float value = pl_grid_q8_0.snap(&fit, 0, around[k], &code);
            ck_assert_msg(value == roundf(around[k]), "%a", (double)around[k]);
        }
    }
}
END_TEST

/* ---- methods ---- */

/* A source over one matrix in memory, stored as `type` in row order `order`. */
typedef struct stored { const uint8_t *bytes; } stored;

static pl_status stored_packed(pl_source *s, int tensor, int64_t first, int64_t count,
                               pl_packed *out, pl_arena *scratch)
{
    const pl_tensor *t = &s->model->tensor[tensor];
    PL_TRY(pl_packed_init(out, t->type, count, t->cols));
    out->part[0].ptr = ((stored *)s->state)->bytes + first * out->part[0].stride;
    return PL_OK;
}
static pl_status stored_rows(pl_source *s, int tensor, int64_t first, int64_t count, float *out,
                             pl_arena *scratch)
{
    pl_packed rows;
    PL_TRY(stored_packed(s, tensor, first, count, &rows, scratch));
    return pl_packed_decode(&rows, 0, count, out, scratch);
}
static const pl_source_ops stored_ops = {
    .name = "stored", .rows = stored_rows, .packed = stored_packed
};

static pl_step step_for(const pl_method *method, pl_type type, int64_t rows, int64_t cols)
{
    pl_step step = { .method = method, .grid = pl_grid_find(pl_grids, &type, cols) };
    ck_assert_int_eq(pl_packed_init(&step.out, type, rows, cols), PL_OK);
    return step;
}

/* Encodes rows first .. first+count-1 into `out`. */
static pl_status run(const pl_step *step, const pl_input *in, int64_t first, int64_t count,
                     uint8_t *out)
{
    pl_packed rows;
    ck_assert_int_eq(pl_packed_init(&rows, step->out.type, count, step->out.cols), PL_OK);
    rows.part[0].ptr = out;
    return step->method->encode(step, in, first, count, &rows, arena);
}

enum { ROWS = 300, COLS = 256 };           /* more than one strip */
static float matrix[ROWS * COLS];
static uint8_t got[ROWS * COLS * 4], expected[ROWS * COLS * 4];

static pl_input input(int32_t order)
{
    fill_normal(matrix, ROWS * COLS, 5, 0.1f);
    return (pl_input){ .memory = matrix, .rows = ROWS, .cols = COLS, .order = order, .name = "w" };
}

static void encode_plainly(const pl_type *type, const float *w, int64_t n, uint8_t *out)
{
    const pl_grid *grid = pl_grid_find(pl_grids, type, n);
    pl_row_encoders plain;
    pl_row_encoders_init(&plain, 0);
    ck_assert_int_eq(pl_iq_prepare((int)(type->element - pl_dtypes)), PL_OK);
    pl_row_encoder encoder = plain.encode[type->element - pl_dtypes];
    if (grid) pl_grid_encode(grid, type, w, n, out);
    else if (encoder) encoder(w, NULL, 1, n, out);
    else if (type->element == &pl_dtypes[PL_F32]) memcpy(out, w, (size_t)n * 4);
    for (int64_t i = 0; i < n && type->element->bytes == 2; i++) {
        bool f16 = type->element == &pl_dtypes[PL_F16];
        uint16_t h = f16 ? pl_f32_to_f16(w[i]) : pl_f32_to_bf16(w[i]);
        memcpy(out + 2 * i, &h, 2);
    }
}

START_TEST(rtn_every_type)
{
    pl_tensor from = { .rows = ROWS, .cols = COLS, .type = pl_type_plain(PL_BF16) };
    for (int t = 0; t < PL_DTYPES; t++) {
        pl_type type = pl_type_plain(t);
        pl_step step = step_for(&pl_method_rtn, type, ROWS, COLS);
        ck_assert(pl_method_rtn.accepts(&step, &from));
        ck_assert_int_ge(pl_method_rtn.scratch(&step, &from, ROWS), (1 << 15) / COLS * COLS * 6);
        pl_input in = input(0);
        encode_plainly(&type, matrix, ROWS * COLS, expected);
        int64_t row = step.out.part[0].stride;
        memset(got, 0, sizeof got);
        ck_assert_int_eq(run(&step, &in, 0, ROWS, got), PL_OK);
        ck_assert_mem_eq(got, expected, (size_t)(ROWS * row));
        ck_assert_int_eq(run(&step, &in, 7, 90, got + 1), PL_OK);
        ck_assert_mem_eq(got + 1, expected + 7 * row, (size_t)(90 * row));
    }
}
END_TEST

START_TEST(rtn_reorders_rows)
{
    pl_input in = input(20);
    pl_type type = pl_type_plain(PL_Q8_0);
    pl_step step = step_for(&pl_method_rtn, type, ROWS, COLS);
    ck_assert_int_eq(run(&step, &in, 0, ROWS, got), PL_OK);
    size_t row = (size_t)step.out.part[0].stride;
    for (int64_t r = 0; r < ROWS; r++) {
        encode_plainly(&type, matrix + pl_order_source(r, 20) * COLS, COLS, expected);
        ck_assert_mem_eq(got + (size_t)r * row, expected, row);
    }
}
END_TEST

START_TEST(rtn_refuses_what_is_not_finite)
{
    static const struct { float x; const char *text; } bad[] = {
        { INFINITY, "tensor 'w' row 295 column 33 is inf" }, { -INFINITY, "column 33 is -inf" },
        { NAN, "tensor 'w' row 295 column 33 is nan" },
    };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        for (int t = 0; t < PL_DTYPES; t++) {
            pl_step step = step_for(&pl_method_rtn, pl_type_plain(t), ROWS, COLS);
            pl_input in = input(0);
            matrix[295 * COLS + 33] = bad[i].x;
            ck_assert_int_eq(run(&step, &in, 5, ROWS - 5, got), PL_E_INPUT);
            ck_assert_ptr_nonnull(strstr(pl_error(), bad[i].text));
        }
    }
    pl_step step = step_for(&pl_method_rtn, pl_type_plain(PL_Q8_0), ROWS, COLS);
    pl_input in = input(20);
    matrix[pl_order_source(17, 20) * COLS] = NAN;   /* named as the checkpoint counts its rows */
    ck_assert_int_eq(run(&step, &in, 10, 10, got), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "row 18 column 0"));
}
END_TEST

START_TEST(rtn_refuses_what_f16_cannot_hold)
{
    pl_step step = step_for(&pl_method_rtn, pl_type_plain(PL_F16), ROWS, COLS);
    pl_input in = input(0);
    matrix[250 * COLS + 1] = -65520.0f;
    ck_assert_int_eq(run(&step, &in, 0, ROWS, got), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "row 250 column 1: -65520"));
    ck_assert_ptr_nonnull(strstr(pl_error(), "bf16"));
    matrix[250 * COLS + 1] = -65519.0f;
    ck_assert_int_eq(run(&step, &in, 0, ROWS, got), PL_OK);
    for (int g = 0; pl_grids[g]; g++) {
        step = step_for(&pl_method_rtn, type_of(pl_grids[g]), ROWS, COLS);
        in = input(0);
        matrix[250 * COLS + 65] = -1e30f;
        ck_assert_int_eq(run(&step, &in, 0, ROWS, got), PL_E_INPUT);
        ck_assert_ptr_nonnull(strstr(pl_error(), "row 250 columns 64 to 95"));
        ck_assert_ptr_nonnull(strstr(pl_error(), "-1e+30"));
    }
    /* searches that overflow end in zeros: the value itself is refused */
    static const int searched[] = { PL_Q2_K, PL_Q3_K, PL_Q4_K, PL_Q5_K, PL_Q6_K, PL_TQ1_0, PL_Q2_0, PL_NVFP4 };
    for (int t = 0; t < PL_COUNT(searched); t++) {
        step = step_for(&pl_method_rtn, pl_type_plain(searched[t]), ROWS, COLS);
        in = input(0);
        matrix[250 * COLS + 65] = -1e30f;
        ck_assert_int_eq(run(&step, &in, 0, ROWS, got), PL_E_INPUT);
        ck_assert_ptr_nonnull(strstr(pl_error(), "row 250 columns"));
        ck_assert_ptr_nonnull(strstr(pl_error(), "-1e+30"));
    }
    step = step_for(&pl_method_rtn, pl_type_plain(PL_BF16), ROWS, COLS);
    in = input(0);
    matrix[250 * COLS + 1] = 1e30f;
    ck_assert_int_eq(run(&step, &in, 0, ROWS, got), PL_OK);
    matrix[250 * COLS + 1] = FLT_MAX;
    ck_assert_int_eq(run(&step, &in, 0, ROWS, got), PL_E_INPUT);
}
END_TEST

START_TEST(rtn_accepts)
{
    pl_tensor from = { .rows = 4, .cols = 64, .type = pl_type_plain(PL_F32) }, unknown = from;
    pl_step step = step_for(&pl_method_rtn, pl_type_plain(PL_Q4_0), 4, 64);
    ck_assert(pl_method_rtn.accepts(&step, &from));
    unknown.type.scheme = NULL;
    ck_assert(!pl_method_rtn.accepts(&step, &unknown));
    step.out.cols = 40;
    ck_assert(!pl_method_rtn.accepts(&step, &from));
    step = step_for(&pl_method_rtn, pl_type_plain(PL_F8_E4M3), 4, 64);
    ck_assert(!pl_method_rtn.accepts(&step, &from));
    step.out.type = (pl_type){ .scheme = &pl_scheme_scaled, .element = &pl_dtypes[PL_Q4_0] };
    ck_assert(!pl_method_rtn.accepts(&step, &from));
}
END_TEST

START_TEST(copy_keeps_bytes)
{
    static uint8_t original[ROWS * COLS * 4];
    for (int t = 0; t < PL_DTYPES; t++) {
        pl_type type = pl_type_plain(t);
        pl_tensor tensor = { .name = "w", .rows = ROWS, .cols = COLS, .type = type };
        pl_model model = { .tensor = &tensor, .tensors = 1 };
        pl_source source = { .ops = &stored_ops, .model = &model, .path = "t" };
        source.state = &(stored){ original };
        pl_input in = input(0);
        encode_plainly(&type, matrix, ROWS * COLS, original);
        in.source = &source;
        pl_step step = step_for(&pl_method_copy, type, ROWS, COLS);
        int64_t row = step.out.part[0].stride;
        ck_assert(pl_method_copy.accepts(&step, &tensor));
        ck_assert_int_eq(run(&step, &in, 3, ROWS - 3, got), PL_OK);
        ck_assert_mem_eq(got, original + 3 * row, (size_t)((ROWS - 3) * row));
        in.order = 20;
        ck_assert_int_eq(run(&step, &in, 0, ROWS, got), PL_OK);
        for (int64_t r = 0; r < ROWS; r++)
            ck_assert_mem_eq(got + r * row, original + pl_order_source(r, 20) * row, (size_t)row);

        uint8_t *bad = original + 271 * row;        /* the row's first value, or first scale */
        if (type.element->scale_at[0] < 0 && t != PL_F16) memset(bad, 0xff, (size_t)type.element->bytes);
        else memcpy(bad + pl_max64(0, type.element->scale_at[0]), &(uint16_t){ 0x7e00 }, 2);
        in.order = 0;
        ck_assert_int_eq(run(&step, &in, 1, ROWS - 1, got), PL_E_INPUT);
        ck_assert_ptr_nonnull(strstr(pl_error(), "tensor 'w' row 271 column"));

        tensor.type = pl_type_plain((t + 1) % PL_DTYPES);
        ck_assert(!pl_method_copy.accepts(&step, &tensor));
    }
}
END_TEST

/* Vectors are matrices of one column; their rows make long strips. */
START_TEST(vectors)
{
    pl_input in = input(0);
    in.rows = ROWS * COLS;
    in.cols = 1;
    pl_step step = step_for(&pl_method_rtn, pl_type_plain(PL_F32), ROWS * COLS, 1);
    ck_assert_int_eq(run(&step, &in, 0, ROWS * COLS, got), PL_OK);
    ck_assert_mem_eq(got, matrix, sizeof matrix);
    matrix[40000] = NAN;
    ck_assert_int_eq(run(&step, &in, 0, ROWS * COLS, got), PL_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pl_error(), "row 40000 column 0"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quantizers");
    TCase *grids = tcase_create("grids"), *methods = tcase_create("methods");
    tcase_add_test(grids, spans);
    tcase_add_test(grids, known_bytes);
    tcase_add_test(grids, zero_blocks);
    tcase_add_test(grids, pack_is_lossless);
    tcase_add_test(grids, snap_agrees_with_decode);
    tcase_add_test(grids, snap_outside_the_range);
    tcase_add_test(grids, error_bounds);
    tcase_add_test(grids, idempotent);
    tcase_add_test(grids, half_away_from_zero);
    tcase_add_checked_fixture(methods, setup, teardown);
    tcase_add_test(methods, rtn_every_type);
    tcase_add_test(methods, rtn_reorders_rows);
    tcase_add_test(methods, rtn_refuses_what_is_not_finite);
    tcase_add_test(methods, rtn_refuses_what_f16_cannot_hold);
    tcase_add_test(methods, rtn_accepts);
    tcase_add_test(methods, copy_keeps_bytes);
    tcase_add_test(methods, vectors);
    suite_add_tcase(suite, grids);
    suite_add_tcase(suite, methods);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
