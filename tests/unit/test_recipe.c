/* test_recipe.c: what a recipe may say, each refusal, which rule decides. */
#include "core/mem.h"
#include "core/recipe.h"
#include "tests/unit/run.h"

static pl_arena *arena;

static pl_status load(const char *text, pl_recipe *recipe)
{
    if (!arena) assert_ok(pl_arena_create(&arena));
    temp_write("r.json", text, strlen(text));
    return pl_recipe_load(temp_path("r.json"), recipe, arena);
}

static void refused(const char *text, const char *part)
{
    pl_recipe recipe = { 0 };
    assert_fails(load(text, &recipe), PL_E_WISH, part);
    ck_assert_ptr_nonnull(strstr(pl_error(), "r.json"));
}

static pl_recipe loaded(const char *text)
{
    pl_recipe recipe = { 0 };
    assert_ok(load(text, &recipe));
    return recipe;
}

static pl_tensor tensor(int role, int layer, const char *name)
{
    return (pl_tensor){ .id = pl_id_make(role, layer, -1), .name = name };
}

static pl_rule *rule_of(pl_recipe *recipe, const pl_tensor *t, const char *name)
{
    pl_rule *rule;
    assert_ok(pl_recipe_match(recipe, t, name, &rule));
    return rule;
}

START_TEST(whole_recipe)
{
    pl_recipe r = loaded("{\"schema\":\"planish.recipe/1\",\"type\":\"Q4_0\",\"method\":\"rtn\",\"rules\":["
                         "{\"role\":\"ffn_down\",\"layers\":\"0-7\",\"type\":\"q5_1\"},"
                         "{\"name\":\"*.lm_head.*\",\"type\":\"f16\",\"method\":\"copy\"},"
                         "{\"role\":\"attn_q.bias\",\"layers\":\"3\",\"method\":\"rtn\"}]}");
    ck_assert_str_eq(pl_type_name(&r.type), "q4_0");
    ck_assert_str_eq(r.method, "rtn");
    ck_assert_int_eq(r.rules, 3);
    ck_assert_int_eq(r.rule[0].role, PL_FFN_DOWN);
    ck_assert_int_eq(r.rule[0].first_layer, 0);
    ck_assert_int_eq(r.rule[0].last_layer, 7);
    ck_assert_str_eq(pl_type_name(&r.rule[0].type), "q5_1");
    ck_assert_ptr_null(r.rule[0].method);
    ck_assert_int_eq(r.rule[1].role, -1);
    ck_assert_str_eq(r.rule[1].name, "*.lm_head.*");
    ck_assert_str_eq(r.rule[1].method, "copy");
    ck_assert_int_eq(r.rule[2].role, PL_ATTN_Q + PL_BIAS);
    ck_assert_ptr_null(r.rule[2].type.scheme);
    r = loaded("{}");
    ck_assert_int_eq(r.rules, 0);
    ck_assert_ptr_null(r.type.scheme);
    r = loaded("{\"rules\":[]}");
    ck_assert_int_eq(r.rules, 0);
}
END_TEST

START_TEST(command_line_comes_first)
{
    pl_recipe r = { .method = "copy" };
    assert_ok(pl_type_parse("q8_0", &r.type));
    assert_ok(load("{\"type\":\"q4_0\",\"method\":\"rtn\"}", &r));
    ck_assert_str_eq(pl_type_name(&r.type), "q8_0");
    ck_assert_str_eq(r.method, "copy");
    assert_fails(load("{\"type\":\"q9\"}", &r), PL_E_WISH, "unknown type 'q9'");
}
END_TEST

START_TEST(refusals)
{
    refused("[]", "a recipe should be an object");
    refused("{\"types\":\"q4_0\"}", "unknown key 'types'; known are schema, type, method, rules");
    refused("{\"schema\":\"planish.recipe/2\"}", "schema is 'planish.recipe/2'");
    refused("{\"schema\":1}", "'schema' should be a string");
    refused("{\"type\":\"q4\"}", "unknown type 'q4'; known are");
    refused("{\"type\":4}", "'type' should be a string");
    refused("{\"type\":null}", "'type' should be a string");
    refused("{\"method\":true}", "'method' should be a string");
    refused("{\"rules\":{}}", "'rules' should be an array");
    refused("{\"rules\":[1]}", "a rule should be an object");
    refused("{\"rules\":[{}]}", "neither type nor method");
    refused("{\"rules\":[{\"role\":\"ffn_up\"}]}", "neither type nor method");
    refused("{\"rules\":[{\"role\":\"ffn\",\"type\":\"f16\"}]}", "unknown role 'ffn'");
    refused("{\"rules\":[{\"role\":4,\"type\":\"f16\"}]}", "'role' should be a string");
    refused("{\"rules\":[{\"type\":\"f17\"}]}", "unknown storage type 'f17'");
    refused("{\"rules\":[{\"typ\":\"f16\"}]}", "unknown key 'typ' in a rule");
    refused("{\"rules\":[{\"name\":[],\"type\":\"f16\"}]}", "'name' should be a string");
    refused("{\"type\":\"f16\",\"type\":\"q4_0\"}", "key 'type' stands twice");
    refused("{\"type\":\"f16\"", "not valid JSON");
    pl_recipe r = { 0 };
    if (!arena) assert_ok(pl_arena_create(&arena));
    assert_fails(pl_recipe_load(temp_path("none.json"), &r, arena), PL_E_WISH, "none.json");
}
END_TEST

