/* test_hf_model.c: the Hugging Face source: folders it opens, what it reads from them, what it refuses. */
#include <math.h>

#include "formats/arch.h"
#include "formats/safetensors.h"
#include "tests/unit/hf_fixture.h"

static void ck_refused(const checkpoint *c, const char *config, const char *sentence)
{
    save_model(c, config);
    ck_assert_msg(try_open(folder) == PL_E_INPUT, "accepted, not '%s'", sentence);
    ck_sentence(sentence);
}

/* All rows of all tensors, in pieces, as f32 and as stored. */
static void compare_values(pl_source *s)
{
    for (int i = 0; i < s->model->tensors; i++) {
        const pl_tensor *t = &s->model->tensor[i];
        ck_assert_int_eq(t->order, 0);
        for (int64_t first = 0; first < t->rows; first += 3) {
            int64_t count = pl_min64(3, t->rows - first);
            float as_float[3 * HIDDEN], decoded[3 * HIDDEN];
            pl_packed packed;
            pl_source_advise(s, i, first, count);
            ck_assert_int_eq(pl_source_rows(s, i, first, count, as_float, arena), PL_OK);
            ck_assert_int_eq(pl_source_packed(s, i, first, count, &packed, arena), PL_OK);
            ck_assert_int_eq(packed.order, 0);
            ck_assert_int_eq(pl_packed_decode(&packed, 0, count, decoded, NULL), PL_OK);
            for (int64_t k = 0; k < count * t->cols; k++) {
                ck_assert(as_float[k] == value(t->name, first * t->cols + k));
                ck_assert(decoded[k] == as_float[k]);
            }
        }
        pl_arena_reset(arena);
    }
}

/* ---- what is read ---- */

static const int64_t layer_weights = 2 * HIDDEN + 2 * HIDDEN * HEADS * HEAD + 2 * HEAD * HIDDEN +
                                     3 * FFN * HIDDEN;

START_TEST(every_type)
{
    static const struct { const char *stored, *type; } cases[] = { { "F32", "f32" }, { "F16", "f16" },
                                                                   { "BF16", "bf16" } };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        checkpoint c;
        fill(&c);
        for (int k = 0; k < c.count; k++) c.entry[k].dtype = cases[i].stored;
        find(&c, "model.norm.weight")->dtype = "F32";
        save_model(&c, untied);
        for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
            pl_source *s = open_model(folder, (pl_open_how)how);
            const pl_model *m = s->model;
            ck_assert_str_eq(m->arch, "llama");
            ck_assert_str_eq(m->file_type, cases[i].type);
            ck_assert_int_eq(m->tensors, 3 + 9 * LAYERS);
            ck_assert_int_eq(m->parameters, LAYERS * layer_weights + HIDDEN + 2 * VOCAB * HIDDEN);
            ck_assert(m->hp.layers == LAYERS && m->hp.head_dim == HEAD && m->hp.kv_heads == KV_HEADS);
            ck_assert_ptr_null(m->vocab);
            compare_values(s);
            pl_source_close(s);
        }
    }
}
END_TEST

/* One file named itself, or found in its folder; shards with an index. */
START_TEST(every_place)
{
    checkpoint c;
    fill(&c);
    save_model(&c, untied);
    pl_source *s = open_model(in("model.safetensors"), PL_OPEN_MAP);
    compare_values(s);
    ck_assert_int_eq(s->files, 2);
    ck_assert_str_eq(s->file[0], in("config.json"));
    ck_assert_str_eq(s->file[1], in("model.safetensors"));
    pl_source_close(s);
    ck_assert_int_eq(chdir(folder), 0);
    pl_source_close(open_model("model.safetensors", PL_OPEN_WINDOWS));
    pl_source_close(open_model(".", PL_OPEN_WINDOWS));
    ck_assert_int_eq(chdir("/"), 0);

    ck_assert_int_eq(unlink(in("model.safetensors")), 0);
    char index[4096], *to = index + sprintf(index, "{\"weight_map\":{");
    for (int i = 0; i < c.count; i++)
        to += sprintf(to, "%s\"%s\":\"m-%d.safetensors\"", i ? "," : "", c.entry[i].name, i / 8);
    strcpy(to, "}}");
    save_text("model.safetensors.index.json", index);
    save_tensors("m-0.safetensors", c.entry, 8);
    save_tensors("m-1.safetensors", c.entry + 8, 8);
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_sentence("m-2.safetensors");
    save_tensors("m-2.safetensors", c.entry + 16, c.count - 16);
    save_text("README.md", "x");
    for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
        s = open_model(folder, (pl_open_how)how);
        compare_values(s);
        ck_assert_int_eq(s->files, 6);
        pl_source_close(s);
    }
}
END_TEST

