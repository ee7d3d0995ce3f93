/* test_hf_fp8.c: checkpoints of 8-bit floats: every kind of scale, and what does not fit together. */
#include <math.h>

#include "formats/safetensors.h"
#include "tests/unit/hf_fixture.h"
#include "tests/unit/suite.h"

#define FP8(rest) CONFIG ",\"quantization_config\":{\"quant_method\":\"fp8\"" rest "}}"
#define COMPRESSED(format, weights)                                                                \
    CONFIG ",\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"" format \
    "\",\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],\"weights\":{" weights "}}}}}"
#define FLOAT8(strategy) "\"num_bits\":8,\"type\":\"float\",\"symmetric\":true,\"strategy\":\"" strategy "\""

static const char up[] = "model.layers.1.mlp.up_proj.weight";
static const char blocks[] = FP8(",\"weight_block_size\":[4,3],\"activation_scheme\":\"dynamic\"");
static const char no_blocks[] = FP8(",\"weight_block_size\":null,\"ignored_layers\":[\"lm_head\"]");

enum { BLOCK_ROWS = 4, BLOCK_COLS = 3 };

typedef enum kind { BY_BLOCK, BY_ROW, BY_ROW_COLUMN, BY_TENSOR, BY_TENSOR_1, KINDS } kind;

static bool is_coded(const entry *e)
{
    return e->dims == 2 && strcmp(e->name, "lm_head.weight") != 0;
}

static void add_scale(checkpoint *c, const entry *weight, kind k, const char *suffix, const char *dtype)
{
    char name[80];
    int64_t rows = weight->shape[0], cols = weight->shape[1];
    snprintf(name, sizeof name, "%s%s", weight->name, suffix);
    entry *e = add(c, name, rows, 0);
    e->dtype = dtype;
    if (k == BY_BLOCK) *e = (entry){ .dims = 2, .dtype = dtype, .shape = { pl_ceil_div(rows, BLOCK_ROWS),
                                                                           pl_ceil_div(cols, BLOCK_COLS) } };
    if (k == BY_ROW_COLUMN) *e = (entry){ .dims = 2, .dtype = dtype, .shape = { rows, 1 } };
    if (k == BY_TENSOR) e->dims = 0;
    if (k == BY_TENSOR_1) e->shape[0] = 1;
    snprintf(e->name, sizeof e->name, "%s", name);
}

/* All matrices but the output one as 8-bit floats with scales. */
static void fill_coded(checkpoint *c, const char *codes, kind k, const char *suffix, const char *dtype)
{
    fill(c);
    for (int i = c->count - 1; i >= 0; i--) {
        if (!is_coded(&c->entry[i])) {
            c->entry[i].dtype = "BF16";
            continue;
        }
        c->entry[i].dtype = codes;
        add_scale(c, &c->entry[i], k, suffix, dtype);
    }
}

static float decoded(const char *dtype, const char *name, int64_t k)
{
    uint8_t bytes[4];
    float x;
    put_value(dtype, name, k, bytes);
    pl_dtype_by_safetensors(dtype)->decode(bytes, &x, 1);
    return x;
}

/* Value of a weight, from the names of its codes and scales. */
static float expected(const char *codes, kind k, const char *suffix, const char *dtype, const pl_tensor *t,
                      int64_t row, int64_t col)
{
    char scale[96];
    int64_t across = pl_ceil_div(t->cols, BLOCK_COLS);
    int64_t at = k == BY_BLOCK ? row / BLOCK_ROWS * across + col / BLOCK_COLS : k < BY_TENSOR ? row : 0;
    snprintf(scale, sizeof scale, "%s%s", t->name, suffix);
    return decoded(codes, t->name, row * t->cols + col) * decoded(dtype, scale, at);
}