START_TEST(layers)
{
    const struct { const char *text; int first, last; } good[] = {
        { "0", 0, 0 }, { "3", 3, 3 }, { "0-7", 0, 7 }, { "5-5", 5, 5 }, { "8-", 8, INT_MAX },
        { "0-", 0, INT_MAX }, { "007", 7, 7 },
    };
    char text[128];
    for (int i = 0; i < PL_COUNT(good); i++) {
        snprintf(text, sizeof text, "{\"rules\":[{\"layers\":\"%s\",\"type\":\"f16\"}]}", good[i].text);
        pl_recipe r = loaded(text);
        ck_assert_int_eq(r.rule[0].first_layer, good[i].first);
        ck_assert_int_eq(r.rule[0].last_layer, good[i].last);
    }
    const char *bad[] = { "", "-", "-3", "x", "3x", "3-x", "3-7x", "3--7", " 3", "3 ", "3 - 7", "+3", "3-+7", "1,2" };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        snprintf(text, sizeof text, "{\"rules\":[{\"layers\":\"%s\",\"type\":\"f16\"}]}", bad[i]);
        refused(text, "should read like");
    }
    refused("{\"rules\":[{\"layers\":\"7-3\",\"type\":\"f16\"}]}", "are no range");
    refused("{\"rules\":[{\"layers\":3,\"type\":\"f16\"}]}", "'layers' should be a string");
    /* numbers beyond any model do not wrap around to a layer that exists */
    const char *big[] = { "4294967296", "99999999999999999999", "4294967296-4294967299" };
    for (int i = 0; i < PL_COUNT(big); i++) {
        snprintf(text, sizeof text, "{\"rules\":[{\"layers\":\"%s\",\"type\":\"f16\"}]}", big[i]);
        pl_recipe r = loaded(text);
        ck_assert_int_ge(r.rule[0].first_layer, PL_MAX_LAYERS);
    }
}
END_TEST