START_TEST(not_a_checkpoint)
{
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    save_text("config.json", untied);
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_sentence("neither model.safetensors nor model.safetensors.index.json");
    checkpoint c;
    fill(&c);
    save_model(&c, untied);
    unlink(in("config.json"));
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_sentence("config.json");
    ck_assert_int_eq(try_open(in("model.safetensors")), PL_E_INPUT);
    ck_sentence("config.json");
    save_text("config.json", untied);
    bool mine = false;
    ck_assert_int_eq(pl_source_hf.probe(in("config.json"), &mine), PL_OK);
    ck_assert(!mine);
    save_text("x", "GGUF\3\0\0\0{");
    ck_assert_int_eq(pl_source_hf.probe(in("x"), &mine), PL_E_INPUT);
    ck_assert(!mine);
    ck_assert_int_eq(pl_source_hf.probe(in("gone"), &mine), PL_E_INPUT);
    char outside[] = "/tmp/test_st_outside.XXXXXX";
    int fd = mkstemp(outside);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(in("model.safetensors"));
    ck_assert_int_eq(symlink(outside, in("model.safetensors")), 0);
    ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    ck_sentence("a link out of its folder");
    unlink(outside);
}
END_TEST

START_TEST(output_matrix)
{
    checkpoint c;
    fill(&c);
    save_model(&c, tied);
    pl_source *s = open_model(folder, PL_OPEN_WINDOWS);
    ck_assert_ptr_nonnull(strstr(warned, "'lm_head.weight' is passed over"));
    ck_assert(s->model->hp.tied && pl_model_find(s->model, pl_id_make(PL_OUTPUT, -1, -1)) < 0);
    ck_assert_int_eq(s->model->parameters, LAYERS * layer_weights + HIDDEN + VOCAB * HIDDEN);
    pl_source_close(s);
    drop(&c, "lm_head.weight");
    save_model(&c, tied);
    ck_assert_int_eq(try_open(folder), PL_OK);
    ck_assert_str_eq(warned, "");
    ck_refused(&c, untied, "output is missing ('lm_head.weight'");
}
END_TEST

/* Rows 0..3 of a head lie in GGUF as 0 2 1 3: pairs (j, j + 2) side by side. */
START_TEST(row_order)
{
    static const int64_t expected[] = { 0, 2, 1, 3, 4, 6, 5, 7 };
    checkpoint c;
    fill(&c);
    save_model(&c, untied);
    pl_source *s = open_model(folder, PL_OPEN_WINDOWS);
    int q = pl_model_find(s->model, pl_id_make(PL_ATTN_Q, 1, -1));
    pl_input in_order = { .source = s, .tensor = q, .rows = HEADS * HEAD, .cols = HIDDEN,
                          .order = pl_arch_row(&pl_arch_llama, PL_ATTN_Q)->order(&s->model->hp) };
    float rows[HEADS * HEAD * HIDDEN];
    ck_assert_int_eq(in_order.order, HEAD);
    ck_assert_int_eq(pl_rows(&in_order, 0, HEADS * HEAD, rows, arena), PL_OK);
    for (int64_t r = 0; r < HEADS * HEAD; r++)
        for (int64_t k = 0; k < HIDDEN; k++)
            ck_assert(rows[r * HIDDEN + k] ==
                      value("model.layers.1.self_attn.q_proj.weight", expected[r] * HIDDEN + k));
    ck_assert_int_eq(pl_rows(&in_order, 5, 2, rows, arena), PL_OK);
    ck_assert(rows[HIDDEN] == value("model.layers.1.self_attn.q_proj.weight", 5 * HIDDEN));
    pl_source_close(s);
}
END_TEST