/* Rows cut anywhere, as f32; whole matrices and whole blocks as packed. */
static void ck_tensor(pl_source *s, int index, const char *codes, kind k, const char *suffix, const char *dtype)
{
    const pl_tensor *t = &s->model->tensor[index];
    float rows[16 * HIDDEN], whole[16 * HIDDEN];
    pl_packed p;
    ck_assert_int_eq(pl_source_packed(s, index, 0, t->rows, &p, arena), PL_OK);
    ck_assert(pl_type_equal(&p.type, &t->type) && p.rows == t->rows);
    ck_assert_int_eq(pl_packed_decode(&p, 0, t->rows, whole, NULL), PL_OK);
    for (int64_t i = 0; i < t->rows * t->cols; i++)
        ck_assert(whole[i] == expected(codes, k, suffix, dtype, t, i / t->cols, i % t->cols));
    for (int64_t first = 0; first < t->rows; first++)
        for (int64_t n = 0; n <= pl_min64(6, t->rows - first); n++) {
            pl_source_advise(s, index, first, n);
            ck_assert_int_eq(pl_source_rows(s, index, first, n, rows, arena), PL_OK);
            ck_assert_mem_eq(rows, whole + first * t->cols, (size_t)(n * t->cols) * sizeof *rows);
        }
    int64_t last = (t->rows - 1) / p.granule * p.granule;
    ck_assert_int_eq(pl_source_packed(s, index, last, t->rows - last, &p, arena), PL_OK);
    ck_assert_int_eq(pl_packed_decode(&p, 0, t->rows - last, rows, NULL), PL_OK);
    ck_assert_mem_eq(rows, whole + last * t->cols, (size_t)((t->rows - last) * t->cols) * sizeof *rows);
}

START_TEST(every_kind)
{
    static const char *const codes[] = { "F8_E4M3", "F8_E5M2" }, *const scales[] = { "F32", "BF16", "F16", "F8_E8M0" };
    static const char *const names[] = { " 4x3", " per row", " per row", " per tensor", " per tensor" };
    for (int i = 0; i < 2 * KINDS * PL_COUNT(scales); i++) {
        kind k = (kind)(i / 2 % KINDS);
        const char *code = codes[i % 2], *scale = scales[i / 2 / KINDS], *suffix = i % 3 ? "_scale_inv" : "_scale";
        checkpoint c;
        fill_coded(&c, code, k, suffix, scale);
        add(&c, "model.layers.0.mlp.up_proj.input_scale", 1, 0);
        add(&c, "model.layers.0.mlp.up_proj.activation_scale", 1, 0)->dims = 0;
        add(&c, "model.layers.0.self_attn.k_scale", 1, 0);
        save_model(&c, k == BY_BLOCK ? blocks : no_blocks);
        for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
            pl_source *s = open_model(folder, (pl_open_how)how);
            ck_assert_str_eq(s->model->file_type, pl_dtype_by_safetensors(code)->name);
            ck_assert_int_eq(s->model->tensors, 3 + 9 * LAYERS);
            for (int t = 0; t < s->model->tensors; t++) {
                const pl_tensor *tensor = &s->model->tensor[t];
                bool coded = tensor->cols > 1 && strcmp(tensor->name, "lm_head.weight");
                const char *name = pl_type_name(&tensor->type);
                ck_assert_str_eq(coded ? strchr(name, ' ') : name, coded ? names[k] : "bf16");
                if (coded) ck_tensor(s, t, code, k, suffix, scale);
            }
            pl_source_close(s);
        }
    }
}
END_TEST

/* The words of both tools. A single scale and scales of rows are understood whatever the config says. */
START_TEST(every_config)
{
    static const struct { const char *config; kind kind; } good[] = {
        { COMPRESSED("float-quantized", FLOAT8("tensor")), BY_TENSOR_1 },
        { COMPRESSED("float-quantized", FLOAT8("channel")), BY_ROW_COLUMN },
        { COMPRESSED("float-quantized", FLOAT8("block") ",\"block_structure\":[4,3]"), BY_BLOCK },
        { FP8(""), BY_ROW },
        { FP8(",\"weight_block_size\":[4,3],\"scale_fmt\":\"ue8m0\""), BY_BLOCK },
        { FP8(",\"weight_block_size\":[4,3],\"modules_to_convert\":[\"embed_tokens\"]"), BY_TENSOR },
    };
    checkpoint c;
    for (int i = 0; i < PL_COUNT(good); i++) {
        fill_coded(&c, "F8_E4M3", good[i].kind, "_scale", "F32");
        save_model(&c, good[i].config);
        pl_source *s = open_model(folder, PL_OPEN_MAP);
        int q = pl_model_find(s->model, pl_id_make(PL_ATTN_Q, 0, -1));
        ck_tensor(s, q, "F8_E4M3", good[i].kind, "_scale", "F32");
        pl_source_close(s);
    }
    fill(&c);                       /* a quantization that quantized nothing */
    save_model(&c, blocks);
    ck_assert_int_eq(try_open(folder), PL_OK);
}
END_TEST

