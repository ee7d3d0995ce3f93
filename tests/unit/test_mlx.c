/* test_mlx.c: MLX's folders: names there and back, values of every way to quantize, and what does not fit together. */
#include "formats/mlx_names.h"
#include "formats/mlx_types.h"
#include "tests/unit/hf_fixture.h"
#include "tests/unit/suite.h"

enum { EXPERTS = 2 };

#define MLX(rest) WIDE_CONFIG("quantization", rest)
#define AFFINE4 "\"group_size\":32,\"bits\":4"

/* Matrices have `words` words and `scales` scales in a row. */
static void fill_mlx(checkpoint *c, int words, int scales, const char *dtype)
{
    fill_wide(c, 0);
    for (int i = 0; i < PL_COUNT(wide_matrix); i++) {
        add_wide(c, i, "weight", wide_matrix[i].rows, words, "U32");
        add_wide(c, i, "scales", wide_matrix[i].rows, scales, dtype);
        if (strcmp(dtype, "U8")) add_wide(c, i, "biases", wide_matrix[i].rows, scales, dtype);
    }
}

typedef struct way { const char *config, *type, *dtype; int bits, group; } way;

/* Value of a column, from the row's bytes by the definition of each way. */
static float value_of(const way *w, const uint8_t *words, const uint8_t *scales, const uint8_t *biases, int col)
{
    unsigned code = 0;
    for (int b = 0; b < w->bits; b++) {
        int bit = col * w->bits + b;
        code |= (unsigned)(words[bit / 8] >> (bit % 8) & 1) << b;
    }
    const pl_dtype *dtype = pl_dtype_by_safetensors(w->dtype);
    float scale, bias = 0, x = (float)code;
    uint8_t byte = (uint8_t)code;
    if (strcmp(w->dtype, "U8")) {
        dtype->decode(scales + col / w->group * dtype->bytes, &scale, 1);
        dtype->decode(biases + col / w->group * dtype->bytes, &bias, 1);
        return x * scale + bias;
    }
    static const float e2m1[] = { 0, .5f, 1, 1.5f, 2, 3, 4, 6 };
    pl_dtypes[w->group == 16 ? PL_F8_E4M3 : PL_F8_E8M0].decode(scales + col / w->group, &scale, 1);
    if (w->bits == 4) x = code & 8 ? -e2m1[code & 7] : e2m1[code & 7];
    else pl_dtypes[PL_F8_E4M3].decode(&byte, &x, 1);
    return x * scale;
}

START_TEST(every_way)
{
    static const way ways[] = {
        { MLX("\"group_size\":32,\"bits\":4"), "affine4-g32", "BF16", 4, 32 },
        { MLX("\"group_size\":64,\"bits\":3,\"mode\":\"affine\""), "affine3-g64", "F16", 3, 64 },
        { MLX("\"group_size\":64,\"bits\":5"), "affine5-g64", "F32", 5, 64 },
        { MLX("\"group_size\":32,\"bits\":8"), "affine8-g32", "BF16", 8, 32 },
        { MLX("\"group_size\":64,\"bits\":8"), "affine2-g32", "BF16", 2, 32 },  /* the shapes decide */
        { MLX("\"group_size\":32,\"bits\":4,\"mode\":\"mxfp4\""), "f4_e2m1 1x32", "U8", 4, 32 },
        { MLX("\"group_size\":16,\"bits\":4,\"mode\":\"nvfp4\""), "f4_e2m1 1x16", "U8", 4, 16 },
    };
    for (int i = 0; i < PL_COUNT(ways); i++) {
        const way *w = &ways[i];
        checkpoint c;
        fill_mlx(&c, WIDE * w->bits / 32, WIDE / w->group, w->dtype);
        save_text("config.json", w->config);
        save_tensors("model.safetensors", c.entry, c.count);
        for (int how = 0; how < 2; how++) {
            pl_source *s = open_model(folder, how ? PL_OPEN_MAP : PL_OPEN_WINDOWS);
            int t = pl_model_find(s->model, pl_id_make(PL_FFN_UP, 0, -1));
            const pl_tensor *tensor = &s->model->tensor[t];
            float rows[2 * WIDE], decoded[2 * WIDE];
            pl_packed p;
            ck_assert_str_eq(pl_type_name(&tensor->type), w->type);
            ck_assert_int_eq(pl_source_rows(s, t, 3, 2, rows, arena), PL_OK);
            ck_assert_int_eq(pl_source_packed(s, t, 3, 2, &p, arena), PL_OK);
            ck_assert_int_eq(pl_packed_decode(&p, 0, 2, decoded, arena), PL_OK);
            ck_assert_int_eq(memcmp(rows, decoded, sizeof rows), 0);
            for (int k = 0; k < 2 * WIDE; k++) {
                uint8_t words[WIDE], scales[WIDE], biases[WIDE];
                int64_t row = 3 + k / WIDE, n = WIDE * w->bits / 32, g = WIDE / w->group;
                stored("weight", "U32", row * n, n, words);
                stored("scales", w->dtype, row * g, g, scales);
                if (strcmp(w->dtype, "U8")) stored("biases", w->dtype, row * g, g, biases);
                ck_assert_float_eq(rows[k], value_of(w, words, scales, biases, k % WIDE));
            }
            pl_source_close(s);
        }
    }
}
END_TEST

