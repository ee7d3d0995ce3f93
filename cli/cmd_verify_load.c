/* cmd_verify_load.c: planish verify-load: which runtimes load an output, by what is known and by trying. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/child.h"
#include "cli/cli.h"
#include "cli/opts.h"
#include "cli/runtimes.h"
#include "core/fs.h"

static const pl_usage usage = {
    .command = "verify-load",
    .arguments = "OUT [options]",
    .summary = "Says which runtimes load an output: from which version on, as far as their own history or\n"
               "documentation tells, and what those make of it that are installed here: llama.cpp's programs\n"
               "on PATH or in $LLAMA_BIN, packages of python3 or $PYTHON. Exit code 1 if one fails to load it.",
    .example = "  planish verify-load smol.gguf\n"
               "  PYTHON=venv/bin/python planish verify-load smol-mlx --json",
    .positional = 1,
};

enum { MAX_FEATURES = 64, MAX_RUNTIMES = 16 };

/* What an output is: its format, and what in it may ask for a newer runtime. */
typedef struct output {
    const char *path, *format;
    const char *feature[MAX_FEATURES];
    int features;
    pl_arena *arena;            /* of the texts */
} output;

typedef enum outcome { LOADED, FAILED, ABSENT, UNTRIED } outcome;
static const char *const outcome_names[] = { "loaded", "failed", "not installed", "not tried" };

typedef struct runtime {
    const char *name, *from, *feature;          /* from, feature: of the fact that counts, or NULL */
    outcome outcome;
    char message[320];                          /* the version that loaded it, or why it did not, or "" */
} runtime;

/* ---- what it is ---- */

static pl_status add_feature(output *o, const char *feature)
{
    for (int i = 0; i < o->features; i++)
        if (!strcmp(o->feature[i], feature)) return PL_OK;
    if (o->features == MAX_FEATURES) return PL_OK;
    char *copy = pl_arena_text(o->arena, feature, strlen(feature));
    if (!copy) return PL_E_MEMORY;
    o->feature[o->features++] = pl_printable(copy);
    return PL_OK;
}

static pl_status add_model(output *o, const char *name)
{
    char feature[128];
    snprintf(feature, sizeof feature, "model %s", name);
    return add_feature(o, feature);
}

static pl_status describe_gguf(output *o)
{
    pl_source *source;
    PL_TRY(pl_wire_open(o->path, NULL, &source));
    const pl_model *m = source->model;
    bool gguf = !strcmp(source->ops->name, "gguf");
    pl_status code = gguf ? add_model(o, m->arch) : PL_E_INPUT;
    if (!gguf) pl_fail(code, "'%s' should be a folder or a GGUF file", o->path);
    for (int i = 0; i < m->tensors && code == PL_OK; i++) code = add_feature(o, pl_type_name(&m->tensor[i].type));
    pl_source_close(source);
    o->format = "gguf";
    return code;
}

/* One of MLX's entries: of the model, or of a module. */
static pl_status describe_mlx(output *o, const pl_json *entry, const char *origin)
{
    const char *mode = "affine";
    char feature[32];
    int64_t bits = 0;
    PL_TRY(pl_json_string(entry, "mode", false, origin, &mode));
    PL_TRY(pl_json_int(entry, "bits", false, 1, 8, origin, &bits));
    if (strcmp(mode, "affine")) return add_feature(o, mode);
    snprintf(feature, sizeof feature, "affine%d", (int)bits);
    return add_feature(o, feature);
}

static pl_status describe_method(output *o, const pl_json *config, const char *origin)
{
    const char *method = "unknown", *format = NULL;
    PL_TRY(pl_json_string(config, "quant_method", false, origin, &method));
    PL_TRY(pl_json_string(config, "format", false, origin, &format));
    o->format = pl_arena_text(o->arena, method, strlen(method));
    if (!o->format) return PL_E_MEMORY;
    if (format) PL_TRY(add_feature(o, format));
    const pl_json *groups = pl_json_get(config, "config_groups");
    for (const pl_json *g = pl_json_first(groups); g; g = pl_json_next(g)) {
        const char *own = NULL;
        PL_TRY(pl_json_string(g, "format", false, origin, &own));
        if (own) PL_TRY(add_feature(o, own));
    }
    return PL_OK;
}

