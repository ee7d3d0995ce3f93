/* test_mix.c: types of tensors in llama-quantize's mixes, on models that have shapes only. */
#include "core/mix.h"
#include "tests/unit/run.h"

static pl_arena *arena;

static void add(pl_model *m, int role, int layer, int expert, int64_t rows, int64_t cols)
{
    unsigned flags = cols > 1 && role != PL_FFN_ROUTER ? PL_TENSOR_MATRIX : 0;
    m->tensor[m->tensors++] = (pl_tensor){ .id = pl_id_make(role, layer, expert), .name = pl_role_name(role), .rows = rows,
                                           .cols = cols, .flags = flags };
    m->parameters += rows * cols;
}

/* Llama-like; hp says the rest. */
static pl_model model_of(pl_hparams hp, const char *arch)
{
    if (!arena) assert_ok(pl_arena_create(&arena));
    pl_model m = { .arch = arch, .hp = hp };
    int experts = hp.experts ? hp.experts : 1;
    m.tensor = PL_ZNEW(arena, pl_tensor, 3 + hp.layers * (8 + 3 * (experts + 1)));
    int64_t kv = (int64_t)hp.kv_heads * hp.head_dim, h = hp.hidden;
    add(&m, PL_TOKEN_EMBD, -1, -1, hp.vocab, h);
    add(&m, PL_OUTPUT_NORM, -1, -1, h, 1);
    if (!hp.tied) add(&m, PL_OUTPUT, -1, -1, hp.vocab, h);
    for (int l = hp.layers - 1; l >= 0; l--) {          /* not in the order of layers */
        add(&m, PL_ATTN_NORM, l, -1, h, 1);
        add(&m, PL_ATTN_Q, l, -1, h, h);
        add(&m, PL_ATTN_K, l, -1, kv, h);
        add(&m, PL_ATTN_V, l, -1, kv, h);
        add(&m, PL_ATTN_O, l, -1, h, h);
        add(&m, PL_FFN_NORM, l, -1, h, 1);
        if (hp.experts) add(&m, PL_FFN_ROUTER, l, -1, hp.experts, h);
        for (int x = 0; x < experts; x++) {
            int expert = hp.experts ? x : -1;
            add(&m, PL_FFN_GATE, l, expert, hp.ffn, h);
            add(&m, PL_FFN_UP, l, expert, hp.ffn, h);
            add(&m, PL_FFN_DOWN, l, expert, h, hp.ffn);
        }
        if (hp.shared_ffn) add(&m, PL_SHARED_DOWN, l, -1, h, hp.shared_ffn);
    }
    assert_ok(pl_model_index(&m, arena));
    return m;
}

static pl_hparams sizes(int layers, int heads, int kv_heads)
{
    return (pl_hparams){ .layers = layers, .hidden = 256 * heads, .heads = heads, .kv_heads = kv_heads, .head_dim = 256,
                         .ffn = 512, .vocab = 512 };
}

static pl_type *types(const pl_model *m, const char *mix, bool stats)
{
    pl_type *out;
    ck_assert_ptr_nonnull(pl_mix_find(mix));
    assert_ok(pl_mix_types(pl_mix_find(mix), m, stats, arena, &out));
    return out;
}

/* Type of one tensor; for a stack that of its last expert. */
static const char *type_of(const pl_model *m, const char *mix, bool stats, int role, int layer)
{
    int at = pl_model_find(m, pl_id_make(role, layer, -1));
    if (at < 0) at = pl_model_find(m, pl_id_make(role, layer, m->hp.experts - 1));
    ck_assert_int_ge(at, 0);
    return pl_type_name(&types(m, mix, stats)[at]);
}

static void expect(const pl_model *m, const char *mix, bool stats, int role, int layer, const char *type)
{
    ck_assert_msg(!strcmp(type_of(m, mix, stats, role, layer), type), "%s %s %d: %s is not %s", mix, pl_role_name(role),
                  layer, type_of(m, mix, stats, role, layer), type);
}