START_TEST(biases)
{
    static const struct { const char *flag, *sets[2]; int64_t rows[2]; } cases[] = {
        { "attention_bias", { "self_attn.q_proj.bias", "self_attn.o_proj.bias" }, { HEADS * HEAD, HIDDEN } },
        { "attention_bias", { "self_attn.k_proj.bias", "self_attn.v_proj.bias" }, { HEAD, HEAD } },
    };
    checkpoint c;
    char name[80], with[512];
    fill(&c);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int i = 0; i < 4; i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s", layer, cases[i / 2].sets[i % 2]);
            add(&c, name, cases[i / 2].rows[i % 2], 0);
        }
    snprintf(with, sizeof with, "%s,\"attention_bias\":true}", CONFIG);
    save_model(&c, with);
    pl_source *s = open_model(folder, PL_OPEN_MAP);
    int bias = pl_model_find(s->model, pl_id_make(PL_ATTN_Q + PL_BIAS, 1, -1));
    ck_assert_int_ge(bias, 0);
    ck_assert(s->model->tensor[bias].rows == HEADS * HEAD && s->model->tensor[bias].flags == 0);
    compare_values(s);
    pl_source_close(s);
    ck_refused(&c, untied, "attention_bias is false, but the checkpoint has 'model.layers.");
    drop(&c, "model.layers.1.self_attn.v_proj.bias");
    ck_refused(&c, with, "attn_v.bias of layer 1 is missing");
    fill(&c);
    ck_refused(&c, with, "attention_bias is true, but the checkpoint has no 'model.layers.");
    snprintf(with, sizeof with, "%s,\"mlp_bias\":true}", CONFIG);
    ck_refused(&c, with, "mlp_bias is true");
    for (int layer = 0; layer < LAYERS; layer++) {
        static const char *const part[] = { "gate", "up", "down" };
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "model.layers.%d.mlp.%s_proj.bias", layer, part[i]);
            add(&c, name, i < 2 ? FFN : HIDDEN, 0);
        }
    }
    save_model(&c, with);
    ck_assert_int_eq(try_open(folder), PL_OK);
}
END_TEST

/* A vector may be stored as a row or as a column. */
START_TEST(flat_matrices)
{
    for (int column = 0; column < 2; column++) {
        checkpoint c;
        fill(&c);
        entry *norm = find(&c, "model.norm.weight");
        norm->dims = 2;
        norm->shape[0] = column ? HIDDEN : 1;
        norm->shape[1] = column ? 1 : HIDDEN;
        save_model(&c, untied);
        pl_source *s = open_model(folder, PL_OPEN_MAP);
        const pl_tensor *t = &s->model->tensor[pl_model_find(s->model, pl_id_make(PL_OUTPUT_NORM, -1, -1))];
        ck_assert(t->rows == HIDDEN && t->cols == 1 && t->flags == 0);
        compare_values(s);
        pl_source_close(s);
    }
}
END_TEST

/* Factors that config.json holds are tensors like others: 1 for short waves, 8 for long ones. */
START_TEST(rope_factors)
{
    static const char config[] = CONFIG ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
        "\"low_freq_factor\":1,\"high_freq_factor\":4,\"original_max_position_embeddings\":64}}";
    checkpoint c;
    fill(&c);
    save_model(&c, config);
    for (int how = PL_OPEN_WINDOWS; how <= PL_OPEN_MAP; how++) {
        pl_source *s = open_model(folder, (pl_open_how)how);
        int freqs = pl_model_find(s->model, pl_id_make(PL_ROPE_FREQS, -1, -1));
        ck_assert_int_ge(freqs, 0);
        const pl_tensor *t = &s->model->tensor[freqs];
        ck_assert(t->rows == HEAD / 2 && t->cols == 1 && t->flags == 0);
        ck_assert_str_eq(pl_type_name(&t->type), "f32");
        float factors[HEAD / 2];
        pl_packed p;
        ck_assert_int_eq(pl_source_rows(s, freqs, 0, HEAD / 2, factors, arena), PL_OK);
        ck_assert(factors[0] == 1.0f && factors[1] == 8.0f);
        ck_assert_int_eq(pl_source_packed(s, freqs, 1, 1, &p, arena), PL_OK);
        ck_assert_mem_eq(p.part[0].ptr, factors + 1, sizeof(float));
        ck_assert_int_eq(s->model->parameters, LAYERS * layer_weights + HIDDEN + 2 * VOCAB * HIDDEN);
        pl_source_close(s);
    }
}
END_TEST