/* Without a word about scales the codes are the values. */
START_TEST(without_scales)
{
    checkpoint c;
    fill(&c);
    find(&c, up)->dtype = "F8_E5M2";
    save_model(&c, untied);
    for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
        pl_source *s = open_model(folder, (pl_open_how)how);
        int t = pl_model_find(s->model, pl_id_make(PL_FFN_UP, 1, -1));
        float rows[FFN * HIDDEN], again[FFN * HIDDEN];
        pl_packed p;
        ck_assert_str_eq(pl_type_name(&s->model->tensor[t].type), "f8_e5m2");
        ck_assert_int_eq(pl_source_rows(s, t, 1, 4, rows, arena), PL_OK);
        ck_assert_int_eq(pl_source_packed(s, t, 1, 4, &p, arena), PL_OK);
        ck_assert_int_eq(pl_packed_decode(&p, 0, 4, again, NULL), PL_OK);
        for (int k = 0; k < 4 * HIDDEN; k++)
            ck_assert(rows[k] == decoded("F8_E5M2", up, HIDDEN + k) && again[k] == rows[k]);
        pl_source_close(s);
    }
    add_scale(&c, find(&c, up), BY_TENSOR, "_scale", "F32");
    save_model(&c, untied);
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_sentence("up_proj.weight_scale' is none of a llama model");
}
END_TEST

/* ---- what is refused ---- */

static void ck_refused(const checkpoint *c, const char *config, const char *sentence)
{
    save_model(c, config);
    ck_assert_msg(try_open(folder) == PL_E_INPUT, "accepted, not '%s'", sentence);
    ck_sentence(sentence);
}

START_TEST(wrong_scales)
{
    static const char inv[] = "model.layers.1.mlp.up_proj.weight_scale_inv";
    checkpoint c;
    fill_coded(&c, "F8_E4M3", BY_BLOCK, "_scale_inv", "F32");
    drop(&c, inv);
    ck_refused(&c, blocks, "up_proj.weight' is stored as F8_E4M3, but there is no 'model.layers.1.mlp.up_proj."
               "weight_scale_inv' nor 'model.layers.1.mlp.up_proj.weight_scale'");
    add_scale(&c, find(&c, up), BY_BLOCK, "_scale_inv", "F32");
    add_scale(&c, find(&c, up), BY_BLOCK, "_scale", "F32");
    ck_refused(&c, blocks, "up_proj.weight' has two scales");
    drop(&c, "model.layers.1.mlp.up_proj.weight_scale");
    find(&c, up)->dtype = "F16";
    ck_refused(&c, blocks, "weight_scale_inv' should belong to an F8_E4M3 or F8_E5M2 tensor 'model.layers.1."
               "mlp.up_proj.weight', which is F16");
    drop(&c, up);
    ck_refused(&c, blocks, "up_proj.weight', which is missing");
    static const struct { int dims; int64_t shape[3]; const char *are; } shapes[] = {
        { 1, { 2 }, "2" }, { 2, { 2, 2 }, "2 x 2" }, { 2, { 3, 2 }, "3 x 2" }, { 3, { 2, 3, 1 }, "2 x 3 x 1" },
        { 2, { 1, 6 }, "1 x 6" }, { 2, { 6, 8 }, "6 x 8" }, { 1, { 0 }, "0" }, { 3, { 1, 1, 1 }, "1 x 1 x 1" },
    };
    fill_coded(&c, "F8_E4M3", BY_BLOCK, "_scale_inv", "F32");
    for (int i = 0; i < PL_COUNT(shapes); i++) {
        char sentence[200];
        find(&c, inv)->dims = shapes[i].dims;
        memcpy(find(&c, inv)->shape, shapes[i].shape, sizeof shapes[i].shape);
        snprintf(sentence, sizeof sentence, "the scales '%s' should be 1, 6 for the rows, 2 x 3 for blocks of 4 x 3 "
                 "of a matrix of 6 x 8, are %s", inv, shapes[i].are);
        ck_refused(&c, blocks, sentence);
    }
    find(&c, inv)->dims = 2;
    memcpy(find(&c, inv)->shape, (int64_t[]){ 2, 3 }, 2 * sizeof(int64_t));
    ck_refused(&c, no_blocks, "should be 1, 10 for the rows of a matrix of 10 x 8, are 3 x 3");
    find(&c, inv)->dtype = "I32";
    ck_refused(&c, blocks, "weight_scale_inv' are stored as I32; expected F32, F16, BF16 or F8_E8M0");
    find(&c, inv)->dtype = "F8_E4M3";
    ck_refused(&c, blocks, "are stored as F8_E4M3; expected F32");
    fill_coded(&c, "F8_E4M3", BY_BLOCK, "_scale_inv", "F32");
    entry *norm = find(&c, "model.norm.weight");
    norm->dtype = "F8_E4M3";
    add(&c, "model.norm.weight_scale_inv", 1, 0);
    ck_refused(&c, blocks, "'model.norm.weight' has 1 dimensions and scales, expected 2");
}
END_TEST