START_TEST(names)
{
    ck_assert_ptr_eq(pl_mix_find("Q4_K"), pl_mix_find("q4_k_m"));
    ck_assert_ptr_eq(pl_mix_find("q3_k"), pl_mix_find("Q3_K_M"));
    ck_assert_ptr_ne(pl_mix_find("q2_k"), pl_mix_find("q2_k_s"));
    ck_assert_ptr_null(pl_mix_find("mxfp4"));
    ck_assert_ptr_null(pl_mix_find(""));
    static const struct { const char *name; int base, file_type; } known[] = {
        { "f32", PL_F32, 0 }, { "bf16", PL_BF16, 32 }, { "q2_k", PL_Q2_K, 10 }, { "q3_k_l", PL_Q3_K, 13 },
        { "q4_k", PL_Q4_K, 15 }, { "iq2_s", PL_IQ2_XS, 28 }, { "iq2_m", PL_IQ2_S, 29 }, { "iq3_xs", PL_IQ3_S, 22 },
        { "iq1_m", PL_IQ1_M, 31 }, { "mxfp4_moe", PL_MXFP4, 38 }, { "q2_0", PL_Q2_0, 41 },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        const pl_mix *mix = pl_mix_find(known[i].name);
        pl_type base = pl_mix_base(mix);
        ck_assert_ptr_eq(base.element, &pl_dtypes[known[i].base]);
        ck_assert_int_eq(pl_mix_file_type(mix, &base), known[i].file_type);
        ck_assert_ptr_nonnull(strstr(pl_mix_list(), pl_mix_name(mix)));
    }
    ck_assert_ptr_nonnull(strstr(pl_mix_list(), "bf16, f32"));      /* nothing was cut off */
    static const struct { int dtype, file_type; } single[] = {
        { PL_Q2_K, 21 }, { PL_Q3_K, 11 }, { PL_Q4_K, 14 }, { PL_Q5_K, 16 }, { PL_IQ3_S, 26 }, { PL_IQ2_XS, 20 },
        { PL_MXFP4, 38 }, { PL_NVFP4, 39 }, { PL_F8_E4M3, -1 },
    };
    for (int i = 0; i < PL_COUNT(single); i++) {
        pl_type type = pl_type_plain(single[i].dtype);
        ck_assert_int_eq(pl_mix_file_type(NULL, &type), single[i].file_type);
    }
    pl_type scaled = pl_type_scaled(&pl_dtypes[PL_F8_E4M3], &pl_dtypes[PL_F32], 128, 128);
    ck_assert_int_eq(pl_mix_file_type(NULL, &scaled), -1);
}
END_TEST

/* The first eighth of the layers, the last, and every third between. */
START_TEST(which_layers_get_more)
{
    static const struct { int layers; const char *more; } known[] = {
        { 16, "0 1 4 7 10 13 14 15 " },
        { 28, "0 1 2 5 8 11 14 17 20 23 24 25 26 27 " },
        { 32, "0 1 2 3 6 9 12 15 18 21 24 27 28 29 30 31 " },
        { 36, "0 1 2 3 6 9 12 15 18 21 24 27 30 31 32 33 34 35 " },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        pl_model m = model_of(sizes(known[i].layers, 4, 2), "llama");
        char down[200] = "", v[200] = "";
        for (int l = 0; l < known[i].layers; l++) {
            if (!strcmp(type_of(&m, "q4_k_m", false, PL_FFN_DOWN, l), "q6_k")) sprintf(down + strlen(down), "%d ", l);
            if (!strcmp(type_of(&m, "q5_k_m", false, PL_ATTN_V, l), "q6_k")) sprintf(v + strlen(v), "%d ", l);
        }
        ck_assert_str_eq(down, known[i].more);
        ck_assert_str_eq(v, known[i].more);
    }
}
END_TEST

/* Bytes of all tensors of Llama 3 8B; the published files are a header larger. */
START_TEST(sizes_of_llama_3_8b)
{
    static const struct { const char *mix; long long bytes; } known[] = {
        { "q4_k_m", 4912898048 }, { "q4_k_s", 4684832768 }, { "q5_k_m", 5725151232 }, { "q3_k_m", 4011081728 },
        { "q2_k", 3171295232 },   { "q6_k", 6588170240 },   { "q8_0", 8532934656 },
    };
    pl_hparams hp = { .layers = 32, .hidden = 4096, .heads = 32, .kv_heads = 8, .head_dim = 128, .ffn = 14336,
                      .vocab = 128256 };
    pl_model m = model_of(hp, "llama");
    ck_assert_int_eq(m.parameters, 8030261248);
    for (int i = 0; i < PL_COUNT(known); i++) {
        pl_type *type = types(&m, known[i].mix, false);
        int64_t bytes = 0;
        for (int t = 0; t < m.tensors; t++) {
            pl_packed p;
            ck_assert((type[t].scheme != NULL) == (m.tensor[t].cols > 1));
            assert_ok(pl_packed_init(&p, type[t].scheme ? type[t] : pl_type_plain(PL_F32), m.tensor[t].rows, m.tensor[t].cols));
            bytes += pl_packed_bytes(&p);
        }
        ck_assert_msg(bytes == known[i].bytes, "%s: %lld", known[i].mix, (long long)bytes);
    }
}
END_TEST

