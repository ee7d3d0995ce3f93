/* recipe.c: reading a recipe and matching its rules. */
#include "core/recipe.h"

#include <fnmatch.h>
#include <string.h>

#include "core/json.h"

/* Digits at *text as a layer, at most PL_MAX_LAYERS; *text moves behind them. -1: none. */
static int take_layer(const char **text)
{
    int value = -1;
    for (; **text >= '0' && **text <= '9'; (*text)++)
        value = (int)pl_min64((value < 0 ? 0 : value) * 10 + (**text - '0'), PL_MAX_LAYERS);
    return value;
}

/* "3", "0-7", "8-": inclusive. */
static pl_status parse_layers(const char *text, const char *origin, pl_rule *rule)
{
    const char *at = text;
    int first = take_layer(&at), last = first;
    if (first >= 0 && *at == '-') {
        at++;
        last = *at ? take_layer(&at) : INT_MAX;
    }
    if (first < 0 || last < 0 || *at)
        return pl_fail(PL_E_WISH, "%s: layers '%s' should read like \"3\", \"0-7\" or \"8-\"", origin,
                       text);
    if (last < first) return pl_fail(PL_E_WISH, "%s: layers '%s' are no range", origin, text);
    rule->first_layer = first;
    rule->last_layer = last;
    return PL_OK;
}

static pl_status wish_string(const pl_json *node, const char *origin, const char **out)
{
    if (!pl_json_is(node, PL_JSON_STRING))
        return pl_fail(PL_E_WISH, "%s: '%s' should be a string", origin, pl_json_key(node));
    *out = pl_json_text(node);
    return PL_OK;
}

static pl_status parse_rule(const pl_json *object, const char *origin, pl_arena *arena, pl_rule *rule)
{
    *rule = (pl_rule){ .role = -1, .first_layer = -1, .last_layer = INT_MAX };
    if (!pl_json_is(object, PL_JSON_OBJECT)) return pl_fail(PL_E_WISH, "%s: a rule should be an object", origin);
    for (const pl_json *m = pl_json_first(object); m; m = pl_json_next(m)) {
        const char *key = pl_json_key(m), *text = NULL;
        PL_TRY(wish_string(m, origin, &text));
        if (!strcmp(key, "role")) {
            rule->role = pl_role_find(text);
            if (rule->role < 0) return pl_fail(PL_E_WISH, "%s: unknown role '%s'", origin, text);
        } else if (!strcmp(key, "layers")) {
            PL_TRY(parse_layers(text, origin, rule));
        } else if (!strcmp(key, "name")) {
            rule->name = pl_arena_text(arena, text, strlen(text));
            if (!rule->name) return PL_E_MEMORY;
        } else if (!strcmp(key, "type")) {
            pl_status code = pl_type_parse(text, &rule->type);
            if (code != PL_OK) return pl_fail_prefix(code, "%s: ", origin);
        } else if (!strcmp(key, "method")) {
            rule->method = pl_arena_text(arena, text, strlen(text));
            if (!rule->method) return PL_E_MEMORY;
        } else {
            return pl_fail(PL_E_WISH,
                           "%s: unknown key '%s' in a rule; known are role, layers, name, type, method",
                           origin, key);
        }
    }
    if (!rule->type.scheme && !rule->method)
        return pl_fail(PL_E_WISH, "%s: a rule names neither type nor method", origin);
    return PL_OK;
}

pl_status pl_recipe_wish(pl_recipe *recipe, const char *name)
{
    const pl_mix *mix = pl_mix_find(name);
    pl_type type;
    if (mix) type = pl_mix_base(mix);
    else if (pl_type_parse(name, &type) != PL_OK)
        return pl_fail(PL_E_WISH, "unknown type '%s'; known are %s, mxfp4, nvfp4", name, pl_mix_list());
    recipe->type = type;
    recipe->mix = mix;
    return PL_OK;
}