START_TEST(wrong_configs)
{
    static const struct { const char *config, *sentence; } cases[] = {
        { MLX(""), "'quantization': 'group_size' is missing" },
        { MLX("\"group_size\":32"), "'quantization': 'bits' is missing" },
        { MLX("\"group_size\":32,\"bits\":7"), "with 7 bits in groups of 32 is not known" },
        { MLX("\"group_size\":0,\"bits\":4"), "'group_size'" },
        { MLX("\"group_size\":1e300,\"bits\":4"), "'group_size'" },
        { MLX("\"group_size\":48,\"bits\":4"), "in groups of 48" },
        { MLX("\"group_size\":16,\"bits\":4,\"mode\":\"mxfp4\""), "of mode 'mxfp4'" },
        { MLX("\"group_size\":32,\"bits\":4,\"mode\":4"), "'mode'" },
        { MLX(AFFINE4 ",\"model.layers.0.mlp.up_proj\":{\"bits\":4}"), "'group_size' is missing" },
        { MLX(AFFINE4 ",\"model.layers.0.mlp.up_proj\":{\"group_size\":64,\"bits\":4}"),
          "says affine4-g64 of 'model.layers.0.mlp.up_proj', its shapes say affine4-g32" },
        { CONFIG ",\"quantization\":4}", "'quantization' should be an object" },
    };
    checkpoint c;
    fill_mlx(&c, 8, 2, "BF16");
    save_tensors("model.safetensors", c.entry, c.count);
    for (int i = 0; i < PL_COUNT(cases); i++) {
        save_text("config.json", cases[i].config);
        ck_assert_int_eq(try_open(folder), PL_E_INPUT);
        ck_sentence(cases[i].sentence);
    }
    /* An entry that agrees, and ones that only say whether. */
    save_text("config.json", MLX(AFFINE4 ",\"model.layers.0.mlp.up_proj\":{" AFFINE4 "},\"lm_head\":true,\"x\":false"));
    ck_assert_msg(try_open(folder) == PL_OK, "%s", pl_error());
}
END_TEST

