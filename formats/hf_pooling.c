/* hf_pooling.c: how a sentence-transformers folder makes one embedding of an encoder's hidden states. */
#include "formats/hf_pooling.h"

#include <limits.h>
#include <string.h>

#include "core/fs.h"

/* The path of the module that pools, NULL if there is none. */
static pl_status find_module(const pl_json *modules, const char *origin, const char **out)
{
    static const char ending[] = "Pooling";
    *out = NULL;
    if (!pl_json_is(modules, PL_JSON_ARRAY)) return pl_fail(PL_E_INPUT, "%s: should be a list", origin);
    for (const pl_json *m = pl_json_first(modules); m && !*out; m = pl_json_next(m)) {
        const char *type = "", *path;
        if (!pl_json_is(m, PL_JSON_OBJECT)) return pl_fail(PL_E_INPUT, "%s: a module is no object", origin);
        PL_TRY(pl_json_string(m, "type", true, origin, &type));
        size_t len = strlen(type);
        if (len < strlen(ending) || strcmp(type + len - strlen(ending), ending)) continue;
        PL_TRY(pl_json_string(m, "path", true, origin, &path));
        if (!*path || *path == '.' || strchr(path, '/'))
            return pl_fail(PL_E_INPUT, "%s: the module path '%.80s' is no plain folder name", origin, path);
        *out = path;
    }
    return PL_OK;
}

static pl_status read_mode(const pl_json *config, const char *origin, pl_pooling *out)
{
    /* Of old versions a flag each, of new ones a name. */
    static const struct { const char *flag, *name; pl_pooling mode; } modes[] = {
        { "pooling_mode_mean_tokens", "mean", PL_POOL_MEAN },
        { "pooling_mode_cls_token", "cls", PL_POOL_CLS },
    };
    const char *name = "";
    if (!pl_json_is(config, PL_JSON_OBJECT)) return pl_fail(PL_E_INPUT, "%s: should be an object", origin);
    PL_TRY(pl_json_string(config, "pooling_mode", false, origin, &name));
    for (int i = 0; i < PL_COUNT(modes); i++) {
        bool set = !strcmp(name, modes[i].name);
        PL_TRY(pl_json_bool(config, modes[i].flag, false, origin, &set));
        if (!set) continue;
        *out = modes[i].mode;
        return PL_OK;
    }
    return pl_fail(PL_E_INPUT, "%s: this way of pooling is not supported; known are the mean and the first token's "
                   "state", origin);
}

pl_status pl_hf_pooling_read(const char *folder, pl_pooling *out)
{
    char path[PATH_MAX];
    const char *module = NULL;
    pl_json *modules = NULL, *config = NULL;
    PL_TRY(pl_path_join(path, sizeof path, folder, "modules.json"));
    if (!pl_path_exists(path)) return PL_OK;
    pl_status code = pl_json_load(path, &modules);
    if (code == PL_OK) code = find_module(modules, path, &module);
    if (code == PL_OK && module) {
        char inner[PATH_MAX];
        code = pl_path_join(inner, sizeof inner, folder, module);
        if (code == PL_OK) code = pl_path_join(path, sizeof path, inner, "config.json");
        if (code == PL_OK) code = pl_json_load(path, &config);
        if (code == PL_OK) code = read_mode(config, path, out);
    }
    pl_json_free(config);
    pl_json_free(modules);
    return code;
}