/* ---- what is refused ---- */

START_TEST(wrong_tensors)
{
    static const char up[] = "model.layers.1.mlp.up_proj.weight";
    checkpoint c;
    fill(&c);
    add(&c, "model.layers.0.self_attn.rotary_emb.inv_freq", HEAD / 2, 0)->dtype = "I32";   /* of no use to us */
    save_model(&c, untied);
    ck_assert_int_eq(try_open(folder), PL_OK);
    add(&c, "model.layers.0.self_attn.q_norm.weight", HEAD, 0);
    ck_refused(&c, untied, "tensor 'model.layers.0.self_attn.q_norm.weight' is none of a llama model");
    fill(&c);
    add(&c, "model.layers.2.mlp.up_proj.weight", FFN, HIDDEN);
    ck_refused(&c, untied, "belongs to layer 2");
    fill(&c);
    drop(&c, up);
    ck_refused(&c, untied, "ffn_up of layer 1 is missing");
    fill(&c);
    find(&c, up)->shape[0]++;
    ck_refused(&c, untied, "'model.layers.1.mlp.up_proj.weight' should be 6 x 8, is 7 x 8");
    fill(&c);
    find(&c, up)->dims = 1;
    ck_refused(&c, untied, "should be 6 x 8, is 6");
    fill(&c);
    find(&c, up)->dims = 3;
    find(&c, up)->shape[2] = 1;
    ck_refused(&c, untied, "3 dimensions");
    fill(&c);
    find(&c, "model.norm.weight")->dims = 2;
    find(&c, "model.norm.weight")->shape[0] = 4;
    find(&c, "model.norm.weight")->shape[1] = 2;
    ck_refused(&c, untied, "'model.norm.weight' should be 8, is 4 x 2");
    find(&c, "model.norm.weight")->shape[0] = 1;
    ck_refused(&c, untied, "'model.norm.weight' should be 8, is 2");
    fill(&c);
    find(&c, up)->dtype = "I32";
    ck_refused(&c, untied, "is stored as I32; expected F32, F16, BF16, F8_E4M3 or F8_E5M2");
    find(&c, up)->dtype = "F8_E8M0";
    ck_refused(&c, untied, "is stored as F8_E8M0; expected F32");
    fill(&c);
    find(&c, "model.embed_tokens.weight")->shape[0] = 12;
    ck_refused(&c, untied, "'model.embed_tokens.weight' should be 10 x 8, is 12 x 8");
}
END_TEST

START_TEST(wrong_configs)
{
    static const struct { const char *config, *sentence; } cases[] = {
        { "[]", "should be an object" },
        { "{}", "'architectures'" },
        { "{\"architectures\":\"LlamaForCausalLM\"," SIZES "}", "'architectures'" },
        { "{\"architectures\":[]," SIZES "}", "'architectures'" },
        { "{\"architectures\":[\"GPT9\"]," SIZES "}", "architecture 'GPT9' is not known; known are Llama" },
        { CONFIG ",\"quantization_config\":{\"quant_method\":\"bitnet\"}}", "'quantization_config' of bitnet" },
        { CONFIG ",\"quantization\":{\"bits\":4}}", "'quantization': 'group_size' is missing" },
        { CONFIG ",\"attention_bias\":\"no\"}", "'attention_bias' should be true or false" },
        { CONFIG ",\"hidden_act\":\"relu\"}", "hidden_act 'relu'" },
        { CONFIG ",\"hidden_size\":8}", "twice" },
    };
    checkpoint c;
    fill(&c);
    for (int i = 0; i < PL_COUNT(cases); i++) {
        ck_refused(&c, cases[i].config, cases[i].sentence);
        ck_sentence(in("config.json"));
    }
    for (size_t cut = 0; cut < sizeof untied - 1; cut++) {
        save("config.json", untied, cut);
        ck_assert_int_eq(try_open(folder), PL_E_INPUT);
    }
}
END_TEST

