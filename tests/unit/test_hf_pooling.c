/* test_hf_pooling.c: what sentence-transformers folders say of pooling. */
#include <sys/stat.h>

#include "formats/hf_pooling.h"
#include "tests/unit/run.h"

#define MODULES(path)                                                                              \
    "[{\"idx\":0,\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},"             \
    "{\"idx\":1,\"path\":\"" path "\",\"type\":\"sentence_transformers.models.Pooling\"}]"

static void put(const char *name, const char *text) { temp_write(name, text, strlen(text)); }

static void folder(const char *modules, const char *config)
{
    mkdir(temp_path("1_Pooling"), 0777);
    put("modules.json", modules);
    put("1_Pooling/config.json", config);
}

START_TEST(modes)
{
    static const struct { const char *config; pl_pooling mode; } cases[] = {
        { "{\"pooling_mode_mean_tokens\":true,\"pooling_mode_cls_token\":false}", PL_POOL_MEAN },
        { "{\"pooling_mode_mean_tokens\":false,\"pooling_mode_cls_token\":true}", PL_POOL_CLS },
        { "{\"pooling_mode\":\"mean\"}", PL_POOL_MEAN },
        { "{\"pooling_mode\":\"cls\"}", PL_POOL_CLS },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_pooling mode = PL_POOL_NONE;
        folder(MODULES("1_Pooling"), cases[i].config);
        assert_ok(pl_hf_pooling_read(temp_folder, &mode));
        ck_assert_int_eq(mode, cases[i].mode);
    }
}
END_TEST

START_TEST(says_nothing)
{
    pl_pooling mode = PL_POOL_CLS;
    assert_ok(pl_hf_pooling_read(temp_folder, &mode));
    put("modules.json", "[{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"}]");
    assert_ok(pl_hf_pooling_read(temp_folder, &mode));
    ck_assert_int_eq(mode, PL_POOL_CLS);
}
END_TEST

START_TEST(refused)
{
    static const struct { const char *modules, *config, *part; } cases[] = {
        { "{}", "{}", "should be a list" },
        { "[1]", "{}", "no object" },
        { "[{\"type\":\"x.Pooling\"}]", "{}", "path" },
        { MODULES("../1_Pooling"), "{}", "plain folder name" },
        { MODULES(".."), "{}", "plain folder name" },
        { MODULES("/etc"), "{}", "plain folder name" },
        { MODULES(""), "{}", "plain folder name" },
        { MODULES("2_Pooling"), "{}", "2_Pooling" },
        { MODULES("1_Pooling"), "[]", "should be an object" },
        { MODULES("1_Pooling"), "{\"pooling_mode_max_tokens\":true}", "not supported" },
        { MODULES("1_Pooling"), "{\"pooling_mode_mean_tokens\":1}", "pooling_mode_mean_tokens" },
        { MODULES("1_Pooling"), "{\"pooling_mode\":\"lasttoken\"}", "not supported" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_pooling mode = PL_POOL_NONE;
        folder(cases[i].modules, cases[i].config);
        pl_status code = pl_hf_pooling_read(temp_folder, &mode);
        ck_assert_msg(code == PL_E_INPUT || code == PL_E_IO, "case %d: %d", i, code);
        ck_assert_msg(strstr(pl_error(), cases[i].part) != NULL, "case %d: %s", i, pl_error());
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { modes, says_nothing, refused };
    return run_suite("hf_pooling", tests, PL_COUNT(tests));
}