START_TEST(wrong_configs)
{
    static const struct { const char *config, *sentence; } cases[] = {
        { CONFIG ",\"quantization_config\":{\"quant_method\":\"bitnet\",\"bits\":4}}", "'quantization_config' of bitnet: " },
        { CONFIG ",\"quantization_config\":{\"quant_method\":7}}", "'quantization_config': this checkpoint is "
          "quantized in a way that cannot be read; known are quant_method fp8, gptq, awq and compressed-tensors" },
        { CONFIG ",\"quantization_config\":[]}", "'quantization_config': this" },
        { COMPRESSED("marlin-24", FLOAT8("tensor")), "of compressed-tensors, marlin-24: this" },
        { CONFIG ",\"quantization_config\":{\"quant_method\":\"compressed-tensors\"}}", "of compressed-tensors: this" },
        { CONFIG ",\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"float-quantized\"}}",
          "'config_groups' should be an object" },
        { CONFIG ",\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"float-quantized\","
          "\"config_groups\":{\"a\":{\"weights\":null}}}}", "a group of 'config_groups' has no 'weights'" },
        { COMPRESSED("float-quantized", FLOAT8("group")), "strategy 'group'; expected symmetric float of 8 bits" },
        { COMPRESSED("float-quantized", "\"num_bits\":4,\"type\":\"float\",\"strategy\":\"tensor\""), "weights of 4 bits" },
        { COMPRESSED("float-quantized", "\"num_bits\":8,\"type\":\"int\",\"strategy\":\"tensor\""), "type 'int'" },
        { COMPRESSED("float-quantized", "\"num_bits\":8,\"type\":\"float\",\"symmetric\":false,\"strategy\":\"tensor\""),
          "has asymmetric weights" },
        { COMPRESSED("float-quantized", "\"num_bits\":8,\"strategy\":\"tensor\""), "type" },
        { COMPRESSED("float-quantized", FLOAT8("block") ",\"block_structure\":[4,3]}},\"b\":{\"weights\":{"
                     FLOAT8("block") ",\"block_structure\":[4,4]"), "'block_structure' is 4x4 and elsewhere 4x3" },
        { FP8(",\"weight_block_size\":128"), "'weight_block_size' should be two numbers" },
        { FP8(",\"weight_block_size\":[128]"), "'weight_block_size' should be two numbers" },
        { FP8(",\"weight_block_size\":[128,0]"), "weight_block_size" },
        { FP8(",\"weight_block_size\":[-128,128]"), "weight_block_size" },
        { FP8(",\"weight_block_size\":[128,65537]"), "weight_block_size" },
        { FP8(",\"weight_block_size\":[128,\"128\"]"), "weight_block_size" },
    };
    checkpoint c;
    fill_coded(&c, "F8_E4M3", BY_BLOCK, "_scale_inv", "F32");
    for (int i = 0; i < PL_COUNT(cases); i++) {
        ck_refused(&c, cases[i].config, cases[i].sentence);
        ck_sentence(in("config.json"));
    }
}
END_TEST

