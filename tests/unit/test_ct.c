/* test_ct.c: reading compressed-tensors' folders: values of packed and of signed codes, of zero points, of 4-bit floats, and
 * what does not fit together. */
#include "tests/unit/hf_fixture.h"
#include "tests/unit/suite.h"

#define CT(format, weights)                                                                        \
    WIDE_CONFIG("quantization_config",                                                             \
                "\"quant_method\":\"compressed-tensors\",\"format\":\"" format "\","                  \
                "\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],\"weights\":{" weights "}}}")
#define INT4 "\"type\":\"int\",\"num_bits\":4,\"strategy\":\"group\",\"group_size\":32"
#define UINT4 INT4 ",\"symmetric\":false"
#define NVFP4 "\"type\":\"float\",\"num_bits\":4,\"strategy\":\"tensor_group\",\"group_size\":16"
#define MXFP4 "\"type\":\"float\",\"num_bits\":4,\"strategy\":\"group\",\"group_size\":32"
#define INT8 "\"type\":\"int\",\"num_bits\":8,\"strategy\":\"channel\""

/* Matrices have `words` words or bytes and `scales` scales in a row; more: called for each. */
static void fill_more(checkpoint *c, int words, int scales, const char *dtype, const char *of_scales,
                      void (*more)(checkpoint *c, int i, int scales))
{
    fill_wide(c, TABLES);
    for (int i = TABLES; i < PL_COUNT(wide_matrix); i++) {
        add_wide(c, i, strcmp(dtype, "I8") ? "weight_packed" : "weight", wide_matrix[i].rows, words, dtype);
        add_wide(c, i, "weight_scale", wide_matrix[i].rows, scales, of_scales);
        if (!strcmp(dtype, "I32")) add_wide(c, i, "weight_shape", 2, 0, "I32");
        if (more) more(c, i, scales);
    }
}

static void fill_ct(checkpoint *c, int words, int scales, bool bytes)
{
    fill_more(c, words, scales, bytes ? "I8" : "I32", "BF16", NULL);
}

/* Of 4 bits. */
static void add_zeros(checkpoint *c, int i, int scales)
{
    add_wide(c, i, "weight_zero_point", wide_matrix[i].rows / 8, scales, "I32");
}

static void add_global(checkpoint *c, int i, int scales)
{
    add_wide(c, i, "weight_global_scale", 1, 0, "F32");
    add_wide(c, i, "input_global_scale", 1, 0, "F32");
}

START_TEST(values)
{
    static const struct { const char *config, *type; bool bytes; int bits, group; } ways[] = {
        { CT("pack-quantized", INT4), "int4-g32", false, 4, 32 },
        { CT("pack-quantized", "\"type\":\"int\",\"num_bits\":3,\"symmetric\":true,\"strategy\":\"channel\""), "int3",
          false, 3, WIDE },
        { CT("int-quantized", INT8), "int8", true, 8, WIDE },
    };
    for (int i = 0; i < PL_COUNT(ways); i++)
        for (int how = 0; how < 2; how++) {
            checkpoint c;
            int bits = ways[i].bits, scales = WIDE / ways[i].group, words = ways[i].bytes ? WIDE : WIDE * bits / 32;
            float rows[2 * WIDE], decoded[2 * WIDE];
            pl_packed p;
            fill_ct(&c, words, scales, ways[i].bytes);
            save_model(&c, ways[i].config);
            pl_source *s = open_model(folder, how ? PL_OPEN_MAP : PL_OPEN_WINDOWS);
            int t = pl_model_find(s->model, pl_id_make(PL_FFN_UP, 0, -1));
            ck_assert_str_eq(pl_type_name(&s->model->tensor[t].type), ways[i].type);
            ck_assert_str_eq(s->model->file_type, ways[i].type);
            ck_assert_int_eq(pl_source_rows(s, t, 3, 2, rows, arena), PL_OK);
            ck_assert_int_eq(pl_source_packed(s, t, 3, 2, &p, arena), PL_OK);
            ck_assert_int_eq(pl_packed_decode(&p, 0, 2, decoded, arena), PL_OK);
            ck_assert_int_eq(memcmp(rows, decoded, sizeof rows), 0);
            for (int k = 0; k < 2 * WIDE; k++) {
                uint8_t codes[4 * WIDE], scale[2 * WIDE];
                int col = k % WIDE, code = 0;
                float factor;
                const char *part = ways[i].bytes ? "weight" : "weight_packed";
                stored(part, find_up(&c, part)->dtype, (3 + k / WIDE) * words, words, codes);
                stored("weight_scale", "BF16", (3 + k / WIDE) * scales, scales, scale);
                pl_dtypes[PL_BF16].decode(scale + 2 * (col / ways[i].group), &factor, 1);
                for (int b = 0; b < bits; b++) code |= (codes[(col * bits + b) / 8] >> ((col * bits + b) % 8) & 1) << b;
                int whole = ways[i].bytes ? (int8_t)code : code - (1 << (bits - 1));
                ck_assert_float_eq(rows[k], (float)whole * factor);
            }
            pl_source_close(s);
        }
}
END_TEST

