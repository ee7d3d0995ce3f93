/* test_gptq.c: reading GPTQ's and AWQ's folders: values of codes in columns, zero points, columns in any order, and what
 * does not fit together. */
#include "tests/unit/hf_fixture.h"
#include "tests/unit/suite.h"

enum { GROUPS = 2 };

#define FOLDER(quantization) WIDE_CONFIG("quantization_config", "\"bits\":4,\"group_size\":32," quantization)
#define GPTQ "\"quant_method\":\"gptq\",\"desc_act\":false"
#define AWQ "\"quant_method\":\"awq\""

/* A Llama of one layer, with codes of 4 bits. order: with g_idx. */
static void fill_codes(checkpoint *c, bool awq, bool order)
{
    fill_wide(c, TABLES);
    for (int i = TABLES; i < PL_COUNT(wide_matrix); i++) {
        int64_t rows = wide_matrix[i].rows;
        add_wide(c, i, "qweight", awq ? WIDE : WIDE / 8, awq ? rows / 8 : rows, "I32");
        add_wide(c, i, "scales", GROUPS, rows, "F16");
        add_wide(c, i, "qzeros", GROUPS, rows / 8, "I32");
        if (order) add_wide(c, i, "g_idx", WIDE, 0, "I32");
    }
}

/* Field `at` of 4 bits in the words of a tensor. */
static int field(const char *name, int64_t at)
{
    uint8_t word[4];
    put_value("I32", name, at / 8, word);
    return word[at % 8 / 2] >> (at % 2 * 4) & 15;
}