/* One bad scale: found by whoever reads rows of its block, and by the engine. */
START_TEST(scales_that_are_not_finite)
{
    static const char inv[] = "model.layers.1.mlp.up_proj.weight_scale_inv";
    static const struct { const char *dtype; kind kind; uint32_t bits; int at; const char *place; } cases[] = {
        { "F32", BY_BLOCK, 0x7fc00000, 4, "row 1 column 1" },   { "F32", BY_BLOCK, 0xff800000, 3, "row 1 column 0" },
        { "BF16", BY_ROW, 0x7f80, 5, "row 5 column 0" },        { "F8_E8M0", BY_BLOCK, 0xff, 5, "row 1 column 2" },
        { "F16", BY_ROW_COLUMN, 0x7c00, 4, "row 4 column 0" },  { "F8_E8M0", BY_TENSOR, 0xff, 0, "row 0 column 0" },
    };
    for (int i = 0; i < 2 * PL_COUNT(cases); i++) {
        checkpoint c;
        const char *dtype = cases[i / 2].dtype;
        fill_coded(&c, "F8_E4M3", cases[i / 2].kind, "_scale_inv", dtype);
        save_model(&c, blocks);
        pl_source *s = open_model(folder, PL_OPEN_WINDOWS);
        pl_st_set set;
        ck_assert_int_eq(pl_st_open_file(in("model.safetensors"), arena, &set), PL_OK);
        int64_t offset = pl_st_find(&set, inv, strlen(inv))->offset;
        pl_st_close(&set);
        pl_source_close(s);
        FILE *file = fopen(in("model.safetensors"), "r+b");
        int bytes = pl_dtype_by_safetensors(dtype)->bytes;
        ck_assert_int_eq(fseek(file, (long)(offset + cases[i / 2].at * bytes), SEEK_SET), 0);
        ck_assert_uint_eq(fwrite(&cases[i / 2].bits, 1, (size_t)bytes, file), (size_t)bytes);
        ck_assert_int_eq(fclose(file), 0);
        s = open_model(folder, i % 2 ? PL_OPEN_MAP : PL_OPEN_WINDOWS);
        int t = pl_model_find(s->model, pl_id_make(PL_FFN_UP, 1, -1));
        float rows[FFN * HIDDEN];
        pl_packed p;
        if (cases[i / 2].kind != BY_TENSOR)
            ck_assert_int_eq(pl_source_rows(s, t, 0, 3, rows, arena), PL_OK);
        for (int packed = 0; packed < 2; packed++) {
            ck_assert_int_eq(packed ? pl_source_packed(s, t, 0, FFN, &p, arena)
                                    : pl_source_rows(s, t, 2, 4, rows, arena), PL_E_INPUT);
            ck_sentence(cases[i / 2].place);
            ck_sentence(inv);
            ck_sentence("should be finite");
        }
        pl_source_close(s);
    }
}
END_TEST

START_TEST(cuts_of_blocks)
{
    checkpoint c;
    pl_packed p;
    fill_coded(&c, "F8_E4M3", BY_BLOCK, "_scale_inv", "F32");
    save_model(&c, blocks);
    pl_source *s = open_model(folder, PL_OPEN_WINDOWS);
    int t = pl_model_find(s->model, pl_id_make(PL_FFN_UP, 1, -1));
    ck_assert_int_eq(pl_source_packed(s, t, 2, 2, &p, arena), PL_E_INPUT);
    ck_sentence("cut a group of 4 rows");
    pl_source_close(s);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        every_kind, every_config, without_scales, wrong_scales, wrong_configs, scales_that_are_not_finite,
        cuts_of_blocks,
    };
    return run_cases("hf_fp8", setup, teardown, tests, PL_COUNT(tests));
}
