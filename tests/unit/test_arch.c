/* test_arch.c: the architecture tables: names, identities, shapes, complete and incomplete models. */
#include "tests/unit/run.h"

#include "formats/arch.h"

static pl_arena *arena;         /* of all tests; each runs in a process of its own */

/* ---- names ---- */

START_TEST(finds_architectures)
{
    ck_assert_ptr_eq(pl_arch_find("llama"), &pl_arch_llama);
    ck_assert_ptr_eq(pl_arch_find_hf("MixtralForCausalLM"), &pl_arch_llama);
    ck_assert_ptr_eq(pl_arch_find("qwen3moe"), &pl_arch_qwen3moe);
    ck_assert_ptr_eq(pl_arch_find_hf("BertForMaskedLM"), &pl_arch_bert);
    ck_assert_ptr_null(pl_arch_find("LlamaForCausalLM"));
    ck_assert_ptr_null(pl_arch_find_hf("llama"));
    ck_assert_ptr_null(pl_arch_find(""));
    for (int i = 0; pl_archs[i]; i++) {
        ck_assert_ptr_eq(pl_arch_find(pl_archs[i]->name), pl_archs[i]);
        for (const char *const *name = pl_archs[i]->hf; *name; name++) {
            ck_assert_ptr_eq(pl_arch_find_hf(*name), pl_archs[i]);
            ck_assert_ptr_nonnull(strstr(pl_arch_list(), *name));
        }
    }
}
END_TEST