static pl_status parse_recipe(const pl_json *json, const char *path, pl_recipe *recipe,
                              pl_arena *arena)
{
    if (!pl_json_is(json, PL_JSON_OBJECT)) return pl_fail(PL_E_WISH, "%s: a recipe should be an object", path);
    for (const pl_json *m = pl_json_first(json); m; m = pl_json_next(m)) {
        const char *key = pl_json_key(m), *text = NULL;
        if (!strcmp(key, "schema")) {
            PL_TRY(wish_string(m, path, &text));
            if (strcmp(text, "planish.recipe/1"))
                return pl_fail(PL_E_WISH, "%s: schema is '%s', expected 'planish.recipe/1'", path, text);
        } else if (!strcmp(key, "type")) {
            PL_TRY(wish_string(m, path, &text));
            pl_recipe named = { 0 };
            pl_status code = pl_recipe_wish(&named, text);
            if (code != PL_OK) return pl_fail_prefix(code, "%s: ", path);
            if (!recipe->type.scheme) {
                recipe->type = named.type;
                recipe->mix = named.mix;
            }
        } else if (!strcmp(key, "method")) {
            PL_TRY(wish_string(m, path, &text));
            const char *method = pl_arena_text(arena, text, strlen(text));
            if (!method) return PL_E_MEMORY;
            if (!recipe->method) recipe->method = method;
        } else if (!strcmp(key, "rules")) {
            if (!pl_json_is(m, PL_JSON_ARRAY)) return pl_fail(PL_E_WISH, "%s: 'rules' should be an array", path);
            int at = 0;
            recipe->rule = PL_ZNEW(arena, pl_rule, pl_json_count(m));
            if (!recipe->rule) return PL_E_MEMORY;
            for (const pl_json *r = pl_json_first(m); r; r = pl_json_next(r))
                PL_TRY(parse_rule(r, path, arena, &recipe->rule[at++]));
            recipe->rules = at;
        } else {
            return pl_fail(PL_E_WISH,
                           "%s: unknown key '%s'; known are schema, type, method, rules", path,
                           key);
        }
    }
    return PL_OK;
}

pl_status pl_recipe_load(const char *path, pl_recipe *recipe, pl_arena *arena)
{
    pl_json *json;
    pl_status code = pl_json_load(path, &json);
    if (code != PL_OK) return code == PL_E_INPUT ? PL_E_WISH : code;
    code = parse_recipe(json, path, recipe, arena);
    pl_json_free(json);
    return code;
}

static pl_status parse_keep(const char *wish, pl_arena *arena, pl_rule *rule)
{
    const char *equals = strrchr(wish, '=');
    if (!equals || equals == wish)
        return pl_fail(PL_E_WISH, "--keep takes REGEX=TYPE, not '%s'", wish);
    *rule = (pl_rule){ .role = -1, .first_layer = -1, .last_layer = INT_MAX };
    pl_status code = pl_type_parse(equals + 1, &rule->type);
    if (code != PL_OK) return pl_fail_prefix(code, "--keep: ");
    rule->expression = pl_arena_text(arena, wish, (size_t)(equals - wish));
    if (!rule->expression) return PL_E_MEMORY;
    code = pl_utf8_check(wish, strlen(wish)) < 0 ? pl_regex_create(rule->expression, &rule->regex)
                                                 : pl_fail(PL_E_INPUT, "the expression is not UTF-8");
    return code == PL_E_INPUT ? pl_fail_prefix(PL_E_WISH, "--keep: ") : code;
}

pl_status pl_recipe_keep(pl_recipe *recipe, const char *const *wishes, int count, pl_arena *arena)
{
    pl_rule *rule = PL_ZNEW(arena, pl_rule, count + recipe->rules);
    if (!rule) return PL_E_MEMORY;
    if (recipe->rules) memcpy(rule + count, recipe->rule, (size_t)recipe->rules * sizeof *rule);
    recipe->rule = rule;
    recipe->rules += count;
    recipe->kept = count;
    for (int i = 0; i < count; i++) PL_TRY(parse_keep(wishes[i], arena, &rule[i]));
    return PL_OK;
}

void pl_recipe_release(pl_recipe *recipe)
{
    for (int i = 0; i < recipe->kept; i++) pl_regex_destroy(recipe->rule[i].regex);
    recipe->kept = 0;
}

static pl_status matches(const pl_regex *regex, const char *text, bool *found)
{
    size_t start, end, len = strlen(text);
    if (*found || pl_utf8_check(text, len) >= 0) return PL_OK;
    pl_status code = pl_regex_find(regex, text, len, 0, found, &start, &end);
    return code == PL_E_INPUT ? pl_fail_prefix(PL_E_WISH, "--keep: ") : code;
}

pl_status pl_recipe_match(pl_recipe *recipe, const pl_tensor *t, const char *name, pl_rule **out)
{
    *out = NULL;
    for (int i = 0; i < recipe->rules && !*out; i++) {
        pl_rule *rule = &recipe->rule[i];
        bool found = !rule->regex;
        if (rule->role >= 0 && rule->role != t->id.role) continue;
        if (t->id.layer < rule->first_layer || t->id.layer > rule->last_layer) continue;
        if (rule->name && fnmatch(rule->name, t->name, 0) != 0) continue;
        if (rule->regex) {
            PL_TRY(matches(rule->regex, t->name, &found));
            PL_TRY(matches(rule->regex, name, &found));
        }
        if (found) *out = rule;
    }
    return PL_OK;
}