START_TEST(first_match_decides)
{
    pl_recipe r = loaded("{\"rules\":["
                         "{\"role\":\"ffn_up\",\"layers\":\"1-2\",\"type\":\"f32\"},"
                         "{\"role\":\"ffn_up\",\"type\":\"f16\"},"
                         "{\"name\":\"*.2.*_proj.weight\",\"type\":\"bf16\"},"
                         "{\"layers\":\"2-\",\"type\":\"q8_0\"},"
                         "{\"layers\":\"0-\",\"type\":\"q5_0\"},"
                         "{\"name\":\"lm_head*\",\"type\":\"q5_1\"}]}");
    const struct { pl_tensor t; int rule; } cases[] = {
        { tensor(PL_FFN_UP, 1, "m.1.up_proj.weight"), 0 },
        { tensor(PL_FFN_UP, 2, "m.2.up_proj.weight"), 0 },
        { tensor(PL_FFN_UP, 3, "m.3.up_proj.weight"), 1 },
        { tensor(PL_FFN_DOWN, 2, "m.2.down_proj.weight"), 2 },
        { tensor(PL_FFN_DOWN, 2, "m.2.down"), 3 },
        { tensor(PL_FFN_DOWN, 40, "m.40.down"), 3 },
        { tensor(PL_ATTN_Q, 0, "m.0.q_proj.weight"), 4 },
        { tensor(PL_OUTPUT, -1, "lm_head.weight"), 5 },
        { tensor(PL_TOKEN_EMBD, -1, "embed"), -1 },         /* of no layer: "0-" is not for it */
        { tensor(PL_ATTN_Q + PL_BIAS, -1, "LM_HEAD"), -1 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_rule *rule = rule_of(&r, &cases[i].t, NULL);
        ck_assert_ptr_eq(rule, cases[i].rule < 0 ? NULL : &r.rule[cases[i].rule]);
    }
    r = loaded("{\"rules\":[{\"type\":\"f32\"}]}");         /* no condition: everything */
    for (int i = 0; i < PL_COUNT(cases); i++)
        ck_assert_ptr_eq(rule_of(&r, &cases[i].t, NULL), &r.rule[0]);
}
END_TEST

/* A mix where llama-quantize has one of that name, else a storage type; the command line's stays. */
START_TEST(mixes_and_types)
{
    pl_recipe r = loaded("{\"type\":\"Q4_K\"}");
    ck_assert_str_eq(pl_mix_name(r.mix), "q4_k_m");
    ck_assert_str_eq(pl_type_name(&r.type), "q4_k");
    r = loaded("{\"type\":\"mxfp4\"}");
    ck_assert_ptr_null(r.mix);
    ck_assert_str_eq(pl_type_name(&r.type), "mxfp4");
    refused("{\"type\":\"q9_k\"}", "unknown type 'q9_k'; known are q1_0, ");
    refused("{\"rules\":[{\"type\":\"q4_k_m\"}]}", "unknown storage type 'q4_k_m'");
    r = (pl_recipe){ 0 };
    assert_ok(pl_recipe_wish(&r, "nvfp4"));
    assert_ok(load("{\"type\":\"q4_k_m\"}", &r));
    ck_assert_ptr_null(r.mix);
    ck_assert_str_eq(pl_type_name(&r.type), "nvfp4");
    assert_fails(pl_recipe_wish(&r, "f8_e4m3"), PL_E_WISH, "unknown type 'f8_e4m3'");
}
END_TEST

START_TEST(kept_tensors)
{
    const char *wishes[] = { "^blk\\.[01]\\.attn_v=q8_0", "lm_head|=$=f16" };
    pl_recipe r = loaded("{\"type\":\"q4_0\",\"rules\":[{\"type\":\"f32\"}]}");
    assert_ok(pl_recipe_keep(&r, wishes, 2, arena));
    ck_assert_int_eq(r.rules, 3);
    ck_assert_int_eq(r.kept, 2);
    ck_assert_str_eq(r.rule[1].expression, "lm_head|=$");
    pl_tensor v = tensor(PL_ATTN_V, 1, "layers.1.v_proj.weight"), out = tensor(PL_OUTPUT, -1, "lm_head.weight");
    pl_tensor odd = tensor(PL_OUTPUT, -1, "lm_head\xff");
    ck_assert_ptr_eq(rule_of(&r, &v, "blk.1.attn_v.weight"), &r.rule[0]);       /* the sink's name */
    ck_assert_ptr_eq(rule_of(&r, &v, "blk.2.attn_v.weight"), &r.rule[2]);       /* neither: the recipe's own rule */
    ck_assert_ptr_eq(rule_of(&r, &out, "output.weight"), &r.rule[1]);           /* the source's name */
    ck_assert_ptr_eq(rule_of(&r, &odd, "output.weight"), &r.rule[2]);           /* no text, no match */
    pl_recipe_release(&r);
    static const struct { const char *wish, *part; } bad[] = {
        { "attn_v", "--keep takes REGEX=TYPE, not 'attn_v'" }, { "=q8_0", "--keep takes REGEX=TYPE" },
        { "attn_v=", "unknown storage type ''" },              { "attn_v=q4_k_m", "unknown storage type 'q4_k_m'" },
        { "attn(=q8_0", "--keep: regular expression 'attn('" }, { "\xff=q8_0", "not UTF-8" },
    };
    for (int i = 0; i < PL_COUNT(bad); i++) {
        r = (pl_recipe){ 0 };
        const char *both[] = { wishes[0], bad[i].wish };
        assert_fails(pl_recipe_keep(&r, both, 2, arena), PL_E_WISH, bad[i].part);
        pl_recipe_release(&r);
    }
    r = (pl_recipe){ 0 };
    const char *endless = "^(a|aa)+[bc]=q8_0";
    assert_ok(pl_recipe_keep(&r, &endless, 1, arena));
    char name[200] = "";
    memset(name, 'a', sizeof name - 1);
    pl_rule *rule;
    assert_fails(pl_recipe_match(&r, &v, name, &rule), PL_E_WISH, "the regular expression gave up");
    pl_recipe_release(&r);
}
END_TEST

START_TEST(without_memory)
{
    if (!arena) assert_ok(pl_arena_create(&arena));
    const char *text = "{\"method\":\"rtn\",\"rules\":[{\"name\":\"x\",\"type\":\"f16\",\"method\":\"rtn\"}]}";
    temp_write("r.json", text, strlen(text));
    int64_t n = 0;
    for (pl_status code = PL_E_MEMORY; code != PL_OK; n++) {
        pl_arena *fresh;
        assert_ok(pl_arena_create(&fresh));
        pl_recipe r = { 0 };
        pl_mem_fail_after(n);
        code = pl_recipe_load(temp_path("r.json"), &r, fresh);
        pl_mem_fail_after(-1);
        ck_assert_msg(code == PL_OK || code == PL_E_MEMORY, "%d: %s", code, pl_error());
        pl_arena_destroy(fresh);
    }
    ck_assert_int_gt(n, 5);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        whole_recipe, command_line_comes_first, refusals, layers, first_match_decides, mixes_and_types,
        kept_tensors, without_memory,
    };
    return run_suite("recipe", tests, PL_COUNT(tests));
}