START_TEST(wrong_tensors)
{
    static const struct { const char *part, *dtype; int64_t rows, cols; const char *sentence; } cases[] = {
        { "weight", "U32", WIDE, 7, "has 7 words and 2 scales of BF16 for rows of 64 values" },
        { "weight", "U32", WIDE, 0, "has 1 dimensions and scales" },
        { "weight", "U32", WIDE - 1, 8, "not as many rows" },
        { "weight", "I32", WIDE, 8, "is none of a llama model" },
        { "weight", "F32", WIDE, 8, "is none of a llama model" },
        { "scales", "BF16", WIDE, 3, "should have the shape and type" },
        { "scales", "F32", WIDE, 2, "should have the shape and type" },
        { "scales", "BF16", WIDE, 0, "not as many rows" },
        { "scales", "U8", WIDE, 2, "there should be no biases" },
        { "biases", "BF16", WIDE - 1, 2, "should have the shape and type" },
        { "scales", NULL, 0, 0, "there is no 'model.layers.0.mlp.up_proj.scales'" },
        { "biases", NULL, 0, 0, "there should be biases" },
        { "weight", NULL, 0, 0, "is none of a llama model" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        checkpoint c;
        fill_mlx(&c, 8, 2, "BF16");
        entry *e = find_up(&c, cases[i].part);
        if (!cases[i].dtype) {
            *e = c.entry[--c.count];
        } else {
            e->dtype = cases[i].dtype;
            e->shape[0] = cases[i].rows;
            e->shape[1] = cases[i].cols;
            e->dims = cases[i].cols ? 2 : 1;
        }
        save_text("config.json", MLX(AFFINE4));
        save_tensors("model.safetensors", c.entry, c.count);
        ck_assert_int_eq(try_open(folder), PL_E_INPUT);
        ck_sentence(cases[i].sentence);
    }
    checkpoint c;       /* scales that go on for ever are those of no way, however large the numbers */
    fill_mlx(&c, 8, 2, "BF16");
    find_up(&c, "scales")->shape[1] = find_up(&c, "biases")->shape[1] = 0;
    save_tensors("model.safetensors", c.entry, c.count);
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_sentence("and 0 scales");
    fill_mlx(&c, 8, 2, "BF16");
    add(&c, "model.layers.0.mlp.up_proj.global_scale", 1, 0);
    save_tensors("model.safetensors", c.entry, c.count);
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_sentence("scales of whole matrices are not supported");
}
END_TEST

/* A stack where the model has no experts, and one of another number of them. */
START_TEST(wrong_stacks)
{
    static const char moe[] =
        "{\"architectures\":[\"MixtralForCausalLM\"],\"hidden_size\":64,\"num_hidden_layers\":1,\"intermediate_size\":64,"
        "\"vocab_size\":10,\"num_attention_heads\":2,\"num_key_value_heads\":1,\"num_local_experts\":2,"
        "\"num_experts_per_tok\":1}";
    checkpoint c;
    for (int experts = 0; experts < 4; experts++) {
        fill(&c);
        entry *e = add(&c, "model.layers.0.block_sparse_moe.switch_mlp.up_proj.weight", experts, 4);
        e->dims = 3;
        e->shape[2] = 4;
        save_text("config.json", experts == EXPERTS ? untied : moe);
        save_tensors("model.safetensors", c.entry, c.count);
        ck_assert_int_eq(try_open(folder), PL_E_INPUT);
        if (experts == EXPERTS) ck_sentence("the first of 0 experts, has 3 dimensions, the first of 2");
        else ck_sentence("should have 3 dimensions, the first of 2 experts");
    }
}
END_TEST

/* Every name that we give is read as the tensor it was given to. */
START_TEST(names)
{
    int stacks = 0;
    for (int a = 0; pl_archs[a]; a++) {
        const pl_arch *arch = pl_archs[a];
        if (!pl_mlx_has(arch->name, false)) continue;
        for (int i = 0; i < arch->tensors; i++) {
            const pl_arch_tensor *row = &arch->tensor[i];
            if (row->role < 0 || !row->hf) continue;
            pl_id id = pl_id_make(row->role, strstr(row->hf, "%d") ? 7 : -1, pl_arch_per_expert(row) ? 0 : -1), found;
            const char *name = pl_mlx_name(arch, id, arena);
            pl_mlx_alias alias;
            ck_assert_ptr_nonnull(name);
            pl_mlx_resolve(arch, name, &alias);
            ck_assert_int_eq(alias.stacked, id.expert >= 0);
            ck_assert(pl_arch_identify(arch, PL_NAMES_HF, alias.name, &found));
            ck_assert(pl_id_equal(found, id));
            stacks += alias.stacked;
        }
    }
    ck_assert_int_eq(stacks, 9);
    ck_assert(!pl_mlx_has("bert", false));
    ck_assert(pl_mlx_has("gemma", false) && !pl_mlx_has("gemma", true));
}
END_TEST

START_TEST(types)
{
    static const struct { const char *name, *mode; int bits; } cases[] = {
        { "affine3-g64", "affine", 3 }, { "mxfp8", "mxfp8", 8 }, { "int4", NULL, 0 }, { "q8_0", NULL, 0 }, { "bf16", NULL, 0 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_type type;
        ck_assert_int_eq(pl_type_parse(cases[i].name, &type), PL_OK);
        const char *mode = pl_mlx_mode(&type);
        ck_assert(mode ? cases[i].mode && !strcmp(mode, cases[i].mode) : !cases[i].mode);
        if (mode) ck_assert_int_eq(pl_mlx_bits(&type), cases[i].bits);
    }
    pl_type a = pl_type_affine(4, 64, &pl_dtypes[PL_F16]), b = pl_type_affine(4, 64, &pl_dtypes[PL_F32]);
    ck_assert(pl_mlx_alike(&a, &b));
    b.group = 32;
    ck_assert(!pl_mlx_alike(&a, &b));
    b = pl_type_affine(7, 64, NULL);
    ck_assert_ptr_null(pl_mlx_mode(&b));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { every_way, wrong_configs, wrong_tensors, wrong_stacks, names, types };
    return run_cases("mlx", setup, teardown, tests, PL_COUNT(tests));
}