/* Rows 3 and 4 of up_proj, from the map and without. */
static void read_up(checkpoint *c, const char *config, const char *type, float rows[2][2 * WIDE])
{
    for (int how = 0; how < 2; how++) {
        float decoded[2 * WIDE];
        pl_packed p;
        save_model(c, config);
        pl_source *s = open_model(folder, how ? PL_OPEN_MAP : PL_OPEN_WINDOWS);
        int t = pl_model_find(s->model, pl_id_make(PL_FFN_UP, 0, -1));
        ck_assert_str_eq(pl_type_name(&s->model->tensor[t].type), type);
        ck_assert_int_eq(pl_source_rows(s, t, 3, 2, rows[how], arena), PL_OK);
        ck_assert_int_eq(pl_source_packed(s, t, 3, 2, &p, arena), PL_OK);
        ck_assert_int_eq(pl_packed_decode(&p, 0, 2, decoded, arena), PL_OK);
        ck_assert_int_eq(memcmp(rows[how], decoded, sizeof decoded), 0);
        pl_source_close(s);
    }
}

START_TEST(zero_points)
{
    checkpoint c;
    float rows[2][2 * WIDE];
    fill_more(&c, WIDE / 8, 2, "I32", "BF16", add_zeros);
    read_up(&c, CT("pack-quantized", UINT4), "uint4-g32", rows);
    for (int k = 0; k < 2 * WIDE; k++) {
        int row = 3 + k / WIDE, col = k % WIDE;
        uint8_t codes[WIDE / 2], scale[2], zeros[WIDE];
        float factor;
        stored("weight_packed", "I32", row * (WIDE / 8), WIDE / 8, codes);
        stored("weight_scale", "BF16", row * 2 + col / 32, 1, scale);
        stored("weight_zero_point", "I32", 0, 16, zeros);       /* [8 words down][2 groups] */
        pl_dtypes[PL_BF16].decode(scale, &factor, 1);
        int zero = zeros[4 * (row / 8 * 2 + col / 32) + row % 8 / 2] >> (row % 2 * 4) & 15;
        float wanted = (float)((codes[col / 2] >> (col % 2 * 4) & 15) - zero) * factor;
        ck_assert(rows[0][k] == wanted && rows[1][k] == wanted);
    }
}
END_TEST

START_TEST(small_floats)
{
    for (int nvfp4 = 0; nvfp4 < 2; nvfp4++) {
        checkpoint c;
        int group = nvfp4 ? 16 : 32, groups = WIDE / group;
        float rows[2][2 * WIDE], global = 1.0f;
        fill_more(&c, WIDE / 2, groups, "U8", nvfp4 ? "F8_E4M3" : "U8", nvfp4 ? add_global : NULL);
        read_up(&c, nvfp4 ? CT("nvfp4-pack-quantized", NVFP4) : CT("mxfp4-pack-quantized", MXFP4),
                nvfp4 ? "f4_e2m1 1x16 x1" : "f4_e2m1 1x32", rows);
        if (nvfp4) global = value(UP ".weight_global_scale", 0);
        for (int k = 0; k < 2 * WIDE; k++) {
            static const float level[8] = { 0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f };
            int row = 3 + k / WIDE, col = k % WIDE;
            uint8_t codes[WIDE / 2], scale;
            float factor;
            stored("weight_packed", "U8", row * (WIDE / 2), WIDE / 2, codes);
            stored("weight_scale", nvfp4 ? "F8_E4M3" : "U8", row * groups + col / group, 1, &scale);
            pl_dtypes[nvfp4 ? PL_F8_E4M3 : PL_F8_E8M0].decode(&scale, &factor, 1);
            int code = codes[col / 2] >> (col % 2 * 4) & 15;
            float wanted = (code & 8 ? -level[code & 7] : level[code & 7]) * (factor / global);
            ck_assert_msg(rows[0][k] == wanted && rows[1][k] == wanted, "%d: %g, not %g", k, (double)rows[0][k],
                          (double)wanted);
        }
    }
}
END_TEST

