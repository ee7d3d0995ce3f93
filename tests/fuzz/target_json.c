/* target_json.c: JSON documents and recipes. */
#include <string.h>

#include "core/json.h"
#include "core/recipe.h"
#include "tests/fuzz/fuzz.h"

/* Every value is what its kind says, and found by its key; returns how many there are. */
static int64_t walk(const pl_json *node, int depth)
{
    int64_t values = 1, members = 0, number;
    double value;
    fuzz_check(depth <= PL_MAX_JSON_DEPTH);
    if (pl_json_is(node, PL_JSON_STRING)) fuzz_check(strlen(pl_json_text(node)) == pl_json_length(node));
    if (pl_json_is(node, PL_JSON_NUMBER)) {
        fuzz_refused(pl_json_as_int(node, INT64_MIN, INT64_MAX, "", "it", &number));
        fuzz_must(pl_json_as_number(node, "", "it", &value));
    }
    for (const pl_json *m = pl_json_first(node); m; m = pl_json_next(m), members++) {
        values += walk(m, depth + 1);
        if (pl_json_is(node, PL_JSON_OBJECT) && !pl_json_is(m, PL_JSON_NULL))
            fuzz_check(pl_json_get(node, pl_json_key(m)) == m);
    }
    fuzz_check(members == pl_json_count(node));
    return values;
}

static void put(pl_json_writer *w, const pl_json *node)
{
    const char *key = pl_json_key(node);
    double number = 0;
    bool object = pl_json_is(node, PL_JSON_OBJECT);
    if (object || pl_json_is(node, PL_JSON_ARRAY)) {
        if (object) pl_json_begin_object(w, key);
        else pl_json_begin_array(w, key);
        for (const pl_json *m = pl_json_first(node); m; m = pl_json_next(m)) put(w, m);
        pl_json_end(w);
    } else if (pl_json_is(node, PL_JSON_STRING)) {
        pl_json_put_text(w, key, pl_json_text(node));
    } else if (pl_json_is(node, PL_JSON_NUMBER)) {
        pl_json_as_number(node, "", "", &number);
        pl_json_put_number(w, key, number);
    } else if (pl_json_is(node, PL_JSON_NULL)) {
        pl_json_put_null(w, key);
    } else {
        pl_json_put_bool(w, key, true);
    }
}

static bool has_bool(const pl_json *node)
{
    bool found = pl_json_is(node, PL_JSON_BOOL);
    for (const pl_json *m = pl_json_first(node); m && !found; m = pl_json_next(m)) found = has_bool(m);
    return found;
}

/* What is written from a document reads as the same document. */
static void write_again(const pl_json *doc)
{
    pl_json_writer *w;
    pl_json *again;
    char *text = NULL;
    if (!fuzz_must(pl_json_writer_create(&w))) return;
    put(w, doc);
    if (fuzz_must(pl_json_finish(w, &text)) && fuzz_must(pl_json_parse(text, strlen(text), "again", &again))) {
        if (!has_bool(doc)) fuzz_check(pl_json_same(doc, again));       /* put() writes true for both */
        pl_json_free(again);
    }
    pl_free(text);
    pl_json_writer_destroy(w);
}

static void run_json(const fuzz_part *part, int parts)
{
    pl_json *doc;
    if (fuzz_refused(pl_json_parse((const char *)part[0].data, part[0].len, "input", &doc))) return;
    walk(doc, 0);
    fuzz_check(pl_json_same(doc, doc));
    fuzz_check(pl_json_bytes(doc) <= 48 * (int64_t)part[0].len + 4096);
    write_again(doc);
    pl_json_free(doc);
}

static void run_recipe(const fuzz_part *part, int parts)
{
    static const char *const names[] = { "output.weight", "model.layers.3.mlp.down_proj.weight", "" };
    pl_recipe recipe = { 0 };
    pl_arena *arena;
    if (!fuzz_must(pl_arena_create(&arena))) return;
    pl_status code = pl_recipe_load(fuzz_file("recipe.json", &part[0]), &recipe, arena);
    if (!fuzz_refused(code))
        for (int role = 0; role < PL_ROLES; role++)
            for (int i = 0; i < PL_COUNT(names); i++) {
                pl_tensor t = { .id = pl_id_make(role, i - 1, -1), .name = names[i], .rows = 4, .cols = 32 };
                pl_rule *rule;
                fuzz_must(pl_recipe_match(&recipe, &t, NULL, &rule));
                fuzz_check(!rule || (rule >= recipe.rule && rule < recipe.rule + recipe.rules));
            }
    pl_arena_destroy(arena);
}

const fuzz_target fuzz_json = { "json", "j", run_json };
const fuzz_target fuzz_recipe = { "recipe", "j", run_recipe };