/* What the formats' formulas make of up_proj. */
static float wanted(bool awq, int less, int row, int col)
{
    static const int place[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    int group = col / 32, words = WIDE / 8;
    int code = awq ? field(UP ".qweight", (col * words + row / 8) * 8 + place[row % 8])
                   : field(UP ".qweight", (col / 8 * WIDE + row) * 8 + col % 8);
    int zero = field(UP ".qzeros", (group * words + row / 8) * 8 + (awq ? place[row % 8] : row % 8));
    uint8_t scale[2];
    float factor;
    put_value("F16", UP ".scales", group * WIDE + row, scale);
    pl_dtypes[PL_F16].decode(scale, &factor, 1);
    return (float)(code - ((zero + less) & 15)) * factor;
}

START_TEST(values)
{
    static const struct { const char *config; bool awq; int less; } ways[] = {
        { FOLDER(GPTQ), false, 1 },
        { FOLDER(GPTQ ",\"checkpoint_format\":\"gptq_v2\",\"sym\":false"), false, 0 },
        { FOLDER(AWQ ",\"zero_point\":true,\"version\":\"GEMM\""), true, 0 },
    };
    for (int i = 0; i < PL_COUNT(ways); i++)
        for (int how = 0; how < 2; how++) {
            enum { FIRST = 3, COUNT = 11 };
            checkpoint c;
            float rows[COUNT * WIDE], decoded[COUNT * WIDE];
            pl_packed p;
            fill_codes(&c, ways[i].awq, false);
            save_model(&c, ways[i].config);
            pl_source *s = open_model(folder, how ? PL_OPEN_MAP : PL_OPEN_WINDOWS);
            int t = pl_model_find(s->model, pl_id_make(PL_FFN_UP, 0, -1));
            ck_assert_str_eq(pl_type_name(&s->model->tensor[t].type), "uint4-g32");
            ck_assert_str_eq(s->model->file_type, "uint4-g32");
            ck_assert_int_eq(pl_source_rows(s, t, FIRST, COUNT, rows, arena), PL_OK);
            ck_assert_int_eq(pl_source_packed(s, t, FIRST, COUNT, &p, arena), PL_OK);
            ck_assert_int_eq(pl_packed_decode(&p, 0, COUNT, decoded, arena), PL_OK);
            ck_assert_int_eq(memcmp(rows, decoded, sizeof rows), 0);
            for (int k = 0; k < COUNT * WIDE; k++)
                ck_assert_float_eq(rows[k], wanted(ways[i].awq, ways[i].less, FIRST + k / WIDE, k % WIDE));
            pl_source_close(s);
        }
}
END_TEST

/* Bytes of a tensor of the saved file. */
static void overwrite(const checkpoint *c, const char *name, const void *bytes, size_t len)
{
    size_t size;
    char *file;
    int64_t at = 0;
    uint64_t header;
    ck_assert_int_eq(pl_file_load(in("model.safetensors"), 1 << 20, &file, &size), PL_OK);
    memcpy(&header, file, 8);
    for (const entry *e = c->entry; strcmp(e->name, name); e++)
        at += e->shape[0] * (e->dims > 1 ? e->shape[1] : 1) * (strcmp(e->dtype, "F16") ? 4 : 2);
    memcpy(file + 8 + header + at, bytes, len);
    save("model.safetensors", file, size);
    pl_free(file);
}

static pl_status read_up(float *rows, int count)
{
    pl_source *s = open_model(folder, PL_OPEN_WINDOWS);
    pl_status code = pl_source_rows(s, pl_model_find(s->model, pl_id_make(PL_FFN_UP, 0, -1)), 0, count, rows, arena);
    pl_source_close(s);
    return code;
}

START_TEST(order_of_columns)
{
    static float rows[WIDE * WIDE];
    int32_t group[WIDE];
    checkpoint c;
    fill_codes(&c, false, true);
    for (int i = 0; i < WIDE; i++) group[i] = i * 7 % 3 == 1;
    save_model(&c, FOLDER("\"quant_method\":\"gptq\",\"desc_act\":true"));
    overwrite(&c, UP ".g_idx", group, sizeof group);
    ck_assert_int_eq(read_up(rows, WIDE), PL_OK);
    for (int k = 0; k < WIDE * WIDE; k++) {
        int row = k / WIDE, col = k % WIDE, zero = field(UP ".qzeros", (group[col] * (WIDE / 8) + row / 8) * 8 + row % 8);
        uint8_t scale[2];
        float factor;
        put_value("F16", UP ".scales", group[col] * WIDE + row, scale);
        pl_dtypes[PL_F16].decode(scale, &factor, 1);
        int code = field(UP ".qweight", (col / 8 * WIDE + row) * 8 + col % 8);
        ck_assert_float_eq(rows[k], (float)(code - ((zero + 1) & 15)) * factor);
    }
    group[5] = GROUPS;
    overwrite(&c, UP ".g_idx", group, sizeof group);
    ck_assert_int_eq(read_up(rows, 1), PL_E_INPUT);
    ck_sentence("'" UP ".g_idx' names a group that there is not (at 5)");
    group[5] = 1;
    save_model(&c, FOLDER(GPTQ));
    overwrite(&c, UP ".g_idx", group, sizeof group);
    ck_assert_int_eq(read_up(rows, 1), PL_E_INPUT);
    ck_sentence("is not in order, though config.json has no desc_act");
}
END_TEST

START_TEST(symmetric)
{
    static float rows[WIDE * WIDE];
    uint8_t zeros[GROUPS * WIDE / 2];
    checkpoint c;
    fill_codes(&c, false, false);
    save_model(&c, FOLDER(GPTQ ",\"sym\":true"));
    ck_assert_int_eq(read_up(rows, WIDE), PL_E_INPUT);
    ck_sentence("has zero points besides the middle, though config.json says that codes are symmetric");
    memset(zeros, 0x77, sizeof zeros);
    overwrite(&c, UP ".qzeros", zeros, sizeof zeros);
    ck_assert_int_eq(read_up(rows, WIDE), PL_OK);
    for (int k = 0; k < WIDE; k++) {
        uint8_t scale[2];
        float factor;
        put_value("F16", UP ".scales", k / 32 * WIDE, scale);
        pl_dtypes[PL_F16].decode(scale, &factor, 1);
        ck_assert_float_eq(rows[k], (float)(field(UP ".qweight", k / 8 * WIDE * 8 + k % 8) - 8) * factor);
    }
    const uint16_t infinite = 0x7c00;
    overwrite(&c, UP ".scales", &infinite, sizeof infinite);
    ck_assert_int_eq(read_up(rows, 1), PL_E_INPUT);
    ck_sentence("the scale in row 0 column 0 of '" UP ".scales' should be finite, is not");
}
END_TEST

/* Some tools store a bias for every matrix. */
START_TEST(biases_of_zeros)
{
    static const uint8_t zeros[WIDE * 4];
    checkpoint c;
    fill_codes(&c, false, false);
    add(&c, "model.layers.0.self_attn.q_proj.bias", WIDE, 0);
    save_model(&c, FOLDER(GPTQ));
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_sentence("attention_bias");
    overwrite(&c, "model.layers.0.self_attn.q_proj.bias", zeros, sizeof zeros);
    ck_assert_int_eq(try_open(folder), PL_OK);
}
END_TEST

static void fails(checkpoint *c, const char *config, const char *text)
{
    save_model(c, config);
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_sentence(text);
}

START_TEST(tensors_that_do_not_fit)
{
    checkpoint c;
    fill_codes(&c, false, true);
    find(&c, UP ".qweight")->shape[0]++;
    fails(&c, FOLDER(GPTQ), UP ".qweight' should be I32 of 8 x ..., for rows of 64 values in 4 bits, is I32 of 9 x 64");
    fill_codes(&c, false, true);
    find(&c, UP ".qweight")->dtype = "F32";
    fails(&c, FOLDER(GPTQ), "is F32 of 8 x 64");
    fill_codes(&c, false, true);
    find(&c, UP ".scales")->shape[0]--;
    fails(&c, FOLDER(GPTQ), "tensor '" UP ".scales' should be F32, F16 or BF16 of 2 x 64, is F16 of 1 x 64");
    fill_codes(&c, false, true);
    find(&c, UP ".scales")->dtype = "I32";
    fails(&c, FOLDER(GPTQ), "should be F32, F16 or BF16 of 2 x 64, is I32 of 2 x 64");
    fill_codes(&c, false, true);
    find(&c, UP ".qzeros")->shape[1]++;
    fails(&c, FOLDER(GPTQ), "tensor '" UP ".qzeros' should be I32 of 2 x 8, is I32 of 2 x 9");
    fill_codes(&c, false, true);
    find(&c, UP ".g_idx")->shape[0]--;
    fails(&c, FOLDER(GPTQ), "tensor '" UP ".g_idx' should be I32 of 64, is I32 of 63");
    fill_codes(&c, true, false);
    find(&c, UP ".qweight")->shape[0]--;
    fails(&c, FOLDER(AWQ), "should be I32 of 64 x ..., for rows of 64 values in 4 bits, is I32 of 63 x 8");
    static const char *const parts[] = { "scales", "qzeros", "g_idx" };
    for (int i = 0; i < PL_COUNT(parts); i++) {
        char name[80], text[160];
        fill_codes(&c, false, true);
        snprintf(name, sizeof name, UP ".%s", parts[i]);
        drop(&c, name);
        snprintf(text, sizeof text, "tensor '" UP ".qweight' has codes, but there is no '%s'", name);
        fails(&c, FOLDER("\"quant_method\":\"gptq\",\"desc_act\":true"), text);
    }
}
END_TEST

START_TEST(configurations_not_read)
{
    static const struct { const char *config, *text; } cases[] = {
        { FOLDER(GPTQ ",\"checkpoint_format\":\"marlin\""), "has checkpoint_format marlin; 'gptq' and 'gptq_v2' can be read" },
        { FOLDER(GPTQ ",\"pack_dtype\":\"int64\""), "has pack_dtype int64" },
        { FOLDER(AWQ ",\"version\":\"gemv\""), "has AWQ's version gemv; 'gemm' can be read" },
        { FOLDER(AWQ ",\"backend\":\"llm-awq\""), "has AWQ's backend llm-awq" },
        { FOLDER(AWQ ",\"zero_point\":1"), "zero_point" },
        { "{\"architectures\":[\"LlamaForCausalLM\"],\"quantization_config\":{" GPTQ ",\"bits\":5,\"group_size\":32}}",
          "GPTQ's codes have 2, 3, 4 or 8 bits, 'bits' is 5" },
        { "{\"architectures\":[\"LlamaForCausalLM\"],\"quantization_config\":{" AWQ ",\"bits\":8,\"group_size\":32}}",
          "AWQ's codes have 4 bits, 'bits' is 8" },
        { "{\"architectures\":[\"LlamaForCausalLM\"],\"quantization_config\":{" AWQ ",\"bits\":4,\"group_size\":0}}",
          "has group_size 0" },
        { "{\"architectures\":[\"LlamaForCausalLM\"],\"quantization_config\":{" AWQ ",\"bits\":4}}", "group_size" },
    };
    checkpoint c;
    fill_codes(&c, false, true);
    for (int i = 0; i < PL_COUNT(cases); i++) fails(&c, cases[i].config, cases[i].text);
    fails(&c, "{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":64,\"num_hidden_layers\":1,\"intermediate_size\":64,"
          "\"vocab_size\":10,\"num_attention_heads\":2,\"num_key_value_heads\":1,\"quantization_config\":{" GPTQ
          ",\"bits\":4,\"group_size\":48}}", "has rows of 64 values, no multiple of 'group_size' 48");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { values, order_of_columns, symmetric, biases_of_zeros, tensors_that_do_not_fit,
                                   configurations_not_read };
    return run_cases("gptq", setup, teardown, tests, PL_COUNT(tests));
}