static pl_status describe_folder(output *o, const pl_json *config, const char *origin)
{
    const pl_json *mlx = pl_json_get(config, "quantization"), *other = pl_json_get(config, "quantization_config");
    const char *model = NULL, *dtype = NULL;
    PL_TRY(pl_json_string(config, "model_type", false, origin, &model));
    if (model) PL_TRY(add_model(o, model));
    if (pl_json_is(mlx, PL_JSON_OBJECT)) {
        o->format = "mlx";
        PL_TRY(describe_mlx(o, mlx, origin));
        for (const pl_json *m = pl_json_first(mlx); m; m = pl_json_next(m))
            if (pl_json_is(m, PL_JSON_OBJECT)) PL_TRY(describe_mlx(o, m, origin));
        return PL_OK;
    }
    if (pl_json_is(other, PL_JSON_OBJECT)) return describe_method(o, other, origin);
    o->format = "dense";
    PL_TRY(pl_json_string(config, "torch_dtype", false, origin, &dtype));
    return dtype ? add_feature(o, dtype) : PL_OK;
}

static pl_status describe(output *o)
{
    char path[PATH_MAX];
    pl_json *config;
    if (!pl_path_is_dir(o->path)) return describe_gguf(o);
    PL_TRY(pl_path_join(path, sizeof path, o->path, "config.json"));
    PL_TRY(pl_json_load(path, &config));
    pl_status code = describe_folder(o, config, path);
    pl_json_free(config);
    return code;
}

/* ---- what is known ---- */

/* Is it one of the words? */
static bool listed(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += len)
        if ((at == words || at[-1] == ' ') && (!at[len] || at[len] == ' ')) return true;
    return false;
}

/* The feature that a fact is about, "" if about the format at all; NULL: the output has none such. */
static const char *matches(const output *o, const pl_runtime_fact *fact)
{
    if (strcmp(fact->format, o->format)) return NULL;
    if (!fact->feature) return "";
    for (int i = 0; i < o->features; i++)
        if (!fnmatch(fact->feature, o->feature[i], 0)) return o->feature[i];
    return NULL;
}

/* All runtimes of the format, and for each the newest version that something in the output asks for. */
static int look_up(const output *o, runtime *list)
{
    int count = 0;
    for (int i = 0; i < pl_runtime_facts_count; i++) {
        const pl_runtime_fact *fact = &pl_runtime_facts[i];
        const char *feature = matches(o, fact);
        int at = 0;
        if (!feature) continue;
        while (at < count && strcmp(list[at].name, fact->runtime)) at++;
        if (at == MAX_RUNTIMES) continue;
        if (at == count) list[count++] = (runtime){ .name = fact->runtime, .outcome = UNTRIED };
        list[at].from = fact->from;
        list[at].feature = feature[0] ? feature : NULL;
    }
    return count;
}

/* ---- what can be tried ---- */

static pl_status judge(const pl_child *child, double seconds, runtime *r)
{
    r->outcome = child->code ? FAILED : LOADED;
    if (child->code == -2) snprintf(r->message, sizeof r->message, "not done after %g s", seconds);
    else if (child->code == -1)
        snprintf(r->message, sizeof r->message, "ended by signal %d%s%s", child->signal, child->last[0] ? ": " : "",
                 child->last);
    else snprintf(r->message, sizeof r->message, "%s", child->last);
    return PL_OK;
}

static pl_status try_program(const pl_runtime_trial *trial, const char *program, const char *path, double seconds,
                             runtime *r)
{
    const char *argv[PL_COUNT(trial->argv) + 2] = { program };
    pl_child child;
    for (int i = 0; i < PL_COUNT(trial->argv) && trial->argv[i]; i++)
        argv[i + 1] = strcmp(trial->argv[i], "%") ? trial->argv[i] : path;
    PL_TRY(pl_child_run(argv, seconds, &child));
    return judge(&child, seconds, r);
}

static pl_status try_script(const pl_runtime_trial *trial, const char *python, const char *path, double seconds,
                            pl_arena *arena, runtime *r)
{
    pl_child child;
    const char *script = pl_arena_format(arena, "%s%s", pl_runtime_prelude, trial->script);
    if (!script) return PL_E_MEMORY;
    PL_TRY(pl_child_run((const char *[]){ python, "-c", script, path, trial->modules, NULL }, seconds, &child));
    if (child.code != PL_RUNTIME_ABSENT) return judge(&child, seconds, r);
    r->outcome = ABSENT;
    return PL_OK;
}