START_TEST(truncated_weights)
{
    checkpoint c;
    fill(&c);
    save_model(&c, untied);
    char *bytes;
    size_t len;
    ck_assert_int_eq(pl_file_load(in("model.safetensors"), 1 << 20, &bytes, &len), PL_OK);
    for (size_t cut = 0; cut < len; cut += cut < 16 || cut + 16 > len ? 1 : 13) {
        save("model.safetensors", bytes, cut);
        ck_assert_int_eq(try_open(folder), PL_E_INPUT);
        ck_sentence("model.safetensors");
    }
    pl_free(bytes);
}
END_TEST

/* A file that shrinks after it was opened: an error, no zeros. */
START_TEST(shrinks)
{
    checkpoint c;
    float rows[HIDDEN];
    fill(&c);
    save_model(&c, untied);
    pl_source *s = open_model(folder, PL_OPEN_WINDOWS);
    ck_assert_int_eq(truncate(in("model.safetensors"), 64), 0);
    ck_assert_int_eq(pl_source_rows(s, 0, 0, 1, rows, arena), PL_E_INPUT);
    ck_sentence("model.safetensors");
    pl_source_close(s);
}
END_TEST

START_TEST(out_of_memory)
{
    checkpoint c;
    fill(&c);
    save_model(&c, untied);
    save_text("README.md", "---\nlicense: mit\ntags: [a, b]\nbase_model: a/b-7B\n---\n");
    pl_status code = PL_E_MEMORY;
    int failures = 0;
    for (; code == PL_E_MEMORY; failures++) {
        pl_source *s;
        pl_mem_fail_after(failures);
        code = pl_source_open(formats, folder, &(pl_open_options){ .how = PL_OPEN_MAP }, &s);
        pl_mem_fail_after(-1);
        ck_assert_msg(code == PL_OK || code == PL_E_MEMORY, "%d: %s", failures, pl_error());
        pl_source_close(s);
    }
    ck_assert_int_gt(failures, 50);
}
END_TEST

/* ---- a real checkpoint ---- */

START_TEST(stories)
{
    char path[PATH_MAX];
    const char *root = getenv("PLANISH_SOURCE_ROOT");
    ck_assert_ptr_nonnull(root);
    snprintf(path, sizeof path, "%s/calib-data/stories260k", root);
    pl_source *s = open_model(path, PL_OPEN_MAP);
    const pl_model *m = s->model;
    ck_assert_int_eq(m->parameters, 260032);
    ck_assert_int_eq(m->tensors, 2 + 9 * 5);
    ck_assert(m->hp.layers == 5 && m->hp.hidden == 64 && m->hp.heads == 8 && m->hp.kv_heads == 4);
    ck_assert(m->hp.head_dim == 8 && m->hp.ffn == 172 && m->hp.vocab == 512 && m->hp.tied);
    ck_assert(m->hp.context == 512 && m->hp.norm_eps == 1e-5f);
    ck_assert_str_eq(m->file_type, "f32");
    ck_assert_str_eq(m->name, "Stories260K");
    ck_assert_ptr_nonnull(m->vocab);
    ck_assert_int_eq(m->vocab->count, 512);
    for (int i = 0; i < m->tensors; i++) {
        const pl_tensor *t = &m->tensor[i];
        float *rows = PL_NEW(arena, float, t->rows * t->cols);
        double power = 0;
        ck_assert_int_eq(pl_source_rows(s, i, 0, t->rows, rows, arena), PL_OK);
        for (int64_t k = 0; k < t->rows * t->cols; k++) power += (double)rows[k] * (double)rows[k];
        ck_assert(isfinite(power) && power > 0);
    }
    ck_assert_int_eq(pl_map_check(), PL_OK);
    pl_source_close(s);
}
END_TEST

typedef struct seen { int transposed, shifted, kept, flat, computed; } seen;