static void fails(checkpoint *c, const char *config, const char *text)
{
    save_model(c, config);
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_assert_msg(strstr(pl_error(), text), "%s", pl_error());
}

START_TEST(tensors_that_do_not_fit)
{
    const char *config = CT("pack-quantized", INT4);
    checkpoint c;
    fill_ct(&c, WIDE / 8, 2, false);
    find_up(&c, "weight_packed")->shape[1]++;
    fails(&c, config, "has 9 words and 2 scales of BF16 for rows of 64 values, which is what no group of 'config_groups' ");
    fill_ct(&c, WIDE / 8, 1, false);
    fails(&c, config, "has 8 words and 1 scales of BF16 for rows of 64 values");
    fill_ct(&c, WIDE / 8, 2, false);
    find_up(&c, "weight_scale")->shape[0]--;
    fails(&c, config, "up_proj.weight_scale' should have the rows of a matrix");
    fill_ct(&c, WIDE / 8, 2, false);
    find_up(&c, "weight_scale")->dtype = "I32";
    fails(&c, config, "has 8 words and 2 scales of I32");
    fill_ct(&c, WIDE / 8, 2, false);
    add(&c, "model.layers.0.mlp.up_proj.weight_zero_point", 2, 2);
    fails(&c, config, "up_proj.weight_packed' should be symmetric and has zero points");
    fill_more(&c, WIDE / 8, 2, "I32", "BF16", add_zeros);
    find_up(&c, "weight_zero_point")->shape[0]--;
    fails(&c, CT("pack-quantized", UINT4), "zero points 'model.layers.0.mlp.up_proj.weight_zero_point' should be I32 of 8 x 2");
    drop(&c, "model.layers.0.mlp.up_proj.weight_zero_point");
    fails(&c, CT("pack-quantized", UINT4), "has codes that are not symmetric, but there is no 'model.layers.0.mlp.up_proj.wei");
    fill_more(&c, WIDE / 2, 4, "U8", "F8_E4M3", add_global);
    find_up(&c, "weight_global_scale")->shape[0] = 2;
    fails(&c, CT("nvfp4-pack-quantized", NVFP4), "up_proj.weight_packed' there should be one number of F32, 'model.layers.0.");
    fill_more(&c, WIDE / 2, 4, "U8", "U8", add_global);
    fails(&c, CT("nvfp4-pack-quantized", NVFP4), "has 32 bytes and 4 scales of U8 for rows of 64 values");
    fill_ct(&c, WIDE / 8, 2, false);
    add(&c, "model.layers.0.mlp.up_proj.weight_g_idx", WIDE, 0);
    fails(&c, config, "'model.layers.0.mlp.up_proj.weight_g_idx' is not supported");
    fill_ct(&c, WIDE, 1, true);
    fails(&c, config, "has 64 bytes and 1 scales");
    drop(&c, "model.layers.0.mlp.up_proj.weight_scale");
    fails(&c, CT("int-quantized", INT8), "is stored as I8, but there is no 'model.layers.0.mlp.up_proj.weight_scale'");
}
END_TEST

START_TEST(configurations_not_read)
{
    checkpoint c;
    fill_ct(&c, WIDE / 8, 2, false);
    fails(&c, CT("nvfp4-pack-quantized", NVFP4 ",\"symmetric\":false"), "asymmetric weights of 4 bits, type 'float'");
    fails(&c, CT("nvfp4-pack-quantized", MXFP4 "0"), "strategy 'group'; expected");
    fails(&c, CT("pack-quantized", "\"type\":\"int\",\"num_bits\":9,\"strategy\":\"channel\""), "weights of 9 bits");
    fails(&c, CT("pack-quantized", "\"type\":\"int\",\"num_bits\":4,\"strategy\":\"tensor\""), "strategy 'tensor'");
    fails(&c, CT("pack-quantized", "\"type\":\"float\",\"num_bits\":4,\"strategy\":\"channel\""), "type 'float'");
    fails(&c, CT("pack-quantized", "\"type\":\"int\",\"num_bits\":4,\"strategy\":\"group\""), "group_size");
    fails(&c, CT("marlin-24", INT4), "quantized in a way that cannot be read");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { values, zero_points, small_floats, tensors_that_do_not_fit, configurations_not_read };
    return run_cases("ct", setup, teardown, tests, PL_COUNT(tests));
}