START_TEST(output_and_token_table)
{
    pl_hparams hp = sizes(2, 4, 4);
    pl_model apart = model_of(hp, "llama");
    hp.tied = true;
    pl_model tied = model_of(hp, "llama");
    hp.hidden = 96;
    pl_model narrow = model_of(hp, "llama");
    static const struct { const char *mix, *output, *table, *narrow; } known[] = {
        { "q4_0", "q6_k", "q4_0", "q6_k" },     { "q8_0", "q8_0", "q8_0", "q8_0" },    { "q4_k_m", "q6_k", "q4_k", "q8_0" },
        { "iq2_xs", "q5_k", "q2_k", "q8_0" },   { "iq2_m", "q5_k", "iq3_s", "q8_0" },  { "iq3_xxs", "q5_k", "iq3_s", "q8_0" },
        { "iq3_s", "q6_k", "iq3_s", "q8_0" },   { "tq2_0", "q6_k", "q4_k", "q8_0" },   { "mxfp4_moe", "q8_0", "q8_0", "q8_0" },
        { "f16", "f16", "f16", "f16" },         { "q1_0", "q6_k", "q1_0", "q8_0" },    { "iq4_nl", "q6_k", "iq4_nl", "q6_k" },
    };
    for (int i = 0; i < PL_COUNT(known); i++) {
        expect(&apart, known[i].mix, false, PL_OUTPUT, -1, known[i].output);
        expect(&apart, known[i].mix, false, PL_TOKEN_EMBD, -1, known[i].table);
        expect(&tied, known[i].mix, false, PL_TOKEN_EMBD, -1, known[i].output);
        expect(&narrow, known[i].mix, false, PL_TOKEN_EMBD, -1, known[i].narrow);
    }
}
END_TEST

START_TEST(statistics_and_groups)
{
    pl_model one = model_of(sizes(16, 4, 4), "llama"), four = model_of(sizes(16, 8, 2), "llama");
    expect(&one, "q4_0", true, PL_FFN_DOWN, 1, "q4_1");
    expect(&one, "q4_0", true, PL_FFN_DOWN, 2, "q4_0");
    expect(&one, "q5_0", true, PL_FFN_DOWN, 0, "q5_1");
    expect(&one, "q5_0", false, PL_FFN_DOWN, 0, "q5_0");
    expect(&one, "iq4_xs", false, PL_FFN_DOWN, 1, "q5_k");
    expect(&one, "iq4_xs", true, PL_FFN_DOWN, 1, "iq4_xs");
    expect(&one, "iq3_xxs", false, PL_FFN_DOWN, 1, "q4_k");
    expect(&one, "iq3_xxs", false, PL_FFN_DOWN, 2, "q3_k");
    expect(&one, "iq3_xxs", true, PL_FFN_DOWN, 1, "iq3_xxs");
    expect(&one, "iq3_xxs", false, PL_ATTN_V, 0, "iq3_s");
    expect(&one, "iq3_xxs", true, PL_ATTN_V, 0, "iq3_xxs");
    expect(&four, "iq3_xxs", true, PL_ATTN_V, 0, "q4_k");
    expect(&one, "iq2_xxs", true, PL_ATTN_V, 0, "q2_k");
    expect(&four, "iq2_xxs", true, PL_ATTN_V, 0, "q4_k");
    expect(&one, "q3_k_m", false, PL_ATTN_V, 1, "q5_k");
    expect(&one, "q3_k_m", false, PL_ATTN_V, 2, "q4_k");
    expect(&one, "q3_k_m", false, PL_FFN_DOWN, 0, "q5_k");
    expect(&one, "q3_k_m", false, PL_FFN_DOWN, 1, "q4_k");
    expect(&one, "q4_k_s", false, PL_ATTN_V, 3, "q5_k");
    expect(&one, "q4_k_s", false, PL_ATTN_V, 4, "q4_k");
    expect(&one, "iq3_xs", false, PL_FFN_UP, 1, "iq3_s");
    expect(&one, "iq3_xs", false, PL_FFN_GATE, 2, "iq3_xxs");
    expect(&one, "iq3_xs", false, PL_FFN_UP, 14, "iq3_s");
    expect(&one, "iq1_s", true, PL_ATTN_O, 5, "iq2_xxs");
}
END_TEST