START_TEST(known_names)
{
    static const struct { const pl_arch *arch; const char *hf, *gguf; int role, layer; } cases[] = {
        { &pl_arch_llama, "model.embed_tokens.weight", "token_embd.weight", PL_TOKEN_EMBD, -1 },
        { &pl_arch_llama, "model.norm.weight", "output_norm.weight", PL_OUTPUT_NORM, -1 },
        { &pl_arch_llama, "lm_head.weight", "output.weight", PL_OUTPUT, -1 },
        { &pl_arch_llama, "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", PL_ATTN_Q, 0 },
        { &pl_arch_llama, "model.layers.10.self_attn.k_proj.weight", "blk.10.attn_k.weight", PL_ATTN_K, 10 },
        { &pl_arch_llama, "model.layers.3.self_attn.v_proj.bias", "blk.3.attn_v.bias", PL_ATTN_V + PL_BIAS, 3 },
        { &pl_arch_llama, "model.layers.3.self_attn.o_proj.weight", "blk.3.attn_output.weight", PL_ATTN_O, 3 },
        { &pl_arch_llama, "model.layers.9.input_layernorm.weight", "blk.9.attn_norm.weight", PL_ATTN_NORM, 9 },
        { &pl_arch_llama, "model.layers.9.post_attention_layernorm.weight", "blk.9.ffn_norm.weight",
          PL_FFN_NORM, 9 },
        { &pl_arch_llama, "model.layers.1023.mlp.gate_proj.weight", "blk.1023.ffn_gate.weight", PL_FFN_GATE,
          1023 },
        { &pl_arch_llama, "model.layers.7.mlp.down_proj.weight", "blk.7.ffn_down.weight", PL_FFN_DOWN, 7 },
        { &pl_arch_llama, "model.layers.7.block_sparse_moe.gate.weight", "blk.7.ffn_gate_inp.weight",
          PL_FFN_ROUTER, 7 },
        { &pl_arch_qwen2, "model.layers.1.self_attn.k_proj.bias", "blk.1.attn_k.bias", PL_ATTN_K + PL_BIAS, 1 },
        { &pl_arch_qwen3, "model.layers.1.self_attn.q_norm.weight", "blk.1.attn_q_norm.weight",
          PL_ATTN_Q_NORM, 1 },
        { &pl_arch_qwen2moe, "model.layers.1.mlp.gate.weight", "blk.1.ffn_gate_inp.weight", PL_FFN_ROUTER, 1 },
        { &pl_arch_qwen2moe, "model.layers.1.mlp.shared_expert_gate.weight", "blk.1.ffn_gate_inp_shexp.weight",
          PL_SHARED_ROUTER, 1 },
        { &pl_arch_qwen2moe, "model.layers.1.mlp.shared_expert.down_proj.weight", "blk.1.ffn_down_shexp.weight",
          PL_SHARED_DOWN, 1 },
        { &pl_arch_gemma, "model.layers.1.post_attention_layernorm.weight", "blk.1.ffn_norm.weight",
          PL_FFN_NORM, 1 },
        { &pl_arch_gemma2, "model.layers.1.post_attention_layernorm.weight", "blk.1.post_attention_norm.weight",
          PL_ATTN_POST_NORM, 1 },
        { &pl_arch_gemma2, "model.layers.1.pre_feedforward_layernorm.weight", "blk.1.ffn_norm.weight",
          PL_FFN_NORM, 1 },
        { &pl_arch_gemma3, "model.layers.1.post_feedforward_layernorm.weight", "blk.1.post_ffw_norm.weight",
          PL_FFN_POST_NORM, 1 },
        { &pl_arch_phi3, "model.layers.1.self_attn.qkv_proj.weight", "blk.1.attn_qkv.weight", PL_ATTN_QKV, 1 },
        { &pl_arch_phi3, "model.layers.1.mlp.gate_up_proj.weight", "blk.1.ffn_up.weight", PL_FFN_GATE_UP, 1 },
        { &pl_arch_gpt2, "wpe.weight", "position_embd.weight", PL_POSITION_EMBD, -1 },
        { &pl_arch_gpt2, "h.2.attn.c_attn.bias", "blk.2.attn_qkv.bias", PL_ATTN_QKV + PL_BIAS, 2 },
        { &pl_arch_gpt2, "ln_f.bias", "output_norm.bias", PL_OUTPUT_NORM + PL_BIAS, -1 },
        { &pl_arch_bert, "embeddings.token_type_embeddings.weight", "token_types.weight", PL_TYPE_EMBD, -1 },
        { &pl_arch_bert, "embeddings.LayerNorm.bias", "token_embd_norm.bias", PL_EMBD_NORM + PL_BIAS, -1 },
        { &pl_arch_bert, "encoder.layer.1.attention.output.dense.weight", "blk.1.attn_output.weight",
          PL_ATTN_O, 1 },
        { &pl_arch_bert, "encoder.layer.1.output.LayerNorm.weight", "blk.1.layer_output_norm.weight",
          PL_LAYER_OUT_NORM, 1 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        const pl_arch *arch = cases[i].arch;
        pl_id want = pl_id_make(cases[i].role, cases[i].layer, -1), id;
        ck_assert_msg(pl_arch_identify(arch, PL_NAMES_HF, cases[i].hf, &id) && pl_id_equal(id, want), "%s",
                      cases[i].hf);
        ck_assert_msg(pl_arch_identify(arch, PL_NAMES_GGUF, cases[i].gguf, &id) && pl_id_equal(id, want),
                      "%s", cases[i].gguf);
        ck_assert_str_eq(pl_arch_name(arch, PL_NAMES_HF, want, arena), cases[i].hf);
        ck_assert_str_eq(pl_arch_name(arch, PL_NAMES_GGUF, want, arena), cases[i].gguf);
        ck_assert(!pl_arch_identify(arch, PL_NAMES_GGUF, cases[i].hf, &id));
        ck_assert(!pl_arch_identify(arch, PL_NAMES_HF, cases[i].gguf, &id));
    }
}
END_TEST

/* Experts have names of their own in a checkpoint, and share one in GGUF. */
START_TEST(names_of_experts)
{
    static const struct { const pl_arch *arch; const char *hf, *gguf; int role; } cases[] = {
        { &pl_arch_llama, "model.layers.5.block_sparse_moe.experts.11.w1.weight", "blk.5.ffn_gate_exps.weight",
          PL_FFN_GATE },
        { &pl_arch_llama, "model.layers.5.block_sparse_moe.experts.11.w3.weight", "blk.5.ffn_up_exps.weight",
          PL_FFN_UP },
        { &pl_arch_llama, "model.layers.5.block_sparse_moe.experts.11.w2.weight", "blk.5.ffn_down_exps.weight",
          PL_FFN_DOWN },
        { &pl_arch_qwen2moe, "model.layers.5.mlp.experts.11.gate_proj.weight", "blk.5.ffn_gate_exps.weight",
          PL_FFN_GATE },
        { &pl_arch_qwen3moe, "model.layers.5.mlp.experts.11.down_proj.weight", "blk.5.ffn_down_exps.weight",
          PL_FFN_DOWN },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_id want = pl_id_make(cases[i].role, 5, 11), id;
        ck_assert(pl_arch_identify(cases[i].arch, PL_NAMES_HF, cases[i].hf, &id) && pl_id_equal(id, want));
        ck_assert_str_eq(pl_arch_name(cases[i].arch, PL_NAMES_HF, want, arena), cases[i].hf);
        ck_assert_str_eq(pl_arch_name(cases[i].arch, PL_NAMES_GGUF, want, arena), cases[i].gguf);
        ck_assert(pl_arch_identify(cases[i].arch, PL_NAMES_GGUF, cases[i].gguf, &id));
        ck_assert(id.role == cases[i].role && id.layer == 5 && id.expert == -1);
        const pl_arch_tensor *row = pl_arch_row_of(cases[i].arch, want);
        ck_assert(pl_arch_per_expert(row) && pl_arch_stacked(row));
    }
    ck_assert(!pl_arch_per_expert(pl_arch_row_of(&pl_arch_llama, pl_id_make(PL_FFN_GATE, 5, -1))));
    ck_assert_ptr_null(pl_arch_row_of(&pl_arch_qwen3, pl_id_make(PL_FFN_GATE, 5, 11)));
    ck_assert_ptr_null(pl_arch_row_of(&pl_arch_qwen3, pl_id_make(PL_FFN_GATE, -1, -1)));
    ck_assert_ptr_null(pl_arch_row_of(&pl_arch_qwen3, pl_id_make(-1, 5, -1)));
}
END_TEST

static int gaps(const char *pattern)
{
    int count = 0;
    for (; pattern && (pattern = strstr(pattern, "%d")); pattern += 2) count++;
    return count;
}

/* Layers and experts that a row's tensors have, from its names. */
static bool layered(const pl_arch_tensor *row) { return gaps(row->hf) > 0 || gaps(row->gguf) > 0; }

/* Every row of every table, there and back; no name means two things. */
START_TEST(round_trips)
{
    for (int a = 0; pl_archs[a]; a++) {
        const pl_arch *arch = pl_archs[a];
        for (int i = 0; i < arch->tensors; i++) {
            const pl_arch_tensor *row = &arch->tensor[i];
            if (row->role < 0) continue;
            int found = 0;
            pl_id want = pl_id_make(row->role, layered(row) ? 6 : -1, pl_arch_per_expert(row) ? 3 : -1), id;
            for (int naming = PL_NAMES_HF; naming <= PL_NAMES_GGUF; naming++) {
                const char *name = pl_arch_name(arch, (pl_naming)naming, want, arena);
                if (!name) continue;
                found++;
                ck_assert_msg(pl_arch_identify(arch, (pl_naming)naming, name, &id), "%s", name);
                if (naming == PL_NAMES_GGUF && pl_arch_stacked(row)) id.expert = want.expert;
                ck_assert_msg(pl_id_equal(id, want), "%s: %s", arch->name, name);
            }
            ck_assert_int_ge(found, 1);
            for (int k = 0; k < i; k++) {
                const pl_arch_tensor *other = &arch->tensor[k];
                ck_assert_msg(!row->hf || !other->hf || strcmp(row->hf, other->hf), "%s twice", row->hf);
                ck_assert_msg(!row->gguf || !other->gguf || strcmp(row->gguf, other->gguf), "%s twice",
                              row->gguf);
            }
        }
    }
    ck_assert_ptr_null(pl_arch_name(&pl_arch_llama, PL_NAMES_HF, pl_id_make(PL_ROPE_FREQS, -1, -1), arena));
    ck_assert_ptr_null(pl_arch_name(&pl_arch_llama, PL_NAMES_HF, pl_id_make(PL_ATTN_Q, -1, -1), arena));
    ck_assert_ptr_null(pl_arch_name(&pl_arch_llama, PL_NAMES_HF, pl_id_make(PL_OUTPUT, 0, -1), arena));
    ck_assert_ptr_null(pl_arch_name(&pl_arch_llama, PL_NAMES_HF, pl_id_make(PL_ATTN_Q, 0, 3), arena));
    ck_assert_ptr_null(pl_arch_name(&pl_arch_llama, PL_NAMES_HF, pl_id_make(PL_ATTN_NORM + PL_BIAS, 0, -1),
                                    arena));
}
END_TEST

START_TEST(unknown_names)
{
    static const char *const names[] = {
        "", ".", "0", "model", "model.layers.", "model.layers..mlp.up_proj.weight",
        "model.layers.%d.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight2",
        "model.layers.0.mlp.up_proj", "model.layers.00.mlp.up_proj.weight",
        "model.layers.01.mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight",
        "model.layers.1024.mlp.up_proj.weight", "model.layers.4294967296.mlp.up_proj.weight",
        "model.layers.99999999999999999999999.mlp.up_proj.weight", "model.layers.1x.mlp.up_proj.weight",
        "model.layers. 1.mlp.up_proj.weight", "layers.0.mlp.up_proj.weight", "lm_head.0.weight",
        "model.layers.0.1.mlp.up_proj.weight", "model.norm.bias", "x.model.norm.weight",
        "model.layers.0.block_sparse_moe.experts.4096.w1.weight",
        "model.layers.0.block_sparse_moe.experts.01.w1.weight",
        "model.layers.0.block_sparse_moe.experts..w1.weight",
    };
    pl_id id;
    for (int i = 0; i < PL_COUNT(names); i++)
        ck_assert_msg(!pl_arch_identify(&pl_arch_llama, PL_NAMES_HF, names[i], &id), "'%s'", names[i]);
}
END_TEST

START_TEST(prefixes_and_what_is_passed_over)
{
    static const struct { const pl_arch *arch; const char *name; int role; } cases[] = {
        { &pl_arch_llama, "model.layers.3.self_attn.rotary_emb.inv_freq", -1 },
        { &pl_arch_gpt2, "transformer.h.0.attn.bias", -1 },
        { &pl_arch_gpt2, "h.0.attn.masked_bias", -1 },
        { &pl_arch_gpt2, "transformer.wte.weight", PL_TOKEN_EMBD },
        { &pl_arch_gpt2, "lm_head.weight", PL_OUTPUT },
        { &pl_arch_bert, "bert.embeddings.word_embeddings.weight", PL_TOKEN_EMBD },
        { &pl_arch_bert, "bert.embeddings.LayerNorm.gamma", PL_EMBD_NORM },
        { &pl_arch_bert, "bert.encoder.layer.0.output.LayerNorm.beta", PL_LAYER_OUT_NORM + PL_BIAS },
        { &pl_arch_bert, "bert.pooler.dense.bias", -1 },
        { &pl_arch_bert, "embeddings.position_ids", -1 },
        { &pl_arch_bert, "cls.predictions.bias", -1 },
        { &pl_arch_bert, "cls.seq_relationship.weight", -1 },
    };
    pl_id id;
    for (int i = 0; i < PL_COUNT(cases); i++) {
        ck_assert_msg(pl_arch_identify(cases[i].arch, PL_NAMES_HF, cases[i].name, &id), "%s", cases[i].name);
        ck_assert_int_eq(id.role, cases[i].role);
        ck_assert(!pl_arch_identify(cases[i].arch, PL_NAMES_GGUF, cases[i].name, &id));
    }
    ck_assert(!pl_arch_identify(&pl_arch_bert, PL_NAMES_HF, "bert.bert.pooler.dense.bias", &id));
    ck_assert(!pl_arch_identify(&pl_arch_llama, PL_NAMES_HF, "transformer.model.norm.weight", &id));
}
END_TEST

/* ---- what tables say beside names ---- */

START_TEST(facts_of_tables)
{
    for (int a = 0; pl_archs[a]; a++) {
        const pl_arch *arch = pl_archs[a];
        bool ordered = arch == &pl_arch_llama || arch == &pl_arch_smollm3;
        bool gemma = !strncmp(arch->name, "gemma", 5);
        for (int i = 0; i < arch->tensors; i++) {
            const pl_arch_tensor *row = &arch->tensor[i];
            if (row->role < 0) continue;
            int role = row->role >= PL_BIAS ? row->role - PL_BIAS : row->role;
            ck_assert_int_eq(row->order != NULL, ordered && (role == PL_ATTN_Q || role == PL_ATTN_K));
            bool norm = strstr(pl_role_name(role), "norm") != NULL;
            ck_assert(row->offset == (gemma && norm ? 1 : 0));
            bool linear = layered(row) && role == row->role && !norm;
            ck_assert_int_eq(row->transposed, arch == &pl_arch_gpt2 && linear);
            ck_assert_int_eq(row->keep, role == PL_FFN_ROUTER || role == PL_POSITION_EMBD ||
                             role == PL_TYPE_EMBD);
        }
    }
}
END_TEST

/* ---- check ---- */

enum { MOST = 256 };

typedef struct fixture { const pl_arch *arch; pl_model model; pl_tensor tensor[MOST]; } fixture;

static pl_tensor make(const fixture *f, const pl_arch_tensor *row, int layer, int expert)
{
    const pl_hparams *hp = &f->model.hp;
    pl_id id = pl_id_make(row->role, layer, expert);
    int64_t cols = row->cols(hp);
    const char *name = pl_arch_name(f->arch, PL_NAMES_GGUF, id, arena);
    return (pl_tensor){ .id = id, .name = name ? name : row->hf, .rows = row->rows(hp), .cols = cols,
                        .type = pl_type_plain(PL_F32),
                        .flags = cols > 1 && !row->keep ? PL_TENSOR_MATRIX : 0 };
}

static void add(fixture *f, int role, int layer)
{
    const pl_arch_tensor *row = pl_arch_row_of(f->arch, pl_id_make(role, layer, -1));
    f->tensor[f->model.tensors++] = make(f, row, layer, -1);
}

/* Two layers, three experts if any, with everything that is required. */
static void build(fixture *f, const pl_arch *arch, bool tied, bool experts)
{
    *f = (fixture){ .arch = arch };
    f->model.hp = (pl_hparams){ .layers = 2, .hidden = 8, .heads = 2, .kv_heads = 1, .head_dim = 4,
                                .ffn = 6, .vocab = 10, .context = 12, .rope_dim = 4, .tied = tied,
                                .token_types = 2 };
    if (experts) {
        f->model.hp.experts = 3;
        f->model.hp.expert_ffn = 5;
        f->model.hp.shared_ffn = 7;
    }
    f->model.tensor = f->tensor;
    for (int i = 0; i < arch->tensors; i++) {
        const pl_arch_tensor *row = &arch->tensor[i];
        bool spelling = row->role >= 0 && !row->gguf && pl_arch_row(arch, row->role) != row;
        if (row->role < 0 || !row->required || (row->role == PL_OUTPUT && tied) || spelling) continue;
        if (row->when && !row->when(&f->model.hp)) continue;
        int layers = layered(row) ? 2 : 1, each = pl_arch_per_expert(row) ? 3 : 1;
        for (int k = 0; k < layers * each; k++)
            f->tensor[f->model.tensors++] = make(f, row, layered(row) ? k / each : -1,
                                                 pl_arch_per_expert(row) ? k % each : -1);
        ck_assert_int_lt(f->model.tensors, MOST);
    }
}

static bool needs_experts(const pl_arch *arch) { return strstr(arch->name, "moe") != NULL; }

static pl_status check(fixture *f)
{
    PL_TRY(pl_model_index(&f->model, arena));
    return pl_arch_check(f->arch, &f->model, "file");
}

START_TEST(complete_models)
{
    fixture f;
    int64_t layer = 2 * 8 + 8 * 8 * 2 + 4 * 8 * 2 + 3 * 6 * 8;
    build(&f, &pl_arch_llama, false, false);
    assert_ok(check(&f));
    ck_assert_int_eq(f.model.parameters, 2 * layer + 8 + 2 * 10 * 8);
    build(&f, &pl_arch_llama, true, false);
    assert_ok(check(&f));
    ck_assert_int_eq(f.model.parameters, 2 * layer + 8 + 10 * 8);
    add(&f, PL_ROPE_FREQS, -1);
    add(&f, PL_ATTN_Q + PL_BIAS, 0);
    add(&f, PL_ATTN_Q + PL_BIAS, 1);
    assert_ok(check(&f));
    build(&f, &pl_arch_llama, true, true);
    assert_ok(check(&f));
    ck_assert_int_eq(f.model.parameters, 2 * (layer - 3 * 6 * 8 + 3 * 8 + 3 * 3 * 5 * 8) + 8 + 10 * 8);
    for (int a = 0; pl_archs[a]; a++) {
        build(&f, pl_archs[a], false, needs_experts(pl_archs[a]));
        assert_ok(check(&f));
    }
}
END_TEST

START_TEST(incomplete_models)
{
    fixture f;
    for (int a = 0; pl_archs[a]; a++) {
        build(&f, pl_archs[a], false, needs_experts(pl_archs[a]));
        int all = f.model.tensors;
        for (int i = 0; i < all; i++) {         /* each in turn is missing */
            build(&f, pl_archs[a], false, needs_experts(pl_archs[a]));
            char role[64];
            snprintf(role, sizeof role, "%s", pl_role_name(f.tensor[i].id.role));
            f.tensor[i] = f.tensor[--f.model.tensors];
            assert_fails(check(&f), PL_E_INPUT, "is missing");
            assert_fails(check(&f), PL_E_INPUT, role);
        }
    }
    build(&f, &pl_arch_llama, true, false);
    add(&f, PL_FFN_UP + PL_BIAS, 1);
    assert_fails(check(&f), PL_E_INPUT, "ffn_up.bias of layer 0 is missing");
    build(&f, &pl_arch_phi3, false, false);
    f.model.hp.rope_scaling = PL_ROPE_LONGROPE;
    assert_fails(check(&f), PL_E_INPUT, "rope_factors_long is missing");
}
END_TEST

START_TEST(wrong_tensors)
{
    fixture f;
    build(&f, &pl_arch_llama, true, false);
    add(&f, PL_ATTN_Q, 1);
    assert_fails(check(&f), PL_E_INPUT, "blk.1.attn_q.weight");
    build(&f, &pl_arch_llama, true, false);
    add(&f, PL_ATTN_Q, 2);
    assert_fails(check(&f), PL_E_INPUT, "'blk.2.attn_q.weight' belongs to layer 2, the model has layers 0 to 1");
    build(&f, &pl_arch_llama, true, false);     /* experts where the model has none, and the reverse */
    add(&f, PL_FFN_ROUTER, 1);
    assert_fails(check(&f), PL_E_INPUT, "'blk.1.ffn_gate_inp.weight' has no place");
    build(&f, &pl_arch_llama, true, true);
    add(&f, PL_FFN_UP, 1);
    assert_fails(check(&f), PL_E_INPUT, "'blk.1.ffn_up.weight' has no place");
    build(&f, &pl_arch_llama, true, true);
    pl_id fourth = pl_id_make(PL_FFN_UP, 1, 3);
    f.tensor[f.model.tensors++] = make(&f, pl_arch_row_of(f.arch, fourth), 1, 3);
    assert_fails(check(&f), PL_E_INPUT, "belongs to expert 3 of 3");
    for (int a = 0; pl_archs[a]; a++) {
        build(&f, pl_archs[a], true, needs_experts(pl_archs[a]));
        for (int i = 0; i < f.model.tensors; i++) {
            fixture g = f;
            g.model.tensor = g.tensor;
            g.tensor[i].rows++;
            assert_fails(check(&g), PL_E_INPUT, g.tensor[i].name);
            g.tensor[i] = f.tensor[i];
            g.tensor[i].cols = 0;
            assert_fails(check(&g), PL_E_INPUT, "should be");
            g.tensor[i] = f.tensor[i];
            g.tensor[i].flags ^= PL_TENSOR_MATRIX;
            assert_fails(check(&g), PL_E_INPUT, "should be");
            g.tensor[i] = f.tensor[i];
            g.tensor[i].id.expert = f.tensor[i].id.expert < 0 ? 0 : -1;
            assert_fails(check(&g), PL_E_INPUT, "has no place");
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        finds_architectures, known_names, names_of_experts, round_trips, unknown_names,
        prefixes_and_what_is_passed_over, facts_of_tables, complete_models, incomplete_models, wrong_tensors,
    };
    if (pl_arena_create(&arena) != PL_OK) return 1;
    int failed = run_suite("arch", tests, PL_COUNT(tests));
    pl_arena_destroy(arena);
    return failed;
}