/* Every value of a tensor is the one in the file, in the place and with the offset that the table says. */
static void ck_by_table(pl_source *s, int index, const pl_st_set *set, seen *all)
{
    const pl_tensor *t = &s->model->tensor[index];
    const pl_arch_tensor *row = pl_arch_row_of(pl_arch_find(s->model->arch), t->id);
    const pl_st_tensor *from = pl_st_find(set, t->name, strlen(t->name));
    int64_t values = t->rows * t->cols;
    float *raw = PL_NEW(arena, float, values), *rows = PL_NEW(arena, float, values);
    float *decoded = PL_NEW(arena, float, values);
    pl_packed p;
    ck_assert_int_eq(pl_source_rows(s, index, 0, t->rows, rows, arena), PL_OK);
    ck_assert_int_eq(pl_source_packed(s, index, 0, t->rows, &p, arena), PL_OK);
    ck_assert(pl_type_equal(&p.type, &t->type));
    ck_assert_int_eq(pl_packed_decode(&p, 0, t->rows, decoded, NULL), PL_OK);
    ck_assert_mem_eq(rows, decoded, (size_t)values * sizeof *rows);
    ck_assert((t->flags == PL_TENSOR_MATRIX) == (t->cols > 1 && !row->keep));
    all->computed += !from;
    if (!from) return;
    uint8_t *bytes = PL_NEW(arena, uint8_t, from->bytes);
    ck_assert_int_eq(pl_file_read(set->file[0], from->offset, bytes, (size_t)from->bytes), PL_OK);
    pl_decode(pl_dtype_by_safetensors(from->dtype), bytes, raw, values);
    int wrong = 0;
    for (int64_t i = 0; i < values; i++) {
        int64_t at = row->transposed ? i % t->cols * t->rows + i / t->cols : i;
        wrong += rows[i] != raw[at] + row->offset;
    }
    ck_assert_msg(!wrong, "%d values of '%s'", wrong, t->name);
    all->transposed += row->transposed;
    all->shifted += row->offset != 0.0f;
    all->kept += row->keep;
    all->flat += from->dims == 2 && t->cols == 1;
}

START_TEST(tiny_models)
{
    static const char *const names[] = { "bert", "gemma2", "gemma3", "gpt2", "llama", "mistral", "mixtral", "phi3",
                                         "phi3-longrope", "qwen2", "qwen2-yarn", "qwen2_moe", "qwen3", "qwen3_moe",
                                         "smollm3" };
    seen all = { 0 };
    for (int i = 0; i < 2 * PL_COUNT(names); i++) {
        char path[PATH_MAX], weights[PATH_MAX];
        snprintf(path, sizeof path, "%s/tests/tiny/models/%s", getenv("PLANISH_SOURCE_ROOT"), names[i / 2]);
        ck_assert_int_eq(pl_path_join(weights, sizeof weights, path, "model.safetensors"), PL_OK);
        pl_source *s = open_model(path, i % 2 ? PL_OPEN_MAP : PL_OPEN_WINDOWS);
        pl_st_set set;
        ck_assert_int_eq(pl_st_open_file(weights, arena, &set), PL_OK);
        for (int t = 0; t < s->model->tensors; t++) ck_by_table(s, t, &set, &all);
        pl_st_close(&set);
        pl_source_close(s);
        pl_arena_reset(arena);
    }
    ck_assert_msg(all.transposed && all.shifted && all.kept && all.flat && all.computed == 6,
                  "transposed %d, shifted %d, kept %d, flat %d, computed %d", all.transposed, all.shifted, all.kept,
                  all.flat, all.computed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hf_model");
    TCase *cases = tcase_create("hf_model");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, every_type);
    tcase_add_test(cases, every_place);
    tcase_add_test(cases, not_a_checkpoint);
    tcase_add_test(cases, output_matrix);
    tcase_add_test(cases, row_order);
    tcase_add_test(cases, biases);
    tcase_add_test(cases, flat_matrices);
    tcase_add_test(cases, rope_factors);
    tcase_add_test(cases, wrong_tensors);
    tcase_add_test(cases, wrong_configs);
    tcase_add_test(cases, truncated_weights);
    tcase_add_test(cases, shrinks);
    tcase_add_test(cases, out_of_memory);
    tcase_add_test(cases, stories);
    tcase_add_test(cases, tiny_models);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