/* 80 layers and grouped queries: V is an eighth of Q and worth more bits. */
START_TEST(seventy_billion)
{
    pl_model grouped = model_of(sizes(80, 8, 1), "llama"), alone = model_of(sizes(80, 8, 8), "llama");
    pl_model qwen = model_of(sizes(80, 8, 8), "qwen2"), other = model_of(sizes(80, 8, 1), "phi3");
    expect(&grouped, "q3_k_s", false, PL_ATTN_V, 7, "q5_k");
    expect(&grouped, "q4_k_m", false, PL_ATTN_V, 11, "q5_k");
    expect(&grouped, "q4_k_m", false, PL_ATTN_V, 0, "q6_k");
    expect(&grouped, "iq2_xs", true, PL_ATTN_V, 0, "q4_k");
    expect(&alone, "q3_k_s", false, PL_ATTN_V, 7, "q3_k");
    expect(&qwen, "q3_k_s", false, PL_ATTN_V, 7, "q5_k");
    expect(&other, "q3_k_s", false, PL_ATTN_V, 7, "q3_k");
}
END_TEST

START_TEST(experts)
{
    pl_hparams hp = sizes(16, 4, 4);
    hp.experts = 8;
    pl_model eight = model_of(hp, "llama");
    hp.experts = 4;
    hp.shared_ffn = 256;
    pl_model shared = model_of(hp, "qwen2moe");
    hp.experts = 1;
    hp.shared_ffn = 0;
    pl_model single = model_of(hp, "llama");
    expect(&eight, "q4_k_m", false, PL_ATTN_V, 0, "q8_0");
    expect(&eight, "q4_k_m", false, PL_ATTN_K, 0, "q8_0");
    expect(&eight, "q4_k_m", false, PL_ATTN_O, 0, "q5_k");
    expect(&eight, "q3_k_l", false, PL_ATTN_O, 0, "q3_k");
    expect(&eight, "q4_0", false, PL_ATTN_K, 0, "q8_0");
    expect(&eight, "q4_0", false, PL_ATTN_O, 0, "q4_0");
    expect(&eight, "iq2_xs", true, PL_ATTN_K, 0, "q4_k");
    expect(&eight, "iq2_xs", true, PL_ATTN_V, 0, "q4_k");
    expect(&eight, "iq2_xs", true, PL_ATTN_O, 0, "q5_k");
    expect(&eight, "iq3_m", true, PL_FFN_DOWN, 4, "q4_k");
    expect(&eight, "iq3_m", true, PL_FFN_DOWN, 5, "iq3_s");
    expect(&eight, "mxfp4_moe", false, PL_FFN_UP, 3, "mxfp4");
    expect(&eight, "mxfp4_moe", false, PL_ATTN_Q, 3, "q8_0");
    expect(&single, "mxfp4_moe", false, PL_FFN_UP, 3, "q8_0");      /* a stack of one is no stack */
    /* the layer counts, though there are two of the kind in it; in the low mixes each of them does */
    expect(&shared, "q4_k_s", false, PL_FFN_DOWN, 1, "q5_k");
    expect(&shared, "q4_k_s", false, PL_SHARED_DOWN, 1, "q5_k");
    expect(&shared, "q4_k_s", false, PL_FFN_DOWN, 2, "q4_k");
    expect(&shared, "iq2_xs", true, PL_SHARED_DOWN, 0, "q2_k");
    expect(&shared, "iq2_xs", true, PL_FFN_DOWN, 1, "iq2_xs");
    expect(&shared, "iq2_xs", true, PL_ATTN_V, 1, "q4_k");
    pl_type *all = types(&eight, "q4_k_m", false);
    for (int x = 0; x < 8; x++)
        ck_assert_str_eq(pl_type_name(&all[pl_model_find(&eight, pl_id_make(PL_FFN_DOWN, 15, x))]), "q6_k");
    ck_assert_ptr_null(all[pl_model_find(&eight, pl_id_make(PL_FFN_ROUTER, 0, -1))].scheme);
}
END_TEST

START_TEST(wanting_statistics)
{
    pl_type low = pl_type_plain(PL_IQ2_XXS), k = pl_type_plain(PL_Q2_K), fine = pl_type_plain(PL_IQ3_S);
    pl_id q = pl_id_make(PL_ATTN_Q, 0, -1);
    ck_assert(pl_mix_wants_stats(NULL, &low, q));
    ck_assert(!pl_mix_wants_stats(NULL, &low, pl_id_make(PL_TOKEN_EMBD, -1, -1)));
    ck_assert(!pl_mix_wants_stats(NULL, &low, pl_id_make(PL_OUTPUT, -1, -1)));
    ck_assert(!pl_mix_wants_stats(NULL, &fine, q));
    ck_assert(pl_mix_wants_stats(pl_mix_find("q2_k_s"), &k, q));
    ck_assert(!pl_mix_wants_stats(pl_mix_find("q2_k"), &k, q));
    ck_assert(!pl_mix_wants_stats(NULL, &k, q));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        names, which_layers_get_more, sizes_of_llama_3_8b, output_and_token_table, statistics_and_groups,
        seventy_billion, experts, wanting_statistics,
    };
    return run_suite("mix", tests, PL_COUNT(tests));
}