/* By the first program that is there; nothing it says decides but its exit code. */
static pl_status try_runtime(const output *o, double seconds, runtime *r)
{
    const char *python = getenv("PYTHON"), *folder = getenv("LLAMA_BIN");
    char program[PATH_MAX], path[PATH_MAX];
    if (!python || !python[0]) python = "python3";
    if (folder && !folder[0]) folder = NULL;
    /* An argument that begins with a dash would be an option. */
    if (snprintf(path, sizeof path, "%s%s", o->path[0] == '-' ? "./" : "", o->path) >= PATH_MAX)
        return pl_fail(PL_E_WISH, "the path is longer than %d bytes", PATH_MAX - 1);
    for (int i = 0; i < pl_runtime_trials_count; i++) {
        const pl_runtime_trial *trial = &pl_runtime_trials[i];
        if (strcmp(trial->runtime, r->name) || !listed(trial->formats, o->format)) continue;
        r->outcome = ABSENT;
        if (trial->program && pl_child_find(trial->program, folder, program))
            return try_program(trial, program, path, seconds, r);
        if (!trial->program && pl_child_find(python, NULL, program))
            return try_script(trial, program, path, seconds, o->arena, r);
    }
    return PL_OK;
}

/* ---- what is told ---- */

static pl_status print_text(const output *o, const runtime *r, int count)
{
    pl_table *table;
    pl_ui_print("format: %s", o->format);
    for (int i = 0; i < o->features; i++) pl_ui_print("%s%s", i ? ", " : " (", o->feature[i]);
    pl_ui_print("%s\n\n", o->features ? ")" : "");
    if (!count) {
        pl_ui_print("nothing is known of runtimes for it\n");
        return PL_OK;
    }
    PL_TRY(pl_table_create(4, (bool[4]){ false }, &table));
    pl_status code = pl_table_row(table, (const char *[]){ "runtime", "known to load it from", "for", "here" });
    for (int i = 0; i < count && code == PL_OK; i++) {
        char here[400];
        snprintf(here, sizeof here, "%s%s%s", outcome_names[r[i].outcome], r[i].message[0] ? ": " : "", r[i].message);
        code = pl_table_row(table, (const char *[]){ r[i].name, r[i].from ? r[i].from : "not known",
                                                     r[i].feature ? r[i].feature : "", here });
    }
    if (code == PL_OK) pl_table_print(table);
    pl_table_destroy(table);
    return code;
}

static pl_status print_json(const output *o, const runtime *r, int count)
{
    char *text = NULL;
    pl_json_writer *w;
    PL_TRY(pl_json_writer_create(&w));
    pl_json_begin_object(w, NULL);
    pl_json_put_text(w, "schema", "planish.verify-load/1");
    pl_json_put_text(w, "output", o->path);
    pl_json_put_text(w, "format", o->format);
    pl_json_begin_array(w, "features");
    for (int i = 0; i < o->features; i++) pl_json_put_text(w, NULL, o->feature[i]);
    pl_json_end(w);
    pl_json_begin_array(w, "runtimes");
    for (int i = 0; i < count; i++) {
        pl_json_begin_object(w, NULL);
        pl_json_put_text(w, "name", r[i].name);
        pl_json_put_text(w, "known_from", r[i].from);
        pl_json_put_text(w, "because_of", r[i].feature);
        pl_json_put_text(w, "result", outcome_names[r[i].outcome]);
        pl_json_put_text(w, "message", r[i].message[0] ? r[i].message : NULL);
        pl_json_end(w);
    }
    pl_status code = pl_json_finish(w, &text);
    if (code == PL_OK) code = pl_ui_json(text, "-");
    pl_free(text);
    pl_json_writer_destroy(w);
    return code;
}

static pl_status verify_load(output *o, double seconds, bool as_json)
{
    runtime list[MAX_RUNTIMES];
    bool failed = false;
    PL_TRY(describe(o));
    int count = look_up(o, list);
    for (int i = 0; i < count; i++) {
        PL_TRY(try_runtime(o, seconds, &list[i]));
        failed |= list[i].outcome == FAILED;
    }
    PL_TRY(as_json ? print_json(o, list, count) : print_text(o, list, count));
    return failed ? PL_E_CHECK : PL_OK;
}

static pl_status run(int argc, const char **argv)
{
    bool help, as_json = false;
    double seconds = 600;
    output o = { .path = NULL };
    const pl_opt opts[] = {
        { "timeout", 0, PL_OPT_REAL, &seconds, "SECONDS", "time for each runtime (default: 600)", 0.1, 1e6, NULL },
        { "json", 0, PL_OPT_FLAG, &as_json, NULL, "print JSON", 0, 0, NULL },
    };
    PL_TRY(pl_opts_parse(argc, argv, &usage, opts, PL_COUNT(opts), &o.path, &help));
    if (help) return PL_OK;
    PL_TRY(pl_arena_create(&o.arena));
    pl_status code = verify_load(&o, seconds, as_json);
    pl_arena_destroy(o.arena);
    return code;
}

const pl_command pl_cmd_verify_load = { "verify-load", "say which runtimes load an output, and try those that are here",
                                        run };
